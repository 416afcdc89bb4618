//! The VAE against PyTorch: from the same weights, images and noise its losses are PyTorch's, step by step;
//! and weights travel between the two as safetensors. `golden/vae_trajectory.py` makes the files.

use crate::{
    golden::{self, Trajectory, noise, unit},
    subjects::{Ready, adapter, config},
};
use oneiro::{
    error::Error,
    gpu::Gpu,
    graph::{
        Graph,
        reference::{self, Values},
        shape::{Array, Type},
    },
    models::vae::Vae,
    optim::Optimizer,
    weights,
};
use std::path::Path;

/// Pixels, hidden units, latent dimensions and batch of a small network.
const SMALL: [usize; 4] = [36, 12, 3, 5];
const FILE: &str = "vae_weights.safetensors";

/// The numbers of the line that starts with these sizes.
fn numbers(sizes: [usize; 4]) -> Vec<f64> {
    golden::numbers("vae_trajectory.txt", &format!("{}: ", sizes.map(|s| s.to_string()).join(" ")))
}

/// Weight or bias `fcN.weight` of this shape, as the script sets it.
fn parameter(name: &str, shape: &[usize], fan_in: usize) -> Vec<f32> {
    let (layer, kind) = name.split_once('.').unwrap();
    let position = ["fc1", "fc21", "fc22", "fc3", "fc4"].iter().position(|l| *l == layer).unwrap() as u32;
    let scale = 0.5f32.powi(((fan_in as f64).log2() / 2.0).floor() as i32);
    let salt = 2 * position + if kind == "weight" { 1 } else { 2 };
    unit(salt, shape.iter().product()).into_iter().map(|u| (u * 2.0 - 1.0) * scale).collect()
}

/// Ten training steps of a network of these sizes.
fn trajectory(sizes: [usize; 4]) -> Trajectory {
    let [pixels, hidden, latent, batch] = sizes;
    let g = Graph::new();
    g.bind_stream("vae/eps");
    let vae = Vae::new(&g, &config(pixels, hidden, latent));
    let x = g.input("x", Type::f32([batch, pixels]));
    golden::ends(&g, &vae.training_step(x, &Optimizer::adam(1e-3)));
    let vars = g.recording().vars.clone();
    let fan_in = |name: &str| vars.iter().find(|v| v.name == name).unwrap().ty.shape[1];
    let weights = vars.iter().filter(|v| v.role.is_weight()).map(|v| {
        let values = parameter(&v.name, &v.ty.shape, fan_in(&v.name.replace(".bias", ".weight")));
        (v.name.clone(), (v.ty.shape.to_vec(), values))
    });
    let weights: weights::Weights = weights.collect();
    assert_eq!(weights.len(), 10);
    let inputs = move |step: u32| {
        vec![("x", unit(1000 + step, batch * pixels)), ("vae/eps", noise(2000 + 3 * step, batch * latent))]
    };
    Trajectory { round: vec![g], evaluation: None, rounds: 10, inputs: Box::new(inputs), weights }
}

#[test]
fn the_reference_follows_pytorch() {
    let sizes = [64, 32, 8, 4];
    trajectory(sizes).check_reference("VAE", &numbers(sizes));
}

#[test]
fn the_adapter_follows_pytorch() {
    let Some(gpu) = adapter("the_adapter_follows_pytorch") else { return };
    for sizes in [[784, 400, 20, 32], [64, 32, 8, 4]] {
        trajectory(sizes).check_adapter(gpu, &format!("VAE {sizes:?}"), &numbers(sizes));
    }
}

/// The encoder's means, and the names of the weights.
fn encoder(gpu: &Gpu, [pixels, hidden, latent, batch]: [usize; 4]) -> (Ready<'_>, Vec<String>) {
    let g = Graph::new();
    let vae = Vae::new(&g, &config(pixels, hidden, latent));
    g.output("mu", vae.encode(g.input("x", Type::f32([batch, pixels]))).0);
    let ready = Ready::new(gpu, &g, 3);
    let names = ready.plan.weights();
    (ready, names)
}

