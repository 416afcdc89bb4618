//! Networks over hints: pictures that a model is given beside what it draws, such as the grey picture that it
//! colours (van den Oord et al. 2016b, §2.3).
//!
//! An unmasked network m makes features s = m(h) of the hint h, pixel by pixel, and to the features of each of the
//! model's layers k it adds V_k * s, a 1x1 convolution. Every pixel that is drawn sees the whole hint around it,
//! and only the pixels before it of what is drawn.
//!
//! Here m is a 3x3 convolution and residual layers, s + W * relu(s), of 3x3 windows with dilations 1, 2, 4, 8, and
//! again (Yu & Koltun 2016): with four layers it sees 16 pixels far.

use crate::{
    graph::{Graph, Tensor, window::Kernel},
    nn::{Conv2d, Weight},
};

/// The network's architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// C', the channels of a hint.
    pub channels: usize,
    /// The channels of s.
    pub features: usize,
    /// The number of residual layers.
    pub layers: usize,
}

/// The network in a graph.
pub struct Network<'g> {
    first: Conv2d<'g>,
    layers: Vec<Conv2d<'g>>,
    /// V_k, for each layer of the model.
    into: Vec<Conv2d<'g>>,
}

impl<'g> Network<'g> {
    /// Declares the variables for a model whose layers have so many features: `hint.first` and `hint.layers.I`,
    /// each with `.weight` and `.bias`, and `hint.into.K.weight`.
    #[track_caller]
    pub fn new(g: &'g Graph, config: &Config, features: impl IntoIterator<Item = usize>) -> Self {
        let f = config.features;
        let layer = |i: usize| {
            let dilation = 1 << (i % 4);
            let window = Kernel::square(3).dilation(dilation).padding(dilation);
            Conv2d::new(g, &format!("hint.layers.{i}"), window, [f, f])
        };
        let into = |(k, features): (usize, usize)| {
            let channels = [f, features];
            Conv2d::of(g, &format!("hint.into.{k}"), Kernel::square(1), channels, Weight::Plain, false)
        };
        g.traced(|| Self {
            first: Conv2d::new(g, "hint.first", Kernel::same(3), [config.channels, f]),
            layers: (0..config.layers).map(layer).collect(),
            into: features.into_iter().enumerate().map(into).collect(),
        })
    }

    /// All variables that are trained.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        std::iter::once(&self.first).chain(&self.layers).chain(&self.into).flat_map(Conv2d::params).collect()
    }

    /// What a hint `[N, H, W, C']` adds to the features of each of the model's layers, `[N, H, W, features]`.
    #[track_caller]
    pub fn forward(&self, hint: Tensor<'g>) -> Vec<Tensor<'g>> {
        hint.graph().traced(|| {
            let residual = |s: Tensor<'g>, layer: &Conv2d<'g>| s + layer.forward(s.relu());
            let s = self.layers.iter().fold(self.first.forward(hint), residual).relu();
            self.into.iter().map(|into| into.forward(s)).collect()
        })
    }
}

/// A function that adds to the features of a model's layer, which it gets by its number, what the hint says. Without
/// a network it adds nothing. The graph is poisoned where a hint is missing, or is given to a model that takes none.
#[track_caller]
pub(super) fn added<'g>(
    network: Option<&Network<'g>>,
    hint: Option<Tensor<'g>>,
    g: &'g Graph,
) -> impl Fn(usize, Tensor<'g>) -> Tensor<'g> {
    let added = match (network, hint) {
        (Some(network), Some(hint)) => network.forward(hint),
        (None, None) => vec![],
        (Some(_), None) => {
            g.poison("hint: the model wants a hint, [N, H, W, C'], got none");
            vec![]
        }
        (None, Some(hint)) => {
            g.poison(format!("hint: the model takes no hint, got {hint:?}"));
            vec![]
        }
    };
    move |k, x| added.get(k).map_or(x, |&by| x + by)
}
