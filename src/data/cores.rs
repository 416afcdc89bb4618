//! Work on many files by all cores. What is found does not depend on which is first: of several broken files, the
//! error names the first in order and counts the others.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use super::error::DataError;
use super::images::{Progress, Unit, some};

/// The error of a file that cannot be decoded.
pub(super) fn broken(path: &Path, what: impl Into<String>) -> DataError {
    DataError::Undecodable { path: path.to_owned(), what: what.into() }
}

/// Tells how many of so many things are done.
pub(super) fn told(
    what: &str,
    unit: Unit,
    total: usize,
    progress: &mut dyn FnMut(&Progress),
) -> impl FnMut(usize) {
    move |done| progress(&Progress { file: what, unit, done: done as u64, total: total as u64 })
}

/// Computes `f(0..n)` on all cores; `take` gets each result with its index, in any order, and `done` their number.
pub(super) fn on_all_cores<T: Send>(
    n: usize,
    f: impl Fn(usize) -> Result<T, DataError> + Sync,
    mut take: impl FnMut(usize, T),
    done: &mut dyn FnMut(usize),
) -> Result<(), DataError> {
    let (next, cores) = (AtomicUsize::new(0), thread::available_parallelism().map_or(1, usize::from));
    let mut errors = vec![];
    thread::scope(|scope| {
        let (send, receive) = sync_channel(1024);
        for _ in 0..cores.min(n) {
            let (send, next, f) = (send.clone(), &next, &f);
            scope.spawn(move || {
                let indices =
                    std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed)).take_while(|&i| i < n);
                // Nobody receives any more once the caller's own code panicked.
                let _ = indices.map(|i| send.send((i, f(i)))).find(Result::is_err);
            });
        }
        drop(send);
        for (seen, (i, result)) in receive.into_iter().enumerate() {
            match result {
                Ok(result) => take(i, result),
                Err(error) => errors.push((i, error)),
            }
            done(seen + 1);
        }
    });
    errors.sort_by_key(|(i, _)| *i);
    let mut errors = errors.into_iter().map(|(_, error)| error);
    errors.next().map_or(Ok(()), |first| Err(with_others(first, errors.collect())))
}

/// The first error, which names the other files that cannot be decoded.
fn with_others(first: DataError, others: Vec<DataError>) -> DataError {
    let name = |error: &DataError| match error {
        DataError::Undecodable { path, .. } => Some(path.display().to_string()),
        _ => None,
    };
    let names: Vec<String> = others.iter().filter_map(name).collect();
    match first {
        DataError::Undecodable { path, what } if !names.is_empty() => DataError::Undecodable {
            path,
            what: format!("{what}; nor can {} more: {}", names.len(), some(&names)),
        },
        first => first,
    }
}
