//! What the examples share, so that an example is its model and little else.
//!
//! A run is a folder. [`RunDir`] names the files in it, [`MetricsLog`] writes what
//! training measured as JSON lines, [`plot`] turns these into a picture of curves,
//! [`grid`] turns a batch of images into one picture, and [`Progress`] tells the
//! person who waits how long it will take. [`Session`] opens what training needs,
//! new or resumed, and [`Trainer`] is the loop that submits a graph's steps and saves
//! [`Checkpoint`]s.
//!
//! Every [`Error`] is one line that says what is wrong and what to do next.

pub mod adversarial;
pub mod autoregressive;
pub mod bound;
mod checkpoint;
mod curve;
mod dir;
mod evaluation;
pub mod features;
mod feed;
mod interrupt;
mod latent;
pub mod measures;
mod metrics;
pub mod nearest;
mod options;
mod picture;
pub mod probe;
mod progress;
mod range;
mod sampler;
mod session;
mod stream;
mod summary;
mod training;

pub use checkpoint::{Checkpoint, Checkpoints, Position};
pub use curve::{Curve, plot};
pub use dir::{RunDir, Saved};
pub use evaluation::{Evaluation, Ready};
pub use feed::{Feed, batch, labels};
pub use latent::{normals, quantile};
pub use metrics::{MetricsLog, read};
pub use options::{AdapterOption, TrainOptions, decay, parse, positive};
pub use picture::{animate, grid, save};
pub use progress::Progress;
pub use sampler::{Draws, Method, Sampler};
pub use session::{Options, Session, trained};
pub use training::{Each, Measured, Report, Trainer, remember};

#[cfg(test)]
mod tests {
    /// An empty folder of its own for one test.
    pub(super) fn empty_dir(name: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("oneiro-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }
}
