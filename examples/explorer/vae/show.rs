//! What the visitor sees and may turn.

use super::{Playing, Settings, cloud::EXAMPLES, curves, plane::Span};
use crate::palette;
use eframe::egui::{self, Color32, Rect, Sense, Ui, Vec2, pos2, vec2};

const LATENTS: [usize; 4] = [2, 5, 10, 20];
/// Weights of the KL term that are worth a look, and what they make of the model.
const BETAS: [(f32, &str, &str); 3] = [
    (0.0, "0", "an autoencoder: only the reconstruction counts"),
    (1.0, "1", "the variational autoencoder: the evidence lower bound"),
    (10.0, "10", "the codes are pressed onto the Gaussian, until they tell little about the picture"),
];
const GAP: f32 = 14.0;
const NOTCH: f32 = 8.0;
/// The seconds after which the point wanders again when nobody points.
const REST: f64 = 12.0;

impl Playing {
    pub(super) fn lay_out(&mut self, ui: &mut Ui) {
        self.controls(ui);
        ui.add_space(4.0);
        self.wander(ui);
        let all = ui.available_rect_before_wrap();
        let below = if self.settings.latent > 2 { 118.0 } else { 70.0 };
        let side = (0.57 * all.width()).min(all.height() - below).max(100.0);
        let left = Rect::from_min_size(all.min, vec2(side, all.height()));
        let right = Rect::from_min_max(pos2(left.right() + GAP, all.top()), all.max);
        ui.scope_builder(egui::UiBuilder::new().max_rect(left), |ui| self.left(ui));
        ui.scope_builder(egui::UiBuilder::new().max_rect(right), |ui| self.right(ui));
    }

    fn controls(&mut self, ui: &mut Ui) {
        ui.horizontal_wrapped(|ui| {
            let beta = &mut self.settings.beta;
            ui.label("weight of the KL term").on_hover_text("β in: reconstruction + β · KL");
            let slider = egui::Slider::new(beta, 0.0..=10.0).logarithmic(true).smallest_positive(0.05);
            ui.add(slider.max_decimals(2).text("β"))
                .on_hover_text("It takes effect at once, while the model learns.");
            for (value, name, hover) in BETAS {
                ui.selectable_value(beta, value, name).on_hover_text(hover);
            }
            ui.separator();
            ui.label("latent size").on_hover_text("How many numbers a code has. The model then learns anew.");
            for latent in LATENTS {
                let chosen = self.settings.latent == latent;
                if ui.selectable_label(chosen, latent.to_string()).clicked() && !chosen {
                    self.wanted = Some(Settings { latent, ..self.settings.clone() });
                }
            }
            ui.separator();
            if ui.button("learn anew").on_hover_text("Begin again with random weights.").clicked() {
                self.wanted = Some(self.settings.clone());
            }
        });
    }

    /// Lets the point go round until somebody points. No ring marks it then, since tests compare the window with the
    /// manifold.
    fn wander(&mut self, ui: &Ui) {
        let now = ui.input(|input| input.time);
        if self.pointed.is_none_or(|pointed| now - pointed > REST) {
            let (slow, fast) = (0.11 * now, 0.47 * now);
            let radius = 0.8 + 0.5 * slow.sin();
            self.ring = false;
            self.at = [(radius * fast.cos()) as f32, (radius * fast.sin()) as f32];
        }
    }

    fn point(&mut self, ui: &Ui, at: [f32; 2]) {
        self.at = at;
        self.pointed = Some(ui.input(|input| input.time));
    }

