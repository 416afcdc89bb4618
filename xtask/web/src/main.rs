//! `cargo xtask web` and `cargo xtask test --gui`: the explorer's page is built into `target/web` and served on the
//! loopback address; its window and its page are tested on screens that nobody sees, the page against the window.

mod browser;
mod desktop;
mod judge;
mod report;
mod server;

use report::Report;

use flate2::{Compression, write::GzEncoder};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

type Failure = Box<dyn std::error::Error>;

const TARGET: &str = "wasm32-unknown-unknown";
/// The largest difference between a loss in the browser and on the desktop, as a share of the loss.
const TOLERANCE: f32 = 1e-3;
/// The rooms, and the stops at which their losses are compared; after a last stop of the first room's window, digits
/// are looked for.
const ROOMS: [(&str, &str); 3] = [("vae", "8,16,24,32,40"), ("pixelcnn", "2,4"), ("gan", "2,4,8")];
const LAST: &str = "400";
/// The largest difference between a pixel of the window and the picture that the engine computed, of 255.
const LEVELS: f32 = 2.0;
/// The pictures in each row of the VAE's manifold, how many classes must be seen among them, and how far they may be
/// from real digits, in multiples of the distance of digits held out.
const COLUMNS: usize = 15;
const CLASSES: usize = 7;
const DISTANCE: f64 = 2.0;
/// How long the browser may take, on a machine of two busy cores.
const PATIENCE: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    let asked: Vec<_> = std::env::args().skip(1).collect();
    let result = match &asked.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", ..] => serve(),
        ["test", features @ ..] => test(features),
        _ => Err("type `cargo xtask web` or `cargo xtask test --gui`".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("web: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a program and shows what it says.
fn run(program: &str, args: &[&str]) -> Result<(), Failure> {
    println!("> {program} {}", args.join(" "));
    let status = Command::new(program).args(args).current_dir(root()).status();
    match status.map_err(|e| format!("cannot run {program}: {e}"))?.success() {
        true => Ok(()),
        false => Err(format!("`{program} {}` failed", args.join(" ")).into()),
    }
}

fn cargo(args: &[&str]) -> Result<(), Failure> {
    run(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()), args)
}

/// The last lines of a log.
fn end(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Builds the page and returns its folder.
fn build() -> Result<PathBuf, Failure> {
    let known = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output()?;
    if !Path::new(String::from_utf8_lossy(&known.stdout).trim()).is_dir() {
        run("rustup", &["target", "add", TARGET])?;
    }
    cargo(&["build", "--profile", "page", "--package", "explorer", "--lib", "--target", TARGET])?;
    let folder = root().join("target/web");
    let wasm = root().join("target").join(TARGET).join("page/explorer.wasm");
    wasm_bindgen_cli_support::Bindgen::new()
        .input_path(&wasm)
        .web(true)?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(&folder)
        .map_err(|e| format!("{}: {e:#}", wasm.display()))?;
    std::fs::copy(root().join("examples/explorer/index.html"), folder.join("index.html"))?;
    let files =
        ["index.html", "explorer.js", "explorer_bg.wasm"].map(|name| std::fs::read(folder.join(name)));
    let (mut whole, mut packed) = (0, 0);
    for file in files {
        let file = file?;
        let mut gzip = GzEncoder::new(vec![], Compression::best());
        gzip.write_all(&file)?;
        (whole, packed) = (whole + file.len(), packed + gzip.finish()?.len());
    }
    println!("page: {} ({whole} bytes, {packed} gzipped)", folder.display());
    Ok(folder)
}

/// Serves the page until the program is stopped.
fn serve() -> Result<(), Failure> {
    let server = server::Server::new(build()?)?;
    println!("the page is at {}; Ctrl-C ends", server.address());
    loop {
        if let Some(result) = server.answer()? {
            println!("{result}");
        }
    }
}

/// Opens each room in a window and as a page. `features` are cargo's options for them.
fn test(features: &[&str]) -> Result<(), Failure> {
    let scratch = tempfile::tempdir()?;
    let screen = desktop::Screen::open()?;
    let mut windows = vec![];
    match &screen {
        Some(screen) => {
            // With the features that the tests turn on in its libraries, so that none is built twice.
            let words = ["build", "--release", "--workspace", "--bin", "explorer", "--example", "hello"];
            cargo(&[&words, features].concat())?;
            for (room, stops) in ROOMS {
                windows.push(window(screen, room, stops, scratch.path())?);
            }
            lost(screen, scratch.path())?;
        }
        None => println!("window: left out, since Xvfb is not on PATH (Debian: xvfb)"),
    }
    let Some(program) = browser::find() else {
        println!("browser: left out, since no Chromium is on PATH (Debian: chromium)");
        return Ok(());
    };
    let server = server::Server::new(build()?)?;
    let refused = browser::run(program, &server, "refused", PATIENCE)?;
    println!("a shader that is refused: {refused}");
    if !refused.starts_with("refused/largest: ") || !refused.contains("f32") {
        return Err("the browser's message about the refused shader is lost".into());
    }
    for (asked, begins) in [("panic", "The page made a mistake"), ("lose=20", "The graphics device was lost")]
    {
        let told = browser::run(program, &server, asked, PATIENCE)?;
        println!("{asked}: {told}");
        if !told.starts_with(begins) || !told.contains("Load the page again") {
            return Err(format!("what the page says after {asked} is no sentence with a way on").into());
        }
    }
    for (i, (room, stops)) in ROOMS.into_iter().enumerate() {
        if room == "pixelcnn" {
            println!(
                "browser: {room} is left out, since Chromium's software adapter compiles each kernel for minutes"
            );
            continue;
        }
        let there = browser::run(program, &server, &format!("room={room}&stops={stops}"), PATIENCE)?;
        let there = Report::parse(&there)?;
        println!("browser: {there:?}");
        shown(&there)?;
        let same = |(a, b): (&f32, &f32)| (a - b).abs() <= TOLERANCE * b.abs();
        if windows.get(i).is_some_and(|here| !there.losses.iter().zip(&here.losses).all(same)) {
            return Err(format!("{room}: the browser trains otherwise than the desktop").into());
        }
    }
    Ok(())
}

/// Opens a room in a window; the VAE's until digits must be seen in it.
fn window(screen: &desktop::Screen, room: &str, stops: &str, scratch: &Path) -> Result<Report, Failure> {
    let (explorer, seen) = (root().join("target/release/explorer"), scratch.join("window.png"));
    let learns = room == ROOMS[0].0;
    let asked = if learns { format!("{stops},{LAST}") } else { stops.into() };
    let report = Report::parse(&screen.explore(&explorer, room, &asked, &seen)?)?;
    println!("window: {report:?}");
    shown(&report)?;
    if learns {
        let judgement = judge::digits(&seen, &report.place, COLUMNS, scratch)?;
        println!("the classifier says of the window: {judgement:?}");
        if judgement.classes < CLASSES || judgement.distance > DISTANCE {
            return Err("there are no digits in the manifold".into());
        }
    }
    Ok(report)
}

/// Checks that a window whose device is lost says so in a sentence, and that another one follows it.
fn lost(screen: &desktop::Screen, scratch: &Path) -> Result<(), Failure> {
    let (report, said) = screen.lose(&root().join("target/release/explorer"), &scratch.join("window.png"))?;
    println!("window: {said}");
    if !said.contains("the device was lost") || said.contains("panicked") {
        return Err("a lost device is no sentence".into());
    }
    shown(&Report::parse(&report)?)
}

/// Checks that the window shows what was computed, and that there are losses.
fn shown(report: &Report) -> Result<(), Failure> {
    if report.difference > LEVELS {
        return Err("the window shows other pictures than the engine computed".into());
    }
    match report.losses.iter().all(|loss| loss.is_finite()) && report.losses.len() > 1 {
        true => Ok(()),
        false => Err("the room does not learn".into()),
    }
}
