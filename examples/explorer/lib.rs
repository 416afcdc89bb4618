//! Networks that learn and dream before one's eyes. One application for the desktop and the browser: each room holds a
//! model that lives on the device of the window itself, so that its pictures are shown without a read-back.

mod curve;
#[cfg(test)]
mod embedded;
mod files;
mod gan;
mod host;
mod lost;
mod making;
mod pace;
mod palette;
mod pixelcnn;
mod plot;
mod probe;
#[cfg(target_arch = "wasm32")]
mod refused;
mod room;
mod taking;
#[cfg(test)]
mod tests;
mod vae;
#[cfg(target_arch = "wasm32")]
mod web;

use eframe::{
    egui,
    egui_wgpu::{NativeAdapterSelectorMethod, WgpuConfiguration, WgpuSetup, WgpuSetupCreateNew},
};
use epaint_default_fonts::UBUNTU_LIGHT;
use files::Offer;
use host::Host;
pub use lost::Watch;
use making::Making;
use oneiro::{
    error::Result,
    gpu::{Gpu, Promise, wgpu},
    kernel::caps::AdapterClass,
    weights,
};
use pace::Pace;
use probe::Probe;
pub use probe::Report;
use room::{Lesson, Maker, Room};
use std::sync::Arc;

/// The rooms in the order of their tabs, by the names that the command line and the page's address use.
pub const ROOMS: [&str; 3] = ["vae", "pixelcnn", "gan"];
const TITLES: [&str; ROOMS.len()] = ["VAE", "PixelCNN", "GAN"];

/// The least space that rooms are laid out for, in points; where there is less, they scroll.
const LEAST: egui::Vec2 = egui::vec2(880.0, 520.0);

/// The wishes with which the application is opened.
#[derive(Default)]
pub struct Asked {
    /// The room that is opened first, an index into [`ROOMS`].
    pub room: usize,
    /// Files that are read at once, as if they were dropped on the window.
    pub files: Vec<egui::DroppedFileHandle>,
    /// What the visitor is told first, in place of what can be dropped.
    pub notice: Option<String>,
    /// Watches over the device.
    pub lost: Arc<Watch>,
    /// For tests: the step after which the device is destroyed.
    pub lose: Option<u64>,
    /// For tests: the steps after which the room stands still and its loss is read, in rising order. After the last one
    /// the window is looked at.
    pub stops: Vec<u64>,
    /// Gets the test's report, or the line of what went wrong.
    pub report: Option<Teller>,
}

/// A file or folder as if it was dropped on the window.
#[cfg(not(target_arch = "wasm32"))]
pub fn named(path: std::path::PathBuf) -> egui::DroppedFileHandle {
    Arc::new(files::Named(path))
}

/// Who is told a test's report.
pub type Teller = Box<dyn FnOnce(std::result::Result<Report, String>)>;

/// The application.
pub struct Explorer {
    /// The engine; it is being made while there is none.
    host: Option<Host>,
    opening: Making<Host>,
    trouble: Option<String>,
    lesson: Arc<Lesson>,
    places: [Place; ROOMS.len()],
    room: usize,
    paused: bool,
    pace: Pace,
    /// The seconds between two frames of the window, as the last ones told.
    frame: f32,
    dropped: Option<Making<Offer>>,
    /// What was read and waits for a room that takes it.
    offer: Option<Offer>,
    /// The weights that are read back, and the room whose they are.
    saving: Option<(usize, Promise<Vec<u8>>)>,
    /// The last message about files; empty once the visitor has taken it away.
    notice: String,
    /// The open room's successor, which takes its place before the next frame is laid out: egui still draws this one's
    /// pictures.
    next: Option<Maker>,
    probe: Option<Probe>,
    report: Option<Teller>,
    lost: Arc<Watch>,
    lose: Option<u64>,
}

/// Where a room stands.
enum Place {
    Closed,
    Making(Making<Box<dyn Room>>),
    Open(Box<dyn Room>),
    Trouble(String),
}

fn maker(room: usize) -> Maker {
    [vae::maker, pixelcnn::maker, gan::maker][room]()
}

/// The device that the engine wants of eframe: its limits and, where the adapter has them, its useful features. On the
/// desktop, `adapter` is a part of the wanted adapter's name.
pub fn configuration(adapter: Option<String>) -> WgpuConfiguration {
    let device = |adapter: &wgpu::Adapter| wgpu::DeviceDescriptor {
        label: Some("explorer"),
        required_features: Gpu::useful_features() & adapter.features(),
        required_limits: Gpu::required_limits(),
        ..Default::default()
    };
    let setup = WgpuSetupCreateNew {
        device_descriptor: Arc::new(device),
        native_adapter_selector: adapter.map(selector),
        ..WgpuSetupCreateNew::without_display_handle()
    };
    WgpuConfiguration { wgpu_setup: WgpuSetup::CreateNew(setup), ..WgpuConfiguration::default() }
}