    /// The manifold, and beneath it what spans it and what to try.
    fn left(&mut self, ui: &mut Ui) {
        let side = ui.available_width();
        let image = self.manifold_canvas.show(ui, side, Sense::click_and_drag());
        if let Some(pos) = image.hover_pos().or_else(|| image.interact_pointer_pos()) {
            let share = (pos - image.rect.min) / image.rect.size();
            self.point(ui, [self.scale.latent(share.x), -self.scale.latent(share.y)]);
            self.ring = false;
        }
        let place = |[u, v]: [f32; 2]| {
            image.rect.min + vec2(self.scale.share(u), 1.0 - self.scale.share(v)) * image.rect.size()
        };
        let painter = ui.painter_at(image.rect);
        if self.over {
            for (point, colour) in self.cloud.points(&self.plane) {
                painter.circle(place(point), 3.5, colour, (1.0, Color32::from_black_alpha(160)));
            }
        }
        let at = place(self.at);
        if self.ring {
            painter.circle_stroke(at, 9.0, (3.0, Color32::BLACK));
            painter.circle_stroke(at, 9.0, (1.5, Color32::WHITE));
        }
        notches(ui.painter(), image.rect, at);
        ui.add_space(NOTCH);
        ui.horizontal(|ui| {
            ui.strong("what the decoder dreams over the plane of codes").on_hover_text(
                "Each small picture is decoded from the code at its place. Equal parts of the square hold equal parts \
                 of the Gaussian prior.",
            );
            ui.checkbox(&mut self.over, "with the cloud").on_hover_text(
                "Draws the codes of the test pictures over the manifold; what lies beyond it is at its border.",
            );
        });
        if self.settings.latent > 2 {
            self.spans(ui);
        }
        ui.label(self.hint());
    }

    /// The choice of the plane, where there are more axes than two.
    fn spans(&mut self, ui: &mut Ui) {
        ui.horizontal(|ui| {
            let (width, height) = ((ui.available_width() * 0.45).max(120.0), 40.0);
            if let Some(axis) = self.bars(ui, vec2(width, height)) {
                let [first, second] = self.plane.axes.unwrap_or([axis, axis]);
                let other = if second == axis || first == second {
                    (axis + 1) % self.settings.latent
                } else {
                    second
                };
                self.look(Span::Axes([other, axis]));
            }
            if ui.selectable_label(self.span == Span::Liveliest, "liveliest axes").clicked() {
                self.look(Span::Liveliest);
            }
            let next = if let Span::Random(seed) = self.span { seed + 1 } else { 0 };
            let random = ui.selectable_label(next > 0, "random directions");
            if random.on_hover_text("Another plane through the middle, at each click").clicked() {
                self.look(Span::Random(next));
            }
        });
    }

    /// The KL of each axis as a bar. Returns the axis that was clicked.
    fn bars(&self, ui: &mut Ui, size: Vec2) -> Option<usize> {
        let (rect, response) = ui.allocate_exact_size(size, Sense::click());
        let kl = &self.cloud.kl;
        let (wide, most) = (rect.width() / kl.len() as f32, kl.iter().copied().fold(0.5, f32::max));
        let under =
            response.hover_pos().map(|pos| ((pos.x - rect.left()) / wide) as usize).filter(|&i| i < kl.len());
        for (axis, nats) in kl.iter().enumerate() {
            let shown = self.plane.axes.is_some_and(|axes| axes.contains(&axis));
            let colour = match (shown, under == Some(axis)) {
                (true, _) => ui.visuals().selection.bg_fill,
                (_, true) => Color32::LIGHT_GRAY,
                _ => Color32::GRAY,
            };
            let top = rect.bottom() - (nats / most).clamp(0.03, 1.0) * rect.height();
            let left = rect.left() + wide * axis as f32;
            let bar = Rect::from_min_max(pos2(left + 1.0, top), pos2(left + wide - 1.0, rect.bottom()));
            ui.painter().rect_filled(bar, 1.0, colour);
        }
        let clicked = response.clicked();
        response.on_hover_text(match under {
            Some(axis) => format!(
                "axis {}: {:.2} nats of KL. An axis near 0 says nothing about the picture. Click to show it.",
                axis + 1,
                kl[axis]
            ),
            None => "the KL of each axis".into(),
        });
        under.filter(|_| clicked)
    }

