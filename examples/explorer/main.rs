//! The explorer on the desktop.

use clap::Parser;
use eframe::egui;
use explorer::{Asked, Explorer, ROOMS, Watch};
use std::{
    error::Error,
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

/// Networks that learn and dream before your eyes.
#[derive(Parser)]
#[command(after_help = "Examples:\n  explorer\n  explorer --room gan\n  explorer --adapter llvmpipe\n  \
                  explorer runs/mnist/weights.safetensors")]
struct Options {
    /// Weights, an IDX file of images (and its labels), or a folder of pictures, as if dropped on the window
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The room that is opened first
    #[arg(long, default_value = ROOMS[0], value_parser = ROOMS)]
    room: String,
    /// Part of the name of the graphics adapter to use; another name than any lists them
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// For tests: stand still after these training steps, in rising order, print the losses and end
    #[arg(long, value_name = "N,…", value_delimiter = ',', hide = true)]
    stops: Vec<u64>,
    /// For tests: destroy the device after this step
    #[arg(long, value_name = "STEP", hide = true)]
    lose: Option<u64>,
    /// For the program itself: a sentence that the window shows when it opens
    #[arg(long, hide = true)]
    notice: Option<String>,
    /// For tests: save what the window shows after the last stop
    #[arg(long, value_name = "PNG", requires = "stops", hide = true)]
    window: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("explorer: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the window; `Err` is the reason of a device that was lost, on which egui's own drawing panics.
fn until_lost<T>(lost: &Watch, window: impl FnOnce() -> T) -> Result<T, String> {
    let (told, main, tell) = (Arc::new(Mutex::new(None)), thread::current().id(), panic::take_hook());
    let kept = told.clone();
    // What the window says when it panics waits until it is known whether the device was lost.
    panic::set_hook(Box::new(move |what| match thread::current().id() == main {
        true => *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(what.to_string()),
        false => tell(what),
    }));
    let ended = panic::catch_unwind(AssertUnwindSafe(window));
    let _ = panic::take_hook();
    let told = told.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (ended, lost.reason()) {
        (Ok(ended), _) => Ok(ended),
        (Err(_), Some(reason)) => Err(reason.to_owned()),
        (Err(what), None) => {
            eprintln!("{}", told.unwrap_or_default());
            panic::resume_unwind(what)
        }
    }
}

/// Says what went wrong, and opens another window, whose device is a new one; a second loss in turn ends the program.
fn again(options: &Options, what: &str) -> Result<(), Box<dyn Error>> {
    if options.notice.is_some() {
        return Err(format!("{what} once more; update the graphics driver, or take another --adapter").into());
    }
    let notice = format!("{what}; this window has a new one, and its rooms begin anew or with saved weights");
    eprintln!("explorer: {what}; another window opens");
    let mut window = std::process::Command::new(std::env::current_exe()?);
    window.args(["--room", &options.room, "--notice", &notice]).args(&options.files);
    if let Some(name) = &options.adapter {
        window.args(["--adapter", name]);
    }
    if !options.stops.is_empty() {
        let stops: Vec<_> = options.stops.iter().map(u64::to_string).collect();
        window.args(["--stops", &stops.join(",")]);
    }
    if let Some(path) = &options.window {
        window.arg("--window").arg(path);
    }
    match window.status()?.success() {
        true => Ok(()),
        false => Err("the second window ended by an error".into()),
    }
}

/// Why no window was opened, and what to do.
fn unopened(error: eframe::Error) -> String {
    let whole = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    // The error's place in the source comes before its reason.
    let line = whole.rsplit(": ").next().unwrap_or(&whole);
    match error {
        eframe::Error::Winit(_) | eframe::Error::WinitEventLoop(_) => format!(
            "there is no display to open a window on ({line}); log into a desktop, or run it under `xvfb-run`"
        ),
        eframe::Error::Wgpu(_) => format!(
            "no graphics adapter shows a window ({whole}); `cargo xtask setup` installs a driver, `--adapter` takes \
             another one"
        ),
        _ => whole,
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let (send, told) = mpsc::channel();
    let asked = Asked {
        room: ROOMS.iter().position(|room| *room == options.room).unwrap_or_default(),
        files: options.files.iter().map(|path| explorer::named(path.clone())).collect(),
        stops: options.stops.clone(),
        notice: options.notice.clone(),
        lose: options.lose,
        ..Asked::default()
    };
    let lost = asked.lost.clone();
    let native = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_inner_size([1200.0, 820.0])
            .with_min_inner_size([900.0, 620.0]),
        wgpu_options: explorer::configuration(options.adapter.clone()),
        ..Default::default()
    };
    let create = Box::new(|context: &eframe::CreationContext<'_>| {
        let window = context.egui_ctx.clone();
        let report: explorer::Teller = Box::new(move |report| {
            let _ = send.send(report);
            window.send_viewport_cmd(egui::ViewportCommand::Close);
        });
        let app = Explorer::new(context, Asked { report: Some(report), ..asked })?;
        Ok(Box::new(app) as Box<dyn eframe::App>)
    });
    match until_lost(&lost, || eframe::run_native("Oneiro", native, create)) {
        Ok(ended) => ended.map_err(unopened)?,
        Err(reason) => return again(options, &format!("the device was lost ({reason})")),
    }
    if options.stops.is_empty() {
        return Ok(());
    }
    let report = told.try_recv().map_err(|_| "the window was closed before the last stop")??;
    if let Some(path) = &options.window {
        let [width, height] = report.window.size.map(|side| side as u32);
        image::save_buffer(path, report.window.as_raw(), width, height, image::ColorType::Rgba8)
            .map_err(|e| format!("{}: {e}", path.display()))?;
    }
    print!("{report}");
    Ok(())
}
