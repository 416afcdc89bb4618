//! Kernels and derivatives against the ops' f64 references. Each op family of `src/ops` has a file of its
//! name here: what is compared, and what a comparison does not cover.

mod batch_norm;
mod categorical;
mod conv2d;
mod cursor;
mod data;
mod dropout;
mod elementwise;
mod matmul;
mod optimizer;
mod pool;
mod random;
mod reduce;
mod reparameterize;
mod resample;
mod views;

use crate::{
    harness::{self, Case, Report},
    models::{layers, likelihood, weight_norm},
};

/// The number of op x shape cases that a whole run compares at least.
const LEAST: usize = 3_500;

/// Cases of one file.
struct Family {
    name: &'static str,
    /// The cases that run on the adapter.
    cases: fn() -> Vec<Case>,
    /// The graphs that are differentiated on the CPU.
    smooth: fn() -> Vec<Case>,
}

/// The families whose files have `cases` and `smooth`, then those whose ops have no derivative and only
/// `cases`.
macro_rules! families {
    ($($smooth:ident)+; $($flat:ident)+) => {
        &[
            $(Family { name: stringify!($smooth), cases: $smooth::cases, smooth: $smooth::smooth }),+,
            $(Family { name: stringify!($flat), cases: $flat::cases, smooth: Vec::new }),+
        ]
    };
}

const FAMILIES: &[Family] = families![
    elementwise matmul conv2d reduce views reparameterize categorical likelihood dropout weight_norm
    batch_norm layers pool resample;
    cursor random data optimizer
];

#[test]
fn all_op_cases() {
    let Some(gpu) = harness::gpu() else { return };
    let mut report = Report::default();
    let only = std::env::var("ONEIRO_OPS").ok();
    let wanted = |name: &str| only.as_ref().is_none_or(|only| only.split(',').any(|o| o == name));
    for family in FAMILIES.iter().filter(|family| wanted(family.name)) {
        report.family(gpu, family.name, &(family.cases)());
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
    let cases: Vec<Case> = FAMILIES.iter().flat_map(|family| (family.smooth)()).collect();
    let derivatives: usize = cases.iter().map(harness::check_derivatives).sum();
    harness::say(&format!(
        "{derivatives} first and second derivatives of {} graphs compared with central differences",
        cases.len()
    ));
}
