//! Reductions over any axes: sum, maximum and log-sum-exp. Means, softmax and cross-entropy are composed of
//! them. A reduction becomes passes over the middle of `[outer, r, inner]`. A long r is cut into chunks,
//! which a further pass reduces: sums of sums, maxima of maxima, and log-sum-exps of log-sum-exps. There are
//! no atomics, so that the order of summation is fixed. The kernels here are those of software drivers; those of
//! GPUs are in `tree`.

pub(in crate::ops) mod tree;

use crate::{
    graph::{
        Tensor,
        op::{Footprint, LaunchSpec, Lowered, Lowering, Op, Operand, grid_1d},
        shape::{Array, DType, Shape, Type},
    },
    kernel::{Shader, caps},
};

static SHADER: Shader = crate::shader!("reduce");
/// Sums of what a cluster makes.
static SUMS: Shader = crate::shader!("sums");
const WORKGROUP: usize = 64;
/// The largest number of elements that one invocation reduces.
const LONGEST: usize = 4096;

/// What a reduction computes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The sum.
    Sum,
    /// The largest element.
    Max,
    /// The log-sum-exp, log Σ exp(x), which is finite for all finite x.
    LogSumExp,
}

/// A reduction over `axes` (ascending), which the output lacks.
#[derive(Debug)]
pub struct Reduce {
    /// The function of the elements that is computed.
    pub kind: Kind,
    /// The reduced axes.
    pub axes: Vec<usize>,
}

impl Reduce {
    /// The shape of an input whose reduced axes have extent 1.
    fn kept(&self, shape: &Shape) -> Shape {
        shape
            .iter()
            .enumerate()
            .map(|(d, &n)| if self.axes.contains(&d) { 1 } else { n })
            .collect::<Vec<_>>()
            .into()
    }

    /// The shape of an input without the reduced axes.
    fn shape(&self, shape: &Shape) -> Shape {
        (0..shape.len()).filter(|d| !self.axes.contains(d)).map(|d| shape[d]).collect::<Vec<_>>().into()
    }
}

impl Op for Reduce {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Sum => "sum",
            Kind::Max => "max_over",
            Kind::LogSumExp => "logsumexp",
        }
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let Type { shape, dtype } = &inputs[0];
        if *dtype != DType::F32 {
            return Err(format!("takes f32, not {dtype:?}; convert with `.to_f32()`"));
        }
        if self.axes.last().is_some_and(|&a| a >= shape.len()) || self.axes.windows(2).any(|w| w[0] >= w[1]) {
            return Err(format!("axes {:?} are not distinct axes of {shape:?}", self.axes));
        }
        if shape.numel() == 0 {
            return Err(format!("{shape:?} has no elements"));
        }
        Ok(Type::f32(self.shape(shape)))
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        let x = inputs[0];
        let kept = self.kept(&x.shape).strides();
        // The output element that input element i goes to.
        let place = |i: usize| {
            let coords = x.shape.coords(i).into_iter().enumerate().filter(|(d, _)| !self.axes.contains(d));
            coords.map(|(d, c)| c * kept[d]).sum::<usize>()
        };
        let shape = self.shape(&x.shape);
        let mut top = vec![f64::NEG_INFINITY; shape.numel()];
        let mut total = vec![0.0; shape.numel()];
        for (i, &v) in x.data.iter().enumerate() {
            let top = &mut top[place(i)];
            // A NaN is the largest, and nothing is larger than it.
            if v.is_nan() || v > *top {
                *top = v;
            }
        }
        for (i, &v) in x.data.iter().enumerate() {
            total[place(i)] += if self.kind == Kind::Sum { v } else { (v - top[place(i)]).exp() };
        }
        Array::from_fn(shape, |o| match self.kind {
            Kind::Sum => total[o],
            Kind::Max => top[o],
            Kind::LogSumExp => top[o] + total[o].ln(),
        })
    }

    fn vjp<'g>(
        &self,
        inputs: &[Tensor<'g>],
        output: Tensor<'g>,
        cotangent: Tensor<'g>,
    ) -> Vec<Option<Tensor<'g>>> {
        let x = inputs[0];
        let spread = |t: Tensor<'g>| t.reshape(self.kept(&x.shape())).broadcast_to(x.shape());
        vec![Some(match self.kind {
            Kind::Sum => spread(cotangent),
            Kind::Max => {
                // Ties share equally. There is at least 1, should x be computed again with other rounding.
                let ties = x.eq(spread(output));
                ties * spread(cotangent / ties.sum(&self.axes).max(1.0))
            }
            Kind::LogSumExp => (x - spread(output)).exp() * spread(cotangent),
        })]
    }

    fn footprint(&self) -> Option<Footprint<'_>> {
        (self.axes == [1]).then_some(Footprint::Row)
    }

    /// Sums over rows of whole vec4s, or over columns of as many.
    fn accepts_prologue(&self, inputs: &[Type]) -> bool {
        let first = passes(&inputs[0].shape, &self.axes)[0];
        self.kind == Kind::Sum && first.by_vectors()
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let gpu = at.caps.class == caps::AdapterClass::Gpu;
        let passes: Vec<Pass> = passes(&at.inputs[0].shape, &self.axes)
            .into_iter()
            .flat_map(|pass| if gpu { pass.trees() } else { pass.stages() })
            .collect();
        let mut lowered = Lowered::default();
        for (i, pass) in passes.iter().enumerate() {
            let from = if i == 0 { Operand::Input(0) } else { Operand::Scratch(i - 1) };
            let to = if i + 1 == passes.len() { Operand::Output } else { Operand::Scratch(i) };
            let launch = if gpu { Pass::tree } else { Pass::launch };
            let launch = launch(*pass, self.kind, from, to);
            lowered.launches.push(if at.prologue && i == 0 { of_cluster(launch) } else { launch });
            if i + 1 < passes.len() {
                lowered.scratch.push(Type::f32([pass.results()]).bytes());
            }
        }
        Ok(lowered)
    }
}