    /// What is seen with these settings, and what to try next.
    fn hint(&self) -> &'static str {
        match (self.settings.beta, self.settings.latent) {
            (..0.2, _) => {
                "β near 0 is an autoencoder: nothing holds the codes near the Gaussian, so they fly apart, and the \
                 pictures between them mean little. Try β = 1 again: they come back."
            }
            (3.0.., _) => {
                "A great β presses all codes onto the Gaussian: different pictures share codes, and the dreams blur. \
                 Try β = 0 to let the codes go."
            }
            (_, 2) => {
                "Move the pointer over the square: between two digits lie pictures that nobody drew. Try β = 0 and \
                 β = 10, and a larger latent size."
            }
            _ => {
                "The bars are the KL of each axis; one near zero stays unused. More axes reconstruct better, but one \
                 plane shows less of them. Click bars to turn the plane."
            }
        }
    }

    /// Test pictures above what is made of their codes, each so wide. Returns where the code of the one beneath the
    /// pointer is.
    fn strips(&self, ui: &mut Ui, wide: f32) -> Option<[f32; 2]> {
        ui.spacing_mut().item_spacing.y = 1.0;
        let width = wide * self.examples.len() as f32;
        let mut pointed = None;
        for canvas in [&self.originals, &self.again] {
            let response = canvas.show(ui, width, Sense::hover());
            pointed = pointed.or(response.hover_pos().map(|pos| (pos.x - response.rect.left()) / wide));
        }
        let mean = self.cloud.mean(*self.examples.get(pointed? as usize)?)?;
        Some(self.plane.point(mean))
    }

    /// The picture at the pointer, the cloud, pictures and what becomes of them, and the curves.
    fn right(&mut self, ui: &mut Ui) {
        let (width, height) = (ui.available_width(), ui.available_height());
        let line = ui.text_style_height(&egui::TextStyle::Body) + ui.spacing().item_spacing.y;
        let strips = 2.0 * width / EXAMPLES as f32;
        let rest = height - strips - 5.0 * line;
        let side = (0.66 * width).min(rest - 84.0).max(100.0);
        ui.horizontal_top(|ui| {
            let pointed =
                ui.vertical(|ui| self.cloud.show(ui, side, &self.plane, &self.scale, self.at)).inner;
            if let Some(at) = pointed {
                self.point(ui, at);
                self.ring = true;
            }
            ui.vertical(|ui| {
                let width = ui.available_width().min(side - 3.0 * line);
                self.dream_canvas.show(ui, width, Sense::hover());
                let [u, v] = self.at;
                ui.label(format!("at ({u:.2}, {v:.2})")).on_hover_text(
                    "The pointer's code, in the two directions of the plane; the others are 0.",
                );
                ui.label("Point at the square, the cloud or a test picture.");
            });
        });
        ui.horizontal_wrapped(|ui| {
            ui.strong("codes of test pictures").on_hover_text(
                "The encoder's means. The circles are one and two standard deviations of the prior, and the dashed \
                 square is what the manifold shows.",
            );
            self.cloud.legend(ui);
        });
        ui.strong("test pictures, and what is left of them after their codes").on_hover_text(
            "Encoder, mean of the code, decoder: what the code does not hold is lost. Point at a picture to see where \
             its code lies.",
        );
        if let Some(at) = ui.vertical(|ui| self.strips(ui, width / EXAMPLES as f32)).inner {
            self.point(ui, at);
            self.ring = true;
        }
        ui.horizontal_top(|ui| {
            let size =
                vec2((width - ui.spacing().item_spacing.x) / 2.0, ui.available_height().min(0.3 * height));
            let [reconstruction, kl] = &self.curves;
            let badly = "-log p(x|z) of a picture: how badly the decoder tells it from its code";
            curves::show(ui, ("reconstruction", badly), (reconstruction, palette::class(1)), size);
            let beyond = "of a picture: how much its code tells about it beyond what the prior tells";
            curves::show(ui, ("KL", beyond), (kl, palette::class(9)), size);
        });
    }
}

/// Points at a place of a square from beneath and from the right.
fn notches(painter: &egui::Painter, square: Rect, at: egui::Pos2) {
    let notch = |tip: egui::Pos2, out: Vec2| {
        let (out, along) = (NOTCH * out, 0.5 * NOTCH * out.rot90());
        let corners = vec![tip + 0.1 * out, tip + out + along, tip + out - along];
        painter.add(egui::Shape::convex_polygon(corners, Color32::WHITE, egui::Stroke::NONE));
    };
    notch(pos2(at.x, square.bottom()), Vec2::DOWN);
    notch(pos2(square.right(), at.y), Vec2::RIGHT);
}
