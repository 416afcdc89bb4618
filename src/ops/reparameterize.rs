//! The reparameterisation trick (Kingma & Welling 2013, section 2.4): z = mu + exp(logvar/2)·eps with eps ~
//! N(0, 1), so that z is differentiable in mu and logvar. Draw and transform are one launch, and the noise is
//! never stored: derivatives draw it again from the same counter.
//!
//! With w_k(c) = c·2^-k·exp(logvar/2)·eps ([`ScaledNoise`]), dz/dlogvar pulls c back to w_1(c), and the
//! derivatives of w_k are w_k and w_{k+1}. So the pair of ops is closed under differentiation.

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

static SHADER: Shader = crate::shader!("reparameterize");
type Cotangents<'g> = Vec<Option<Tensor<'g>>>;

/// mu + exp(logvar/2)·eps. The inputs are mu, logvar, seed and step.
#[derive(Debug)]
pub struct Reparameterize {
    /// The stream of eps.
    pub stream: RandomStream,
}

/// c·2^-halvings·exp(logvar/2)·eps, where eps is drawn again. The inputs are c, logvar, seed and step.
#[derive(Debug)]
pub struct ScaledNoise {
    /// The stream of eps, which is that of the op whose derivative this is.
    pub stream: RandomStream,
    /// How often logvar was differentiated.
    pub halvings: u32,
}

/// Checks two f32 tensors of one shape, and the counter.
fn infer(types: &[Type]) -> Result<Type, String> {
    let [a, logvar, seed, step] = inputs(types)?;
    if a.dtype != DType::F32 || a != logvar {
        return Err(format!("takes two f32 tensors of one shape, got {a:?} and {logvar:?}"));
    }
    check_counter(seed, step).map(|()| a.clone())
}

/// The noise exp(logvar/2)·eps of element `e`.
fn deviation<'a>(stream: &RandomStream, x: &'a [&Array]) -> impl Fn(usize) -> f64 + use<'a> {
    let (key, step) = counter(stream, x[2], x[3]);
    let (logvar, first) = (&x[1].data, stream.element(0, x[1].data.len()));
    move |e| (0.5 * logvar[e]).exp() * rng::normal(key, step, first.wrapping_add(e as u32))
}

/// The launch of both ops; `first` is the WGSL name of the first input.
fn lower(
    at: &Lowering<'_>,
    stream: &RandomStream,
    entry: [&'static str; 2],
    first: &'static str,
    factor: f32,
) -> Lowered {
    let n = at.output.shape.numel();
    let launch = quads(&SHADER, n.is_multiple_of(4), entry, n)
        .bind(first, Operand::Input(0))
        .bind("logvar", Operand::Input(1))
        .dim_f32("factor", factor)
        .cost(50 * n, 12 * n as u64);
    with_stream(launch, stream, n, 2).into()
}

impl Op for Reparameterize {
    fn name(&self) -> &'static str {
        "reparameterize"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        infer(inputs)
    }

    fn reference(&self, x: &[&Array]) -> Array {
        let deviation = deviation(&self.stream, x);
        Array::from_fn(x[0].shape.clone(), |e| x[0].data[e] + deviation(e))
    }

    fn vjp<'g>(&self, x: &[Tensor<'g>], _: Tensor<'g>, ct: Tensor<'g>) -> Cotangents<'g> {
        let noise = ScaledNoise { stream: self.stream.clone(), halvings: 1 };
        vec![Some(ct), Some(ct.graph().apply(noise, &[ct, x[1], x[2], x[3]])), None, None]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        Ok(lower(at, &self.stream, ["reparameterize", "reparameterize_tail"], "mu", 1.0))
    }
}

impl Op for ScaledNoise {
    fn name(&self) -> &'static str {
        "scaled_noise"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        infer(inputs)
    }

    fn reference(&self, x: &[&Array]) -> Array {
        let (deviation, factor) = (deviation(&self.stream, x), 0.5f64.powi(self.halvings as i32));
        Array::from_fn(x[0].shape.clone(), |e| x[0].data[e] * factor * deviation(e))
    }

    fn vjp<'g>(&self, x: &[Tensor<'g>], _: Tensor<'g>, ct: Tensor<'g>) -> Cotangents<'g> {
        let noise = |c, halvings| {
            let op = ScaledNoise { stream: self.stream.clone(), halvings };
            Some(ct.graph().apply(op, &[c, x[1], x[2], x[3]]))
        };
        vec![noise(ct, self.halvings), noise(ct * x[0], self.halvings + 1), None, None]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let factor = 0.5f32.powi(self.halvings as i32);
        Ok(lower(at, &self.stream, ["scaled_noise", "scaled_noise_tail"], "cotangent", factor))
    }
}

/// A sample of N(mu, exp(logvar)), differentiable in both, which have one shape. The stream has this name,
/// and no other draw may use it. A bound stream is eps itself.
#[track_caller]
#[must_use]
pub fn reparameterize<'g>(stream: &str, mu: Tensor<'g>, logvar: Tensor<'g>) -> Tensor<'g> {
    let graph = mu.graph();
    graph.claim_stream(stream);
    if graph.is_bound(stream) {
        return mu + (logvar * 0.5).exp() * graph.input(stream, mu.ty());
    }
    graph.apply(Reparameterize { stream: graph.stream(stream) }, &[mu, logvar, graph.seed(), graph.step()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;

    /// The analytic derivatives equal central differences of the references.
    #[test]
    fn derivatives_match_differences() {
        let (stream, h) = (RandomStream::new("eps"), 1e-5);
        let (seed, step) = (Array::new([2], vec![7.0, 0.0]), Array::new([1], vec![2.0]));
        let x = |shift: f64| Array::new([3], vec![-1.0 + shift, 0.3 + shift, 2.0 + shift]);
        let (c, z) = (Array::new([3], vec![1.0, -2.0, 0.5]), Reparameterize { stream: stream.clone() });
        let noise = |k, logvar: &Array| {
            ScaledNoise { stream: stream.clone(), halvings: k }.reference(&[&c, logvar, &seed, &step])
        };
        let [low, high] = [-h, h].map(|d| z.reference(&[&c, &x(d), &seed, &step]));
        let [low1, high1] = [-h, h].map(|d| noise(1, &x(d)));
        let (once, twice) = (noise(1, &x(0.0)), noise(2, &x(0.0)));
        for e in 0..3 {
            assert!(((high.data[e] - low.data[e]) / (2.0 * h) * c.data[e] - once.data[e]).abs() < 1e-8);
            assert!(((high1.data[e] - low1.data[e]) / (2.0 * h) - twice.data[e]).abs() < 1e-8);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let graph = Graph::new();
        let mu = graph.input("mu", Type::f32([2, 3]));
        let logvar = graph.input("logvar", Type::f32([3, 2]));
        let _ = reparameterize("eps", mu, logvar);
        let error = graph.check().unwrap_err().to_string();
        assert!(error.contains("reparameterize.rs") && error.contains("one shape"), "{error}");
    }
}
