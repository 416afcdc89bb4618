//! The curves of the two terms over the steps.

use eframe::egui::{self, vec2};
use egui_plot::{AxisHints, GridInput, GridMark, Line, Plot, PlotPoint, PlotPoints};

/// The most points of a curve; then every second one is left out.
const MOST: usize = 600;
/// The share of a new value in the smoothed one: a minibatch is small.
const NEW: f64 = 0.2;

/// One term: its smoothed values.
pub(super) struct Curve {
    name: &'static str,
    colour: egui::Color32,
    points: Vec<PlotPoint>,
    smooth: Option<f64>,
    /// One value in so many is kept.
    stride: u64,
    values: u64,
}

impl Curve {
    pub(super) fn new(name: &'static str, colour: egui::Color32) -> Self {
        Self { name, colour, points: vec![], smooth: None, stride: 1, values: 0 }
    }

    /// Takes the value of a step.
    pub(super) fn push(&mut self, step: u64, value: f64) {
        let smooth = self.smooth.map_or(value, |smooth| smooth + NEW * (value - smooth));
        self.smooth = Some(smooth);
        if self.values.is_multiple_of(self.stride) {
            self.points.push(PlotPoint::new(step as f64, smooth));
        }
        self.values += 1;
        if self.points.len() > MOST {
            self.points = self.points.iter().copied().step_by(2).collect();
            self.stride *= 2;
        }
    }

    /// The smoothed value, if there is one.
    pub(super) fn last(&self) -> Option<f64> {
        self.smooth
    }

    /// Shows the curve with its last value in the caption.
    pub(super) fn show(&self, ui: &mut egui::Ui, size: egui::Vec2, hover: &str) {
        ui.allocate_ui_with_layout(size, egui::Layout::top_down(egui::Align::Min), |ui| {
            let last = self.last().map_or(String::new(), |last| format!(" {last:.1} nats"));
            let caption = egui::RichText::new(format!("{}{last}", self.name)).color(self.colour);
            ui.add(egui::Label::new(caption).truncate()).on_hover_text(hover);
            let height =
                (size.y - ui.spacing().item_spacing.y - ui.text_style_height(&egui::TextStyle::Body))
                    .max(40.0);
            still(Plot::new(self.name), vec2(size.x, height)).include_y(0.0).show(ui, |plot| {
                let points = PlotPoints::Borrowed(&self.points);
                plot.line(Line::new(self.name, points).color(self.colour).width(1.5));
            });
        });
    }
}

/// Every mark has a label: there are few.
const LABELLED: egui::Rangef = egui::Rangef { min: 4.0, max: 8.0 };

/// At most six marks over an axis, at multiples of 1, 2 or 5 times a power of ten.
fn marks(axis: GridInput) -> Vec<GridMark> {
    let (low, high) = axis.bounds;
    let wanted = ((high - low) / 5.0).max(1e-9);
    let power = 10_f64.powf(wanted.log10().floor());
    let step_size = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|&step| step >= wanted);
    let step_size = step_size.unwrap_or(wanted);
    let first = (low / step_size).ceil() as i64;
    let values = (first..).map(|i| i as f64 * step_size).take_while(|&value| value <= high);
    values.map(|value| GridMark { value, step_size }).collect()
}

/// A plot that the pointer does not move, with labels on its axes however small it is.
pub(super) fn still(plot: Plot<'_>, size: egui::Vec2) -> Plot<'_> {
    plot.width(size.x)
        .height(size.y)
        .allow_zoom(false)
        .allow_drag(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .allow_axis_zoom_drag(false)
        .x_grid_spacer(marks)
        .y_grid_spacer(marks)
        .custom_x_axes(vec![AxisHints::new_x().label_spacing(LABELLED)])
        .custom_y_axes(vec![AxisHints::new_y().label_spacing(LABELLED)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_few_and_round() {
        for (bounds, wanted) in [
            ((-0.2, 8.3), &[0.0, 2.0, 4.0, 6.0, 8.0][..]),
            ((0.0, 812.0), &[0.0, 200.0, 400.0, 600.0, 800.0]),
            ((-3.1, 3.1), &[-2.0, 0.0, 2.0]),
        ] {
            let marks = marks(GridInput { bounds, base_step_size: 1.0 });
            assert_eq!(marks.iter().map(|mark| mark.value).collect::<Vec<_>>(), wanted);
        }
    }

    #[test]
    fn a_long_curve_is_thinned_and_keeps_its_ends() {
        let mut curve = Curve::new("", egui::Color32::WHITE);
        (0..10_000).for_each(|step| curve.push(step, 3.0));
        assert!(curve.points.len() <= MOST && curve.points.len() > MOST / 3);
        let steps: Vec<_> = curve.points.iter().map(|point| point.x).collect();
        assert!(steps.is_sorted() && steps[0] == 0.0 && steps[steps.len() - 1] > 9_900.0);
        assert_eq!(curve.last(), Some(3.0));
    }
}
