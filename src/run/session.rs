//! One sitting of training: its options, data, adapter and folder, whether the run is new or goes on.

use super::{
    RunDir, TrainOptions,
    checkpoint::{Checkpoint, Checkpoints},
    dir::{Saved, config_text},
    metrics::last_step,
};
use crate::{
    data::{DataSet, Images, Source, idx},
    disk::{hex, write_atomic},
    error::{Error, Result},
    gpu::{Gpu, State},
    plan::{Plan, table},
    train::{Feed, Stream, Streaming, limit},
    weights,
};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// An example's options: its own, and within them those that all examples share.
pub trait Options: Serialize + DeserializeOwned {
    /// The shared ones.
    fn common(&mut self) -> &mut TrainOptions;

    /// Minibatches that a training step takes.
    fn batches(&self) -> u64 {
        1
    }
}

/// What training needs before there is a graph.
pub struct Session {
    /// The device.
    pub gpu: Gpu,
    /// The data; of a streamed run's training images, the window that lies on the GPU.
    pub set: DataSet,
    pub(super) stream: Option<Stream>,
    /// The shared options, a resumed run's own among them.
    pub options: TrainOptions,
    /// Which example this is.
    pub model: String,
    pub(super) config: String,
    /// Minibatches of a training step.
    pub(super) batches: u64,
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
        let mut began = None;
        if let Some(dir) = options.common().resume.clone() {
            let mut saved: Saved<T> = RunDir::open(&dir)?.read_config(model)?;
            let common = options.common().over(saved.options.common().clone());
            options = saved.options;
            *options.common() = common;
            began = Some(saved.images);
        }
        let set = options.common().open()?;
        let images = fingerprint(&set);
        if let Some(began) = began.filter(|began| *began != images) {
            return Err(changed(&options.common().data, &began, &images));
        }
        let gpu = options.common().adapter.open()?;
        let common = options.common();
        common.stream = common.stream.or_else(|| Stream::window_mib(&set.train, gpu.caps()));
        let (common, batches) = (options.common().clone(), options.batches());
        let (count, of_step) = (set.train.about().count, u64::from(common.batch).saturating_mul(batches));
        if (count as u64) < of_step {
            return Err(Error::new(format!(
                "a step takes {of_step} images, and {} has {count} to train on; take a smaller --batch",
                set.name
            )));
        }
        let (set, stream) = read(&common, batches, set, &gpu)?;
        let image = [set.train.height, set.train.width, set.train.channels];
        let saved = Saved { model: model.into(), image, classes: set.train.classes, images, options };
        let config = config_text(&saved)?;
        Ok((Self { gpu, set, stream, options: common, model: model.into(), config, batches }, saved.options))
    }

    /// Number of training images.
    pub fn count(&self) -> usize {
        self.stream.as_ref().map_or(self.set.train.count, Stream::count)
    }

    /// Height, width and channels of the images.
    pub fn image(&self) -> [usize; 3] {
        [self.set.train.height, self.set.train.width, self.set.train.channels]
    }

    /// `--plan`: prints the training step's plans and what all plans need together; tells whether it was asked for.
    pub fn print_plan(&self, round: &[&Plan], others: &[&Plan]) -> bool {
        if self.options.plan {
            let parts = planned(&round.iter().chain(others).copied().collect::<Vec<_>>());
            let [slots, inputs, state] = parts.map(table::bytes);
            round.iter().for_each(|plan| println!("{plan}"));
            println!(
                "planned peak memory with sampling and evaluation: {}",
                table::bytes(parts.iter().sum())
            );
            println!("(slots {slots}, inputs {inputs}, state {state})");
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
        let mut checkpoints = Checkpoints::new(run.checkpoints(), self.options.keep.unwrap_or(3) as usize);
        if self.options.resume.is_some() {
            run.sweep();
            // Stopped before its first checkpoint, a run begins again: the first State is a function of the seed.
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
            // The length of a run may change, and a newer version may add options; what made it may not.
            let own = without_length(&self.config);
            if let Some((_, path)) = from
                .as_ref()
                .filter(|(from, _)| !without_length(&from.config).iter().all(|l| own.contains(l)))
            {
                let what = format!(
                    "{} belongs to another run than {}; restore the right one",
                    path.display(),
                    run.config().display()
                );
                return Err(Error::new(what));
            }
            write_atomic(&run.config(), self.config.as_bytes())?;
            return Ok(Begun { run, checkpoints, from });
        }
        let dir = run.root().display();
        if run.has_run() && !self.options.overwrite {
            return Err(Error::new(format!(
                "{dir} holds a run; go on with it by --resume {dir}, replace it by --overwrite, or choose another --out"
            )));
        }
        if let Some(path) = run.in_the_way().filter(|_| !self.options.overwrite) {
            let what = format!(
                "{} lies where the run would write; move it away, replace it by --overwrite, or choose another --out",
                path.display()
            );
            return Err(Error::new(what));
        }
        run.clear()?;
        write_atomic(&run.config(), self.config.as_bytes())?;
        Ok(Begun { run, checkpoints, from: None })
    }

    /// `--weights`: overwrites the named variables with a file's tensors, unless a checkpoint will.
    pub(super) fn apply_weights(&self, state: &State, names: &[String]) -> Result<()> {
        let resumes = |dir: &PathBuf| {
            RunDir::open(dir).is_ok_and(|run| !Checkpoints::new(run.checkpoints(), 1).files().is_empty())
        };
        match self.options.weights.as_ref().filter(|_| !self.options.resume.as_ref().is_some_and(resumes)) {
            Some(path) => Ok(weights::apply(&self.gpu, state, names, &weights::load(path)?, path)?),
            None => Ok(()),
        }
    }

    /// An error of making plans ready, with what they need where memory is short.
    pub(super) fn memory(&self, error: crate::error::Error, plans: &[&Plan]) -> Error {
        let text = error.to_string();
        if !text.to_lowercase().contains("memory") {
            return error.into();
        }
        let largest = plans.iter().map(|p| p.largest_binding()).max().unwrap_or(0);
        let (need, largest) = (table::bytes(planned(plans).iter().sum()), table::bytes(largest));
        Error::new(format!(
            "{text}: the plans need {need}, their largest buffer {largest}; try a smaller --batch or model"
        ))
    }

    /// All images in memory, of a streamed run too.
    ///
    /// # Errors
    /// Training images that memory should not hold.
    pub fn whole(&self) -> Result<Cow<'_, DataSet>> {
        if self.stream.is_none() {
            return Ok(Cow::Borrowed(&self.set));
        }
        let train = self.options.find()?.train;
        if train.bytes() > idx::MAX_BYTES {
            return Err(Error::new(format!(
                "{}: the training images are more than can be read at once; leave out what needs them all (--fid), or take a smaller set",
                self.set.name
            )));
        }
        let (name, test) = (self.set.name.clone(), self.set.test.clone());
        Ok(Cow::Owned(DataSet { name, train: self.options.read(train)?, test, lossy: self.set.lossy }))
    }

    /// The training images on the GPU, or the window of them.
    pub fn feed(&self) -> Result<Feed> {
        Feed::new(&self.gpu, &self.set.train)
    }
}

