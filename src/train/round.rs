//! A training step as plans, and the loop's heart on a device: it feeds the step, submits steps in bursts, and reads what they
//! measured. Files and screens are the caller's.

use super::{
    Feed, Stream,
    pace::{HISTORY, next_burst, remember},
};
use crate::{
    data::Order,
    error::Result,
    gpu::{Executor, Gpu, State, wgpu},
    graph::Graph,
    kernel::caps::Caps,
    models::Metrics,
    optim::advance,
    plan::Plan,
};
use std::time::Instant;

/// A training step: plans that run one after another on one State, each so many times, the last of which remembers what was
/// measured. Players who train against each other are a plan each.
pub struct Round {
    /// The plans, and how often each one runs.
    pub plans: Vec<(Plan, u64)>,
    /// The names of what is measured, the loss first.
    pub metrics: Vec<&'static str>,
}

impl Round {
    /// A step of one graph, which remembers these metrics and advances its step counter.
    pub fn new(g: &Graph, metrics: &Metrics<'_>, caps: &Caps) -> Result<Self> {
        remember(g, metrics);
        advance(g);
        let metrics = metrics.iter().map(|(name, _)| *name).collect();
        Ok(Self { plans: vec![(Plan::new(g, caps)?, 1)], metrics })
    }

    /// The same step after so many runs of another plan, which counts minibatches by a counter of its own.
    #[must_use]
    pub fn after(mut self, plan: Plan, times: u64) -> Self {
        self.plans.insert(0, (plan, times));
        self
    }

    /// The plans in the order in which they run.
    pub fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.plans.iter().map(|(plan, _)| plan)
    }

    /// The names of the model's weights, see [`Plan::weights`].
    pub fn weights(&self) -> Vec<String> {
        self.plans().flat_map(Plan::weights).collect()
    }
}

/// A [`Round`] on a device.
pub struct Steps<'a> {
    gpu: &'a Gpu,
    state: &'a State,
    round: Vec<(Executor, u64)>,
    feed: &'a Feed,
    stream: Option<&'a Stream>,
    order: Order,
    metrics: usize,
    at: u64,
    unread: u64,
    ordered: Option<u64>,
    burst: u64,
}

impl<'a> Steps<'a> {
    /// Makes a round ready that is fed by `feed`, or streamed through it, on a State that serves these plans.
    ///
    /// # Errors
    /// What the device refuses; inputs that the feed does not have.
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
        let (at, unread, ordered, burst) = (0, 0, None, 1);
        Ok(Self { gpu, state, round: executors, feed, stream, order, metrics, at, unread, ordered, burst })
    }

    /// Steps done.
    pub fn done(&self) -> u64 {
        self.at
    }

    /// How minibatches are taken.
    pub fn order(&self) -> Order {
        self.order
    }

    /// Whether no further step can be submitted before [`Steps::read`].
    pub fn full(&self) -> bool {
        self.unread == HISTORY as u64
    }

    /// Goes to where so many steps are done; the caller has written the State of that time.
    pub fn seek(&mut self, step: u64) {
        (self.at, self.unread, self.ordered, self.burst) = (step, 0, None, 1);
    }

    /// Submits at most `most` steps, as many of them as one submission should take, within an epoch, and waits for them.
    ///
    /// # Errors
    /// Streamed images that cannot be read; a lost device.
    pub fn submit(&mut self, most: u64) -> Result<u64> {
        let ready = self.ready()?;
        let left = self.order.per_epoch() - self.at % self.order.per_epoch();
        let count = self.burst.min(most).min(left).min(HISTORY as u64 - self.unread).min(ready);
        let begun = Instant::now();
        self.gpu.submit(|encoder| (0..count).for_each(|_| self.record(encoder)));
        if let Some(stream) = self.stream {
            stream.ahead(self.gpu, self.feed, self.at * self.order.batches)?;
        }
        self.gpu.wait()?;
        self.burst = next_burst(begun.elapsed(), count);
        self.at += count;
        self.unread += count;
        Ok(count)
    }

    /// The metrics, means per image, of each step since they were last read, in order.
    pub fn read(&mut self) -> Result<Vec<Vec<f64>>> {
        let (history, k) = (self.state.read(self.gpu, "history")?, self.metrics);
        let mean = |value: f32| f64::from(value) / self.order.batch as f64;
        let row = |s: u64| history[s as usize % HISTORY * k..][..k].iter().map(|&v| mean(v)).collect();
        let rows = (self.at - self.unread..self.at).map(row).collect();
        self.unread = 0;
        Ok(rows)
    }

    /// Runs up to the step `bad` and names the first launch of it that wrote an infinity or NaN, if one did.
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

    /// Brings the next step's images to the device; returns for how many steps they suffice.
    fn ready(&mut self) -> Result<u64> {
        if let Some(stream) = self.stream {
            let batches = self.order.batches;
            return Ok(stream.ready(self.gpu, self.feed, self.at * batches)? / batches);
        }
        let epoch = self.at / self.order.per_epoch();
        if self.ordered != Some(epoch) {
            self.feed.reorder(self.gpu, &self.order.of(epoch));
            self.ordered = Some(epoch);
        }
        Ok(u64::MAX)
    }

    fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        self.round.iter().for_each(|(executor, times)| (0..*times).for_each(|_| executor.record(encoder)));
    }
}
