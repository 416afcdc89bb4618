//! PixelRNN (van den Oord et al. 2016, "Pixel Recurrent Neural Networks"): p(x) = ∏ p(x_i | x_<i) over the
//! pixels in raster order, where LSTMs over rows or diagonals carry what came before.
//!
//! The network is table 1 of the paper: a 7x7 convolution with mask A, residual LSTM layers (§3.3, figure 5:
//! 2h channels through, h units within, a 1x1 convolution back up), and a head of 1x1 convolutions. Where a
//! pixel's channels are drawn one after another, features are in as many groups, and a group sees the
//! earlier ones at its own pixel (§3.4).

use super::{
    hint::{self, added},
    likelihood::Likelihood,
};
use crate::{
    graph::{
        Graph, Tensor,
        window::{Kernel, Taps},
    },
    nn::{Channels, Conv2d, PixelLstm},
    ops::recurrence::Order,
};

/// The kind of an LSTM layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Row LSTM (§3.1): a state sees this odd number of states of the row above, 3 in the paper. What a pixel
    /// sees is a triangle above it.
    Row(usize),
    /// Diagonal BiLSTM (§3.2): two LSTMs over diagonals, from the left and from the right. A pixel sees all
    /// pixels before it, with one exception: far from the right edge it does not see the last pixel of the row
    /// above. Mask A hides each pixel from its own features, so that only the first 7x7 window sees that one.
    Diagonal,
}

/// The network's architecture.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The rows, columns and channels of an image.
    pub image: [usize; 3],
    /// The kind of all LSTM layers.
    pub cell: Cell,
    /// h, the units of an LSTM, which runs on 2h channels.
    pub features: usize,
    /// The number of LSTM layers.
    pub layers: usize,
    /// The channels of the head's hidden layer.
    pub head: usize,
    /// The distribution of a pixel.
    pub likelihood: Likelihood,
    /// The network over hints, if the model is given some.
    pub hint: Option<hint::Config>,
}

/// A residual layer.
struct Layer<'g> {
    /// One LSTM over rows, or those from the left and from the right.
    lstms: Vec<PixelLstm<'g>>,
    /// The 1x1 convolution from h channels to 2h.
    up: Conv2d<'g>,
}

impl<'g> Layer<'g> {
    /// The states of both directions together. Those from the right have seen pixels that come later in their
    /// row, so they are moved down by one row (§3.2).
    #[track_caller]
    fn states(&self, x: Tensor<'g>) -> Tensor<'g> {
        let rows = x.extent(1);
        let states = self.lstms[0].forward(x);
        match self.lstms.get(1) {
            Some(right) if rows > 1 => states + right.forward(x).shift(1, 1),
            _ => states,
        }
    }
}

/// The network in a graph.
pub struct PixelRnn<'g> {
    first: Conv2d<'g>,
    layers: Vec<Layer<'g>>,
    head: [Conv2d<'g>; 2],
    hint: Option<hint::Network<'g>>,
}

impl<'g> PixelRnn<'g> {
    /// Declares the variables: `first`, `layers.I.up`, `head.0` and `head.1`, each with `.weight` and `.bias`,
    /// those of `layers.I.lstm`, or of `layers.I.left` and `layers.I.right`; see [`PixelLstm::new`]; and those of
    /// [`hint::Network::new`], which adds to the features before the layers and after each.
    #[track_caller]
    pub fn new(g: &'g Graph, config: &Config) -> Self {
        let (c, h, twice) = (config.image[2], config.features, config.features.saturating_mul(2));
        let groups = config.likelihood.steps(c);
        let pointwise = |name: &str, channels| {
            Conv2d::masked(g, name, Kernel::square(1), channels, Channels::up_to(groups))
        };
        let lstms: Vec<(&str, Order)> = match config.cell {
            Cell::Row(k) => vec![("lstm", Order::Rows(k))],
            Cell::Diagonal => vec![("left", Order::Diagonals), ("right", Order::Mirrored)],
        };
        let layer = |i: usize| {
            let lstm = |&(name, order): &(&str, Order)| {
                PixelLstm::new(g, &format!("layers.{i}.{name}"), order, [twice, h], groups)
            };
            Layer {
                lstms: lstms.iter().map(lstm).collect(),
                up: pointwise(&format!("layers.{i}.up"), [h, twice]),
            }
        };
        // With channels in groups the centre takes part, of which a group sees the earlier ones.
        let before = if groups > 1 { Taps::MaskB } else { Taps::MaskA };
        let first = Kernel::same(7).taps(before);
        g.traced(|| Self {
            first: Conv2d::masked(g, "first", first, [c, twice], Channels::before(groups)),
            layers: (0..config.layers).map(layer).collect(),
            head: [
                pointwise("head.0", [twice, config.head]),
                pointwise("head.1", [config.head, config.likelihood.outputs(c)]),
            ],
            hint: config
                .hint
                .map(|hint| hint::Network::new(g, &hint, std::iter::repeat_n(twice, config.layers + 1))),
        })
    }

    /// All variables that are trained.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        let of_layer = |layer: &Layer<'g>| {
            layer.lstms.iter().flat_map(PixelLstm::params).chain(layer.up.params()).collect::<Vec<_>>()
        };
        let layers = self.layers.iter().flat_map(of_layer);
        self.first
            .params()
            .into_iter()
            .chain(layers)
            .chain(self.head.iter().flat_map(Conv2d::params))
            .chain(self.hint.iter().flat_map(hint::Network::params))
            .collect()
    }

    /// The parameters of p(x_i | x_<i): images `[N, H, W, C]` to `[N, H, W, outputs]` of the likelihood.
    #[track_caller]
    pub fn logits(&self, x: Tensor<'g>) -> Tensor<'g> {
        self.logits_hinted(x, None)
    }

    /// [`PixelRnn::logits`] of pictures with hints `[N, H, W, C']`, if the model takes some.
    #[track_caller]
    pub fn logits_hinted(&self, x: Tensor<'g>, hint: Option<Tensor<'g>>) -> Tensor<'g> {
        let hinted = added(self.hint.as_ref(), hint, x.graph());
        x.graph().traced(|| {
            let layer = |x: Tensor<'g>, (i, layer): (usize, &Layer<'g>)| {
                hinted(i + 1, x + layer.up.forward(layer.states(x)))
            };
            let features = self.layers.iter().enumerate().fold(hinted(0, self.first.forward(x)), layer);
            self.head.iter().fold(features, |x, layer| layer.forward(x.relu()))
        })
    }
}
