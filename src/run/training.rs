//! The training loop: K steps go into one submission, an epoch's permutation is uploaded once, the host reads
//! losses only when it shows them, and a checkpoint is written wherever training may have to go on.
//!
//! A step is one plan, or a round of several on one State: those of players who train against each other.

use super::{
    MetricsLog, Progress, RunDir, Session,
    checkpoint::{Checkpoint, Checkpoints, Position},
    interrupt,
    session::Begun,
    summary,
};
use crate::{
    data::permutation,
    disk::write_atomic,
    error::{Error, Result},
    gpu::{Executor, State, wgpu},
    graph::var::VarSpec,
    plan::Plan,
    train::{
        Feed,
        pace::{HISTORY, next_burst},
    },
    weights,
};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// How often the host looks at the metrics.
const SHOWN: Duration = Duration::from_millis(500);
/// At most so much work is lost where no option says otherwise.
const SAVED: Duration = Duration::from_secs(300);

/// What the loop tells at the end of an epoch, or at the very end.
pub struct Report<'a> {
    /// Steps done.
    pub step: u64,
    /// Epochs done, counting a begun one.
    pub epoch: u64,
    /// Mean metrics per image over this epoch.
    pub means: &'a [f64],
    /// The run's folder.
    pub run: &'a RunDir,
}

/// What was measured at a [`Report`], by name.
pub type Measured = Result<Vec<(&'static str, f64)>>;

/// What is done and measured whenever so many steps are done, and before the first one.
pub type Each<'a> = (u64, &'a mut dyn FnMut(&RunDir, u64) -> Measured);

/// A model in training.
pub struct Trainer<'a> {
    session: &'a Session,
    /// Holds the weights; sampling and evaluation share it.
    pub state: State,
    /// What a step runs, and how often.
    round: Vec<(Executor, u64)>,
    feed: Feed,
    /// Metrics that are shown and drawn, of the first ones.
    shown: usize,
    metrics: &'a [&'a str],
    weights: Vec<String>,
    /// What a checkpoint holds: the training step's variables.
    kept: Vec<String>,
}

/// What changes while the loop runs.
struct Loop<'a> {
    run: RunDir,
    checkpoints: Checkpoints,
    log: MetricsLog,
    progress: Progress,
    at: Position,
    /// Steps whose metrics the host has not read.
    unread: u64,
    saved: (u64, Instant),
    started: Instant,
    /// Ctrl-C was typed; asked once after every submission.
    interrupted: bool,
    /// That, or the time is over.
    stop: bool,
    each: Option<Each<'a>>,
}

impl Loop<'_> {
    fn look(&mut self) -> Result<()> {
        match &mut self.each {
            Some((steps, look)) if self.at.step.is_multiple_of(*steps) => {
                match look(&self.run, self.at.step)? {
                    none if none.is_empty() => Ok(()),
                    measured => self.log.write(self.at.step, &measured),
                }
            }
            _ => Ok(()),
        }
    }
}

impl<'a> Trainer<'a> {
    /// Makes the training step ready. `others` are plans that share its State; `metrics` names what [`remember`]
    /// was given, the loss first.
    pub fn new(session: &'a Session, step: &Plan, others: &[&Plan], metrics: &'a [&'a str]) -> Result<Self> {
        Self::of_round(session, &[(step, 1)], others, metrics)
    }

    /// [`Trainer::new`] of plans that run one after another in every step, each so many times. The last one counts steps and
    /// remembers metrics; the first one may count minibatches by a counter of its own ([`Options::batches`](super::Options::batches)).
    pub fn of_round(
        session: &'a Session,
        round: &[(&Plan, u64)],
        others: &[&Plan],
        metrics: &'a [&'a str],
    ) -> Result<Self> {
        let plans: Vec<&Plan> = round.iter().map(|(plan, _)| *plan).chain(others.iter().copied()).collect();
        let memory = |e: crate::error::Error| session.memory(e, &plans);
        let state = State::new(&session.gpu, &plans, session.options.seed).map_err(memory)?;
        let feed = session.feed()?;
        let ready = |&(plan, times): &(&Plan, u64)| {
            Ok((Executor::new(&session.gpu, plan, &state, &feed.bindings(plan))?, times))
        };
        let executors = round.iter().map(ready).collect::<std::result::Result<_, _>>().map_err(memory)?;
        let vars = || round.iter().flat_map(|(plan, _)| &plan.vars);
        let weight =
            |v: &&VarSpec| v.kept || v.home.is_some_and(|(_, row, _)| row == 0) || v.name.starts_with("ema/");
        let weights: Vec<String> = vars().filter(weight).map(|v| v.name.clone()).collect();
        session.apply_weights(&state, &weights)?;
        let kept = vars().map(|v| v.name.clone()).collect();
        Ok(Self { session, state, round: executors, feed, shown: 1, metrics, weights, kept })
    }

