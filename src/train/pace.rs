//! The pace of training: how many steps, or which part of one, a submission holds.

use super::{
    collective::{Collective, exchange},
    round::HISTORY,
};
use crate::{
    error::Result,
    gpu::{Executor, Gpu},
};
use std::{
    borrow::Borrow,
    ops::Range,
    time::{Duration, Instant},
};

/// The time that one submission takes unless the user asks otherwise: long enough to hide its own cost, short enough
/// to stay interactive, and far from the two seconds after which Windows resets a device.
pub const SUBMISSION: Duration = Duration::from_millis(100);
/// The number of launches that the first submission holds, while nothing is known of their time.
const FIRST: usize = 16;
/// How many times as long as expected a part or a step may take and still count as known.
const SLACK: f64 = 1.25;

/// How much one submission holds, so that it takes a given time: several steps, or a part of one.
pub(crate) struct Pace {
    target: Duration,
    /// The time of a step, as the last one told.
    step: Option<Duration>,
    /// The seconds of each launch of a step, as the parts that it was last submitted in told.
    launches: Vec<f64>,
    /// Whether these times hold, and each part of a step fits.
    known: bool,
}

impl Pace {
    /// Makes the pace of submissions that take this time.
    pub(crate) fn new(target: Duration) -> Self {
        Self { target, step: None, launches: vec![], known: false }
    }

    /// Forgets the time of a step.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.target);
    }

    /// Submits steps, waits for them, and returns their number: as many as fit, at most `most`. A step runs each
    /// executor so many times; one that takes longer than a submission should is cut between its launches.
    /// `meanwhile` runs before the last wait, when all is submitted.
    ///
    /// # Errors
    /// Fails if the device is lost, or with the error that `meanwhile` returns.
    pub(crate) fn submit<E: Borrow<Executor>>(
        &mut self,
        gpu: &Gpu,
        step: &[(E, u64)],
        most: u64,
        meanwhile: impl FnOnce() -> Result<()>,
    ) -> Result<u64> {
        let runs: Vec<&Executor> = step.iter().flat_map(|(e, n)| (0..*n).map(|_| e.borrow())).collect();
        let (fits, begun) = (self.step.is_some_and(|step| step <= self.target), Instant::now());
        let steps = if fits { self.steps().min(most) } else { 1 };
        if fits {
            let whole = |encoder: &mut _| runs.iter().try_for_each(|executor| executor.record(encoder));
            gpu.submit(|encoder| (0..steps).try_for_each(|_| whole(encoder)))?;
        } else {
            self.submit_parts(gpu, &runs)?;
        }
        meanwhile()?;
        gpu.wait()?;
        let step = begun.elapsed().div_f64(steps as f64);
        self.known &= !fits && step.as_secs_f64() <= SLACK * self.launches.iter().sum::<f64>();
        self.step = Some(step);
        Ok(steps)
    }

    /// Submits one step in parts. Until the times of all are known and fit, it waits for each to learn its time.
    fn submit_parts(&mut self, gpu: &Gpu, runs: &[&Executor]) -> Result<()> {
        let (known, mut offset) = (self.known, 0);
        self.known = true;
        for executor in runs {
            let count = executor.labels().len();
            for part in self.cut(offset..offset + count) {
                let begun = Instant::now();
                gpu.submit(|encoder| executor.record_part(encoder, part.start - offset..part.end - offset))?;
                if !known {
                    gpu.wait()?;
                    let time = begun.elapsed();
                    self.known &= part.len() == 1 || time <= self.target.mul_f64(SLACK);
                    self.tell(part, time);
                }
            }
            offset += count;
        }
        Ok(())
    }

    /// Cuts launches of a step into parts that took no longer than a submission should, as far as is known.
    fn cut(&self, launches: Range<usize>) -> Vec<Range<usize>> {
        let unknown = self.target.as_secs_f64() / FIRST as f64;
        let mut parts: Vec<Range<usize>> = vec![];
        let mut left = 0.0;
        for i in launches {
            let time = self.launches.get(i).copied().unwrap_or(unknown);
            match parts.last_mut() {
                Some(part) if time <= left => part.end += 1,
                _ => {
                    parts.push(i..i + 1);
                    left = self.target.as_secs_f64() * (1.0 + 1e-9); // sums of rounded shares of it fit, too
                }
            }
            left -= time;
        }
        parts
    }

    /// Learns that a part took this time: its launches share it as they did before.
    fn tell(&mut self, part: Range<usize>, time: Duration) {
        if self.launches.len() < part.end {
            self.launches.resize(part.end, 0.0);
        }
        let launches = &mut self.launches[part];
        let (sum, count) = (launches.iter().sum::<f64>(), launches.len() as f64);
        for launch in launches {
            *launch = time.as_secs_f64() * if sum > 0.0 { *launch / sum } else { 1.0 / count };
        }
    }

    /// Runs one step that ranks share, as [`Pace::submit`] runs steps.
    ///
    /// # Errors
    /// Fails if the device is lost, if a rank has ended, or with the error that `meanwhile` returns.
    pub(crate) fn share(
        &mut self,
        gpu: &Gpu,
        step: &[(Executor, u64)],
        ranks: &dyn Collective,
        meanwhile: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let launches = step.iter().map(|(executor, times)| executor.labels().len() * *times as usize).sum();
        let (part, begun) = (self.part(launches), Instant::now());
        meanwhile()?;
        for (executor, times) in step {
            for _ in 0..*times {
                executor.step_with(gpu, part, &mut |merge, values| exchange(ranks, merge, values))?;
            }
        }
        self.step = Some(begun.elapsed());
        Ok(())
    }

    /// The number of steps that fit into a submission.
    fn steps(&self) -> u64 {
        let fit = self.step.map_or(1.0, |step| self.target.as_secs_f64() / step.as_secs_f64().max(1e-6));
        (fit as u64).clamp(1, HISTORY as u64)
    }

    /// The number of launches that fit into a submission, of a step that has so many.
    fn part(&self, launches: usize) -> usize {
        match self.step {
            None => FIRST,
            Some(step) if step <= self.target => launches,
            Some(step) => {
                (launches as f64 * self.target.as_secs_f64() / step.as_secs_f64()).max(1.0) as usize
            }
        }
    }
}

