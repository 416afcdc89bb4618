//! Batch normalisation (Ioffe & Szegedy 2015) over all axes but the last, the channels. Two reductions are
//! kernels: a batch's mean and variance in one numerically sound pass ([`Moments`]), and the two sums of its
//! derivative ([`CentredSums`]). What goes by elements is ordinary nodes, which fuse with their neighbours.
//!
//! Autodiff through those nodes would sum five times. [`BatchNorm`] stands for the result and knows the
//! derivative's closed form. That form is nodes again, so that further derivatives follow.
//!
//! Where ranks share the batch, its statistics are those of all ranks' rows: the moments are exchanged, and so are
//! the sums by which x's derivative depends on other rows.

mod tree;

use crate::{
    graph::{
        Tensor,
        op::{Class, LaunchSpec, Lowered, Lowering, Op, Operand, grid_1d},
        shape::{Array, DType, Type},
        share::Merge,
    },
    kernel::{Shader, caps::AdapterClass},
};

static SHADER: Shader = crate::shader!("batch_norm");
const WORKGROUP: usize = 64;
/// The rows of a short chunk; up to twice as many rows are one chunk.
const SHORT: usize = 64;

type Cotangents<'g> = Vec<Option<Tensor<'g>>>;

/// Each channel's mean, and its variance Σ(x - mean)²/R over the R rows: `[.., C]` to `[2, C]`.
#[derive(Debug)]
pub struct Moments;

/// Each channel's Σa and Σa·(x - mean): (a, x, moments of x) to `[2, C]`.
#[derive(Debug)]
pub struct CentredSums;

/// The first of the inputs y, x, moments of x, weight and bias, where y = (x - mean)/√(variance + eps)·weight
/// + bias: the op passes y on and knows its derivative by the other inputs.
#[derive(Debug)]
pub struct BatchNorm {
    /// The number that is added to the variance.
    pub eps: f32,
}

/// The rows and channels of an input.
fn extents(x: &Type) -> Result<[usize; 2], String> {
    match x.shape.split_last() {
        Some((&c, outer)) if x.dtype == DType::F32 && x.shape.numel() > 0 && !outer.is_empty() => {
            Ok([outer.iter().product(), c])
        }
        _ => Err(format!("takes f32 of rows and channels, got {x:?}")),
    }
}

/// The two rows of `[2, C]`, `[C]` each.
fn halves(pair: Tensor<'_>) -> [Tensor<'_>; 2] {
    let c = pair.shape()[1];
    [0, 1].map(|i| pair.slice(0, i..i + 1).reshape([c]))
}

