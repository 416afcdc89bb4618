//! Spectral normalisation (Miyato et al. 2018): a weight matrix divided by its largest singular value. Power
//! iteration approaches that value by one iteration in each training step, since the weight changes little in
//! between (algorithm 1). The singular vectors count as constants of the derivative (eq. 12).

use super::mode::Mode;
use crate::graph::{
    Graph, Tensor,
    shape::Type,
    var::{FileLayout, Init},
};

/// The least norm that is divided by.
const TINY: f32 = 1e-12;

/// The vector of length 1, x/‖x‖.
#[track_caller]
fn unit(x: Tensor<'_>) -> Tensor<'_> {
    x / x.square().sum_all().sqrt().max(TINY)
}

/// W/σ for σ = u'ᵀ·W·v with v = Wᵀu/‖Wᵀu‖; u' is W·v/‖W·v‖ in training, else u/‖u‖. W is `weight` as a matrix
/// whose rows lie along its axis `outputs`, and u has one number for each row. Returns W/σ and u'; there is
/// no derivative by u.
#[track_caller]
#[must_use]
pub fn spectral_norm<'g>(weight: Tensor<'g>, u: Tensor<'g>, outputs: usize, mode: Mode) -> [Tensor<'g>; 2] {
    let shape = weight.shape();
    if shape.get(outputs).is_none_or(|&n| u.ty() != Type::f32([n])) {
        let what = format!("spectral_norm: {shape:?} has rows along axis {outputs}, but u is {u:?}");
        return [weight.graph().poison(what); 2];
    }
    let others: Vec<usize> = (0..shape.len()).filter(|&d| d != outputs).collect();
    let (mut row, mut rest) = (vec![1; shape.len()], shape.to_vec());
    (row[outputs], rest[outputs]) = (shape[outputs], 1);
    let v = unit((weight * u.reshape(row)).sum(&[outputs])).reshape(rest).detach();
    let along = (weight * v).sum(&others);
    let next = match mode {
        Mode::Training => unit(along),
        Mode::Batch | Mode::Evaluation => unit(u),
    }
    .detach();
    [weight / (along * next).sum_all(), next]
}

/// Declares `NAME.weight_orig` and `NAME.weight_u`, as `torch.nn.utils.spectral_norm` names them; u is at
/// first a normal draw. v is not kept, since u tells it. Returns the weight and the variable that is trained.
#[track_caller]
pub(super) fn declare<'g>(
    g: &'g Graph,
    name: &str,
    (ty, init, layout): (Type, Init, FileLayout),
    outputs: usize,
    mode: Mode,
) -> (Tensor<'g>, Tensor<'g>) {
    let u = g.buffer(&format!("{name}.weight_u"), Type::f32([ty.shape[outputs]]), Init::Normal(0.0, 1.0));
    let original = g.param_in(&format!("{name}.weight_orig"), ty, init, layout);
    let [weight, next] = spectral_norm(original, u, outputs, mode);
    if mode == Mode::Training {
        g.assign(u, next);
    }
    (weight, original)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{
        reference::{self, Values},
        shape::Array,
    };

    /// Steps approach the largest singular value, which is 2 for this matrix, whichever axis its rows lie
    /// along.
    #[test]
    fn iterations_approach_the_largest_singular_value() {
        for outputs in [0, 1] {
            let g = Graph::new();
            let u = g.var("u", Type::f32([2]), Init::Constant(1.0));
            let [w, next] = spectral_norm(g.input("w", Type::f32([2, 2])), u, outputs, Mode::Training);
            g.output("w", w);
            g.assign(u, next);
            let inputs: Values = [("w".to_string(), Array::new([2, 2], vec![0.0, 2.0, -0.5, 0.0]))].into();
            let mut state = reference::initial(&g, 1);
            let out: Vec<_> =
                (0..20).map(|_| reference::eval(&g, &inputs, &mut state).unwrap()["w"].clone()).collect();
            assert!((out[0].data[1] - 1.0).abs() > 1e-3, "one step is not enough");
            assert!(
                out[19].data.iter().zip([0.0, 1.0, -0.25, 0.0]).all(|(a, b)| (a - b).abs() < 1e-9),
                "{:?}",
                out[19]
            );
            // What is kept serves as it is, whatever its length.
            let g = Graph::new();
            let u = g.input("u", Type::f32([2]));
            g.output(
                "w",
                spectral_norm(g.input("w", Type::f32([2, 2])), u * 3.0, outputs, Mode::Evaluation)[0],
            );
            let inputs = inputs.into_iter().chain([("u".to_string(), state["u"].clone())]).collect();
            assert!(
                (reference::eval(&g, &inputs, &mut Values::new()).unwrap()["w"].data[1] - 1.0).abs() < 1e-9
            );
        }
    }

    #[test]
    fn mistakes_are_named() {
        let g = Graph::new();
        let _ =
            spectral_norm(g.input("w", Type::f32([2, 3])), g.input("u", Type::f32([2])), 1, Mode::Training);
        let error = g.check().unwrap_err().to_string();
        assert!(
            error.contains("has rows along axis 1, but u is") && error.contains("spectral_norm.rs"),
            "{error}"
        );
    }
}
