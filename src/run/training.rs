//! The training loop of a run. It shows losses, draws and measures at the end of each epoch, and writes the
//! checkpoints from which training can continue. The steps themselves are [`crate::train::Steps`].

use super::{
    MetricsLog, RunDir, Session, TrainingProgress,
    checkpoint::{Checkpoint, Checkpoints, Position},
    interrupt,
    say::aloud,
    session::begin::Begun,
    summary,
};
use crate::{
    disk::write_atomic,
    error::{Error, Result},
    gpu::State,
    graph::var::{Role, VarSpec},
    train::{Round, Steps, Stream},
    weights,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::PathBuf,
    time::{Duration, Instant},
};

/// The time between two readings of the metrics by the host.
const SHOWN: Duration = Duration::from_millis(500);
/// The time between two checkpoints within an epoch, if no option sets the steps between them.
const SAVED: Duration = Duration::from_secs(300);

/// The state of training at the end of an epoch, or at the end of the run.
pub struct EpochEnd<'a> {
    /// The number of steps that are done.
    pub step: u64,
    /// The number of epochs that are done, where one that has begun counts.
    pub epoch: u64,
    /// The means of the metrics per image over this epoch.
    pub means: &'a [f64],
    /// The run's folder; `None` on a rank that writes nothing, since rank 0 does.
    pub run: Option<&'a RunDir>,
}

/// The names and values of what was measured.
pub type Measured = Result<Vec<(String, f64)>>;

/// Names the metrics of an evaluation as those of the test images.
pub(crate) fn of_test(metrics: Vec<(&str, f64)>) -> Vec<(String, f64)> {
    metrics.into_iter().map(|(name, mean)| (format!("test_{name}"), mean)).collect()
}

/// What watches a training. A closure that measures at the end of epochs is one.
pub trait Observer {
    /// The number of steps from each [`Observer::look`] to the next; `None` if there are none.
    fn every(&self) -> Option<u64> {
        None
    }

    /// Looks at the training between steps, and before the first one. It gets the run's folder and the number
    /// of steps that are done. Where ranks share the training, rank 0 looks.
    fn look(&mut self, _run: &RunDir, _step: u64) -> Measured {
        Ok(vec![])
    }

    /// Measures at the end of every epoch, and of the run. Where ranks share the training, all of them do.
    fn report(&mut self, at: &EpochEnd<'_>) -> Measured;
}

impl<F: FnMut(&EpochEnd<'_>) -> Measured> Observer for F {
    fn report(&mut self, at: &EpochEnd<'_>) -> Measured {
        self(at)
    }
}

/// The training of a run: what is trained, and what is shown of it.
pub struct Trainer<'a> {
    /// The sitting.
    pub session: &'a Session,
    /// The State with the weights, which sampling and evaluation share.
    pub state: &'a State,
    /// The training step.
    pub round: &'a Round,
    /// The unit of the curves.
    pub unit: &'a str,
    /// The number of metrics that are drawn as curves, from the first on.
    pub curves: usize,
    /// Whether the first value of a report is a score: the checkpoint with the smallest is the best.
    pub scored: bool,
}

