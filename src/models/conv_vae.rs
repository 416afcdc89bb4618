//! The convolutional variational autoencoder: the objective of [`super::vae`] over the blocks of DCGAN
//! (Radford et al. 2015).
//!
//! Each layer of the encoder halves the image, by a 4x4 convolution of stride 2, and two linear layers read
//! mu and logvar off the last feature map. The decoder mirrors it: a linear layer projects z to that map, and
//! transposed convolutions double it up to the logits of the pixels. Batch norm is everywhere but where the
//! picture comes in or goes out. Names and layouts are those of `torch.nn.Sequential`s `encoder` and
//! `decoder` (which begins with the map's batch norm) and of `torch.nn.Linear`s `mu`, `logvar` and `project`.
//! Between them, maps are flattened as PyTorch does.

use crate::{
    graph::{Graph, Tensor, window::Kernel},
    nn::{Activation, BatchNorm, Conv2d, ConvTranspose2d, Layer, Linear, Mode, Sequential, Weight},
};

/// The architecture and the objective.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The rows, columns and channels of an image; both sides are multiples of 2 to the number of layers.
    pub image: [usize; 3],
    /// The channels that the encoder's layers make; the decoder mirrors them.
    pub widths: Vec<usize>,
    /// The number of latent dimensions.
    pub latent: usize,
    /// The weight of the KL term (Higgins et al. 2017); 1 is the evidence lower bound.
    pub beta: f32,
    /// The non-linearity of the hidden layers.
    pub activation: Activation,
}

impl Default for Config {
    /// The layers 28x28x1 to 14x14x32 to 7x7x64 to 20 latent dimensions, with ReLU.
    fn default() -> Self {
        Self { image: [28, 28, 1], widths: vec![32, 64], latent: 20, beta: 1.0, activation: Activation::Relu }
    }
}

/// An encoder and a decoder in a graph.
pub(super) struct Conv<'g> {
    image: [usize; 3],
    /// The rows, columns and channels of the last feature map.
    map: [usize; 3],
    encoder: Sequential<'g>,
    mu: Linear<'g>,
    logvar: Linear<'g>,
    project: Linear<'g>,
    decoder: Sequential<'g>,
}

impl<'g> Conv<'g> {
    /// Declares the layers.
    #[track_caller]
    pub(super) fn new(g: &'g Graph, config: &Config, mode: Mode) -> Self {
        let (widths, [h, w, _]) = (&config.widths, config.image);
        let scale = 1 << widths.len().min(usize::BITS as usize - 1);
        if widths.is_empty() || h % scale > 0 || w % scale > 0 {
            let (layers, advice) = (widths.len(), "give other images or another number of widths");
            g.poison(format!("conv_vae: {layers} layers want images whose sides are multiples of {scale}, not {h}x{w}; {advice}"));
        }
        let map = [h / scale, w / scale, widths.last().copied().unwrap_or(1)];
        let units = map.iter().product();
        let linear = |name: &str, inputs, outputs| Linear::new(g, name, inputs, outputs);
        g.traced(|| Self {
            image: config.image,
            map,
            encoder: encoder(g, config, mode),
            mu: linear("mu", units, config.latent),
            logvar: linear("logvar", units, config.latent),
            project: linear("project", config.latent, units),
            decoder: decoder(g, config, mode),
        })
    }

    /// The variables that are trained.
    pub(super) fn params(&self) -> Vec<Tensor<'g>> {
        let linear = [&self.mu, &self.logvar, &self.project].into_iter().flat_map(Linear::params);
        self.encoder.params().into_iter().chain(linear).chain(self.decoder.params()).collect()
    }

    /// The encoder: `[N, pixels]` to mu and logvar, each `[N, latent]`.
    #[track_caller]
    pub(super) fn encode(&self, x: Tensor<'g>) -> (Tensor<'g>, Tensor<'g>) {
        let (n, [h, w, c]) = (x.extent(0), self.image);
        let map = self.encoder.forward(x.reshape([n, h, w, c]));
        let units = map.permute(&[0, 3, 1, 2]).reshape([n, self.map.iter().product()]);
        (self.mu.forward(units), self.logvar.forward(units))
    }

    /// The decoder: `[N, latent]` to logits `[N, pixels]`.
    #[track_caller]
    pub(super) fn decode(&self, z: Tensor<'g>) -> Tensor<'g> {
        let (n, [h, w, c]) = (z.extent(0), self.map);
        let map = self.project.forward(z).reshape([n, c, h, w]).permute(&[0, 2, 3, 1]);
        self.decoder.forward(map).reshape([n, self.image.iter().product()])
    }
}

/// The kernel 4x4 of stride 2, which halves the rows, or doubles them where transposed.
fn halving() -> Kernel {
    Kernel::square(4).stride(2).padding(1)
}

/// The encoder's chain: images `[N, H, W, C]` to the last feature map.
#[track_caller]
fn encoder<'g>(g: &'g Graph, config: &Config, mode: Mode) -> Sequential<'g> {
    let (mut chain, mut c) = (Sequential::new("encoder"), config.image[2]);
    for (i, &o) in config.widths.iter().enumerate() {
        chain =
            chain.with(|name| Layer::Conv2d(Conv2d::of(g, name, halving(), [c, o], Weight::Plain, i == 0)));
        if i > 0 {
            chain = chain.with(|name| Layer::BatchNorm(BatchNorm::new(g, name, o, mode)));
        }
        (chain, c) = (chain.then(config.activation), o);
    }
    chain
}

/// The decoder's chain: the projected map to logits `[N, H, W, C]`.
#[track_caller]
fn decoder<'g>(g: &'g Graph, config: &Config, mode: Mode) -> Sequential<'g> {
    let mut chain = Sequential::new("decoder");
    for (i, &c) in config.widths.iter().enumerate().rev() {
        let o = if i == 0 { config.image[2] } else { config.widths[i - 1] };
        chain = chain.with(|name| Layer::BatchNorm(BatchNorm::new(g, name, c, mode))).then(config.activation);
        chain = chain.with(|name| {
            Layer::ConvTranspose2d(ConvTranspose2d::of(g, name, halving(), [c, o], Weight::Plain, i == 0))
        });
    }
    chain
}
