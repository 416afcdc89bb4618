//! Signs that the game of two players has failed: one player always wins, or the generator draws only one
//! picture.

use crate::{data::Images, models::gan::Objective};

/// Below this share of the real pictures' diversity, the samples count as nearly one picture.
const NARROW: f64 = 0.25;
/// How close the scores must come to their best values before the discriminator counts as always right.
const NEAR: f64 = 0.05;
/// The number of steps before warnings begin: at first, a generator draws one picture in any case.
const BEGUN: u64 = 300;

/// Judges a game by its scores and its samples.
pub struct Watch {
    objective: Objective,
    labels: [f64; 2],
    pixels: usize,
    real: f64,
}

impl Watch {
    /// Watches a game with this objective. `labels` are the mean labels of real and of drawn pictures; the
    /// real images `set` give the diversity to compare with.
    pub fn new(objective: Objective, labels: [f64; 2], set: &Images) -> Self {
        let pixels = set.height * set.width * set.channels;
        Self { objective, labels, pixels, real: spread_of(set) }
    }

    /// The mean squared distance between two of the pictures (values in [0, 1]), divided by that between two
    /// real images; 1 if the real images are all equal.
    pub fn diversity(&self, pictures: &[f32]) -> f64 {
        if self.real > 0.0 { spread(pictures.iter().copied(), self.pixels) / self.real } else { 1.0 }
    }

    /// Returns a warning if the generator draws nearly one picture only. `diversity` is that of the samples,
    /// by [`Watch::diversity`].
    pub fn collapse(&self, step: u64, diversity: f64) -> Option<String> {
        let other = match self.objective {
            Objective::Wasserstein => "more discriminator steps",
            _ => "the loss wasserstein-gp, or more discriminator steps",
        };
        (step >= BEGUN && diversity < NARROW).then(|| {
            let what = "the generator draws nearly the same picture from all noise (mode collapse)";
            format!(
                "{what}: samples differ {:.0} % as much as real images; try a smaller step size, {other}",
                100.0 * diversity
            )
        })
    }

    /// Returns a warning if the game goes wrong. `means` are an epoch's means of the game's four metrics:
    /// both losses, then the discriminator's judgement of real and of drawn pictures.
    pub fn warning(&self, step: u64, means: &[f64], diversity: f64) -> Option<String> {
        let [loss, _, real, fake] = *means else { return None };
        let probabilities = matches!(self.objective, Objective::Minimax | Objective::NonSaturating);
        // The best values that a discriminator can reach: the labels of real and of drawn pictures, or a loss
        // of 0 with scores beyond both hinges.
        let right = match self.objective {
            Objective::Wasserstein => false,
            Objective::Hinge => loss < NEAR,
            _ => real > self.labels[0] * (1.0 - NEAR) && fake < self.labels[1] + NEAR,
        };
        if let Some(what) = self.collapse(step, diversity) {
            return Some(what);
        }
        if step >= BEGUN && right {
            let smooth = if self.objective.has_labels() && self.labels == [1.0, 0.0] {
                "labels smoothed by 0.1, "
            } else {
                ""
            };
            return Some(format!(
                "the discriminator is always right (D(x) {real:.3}, D(G(z)) {fake:.3}), so the generator learns little; \
                 try {smooth}instance noise of 0.1, spectral normalisation, or a smaller step size of the discriminator"
            ));
        }
        if step >= BEGUN && probabilities && (real - fake).abs() < 0.01 && (real - 0.5).abs() > 0.25 {
            return Some(format!(
                "the discriminator does not tell the pictures apart (D(x) {real:.3}, D(G(z)) {fake:.3}) and is not undecided either; \
                 try a larger step size of the discriminator or more discriminator steps"
            ));
        }
        None
    }
}

