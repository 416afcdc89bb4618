//! The options that all examples share: what they mean, how they open the adapter and the data, and which of
//! them a resumed run keeps.

use super::{
    change::Typed,
    parse::{SITTING, TRAINING, positive, whole},
    ranks::Ranks,
    say::{counted, silent},
};
use crate::{
    data::{self, Asked, DataError, DataSet, Images, Sound, Source, Unit},
    error::{Error, Result},
    gpu::{Choice, Gpu},
    weights::Weights,
};
use clap::{Args, builder::NonEmptyStringValueParser};
use indicatif::{DecimalBytes, ProgressBar, ProgressFinish, ProgressStyle};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::path::PathBuf;

/// The option that chooses the adapter.
#[derive(Args, Clone, Debug, Default)]
pub struct AdapterOption {
    /// Adapter, by its index or a part of its name (such as 3090); a wrong name lists all adapters
    #[arg(long, value_name = "NAME|INDEX")]
    pub adapter: Option<String>,
}

impl AdapterOption {
    /// Opens the adapter and prints its name to stderr, with a warning if it is a software driver.
    ///
    /// # Errors
    /// Fails if there is no such adapter, or if it cannot be opened.
    pub fn open(&self) -> Result<Gpu> {
        self.open_or(Choice::Best)
    }

    /// Does what [`AdapterOption::open`] does; `other` is the adapter where none was named.
    pub(super) fn open_or(&self, other: Choice) -> Result<Gpu> {
        let choice = self.adapter.clone().map_or(other, Choice::Named);
        let gpu = Gpu::headless_blocking(&choice)?;
        let caps = gpu.caps();
        note!("adapter: {} ({}, {})", caps.name, caps.backend, caps.driver.trim());
        if caps.class == crate::kernel::caps::AdapterClass::Cpu {
            note!("warning: this is a software driver; a GPU is many times faster");
        }
        Ok(gpu)
    }
}

/// The options that determine a run's result, whatever the model. They are saved, and a resumed run keeps
/// them.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Recipe {
    /// Data set: `glyphs` (drawn by the program), `mnist`, `fashion-mnist`, `kmnist` or `cifar10` (downloaded
    /// once), or a folder of IDX files (raw or gz), of CIFAR-10's .bin files, or of pictures in train/CLASS
    /// and test/CLASS, or in CLASS alone (every tenth is a test image)
    #[arg(long, default_value = "glyphs", value_name = "NAME|PATH", value_parser = NonEmptyStringValueParser::new())]
    pub data: String,
    /// Scale the pictures of an image folder to N x N pixels, cut to their largest central square [default:
    /// all must have the same size]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=u64::from(data::idx::MAX_SIDE)))]
    pub image_size: Option<u32>,
    /// Turn colours into grey
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grey: bool,
    /// How sounds become images, which the options of a model of sounds say.
    #[arg(skip)]
    #[serde(skip)]
    pub(super) sound: Option<Sound>,
    /// Images per minibatch, in all: devices and processes that train together share it
    #[arg(long, help_heading = TRAINING, default_value_t = 128, value_parser = whole::<u32>(1..))]
    pub batch: u32,
    /// Where devices share a batch, let batch norm take the statistics of each device's own images [default: of the
    /// whole batch, as PyTorch's SyncBatchNorm does]
    #[arg(long, help_heading = TRAINING)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub local_batch_norm: bool,
    /// Seed of initial weights, shuffling and noise
    #[arg(long, default_value_t = 0, value_parser = whole::<u64>(..))]
    pub seed: u64,
    /// Start from these weights (safetensors, PyTorch's names) instead of random ones
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Take from the file --weights what fits the model, although names are missing in it or unknown
    #[arg(long, requires = "weights")]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub weights_partial: bool,
}

