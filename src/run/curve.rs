//! A curve over training steps, such as a loss. Its points can be smoothed or thinned out for a plot.

/// A line of a plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// The text in the legend. A curve with an empty label is not in the legend.
    pub label: String,
    /// The points (x, y) in the order of x. A point with a NaN makes a gap.
    pub points: Vec<(f64, f64)>,
}

impl Curve {
    /// Makes a curve of these points.
    pub fn new(label: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { label: label.into(), points }
    }

    /// Replaces each value by the mean of up to `window` values around it.
    ///
    /// At the start the window shrinks on both sides, so that a steep beginning keeps its place; at the end
    /// it shrinks on one side, so that the last point does not jump.
    pub fn smoothed(&self, window: usize) -> Self {
        let last = self.points.len().saturating_sub(1);
        let mean = |(i, &(x, y)): (usize, &(f64, f64))| {
            let reach = (window / 2).min(i);
            let near = &self.points[i - reach..=(i + reach).min(last)];
            let finite = near.iter().map(|p| p.1).filter(|v| v.is_finite());
            let (sum, count) = finite.fold((0.0, 0.0), |(sum, n), v| (sum + v, n + 1.0));
            // A gap stays a gap, although its neighbours have a mean.
            (x, if y.is_finite() { sum / count } else { y })
        };
        let points = self.points.iter().enumerate().map(mean).collect();
        Self::new(self.label.clone(), points)
    }

    /// Takes about `count` points at even distances, and always the last one.
    pub(super) fn thinned(&self, count: usize) -> Self {
        let every = self.points.len().div_ceil(count).max(1);
        let last = self.points.len().saturating_sub(1);
        let keep = |(i, p): (usize, &(f64, f64))| (i % every == 0 || i == last).then_some(*p);
        let points = self.points.iter().enumerate().filter_map(keep).collect();
        Self::new(self.label.clone(), points)
    }

    /// The points that can be drawn: the distances between them are finite, too.
    pub(super) fn finite(&self) -> impl Iterator<Item = (f64, f64)> {
        const LARGEST: f64 = 1e100;
        self.points.iter().copied().filter(|p| p.0.abs() < LARGEST && p.1.abs() < LARGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_is_the_mean_around_a_point_and_keeps_start_and_gaps() {
        let curve = |ys: [f64; 4]| Curve::new("c", (0..4).map(|i| (i as f64, ys[i])).collect());
        assert_eq!(curve([2.0, 4.0, 9.0, 5.0]).smoothed(3), curve([2.0, 5.0, 6.0, 7.0]));
        assert_eq!(curve([2.0, 4.0, 9.0, 5.0]).smoothed(0), curve([2.0, 4.0, 9.0, 5.0]));
        let gap = curve([1.0, 3.0, f64::NAN, 5.0]).smoothed(3).points;
        assert!(gap[1].1 == 2.0 && gap[2].1.is_nan());
        assert_eq!(Curve::new("", vec![]).smoothed(9).points, []);
    }

    #[test]
    fn thinning_keeps_both_ends() {
        let points: Vec<_> = (0..1000).map(|i| (i as f64, 0.0)).collect();
        let thin = Curve::new("", points).thinned(100).points;
        assert!(thin.len() <= 101);
        assert_eq!((thin[0].0, thin[thin.len() - 1].0), (0.0, 999.0));
    }
}
