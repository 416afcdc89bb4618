//! LSTM layers over the pixels of images.

use super::{Channels, Conv2d};
use crate::{
    graph::{
        Graph, Tensor,
        shape::Type,
        var::{FileLayout, Init},
        window::{Kernel, Taps},
    },
    ops::recurrence::Order,
};

/// The gates of a unit: o, f, i, g.
const GATES: usize = 4;

/// An LSTM whose states are the pixels of an image: `[N, H, W, C]` to states `[N, H, W, U]` (van den Oord et al.
/// 2016, "Pixel Recurrent Neural Networks", §3.1 and §3.2). Each pixel's gates are the sum of the
/// input-to-state convolution, which sees the pixel and, row by row, some before it, and of the
/// state-to-state convolution over the states that [`Order`] names.
#[derive(Clone, Debug)]
pub struct PixelLstm<'g> {
    input: Conv2d<'g>,
    state: Tensor<'g>,
    order: Order,
}

impl<'g> PixelLstm<'g> {
    /// Declares the layer's variables, initialised as PyTorch's convolutions: `NAME.input.weight` and
    /// `NAME.input.bias` of the input-to-state convolution (1 x k with mask B row by row, 1 x 1 on diagonals),
    /// and `NAME.state.weight` `[T, U, 4U]` of the state-to-state convolution, in files `[4U, U, 1, k]` or
    /// `[4U, U, 2, 1]` (rows: the state above, the state beside). Outputs are the gates o, f, i, g, U channels
    /// each. `channels` are C and U, both in as many `groups` as a pixel has channels that are drawn one after
    /// another, or 1.
    #[track_caller]
    pub fn new(g: &'g Graph, name: &str, order: Order, channels: [usize; 2], groups: usize) -> Self {
        let [c, units] = channels;
        let (window, size) = match order {
            Order::Rows(k) => {
                let window = Kernel { size: [1, k], padding: [0, k / 2], ..Kernel::square(1) };
                (window.taps(Taps::MaskB), [1, k])
            }
            Order::Diagonals | Order::Mirrored => (Kernel::square(1), [2, 1]),
        };
        let (taps, gates) = (order.taps().len(), units.saturating_mul(GATES));
        let (ty, init) = (Type::f32([taps, units, gates]), Init::fan_in(units.saturating_mul(taps)));
        if groups == 0 || (groups > 1 && groups > c.min(units)) {
            g.poison(format!("lstm: {c} channels and {units} units cannot be in {groups} groups"));
        }
        let layout =
            FileLayout::Kernel { size, kept: (0..taps).map(|t| [t / size[1], t % size[1]]).collect() };
        let sees = Channels::up_to(groups).copies(GATES);
        g.traced(|| Self {
            input: Conv2d::masked(g, &format!("{name}.input"), window, [c, gates], sees),
            state: g.param_in(&format!("{name}.state.weight"), ty, init, layout),
            order,
        })
    }

    /// Applies the layer.
    #[track_caller]
    pub fn forward(&self, x: Tensor<'g>) -> Tensor<'g> {
        let gates = self.input.side_by_side(x, GATES);
        gates.lstm(self.state.side_by_side(GATES), self.order)
    }

    /// The variables that an optimizer trains.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        self.input.params().into_iter().chain([self.state]).collect()
    }
}

impl<'g> Tensor<'g> {
    /// The last axis, which holds this number of copies of some channels one after the other, with the copies of
    /// each channel side by side.
    #[track_caller]
    pub(super) fn side_by_side(self, copies: usize) -> Tensor<'g> {
        let shape = self.shape();
        let last = shape.last().copied().unwrap_or_default();
        let outer = shape.numel() / last.max(1);
        self.reshape([outer, copies, last / copies]).transpose(1, 2).reshape(shape)
    }
}
