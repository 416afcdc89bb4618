//! Models against PyTorch: from the same weights, images and noise the VAE's losses are PyTorch's, step by
//! step; and weights travel between the two as safetensors. `golden/vae_trajectory.py` makes the files.

use crate::subjects::{adapter, config};
use oneiro::{
    gpu::{Executor, Gpu, State},
    graph::{
        Graph, Origin, Tensor, autodiff,
        reference::{self, Values},
        shape::{Array, Type},
    },
    kernel::caps::Caps,
    models::{Metrics, vae::Vae},
    optim::{Optimizer, advance},
    plan::Plan,
    train::remember,
    weights,
};
use std::path::{Path, PathBuf};

pub(crate) fn golden_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels-tests/golden").join(name)
}

/// The numbers of the line that starts with these sizes.
fn golden(sizes: [usize; 4]) -> Vec<f64> {
    let text = std::fs::read_to_string(golden_file("vae_trajectory.txt")).unwrap();
    let start = format!("{}: ", sizes.map(|s| s.to_string()).join(" "));
    let line = text.lines().find_map(|l| l.strip_prefix(&start)).unwrap();
    line.split(' ').map(|number| number.parse().unwrap()).collect()
}

/// 24 bits per element, as in `vae_trajectory.py`.
pub(crate) fn bits(salt: u32, element: u32) -> u32 {
    let mut x = element.wrapping_mul(0x9E37_79B9).wrapping_add(salt.wrapping_mul(0x85EB_CA6B));
    x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
    x = (x ^ (x >> 15)).wrapping_mul(0x846C_A68B);
    (x ^ (x >> 16)) >> 8
}

pub(crate) fn unit(salt: u32, n: usize) -> Vec<f32> {
    (0..n as u32).map(|i| bits(salt, i) as f32 / 16_777_216.0).collect()
}

pub(crate) fn noise(salt: u32, n: usize) -> Vec<f32> {
    let sum = |i| (0..3).map(|k| (bits(salt + k, i) >> 2) as f32).sum::<f32>();
    (0..n as u32).map(|i| (sum(i) / 4_194_304.0 - 1.5) * 2.0).collect()
}

/// Weight or bias `fcN.weight` of this shape, as the script sets it.
fn parameter(name: &str, shape: &[usize], fan_in: usize) -> Vec<f32> {
    let (layer, kind) = name.split_once('.').unwrap();
    let position = ["fc1", "fc21", "fc22", "fc3", "fc4"].iter().position(|l| *l == layer).unwrap() as u32;
    let scale = 0.5f32.powi(((fan_in as f64).log2() / 2.0).floor() as i32);
    let salt = 2 * position + if kind == "weight" { 1 } else { 2 };
    unit(salt, shape.iter().product()).into_iter().map(|u| (u * 2.0 - 1.0) * scale).collect()
}

/// A loss's gradient by some elements of these variables against central differences in f64.
pub(crate) fn differences(loss: Tensor<'_>, params: &[Tensor<'_>], inputs: &Values, start: &Values) {
    let g = loss.graph();
    let name = |t: &Tensor<'_>| match g.recording().nodes[t.id()].origin {
        Origin::Var(v) => g.recording().vars[v].name.clone(),
        _ => panic!("{t:?} is no variable"),
    };
    let names: Vec<String> = params.iter().map(name).collect();
    g.output("differentiated", loss);
    autodiff::grad(loss, params)
        .into_iter()
        .zip(&names)
        .for_each(|(gradient, name)| g.output(name, gradient));
    let eval = |state: &Values| reference::eval(g, inputs, &mut state.clone()).unwrap();
    let gradients = eval(start);
    for name in &names {
        let n = start[name].data.len();
        for i in [0, n / 2, n - 1] {
            let h = 1e-6;
            let at = |shift: f64| {
                let mut moved = start.clone();
                moved.get_mut(name).unwrap().data[i] += shift;
                eval(&moved)["differentiated"].data[0]
            };
            let (slope, gradient) = ((at(h) - at(-h)) / (2.0 * h), gradients[name].data[i]);
            assert!(
                (slope - gradient).abs() < 1e-5 * (1.0 + gradient.abs()),
                "{name} {i}: {gradient}, by differences {slope}"
            );
        }
    }
}

