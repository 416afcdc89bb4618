//! One sitting of training: its options, data, adapter and folder, for a new run or a resumed one.

pub(super) mod begin;

use super::{
    RunDir,
    alike::unlike,
    change::Typed,
    checkpoint::Checkpoints,
    dir::{Saved, config_text},
    images::{digest, fingerprint, list},
    lock::Lock,
    memory::{advice, planned},
    options::{Options, Recipe, Sitting, Train},
    ranks::Ranks,
};
use crate::{
    data::{DataSet, Images, Order, Source, idx},
    error::{Error, Result},
    gpu::{Choice, Gpu, State},
    graph::{Graph, share::Share},
    plan::{Plan, table},
    train::{Feed, Round, Stream, limit},
    weights::{self, Weights},
};
use std::{
    borrow::Cow,
    cell::OnceCell,
    path::{Path, PathBuf},
};

/// How a weights file is loaded that is not the model's own.
pub(super) const PARTIAL: &str = "add --weights-partial";

/// Everything that training needs before there is a graph.
pub struct Session {
    /// The device.
    pub gpu: Gpu,
    /// The data set. In a streamed run, its training images stand for the window on the GPU, and all are 0. For
    /// `--plan`, images have no pixels.
    pub set: DataSet,
    pub(super) stream: Option<Stream>,
    /// The training images on the GPU, or the window of them; `None` for `--plan`, which uploads nothing.
    pub(super) feed: Option<Feed>,
    /// The options that determine the result. A resumed run has its own, with those that were changed.
    pub recipe: Recipe,
    /// The options of this sitting.
    pub sitting: Sitting,
    /// The name of the model.
    pub model: &'static str,
    pub(super) config: String,
    /// The list of the pictures that the run streams.
    list: Option<String>,
    /// The number of minibatches in a training step.
    batches: u64,
    /// The number of ranks that the run was trained by so far, if it goes on.
    ranks_before: Option<usize>,
    /// The tensors of `--weights` and the file's path, if the run begins with them.
    weights: Option<(Weights, PathBuf)>,
    /// The lock of the run's folder, from the moment on at which the folder is known to hold a run or is made.
    lock: OnceCell<Lock>,
}

