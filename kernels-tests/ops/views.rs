//! Ops that move elements: as kernels of their own (u32, many axes), inside clusters, and as parts of a
//! packed row that their producers write themselves. Nothing may be rounded.

use crate::harness::{Case, Fill};
use oneiro::graph::{
    Graph, Tensor,
    shape::{DType, Type},
};

type Build = for<'g> fn(Tensor<'g>) -> Tensor<'g>;

/// A view of a rank-3 tensor `[n, m, k]`.
const VIEWS: [(&str, Build); 17] = [
    ("reshape", |x| x.reshape([x.shape().numel()])),
    ("permute", |x| x.permute(&[1, 0, 2])),
    ("permute", |x| x.permute(&[0, 2, 1])),
    ("permute", |x| x.permute(&[2, 0, 1])),
    ("permute", |x| x.permute(&[2, 1, 0])),
    ("slice", |x| x.slice(0, 1..2)),
    ("slice", |x| x.slice(1, 1..x.shape()[1])),
    ("slice", |x| x.slice(2, 0..x.shape()[2] - 1)),
    ("slice", |x| x.slice(0, 1..2).slice(1, 1..3).slice(2, 1..2)),
    ("broadcast", |x| {
        x.reshape([&[1][..], &x.shape()].concat()).broadcast_to([&[3][..], &x.shape()].concat())
    }),
    ("broadcast", |x| x.slice(2, 0..1).broadcast_to(x.shape())),
    ("pad", |x| x.pad(0, 1, 2)),
    ("pad", |x| x.pad(1, 0, 4)),
    ("pad", |x| x.pad(2, 4, 0).pad(2, 3, 1)),
    ("pad", |x| x.shift(2, x.shape()[2] - 1)),
    ("pad", |x| x.shift(0, 0).shift(2, x.shape()[2] / 2)),
    ("concat", |x| x.graph().concat(&[x, x.slice(1, 0..2), x], 1)),
];

fn view(name: &'static str, which: usize, build: Build, shape: [usize; 3], dtype: DType) -> Case {
    let make = move |g: &Graph| g.output("y", build(g.input("a", Type { shape: shape.into(), dtype })));
    Case::new(name, format!("{which} {dtype:?} {shape:?}"), make).tolerance(0.0, 0.0)
}

fn concats(sizes: [usize; 3], axis: usize) -> Case {
    let make = move |g: &Graph| {
        let part = |(i, n): (usize, usize)| {
            let shape = if axis == 0 { [n, 6] } else { [6, n] };
            g.input(["a", "b", "c"][i], Type::f32(shape))
        };
        let parts: Vec<_> = sizes.into_iter().enumerate().map(part).collect();
        g.output("y", g.concat(&parts, axis));
    };
    Case::new("concat", format!("{sizes:?} along {axis}"), make).tolerance(0.0, 0.0)
}

/// A packed row whose parts are inputs, clusters, products and views.
fn packs(n: usize) -> Case {
    let make = move |g: &Graph| {
        let (a, b) = (g.input("a", Type::f32([n, 5])), g.input("b", Type::f32([5, n])));
        g.output("y", g.pack(&[a, a.matmul(b), b.t() + 1.0, a.sum(&[1]), b.slice(0, 1..3)]));
    };
    Case::new("pack", format!("{n}"), make).tolerance(2e-6, 1e-5)
}

/// Views in the middle of clusters.
fn clusters(shape: [usize; 2]) -> Vec<Case> {
    type Pair = for<'g> fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>;
    let builds: [(&str, Pair); 5] = [
        ("transposed operand", |x, y| x.t() * y),
        ("sliced operand", |x, y| x.slice(0, 1..2).reshape([x.shape()[1], 1]) - y),
        ("reshaped operand", |x, y| (x.tanh().reshape(y.shape()) + y).reshape(x.shape()) * x),
        ("view of a cluster", |x, y| (x.exp().t() + y).slice(0, 1..x.shape()[1]).t()),
        ("padded operand", |x, y| x.pad(0, 1, 0).slice(0, 0..x.shape()[0]).t() + y),
    ];
    builds
        .map(|(name, build)| {
            let [n, m] = shape;
            let make = move |g: &Graph| {
                g.output("y", build(g.input("a", Type::f32([n, m])), g.input("b", Type::f32([m, n]))))
            };
            Case::new("views in clusters", format!("{name} {shape:?}"), make)
        })
        .into()
}