/// The launch of a sum by vec4s, with what it reads made by a cluster.
fn of_cluster(mut launch: LaunchSpec) -> LaunchSpec {
    launch.entry = match (launch.shader.stem, launch.entry) {
        ("reduce_tree", "rows4") => "rows_tree",
        ("reduce_tree", _) => "columns_tree",
        (_, entry) => entry,
    };
    launch.shader = &SUMS;
    launch.bindings.retain(|b| b.1 != Operand::Input(0));
    launch.constants.retain(|c| c.0 != "KIND");
    launch.fused(true)
}

/// One pass: `[outer, r, inner]` to `[outer, ceil(r / chunk), inner]`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pass {
    outer: usize,
    r: usize,
    inner: usize,
    chunk: usize,
}

/// The passes of a reduction, one for each run of neighbouring axes. The longest comes first, so that the
/// others have less to read.
fn passes(shape: &Shape, axes: &[usize]) -> Vec<Pass> {
    let mut runs: Vec<(usize, bool)> = vec![];
    for (d, &n) in shape.iter().enumerate().filter(|&(_, &n)| n != 1) {
        let reduced = axes.contains(&d);
        match runs.last_mut() {
            Some(run) if run.1 == reduced => run.0 *= n,
            _ => runs.push((n, reduced)),
        }
    }
    let mut passes = vec![];
    while let Some(i) = (0..runs.len()).filter(|&i| runs[i].1).max_by_key(|&i| runs[i].0) {
        let extent = |runs: &[(usize, bool)]| runs.iter().map(|run| run.0).product();
        let (r, _) = runs[i];
        passes.push(Pass { outer: extent(&runs[..i]), r, inner: extent(&runs[i + 1..]), chunk: r });
        runs[i] = (1, false);
    }
    if passes.is_empty() {
        passes.push(Pass { outer: 1, r: 1, inner: shape.numel(), chunk: 1 });
    }
    passes
}

impl Pass {
    /// The number of chunks of a row.
    fn s(self) -> usize {
        self.r.div_ceil(self.chunk)
    }

    fn results(self) -> usize {
        self.outer * self.s() * self.inner
    }