impl Session {
    /// Opens the adapter and the data set. With `--resume`, the options are those of the run. Returns them
    /// beside the session. Where ranks share the training, each opens a session of its own.
    ///
    /// # Errors
    /// Fails if ranks do not train the same, if options exclude each other, if another process trains in the run's
    /// folder, if the data set cannot be found or is not the run's any more, if it has too few images, if there is
    /// no such adapter, or if the images do not fit into memory.
    pub fn open<T: Options>(train: Train<T>) -> Result<(Self, T)> {
        let Train { typed, mut options, mut sitting } = train;
        let (ranks, share) = (sitting.ranks.clone(), sitting.ranks.share());
        // A training that never asked for its ranks would go on alone.
        let asked = sitting.devices.is_some_and(|devices| devices > 1) && share.alone();
        if asked || (sitting.mpi && !ranks.processes()) {
            return Err(Error::new("--devices and --mpi: this program trains by one rank; leave them out"));
        }
        let lock = if share.leads() { lock(&sitting)? } else { OnceCell::new() };
        let began = resumed(&typed, &mut options, &mut sitting)?;
        if let Some(why) = options.refuse(!share.alone()) {
            return Err(Error::new(why));
        }
        let batch = options.recipe().batch;
        if !(batch as usize).is_multiple_of(share.size) {
            return Err(Error::new(format!(
                "--batch {batch} cannot be shared evenly by {} ranks; take a multiple of {0}",
                share.size
            )));
        }
        let ranks_before = began.as_ref().map(|saved| saved.sitting.ranks.unwrap_or(1));
        // What the first rank downloads is there for the others.
        let (set, images, changes) = ranks.in_turn(|| match began {
            Some(saved) => {
                let (recipe, set) = saved.open()?;
                *options.recipe() = recipe;
                Ok((set, saved.images, saved.changes))
            }
            None => {
                let set = options.recipe().open()?;
                let images = fingerprint(&set);
                Ok((set, images, vec![]))
            }
        })?;
        let weights = first_weights(&mut options, &sitting)?;
        let gpu = sitting.adapter.open_or(ranks.place().map_or(Choice::Best, Choice::Turn))?;
        let lasting = &mut sitting.lasting;
        lasting.stream =
            ranks.least(lasting.stream.or_else(|| Stream::window_mib(&set.train, gpu.caps())))?;
        lasting.ranks = (!share.alone()).then_some(share.size);
        let (recipe, batches) = (options.recipe().clone(), options.batches());
        let (count, of_step) = (set.train.about().count, u64::from(recipe.batch).saturating_mul(batches));
        if (count as u64) < of_step {
            return Err(Error::new(format!(
                "a step takes {of_step} {}s, and {} has {count} to train on; take a smaller --batch",
                recipe.one(),
                set.name
            )));
        }
        // The pictures of a run that goes on are those that it began with, which were checked.
        let streams = lasting.stream.is_some() && !sitting.plan;
        if streams && sitting.resume.is_none() && share.leads() {
            recipe.check(&set.train)?;
        }
        let list = streams.then(|| list(&set, Path::new(&recipe.data))).flatten();
        let order = order(&recipe, batches, count, share);
        let (set, stream) = read(&recipe, lasting.stream, order, set, &gpu, !sitting.plan)?;
        let feed = (!sitting.plan).then(|| Feed::new(&gpu, &set.train)).transpose()?;
        let image = [set.train.height, set.train.width, set.train.channels];
        let (model, classes, class_names) = (T::MODEL, set.train.classes, set.class_names.clone());
        let (name, lasting) = (model.to_string(), lasting.clone());
        let saved = Saved {
            model: name,
            image,
            classes,
            class_names,
            images,
            options,
            sitting: lasting,
            changes,
            list: None,
        };
        let config = config_text(&saved)?;
        let of_file = weights.as_ref().filter(|_| !share.alone());
        let begin = of_file.map_or(String::new(), |(file, _)| format!("weights = \"{}\"\n", digest(file)));
        let adapters = ranks.agree(&(begin + &config), &gpu.caps().name, unlike)?;
        if !share.alone() {
            note!("{} ranks: {}", share.size, adapters.join(", "));
        }
        let session = Self {
            gpu,
            set,
            stream,
            feed,
            recipe,
            sitting,
            model,
            config,
            list,
            batches,
            ranks_before,
            weights,
            lock,
        };
        Ok((session, saved.options))
    }

    /// Adds few labelled images, which steps take beside the others.
    ///
    /// # Errors
    /// Fails if the images do not fit into a buffer of the adapter.
    pub fn beside(&mut self, few: &Images) -> Result<()> {
        self.feed = self.feed.take().map(|feed| feed.beside(&self.gpu, few)).transpose()?;
        Ok(())
    }

    /// How minibatches are taken from the training images.
    pub fn order(&self) -> Order {
        order(&self.recipe, self.batches, self.count(), self.ranks().share())
    }

    /// The ranks that share the training.
    pub fn ranks(&self) -> &Ranks {
        &self.sitting.ranks
    }

    /// The images of each minibatch that are this rank's own.
    pub fn batch(&self) -> usize {
        self.order().batch
    }

    /// Makes an empty graph of a training step.
    pub fn graph(&self) -> Graph {
        let g = Graph::shared(self.ranks().share());
        if self.recipe.local_batch_norm { g.with_local_batch_norm() } else { g }
    }

    /// Gives the first rank's running statistics to all ranks, if each has followed its own images, so that all measure
    /// the model that is saved.
    pub(super) fn share_statistics(&self, state: &State, weights: &[String]) -> Result<()> {
        let own = weights.iter().filter(|name| self.recipe.local_batch_norm && is_statistic(name));
        own.into_iter().try_for_each(|name| {
            let words = state.read_words(&self.gpu, name)?;
            let first = self.ranks().line().broadcast(bytemuck::cast_slice(&words))?;
            state.write_words(&self.gpu, name, &bytemuck::pod_collect_to_vec::<u8, u32>(&first))
        })
    }

