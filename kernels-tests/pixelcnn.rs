//! PixelCNN against PyTorch: from the same weights file and images its losses are PyTorch's, step by step, and its weights
//! travel back in PyTorch's layout. `golden/pixelcnn_trajectory.py` makes the files.

use crate::{
    models::{bits, close, golden_file},
    subjects::adapter,
};
use oneiro::{
    caps::{Caps, Class},
    gpu::{Executor, Gpu, State},
    graph::Graph,
    models::pixelcnn::{Config, PixelCnn},
    optim::{Optimizer, advance},
    plan::Plan,
    reference::{self, Values},
    shape::{Array, Type},
    var::VarSpec,
    weights,
};
use std::path::Path;

const SHAPE: [usize; 2] = [3, 63];

fn config() -> Config {
    Config { image: [7, 9, 1], features: 6, blocks: 2, head: 8 }
}

fn step() -> (Graph, Vec<VarSpec>) {
    let g = Graph::new();
    let model = PixelCnn::new(&g, &config());
    let params: Vec<_> = g.recording().vars.clone();
    let loss = model.loss(g.input("x", Type::f32(SHAPE)));
    Optimizer::adam(1e-3).step("pixelcnn", loss, &model.params());
    g.output("loss", loss);
    advance(&g);
    (g, params)
}

fn picture(step: u32) -> Vec<f32> {
    (0..189).map(|i| f32::from(u8::from(bits(1000 + step, i) >= 1 << 23))).collect()
}

fn golden() -> Vec<f64> {
    let text = std::fs::read_to_string(golden_file("pixelcnn_trajectory.txt")).unwrap();
    text.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

#[test]
fn the_references_pixelcnn_follows_pytorch() {
    let (graph, params) = step();
    let file = weights::load(&golden_file("pixelcnn_weights.safetensors")).unwrap();
    let mut state = reference::initial(&graph, 0);
    for var in &params {
        let places = var.layout.places(&var.ty.shape);
        state.get_mut(&var.name).unwrap().data = places.into_iter().map(|p| f64::from(file[&var.name].1[p])).collect();
    }
    let losses = (0..10).map(|s| {
        let x = Array::new(SHAPE, picture(s).into_iter().map(f64::from).collect());
        reference::eval(&graph, &Values::from([("x".into(), x)]), &mut state).unwrap()["loss"].data[0]
    });
    close("loss of step", &losses.collect::<Vec<_>>(), &golden(), 1e-9);
}

fn losses(gpu: &Gpu, caps: &Caps) -> Vec<f64> {
    let (graph, params) = step();
    let plan = Plan::new(&graph, caps).unwrap();
    let state = State::new(gpu, &[&plan], 0).unwrap();
    let names: Vec<String> = params.into_iter().map(|v| v.name).collect();
    let path = golden_file("pixelcnn_weights.safetensors");
    weights::apply(gpu, &state, &names, &weights::load(&path).unwrap(), &path).unwrap();
    let executor = Executor::new(gpu, &plan, &state, &[]).unwrap();
    let run = |s| {
        executor.write(gpu, "x", &picture(s)).unwrap();
        gpu.submit(|encoder| executor.record(encoder));
        f64::from(executor.read(gpu, "loss").unwrap()[0])
    };
    (0..10).map(run).collect()
}

#[test]
fn the_adapters_pixelcnn_follows_pytorch() {
    let Some(gpu) = adapter("the_adapters_pixelcnn_follows_pytorch") else { return };
    close("loss of step", &losses(gpu, gpu.caps()), &golden(), 1e-4);
    let other = Caps { class: Class::Gpu, subgroup: None, ..gpu.caps().clone() };
    close("loss of step with GPU kernels", &losses(gpu, &other), &golden(), 1e-4);
}

/// Kept taps come back as they were, masked ones as zeros.
#[test]
fn kernels_survive_a_round_trip() {
    let Some(gpu) = adapter("kernels_survive_a_round_trip") else { return };
    let (graph, params) = step();
    let plan = Plan::new(&graph, gpu.caps()).unwrap();
    let state = State::new(gpu, &[&plan], 0).unwrap();
    let names: Vec<String> = params.iter().map(|v| v.name.clone()).collect();
    let path = golden_file("pixelcnn_weights.safetensors");
    let theirs = weights::load(&path).unwrap();
    weights::apply(gpu, &state, &names, &theirs, &path).unwrap();
    let written = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels.safetensors");
    std::fs::write(&written, weights::to_bytes(gpu, &state, &names).unwrap()).unwrap();
    let ours = weights::load(&written).unwrap();
    assert_eq!((ours.len(), theirs.len()), (params.len(), params.len()));
    for var in &params {
        let ((shape, a), (wanted, b)) = (&ours[&var.name], &theirs[&var.name]);
        assert_eq!(shape, wanted, "{}", var.name);
        let kept = var.layout.places(&var.ty.shape);
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            assert!(if kept.contains(&i) { a == b } else { *a == 0.0 }, "{}: element {i} is {a}, in PyTorch's file {b}", var.name);
        }
    }
    // 7x7 mask A keeps 24 of 49 taps, 3x3 mask B 5 of 9.
    let masked: usize = params.iter().map(|v| v.layout.shape(&v.ty.shape).iter().product::<usize>() - v.ty.shape.numel()).sum();
    assert_eq!(masked, 12 * 25 + 2 * 36 * 4);
}
