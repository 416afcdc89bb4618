//! What the examples share, so that an example is its model and little else.
//!
//! A run is a folder. [`RunDir`] names the files in it, [`MetricsLog`] writes the metrics as JSON lines,
//! [`plot`] draws them as curves, [`grid`] puts a batch of images into one picture, [`show_signals`] does so
//! for sounds, and [`TrainingProgress`] shows
//! how long training will take. [`Session`] opens what training needs, for a new run or a resumed one;
//! [`Trainer`] is the loop that submits a graph's steps and saves [`Checkpoint`]s.
//!
//! Every [`Error`](crate::error::Error) is one line that says what is wrong and what to do next.

#[macro_use]
mod say;

mod alike;
mod bare;
mod by_ranks;
mod change;
mod checkpoint;
pub mod commands;
mod curve;
mod dir;
mod images;
mod interrupt;
mod lock;
mod memory;
mod metrics;
#[cfg(feature = "mpi")]
mod mpi;
mod options;
mod parse;
mod picture;
mod plot;
mod progress;
mod range;
mod ranks;
mod raw;
mod session;
mod sound;
mod spectrogram;
mod summary;
mod trained;
mod training;

pub use bare::Bare;
pub use by_ranks::by_ranks;
pub use change::{Change, Typed};
#[cfg(any(test, fuzzing))]
pub(crate) use checkpoint::hashed;
pub use checkpoint::{Checkpoint, Checkpoints, Position};
#[cfg(any(test, fuzzing))]
pub(crate) use commands::autoregressive::mask;
pub use curve::Curve;
pub use dir::{RunDir, Saved};
pub use interrupt::exit_code;
#[cfg(any(test, fuzzing))]
pub(crate) use metrics::curves;
pub use metrics::{MetricsLog, read};
pub use options::{AdapterOption, Lasting, Look, Options, Recipe, Sitting, Train};
pub use parse::{SITTING, TRAINING, below_one, decay, parse, positive, sizes, whole};
pub use picture::{animate, grid, save};
pub use plot::plot;
#[cfg(any(test, fuzzing))]
pub(crate) use plot::ranges;
pub use progress::{TrainingProgress, listener};
pub use ranks::Ranks;
pub use raw::{Numbers, Raw};
pub use session::Session;
pub use sound::{amplitudes, save_wav};
pub use spectrogram::{Shown, show as show_signals};
pub use trained::Trained;
pub(crate) use training::of_test;
pub use training::{EpochEnd, Measured, Observer, Trainer};
