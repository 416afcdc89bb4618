//! Layers: names and layouts as in PyTorch's state dicts, so that weights travel both ways unchanged.

use crate::{
    graph::{Graph, Tensor},
    ops::matmul::product,
    shape::Type,
    var::Init,
};

/// `y = x·Wᵀ + b` with weight `[outputs, inputs]` and bias `[outputs]` (`torch.nn.Linear`).
#[derive(Clone, Copy, Debug)]
pub struct Linear<'g> {
    /// `NAME.weight`, `[outputs, inputs]`.
    pub weight: Tensor<'g>,
    /// `NAME.bias`, `[outputs]`.
    pub bias: Tensor<'g>,
}

impl<'g> Linear<'g> {
    /// Declares the layer's variables, initialised as PyTorch does (uniform within 1/√inputs).
    #[track_caller]
    pub fn new(g: &'g Graph, name: &str, inputs: usize, outputs: usize) -> Self {
        let var = |part: &str, ty| g.var(&format!("{name}.{part}"), ty, Init::fan_in(inputs));
        Self { weight: var("weight", Type::f32([outputs, inputs])), bias: var("bias", Type::f32([outputs])) }
    }

    /// `[N, inputs]` to `[N, outputs]`.
    #[track_caller]
    pub fn forward(&self, x: Tensor<'g>) -> Tensor<'g> {
        product(x, self.weight, false, true) + self.bias
    }

    /// The variables that an optimizer trains.
    pub fn params(&self) -> [Tensor<'g>; 2] {
        [self.weight, self.bias]
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
