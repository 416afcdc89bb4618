//! What a network's outputs mean: they are the parameters of a pixel's distribution. An autoregressive model
//! is trained by the negative logarithm of that distribution and drawn by its inverse, whatever the network
//! is.
//!
//! Pixels are in [0, 1]. [`Likelihood::Softmax`] and [`Likelihood::Mixture`] take them as levels 0 to 255 of
//! 255.

use crate::graph::Tensor;

/// The grey levels of a channel.
pub(super) const LEVELS: usize = 256;
/// The step between levels of pixels in [0, 1]. It is half the step between pixels in [-1, 1], which the
/// logistics see.
pub(crate) const LEVEL: f32 = 1.0 / (LEVELS - 1) as f32;
/// The bounds of a logistic's log-scale: PixelCNN++'s lower bound, and an upper one that keeps scales finite.
const LOG_SCALE: [f32; 2] = [-7.0, 7.0];

/// The distribution of a pixel of C channels, given the network's outputs for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Likelihood {
    /// Each channel is 0 or 1; the outputs are C logits of 1.
    #[default]
    Bernoulli,
    /// Each channel has a softmax over 256 levels (van den Oord et al. 2016a, §3.4); the outputs are 256·C
    /// logits, channel by channel.
    Softmax,
    /// The pixel has a mixture of so many discretised logistics (Salimans et al. 2017, "PixelCNN++", §2.1 and
    /// 2.2), in which the channels' means are coupled linearly. The outputs are K logits of the components,
    /// then for each channel K means and K log-scales; with three channels also K coefficients (of red for
    /// green, of red for blue, of green for blue), in the order of the authors' code.
    Mixture(usize),
}

impl Likelihood {
    /// The number of the network's outputs for a pixel of `c` channels.
    pub fn outputs(self, c: usize) -> usize {
        match self {
            Likelihood::Bernoulli => c,
            Likelihood::Softmax => LEVELS.saturating_mul(c),
            Likelihood::Mixture(k) => c.saturating_mul(per_channel(c)).saturating_add(1).saturating_mul(k),
        }
    }

    /// The number of uniform numbers that drawing a pixel takes.
    pub fn uniforms(self, c: usize) -> usize {
        if let Likelihood::Mixture(_) = self { c.saturating_add(1) } else { c }
    }

    /// The number of steps that a pixel takes: its channels are drawn one after another, each seen by the
    /// network, or all at once.
    pub fn steps(self, c: usize) -> usize {
        if let Likelihood::Mixture(_) = self { 1 } else { c }
    }

    /// Whether pixels have 256 levels rather than two.
    pub fn has_levels(self) -> bool {
        self != Likelihood::Bernoulli
    }

    /// -log p, in nats, of pixels `[N, H, W, C]` under outputs `[N, H, W, P]`: of each channel,
    /// `[N, H, W, C]`, or of a mixture, whose channels are one outcome, `[N, H, W, 1]`.
    #[track_caller]
    pub fn nats<'g>(self, outputs: Tensor<'g>, x: Tensor<'g>) -> Tensor<'g> {
        let shape = x.shape();
        let Some((&c, pixels)) = shape.split_last().filter(|_| shape.len() == 4) else {
            return x.graph().poison(format!("likelihood: wants pixels [N, H, W, C], got {shape:?}"));
        };
        if self.has_levels() && c > 3 {
            return x.graph().poison(format!("likelihood: wants 1 to 3 channels, got {c}"));
        }
        let (rows, each) = (pixels.iter().product::<usize>(), [pixels[0], pixels[1], pixels[2]]);
        if outputs.shape()[..] != [each[0], each[1], each[2], self.outputs(c)] {
            let wanted = self.outputs(c);
            return x
                .graph()
                .poison(format!("likelihood: wants outputs [N, H, W, {wanted}], got {:?}", outputs.shape()));
        }
        match self {
            Likelihood::Bernoulli => outputs.bce_with_logits(x),
            Likelihood::Softmax => {
                let logits = outputs.reshape([rows * c, LEVELS]);
                (logits.logsumexp(&[1]) - logits.pick(level(x).reshape([rows * c]))).reshape(shape)
            }
            Likelihood::Mixture(k) => {
                let (outputs, x) =
                    (outputs.reshape([rows, self.outputs(c)]), x.reshape([rows, c]) * 2.0 - 1.0);
                let channel = |i: usize| x.slice(1, i..i + 1);
                let logistic = |i: usize| {
                    let earlier: Vec<_> = (0..i).map(channel).collect();
                    let (mean, log_scale) = component(outputs, k, c, i, &earlier, |part| part);
                    log_probability(channel(i), mean, log_scale)
                };
                let weights = outputs.slice(1, 0..k).log_softmax(1);
                let joint = x.graph().traced(|| (0..c).fold(weights, |sum, i| sum + logistic(i)));
                (-joint.logsumexp(&[1])).reshape([each[0], each[1], each[2], 1])
            }
        }
    }