/// Ends a training step as runs do, with the loss as an output, too.
pub(crate) fn ends(g: &Graph, metrics: &Metrics<'_>) {
    remember(g, metrics);
    advance(g);
    g.output("loss", metrics[0].1);
}

/// A training step with x and the noise as inputs, and all parameters' first values.
fn step([pixels, hidden, latent, batch]: [usize; 4]) -> (Graph, Vec<(String, Vec<f32>)>) {
    let g = Graph::new();
    g.bind_stream("vae/eps");
    let vae = Vae::new(&g, &config(pixels, hidden, latent));
    let x = g.input("x", Type::f32([batch, pixels]));
    ends(&g, &vae.training_step(x, &Optimizer::adam(1e-3)));
    let vars = g.recording().vars.clone();
    let fan_in = |name: &str| vars.iter().find(|v| v.name == name).unwrap().ty.shape[1];
    let params = vars.iter().filter(|v| v.name.starts_with("fc")).map(|v| {
        let weight = v.name.replace(".bias", ".weight");
        (v.name.clone(), parameter(&v.name, &v.ty.shape, fan_in(&weight)))
    });
    let params: Vec<_> = params.collect();
    assert_eq!(params.len(), 10);
    (g, params)
}

fn inputs([pixels, _, latent, batch]: [usize; 4], step: u32) -> [(&'static str, Vec<f32>); 2] {
    [("x", unit(1000 + step, batch * pixels)), ("vae/eps", noise(2000 + 3 * step, batch * latent))]
}

pub(crate) fn close(what: &str, got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let error = (got - expected).abs() / expected.abs();
        assert!(error < tolerance, "{what} {i}: {got} instead of {expected} (relative error {error:.1e})");
    }
}

#[test]
fn the_reference_follows_pytorch() {
    let sizes = [64, 32, 8, 4];
    let (graph, params) = step(sizes);
    let mut state = reference::initial(&graph, 0);
    for (name, values) in params {
        let array = state.get_mut(&name).unwrap();
        array.data = values.into_iter().map(f64::from).collect();
    }
    let losses = (0..10).map(|s| {
        let input = |(name, values): (&str, Vec<f32>)| {
            let width = if name == "x" { sizes[0] } else { sizes[2] };
            (name.to_string(), Array::new([sizes[3], width], values.into_iter().map(f64::from).collect()))
        };
        let values: Values = inputs(sizes, s).into_iter().map(input).collect();
        reference::eval(&graph, &values, &mut state).unwrap()["loss"].data[0]
    });
    close("loss of step", &losses.collect::<Vec<_>>(), &golden(sizes), 1e-9);
}

fn losses(gpu: &Gpu, sizes: [usize; 4], caps: &Caps) -> Vec<f64> {
    let (graph, params) = step(sizes);
    let plan = Plan::new(&graph, caps).unwrap();
    let state = State::new(gpu, &[&plan], 0).unwrap();
    for (name, values) in params {
        state.write(gpu, &name, &values).unwrap();
    }
    let executor = Executor::new(gpu, &plan, &state, &[]).unwrap();
    let run = |s| {
        for (name, values) in inputs(sizes, s) {
            executor.write(gpu, name, &values).unwrap();
        }
        executor.step(gpu);
        f64::from(executor.read(gpu, "loss").unwrap()[0])
    };
    (0..10).map(run).collect()
}

#[test]
fn the_adapter_follows_pytorch() {
    let Some(gpu) = adapter("the_adapter_follows_pytorch") else { return };
    for sizes in [[784, 400, 20, 32], [64, 32, 8, 4]] {
        close("loss of step", &losses(gpu, sizes, gpu.caps()), &golden(sizes), 1e-4);
        // The kernels for GPUs on whatever adapter there is.
        let other =
            Caps { class: oneiro::kernel::caps::AdapterClass::Gpu, powers: vec![], ..gpu.caps().clone() };
        close("loss of step with GPU kernels", &losses(gpu, sizes, &other), &golden(sizes), 1e-4);
    }
}

