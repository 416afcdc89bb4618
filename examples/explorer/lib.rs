//! Networks that learn and dream before one's eyes. One application for the desktop and the browser: each room holds a
//! model that lives on the device of the window itself, so that its pictures are shown without a read-back.

mod host;
mod making;
mod pace;
mod palette;
mod room;
mod vae;
#[cfg(target_arch = "wasm32")]
mod web;

use eframe::{
    egui,
    egui_wgpu::{RenderState, WgpuConfiguration, WgpuSetup, WgpuSetupCreateNew},
};
use host::Host;
use making::Making;
use oneiro::{
    error::Result,
    gpu::{Gpu, wgpu},
    kernel::caps::AdapterClass,
};
use pace::Pace;
use room::{Lesson, Maker, Room};
use std::sync::Arc;

/// The rooms in the order of their tabs, by the names that the command line and the page's address use.
pub const ROOMS: [&str; 1] = ["vae"];
const TITLES: [&str; ROOMS.len()] = ["VAE"];

/// What the application opens with.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The room that is opened first, an index into [`ROOMS`].
    pub room: usize,
    /// The number of training steps after which rooms stand still; they go on for ever where this is `None`.
    pub steps: Option<u64>,
}

/// The application.
pub struct Explorer {
    /// The engine; it is being made while there is none.
    host: Option<Host>,
    opening: Making<Host>,
    trouble: Option<String>,
    lesson: Arc<Lesson>,
    places: [Place; ROOMS.len()],
    asked: Asked,
    paused: bool,
    pace: Pace,
}

/// Where a room stands.
enum Place {
    Closed,
    Making(Making<Box<dyn Room>>),
    Open(Box<dyn Room>),
    Trouble(String),
}

fn maker(room: usize) -> Maker {
    [vae::maker][room]()
}

/// The device that the engine wants of eframe: its limits and, where the adapter has them, its useful features.
pub fn configuration() -> WgpuConfiguration {
    let device = |adapter: &wgpu::Adapter| wgpu::DeviceDescriptor {
        label: Some("explorer"),
        required_features: Gpu::useful_features() & adapter.features(),
        required_limits: Gpu::required_limits(),
        ..Default::default()
    };
    let setup = WgpuSetupCreateNew {
        device_descriptor: Arc::new(device),
        ..WgpuSetupCreateNew::without_display_handle()
    };
    WgpuConfiguration { wgpu_setup: WgpuSetup::CreateNew(setup), ..WgpuConfiguration::default() }
}

impl Explorer {
    /// Begins to make the engine ready on eframe's device.
    pub fn new(state: RenderState, asked: Asked) -> Self {
        Self {
            host: None,
            opening: Making::new(|progress| async move {
                progress.begin("the engine tests the device");
                Host::new(state).await
            }),
            trouble: None,
            lesson: Arc::new(room::digits()),
            places: std::array::from_fn(|_| Place::Closed),
            asked,
            paused: false,
            pace: Pace::new(false),
        }
    }

    /// Takes what was made meanwhile, and records the open room's share of the frame.
    fn advance(&mut self) {
        if self.host.is_none() && self.trouble.is_none() {
            match self.opening.ready() {
                Some(Ok(host)) => {
                    self.pace = Pace::new(host.gpu.caps().class == AdapterClass::Cpu);
                    self.host = Some(host);
                }
                Some(Err(error)) => self.trouble = Some(error.to_string()),
                None => {}
            }
        }
        let Some(host) = &self.host else { return };
        let place = &mut self.places[self.asked.room];
        match place {
            Place::Closed => {
                *place = Place::Making(maker(self.asked.room)(host.clone(), self.lesson.clone()))
            }
            Place::Making(making) => match making.ready() {
                Some(Ok(room)) => *place = Place::Open(room),
                Some(Err(error)) => *place = Place::Trouble(error.to_string()),
                None => {}
            },
            Place::Open(room) => {
                let left = self.asked.steps.map_or(u64::MAX, |steps| steps.saturating_sub(room.step()));
                let left = if self.paused { 0 } else { left };
                if let Err(error) = record(host, &mut self.pace, room.as_mut(), left) {
                    *place = Place::Trouble(error.to_string());
                }
            }
            Place::Trouble(_) => {}
        }
    }

    fn tabs(&mut self, ui: &mut egui::Ui) {
        ui.horizontal(|ui| {
            for (room, title) in TITLES.iter().enumerate() {
                if ui.selectable_label(self.asked.room == room, *title).clicked() {
                    self.asked.room = room;
                    self.pace.reset();
                }
            }
            ui.separator();
            ui.toggle_value(&mut self.paused, "pause");
        });
    }

    /// The adapter, and how fast the room learns.
    fn status(&self, ui: &mut egui::Ui) {
        let Some(host) = &self.host else { return };
        ui.horizontal(|ui| {
            ui.label(&host.gpu.caps().name);
            if let (Place::Open(room), Some(rate)) = (&self.places[self.asked.room], self.pace.rate()) {
                ui.separator();
                ui.label(format!("step {}", room.step()));
                ui.label(format!("{:.1} ms a step", 1e3 / rate));
                ui.label(format!("{:.0} images/s", room.batch() as f64 * rate));
            }
            if let Some(advice) = host.gpu.advice() {
                ui.separator();
                ui.label(advice);
            }
        });
    }

    fn room(&mut self, ui: &mut egui::Ui) {
        if let Some(trouble) = &self.trouble {
            ui.heading(trouble);
            ui.label("Update the graphics driver, or choose another adapter.");
            return;
        }
        let Some(host) = &self.host else {
            return wait(ui, &self.opening);
        };
        let place = &mut self.places[self.asked.room];
        match place {
            Place::Closed => {}
            Place::Making(making) => wait(ui, making),
            Place::Open(room) => {
                if let Some(maker) = room.show(host, ui) {
                    self.pace.reset();
                    *place = Place::Making(maker(host.clone(), self.lesson.clone()));
                }
            }
            Place::Trouble(trouble) => {
                ui.heading(trouble.as_str());
                if ui.button("make the room anew").clicked() {
                    *place = Place::Closed;
                }
                ui.label("If the device is lost, open the window or the page again; saved weights can be dropped on it.");
            }
        }
    }
}

/// Shows what is being made.
fn wait<T: wgpu::WasmNotSend + 'static>(ui: &mut egui::Ui, making: &Making<T>) {
    let (what, share) = making.progress.get();
    ui.add(egui::ProgressBar::new(share).text(what).animate(true));
}

/// Submits the room's share of a frame, if the device is done with the last one.
fn record(host: &Host, pace: &mut Pace, room: &mut dyn Room, left: u64) -> Result<()> {
    host.gpu.check()?;
    let Some(fit) = pace.steps()? else { return Ok(()) };
    let steps = fit.max(room.least()).min(left);
    host.gpu.submit(|encoder| {
        room.record(host, encoder, steps)?;
        pace.recorded(&host.gpu, encoder, steps);
        Ok(())
    })
}

impl eframe::App for Explorer {
    fn logic(&mut self, _: &egui::Context, _: &mut eframe::Frame) {
        self.advance();
    }

    fn ui(&mut self, ui: &mut egui::Ui, _: &mut eframe::Frame) {
        egui::Panel::top("tabs").show(ui, |ui| self.tabs(ui));
        egui::Panel::bottom("status").show(ui, |ui| self.status(ui));
        egui::CentralPanel::default().show(ui, |ui| self.room(ui));
        ui.ctx().request_repaint();
    }
}
