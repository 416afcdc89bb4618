//! A signal as a picture: its waveform above its spectrogram.
//!
//! The spectrogram is a short-time Fourier transform: pieces of the signal under a Hann window, one for each column
//! of the picture, and the strength of each frequency in decibels below a full sine.

use std::path::Path;

use colorous::MAGMA;
use image::{RgbImage, imageops};
use plotters::{coord::Shift, prelude::*};
use realfft::RealFftPlanner;

use super::{
    picture::save,
    plot::{COLOURS, FINE, GRID, INK, font, px, register, tick},
};
use crate::error::{Error, Result};

/// The size of one signal's picture.
const WIDTH: u32 = 480;
const HEIGHT: u32 = 330;
/// The most pictures beside each other.
const COLUMNS: usize = 4;
/// The height of the waveform, with its title.
const WAVE: u32 = 120;
/// The decibels of the darkest colour; a full sine has 0.
const FLOOR: f32 = -90.0;
/// The windows of a second: each is this part of a second long, to the next power of two.
const WINDOWS: u32 = 40;

/// A signal that is shown.
pub struct Shown<'a> {
    /// The title.
    pub title: String,
    /// The amplitudes, in [-1, 1].
    pub signal: &'a [f32],
    /// The number of samples that were given, at the beginning; the rest was drawn.
    pub given: usize,
}

type Drawn<T> = std::result::Result<T, Box<dyn std::error::Error>>;
type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
type Ranges = (std::ops::Range<i32>, std::ops::Range<i32>);

/// Writes a PNG of signals of `rate` samples a second.
///
/// # Errors
/// Fails if the file cannot be written.
pub fn show(path: &Path, rate: u32, signals: &[Shown<'_>]) -> Result<()> {
    let columns = ((signals.len() as f64).sqrt().ceil() as usize).clamp(1, COLUMNS);
    let rows = signals.len().div_ceil(columns).max(1);
    let mut all = RgbImage::from_pixel(columns as u32 * WIDTH, rows as u32 * HEIGHT, image::Rgb([255; 3]));
    for (i, signal) in signals.iter().enumerate() {
        let one = draw(rate, signal).map_err(|e| Error::at("draw", path, e, "please report this"))?;
        let one = imageops::thumbnail(&one, WIDTH, HEIGHT);
        let (x, y) = (i % columns * WIDTH as usize, i / columns * HEIGHT as usize);
        imageops::replace(&mut all, &one, x as i64, y as i64);
    }
    save(path, &all)
}

/// The strength of each frequency in decibels below a full sine, at `frames` places at even distances:
/// `[frames, window/2 + 1]`, where entry k is of k/window times the rate. Beyond its ends the
/// signal is mirrored, so that no edge is heard.
fn spectrogram(signal: &[f32], window: usize, frames: usize) -> Vec<Vec<f32>> {
    let fft = RealFftPlanner::<f32>::new().plan_fft_forward(window);
    let hann: Vec<f32> = (0..window)
        .map(|i| 0.5 - 0.5 * (std::f32::consts::TAU * (i as f32 + 0.5) / window as f32).cos())
        .collect();
    // A full sine gives half of the window's sum.
    let full = hann.iter().sum::<f32>() / 2.0;
    let (mut input, mut output) = (fft.make_input_vec(), fft.make_output_vec());
    let frame = |i: usize| {
        let middle = (2 * i + 1) * signal.len() / (2 * frames);
        for (j, (x, w)) in input.iter_mut().zip(&hann).enumerate() {
            let at = (middle + j).abs_diff(window / 2);
            let at = if at < signal.len() { Some(at) } else { (2 * signal.len()).checked_sub(at + 2) };
            *x = at.and_then(|at| signal.get(at)).map_or(0.0, |s| s * w);
        }
        // The lengths are the plan's own, so that it cannot fail.
        let done = fft.process(&mut input, &mut output).is_ok();
        output.iter().map(|c| if done { 20.0 * (c.norm() / full).max(1e-9).log10() } else { FLOOR }).collect()
    };
    (0..frames).map(frame).collect()
}

fn draw(rate: u32, shown: &Shown<'_>) -> Drawn<RgbImage> {
    register()?;
    let mut fine = RgbImage::new(px(WIDTH), px(HEIGHT));
    let place = {
        let area = BitMapBackend::with_buffer(&mut fine, (px(WIDTH), px(HEIGHT))).into_drawing_area();
        area.fill(&WHITE)?;
        let (above, below) = area.split_vertically(px(WAVE));
        waveform(&above, rate, shown)?;
        let place = axes(&below, rate, shown.signal.len())?;
        area.present()?;
        place
    };
    paint(&mut fine, rate, shown, place);
    Ok(fine)
}

/// Draws the waveform: for each column of pixels, a line from the least to the greatest amplitude.
fn waveform(area: &Area<'_>, rate: u32, shown: &Shown<'_>) -> Drawn<()> {
    let samples = shown.signal.len().max(1);
    let seconds = |at: usize| at as f64 / f64::from(rate);
    let mut chart = ChartBuilder::on(area)
        .margin_right(px(14))
        .margin_left(px(8))
        .margin_top(px(6))
        .caption(&shown.title, font(17))
        .x_label_area_size(px(6))
        .y_label_area_size(px(62))
        .build_cartesian_2d(0.0..seconds(samples), -1.0..1.0)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID.stroke_width(FINE))
        .axis_style(INK.mix(0.45).stroke_width(FINE))
        .set_all_tick_mark_size(px(3))
        .x_labels(0)
        .y_labels(3)
        .y_label_formatter(&|v| tick(*v, 2.0))
        .label_style(font(13))
        .draw()?;
    let columns = chart.plotting_area().dim_in_pixel().0 as usize;
    let ends = |column: usize| column * samples / columns;
    for column in 0..columns {
        let from = ends(column);
        // The sample before joins the line to that of the last column.
        let part = from.saturating_sub(1)..ends(column + 1).max(from + 1).min(shown.signal.len());
        let part = shown.signal.get(part).unwrap_or_default();
        let bound =
            |f: fn(f32, f32) -> f32, start| f64::from(part.iter().copied().fold(start, f).clamp(-1.0, 1.0));
        if part.is_empty() {
            continue;
        }
        let colour = COLOURS[usize::from(from < shown.given)].stroke_width(1);
        let x = seconds(samples) * column as f64 / columns as f64;
        // The least height is one line of the final picture.
        let (low, high) = (bound(f32::min, 1.0), bound(f32::max, -1.0));
        let line = [(x, low - 0.01), (x, high + 0.01)];
        chart.draw_series([PathElement::new(line, colour)])?;
    }
    Ok(())
}

