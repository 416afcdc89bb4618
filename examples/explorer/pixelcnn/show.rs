//! How the room looks.

use super::{
    NETS, Playing, STROKES,
    gallery::COLUMNS,
    paint::Cell,
    sight,
    surprise::Source,
    tones::{self, colour},
    with,
};
use crate::{
    curve::Curve,
    host::Canvas,
    plot::still,
    room::{Maker, SIDE},
};
use eframe::egui;
use egui_plot::{Line, Plot, PlotPoints, Points};

/// What is left below the large pictures for their captions and buttons.
const BELOW: f32 = 84.0;
/// The least height of the row below them.
const LOWER: f32 = 150.0;

/// A pixel at the pointer, row and column, of one of the drawn pictures or of the one in view.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Place {
    drawn: Option<usize>,
    pixel: [usize; 2],
}

impl Playing {
    pub(super) fn show_all(&mut self, ui: &mut egui::Ui) -> Option<Maker> {
        let made = self.controls(ui);
        ui.separator();
        let (space, gap) = (ui.available_size(), ui.spacing().item_spacing.x);
        let side = ((space.x - 2.0 * gap) / 3.0).min(space.y - BELOW - LOWER - 30.0).max(120.0).floor();
        let mut pointed = None;
        ui.columns_const(|[left, middle, right]| {
            self.paper(left, side);
            self.pictures(middle, side, &mut pointed);
            self.heat(right, side, &mut pointed);
        });
        ui.separator();
        let height = ui.available_height();
        ui.columns_const(|[left, middle, right]| {
            self.hints(left);
            curve(middle, &self.curve);
            self.two_views(right, height, &mut pointed);
        });
        if pointed != self.pointed.as_ref().map(|(place, _)| *place) {
            self.pointed = pointed.map(|place| (place, sight::context(&self.config, place.pixel)));
        }
        made
    }

    /// Shows the controls of the network and of the pace.
    fn controls(&mut self, ui: &mut egui::Ui) -> Option<Maker> {
        let mut made = None;
        ui.horizontal_wrapped(|ui| {
            ui.toggle_value(&mut self.trains, "train")
                .on_hover_text("Switch this off, and the network stays as it is while it draws.");
            egui::ComboBox::from_id_salt("net").selected_text(NETS[self.net].title).show_ui(ui, |ui| {
                for (i, net) in NETS.iter().enumerate() {
                    if ui.selectable_label(i == self.net, net.title).clicked() && i != self.net {
                        made = Some(with(i));
                    }
                }
            });
            ui.separator();
            ui.label("steps a frame");
            ui.add(
                egui::Slider::new(&mut self.speed, 1..=self.gallery.steps)
                    .logarithmic(true)
                    .show_value(false),
            )
            .on_hover_text(
                "Left: one step of the wavefront a frame, slow enough to watch. Right: as many as fit.",
            );
            ui.label(match self.speed {
                1 => "1: watch".to_owned(),
                n if n == self.gallery.steps => "full speed".to_owned(),
                n => n.to_string(),
            });
            if ui.button("draw again").clicked() {
                self.gallery.again();
            }
            ui.checkbox(&mut self.goes_on, "again and again");
            ui.separator();
            self.stage(ui);
        });
        made
    }

    /// How far the learning is, in words.
    fn stage(&self, ui: &mut egui::Ui) {
        if self.experienced {
            ui.label("its weights come from a file");
        } else if self.batches.seen < STROKES {
            let share = self.batches.seen as f32 / STROKES as f32;
            let text = format!("first strokes in {} steps", STROKES - self.batches.seen);
            ui.add(egui::ProgressBar::new(share).desired_width(220.0).text(text));
        } else {
            ui.label("it draws strokes; left to learn, it joins them to digits");
        }
    }

    /// The paper and what one can do with it.
    fn paper(&mut self, ui: &mut egui::Ui, side: f32) {
        ui.strong("Paint: the network completes it");
        if self.paper.show(ui, side) {
            self.complete();
        }
        ui.horizontal_wrapped(|ui| {
            for (pen, name) in [(Cell::Ink, "ink"), (Cell::Black, "black"), (Cell::Free, "rub out")] {
                ui.selectable_value(&mut self.paper.pen, pen, name);
            }
            if ui.button("clear").clicked() {
                self.paper.clear();
                self.complete();
            }
            if ui.button("upper half of a test digit").clicked() {
                self.half = (self.half + 1) % self.digits.len();
                self.paper.keep_upper(&self.digits[self.half]);
                self.complete();
            }
        });
        let kept = ui.checkbox(&mut self.paper.rows, "keep the rows above too").on_hover_text(
            "The paper down to your last stroke stays black where you did not paint. Without it, the network draws \
             there as it likes: it does not see what you painted further down.",
        );
        if kept.changed() {
            self.complete();
        }
    }

