//! Batch normalisation (Ioffe & Szegedy 2015) over all axes but the last, the channels. Two reductions are kernels: a batch's
//! mean and variance in one sound pass ([`Moments`]), and the two sums of its derivative ([`CentredSums`]). Everything by
//! elements is ordinary nodes, which fuse with their neighbours.
//!
//! Autodiff through those nodes would sum five times. [`BatchNorm`] stands for the result and knows the closed form, which is
//! nodes again: every derivative of it follows.

use crate::{
    graph::{
        Tensor,
        op::{Class, LaunchSpec, Lowered, Lowering, Op, Operand, grid_1d},
        shape::{Array, DType, Type},
    },
    kernel::{Shader, caps::AdapterClass},
};

static SHADER: Shader = crate::shader!("batch_norm");
const WORKGROUP: usize = 64;
/// Fewer rows than these are one chunk.
const SHORT: usize = 64;

type Cotangents<'g> = Vec<Option<Tensor<'g>>>;

/// `[.., C]` to `[2, C]`: each channel's mean, and its variance Σ(x - mean)²/R over the R rows.
#[derive(Debug)]
pub struct Moments;

/// (a, x, moments of x) to `[2, C]`: Σa and Σa·(x - mean).
#[derive(Debug)]
pub struct CentredSums;

/// The first input, as what it was computed from: inputs y, x, x's moments, weight and bias, of
/// y = (x - mean)/√(variance + eps)·weight + bias.
#[derive(Debug)]
pub struct BatchNorm {
    /// Added to the variance.
    pub eps: f32,
}

/// Rows and channels.
fn extents(x: &Type) -> Result<[usize; 2], String> {
    match x.shape.split_last() {
        Some((&c, outer)) if x.dtype == DType::F32 && x.shape.numel() > 0 && !outer.is_empty() => {
            Ok([outer.iter().product(), c])
        }
        _ => Err(format!("takes f32 of rows and channels, got {x:?}")),
    }
}

/// The two rows of `[2, C]`.
fn halves(pair: Tensor<'_>) -> [Tensor<'_>; 2] {
    let c = pair.shape()[1];
    [0, 1].map(|i| pair.slice(0, i..i + 1).reshape([c]))
}

/// 1/√(variance + eps) of moments.
fn inverse(moments: Tensor<'_>, eps: f32) -> Tensor<'_> {
    (halves(moments)[1] + eps).rsqrt()
}

/// Chunks of rows in one launch, and a second one that makes one of them. About √R chunks of √R rows, so that no loop is long.
fn lower(
    at: &Lowering<'_>,
    x: usize,
    entry: [&'static str; 2],
    join: &'static str,
    inputs: &[[&'static str; 2]],
) -> Result<Lowered, String> {
    let [r, c] = extents(&at.inputs[x])?;
    let wide = c.is_multiple_of(4);
    let (unit, i) = if wide { (4, 1) } else { (1, 0) };
    let short = if at.caps.class == AdapterClass::Gpu { SHORT / 4 } else { SHORT };
    let chunk = if r <= 2 * short { r } else { r.isqrt().max(short) };
    let s = r.div_ceil(chunk);
    let numel = r * c;
    let whole = s == 1;
    let dims = |launch: LaunchSpec, n: usize, c: usize| {
        let launch = launch.dim("n", n).dim("c", c).dim("r", r).dim("chunk", chunk).dim("s", s);
        launch
            .constant("WORKGROUP", WORKGROUP as f64)
            .dim_f32("factor", if whole { 1.0 / r as f32 } else { 1.0 })
    };
    let n = s * c / unit;
    let first = LaunchSpec::new(&SHADER, entry[i], grid_1d(n.div_ceil(WORKGROUP)));
    let first =
        inputs.iter().enumerate().fold(first, |launch, (k, names)| launch.bind(names[i], Operand::Input(k)));
    let first = dims(first, n, c / unit)
        .bind(["y", "y4"][i], if whole { Operand::Output } else { Operand::Scratch(0) })
        .cost(6 * numel, 4 * (inputs.len().min(2) * numel + 2 * s * c) as u64)
        .why(if wide {
            "four channels of a chunk of rows each"
        } else {
            "a channel of a chunk of rows each"
        });
    if whole {
        return Ok(first.into());
    }
    let n = if join == "merge" { c } else { 2 * c };
    let second = dims(LaunchSpec::new(&SHADER, join, grid_1d(n.div_ceil(WORKGROUP))), n, c)
        .bind("x", Operand::Scratch(0))
        .bind("y", Operand::Output)
        .cost(6 * s * c, 8 * (s + 1) as u64 * c as u64)
        .why("chunks joined");
    Ok(Lowered { launches: vec![first, second], scratch: vec![Type::f32([2 * s * c]).bytes()] })
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
        lower(at, 0, ["moments", "moments4"], "merge", &[["x", "x4"]])
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
        lower(at, 1, ["sums", "sums4"], "total", &[["a", "a4"], ["x", "x4"], ["means", "means4"]])
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

    /// Total by x: what goes through its moments is part of it. ∂x = (∂y - Σ∂y/R - (x - mean)·Σ∂y(x - mean)/R·inverse²)·scale.
    fn vjp<'g>(&self, inputs: &[Tensor<'g>], _: Tensor<'g>, ct: Tensor<'g>) -> Cotangents<'g> {
        let [x, moments, weight] = [1, 2, 3].map(|i| inputs[i]);
        let [sum, along] = halves(ct.graph().apply(CentredSums, &[ct, x, moments]));
        let inverse = inverse(moments, self.eps);
        let share = weight.shape().numel() as f32 / x.shape().numel() as f32;
        let slope = along * inverse.square() * share;
        // Not x - mean, which would be kept from the forward step rather than computed again.
        let by_x = (ct - sum * share + (halves(moments)[0] - x) * slope) * (weight * inverse);
        vec![None, Some(by_x), None, Some(along * inverse), Some(sum)]
    }

    fn lower(&self, _: &Lowering<'_>) -> Result<Lowered, String> {
        Err("a batch norm aliases its first input".into())
    }

    fn class(&self) -> Class {
        Class::Alias
    }
}

impl<'g> Tensor<'g> {
    /// Mean and variance (Σ(x - mean)²/R) of each channel over all axes but the last, `[C]` each; R at least 1.
    #[track_caller]
    #[must_use]
    pub fn moments(self) -> [Tensor<'g>; 2] {
        match self.graph().apply(Moments, &[self]) {
            pair if pair.shape().len() == 2 => halves(pair),
            poison => [poison; 2],
        }
    }

    /// (x - mean)/√(variance + eps)·weight + bias with the moments of x itself over all axes but the last, the channels, at
    /// least 2 rows of them; weight and bias are `[C]`. The moments are [`Tensor::moments`].
    #[track_caller]
    #[must_use]
    pub fn batch_norm(self, weight: Tensor<'g>, bias: Tensor<'g>, eps: f32) -> Tensor<'g> {
        let (graph, shape) = (self.graph(), self.shape());
        let c = Type::f32(shape.last().map_or(vec![], |&c| vec![c]));
        let rows = extents(&self.ty()).map_or(0, |[r, _]| r);
        if rows < 2 || weight.ty() != c || bias.ty() != c {
            let what = format!(
                "at least 2 f32 rows of channels, got {:?} with {:?} and {:?}",
                self.ty(),
                weight.ty(),
                bias.ty()
            );
            return graph.poison(format!("batch_norm: takes weight and bias [C] and {what}"));
        }
        let moments = graph.apply(Moments, &[self]);
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

    /// The closed form against autodiff through the composition.
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
