//! Whether a window shows digits: the engine's own classifier looks at its pixels.

use super::Failure;
use oneiro::{
    data::{DataSet, glyphs},
    gpu::{Choice, Gpu},
    measure::features::{Extractor, Features},
};
use std::path::Path;

const SIDE: usize = 28;

/// What the classifier finds in pictures.
#[derive(Debug)]
pub(crate) struct Judgement {
    /// The number of classes that occur.
    pub(crate) classes: usize,
    /// The median distance to the nearest of the real digits, in multiples of that of digits held out.
    pub(crate) distance: f64,
}

/// Judges the pictures of 28x28 that lie, `columns` side by side, at a place of a window in a PNG file.
///
/// # Errors
/// A file that is no such window; what the device refuses.
pub(crate) fn digits(
    window: &Path,
    place: &[f32],
    columns: usize,
    scratch: &Path,
) -> Result<Judgement, Failure> {
    let window = image::open(window)?.into_luma8();
    let step = (place[2] - place[0]) / (columns * SIDE) as f32;
    let rows = ((place[3] - place[1]) / step) as usize / SIDE;
    let pixel = |picture: usize, at: usize| {
        let (x, y) = (picture % columns * SIDE + at % SIDE, picture / columns * SIDE + at / SIDE);
        let [x, y] = [place[0] + (x as f32 + 0.5) * step, place[1] + (y as f32 + 0.5) * step];
        f32::from(window.get_pixel(x as u32, y as u32).0[0]) / 255.0
    };
    let count = rows * columns;
    let pictures: Vec<f32> =
        (0..count * SIDE * SIDE).map(|i| pixel(i / (SIDE * SIDE), i % (SIDE * SIDE))).collect();

    let gpu = Gpu::headless_blocking(&Choice::Best)?;
    let set = DataSet::new("glyphs", glyphs::glyphs(6000, 0), glyphs::held_out(500, 0));
    let extractor = Extractor::of_data(&gpu, &set, scratch, &mut |_| Ok(()))?;
    let all = |count| (0..count).collect::<Vec<u32>>();
    let known = extractor.images(&set.train, &all(2000))?;
    let real = nearest(&extractor.images(&set.test, &all(500))?, &known);
    let found = extractor.pictures(&pictures)?;
    let mut classes = found.classes.clone();
    classes.sort_unstable();
    classes.dedup();
    Ok(Judgement { classes: classes.len(), distance: nearest(&found, &known) / real })
}

/// The median distance of features to the nearest of those that are known.
fn nearest(features: &Features, known: &Features) -> f64 {
    let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let width = known.width;
    let least = |a: &[f64]| known.values.chunks(width).map(|b| distance(a, b)).fold(f64::INFINITY, f64::min);
    let mut all: Vec<f64> = features.values.chunks(width).map(least).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2].sqrt()
}
