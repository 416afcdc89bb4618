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

use std::fmt;
use std::path::Path;

pub use checkpoint::{Checkpoint, Checkpoints, Position};
pub use curve::{Curve, plot};
pub use dir::{RunDir, Saved, write_atomic};
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

/// What went wrong and what to do next, in one line.
pub struct Error(String);

/// The result of everything in this module that can fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of this one line; line breaks in it become spaces.
    pub fn new(line: impl Into<String>) -> Self {
        let line: String = line.into();
        Self(line.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// "cannot `what` `path`: `why`; `advice`".
    fn at(what: &str, path: &Path, why: impl fmt::Display, advice: &str) -> Self {
        Self::new(format!("cannot {what} {}: {why}; {advice}", path.display()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// `fn main() -> Result` prints errors with `Debug`: there too it must be the plain line.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<crate::error::Error> for Error {
    fn from(error: crate::error::Error) -> Self {
        // Keeps the lines of an adapter list or of naga's source excerpt.
        Self(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty folder of its own for one test.
    pub(super) fn empty_dir(name: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("oneiro-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn an_error_is_one_line_in_both_forms() {
        let error = Error::new("first\n  second");
        assert_eq!(error.to_string(), "first second");
        assert_eq!(format!("{error:?}"), "first second");
    }
}
