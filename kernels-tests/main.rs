//! Kernels, plans and derivatives against the ops' f64 references. Each op family declares its cases
//! once; the harness runs them on every kernel variant that the adapter can run.
//!
//! A missing adapter is a failure, unless `ONEIRO_SKIP_GPU=1` opts out of what needs one.
//! `ONEIRO_ADAPTER=NAME|INDEX` chooses among several, `ONEIRO_OPS=conv2d,matmul` the op families to compare.

#[cfg(feature = "run")]
mod adversarial;
mod batch_norm;
#[cfg(feature = "run")]
mod bound;
mod categorical;
mod conv2d;
mod conv_vae;
mod cursor;
mod custom_op;
mod dag;
mod data;
mod dropout;
mod elementwise;
#[cfg(feature = "run")]
mod embed;
#[cfg(feature = "run")]
mod folders;
mod gpu;
mod harness;
mod hazards;
mod layers;
mod likelihood;
mod matmul;
#[cfg(feature = "run")]
mod measures;
mod models;
mod optimizer;
mod pixelcnn;
mod plans;
mod pool;
mod random;
mod reduce;
mod reparameterize;
mod resample;
mod runs;
#[cfg(feature = "run")]
mod sampling;
mod sentinel;
mod subjects;
mod tidy;
mod views;
mod weight_norm;
mod wgsl;

use harness::{Case, Report};

/// Op x shape cases that a run compares at least.
const LEAST: usize = 3_500;

#[test]
fn all_op_cases() {
    let Some(gpu) = harness::gpu() else { return };
    let mut report = Report::default();
    type Cases = fn() -> Vec<Case>;
    let families: [(&str, Cases); 18] = [
        ("elementwise", elementwise::cases),
        ("matmul", matmul::cases),
        ("conv2d", conv2d::cases),
        ("cursor", cursor::cases),
        ("reduce", reduce::cases),
        ("views", views::cases),
        ("random", random::cases),
        ("reparameterize", reparameterize::cases),
        ("categorical", categorical::cases),
        ("likelihood", likelihood::cases),
        ("dropout", dropout::cases),
        ("weight_norm", weight_norm::cases),
        ("batch_norm", batch_norm::cases),
        ("layers", layers::cases),
        ("pool", pool::cases),
        ("resample", resample::cases),
        ("data", data::cases),
        ("optimizer", optimizer::cases),
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
        elementwise::smooth(),
        matmul::smooth(),
        conv2d::smooth(),
        reduce::smooth(),
        views::smooth(),
        reparameterize::smooth(),
        categorical::smooth(),
        likelihood::smooth(),
        dropout::smooth(),
        weight_norm::smooth(),
        batch_norm::smooth(),
        layers::smooth(),
        pool::smooth(),
        resample::smooth(),
    ];
    let cases: Vec<Case> = families.into_iter().flatten().collect();
    let derivatives: usize = cases.iter().map(harness::check_derivatives).sum();
    harness::say(&format!(
        "{derivatives} first and second derivatives of {} graphs compared with central differences",
        cases.len()
    ));
}
