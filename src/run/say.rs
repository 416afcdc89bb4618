//! The one way to print. Output that nobody reads any more is dropped: a closed pipe or terminal ends no run.

use std::{
    fmt::Arguments,
    io::{Write, stderr, stdout},
};

/// Prints a line to stdout.
macro_rules! say {
    ($($text:tt)*) => { $crate::run::say::out(format_args!($($text)*)) };
}

/// Prints a line to stderr.
macro_rules! note {
    ($($text:tt)*) => { $crate::run::say::err(format_args!($($text)*)) };
}

pub(super) fn out(line: Arguments<'_>) {
    let _ = writeln!(stdout(), "{line}");
}

pub(super) fn err(line: Arguments<'_>) {
    let _ = writeln!(stderr(), "{line}");
}