/// Draws the axes of the spectrogram, and returns where its pixels are.
fn axes(area: &Area<'_>, rate: u32, samples: usize) -> Drawn<Ranges> {
    let (seconds, highest) = (samples.max(1) as f64 / f64::from(rate), f64::from(rate) / 2.0);
    let mut chart = ChartBuilder::on(area)
        .margin_right(px(14))
        .margin_left(px(8))
        .margin_top(px(4))
        .x_label_area_size(px(36))
        .y_label_area_size(px(62))
        .build_cartesian_2d(0.0..seconds, 0.0..highest)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .axis_style(INK.mix(0.45).stroke_width(FINE))
        .set_all_tick_mark_size(px(3))
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&|v| tick(*v, seconds))
        .y_label_formatter(&|v| tick(*v, highest))
        .label_style(font(13))
        .axis_desc_style(font(14))
        .x_desc("seconds")
        .y_desc("Hz")
        .draw()?;
    Ok(chart.plotting_area().get_pixel_range())
}

/// Paints the spectrogram into its place, with a line where what was given ends.
fn paint(fine: &mut RgbImage, rate: u32, shown: &Shown<'_>, (columns, rows): Ranges) {
    let window = (rate / WINDOWS).next_power_of_two() as usize;
    let (wide, high) = (columns.len(), rows.len());
    let end = shown.given * wide / shown.signal.len().max(1);
    for (x, column) in spectrogram(shown.signal, window, wide).iter().enumerate() {
        for y in 0..high {
            let bin = ((high - 1 - y) * column.len() / high).min(column.len() - 1);
            let shade = 1.0 - (column[bin] / FLOOR).clamp(0.0, 1.0);
            let colour = MAGMA.eval_continuous(f64::from(shade));
            let border = shown.given > 0 && x.abs_diff(end) < FINE as usize / 2 + 1;
            let colour = if border { [255; 3] } else { [colour.r, colour.g, colour.b] };
            fine.put_pixel(
                (columns.start as usize + x) as u32,
                (rows.start as usize + y) as u32,
                image::Rgb(colour),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::scratch::Folder;

    fn sine(rate: u32, pitch: f32, samples: usize) -> Vec<f32> {
        (0..samples).map(|i| (std::f32::consts::TAU * pitch * i as f32 / rate as f32).sin()).collect()
    }

    #[test]
    fn a_full_sine_has_0_decibels_at_its_frequency() {
        for (rate, pitch) in [(16_000, 1000.0), (16_000, 437.5), (8000, 3000.0)] {
            let frames = spectrogram(&sine(rate, pitch, 8192), 512, 20);
            assert_eq!((frames.len(), frames[0].len()), (20, 257));
            let bin = (pitch / rate as f32 * 512.0).round() as usize;
            for frame in &frames[1..19] {
                let best = (0..frame.len()).max_by(|&a, &b| frame[a].total_cmp(&frame[b])).unwrap();
                assert_eq!(best, bin, "{pitch} Hz at {rate} Hz");
                assert!(frame[bin].abs() < 0.1, "{} dB", frame[bin]);
                assert!(frame[bin + 8] < -60.0 && frame[bin - 8] < -60.0, "{:?}", &frame[bin - 8..bin + 9]);
            }
        }
        let silent = spectrogram(&[0.0; 100], 64, 3);
        assert!(silent.iter().flatten().all(|&decibels| decibels <= FLOOR));
    }

    #[test]
    fn the_brightest_row_is_the_sines_frequency() {
        let signal = sine(16_000, 2000.0, 16_000);
        let picture = draw(16_000, &Shown { title: "2 kHz".into(), signal: &signal, given: 0 }).unwrap();
        let bright = |y: u32| u32::from(picture.get_pixel(px(WIDTH / 2), y).0[0]);
        let (top, bottom) = (px(WAVE + 4), px(HEIGHT - 36));
        let best = (top + 3..bottom - 3).max_by_key(|&y| bright(y)).unwrap();
        let found = 8000.0 * f64::from(bottom - best) / f64::from(bottom - top);
        assert!((found - 2000.0).abs() < 100.0, "{found} Hz");
    }

    #[test]
    fn signals_of_any_length_are_drawn() {
        let dir = Folder::new("spectrogram");
        let path = dir.join("sounds.png");
        let long = sine(16_000, 300.0, 40_000);
        for signal in [&long[..0], &long[..1], &long[..37], &long, &[f32::NAN, 2.0]] {
            let shown = || Shown { title: "one".into(), signal, given: signal.len() / 3 };
            show(&path, 16_000, &[shown(), shown(), shown()]).unwrap();
            let picture = image::open(&path).unwrap();
            assert_eq!((picture.width(), picture.height()), (2 * WIDTH, 2 * HEIGHT));
        }
    }
}
