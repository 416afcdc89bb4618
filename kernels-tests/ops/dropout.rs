//! Dropout: the mask follows from its uniform numbers bit by bit, is the same in the derivatives, is another
//! one in each step, and is again the same for the same seed, stream and step.

use crate::{
    harness::{Case, Fill},
    subjects::{Ready, adapter},
};
use oneiro::{
    gpu::Gpu,
    graph::{Graph, autodiff, shape::Type},
    optim::advance,
    rng::{self, RandomStream},
};

const SIZES: [usize; 12] = [1, 2, 3, 4, 5, 257, 1_023, 1_024, 1_025, 4_096, 4_099, 10_007];

/// A case that compares the value and its derivative; `x` keeps away from 0, so that a zero is a dropped
/// element.
fn case(n: usize, rate: f32, step: f64) -> Case {
    let build = move |g: &Graph| {
        let x = g.input("x", Type::f32([n]));
        let y = x.dropout("d", rate);
        g.output("y", y);
        g.output("dx", autodiff::vjp(y, g.input("ct", Type::f32([n])), &[x])[0]);
    };
    let case = Case::new("dropout", format!("{n} at {rate}, step {step}"), build)
        .state("step", [step])
        .tolerance(0.0, 3e-7);
    case.fill("x", Fill::Uniform(0.5, 2.0)).fill("ct", Fill::Uniform(0.5, 2.0))
}

pub(crate) fn cases() -> Vec<Case> {
    let mut out: Vec<Case> =
        SIZES.into_iter().flat_map(|n| [0.1, 0.5, 0.999].map(|rate| case(n, rate, 2.0))).collect();
    out.extend([0.0, 7.0, f64::from(u32::MAX)].map(|step| case(1_001, 0.25, step)));
    // A rate that is one of the uniforms: that element is kept.
    let rate = rng::uniform(RandomStream::new("d").key([1, 2]), 3, 700);
    out.extend([1_024, 1_025].map(|n| case(n, rate, 3.0).state("seed", [1.0, 2.0])));
    out.extend([4 * 65_601, 4 * 65_601 + 1].map(|n| case(n, 0.3, 1.0).many_workgroups(1)));
    out
}

pub(crate) fn smooth() -> Vec<Case> {
    let build = |g: &Graph| g.output("y", g.input("x", Type::f32([7])).square().dropout("d", 0.4).tanh());
    vec![
        Case::new("dropout", "7", build),
        Case::new("dropout", "alone", |g| g.output("y", g.input("x", Type::f32([6])).dropout("d", 0.4))),
    ]
}

const N: usize = 1_003;
const RATE: f32 = 0.4;

/// The masks of the value and of its derivative in each of some steps from `step` on.
fn masks(gpu: &Gpu, seed: u64, step: u32, steps: usize) -> Vec<[Vec<f32>; 2]> {
    let g = Graph::new();
    let x = g.input("x", Type::f32([N]));
    let y = x.dropout("d", RATE);
    g.output("y", y);
    g.output("dx", autodiff::grad(y, &[x])[0]);
    advance(&g);
    let ready = Ready::new(gpu, &g, seed);
    ready.state.write_words(gpu, "step", &[step]).unwrap();
    ready.write("x", &vec![1f32; N]);
    let one = |_| {
        ready.step();
        ["y", "dx"].map(|name| ready.read(name))
    };
    (0..steps).map(one).collect()
}

#[test]
fn masks_are_drawn_again_in_the_derivative_and_anew_in_each_step() {
    let Some(gpu) = adapter("masks_are_drawn_again_in_the_derivative_and_anew_in_each_step") else { return };
    let (seed, run) = (9 << 32 | 5, masks(gpu, 9 << 32 | 5, 0, 4));
    for (step, [y, dx]) in run.iter().enumerate() {
        assert_eq!(y, dx, "step {step}: the derivative's mask");
        let key = RandomStream::new("d").key([seed as u32, (seed >> 32) as u32]);
        let keep = |e: usize| rng::uniform(key, step as u32, e as u32) >= RATE;
        assert!(
            y.iter().enumerate().all(|(e, &v)| v == if keep(e) { 1.0 / (1.0 - RATE) } else { 0.0 }),
            "step {step}"
        );
        let kept = y.iter().filter(|&&v| v > 0.0).count() as f64;
        let error = 4.0 * (f64::from(RATE * (1.0 - RATE)) * N as f64).sqrt();
        assert!((kept - f64::from(1.0 - RATE) * N as f64).abs() < error, "step {step}: {kept} of {N} kept");
        assert!(run[..step].iter().all(|[earlier, _]| earlier != y), "step {step} repeats a mask");
    }
    assert_eq!(masks(gpu, seed, 2, 2), run[2..], "resumed at step 2");
    assert_ne!(masks(gpu, seed + 1, 0, 1), run[..1], "another seed");
}
