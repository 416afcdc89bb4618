//! LSTMs over the pixels of images: the three orders at the edges of images and tiles, with their derivatives.

use crate::harness::{Case, of_order};
use oneiro::{
    graph::{Graph, autodiff, shape::Type},
    ops::recurrence::Order,
};

const ORDERS: [Order; 5] =
    [Order::Rows(1), Order::Rows(3), Order::Rows(5), Order::Diagonals, Order::Mirrored];

/// Images `[N, H, W]` with a number of units. A case of order 0 compares the states, of order 1 the gradient
/// of the gates; `weights` says that the gradient of the weights is compared instead.
fn case(scan: Order, [n, h, w, units]: [usize; 4], order: usize, weights: bool) -> Case {
    let build = move |g: &Graph| {
        let gates = g.input("gates", Type::f32([n, h, w, 4 * units]));
        let weight = g.input("weight", Type::f32([scan.taps().len(), units, 4 * units]));
        // Large weights make a recurrence chaotic: no two roundings would stay together.
        let states = gates.lstm(weight * (1.0 / units as f32), scan);
        let y = if weights {
            autodiff::vjp(states, g.input("cotangent", states.ty()), &[weight])[0]
        } else {
            of_order(g, gates, states, order)
        };
        g.output("y", y);
    };
    let what = if weights { " weight gradient" } else { ["", " gradient"][order] };
    let name = format!("lstm {scan:?}{what}");
    Case::new(name, format!("{n}x{h}x{w}, {units} units"), build).tolerance(1e-5, 1e-5).terms(8 * units)
}

pub(crate) fn cases() -> Vec<Case> {
    let few =
        [[1, 1, 1, 1], [2, 1, 5, 3], [1, 5, 1, 4], [3, 4, 7, 5], [2, 7, 4, 8], [1, 9, 9, 17], [5, 13, 13, 4]];
    // The last two are of longer sums than a GPU's lanes load at once, and of more states than fill its workgroups.
    let many =
        [[16, 5, 7, 16], [2, 28, 28, 32], [1, 3, 130, 20], [1, 65, 2, 12], [1, 3, 5, 68], [13, 2, 130, 20]];
    let mut out = vec![];
    for scan in ORDERS {
        for extents in few.into_iter().chain(many) {
            out.extend([0, 1].map(|order| case(scan, extents, order, false)));
        }
        out.extend(few.map(|extents| case(scan, extents, 0, true)));
    }
    out
}

pub(crate) fn smooth() -> Vec<Case> {
    let of = |scan: Order| [[2, 3, 4, 2], [1, 4, 3, 3]].map(|extents| case(scan, extents, 0, false).once());
    ORDERS.into_iter().flat_map(of).collect()
}

#[test]
fn a_second_derivative_names_the_line_that_asks_for_it() {
    let g = Graph::new();
    let gates = g.input("gates", Type::f32([1, 2, 2, 8]));
    let weight = g.input("weight", Type::f32([2, 2, 8]));
    let first = autodiff::grad(gates.lstm(weight, Order::Diagonals), &[gates])[0];
    assert!(g.check().is_ok());
    let line = line!() + 1;
    let _ = autodiff::grad(first, &[weight]);
    let error = g.check().unwrap_err().to_string();
    assert!(error.contains("not offered") && error.contains(&format!("recurrence.rs:{line}")), "{error}");
}

#[test]
fn mistakes_are_named() {
    for (gates, weight, order) in [
        (vec![1, 2, 2, 8], vec![3, 2, 8], Order::Diagonals),
        (vec![1, 2, 2, 6], vec![2, 2, 8], Order::Diagonals),
        (vec![2, 2, 8], vec![2, 2, 8], Order::Mirrored),
        (vec![1, 2, 2, 8], vec![2, 2, 8], Order::Rows(2)),
    ] {
        let g = Graph::new();
        let line = line!() + 1;
        let _ = g.input("gates", Type::f32(gates)).lstm(g.input("weight", Type::f32(weight)), order);
        let error = g.check().unwrap_err().to_string();
        assert!(error.contains("scan: ") && error.contains(&format!("recurrence.rs:{line}")), "{error}");
    }
}
