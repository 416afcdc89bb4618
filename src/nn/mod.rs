//! Layers. Their names and layouts are those of PyTorch's state dicts, so that weights travel both ways
//! unchanged.

mod conv;
mod lstm;
mod minibatch;
mod mode;
mod norm;
mod sequential;
mod spectral_norm;
mod weight;
mod weight_norm;

pub use conv::{Channels, Conv2d, ConvTranspose2d};
pub use lstm::PixelLstm;
pub use minibatch::minibatch_stddev;
pub use mode::Mode;
pub use norm::{BatchNorm, InstanceNorm, LayerNorm};
pub use sequential::{Layer, Sequential};
pub use spectral_norm::spectral_norm;
pub use weight::Weight;
pub use weight_norm::weight_norm;

use crate::{
    graph::{
        Graph, Tensor,
        shape::Type,
        var::{FileLayout, Init},
    },
    ops::matmul::product,
};
use weight::{Declared, Degrees, Spec};

/// A linear layer `y = x·Wᵀ + b` with weight `[outputs, inputs]` and bias `[outputs]` (`torch.nn.Linear`).
#[derive(Clone, Copy, Debug)]
pub struct Linear<'g>(Declared<'g>);

impl<'g> Linear<'g> {
    /// Declares the layer's variables, initialised as PyTorch does (uniform within 1/√inputs).
    #[track_caller]
    pub fn new(g: &'g Graph, name: &str, inputs: usize, outputs: usize) -> Self {
        Self::of(g, name, [inputs, outputs], Weight::Plain, true)
    }

    /// Makes the layer under [`weight_norm`] with one norm for each output. The variables `NAME.weight_g`
    /// `[outputs, 1]` and `NAME.weight_v` `[outputs, inputs]` stand in place of the weight, which at first is
    /// v.
    #[track_caller]
    pub fn weight_normed(g: &'g Graph, name: &str, inputs: usize, outputs: usize) -> Self {
        Self::of(g, name, [inputs, outputs], Weight::Normed, true)
    }

    /// Makes the layer with a weight of any kind, with a bias or without; `features` are the numbers of
    /// inputs and outputs.
    #[track_caller]
    pub fn of(g: &'g Graph, name: &str, [inputs, outputs]: [usize; 2], weight: Weight, bias: bool) -> Self {
        let (ty, init) = (Type::f32([outputs, inputs]), Init::fan_in(inputs));
        let spec = Spec { ty, init, layout: FileLayout::Same, axes: [0, 0] };
        Self(Declared::new(g, name, weight, spec, bias.then_some(outputs)))
    }

    /// The weight `NAME.weight`, `[outputs, inputs]`; it is computed where it is normalised.
    pub fn weight(&self) -> Tensor<'g> {
        self.0.weight
    }

    /// The bias `NAME.bias`, `[outputs]`, if the layer has one.
    pub fn bias(&self) -> Option<Tensor<'g>> {
        self.0.bias
    }

    /// Applies the layer: `[N, inputs]` to `[N, outputs]`.
    #[track_caller]
    pub fn forward(&self, x: Tensor<'g>) -> Tensor<'g> {
        self.0.biased(product(x, self.0.weight, false, true))
    }

    /// The variables that an optimizer trains.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        self.0.params()
    }
}

/// A masked linear layer `y = x·(M ⊙ W)ᵀ + b`, where output i sees input j if `sees[i] ≥ of[j]`. The degrees
/// `sees` and `of` of the units write the masks of belief nets and of MADE (Germain et al. 2015, eq. 8 and
/// 9).
#[derive(Clone, Copy, Debug)]
pub struct MaskedLinear<'g> {
    linear: Linear<'g>,
    degrees: Degrees<'g>,
}

impl<'g> MaskedLinear<'g> {
    /// Declares the layer's variables; `of` are the inputs' degrees, and `sees` are the highest degrees that
    /// the outputs see.
    #[track_caller]
    pub fn new(g: &'g Graph, name: &str, of: &[usize], sees: &[usize]) -> Self {
        Self::of(g, name, of, sees, true)
    }

    /// Makes the layer with a bias or without.
    #[track_caller]
    pub fn of(g: &'g Graph, name: &str, of: &[usize], sees: &[usize], bias: bool) -> Self {
        let linear = Linear::of(g, name, [of.len(), sees.len()], Weight::Plain, bias);
        Self { linear, degrees: Degrees::new(g, name, (of, [1, of.len()]), (sees, [sees.len(), 1])) }
    }

    /// Applies the layer: `[N, inputs]` to `[N, outputs]`.
    #[track_caller]
    pub fn forward(&self, x: Tensor<'g>) -> Tensor<'g> {
        self.linear.0.biased(product(x, self.degrees.mask(self.linear.0.weight), false, true))
    }

    /// The variables that an optimizer trains.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        self.linear.params()
    }
}

/// A non-linearity between layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Activation {
    /// The function max(x, 0).
    #[default]
    Relu,
    /// The hyperbolic tangent.
    Tanh,
    /// x where it is positive, else x/5, the slope of DCGAN (Radford et al. 2015).
    LeakyRelu,
    /// The smooth log(1 + exp(x)).
    Softplus,
}

impl Activation {
    /// Applies the function.
    #[track_caller]
    pub fn apply<'g>(self, x: Tensor<'g>) -> Tensor<'g> {
        match self {
            Activation::Relu => x.relu(),
            Activation::Tanh => x.tanh(),
            Activation::LeakyRelu => x.leaky_relu(0.2),
            Activation::Softplus => x.softplus(),
        }
    }
}
