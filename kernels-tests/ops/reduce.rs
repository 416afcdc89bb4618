//! Sums, maxima and log-sum-exps over every pattern of axes, with lengths just below and above each cut of a
//! long reduction; and the functions that are composed of them.

use crate::harness::{Case, Fill};
use oneiro::graph::{Graph, Tensor, shape::Type};

/// The name of a reduction, and the reduction over some axes.
type Kind = (&'static str, for<'g> fn(Tensor<'g>, &[usize]) -> Tensor<'g>);
const KINDS: [Kind; 3] = [
    ("sum", |x, axes| x.sum(axes)),
    ("max_over", |x, axes| x.max_over(axes)),
    ("logsumexp", |x, axes| x.logsumexp(axes)),
];

fn case(kind: Kind, shape: &[usize], axes: &[usize]) -> Case {
    let (dims, over) = (shape.to_vec(), axes.to_vec());
    let build = move |g: &Graph| g.output("y", kind.1(g.input("a", Type::f32(&dims[..])), &over));
    let case = Case::new(kind.0, format!("{shape:?} over {axes:?}"), build);
    let terms = axes.iter().map(|&a| shape[a]).product();
    match kind.0 {
        "sum" => case.tolerance(1e-6, 1e-6).terms(terms),
        "max_over" => case.tolerance(0.0, 0.0),
        _ => case.fill("a", Fill::Uniform(-8.0, 8.0)).tolerance(3e-6, 3e-6),
    }
}

/// Shapes, each with the axes that are reduced.
fn patterns() -> Vec<(Vec<usize>, Vec<usize>)> {
    let mut out = vec![];
    for n in [
        1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 63, 64, 65, 255, 256, 257, 1_023, 1_024, 1_025, 4_095, 4_096,
        4_097, 10_007, 32_767, 32_768, 32_769, 70_000, 262_145,
    ] {
        out.push((vec![n], vec![0]));
    }
    for [n, m] in [
        [1, 7],
        [7, 1],
        [3, 4],
        [5, 33],
        [64, 64],
        [63, 65],
        [65, 100],
        [257, 12],
        [2, 5_000],
        [5_000, 3],
        [1_500, 8],
        [300, 1_029],
        [17, 16],
        [61, 67],
        [257, 256],
        [65, 4_112],
        [2_048, 20],
        [2_049, 20],
        [2_048, 19],
        [2_049, 19],
    ] {
        out.push((vec![n, m], vec![1]));
        out.push((vec![n, m], vec![0]));
        out.push((vec![n, m], vec![0, 1]));
    }
    for [a, b, c] in [[1, 1, 1], [2, 3, 4], [3, 5, 7], [4, 64, 12], [7, 65, 1], [2, 1_100, 5]] {
        for axes in [&[0][..], &[1], &[2], &[0, 1], &[0, 2], &[1, 2], &[0, 1, 2]] {
            out.push((vec![a, b, c], axes.to_vec()));
        }
    }
    out.push((vec![2, 3, 4, 5, 2], vec![0, 2, 4]));
    out.push((vec![8, 14, 14, 4], vec![0, 1, 2]));
    out.push((vec![12_544, 64], vec![0]));
    out
}

/// Reductions whose kernels need more workgroups than a dispatch's x holds.
fn many() -> Vec<Case> {
    let shapes: [(&[usize], &[usize]); 5] = [
        (&[65_601, 3], &[1]),
        (&[65_601, 4], &[1]),
        (&[3, 65_601], &[0]),
        (&[3, 4 * 65_601], &[0]),
        (&[65_601, 33], &[1]),
    ];
    shapes.map(|(shape, axes)| case(KINDS[0], shape, axes).many_workgroups(1)).into()
}

fn composed(shape: [usize; 2]) -> Vec<Case> {
    type Build = for<'g> fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>;
    let builds: [(&str, Build); 8] = [
        ("mean", |x, _| x.mean(&[1])),
        ("mean_all", |x, _| x.mean_all()),
        ("min_over", |x, _| x.min_over(&[0])),
        ("softmax", |x, _| x.softmax(1)),
        ("log_softmax", |x, _| x.log_softmax(0)),
        ("cross_entropy", |x, t| x.cross_entropy(t.softmax(1))),
        ("sum of a fused operand", |x, t| (x * t).tanh().sum(&[0])),
        ("fused consumer", |x, t| (x - x.mean(&[0])) * t.square().mean(&[0]).sqrt()),
    ];
    builds
        .map(|(name, build)| {
            let make = move |g: &Graph| {
                g.output("y", build(g.input("a", Type::f32(shape)), g.input("b", Type::f32(shape))))
            };
            Case::new(name, format!("{shape:?}"), make).tolerance(1e-6, 3e-6).terms(shape[0].max(shape[1]))
        })
        .into()
}

/// Sums of what a cluster makes of three tensors: of the shape, of its last axis, and of all but its last axis.
fn of_clusters() -> Vec<Case> {
    let case = |(shape, axes): (Vec<usize>, Vec<usize>)| {
        let (terms, what) = (axes.iter().map(|&a| shape[a]).product(), format!("{shape:?} over {axes:?}"));
        let build = move |g: &Graph| {
            let (last, outer) = shape.split_last().expect("a pattern has axes");
            let x = g.input("a", Type::f32(&shape[..]));
            let row = g.input("b", Type::f32([*last]));
            let column = g.input("c", Type::f32([outer, &[1]].concat()));
            g.output("y", (x * row + column * 0.5).tanh().sum(&axes));
        };
        Case::new("sum of a cluster", what, build).tolerance(1e-6, 1e-6).terms(terms)
    };
    patterns().into_iter().map(case).collect()
}

pub(crate) fn cases() -> Vec<Case> {
    let mut out: Vec<Case> = KINDS
        .iter()
        .flat_map(|&k| patterns().into_iter().map(move |(shape, axes)| case(k, &shape, &axes)))
        .chain(of_clusters())
        .collect();
    out.extend(many());
    // Each chunk takes two trips to memory.
    out.push(case(KINDS[0], &[1024 * 4096 + 17], &[0]));
    out.extend([[1, 1], [3, 10], [17, 64], [128, 33]].into_iter().flat_map(composed));
    // A NaN shows in what it is part of, by every kernel.
    let nans: [(&[usize], &[usize]); 10] = [
        (&[40, 10], &[1]),
        (&[40, 12], &[1]),
        (&[10, 40], &[0]),
        (&[10, 41], &[0]),
        (&[9, 300], &[1]),
        (&[10_007], &[0]),
        (&[9, 301], &[1]),
        (&[40_001], &[0]),
        (&[2_311, 20], &[0]),
        (&[2_311, 19], &[0]),
    ];
    out.extend(KINDS.iter().flat_map(|&k| nans.map(|(shape, axes)| case(k, shape, axes).holes("a"))));
    // Logits far outside of what exp can take.
    for far in [90.0, 1e4] {
        let large = case(KINDS[2], &[33, 10], &[1]);
        out.push(large.fill("a", Fill::Uniform(-far, far)));
    }
    out
}

pub(crate) fn smooth() -> Vec<Case> {
    let shapes: [(&[usize], &[usize]); 4] =
        [(&[5], &[0]), (&[3, 4], &[1]), (&[2, 3, 2], &[1]), (&[2, 2, 3], &[0, 2])];
    let near = |c: Case| c.fill("a", Fill::Uniform(-2.0, 2.0));
    let mut out: Vec<Case> =
        KINDS.iter().flat_map(|&k| shapes.map(|(shape, axes)| near(case(k, shape, axes)))).collect();
    out.extend(composed([3, 4]));
    out
}