/// The options that one sitting at a run may change.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = SITTING)]
pub struct Sitting {
    /// The options that later sittings take over.
    #[command(flatten)]
    pub lasting: Lasting,
    /// Stop training after this many seconds; the measures and pictures at the end take extra time
    #[arg(long, value_parser = positive)]
    pub seconds: Option<f64>,
    /// Run directory for configuration, metrics, pictures, checkpoints [default: runs/MODEL, or the next free
    /// number]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub out: Option<PathBuf>,
    /// Replace the run in the directory --out
    #[arg(long, conflicts_with = "resume")]
    pub overwrite: bool,
    /// Continue the run in this directory, bit for bit as if it had not stopped; step sizes and bounds of
    /// gradients may change from here on, and --data says where moved data lie
    #[arg(long, value_name = "DIR")]
    pub resume: Option<PathBuf>,
    /// Steps between checkpoints [default: every epoch, and every five minutes]
    #[arg(long, value_name = "STEPS", value_parser = whole::<u64>(1..))]
    pub checkpoint_every: Option<u64>,
    /// Milliseconds that one submission to the device should take; a step that takes longer is cut between its
    /// launches. Windows resets a device that is busy for two seconds
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = whole::<u64>(1..=1000))]
    pub submission_ms: u64,
    /// Train by N ranks in this process, each with a device of its own: the best adapters in turn, unless --adapter
    /// names one. Every batch is shared among them, and a run may go on with another number
    #[arg(long, value_name = "N", value_parser = whole::<u16>(1..=1024))]
    pub devices: Option<u16>,
    /// Train by the ranks that `mpirun` starts, each with a device of its own, as --devices does within one
    /// process. Needs a build with --features mpi
    #[arg(long, conflicts_with = "devices")]
    pub mpi: bool,
    /// The rank that this sitting is of.
    #[arg(skip)]
    pub ranks: Ranks,
    /// Print the plan of a training step, with its memory and launches, and stop
    #[arg(long)]
    pub plan: bool,
    /// The adapter.
    #[command(flatten)]
    pub adapter: AdapterOption,
}

/// The part of a [`Sitting`] that the run remembers until another sitting changes it.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lasting {
    /// Passes over the training images; with --steps, whichever ends first [default: 10, or as --steps says]
    #[arg(long, value_parser = whole::<u64>(1..))]
    pub epochs: Option<u64>,
    /// Stop after this many steps in all
    #[arg(long, value_parser = whole::<u64>(1..))]
    pub steps: Option<u64>,
    /// Number of newest checkpoints to keep, besides the best one [default: 3]
    #[arg(long, value_parser = whole::<u32>(1..))]
    pub keep: Option<u32>,
    /// Stream the training images through a window of at most about MIB on the GPU; the result is the same
    /// [default: only if they do not fit]
    #[arg(long, value_name = "MIB", num_args = 0..=1, default_missing_value = "256", value_parser = positive)]
    pub stream: Option<f64>,
    /// The number of ranks that shared the sitting, if there were several.
    #[arg(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranks: Option<usize>,
}

impl Lasting {
    /// The number of steps of the whole run, of which an epoch has `per_epoch`: as many as the epochs or the
    /// steps that were asked for, whichever ends first.
    pub fn total(&self, per_epoch: u64) -> u64 {
        let epochs = self.epochs.or(self.steps.is_none().then_some(10));
        let of_epochs = epochs.map(|epochs| epochs.saturating_mul(per_epoch));
        [of_epochs, self.steps].into_iter().flatten().min().unwrap_or_default()
    }

    /// The options that were typed, completed by those that the run remembers. A new length, in epochs or in
    /// steps, replaces the old one.
    pub(super) fn or(self, saved: Self) -> Self {
        let length = if self.epochs.or(self.steps).is_some() { &self } else { &saved };
        let (epochs, steps, ranks) = (length.epochs, length.steps, saved.ranks);
        Self { epochs, steps, keep: self.keep.or(saved.keep), stream: self.stream.or(saved.stream), ranks }
    }
}

/// A model's options for training. They contain the [`Recipe`].
pub trait Options: Args + Serialize + DeserializeOwned + Clone + Send + Sync {
    /// The name of the model and of its runs.
    const MODEL: &'static str;

    /// The options that all models share.
    fn recipe(&mut self) -> &mut Recipe;

    /// The number of minibatches that a training step takes.
    fn batches(&self) -> u64 {
        1
    }

