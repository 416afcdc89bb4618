//! Draws: uniforms and Bernoullis bit by bit, normals within rounding, classes up to the rounding of
//! the cumulative softmax.

use crate::harness::{Case, Fill};
use oneiro::{
    graph::{Graph, shape::Type},
    ops::{elementwise::map, random::Categorical},
    rng::{self, Stream},
};

const SIZES: [usize; 12] = [1, 2, 4, 7, 64, 257, 1_023, 1_024, 1_025, 4_096, 4_099, 10_007];
const MANY: [usize; 2] = [4 * 65_601, 4 * 65_601 + 1];
/// Step counters: the first, a later one, the last.
const STEPS: [f64; 3] = [0.0, 7.0, u32::MAX as f64];
const SEED: [u32; 2] = [0x1234_5678, 0x9abc_def0];

/// The three streams of `n` elements at a step.
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

/// Whether some uniform within rounding of `u` gives the class.
fn nearly(logits: &[f64], u: f64, class: f64) -> bool {
    let total: f64 = logits.iter().map(|l| l.exp()).sum();
    let upto = |c: usize| logits[..c].iter().map(|l| l.exp()).sum::<f64>() / total;
    let class = class as usize;
    class < logits.len() && upto(class) - 1e-5 <= u && (u <= upto(class + 1) + 1e-5)
}

fn categorical(rows: usize, classes: usize, step: f64) -> Case {
    let drawn =
        move |g: &Graph| g.output("y", g.input("logits", Type::f32([rows, classes])).categorical("c"));
    Case::new("categorical", format!("{rows}x{classes}"), drawn)
        .state("seed", SEED.map(f64::from))
        .state("step", [step])
        .judge(move |inputs, row, class| {
            let u = rng::uniform(Stream::new("c").key(SEED), step as u32, row as u32);
            nearly(&inputs["logits"].data[row * classes..][..classes], f64::from(u), class)
        })
}

fn given(rows: usize, classes: usize) -> Case {
    let build = move |g: &Graph| {
        let (logits, u) = (g.input("logits", Type::f32([rows, classes])), g.input("u", Type::f32([rows])));
        g.output("y", g.apply(Categorical { stream: None }, &[logits, u]));
    };
    Case::new("categorical given u", format!("{rows}x{classes}"), build)
        .fill("u", Fill::Uniform(0.0, 1.0))
        .judge(move |inputs, row, class| {
            nearly(&inputs["logits"].data[row * classes..][..classes], inputs["u"].data[row], class)
        })
}

pub(crate) fn cases() -> Vec<Case> {
    let mut out: Vec<Case> = SIZES.into_iter().flat_map(|n| draws(n, 0.0)).collect();
    out.extend(STEPS.into_iter().flat_map(|step| draws(1_001, step)).collect::<Vec<_>>());
    out.extend(MANY.into_iter().flat_map(|n| draws(n, 3.0)).map(|c| c.many_workgroups(1)));
    for [rows, classes] in [[1, 1], [1, 10], [63, 10], [64, 10], [65, 3], [257, 256], [7, 4_096], [1_009, 2]]
    {
        out.extend([categorical(rows, classes, 5.0), given(rows, classes)]);
    }
    out.extend([categorical(65_601, 2, 0.0), given(65_601, 2)].map(|c| c.many_workgroups(1)));
    // A draw that a cluster reads twice, and another shape of the same elements.
    out.push(
        Case::new("normal", "in a cluster", |g| {
            let z = g.normal("z", [33, 5]);
            g.output("y", map("tanh", &[z * z + z.reshape([5, 33]).reshape([33, 5])]));
        })
        .tolerance(2e-5, 2e-5),
    );
    out
}
