//! The convolutional VAE against PyTorch: from the same weights file, images and noise its losses are
//! PyTorch's, step by step and then in evaluation, and the weights travel back unchanged.
//! `golden/conv_vae_trajectory.py` makes the files.

use crate::{
    golden::{self, Trajectory, noise, unit},
    harness::differences,
    subjects::adapter,
};
use oneiro::{
    graph::{Graph, Tensor, shape::Type},
    kernel::caps::{AdapterClass, Caps},
    models::{conv_vae::Config, vae::Vae},
    nn::Mode,
    optim::Optimizer,
    plan::Plan,
};

const BATCH: usize = 6;
const PIXELS: usize = 16 * 8 * 3;
const LATENT: usize = 5;
const FILE: &str = "conv_vae_weights.safetensors";

fn config() -> Config {
    Config { image: [16, 8, 3], widths: vec![4, 6, 8], latent: LATENT, ..Config::default() }
}

/// The network, and its input x; the noise is an input, too.
fn network(g: &Graph, mode: Mode) -> (Vae<'_>, Tensor<'_>) {
    g.bind_stream("vae/eps");
    (Vae::convolutional(g, &config(), mode), g.input("x", Type::f32([BATCH, PIXELS])))
}

fn inputs(step: u32) -> Vec<(&'static str, Vec<f32>)> {
    vec![("x", unit(1000 + step, BATCH * PIXELS)), ("vae/eps", noise(2000 + 3 * step, BATCH * LATENT))]
}

/// Ten training steps and an evaluation.
fn trajectory() -> Trajectory {
    let (step, evaluation) = (Graph::new(), Graph::new());
    let (vae, x) = network(&step, Mode::Training);
    golden::ends(&step, &vae.training_step(x, &Optimizer::adam(1e-2)));
    let (vae, x) = network(&evaluation, Mode::Evaluation);
    evaluation.output("loss", vae.loss(x).total);
    let (inputs, weights) = (Box::new(inputs), golden::tensors(FILE));
    let trajectory =
        Trajectory { round: vec![step], evaluation: Some(evaluation), rounds: 10, inputs, weights };
    assert_eq!(trajectory.variables().len(), trajectory.weights.len());
    trajectory
}

#[test]
fn the_references_convolutional_vae_follows_pytorch() {
    trajectory().check_reference("convolutional VAE", &golden::numbers("conv_vae_trajectory.txt", ""));
}

#[test]
fn the_adapters_convolutional_vae_follows_pytorch() {
    let Some(gpu) = adapter("the_adapters_convolutional_vae_follows_pytorch") else { return };
    trajectory().check_adapter(gpu, "convolutional VAE", &golden::numbers("conv_vae_trajectory.txt", ""));
}

/// Every layer has variables in the gradient.
#[test]
fn the_objectives_gradient_matches_central_differences() {
    let g = Graph::new();
    let (vae, x) = network(&g, Mode::Training);
    let loss = vae.loss(x).total;
    let start = golden::initial(&g, &golden::tensors(FILE));
    differences(loss, &vae.params(), &trajectory().values(&g, 0), &start);
}

#[test]
fn images_that_do_not_halve_are_named() {
    for (image, widths, what) in
        [([28, 30, 1], vec![4, 8], "multiples of 4, not 28x30"), ([8, 8, 1], vec![], "0 layers")]
    {
        let g = Graph::new();
        let config = Config { image, widths, ..config() };
        let vae = Vae::convolutional(&g, &config, Mode::Training);
        g.output("loss", vae.loss(g.input("x", Type::f32([2, image.iter().product()]))).total);
        let text = Plan::new(&g, &Caps::portable(AdapterClass::Gpu)).unwrap_err().to_string();
        assert!(text.contains(what) && text.contains("conv_vae.rs") && text.lines().count() == 1, "{text}");
    }
}
