//! Spectral normalisation (Miyato et al. 2018): a weight matrix divided by its largest singular value. Power
//! iteration approaches that value by one iteration in each training step, since the weight changes little in
//! between (algorithm 1). The singular vectors count as constants of the derivative (eq. 12).

use super::mode::Mode;
use crate::graph::{
    Graph, Tensor,
    shape::Type,
    var::{FileLayout, Init, Role, VarSpec},
};

/// The least norm that is divided by.
const TINY: f32 = 1e-12;

/// The vector of length 1, x/‖x‖.
#[track_caller]
fn unit(x: Tensor<'_>) -> Tensor<'_> {
    x / x.square().sum_all().sqrt().max(TINY)
}

/// W/σ for σ = uᵀ·W·v, and the next u and v. W is `weight` as a matrix whose rows lie along its axis
/// `outputs`; u has one number for each row, and v has the weight's shape with 1 along that axis. There is no
/// derivative by u and v.
///
/// In training, v is Wᵀu/‖Wᵀu‖ and then u is W·v/‖W·v‖, one power iteration. Evaluation takes the kept u and
/// v, each divided by its length, as `torch.nn.utils.spectral_norm` does. [`Mode::Batch`] takes the kept u and
/// the v that follows from it.
#[track_caller]
#[must_use]
pub fn spectral_norm<'g>(
    weight: Tensor<'g>,
    [u, v]: [Tensor<'g>; 2],
    outputs: usize,
    mode: Mode,
) -> [Tensor<'g>; 3] {
    let shape = weight.shape();
    let (mut row, mut rest) = (vec![1; shape.len()], shape.to_vec());
    if outputs < shape.len() {
        (row[outputs], rest[outputs]) = (shape[outputs], 1);
    }
    let rows = Type::f32([shape.get(outputs).copied().unwrap_or(0)]);
    if outputs >= shape.len() || u.ty() != rows || v.ty() != Type::f32(rest.clone()) {
        let what =
            format!("spectral_norm: {shape:?} has rows along axis {outputs}, but u is {u:?} and v {v:?}");
        return [weight.graph().poison(what); 3];
    }
    let others: Vec<usize> = (0..shape.len()).filter(|&d| d != outputs).collect();
    let v = match mode {
        Mode::Training | Mode::Batch => unit((weight * u.reshape(row)).sum(&[outputs])).reshape(rest),
        Mode::Evaluation => unit(v),
    }
    .detach();
    let along = (weight * v).sum(&others);
    let u = match mode {
        Mode::Training => unit(along),
        Mode::Batch | Mode::Evaluation => unit(u),
    }
    .detach();
    [weight / (along * u).sum_all(), u, v]
}

/// Declares `NAME.weight_orig`, `NAME.weight_u` and `NAME.weight_v`, as `torch.nn.utils.spectral_norm` names
/// them and lays them out; u and v are at first normal draws. Returns the weight and the variable that is
/// trained.
#[track_caller]
pub(super) fn declare<'g>(
    g: &'g Graph,
    name: &str,
    (ty, init, layout): (Type, Init, FileLayout),
    outputs: usize,
    mode: Mode,
) -> (Tensor<'g>, Tensor<'g>) {
    let kept = |part: &str, shape: Vec<usize>, layout| VarSpec {
        layout,
        ..VarSpec::new(format!("{name}.{part}"), Type::f32(shape), Init::Normal(0.0, 1.0), Role::Buffer)
    };
    let mut rest = ty.shape.to_vec();
    let u = g.declare(kept("weight_u", vec![rest[outputs]], FileLayout::Same));
    rest[outputs] = 1;
    let v = g.declare(kept("weight_v", rest, FileLayout::Row(Box::new(layout.clone()))));
    let original = g.param_in(&format!("{name}.weight_orig"), ty, init, layout);
    let [weight, next_u, next_v] = spectral_norm(original, [u, v], outputs, mode);
    if mode == Mode::Training {
        g.assign(u, next_u);
        g.assign(v, next_v);
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
            let rest = if outputs == 0 { [1, 2] } else { [2, 1] };
            let u = g.var("u", Type::f32([2]), Init::Constant(1.0));
            let v = g.var("v", Type::f32(rest), Init::Zeros);
            let w = g.input("w", Type::f32([2, 2]));
            let [w, next_u, next_v] = spectral_norm(w, [u, v], outputs, Mode::Training);
            g.output("w", w);
            g.assign(u, next_u);
            g.assign(v, next_v);
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
            let (u, v) = (g.input("u", Type::f32([2])) * 3.0, g.input("v", Type::f32(rest)) * 0.5);
            let w = g.input("w", Type::f32([2, 2]));
            g.output("w", spectral_norm(w, [u, v], outputs, Mode::Evaluation)[0]);
            let kept = ["u", "v"].map(|name| (name.to_string(), state[name].clone()));
            let inputs = inputs.into_iter().chain(kept).collect();
            let w = &reference::eval(&g, &inputs, &mut Values::new()).unwrap()["w"];
            assert!((w.data[1] - 1.0).abs() < 1e-9, "{w:?}");
        }
    }

    /// Evaluation takes v from the state, not from u: here σ = 1·2·0.6 for the first row and column.
    #[test]
    fn evaluation_takes_the_kept_vectors() {
        let g = Graph::new();
        let [w, u, v] = [("w", &[2, 2][..]), ("u", &[2]), ("v", &[1, 2])]
            .map(|(name, shape)| g.input(name, Type::f32(shape)));
        g.output("w", spectral_norm(w, [u, v], 0, Mode::Evaluation)[0]);
        let values = [("w", vec![2.0, 0.0, 0.0, 1.0]), ("u", vec![1.0, 0.0]), ("v", vec![0.6, 0.8])];
        let shapes: [&[usize]; 3] = [&[2, 2], &[2], &[1, 2]];
        let inputs = values.into_iter().zip(shapes).map(|((n, x), s)| (n.to_string(), Array::new(s, x)));
        let w = &reference::eval(&g, &inputs.collect(), &mut Values::new()).unwrap()["w"];
        assert!((w.data[0] - 2.0 / 1.2).abs() < 1e-12 && (w.data[3] - 1.0 / 1.2).abs() < 1e-12, "{w:?}");
    }

    /// v in a file goes over PyTorch's axes of the weight but that of the outputs, in their order.
    #[test]
    fn v_lies_in_files_as_pytorch_has_it() {
        let kernel = FileLayout::Kernel { size: [1, 2], kept: vec![[0, 0], [0, 1]] };
        let row = FileLayout::Row(Box::new(kernel));
        // A convolution's [T, C, 1] becomes [C·rows·columns], a transposed one's [T, 1, I] likewise.
        for shape in [[2, 3, 1], [2, 1, 3]] {
            assert_eq!((row.shape(&shape), row.places(&shape)), (vec![6], vec![0, 2, 4, 1, 3, 5]));
        }
    }

    #[test]
    fn mistakes_are_named() {
        let g = Graph::new();
        let [w, u] = [("w", &[2, 3][..]), ("u", &[2])].map(|(name, shape)| g.input(name, Type::f32(shape)));
        let _ = spectral_norm(w, [u, w], 1, Mode::Training);
        let error = g.check().unwrap_err().to_string();
        assert!(
            error.contains("has rows along axis 1, but u is") && error.contains("spectral_norm.rs"),
            "{error}"
        );
    }
}
