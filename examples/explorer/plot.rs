//! Plots that the pointer leaves alone, with few marks on their axes.

use eframe::egui;
use egui_plot::{AxisHints, GridInput, GridMark, Plot};

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

/// A mark's number, with as many decimals as its neighbours differ by.
fn label(mark: GridMark) -> String {
    let decimals = (-mark.step_size.log10()).ceil().max(0.0) as usize;
    format!("{:.decimals$}", mark.value)
}

/// A plot that the pointer does not move, with labels on its axes however small it is.
pub(crate) fn still(plot: Plot<'_>, size: egui::Vec2) -> Plot<'_> {
    plot.width(size.x)
        .height(size.y)
        .allow_zoom(false)
        .allow_drag(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .allow_axis_zoom_drag(false)
        .x_grid_spacer(marks)
        .y_grid_spacer(marks)
        .custom_x_axes(vec![AxisHints::new_x().label_spacing(LABELLED).formatter(|mark, _| label(mark))])
        .custom_y_axes(vec![AxisHints::new_y().label_spacing(LABELLED).formatter(|mark, _| label(mark))])
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
            ((-0.1, 2.0), &[0.0, 0.5, 1.0, 1.5, 2.0]),
        ] {
            let marks = marks(GridInput { bounds, base_step_size: 1.0 });
            assert_eq!(marks.iter().map(|mark| mark.value).collect::<Vec<_>>(), wanted);
            let read = marks.iter().map(|&mark| label(mark).parse().unwrap());
            assert_eq!(read.collect::<Vec<f64>>(), wanted);
        }
    }
}