    /// The reason why these options exclude each other, or ask for what several ranks cannot do, if they do.
    fn refuse(&self, _several: bool) -> Option<&'static str> {
        None
    }

    /// Whether the model is told classes.
    fn conditional(&self) -> bool {
        false
    }

    /// The names of all weights of the model for images of this height, width and number of channels, and
    /// with this number of classes. A weights file must hold no others.
    ///
    /// # Errors
    /// Fails if the model cannot be made for such images.
    fn weights(&self, image: [usize; 3], classes: usize) -> Result<Vec<String>>;

    /// A file's tensors under the names that the model gives them.
    fn named(&self, weights: Weights) -> Weights {
        weights
    }
}

/// The options of `train`: those that determine the result, and those of this sitting.
#[derive(Args, Clone, Debug)]
pub struct Train<T: Options> {
    /// Which of the options that may change when a run is resumed were typed. It comes first, since clap takes
    /// out of the matches what a field has read.
    #[command(flatten)]
    pub typed: Typed,
    /// The options that determine the result.
    #[command(flatten)]
    pub options: T,
    /// The options of this sitting.
    #[command(flatten)]
    pub sitting: Sitting,
}

impl<T: Options> Train<T> {
    /// The same options for a rank of the training.
    pub fn of(&self, ranks: Ranks) -> Self {
        let mut this = self.clone();
        this.sitting.ranks = ranks;
        this
    }
}

/// The options of every command that looks at a trained run.
#[derive(Args, Clone, Debug)]
pub struct Look {
    /// Run directory of an earlier `train` [default: the newest in runs]
    #[arg(long, value_name = "DIR")]
    pub run: Option<PathBuf>,
    /// Your own weights (safetensors, PyTorch's names) instead of the run's; without --run, the model's own
    /// options (see --help) say what the file holds, and pictures go into the current folder
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Take from the file --weights what fits the model; the rest stays as the run has it
    #[arg(long, requires = "weights")]
    pub weights_partial: bool,
    /// Seed of the draws: the same seed draws the same pictures
    #[arg(long, default_value_t = 1, value_parser = whole::<u64>(..))]
    pub seed: u64,
    /// The adapter.
    #[command(flatten)]
    pub adapter: AdapterOption,
}

impl Recipe {
    /// The word for what the model is trained on: an image or a signal.
    pub(super) fn one(&self) -> &'static str {
        if self.sound.is_some() { "signal" } else { "image" }
    }

    /// Finds the data set and checks that it has enough images for a batch. A folder's path becomes absolute,
    /// so that the run finds it from anywhere. Prints a warning if the pixels were changed, because figures
    /// measured on them cannot be compared with published ones.
    ///
    /// # Errors
    /// Fails if the data set cannot be found or downloaded, or if it has fewer training images than a batch.
    pub fn open(&mut self) -> Result<DataSet<Source>> {
        self.open_or(line)
    }

    /// Does what [`Recipe::open`] does; `say` words what is wrong with the data.
    pub(super) fn open_or(&mut self, say: impl FnOnce(DataError) -> Error) -> Result<DataSet<Source>> {
        // Of several data sets in a folder, one is named by what its files' names begin with, which is no path.
        let absolute = || std::fs::canonicalize(&self.data).or_else(|_| std::path::absolute(&self.data));
        if let (false, Ok(path)) = (data::is_name(&self.data), absolute()) {
            self.data = path.to_string_lossy().into_owned();
        }
        let set = self.found().map_err(say)?;
        if set.class_names.iter().enumerate().any(|(i, name)| *name != i.to_string()) {
            note!("classes of {}: {}", set.name, set.class_names.join(", "));
        }
        set.notes.iter().for_each(|note| note!("note: {}: {note}", set.name));
        if set.lossy {
            let why = match self.sound {
                Some(_) => "resampling or mixing changed its samples",
                None => "a lossy coding, scaling or the loss of colours or bits changed its pixels",
            };
            note!(
                "warning: {}: {why}; likelihoods (nats, bits/dim) compare with no published figures",
                set.name
            );
        }
        let count = set.train.about().count;
        if count < self.batch as usize {
            return Err(Error::new(format!(
                "--batch {} is more than the {count} training {}s of {}",
                self.batch,
                self.one(),
                self.data
            )));
        }
        Ok(set)
    }

    /// Decodes all of these images once, so that no broken file ends a run in its middle.
    pub(super) fn check(&self, images: &Source) -> Result<()> {
        shown(&self.data, |progress| images.check(progress)).map_err(line)
    }

    /// Finds the data set.
    pub(super) fn find(&self) -> Result<DataSet<Source>> {
        self.found().map_err(line)
    }

    fn found(&self) -> std::result::Result<DataSet<Source>, DataError> {
        let (sound, pictures) = (self.sound, self.sound.is_none());
        let asked = Asked { seed: self.seed, size: self.image_size, grey: self.grey, sound, pictures };
        shown(&self.data, |progress| data::open(&self.data, &asked, progress))
    }

    /// Finds the pictures of a list below the data's folder.
    #[cfg(feature = "folders")]
    pub(super) fn listed(&self, about: Images, list: &str) -> Result<Source> {
        let root = std::path::Path::new(&self.data);
        shown(&self.data, |progress| Source::listed(about, list, root, self.image_size, progress))
            .map_err(line)
    }

    /// Reads all of these images, and shows the progress if it takes long.
    pub(super) fn read(&self, images: Source) -> Result<Images> {
        shown(&self.data, |progress| images.read(progress)).map_err(line)
    }
}

