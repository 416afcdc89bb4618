//! Kernels, plans and derivatives against the ops' f64 references. Each op family declares its cases
//! once; the harness runs them on every kernel variant that the adapter can run.
//!
//! A missing adapter is a failure, unless `ONEIRO_SKIP_GPU=1` opts out of what needs one.
//! `ONEIRO_ADAPTER=NAME|INDEX` chooses among several, `ONEIRO_OPS=conv2d,matmul` the op families to compare.

mod docs;
mod engine;
mod harness;
mod models;
mod ops;
mod runs;
mod sentinel;
mod subjects;
mod tidy;

use harness::{Case, Report};

/// Op x shape cases that a run compares at least.
const LEAST: usize = 3_500;

#[test]
fn all_op_cases() {
    let Some(gpu) = harness::gpu() else { return };
    let mut report = Report::default();
    type Cases = fn() -> Vec<Case>;
    let families: [(&str, Cases); 18] = [
        ("elementwise", ops::elementwise::cases),
        ("matmul", ops::matmul::cases),
        ("conv2d", ops::conv2d::cases),
        ("cursor", ops::cursor::cases),
        ("reduce", ops::reduce::cases),
        ("views", ops::views::cases),
        ("random", ops::random::cases),
        ("reparameterize", ops::reparameterize::cases),
        ("categorical", ops::categorical::cases),
        ("likelihood", models::likelihood::cases),
        ("dropout", ops::dropout::cases),
        ("weight_norm", models::weight_norm::cases),
        ("batch_norm", ops::batch_norm::cases),
        ("layers", models::layers::cases),
        ("pool", ops::pool::cases),
        ("resample", ops::resample::cases),
        ("data", ops::data::cases),
        ("optimizer", ops::optimizer::cases),
    ];
    let only = std::env::var("ONEIRO_OPS").ok();
    for (name, cases) in
        families.into_iter().filter(|f| only.as_ref().is_none_or(|only| only.split(',').any(|o| o == f.0)))
    {
        report.family(gpu, name, &cases());
    }
    report.print();
    if only.is_some() {
        return;
    }
    report.assert_every_entry_point_ran(gpu);
    assert!(report.compared() >= LEAST, "{} cases compared, at least {LEAST} are due", report.compared());
}

#[test]
fn derivatives_match_central_differences() {
    let families = [
        ops::elementwise::smooth(),
        ops::matmul::smooth(),
        ops::conv2d::smooth(),
        ops::reduce::smooth(),
        ops::views::smooth(),
        ops::reparameterize::smooth(),
        ops::categorical::smooth(),
        models::likelihood::smooth(),
        ops::dropout::smooth(),
        models::weight_norm::smooth(),
        ops::batch_norm::smooth(),
        models::layers::smooth(),
        ops::pool::smooth(),
        ops::resample::smooth(),
    ];
    let cases: Vec<Case> = families.into_iter().flatten().collect();
    let derivatives: usize = cases.iter().map(harness::check_derivatives).sum();
    harness::say(&format!(
        "{derivatives} first and second derivatives of {} graphs compared with central differences",
        cases.len()
    ));
}
