//! Kernels and derivatives against the ops' f64 references. Each op family of `src/ops` has a file of its
//! name here: what is compared, and what a comparison does not cover.

mod all_reduce;
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
mod recurrence;
mod reduce;
mod reparameterize;
mod resample;
mod views;

use crate::{
    engine::wgsl,
    harness::{
        self, Case, Report,
        coverage::{self, Kernel},
    },
    models::{layers, likelihood, weight_norm},
    subjects::all_caps,
};
use oneiro::{
    kernel::power::POWERS,
    plan::{Buffer, Place},
};
use std::collections::BTreeSet;

/// The number of op x shape cases that a whole run compares at least: on any adapter, and on one with all powers.
const LEAST: [usize; 2] = [3_500, 7_000];

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
    batch_norm layers pool resample recurrence all_reduce;
    cursor random data optimizer
];

/// Shaders that no op launches: a device's self-test, pictures for a host's texture, and the benchmark's
/// ceilings, which have tests of their own.
const NOT_OPS: [&str; 3] = ["selftest", "texture", "ceiling"];

#[test]
fn all_op_cases() {
    let Some(gpu) = harness::gpu() else { return };
    let mut report = Report::default();
    let only = std::env::var("ONEIRO_OPS").ok();
    let wanted = |name: &str| only.as_ref().is_none_or(|only| only.split(',').any(|o| o == name));
    let every = coverage::sample();
    let mut all = vec![];
    for family in FAMILIES.iter().filter(|family| wanted(family.name)) {
        let mut cases = (family.cases)();
        if every > 1 {
            cases = cases.into_iter().filter(|case| !case.has_many_workgroups()).step_by(every).collect();
        }
        report.family(gpu, family.name, &cases);
        all.extend(cases);
    }
    report.print();
    report.assert_every_choice_ran(gpu, &all);
    let powerful = gpu.caps().powers.len() == POWERS.len();
    let least = if only.is_some() || every > 1 { 1 } else { LEAST[usize::from(powerful)] };
    assert!(report.compared() >= least, "{} cases compared, at least {least} are due", report.compared());
}

/// Together the kinds of adapters that planners know choose every kernel for one of the cases, so that none
/// is dead or untested on all of them.
#[test]
fn every_entry_point_is_chosen_on_some_adapter() {
    let cases: Vec<Case> = FAMILIES.iter().flat_map(|family| (family.cases)()).collect();
    let chosen = coverage::chosen(&cases, &all_caps().map(|(_, caps)| caps));
    let of_an_op = |(stem, _): &Kernel| !NOT_OPS.contains(&stem.split('.').next().unwrap_or_default());
    let written: BTreeSet<Kernel> = wgsl::entry_points().into_iter().filter(of_an_op).collect();
    assert_eq!(chosen.symmetric_difference(&written).collect::<Vec<_>>(), Vec::<&Kernel>::new());
}

/// A launch says what it writes, scratch included: nothing is read from a slot that no launch wrote before.
#[test]
fn what_is_read_was_written() {
    let cases: Vec<Case> = FAMILIES.iter().flat_map(|family| (family.cases)()).collect();
    let (all, mut reads) = (all_caps(), 0);
    for (case, (adapter, caps)) in cases.iter().flat_map(|case| all.iter().map(move |caps| (case, caps))) {
        let mut written = BTreeSet::new();
        for launch in case.plan(caps).launches {
            let slot = |place: Place| if let Buffer::Slot(slot) = place.buffer { Some(slot) } else { None };
            for &(name, place) in launch.bindings.iter().filter(|b| !launch.writes.contains(&b.0)) {
                reads += 1;
                let known = slot(place).is_none_or(|slot| written.contains(&slot));
                assert!(known, "{adapter}, {}: {} reads `{name}` unwritten", case.op, launch.label);
            }
            let writes = launch.bindings.iter().filter(|b| launch.writes.contains(&b.0));
            written.extend(writes.filter_map(|b| slot(b.1)));
        }
    }
    assert!(reads > 1_000, "{reads} bindings are read");
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
