//! What tells that a game has ended: one player wins every time, or the generator draws one picture only.

use crate::{
    data::Images,
    models::gan::Objective,
    run::measures::{spread, spread_of},
};

/// A share of real pictures' diversity below which samples are nearly one picture.
const NARROW: f64 = 0.25;
/// A probability that counts as sure.
const SURE: f64 = 0.99;

/// Watches a game.
pub(super) struct Watch {
    objective: Objective,
    pixels: usize,
    real: f64,
}

impl Watch {
    pub(super) fn new(objective: Objective, set: &Images) -> Self {
        let pixels = set.height * set.width * set.channels;
        Self { objective, pixels, real: spread_of(set) }
    }

    /// The mean squared distance between two of the pictures, as a share of that between real ones.
    pub(super) fn diversity(&self, pictures: &[f32]) -> f64 {
        spread(pictures.iter().copied(), self.pixels) / self.real.max(1e-12)
    }

    /// What is wrong, in words, from an epoch's means and the samples' diversity.
    pub(super) fn warning(&self, means: &[f64], diversity: f64) -> Option<String> {
        let [_, _, real, fake] = *means else { return None };
        let probabilities = matches!(self.objective, Objective::Minimax | Objective::NonSaturating);
        if diversity < NARROW {
            let what = "the generator draws nearly the same picture from all noise (mode collapse)";
            return Some(format!(
                "{what}: samples differ {:.0} % as much as real images; try a smaller --lr, --loss wasserstein-gp, or more --discriminator-steps",
                100.0 * diversity
            ));
        }
        if probabilities && real > SURE && fake < 1.0 - SURE {
            return Some(format!(
                "the discriminator is always right (D(x) {real:.3}, D(G(z)) {fake:.3}), so the generator learns little; \
                 try --smooth 0.1, --instance-noise 0.1, --spectral, or a smaller --lr-discriminator"
            ));
        }
        if probabilities && (real - fake).abs() < 1.0 - SURE && (real - 0.5).abs() > 0.25 {
            return Some(format!(
                "the discriminator does not tell the pictures apart (D(x) {real:.3}, D(G(z)) {fake:.3}) and is not undecided either; \
                 try a larger --lr-discriminator or more --discriminator-steps"
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> Watch {
        let pixels = vec![0, 255, 255, 0, 0, 0, 255, 255];
        let set = Images { count: 4, height: 1, width: 2, channels: 1, classes: 0, pixels, labels: None };
        Watch::new(Objective::NonSaturating, &set)
    }

    #[test]
    fn diversity_is_a_share_of_the_real_pictures() {
        let watch = watch();
        assert!((watch.diversity(&[0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0]) - 1.0).abs() < 1e-9);
        assert_eq!(watch.diversity(&[0.3, 0.7, 0.3, 0.7]), 0.0);
        // Two pictures at squared distance 2; the four real ones' pairs have the mean 8/6.
        assert!((watch.diversity(&[0.0, 1.0, 1.0, 0.0]) - 1.5).abs() < 1e-9);
    }

    #[test]
    fn collapses_are_told_in_words() {
        let watch = watch();
        let said = |real, fake, diversity| watch.warning(&[0.0, 0.0, real, fake], diversity).unwrap_or_default();
        assert!(said(0.7, 0.3, 0.01).contains("mode collapse"));
        assert!(said(0.999, 0.001, 1.0).contains("always right"));
        assert!(said(0.9, 0.9, 1.0).contains("does not tell"));
        assert_eq!(said(0.7, 0.3, 1.0), "");
        assert_eq!(said(0.5, 0.5, 1.0), "");
    }
}
