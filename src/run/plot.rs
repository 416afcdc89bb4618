//! Curves over training steps, drawn as a PNG that is easy to read.
//!
//! The picture is drawn at three times its size and averaged down, which smooths lines and letters. The font
//! is part of the program, so no system font is needed.

use std::path::Path;

use image::RgbImage;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use super::{
    curve::Curve,
    range::{clip, x_range, y_range},
    save,
};
use crate::error::{Error, Result};

const WIDTH: u32 = 960;
const HEIGHT: u32 = 560;
/// The picture is drawn at this many times its final size.
pub(super) const FINE: u32 = 3;
const FONT: &str = "oneiro";
pub(super) const INK: RGBColor = RGBColor(40, 44, 52);
pub(super) const GRID: RGBColor = RGBColor(228, 230, 234);
/// The colours of Okabe and Ito without black. Colour-blind readers can tell them apart.
pub(super) const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];
/// A curve of at most this many points gets a dot for each point.
const FEW: usize = 25;
/// A curve of more points than this is drawn in a pale colour, with its running mean over it.
const MANY: usize = 400;

/// Converts a length in the final picture to a length in the picture that is drawn.
pub(super) const fn px(length: u32) -> u32 {
    length * FINE
}

/// Draws the curves into a PNG.
///
/// The y axis shows most of the points; a few extreme ones, such as the first steps of a loss, are cut off at
/// the frame. A curve of many points is drawn in a pale colour, with its running mean over it.
///
/// # Errors
/// Fails if the file cannot be written.
pub fn plot(path: &Path, title: &str, x_label: &str, y_label: &str, curves: &[Curve]) -> Result<()> {
    let fine = draw(title, x_label, y_label, curves)
        .map_err(|e| Error::at("draw", path, e, "please report this"))?;
    save(path, &image::imageops::thumbnail(&fine, WIDTH, HEIGHT))
}

/// Makes the font known to the drawing.
pub(super) fn register() -> std::result::Result<(), &'static str> {
    register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| "the font cannot be read")
}

/// The font of letters so high in the final picture.
pub(super) fn font(size: u32) -> TextStyle<'static> {
    (FONT, px(size)).into_font().color(&INK)
}

fn draw(
    title: &str,
    x_label: &str,
    y_label: &str,
    curves: &[Curve],
) -> std::result::Result<RgbImage, Box<dyn std::error::Error>> {
    register()?;
    let (x, y) = (x_range(curves), y_range(curves));

    let mut fine = RgbImage::new(px(WIDTH), px(HEIGHT));
    let area = BitMapBackend::with_buffer(&mut fine, (px(WIDTH), px(HEIGHT))).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(px(14))
        .margin_right(px(26))
        .caption(title, font(24))
        .x_label_area_size(px(48))
        .y_label_area_size(px(72))
        .build_cartesian_2d(x.0..x.1, y.0..y.1)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID.stroke_width(FINE))
        .axis_style(INK.mix(0.45).stroke_width(FINE))
        .set_all_tick_mark_size(px(4))
        .x_labels(9)
        .y_labels(8)
        .x_label_formatter(&|v| tick(*v, x.1 - x.0))
        .y_label_formatter(&|v| tick(*v, y.1 - y.0))
        .label_style(font(16))
        .axis_desc_style(font(18))
        .x_desc(x_label)
        .y_desc(y_label)
        .draw()?;

    let coloured = || curves.iter().zip(COLOURS.into_iter().cycle());
    for (curve, colour) in coloured().filter(|(curve, _)| curve.points.len() > MANY) {
        // Each line is drawn alone, because a stroke along points that are closer than a pixel has holes.
        let style = pale(colour).stroke_width(FINE);
        for piece in clip(&curve.points, y.0, y.1) {
            let lines = piece.windows(2).map(|ends| PathElement::new(ends, style));
            chart.draw_series(lines)?;
        }
    }
    for (curve, colour) in coloured() {
        let main = match curve.points.len() {
            n if n > MANY => curve.smoothed(n / 60).thinned(MANY),
            _ => curve.clone(),
        };
        let style = colour.stroke_width(px(2)).filled();
        for (i, piece) in clip(&main.points, y.0, y.1).into_iter().enumerate() {
            let series = chart.draw_series(LineSeries::new(piece, style))?;
            if i == 0 && !curve.label.is_empty() {
                let key = move |(x, y)| {
                    // The key is raised to the middle of the letters.
                    let (right, y) = (x + px(22) as i32, y - px(3) as i32);
                    PathElement::new([(x, y), (right, y)], style)
                };
                series.label(&curve.label).legend(key);
            }
        }
        if curve.points.len() <= FEW {
            let shown = curve.finite().filter(|p| y.0 <= p.1 && p.1 <= y.1);
            chart.draw_series(shown.map(|p| Circle::new(p, px(3), style)))?;
        }
    }
    if curves.iter().any(|c| !c.label.is_empty()) {
        chart
            .configure_series_labels()
            .position(free_corner(curves, (y.0 + y.1) / 2.0))
            .margin(px(10))
            .legend_area_size(px(30))
            .label_font(font(17))
            .background_style(WHITE.mix(0.88))
            .border_style(GRID.stroke_width(FINE))
            .draw()?;
    }
    area.present()?;
    drop(chart);
    drop(area);
    Ok(fine)
}

