//! What a model is worth, measured on a device: bounds on likelihoods, distances between sets of pictures, what features hold.
//!
//! Nothing here prints: progress is told to a callback, which may end the work.

pub mod bound;
#[cfg(feature = "fid")]
pub mod distance;
pub mod features;
pub mod nearest;
pub mod probe;
#[cfg(feature = "fid")]
pub mod report;
pub mod watch;
