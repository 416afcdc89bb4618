//! Draws from named streams. Each number is a function of (seed, stream, step, element), see [`crate::rng`].
//! The seed and the step counter are ordinary inputs, so that a recorded step draws anew each time it runs.

use crate::{
    graph::{
        Graph, Tensor,
        op::{LaunchSpec, Lowered, Lowering, Op, Operand, grid_1d},
        shape::{Array, DType, Shape, Type},
    },
    kernel::Shader,
    rng::{self, RandomStream},
};

static SHADER: Shader = crate::shader!("random");
type Cotangents<'g> = Vec<Option<Tensor<'g>>>;

/// The invocations of a workgroup in the kernels that make four elements per invocation.
pub(crate) const LANES: usize = 256;

/// A launch whose invocations make four output elements each. It takes the first of two entry points and of
/// two bindings where it may store whole vec4s, else the second, which stores elements one by one.
pub(crate) fn quads(
    shader: &'static Shader,
    whole: bool,
    entry: [&'static str; 2],
    numel: usize,
) -> LaunchSpec {
    let (entry, y, why) = match whole {
        true => (entry[0], "y", "whole vec4s"),
        false => (entry[1], "y_scalar", "not a multiple of 4: single stores"),
    };
    LaunchSpec::new(shader, entry, grid_1d(numel.div_ceil(4 * LANES)))
        .constant("WORKGROUP", LANES as f64)
        .bind(y, Operand::Output)
        .dim("n", numel)
        .why(why)
}

/// Binds seed and step, which are the op's inputs `first` and `first + 1`, and sets the stream of `n` draws.
pub(crate) fn with_stream(launch: LaunchSpec, stream: &RandomStream, n: usize, first: usize) -> LaunchSpec {
    name_stream(launch.bind("seed", Operand::Input(first)).bind("time", Operand::Input(first + 1)), stream, n)
}

/// Sets the stream of `n` draws.
pub(crate) fn name_stream(mut launch: LaunchSpec, stream: &RandomStream, n: usize) -> LaunchSpec {
    let [low, high] = stream.hash;
    for (member, word) in [("stream[0]", low), ("stream[1]", high), ("first", stream.element(0, n))] {
        launch.dims.push((member.into(), word));
    }
    launch
}

/// The types of the counter's parts: seed u32 `[2]`, step u32 `[1]`.
pub(crate) fn check_counter(seed: &Type, step: &Type) -> Result<(), String> {
    match seed == &Type::u32([2]) && step == &Type::u32([1]) {
        true => Ok(()),
        false => Err(format!("takes the seed as U32[2] and the step as U32[1], got {seed:?} and {step:?}")),
    }
}

/// The stream's key and the step, from arrays that hold them.
pub(crate) fn counter(stream: &RandomStream, seed: &Array, step: &Array) -> ([u32; 2], u32) {
    (stream.key([seed.data[0] as u32, seed.data[1] as u32]), step.data[0] as u32)
}

/// Exactly `N` inputs, or an error that says so.
pub(crate) fn inputs<const N: usize>(inputs: &[Type]) -> Result<&[Type; N], String> {
    inputs.try_into().map_err(|_| format!("takes {N} inputs, got {}", inputs.len()))
}

/// Uniform numbers in [0, 1), in steps of 2^-24. The inputs are seed and step.
#[derive(Debug)]
pub struct Uniform {
    /// The stream that is drawn from.
    pub stream: RandomStream,
    /// The output's shape.
    pub shape: Shape,
}

/// Standard normal numbers. The inputs are seed and step.
#[derive(Debug)]
pub struct Normal {
    /// The stream that is drawn from.
    pub stream: RandomStream,
    /// The output's shape.
    pub shape: Shape,
}

/// 1 with the probability that the input gives for each element, else 0. The inputs are p, seed and step.
#[derive(Debug)]
pub struct Bernoulli {
    /// The stream that is drawn from.
    pub stream: RandomStream,
}

impl Op for Uniform {
    fn name(&self) -> &'static str {
        "uniform"
    }

    fn infer(&self, types: &[Type]) -> Result<Type, String> {
        let [seed, step] = inputs(types)?;
        check_counter(seed, step).map(|()| Type::f32(self.shape.clone()))
    }

    fn reference(&self, x: &[&Array]) -> Array {
        let (key, step) = counter(&self.stream, x[0], x[1]);
        let of = |e| self.stream.element(e, self.shape.numel());
        Array::from_fn(self.shape.clone(), |e| f64::from(rng::uniform(key, step, of(e))))
    }

    fn vjp<'g>(&self, _: &[Tensor<'g>], _: Tensor<'g>, _: Tensor<'g>) -> Cotangents<'g> {
        vec![None; 2]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let n = at.output.shape.numel();
        let launch = quads(&SHADER, n.is_multiple_of(4), ["draw_uniform", "draw_uniform_tail"], n);
        Ok(with_stream(launch, &self.stream, n, 0).cost(n, 4 * n as u64).into())
    }
}

