//! Batch normalisation: moments of rows just below and above a chunk and of values far from 0, derivatives of
//! the first and second order, and consumers that fuse with it.

use crate::harness::{Case, Fill};
use oneiro::{
    graph::{Graph, Tensor, autodiff, shape::Type},
    ops::batch_norm::CentredSums,
};

/// Numbers of rows just below and above a chunk, and of channels around multiples of four.
const ROWS: [usize; 13] = [2, 3, 31, 33, 63, 128, 129, 256, 257, 1_000, 2_048, 2_049, 4_097];
const CHANNELS: [usize; 8] = [1, 3, 4, 7, 8, 20, 64, 65];

fn moments(rows: usize, c: usize, low: f64) -> Case {
    let build = move |g: &Graph| {
        let [mean, variance] = g.input("x", Type::f32([rows, c])).moments();
        g.output("mean", mean);
        g.output("variance", variance);
    };
    Case::new("moments", format!("{rows}x{c} from {low}"), build)
        .fill("x", Fill::Uniform(low, low + 2.0))
        .tolerance(2e-5, 2e-6)
}

/// The op that follows the normalised tensor.
type After = for<'g> fn(Tensor<'g>) -> Tensor<'g>;
const AFTER: [(&str, After); 2] = [("", |y| y), (" + leaky_relu", |y| y.leaky_relu(0.2))];

/// The inputs x, w and b, and the result.
fn normalised<'g>(g: &'g Graph, shape: &[usize], after: After) -> ([Tensor<'g>; 3], Tensor<'g>) {
    let c = shape[shape.len() - 1];
    let [x, w, b] =
        [("x", shape), ("w", &[c][..]), ("b", &[c][..])].map(|(name, shape)| g.input(name, Type::f32(shape)));
    ([x, w, b], after(x.batch_norm(w, b, 1e-5)))
}

/// A case of order 0 compares the tensor, of order 1 its gradients, of order 2 the gradients by x and w of
/// the gradient by x.
fn case(shape: &[usize], order: usize, (name, after): (&str, After)) -> Case {
    let dims = shape.to_vec();
    let build = move |g: &Graph| {
        let (inputs, y) = normalised(g, &dims, after);
        if order == 0 {
            return g.output("y", y);
        }
        let first = autodiff::vjp(y, g.input("dy", y.ty()), &inputs);
        let wanted = match order {
            1 => first,
            _ => autodiff::vjp(first[0], g.input("ddx", y.ty()), &inputs[..2]),
        };
        ["a", "b", "c"].iter().zip(wanted).for_each(|(name, gradient)| g.output(name, gradient));
    };
    let what = ["batch_norm", "batch_norm gradient", "batch_norm second derivative"][order];
    let rows = shape.iter().product::<usize>() / shape[shape.len() - 1];
    Case::new(format!("{what}{name}"), format!("{shape:?}"), build)
        .tolerance([1e-5, 1e-5, 5e-5][order], 1e-5)
        .terms(1 + rows / 16)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut out: Vec<Case> =
        ROWS.into_iter().flat_map(|rows| CHANNELS.map(|c| moments(rows, c, -1.0))).collect();
    // Each chunk takes two trips to memory.
    out.push(moments(2_049, 1_824, -1.0));
    // A difference of mean squares would be all rounding here.
    out.extend([(5, 3), (128, 4), (4_097, 5)].map(|(rows, c)| moments(rows, c, 1_000.0)));
    for shape in [
        &[2, 1][..],
        &[7, 3],
        &[33, 4],
        &[129, 5],
        &[300, 64],
        &[2, 3, 3, 8],
        &[3, 7, 5, 12],
        &[4, 16, 16, 6],
        &[8, 8, 8, 32],
        &[2_311, 20],
    ] {
        out.extend([0, 1, 2].into_iter().flat_map(|order| AFTER.map(|after| case(shape, order, after))));
    }
    // More workgroups than a dispatch's x holds.
    for c in [65_601, 4 * 65_601] {
        // Of hundreds of thousands of channels with few rows, some would have next to no variance to divide
        // by.
        out.extend([moments(2, c, -1.0), case(&[5, c], 1, AFTER[0])].map(|case| case.many_workgroups(1)));
    }
    out
}

pub(crate) fn smooth() -> Vec<Case> {
    let sums = |g: &Graph| {
        let [a, x] = ["a", "x"].map(|name| g.input(name, Type::f32([4, 3])));
        g.output("y", g.apply(CentredSums, &[a, x, g.input("moments", Type::f32([2, 3]))]));
    };
    let part = |i: usize| move |g: &Graph| g.output("y", g.input("x", Type::f32([2, 2, 3])).moments()[i]);
    let mut out: Vec<Case> =
        [&[5, 3][..], &[2, 2, 2, 4]].into_iter().flat_map(|s| AFTER.map(|after| case(s, 0, after))).collect();
    out.push(Case::new("centred_sums", "4x3", sums));
    out.extend([0, 1].map(|i| Case::new("moments", format!("part {i}"), part(i))));
    out
}
