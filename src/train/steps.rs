//! The core of the training loop on a device: it feeds images, submits steps in bursts, and reads what they
//! measured. Files and screens are the caller's.

use super::{
    Feed, Round, Stream,
    collective::Collective,
    pace::{Pace, SUBMISSION},
    round::HISTORY,
};
use crate::{
    data::Order,
    error::Result,
    gpu::{Executor, Gpu, State},
    plan::Plan,
};
use std::time::Duration;

/// The name of the State's step counter, by which the last plan of a round counts.
const COUNTER: &str = "step";

/// A [`Round`] that is ready on a device, and where training stands.
pub struct Steps<'a> {
    gpu: &'a Gpu,
    state: &'a State,
    round: Vec<(Executor, u64)>,
    feed: &'a Feed,
    stream: Option<&'a Stream>,
    /// The ranks that share the steps, if there are others.
    ranks: Option<&'a dyn Collective>,
    /// Whether a step with other ranks was begun and not finished.
    torn: bool,
    order: Order,
    metrics: usize,
    at: u64,
    unread: u64,
    ordered: Option<u64>,
    pace: Pace,
}

impl<'a> Steps<'a> {
    /// Makes a round ready on a State that was made for its plans. The images come from `feed`; if there is a
    /// stream, `feed` is the window through which it streams them.
    ///
    /// # Errors
    /// Fails if the device refuses a buffer or a pipeline, or if a plan has an input that the feed does not
    /// have.
    pub fn new(
        gpu: &'a Gpu,
        state: &'a State,
        round: &Round,
        feed: &'a Feed,
        stream: Option<&'a Stream>,
        order: Order,
    ) -> Result<Self> {
        let ready = |(plan, times): &(Plan, u64)| {
            Ok((Executor::new(gpu, plan, state, &feed.bindings(plan))?, *times))
        };
        let executors = round.plans.iter().map(ready).collect::<Result<_>>()?;
        let metrics = round.metrics.len();
        let (at, unread, ordered, pace) = (0, 0, None, Pace::new(SUBMISSION));
        let (ranks, torn) = (None, false);
        let round = executors;
        Ok(Self { gpu, state, round, feed, stream, ranks, torn, order, metrics, at, unread, ordered, pace })
    }

    /// Shares the steps with other ranks, for which all graphs of the round were recorded. Every rank submits and
    /// reads the same steps.
    pub fn with_ranks(self, ranks: &'a dyn Collective) -> Self {
        Self { ranks: Some(ranks).filter(|ranks| !ranks.share().alone()), ..self }
    }

    /// Whether this rank alone cannot tell the steps that are done, since one failed in its middle, or since their
    /// metrics were not read.
    pub fn needs_ranks(&self) -> bool {
        self.ranks.is_some() && (self.torn || self.unread > 0)
    }

    /// Makes each submission take about this time, instead of [`SUBMISSION`]. A step that takes longer is cut
    /// between its launches.
    pub fn with_submissions(self, time: Duration) -> Self {
        Self { pace: Pace::new(time), ..self }
    }

    /// The number of steps that are done.
    pub fn done(&self) -> u64 {
        self.at
    }

    /// How minibatches are taken from the data set.
    pub fn order(&self) -> Order {
        self.order
    }

    /// Whether [`Steps::read`] must be called before the next step can be submitted.
    pub fn full(&self) -> bool {
        self.unread == HISTORY as u64
    }

    /// Counts the steps anew by the State's own counter, and returns their number. Where a panic ended a call
    /// of [`Steps::submit`], steps may be done that were not counted.
    ///
    /// # Errors
    /// Fails if the device is lost.
    pub fn recount(&mut self) -> Result<u64> {
        let counter = self.state.read_words(self.gpu, COUNTER)?[0];
        let uncounted = u64::from(counter.wrapping_sub(self.at as u32));
        self.at += uncounted;
        self.unread += uncounted;
        Ok(self.at)
    }

    /// Continues after `step` steps. The caller has already written the State of that time.
    pub fn seek(&mut self, step: u64) {
        (self.at, self.unread, self.ordered) = (step, 0, None);
        self.pace.reset();
    }

    /// Submits some steps and waits for them: as many as one submission should hold, at most `most`, and none
    /// of the next epoch; where ranks share the steps, one. Returns their number.
    ///
    /// # Errors
    /// Fails if streamed images cannot be read, if the device is lost, or if a rank has ended.
    pub fn submit(&mut self, most: u64) -> Result<u64> {
        let ready = self.ready()?;
        let left = self.order.per_epoch() - self.at % self.order.per_epoch();
        let most = most.min(left).min(HISTORY as u64 - self.unread).min(ready);
        let ahead =
            || self.stream.map_or(Ok(()), |s| s.ahead(self.gpu, self.feed, self.at * self.order.batches));
        let count = match self.ranks.filter(|_| most > 0) {
            None => self.pace.submit(self.gpu, &self.round, most, ahead)?,
            Some(ranks) => {
                self.torn = true;
                self.pace.share(self.gpu, &self.round, ranks, ahead)?;
                self.torn = false;
                1
            }
        };
        self.at += count;
        self.unread += count;
        Ok(count)
    }

    /// Reads the metrics of all steps since the last call, in the order of the steps. Each row holds one
    /// step's metrics, divided by the batch size; where ranks share the steps, those of the whole batch.
    ///
    /// # Errors
    /// Fails if the device is lost, or if a rank has ended.
    pub fn read(&mut self) -> Result<Vec<Vec<f64>>> {
        let (history, k) = (self.state.read(self.gpu, "history")?, self.metrics);
        let steps = self.at - self.unread..self.at;
        let mut sums: Vec<f32> =
            steps.flat_map(|s| &history[s as usize % HISTORY * k..][..k]).copied().collect();
        // Without steps, as in a rescue, there is nothing that another rank would have to take.
        if let Some(ranks) = self.ranks.filter(|_| !sums.is_empty()) {
            ranks.sum(&mut sums)?;
        }
        let images = (self.order.batch * self.order.share.size) as f64;
        let row = |row: &[f32]| row.iter().map(|&sum| f64::from(sum) / images).collect();
        self.unread = 0;
        Ok(sums.chunks_exact(k).map(row).collect())
    }

    /// Runs up to the step `bad` and returns the name of the first launch in it that wrote an infinity or
    /// NaN, if there is one.
    ///
    /// # Errors
    /// Fails if streamed images cannot be read, or if the device is lost.
    pub fn first_bad(&mut self, bad: u64) -> Result<Option<String>> {
        while self.at < bad {
            self.submit(bad - self.at)?;
            self.unread = 0;
        }
        self.ready()?;
        for (executor, times) in &self.round {
            for _ in 0..*times {
                if let Some(found) = executor.first_bad(self.gpu, self.state)? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// Brings the images of the next step to the device. Returns the number of steps that can be submitted
    /// with what is there.
    fn ready(&mut self) -> Result<u64> {
        if let Some(stream) = self.stream {
            let batches = self.order.batches;
            return Ok(stream.ready(self.gpu, self.feed, self.at * batches)? / batches);
        }
        let epoch = self.at / self.order.per_epoch();
        if self.ordered != Some(epoch) {
            self.feed.reorder(self.gpu, &self.order.of(epoch))?;
            self.ordered = Some(epoch);
        }
        Ok(u64::MAX)
    }
}
