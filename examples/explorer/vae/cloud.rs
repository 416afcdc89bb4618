//! The encoder's cloud: where the means of the test pictures' codes lie, coloured by class.

use super::plane::{Plane, Scale};
use crate::{host::Host, palette, plot::still, room::PIXELS};
use eframe::egui::{self, Color32};
use egui_plot::{Line, LineStyle, Plot, PlotBounds, PlotPoint, PlotPoints, Points};
use oneiro::{
    data::Images,
    error::Result,
    gpu::{Executor, Promise, wgpu},
};
use std::time::Duration;
use web_time::Instant;

/// The most pictures in the cloud.
pub(super) const MOST: usize = 512;
/// The most pictures that are drawn again.
pub(super) const EXAMPLES: usize = 10;
/// The time between two looks at the encoder: it takes as long as a few training steps on a software driver.
const PERIOD: Duration = Duration::from_millis(400);

/// The means of the codes as they were last read, and what else is known of the pictures.
pub(super) struct Cloud {
    encoder: Executor,
    latent: usize,
    /// The classes of the pictures; empty without labels.
    labels: Vec<u8>,
    classes: Vec<String>,
    /// `[count, latent]`, and the KL of each axis in nats, `[latent]`.
    pub(super) means: Vec<f32>,
    pub(super) kl: Vec<f32>,
    waiting: Option<[Promise<Vec<f32>>; 2]>,
    asked: Option<Instant>,
}

impl Cloud {
    /// Takes an encoder whose pictures are these; they are written.
    pub(super) fn new(
        encoder: Executor,
        latent: usize,
        shown: &[usize],
        test: &Images,
        classes: &[String],
    ) -> Self {
        let labels = test.labels.as_ref().map_or(vec![], |labels| shown.iter().map(|&i| labels[i]).collect());
        let (means, kl) = (vec![], vec![0.0; latent]);
        Self { encoder, latent, labels, classes: classes.to_vec(), means, kl, waiting: None, asked: None }
    }

    /// Takes what has come, and records another look where the last one is old. Returns whether there is news.
    pub(super) fn record(&mut self, host: &Host, encoder: &mut wgpu::CommandEncoder) -> Result<bool> {
        let mut news = false;
        if let Some([means, kl]) = &mut self.waiting {
            // Both were copied in one submission, so that the second has come with the first.
            if let Some(means) = means.ready() {
                self.means = means?;
                if let Some(kl) = kl.ready() {
                    self.kl = kl?;
                }
                (self.waiting, news) = (None, true);
            }
        }
        if self.waiting.is_none() && self.asked.is_none_or(|asked| asked.elapsed() > PERIOD) {
            self.encoder.record(encoder)?;
            let mut read = |name| self.encoder.record_read(&host.gpu, encoder, name);
            self.waiting = Some([read("mu")?, read("kl")?]);
            self.asked = Some(Instant::now());
        }
        Ok(news)
    }

    /// The points of the plane and the colour of each.
    pub(super) fn points<'a>(&'a self, plane: &'a Plane) -> impl Iterator<Item = ([f32; 2], Color32)> + 'a {
        let label = |i: usize| self.labels.get(i).map_or(0, |&label| label.into());
        self.means
            .chunks(self.latent)
            .enumerate()
            .map(move |(i, mean)| (plane.point(mean), palette::class(label(i))))
    }

    /// The mean of the code of a test picture, if it is in the cloud.
    pub(super) fn mean(&self, picture: usize) -> Option<&[f32]> {
        self.means.chunks(self.latent).nth(picture)
    }

    /// The names of the classes in their colours.
    pub(super) fn legend(&self, ui: &mut egui::Ui) {
        if self.labels.is_empty() {
            ui.weak("the pictures have no classes");
            return;
        }
        ui.spacing_mut().item_spacing.x = 7.0;
        for (label, name) in self.classes.iter().enumerate() {
            ui.label(egui::RichText::new(name).strong().color(palette::class(label)));
        }
    }

    /// Shows the cloud in the plane's own units, with the part that the manifold shows and the mark of the pointer.
    /// Returns where the pointer is, if it is here.
    pub(super) fn show(
        &self,
        ui: &mut egui::Ui,
        side: f32,
        plane: &Plane,
        scale: &Scale,
        at: [f32; 2],
    ) -> Option<[f32; 2]> {
        let end = f64::from(scale.latent(1.0));
        let reach = self.points(plane).flat_map(|(point, _)| point.map(f32::abs)).fold(0.0, f32::max);
        let reach = 1.05 * f64::from(reach).max(end + 0.2);
        let plot = still(Plot::new("cloud"), egui::Vec2::splat(side))
            .show_x(false)
            .show_y(false)
            .label_formatter(|_| None)
            .sense(egui::Sense::hover());
        let shown = plot.show(ui, |plot| {
            plot.set_plot_bounds(PlotBounds::from_min_max([-reach; 2], [reach; 2]));
            let square = [[-end, -end], [end, -end], [end, end], [-end, end], [-end, -end]];
            let frame = |points: Vec<[f64; 2]>| {
                Line::new("", points).color(Color32::GRAY).width(1.0).allow_hover(false)
            };
            plot.line(frame(square.to_vec()).style(LineStyle::dashed_dense()));
            for radius in [1.0, 2.0] {
                let turn = |i: usize| radius * f64::to_radians(7.5 * i as f64).sin_cos().0;
                plot.line(frame((0..=48).map(|i| [turn(i + 12), turn(i)]).collect()));
            }
            let mut points: Vec<_> = self.points(plane).collect();
            points.sort_by_key(|(_, colour)| colour.to_array());
            for class in points.chunk_by(|a, b| a.1 == b.1) {
                let series: PlotPoints<'_> = class.iter().map(|(point, _)| point.map(f64::from)).collect();
                plot.points(Points::new("", series).color(class[0].1).radius(2.2).allow_hover(false));
            }
            let [x, y] = at.map(f64::from);
            let mark = Points::new("", vec![[x, y]]).shape(egui_plot::MarkerShape::Cross);
            plot.points(mark.color(Color32::WHITE).radius(7.0).allow_hover(false));
            plot.pointer_coordinate().filter(|_| plot.response().hovered())
        });
        shown.inner.map(|PlotPoint { x, y }| [x as f32, y as f32])
    }
}

/// The numbers of the pictures in the cloud: the first ones.
pub(super) fn shown(test: &Images) -> Vec<usize> {
    (0..test.count.min(MOST)).collect()
}

/// The numbers of the pictures that are drawn again: one of each class where there are classes, and others where these
/// are few.
pub(super) fn examples(test: &Images) -> Vec<usize> {
    let first = |class: usize| test.labels.as_ref()?.iter().position(|&label| usize::from(label) == class);
    let mut found: Vec<_> = (0..test.classes.min(EXAMPLES)).filter_map(first).collect();
    let others: Vec<_> =
        (0..test.count).filter(|i| !found.contains(i)).take(EXAMPLES - found.len()).collect();
    found.extend(others);
    found
}

/// The values of these pictures, from 0 to 1, `[count, PIXELS]`.
pub(super) fn values(images: &Images, shown: &[usize]) -> Vec<f32> {
    let picture = |&i: &usize| &images.pixels[i * PIXELS..(i + 1) * PIXELS];
    shown.iter().flat_map(picture).map(|&pixel| f32::from(pixel) / 255.0).collect()
}
