//! The labels by which a discriminator learns what is real.
//!
//! Tricks of the trade make them softer or wrong now and then, so that a discriminator is never quite sure (Chintala
//! et al. 2016, "How to Train a GAN?", no. 6, <https://github.com/soumith/ganhacks>; Salimans et al. 2016, §3.4).

use crate::graph::Tensor;

/// Labels of real pictures and of the generator's, 1 and 0 if nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Labels {
    /// The smallest and the largest label of real pictures. Each picture's is uniform between them.
    pub real: [f32; 2],
    /// The smallest and the largest label of the generator's pictures.
    pub fake: [f32; 2],
    /// The probability with which a picture gets the label of the other kind.
    pub flipped: f32,
}

impl Default for Labels {
    fn default() -> Self {
        Self { real: [1.0; 2], fake: [0.0; 2], flipped: 0.0 }
    }
}

/// The labels of a batch.
#[derive(Clone, Copy)]
pub(super) enum Label<'g> {
    /// All pictures have this one.
    All(f32),
    /// Each picture has its own, `[N]`.
    Each(Tensor<'g>),
}

impl Labels {
    /// One-sided smoothing: real pictures have the label 1 - `smooth` (Salimans et al. 2016, §3.4).
    pub fn smoothed(smooth: f32) -> Self {
        Self { real: [1.0 - smooth; 2], ..Self::default() }
    }

    /// Whether these are numbers, and a probability.
    pub(super) fn make_sense(&self) -> bool {
        let numbers = self.real.iter().chain(&self.fake).all(|label| label.is_finite());
        numbers && (0.0..=1.0).contains(&self.flipped)
    }

    /// The mean labels of real pictures and of the generator's.
    pub fn means(&self) -> [f64; 2] {
        let [real, fake] = [self.real, self.fake].map(|[low, high]| f64::from(low + high) / 2.0);
        let flipped = f64::from(self.flipped);
        [real + flipped * (fake - real), fake + flipped * (real - fake)]
    }

    /// The labels for scores `[N]` of real pictures and of the generator's. Random streams, where labels are random:
    /// `label.real` and `label.fake`; where some are flipped: `flip.real` and `flip.fake`.
    #[track_caller]
    pub(super) fn of<'g>(&self, [real, fake]: [Tensor<'g>; 2]) -> [Label<'g>; 2] {
        let of_real = self.drawn(real, ["label.real", "flip.real"], [self.real, self.fake]);
        [of_real, self.drawn(fake, ["label.fake", "flip.fake"], [self.fake, self.real])]
    }

    #[track_caller]
    fn drawn<'g>(&self, scores: Tensor<'g>, streams: [&str; 2], [own, other]: [[f32; 2]; 2]) -> Label<'g> {
        let (g, flips) = (scores.graph(), self.flipped > 0.0);
        let random = |[low, high]: [f32; 2]| low != high;
        if !random(own) && !flips {
            return Label::All(own[0]);
        }
        let share = (random(own) || flips && random(other)).then(|| g.uniform(streams[0], scores.shape()));
        let between = |[low, high]: [f32; 2]| match share {
            Some(share) if low != high => share * (high - low) + low,
            _ => g.full(scores.shape(), low),
        };
        if !flips {
            return Label::Each(between(own));
        }
        let flip = g.full(scores.shape(), self.flipped).bernoulli(streams[1]);
        Label::Each(flip.select(between(other), between(own)))
    }
}

impl<'g> Label<'g> {
    /// The binary cross-entropy of these labels under logits, in nats.
    #[track_caller]
    pub(super) fn cross_entropy(self, logits: Tensor<'g>) -> Tensor<'g> {
        match self {
            Label::All(0.0) => logits.softplus(),
            Label::All(label) => logits.bce_with_logits(label),
            Label::Each(labels) => logits.bce_with_logits(labels),
        }
    }

    /// The squared distance of scores from these labels.
    #[track_caller]
    pub(super) fn squared(self, scores: Tensor<'g>) -> Tensor<'g> {
        match self {
            Label::All(0.0) => scores.square(),
            Label::All(label) => (scores - label).square(),
            Label::Each(labels) => (scores - labels).square(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::{
            Graph,
            reference::{self, Values},
        },
        optim::advance,
    };

    /// Labels are drawn anew in every step, as often flipped as was asked for.
    #[test]
    fn labels_flip_as_often_as_they_should() {
        let g = Graph::new();
        let labels = Labels { flipped: 0.05, ..Labels::default() };
        let [Label::Each(real), Label::Each(fake)] = labels.of([g.full([1000], 0.0); 2]) else {
            panic!("flipped labels are each picture's own");
        };
        g.output("real", real);
        g.output("fake", fake);
        advance(&g);
        let mut state = reference::initial(&g, 3);
        let steps: Vec<Values> =
            (0..20).map(|_| reference::eval(&g, &Values::new(), &mut state).unwrap()).collect();
        for (name, wrong) in [("real", 0.0), ("fake", 1.0)] {
            let of = |out: &Values| out[name].data.iter().filter(|&&label| label == wrong).count();
            let flips: Vec<usize> = steps.iter().map(of).collect();
            let all = flips.iter().sum::<usize>() as f64 / 20_000.0;
            // Four standard errors.
            assert!((all - 0.05).abs() < 4.0 * (0.05 * 0.95f64 / 20_000.0).sqrt(), "{name}: {all}");
            assert!(
                steps[0][name].data != steps[1][name].data && steps[0]["real"].data != steps[0]["fake"].data
            );
        }
        let [real, fake] = labels.means();
        assert!((real - 0.95).abs() < 1e-6 && (fake - 0.05).abs() < 1e-6);
    }
}
