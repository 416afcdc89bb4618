//! The part of the y axis that a plot shows.
//!
//! The first steps of training are often many times worse than all others, and a plot with room for them
//! would show a flat line. The range therefore follows most of the points, and points far outside are cut off
//! at the frame.

use super::curve::Curve;

/// This share of a curve's points may lie above the range, and as many below it.
const OUTSIDE: f64 = 0.02;
/// A curve of at least this many points may lose one of them at either end.
const ENOUGH: usize = 8;
/// An extreme is shown in any case if its distance from the range is at most this share of the range's
/// height.
const NEAR: f64 = 0.35;

/// The smallest and the largest finite x. The width of the range is always above zero.
pub(super) fn x_range(curves: &[Curve]) -> (f64, f64) {
    let (low, high) = extremes(curves.iter().flat_map(Curve::finite).map(|p| p.0));
    widen(low, high, 0.0)
}

/// The range that shows most points of every curve, with a small margin.
pub(super) fn y_range(curves: &[Curve]) -> (f64, f64) {
    let mut bulk = (f64::INFINITY, f64::NEG_INFINITY);
    for curve in curves {
        let mut values: Vec<f64> = curve.finite().map(|p| p.1).collect();
        values.sort_by(f64::total_cmp);
        let Some(last) = values.len().checked_sub(1) else {
            continue;
        };
        let one = usize::from(values.len() >= ENOUGH);
        let outside = one.max((values.len() as f64 * OUTSIDE) as usize);
        bulk = (bulk.0.min(values[outside]), bulk.1.max(values[last - outside]));
    }
    let (low, high) = extremes(curves.iter().flat_map(Curve::finite).map(|p| p.1));
    let near = NEAR * (bulk.1 - bulk.0);
    let low = if low >= bulk.0 - near { low } else { bulk.0 };
    let high = if high <= bulk.1 + near { high } else { bulk.1 };
    widen(low, high, 0.04)
}

/// Cuts a line at the lower and the upper edge. What remains may be several pieces.
///
/// A point that is not a number also ends a piece.
pub(super) fn clip(points: &[(f64, f64)], low: f64, high: f64) -> Vec<Vec<(f64, f64)>> {
    let inside = |p: (f64, f64)| p.0.is_finite() && low <= p.1 && p.1 <= high;
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    for (i, &point) in points.iter().enumerate() {
        let crossings = match i.checked_sub(1).map(|j| points[j]) {
            Some(before) => crossings(before, point, low, high),
            None => Vec::new(),
        };
        piece.extend(crossings);
        if inside(point) {
            piece.push(point);
        } else if !piece.is_empty() {
            pieces.push(std::mem::take(&mut piece));
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

/// The points where the segment from `a` to `b` passes an edge, in order.
fn crossings(a: (f64, f64), b: (f64, f64), low: f64, high: f64) -> Vec<(f64, f64)> {
    if [a.0, a.1, b.0, b.1].iter().any(|v| !v.is_finite()) {
        return Vec::new();
    }
    let edges = if a.1 <= b.1 { [low, high] } else { [high, low] };
    let crossed = |edge: &f64| (a.1 < *edge) != (b.1 < *edge) && a.1 != *edge && b.1 != *edge;
    let at = |edge: f64| (a.0 + (b.0 - a.0) * (edge - a.1) / (b.1 - a.1), edge);
    edges.into_iter().filter(crossed).map(at).collect()
}

fn extremes(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
}

fn widen(low: f64, high: f64, air: f64) -> (f64, f64) {
    if low > high {
        return (0.0, 1.0);
    }
    let (height, size) = (high - low, low.abs().max(high.abs()));
    // The ticks of an axis are sums of small steps, which a range of few digits would swallow.
    let margin = match size {
        0.0..1e-100 => 1.0,
        _ if height <= size * 1e-9 => size * 0.1,
        _ => height * air,
    };
    (low - margin, high + margin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(values: impl IntoIterator<Item = f64>) -> Curve {
        Curve::new("c", values.into_iter().enumerate().map(|(i, y)| (i as f64, y)).collect())
    }

    #[test]
    fn a_few_huge_first_losses_do_not_flatten_the_rest() {
        let values = (0..500).map(|i| if i < 5 { 50_000.0 } else { 100.0 + i as f64 / 10.0 });
        let (low, high) = y_range(&[curve(values)]);
        assert!(95.0 < low && low < 101.0, "{low}");
        assert!(149.0 < high && high < 160.0, "{high}");
    }

    #[test]
    fn the_first_of_a_dozen_points_may_be_cut_off_too() {
        let values = (0..12).map(|i| if i == 0 { 500.0 } else { 120.0 - i as f64 });
        assert!(y_range(&[curve(values)]).1 < 130.0);
    }

    #[test]
    fn a_score_that_starts_very_low_is_cut_below() {
        let values = (0..500).map(|i| if i < 5 { -9e4 } else { -100.0 + i as f64 / 10.0 });
        assert!(y_range(&[curve(values)]).0 > -110.0);
    }

    #[test]
    fn all_is_shown_where_nothing_is_extreme_or_points_are_few() {
        let (low, high) = y_range(&[curve([3.0, 1.0, 2.0]), curve([7.0])]);
        assert!(low < 1.0 && high > 7.0 && high < 8.0);
        let (_, high) = y_range(&[curve((0..1000).map(f64::from))]);
        assert!(high >= 999.0);
    }

    #[test]
    fn constant_empty_and_broken_curves_have_a_range() {
        for curves in [vec![], vec![curve([])], vec![curve([2.0])], vec![curve([f64::NAN, 0.0])]] {
            let ((x0, x1), (y0, y1)) = (x_range(&curves), y_range(&curves));
            assert!(x0 < x1 && y0 < y1, "{curves:?}");
        }
    }

    #[test]
    fn a_line_is_cut_where_it_meets_the_edge() {
        let points = [(0.0, 10.0), (1.0, 0.0), (2.0, 1.0), (3.0, f64::NAN), (4.0, 2.0)];
        let pieces = clip(&points, 0.0, 5.0);
        let first = vec![(0.5, 5.0), (1.0, 0.0), (2.0, 1.0)];
        assert_eq!(pieces, [first, vec![(4.0, 2.0)]]);
    }

    #[test]
    fn a_segment_through_the_whole_range_keeps_its_middle() {
        let pieces = clip(&[(0.0, 10.0), (1.0, -10.0)], -5.0, 5.0);
        assert_eq!(pieces, [[(0.25, 5.0), (0.75, -5.0)]]);
    }
}
