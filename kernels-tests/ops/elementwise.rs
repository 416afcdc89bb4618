//! Every row of the elementwise table at tile edges and primes, broadcasts of two operands, and
//! expressions that become one kernel.

use crate::harness::{Case, Fill};
use oneiro::{
    graph::{
        Graph, Tensor, autodiff,
        op::Row,
        shape::{Shape, Type},
    },
    ops::elementwise::TABLE,
};

/// Sizes around 4 elements, which an invocation makes, and 1,024, which a workgroup makes.
const SIZES: [usize; 14] = [1, 3, 4, 5, 31, 64, 127, 257, 1_023, 1_024, 1_025, 4_099, 5_120, 10_007];
/// A size that needs more than 65,535 workgroups of one invocation.
const MANY: usize = 4 * 65_600 + 1;
/// Drivers may take smaller numbers for 0.
const FLUSHED: f64 = 1.2e-38;
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
        g.output("y", g.map(name, &inputs(g, &shapes)));
    });
    let (ties, unit) = (Fill::Whole(0, 4), Fill::Uniform(0.0, 1.0));
    let (wide, small) = (Fill::Uniform(-20.0, 20.0), Fill::Magnitude(1e-6, 8.0));
    let digits = |case: Case| case.tolerance(FLUSHED, 1e-5);
    match name {
        "exp" | "softplus" | "sigmoid" => digits(case.fill("a", wide)),
        "tanh" | "expm1" => digits(case.fill("a", small)),
        "gate" => digits(case.fill("a", small).fill("b", wide)),
        "log1mexp" => digits(case.fill("a", Fill::Uniform(0.05, 20.0))),
        "floor" => case.fixed("a").tolerance(0.0, 0.0),
        "log" | "sqrt" | "rsqrt" | "recip" => case.fill("a", Fill::Uniform(0.1, 4.0)),
        "div" => case.fill("b", Fill::Uniform(0.2, 3.0)),
        "lt" | "le" | "gt" | "ge" | "eq" | "ne" => case.fill("a", ties).fill("b", ties).tolerance(0.0, 0.0),
        "leaky_relu" => case.fill("b", unit),
        "bce_with_logits" => case.fill("a", wide).fill("b", unit),
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

/// A row where one argument has NaNs, wherever the result is one then.
fn holed(r: &Row) -> Vec<Case> {
    let shape: &[usize] = &[67];
    let at = |k: usize| (0..r.arity).map(|i| if i == k { f64::NAN } else { 0.5 }).collect::<Vec<_>>();
    let shown = (0..r.arity).filter(|&k| (r.eval)(&at(k)).is_nan());
    shown.map(|k| row(r.name, &vec![shape; r.arity]).holes(NAMES[k])).collect()
}

/// Derivatives that keep their digits where they are small, as the functions do.
fn slopes() -> Vec<Case> {
    let near = |name| if name == "log1mexp" { Fill::Uniform(1e-3, 20.0) } else { Fill::Uniform(-20.0, 20.0) };
    let slope = |name: &'static str| {
        let build = move |g: &Graph| {
            let x = g.input("a", Type::f32([1_025]));
            g.output("y", autodiff::grad(g.map(name, &[x]), &[x])[0]);
        };
        Case::new(format!("slope of {name}"), "1025", build).fill("a", near(name)).tolerance(FLUSHED, 1e-5)
    };
    let mut out: Vec<Case> = ["exp", "expm1", "softplus", "log1mexp"].map(slope).into();
    // Targets of 0 and 1 leave the logarithm alone, which is as small as e^-20.
    out.push(
        row("bce_with_logits", &[&[1_025], &[1_025]]).fill("b", Fill::Whole(0, 2)).tolerance(FLUSHED, 1e-5),
    );
    out
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
    out.extend(TABLE.iter().flat_map(holed));
    out.extend(slopes());
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
    let tame = |case: Case| match case.op.as_str() {
        // Comparisons are flat except at ties, where differences mean nothing.
        "lt" | "le" | "gt" | "ge" | "eq" | "ne" => {
            case.fill("a", Fill::Uniform(-2.0, 2.0)).fill("b", Fill::Uniform(-2.0, 2.0))
        }
        // The differences are those of a sum, in which one large element drowns the others.
        "exp" | "softplus" | "sigmoid" | "bce_with_logits" => case.fill("a", Fill::Uniform(-6.0, 6.0)),
        "log1mexp" => case.fill("a", Fill::Uniform(0.05, 9.0)),
        _ => case,
    };
    out.into_iter().map(tame).collect()
}
