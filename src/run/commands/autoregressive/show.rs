//! What training shows of the model at the end of an epoch: a grid of pictures, or sounds and their spectrograms.

use super::{
    super::task::DRAWS,
    fit::{Density, sound},
};
use crate::{
    data::Sound,
    error::Result,
    run::{Shown, amplitudes, grid, save, save_wav, show_signals},
};
use std::path::Path;

/// The silence between sounds in one file, in parts of a second.
const PAUSE: u32 = 10;

/// The number of pictures or signals that training draws: of a task, four pictures' draws.
pub(super) fn count<M: Density>(model: &M) -> usize {
    match (M::SOUND, model.task()) {
        (Some(_), _) => 8,
        (None, Some(_)) => 4 * DRAWS,
        (None, None) => 16,
    }
}

/// Titles of signals of these classes: a number, and the class of a conditional model.
pub(super) fn titles(model: &impl Density, classes: impl Iterator<Item = String>) -> Vec<String> {
    let title =
        |(i, class)| if model.conditional() { format!("{}: {class}", i + 1) } else { format!("{}", i + 1) };
    classes.enumerate().map(title).collect()
}

/// Writes pictures `[N, H, W, C]` with values in [0, 1] into a PNG; signals of these classes into a PNG, and into a
/// WAV file beside it, one after the other.
pub(super) fn show<M: Density>(
    path: &Path,
    model: &M,
    [h, w, c]: [usize; 3],
    pictures: &[f32],
    classes: impl Iterator<Item = String>,
) -> Result<()> {
    let count = pictures.len() / (h * w * c);
    let Some(Sound { rate, .. }) = sound(model) else {
        return save(path, &grid(pictures, count, h, w, c, (count as f64).sqrt().ceil() as usize));
    };
    let signals = amplitudes(pictures);
    let titled = signals.chunks(w).zip(titles(model, classes));
    let shown: Vec<Shown> = titled.map(|(signal, title)| Shown { title, signal, given: 0 }).collect();
    show_signals(path, rate, &shown)?;
    let pause = vec![0.0; (rate / PAUSE) as usize];
    let joined: Vec<f32> =
        signals.chunks(w).flat_map(|signal| signal.iter().chain(&pause)).copied().collect();
    save_wav(&path.with_extension("wav"), rate, &joined)
}
