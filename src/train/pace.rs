//! How many steps a submission takes, and how a step's metrics wait on the device until the host looks.

use crate::{
    error::Result,
    gpu::{Executor, Gpu},
    graph::{Graph, shape::Type, var::Init},
    models::Metrics,
    ops::views::concat,
};
use std::time::{Duration, Instant};

/// Steps whose metrics the State remembers: the host must look at least this often.
pub(crate) const HISTORY: usize = 256;
/// Aim of one submission: long enough to hide its cost, short enough to stay interactive.
const SUBMISSION: Duration = Duration::from_millis(100);
/// Remembers what this step measured in the State's variable `history`, a row a step, where [`super::Steps::read`] finds it.
#[track_caller]
pub fn remember(g: &Graph, metrics: &Metrics<'_>) {
    let history = g.var("history", Type::f32([HISTORY, metrics.len()]), Init::Zeros);
    let row: Vec<_> = metrics.iter().map(|(_, m)| g.tensor(m.id()).reshape([1])).collect();
    g.assign(history, history.record(concat(&row, 0)));
}

/// Runs a plan so many times, at most `most` of them and for about 100 ms in one submission; `done` hears how many are finished.
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
        gpu.submit(|encoder| (0..count).for_each(|_| executor.record(encoder)));
        gpu.wait()?;
        burst = next_burst(begun.elapsed(), count);
        finished += count as usize;
        done(finished)?;
    }
    Ok(())
}

/// Steps of the next submission, from the last one's time.
pub(crate) fn next_burst(took: Duration, steps: u64) -> u64 {
    let per_step = took.as_secs_f64() / steps as f64;
    ((SUBMISSION.as_secs_f64() / per_step.max(1e-6)) as u64).clamp(1, HISTORY as u64)
}
