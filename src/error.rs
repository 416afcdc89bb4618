//! What can go wrong, in one line each. A wrong model's error names the user's line, a weak device's the
//! limit and the need, bad input's the file, and a request's that cannot be met what to do instead.

use std::{fmt, path::Path};

/// The result of the library's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the library.
#[derive(Clone, PartialEq)]
pub enum Error {
    /// The model makes no sense.
    Model {
        /// The user's call, as `file:line:column`.
        at: String,
        /// What is wrong.
        what: String,
    },
    /// The device is missing, too weak, fails a self-test, is out of memory or was lost.
    Device(String),
    /// State, plans and bindings do not fit together.
    State(String),
    /// A file cannot be read or holds something else than expected.
    File {
        /// The file.
        path: String,
        /// What is wrong in it.
        what: String,
    },
    /// A request cannot be met (data, options, folders); the line says what to do next.
    Refused(String),
}

impl Error {
    /// Makes the error of a refused request, told in this one line; line breaks in it become spaces.
    pub fn new(line: impl Into<String>) -> Self {
        let line: String = line.into();
        Self::Refused(line.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// Makes the error "cannot `what` `path`: `why`; `advice`".
    pub(crate) fn at(what: &str, path: &Path, why: impl fmt::Display, advice: &str) -> Self {
        Self::new(format!("cannot {what} {}: {why}; {advice}", path.display()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Model { at, what } => write!(f, "{at}: {what}"),
            Error::Device(what) => write!(f, "device: {what}"),
            Error::State(what) => write!(f, "state: {what}"),
            Error::File { path, what } => write!(f, "{path}: {what}"),
            Error::Refused(line) => f.write_str(line),
        }
    }
}

// `fn main() -> Result` prints errors with `Debug`: there too it must be the plain line.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_in_both_forms() {
        let error = Error::new("first\n  second");
        assert_eq!(error.to_string(), "first second");
        assert_eq!(format!("{error:?}"), "first second");
    }
}