impl Op for Normal {
    fn name(&self) -> &'static str {
        "normal"
    }

    fn infer(&self, types: &[Type]) -> Result<Type, String> {
        let [seed, step] = inputs(types)?;
        check_counter(seed, step).map(|()| Type::f32(self.shape.clone()))
    }

    fn reference(&self, x: &[&Array]) -> Array {
        let (key, step) = counter(&self.stream, x[0], x[1]);
        let of = |e| self.stream.element(e, self.shape.numel());
        Array::from_fn(self.shape.clone(), |e| rng::normal(key, step, of(e)))
    }

    fn vjp<'g>(&self, _: &[Tensor<'g>], _: Tensor<'g>, _: Tensor<'g>) -> Cotangents<'g> {
        vec![None; 2]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let n = at.output.shape.numel();
        let launch = quads(&SHADER, n.is_multiple_of(4), ["draw_normal", "draw_normal_tail"], n);
        Ok(with_stream(launch, &self.stream, n, 0).cost(40 * n, 4 * n as u64).into())
    }
}

impl Op for Bernoulli {
    fn name(&self) -> &'static str {
        "bernoulli"
    }

    fn infer(&self, types: &[Type]) -> Result<Type, String> {
        let [p, seed, step] = inputs(types)?;
        match p.dtype {
            DType::F32 => check_counter(seed, step).map(|()| p.clone()),
            other => Err(format!("takes f32 probabilities, not {other:?}")),
        }
    }

    fn reference(&self, x: &[&Array]) -> Array {
        let (key, step) = counter(&self.stream, x[1], x[2]);
        let uniform = |e| f64::from(rng::uniform(key, step, self.stream.element(e, x[0].data.len())));
        let below = |e: usize, p: f64| f64::from(u8::from(uniform(e) < p));
        let draw = |e: usize| if x[0].data[e].is_nan() { f64::NAN } else { below(e, x[0].data[e]) };
        Array::from_fn(x[0].shape.clone(), draw)
    }

    fn vjp<'g>(&self, _: &[Tensor<'g>], _: Tensor<'g>, _: Tensor<'g>) -> Cotangents<'g> {
        vec![None; 3]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let n = at.output.shape.numel();
        let launch = quads(&SHADER, n.is_multiple_of(4), ["draw_bernoulli", "draw_bernoulli_tail"], n);
        let launch = with_stream(launch.bind("p", Operand::Input(0)), &self.stream, n, 1);
        Ok(launch.cost(2 * n, 8 * n as u64).into())
    }
}

impl Graph {
    /// Uniform numbers in [0, 1) from a stream of this name, drawn anew in every step. No other draw may use
    /// the stream.
    #[track_caller]
    pub fn uniform(&self, stream: &str, shape: impl Into<Shape>) -> Tensor<'_> {
        self.claim_stream(stream);
        if self.is_bound(stream) {
            return self.input(stream, Type::f32(shape));
        }
        self.apply(Uniform { stream: self.stream(stream), shape: shape.into() }, &[self.seed(), self.step()])
    }

    /// Standard normal numbers from a stream of this name, drawn anew in every step. No other draw may use
    /// the stream.
    #[track_caller]
    pub fn normal(&self, stream: &str, shape: impl Into<Shape>) -> Tensor<'_> {
        self.claim_stream(stream);
        if self.is_bound(stream) {
            return self.input(stream, Type::f32(shape));
        }
        self.apply(Normal { stream: self.stream(stream), shape: shape.into() }, &[self.seed(), self.step()])
    }
}

impl<'g> Tensor<'g> {
    /// 1 with probability self, else 0, drawn anew in every step from a stream of this name. A bound stream
    /// holds the uniform numbers to compare with, in self's shape.
    #[track_caller]
    #[must_use]
    pub fn bernoulli(self, stream: &str) -> Tensor<'g> {
        let graph = self.graph();
        graph.claim_stream(stream);
        if graph.is_bound(stream) {
            return graph.input(stream, Type::f32(self.shape())).lt(self);
        }
        graph.apply(Bernoulli { stream: graph.stream(stream) }, &[self, graph.seed(), graph.step()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_counter() {
        let (seed, step) = (Array::new([2], vec![1.0, 2.0]), Array::new([1], vec![3.0]));
        let stream = RandomStream::new("z");
        let drawn = Uniform { stream: stream.clone(), shape: [5].into() }.reference(&[&seed, &step]);
        let expected = (0..5).map(|e| f64::from(rng::uniform(stream.key([1, 2]), 3, e))).collect();
        assert_eq!(drawn, Array::new([5], expected));
        let ones = Bernoulli { stream }.reference(&[&drawn, &seed, &step]);
        assert_eq!(ones.data, [0.0; 5], "u < u never holds");
    }

    #[test]
    fn ranks_draw_the_parts_of_one_draw() {
        let (seed, step) = (Array::new([2], vec![1.0, 2.0]), Array::new([1], vec![3.0]));
        let draw = |rank, n: usize| {
            let stream = RandomStream { rank, ..RandomStream::new("z") };
            Normal { stream, shape: [n].into() }.reference(&[&seed, &step]).data
        };
        assert_eq!(draw(0, 10), [draw(0, 5), draw(1, 5)].concat());
    }

    #[test]
    fn mistakes_are_named() {
        let (seed, step) = (Type::u32([2]), Type::u32([1]));
        let uniform = Uniform { stream: RandomStream::new("u"), shape: [5].into() };
        assert!(uniform.infer(&[step.clone(), seed.clone()]).unwrap_err().contains("the seed as U32[2]"));
        assert!(Bernoulli { stream: RandomStream::new("b") }.infer(&[Type::u32([2]), seed, step]).is_err());
    }
}