    /// The pictures that are drawn.
    fn pictures(&mut self, ui: &mut egui::Ui, side: f32, pointed: &mut Option<Place>) {
        let what = if self.paper.is_empty() { "It draws, pixel by pixel" } else { "Nine ways to go on" };
        ui.strong(what);
        let response = self.gallery.canvas.show(ui, side, egui::Sense::click());
        let (cell, min) = (side / COLUMNS as f32, response.rect.min);
        let place = |i: usize| {
            let corner = min + cell * egui::vec2((i % COLUMNS) as f32, (i / COLUMNS) as f32);
            egui::Rect::from_min_size(corner, egui::Vec2::splat(cell))
        };
        let line = egui::Stroke::new(1.0, egui::Color32::from_gray(90));
        for i in 0..COLUMNS * COLUMNS {
            ui.painter().rect_stroke(place(i), 0.0, line, egui::StrokeKind::Middle);
        }
        if let Source::Drawn(i) = self.source {
            let line = egui::Stroke::new(2.0, colour(tones::FLYING.ink));
            ui.painter().rect_stroke(place(i), 0.0, line, egui::StrokeKind::Inside);
        }
        if let Some(at) = response.hover_pos() {
            let [x, y] = [at.x - min.x, at.y - min.y].map(|at| ((at / cell) as usize).min(COLUMNS - 1));
            let i = y * COLUMNS + x;
            *pointed = pixel(place(i), at).map(|pixel| Place { drawn: Some(i), pixel });
            self.overlay(ui, place(i), |at| at.drawn == Some(i));
            if response.clicked() {
                self.look_at(Source::Drawn(i));
            }
        }
        response.on_hover_text("Click a picture to see its surprise.");
        ui.horizontal_wrapped(|ui| {
            let legend = [
                (tones::FLYING.ink, "being drawn"),
                (tones::WAITING, "not drawn yet"),
                (tones::GIVEN.ink, "given"),
            ];
            for (tone, name) in legend {
                swatch(ui, tone);
                ui.label(name);
            }
        });
        let (done, steps) = (self.gallery.done, self.gallery.steps);
        let by = match self.experienced && !self.trains {
            true => "the file's network".to_owned(),
            false => format!("the network of step {}", self.drawn_by),
        };
        let text = format!("{done} of {steps}, by {by}");
        ui.add(egui::ProgressBar::new(done as f32 / steps as f32).text(text)).on_hover_text(
            "784 pixels in fewer steps: a row follows the one above as soon as all that its pixels see is there. A \
             picture is drawn by the network as it was when it began.",
        );
    }

    /// The heat map.
    fn heat(&mut self, ui: &mut egui::Ui, side: f32, pointed: &mut Option<Place>) {
        ui.strong(format!("Surprise: {:.1} nats in all", self.surprise.total()));
        self.square(ui, 2, side, pointed);
        ui.horizontal(|ui| {
            ui.label("0");
            let (rect, _) = ui.allocate_exact_size(egui::vec2(110.0, 10.0), egui::Sense::hover());
            for i in 0..55 {
                let x = rect.left() + 2.0 * i as f32;
                let piece = egui::Rect::from_min_size(egui::pos2(x, rect.top()), egui::vec2(2.0, 10.0));
                ui.painter().rect_filled(piece, 0.0, tones::heat(i as f32 / 54.0));
            }
            ui.label(format!("{} nats a pixel", tones::MOST_NATS));
        })
        .response
        .on_hover_text(
            "-log p of the pixel, given the pixels before it: 0 is certain, 0.7 is the toss of a coin.",
        );
        ui.horizontal_wrapped(|ui| {
            let digit = if let Source::Digit(i) = self.source { i } else { self.digits.len() - 1 };
            let next = Source::Digit((digit + 1) % self.digits.len());
            let sources = [
                (next, "test digit"),
                (Source::Noise, "noise"),
                (Source::Painting, "painting"),
                (Source::Drawn(0), "drawn"),
            ];
            for (source, name) in sources {
                let same = std::mem::discriminant(&source) == std::mem::discriminant(&self.source);
                if ui.selectable_label(same, name).clicked() {
                    self.look_at(source);
                }
            }
        });
    }

    /// The picture in view, and what the network expected.
    fn two_views(&mut self, ui: &mut egui::Ui, height: f32, pointed: &mut Option<Place>) {
        let side = ((ui.available_width() - ui.spacing().item_spacing.x) / 2.0).min(height - 58.0).max(40.0);
        ui.horizontal(|ui| {
            for (view, name) in [(0, "the picture"), (1, "chance of ink")] {
                ui.vertical(|ui| {
                    ui.set_width(side);
                    ui.label(name);
                    self.square(ui, view, side, pointed);
                });
            }
        });
        ui.label(match &self.pointed {
            Some((at, seen)) if self.in_view(*at) => {
                let [row, column] = at.pixel;
                let nats = self.surprise.nats[row * SIDE + column];
                let count = seen.iter().filter(|&&seen| seen).count();
                format!("{nats:.2} nats; it sees {count} pixels")
            }
            _ => "Point at a pixel: what does it see?".to_owned(),
        });
    }

