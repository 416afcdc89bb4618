//! The pace of training: how many steps one submission holds, and how the metrics of these steps wait on the
//! device until the host reads them.

#[cfg(not(target_arch = "wasm32"))]
use crate::{
    error::Result,
    gpu::{Executor, Gpu},
};
use crate::{
    graph::{Graph, shape::Type, var::Init},
    models::Metrics,
};
#[cfg(not(target_arch = "wasm32"))]
use std::time::{Duration, Instant};

/// The number of steps whose metrics the State remembers. The host must read them at least this often.
pub(crate) const HISTORY: usize = 256;
/// The time that one submission should take: long enough to hide its own cost, short enough to stay
/// interactive.
#[cfg(not(target_arch = "wasm32"))]
const SUBMISSION: Duration = Duration::from_millis(100);

/// Writes the metrics of this step into the State's variable `history`, one row per step.
/// [`super::Steps::read`] reads them there.
#[track_caller]
pub fn remember(g: &Graph, metrics: &Metrics<'_>) {
    let history = g.var("history", Type::f32([HISTORY, metrics.len()]), Init::Zeros);
    let row: Vec<_> = metrics.iter().map(|(_, m)| g.tensor(m.id()).reshape([1])).collect();
    g.assign(history, history.record(g.concat(&row, 0)));
}

/// Runs a plan `times` times, in submissions of at most `most` runs that take about 100 ms each. After each
/// submission `done` is called with the number of runs that are finished.
///
/// # Errors
/// Fails if the device is lost, or with the error that `done` returns.
#[cfg(not(target_arch = "wasm32"))]
pub fn bursts(
    gpu: &Gpu,
    executor: &Executor,
    times: usize,
    most: usize,
    mut done: impl FnMut(usize) -> Result<()>,
) -> Result<()> {
    let (mut finished, mut burst) = (0, 1);
    while finished < times {
        let (count, begun) = (burst.min(most.min(times - finished) as u64), Instant::now());
        gpu.submit(|encoder| (0..count).try_for_each(|_| executor.record(encoder)))?;
        gpu.wait()?;
        burst = next_burst(begun.elapsed(), count);
        finished += count as usize;
        done(finished)?;
    }
    Ok(())
}

/// The number of steps of the next submission, given the time that the last one took.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn next_burst(took: Duration, steps: u64) -> u64 {
    let per_step = took.as_secs_f64() / steps as f64;
    ((SUBMISSION.as_secs_f64() / per_step.max(1e-6)) as u64).clamp(1, HISTORY as u64)
}
