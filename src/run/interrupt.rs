//! Ctrl-C, SIGTERM and SIGHUP ask training to stop after the current submission, and so does SIGUSR1, which `mpirun`
//! passes on to its ranks without an end of its own. A second one ends the program at once. A signal that the program
//! was told to ignore, as `nohup` does, stays ignored.

use super::say::lost;
use crate::error::{Error, Result};
use std::{
    io,
    process::ExitCode,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// The first signal that asked to stop: when, and its number.
static ASKED: OnceLock<(Instant, u8)> = OnceLock::new();
static WATCHED: OnceLock<()> = OnceLock::new();
/// Whether a signal is answered at once. Of ranks that are processes, the first one answers for all, after the step.
static SPEAKS: AtomicBool = AtomicBool::new(false);
/// One key press may arrive twice: from the terminal and from a parent process.
const TWICE: Duration = Duration::from_millis(300);

/// Catches signals from now on. Only a training run calls this, so other programs end as usual. `speaks` says whether
/// they are answered at once.
pub(super) fn watch(speaks: bool) -> Result<()> {
    SPEAKS.store(speaks, Ordering::Relaxed);
    match WATCHED.set(()) {
        Ok(()) => catch().map_err(|e| Error::new(format!("Ctrl-C cannot be caught: {e}"))),
        // A program that trains twice has the handler already.
        Err(()) => Ok(()),
    }
}

/// Answers for all ranks where they are processes, of which one was asked to stop.
pub(super) fn answer(asked: bool) {
    if asked && !SPEAKS.load(Ordering::Relaxed) {
        note!("\na rank was asked to stop; all stop after this step");
    }
}

/// Whether a signal asked to stop.
pub(super) fn asked() -> bool {
    ASKED.get().is_some()
}

/// The exit code of a program that ended so: 128 + the signal's number where a signal interrupted training, as
/// shells count, else 0 or 1. An error is printed; that stdout could not be written is one.
pub fn exit_code(result: Result<()>) -> ExitCode {
    let result = result.and_then(|()| lost().map_or(Ok(()), Err));
    if let Err(error) = &result {
        note!("Error: {error}");
    }
    match ASKED.get() {
        Some((_, signal)) => ExitCode::from(128 + signal),
        None if result.is_ok() => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    }
}

fn on(signal: u8) {
    match ASKED.get() {
        Some((first, _)) if first.elapsed() > TWICE => std::process::exit(128 + i32::from(signal)),
        Some(_) => {}
        None => {
            let _ = ASKED.set((Instant::now(), signal));
            if SPEAKS.load(Ordering::Relaxed) {
                note!(
                    "\nstopping after this step; Ctrl-C again ends at once and loses what came after the last \
                     checkpoint"
                );
            }
        }
    }
}

#[cfg(unix)]
fn catch() -> io::Result<()> {
    use signal_hook::{consts::*, iterator::Signals};
    let all = [(SIGINT, "INT"), (SIGTERM, "TERM"), (SIGHUP, "HUP"), (SIGUSR1, "USR1")];
    let mut signals =
        Signals::new(all.into_iter().filter(|(_, name)| !ignored(name)).map(|(number, _)| number))?;
    let listen = move || signals.forever().for_each(|signal| on(signal as u8));
    std::thread::Builder::new().name("signals".into()).spawn(listen).map(drop)
}

/// Whether the program was started with this signal ignored. A shell inherits that and, as POSIX wants it, does
/// not change it: it outlives the signal.
#[cfg(unix)]
fn ignored(signal: &str) -> bool {
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &format!("kill -{signal} $$")]).status().is_ok_and(|status| status.success())
}

#[cfg(not(unix))]
fn catch() -> io::Result<()> {
    const SIGINT: u8 = 2;
    ctrlc::set_handler(|| on(SIGINT)).map_err(io::Error::other)
}