impl Trainer<'_> {
    /// Trains as the options of the sitting say, and returns the run's folder; `None` if a resumed run had
    /// nothing left to do, so that no file of it has changed, and on ranks that write nothing.
    ///
    /// # Errors
    /// Fails if memory does not suffice, if a value becomes infinite or NaN, if a file cannot be read or
    /// written, if the device is lost, if a rank has ended, or with the error of the observer. Steps that are done
    /// are saved before that, unless they are spoilt or the device is lost.
    ///
    /// # Panics
    /// A panic of the observer or of the loop itself goes on after the steps that are done were saved.
    pub fn run(self, observer: &mut dyn Observer) -> Result<Option<RunDir>> {
        let Self { session, state, round, unit, curves, .. } = self;
        let plans: Vec<_> = round.plans().collect();
        let (stream, feed) = (session.stream.as_ref(), session.feed.as_ref());
        let feed = feed.ok_or_else(|| Error::new("--plan only prints the plan; leave it out to train"))?;
        let steps = Steps::new(&session.gpu, state, round, feed, stream, session.order())
            .map_err(|e| session.memory(e, &plans))?
            .with_submissions(Duration::from_millis(session.sitting.submission_ms))
            .with_ranks(session.ranks().line());
        let Some(mut this) = Loop::begin(&self, steps, observer)? else { return Ok(None) };
        interrupt::watch(!session.ranks().processes())?;
        // What a panic leaves behind is judged by `rescue`.
        let done = catch_unwind(AssertUnwindSafe(|| this.epochs()));
        this.progress.finish();
        if !matches!(done, Ok(Ok(()))) {
            this.rescue();
        }
        done.unwrap_or_else(|panic| resume_unwind(panic)).map_err(|e| this.lost(e))?;
        let Some(Desk { run, checkpoints, .. }) = this.desk else { return Ok(None) };
        let (best, took) = (checkpoints.best(), this.started.elapsed());
        summary::write(session, &run, this.at.step, best, &round.metrics[..curves], unit, took)?;
        if this.interrupted && this.at.step < this.total {
            let (step, total, dir) = (this.at.step, this.total, run.root().display());
            say!("stopped at step {step} of {total}; go on with: train --resume {dir}");
        }
        Ok(Some(run))
    }
}

/// The files that rank 0 writes, since it speaks for all.
struct Desk {
    run: RunDir,
    checkpoints: Checkpoints,
    log: MetricsLog,
}

/// What a rank may wish after a step, as bits: to stop since Ctrl-C was typed, to stop since the time is over, to
/// read the metrics, to save.
const INTERRUPTED: u8 = 1;
const OVER: u8 = 2;
const READ: u8 = 4;
const SAVE: u8 = 8;

/// The state of the loop, and what it reads.
struct Loop<'a> {
    session: &'a Session,
    state: &'a State,
    metrics: &'a [&'static str],
    curves: usize,
    scored: bool,
    weights: Vec<String>,
    /// The names of the training step's variables, which a checkpoint holds.
    kept: Vec<String>,
    steps: Steps<'a>,
    total: u64,
    desk: Option<Desk>,
    progress: TrainingProgress,
    at: Position,
    saved: (u64, Instant),
    /// Whether the State holds bad values, or those of a replay.
    spoilt: bool,
    started: Instant,
    /// Whether Ctrl-C was typed, which is asked once after every submission.
    interrupted: bool,
    /// Whether to stop, because Ctrl-C was typed or the time is over.
    stop: bool,
    observer: &'a mut dyn Observer,
}

impl<'a> Loop<'a> {
    /// Begins a run, or continues one from its newest checkpoint. Returns `None` if it has reached its end.
    fn begin(
        trainer: &Trainer<'a>,
        mut steps: Steps<'a>,
        observer: &'a mut dyn Observer,
    ) -> Result<Option<Self>> {
        let &Trainer { session, state, round, curves, scored, .. } = trainer;
        let (order, total) = (steps.order(), session.total());
        let lasts = |v: &&VarSpec| v.role != Role::Passed;
        let vars = round.plans().flat_map(|plan| &plan.vars).filter(lasts);
        let kept: Vec<String> = vars.map(|v| v.name.clone()).collect();
        let Some(Begun { desk, from }) = session.begin()? else { return Ok(None) };
        let mut progress = TrainingProgress::new(total.saturating_mul(order.images()), session.recipe.one());
        if let Some(seconds) = session.sitting.seconds {
            progress = progress.with_seconds(seconds);
        }
        let mut at = Position { sums: vec![0.0; round.metrics.len()], ..Position::default() };
        if let Some((checkpoint, path)) = from {
            checkpoint.restore(&session.gpu, state, &kept, &path)?;
            at = checkpoint.position;
            steps.seek(at.step);
            progress.println(&format!("going on at step {} from {}", at.step, path.display()));
        }
        let open = |(run, checkpoints): (RunDir, Checkpoints)| {
            let log = MetricsLog::resume(run.metrics(), at.step)?;
            Ok(Desk { run, checkpoints, log })
        };
        let desk = desk.map(open).transpose()?;
        let root = desk.as_ref().map(|desk| desk.run.root().display().to_string());
        session.ranks().advise(&root.unwrap_or_default())?;
        let mut this = Self {
            session,
            state,
            metrics: &round.metrics,
            curves,
            scored,
            weights: round.weights(),
            kept,
            steps,
            total,
            desk,
            progress,
            saved: (at.step, Instant::now()),
            spoilt: false,
            at,
            started: Instant::now(),
            interrupted: false,
            stop: false,
            observer,
        };
        if this.at.step == 0 {
            this.save()?;
            this.look()?;
        }
        Ok(Some(this))
    }