/// A statistic of a rank's rows as that of the whole batch.
fn of_batch(statistic: Tensor<'_>, merge: Merge) -> Tensor<'_> {
    if statistic.graph().statistics().alone() { statistic } else { statistic.merged(merge) }
}

/// 1/√(variance + eps) of moments.
fn inverse(moments: Tensor<'_>, eps: f32) -> Tensor<'_> {
    (halves(moments)[1] + eps).rsqrt()
}

/// The kernels of a reduction over rows; where there are two names, the second is that of four channels at a
/// time.
struct Reduction {
    /// The position of x among the inputs.
    x: usize,
    /// The inputs' bindings.
    inputs: &'static [[&'static str; 2]],
    /// The entry point that reduces chunks of rows.
    reduce: [&'static str; 2],
    /// The entry point that joins chunks.
    join: &'static str,
    /// The invocations that join one channel's chunks.
    joiners: usize,
    /// Whether chunks are joined by adding them up.
    adds: bool,
}

static MOMENTS: Reduction = Reduction {
    x: 0,
    inputs: &[["x", "x4"]],
    reduce: ["moments", "moments4"],
    join: "merge",
    joiners: 1,
    adds: false,
};
static SUMS: Reduction = Reduction {
    x: 1,
    inputs: &[["a", "a4"], ["x", "x4"], ["means", "means4"]],
    reduce: ["sums", "sums4"],
    join: "total",
    joiners: 2,
    adds: true,
};

/// Rows cut into chunks.
#[derive(Clone, Copy)]
struct Cut {
    rows: usize,
    channels: usize,
    /// The rows of a chunk.
    chunk: usize,
}

impl Cut {
    /// One chunk where the rows are few, else about √R chunks of √R rows, so that no loop is long.
    fn new([rows, channels]: [usize; 2], class: AdapterClass) -> Self {
        let short = if class == AdapterClass::Gpu { SHORT / 4 } else { SHORT };
        let chunk = if rows <= 2 * short { rows } else { rows.isqrt().max(short) };
        Self { rows, channels, chunk }
    }

    fn chunks(self) -> usize {
        self.rows.div_ceil(self.chunk)
    }

    /// A launch of so many invocations; `c` is the number of channels, or of vec4s of channels.
    fn launch(self, entry: &'static str, invocations: usize, c: usize) -> LaunchSpec {
        let factor = if self.chunks() == 1 { 1.0 / self.rows as f32 } else { 1.0 };
        LaunchSpec::new(&SHADER, entry, grid_1d(invocations.div_ceil(WORKGROUP)))
            .constant("WORKGROUP", WORKGROUP as f64)
            .dim("n", invocations)
            .dim("c", c)
            .dim("r", self.rows)
            .dim("chunk", self.chunk)
            .dim("s", self.chunks())
            .dim_f32("factor", factor)
    }
}

impl Reduction {
    /// One launch for one chunk; else one over the chunks, and one that joins what they make.
    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        if let Some(trees) = self.trees(at)? {
            return Ok(trees);
        }
        let cut = Cut::new(extents(&at.inputs[self.x])?, at.caps.class);
        if cut.chunks() == 1 {
            return Ok(self.reduce(cut, Operand::Output).into());
        }
        let launches = vec![self.reduce(cut, Operand::Scratch(0)), self.join(cut)];
        Ok(Lowered { launches, scratch: vec![Type::f32([2 * cut.chunks() * cut.channels]).bytes()] })
    }

    /// Every chunk of rows to two numbers a channel.
    fn reduce(&self, cut: Cut, to: Operand) -> LaunchSpec {
        let (wide, numel) = (cut.channels.is_multiple_of(4), cut.rows * cut.channels);
        let (vector, unit) = if wide { (1, 4) } else { (0, 1) };
        let c = cut.channels / unit;
        let launch = cut.launch(self.reduce[vector], cut.chunks() * c, c);
        let bind = |launch: LaunchSpec, (i, names): (usize, &[&'static str; 2])| {
            launch.bind(names[vector], Operand::Input(i))
        };
        let read = self.inputs.len().min(2) * numel;
        self.inputs
            .iter()
            .enumerate()
            .fold(launch, bind)
            .bind(["y", "y4"][vector], to)
            .cost(6 * numel, 4 * (read + 2 * cut.chunks() * cut.channels) as u64)
            .why(if wide {
                "four channels of a chunk of rows each"
            } else {
                "a channel of a chunk of rows each"
            })
    }

    /// The chunks' numbers to two numbers a channel.
    fn join(&self, cut: Cut) -> LaunchSpec {
        let (c, s) = (cut.channels, cut.chunks());
        cut.launch(self.join, self.joiners * c, c)
            .bind("x", Operand::Scratch(0))
            .bind("y", Operand::Output)
            .cost(6 * s * c, 8 * (s + 1) as u64 * c as u64)
            .why("chunks joined")
    }
}

impl Op for Moments {
    fn name(&self) -> &'static str {
        "moments"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        Ok(Type::f32([2, extents(&inputs[0])?[1]]))
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        let x = inputs[0];
        let c = x.shape.last().copied().unwrap_or(1);
        let r = (x.data.len() / c) as f64;
        let over = |k: usize, f: &dyn Fn(f64) -> f64| {
            x.data.iter().skip(k).step_by(c).map(|&v| f(v)).sum::<f64>() / r
        };
        let means: Vec<f64> = (0..c).map(|k| over(k, &|v| v)).collect();
        Array::from_fn(
            [2, c],
            |i| if i < c { means[i] } else { over(i - c, &|v| (v - means[i - c]).powi(2)) },
        )
    }

    fn vjp<'g>(&self, inputs: &[Tensor<'g>], output: Tensor<'g>, ct: Tensor<'g>) -> Cotangents<'g> {
        let x = inputs[0];
        let ([mean, _], [of_mean, of_variance]) = (halves(output), halves(ct));
        let rows = (x.shape().numel() / mean.shape().numel()) as f32;
        vec![Some((of_mean + (x - mean) * of_variance * 2.0) * (1.0 / rows))]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        MOMENTS.lower(at)
    }
}