    /// The pass cut into as many passes as it takes so that no invocation loops too long, and that few
    /// results still keep all cores busy.
    fn stages(mut self) -> Vec<Pass> {
        // How many reduced elements few results may have, and fewer results than which are few.
        const LONG: usize = 1024;
        const FEW: usize = 1024;
        let mut stages = vec![];
        loop {
            let cut = self.r > LONGEST || (self.r > LONG && self.outer * self.inner < FEW);
            if !cut {
                self.chunk = self.r;
                stages.push(self);
                return stages;
            }
            // About √r chunks of √r elements; a chunk is a multiple of 4 for vec4 loads.
            self.chunk = self.r.isqrt().next_multiple_of(4).clamp(64, LONGEST);
            stages.push(self);
            self.r = self.s();
        }
    }

    /// Whether whole vec4s can be read: chunks of rows start at one, since a row ends between two only if it is the
    /// only one.
    fn by_vectors(self) -> bool {
        match self.inner {
            1 => self.r.is_multiple_of(4) || self.outer == 1,
            inner => inner.is_multiple_of(4),
        }
    }

    fn launch(self, kind: Kind, from: Operand, to: Operand) -> LaunchSpec {
        let (entry, x, y, unit, why) = match (self.inner, self.by_vectors()) {
            (1, true) => ("rows4", "x4", "y", 1, "rows by vec4s"),
            (1, false) => ("rows", "x", "y", 1, "rows by elements"),
            (_, true) => ("columns4", "x4", "y4", 4, "four columns each"),
            (_, false) => ("columns", "x", "y", 1, "a column each"),
        };
        let groups = (self.results() / unit).div_ceil(WORKGROUP);
        self.sized(LaunchSpec::new(&SHADER, entry, grid_1d(groups)), kind, unit)
            .constant("WORKGROUP", WORKGROUP as f64)
            .bind(x, from)
            .bind(y, to)
            .why(why)
    }

    /// A launch whose invocations or lines make `unit` results each, with its kind, extents and cost.
    fn sized(self, launch: LaunchSpec, kind: Kind, unit: usize) -> LaunchSpec {
        let (results, elements) = (self.results(), self.outer * self.r * self.inner);
        let (number, flops) = match kind {
            Kind::Sum => (0.0, 1),
            Kind::Max => (1.0, 1),
            Kind::LogSumExp => (2.0, 8),
        };
        launch
            .constant("KIND", number)
            .dim("n", results / unit)
            .dim("r", self.r)
            .dim("chunk", self.chunk)
            .dim("s", self.s())
            .dim("inner", self.inner / unit)
            .cost(elements * flops, 4 * (elements + results) as u64)
    }
}