    fn epochs(&mut self) -> Result<()> {
        let owed = |this: &Self| this.at.owes_report(this.steps.order().per_epoch());
        while (self.at.step < self.total || owed(self)) && !self.stop {
            let whole = owed(self) || self.epoch()?;
            // After Ctrl-C in the middle of an epoch, nothing is measured, so that the program ends soon.
            if whole || !self.interrupted {
                self.report()?;
            }
        }
        Ok(())
    }

    /// Trains to the end of the current epoch or of the run, or until it must stop. Returns whether it
    /// reached the end.
    fn epoch(&mut self) -> Result<bool> {
        let per_epoch = self.steps.order().per_epoch();
        let end = (self.at.step / per_epoch + 1).saturating_mul(per_epoch).min(self.total);
        let every = self.session.sitting.checkpoint_every;
        let mut read_at = Instant::now();
        while self.at.step < end && !self.stop {
            let due = every.map_or(u64::MAX, |n| n - (self.at.step - self.saved.0).min(n - 1));
            let seen = self.observer.every().map_or(u64::MAX, |n| n - self.at.step % n);
            let count = self.steps.submit((end - self.at.step).min(due).min(seen))?;
            self.at.step += count;
            self.tell_left_out();
            // The report at the end of an epoch does this itself.
            if self.at.step < end {
                self.look()?;
            }
            let over = |seconds| self.started.elapsed().as_secs_f64() >= seconds;
            let wishes = self.wishes([
                (INTERRUPTED, interrupt::asked()),
                (OVER, self.session.sitting.seconds.is_some_and(over)),
                (SAVE, count == due || (every.is_none() && self.saved.1.elapsed() > SAVED)),
                (READ, read_at.elapsed() > SHOWN),
            ])?;
            let save = wishes & SAVE != 0;
            self.interrupted = wishes & INTERRUPTED != 0;
            self.stop = wishes & (INTERRUPTED | OVER) != 0;
            interrupt::answer(self.interrupted);
            let read = save || self.stop || self.at.step == end || self.steps.full();
            if read || wishes & READ != 0 {
                self.read()?;
                read_at = Instant::now();
            }
            if self.at.step < end && (save || self.interrupted) {
                self.save()?;
            }
        }
        Ok(self.at.step == end)
    }

    /// The wishes of all ranks, so that they do the same: what hangs on the clock is for the first to wish.
    fn wishes(&self, mine: [(u8, bool); 4]) -> Result<u8> {
        let heard = |&(wish, is): &(u8, bool)| is && (self.desk.is_some() || wish == INTERRUPTED);
        self.session.ranks().any(mine.iter().filter(|wish| heard(wish)).map(|wish| wish.0).sum())
    }

