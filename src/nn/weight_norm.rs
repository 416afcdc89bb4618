//! Weight normalisation (Salimans & Kingma 2016): the length and the direction of a weight vector are
//! parameters of their own, w = g/‖v‖·v (eq. 2). It is a composition of ops, so that derivatives of every
//! order follow. The derivative by v is orthogonal to v (eq. 3).

use crate::graph::{
    Graph, Tensor,
    shape::{Shape, Type},
    var::{FileLayout, Init},
};

/// What is added to ‖v‖², so that a vector of zeros stays one instead of becoming NaN. It is far below the
/// square of any weight's rounding, and large enough for 1/‖v‖³, which second derivatives have, to be finite
/// in f32.
const TINY: f32 = 1e-24;

/// g/‖v‖·v with norms over `axes` of `v` (all but that of the outputs), ‖v‖ = √(Σv² + 1e-24). `g` has one
/// element for each norm, in any shape. The result has the shape of `v`.
#[track_caller]
#[must_use]
pub fn weight_norm<'g>(v: Tensor<'g>, g: Tensor<'g>, axes: &[usize]) -> Tensor<'g> {
    let squares = v.square().sum(axes);
    let mut kept = v.shape().to_vec();
    kept.iter_mut().enumerate().filter(|(d, _)| axes.contains(d)).for_each(|(_, n)| *n = 1);
    let kept = Shape::from(kept);
    if g.shape().numel() != kept.numel() {
        let what = format!(
            "weight_norm: {:?} has the norms {kept:?} over axes {axes:?}, but g is {:?}",
            v.shape(),
            g.shape()
        );
        return v.graph().poison(what);
    }
    v * (g.reshape(kept.clone()) / (squares + TINY).sqrt().reshape(kept))
}

/// Declares `NAME.weight_g` and `NAME.weight_v`, as `torch.nn.utils.weight_norm` names them and lays them
/// out; `outputs` is the axis of the outputs in v. At first, g is ‖v‖ and the weight is v. Returns the weight
/// and both variables.
#[track_caller]
pub(super) fn declare<'g>(
    graph: &'g Graph,
    name: &str,
    (ty, init, layout): (Type, Init, FileLayout),
    outputs: usize,
) -> (Tensor<'g>, [Tensor<'g>; 2]) {
    let (g, v) = (format!("{name}.weight_g"), format!("{name}.weight_v"));
    let mut norms = vec![1; layout.shape(&ty.shape).len()];
    norms[0] = ty.shape[outputs];
    let inner = Shape::from(&ty.shape[outputs + 1..]).numel();
    let first = Init::Norms { of: v.clone(), init: Box::new(init.clone()), len: ty.shape.numel(), inner };
    let axes: Vec<usize> = (0..ty.shape.len()).filter(|&d| d != outputs).collect();
    let (g, v) = (graph.param(&g, Type::f32(norms), first), graph.param_in(&v, ty, init, layout));
    (weight_norm(v, g, &axes), [g, v])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{
        autodiff,
        reference::{self, Values},
        shape::Array,
    };

    fn eval(graph: &Graph, inputs: &[(&str, Array)]) -> Values {
        let inputs = inputs.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
        reference::eval(graph, &inputs, &mut Values::new()).unwrap()
    }

    #[test]
    fn lengths_are_g_and_directions_v() {
        let g = Graph::new();
        let (v, length) = (g.input("v", Type::f32([3, 2])), g.input("g", Type::f32([3, 1])));
        g.output("w", weight_norm(v, length, &[1]));
        g.output(
            "columns",
            weight_norm(v, length.reshape([3]).reshape([1, 3]).sum(&[1]).broadcast_to([2]), &[0]),
        );
        let v = Array::new([3, 2], vec![3.0, 4.0, 0.0, 0.0, -5.0, 12.0]);
        let out = eval(&g, &[("v", v), ("g", Array::new([3, 1], vec![10.0, 7.0, -1.0]))]);
        let near =
            |got: &Array, want: [f64; 6]| got.data.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(near(&out["w"], [6.0, 8.0, 0.0, 0.0, 5.0 / 13.0, -12.0 / 13.0]), "{:?}", out["w"]);
        let [a, b] = [34f64, 160.0].map(|squares| 16.0 / squares.sqrt());
        assert!(
            near(&out["columns"], [3.0 * a, 4.0 * b, 0.0, 0.0, -5.0 * a, 12.0 * b]),
            "{:?}",
            out["columns"]
        );
    }

    /// Eq. 3: the gradient by g is the gradient by w along v. The gradient by v is orthogonal to v, and
    /// finite where v is 0.
    #[test]
    fn gradients_are_those_of_the_paper() {
        let graph = Graph::new();
        let (v, g) = (graph.input("v", Type::f32([2, 3])), graph.input("g", Type::f32([2])));
        let w = weight_norm(v, g, &[1]);
        let [dv, dg] = autodiff::vjp(w, graph.input("dw", Type::f32([2, 3])), &[v, g])[..] else {
            unreachable!("two gradients")
        };
        graph.output("dv", dv);
        graph.output("dg", dg);
        let (v, dw) = ([1.0, -2.0, 2.0, 0.0, 0.0, 0.0], [0.5, 1.0, -3.0, 1.0, 1.0, 1.0]);
        let array = |data: [f64; 6]| Array::new([2, 3], data.to_vec());
        let out = eval(&graph, &[("v", array(v)), ("dw", array(dw)), ("g", Array::new([2], vec![1.5, 2.0]))]);
        assert!((out["dg"].data[0] - -2.5).abs() < 1e-12 && out["dg"].data[1] == 0.0, "{:?}", out["dg"]);
        let along: f64 = (0..3).map(|i| v[i] * out["dv"].data[i]).sum();
        assert!(along.abs() < 1e-12 && out["dv"].data.iter().all(|d| d.is_finite()), "{:?}", out["dv"]);
        // g/‖v‖·(dw - dg·v/‖v‖)
        assert!((out["dv"].data[0] - 0.5 * (0.5 + 2.5 / 3.0)).abs() < 1e-12);
    }

    #[test]
    fn mistakes_are_named() {
        for (axes, length, expected) in
            [(&[1][..], 3, "has the norms [2x1] over axes [1], but g is [3]"), (&[2], 2, "not distinct axes")]
        {
            let graph = Graph::new();
            let _ =
                weight_norm(graph.input("v", Type::f32([2, 3])), graph.input("g", Type::f32([length])), axes);
            let error = graph.check().unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("weight_norm.rs"), "{error}");
        }
    }
}
