//! What needs no launch of its own, by the plans' launches; the numbers are still the reference's.

use crate::{
    harness::{self, Case, Report},
    subjects::all_caps,
};
use oneiro::{
    graph::{Graph, Tensor, shape::Type},
    plan::Plan,
};

/// A name, a graph, and the labels of its launches on every class of adapters.
type Spared = (&'static str, fn(&Graph), &'static [&'static str]);

const SPARED: [Spared; 8] = [
    ("a constant that is computed", |g| g.output("y", g.full([8], 2.0).sqrt() * g.full([8], 3.0)), &[]),
    (
        "a half that begins at a multiple of 256 bytes",
        |g| {
            let h = x(g, [2, 64]).matmul(g.input("w", Type::f32([64, 64])));
            g.output("y", h.slice(0, 1..2).max_over(&[0]));
        },
        &["matmul", "max_over"],
    ),
    (
        "one that begins elsewhere",
        |g| {
            let h = x(g, [2, 60]).matmul(g.input("w", Type::f32([60, 60])));
            g.output("y", h.slice(0, 1..2).max_over(&[0]));
        },
        &["matmul", "copy", "max_over"],
    ),
    (
        "one of a half",
        |g| {
            let h = x(g, [4, 64]).matmul(g.input("w", Type::f32([64, 64])));
            g.output("y", h.slice(0, 2..4).reshape([128]).slice(0, 64..128).max_over(&[0]));
        },
        &["matmul", "max_over"],
    ),
    (
        "a range beside what it comes from",
        |g| {
            let h = x(g, [2, 64]).matmul(g.input("w", Type::f32([64, 64])));
            g.output("y", h.slice(0, 1..2).matmul(h.slice(0, 0..1).reshape([64, 1])));
            g.output("half", h.slice(0, 1..2));
        },
        &["matmul", "mul → sum"],
    ),
    ("a sum of a cluster", |g| g.output("y", (x(g, [8, 12]) * 2.0).tanh().sum(&[0])), &["mul+tanh → sum"]),
    (
        "a sum of what is read elsewhere",
        |g| {
            let y = x(g, [8, 12]).tanh();
            g.output("y", y.sum(&[1]));
            g.output("max", y.max_over(&[0]));
        },
        &["tanh", "max_over | sum"],
    ),
    ("one tensor beside none", |g| g.output("y", g.concat(&[x(g, [4]).tanh()], 0)), &["tanh"]),
];

fn x<const N: usize>(g: &Graph, shape: [usize; N]) -> Tensor<'_> {
    g.input("x", Type::f32(shape))
}

#[test]
fn what_lies_there_needs_no_launch() {
    for (name, build, expected) in SPARED {
        let graph = Graph::new();
        build(&graph);
        for (adapter, caps) in all_caps() {
            let plan = Plan::new(&graph, &caps).unwrap();
            let labels: Vec<&str> = plan.launches.iter().map(|l| l.label.as_str()).collect();
            assert_eq!(labels, expected, "{name} on {adapter}");
        }
    }
    let Some(gpu) = harness::gpu() else { return };
    let cases = SPARED.map(|(name, build, _)| Case::new("spared", name, build).tolerance(1e-5, 1e-5));
    Report::default().family(gpu, "spared launches", &cases);
}
