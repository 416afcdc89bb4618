//! A folder of WAV files for each class, in parts as `parts` finds them, cut into signals of one length.
//!
//! Every file is brought to one channel and one rate, coded by the μ-law, and cut from its beginning into signals; the
//! rest that fills no signal is left out. Signals of one file are all of one part, so that none is tested on whose
//! neighbours were learnt. What is left out is told by the data set's notes.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cores::{broken, on_all_cores, told};
use super::error::DataError;
use super::images::{DataSet, Images, MAX_BYTES, Progress, Sound, Unit, some};
use super::parts::{Labelled, Parts};
use super::walk::{Kind, Left, holds};
use super::wav::{Heard, Wav, recognise};

/// The files that are looked for.
const WAVS: Kind = Kind {
    files: "WAV files",
    one: "file",
    endings: &["wav", "wave"],
    magic: 12,
    known: recognise,
    strange: |_, _| false,
};
/// The folders within each other that are searched for a first file.
const DEEP: usize = 8;

/// Whether there are WAV files in the folder or below it.
pub(super) fn is_here(folder: &Path) -> bool {
    holds(folder, &WAVS, DEEP)
}

/// The sound of a WAV file as μ-law levels at a rate in Hz, mixed to one channel.
///
/// # Errors
/// A file that cannot be read or decoded.
pub fn read(path: &Path, rate: u32) -> Result<Vec<u8>, DataError> {
    let wav = open_file(path)?;
    Ok(wav.hear(rate).map_err(|what| broken(path, what))?.levels)
}

fn open_file(path: &Path) -> Result<Wav<BufReader<File>>, DataError> {
    let unreadable = |source| DataError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    Wav::open(BufReader::new(file), bytes).map_err(|what| broken(path, what))
}

/// Reads every file of the folder and cuts it; `progress` hears of each.
///
/// # Errors
/// Folders that are not as described, a file that cannot be decoded, a part without a whole signal, and more sound
/// than [`MAX_BYTES`] levels.
pub fn open(folder: &Path, sound: Sound, progress: &mut dyn FnMut(&Progress)) -> Result<DataSet, DataError> {
    let mut parts = Parts::find(folder, &WAVS)?;
    let paths = parts.paths();
    let (count, taken) = (paths.len(), AtomicU64::new(0));
    let hear = |i: usize| {
        let (path, wav) = (paths[i], open_file(paths[i])?);
        let levels = wav.levels_at(sound.rate);
        if taken.fetch_add(levels, Ordering::Relaxed) + levels > MAX_BYTES {
            let (most, rate) = (MAX_BYTES / u64::from(sound.rate) / 3600, sound.rate);
            let what = format!(
                "more than the {most} hours of sound at {rate} Hz that are read; leave some files out"
            );
            return Err(DataError::Folder { path: folder.to_owned(), what });
        }
        let changed = wav.changes_at(sound.rate);
        Ok((wav.hear(sound.rate).map_err(|what| broken(path, what))?, changed))
    };
    let (mut all, mut lossy) = (vec![], false);
    all.resize_with(count, || None);
    let take = |i: usize, (heard, changed): (Heard, bool)| {
        all[i] = Some(heard);
        lossy |= changed;
    };
    on_all_cores(count, hear, take, &mut told("reading files", Unit::Files, count, progress))?;
    let (mut all, classes) = (all.into_iter().flatten(), parts.class_names.len());
    let mut cut = Cut { sound, left: &mut parts.left, clipped: vec![] };
    let train = cut.signals(&parts.train, &mut all, classes);
    let test = cut.signals(&parts.test, &mut all, classes);
    let clipped = cut.clipped;
    let empty = [(&train, "training"), (&test, "test")].into_iter().find(|(images, _)| images.count == 0);
    if let Some((_, which)) = empty {
        let Sound { length, rate } = sound;
        let what =
            format!("no {which} file holds a signal of {length} samples at {rate} Hz; take a shorter length");
        return Err(DataError::Folder { path: folder.to_owned(), what });
    }
    let mut notes = parts.notes(folder, &WAVS);
    if !clipped.is_empty() {
        notes.push(format!("samples beyond full scale are clipped: {}", some(&clipped)));
    }
    let Parts { name, class_names, .. } = parts;
    Ok(DataSet { lossy, class_names, notes, ..DataSet::new(name, train, test) })
}

/// Sounds that are cut into signals.
struct Cut<'a> {
    sound: Sound,
    /// The files that are too short to fill a signal.
    left: &'a mut Left,
    /// The files with samples beyond full scale.
    clipped: Vec<String>,
}

impl Cut<'_> {
    /// The signals of these files, which are the next of all.
    fn signals(
        &mut self,
        files: &[Labelled],
        all: &mut impl Iterator<Item = Heard>,
        classes: usize,
    ) -> Images {
        let length = self.sound.length as usize;
        let (mut pixels, mut labels) = (vec![], vec![]);
        for ((path, label), heard) in files.iter().zip(all) {
            let count = heard.levels.len() / length;
            if count == 0 {
                self.left.add("files shorter than a signal", path);
            } else if count * length < heard.levels.len() {
                self.left.add("ends of files that fill no signal", path);
            }
            if heard.clipped {
                self.clipped.push(path.display().to_string());
            }
            pixels.extend_from_slice(&heard.levels[..count * length]);
            labels.extend(std::iter::repeat_n(*label, count));
        }
        let count = labels.len();
        Images { count, height: 1, width: length, channels: 1, classes, pixels, labels: Some(labels) }
    }
}

#[cfg(test)]
mod tests;
