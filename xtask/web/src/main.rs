//! `cargo xtask web` and `cargo xtask test --gui`: the page is built into `target/web`, served on the loopback
//! address, and tested in a headless browser against the same code on this machine's adapter.

mod browser;
mod server;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

type Failure = Box<dyn std::error::Error>;

const TARGET: &str = "wasm32-unknown-unknown";
/// The largest difference between a loss in the browser and on the desktop, as a share of the loss.
const TOLERANCE: f32 = 1e-3;
/// How long the browser may take, on a machine of two busy cores.
const PATIENCE: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    let asked: Vec<_> = std::env::args().skip(1).collect();
    let result = match asked.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => serve(),
        ["test"] => test(),
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

/// Builds the page and returns its folder.
fn build() -> Result<PathBuf, Failure> {
    let run = |program: &str, args: &[&str]| -> Result<(), Failure> {
        println!("> {program} {}", args.join(" "));
        let status = Command::new(program).args(args).current_dir(root()).status();
        match status.map_err(|e| format!("cannot run {program}: {e}"))?.success() {
            true => Ok(()),
            false => Err(format!("`{program} {}` failed", args.join(" ")).into()),
        }
    };
    let known = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output()?;
    if !Path::new(String::from_utf8_lossy(&known.stdout).trim()).is_dir() {
        run("rustup", &["target", "add", TARGET])?;
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    run(&cargo, &["build", "--release", "--package", "page", "--target", TARGET])?;
    let folder = root().join("target/web");
    let wasm = root().join("target").join(TARGET).join("release/page.wasm");
    wasm_bindgen_cli_support::Bindgen::new()
        .input_path(&wasm)
        .web(true)?
        .typescript(false)
        .generate(&folder)
        .map_err(|e| format!("{}: {e:#}", wasm.display()))?;
    std::fs::copy(root().join("examples/page/index.html"), folder.join("index.html"))?;
    let size = std::fs::metadata(folder.join("page_bg.wasm"))?.len();
    println!("page: {} ({size} bytes of WebAssembly)", folder.display());
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

/// Trains in a headless browser and natively, and compares the losses.
fn test() -> Result<(), Failure> {
    let Some(program) = browser::find() else {
        println!("browser: skipped, since no Chromium is on PATH (Debian: chromium)");
        return Ok(());
    };
    let server = server::Server::new(build()?)?;
    let result = browser::run(program, &server, PATIENCE)?;
    let (adapter, there) = result.split_once('\n').ok_or_else(|| format!("the page says: {result}"))?;
    let (there, refused) = there.rsplit_once('\n').ok_or_else(|| format!("the page says: {result}"))?;
    println!("a shader that is refused: {refused}");
    if !refused.starts_with("refused/largest: ") || !refused.contains("f32") {
        return Err("the browser's message about the refused shader is lost".into());
    }
    let there = there.lines().map(str::parse).collect::<Result<Vec<f32>, _>>()?;
    let (name, here) = pollster::block_on(page::train())?;
    println!("browser ({adapter}): {there:?}\nnative ({name}): {here:?}");
    let same = |(a, b): (&f32, &f32)| (a - b).abs() <= TOLERANCE * b.abs();
    if there.len() != here.len() || !there.iter().zip(&here).all(same) {
        return Err("the browser trains otherwise than the desktop".into());
    }
    match (here.first(), here.last()) {
        (Some(first), Some(last)) if *last < 0.8 * first => Ok(()),
        _ => Err("the losses do not fall".into()),
    }
}
