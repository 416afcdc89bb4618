//! The beginning of a sitting: its folder is made or found again, with the checkpoint that it goes on from.

use super::Session;
use crate::{
    disk::write_atomic,
    error::{Error, Result},
    run::{
        RunDir,
        alike::same_run,
        checkpoint::{Checkpoint, Checkpoints, Position},
        lock::Lock,
        metrics::last_step,
        say::counted,
    },
};
use std::{fs, path::PathBuf};

/// The folder and the starting point of a sitting.
pub(in crate::run) struct Begun {
    /// The run's folder and its checkpoints, on the rank that writes them.
    pub(in crate::run) desk: Option<(RunDir, Checkpoints)>,
    /// The checkpoint from which the run continues, with its path; `None` for a new run.
    pub(in crate::run) from: Option<(Checkpoint, PathBuf)>,
}

impl Session {
    /// Begins on all ranks, of which the first finds the folder and the checkpoint. Returns `None` if the run has
    /// reached its end already.
    pub(in crate::run) fn begin(&self) -> Result<Option<Begun>> {
        let ranks = self.ranks();
        if ranks.share().alone() {
            return self.begin_first();
        }
        let begun = if ranks.share().leads() { self.begin_first()? } else { None };
        let told = match &begun {
            None => vec![],
            Some(Begun { from: None, .. }) => vec![0],
            Some(Begun { from: Some((checkpoint, _)), .. }) => [vec![1], checkpoint.to_bytes()?].concat(),
        };
        let told = ranks.line().broadcast(&told)?;
        Ok(match (ranks.share().leads(), &told[..]) {
            (true, _) => begun,
            (_, []) => None,
            (_, [0, ..]) => Some(Begun { desk: None, from: None }),
            (_, [_, bytes @ ..]) => {
                let checkpoint = Checkpoint::from_bytes(bytes).map_err(Error::new)?;
                Some(Begun { desk: None, from: Some((checkpoint, PathBuf::from("rank 0's checkpoint"))) })
            }
        })
    }

    /// Makes the run's folder, or finds it again with its newest checkpoint. Says so and returns `None` if that
    /// run has reached its end already.
    fn begin_first(&self) -> Result<Option<Begun>> {
        let run = match (&self.sitting.resume, &self.sitting.out) {
            (Some(dir), _) => RunDir::create(dir)?,
            (None, Some(dir)) => RunDir::create(dir)?,
            (None, None) => RunDir::fresh(self.model)?,
        };
        if self.lock.get().is_none() {
            let _ = self.lock.set(Lock::take(run.root())?);
        }
        let mut checkpoints =
            Checkpoints::new(run.checkpoints(), self.sitting.lasting.keep.unwrap_or(3) as usize);
        if self.sitting.resume.is_some() {
            run.sweep();
            // A run that stopped before its first checkpoint begins again: its first State is a function of
            // the seed.
            let from = checkpoints.newest()?;
            let reached = last_step(run.metrics())?;
            if let Some(step) = reached.filter(|_| from.is_none()) {
                let advice = "restore its checkpoints, or train anew with --overwrite";
                return Err(Error::at(
                    "go on in",
                    run.root(),
                    format!("it holds no checkpoint, but metrics of step {step}"),
                    advice,
                ));
            }
            if let Some((_, path)) = from.as_ref().filter(|(from, _)| !same_run(&from.config, &self.config)) {
                let what = format!(
                    "{} belongs to another run than {}; restore the right one",
                    path.display(),
                    run.config().display()
                );
                return Err(Error::new(what));
            }
            let (total, per_epoch) = (self.total(), self.order().per_epoch());
            let done = |at: &Position| at.step >= total && !at.owes_report(per_epoch);
            if let Some((Checkpoint { position, .. }, _)) = from.as_ref().filter(|(c, _)| done(&c.position)) {
                let (dir, done) = (run.root().display(), counted(position.step, "step"));
                say!(
                    "nothing to do: {dir} has done {done}, {total} are asked for; give more --steps or --epochs"
                );
                self.write_place(&run)?;
                return Ok(None);
            }
            if !run.pictures().exists() {
                self.write_list(&run)?;
            }
            write_atomic(&run.config(), self.config.as_bytes())?;
            let size = self.ranks().share().size;
            if let Some(before) = self.ranks_before.filter(|&before| before != size) {
                let [before, now] = [before, size].map(|n| counted(n, "rank"));
                let what = match self.recipe.local_batch_norm {
                    true => "batch norm takes the statistics of another number of images from here on",
                    false => "sums are added up in another order, in which the last bits differ",
                };
                note!("trained by {before} before, now by {now}: {what}");
            }
            return Ok(Some(Begun { desk: Some((run, checkpoints)), from }));
        }
        let dir = run.root().display();
        if run.has_run() && !self.sitting.overwrite {
            return Err(Error::new(format!(
                "{dir} holds a run; go on with it by --resume {dir}, replace it by --overwrite, or choose another --out"
            )));
        }
        if let Some(path) = run.in_the_way().filter(|_| !self.sitting.overwrite) {
            let what = format!(
                "{} lies where the run would write; move it away, replace it by --overwrite, or choose another --out",
                path.display()
            );
            return Err(Error::new(what));
        }
        run.clear()?;
        self.write_list(&run)?;
        write_atomic(&run.config(), self.config.as_bytes())?;
        Ok(Some(Begun { desk: Some((run, checkpoints)), from: None }))
    }

    /// Writes where the run's data lie now into its configuration, and nothing else.
    fn write_place(&self, run: &RunDir) -> Result<()> {
        let advice = "restore the file";
        let saved =
            fs::read_to_string(run.config()).map_err(|e| Error::at("read", &run.config(), e, advice))?;
        let place = |text: &str| text.lines().find(|line| line.starts_with("data = ")).map(String::from);
        match (place(&saved), place(&self.config)) {
            (Some(before), Some(now)) if before != now => {
                note!("the run's data lie in {} now", self.recipe.data);
                write_atomic(&run.config(), saved.replacen(&before, &now, 1).as_bytes())
            }
            _ => Ok(()),
        }
    }

    fn write_list(&self, run: &RunDir) -> Result<()> {
        self.list.as_ref().map_or(Ok(()), |list| write_atomic(&run.pictures(), list.as_bytes()))
    }
}
