//! The commands of explicit density models: they train by maximum likelihood, score images exactly, draw
//! samples, and complete pictures. A model with a task draws by pictures that it is given, a user's own too.
//!
//! A model is a set of options with [`Density`], which gives the parameters of each pixel's
//! distribution from the pixels before it. Its likelihood says whether pixels are black or white or have 256
//! levels. Black-and-white test images are binarised once, in the same way for all runs.

mod apply;
mod draw;
mod evaluate;
mod fit;
mod show;
pub mod sound;
mod train;
mod trained;

pub use apply::Apply;
#[cfg(any(test, fuzzing))]
pub(crate) use draw::mask;
pub use draw::{Complete, PixelDraw};
pub use evaluate::Evaluate;
pub use fit::{Density, Fit, Pixels};

use crate::{
    error::Result,
    run::{Train, bare::conditional},
    train::Method,
};
use clap::{Arg, Subcommand};
use trained::TrainedDensity;

/// The subcommands.
#[derive(Subcommand)]
pub enum Command<M: Density> {
    /// Train, or continue a run; writes weights, metrics, samples, curves and checkpoints
    Train(Train<Fit<M>>),
    /// Draw pictures, pixel by pixel on the GPU
    #[command(mut_args(fitting::<M>))]
    Sample(PixelDraw<M>),
    /// Keep the upper half of test images, or what a mask keeps, and draw the rest
    #[command(mut_args(fitting::<M>))]
    #[command(mut_arg("count", |arg| arg.help("Number of images [default: 25, or all if there are fewer]")))]
    #[command(mut_arg("class", |arg| arg.help("Class to draw by its name [default: those of the images]")))]
    Complete(Complete<M>),
    /// Do the model's --task on the pictures of a folder, and write the results beside them
    #[command(hide = !tasked::<M>())]
    Apply(Apply<M>),
    /// Compute the exact negative log-likelihood of test images, in all and for each pixel and class
    #[command(mut_arg("compare", |arg| arg.hide(!tasked::<M>())))]
    Evaluate(Evaluate<M>),
}

/// An option of drawing, hidden where the model lets it have no effect.
fn fitting<M: Density>(option: Arg) -> Arg {
    let idle = match option.get_id().as_str() {
        "class" => !conditional::<M>(),
        "naive" => M::METHOD == Method::Naive,
        _ => option.is_hide_set(),
    };
    option.hide(idle)
}

/// Whether a model may have a task: it has an option for that.
fn tasked<M: Density>() -> bool {
    M::augment_args(clap::Command::new("all")).get_arguments().any(|arg| arg.get_id() == "task")
}

/// Runs a subcommand.
///
/// # Errors
/// Fails with one line that says what is wrong and what to do.
pub fn run<M: Density>(command: Command<M>) -> Result<()> {
    match command {
        Command::Train(options) => train::train(&options),
        Command::Sample(options) => TrainedDensity::open(&options.look, &options.bare)?.sample(&options),
        Command::Complete(options) => {
            TrainedDensity::open(&options.draw.look, &options.draw.bare)?.complete(&options)
        }
        Command::Apply(options) => TrainedDensity::open(&options.look, &options.bare)?.apply(&options),
        Command::Evaluate(options) => TrainedDensity::open(&options.look, &options.bare)?.evaluate(&options),
    }
}
