//! The commands of explicit density models: they train by maximum likelihood, score images exactly, draw
//! samples, and complete pictures.
//!
//! A model is a set of options with [`Density`], which gives the parameters of each pixel's
//! distribution from the pixels before it. Its likelihood says whether pixels are black or white or have 256
//! levels. Black-and-white test images are binarised once, in the same way for all runs.

mod draw;
mod evaluate;
mod fit;
mod show;
pub mod sound;
mod train;
mod trained;

#[cfg(any(test, fuzzing))]
pub(crate) use draw::mask;
pub use draw::{Complete, PixelDraw};
pub use evaluate::Evaluate;
pub use fit::{Density, Fit, Pixels};

use crate::{error::Result, run::Train};
use clap::Subcommand;
use trained::TrainedDensity;

/// The subcommands.
#[derive(Subcommand)]
pub enum Command<M: Density> {
    /// Train, or continue a run; writes weights, metrics, samples, curves and checkpoints
    Train(Train<Fit<M>>),
    /// Draw pictures, pixel by pixel on the GPU
    Sample(PixelDraw<M>),
    /// Keep the upper half of test images, or what a mask keeps, and draw the rest
    Complete(Complete<M>),
    /// Compute the exact negative log-likelihood of test images, in all and for each pixel and class
    Evaluate(Evaluate<M>),
}

/// Runs a subcommand.
///
/// # Errors
/// Fails with one line that says what is wrong and what to do.
pub fn run<M: Density>(command: Command<M>) -> Result<()> {
    match command {
        Command::Train(options) => train::train(options),
        Command::Sample(options) => TrainedDensity::open(&options.look, &options.bare)?.sample(&options),
        Command::Complete(options) => {
            TrainedDensity::open(&options.draw.look, &options.draw.bare)?.complete(&options)
        }
        Command::Evaluate(options) => TrainedDensity::open(&options.look, &options.bare)?.evaluate(&options),
    }
}
