//! A headless Chromium that opens the page, on its software adapter.

use super::{Failure, end, server::Server};
use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// The names under which systems have Chromium, one a line.
const NAMES: &str = include_str!("../../browsers.txt");
const OPTIONS: [&str; 13] = [
    "--headless",
    "--window-size=1200,820",
    "--no-sandbox",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    // A canvas shares its pixels with the page's compositor: both are of one driver.
    "--use-vulkan=swiftshader",
    "--enable-features=Vulkan",
    "--use-angle=vulkan",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// The first browser on `PATH`.
pub(crate) fn find() -> Option<&'static str> {
    let there = |name: &&str| {
        let quiet = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        quiet.is_ok_and(|status| status.success())
    };
    NAMES.lines().find(there)
}

/// A browser that is ended when its owner is done.
struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Opens the page, with what its address asks for, and waits for what it posts.
///
/// # Errors
/// A browser that ends, and a page that says nothing in time; the end of the browser's log is told.
pub(crate) fn run(
    program: &str,
    server: &Server,
    asked: &str,
    patience: Duration,
) -> Result<String, Failure> {
    let profile = tempfile::tempdir()?;
    let log = profile.path().join("log");
    let address = format!("{}?{asked}", server.address());
    println!("> {program} {} {address}", OPTIONS.join(" "));
    let child = Command::new(program)
        .args(OPTIONS)
        .args(["--enable-logging=stderr", &format!("--user-data-dir={}", profile.path().display())])
        .arg(&address)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log)?)
        .spawn()
        .map_err(|e| format!("cannot run {program}: {e}"))?;
    let mut browser = Browser(child);
    let begun = Instant::now();
    while begun.elapsed() < patience {
        if let Some(result) = server.answer()? {
            println!("the page answered after {:.1} s", begun.elapsed().as_secs_f64());
            return Ok(result);
        }
        if let Some(status) = browser.0.try_wait()? {
            return Err(format!("{program} ended ({status}):\n{}", end(&log)).into());
        }
    }
    Err(format!("the page said nothing for {} s:\n{}", patience.as_secs(), end(&log)).into())
}