/// A permutation of six axes, more than a cluster can address.
fn six(order: [usize; 6]) -> Case {
    let make = move |g: &Graph| {
        let x = g.input("a", Type::f32([2, 3, 2, 5, 3, 4]));
        g.output("y", x.permute(&order));
        g.output("z", x.permute(&order).exp());
    };
    Case::new("permute", format!("{order:?}"), make)
}

fn many() -> Vec<Case> {
    let n = 65_601;
    let u32s = |shape: Vec<usize>| Type { shape: shape.into(), dtype: DType::U32 };
    let word = |name: &'static str, shape: Vec<usize>, build: Build| {
        let label = format!("U32 {shape:?}");
        let make = move |g: &Graph| g.output("y", build(g.input("a", u32s(shape.clone()))));
        Case::new(name, label, make).fill("a", Fill::Whole(0, 1 << 20)).many_workgroups(1)
    };
    vec![
        word("permute", vec![n, 3], |x| x.t()),
        word("permute", vec![n, 2, 4], |x| x.permute(&[1, 0, 2])),
        word("pad", vec![n, 3], |x| x.pad(1, 1, 0)),
        word("pad", vec![n, 4], |x| x.pad(1, 4, 0)),
        word("concat", vec![n, 3], |x| x.graph().concat(&[x, x], 1)),
        word("concat", vec![n, 4], |x| x.graph().concat(&[x, x], 1)),
    ]
}

pub(crate) fn cases() -> Vec<Case> {
    let mut out = vec![];
    for (which, (name, build)) in VIEWS.into_iter().enumerate() {
        let shapes = [[2, 3, 2], [3, 5, 7], [4, 8, 4], [2, 3, 64], [5, 31, 8], [2, 257, 3], [17, 4, 128]];
        // Around the tiles of transposes, and several of them.
        let tiles =
            [[15, 3, 16], [16, 3, 15], [16, 4, 16], [31, 3, 33], [32, 5, 32], [33, 3, 31], [97, 3, 67]];
        for shape in [shapes, tiles].concat() {
            out.extend([DType::F32, DType::U32].map(|dtype| view(name, which, build, shape, dtype)));
        }
    }
    for sizes in [[1, 1, 1], [4, 8, 12], [3, 4, 5], [64, 128, 64], [1, 255, 257]] {
        out.extend([concats(sizes, 0), concats(sizes, 1)]);
    }
    out.extend([1, 4, 7, 12, 13, 64].map(packs));
    out.extend([[2, 2], [3, 4], [7, 5], [32, 33], [64, 20]].into_iter().flat_map(clusters));
    out.extend([[5, 4, 3, 2, 1, 0], [1, 0, 3, 2, 4, 5], [0, 2, 1, 4, 3, 5]].map(six));
    out.extend(many());
    out
}

pub(crate) fn smooth() -> Vec<Case> {
    // Squared, so that second derivatives are not all zero.
    let curved = |build: Build| {
        move |g: &Graph| {
            let x = g.input("a", Type::f32([2, 3, 2]));
            g.output("y", build(x * x).tanh());
        }
    };
    let mut out: Vec<Case> =
        VIEWS.into_iter().map(|(name, build)| Case::new(name, "2x3x2", curved(build))).collect();
    out.push(Case::new("pack", "2x5", |g| {
        let a = g.input("a", Type::f32([2, 5]));
        g.output("y", g.pack(&[a, a.tanh() * a, a.sum(&[1])]).square());
    }));
    out.extend(clusters([2, 2]));
    out
}
