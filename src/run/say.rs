//! The one way to print. Output that nobody reads any more is dropped: a closed pipe or terminal ends no run.
//! Other output that gets lost ends no run either, but the program then ends with an error.

use crate::error::Error;
use std::{
    fmt::Arguments,
    io::{self, ErrorKind, Write, stderr, stdout},
    sync::OnceLock,
};

/// The first error of stdout that is not a closed pipe.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Prints a line to stdout.
macro_rules! say {
    ($($text:tt)*) => { $crate::run::say::out(format_args!($($text)*)) };
}

/// Prints a line to stderr.
macro_rules! note {
    ($($text:tt)*) => { $crate::run::say::err(format_args!($($text)*)) };
}

/// The name of the thread that is a rank of a training.
pub(super) fn named(rank: usize) -> String {
    format!("rank {rank}")
}

/// Whether this thread is a rank that is silent, since rank 0 speaks for all.
pub(super) fn silent() -> bool {
    let of_rank = |name: &str| name.starts_with("rank ") && name != named(0);
    std::thread::current().name().is_some_and(of_rank)
}

pub(super) fn out(line: Arguments<'_>) {
    if silent() {
        return;
    }
    let written = writeln!(stdout(), "{line}").and_then(|()| stdout().flush());
    if let Err(error) = written.or_else(unread) {
        let _ = LOST.set(error);
    }
}

/// A number of things, in words.
pub(super) fn counted(count: impl TryInto<u64>, one: &str) -> String {
    match count.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {one}"),
        count => format!("{count} {one}s"),
    }
}

/// A pipe that is closed at its other end is no error.
fn unread(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

/// The error that a part of what was printed to stdout is lost, if it is.
pub(super) fn lost() -> Option<Error> {
    let advice = "make room where it goes, or send it elsewhere";
    LOST.get().map(|why| Error::new(format!("standard output cannot be written ({why}); {advice}")))
}

pub(super) fn err(line: Arguments<'_>) {
    if !silent() {
        aloud(line);
    }
}

/// Prints a line to stderr, whatever rank this thread is, in one piece: other processes may print there, too.
pub(super) fn aloud(line: Arguments<'_>) {
    let _ = stderr().write_all(format!("{line}\n").as_bytes());
}
