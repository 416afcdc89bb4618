//! Dropout (Srivastava et al. 2014) by noise that is computed again: y = x·keep/(1 - rate), where keep is 1
//! with probability 1 - rate, else 0.
//!
//! The mask is never stored: it is a function of (seed, stream, step, element). The op is linear and
//! self-adjoint. Its derivative, at any order, is therefore the same op with the same stream on the
//! cotangent, which draws the same numbers again.

use super::random::{check_counter, counter, inputs, quads, with_stream};
use crate::{
    graph::{
        Tensor,
        op::{Lowered, Lowering, Op, Operand},
        shape::{Array, DType, Type},
    },
    kernel::Shader,
    rng::{self, RandomStream},
};

static SHADER: Shader = crate::shader!("dropout");

/// x·keep/(1 - rate), where keep is uniform(stream) ≥ rate, drawn anew in every step. The inputs are x (f32,
/// any shape), seed and step.
#[derive(Debug)]
pub struct Dropout {
    /// The stream of the mask.
    pub stream: RandomStream,
    /// The share of the elements that become 0, in [0, 1).
    pub rate: f32,
}

impl Op for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn infer(&self, types: &[Type]) -> Result<Type, String> {
        let [x, seed, step] = inputs(types)?;
        match x.dtype {
            DType::F32 if (0.0..1.0).contains(&self.rate) => check_counter(seed, step).map(|()| x.clone()),
            DType::F32 => Err(format!("takes a rate in [0, 1), got {}", self.rate)),
            other => Err(format!("takes f32, not {other:?}; convert with `.to_f32()`")),
        }
    }

    fn reference(&self, x: &[&Array]) -> Array {
        let (key, step) = counter(&self.stream, x[1], x[2]);
        let of = |e| self.stream.element(e, x[0].data.len());
        let keep = |e: usize| f64::from(u8::from(rng::uniform(key, step, of(e)) >= self.rate));
        Array::from_fn(x[0].shape.clone(), |e| x[0].data[e] * keep(e) / (1.0 - f64::from(self.rate)))
    }

    fn vjp<'g>(&self, x: &[Tensor<'g>], _: Tensor<'g>, ct: Tensor<'g>) -> Vec<Option<Tensor<'g>>> {
        let same = Dropout { stream: self.stream.clone(), rate: self.rate };
        vec![Some(ct.graph().apply(same, &[ct, x[1], x[2]])), None, None]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let n = at.output.shape.numel();
        let launch = quads(&SHADER, n.is_multiple_of(4), ["dropout", "dropout_tail"], n)
            .bind("x", Operand::Input(0))
            .dim_f32("rate", self.rate)
            .dim_f32("scale", 1.0 / (1.0 - self.rate))
            .cost(2 * n, 8 * n as u64);
        Ok(with_stream(launch, &self.stream, n, 1).into())
    }
}

impl<'g> Tensor<'g> {
    /// Drops each element with probability `rate` (in [0, 1)) and divides the others by 1 - rate, anew in
    /// every step; self where the rate is 0. The stream has this name, and no other draw may use it. A bound
    /// stream holds the uniform numbers to compare with, in self's shape. Training graphs call this, graphs
    /// for evaluation do not.
    #[track_caller]
    #[must_use]
    pub fn dropout(self, stream: &str, rate: f32) -> Tensor<'g> {
        let graph = self.graph();
        graph.claim_stream(stream);
        if rate == 0.0 {
            return self;
        }
        if graph.is_bound(stream) {
            return self * graph.input(stream, Type::f32(self.shape())).ge(rate) * (1.0 / (1.0 - rate));
        }
        graph.apply(Dropout { stream: graph.stream(stream), rate }, &[self, graph.seed(), graph.step()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;

    fn mask(stream: &str, rate: f32, step: f64, n: usize) -> Vec<f64> {
        let (seed, step) = (Array::new([2], vec![3.0, 4.0]), Array::new([1], vec![step]));
        Dropout { stream: RandomStream::new(stream), rate }
            .reference(&[&Array::from_fn([n], |_| 1.0), &seed, &step])
            .data
    }

    /// The mask's mean is 1 and its variance rate/(1 - rate), within four standard errors; neighbours, steps
    /// and streams are independent.
    #[test]
    fn masks_have_their_moments() {
        let n = 40_000;
        let mean = |v: &mut dyn Iterator<Item = f64>| v.sum::<f64>() / n as f64;
        for rate in [0.1f32, 0.5, 0.9] {
            let m = mask("a", rate, 5.0, n);
            let (p, variance) = (f64::from(rate), f64::from(rate) / (1.0 - f64::from(rate)));
            let error = 4.0 * (variance / n as f64).sqrt();
            let kept = 1.0 / (1.0 - p);
            assert!(m.iter().all(|&v| v == 0.0 || v == kept));
            assert!((mean(&mut m.iter().copied()) - 1.0).abs() < error);
            // (m - 1)² is kept - 1 for the elements that are kept, squared, else 1. Its own spread bounds the
            // error.
            let spread =
                ((p * (1.0 - p)).sqrt() * ((kept - 1.0).powi(2) - 1.0).abs() / (n as f64).sqrt()).max(1e-9);
            assert!((mean(&mut m.iter().map(|v| (v - 1.0).powi(2))) - variance).abs() < 4.0 * spread);
            let others = [mask("a", rate, 6.0, n), mask("b", rate, 5.0, n), [&m[1..], &m[..1]].concat()];
            for other in others {
                let covariance = mean(&mut m.iter().zip(&other).map(|(a, b)| (a - 1.0) * (b - 1.0)));
                assert!(
                    covariance.abs() < 4.0 * variance / (n as f64).sqrt(),
                    "rate {rate}: covariance {covariance}"
                );
            }
        }
    }

    #[test]
    fn rate_zero_is_the_tensor_itself() {
        let g = Graph::new();
        let x = g.input("x", Type::f32([3]));
        assert_eq!(x.dropout("d", 0.0).id(), x.id());
        assert!(g.check().is_ok());
    }

    #[test]
    fn mistakes_are_named() {
        for rate in [1.0, -0.1, f32::NAN] {
            let g = Graph::new();
            let _ = g.input("x", Type::f32([3])).dropout("d", rate);
            let error = g.check().unwrap_err().to_string();
            assert!(
                error.contains("dropout: takes a rate in [0, 1), got") && error.contains("dropout.rs"),
                "{error}"
            );
        }
        let g = Graph::new();
        let x = g.input("x", Type::f32([3]));
        let _ = x.dropout("d", 0.5) + x.dropout("d", 0.5);
        assert!(g.check().unwrap_err().to_string().contains("`d` is used twice"));
    }
}