/// Does work on a data set that may take long, and shows its progress on stderr.
fn shown<T>(
    name: &str,
    work: impl FnOnce(&mut dyn FnMut(&data::Progress)) -> std::result::Result<T, DataError>,
) -> std::result::Result<T, DataError> {
    let mut shown = Shown::default();
    work(&mut |progress| shown.update(name, progress))
}

/// The error of a data set as a program's.
fn line(wrong: DataError) -> Error {
    Error::new(wrong.to_string())
}

/// Shows a bar for each file in a terminal, and prints a line for each elsewhere. Dropping it removes the
/// bar.
#[derive(Default)]
struct Shown {
    file: String,
    bar: Option<ProgressBar>,
}

impl Shown {
    fn update(&mut self, name: &str, progress: &data::Progress) {
        if self.file != progress.file {
            self.file = progress.file.to_owned();
            let (line, rate) = match progress.unit {
                Unit::Bytes => (
                    format!("downloading {name}: {} ({})", progress.file, DecimalBytes(progress.total)),
                    "decimal_bytes_per_sec",
                ),
                unit @ (Unit::Images | Unit::Files) => {
                    let one = if matches!(unit, Unit::Images) { "image" } else { "file" };
                    (format!("{name}: {} ({})", progress.file, counted(progress.total, one)), "per_sec")
                }
            };
            note!("{line}");
            let style = ProgressStyle::with_template(&format!(
                "{{bar:22.cyan/238}} {{percent:>3}}%  {{{rate}}}, {{eta}} left"
            ));
            let style = style.expect("the template is a constant").progress_chars("━━╌");
            // The bar hides itself if stderr is not a terminal.
            let bar = if silent() { ProgressBar::hidden() } else { ProgressBar::new(progress.total) };
            self.bar = Some(bar.with_style(style).with_finish(ProgressFinish::AndClear));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(progress.done);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, FromArgMatches, Parser};

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        recipe: Recipe,
        // The last one, since a heading goes on to the options after it.
        #[command(flatten)]
        sitting: Sitting,
    }

    #[test]
    fn a_sitting_takes_over_what_it_does_not_say() {
        let lasting = |line: &str| {
            Cli::from_arg_matches(&Cli::command().get_matches_from(line.split(' '))).unwrap().sitting.lasting
        };
        let saved = lasting("x --epochs 2 --keep 5");
        let both = lasting("x --resume r --epochs 7").or(saved.clone());
        assert_eq!((both.epochs, both.keep), (Some(7), Some(5)));
        let both = lasting("x --resume r --steps 9").or(saved.clone());
        assert_eq!((both.epochs, both.steps), (None, Some(9)));
        assert_eq!(lasting("x --resume r").or(saved.clone()), saved);
    }

    #[test]
    fn epochs_and_steps_end_a_run_at_whichever_comes_first() {
        let total = |epochs, steps| Lasting { epochs, steps, ..Lasting::default() }.total(40);
        assert_eq!([total(None, None), total(Some(3), None), total(None, Some(7))], [400, 120, 7]);
        assert_eq!([total(Some(3), Some(7)), total(Some(3), Some(700))], [7, 120]);
        assert_eq!(total(Some(u64::MAX), Some(u64::MAX)), u64::MAX);
    }
}
