//! The commands of generative adversarial nets: they train two players against each other, draw samples, walk
//! through the latent space, and measure.
//!
//! A model is a set of options with [`Adversarial`], which says what networks play. Images that are smaller
//! than the networks' pictures get a black frame, which is cut off again wherever pictures are shown.

mod contest;
mod draw;
#[cfg(feature = "fid")]
mod evaluate;
mod pictures;
mod train;
mod tricks;
mod watch;

pub use contest::{Adversarial, Contest, Given, Loss};
pub use draw::{Arithmetic, Nearest, NoiseDraw};
#[cfg(feature = "fid")]
pub use evaluate::Evaluate;
pub use train::Watched;
pub use tricks::{Normalised, Tricks};
pub use watch::Watching;

use crate::{error::Result, run::by_ranks};
use clap::Subcommand;
use draw::TrainedPlayers;

/// The subcommands.
#[derive(Subcommand)]
pub enum Command<M: Adversarial> {
    /// Train both players, or continue a run; writes weights, metrics, samples, curves, checkpoints, and a
    /// film of the samples
    Train(Box<Watched<M>>),
    /// Draw noise and turn it into pictures
    #[command(mut_arg("count", |arg| arg.help("Number of pictures [default: 64]")))]
    Sample(NoiseDraw<M>),
    /// Draw a walk on the sphere between pairs of noise vectors, as a strip and a GIF
    #[command(mut_arg("count", |arg| arg.help("Number of walks [default: 6]")))]
    Interpolate(NoiseDraw<M>),
    /// Add and subtract means of noise vectors (and of classes, if the model is conditional): smiling woman -
    /// neutral woman + neutral man
    #[command(mut_arg("count", |arg| arg.hide(true)))]
    Arithmetic(Arithmetic<M>),
    /// Show samples above the training images that are nearest to them
    #[command(mut_arg("count", |arg| arg.help("Number of samples [default: 8]")))]
    Nearest(Nearest<M>),
    /// Measure FID and KID against the data, the classes covered and the diversity, and with --probe
    /// the discriminator's features
    #[cfg(feature = "fid")]
    #[command(mut_arg("count", |arg| arg.help("Number of samples [default: 5000]")))]
    Evaluate(Evaluate<M>),
}

/// Runs a subcommand.
///
/// # Errors
/// Fails with one line that says what is wrong and what to do.
pub fn run<M: Adversarial>(command: Command<M>) -> Result<()> {
    match command {
        Command::Train(options) => by_ranks(options.sitting(), |ranks| train::train(&options, ranks)),
        Command::Sample(options) => TrainedPlayers::<M>::open(&options)?.sample(),
        Command::Interpolate(options) => TrainedPlayers::<M>::open(&options)?.interpolate(),
        Command::Arithmetic(options) => TrainedPlayers::<M>::open(&options.draw)?.arithmetic(&options),
        Command::Nearest(options) => TrainedPlayers::<M>::open(&options.draw)?.nearest(&options),
        #[cfg(feature = "fid")]
        Command::Evaluate(options) => TrainedPlayers::<M>::open(&options.draw)?.evaluate(&options),
    }
}
