//! One sitting of training: its options, data, adapter and folder, whether the run is new or goes on.

use super::{
    Error, Feed, Result, RunDir, TrainOptions,
    checkpoint::{Checkpoint, Checkpoints},
    dir::{Saved, config_text, write_atomic},
};
use crate::{
    data::DataSet,
    gpu::{Gpu, State},
    plan::{Plan, table},
    weights,
};
use serde::{Serialize, de::DeserializeOwned};
use std::path::PathBuf;

/// An example's options: its own, and within them those that all examples share.
pub trait Options: Serialize + DeserializeOwned {
    /// The shared ones.
    fn common(&mut self) -> &mut TrainOptions;
}

/// What training needs before there is a graph.
pub struct Session {
    /// The device.
    pub gpu: Gpu,
    /// The data.
    pub set: DataSet,
    /// The shared options, a resumed run's own among them.
    pub options: TrainOptions,
    /// Which example this is.
    pub model: String,
    pub(super) config: String,
}

/// Where a sitting begins.
pub(super) struct Begun {
    pub(super) run: RunDir,
    pub(super) checkpoints: Checkpoints,
    /// Where the run goes on, if it is not new.
    pub(super) from: Option<(Checkpoint, PathBuf)>,
}

impl Session {
    /// Opens adapter and data; `--resume` replaces the options by the run's own.
    pub fn open<T: Options>(model: &str, options: T) -> Result<(Self, T)> {
        let mut options = options;
        if let Some(dir) = options.common().resume.clone() {
            let mut saved: Saved<T> = RunDir::open(&dir)?.read_config(model)?;
            let common = options.common().over(saved.options.common().clone());
            options = saved.options;
            *options.common() = common;
        }
        let common = options.common().clone();
        let set = common.load()?;
        let gpu = common.adapter.open()?;
        let image = [set.train.height, set.train.width, set.train.channels];
        let saved = Saved { model: model.into(), image, options };
        let config = config_text(&saved)?;
        Ok((Self { gpu, set, options: common, model: model.into(), config }, saved.options))
    }

    /// Height, width and channels of the images.
    pub fn image(&self) -> [usize; 3] {
        [self.set.train.height, self.set.train.width, self.set.train.channels]
    }

    /// `--plan`: prints the training step's plan and what all plans need together; tells whether it was asked for.
    pub fn print_plan(&self, step: &Plan, others: &[&Plan]) -> bool {
        if self.options.plan {
            let slots: u64 = step.slot_bytes() + others.iter().map(|p| p.slot_bytes()).sum::<u64>();
            let inputs: u64 = std::iter::once(&step).chain(others).flat_map(|p| &p.inputs).map(|(_, ty)| ty.bytes()).sum();
            let peak = slots + inputs + step.state_bytes();
            println!("{step}\nplanned peak memory with sampling and evaluation: {}", table::bytes(peak));
            println!("(slots {}, inputs {}, state {})", table::bytes(slots), table::bytes(inputs), table::bytes(step.state_bytes()));
        }
        self.options.plan
    }

    /// The run's folder, made or found again.
    pub(super) fn begin(&self) -> Result<Begun> {
        let run = match (&self.options.resume, &self.options.out) {
            (Some(dir), _) => RunDir::create(dir)?,
            (None, Some(dir)) => RunDir::create(dir)?,
            (None, None) => RunDir::fresh(&self.model)?,
        };
        let mut checkpoints = Checkpoints::new(run.checkpoints(), self.options.keep as usize);
        if self.options.resume.is_some() {
            // Stopped before its first checkpoint, a run begins again: the first State is a function of the seed.
            let from = checkpoints.newest()?;
            // The length of a run may change; what made it may not.
            if let Some((_, path)) = from.as_ref().filter(|(from, _)| without_length(&from.config) != without_length(&self.config)) {
                let what = format!("{} belongs to another run than {}; restore the right one", path.display(), run.config().display());
                return Err(Error::new(what));
            }
            write_atomic(&run.config(), self.config.as_bytes())?;
            return Ok(Begun { run, checkpoints, from });
        }
        if run.has_run() && !self.options.overwrite {
            let dir = run.root().display();
            return Err(Error::new(format!(
                "{dir} holds a run; go on with it by --resume {dir}, replace it by --overwrite, or choose another --out"
            )));
        }
        run.clear()?;
        write_atomic(&run.config(), self.config.as_bytes())?;
        Ok(Begun { run, checkpoints, from: None })
    }

    /// `--weights`: overwrites the named variables with a file's tensors.
    pub(super) fn apply_weights(&self, state: &State, names: &[String]) -> Result<()> {
        match &self.options.weights {
            Some(path) => Ok(weights::apply(&self.gpu, state, names, &weights::load(path)?, path)?),
            None => Ok(()),
        }
    }

    /// The training images on the GPU.
    pub fn feed(&self) -> Result<Feed> {
        Feed::new(&self.gpu, &self.set.train)
    }
}

/// A configuration without the lines that say how long to train and how much to keep.
fn without_length(config: &str) -> Vec<&str> {
    config.lines().filter(|l| !["epochs", "steps", "keep"].iter().any(|key| l.split(" = ").next() == Some(key))).collect()
}

/// A trained run that is looked at: the folder that was named, or the newest of its model.
pub fn trained<T: DeserializeOwned>(model: &str, dir: Option<&PathBuf>) -> Result<(RunDir, Saved<T>)> {
    let run = dir.map_or_else(|| RunDir::latest(model), RunDir::open)?;
    let saved = run.read_config(model)?;
    Ok((run, saved))
}
