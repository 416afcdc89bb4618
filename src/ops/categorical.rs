//! Rows of a categorical distribution: the entry that an index picks, its derivative, and the index itself by
//! the inverse CDF of a given uniform number. Indices are whole numbers held as f32, so that a drawn level is
//! a pixel's value at once.
//!
//! [`Pick`] and [`Spread`] are each other's derivative, so that the pair is closed under differentiation.
//! Rows are `[R, K]`.

use super::random::inputs;
use crate::{
    graph::{
        Tensor,
        op::{LaunchSpec, Lowered, Lowering, Op, Operand, grid_1d},
        shape::{Array, DType, Type},
    },
    kernel::{Shader, caps::AdapterClass},
};

static SHADER: Shader = crate::shader!("categorical");
type Cotangents<'g> = Vec<Option<Tensor<'g>>>;

const WORKGROUP: usize = 64;
/// The largest number of classes of [`Pick`] and [`Spread`]: up to here, indices are exact in f32.
const MAX_INDEX: usize = 1 << 24;
/// The largest number of classes of [`DrawCategorical`]: its three loops must stay under 65,535 iterations together.
const MAX_CLASSES: usize = 4096;
/// The number of classes from which a GPU's workgroup shares a row.
const SHARED: usize = 32;
/// The logarithm of the smallest weight, relative to the largest one, that [`DrawCategorical`] does not take
/// for 0.
const FAINTEST: f64 = -80.0;

/// The entry of each row that its index names: `y[r] = x[r, index[r]]`, or 0 for an index out of range. The
/// inputs are x `[R, K]` and index `[R]`; there is no derivative by the index.
#[derive(Debug)]
pub struct Pick;

/// Each number at its index within a row of zeros: `y[r, k] = ct[r]` where k is `index[r]`, else 0. The
/// inputs are ct `[R]` and index `[R]`; there is no derivative by the index.
#[derive(Debug)]
pub struct Spread {
    /// K, the number of classes.
    pub classes: usize,
}

/// A draw per row: the smallest k with Σ_{j≤k} softmax(logits)_j > u. Where rounding leaves the sum below u,
/// it is the last k of nonzero probability. The inputs are logits `[R, K]` and u `[R]`. Probabilities under
/// e^-80 of the row's largest count as 0. There is no derivative.
#[derive(Debug)]
pub struct DrawCategorical;

/// Checks rows `[R, K]` that have one `what` each.
fn check_rows<'a>(types: &'a [Type], what: &str, most: usize) -> Result<&'a Type, String> {
    let [x, per_row] = inputs(types)?;
    match (x.dtype, x.shape.as_ref()) {
        (DType::F32, &[rows, classes]) if (1..=most).contains(&classes) && per_row == &Type::f32([rows]) => {
            Ok(per_row)
        }
        _ => Err(format!(
            "takes f32 rows [R, K] of 1 to {most} classes and one f32 {what} per row [R], got {x:?} and {per_row:?}"
        )),
    }
}

/// The class that an index means, if it is in range.
fn class(index: f64, classes: usize) -> Option<usize> {
    (index >= 0.0 && index < classes as f64).then_some(index as usize)
}

/// The first class whose cumulative softmax exceeds u, or the last class of nonzero weight if none does.
fn invert(logits: &[f64], u: f64) -> usize {
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> =
        logits.iter().map(|l| if l - top > FAINTEST { (l - top).exp() } else { 0.0 }).collect();
    let level = u * weights.iter().sum::<f64>();
    let mut sum = 0.0;
    let passed = weights.iter().position(|w| {
        sum += w;
        sum > level
    });
    passed.or(weights.iter().rposition(|&w| w > 0.0)).unwrap_or(0)
}

/// A launch of one invocation for each of `n` rows, elements or vec4s.
fn launch(entry: &'static str, n: usize, classes: usize, why: &'static str) -> LaunchSpec {
    LaunchSpec::new(&SHADER, entry, grid_1d(n.div_ceil(WORKGROUP)))
        .constant("WORKGROUP", WORKGROUP as f64)
        .dim("n", n)
        .dim("k", classes)
        .why(why)
}