/// Takes the first adapter in whose name a word is found.
fn selector(word: String) -> NativeAdapterSelectorMethod {
    Arc::new(move |adapters, surface| {
        let shows = |adapter: &&wgpu::Adapter| surface.is_none_or(|s| adapter.is_surface_supported(s));
        let name = |adapter: &wgpu::Adapter| adapter.get_info().name;
        let named = |adapter: &&wgpu::Adapter| name(adapter).to_lowercase().contains(&word.to_lowercase());
        adapters.iter().filter(shows).find(named).cloned().ok_or_else(|| {
            let names: Vec<_> = adapters.iter().filter(shows).map(name).collect();
            format!("no adapter's name contains `{word}`; there are: {}", names.join(", "))
        })
    })
}

impl Explorer {
    /// Begins to make the engine ready on the device of eframe's window.
    ///
    /// # Errors
    /// A window without wgpu.
    pub fn new(
        window: &eframe::CreationContext<'_>,
        asked: Asked,
    ) -> std::result::Result<Self, &'static str> {
        let state = window.wgpu_render_state.clone().ok_or("the window has no wgpu device")?;
        window.egui_ctx.set_fonts(fonts());
        asked.lost.over(&state.device);
        let opening = Making::new(|progress| async move {
            progress.begin("the engine tests the device");
            Host::new(state).await
        });
        Ok(Self::with(opening, asked))
    }

    fn with(opening: Making<Host>, asked: Asked) -> Self {
        Self {
            host: None,
            opening,
            trouble: None,
            lesson: Arc::new(room::digits()),
            places: std::array::from_fn(|_| Place::Closed),
            room: asked.room.min(ROOMS.len() - 1),
            paused: false,
            pace: Pace::new(false),
            frame: 0.0,
            dropped: (!asked.files.is_empty()).then(|| files::read(asked.files)),
            offer: None,
            saving: None,
            next: None,
            notice: asked
                .notice
                .unwrap_or_else(|| "drop weights, an IDX file or a folder of pictures on the window".into()),
            probe: (!asked.stops.is_empty()).then(|| Probe::new(asked.stops)),
            report: asked.report,
            lost: asked.lost,
            lose: asked.lose,
        }
    }

    /// Takes what was made meanwhile, and records the open room's share of the frame.
    fn advance(&mut self, context: &egui::Context) {
        self.frame += 0.1 * (context.input(|input| input.unstable_dt) - self.frame);
        match self.opening.ready() {
            _ if self.host.is_some() || self.trouble.is_some() => {}
            Some(Ok(host)) => {
                self.pace = Pace::new(host.gpu.caps().class == AdapterClass::Cpu);
                self.host = Some(host);
            }
            Some(Err(error)) => self.trouble = Some(error.to_string()),
            None => {}
        }
        self.take_files(context);
        let Some(host) = &self.host else { return };
        if let Some(reason) = self.lost.reason() {
            host.gpu.note_loss(reason);
        }
        if let Some(maker) = self.next.take() {
            self.places[self.room] = Place::Making(maker(host.clone(), self.lesson.clone()));
        }
        let place = &mut self.places[self.room];
        match place {
            Place::Closed => *place = Place::Making(maker(self.room)(host.clone(), self.lesson.clone())),
            Place::Making(making) => match making.ready() {
                Some(Ok(room)) => *place = Place::Open(room),
                Some(Err(error)) => *place = Place::Trouble(error.to_string()),
                None => {}
            },
            Place::Open(room) => {
                if self.lose.take_if(|step| room.step() >= *step).is_some() {
                    host.gpu.device.destroy();
                }
                let left = match &self.probe {
                    _ if self.paused => 0,
                    Some(probe) => probe.left(room.step()),
                    None => u64::MAX,
                };
                if let Err(error) = record(host, &mut self.pace, room.as_mut(), left) {
                    *place = Place::Trouble(error.to_string());
                }
            }
            Place::Trouble(_) => {}
        }
        if host.gpu.check().is_err() {
            self.lost.note();
        }
        self.test(context);
    }

    /// Goes on with a test, if there is one, and tells its report.
    fn test(&mut self, context: &egui::Context) {
        let (Some(probe), Some(host)) = (&mut self.probe, &self.host) else { return };
        let report = match (&self.trouble, &self.places[self.room]) {
            (Some(trouble), _) | (None, Place::Trouble(trouble)) => Err(trouble.clone()),
            (None, Place::Open(room)) if probe.left(room.step()) == 0 => {
                match probe.look(host, context, &room.subject()).transpose() {
                    Some(seen) => seen.map_err(|error| error.to_string()),
                    None => return,
                }
            }
            _ => return,
        };
        self.probe = None;
        if let Some(tell) = self.report.take() {
            tell(report);
        }
    }

    fn tabs(&mut self, ui: &mut egui::Ui) {
        ui.horizontal(|ui| {
            for (room, title) in TITLES.iter().enumerate() {
                if ui.selectable_label(self.room == room, *title).clicked() {
                    self.open(room);
                }
            }
            ui.separator();
            ui.toggle_value(&mut self.paused, "pause");
            if let (Place::Open(room), Some(host)) = (&self.places[self.room], &self.host)
                && ui.button("save weights").clicked()
            {
                let (state, names) = room.weights();
                self.saving = Some((self.room, weights::to_bytes_async(&host.gpu, state, names)));
            }
        });
        if !self.notice.is_empty() {
            ui.horizontal_top(|ui| {
                let away = ui.small_button("×").on_hover_text("Take this message away.").clicked();
                ui.add(egui::Label::new(&self.notice).wrap());
                if away {
                    self.notice.clear();
                }
            });
        }
    }

    /// Goes to a room.
    fn open(&mut self, room: usize) {
        self.room = room;
        self.next = None;
        self.pace.reset();
    }

    /// The adapter, and how fast the room learns.
    fn status(&self, ui: &mut egui::Ui) {
        let Some(host) = &self.host else { return };
        ui.horizontal_wrapped(|ui| {
            ui.label(&host.gpu.caps().name);
            if let (Place::Open(room), Some(rate)) = (&self.places[self.room], self.pace.rate()) {
                ui.separator();
                ui.label(format!("{} {}", room.unit(), room.step()));
                ui.label(format!("{:.1} ms a {}", 1e3 / rate, room.unit()));
                ui.label(format!("{:.0} images/s", room.batch() as f64 * rate));
                ui.label(format!("{:.0} frames/s", 1.0 / self.frame.max(1e-3)));
            }
        });
        if let Some(advice) = host.gpu.advice() {
            ui.add(egui::Label::new(advice).wrap());
        }
    }

    fn room(&mut self, ui: &mut egui::Ui) {
        if let Some(trouble) = &self.trouble {
            ui.heading(trouble);
            ui.label(if cfg!(target_arch = "wasm32") {
                "Update the browser or the graphics driver, or try another browser."
            } else {
                "Update the graphics driver, or take another adapter: `cargo xtask explore --adapter NAME`."
            });
            return;
        }
        let Some(host) = &self.host else {
            return wait(ui, &self.opening);
        };
        let place = &mut self.places[self.room];
        match place {
            Place::Closed => {}
            Place::Making(making) => wait(ui, making),
            Place::Open(room) => {
                if let Some(maker) = room.show(host, ui) {
                    self.pace.reset();
                    self.next = Some(maker);
                }
            }
            Place::Trouble(trouble) => {
                ui.heading(trouble.as_str());
                if host.gpu.check().is_err() {
                    ui.label("Open the window or the page again; saved weights can be dropped on it.");
                } else if ui.button("make the room anew").clicked() {
                    *place = Place::Closed;
                }
            }
        }
    }
}