/// Reads the data set, but for training images that are streamed.
fn read(
    options: &TrainOptions,
    batches: u64,
    set: DataSet<Source>,
    gpu: &Gpu,
) -> Result<(DataSet, Option<Stream>)> {
    let (caps, test) = (gpu.caps(), &set.test);
    let (bytes, most) = (test.bytes(), limit(caps));
    if bytes > most {
        let (count, need, most) = (test.about().count, table::bytes(bytes), table::bytes(most));
        return Err(Error::new(format!(
            "{}: the {count} test images need {need}, the adapter's largest buffer is {most}, and only training images are streamed; \
             keep fewer test images, or give a smaller --image-size",
            options.data
        )));
    }
    let (train, stream) = match options.stream {
        Some(mib) => {
            let (seed, batch) = (options.seed, options.batch as usize);
            let stream = Stream::new(set.train, Streaming { seed, batch, batches, mib }, caps)?;
            (stream.window(), Some(stream))
        }
        None => (options.read(set.train)?, None),
    };
    Ok((DataSet { name: set.name, train, test: options.read(set.test)?, lossy: set.lossy }, stream))
}

/// Bytes of slots, inputs and State that plans need together.
fn planned(plans: &[&Plan]) -> [u64; 3] {
    let slots = plans.iter().map(|p| p.slot_bytes()).sum();
    let inputs = plans.iter().flat_map(|p| &p.inputs).map(|(_, ty)| ty.bytes()).sum();
    // Variables that an optimizer owns lie in its arena for every plan.
    let arenas: BTreeMap<&str, u64> = plans
        .iter()
        .flat_map(|p| &p.arenas)
        .map(|a| (a.name.as_str(), (a.rows * a.row_len * 4) as u64))
        .collect();
    let owned: BTreeSet<&str> =
        plans.iter().flat_map(|p| &p.vars).filter(|v| v.home.is_some()).map(|v| v.name.as_str()).collect();
    let others = plans
        .iter()
        .flat_map(|p| &p.vars)
        .map(|v| (v.name.as_str(), v.ty.bytes()))
        .filter(|(name, _)| !owned.contains(name));
    let others: BTreeMap<&str, u64> = others.collect();
    [slots, inputs, arenas.values().chain(others.values()).sum()]
}