impl<'g> Tensor<'g> {
    #[track_caller]
    fn reduce(self, kind: Kind, axes: &[usize]) -> Tensor<'g> {
        if axes.is_empty() {
            return self;
        }
        let mut axes = axes.to_vec();
        axes.sort_unstable();
        self.graph().apply(Reduce { kind, axes }, &[self])
    }

    /// The sum over axes, which the result lacks.
    #[track_caller]
    #[must_use]
    pub fn sum(self, axes: &[usize]) -> Tensor<'g> {
        self.reduce(Kind::Sum, axes)
    }

    /// The mean over axes, which the result lacks.
    #[track_caller]
    #[must_use]
    pub fn mean(self, axes: &[usize]) -> Tensor<'g> {
        let shape = self.shape();
        let n: usize = axes.iter().filter_map(|&a| shape.get(a)).product();
        self.sum(axes) * (1.0 / n as f32)
    }

    /// The largest element over axes, which the result lacks.
    #[track_caller]
    #[must_use]
    pub fn max_over(self, axes: &[usize]) -> Tensor<'g> {
        self.reduce(Kind::Max, axes)
    }

    /// The smallest element over axes, which the result lacks.
    #[track_caller]
    #[must_use]
    pub fn min_over(self, axes: &[usize]) -> Tensor<'g> {
        -(-self).max_over(axes)
    }

    /// The log-sum-exp, log Σ exp(x), over axes, which the result lacks; it is finite for all finite
    /// elements.
    #[track_caller]
    #[must_use]
    pub fn logsumexp(self, axes: &[usize]) -> Tensor<'g> {
        self.reduce(Kind::LogSumExp, axes)
    }

    /// The sum of all elements, a scalar.
    #[track_caller]
    #[must_use]
    pub fn sum_all(self) -> Tensor<'g> {
        self.sum(&(0..self.shape().len()).collect::<Vec<_>>())
    }

    /// The mean of all elements, a scalar.
    #[track_caller]
    #[must_use]
    pub fn mean_all(self) -> Tensor<'g> {
        self.mean(&(0..self.shape().len()).collect::<Vec<_>>())
    }

    /// The logarithm of [`Tensor::softmax`]: x - log Σ exp(x) along an axis.
    #[track_caller]
    #[must_use]
    pub fn log_softmax(self, axis: usize) -> Tensor<'g> {
        let mut kept = self.shape().to_vec();
        if axis < kept.len() {
            kept[axis] = 1;
            self - self.logsumexp(&[axis]).reshape(kept)
        } else {
            self.graph().poison(format!("softmax: {:?} has no axis {axis}", self.shape()))
        }
    }

    /// The softmax along an axis, without overflow: exp(x) / Σ exp(x).
    #[track_caller]
    #[must_use]
    pub fn softmax(self, axis: usize) -> Tensor<'g> {
        self.log_softmax(axis).exp()
    }

    /// The cross-entropy in nats of logits `[.., classes]` against target probabilities of that shape, one
    /// number per row: logsumexp(l) - Σ l·t.
    #[track_caller]
    #[must_use]
    pub fn cross_entropy(self, one_hot: Tensor<'g>) -> Tensor<'g> {
        let shape = self.shape();
        if shape.is_empty() || shape != one_hot.shape() {
            let target = one_hot.shape();
            return self.graph().poison(format!("cross_entropy: logits are {shape:?}, targets {target:?}"));
        }
        let last = [shape.len() - 1];
        self.logsumexp(&last) - (self * one_hot).sum(&last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;

    fn reduce(kind: Kind, axes: &[usize], x: &Array) -> Vec<f64> {
        Reduce { kind, axes: axes.to_vec() }.reference(&[x]).data
    }

    #[test]
    fn references() {
        let x = Array::from_fn([2, 2, 2], |i| i as f64);
        assert_eq!(reduce(Kind::Sum, &[0, 2], &x), [10.0, 18.0]);
        assert_eq!(reduce(Kind::Max, &[1], &x), [2.0, 3.0, 6.0, 7.0]);
        let lse = reduce(Kind::LogSumExp, &[0], &Array::new([2], vec![-2e30, -2e30]));
        assert_eq!(lse, [-2e30]);
        let lse = reduce(Kind::LogSumExp, &[0, 1], &Array::new([1, 2], vec![1000.0, 1000.0]));
        assert!((lse[0] - 1000.0 - 2f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn shapes_and_mistakes() {
        let g = Graph::new();
        let x = g.input("x", Type::f32([2, 3, 4]));
        assert_eq!(x.sum(&[2, 0]).shape(), [3].into());
        assert_eq!(x.mean_all().shape(), [].into());
        assert_eq!(x.softmax(1).shape(), x.shape());
        assert_eq!(x.cross_entropy(x).shape(), [2, 3].into());
        assert!(g.check().is_ok());
        let mistakes: [for<'g> fn(Tensor<'g>) -> Tensor<'g>; 3] =
            [|x| x.sum(&[1, 1]), |x| x.max_over(&[3]), |x| x.softmax(3)];
        for mistake in mistakes {
            let g = Graph::new();
            let _ = mistake(g.input("x", Type::f32([2, 3, 4])));
            assert!(g.check().is_err());
        }
    }

    #[test]
    fn no_invocation_loops_too_long() {
        for r in [1, 63, 1025, 4097, 100_000, 33_554_432] {
            for (outer, inner) in [(1, 1), (1, 12), (3, 1), (20_000, 1)] {
                let pass = Pass { outer, r, inner, chunk: r };
                let (stages, trees) = (pass.stages(), pass.trees());
                assert!(stages.iter().all(|p| p.chunk <= LONGEST), "{stages:?}");
                assert!(trees.len() <= 2, "{trees:?}");
                for stages in [stages, trees] {
                    assert!(stages.windows(2).all(|w| w[0].s() == w[1].r));
                    assert_eq!(stages.last().map(|p| p.s()), Some(1));
                }
            }
        }
    }
}