impl Op for CentredSums {
    fn name(&self) -> &'static str {
        "centred_sums"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [a, x, moments] = inputs else { return Err("takes a, x and moments".into()) };
        let pair = Type::f32([2, extents(x)?[1]]);
        if a != x || *moments != pair {
            Err(format!("takes a and x of one type and moments, got {inputs:?}"))
        } else {
            Ok(pair)
        }
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        let c = inputs[2].shape[1];
        let mut out = Array::new([2, c], vec![0.0; 2 * c]);
        for (i, (a, x)) in inputs[0].data.iter().zip(&inputs[1].data).enumerate() {
            out.data[i % c] += a;
            out.data[c + i % c] += a * (x - inputs[2].data[i % c]);
        }
        out
    }

    fn vjp<'g>(&self, inputs: &[Tensor<'g>], output: Tensor<'g>, ct: Tensor<'g>) -> Cotangents<'g> {
        let [a, x, moments] = [0, 1, 2].map(|i| inputs[i]);
        let ([sum, _], [of_sum, of_along]) = (halves(output), halves(ct));
        let of_mean = (-(of_along * sum)).reshape([1, sum.shape()[0]]).pad(0, 0, 1);
        vec![Some(of_sum + (x - halves(moments)[0]) * of_along), Some(a * of_along), Some(of_mean)]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        SUMS.lower(at)
    }
}

impl Op for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        Ok(inputs[0].clone())
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        inputs[0].clone()
    }

    /// The derivative by x is the total one, through its moments too: ∂x = (∂y - Σ∂y/R - (x - mean)·Σ∂y(x -
    /// mean)/R·inverse²)·weight·inverse. Of ranks that share the R rows, each has the mean of all ranks' sums for it,
    /// and its own sums for weight and bias, whose gradients the optimizer exchanges.
    fn vjp<'g>(&self, inputs: &[Tensor<'g>], _: Tensor<'g>, ct: Tensor<'g>) -> Cotangents<'g> {
        let [x, moments, weight] = [1, 2, 3].map(|i| inputs[i]);
        let sums = ct.graph().apply(CentredSums, &[ct, x, moments]);
        let ([own_sum, own_along], [sum, along]) = (halves(sums), halves(of_batch(sums, Merge::Mean)));
        let inverse = inverse(moments, self.eps);
        let share = weight.shape().numel() as f32 / x.shape().numel() as f32;
        let slope = along * inverse.square() * share;
        // It is not x - mean, which would be kept from the forward step rather than computed again.
        let by_x = (ct - sum * share + (halves(moments)[0] - x) * slope) * (weight * inverse);
        vec![None, Some(by_x), None, Some(own_along * inverse), Some(own_sum)]
    }

    fn lower(&self, _: &Lowering<'_>) -> Result<Lowered, String> {
        Err("a batch norm aliases its first input".into())
    }

    fn class(&self) -> Class {
        Class::Alias
    }
}

