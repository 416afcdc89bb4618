//! What tests ask of the running application: losses at given steps, and whether the window shows what the engine
//! computed. They look at the window itself, by a screenshot.

use crate::host::{Canvas, Host};
use eframe::egui::{self, mutex::Mutex};
use oneiro::{
    error::{Error, Result},
    gpu::{Executor, Promise},
};
use std::{fmt, sync::Arc};

/// A room's loss and its main pictures, for tests to look at.
pub(crate) struct Subject<'a> {
    /// The executor of training, which has an output `loss`.
    pub(crate) trainer: &'a Executor,
    /// The executor whose output `pictures`, `[N, H, W, 1]`, the canvas shows.
    pub(crate) drawer: &'a Executor,
    pub(crate) canvas: &'a Canvas,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Report {
    /// The adapter's name.
    pub adapter: String,
    /// The loss after each of the steps that were asked for.
    pub losses: Vec<f32>,
    /// The largest difference between a pixel of the window and what the engine computed for it, of 255.
    pub difference: f32,
    /// The window.
    pub window: Arc<egui::ColorImage>,
    /// Where the pictures are in it, in pixels.
    pub place: egui::Rect,
}

impl fmt::Display for Report {
    /// Writes the report in lines: adapter, difference, place, and each loss.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let egui::Rect { min, max } = self.place;
        writeln!(f, "adapter {}", self.adapter)?;
        writeln!(f, "difference {}", self.difference)?;
        writeln!(f, "place {} {} {} {}", min.x, min.y, max.x, max.y)?;
        self.losses.iter().try_for_each(|loss| writeln!(f, "loss {loss}"))
    }
}

/// How far the test is.
pub(crate) struct Probe {
    /// The steps that are still to be looked at, the next one first.
    stops: Vec<u64>,
    losses: Vec<f32>,
    reading: Option<Promise<[Vec<f32>; 1]>>,
    pictures: Option<Vec<f32>>,
    /// The window's pixels, once egui has brought them.
    window: Option<Arc<Mutex<Option<Arc<egui::ColorImage>>>>>,
}

impl Probe {
    /// Begins a test that looks at the loss after each of these steps, in rising order.
    pub(crate) fn new(mut stops: Vec<u64>) -> Self {
        stops.reverse();
        Self { stops, losses: vec![], reading: None, pictures: None, window: None }
    }

    /// How many steps a room that has done so many may do before it is looked at.
    pub(crate) fn left(&self, step: u64) -> u64 {
        self.stops.last().map_or(0, |stop| stop.saturating_sub(step))
    }

    /// Goes on with a room that stands at a stop; the report comes last.
    ///
    /// # Errors
    /// What the device refuses.
    pub(crate) fn look(
        &mut self,
        host: &Host,
        context: &egui::Context,
        subject: &Subject<'_>,
    ) -> Result<Option<Report>> {
        let (gpu, waits) = (&host.gpu, !self.stops.is_empty());
        let (executor, output) = if waits { (subject.trainer, "loss") } else { (subject.drawer, "pictures") };
        if self.pictures.is_none() {
            let reading = self.reading.get_or_insert_with(|| executor.read_async(gpu, [output]));
            if let Some([values]) = reading.ready().transpose()? {
                self.reading = None;
                match self.stops.pop() {
                    Some(_) => self.losses.extend(values),
                    None => self.pictures = Some(values),
                }
            }
            return Ok(None);
        }
        let window = self.window.get_or_insert_with(|| {
            let window = Arc::new(Mutex::new(None));
            let brought = window.clone();
            context.request_screenshot(move |image| *brought.lock() = Some(image));
            window
        });
        let Some(window) = window.lock().take() else { return Ok(None) };
        let place = subject.canvas.place() * context.pixels_per_point();
        let pictures = self.pictures.as_deref().unwrap_or_default();
        let shape = &executor.output_type(output)?.shape;
        let difference = difference(&window, place, pictures, [shape[1], shape[2]], subject.canvas.size())?;
        let (adapter, losses) = (gpu.caps().name.clone(), std::mem::take(&mut self.losses));
        Ok(Some(Report { adapter, losses, difference, window, place }))
    }
}

/// The largest difference, of 255, between the window and pictures `[N, H, W, 1]` that lie in a grid of so many pixels
/// at a place of the window: each of their pixels is looked for at its middle.
fn difference(
    window: &egui::ColorImage,
    place: egui::Rect,
    pictures: &[f32],
    [height, width]: [usize; 2],
    [across, down]: [usize; 2],
) -> Result<f32> {
    let [w, h] = window.size;
    if !egui::Rect::from_min_size(egui::Pos2::ZERO, egui::vec2(w as f32, h as f32)).contains_rect(place) {
        return Err(Error::new(format!("the pictures at {place:?} are not all in the window of {w}x{h}")));
    }
    let mut most = 0.0_f32;
    for (y, x) in (0..down).flat_map(|y| (0..across).map(move |x| (y, x))) {
        let picture = y / height * (across / width) + x / width;
        let Some(value) = pictures.get((picture * height + y % height) * width + x % width) else { continue };
        let at =
            place.lerp_inside(egui::vec2((x as f32 + 0.5) / across as f32, (y as f32 + 0.5) / down as f32));
        let seen = window.pixels[at.y as usize * w + at.x as usize];
        most = most.max((f32::from(seen.r()) - 255.0 * value.clamp(0.0, 1.0)).abs());
    }
    Ok(most)
}
