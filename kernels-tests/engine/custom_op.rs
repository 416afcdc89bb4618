//! The user-defined op of `examples/custom_op.rs`, judged as the engine's own ops are: against its f64
//! reference at tile edges and row ends, its derivatives against central differences.

use crate::{
    harness::{self, Case, Report, coverage},
    subjects::adapter,
};
use oneiro::{
    graph::{Graph, autodiff, shape::Type},
    kernel,
};

#[allow(dead_code)]
#[path = "../../examples/custom_op.rs"]
mod example;
use example::moving_average;

/// Shapes and windows; a workgroup makes 64 elements, and rows end within it and at its edges.
const SIZES: [(&[usize], usize); 12] = [
    (&[1], 1),
    (&[1], 9),
    (&[5], 5),
    (&[63], 2),
    (&[64], 64),
    (&[65], 66),
    (&[3, 31], 4),
    (&[2, 2, 64], 7),
    (&[7, 129], 128),
    (&[1_024], 1),
    (&[3, 4_099], 4_096),
    (&[10_007], 33),
];

/// A case of the op, or where `transposed` of its derivative's kernel.
fn case(shape: &'static [usize], window: usize, transposed: bool) -> Case {
    let label = format!("{shape:?} window {window}");
    let name = if transposed { "moving_average transposed" } else { "moving_average" };
    let case = Case::new(name, label, move |g| {
        let y = moving_average(g.input("x", Type::f32(shape)), window);
        g.output("y", if transposed { autodiff::vjp(y, g.input("c", y.ty()), &[g.tensor(0)])[0] } else { y });
    });
    case.terms(window.min(shape[shape.len() - 1]))
}

fn cases() -> Vec<Case> {
    let mut out: Vec<Case> =
        SIZES.iter().flat_map(|&(shape, window)| [false, true].map(|t| case(shape, window, t))).collect();
    out.extend([false, true].map(|t| case(&[3, 21_867], 3, t).many_workgroups(1)));
    // Within a graph: elementwise neighbours, a transposed reader, the op twice.
    out.push(Case::new("moving_average", "among others", |g| {
        let x = g.input("x", Type::f32([5, 70]));
        g.output("y", moving_average(moving_average(x.tanh() * 2.0, 3).permute(&[1, 0]).square(), 4) + 1.0);
    }));
    out
}

fn smooth() -> Vec<Case> {
    let mut out = vec![case(&[2, 5], 3, false), case(&[4], 9, false), case(&[2, 3], 2, true)];
    out.push(Case::new("moving_average", "squared", |g| {
        g.output("y", moving_average(g.input("x", Type::f32([2, 5])).square(), 3).square());
    }));
    out
}

#[test]
fn the_custom_op_matches_its_reference() {
    let Some(gpu) = adapter("the_custom_op_matches_its_reference") else { return };
    let mut report = Report::default();
    report.family(gpu, "custom_op", &cases());
    report.print();
    report.assert_every_choice_ran(gpu, &cases());
    assert!(report.compared() >= cases().len());
    let chosen = coverage::chosen(&cases(), &[gpu.caps().clone()]);
    assert!(["causal", "anticausal"].iter().all(|e| chosen.contains(&("custom_op".into(), (*e).into()))));
}

#[test]
fn the_custom_op_is_differentiable() {
    let derivatives: usize = smooth().iter().map(harness::check_derivatives).sum();
    assert!(derivatives > 40, "{derivatives} derivatives");
}

#[test]
fn the_custom_op_names_mistakes() {
    let fails = |shape: &[usize], window| {
        let g = Graph::new();
        let _ = moving_average(g.input("x", Type::f32(shape)), window);
        g.check().unwrap_err().to_string()
    };
    for (error, what) in [
        (fails(&[4], 0), "window of 0"),
        (fails(&[4], 5_000), "window of 5000"),
        (fails(&[], 2), "at least one axis"),
    ] {
        assert!(error.contains("custom_op.rs") && error.contains(what), "{error}");
    }
}

#[test]
fn the_custom_shader_is_portable() {
    let text = include_str!("../../examples/custom_op.wgsl");
    for entry in ["causal", "anticausal"] {
        let found =
            kernel::reflect(text, kernel::powers("custom_op"), entry, &[("WORKGROUP", 64.0)]).unwrap();
        assert_eq!((found.workgroup, found.bindings.len(), found.dims_size), ([64, 1, 1], 3, 12));
    }
}