    /// Draws pixels `[R, C]` from outputs `[R, P]` by uniform numbers in [0, 1), `[R, uniforms]`. A
    /// temperature below 1 prefers what is likely: logits are divided by it, and the scales of logistics are
    /// multiplied by it.
    #[track_caller]
    pub fn draw<'g>(self, outputs: Tensor<'g>, temperature: f32, uniform: Tensor<'g>) -> Tensor<'g> {
        let (rows, n) = (outputs.extent(0), uniform.extent(1));
        if n < self.uniforms(1) {
            let (least, got) = (self.uniforms(1), uniform.shape());
            return outputs
                .graph()
                .poison(format!("likelihood: wants uniform numbers [R, {least}] or more, got {got:?}"));
        }
        if self.has_levels() && n > self.uniforms(3) {
            let got = uniform.shape();
            return outputs
                .graph()
                .poison(format!("likelihood: wants 1 to 3 channels, got uniform numbers {got:?}"));
        }
        if !(temperature > 0.0 && temperature.is_finite()) {
            return outputs
                .graph()
                .poison(format!("likelihood: a temperature is above 0, not {temperature}"));
        }
        match self {
            Likelihood::Bernoulli => uniform.lt((outputs * (1.0 / temperature)).sigmoid()),
            Likelihood::Softmax => {
                let logits = outputs.reshape([rows * n, LEVELS]) * (1.0 / temperature);
                logits.draw_categorical(uniform.reshape([rows * n])).reshape([rows, n]) * LEVEL
            }
            Likelihood::Mixture(k) => outputs.graph().traced(|| {
                let one = |i: usize| uniform.slice(1, i..i + 1);
                let which =
                    (outputs.slice(1, 0..k) * (1.0 / temperature)).draw_categorical(one(0).reshape([rows]));
                let mut drawn: Vec<Tensor<'g>> = vec![];
                for i in 0..n - 1 {
                    let chosen = |part: Tensor<'g>| part.pick(which).reshape([rows, 1]);
                    let (mean, log_scale) = component(outputs, k, n - 1, i, &drawn, chosen);
                    // Away from 0 and 1, whose logits are infinite.
                    let u = one(i + 1).clamp(1e-7, 1.0 - 1e-7);
                    let x = mean + log_scale.exp() * temperature * (u.log() - (1.0 - u).log());
                    drawn.push(level((x.clamp(-1.0, 1.0) + 1.0) * 0.5) * (2.0 * LEVEL) - 1.0);
                }
                (outputs.graph().concat(&drawn, 1) + 1.0) * 0.5
            }),
        }
    }
}

/// The outputs of one component for each channel.
fn per_channel(c: usize) -> usize {
    if c == 1 { 2 } else { 3 }
}

/// The nearest of the 256 levels 0 to 255 to a value in [0, 1].
#[track_caller]
pub(crate) fn level(x: Tensor<'_>) -> Tensor<'_> {
    (x * (LEVELS - 1) as f32 + 0.5).floor()
}

/// The means and log-scales `[R, K]` of channel `i` (of each component, or of the one that `of` picks), given
/// the channels before it in [-1, 1], `[R, 1]` each (PixelCNN++, eq. 3).
#[track_caller]
fn component<'g>(
    outputs: Tensor<'g>,
    k: usize,
    c: usize,
    i: usize,
    earlier: &[Tensor<'g>],
    of: impl Fn(Tensor<'g>) -> Tensor<'g>,
) -> (Tensor<'g>, Tensor<'g>) {
    let part = |channel: usize, j: usize| {
        let at = k.saturating_mul(1 + channel * per_channel(c) + j);
        of(outputs.slice(1, at..at.saturating_add(k)))
    };
    // Coefficients: the first for green, the other two for blue.
    let first = [0, 0, 1][i.min(2)];
    let mean = earlier.iter().zip(first..).fold(part(i, 0), |mean, (&x, j)| mean + part(j, 2).tanh() * x);
    (mean, part(i, 1).clamp(LOG_SCALE[0], LOG_SCALE[1]))
}

/// log P of levels `x` in [-1, 1] under discretised logistics, where the lowest and the highest level take
/// the tails (PixelCNN++, eq. 2).
///
/// With a and b the level's bounds in scales from the mean, σ(a) - σ(b) = σ(a)·σ(-b)·(1 - e^(b-a)), which is
/// no difference of near numbers.
#[track_caller]
pub fn log_probability<'g>(x: Tensor<'g>, mean: Tensor<'g>, log_scale: Tensor<'g>) -> Tensor<'g> {
    let inverse = (-log_scale).exp();
    let (away, half) = ((x - mean) * inverse, inverse * LEVEL);
    // Bounds between levels, since levels may be off by rounding.
    let (not_lowest, not_highest) = (x.gt(LEVEL - 1.0), x.lt(1.0 - LEVEL));
    let below = not_highest.select((-(away + half)).softplus(), 0.0);
    let above = not_lowest.select((away - half).softplus(), 0.0);
    (not_lowest * not_highest).select((half * 2.0).log1mexp(), 0.0) - below - above
}
