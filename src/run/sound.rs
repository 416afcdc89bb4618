//! Signals as files that can be heard.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavSpec, WavWriter};

use super::{RunDir, dir::delete};
use crate::{
    data::mulaw,
    disk::write_atomic,
    error::{Error, Result},
};

/// The sounds that the examples draw from a trained model. Each name stands before numbers from 1 on.
const SOUNDS: [&str; 3] = ["samples", "continued", "real"];
/// The most sounds of a name.
pub(super) const MOST_SOUNDS: usize = 100;

impl RunDir {
    /// Deletes all sounds that were drawn from the run.
    pub(super) fn clear_all_sounds(&self) -> Result<()> {
        SOUNDS.iter().try_for_each(|name| self.clear_sounds(name, 1))
    }

    /// Deletes the run's sounds of this name from a number on. A folder without a run keeps what it has: the sounds may
    /// be a user's own.
    ///
    /// # Errors
    /// Fails if a file cannot be deleted.
    pub(super) fn clear_sounds(&self, name: &str, first: usize) -> Result<()> {
        match self.has_run() {
            true => (first..=MOST_SOUNDS).try_for_each(|i| delete(&self.sound(name, i))),
            false => Ok(()),
        }
    }

    /// The path of a sound that was drawn: the number `i`, from 1, of those of this name.
    pub(super) fn sound(&self, name: &str, i: usize) -> PathBuf {
        self.path(&format!("{name}-{i}.wav"))
    }
}

/// The amplitudes of values k/255 of μ-law levels k.
pub fn amplitudes(values: &[f32]) -> Vec<f32> {
    values.iter().map(|value| mulaw::amplitude((value * 255.0).round() as u8)).collect()
}

/// Writes a WAV file of 16 bits and one channel. The file is whole, or it is not written at all.
///
/// # Errors
/// Fails if the file cannot be written.
pub fn save_wav(path: &Path, rate: u32, signal: &[f32]) -> Result<()> {
    let mut bytes = Cursor::new(vec![]);
    let spec =
        WavSpec { channels: 1, sample_rate: rate, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let written = WavWriter::new(&mut bytes, spec).and_then(|mut writer| {
        for &amplitude in signal {
            writer.write_sample((amplitude * f32::from(i16::MAX)).round() as i16)?;
        }
        writer.finalize()
    });
    written.map_err(|e| Error::at("encode", path, e, "please report this"))?;
    write_atomic(path, bytes.get_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::scratch::Folder;

    #[test]
    fn every_level_survives_a_file() {
        let dir = Folder::new("wav");
        let path = dir.join("levels.wav");
        let values: Vec<f32> = (0..=255).map(|level| level as f32 / 255.0).collect();
        save_wav(&path, 16_000, &amplitudes(&values)).unwrap();
        #[cfg(feature = "sound")]
        assert_eq!(crate::data::sounds::read(&path, 16_000).unwrap(), (0..=255).collect::<Vec<u8>>());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 44 + 512);
    }
}
