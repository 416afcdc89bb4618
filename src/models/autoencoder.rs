//! The autoencoder (Hinton & Salakhutdinov 2006), denoising where asked (Vincent et al. 2008).
//!
//! An encoder squeezes x into a code, a decoder restores x from it, and both learn from the restoration
//! alone. What the encoder has learnt then starts a supervised model: its features with a linear layer on
//! top, fine-tuned on few labels.

use super::Metrics;
use crate::{
    graph::{Graph, Tensor},
    nn::Linear,
    optim::Optimizer,
};

/// The network's architecture.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The pixels of a flattened image.
    pub pixels: usize,
    /// The widths of the encoder's hidden layers; the decoder mirrors them.
    pub hidden: Vec<usize>,
    /// The width of the code.
    pub code: usize,
    /// The share of the pixels that are set to 0 before encoding; 0 is the plain autoencoder.
    pub noise: f32,
}

impl Default for Config {
    /// The layers 784-500-100-500-784, with a quarter of the pixels dropped.
    fn default() -> Self {
        Self { pixels: 784, hidden: vec![500], code: 100, noise: 0.25 }
    }
}

/// The encoder from x to the code: ReLU layers `encoder.0`, `encoder.1`, ...
pub struct Encoder<'g> {
    layers: Vec<Linear<'g>>,
}

impl<'g> Encoder<'g> {
    /// Declares the layers.
    #[track_caller]
    pub fn new(g: &'g Graph, config: &Config) -> Self {
        let widths: Vec<usize> = std::iter::once(config.pixels)
            .chain(config.hidden.iter().copied())
            .chain([config.code])
            .collect();
        Self { layers: chain(g, "encoder", &widths) }
    }

    /// The code of a batch: `[N, pixels]` to `[N, code]`.
    #[track_caller]
    pub fn forward(&self, x: Tensor<'g>) -> Tensor<'g> {
        x.graph().traced(|| self.layers.iter().fold(x, |h, layer| layer.forward(h).relu()))
    }

    /// The variables that are trained.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        self.layers.iter().flat_map(Linear::params).collect()
    }
}

/// An encoder and a decoder in a graph.
pub struct Autoencoder<'g> {
    config: Config,
    encoder: Encoder<'g>,
    decoder: Vec<Linear<'g>>,
}

impl<'g> Autoencoder<'g> {
    /// Declares the layers; the decoder's are `decoder.0`, `decoder.1`, ...
    #[track_caller]
    pub fn new(g: &'g Graph, config: &Config) -> Self {
        if !(0.0..=1.0).contains(&config.noise) {
            g.poison(format!("autoencoder: a share of {} of the pixels cannot be dropped", config.noise));
        }
        let widths: Vec<usize> = [config.code]
            .into_iter()
            .chain(config.hidden.iter().rev().copied())
            .chain([config.pixels])
            .collect();
        Self {
            config: config.clone(),
            encoder: Encoder::new(g, config),
            decoder: chain(g, "decoder", &widths),
        }
    }

    /// All variables that are trained.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        self.encoder.params().into_iter().chain(self.decoder.iter().flat_map(Linear::params)).collect()
    }

    /// The logits of a batch's restoration: `[N, pixels]` to `[N, pixels]`.
    #[track_caller]
    pub fn restore(&self, x: Tensor<'g>) -> Tensor<'g> {
        let code = self.encoder.forward(x);
        let (last, hidden) = self.decoder.split_last().expect("the decoder ends in the pixels");
        x.graph().traced(|| last.forward(hidden.iter().fold(code, |h, layer| layer.forward(h).relu())))
    }

    /// The cross-entropy in nats between a batch `[N, pixels]` in [0, 1] and its restoration, summed over the
    /// batch. `corrupt` drops pixels first, by the stream `autoencoder/mask`.
    #[track_caller]
    pub fn loss(&self, x: Tensor<'g>, corrupt: bool) -> Tensor<'g> {
        let seen = match corrupt && self.config.noise > 0.0 {
            true => x * x.graph().full(x.shape(), 1.0 - self.config.noise).bernoulli("autoencoder/mask"),
            false => x,
        };
        self.restore(seen).bce_with_logits(x).sum_all()
    }

    /// Records a step that minimises [`Autoencoder::loss`] of a corrupted batch `[N, pixels]` by an
    /// optimizer. Random stream: `autoencoder/mask`.
    #[track_caller]
    pub fn training_step(&self, x: Tensor<'g>, optimizer: &Optimizer) -> Metrics<'g> {
        let loss = self.loss(x, true);
        optimizer.clone().summed().step("autoencoder", loss, &self.params());
        vec![("loss", loss)]
    }
}

/// The encoder with a linear layer `classifier` on its code.
pub struct Classifier<'g> {
    encoder: Encoder<'g>,
    head: Linear<'g>,
}

impl<'g> Classifier<'g> {
    /// Declares the layers; the encoder's have the names that [`Autoencoder`] gives them.
    #[track_caller]
    pub fn new(g: &'g Graph, config: &Config, classes: usize) -> Self {
        Self { encoder: Encoder::new(g, config), head: Linear::new(g, "classifier", config.code, classes) }
    }

    /// All variables that are trained.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        self.encoder.params().into_iter().chain(self.head.params()).collect()
    }

    /// The logits of a batch's classes: `[N, pixels]` to `[N, classes]`.
    #[track_caller]
    pub fn forward(&self, x: Tensor<'g>) -> Tensor<'g> {
        self.head.forward(self.encoder.forward(x))
    }
}

/// Declares layers `NAME.0`, `NAME.1`, ... between these widths.
#[track_caller]
fn chain<'g>(g: &'g Graph, name: &str, widths: &[usize]) -> Vec<Linear<'g>> {
    let layer = |(i, w): (usize, &[usize])| Linear::new(g, &format!("{name}.{i}"), w[0], w[1]);
    g.traced(|| widths.windows(2).enumerate().map(layer).collect())
}

/// The number of rows of logits `[N, classes]` that are highest where the one-hot target says so; ties count.
#[track_caller]
pub fn correct<'g>(logits: Tensor<'g>, one_hot: Tensor<'g>) -> Tensor<'g> {
    let best = logits.max_over(&[1]).reshape([logits.extent(0), 1]);
    (logits.eq(best) * one_hot).sum_all()
}
