//! What a game asks of the networks that play it: a generator and a discriminator, which may be told classes
//! (Mirza & Osindero 2014).

use crate::{
    graph::{Graph, Tensor},
    nn::{Mode, Sequential, Weight},
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
