//! Training and sampling on a device, without files and without a screen: a data set goes to the GPU, whole ([`Feed`]) or streamed;
//! steps are submitted in bursts, a test set is scored ([`Evaluation`]), an autoregressive model draws pictures ([`Sampler`]).
//!
//! What a run on disk adds (options, checkpoints, progress bars, pictures) is the crate's `run`.

mod evaluation;
mod feed;
mod latent;
pub mod pace;
mod round;
mod sampler;
mod stream;

pub use evaluation::{Evaluation, Ready};
pub use feed::{Feed, batch, labels};
pub use latent::{normals, quantile};
pub use pace::{bursts, remember};
pub use round::{Round, Steps};
pub use sampler::{Draws, Method, Sampler};
pub use stream::{Stream, limit};

use crate::error::Result;

/// How far long work is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work<'a> {
    /// What is under way, and of what things it is counted.
    pub what: &'a str,
    /// How many things are done.
    pub done: u64,
    /// How many there are.
    pub total: u64,
}

/// What long work tells how far it is; an error that it returns ends the work, for example when Ctrl-C was typed.
pub type Listener<'a> = dyn FnMut(Work<'_>) -> Result<()> + 'a;
