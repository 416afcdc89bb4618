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
    /// The mark of the stroke that is being painted, and where it came to, in pixels of the picture.
    mark: Cell,
    last: Option<egui::Pos2>,
}

impl Default for Paper {
    fn default() -> Self {
        Self { cells: [Cell::Free; PIXELS], pen: Cell::Ink, rows: true, mark: Cell::Ink, last: None }
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
        let place = |at: egui::Pos2| ((at - rect.min) / scale).to_pos2();
        // What lies over the paper, such as an open list, has its own clicks.
        let free = |at| {
            let on = ui.ctx().layer_id_at(at).is_none_or(|layer| layer == ui.layer_id());
            on && ui.is_enabled() && rect.intersect(ui.clip_rect()).contains(at)
        };
        let mut lifted = false;
        // A quick stroke has many events in one frame, maybe its first and its last.
        for event in ui.input(|input| input.events.clone()) {
            match event {
                egui::Event::PointerButton { pos, button, pressed: true, .. } if free(pos) => {
                    let right = button == egui::PointerButton::Secondary;
                    self.mark = if right { Cell::Black } else { self.pen };
                    self.stroke(place(pos), self.mark);
                }
                egui::Event::PointerMoved(pos) if self.last.is_some() => self.stroke(place(pos), self.mark),
                egui::Event::PointerButton { pressed: false, .. } => lifted |= self.last.take().is_some(),
                _ => {}
            }
        }
        if !ui.input(|input| input.pointer.any_down()) {
            lifted |= self.last.take().is_some();
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

#[cfg(test)]
mod tests {
    use super::*;
    use egui::{Event, PointerButton, Pos2, pos2};

    #[test]
    fn a_stroke_within_a_frame_paints_its_whole_way() {
        let (context, mut paper) = (egui::Context::default(), Paper::default());
        let frame = |paper: &mut Paper, events| {
            let (mut corner, mut lifted) = (Pos2::ZERO, false);
            let _ = context.run_ui(egui::RawInput { events, ..Default::default() }, |ui| {
                corner = ui.cursor().min;
                lifted = paper.show(ui, 280.0);
            });
            (corner, lifted)
        };
        let (corner, _) = frame(&mut paper, vec![]);
        let at = |x: f32, y: f32| corner + 10.0 * egui::vec2(x, y);
        let button = |pos, pressed| {
            let (button, modifiers) = (PointerButton::Primary, egui::Modifiers::NONE);
            Event::PointerButton { pos, button, pressed, modifiers }
        };
        let [from, over, to] = [at(4.5, 4.5), at(14.5, 20.5), at(24.5, 4.5)];
        let moves = [from, over, to].map(Event::PointerMoved);
        let [first, middle, last] = moves;
        let (_, lifted) = frame(&mut paper, vec![first, button(from, true), middle, last, button(to, false)]);
        for seen in [pos2(4.0, 4.0), pos2(9.0, 12.0), pos2(14.0, 20.0), pos2(19.0, 12.0), pos2(24.0, 4.0)] {
            assert_eq!(paper.cells[seen.y as usize * SIDE + seen.x as usize], Cell::Ink, "{seen:?}");
        }
        assert!(lifted && paper.cells[4 * SIDE + 14] == Cell::Free);
    }
}
