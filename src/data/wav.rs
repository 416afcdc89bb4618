//! One WAV file: what its header says, and its sound as μ-law levels at the rate that is wanted.
//!
//! Whole numbers of 8 to 32 bits and floats of 32 bits are read. Channels are mixed to one, by their mean. A cut file
//! is an error, never a shorter sound. The file is read as a stream: memory is bounded by the levels that it gives, and
//! these by the file's size, whatever its header claims.
//!
//! A program that writes into a pipe does not know the length of the sound when it writes the header. The marks that
//! ffmpeg and SoX write instead of a length mean "all that follows".

use std::io::{Chain, Cursor, ErrorKind, Read};

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

/// The lengths that ffmpeg and SoX write where they do not know the length, in bytes.
const UNKNOWN: [u32; 2] = [u32::MAX, 0x7fff_f000];
/// The longest description of the coding that is read, in bytes; it has 16, 18 or 40.
const FORMAT: u32 = 64;

/// A header that was composed anew, and the rest of the file.
type Mended<R> = Chain<Cursor<Vec<u8>>, R>;

/// A file whose header was read.
pub(super) struct Wav<R> {
    reader: WavReader<Mended<R>>,
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
    pub(super) fn open(mut reader: R, bytes: u64) -> Result<Self, String> {
        let header = header(&mut reader, bytes)?;
        let reader = WavReader::new(Cursor::new(header).chain(reader)).map_err(|e| said(&e))?;
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
            resample(&mut frames, from, rate, total, |x| {
                heard.levels.push(mulaw::level((x * GRID).round() / GRID));
            })?;
        }
        heard.clipped = clipped;
        Ok(heard)
    }
}

/// The header without what does not describe the sound, and with the length of the whole frames that the file of so many
/// bytes holds in place of an unknown length or of one that ends within a frame.
fn header(reader: &mut impl Read, bytes: u64) -> Result<Vec<u8>, String> {
    let (mut header, mut frame) = (vec![0; 12], 1);
    fill(reader, &mut header)?;
    if !recognise(&header) {
        return Err("it is no RIFF file of sound; convert it to WAV".into());
    }
    let mut read = header.len() as u64;
    loop {
        let mut chunk = [0; 8];
        fill(reader, &mut chunk)?;
        let [name, length] = [0, 4].map(|at| [chunk[at], chunk[at + 1], chunk[at + 2], chunk[at + 3]]);
        let length = u32::from_le_bytes(length);
        // Chunks of an odd length are followed by a byte that is not counted.
        let padded = u64::from(length).next_multiple_of(2);
        read += chunk.len() as u64;
        match &name {
            b"data" => {
                let unknown = UNKNOWN.iter().any(|mark| mark / frame == length / frame);
                let there = u32::try_from(bytes.saturating_sub(read)).unwrap_or(u32::MAX);
                let length = if unknown { there } else { length };
                header.extend(name);
                header.extend((length - length % frame).to_le_bytes());
                return Ok(header);
            }
            b"fmt " if (16..=FORMAT).contains(&length) => {
                let mut format = vec![0; length as usize];
                fill(reader, &mut format)?;
                frame = u32::from(u16::from_le_bytes([format[12], format[13]])).max(1);
                if u16::from_le_bytes([format[14], format[15]]) == 64 {
                    return Err("its samples have 64 bits; convert it to floats of 32 bits".into());
                }
                header.extend(chunk);
                header.append(&mut format);
                skip(reader, padded - u64::from(length))?;
            }
            b"fmt " => {
                return Err(format!("the description of its coding has {length} bytes; convert it to PCM"));
            }
            _ => skip(reader, padded)?,
        }
        read += padded;
    }
}

fn fill(reader: &mut impl Read, bytes: &mut [u8]) -> Result<(), String> {
    reader.read_exact(bytes).map_err(|e| said(&hound::Error::IoError(e)))
}

/// Passes over so many bytes.
fn skip(reader: &mut impl Read, bytes: u64) -> Result<(), String> {
    let passed = std::io::copy(&mut reader.take(bytes), &mut std::io::sink()).map_err(|e| e.to_string())?;
    if passed == bytes { Ok(()) } else { Err(said(&hound::Error::IoError(ErrorKind::UnexpectedEof.into()))) }
}

/// A fault of a file, in words.
fn said(error: &hound::Error) -> String {
    match error {
        // The second is hound's own word for the end of a file.
        hound::Error::IoError(e) if matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::Other) => {
            "it is cut short".to_owned()
        }
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

/// Gives `take` so many samples at the rate `to`, the first of which is at the time of the first frame.
///
/// Rubato's output k is the sound at the place (k + 1)·from/to - h of the input, where h is half the window of its
/// filter. So much silence is put before the first frame that an output falls exactly on that frame; the outputs
/// before it are left out. What remains is 1/128 of a sample of the file, the step of rubato's table of filters.
fn resample(
    frames: &mut dyn Iterator<Item = Result<f64, String>>,
    from: u32,
    to: u32,
    total: usize,
    mut take: impl FnMut(f64),
) -> Result<(), String> {
    let parameters = SincInterpolationParameters::default();
    let ratio = f64::from(to) / f64::from(from);
    let mut resampler = Async::<f64>::new_sinc(ratio, 1.0, &parameters, CHUNK, 1, FixedAsync::Input)
        .map_err(|e| e.to_string())?;
    let (half, common) = (parameters.sinc_len / 2, divisor(from, to));
    let whole = half.next_multiple_of((from / common) as usize);
    let mut frames = std::iter::repeat_n(Ok(0.0), whole - half).chain(frames);
    let (mut skipped, mut left) = (whole / (from / common) as usize * (to / common) as usize - 1, total);
    loop {
        let mut chunk = frames.by_ref().take(CHUNK).collect::<Result<Vec<f64>, String>>()?;
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

/// The greatest common divisor.
fn divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { divisor(b, a % b) }
}

#[cfg(test)]
pub(super) mod tests;
