//! Convolutions as layers: plain, masked by channels, transposed. Images are channels-last.

use super::{
    Weight,
    weight::{Declared, Degrees, Spec},
};
use crate::graph::{
    Graph, Tensor,
    shape::{Shape, Type},
    var::{FileLayout, Init},
    window::Kernel,
};

/// Which channels of its own pixel an output sees, where the channels are in groups that follow each other:
/// red, green, blue (van den Oord et al. 2016a, §3.4). Channel i of n is in group ⌊i·groups/n⌋.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels {
    groups: usize,
    own: bool,
    copies: usize,
}

impl Channels {
    /// An output sees the channels of earlier groups (mask A): for the layer that sees the picture.
    pub fn before(groups: usize) -> Self {
        Self { groups, own: false, copies: 1 }
    }

    /// An output sees the channels of earlier groups and of its own group (mask B).
    pub fn up_to(groups: usize) -> Self {
        Self { own: true, ..Self::before(groups) }
    }

    /// The outputs are so many copies of the groups' channels, one after the other: the two halves of a gated
    /// unit.
    #[must_use]
    pub fn copies(self, copies: usize) -> Self {
        Self { copies, ..self }
    }

    /// Degrees of a kernel's inputs, tap by tap, and the degrees up to which its outputs see. All outputs see
    /// degree 0; at the kernel's centre, the channels of group i have degree i + 1. An example of three
    /// groups, with 3 channels read and 6 made:
    ///
    /// | | degrees |
    /// |---|---|
    /// | inputs at other taps | 0 0 0 |
    /// | inputs at the centre | 1 2 3 |
    /// | outputs of mask A see up to | 0 0 1 1 2 2 |
    /// | outputs of mask B see up to | 1 1 2 2 3 3 |
    fn degrees(self, kernel: &Kernel, [c, o]: [usize; 2]) -> [Vec<usize>; 2] {
        let group = |i: usize, n: usize| (i as u128 * self.groups as u128 / n as u128) as usize;
        let centre = kernel.size.map(|n| n / 2);
        let inputs = kernel
            .kept()
            .into_iter()
            .flat_map(|tap| (0..c).map(move |i| if tap == centre { group(i, c) + 1 } else { 0 }));
        let of_copy = o / self.copies;
        let outputs = (0..o).map(|i| group(i % of_copy, of_copy) + usize::from(self.own));
        [inputs.collect(), outputs.collect()]
    }
}

/// A convolution, `[N, H, W, C]` to `[N, H', W', O]` (`torch.nn.Conv2d`). Masked taps have no weights here
/// and are zeros in a weights file.
#[derive(Clone, Debug)]
pub struct Conv2d<'g> {
    declared: Declared<'g>,
    kernel: Kernel,
    /// The mask by channels, if there is one.
    degrees: Option<Degrees<'g>>,
}

/// A weight `[T, C, O]`; its first values, and those of a bias, are uniform within 1/√(fan_in·rows·columns).
fn spec(kernel: &Kernel, [c, o]: [usize; 2], fan_in: usize, axes: [usize; 2]) -> Spec {
    let (size, kept) = (kernel.size, kernel.kept());
    let (ty, init) =
        (Type::f32([kept.len(), c, o]), Init::fan_in(size.iter().fold(fan_in, |n, &s| n.saturating_mul(s))));
    Spec { ty, init, layout: FileLayout::Kernel { size, kept }, axes }
}

impl<'g> Conv2d<'g> {
    /// Declares the layer's variables, initialised as PyTorch does (uniform within 1/√(C·rows·columns));
    /// `channels` are C and O.
    #[track_caller]
    pub fn new(g: &'g Graph, name: &str, kernel: Kernel, channels: [usize; 2]) -> Self {
        Self::of(g, name, kernel, channels, Weight::Plain, true)
    }

    /// Declares a convolution over signals, images `[N, 1, L, C]`, as `torch.nn.Conv1d` has it: only the taps
    /// that take part count for the first values, and files hold the weight as `[O, C, taps]`.
    #[track_caller]
    pub fn over_signals(g: &'g Graph, name: &str, kernel: Kernel, channels: [usize; 2]) -> Self {
        let taps = kernel.kept().len();
        let (ty, init) =
            (Type::f32([taps, channels[0], channels[1]]), Init::fan_in(channels[0].saturating_mul(taps)));
        let spec = Spec { ty, init, layout: FileLayout::Line, axes: [2, 2] };
        Self {
            declared: Declared::new(g, name, Weight::Plain, spec, Some(channels[1])),
            kernel,
            degrees: None,
        }
    }

    /// Makes the layer with a weight of any kind, with a bias or without.
    #[track_caller]
    pub fn of(
        g: &'g Graph,
        name: &str,
        kernel: Kernel,
        channels: [usize; 2],
        weight: Weight,
        bias: bool,
    ) -> Self {
        let spec = spec(&kernel, channels, channels[0], [2, 2]);
        Self {
            declared: Declared::new(g, name, weight, spec, bias.then_some(channels[1])),
            kernel,
            degrees: None,
        }
    }

