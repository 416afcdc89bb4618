//! WAV files of all codings, rates and numbers of channels, and what is wrong with others.

use std::io::Cursor;

use super::*;
use hound::WavWriter;

pub(crate) const INT: SampleFormat = SampleFormat::Int;
pub(crate) const FLOAT: SampleFormat = SampleFormat::Float;

/// A file of these amplitudes, channel after channel.
pub(crate) fn file(
    sample_rate: u32,
    bits_per_sample: u16,
    channels: u16,
    sample_format: SampleFormat,
    samples: &[f64],
) -> Vec<u8> {
    let mut bytes = Cursor::new(vec![]);
    let mut writer =
        WavWriter::new(&mut bytes, WavSpec { channels, sample_rate, bits_per_sample, sample_format })
            .unwrap();
    for &sample in samples {
        let most = (1_u64 << (bits_per_sample - 1)) as f64;
        match sample_format {
            FLOAT => writer.write_sample(sample as f32).unwrap(),
            INT => writer.write_sample((sample * most).round().min(most - 1.0) as i32).unwrap(),
        }
    }
    writer.finalize().unwrap();
    bytes.into_inner()
}

fn open(bytes: &[u8]) -> Result<Wav<&[u8]>, String> {
    Wav::open(bytes, bytes.len() as u64)
}

fn hear(bytes: &[u8], rate: u32) -> Result<Heard, String> {
    open(bytes)?.hear(rate)
}

fn sine(rate: u32, pitch: f64, seconds: f64) -> Vec<f64> {
    let phase = |i: usize| std::f64::consts::TAU * pitch * i as f64 / f64::from(rate);
    (0..(seconds * f64::from(rate)).round() as usize).map(|i| 0.5 * phase(i).sin()).collect()
}

#[test]
fn codings_of_one_sound_agree() {
    let sound = sine(16_000, 300.0, 0.1);
    let wanted: Vec<u8> = sound.iter().map(|&x| mulaw::level(x)).collect();
    for (bits, kind, off) in [(8, INT, 12), (16, INT, 1), (24, INT, 1), (32, INT, 1), (32, FLOAT, 1)] {
        let bytes = file(16_000, bits, 1, kind, &sound);
        let wav = open(&bytes).unwrap();
        assert!(!wav.changes_at(16_000) && wav.changes_at(8_000));
        let heard = wav.hear(16_000).unwrap();
        assert_eq!((heard.levels.len(), heard.clipped), (wanted.len(), false), "{bits} bits");
        // Near silence, the levels of the law are finer than 8 bits.
        for (i, (&level, &wanted)) in heard.levels.iter().zip(&wanted).enumerate() {
            assert!(level.abs_diff(wanted) <= off, "{bits} bits, sample {i}: {level}, {wanted}");
        }
        assert_eq!(heard.levels[0], mulaw::SILENCE);
    }
}

#[test]
fn any_rate_becomes_the_one_that_is_wanted() {
    for from in [4_000, 8_000, 11_025, 16_001, 22_050, 44_100, 48_000, 96_000, 192_000] {
        for to in [8_000, 16_000, 22_050] {
            let heard = hear(&file(from, 24, 1, INT, &sine(from, 440.0, 0.5)), to).unwrap();
            let wanted = sine(to, 440.0, 0.5);
            assert!(heard.levels.len().abs_diff(wanted.len()) <= 1, "{from} to {to}: {}", heard.levels.len());
            // Beside its ends, where silence begins.
            let margin = to as usize / 10;
            for i in margin..wanted.len() - margin {
                let (is, wanted) = (f64::from(mulaw::amplitude(heard.levels[i])), wanted[i]);
                assert!((is - wanted).abs() < 0.015, "{from} to {to}, sample {i}: {is}, {wanted}");
            }
        }
    }
}

/// How much later a sine sounds than it should is its phase, measured by its products with a sine and a cosine.
#[test]
fn resampling_shifts_by_less_than_a_hundredth_of_a_sample() {
    let rates = [(22_050, 8_000), (44_100, 16_000), (48_000, 16_000), (11_025, 16_000), (8_000, 16_000)];
    for (from, to) in rates.into_iter().chain([(16_001, 16_000), (768_000, 4_000), (4_000, 96_000)]) {
        let (pitch, total) = (f64::from(from.min(to)) / 20.0, to as usize / 2);
        let mut heard = vec![];
        resample(&mut sine(from, pitch, 0.5).into_iter().map(Ok), from, to, total, |x| heard.push(x))
            .unwrap();
        assert_eq!(heard.len(), total, "{from} to {to}");
        let turn = std::f64::consts::TAU * pitch / f64::from(to);
        let margin = to as usize / 10;
        let product = |wave: fn(f64) -> f64| -> f64 {
            (margin..total - margin).map(|i| heard[i] * wave(turn * i as f64)).sum()
        };
        let (sine, cosine) = (product(f64::sin), product(f64::cos));
        // In samples of the file; rubato's table of filters, 128 for each sample, is read one entry early.
        let late = -cosine.atan2(sine) / turn * f64::from(from) / f64::from(to);
        assert!(late.abs() < 0.01, "{from} to {to}: {late} samples late");
    }
}

