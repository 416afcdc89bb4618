//! Kernels, plans and derivatives against the ops' f64 references. Each op family declares its cases
//! once; the harness runs them on every kernel variant that the adapter can run.
//!
//! A missing adapter is a failure, unless `ONEIRO_SKIP_GPU=1` opts out of what needs one.
//! `ONEIRO_ADAPTER=NAME|INDEX` chooses among several.

#[cfg(feature = "run")]
mod bound;
mod custom_op;
mod dag;
mod data;
mod elementwise;
#[cfg(feature = "run")]
mod embed;
mod gpu;
mod harness;
mod hazards;
mod matmul;
mod models;
mod optimizer;
mod plans;
mod random;
mod reduce;
mod reparameterize;
mod runs;
mod sentinel;
mod subjects;
mod tidy;
mod views;
mod wgsl;

use harness::{Case, Report};

/// Op x shape cases that a run compares at least.
const LEAST: usize = 1_000;

#[test]
fn all_op_cases() {
    let Some(gpu) = harness::gpu() else { return };
    let mut report = Report::default();
    type Cases = fn() -> Vec<Case>;
    let families: [(&str, Cases); 8] = [
        ("elementwise", elementwise::cases),
        ("matmul", matmul::cases),
        ("reduce", reduce::cases),
        ("views", views::cases),
        ("random", random::cases),
        ("reparameterize", reparameterize::cases),
        ("data", data::cases),
        ("optimizer", optimizer::cases),
    ];
    for (name, cases) in families {
        report.family(gpu, name, &cases());
    }
    report.print();
    report.assert_every_entry_point_ran(gpu);
    assert!(report.compared() >= LEAST, "{} cases compared, at least {LEAST} are due", report.compared());
}

#[test]
fn derivatives_match_central_differences() {
    let families = [elementwise::smooth(), matmul::smooth(), reduce::smooth(), views::smooth(), reparameterize::smooth()];
    let cases: Vec<Case> = families.into_iter().flatten().collect();
    let derivatives: usize = cases.iter().map(harness::check_derivatives).sum();
    harness::say(&format!("{derivatives} first and second derivatives of {} graphs compared with central differences", cases.len()));
}