impl Op for Pick {
    fn name(&self) -> &'static str {
        "pick"
    }

    fn infer(&self, types: &[Type]) -> Result<Type, String> {
        check_rows(types, "index", MAX_INDEX).cloned()
    }

    fn reference(&self, x: &[&Array]) -> Array {
        let classes = x[0].shape[1];
        Array::from_fn(x[1].shape.clone(), |r| {
            class(x[1].data[r], classes).map_or(0.0, |k| x[0].data[r * classes + k])
        })
    }

    fn vjp<'g>(&self, x: &[Tensor<'g>], _: Tensor<'g>, ct: Tensor<'g>) -> Cotangents<'g> {
        vec![Some(ct.spread(x[1], x[0].shape()[1])), None]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let rows = at.output.shape.numel();
        let launch = launch("pick", rows, at.inputs[0].shape[1], "one invocation per row");
        let launch =
            launch.bind("y", Operand::Output).bind("x", Operand::Input(0)).bind("index", Operand::Input(1));
        Ok(launch.cost(0, 12 * rows as u64).into())
    }
}

impl Op for Spread {
    fn name(&self) -> &'static str {
        "spread"
    }

    fn infer(&self, types: &[Type]) -> Result<Type, String> {
        let [ct, index] = inputs(types)?;
        match (ct.dtype, ct.shape.as_ref()) {
            (DType::F32, &[rows]) if ct == index && (1..=MAX_INDEX).contains(&self.classes) => {
                Ok(Type::f32([rows, self.classes]))
            }
            _ => {
                let k = self.classes;
                Err(format!(
                    "takes f32 [R], one f32 index per row [R] and 1 to {MAX_INDEX} classes, got {ct:?}, {index:?} and {k}"
                ))
            }
        }
    }

    fn reference(&self, x: &[&Array]) -> Array {
        let (rows, k) = (x[0].data.len(), self.classes);
        Array::from_fn([rows, k], |e| {
            if class(x[1].data[e / k], k) == Some(e % k) { x[0].data[e / k] } else { 0.0 }
        })
    }

    fn vjp<'g>(&self, x: &[Tensor<'g>], _: Tensor<'g>, ct: Tensor<'g>) -> Cotangents<'g> {
        vec![Some(ct.pick(x[1])), None]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let n = at.output.shape.numel();
        let (launch, y) = match self.classes.is_multiple_of(4) {
            true => (launch("spread4", n / 4, self.classes / 4, "rows of whole vec4s"), "y4"),
            false => (launch("spread", n, self.classes, "not a multiple of 4 classes: single stores"), "y"),
        };
        let launch =
            launch.bind(y, Operand::Output).bind("x", Operand::Input(0)).bind("index", Operand::Input(1));
        Ok(launch.cost(0, 4 * (n + 2 * at.inputs[0].shape.numel()) as u64).into())
    }
}

impl Op for DrawCategorical {
    fn name(&self) -> &'static str {
        "draw_categorical"
    }

    fn infer(&self, types: &[Type]) -> Result<Type, String> {
        check_rows(types, "uniform", MAX_CLASSES).cloned()
    }

    fn reference(&self, x: &[&Array]) -> Array {
        let draw = |(logits, &u): (&[f64], &f64)| {
            if logits.iter().any(|l| l.is_nan()) { f64::NAN } else { invert(logits, u) as f64 }
        };
        let rows = x[0].data.chunks_exact(x[0].shape[1]);
        Array::new(x[1].shape.clone(), rows.zip(&x[1].data).map(draw).collect())
    }

    fn vjp<'g>(&self, _: &[Tensor<'g>], _: Tensor<'g>, _: Tensor<'g>) -> Cotangents<'g> {
        vec![None; 2]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let (rows, numel, classes) =
            (at.output.shape.numel(), at.inputs[0].shape.numel(), at.inputs[0].shape[1]);
        let shared = at.caps.class == AdapterClass::Gpu && classes >= SHARED;
        let (launch, x) = match classes.is_multiple_of(4) {
            _ if shared => {
                let launch = LaunchSpec::new(&SHADER, "draw_lanes", grid_1d(rows));
                (launch.dim("n", rows).dim("k", classes).why("GPU: a workgroup shares a row"), "x")
            }
            true => (
                launch("draw_categorical4", rows, classes / 4, "one invocation per row of whole vec4s"),
                "x4",
            ),
            false => (launch("draw_categorical", rows, classes, "one invocation per row"), "x"),
        };
        let launch =
            launch.bind("y", Operand::Output).bind(x, Operand::Input(0)).bind("uniforms", Operand::Input(1));
        Ok(launch.cost(20 * numel, 4 * (numel + 2 * rows) as u64).into())
    }
}

