//! What a layer's weight is: a variable, or a value computed from variables that an optimizer trains in its
//! place.

use super::{mode::Mode, spectral_norm, weight_norm};
use crate::graph::{
    Graph, Tensor,
    shape::{Shape, Type},
    var::{FileLayout, Init},
};

/// What a layer's weight is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Weight {
    /// The variable `NAME.weight`.
    #[default]
    Plain,
    /// The weight is normalised by [`weight_norm::weight_norm`], with one norm for each output (PyTorch's
    /// axis 0). The variables `NAME.weight_g` and `NAME.weight_v` stand in place of the weight, which at
    /// first is v.
    Normed,
    /// The weight is normalised by [`spectral_norm::spectral_norm`]. `NAME.weight_orig` stands in place of
    /// the weight, and each training step iterates `NAME.weight_u` and `NAME.weight_v` once.
    Spectral(Mode),
}

/// A mask over a weight: an input takes part in an output where the input's degree is at most the degree up
/// to which the output sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Degrees<'g> {
    /// The inputs' degrees.
    of: Tensor<'g>,
    /// The degrees up to which outputs see.
    sees: Tensor<'g>,
}

impl<'g> Degrees<'g> {
    /// Declares `NAME.of` and `NAME.sees`, which hold degrees in shapes that broadcast to the weight's.
    #[track_caller]
    pub(super) fn new(
        g: &'g Graph,
        name: &str,
        of: (&[usize], impl Into<Shape>),
        sees: (&[usize], impl Into<Shape>),
    ) -> Self {
        let var = |part: &str, degrees: &[usize], shape: Shape| {
            let values = degrees.iter().map(|&d| d as f32).collect();
            g.var(&format!("{name}.{part}"), Type::f32(shape), Init::Values(values))
        };
        g.traced(|| Self { of: var("of", of.0, of.1.into()), sees: var("sees", sees.0, sees.1.into()) })
    }

    /// The weight with zeros where an input takes no part; masked weights get no gradient.
    #[track_caller]
    pub(super) fn mask(&self, weight: Tensor<'g>) -> Tensor<'g> {
        self.sees.ge(self.of).select(weight, 0.0)
    }
}

/// A layer's weight, its bias if it has one, and what an optimizer trains of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Declared<'g> {
    pub(super) weight: Tensor<'g>,
    pub(super) bias: Option<Tensor<'g>>,
    trained: [Option<Tensor<'g>>; 3],
}

/// A weight's variable: its type, its first values (also the bias's), its layout in files, and the axes that
/// norms are taken for (of [`Weight::Normed`] and of [`Weight::Spectral`]).
pub(super) struct Spec {
    pub(super) ty: Type,
    pub(super) init: Init,
    pub(super) layout: FileLayout,
    pub(super) axes: [usize; 2],
}

impl<'g> Declared<'g> {
    /// Declares the variables; `bias` is its number of elements, if there is one.
    #[track_caller]
    pub(super) fn new(g: &'g Graph, name: &str, weight: Weight, spec: Spec, bias: Option<usize>) -> Self {
        g.claim_layer(name);
        let Spec { ty, init, layout, axes } = spec;
        let of_bias = init.clone();
        let (weight, [first, second]) = match weight {
            Weight::Plain => {
                let weight = g.param_in(&format!("{name}.weight"), ty, init, layout);
                (weight, [Some(weight), None])
            }
            Weight::Normed => {
                let (weight, trained) = weight_norm::declare(g, name, (ty, init, layout), axes[0]);
                (weight, trained.map(Some))
            }
            Weight::Spectral(mode) => {
                let (weight, trained) = spectral_norm::declare(g, name, (ty, init, layout), axes[1], mode);
                (weight, [Some(trained), None])
            }
        };
        let bias = g.traced(|| bias.map(|n| g.param(&format!("{name}.bias"), Type::f32([n]), of_bias)));
        Self { weight, bias, trained: [first, second, bias] }
    }

    pub(super) fn params(&self) -> Vec<Tensor<'g>> {
        self.trained.into_iter().flatten().collect()
    }

    /// `y` plus the bias, if there is one.
    #[track_caller]
    pub(super) fn biased(&self, y: Tensor<'g>) -> Tensor<'g> {
        match self.bias {
            Some(bias) => y + bias,
            None => y,
        }
    }
}
