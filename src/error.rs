//! What can go wrong, in one line each: a wrong model names the user's line, a weak device the limit
//! and the need, bad input the file.

use std::fmt;

/// Result of the engine's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the engine.
#[derive(Clone, Debug, PartialEq)]
pub enum Error {
    /// A model that makes no sense; `at` is `file:line:column` of the user's call.
    Model {
        /// Where the user called the op.
        at: String,
        /// What is wrong.
        what: String,
    },
    /// The device (or its absence): adapters, limits, self-tests, out of memory, loss.
    Device(String),
    /// State, plans and bindings that do not fit together.
    State(String),
    /// A file that cannot be read or holds something else than expected.
    File {
        /// The file.
        path: String,
        /// What is wrong in it.
        what: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Model { at, what } => write!(f, "{at}: {what}"),
            Error::Device(what) => write!(f, "device: {what}"),
            Error::State(what) => write!(f, "state: {what}"),
            Error::File { path, what } => write!(f, "{path}: {what}"),
        }
    }
}

impl std::error::Error for Error {}