    /// One of the views of the picture, with what the pixel at the pointer sees.
    fn square(&self, ui: &mut egui::Ui, view: usize, side: f32, pointed: &mut Option<Place>) {
        let canvas: &Canvas = &self.surprise.canvases[view];
        let response = canvas.show(ui, side, egui::Sense::hover());
        if let Some(at) = response.hover_pos() {
            *pointed = pixel(response.rect, at).map(|pixel| Place { drawn: None, pixel });
        }
        self.overlay(ui, response.rect, |at| self.in_view(at));
    }

    /// Whether a pixel is one of the picture in view.
    fn in_view(&self, place: Place) -> bool {
        place.drawn.is_none_or(|i| self.source == Source::Drawn(i))
    }

    /// Tints the pixels that the one at the pointer sees, where that is one of this picture's.
    fn overlay(&self, ui: &egui::Ui, rect: egui::Rect, its: impl Fn(Place) -> bool) {
        let Some((at, seen)) = self.pointed.as_ref().filter(|(at, _)| its(*at)) else { return };
        let [row, column] = at.pixel;
        let (painter, scale) = (ui.painter_at(rect), rect.width() / SIDE as f32);
        let place = |row: usize, columns: std::ops::Range<usize>| {
            let corner = rect.min + scale * egui::vec2(columns.start as f32, row as f32);
            egui::Rect::from_min_size(corner, scale * egui::vec2(columns.len() as f32, 1.0))
        };
        for (row, seen) in seen.chunks(SIDE).enumerate() {
            let mut first = 0;
            for run in seen.chunk_by(|a, b| a == b) {
                if run[0] {
                    painter.rect_filled(place(row, first..first + run.len()), 0.0, tones::SIGHT);
                }
                first += run.len();
            }
        }
        let line = egui::Stroke::new(2.0, egui::Color32::YELLOW);
        painter.rect_stroke(place(row, column..column + 1), 0.0, line, egui::StrokeKind::Middle);
    }

    fn hints(&self, ui: &mut egui::Ui) {
        egui::ScrollArea::vertical().show(ui, |ui| {
            ui.strong("What one sees");
            for hint in [
                "p(picture) is a product over pixels: each is drawn given those above it and to its left, never those \
                 that follow. Point at a pixel to see what it sees.",
                "Slow the steps down and watch the order. Paint the top of a digit, and it is continued in nine ways.",
                "A stroke's beginning is a surprise, its continuation is none. In noise every pixel is one. The sum \
                 of all surprises is what training makes small.",
            ] {
                ui.label(hint);
            }
        });
    }
}

/// A little square of a colour, for legends.
fn swatch(ui: &mut egui::Ui, tone: [f32; 3]) {
    let (rect, _) = ui.allocate_exact_size(egui::Vec2::splat(11.0), egui::Sense::hover());
    ui.painter().rect_filled(rect, 2.0, colour(tone));
}

/// The pixel of a picture that is at a place, row and column.
fn pixel(rect: egui::Rect, at: egui::Pos2) -> Option<[usize; 2]> {
    let share = (at - rect.min) / rect.size();
    let inside = |share: f32| (0.0..1.0).contains(&share).then_some((share * SIDE as f32) as usize);
    Some([inside(share.y)?, inside(share.x)?])
}

/// The loss over the steps.
fn curve(ui: &mut egui::Ui, curve: &Curve) {
    let least = curve.smooth().iter().map(|point| point[1]).fold(f64::INFINITY, f64::min);
    ui.label(match curve.last() {
        Some(loss) => format!("loss: {loss:.1} nats an image"),
        None => "loss".to_owned(),
    });
    let size = egui::vec2(ui.available_width(), (ui.available_height() - 4.0).max(40.0));
    let plot = still(Plot::new("loss"), size);
    plot.show_x(false).show_y(false).show(ui, |plot| {
        let points = |points: &[[f64; 2]]| PlotPoints::from(points.to_vec());
        plot.points(Points::new("batch", points(curve.raw())).radius(1.2).color(colour([0.45, 0.5, 0.6])));
        plot.line(Line::new("smoothed", points(curve.smooth())).width(2.0).color(colour(tones::FLYING.ink)));
        let last = curve.raw().last().map_or(1.0, |point| point[0]);
        let least = if least.is_finite() { least } else { 300.0 };
        plot.set_plot_bounds_y(0.75 * least..=2.0 * least);
        plot.set_plot_bounds_x(0.0..=last.max(50.0));
    });
}
