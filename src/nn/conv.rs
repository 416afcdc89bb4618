//! Convolutions as layers: plain, masked by channels, transposed. Images are channels-last.

use super::{
    Weight,
    weight::{Declared, Degrees, Spec},
};
use crate::graph::{
    Graph, Tensor,
    shape::Type,
    var::{FileLayout, Init},
    window::Kernel,
};

/// Which channels of its own pixel an output sees, where channels are in groups that follow each other: red, green, blue
/// (van den Oord et al. 2016a, §3.4). Channel i of n is in group ⌊i·groups/n⌋.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels {
    groups: usize,
    own: bool,
    copies: usize,
}

impl Channels {
    /// Those of earlier groups: mask A, of a layer that sees the picture.
    pub fn before(groups: usize) -> Self {
        Self { groups, own: false, copies: 1 }
    }

    /// Those of earlier groups and of its own: mask B.
    pub fn up_to(groups: usize) -> Self {
        Self { own: true, ..Self::before(groups) }
    }

    /// The outputs are the groups' channels so many times: both halves of gates.
    #[must_use]
    pub fn copies(self, copies: usize) -> Self {
        Self { copies, ..self }
    }
}

/// Convolution, `[N, H, W, C]` to `[N, H', W', O]` (`torch.nn.Conv2d`); masked taps have no weights here and are zeros in a
/// weights file.
#[derive(Clone, Debug)]
pub struct Conv2d<'g> {
    declared: Declared<'g>,
    kernel: Kernel,
    /// What each output sees: degrees of the inputs `[T, C, 1]`, and up to which an output looks, `[1, 1, O]`.
    degrees: Option<Degrees<'g>>,
}

/// A weight `[T, C, O]` whose first values, and those of a bias, are uniform within 1/√(fan_in·rows·columns).
fn spec(kernel: &Kernel, [c, o]: [usize; 2], fan_in: usize, axes: [usize; 2]) -> Spec {
    let (size, kept) = (kernel.size, kernel.kept());
    let (ty, init) = (Type::f32([kept.len(), c, o]), Init::fan_in(fan_in * size[0] * size[1]));
    Spec { ty, init, layout: FileLayout::Kernel { size, kept }, axes }
}

impl<'g> Conv2d<'g> {
    /// Declares the layer's variables, initialised as PyTorch does (uniform within 1/√(C·rows·columns)); `channels` are C and O.
    #[track_caller]
    pub fn new(g: &'g Graph, name: &str, kernel: Kernel, channels: [usize; 2]) -> Self {
        Self::of(g, name, kernel, channels, Weight::Plain, true)
    }

    /// The layer with a weight of any kind, with a bias or without.
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

    /// [`Conv2d::new`] that sees only some channels at its kernel's centre. Of a single group, before which there is nothing, mask A
    /// is the kernel's own ([`crate::graph::window::Taps`]), and `Channels::up_to(1)` masks nothing. Masked channels keep weights that
    /// are never used, in files too, as PyTorch's masked convolutions do.
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
        let ([c, o], centre) = (channels, kernel.size.map(|n| n / 2));
        // Degree 0 is seen by all; group i has degree i + 1.
        let group = |i: usize, n: usize| i * sees.groups / n;
        let of = kernel
            .kept()
            .into_iter()
            .flat_map(|tap| (0..c).map(move |i| if tap == centre { group(i, c) + 1 } else { 0 }));
        let of: Vec<usize> = of.collect();
        let n = o / sees.copies;
        let up_to: Vec<usize> = (0..o).map(|i| group(i % n, n) + usize::from(sees.own)).collect();
        let degrees = Degrees::new(g, name, (&of, [of.len() / c, c, 1]), (&up_to, [1, 1, o]));
        Self { degrees: Some(degrees), ..Self::new(g, name, kernel, channels) }
    }

    /// The layer under [`super::weight_norm`], one norm per output: `NAME.weight_g` `[O, 1, 1, 1]` and `NAME.weight_v`
    /// (`[T, C, O]`, in files `[O, C, rows, columns]`) in place of the weight, which at first is v. Masked taps are not part of a
    /// norm.
    #[track_caller]
    pub fn weight_normed(g: &'g Graph, name: &str, kernel: Kernel, channels: [usize; 2]) -> Self {
        Self::of(g, name, kernel, channels, Weight::Normed, true)
    }

    /// `NAME.weight`, `[T, C, O]`, in files `[O, C, rows, columns]`; computed where it is normalised.
    pub fn weight(&self) -> Tensor<'g> {
        self.declared.weight
    }

    /// `NAME.bias`, `[O]`, if the layer has one.
    pub fn bias(&self) -> Option<Tensor<'g>> {
        self.declared.bias
    }

    /// Applies it.
    #[track_caller]
    pub fn forward(&self, x: Tensor<'g>) -> Tensor<'g> {
        let weight = self.degrees.map_or(self.declared.weight, |degrees| degrees.mask(self.declared.weight));
        self.declared.biased(x.conv2d(weight, &self.kernel))
    }

    /// The variables that an optimizer trains.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        self.declared.params()
    }
}

/// Transposed convolution, `[N, H, W, I]` to `[N, H', W', O]` (`torch.nn.ConvTranspose2d`).
#[derive(Clone, Debug)]
pub struct ConvTranspose2d<'g> {
    declared: Declared<'g>,
    kernel: Kernel,
    extra: usize,
}

impl<'g> ConvTranspose2d<'g> {
    /// Declares the layer's variables, initialised as PyTorch does (uniform within 1/√(O·rows·columns)); `channels` are I and O.
    #[track_caller]
    pub fn new(g: &'g Graph, name: &str, kernel: Kernel, channels: [usize; 2]) -> Self {
        Self::of(g, name, kernel, channels, Weight::Plain, true)
    }

    /// The layer with a weight of any kind, with a bias or without.
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

    /// So many rows and columns more of the output, fewer than the stride (PyTorch's `output_padding`).
    #[must_use]
    pub fn output_padding(self, extra: usize) -> Self {
        Self { extra, ..self }
    }

    /// `NAME.weight`, `[T, O, I]`, in files `[I, O, rows, columns]`; computed where it is normalised.
    pub fn weight(&self) -> Tensor<'g> {
        self.declared.weight
    }

    /// `NAME.bias`, `[O]`, if the layer has one.
    pub fn bias(&self) -> Option<Tensor<'g>> {
        self.declared.bias
    }

    /// Applies it.
    #[track_caller]
    pub fn forward(&self, x: Tensor<'g>) -> Tensor<'g> {
        self.declared.biased(x.conv2d_transposed(self.declared.weight, &self.kernel, self.extra))
    }

    /// The variables that an optimizer trains.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        self.declared.params()
    }
}