/// The mean squared distance between two pictures, summed over their `pixels` values in [0, 1]. The mean is
/// over all pairs, which is twice the sum of the values' unbiased variances; it is 0 for fewer than two
/// pictures.
pub fn spread(values: impl Iterator<Item = f32>, pixels: usize) -> f64 {
    let (mut sums, mut squares, mut count) = (vec![0.0; pixels], 0.0, 0);
    for value in values.map(f64::from) {
        sums[count % pixels] += value;
        squares += value * value;
        count += 1;
    }
    let n = (count / pixels.max(1)) as f64;
    let mean = sums.iter().map(|s| s * s).sum::<f64>() / n.max(1.0);
    if n < 2.0 { 0.0 } else { 2.0 * (squares - mean) / (n - 1.0) }
}

/// The [`spread`] of a data set's images.
pub fn spread_of(images: &Images) -> f64 {
    spread(
        images.pixels.iter().map(|&b| f32::from(b) / 255.0),
        images.height * images.width * images.channels,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(objective: Objective, smooth: f64) -> Watch {
        let pixels = vec![0, 255, 255, 0, 0, 0, 255, 255];
        let set = Images { count: 4, height: 1, width: 2, channels: 1, classes: 0, pixels, labels: None };
        Watch::new(objective, [1.0 - smooth, 0.0], &set)
    }

    #[test]
    fn diversity_is_a_share_of_the_real_pictures() {
        let watch = watch(Objective::NonSaturating, 0.0);
        assert!((watch.diversity(&[0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0]) - 1.0).abs() < 1e-9);
        assert_eq!(watch.diversity(&[0.3, 0.7, 0.3, 0.7]), 0.0);
        // Two pictures have the squared distance 2; the pairs of the four real ones have the mean 8/6.
        assert!((watch.diversity(&[0.0, 1.0, 1.0, 0.0]) - 1.5).abs() < 1e-9);
    }

    #[test]
    fn collapses_are_told_in_words() {
        let watch = watch(Objective::NonSaturating, 0.0);
        let at = |watch: &Watch, step, loss, real, fake, diversity| {
            watch.warning(step, &[loss, 0.0, real, fake], diversity).unwrap_or_default()
        };
        let said = |real, fake, diversity| at(&watch, BEGUN, 1.0, real, fake, diversity);
        assert!(
            said(0.7, 0.3, 0.01).contains("mode collapse") && said(0.7, 0.3, 0.01).contains("wasserstein-gp")
        );
        assert_eq!(at(&watch, BEGUN - 1, 1.0, 0.7, 0.3, 0.01), "");
        assert!(said(0.98, 0.02, 1.0).contains("always right"));
        assert!(said(0.9, 0.9, 1.0).contains("does not tell"));
        assert_eq!(said(0.7, 0.3, 1.0), "");
        assert_eq!(said(0.5, 0.5, 1.0), "");
        // Other objectives have other best values: smoothed labels, scores beyond the hinges, or none at all.
        let [smooth, squares, hinge, distance] = [
            (Objective::NonSaturating, 0.1),
            (Objective::LeastSquares, 0.0),
            (Objective::Hinge, 0.0),
            (Objective::Wasserstein, 0.0),
        ]
        .map(|(objective, smooth)| super::tests::watch(objective, smooth));
        assert!(at(&smooth, BEGUN, 1.0, 0.89, 0.01, 1.0).contains("always right"));
        assert!(at(&squares, BEGUN, 0.01, 0.97, 0.03, 1.0).contains("always right"));
        assert!(
            at(&hinge, BEGUN, 0.01, 8.5, -3.5, 1.0).contains("always right")
                && at(&hinge, BEGUN, 1.5, 0.9, 0.1, 1.0).is_empty()
        );
        assert_eq!(at(&distance, BEGUN, -9.0, 8.5, -3.5, 1.0), "");
        let told = at(&distance, BEGUN, -9.0, 8.5, -3.5, 0.01);
        assert!(told.contains("mode collapse") && !told.contains("wasserstein-gp"), "{told}");
        assert!(!at(&hinge, BEGUN, 0.01, 8.5, -3.5, 1.0).contains("smoothed"));
    }
}
