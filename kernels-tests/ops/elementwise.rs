//! Every row of the elementwise table at tile edges and primes, broadcasts of two operands, and
//! expressions that become one kernel.

use crate::{
    harness::{Case, Fill},
    subjects::{Ready, adapter},
};
use oneiro::{
    graph::{
        Graph, Tensor,
        shape::{Shape, Type},
    },
    ops::elementwise::{TABLE, map},
};

/// Sizes around 4 elements, which an invocation makes, and 1,024, which a workgroup makes.
const SIZES: [usize; 14] = [1, 3, 4, 5, 31, 64, 127, 257, 1_023, 1_024, 1_025, 4_099, 5_120, 10_007];
/// A size that needs more than 65,535 workgroups of one invocation.
const MANY: usize = 4 * 65_600 + 1;
const NAMES: [&str; 3] = ["a", "b", "c"];

/// f32 inputs of these shapes.
pub(crate) fn inputs<'g>(g: &'g Graph, shapes: &[&[usize]]) -> Vec<Tensor<'g>> {
    shapes.iter().zip(NAMES).map(|(&shape, name)| g.input(name, Type::f32(shape))).collect()
}

/// A case of one row over inputs of these shapes, each in the row's domain.
fn row(name: &'static str, shapes: &[&[usize]]) -> Case {
    let owned: Vec<Vec<usize>> = shapes.iter().map(|s| s.to_vec()).collect();
    let label = shapes.iter().map(|&s| format!("{:?}", Shape::from(s))).collect::<Vec<_>>().join(" ");
    let case = Case::new(name, label, move |g| {
        let shapes: Vec<&[usize]> = owned.iter().map(Vec::as_slice).collect();
        g.output("y", map(name, &inputs(g, &shapes)));
    });
    let (ties, unit) = (Fill::Whole(0, 4), Fill::Uniform(0.0, 1.0));
    match name {
        "exp" | "softplus" | "sigmoid" | "tanh" => case.fill("a", Fill::Uniform(-6.0, 6.0)),
        "expm1" => case.fill("a", Fill::Uniform(-1.0, 1.0)).tolerance(1e-7, 1e-5),
        "log1mexp" => case.fill("a", Fill::Uniform(0.05, 9.0)),
        "floor" => case.fixed("a").tolerance(0.0, 0.0),
        "log" | "sqrt" | "rsqrt" | "recip" => case.fill("a", Fill::Uniform(0.1, 4.0)),
        "div" => case.fill("b", Fill::Uniform(0.2, 3.0)),
        "lt" | "le" | "gt" | "ge" | "eq" | "ne" => case.fill("a", ties).fill("b", ties).tolerance(0.0, 0.0),
        "leaky_relu" => case.fill("b", unit),
        "bce_with_logits" => case.fill("a", Fill::Uniform(-6.0, 6.0)).fill("b", unit),
        "select" => case.fill("a", Fill::Whole(0, 2)).fixed("a").tolerance(0.0, 0.0),
        "clamp" => case
            .fill("b", Fill::Uniform(-1.0, -0.2))
            .fill("c", Fill::Uniform(0.2, 1.0))
            .fixed("b")
            .fixed("c")
            .tolerance(0.0, 0.0),
        "identity" | "neg" | "abs" | "sign" | "relu" | "min" | "max" => case.tolerance(0.0, 0.0),
        _ => case,
    }
}

/// Pairs of shapes that broadcast.
fn pairs() -> Vec<[Vec<usize>; 2]> {
    let mut out = vec![];
    for [n, m] in [[1, 1], [1, 7], [5, 1], [3, 4], [7, 13], [32, 64], [31, 65], [128, 20]] {
        out.push([vec![n, m], vec![m]]);
        out.push([vec![n, m], vec![n, 1]]);
        out.push([vec![n, 1], vec![1, m]]);
        out.push([vec![], vec![n, m]]);
        out.push([vec![3, n, m], vec![n, 1]]);
        out.push([vec![2, 1, m], vec![3, n, 1].split_off(1)]);
        out.push([vec![2, n, 1, m], vec![1, n, 3, 1]]);
    }
    out
}