    /// Makes a State for a round and for other plans that share it. A new run gets the weights of
    /// `--weights`; a resumed run gets its own from a checkpoint later.
    ///
    /// # Errors
    /// Fails if the device's memory does not suffice, if the weights file does not fit the model, or if there is no
    /// batch norm for `--local-batch-norm`.
    pub fn state(&self, round: &Round, others: &[&Plan]) -> Result<State> {
        if self.recipe.local_batch_norm && !round.weights().iter().any(|name| is_statistic(name)) {
            return Err(Error::new("--local-batch-norm: this model has no batch norm; leave the option out"));
        }
        let plans: Vec<&Plan> = round.plans().chain(others.iter().copied()).collect();
        let state = State::new(&self.gpu, &plans, self.recipe.seed).map_err(|e| self.memory(e, &plans))?;
        match &self.weights {
            Some((file, path)) if self.recipe.weights_partial => {
                let fit = weights::apply_partial(&self.gpu, &state, &round.weights(), file, path)?;
                fit.some(path)?;
                note!("{}: {fit}", path.display());
            }
            Some((file, path)) => weights::apply(&self.gpu, &state, &round.weights(), file, path)
                .map_err(|e| Error::new(format!("{e}: {PARTIAL}")))?,
            None => {}
        }
        Ok(state)
    }

    /// The weights that a new run begins with, and their file, if --weights gives some.
    pub(super) fn weights(&self) -> Option<&(Weights, PathBuf)> {
        self.weights.as_ref()
    }

    /// The number of training images.
    pub fn count(&self) -> usize {
        self.stream.as_ref().map_or(self.set.train.count, Stream::count)
    }

    /// The height, width and number of channels of the images.
    pub fn image(&self) -> [usize; 3] {
        [self.set.train.height, self.set.train.width, self.set.train.channels]
    }

    /// Handles `--plan`: prints the plans of the training step, and the memory that all plans need together.
    /// Returns whether the option was given.
    pub fn print_plan(&self, round: &Round, others: &[&Plan]) -> bool {
        if self.sitting.plan {
            let parts = planned(&round.plans().chain(others.iter().copied()).collect::<Vec<_>>());
            let [slots, inputs, state] = parts.map(table::bytes);
            round.plans().for_each(|plan| say!("{plan}"));
            let all = table::bytes(parts.iter().sum());
            say!("planned peak memory with sampling and evaluation: {all}");
            say!("(slots {slots}, inputs {inputs}, state {state})");
        }
        self.sitting.plan
    }

    /// The number of steps of the whole run.
    pub(super) fn total(&self) -> u64 {
        self.sitting.lasting.total(self.order().per_epoch())
    }

    /// Adds what the plans need to an error, if the error says that memory is short.
    pub(super) fn memory(&self, error: Error, plans: &[&Plan]) -> Error {
        let text = error.to_string();
        if !text.to_lowercase().contains("memory") {
            return error;
        }
        let largest = plans.iter().map(|p| p.largest_binding()).max().unwrap_or(0);
        let (need, largest) = (table::bytes(planned(plans).iter().sum()), table::bytes(largest));
        let advice = advice(planned(plans));
        Error::new(format!("{text}: the plans need {need}, their largest buffer {largest}; {advice}"))
    }

    /// All images in memory, even in a streamed run.
    ///
    /// # Errors
    /// Fails if the images are too many for memory, or if they cannot be read.
    pub fn whole(&self) -> Result<Cow<'_, DataSet>> {
        if self.stream.is_none() {
            return Ok(Cow::Borrowed(&self.set));
        }
        let train = self.recipe.find()?.train;
        if train.bytes() > idx::MAX_BYTES {
            return Err(Error::new(format!(
                "{}: the training images are more than can be read at once; leave out what needs them all (--fid), or take a smaller set",
                self.set.name
            )));
        }
        Ok(Cow::Owned(self.set.with(self.recipe.read(train)?, self.set.test.clone())))
    }
}