/// How many images, and the SHA-256 of all their pixels and labels: a run goes on with the data that it began with.
/// Of image folders the files' contents instead.
fn fingerprint(set: &DataSet<Source>) -> String {
    let mut hasher = Sha256::new();
    [&set.train, &set.test].into_iter().for_each(|images| images.identify(|bytes| hasher.update(bytes)));
    format!("{} + {}, sha256 {}", set.train.about().count, set.test.about().count, hex(hasher.finalize()))
}

fn changed(data: &str, began: &str, now: &str) -> Error {
    Error::new(format!(
        "the images of {data} are not those of the run: {began} then, {now} now; restore them, or train anew"
    ))
}

impl<T: Options + Clone> Saved<T> {
    /// The data that the run was trained on; an error if it is not the same any more. A streamed run's training images, if they are
    /// files and more than [`idx::MAX_BYTES`], are left out.
    pub fn load(&self) -> Result<DataSet> {
        let (common, set) = self.open()?;
        let train = match set.train {
            ref files @ Source::Files(_) if common.stream.is_some() && files.bytes() > idx::MAX_BYTES => {
                Images { count: 0, pixels: vec![], labels: None, ..*files.about() }
            }
            source => common.read(source)?,
        };
        Ok(DataSet { name: set.name, train, test: common.read(set.test)?, lossy: set.lossy })
    }

    /// [`Saved::load`] of the test images alone, and [`DataSet::lossy`].
    pub fn test(&self) -> Result<(Images, bool)> {
        let (common, set) = self.open()?;
        Ok((common.read(set.test)?, set.lossy))
    }

    /// The run's data, not read yet.
    fn open(&self) -> Result<(TrainOptions, DataSet<Source>)> {
        let mut common = self.options.clone().common().clone();
        let set = common.open()?;
        let now = fingerprint(&set);
        if now == self.images { Ok((common, set)) } else { Err(changed(&common.data, &self.images, &now)) }
    }
}

/// A configuration without the lines that say how long to train and how much to keep.
fn without_length(config: &str) -> Vec<&str> {
    // The data's path may change, its contents may not; streaming changes no result.
    config
        .lines()
        .filter(|l| {
            !["data", "epochs", "steps", "keep", "stream"]
                .iter()
                .any(|key| l.split(" = ").next() == Some(key))
        })
        .collect()
}

/// A trained run that is looked at: the folder that was named, or the newest of its model.
pub fn trained<T: DeserializeOwned>(model: &str, dir: Option<&PathBuf>) -> Result<(RunDir, Saved<T>)> {
    let run = dir.map_or_else(|| RunDir::latest(model), RunDir::open)?;
    let saved = run.read_config(model)?;
    Ok((run, saved))
}
