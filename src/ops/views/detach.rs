//! A tensor that derivatives take for a constant.

use super::Cotangents;
use crate::graph::{
    Tensor,
    op::{Class, Lowered, Lowering, Op},
    shape::{Array, Type},
};

/// The input itself, without a derivative.
#[derive(Debug)]
pub struct Detach;

impl Op for Detach {
    fn name(&self) -> &'static str {
        "detach"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        Ok(inputs[0].clone())
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        inputs[0].clone()
    }

    fn vjp<'g>(&self, _: &[Tensor<'g>], _: Tensor<'g>, _: Tensor<'g>) -> Cotangents<'g> {
        vec![None]
    }

    fn lower(&self, _: &Lowering<'_>) -> Result<Lowered, String> {
        Err("a detached tensor aliases its input".into())
    }

    fn class(&self) -> Class {
        Class::Alias
    }
}

impl<'g> Tensor<'g> {
    /// The same tensor, which derivatives take for a constant.
    #[track_caller]
    #[must_use]
    pub fn detach(self) -> Tensor<'g> {
        self.graph().apply(Detach, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::{
        Graph, autodiff,
        reference::{self, Values},
        shape::{Array, Type},
    };

    #[test]
    fn derivatives_take_it_for_a_constant() {
        let g = Graph::new();
        let x = g.input("x", Type::f32([2]));
        let [half, none] = [x * x.detach(), x.detach().exp()].map(|y| autodiff::grad(y, &[x])[0]);
        g.output("half", half);
        g.output("none", none);
        let inputs = [("x".to_string(), Array::new([2], vec![3.0, -1.0]))].into();
        let out = reference::eval(&g, &inputs, &mut Values::new()).unwrap();
        assert_eq!((&out["half"].data[..], &out["none"].data[..]), (&[3.0, -1.0][..], &[0.0; 2][..]));
    }
}
