//! What is measured over the steps, and its moving average. Both stay short: where they get long, every second point is
//! left out.

/// The most points of a curve.
const MOST: usize = 600;
/// A new value's weight falls from 1 as 4/(n + 4) over the first values n, which change the fastest.
const FIRST: f64 = 4.0;

/// A curve of points of step and value.
pub(crate) struct Curve {
    /// The least weight of a new value in the average.
    fresh: f64,
    raw: Vec<[f64; 2]>,
    smooth: Vec<[f64; 2]>,
    mean: Option<f64>,
    /// The number of values in the average.
    averaged: u64,
    /// The number of values so far, of which one in `stride` is kept.
    values: u64,
    stride: u64,
}

impl Curve {
    /// Makes a curve in whose average a new value's weight is at least `fresh`.
    pub(crate) fn new(fresh: f64) -> Self {
        Self { fresh, raw: vec![], smooth: vec![], mean: None, averaged: 0, values: 0, stride: 1 }
    }

    /// Takes the value of a step.
    pub(crate) fn push(&mut self, step: u64, value: f64) {
        let weight = self.fresh.max(FIRST / (self.averaged as f64 + FIRST));
        let mean = self.mean.map_or(value, |mean| mean + weight * (value - mean));
        self.mean = Some(mean);
        self.averaged += 1;
        if self.values.is_multiple_of(self.stride) {
            self.raw.push([step as f64, value]);
            self.smooth.push([step as f64, mean]);
        }
        self.values += 1;
        if self.raw.len() > MOST {
            for points in [&mut self.raw, &mut self.smooth] {
                *points = points.iter().copied().step_by(2).collect();
            }
            self.stride *= 2;
        }
    }

    /// Begins another average, for values that have nothing to do with those before.
    pub(crate) fn anew(&mut self) {
        self.averaged = 0;
    }

    /// The average now, if there is a value.
    pub(crate) fn last(&self) -> Option<f64> {
        self.mean
    }

    /// The values as they were.
    pub(crate) fn raw(&self) -> &[[f64; 2]] {
        &self.raw
    }

    /// The averages.
    pub(crate) fn smooth(&self) -> &[[f64; 2]] {
        &self.smooth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_curve_is_thinned_and_keeps_its_ends() {
        let mut curve = Curve::new(0.1);
        (1..=10_000).for_each(|step| curve.push(step, 3.0));
        for points in [curve.raw(), curve.smooth()] {
            assert!(points.len() <= MOST && points.len() > MOST / 3);
            let steps: Vec<_> = points.iter().map(|point| point[0]).collect();
            assert!(steps.is_sorted() && steps[0] == 1.0 && steps[steps.len() - 1] > 9_900.0);
        }
        assert_eq!(curve.last(), Some(3.0));
    }

    #[test]
    fn an_average_follows_and_may_begin_anew() {
        let mut curve = Curve::new(0.1);
        (0..100).for_each(|step| curve.push(step, if step < 50 { 8.0 } else { 2.0 }));
        let last = curve.last().unwrap();
        assert!(last > 2.0 && last < 2.1, "{last}");
        curve.push(100, 12.0);
        assert!((curve.last().unwrap() - 3.0).abs() < 0.1);
        curve.anew();
        curve.push(101, 12.0);
        assert_eq!((curve.last(), curve.raw()[101]), (Some(12.0), [101.0, 12.0]));
    }
}
