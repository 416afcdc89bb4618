//! The explorer on the desktop.

use clap::Parser;
use eframe::egui;
use explorer::{Asked, Explorer, ROOMS};
use std::{error::Error, path::PathBuf, process::ExitCode, sync::mpsc};

/// Networks that learn and dream before your eyes.
#[derive(Parser)]
#[command(
    after_help = "Examples:\n  explorer\n  explorer --room vae\n  explorer --stops 100,500 --window seen.png"
)]
struct Options {
    /// The room that is opened first
    #[arg(long, default_value = ROOMS[0], value_parser = ROOMS)]
    room: String,
    /// For tests: stand still after these training steps, in rising order, print the losses and end
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    stops: Vec<u64>,
    /// For tests: save what the window shows after the last stop
    #[arg(long, value_name = "PNG", requires = "stops")]
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

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let (send, told) = mpsc::channel();
    let asked = Asked {
        room: ROOMS.iter().position(|room| *room == options.room).unwrap_or_default(),
        stops: options.stops.clone(),
        report: None,
    };
    let native = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default().with_inner_size([1200.0, 820.0]),
        wgpu_options: explorer::configuration(),
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
    eframe::run_native("Oneiro", native, create)
        .map_err(|e| format!("{e}; it needs a display and a Vulkan, Metal or DX12 driver"))?;
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
