//! The denoising autoencoder against PyTorch: from the same weights file, images and dropped pixels its losses are
//! PyTorch's, step by step and then on whole images. `golden/autoencoder_trajectory.py` makes the files.

use crate::{
    golden::{self, Trajectory, unit},
    subjects::adapter,
};
use oneiro::{
    graph::{Graph, Tensor, shape::Type},
    models::autoencoder::{Autoencoder, Config},
    optim::Optimizer,
};

const BATCH: usize = 6;
const PIXELS: usize = 30;

/// The network, and its input x; what is dropped is an input, too.
fn network(g: &Graph) -> (Autoencoder<'_>, Tensor<'_>) {
    g.bind_stream("autoencoder/mask");
    let config = Config { pixels: PIXELS, hidden: vec![12], code: 5, noise: 0.25 };
    (Autoencoder::new(g, &config), g.input("x", Type::f32([BATCH, PIXELS])))
}

fn inputs(step: u32) -> Vec<(&'static str, Vec<f32>)> {
    vec![("x", unit(1000 + step, BATCH * PIXELS)), ("autoencoder/mask", unit(2000 + step, BATCH * PIXELS))]
}

/// Ten training steps and an evaluation.
fn trajectory() -> Trajectory {
    let (step, evaluation) = (Graph::new(), Graph::new());
    let (model, x) = network(&step);
    golden::ends(&step, &model.training_step(x, &Optimizer::adam(1e-2)));
    let (model, x) = network(&evaluation);
    evaluation.output("loss", model.loss(x, false));
    let (inputs, weights) = (Box::new(inputs), golden::tensors("autoencoder_weights.safetensors"));
    Trajectory { round: vec![step], evaluation: Some(evaluation), rounds: 10, inputs, weights }
}

fn losses() -> Vec<f64> {
    golden::numbers("autoencoder_trajectory.txt", "")
}

#[test]
fn the_references_autoencoder_follows_pytorch() {
    trajectory().check_reference("autoencoder", &losses());
}

#[test]
fn the_adapters_autoencoder_follows_pytorch() {
    let Some(gpu) = adapter("the_adapters_autoencoder_follows_pytorch") else { return };
    trajectory().check_adapter(gpu, "autoencoder", &losses());
}