/// Whether a variable is a running statistic of a batch norm, by PyTorch's names.
fn is_statistic(name: &str) -> bool {
    name.ends_with(".running_mean") || name.ends_with(".running_var")
}

/// How a rank takes minibatches from so many training images.
fn order(recipe: &Recipe, batches: u64, count: usize, share: Share) -> Order {
    Order { seed: recipe.seed, batch: recipe.batch as usize / share.size, batches, count, share }
}

/// The lock of a folder that holds a run already, taken before anything is read that another process may be
/// writing, and before long work.
fn lock(sitting: &Sitting) -> Result<OnceCell<Lock>> {
    let folder = sitting.resume.as_ref().or(sitting.out.as_ref()).filter(|_| !sitting.plan);
    match folder.map(RunDir::open) {
        Some(Ok(run)) => Ok(OnceCell::from(Lock::take(run.root())?)),
        _ => Ok(OnceCell::new()),
    }
}

/// The run that `--resume` names, with the options that change now. `options` and `sitting` become the run's.
fn resumed<T: Options>(typed: &Typed, options: &mut T, sitting: &mut Sitting) -> Result<Option<Saved<T>>> {
    let Some(dir) = &sitting.resume else { return Ok(None) };
    let run = RunDir::open(dir)?;
    let mut saved: Saved<T> = run.read_config(T::MODEL)?;
    let step = Checkpoints::new(run.checkpoints(), 1).newest_step();
    let (changed, changes) = typed.change(&saved.options, options, step)?;
    saved.changes.extend(changes);
    saved.options = changed.clone();
    *options = changed;
    sitting.lasting = std::mem::take(&mut sitting.lasting).or(saved.sitting.clone());
    Ok(Some(saved))
}

/// The weights of `--weights` and the file's path, if the run begins with them: a run that goes on from a checkpoint
/// may have lost the file.
fn first_weights<T: Options>(options: &mut T, sitting: &Sitting) -> Result<Option<(Weights, PathBuf)>> {
    let resumes = |dir: &PathBuf| {
        RunDir::open(dir).is_ok_and(|run| !Checkpoints::new(run.checkpoints(), 1).files().is_empty())
    };
    let file = options.recipe().weights.clone().filter(|_| !sitting.resume.as_ref().is_some_and(resumes));
    file.map(|path| weights::load(&path).map(|file| (options.named(file), path))).transpose()
}

/// Reads the data set, except for training images that are streamed. Without `pixels`, images are as described
/// and have none.
fn read(
    recipe: &Recipe,
    stream: Option<f64>,
    order: Order,
    set: DataSet<Source>,
    gpu: &Gpu,
    pixels: bool,
) -> Result<(DataSet, Option<Stream>)> {
    let (caps, test) = (gpu.caps(), &set.test);
    let (bytes, most) = (test.bytes(), limit(caps));
    if bytes > most {
        let (count, need, most) = (test.about().count, table::bytes(bytes), table::bytes(most));
        let (one, size) = (recipe.one(), if recipe.sound.is_some() { "--length" } else { "--image-size" });
        return Err(Error::new(format!(
            "{}: the {count} test {one}s need {need}, the adapter's largest buffer is {most}, and only training {one}s are \
             streamed; keep fewer test {one}s, or give a smaller {size}",
            recipe.data
        )));
    }
    let about = set.with((), ());
    let read = |images: Source| match pixels {
        true => recipe.read(images),
        false => Ok(Images { pixels: vec![], labels: images.about().labels.clone(), ..*images.about() }),
    };
    let (train, stream) = match stream {
        Some(mib) => {
            let stream = Stream::new(set.train, order, mib, caps)?;
            (stream.window(), Some(stream))
        }
        None => (read(set.train)?, None),
    };
    Ok((about.with(train, read(set.test)?), stream))
}