    /// Warns of pictures that broke while the run streams them.
    fn tell_left_out(&self) {
        for path in self.session.stream.iter().flat_map(Stream::newly_left_out) {
            let what = "cannot be read any more; it is left out, and the next one stands for it";
            let line = format!("warning: {} {what}", path.display());
            match self.session.ranks().share().rank {
                0 => self.progress.println(&line),
                rank => aloud(format_args!("rank {rank}: {line}")),
            }
        }
    }

    /// Lets the observer look, if it is due.
    fn look(&mut self) -> Result<()> {
        let Some(desk) = &mut self.desk else { return Ok(()) };
        if self.observer.every().is_none_or(|steps| !self.at.step.is_multiple_of(steps)) {
            return Ok(());
        }
        let measured = self.observer.look(&desk.run, self.at.step)?;
        if measured.is_empty() { Ok(()) } else { desk.log.write(self.at.step, &measured) }
    }

    /// Reads the metrics of the steps that the host has not seen: checks them, logs and shows their means,
    /// and adds them to the sums of the epoch.
    fn read(&mut self) -> Result<()> {
        let rows = self.steps.read()?;
        let mut means = vec![0.0; self.metrics.len()];
        for (s, row) in (self.at.step - rows.len() as u64..).zip(&rows) {
            for (m, value) in row.iter().enumerate() {
                if !value.is_finite() {
                    return Err(self.diagnose(s, &format!("{} became {value}", self.metrics[m])));
                }
                means[m] += value / rows.len() as f64;
                self.at.sums[m] += value;
            }
        }
        let named = |(name, mean): (&&str, f64)| (name.to_string(), mean);
        let told: Vec<_> = self.metrics.iter().zip(means).map(named).collect();
        if let Some(desk) = self.desk.as_mut().filter(|_| !rows.is_empty()) {
            desk.log.write(self.at.step, &told)?;
        }
        let order = self.steps.order();
        let epochs = self.total.div_ceil(order.per_epoch());
        let epoch = self.at.step.div_ceil(order.per_epoch());
        let shown = match self.session.recipe.sound {
            Some(sound) => vec![("bits/sample".into(), sound.bits_per_sample(told[0].1))],
            None => told[..self.curves].to_vec(),
        };
        self.progress.update(self.at.step * order.images(), epoch, epochs, &shown);
        Ok(())
    }

    /// Measures at the end of an epoch or of the run, prints and logs the result, and saves a checkpoint.
    fn report(&mut self) -> Result<()> {
        let (per_epoch, step) = (self.steps.order().per_epoch(), self.at.step);
        let steps = (step - self.at.epoch_start).max(1) as f64;
        let means: Vec<f64> = self.at.sums.iter().map(|s| s / steps).collect();
        let epoch = step.div_ceil(per_epoch);
        self.session.share_statistics(self.state, &self.weights)?;
        let run = self.desk.as_ref().map(|desk| &desk.run);
        let measured = self.observer.report(&EpochEnd { step, epoch, means: &means, run })?;
        if let Some((name, value)) = measured.iter().find(|m| !m.1.is_finite()) {
            return Err(self.diagnose(step - 1, &format!("{name} became {value}")));
        }
        self.at.score = measured.first().map(|m| m.1).filter(|_| self.scored);
        let trained = self.metrics.iter().zip(means).map(|(name, mean)| (format!("train_{name}"), mean));
        let now = [("epoch".to_string(), step as f64 / per_epoch as f64)];
        let line: Vec<_> = now.into_iter().chain(trained).chain(measured).collect();
        if let Some(desk) = &mut self.desk {
            desk.log.write(step, &line)?;
        }
        let told: Vec<String> = line[1..].iter().map(|(name, value)| format!("{name} {value:.2}")).collect();
        self.progress.println(&format!("epoch {epoch:>3}: {}", told.join(", ")));
        if step.is_multiple_of(per_epoch) {
            (self.at.epoch_start, self.at.sums) = (step, vec![0.0; self.metrics.len()]);
        }
        self.save()?;
        self.at.score = None;
        Ok(())
    }

