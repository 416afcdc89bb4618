//! How good a model is, measured on a device: bounds on likelihoods, distances between sets of pictures, how near
//! a picture comes to the true one, and how much a network's features tell of the classes.
//!
//! Nothing here prints. Long work reports its progress to a callback, which may end it. The feature `run` brings all but
//! [`watch`].

#[cfg(feature = "run")]
pub mod bound;
#[cfg(feature = "fid")]
pub mod distance;
#[cfg(feature = "run")]
pub mod features;
#[cfg(feature = "run")]
pub mod fidelity;
#[cfg(feature = "run")]
pub mod nearest;
#[cfg(feature = "run")]
pub mod probe;
#[cfg(feature = "fid")]
pub mod report;
pub mod watch;
