//! What the room looks like: settings and the alarm above, samples beside curves and the sum, the walk below.

use super::{
    Playing,
    alarm::{judge, lead},
    curves::{DISCRIMINATOR, GENERATOR},
    networks::Networks,
    picks::{AVERAGED, LETTERS},
    players::{self, GRID, LOSSES, Settings, WALK},
};
use crate::palette::class;
use eframe::egui::{self, RichText, Sense, Stroke, StrokeKind, vec2};
use oneiro::models::gan::Objective;

/// The colours of A, B and C, and of an alarm, in the palette.
const COLORS: [usize; 3] = [2, 6, 8];
const ALARM: usize = 3;

impl Playing {
    /// Shows the room; settings that new players must be made for are returned.
    pub(super) fn view(&mut self, ui: &mut egui::Ui) -> Option<Settings> {
        let before = self.settings.clone();
        let fresh = self.settings(ui);
        self.alarm(ui);
        ui.add_space(4.0);
        let (space, line) = (ui.available_size(), ui.text_style_height(&egui::TextStyle::Body) + 6.0);
        let strip = (space.x / WALK as f32).min(0.18 * space.y);
        let side = (space.y - strip - 2.0 * line - 12.0).min(0.48 * space.x).max(120.0);
        ui.horizontal_top(|ui| {
            ui.vertical(|ui| {
                ui.set_width(side);
                self.grid(ui, side);
            });
            ui.add_space(8.0);
            ui.vertical(|ui| {
                let size = vec2(ui.available_width(), 0.46 * side);
                let probabilities =
                    matches!(self.settings.loss, Objective::Minimax | Objective::NonSaturating);
                self.curves.show(ui, size, probabilities);
                self.sum(ui, 0.54 * side - 3.0 * line);
            });
        });
        ui.label(
            "The walk from A to B on the sphere where noise lives (spherical interpolation): each step is a \
             drawing.",
        );
        self.walk.show(ui, strip * WALK as f32, Sense::hover());
        let now = &self.settings;
        (fresh || !now.fits(&before)).then(|| now.clone())
    }

