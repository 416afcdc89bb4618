//! What a game asks of the networks that play it: a generator and a discriminator, which may be told classes
//! (Mirza & Osindero 2014).

use crate::{
    graph::{Graph, Tensor},
    nn::{Activation, Layer, Mode, Sequential, Weight},
};

/// What a player's layers depend on besides the kind of network.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The rows, columns and channels that the networks work with.
    pub canvas: [usize; 3],
    /// The number of classes that the players are told; 0 tells none.
    pub classes: usize,
    /// The channels of the pictures that the players are given; 0 gives none.
    pub hint: usize,
    /// The numbers that the discriminator gives a picture: one score, or a logit for each class that it tells apart.
    pub scores: usize,
    /// What the discriminator's weights are.
    pub weight: Weight,
    /// Whether the network is trained or evaluated.
    pub mode: Mode,
    /// Whether the discriminator's gradient is penalised, so that it must treat pictures one by one.
    pub penalty: bool,
    /// Changes of the layers.
    pub tricks: Tricks,
}

/// Changes of the players' layers, which are tricks of the trade (Chintala et al. 2016, "How to Train a GAN?",
/// <https://github.com/soumith/ganhacks>).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tricks {
    /// The non-linearity of the discriminator's hidden layers.
    pub activation: Activation,
    /// What normalises the discriminator's hidden layers, for networks that have a choice; `None` is what suits the
    /// rules.
    pub norm: Option<Norm>,
    /// Whether [`minibatch_stddev`](crate::nn::minibatch_stddev) stands before the discriminator's last layer.
    pub stddev: bool,
    /// The share of units that dropout takes from the generator's first three hidden layers, in training and whenever
    /// pictures are drawn (Isola et al. 2017, §3.2.1).
    pub dropout: f32,
    /// The standard deviation of noise on the discriminator's hidden units in training (Salimans et al. 2016, whose
    /// code has 0.5).
    pub noise: f32,
}

impl Default for Tricks {
    fn default() -> Self {
        Self { activation: Activation::LeakyRelu, norm: None, stddev: false, dropout: 0.0, noise: 0.0 }
    }
}

impl Tricks {
    /// A generator's chain, with dropout behind its hidden layer number `hidden`, counted from 0. Each mode has a
    /// stream of its own, since both players' steps draw.
    pub(super) fn dropped<'g>(&self, chain: Sequential<'g>, hidden: usize, mode: Mode) -> Sequential<'g> {
        if self.dropout == 0.0 || hidden >= 3 {
            return chain;
        }
        let mode = match mode {
            Mode::Training => "training",
            Mode::Batch => "batch",
            Mode::Evaluation => "evaluation",
        };
        chain.with(|name| Layer::Dropout { stream: format!("{name}.{mode}"), rate: self.dropout })
    }

    /// A discriminator's chain with noise behind a hidden layer. The layer is there in evaluation too, since layers
    /// are named by their places.
    pub(super) fn disturbed<'g>(&self, chain: Sequential<'g>, mode: Mode) -> Sequential<'g> {
        if self.noise == 0.0 {
            return chain;
        }
        let sigma = if mode == Mode::Evaluation { 0.0 } else { self.noise };
        chain.with(|name| Layer::Noise { stream: name.into(), sigma })
    }

    /// A discriminator's chain before its last layer, and how many channels follow from so many.
    pub(super) fn compared<'g>(&self, chain: Sequential<'g>, channels: usize) -> (Sequential<'g>, usize) {
        if self.stddev { (chain.with(|_| Layer::MinibatchStddev), channels + 1) } else { (chain, channels) }
    }
}

/// How hidden layers are normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// They are normalised over the batch, as in DCGAN's paper.
    Batch,
    /// They are normalised over each picture, for a critic under a gradient penalty (Gulrajani et al. 2017,
    /// §4).
    Layer,
    /// They are not normalised, for spectral normalisation.
    None,
}

impl Norm {
    /// The normalisation that suits a discriminator under a gradient penalty, under spectral normalisation,
    /// or under neither.
    pub fn suiting(penalty: bool, spectral: bool) -> Self {
        match (penalty, spectral) {
            (_, true) => Norm::None,
            (true, _) => Norm::Layer,
            _ => Norm::Batch,
        }
    }
}

/// A minibatch: real pictures, and what the players are told of them.
pub struct Batch<'g> {
    /// The pictures, `[N, …]` in [0, 1].
    pub real: Tensor<'g>,
    /// Their classes, one-hot `[N, classes]`, if the players are told some.
    pub class: Option<Tensor<'g>>,
    /// The pictures that the players are given, `[N, rows, columns, hint]` in [0, 1], if they are.
    pub hint: Option<Tensor<'g>>,
}

impl<'g> From<(Tensor<'g>, Option<Tensor<'g>>)> for Batch<'g> {
    fn from((real, class): (Tensor<'g>, Option<Tensor<'g>>)) -> Self {
        Self { real, class, hint: None }
    }
}

/// The generator's networks.
pub(super) struct Generator<'g> {
    pub(super) encoder: Option<Sequential<'g>>,
    pub(super) main: Sequential<'g>,
}

impl<'g> Generator<'g> {
    pub(super) fn params(&self) -> Vec<Tensor<'g>> {
        self.main.params().into_iter().chain(self.encoder.iter().flat_map(Sequential::params)).collect()
    }
}

/// A kind of networks that can play.
pub trait Players {
    /// The dimensions of the noise.
    fn latent(&self) -> usize;

    /// The generator `NAME.main`: noise `[N, 1, 1, latent + classes]` to pictures in [-1, 1], `[N, H, W, C]`
    /// in any shape.
    #[track_caller]
    fn generator<'g>(&self, g: &'g Graph, name: &str, at: &Setting) -> Sequential<'g>;

    /// The encoder `NAME.encoder` of hints `[N, H, W, hint]` in [-1, 1] to what the generator takes beside its noise,
    /// `[N, 1, 1, code]`; `None` for players that take no hints.
    #[track_caller]
    fn encoder<'g>(&self, _: &'g Graph, _name: &str, _: &Setting) -> Option<Sequential<'g>> {
        None
    }

    /// The discriminator `NAME.main`: pictures, as [`Players::seen`] gives them, with a channel for each
    /// class and those of the hint, to their scores.
    #[track_caller]
    fn discriminator<'g>(&self, g: &'g Graph, name: &str, at: &Setting) -> Sequential<'g>;

    /// How the discriminator takes pictures `[N, H, W, C]`: with four axes, so that classes join the last
    /// one.
    #[track_caller]
    fn seen<'g>(&self, pictures: Tensor<'g>) -> Tensor<'g> {
        pictures
    }
}

/// A picture, or noise as a picture `[N, 1, 1, latent]`, with its classes, one-hot `[N, classes]`, as further
/// channels.
#[track_caller]
pub fn beside<'g>(x: Tensor<'g>, class: Option<Tensor<'g>>) -> Tensor<'g> {
    let Some(class) = class else { return x };
    let ([n, h, w], classes) = ([0, 1, 2].map(|axis| x.extent(axis)), class.extent(1));
    let planes = class.reshape([n, 1, 1, classes]).broadcast_to([n, h, w, classes]);
    x.graph().concat(&[x, planes], 3)
}