impl<'g> Tensor<'g> {
    /// The entry of each row of `[R, K]` that `index` (whole numbers as f32, `[R]`) names, as `[R]`; 0 where
    /// the index is out of range. It is differentiable in self.
    #[track_caller]
    #[must_use]
    pub fn pick(self, index: Tensor<'g>) -> Tensor<'g> {
        self.graph().apply(Pick, &[self, index])
    }

    /// Each number of `[R]` in a row of `[R, classes]`: self where the column is `index` (whole numbers as
    /// f32, `[R]`), else 0. It is differentiable in self.
    #[track_caller]
    #[must_use]
    pub fn spread(self, index: Tensor<'g>, classes: usize) -> Tensor<'g> {
        self.graph().apply(Spread { classes }, &[self, index])
    }

    /// Draws a class for each row of logits `[R, K]` (K at most 4096), as whole numbers in f32 `[R]`. The
    /// draw is the inverse CDF of `uniform` (`[R]`, in [0, 1)): the smallest k whose cumulative softmax
    /// exceeds it.
    #[track_caller]
    #[must_use]
    pub fn draw_categorical(self, uniform: Tensor<'g>) -> Tensor<'g> {
        self.graph().apply(DrawCategorical, &[self, uniform])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;

    #[test]
    fn references() {
        let x = Array::from_fn([5, 3], |e| e as f64 + 1.0);
        let index = Array::new([5], vec![0.0, 2.0, 3.0, -1.0, 1.0]);
        let picked = Pick.reference(&[&x, &index]);
        assert_eq!(picked.data, [1.0, 6.0, 0.0, 0.0, 14.0]);
        let spread = Spread { classes: 3 }.reference(&[&picked, &index]);
        assert_eq!(spread.data, [1., 0., 0., 0., 0., 6., 0., 0., 0., 0., 0., 0., 0., 14., 0.]);
    }

    #[test]
    fn draws_at_the_thresholds_and_the_ends() {
        let draw = |logits: &[f64], u: f64| {
            let x = Array::new([1, logits.len()], logits.to_vec());
            DrawCategorical.reference(&[&x, &Array::new([1], vec![u])]).data[0]
        };
        let below_one = 1.0 - 1.0 / 16_777_216.0;
        // The weights are powers of two, so that the sums are exact.
        let p = [0.0, 0.25, 0.25, 0.0, 0.5, 0.0].map(f64::ln);
        assert_eq!(
            [0.0, 0.24, 0.25, 0.49, 0.5, below_one, 1.0].map(|u| draw(&p, u)),
            [1.0, 1.0, 2.0, 2.0, 4.0, 4.0, 4.0]
        );
        let far = [-1e30, 1e30, -1e30, 1e30, -1e30];
        assert_eq!([0.0, 0.4, 0.5, below_one].map(|u| draw(&far, u)), [1.0, 1.0, 3.0, 3.0]);
        assert_eq!(draw(&[-1e30; 4], 0.75), 3.0, "equal logits are uniform at any size");
    }

    /// Evenly spaced uniforms give each class its share of them, to within one at either end.
    #[test]
    fn frequencies_are_the_softmax() {
        let (n, k) = (10_000, 7);
        let row: Vec<f64> = (0..k).map(|j| (j as f64 * 1.7).sin() * 2.0).collect();
        let total: f64 = row.iter().map(|l| l.exp()).sum();
        let logits = Array::new([n, k], row.repeat(n));
        let u = Array::from_fn([n], |i| (i as f64 + 0.5) / n as f64);
        let drawn = DrawCategorical.reference(&[&logits, &u]).data;
        for (j, l) in row.iter().enumerate() {
            let count = drawn.iter().filter(|&&d| d == j as f64).count() as f64;
            assert!((count - l.exp() / total * n as f64).abs() <= 1.0, "class {j}: {count}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        type Mistake = for<'g> fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>;
        let mistakes: [(Mistake, &str); 5] = [
            (
                |x, r| x.pick(r.reshape([1, 2])),
                "pick: takes f32 rows [R, K] of 1 to 16777216 classes and one f32 index per row",
            ),
            (|x, r| r.pick(x), "got [2] and [2x3]"),
            (
                |x, r| x.draw_categorical(r.broadcast_to([4, 2]).sum(&[1])),
                "one f32 uniform per row [R], got [2x3] and [4]",
            ),
            (|_, r| r.broadcast_to([5000, 2]).reshape([2, 5000]).draw_categorical(r), "1 to 4096 classes"),
            (|_, r| r.spread(r, 0), "spread: takes f32 [R], one f32 index per row [R]"),
        ];
        for (mistake, expected) in mistakes {
            let g = Graph::new();
            let _ = mistake(g.input("x", Type::f32([2, 3])), g.input("r", Type::f32([2])));
            let error = g.check().unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("categorical.rs"), "{error}");
        }
    }
}
