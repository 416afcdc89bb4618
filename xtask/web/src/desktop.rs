//! The explorer in a window on a screen that nobody sees.

use super::{Failure, end};
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

/// An X server without a screen; it ends with its owner.
pub(crate) struct Screen {
    server: Child,
    display: String,
}

impl Screen {
    /// Starts a server on a display that is free; `None` where Xvfb is not installed.
    ///
    /// # Errors
    /// A server that ends at once.
    pub(crate) fn open() -> Result<Option<Self>, Failure> {
        let options = ["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"];
        let server = Command::new("Xvfb").args(options).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut server = match server {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            server => server?,
        };
        let mut number = String::new();
        if let Some(told) = server.stdout.take() {
            BufReader::new(told).read_line(&mut number)?;
        }
        let screen = Self { server, display: format!(":{}", number.trim()) };
        match number.trim().is_empty() {
            true => Err("Xvfb ended at once".into()),
            false => Ok(Some(screen)),
        }
    }

    /// Runs the explorer until its last stop, and returns its report; `window` gets what it then shows.
    ///
    /// # Errors
    /// What the explorer says went wrong.
    pub(crate) fn explore(
        &self,
        explorer: &Path,
        room: &str,
        stops: &str,
        window: &Path,
    ) -> Result<String, Failure> {
        Ok(self.window(explorer, &["--room", room, "--stops", stops], window)?.0)
    }

    /// Opens the VAE's room on a device that is destroyed after some steps. Another window must follow it, learn and
    /// be looked at; returns what both said on the terminal beside the second one's report.
    ///
    /// # Errors
    /// A window that ends by an error.
    pub(crate) fn lose(&self, explorer: &Path, window: &Path) -> Result<(String, String), Failure> {
        self.window(explorer, &["--lose", "20", "--stops", "8,40"], window)
    }

    /// Runs the explorer with these options, and returns its report and what it said on the terminal.
    fn window(&self, explorer: &Path, options: &[&str], window: &Path) -> Result<(String, String), Failure> {
        let scratch = tempfile::tempdir()?;
        let log = scratch.path().join("log");
        println!("> {} {}", explorer.display(), options.join(" "));
        let mut command = Command::new(explorer);
        command.args(options).arg("--window").arg(window);
        command
            .env("DISPLAY", &self.display)
            .env_remove("WAYLAND_DISPLAY")
            .env("XDG_RUNTIME_DIR", scratch.path());
        let output = command.stderr(std::fs::File::create(&log)?).output()?;
        match output.status.success() {
            true => Ok((String::from_utf8(output.stdout)?, std::fs::read_to_string(&log)?)),
            false => Err(format!("the explorer ended ({}):\n{}", output.status, end(&log)).into()),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
