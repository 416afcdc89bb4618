//! Layers: names and layouts as in PyTorch's state dicts, so that weights travel both ways unchanged.

mod weight_norm;

pub use weight_norm::weight_norm;

use crate::{
    graph::{Graph, Tensor},
    ops::{conv2d::Kernel, matmul::product},
    shape::Type,
    var::{Init, Layout},
};
use std::sync::Arc;

/// `y = x·Wᵀ + b` with weight `[outputs, inputs]` and bias `[outputs]` (`torch.nn.Linear`).
#[derive(Clone, Copy, Debug)]
pub struct Linear<'g> {
    /// `NAME.weight`, `[outputs, inputs]`; computed where it is normalised.
    pub weight: Tensor<'g>,
    /// `NAME.bias`, `[outputs]`.
    pub bias: Tensor<'g>,
    normed: Option<[Tensor<'g>; 2]>,
}

/// What an optimizer trains of a layer.
fn trained<'g>(weight: Tensor<'g>, normed: Option<[Tensor<'g>; 2]>, bias: Tensor<'g>) -> Vec<Tensor<'g>> {
    let mut params = normed.map_or(vec![weight], Vec::from);
    params.push(bias);
    params
}

impl<'g> Linear<'g> {
    /// Declares the layer's variables, initialised as PyTorch does (uniform within 1/√inputs).
    #[track_caller]
    pub fn new(g: &'g Graph, name: &str, inputs: usize, outputs: usize) -> Self {
        let var = |part: &str, ty| g.var(&format!("{name}.{part}"), ty, Init::fan_in(inputs));
        Self { weight: var("weight", Type::f32([outputs, inputs])), bias: var("bias", Type::f32([outputs])), normed: None }
    }

    /// The layer under [`weight_norm`], one norm per output: `NAME.weight_g` `[outputs, 1]` and `NAME.weight_v`
    /// `[outputs, inputs]` in place of the weight, which at first is v.
    #[track_caller]
    pub fn weight_normed(g: &'g Graph, name: &str, inputs: usize, outputs: usize) -> Self {
        let init = Init::fan_in(inputs);
        let (weight, normed) = weight_norm::declare(g, name, (Type::f32([outputs, inputs]), init.clone(), Layout::Same), 0);
        Self { weight, bias: g.var(&format!("{name}.bias"), Type::f32([outputs]), init), normed: Some(normed) }
    }

    /// `[N, inputs]` to `[N, outputs]`.
    #[track_caller]
    pub fn forward(&self, x: Tensor<'g>) -> Tensor<'g> {
        product(x, self.weight, false, true) + self.bias
    }

    /// The variables that an optimizer trains.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        trained(self.weight, self.normed, self.bias)
    }
}

/// `y = x·(M ⊙ W)ᵀ + b`, where output i sees input j as far as `sees[i] ≥ of[j]`: the masks of belief nets and of MADE
/// (Germain et al. 2015, eq. 8 and 9), written by the degrees of the units.
#[derive(Clone, Copy, Debug)]
pub struct MaskedLinear<'g> {
    linear: Linear<'g>,
    of: Tensor<'g>,
    sees: Tensor<'g>,
}

impl<'g> MaskedLinear<'g> {
    /// Declares the layer's variables; `of` are the inputs' degrees, `sees` the highest degree that each output sees.
    #[track_caller]
    pub fn new(g: &'g Graph, name: &str, of: &[usize], sees: &[usize]) -> Self {
        let degrees = |part: &str, values: &[usize], shape: [usize; 2]| {
            let values: Arc<[f32]> = values.iter().map(|&d| d as f32).collect();
            g.var(&format!("{name}.{part}"), Type::f32(shape), Init::Values(values))
        };
        Self {
            linear: Linear::new(g, name, of.len(), sees.len()),
            of: degrees("of", of, [1, of.len()]),
            sees: degrees("sees", sees, [sees.len(), 1]),
        }
    }

    /// `[N, inputs]` to `[N, outputs]`.
    #[track_caller]
    pub fn forward(&self, x: Tensor<'g>) -> Tensor<'g> {
        let weight = self.sees.ge(self.of).select(self.linear.weight, 0.0);
        product(x, weight, false, true) + self.linear.bias
    }

    /// The variables that an optimizer trains.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        self.linear.params()
    }
}

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

