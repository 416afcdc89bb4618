//! The explorer on the desktop.

use clap::Parser;
use eframe::egui;
use explorer::{Asked, Explorer, ROOMS};
use std::process::ExitCode;

/// Networks that learn and dream before your eyes.
#[derive(Parser)]
#[command(after_help = "Examples:\n  explorer\n  explorer --room vae --steps 500")]
struct Options {
    /// The room that is opened first
    #[arg(long, default_value = ROOMS[0], value_parser = ROOMS)]
    room: String,
    /// Stand still after so many training steps [default: go on]
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let room = ROOMS.iter().position(|room| *room == options.room).unwrap_or_default();
    let asked = Asked { room, steps: options.steps };
    let native = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default().with_inner_size([1200.0, 820.0]),
        wgpu_options: explorer::configuration(),
        ..Default::default()
    };
    let made = eframe::run_native(
        "Oneiro",
        native,
        Box::new(|context| {
            let state = context.wgpu_render_state.clone().ok_or("eframe has no wgpu device")?;
            Ok(Box::new(Explorer::new(state, asked)))
        }),
    );
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("explorer: {error}; it needs a display and a Vulkan, Metal or DX12 driver");
            ExitCode::FAILURE
        }
    }
}