#[test]
fn weights_of_pytorch_give_pytorchs_codes() {
    let Some(gpu) = adapter("weights_of_pytorch_give_pytorchs_codes") else { return };
    let (encoder, names) = encoder(gpu, SMALL);
    assert_eq!(names.len(), 10);
    golden::apply(gpu, &encoder.state, &names, &golden::tensors(FILE), FILE);
    let mu = encoder.write("x", &unit(1000, SMALL[0] * SMALL[3])).step().read("mu");
    for (i, (got, expected)) in mu.iter().zip(numbers(SMALL)).enumerate() {
        assert!((f64::from(*got) - expected).abs() < 1e-5, "mu {i}: {got} instead of {expected}");
    }
}

/// What the objective is made of is what its terms say: they can be computed again from the parts.
#[test]
fn the_objective_hands_out_its_parts() {
    let g = Graph::new();
    let loss = Vae::new(&g, &config(6, 5, 2)).loss(g.input("x", Type::f32([3, 6])));
    for (name, value) in [("mu", loss.mu), ("logvar", loss.logvar), ("z", loss.z), ("logits", loss.logits)] {
        g.output(name, value);
    }
    g.output("reconstruction", loss.reconstruction);
    g.output("kl", loss.kl);
    let x = Array::from_fn([3, 6], |i| (i % 2) as f64);
    let inputs = Values::from([("x".into(), x.clone())]);
    let out = reference::eval(&g, &inputs, &mut reference::initial(&g, 1)).unwrap();
    let sum = |f: &dyn Fn(usize) -> f64, n: usize| (0..n).map(f).sum::<f64>();
    let bce = |i: usize| {
        let l = out["logits"].data[i];
        l.exp().ln_1p() - l * x.data[i]
    };
    let kl = |i: usize| {
        let (mu, logvar) = (out["mu"].data[i], out["logvar"].data[i]);
        0.5 * (mu * mu + logvar.exp() - logvar - 1.0)
    };
    assert!((sum(&bce, 18) - out["reconstruction"].data[0]).abs() < 1e-9);
    assert!((sum(&kl, 6) - out["kl"].data[0]).abs() < 1e-9);
    assert!(out["z"].data != out["mu"].data && out["z"].data.len() == 6);
}

#[test]
fn weights_survive_a_round_trip() {
    let Some(gpu) = adapter("weights_survive_a_round_trip") else { return };
    let ((first, names), (second, _)) = (encoder(gpu, SMALL), encoder(gpu, SMALL));
    let (first, second) = (&first.state, &second.state);
    let bytes = weights::to_bytes(gpu, first, &names).unwrap();
    for name in &names {
        let n = second.read(gpu, name).unwrap().len();
        second.write(gpu, name, &vec![7.0; n]).unwrap();
    }
    golden::apply(gpu, second, &names, &golden::written(gpu, first, &names), "the first State");
    for name in &names {
        assert_eq!(first.read_words(gpu, name).unwrap(), second.read_words(gpu, name).unwrap(), "{name}");
    }
    assert_eq!(weights::to_bytes(gpu, second, &names).unwrap(), bytes);
}

#[test]
fn bad_weights_are_one_line_errors() {
    let one_line = |error: Error, parts: &[&str]| {
        let text = error.to_string();
        let whole = text.lines().count() == 1 && parts.iter().all(|p| text.contains(p));
        assert!(whole, "`{text}` lacks one of {parts:?}");
    };
    let path = golden::path(FILE);
    let bytes = std::fs::read(&path).unwrap();
    for keep in [0, 7, 100, bytes.len() - 1] {
        let cut = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cut.safetensors");
        std::fs::write(&cut, &bytes[..keep]).unwrap();
        one_line(weights::load(&cut).unwrap_err(), &["cut.safetensors", "not a whole safetensors file"]);
    }
    one_line(weights::load(Path::new("no/such.safetensors")).unwrap_err(), &["no/such.safetensors"]);

    let Some(gpu) = adapter("bad_weights_are_one_line_errors") else { return };
    let mut file = golden::tensors(FILE);
    let (other, names) = encoder(gpu, [36, 10, 3, 5]);
    let error = weights::apply(gpu, &other.state, &names, &file, &path).unwrap_err();
    one_line(error, &["vae_weights", "`fc1.bias`", "[12]", "[10]"]);
    let (encoder, names) = encoder(gpu, SMALL);
    let tensor = file.remove("fc22.weight").unwrap();
    file.insert("fc23.weight".into(), tensor);
    let error = weights::apply(gpu, &encoder.state, &names, &file, &path).unwrap_err();
    one_line(error, &["vae_weights", "missing 1 (`fc22.weight`)", "unexpected 1 (`fc23.weight`)"]);
}