#[test]
fn what_a_lower_rate_cannot_hold_is_not_folded_down() {
    let heard = hear(&file(44_100, 16, 1, INT, &sine(44_100, 10_000.0, 0.5)), 16_000).unwrap();
    let loudest = heard.levels[1000..7000].iter().map(|&l| mulaw::amplitude(l).abs()).fold(0.0, f32::max);
    assert!(loudest < 0.002, "{loudest}");
}

#[test]
fn channels_are_mixed_and_silence_stays_silent() {
    let bytes = file(16_000, 16, 2, INT, &[0.5, -0.1].repeat(100));
    assert!(open(&bytes).unwrap().changes_at(16_000));
    let heard = hear(&bytes, 16_000).unwrap();
    assert_eq!(heard.levels, [mulaw::level(0.2); 100]);
    let mut sound = sine(44_100, 440.0, 0.1);
    sound.extend([0.0; 8820]);
    let heard = hear(&file(44_100, 16, 1, INT, &sound), 16_000).unwrap();
    assert!(heard.levels[2000..].iter().all(|&level| level == mulaw::SILENCE), "{:?}", &heard.levels[2000..]);
}

#[test]
fn floats_beyond_full_scale_are_told_and_others_refused() {
    let heard = hear(&file(16_000, 32, 1, FLOAT, &[0.1, 1.5, -2.0]), 16_000).unwrap();
    assert_eq!((&heard.levels[1..], heard.clipped), ([255, 0].as_slice(), true));
    for (bad, what) in [(f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        for rate in [16_000, 44_100] {
            let error = hear(&file(rate, 32, 1, FLOAT, &[0.1, bad]), 16_000).err().unwrap();
            assert!(error.contains(what), "{error}");
        }
    }
}

/// A header that was written into a pipe, other chunks before the sound, and a length that ends within a frame.
#[test]
fn headers_of_other_programs_are_read() {
    let whole = file(16_000, 16, 2, INT, &[0.1, 0.2].repeat(50));
    let wanted = hear(&whole, 16_000).unwrap().levels;
    assert_eq!((wanted.len(), &whole[36..40]), (50, b"data".as_slice()));
    for mark in [u32::MAX, 0x7fff_f000] {
        let mut piped = whole.clone();
        piped[40..44].copy_from_slice(&mark.to_le_bytes());
        assert_eq!(hear(&piped, 16_000).unwrap().levels, wanted);
        piped.extend([1, 2, 3]);
        assert_eq!(hear(&piped, 16_000).unwrap().levels, wanted);
    }
    let mut odd = whole.clone();
    odd[40..44].copy_from_slice(&201_u32.to_le_bytes());
    odd.extend([7, 0]);
    assert_eq!(hear(&odd, 16_000).unwrap().levels, wanted);
    let mut tagged = whole[..36].to_vec();
    tagged.extend(b"LIST\x03\0\0\0abc\0");
    tagged.extend(&whole[36..]);
    assert_eq!(hear(&tagged, 16_000).unwrap().levels, wanted);
    let mut double = whole.clone();
    double[20..22].copy_from_slice(&3_u16.to_le_bytes());
    double[34..36].copy_from_slice(&64_u16.to_le_bytes());
    assert!(hear(&double, 16_000).err().unwrap().contains("64 bits; convert it to floats of 32"));
}

#[test]
fn every_cut_file_is_an_error() {
    for (bits, channels, kind) in [(8, 1, INT), (16, 2, INT), (24, 1, INT), (32, 1, FLOAT)] {
        let whole = file(44_100, bits, channels, kind, &sine(44_100, 440.0, 0.001)[..40]);
        assert!(hear(&whole, 16_000).is_ok());
        for end in 0..whole.len() {
            let error = hear(&whole[..end], 16_000).err();
            assert!(error.is_some(), "{bits} bits: {end} of {} bytes are read", whole.len());
        }
    }
}

#[test]
fn faults_are_named() {
    let whole = file(16_000, 16, 1, INT, &[0.1; 50]);
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = whole.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        hear(&changed, 16_000).err().unwrap()
    };
    // In an extensible header, the number of bits that count is another field.
    let valid_bits = |bits: u16| {
        let mut changed = file(16_000, 24, 1, INT, &[0.1; 50]);
        assert_eq!(changed[36..40], [22, 0, 24, 0]);
        changed[38..40].copy_from_slice(&bits.to_le_bytes());
        hear(&changed, 16_000).err().unwrap()
    };
    for (fault, what) in [
        (valid_bits(20), "its samples have 20 bits"),
        (valid_bits(u16::MAX), "its samples have 65535 bits"),
        (valid_bits(32), "its coding is not read"),
        (with(0, b"RIFX"), "RIFF"),
        (with(20, &7_u16.to_le_bytes()), "convert it to PCM"),
        (hear(&file(1, 16, 1, INT, &[0.1; 50]), 16_000).err().unwrap(), "its rate is 1 Hz"),
        (with(24, &1_u32.to_le_bytes()), "inconsistent"),
        (with(40, &(u32::MAX - 9).to_le_bytes()), "its header claims"),
        (hear(b"", 16_000).err().unwrap(), "it is cut short"),
        (hear(&whole[..30], 16_000).err().unwrap(), "it is cut short"),
    ] {
        assert!(fault.contains(what), "{fault}, not {what}");
    }
    assert!(hear(&file(44_100, 16, 1, INT, &[]), 16_000).unwrap().levels.is_empty());
}
