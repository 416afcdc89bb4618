//! The curves of the two terms over the steps.

use crate::{curve::Curve, plot::still};
use eframe::egui::{self, vec2};
use egui_plot::{Line, Plot, PlotPoints};

/// Shows a term's average over the steps in nats, its last value in the caption.
pub(super) fn show(
    ui: &mut egui::Ui,
    (name, hover): (&str, &str),
    of: (&Curve, egui::Color32),
    size: egui::Vec2,
) {
    let (curve, colour) = of;
    ui.allocate_ui_with_layout(size, egui::Layout::top_down(egui::Align::Min), |ui| {
        let last = curve.last().map_or(String::new(), |last| format!(" {last:.1} nats"));
        let caption = egui::RichText::new(format!("{name}{last}")).color(colour);
        ui.add(egui::Label::new(caption).truncate()).on_hover_text(hover);
        let height =
            (size.y - ui.spacing().item_spacing.y - ui.text_style_height(&egui::TextStyle::Body)).max(40.0);
        still(Plot::new(name), vec2(size.x, height)).include_y(0.0).show(ui, |plot| {
            let points = PlotPoints::from(curve.smooth().to_vec());
            plot.line(Line::new(name, points).color(colour).width(1.5));
        });
    });
}