/// The encoder's means, and a State for them.
fn encoder(gpu: &Gpu, [pixels, hidden, latent, batch]: [usize; 4]) -> (Plan, State, Vec<String>) {
    let g = Graph::new();
    let vae = Vae::new(&g, &config(pixels, hidden, latent));
    g.output("mu", vae.encode(g.input("x", Type::f32([batch, pixels]))).0);
    let plan = Plan::new(&g, gpu.caps()).unwrap();
    let state = State::new(gpu, &[&plan], 3).unwrap();
    let names = plan.weights();
    (plan, state, names)
}

const SMALL: [usize; 4] = [36, 12, 3, 5];

#[test]
fn weights_of_pytorch_give_pytorchs_codes() {
    let Some(gpu) = adapter("weights_of_pytorch_give_pytorchs_codes") else { return };
    let (plan, state, names) = encoder(gpu, SMALL);
    assert_eq!(names.len(), 10);
    let path = golden_file("vae_weights.safetensors");
    weights::apply(gpu, &state, &names, &weights::load(&path).unwrap(), &path).unwrap();
    let executor = Executor::new(gpu, &plan, &state, &[]).unwrap();
    executor.write(gpu, "x", &unit(1000, SMALL[0] * SMALL[3])).unwrap();
    executor.step(gpu);
    let mu = executor.read(gpu, "mu").unwrap();
    for (i, (got, expected)) in mu.iter().zip(golden(SMALL)).enumerate() {
        assert!((f64::from(*got) - expected).abs() < 1e-5, "mu {i}: {got} instead of {expected}");
    }
}

#[test]
fn weights_survive_a_round_trip() {
    let Some(gpu) = adapter("weights_survive_a_round_trip") else { return };
    let (_, first, names) = encoder(gpu, SMALL);
    let bytes = weights::to_bytes(gpu, &first, &names).unwrap();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("round_trip.safetensors");
    std::fs::write(&path, &bytes).unwrap();
    let (_, second, _) = encoder(gpu, SMALL);
    for name in &names {
        let n = second.read(gpu, name).unwrap().len();
        second.write(gpu, name, &vec![7.0; n]).unwrap();
    }
    weights::apply(gpu, &second, &names, &weights::load(&path).unwrap(), &path).unwrap();
    for name in &names {
        assert_eq!(first.read_words(gpu, name).unwrap(), second.read_words(gpu, name).unwrap(), "{name}");
    }
    assert_eq!(weights::to_bytes(gpu, &second, &names).unwrap(), bytes);
}

#[test]
fn bad_weights_are_one_line_errors() {
    let one_line = |error: oneiro::error::Error, parts: &[&str]| {
        let text = error.to_string();
        assert!(
            text.lines().count() == 1 && parts.iter().all(|p| text.contains(p)),
            "`{text}` lacks one of {parts:?}"
        );
    };
    let path = golden_file("vae_weights.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    for keep in [0, 7, 100, bytes.len() - 1] {
        let cut = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cut.safetensors");
        std::fs::write(&cut, &bytes[..keep]).unwrap();
        one_line(weights::load(&cut).unwrap_err(), &["cut.safetensors", "not a whole safetensors file"]);
    }
    one_line(weights::load(Path::new("no/such.safetensors")).unwrap_err(), &["no/such.safetensors"]);

    let Some(gpu) = adapter("bad_weights_are_one_line_errors") else { return };
    let mut file = weights::load(&path).unwrap();
    let (_, state, names) = encoder(gpu, [36, 10, 3, 5]);
    one_line(
        weights::apply(gpu, &state, &names, &file, &path).unwrap_err(),
        &["vae_weights", "`fc1.bias`", "[12]", "[10]"],
    );
    let (_, state, names) = encoder(gpu, SMALL);
    file.remove("fc22.weight");
    one_line(
        weights::apply(gpu, &state, &names, &file, &path).unwrap_err(),
        &["vae_weights", "has no f32 or f64 tensor `fc22.weight`", "fc4.bias"],
    );
}
