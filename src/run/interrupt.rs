//! Ctrl-C asks training to stop after the current submission. A second Ctrl-C ends the program at once.

use crate::error::{Error, Result};
use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

static ASKED: OnceLock<Instant> = OnceLock::new();
/// One key press may arrive twice: from the terminal and from a parent process.
const TWICE: Duration = Duration::from_millis(300);

/// Catches Ctrl-C from now on. Only a training run calls this, so other programs end as usual.
pub(super) fn watch() -> Result<()> {
    let caught = ctrlc::set_handler(|| match ASKED.get() {
        Some(first) if first.elapsed() > TWICE => std::process::exit(130),
        Some(_) => {}
        None => {
            let _ = ASKED.set(Instant::now());
            eprintln!(
                "\nstopping after this step; Ctrl-C again ends at once and loses what came after the last checkpoint"
            );
        }
    });
    match caught {
        // A program that trains twice has the handler already.
        Ok(()) | Err(ctrlc::Error::MultipleHandlers) => Ok(()),
        Err(e) => Err(Error::new(format!("Ctrl-C cannot be caught: {e}"))),
    }
}

/// Whether Ctrl-C was typed.
pub(super) fn asked() -> bool {
    ASKED.get().is_some()
}
