//! The networks of the two players: perceptrons or convolutions, of the room's own sizes or of a file's.

use crate::room::{DEEPEST, WIDEST};
use oneiro::{
    graph::{Graph, Tensor},
    models::{
        dcgan, gan,
        players::{Players, Setting},
    },
    nn::Sequential,
    weights::Weights,
};
use std::mem::discriminant;

/// The dimensions of the noise, where no file has others.
pub(super) const LATENT: usize = 32;
/// The rows and columns that convolutions work with.
pub(super) const CANVAS: usize = 32;

/// The networks of both players.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Networks {
    /// Layers that see all pixels at once (Goodfellow et al. 2014), of the generator's and of the discriminator's
    /// sizes; they learn the fastest on a processor.
    Perceptrons([gan::Networks; 2]),
    /// Convolutions (Radford et al. 2015).
    Convolutions(dcgan::Networks),
}

impl Networks {
    /// Perceptrons of the room's own sizes.
    pub(super) fn perceptrons() -> Self {
        Self::Perceptrons([(); 2].map(|()| gan::Networks::mirrored(LATENT, vec![256])))
    }

    /// The kinds of the room's own sizes, with their names.
    pub(super) fn kinds() -> [(Self, &'static str); 2] {
        let convolutions = dcgan::Networks { latent: LATENT, generator: 8, discriminator: 8 };
        [(Self::perceptrons(), "fully connected"), (Self::Convolutions(convolutions), "convolutions (DCGAN)")]
    }

    /// Whether both are perceptrons, or both convolutions.
    pub(super) fn alike(&self, other: &Self) -> bool {
        discriminant(self) == discriminant(other)
    }

    /// The networks that a file's weights seem to be of, by the shapes of their layers, if they are no larger than the
    /// room takes.
    pub(super) fn of(weights: &Weights) -> Option<Self> {
        let layers = ["generator", "discriminator"].map(|player| layers(weights, player));
        let [first, judge] = [*layers[0].first()?, *layers[1].first()?];
        let small = |widths: &[usize]| widths.iter().all(|width| (1..=WIDEST).contains(width));
        match *first {
            [_, latent] => {
                let outputs = layers.map(|layers| layers.iter().map(|shape| shape[0]).collect::<Vec<_>>());
                let [mine, other] = outputs.each_ref().map(|outputs| &outputs[..outputs.len() - 1]);
                let fits = |hidden: &[usize]| hidden.len() <= DEEPEST && small(hidden);
                // The discriminator's layers come in reverse.
                let [mine, other] = [mine.to_vec(), other.iter().rev().copied().collect()];
                (small(&[latent]) && fits(&mine) && fits(&other)).then(|| {
                    Self::Perceptrons([mine, other].map(|hidden| gan::Networks::mirrored(latent, hidden)))
                })
            }
            [latent, channels, ..] => {
                // Between 4x4 and the canvas, the discriminator's channels are doubled twice.
                let (generator, discriminator) = (channels / 8, judge[0]);
                small(&[latent, generator, channels, discriminator.saturating_mul(4)])
                    .then_some(Self::Convolutions(dcgan::Networks { latent, generator, discriminator }))
            }
            _ => None,
        }
    }
}

/// The shapes of a player's layers in their order, those of normalisation left out.
fn layers<'w>(weights: &'w Weights, player: &str) -> Vec<&'w [usize]> {
    let place = |name: &str| {
        let rest = name.strip_prefix(player)?.strip_prefix(".main.")?;
        // Spectral normalisation has the weight from which another one is computed.
        let (place, what) = rest.split_once('.')?;
        ["weight", "weight_orig"].contains(&what).then_some(place.parse::<usize>().ok()?)
    };
    let mut layers: Vec<_> = weights
        .iter()
        .filter(|(_, (shape, _))| shape.len() > 1)
        .filter_map(|(name, (shape, _))| Some((place(name)?, &shape[..])))
        .collect();
    layers.sort_unstable();
    layers.into_iter().map(|(_, shape)| shape).collect()
}

impl Players for Networks {
    fn latent(&self) -> usize {
        match self {
            Self::Perceptrons([of, _]) => of.latent,
            Self::Convolutions(of) => of.latent,
        }
    }

    fn generator<'g>(&self, g: &'g Graph, name: &str, at: &Setting) -> Sequential<'g> {
        match self {
            Self::Perceptrons([of, _]) => of.generator(g, name, at),
            Self::Convolutions(of) => of.generator(g, name, at),
        }
    }

    fn discriminator<'g>(&self, g: &'g Graph, name: &str, at: &Setting) -> Sequential<'g> {
        match self {
            Self::Perceptrons([_, of]) => of.discriminator(g, name, at),
            Self::Convolutions(of) => of.discriminator(g, name, at),
        }
    }

    fn seen<'g>(&self, pictures: Tensor<'g>) -> Tensor<'g> {
        match self {
            Self::Perceptrons([_, of]) => of.seen(pictures),
            Self::Convolutions(of) => of.seen(pictures),
        }
    }
}
