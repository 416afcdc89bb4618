//! PixelCNN and gated PixelCNN against PyTorch: from the same weights file and images their losses are PyTorch's, step by step,
//! and the weights travel back in PyTorch's layout. `golden/pixelcnn_trajectory.py` makes the files.

use crate::{
    models::vae::{bits, close, ends, golden_file},
    runs::resume::{empty, example, finish, labelled},
    subjects::adapter,
};
use oneiro::{
    gpu::{Executor, Gpu, State},
    graph::{
        Graph,
        reference::{self, Values},
        shape::{Array, Type},
        var::{Init, VarSpec},
    },
    kernel::caps::{AdapterClass, Caps},
    models::{
        autoregressive::{Autoregressive, Given},
        gated_pixelcnn,
        likelihood::Likelihood,
        pixelcnn,
    },
    optim::Optimizer,
    plan::Plan,
    weights,
};
use safetensors::{Dtype, tensor::TensorView};
use std::path::Path;

const SHAPE: [usize; 2] = [3, 63];

const MODELS: [&str; 2] = ["pixelcnn", "gated"];
const IMAGE: [usize; 3] = [7, 9, 1];

/// A training step of a model, and its weights.
fn step(model: &str) -> (Graph, Vec<VarSpec>) {
    let g = Graph::new();
    let (x, likelihood) = (g.input("x", Type::f32(SHAPE)), Likelihood::Bernoulli);
    let x = x.reshape([SHAPE[0], IMAGE[0], IMAGE[1], IMAGE[2]]);
    let (image, dropout, optimizer) = (IMAGE, 0.0, Optimizer::adam(1e-3));
    let metrics = if model == "gated" {
        // The images' classes are 0, 1, 0.
        let class = g.var("class", Type::f32([3, 2]), Init::Values([1.0, 0.0, 0.0, 1.0, 1.0, 0.0].into()));
        let config = gated_pixelcnn::Config {
            image,
            features: 5,
            layers: 3,
            kernel: 5,
            head: 6,
            classes: Some(2),
            dropout,
            likelihood,
        };
        config.training_step(&g, model, Given { x, class: Some(class), training: true }, &optimizer)
    } else {
        let (blocks, dilations) = (2, vec![]);
        let config = pixelcnn::Config { image, features: 6, blocks, dilations, head: 8, dropout, likelihood };
        config.training_step(&g, model, Given { x, class: None, training: true }, &optimizer)
    };
    ends(&g, &metrics);
    let weights = g.recording().vars.iter().filter(|v| v.role.is_weight()).cloned().collect();
    (g, weights)
}

fn picture(step: u32) -> Vec<f32> {
    (0..189).map(|i| f32::from(u8::from(bits(1000 + step, i) >= 1 << 23))).collect()
}

fn golden(model: &str) -> Vec<f64> {
    let text = std::fs::read_to_string(golden_file(&format!("{model}_trajectory.txt"))).unwrap();
    text.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

#[test]
fn the_references_models_follow_pytorch() {
    for model in MODELS {
        let (graph, params) = step(model);
        let file = weights::load(&golden_file(&format!("{model}_weights.safetensors"))).unwrap();
        let mut state = reference::initial(&graph, 0);
        for var in &params {
            let places = var.layout.places(&var.ty.shape);
            state.get_mut(&var.name).unwrap().data =
                places.into_iter().map(|p| f64::from(file[&var.name].1[p])).collect();
        }
        let losses = (0..10).map(|s| {
            let x = Array::new(SHAPE, picture(s).into_iter().map(f64::from).collect());
            reference::eval(&graph, &Values::from([("x".into(), x)]), &mut state).unwrap()["loss"].data[0]
        });
        close(&format!("{model}: loss of step"), &losses.collect::<Vec<_>>(), &golden(model), 1e-9);
    }
}

fn losses(gpu: &Gpu, caps: &Caps, model: &str) -> Vec<f64> {
    let (graph, params) = step(model);
    let plan = Plan::new(&graph, caps).unwrap();
    let state = State::new(gpu, &[&plan], 0).unwrap();
    let names: Vec<String> = params.into_iter().map(|v| v.name).collect();
    let path = golden_file(&format!("{model}_weights.safetensors"));
    weights::apply(gpu, &state, &names, &weights::load(&path).unwrap(), &path).unwrap();
    let executor = Executor::new(gpu, &plan, &state, &[]).unwrap();
    let run = |s| {
        executor.write(gpu, "x", &picture(s)).unwrap();
        executor.step(gpu);
        f64::from(executor.read(gpu, "loss").unwrap()[0])
    };
    (0..10).map(run).collect()
}

#[test]
fn the_adapters_models_follow_pytorch() {
    let Some(gpu) = adapter("the_adapters_models_follow_pytorch") else { return };
    for model in MODELS {
        close(&format!("{model}: loss of step"), &losses(gpu, gpu.caps(), model), &golden(model), 1e-4);
        let other = Caps { class: AdapterClass::Gpu, powers: vec![], ..gpu.caps().clone() };
        close(
            &format!("{model}: loss of step with GPU kernels"),
            &losses(gpu, &other, model),
            &golden(model),
            1e-4,
        );
    }
}

/// Kept taps come back as they were, masked ones as zeros.
#[test]
fn kernels_survive_a_round_trip() {
    let Some(gpu) = adapter("kernels_survive_a_round_trip") else { return };
    let (graph, params) = step("pixelcnn");
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
            assert!(
                if kept.contains(&i) { a == b } else { *a == 0.0 },
                "{}: element {i} is {a}, in PyTorch's file {b}",
                var.name
            );
        }
    }
    // 7x7 mask A keeps 24 of 49 taps, 3x3 mask B 5 of 9.
    let masked: usize = params
        .iter()
        .map(|v| v.layout.shape(&v.ty.shape).iter().product::<usize>() - v.ty.shape.numel())
        .sum();
    assert_eq!(masked, 12 * 25 + 2 * 36 * 4);
}

/// Weights of 0 make all 256 levels alike: 8 bits per dimension, and by `evaluate` as by hand.
#[test]
fn a_uniform_model_scores_8_bits_per_dimension() {
    if adapter("a_uniform_model_scores_8_bits_per_dimension").is_none() {
        return;
    }
    let dir = empty("uniform");
    labelled(&dir);
    let small = [
        "--data",
        ".",
        "--output",
        "softmax",
        "--features",
        "4",
        "--blocks",
        "1",
        "--head",
        "4",
        "--batch",
        "8",
        "--steps",
        "1",
    ];
    finish(example(&dir, "pixelcnn", "train", &[&small[..], &["--out", "run"]].concat()), true);
    let path = dir.join("run/weights.safetensors");
    let zeros: Vec<_> = weights::load(&path)
        .unwrap()
        .into_iter()
        .map(|(name, (shape, v))| (name, shape, vec![0u8; 4 * v.len()]))
        .collect();
    let views = zeros
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    let text = finish(example(&dir, "pixelcnn", "evaluate", &["--run", "run"]), true);
    assert!(text.contains("8.0000 bits per dimension"), "{text}");
}
