//! One WAV file: what its header says, and its sound as μ-law levels at the rate that is wanted.
//!
//! Whole numbers of 8 to 32 bits and floats are read. Channels are mixed to one, by their mean. A cut file is an
//! error, never a shorter sound. The file is read as a stream: memory is bounded by the levels that it gives, and
//! these by the file's size, whatever its header claims.

use std::io::Read;

use hound::{SampleFormat, WavReader, WavSpec};
use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Async, FixedAsync, Resampler, SincInterpolationParameters};

use super::mulaw;

/// The rates of files that are read, in Hz.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=768_000;
/// The bits of samples that are read.
const BITS: [u16; 4] = [8, 16, 24, 32];
/// The number of samples that are resampled at a time.
const CHUNK: usize = 1024;
/// Resampled amplitudes are rounded to multiples of 2^-23: what a processor rounds in its own way in the 50th bit
/// must not tell levels apart.
const GRID: f64 = 8_388_608.0;

/// A file whose header was read.
pub(super) struct Wav<R> {
    reader: WavReader<R>,
    spec: WavSpec,
    /// The number of samples of each channel.
    frames: u64,
}

/// The sound of a file.
pub(super) struct Heard {
    /// The μ-law levels.
    pub(super) levels: Vec<u8>,
    /// Whether samples were beyond full scale.
    pub(super) clipped: bool,
}

/// Whether a file that begins with these bytes may be a WAV file.
pub(super) fn recognise(start: &[u8]) -> bool {
    start.starts_with(b"RIFF") && start.get(8..12) == Some(b"WAVE")
}

impl<R: Read> Wav<R> {
    /// Reads the header of a file of so many bytes.
    ///
    /// # Errors
    /// Says in words what is wrong: no WAV file, a coding or a rate that is not read, and a header that claims more
    /// than the file holds.
    pub(super) fn open(reader: R, bytes: u64) -> Result<Self, String> {
        let reader = WavReader::new(reader).map_err(|e| said(&e))?;
        let spec = reader.spec();
        if !RATES.contains(&spec.sample_rate) {
            let (low, high) = (RATES.start(), RATES.end());
            return Err(format!("its rate is {} Hz; {low} to {high} are read", spec.sample_rate));
        }
        if !BITS.contains(&spec.bits_per_sample) {
            return Err(format!("its samples have {} bits; 8, 16, 24 and 32 are read", spec.bits_per_sample));
        }
        let (samples, width) = (u64::from(reader.len()), u64::from(spec.bits_per_sample.div_ceil(8)));
        if samples * width > bytes {
            return Err(format!(
                "it is cut short: its header claims {} bytes of sound, it has {bytes} in all",
                samples * width
            ));
        }
        let frames = samples / u64::from(spec.channels);
        Ok(Self { reader, spec, frames })
    }

    /// The number of levels that the file gives at a rate.
    pub(super) fn levels_at(&self, rate: u32) -> u64 {
        self.frames * u64::from(rate) / u64::from(self.spec.sample_rate)
    }

    /// Whether the levels at a rate are more than a coding of the file's own samples: resampled, or mixed down.
    pub(super) fn changes_at(&self, rate: u32) -> bool {
        self.spec.sample_rate != rate || self.spec.channels > 1
    }

    /// Reads the sound.
    ///
    /// # Errors
    /// Says in words what is wrong: a cut file, or a float that is not finite.
    pub(super) fn hear(mut self, rate: u32) -> Result<Heard, String> {
        let (total, from) = (self.levels_at(rate) as usize, self.spec.sample_rate);
        let mut heard = Heard { levels: Vec::with_capacity(total), clipped: false };
        let spec = self.spec;
        let mut clipped = false;
        let mut frames = mixed(samples(&mut self.reader, spec), spec.channels.into());
        let mut frames = frames.by_ref().inspect(|frame| {
            clipped |= frame.as_ref().is_ok_and(|amplitude| amplitude.abs() > 1.0);
        });
        if from == rate {
            for frame in frames {
                heard.levels.push(mulaw::level(frame?));
            }
        } else {
            let ratio = f64::from(rate) / f64::from(from);
            resample(&mut frames, ratio, total, |x| {
                heard.levels.push(mulaw::level((x * GRID).round() / GRID));
            })?;
        }
        heard.clipped = clipped;
        Ok(heard)
    }
}

/// A fault of a file, in words.
fn said(error: &hound::Error) -> String {
    match error {
        hound::Error::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            "it is cut short".to_owned()
        }
        // hound's own word for the end of a file.
        hound::Error::IoError(e) if e.kind() == std::io::ErrorKind::Other => "it is cut short".to_owned(),
        hound::Error::Unsupported => {
            "its coding is not read; convert it to PCM of 8 to 32 bits, or to 32-bit float".to_owned()
        }
        error => error.to_string(),
    }
}

type Samples<'a> = Box<dyn Iterator<Item = Result<f64, String>> + 'a>;

/// All samples, channel after channel, in [-1, 1] unless floats go beyond.
fn samples<R: Read>(reader: &mut WavReader<R>, spec: WavSpec) -> Samples<'_> {
    match spec.sample_format {
        SampleFormat::Int => {
            let full = (1_u64 << (spec.bits_per_sample - 1)) as f64;
            Box::new(reader.samples::<i32>().map(move |s| Ok(f64::from(s.map_err(|e| said(&e))?) / full)))
        }
        SampleFormat::Float => Box::new(reader.samples::<f32>().map(|s| match s.map_err(|e| said(&e))? {
            s if s.is_finite() => Ok(s.into()),
            s => Err(format!("a sample is {s}")),
        })),
    }
}

/// The means of the channels.
fn mixed(mut samples: Samples<'_>, channels: usize) -> Samples<'_> {
    Box::new(std::iter::from_fn(move || {
        let first = samples.next()?;
        let rest = (1..channels).map_while(|_| samples.next());
        let sum = rest.fold(first, |sum, next| Ok(sum? + next?));
        Some(sum.map(|sum| sum / channels as f64))
    }))
}

/// Gives `take` so many samples at another rate, which is `ratio` times that of the frames.
fn resample(
    frames: &mut dyn Iterator<Item = Result<f64, String>>,
    ratio: f64,
    total: usize,
    mut take: impl FnMut(f64),
) -> Result<(), String> {
    let parameters = SincInterpolationParameters::default();
    let mut resampler = Async::<f64>::new_sinc(ratio, 1.0, &parameters, CHUNK, 1, FixedAsync::Input)
        .map_err(|e| e.to_string())?;
    // The first frame is seen in the middle of the window, less the step that comes before the first output; this
    // is right to half a sample.
    let delay = (parameters.sinc_len / 2) as f64 * ratio - 1.0;
    let (mut skipped, mut left) = (delay.round().max(0.0) as usize, total);
    loop {
        let mut chunk = frames.take(CHUNK).collect::<Result<Vec<f64>, String>>()?;
        if chunk.is_empty() && left == 0 {
            return Ok(());
        }
        // Silence follows the last frame.
        chunk.resize(CHUNK, 0.0);
        let input = SequentialSlice::new(&chunk, 1, CHUNK).map_err(|e| e.to_string())?;
        let output = resampler.process(&input, None).map_err(|e| e.to_string())?.take_data();
        let now = skipped.min(output.len());
        skipped -= now;
        output[now..].iter().take(left).for_each(|&x| take(x));
        left -= (output.len() - now).min(left);
    }
}

#[cfg(test)]
pub(super) mod tests;
