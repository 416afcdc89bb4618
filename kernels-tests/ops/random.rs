//! Draws: uniform and Bernoulli numbers bit by bit, normal ones within rounding.

use crate::harness::{Case, Fill};
use oneiro::graph::shape::Type;

const SIZES: [usize; 12] = [1, 2, 4, 7, 64, 257, 1_023, 1_024, 1_025, 4_096, 4_099, 10_007];
const MANY: [usize; 2] = [4 * 65_601, 4 * 65_601 + 1];
/// Step counters: the first one, a later one, the last one.
const STEPS: [f64; 3] = [0.0, 7.0, u32::MAX as f64];
const SEED: [u32; 2] = [0x1234_5678, 0x9abc_def0];

/// Draws of `n` elements of each kind at a step.
fn draws(n: usize, step: f64) -> Vec<Case> {
    let cases = [
        Case::new("uniform", format!("{n}"), move |g| g.output("y", g.uniform("u", [n]))).tolerance(0.0, 0.0),
        Case::new("normal", format!("{n}"), move |g| g.output("y", g.normal("z", [n]))).tolerance(2e-5, 2e-5),
        Case::new("bernoulli", format!("{n}"), move |g| {
            g.output("y", g.input("p", Type::f32([n])).bernoulli("b"))
        })
        .fill("p", Fill::Uniform(-0.1, 1.1))
        .tolerance(0.0, 0.0),
    ];
    cases.map(|c| c.state("seed", SEED.map(f64::from)).state("step", [step])).into()
}

pub(crate) fn cases() -> Vec<Case> {
    let mut out: Vec<Case> = SIZES.into_iter().flat_map(|n| draws(n, 0.0)).collect();
    out.extend(STEPS.into_iter().flat_map(|step| draws(1_001, step)).collect::<Vec<_>>());
    out.extend(MANY.into_iter().flat_map(|n| draws(n, 3.0)).map(|c| c.many_workgroups(1)));
    out.extend(draws(257, 0.0).into_iter().filter(|c| c.op == "bernoulli").map(|c| c.holes("p")));
    // A draw that a cluster reads twice, and another shape of the same elements.
    out.push(
        Case::new("normal", "in a cluster", |g| {
            let z = g.normal("z", [33, 5]);
            g.output("y", g.map("tanh", &[z * z + z.reshape([5, 33]).reshape([33, 5])]));
        })
        .tolerance(2e-5, 2e-5),
    );
    out
}