/// Expressions of several rows, which become one kernel.
fn expressions() -> Vec<Case> {
    let mut out = vec![];
    for n in [1, 4, 5, 1_023, 1_025, 4_099] {
        out.push(Case::new("fused", format!("{n}"), move |g| {
            let x = inputs(g, &[&[n], &[n], &[1]]);
            let y = (x[0] * 1.5 + x[1]).tanh();
            g.output("y", y * y.sigmoid() - x[2]);
            g.output("sum", (y + x[0]).relu() + 0.25);
        }));
        out.push(Case::new("fused", format!("many constants {n}"), move |g| {
            let x = g.input("a", Type::f32([n]));
            g.output("y", (0..20).fold(x, |y, i| y * 0.5 + 0.1 * i as f32));
        }));
        out.push(Case::new("fused", format!("many loads {n}"), move |g| {
            let terms = (0..9).map(|i| g.input(&format!("x{i}"), Type::f32([n])));
            g.output("y", terms.reduce(|a, b| (a + b).sigmoid()).expect("nine terms"));
        }));
    }
    out
}

pub(crate) fn cases() -> Vec<Case> {
    let mut out = vec![];
    for r in TABLE {
        for n in SIZES {
            let shape: &[usize] = &[n];
            out.push(row(r.name, &vec![shape; r.arity]));
        }
    }
    for name in ["tanh", "mul", "select"] {
        let shape: &[usize] = &[MANY];
        let arity = TABLE.iter().find(|r| r.name == name).map_or(1, |r| r.arity);
        out.push(row(name, &vec![shape; arity]).many_workgroups(1));
    }
    for name in ["sub", "max"] {
        out.extend(pairs().iter().map(|[a, b]| row(name, &[a, b])));
    }
    out.extend(expressions());
    out
}

pub(crate) fn smooth() -> Vec<Case> {
    let mut out: Vec<Case> =
        TABLE.iter().filter(|r| r.name != "floor").map(|r| row(r.name, &vec![&[6][..]; r.arity])).collect();
    out.extend(
        pairs()
            .iter()
            .filter(|[a, b]| a.iter().chain(b).product::<usize>() <= 100)
            .map(|[a, b]| row("mul", &[a, b])),
    );
    out.push(Case::new("fused", "2x3", |g| {
        let x = inputs(g, &[&[2, 3], &[3], &[2, 1]]);
        let y = (x[0] * 1.5 + x[1]).tanh();
        g.output("y", y * y.sigmoid() / (x[2].exp() + 1.0) + x[0].square().softplus().sqrt());
    }));
    // Comparisons are flat except at ties, where differences mean nothing.
    let flat = ["lt", "le", "gt", "ge", "eq", "ne"];
    let untied = |case: Case| {
        if flat.contains(&case.op.as_str()) {
            case.fill("a", Fill::Uniform(-2.0, 2.0)).fill("b", Fill::Uniform(-2.0, 2.0))
        } else {
            case
        }
    };
    out.into_iter().map(untied).collect()
}

#[test]
fn a_nan_is_not_hidden() {
    let Some(gpu) = adapter("NaN through bounds") else { return };
    let g = Graph::new();
    let x = g.input("x", Type::f32([4]));
    let y = [x.relu(), x.tanh(), x.sigmoid(), x.softplus(), x.clamp(-1.0, 1.0), x.leaky_relu(0.1)];
    g.output("y", oneiro::ops::views::concat(&y, 0));
    let made = Ready::new(gpu, &g, 0).write("x", &[f32::NAN, 2.0, f32::NAN, -2.0]).step().read("y");
    let bad: Vec<bool> = made.iter().map(|v| v.to_bits() & 0x7f80_0000 == 0x7f80_0000).collect();
    assert_eq!(bad, [true, false, true, false].repeat(y.len()));
}
