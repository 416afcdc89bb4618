//! WaveNet: how long a drawn sample takes, however long the signal is.

use crate::{
    ceiling::Ceilings,
    measure::{Clock, Stat},
    report::Measured,
};
use bench::{RATE, WAVENET, sampler};
use oneiro::{
    error::Result,
    gpu::{Executor, Gpu, State},
    models::wavenet::LIKELIHOOD,
    plan::table,
    train::Method,
};
use std::time::Instant;

/// The seconds that are drawn.
const SECONDS: [usize; 3] = [1, 4, 16];
/// The number of samples that are drawn, the last ones of a signal.
const DRAWN: usize = 4000;
/// The number of samples that the naive method draws, after one more that warms up.
const NAIVE: usize = 4;
/// The counter of a sampler's steps.
const STEP: &str = "sampling/step";
/// The steps of a submission.
const BURST: usize = 100;
const SEED: u64 = 0;

/// Measures how long a sample takes to draw: at the end of signals of growing length, and by the whole network.
pub(crate) fn draws(gpu: &Gpu, ceilings: &Ceilings) -> Result<Vec<Measured>> {
    let cached = SECONDS.iter().map(|&seconds| draw(gpu, seconds, Method::Cached, ceilings));
    cached.chain([draw(gpu, 1, Method::Naive, ceilings)]).collect()
}

/// Draws the last samples of a signal or, naively, the first ones.
fn draw(gpu: &Gpu, seconds: usize, method: Method, ceilings: &Ceilings) -> Result<Measured> {
    let sampler = sampler(&WAVENET, [1, 1, seconds * RATE, 1], LIKELIHOOD, method, gpu.caps())?;
    let [begin, step] = sampler.plans();
    let state = State::new(gpu, &[begin, step], SEED)?;
    Executor::new(gpu, begin, &state, &[])?.step(gpu)?;
    let executor = Executor::new(gpu, step, &state, &[])?;
    let run = |steps: usize, burst: usize| -> Result<f64> {
        let started = Instant::now();
        for begun in (0..steps).step_by(burst) {
            gpu.submit(|encoder| {
                (begun..steps.min(begun + burst)).try_for_each(|_| executor.record(encoder))
            })?;
            gpu.wait()?;
        }
        Ok(started.elapsed().as_secs_f64() / steps as f64)
    };
    let (steps, burst, how) = match method {
        Method::Cached => (DRAWN, BURST, "cached".into()),
        Method::Naive => (NAIVE, 1, format!("naive, by {NAIVE}")),
    };
    run(burst, burst)?;
    let first = if method == Method::Cached { sampler.steps() - steps } else { 0 };
    state.write_words(gpu, STEP, &[first as u32])?;
    let time = run(steps, burst)?;
    let (launches, memory) = (step.launches.len(), table::bytes(step.state_bytes() + step.slot_bytes()));
    let name = format!("wavenet, a sample of {seconds} s ({how}; {launches} launches, {memory})");
    let stat = Stat::of(vec![time]);
    Ok(Measured::new(&name, &[], (stat, Clock::Wall, time), ceilings))
}
