//! Training and sampling on a device, without files and without a screen. A data set goes to the GPU whole
//! ([`Feed`]) or is streamed ([`Stream`]); a training step ([`Round`]) is submitted many times at once
//! ([`Steps`]), by one rank or by several that share it ([`Collective`]); a test set is scored ([`Evaluation`]);
//! an autoregressive model draws pictures ([`Sampler`]).
//!
//! What a run on disk needs beyond this (options, checkpoints, progress bars, pictures) is in the crate's
//! module `run`.

#[cfg(not(target_arch = "wasm32"))]
mod collective;
#[cfg(not(target_arch = "wasm32"))]
mod evaluation;
mod feed;
mod latent;
#[cfg(not(target_arch = "wasm32"))]
pub mod pace;
mod round;
mod sampler;
#[cfg(not(target_arch = "wasm32"))]
mod steps;
#[cfg(not(target_arch = "wasm32"))]
mod stream;
mod task;

#[cfg(not(target_arch = "wasm32"))]
pub use collective::{Alone, Collective, Parts, Threads, exchange};
#[cfg(not(target_arch = "wasm32"))]
pub use evaluation::{Evaluation, Ready};
pub use feed::{Feed, batch, labelled, labels};
pub use latent::{normals, quantile, slerp, uniforms};
#[cfg(not(target_arch = "wasm32"))]
pub use pace::{SUBMISSION, bursts};
pub use round::{Round, remember};
pub use sampler::{Drawing, Draws, Method, PICTURE, Sampler};
#[cfg(not(target_arch = "wasm32"))]
pub use steps::Steps;
#[cfg(not(target_arch = "wasm32"))]
pub use stream::{Stream, limit};
pub use task::{Asked, asked};

use crate::error::Result;

/// The progress of a long piece of work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work<'a> {
    /// The name of the work, which also says what is counted, such as "images".
    pub what: &'a str,
    /// The number of things that are done.
    pub done: u64,
    /// The number of things to do in all.
    pub total: u64,
}

/// A callback that long work calls with its progress. If the callback returns an error, the work ends with
/// that error, for example after Ctrl-C.
pub type Listener<'a> = dyn FnMut(Work<'_>) -> Result<()> + 'a;