    /// Writes a checkpoint and the weights. The host must have read all metrics before.
    fn save(&mut self) -> Result<()> {
        let (gpu, step) = (&self.session.gpu, self.at.step);
        let Some(Desk { run, checkpoints, .. }) = &mut self.desk else {
            self.saved = (step, Instant::now());
            return Ok(());
        };
        let config = &self.session.config;
        let checkpoint = Checkpoint::take(gpu, self.state, &self.kept, config, self.at.clone())?;
        if let Some(name) = checkpoint.first_bad() {
            return Err(match step {
                0 => Error::new(format!(
                    "`{name}` holds an infinity or NaN before the first step; start from other weights"
                )),
                step => self.diagnose(step - 1, &format!("`{name}` became infinite or NaN")),
            });
        }
        checkpoints.save(&checkpoint)?;
        write_atomic(&run.weights(), &weights::to_bytes(gpu, self.state, &self.weights)?)?;
        self.saved = (step, Instant::now());
        Ok(())
    }

    /// After an error or a panic, saves the steps that no checkpoint holds, unless they are spoilt or lost.
    fn rescue(&mut self) {
        // Where a panic struck between steps, the device knows best how many are done.
        let Ok(step) = self.steps.recount() else { return };
        self.at.step = step;
        if self.spoilt || step == self.saved.0 || self.steps.needs_ranks() {
            return;
        }
        // A metrics file that cannot be written must not keep the weights from being saved.
        let _ = self.read();
        if !self.spoilt && self.save().is_ok() {
            note!("step {step} is saved; go on with: train --resume {}", self.folder());
        }
    }

    /// A lost device causes errors of many kinds. Replaces such an error by one that says so. Says how to
    /// continue, also where another rank ended.
    fn lost(&self, error: Error) -> Error {
        let error = match self.session.gpu.wait() {
            Err(lost) => lost,
            Ok(()) if self.steps.needs_ranks() && self.desk.is_some() => error,
            Ok(()) => return error,
        };
        let (step, dir) = (self.saved.0, self.folder());
        Error::new(format!("{error}; the last checkpoint is at step {step}: go on with --resume {dir}"))
    }

    /// The run's folder, as messages name it.
    fn folder(&self) -> String {
        self.desk.as_ref().map_or_else(String::new, |desk| desk.run.root().display().to_string())
    }

    /// Replays from the last checkpoint to the step that went bad, and names the launch that wrote the first
    /// bad value.
    fn diagnose(&mut self, bad: u64, what: &str) -> Error {
        self.spoilt = true;
        let from = self.saved.0;
        let culprit = self.replay(bad).unwrap_or_else(|e| Some(format!("(the replay failed: {e})")));
        let culprit = culprit.unwrap_or_else(|| {
            "none when the step was repeated: the device does not compute reproducibly".into()
        });
        let dir = self.folder();
        Error::new(format!(
            "{what} at step {bad}; first bad tensor: {culprit}; the last good checkpoint is step {from}: \
             go on from there by smaller steps, with --resume {dir} --lr NUMBER, or train anew"
        ))
    }

    fn replay(&mut self, bad: u64) -> Result<Option<String>> {
        let from = self.saved.0;
        let Some(desk) = self.desk.as_mut().filter(|_| self.session.ranks().share().alone()) else {
            return Ok(Some("not looked for by several ranks, but by one that goes on alone".into()));
        };
        self.progress.println(&format!("looking for the first bad tensor: replaying steps {from} to {bad}"));
        let newest: Option<(Checkpoint, PathBuf)> = desk.checkpoints.newest()?;
        let Some((checkpoint, path)) = newest else { return Ok(None) };
        checkpoint.restore(&self.session.gpu, self.state, &self.kept, &path)?;
        self.steps.seek(checkpoint.position.step);
        self.steps.first_bad(bad)
    }
}