    /// [`Conv2d::new`] whose outputs see only some channels at the kernel's centre. A single group masks
    /// nothing: then mask A is the kernel's own ([`crate::graph::window::Taps`]). Masked channels keep
    /// weights that are never used, in files too, as PyTorch's masked convolutions do.
    #[track_caller]
    pub fn masked(g: &'g Graph, name: &str, kernel: Kernel, channels: [usize; 2], sees: Channels) -> Self {
        let copies = sees.copies;
        if sees.groups < 2 {
            return Self::new(g, name, kernel, channels);
        }
        if channels.contains(&0) || copies == 0 || !channels[1].is_multiple_of(copies) {
            g.poison(format!("conv2d: {channels:?} channels are not {copies} equal copies of any groups"));
            return Self::new(g, name, kernel, channels);
        }
        let [c, o] = channels;
        // No lists of degrees as long as what is refused.
        if Shape::from([kernel.kept().len(), c, o]).fault().is_some() {
            return Self::new(g, name, kernel, channels);
        }
        let [inputs, outputs] = sees.degrees(&kernel, channels);
        let degrees = Degrees::new(g, name, (&inputs, [inputs.len() / c, c, 1]), (&outputs, [1, 1, o]));
        Self { degrees: Some(degrees), ..Self::new(g, name, kernel, channels) }
    }

    /// Makes the layer under [`super::weight_norm`] with one norm for each output. The variables
    /// `NAME.weight_g` `[O, 1, 1, 1]` and `NAME.weight_v` (`[T, C, O]`, in files `[O, C, rows, columns]`)
    /// stand in place of the weight, which at first is v. Masked taps are not part of a norm.
    #[track_caller]
    pub fn weight_normed(g: &'g Graph, name: &str, kernel: Kernel, channels: [usize; 2]) -> Self {
        Self::of(g, name, kernel, channels, Weight::Normed, true)
    }

    /// The weight `NAME.weight`, `[T, C, O]`, in files `[O, C, rows, columns]`; it is computed where it is
    /// normalised.
    pub fn weight(&self) -> Tensor<'g> {
        self.declared.weight
    }

    /// The bias `NAME.bias`, `[O]`, if the layer has one.
    pub fn bias(&self) -> Option<Tensor<'g>> {
        self.declared.bias
    }

    /// Applies the layer.
    #[track_caller]
    pub fn forward(&self, x: Tensor<'g>) -> Tensor<'g> {
        self.declared.biased(x.conv2d(self.masked_weight(), &self.kernel))
    }

    /// Applies the layer, whose outputs are copies of the same channels one after the other, with the copies of
    /// each channel side by side.
    #[track_caller]
    pub(super) fn side_by_side(&self, x: Tensor<'g>, copies: usize) -> Tensor<'g> {
        let y = x.conv2d(self.masked_weight().side_by_side(copies), &self.kernel);
        self.declared.bias.map_or(y, |bias| y + bias.side_by_side(copies))
    }

    #[track_caller]
    fn masked_weight(&self) -> Tensor<'g> {
        let weight = self.declared.weight;
        self.degrees.map_or(weight, |degrees| degrees.mask(weight))
    }

    /// The variables that an optimizer trains.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        self.declared.params()
    }
}

/// A transposed convolution, `[N, H, W, I]` to `[N, H', W', O]` (`torch.nn.ConvTranspose2d`).
#[derive(Clone, Debug)]
pub struct ConvTranspose2d<'g> {
    declared: Declared<'g>,
    kernel: Kernel,
    extra: usize,
}

impl<'g> ConvTranspose2d<'g> {
    /// Declares the layer's variables, initialised as PyTorch does (uniform within 1/√(O·rows·columns));
    /// `channels` are I and O.
    #[track_caller]
    pub fn new(g: &'g Graph, name: &str, kernel: Kernel, channels: [usize; 2]) -> Self {
        Self::of(g, name, kernel, channels, Weight::Plain, true)
    }

    /// Makes the layer with a weight of any kind, with a bias or without.
    #[track_caller]
    pub fn of(
        g: &'g Graph,
        name: &str,
        kernel: Kernel,
        [i, o]: [usize; 2],
        weight: Weight,
        bias: bool,
    ) -> Self {
        let spec = spec(&kernel, [o, i], o, [2, 1]);
        Self { declared: Declared::new(g, name, weight, spec, bias.then_some(o)), kernel, extra: 0 }
    }

    /// Adds so many rows and columns to the output, fewer than the stride (PyTorch's `output_padding`).
    #[must_use]
    pub fn output_padding(self, extra: usize) -> Self {
        Self { extra, ..self }
    }

    /// The weight `NAME.weight`, `[T, O, I]`, in files `[I, O, rows, columns]`; it is computed where it is
    /// normalised.
    pub fn weight(&self) -> Tensor<'g> {
        self.declared.weight
    }

    /// The bias `NAME.bias`, `[O]`, if the layer has one.
    pub fn bias(&self) -> Option<Tensor<'g>> {
        self.declared.bias
    }

    /// Applies the layer.
    #[track_caller]
    pub fn forward(&self, x: Tensor<'g>) -> Tensor<'g> {
        self.declared.biased(x.conv2d_transposed(self.declared.weight, &self.kernel, self.extra))
    }

    /// The variables that an optimizer trains.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        self.declared.params()
    }
}