/// Finds what a plot of these curves shows, without drawing it.
#[cfg(any(test, fuzzing))]
pub(crate) fn ranges(curves: &[Curve]) {
    let (x, y) = (x_range(curves), y_range(curves));
    assert!(x.0 < x.1 && y.0 < y.1, "{x:?}, {y:?}");
    curves.iter().for_each(|curve| drop(clip(&curve.smoothed(3).thinned(MANY).points, y.0, y.1)));
}

fn pale(RGBColor(r, g, b): RGBColor) -> RGBColor {
    let mix = |v: u8| 255 - (255 - v) / 4;
    RGBColor(mix(r), mix(g), mix(b))
}

/// The corner on the right where fewer curves end.
fn free_corner(curves: &[Curve], middle: f64) -> SeriesLabelPosition {
    let ends = curves.iter().filter_map(|c| c.finite().last());
    let (high, low): (Vec<_>, Vec<_>) = ends.partition(|p| p.1 > middle);
    match high.len() > low.len() {
        true => SeriesLabelPosition::LowerRight,
        false => SeriesLabelPosition::UpperRight,
    }
}

/// A number on an axis that covers `span`, as short text without zeros at the end.
pub(super) fn tick(value: f64, span: f64) -> String {
    let size = value.abs();
    let text = match size {
        // Steps of a tenth, added up to zero, end at a tiny number beside it.
        _ if size <= span * 1e-9 => return "0".to_string(),
        _ if !(1e-3..1e6).contains(&size) => format!("{value:.2e}"),
        _ if size >= 100.0 => format!("{value:.1}"),
        _ => format!("{value:.4}"),
    };
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, ""));
    let digits = match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => digits,
    };
    match exponent {
        "" => digits.to_string(),
        _ => format!("{digits}e{exponent}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::scratch::Folder;

    /// Drawing such curves once panicked or had no end.
    #[test]
    fn extreme_curves_are_drawn() {
        let (tiny, near) = (f64::from_bits(1), 1.0 + 2.0 * f64::EPSILON);
        for ys in [[f64::MAX, f64::MIN], [1e308, 1e308], [tiny, 0.0], [tiny, tiny], [1.0, near], [1e99, near]]
        {
            for xs in [[0.0, 1.0], [f64::MIN, f64::MAX], [1.0, near], [tiny, tiny]] {
                let curve = Curve::new("extreme", xs.into_iter().zip(ys).collect());
                assert!(draw("", "", "", std::slice::from_ref(&curve)).is_ok(), "{curve:?}");
            }
        }
    }

    #[test]
    fn a_plot_shows_each_curve_in_its_colour() {
        let dir = Folder::new("plot");
        let path = dir.join("loss.png");
        let line = |k: f64| (0..200).map(|i| (i as f64, k / (1.0 + i as f64))).collect();
        let curves = [Curve::new("train", line(100.0)), Curve::new("test", line(150.0))];
        plot(&path, "Loss", "step", "nats", &curves).unwrap();
        let picture = image::open(&path).unwrap().into_rgb8();
        assert_eq!(picture.dimensions(), (WIDTH, HEIGHT));
        for RGBColor(r, g, b) in &COLOURS[..2] {
            let count = picture.pixels().filter(|p| p.0 == [*r, *g, *b]).count();
            assert!(count > 200, "{count} pixels of {r} {g} {b}");
        }
    }

    #[test]
    fn what_is_out_of_range_stays_inside_the_frame() {
        // One curve falls from far above, but none of its pixels may reach the title.
        let mut points = vec![(0.0, 1e6)];
        points.extend((1..300).map(|i| (i as f64, (i as f64).sin())));
        let picture = draw("", "", "", &[Curve::new("", points)]).unwrap();
        let RGBColor(r, g, b) = COLOURS[0];
        let first = picture.rows().position(|mut row| row.any(|p| p.0 == [r, g, b])).unwrap();
        assert!(first as u32 > 14 * FINE, "row {first}");
    }

    #[test]
    fn curves_of_no_or_one_point_can_be_drawn() {
        draw("t", "x", "y", &[]).unwrap();
        draw("t", "x", "y", &[Curve::new("a", vec![]), Curve::new("b", vec![(1.0, 2.0)])]).unwrap();
        draw("t", "x", "y", &[Curve::new("nan", vec![(0.0, f64::NAN)])]).unwrap();
    }

    #[test]
    fn ticks_are_short() {
        let text = |v| tick(v, 1.0);
        assert_eq!([text(0.0), text(-1.4e-17)], ["0", "0"]);
        assert_eq!(text(20_000.0), "20000");
        assert_eq!(text(0.5), "0.5");
        assert_eq!(text(-12.25), "-12.25");
        assert_eq!(text(2e6), "2e6");
        assert_eq!(text(0.00015), "1.5e-4");
    }
}
