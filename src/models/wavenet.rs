//! WaveNet (van den Oord et al. 2016, "WaveNet: A Generative Model for Raw Audio"): p(x) = ∏ p(x_t | x_<t) over
//! the samples of a signal (eq. 1), where causal convolutions whose taps lie ever further apart see far back.
//!
//! A signal is an image of one row, `[N, 1, L, 1]`. Its values are k/255 of the 256 levels k of the μ-law
//! (§2.2), and the network sees each of them one-hot. The first convolution sees the two samples before the
//! one whose distribution is computed. Then come blocks of layers with dilations 1, 2, 4 … (§2.1). A layer is
//! a gated unit over two taps, z = tanh(W_f * x + V_fᵀ h) ⊙ σ(W_g * x + V_gᵀ h), where the class h takes part
//! in a conditional model (eq. 2 and 3, §2.3 and 2.5). A 1x1 convolution of z is added to what the layer saw;
//! another one skips to the head (§2.4): the sum over all layers, ReLU, 1x1, ReLU, 1x1, softmax over the
//! levels.

use super::likelihood::{LEVELS, Likelihood, level};
use crate::{
    graph::{
        Graph, Tensor,
        shape::Type,
        var::Init,
        window::{Kernel, Taps},
    },
    nn::{Conv2d, Linear},
};

/// The distribution of a sample: a softmax over 256 levels.
pub const LIKELIHOOD: Likelihood = Likelihood::Softmax;

/// The network's architecture.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The channels of the residual path and of the gated units.
    pub features: usize,
    /// The channels of the skip connections.
    pub skip: usize,
    /// The channels of the head's hidden layer.
    pub head: usize,
    /// The number of layers in a block, whose dilations are 1, 2, 4 …
    pub layers: usize,
    /// The number of blocks.
    pub blocks: usize,
    /// The number of classes that the model is conditioned on, if it is.
    pub classes: Option<usize>,
}

impl Config {
    /// The distances between the taps of the layers, in order.
    pub fn dilations(&self) -> Vec<usize> {
        let block = || (0..self.layers).map(|i| 1_usize.checked_shl(i as u32).unwrap_or(usize::MAX));
        (0..self.blocks).flat_map(|_| block()).collect()
    }

    /// The receptive field: how many samples before its own a distribution depends on.
    pub fn reach(&self) -> usize {
        self.dilations().into_iter().fold(2, usize::saturating_add)
    }
}

/// One layer.
struct Layer<'g> {
    /// The convolutions of both halves of the gate.
    gate: Conv2d<'g>,
    /// The shifts of both halves by the class.
    class: Option<Linear<'g>>,
    skip: Conv2d<'g>,
    /// The way on to the next layer; the last one has none.
    residual: Option<Conv2d<'g>>,
}

/// The network in a graph.
pub struct WaveNet<'g> {
    first: Conv2d<'g>,
    layers: Vec<Layer<'g>>,
    head: [Conv2d<'g>; 2],
    classes: Option<usize>,
}

/// A window of width 2 that keeps the signal's length: each sample sees the one `dilation` samples before it,
/// and itself.
fn causal(dilation: usize) -> Kernel {
    let kernel = Kernel { size: [1, 3], padding: [0, dilation], ..Kernel::square(1) };
    kernel.dilation(dilation).taps(Taps::Rect([0, 1], [0, 2]))
}

/// A window of width 2 over the samples before each one's own.
fn before() -> Kernel {
    Kernel { size: [1, 5], padding: [0, 2], ..Kernel::square(1) }.taps(Taps::Rect([0, 1], [0, 2]))
}

impl<'g> Layer<'g> {
    /// Applies the layer to x and gives what skips to the head, and what the next layer sees; `class` is one-hot,
    /// `[N, classes]`.
    fn forward(&self, x: Tensor<'g>, class: Option<Tensor<'g>>) -> (Tensor<'g>, Tensor<'g>) {
        let seen = self.gate.forward(x);
        let both = match (class, &self.class) {
            (Some(class), Some(layer)) => {
                let by = layer.forward(class);
                seen + by.reshape([by.extent(0), 1, 1, by.extent(1)])
            }
            _ => seen,
        };
        let p = both.extent(3) / 2;
        let z = both.slice(3, 0..p).gate(both.slice(3, p..2 * p));
        (self.skip.forward(z), self.residual.as_ref().map_or(x, |layer| x + layer.forward(z)))
    }