/// Convolution with a bias, `[N, H, W, C]` to `[N, H', W', O]` (`torch.nn.Conv2d`); masked taps have no weights here and
/// are zeros in a weights file.
#[derive(Clone, Debug)]
pub struct Conv2d<'g> {
    /// `NAME.weight`, `[T, C, O]`, in files `[O, C, rows, columns]`; computed where it is normalised.
    pub weight: Tensor<'g>,
    /// `NAME.bias`, `[O]`.
    pub bias: Tensor<'g>,
    normed: Option<[Tensor<'g>; 2]>,
    kernel: Kernel,
    /// What each output sees: degrees of the inputs `[T, C, 1]`, and up to which an output looks, `[1, 1, O]`.
    masks: Option<[Tensor<'g>; 2]>,
}

impl<'g> Conv2d<'g> {
    /// Declares the layer's variables, initialised as PyTorch does (uniform within 1/√(C·rows·columns)).
    #[track_caller]
    pub fn new(g: &'g Graph, name: &str, kernel: Kernel, channels: [usize; 2]) -> Self {
        let (ty, init, layout) = Self::declared(&kernel, channels);
        let bias = g.var(&format!("{name}.bias"), Type::f32([channels[1]]), init.clone());
        Self { weight: g.var_in(&format!("{name}.weight"), ty, init, layout), bias, normed: None, kernel, masks: None }
    }

    /// [`Conv2d::new`] that sees only some channels at its kernel's centre. Of a single group, before which there is nothing, mask A
    /// is the kernel's own ([`crate::ops::conv2d::Taps`]), and `Channels::up_to(1)` masks nothing. Masked channels keep weights that
    /// are never used, in files too, as PyTorch's masked convolutions do.
    #[track_caller]
    pub fn masked(g: &'g Graph, name: &str, kernel: Kernel, channels: [usize; 2], sees: Channels) -> Self {
        if sees.groups < 2 {
            return Self::new(g, name, kernel, channels);
        }
        let ([c, o], centre) = (channels, kernel.size.map(|n| n / 2));
        // Degree 0 is seen by all; group i has degree i + 1.
        let group = |i: usize, n: usize| i * sees.groups / n;
        let of = kernel.kept().into_iter().flat_map(|tap| (0..c).map(move |i| if tap == centre { group(i, c) + 1 } else { 0 }));
        let of: Arc<[f32]> = of.map(|d| d as f32).collect();
        let n = o / sees.copies;
        let up_to: Arc<[f32]> = (0..o).map(|i| (group(i % n, n) + usize::from(sees.own)) as f32).collect();
        let layer = Self::new(g, name, kernel, channels);
        let degrees = |part: &str, shape: [usize; 3], values| g.var(&format!("{name}.{part}"), Type::f32(shape), Init::Values(values));
        let masks = [degrees("of", [of.len() / c, c, 1], of), degrees("sees", [1, 1, o], up_to)];
        Self { masks: Some(masks), ..layer }
    }

    /// The layer under [`weight_norm`], one norm per output: `NAME.weight_g` `[O, 1, 1, 1]` and `NAME.weight_v` (`[T, C, O]`,
    /// in files `[O, C, rows, columns]`) in place of the weight, which at first is v. Masked taps are not part of a norm.
    #[track_caller]
    pub fn weight_normed(g: &'g Graph, name: &str, kernel: Kernel, channels: [usize; 2]) -> Self {
        let (ty, init, layout) = Self::declared(&kernel, channels);
        let bias = g.var(&format!("{name}.bias"), Type::f32([channels[1]]), init.clone());
        let (weight, normed) = weight_norm::declare(g, name, (ty, init, layout), 2);
        Self { weight, bias, normed: Some(normed), kernel, masks: None }
    }

    /// A weight's type, first values and layout in files.
    fn declared(kernel: &Kernel, [c, o]: [usize; 2]) -> (Type, Init, Layout) {
        let (size, kept) = (kernel.size, kernel.kept());
        (Type::f32([kept.len(), c, o]), Init::fan_in(c * size[0] * size[1]), Layout::Kernel { size, kept })
    }

    /// Applies it.
    #[track_caller]
    pub fn forward(&self, x: Tensor<'g>) -> Tensor<'g> {
        let weight = self.masks.map_or(self.weight, |[of, sees]| sees.ge(of).select(self.weight, 0.0));
        x.conv2d(weight, &self.kernel) + self.bias
    }

    /// The variables that an optimizer trains.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        trained(self.weight, self.normed, self.bias)
    }
}

/// Non-linearity between layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Activation {
    /// max(x, 0).
    #[default]
    Relu,
    /// Hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// Applies it.
    #[track_caller]
    pub fn apply<'g>(self, x: Tensor<'g>) -> Tensor<'g> {
        match self {
            Activation::Relu => x.relu(),
            Activation::Tanh => x.tanh(),
        }
    }
}