/// Runs a plan `times` times, in submissions of at most `most` runs that take about [`SUBMISSION`] each. After
/// each submission `done` is called with the number of runs that are finished.
///
/// # Errors
/// Fails if the device is lost, or with the error that `done` returns.
pub fn bursts(
    gpu: &Gpu,
    executor: &Executor,
    times: usize,
    most: usize,
    mut done: impl FnMut(usize) -> Result<()>,
) -> Result<()> {
    let (mut finished, mut pace) = (0, Pace::new(SUBMISSION));
    while finished < times {
        let left = most.min(times - finished) as u64;
        finished += pace.submit(gpu, &[(executor, 1)], left, || Ok(()))? as usize;
        done(finished)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_holds_the_steps_or_the_launches_that_fit() {
        let mut pace = Pace::new(Duration::from_millis(100));
        assert_eq!((pace.steps(), pace.part(50)), (1, FIRST));
        pace.step = Some(Duration::from_millis(30));
        assert_eq!((pace.steps(), pace.part(50)), (3, 50));
        pace.step = Some(Duration::from_millis(450));
        assert_eq!((pace.steps(), pace.part(50)), (1, 11));
        pace.step = Some(Duration::from_secs(3600));
        assert_eq!((pace.steps(), pace.part(50)), (1, 1));
        pace.step = Some(Duration::ZERO);
        assert_eq!((pace.steps(), pace.part(50)), (HISTORY as u64, 50));
    }

    /// A step whose third launch takes nearly all of its time ends up in at most three parts.
    #[test]
    fn parts_are_cut_by_the_time_of_each() {
        let times = [1, 1, 90, 1, 1, 1];
        let mut pace = Pace::new(Duration::from_millis(92));
        assert_eq!(pace.cut(0..6).len(), 1);
        assert_eq!(pace.cut(0..2 * FIRST), [0..FIRST, FIRST..2 * FIRST]);
        for _ in 0..8 {
            for part in pace.cut(0..6) {
                let time = times[part.clone()].iter().sum();
                pace.tell(part, Duration::from_millis(time));
            }
        }
        for part in pace.cut(0..6) {
            assert!(part.len() == 1 || times[part.clone()].iter().sum::<u64>() <= 92, "{part:?}");
        }
        assert!(pace.cut(0..6).len() <= 3, "{:?}", pace.cut(0..6));
    }
}