    /// Shows and draws so many metrics, not the loss alone; then nothing that is measured decides which checkpoint is best.
    #[must_use]
    pub fn showing(self, metrics: usize) -> Self {
        Self { shown: metrics, ..self }
    }

    /// Trains as the options say. `report` is called after every epoch and at the end; it returns what it measured,
    /// of which the first, if any, decides which checkpoint is best. Returns the run's folder.
    pub fn run(&self, unit: &str, report: impl FnMut(&Report<'_>) -> Measured) -> Result<RunDir> {
        self.run_looking(unit, None, report)
    }

    /// [`Trainer::run`] that does something between steps, too.
    pub fn run_looking(
        &self,
        unit: &str,
        each: Option<Each<'_>>,
        mut report: impl FnMut(&Report<'_>) -> Measured,
    ) -> Result<RunDir> {
        let options = &self.session.options;
        let (images, per_epoch) = (self.images(), self.per_epoch());
        let total = options.steps.unwrap_or(options.epochs().saturating_mul(per_epoch));
        let Begun { run, checkpoints, from } = self.session.begin()?;
        let mut progress = Progress::new(total.saturating_mul(images));
        if let Some(seconds) = options.seconds {
            progress = progress.with_seconds(seconds);
        }
        let mut at = Position { sums: vec![0.0; self.metrics.len()], ..Position::default() };
        if let Some((checkpoint, path)) = from {
            checkpoint.restore(&self.session.gpu, &self.state, &self.kept, &path)?;
            at = checkpoint.position;
            progress.println(&format!("going on at step {} from {}", at.step, path.display()));
        }
        let log = MetricsLog::resume(run.metrics(), at.step)?;
        let saved = (at.step, Instant::now());
        let (started, interrupted, stop) = (Instant::now(), false, false);
        let mut now =
            Loop { run, checkpoints, log, progress, at, unread: 0, saved, started, interrupted, stop, each };
        if now.at.step == 0 {
            self.save(&mut now)?;
            now.look()?;
        }
        interrupt::watch()?;
        let done = self.epochs(&mut now, total, &mut report);
        now.progress.finish();
        done.map_err(|e| self.lost(&now, e))?;
        let shown = &self.metrics[..self.shown];
        summary::write(
            self.session,
            &now.run,
            now.at.step,
            now.checkpoints.best(),
            shown,
            unit,
            now.started.elapsed(),
        )?;
        if now.interrupted && now.at.step < total {
            let dir = now.run.root().display();
            println!("stopped at step {} of {total}; go on with: train --resume {dir}", now.at.step);
        }
        Ok(now.run)
    }

    /// Steps of an epoch; images that are left over are dropped, and shuffled into other batches next time.
    fn per_epoch(&self) -> u64 {
        self.session.count() as u64 / self.images()
    }

    /// Images of a step.
    fn images(&self) -> u64 {
        u64::from(self.session.options.batch) * self.session.batches
    }

    fn epochs(
        &self,
        now: &mut Loop<'_>,
        total: u64,
        report: &mut impl FnMut(&Report<'_>) -> Measured,
    ) -> Result<()> {
        while now.at.step < total && !now.stop {
            let whole = self.epoch(now, total)?;
            // In the middle of an epoch Ctrl-C waits for no measuring.
            if whole || !now.interrupted {
                self.report(now, report)?;
            }
        }
        Ok(())
    }

    /// A lost device shows as many errors; says which it was, and how to go on.
    fn lost(&self, now: &Loop<'_>, error: Error) -> Error {
        let Err(lost) = self.session.gpu.wait() else { return error };
        let dir = now.run.root().display();
        Error::new(format!(
            "{lost}; the last checkpoint is at step {}: go on with --resume {dir}",
            now.saved.0
        ))
    }

    /// Runs to the end of the epoch under way or of the run, which it tells, or until it must stop.
    fn epoch(&self, now: &mut Loop<'_>, total: u64) -> Result<bool> {
        let (images, per_epoch) = (self.images(), self.per_epoch());
        let epoch = now.at.step / per_epoch;
        let (end, epochs) = ((epoch + 1).saturating_mul(per_epoch).min(total), total.div_ceil(per_epoch));
        self.order(epoch);
        let (mut burst, mut shown) = (1, Instant::now());
        while now.at.step < end && !now.stop {
            let due = self
                .session
                .options
                .checkpoint_every
                .map_or(u64::MAX, |n| n - (now.at.step - now.saved.0).min(n - 1));
            let seen = now.each.as_ref().map_or(u64::MAX, |(n, _)| n - now.at.step % n);
            let count = burst
                .min(end - now.at.step)
                .min(HISTORY as u64 - now.unread)
                .min(due)
                .min(seen)
                .min(self.ready(now.at.step)?);
            let begun = Instant::now();
            self.submit(now, count)?;
            burst = next_burst(begun.elapsed(), count);
            // The end of an epoch is looked at by its report.
            if now.at.step < end {
                now.look()?;
            }
            now.interrupted = interrupt::asked();
            now.stop = now.interrupted
                || self.session.options.seconds.is_some_and(|s| now.started.elapsed().as_secs_f64() >= s);
            let save = count == due
                || (self.session.options.checkpoint_every.is_none() && now.saved.1.elapsed() > SAVED);
            if save
                || now.at.step == end
                || now.unread == HISTORY as u64
                || shown.elapsed() > SHOWN
                || now.stop
            {
                let means = self.read(now)?;
                now.log.write(
                    now.at.step,
                    &self.metrics.iter().copied().zip(means.iter().copied()).collect::<Vec<_>>(),
                )?;
                let told: Vec<_> = self.metrics.iter().copied().zip(means).take(self.shown).collect();
                now.progress.update(now.at.step * images, epoch + 1, epochs, &told);
                shown = Instant::now();
            }
            if now.at.step < end && (save || now.interrupted) {
                self.save(now)?;
            }
        }
        Ok(now.at.step == end)
    }

    /// The end of an epoch, or of the run: measures, prints, logs, saves.
    fn report(&self, now: &mut Loop<'_>, report: &mut impl FnMut(&Report<'_>) -> Measured) -> Result<()> {
        let steps = (now.at.step - now.at.epoch_start).max(1) as f64;
        let means: Vec<f64> = now.at.sums.iter().map(|s| s / steps).collect();
        let epoch = now.at.step.div_ceil(self.per_epoch());
        let measured = report(&Report { step: now.at.step, epoch, means: &means, run: &now.run })?;
        if let Some((name, value)) = measured.iter().find(|m| !m.1.is_finite()) {
            return Err(self.diagnose(now, now.at.step - 1, &format!("{name} became {value}")));
        }
        let names: Vec<String> = self.metrics.iter().map(|m| format!("train_{m}")).collect();
        let mut line = vec![("epoch", now.at.step as f64 / self.per_epoch() as f64)];
        line.extend(
            names.iter().map(String::as_str).zip(means.iter().copied()).chain(measured.iter().copied()),
        );
        now.log.write(now.at.step, &line)?;
        let shown: Vec<String> = line[1..].iter().map(|(name, value)| format!("{name} {value:.2}")).collect();
        now.progress.println(&format!("epoch {epoch:>3}: {}", shown.join(", ")));
        let mut at =
            Position { score: measured.first().map(|m| m.1).filter(|_| self.shown == 1), ..now.at.clone() };
        if now.at.step.is_multiple_of(self.per_epoch()) {
            at = Position { epoch_start: at.step, sums: vec![0.0; self.metrics.len()], ..at };
        }
        now.at = at;
        self.save(now)?;
        now.at.score = None;
        Ok(())
    }

    /// The order of an epoch's images, from where the epoch's first step finds them; streamed ones come in order.
    fn order(&self, epoch: u64) {
        if self.session.stream.is_some() {
            return;
        }
        let (batch, mut order) = (
            self.session.options.batch as usize,
            permutation(self.session.options.seed, epoch, self.feed.count()),
        );
        let batches = order.len() / batch;
        let first = epoch * self.per_epoch() * self.session.batches % batches as u64;
        order[..batches * batch].rotate_right(first as usize * batch);
        self.feed.reorder(&self.session.gpu, &order);
    }

    /// From this step on, so many steps' images are on the GPU.
    fn ready(&self, step: u64) -> Result<u64> {
        let (gpu, batches) = (&self.session.gpu, self.session.batches);
        self.session
            .stream
            .as_ref()
            .map_or(Ok(u64::MAX), |stream| Ok(stream.ready(gpu, &self.feed, step * batches)? / batches))
    }

    /// Records a step.
    fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        self.round.iter().for_each(|(executor, times)| (0..*times).for_each(|_| executor.record(encoder)));
    }

    fn submit(&self, now: &mut Loop<'_>, steps: u64) -> Result<()> {
        let gpu = &self.session.gpu;
        gpu.submit(|encoder| (0..steps).for_each(|_| self.record(encoder)));
        if let Some(stream) = &self.session.stream {
            stream.ahead(gpu, &self.feed, now.at.step * self.session.batches)?;
        }
        now.at.step += steps;
        now.unread += steps;
        Ok(gpu.wait()?)
    }

    /// Means per image of the steps that the host has not seen; adds every step's to the epoch's sums.
    fn read(&self, now: &mut Loop<'_>) -> Result<Vec<f64>> {
        let (history, k) = (self.state.read(&self.session.gpu, "history")?, self.metrics.len());
        let mut means = vec![0.0; k];
        for s in now.at.step - now.unread..now.at.step {
            for (m, mean) in means.iter_mut().enumerate() {
                let value =
                    f64::from(history[s as usize % HISTORY * k + m]) / f64::from(self.session.options.batch);
                if !value.is_finite() {
                    return Err(self.diagnose(now, s, &format!("{} became {value}", self.metrics[m])));
                }
                *mean += value / now.unread as f64;
                now.at.sums[m] += value;
            }
        }
        now.unread = 0;
        Ok(means)
    }

    /// Writes a checkpoint and the weights; the host must have read all metrics.
    fn save(&self, now: &mut Loop<'_>) -> Result<PathBuf> {
        let gpu = &self.session.gpu;
        let checkpoint =
            Checkpoint::take(gpu, &self.state, &self.kept, &self.session.config, now.at.clone())?;
        if let Some(name) = checkpoint.first_bad() {
            let name = name.to_string();
            return Err(match now.at.step {
                0 => Error::new(format!(
                    "`{name}` holds an infinity or NaN before the first step; start from other weights"
                )),
                step => self.diagnose(now, step - 1, &format!("`{name}` became infinite or NaN")),
            });
        }
        let path = now.checkpoints.save(&checkpoint)?;
        write_atomic(&now.run.weights(), &weights::to_bytes(gpu, &self.state, &self.weights)?)?;
        now.saved = (now.at.step, Instant::now());
        Ok(path)
    }

    /// Replays from the last checkpoint to the step that went bad, and names the launch that spoilt it.
    fn diagnose(&self, now: &mut Loop<'_>, bad: u64, what: &str) -> Error {
        let from = now.saved.0;
        let culprit = self.replay(now, bad).unwrap_or_else(|e| Some(format!("(the replay failed: {e})")));
        let culprit = culprit.unwrap_or_else(|| {
            "none when the step was repeated: the device does not compute reproducibly".into()
        });
        let dir = now.run.root().display();
        Error::new(format!(
            "{what} at step {bad}; first bad tensor: {culprit}; the last good checkpoint is step {from}: \
             train anew with a smaller learning rate, or go on from there with --resume {dir}"
        ))
    }

    fn replay(&self, now: &mut Loop<'_>, bad: u64) -> Result<Option<String>> {
        let gpu = &self.session.gpu;
        now.progress
            .println(&format!("looking for the first bad tensor: replaying steps {} to {bad}", now.saved.0));
        let Some((checkpoint, path)) = now.checkpoints.newest()? else { return Ok(None) };
        checkpoint.restore(gpu, &self.state, &self.kept, &path)?;
        for step in checkpoint.position.step..=bad {
            if step == checkpoint.position.step || step.is_multiple_of(self.per_epoch()) {
                self.order(step / self.per_epoch());
            }
            self.ready(step)?;
            if step < bad {
                gpu.submit(|encoder| self.record(encoder));
                gpu.wait()?;
            }
        }
        for (executor, times) in &self.round {
            for _ in 0..*times {
                if let Some(found) = executor.first_bad(gpu, &self.state)? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }
}