/// One font for all text: egui's own four would be a quarter of the page.
fn fonts() -> egui::FontDefinitions {
    let (mut fonts, name) = (egui::FontDefinitions::empty(), "Ubuntu");
    fonts.font_data.insert(name.into(), Arc::new(egui::FontData::from_static(UBUNTU_LIGHT)));
    fonts.families.values_mut().for_each(|family| family.push(name.into()));
    fonts
}

/// Shows what is being made.
fn wait<T: wgpu::WasmNotSend + 'static>(ui: &mut egui::Ui, making: &Making<T>) {
    let (what, share) = making.progress.get();
    ui.add(egui::ProgressBar::new(share).text(what).animate(true));
    ui.label("The driver compiles what the room needs; then the network learns before your eyes.");
}

/// Submits the room's share of a frame, if the device is done with the last one.
fn record(host: &Host, pace: &mut Pace, room: &mut dyn Room, left: u64) -> Result<()> {
    host.gpu.check()?;
    let Some(fit) = pace.steps(room.least())? else { return Ok(()) };
    let steps = fit.min(left);
    host.gpu.submit(|encoder| {
        let before = room.step();
        room.record(host, encoder, steps)?;
        // A room may record fewer steps, as where the visitor has switched its training off.
        pace.recorded(&host.gpu, encoder, room.step() - before);
        Ok(())
    })
}

impl eframe::App for Explorer {
    fn logic(&mut self, context: &egui::Context, _: &mut eframe::Frame) {
        self.advance(context);
    }

    fn ui(&mut self, ui: &mut egui::Ui, _: &mut eframe::Frame) {
        self.show(ui);
        ui.ctx().request_repaint();
    }
}

impl Explorer {
    fn show(&mut self, ui: &mut egui::Ui) {
        egui::Panel::top("tabs").show(ui, |ui| self.tabs(ui));
        egui::Panel::bottom("status").show(ui, |ui| self.status(ui));
        egui::CentralPanel::default().show(ui, |ui| {
            let space = ui.available_size();
            if space.x >= LEAST.x && space.y >= LEAST.y {
                return self.room(ui);
            }
            // A page may be of any size.
            egui::ScrollArea::both().show(ui, |ui| {
                ui.allocate_ui(space.max(LEAST), |ui| self.room(ui));
            });
        });
    }
}