    /// Shows the switches; returns whether the players are to begin anew.
    fn settings(&mut self, ui: &mut egui::Ui) -> bool {
        let mut fresh = false;
        let now = &mut self.settings;
        ui.horizontal_wrapped(|ui| {
            ui.label("See");
            for (name, settings, hint) in [
                ("a good game", Settings::even(), "digits after about 150 rounds"),
                ("the discriminator win", Settings::lost(), "the original loss, and five \
                 large steps of the discriminator"),
                ("one picture for all noise", Settings::narrow(), "large steps with momentum \
                 overshoot, and the generator gets by with one picture"),
            ] {
                if ui.button(name).on_hover_text(format!("New players: {hint}.")).clicked() {
                    (*now, fresh) = (settings, true);
                }
            }
            ui.separator();
            egui::ComboBox::from_id_salt("loss").selected_text(players::name(now.loss)).width(130.0).show_ui(ui, |ui| {
                LOSSES.iter().for_each(|(loss, name)| {
                    ui.selectable_value(&mut now.loss, *loss, *name);
                });
            });
            ui.checkbox(&mut now.smooth, "smooth D").on_hover_text(
                "Bounds how fast D's score may change from picture to picture: by spectral normalisation, or by a \
                 gradient penalty with the Wasserstein loss. New players.",
            );
            let kinds = Networks::kinds();
            let name = kinds.iter().find(|(kind, _)| kind.alike(&now.networks)).map_or("", |(_, name)| name);
            egui::ComboBox::from_id_salt("networks").selected_text(name).width(160.0).show_ui(ui, |ui| {
                for (kind, name) in kinds {
                    let chosen = kind.alike(&now.networks);
                    if ui.selectable_label(chosen, name).clicked() && !chosen {
                        now.networks = kind;
                    }
                }
            });
        });
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().slider_width = (ui.available_width() / 3.0 - 230.0).clamp(50.0, 110.0);
            ui.label("While they play:");
            ui.add(egui::Slider::new(&mut now.steps, 1..=8).text("steps of D a round"));
            let rate = |lr, text| egui::Slider::new(lr, 1e-5..=2e-2).logarithmic(true).text(text);
            ui.add(rate(&mut now.lr_discriminator, "rate of D")).on_hover_text("The learning rate.");
            ui.add(rate(&mut now.lr, "rate of G")).on_hover_text("The learning rate.");
            ui.checkbox(&mut now.momentum, "momentum").on_hover_text(
                "Each step keeps half of the way of the last ones (Adam's beta 1). The other player has moved \
                 meanwhile.",
            );
        });
        fresh
    }

    /// Shows how the game stands.
    fn alarm(&self, ui: &mut egui::Ui) {
        let signs = self.curves.now();
        let (standing, words) = judge(&self.settings, &signs);
        let fill =
            if standing.is_alarm() { class(ALARM).gamma_multiply(0.35) } else { ui.visuals().faint_bg_color };
        egui::Frame::group(ui.style()).fill(fill).show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.horizontal(|ui| {
                if let Some(lead) = lead(self.settings.loss, &signs) {
                    balance(ui, lead as f32);
                }
                let words = RichText::new(words);
                ui.add(egui::Label::new(if standing.is_alarm() { words.strong() } else { words }).wrap());
            });
        });
    }

    /// Shows the samples; a click picks one.
    pub(super) fn grid(&mut self, ui: &mut egui::Ui, side: f32) {
        let shown = self.samples.show(ui, side, Sense::click());
        let cell = side / GRID as f32;
        let place = |sample: usize| {
            let corner = shown.rect.min + cell * vec2((sample % GRID) as f32, (sample / GRID) as f32);
            egui::Rect::from_min_size(corner, egui::Vec2::splat(cell))
        };
        let under = |at: egui::Pos2| {
            let [x, y] = [at.x - shown.rect.min.x, at.y - shown.rect.min.y]
                .map(|d| ((d / cell).max(0.0) as usize).min(GRID - 1));
            y * GRID + x
        };
        let painter = ui.painter_at(shown.rect);
        for (letter, color) in COLORS.map(class).into_iter().enumerate() {
            for &sample in self.picks.places(letter) {
                let place = place(sample).shrink(1.0);
                painter.rect_stroke(place, 2.0, Stroke::new(2.0, color), StrokeKind::Inside);
                let font = egui::FontId::proportional(13.0);
                painter.text(
                    place.min + vec2(4.0, 1.0),
                    egui::Align2::LEFT_TOP,
                    LETTERS[letter],
                    font,
                    color,
                );
            }
        }
        if let Some(at) = shown.hover_pos() {
            let stroke = Stroke::new(1.5, class(COLORS[self.picks.next]));
            painter.rect_stroke(place(under(at)), 2.0, stroke, StrokeKind::Inside);
        }
        if let Some(at) = shown.interact_pointer_pos().filter(|_| shown.clicked()) {
            self.picks.pick(under(at));
        }
        let signs = self.curves.now();
        ui.horizontal(|ui| {
            ui.label(format!(
                "G's drawings from the same noise; variety {:.0} % of real",
                100.0 * signs.variety
            ));
            if ui.small_button("other noise").clicked() {
                self.picks.redraw();
            }
        });
    }

    /// Shows A - B + C and what it is made of.
    fn sum(&mut self, ui: &mut egui::Ui, height: f32) {
        ui.horizontal_wrapped(|ui| {
            ui.label("Click drawings for");
            for (letter, color) in COLORS.map(class).into_iter().enumerate() {
                let name = RichText::new(LETTERS[letter]).color(color).strong();
                if ui.selectable_label(self.picks.next == letter, name).clicked() {
                    self.picks.next = letter;
                }
            }
            ui.checkbox(&mut self.picks.averaging, format!("{AVERAGED} a letter")).on_hover_text(
                "The mean noise of three drawings says more surely what they have in common (Radford et al. 2015).",
            );
        });
        // Three pictures of 0.6, one of 1, and the signs between them.
        let result = height.min((ui.available_width() - 110.0) / 2.8).max(40.0);
        let side = 0.6 * result;
        let across = egui::Layout::left_to_right(egui::Align::Center);
        ui.allocate_ui_with_layout(vec2(ui.available_width(), result), across, |ui| {
            for (i, term) in self.terms.iter().enumerate() {
                let (sign, width) = [("", side), ("-", side), ("+", side), ("=", result)][i];
                if !sign.is_empty() {
                    ui.label(RichText::new(sign).heading());
                }
                let shown = term.show(ui, width, Sense::hover());
                if let Some(&color) = COLORS.get(i) {
                    let stroke = Stroke::new(2.0, class(color));
                    ui.painter().rect_stroke(shown.rect, 2.0, stroke, StrokeKind::Inside);
                }
                shown.on_hover_text(
                    [
                        "the drawing of A's noise",
                        "of B's",
                        "of C's",
                        "the drawing of A - B + C: a sum of noise is noise again",
                    ][i],
                );
            }
        });
    }
}

/// A balance: the discriminator's side to the left, the generator's to the right.
fn balance(ui: &mut egui::Ui, lead: f32) {
    let (rect, response) = ui.allocate_exact_size(vec2(150.0, 18.0), Sense::hover());
    let painter = ui.painter_at(rect);
    let bar = rect.shrink2(vec2(16.0, 5.0));
    let middle = bar.center().x;
    painter.rect_filled(bar, 3.0, ui.visuals().extreme_bg_color);
    let end = middle - lead * bar.width() / 2.0;
    let color = class(if lead > 0.0 { DISCRIMINATOR } else { GENERATOR });
    painter.rect_filled(
        egui::Rect::from_x_y_ranges(middle.min(end)..=middle.max(end), bar.y_range()),
        3.0,
        color,
    );
    painter.vline(middle, rect.y_range(), Stroke::new(1.0, ui.visuals().text_color()));
    let font = egui::FontId::proportional(13.0);
    painter.text(rect.left_center(), egui::Align2::LEFT_CENTER, "D", font.clone(), class(DISCRIMINATOR));
    painter.text(rect.right_center(), egui::Align2::RIGHT_CENTER, "G", font, class(GENERATOR));
    response
        .on_hover_text("Who is ahead: the discriminator D, which judges, or the generator G, which draws.");
}
