//! The paper on which the visitor paints.

use super::{
    gallery::Kept,
    tones::{self, colour},
};
use crate::room::{PIXELS, SIDE};
use eframe::egui;

/// The pen's radius, in pixels of the picture: strokes are as wide as the digits' own.
const RADIUS: f32 = 1.25;

/// A pixel of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    /// The network draws it.
    Free,
    /// It is black.
    Black,
    /// It is inked.
    Ink,
}

/// The paper, and the pen over it.
pub(super) struct Paper {
    pub(super) cells: [Cell; PIXELS],
    /// The mark that the left button leaves.
    pub(super) pen: Cell,
    /// Whether all rows down to the last painted one are kept, black where nothing is painted.
    pub(super) rows: bool,
    /// Where the pen was in the frame before, in pixels of the picture.
    last: Option<egui::Pos2>,
}

impl Default for Paper {
    fn default() -> Self {
        Self { cells: [Cell::Free; PIXELS], pen: Cell::Ink, rows: true, last: None }
    }
}

impl Paper {
    /// Whether nothing is painted.
    pub(super) fn is_empty(&self) -> bool {
        self.cells.iter().all(|&cell| cell == Cell::Free)
    }

    pub(super) fn clear(&mut self) {
        self.cells = [Cell::Free; PIXELS];
    }

    /// Keeps the upper half of a picture, and nothing else.
    pub(super) fn keep_upper(&mut self, picture: &[f32]) {
        self.clear();
        for (cell, &value) in self.cells.iter_mut().zip(&picture[..PIXELS / 2]) {
            *cell = if value > 0.5 { Cell::Ink } else { Cell::Black };
        }
    }

    /// The number of rows that are kept whole.
    fn kept_rows(&self) -> usize {
        let last = self.cells.iter().rposition(|&cell| cell != Cell::Free).filter(|_| self.rows);
        last.map_or(0, |last| last / SIDE + 1)
    }

    /// The painted pixels and their mask, if there are any.
    pub(super) fn given(&self) -> Option<Kept> {
        let whole = self.kept_rows() * SIDE;
        let kept = |(i, &cell): (usize, &Cell)| f32::from(i < whole || cell != Cell::Free);
        let mask = self.cells.iter().enumerate().map(kept).collect();
        (!self.is_empty()).then(|| (self.picture(), mask))
    }

    /// The painted picture, black where nothing is painted.
    pub(super) fn picture(&self) -> Vec<f32> {
        self.cells.iter().map(|&cell| f32::from(cell == Cell::Ink)).collect()
    }

    /// Paints a stroke from where the pen was to `to`, in pixels of the picture.
    pub(super) fn stroke(&mut self, to: egui::Pos2, cell: Cell) {
        let from = self.last.replace(to).unwrap_or(to);
        let pieces = (from.distance(to) * 4.0).ceil().max(1.0) as usize;
        for piece in 0..=pieces {
            let at = from.lerp(to, piece as f32 / pieces as f32);
            for (i, old) in self.cells.iter_mut().enumerate() {
                let centre = egui::pos2((i % SIDE) as f32 + 0.5, (i / SIDE) as f32 + 0.5);
                if centre.distance(at) < RADIUS {
                    *old = cell;
                }
            }
        }
    }

    /// Shows the paper and lets the visitor paint; true when the pen is lifted after a stroke.
    pub(super) fn show(&mut self, ui: &mut egui::Ui, side: f32) -> bool {
        let (rect, response) = ui.allocate_exact_size(egui::Vec2::splat(side), egui::Sense::click_and_drag());
        let scale = side / SIDE as f32;
        let pressed = response.is_pointer_button_down_on();
        let lifted = !pressed && self.last.is_some();
        if let Some(at) = response.interact_pointer_pos().filter(|_| pressed) {
            let right = ui.input(|input| input.pointer.secondary_down());
            self.stroke(((at - rect.min) / scale).to_pos2(), if right { Cell::Black } else { self.pen });
        } else {
            self.last = None;
        }
        self.draw(&ui.painter_at(rect), rect, scale);
        response.on_hover_cursor(egui::CursorIcon::Crosshair);
        lifted
    }

    fn draw(&self, painter: &egui::Painter, rect: egui::Rect, scale: f32) {
        painter.rect_filled(rect, 0.0, colour(tones::WAITING));
        let whole = self.kept_rows();
        let given = egui::Rect::from_min_size(rect.min, egui::vec2(rect.width(), whole as f32 * scale));
        painter.rect_filled(given, 0.0, colour(tones::GIVEN.paper));
        let place = |i: usize| {
            let corner = rect.min + scale * egui::vec2((i % SIDE) as f32, (i / SIDE) as f32);
            egui::Rect::from_min_size(corner, egui::Vec2::splat(scale))
        };
        for (i, &cell) in self.cells.iter().enumerate() {
            match cell {
                Cell::Ink => painter.rect_filled(place(i), 0.0, colour(tones::GIVEN.ink)),
                Cell::Black => painter.rect_filled(place(i), 0.0, colour(tones::GIVEN.paper)),
                Cell::Free => continue,
            };
        }
        let line = egui::Stroke::new(1.0, egui::Color32::from_white_alpha(6));
        for i in 1..SIDE {
            let at = i as f32 * scale;
            painter.vline(rect.left() + at, rect.y_range(), line);
            painter.hline(rect.x_range(), rect.top() + at, line);
        }
        if self.is_empty() {
            let colour = egui::Color32::from_white_alpha(150);
            for (line, hint) in [(-0.5, "draw the top of a digit here"), (0.5, "and let go")] {
                let at = rect.center() + egui::vec2(0.0, 24.0 * line);
                painter.text(at, egui::Align2::CENTER_CENTER, hint, egui::FontId::proportional(17.0), colour);
            }
        }
    }
}