    fn params(&self) -> Vec<Tensor<'g>> {
        let convolutions = [&self.gate, &self.skip].into_iter().chain(&self.residual);
        convolutions.flat_map(Conv2d::params).chain(self.class.iter().flat_map(Linear::params)).collect()
    }
}

impl<'g> WaveNet<'g> {
    /// Declares the variables: `first`, `layers.I.gate`, `.skip`, `.residual` (but in the last layer; and
    /// `.class`), `head.0` and `head.1`, each with `.weight` and `.bias`. The layers of all blocks are counted
    /// through. In files, convolutions are those of `torch.nn.Conv1d`, `[O, C, taps]`.
    #[track_caller]
    pub fn new(g: &'g Graph, config: &Config) -> Self {
        let (p, twice) = (config.features, config.features.saturating_mul(2));
        let dilations = config.dilations();
        let pointwise = |name: &str, channels| Conv2d::over_signals(g, name, Kernel::square(1), channels);
        if dilations.is_empty() || config.layers > 16 {
            let (layers, blocks) = (config.layers, config.blocks);
            g.poison(format!(
                "wavenet: wants at least one block of 1 to 16 layers, got {blocks} of {layers}"
            ));
        }
        let layer = |(i, &dilation): (usize, &usize)| {
            let name = |part: &str| format!("layers.{i}.{part}");
            let last = i + 1 == dilations.len();
            Layer {
                gate: Conv2d::over_signals(g, &name("gate"), causal(dilation), [p, twice]),
                class: config.classes.map(|n| Linear::new(g, &name("class"), n, twice)),
                skip: pointwise(&name("skip"), [p, config.skip]),
                residual: (!last).then(|| pointwise(&name("residual"), [p, p])),
            }
        };
        g.traced(|| Self {
            first: Conv2d::over_signals(g, "first", before(), [LEVELS, p]),
            layers: dilations.iter().enumerate().map(layer).collect(),
            head: [
                pointwise("head.0", [config.skip, config.head]),
                pointwise("head.1", [config.head, LIKELIHOOD.outputs(1)]),
            ],
            classes: config.classes,
        })
    }

    /// All variables that are trained.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        let layers = self.layers.iter().flat_map(Layer::params);
        self.first
            .params()
            .into_iter()
            .chain(layers)
            .chain(self.head.iter().flat_map(Conv2d::params))
            .collect()
    }

    /// The logits of p(x_t | x_<t): signals `[N, 1, L, 1]`, and one-hot classes `[N, classes]` for a
    /// conditional model, to `[N, 1, L, 256]`.
    #[track_caller]
    pub fn logits(&self, x: Tensor<'g>, class: Option<Tensor<'g>>) -> Tensor<'g> {
        let shape = x.shape();
        let wrong = match (self.classes, class) {
            _ if shape.len() != 4 || shape[1] != 1 || shape[3] != 1 => {
                Some(format!("wants signals [N, 1, L, 1], got {shape:?}"))
            }
            (Some(n), None) => Some(format!("wants the classes one-hot, [N, {n}], got none")),
            (None, Some(class)) => Some(format!("is not conditioned on classes, got {class:?}")),
            _ => None,
        };
        if let Some(wrong) = wrong {
            return x.graph().poison(format!("wavenet: {wrong}"));
        }
        x.graph().traced(|| {
            let levels = (0..LEVELS).map(|k| k as f32).collect();
            let levels = x.graph().var("levels", Type::f32([LEVELS]), Init::Values(levels));
            let mut x = self.first.forward(level(x).eq(levels));
            let mut skipped: Option<Tensor<'g>> = None;
            for layer in &self.layers {
                let (skip, next) = layer.forward(x, class);
                skipped = Some(skipped.map_or(skip, |sum| sum + skip));
                x = next;
            }
            let sum = skipped.unwrap_or(x);
            self.head.iter().fold(sum, |x, layer| layer.forward(x.relu()))
        })
    }
}