impl<'g> Tensor<'g> {
    /// The mean and the variance (Σ(x - mean)²/R) of each channel over all axes but the last, `[C]` each, of all
    /// ranks' rows where ranks share the batch. There must be at least one row.
    #[track_caller]
    #[must_use]
    pub fn moments(self) -> [Tensor<'g>; 2] {
        match self.graph().apply(Moments, &[self]) {
            pair if pair.shape().len() == 2 => halves(of_batch(pair, Merge::Moments)),
            poison => [poison; 2],
        }
    }

    /// Batch normalisation: (x - mean)/√(variance + eps)·weight + bias with the moments of x itself over all
    /// axes but the last, the channels. There must be at least 2 rows; weight and bias are `[C]`. The moments
    /// are those of [`Tensor::moments`].
    #[track_caller]
    #[must_use]
    pub fn batch_norm(self, weight: Tensor<'g>, bias: Tensor<'g>, eps: f32) -> Tensor<'g> {
        let (graph, shape) = (self.graph(), self.shape());
        let c = Type::f32(shape.last().map_or(vec![], |&c| vec![c]));
        let rows = extents(&self.ty()).map_or(0, |[r, _]| r);
        if rows * graph.statistics().size < 2 || weight.ty() != c || bias.ty() != c {
            let what = format!(
                "at least 2 f32 rows of channels, got {:?} with {:?} and {:?}",
                self.ty(),
                weight.ty(),
                bias.ty()
            );
            return graph.poison(format!("batch_norm: takes weight and bias [C] and {what}"));
        }
        let moments = of_batch(graph.apply(Moments, &[self]), Merge::Moments);
        let y = (self - halves(moments)[0]) * (weight * inverse(moments, eps)) + bias;
        graph.apply(BatchNorm { eps }, &[y, self, moments, weight, bias])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{
        Graph, autodiff,
        reference::{self, Values},
    };

    /// The closed form equals autodiff through the composition.
    #[test]
    fn the_closed_form_is_the_compositions_derivative() {
        let g = Graph::new();
        let [x, dy] = ["x", "dy"].map(|name| g.input(name, Type::f32([5, 3])));
        let [w, b] = ["w", "b"].map(|name| g.input(name, Type::f32([3])));
        let [mean, variance] = x.moments();
        let composed = (x - mean) * (variance + 0.1).rsqrt() * w + b;
        for (name, y) in [("closed", x.batch_norm(w, b, 0.1)), ("composed", composed)] {
            let parts = autodiff::vjp(y, dy, &[x, w, b]);
            parts.into_iter().enumerate().for_each(|(i, part)| g.output(&format!("{name} {i}"), part));
        }
        let fill = |shape: &[usize], k: f64| Array::from_fn(shape, |i| ((i as f64 + 1.0) * k).sin());
        let values: Values = [
            ("x", fill(&[5, 3], 1.3)),
            ("dy", fill(&[5, 3], 2.1)),
            ("w", fill(&[3], 0.7)),
            ("b", fill(&[3], 0.2)),
        ]
        .map(|(name, value)| (name.to_string(), value))
        .into();
        let out = reference::eval(&g, &values, &mut Values::new()).unwrap();
        for i in 0..3 {
            let (closed, composed) = (&out[&format!("closed {i}")], &out[&format!("composed {i}")]);
            assert!(
                closed.data.iter().zip(&composed.data).all(|(a, b)| (a - b).abs() < 1e-12),
                "{i}: {closed:?} {composed:?}"
            );
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (shape, channels) in [(&[1, 3][..], 3), (&[4, 3], 2), (&[3], 3)] {
            let g = Graph::new();
            let w = g.input("w", Type::f32([channels]));
            let _ = g.input("x", Type::f32(shape)).batch_norm(w, w, 1e-5);
            let error = g.check().unwrap_err().to_string();
            assert!(
                error.contains("batch_norm: takes weight and bias [C]") && error.contains("batch_norm.rs"),
                "{error}"
            );
        }
    }
}
