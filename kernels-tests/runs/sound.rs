//! Runs on sounds: a folder of WAV files from training to a beginning that goes on, and what is refused.

use crate::{
    commands::{empty, fails, json, run},
    subjects::adapter,
};
use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use std::{fs, path::Path};

const SMALL: &str = "--features 4 --skip 4 --head 4 --layers 2 --blocks 1 --length 64 --batch 8 --steps 3";

/// Writes a WAV file of 16 bits and two channels: a sine of this period.
fn put(path: &Path, rate: u32, period: f64, frames: usize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let spec =
        WavSpec { channels: 2, sample_rate: rate, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let mut writer = WavWriter::create(path, spec).unwrap();
    for i in 0..frames {
        let sample = (20_000.0 * (std::f64::consts::TAU * i as f64 / period).sin()) as i16;
        (0..2).for_each(|_| writer.write_sample(sample).unwrap());
    }
    writer.finalize().unwrap();
}

fn heard(path: &Path) -> (u32, Vec<i16>) {
    let mut reader = WavReader::open(path).unwrap();
    (reader.spec().sample_rate, reader.samples().map(Result::unwrap).collect())
}

#[test]
fn a_folder_of_sounds_trains_scores_and_goes_on() {
    if adapter("a_folder_of_sounds").is_none() {
        return;
    }
    let dir = empty("sound");
    for (class, period) in [("low", 40.0), ("high", 10.0)] {
        for (part, rate) in [("train", 8000), ("test", 16_000)] {
            put(&dir.join("songs").join(part).join(class).join("a.wav"), rate, period, 1000);
        }
    }
    fs::write(dir.join("songs/train/low/notes.txt"), "no sound").unwrap();
    let train = "--data songs --hidden 4 --steps 1 --batch 1";
    let text = fails(&dir, &format!("autoencoder train {train}"));
    assert!(text.contains("songs: these are sounds; give a data set of pictures"), "{text}");
    let text = run(&dir, &format!("wavenet train --data songs --rate 8000 --conditional {SMALL} --out run"));
    for what in ["left out: no WAV files", "resampling or mixing", "classes of songs: high, low"] {
        assert!(text.contains(what), "{text}");
    }
    let (rate, samples) = heard(&dir.join("run/samples-000003.wav"));
    assert_eq!((rate, samples.len()), (8000, 8 * (64 + 800)));
    run(&dir, "wavenet train --resume run --steps 5");
    let summary = fs::read_to_string(dir.join("run/summary.txt")).unwrap();
    assert!(summary.contains("training signals") && summary.contains("test_bits_per_sample"), "{summary}");
    let text = run(&dir, "wavenet evaluate --run run --json bits.json");
    let bits = json(&dir.join("bits.json"));
    assert!(text.contains("class high: ") && text.contains(" bits per sample (95 %)"), "{text}");
    assert!((4.0..12.0).contains(&bits["bits_per_dim"].as_f64().unwrap()), "{bits}");
    assert!(bits["bits_half_width_95"].as_f64().unwrap() > 0.0, "{bits}");
    // What is given stays as it is, and what follows is drawn: differently for each signal.
    put(&dir.join("start.wav"), 8000, 20.0, 100);
    run(&dir, "wavenet continue --run run --from start.wav --given 0.01 --seconds 0.02 --count 2");
    let [(rate, first), (_, second)] = [1, 2].map(|i| heard(&dir.join(format!("run/continued-{i}.wav"))));
    assert_eq!((rate, first.len(), second.len()), (8000, 160, 160));
    assert!(first[..80] == second[..80] && first[80..] != second[80..]);
    let (_, start) = heard(&dir.join("start.wav"));
    for (i, &sample) in first[..80].iter().enumerate() {
        let (is, was) = (f64::from(sample), f64::from(start[2 * i]));
        assert!((is - was).abs() <= 4.0 + 0.03 * was.abs(), "sample {i}: {is}, {was}");
    }
    // A smaller drawing leaves no files of a larger one, and a class is found in small letters.
    run(&dir, "wavenet sample --run run --seconds 0.01 --count 3 --real");
    run(&dir, "wavenet sample --run run --seconds 0.01 --count 1 --class High");
    assert!(dir.join("run/samples-1.wav").exists() && !dir.join("run/samples-2.wav").exists());
    assert!(dir.join("run/real-3.wav").exists() && dir.join("run/samples-000003.wav").exists());
    run(&dir, "wavenet continue --run run --seconds 0.004 --count 1");
    // Signals may be longer than a picture's side.
    let long = SMALL.replace("--length 64", "--length 1030").replace("--steps 3", "--steps 1");
    put(&dir.join("long/train/one/a.wav"), 16_000, 40.0, 9000);
    put(&dir.join("long/test/one/a.wav"), 16_000, 40.0, 9000);
    run(&dir, &format!("wavenet train --data long {long} --out long-run"));
    run(&dir, "wavenet sample --run long-run --seconds 0.01 --count 1 --real");
    assert_eq!(heard(&dir.join("run/continued-1.wav")).1.len(), 32);
    put(&dir.join("empty.wav"), 8000, 20.0, 0);
    for (command, what) in [
        ("sample --real --count 99", "there are too few test signals of the class"),
        ("sample --image 1,64,1", "--image has no effect here"),
        ("continue --from empty.wav", "it holds no sound; give another file"),
        ("sample --class none", "there are 2 classes: high, low"),
        ("sample --seconds 0", "wants seconds"),
        ("continue --given 1", "test signals have 0.008 s"),
        (
            "continue --from start.wav --given 0.5 --seconds 1",
            "it has 100 samples at 8000 Hz, and 4000 are to be kept",
        ),
        ("continue --from start.wav --given 0.01 --seconds 0.01", "nothing is left to draw"),
        ("continue --from absent.wav", "absent.wav"),
    ] {
        let text = fails(&dir, &format!("wavenet {command} --run run"));
        assert!(text.contains(what), "{text}");
    }
}

#[test]
fn models_of_sounds_refuse_pictures() {
    if adapter("models_of_sounds_refuse_pictures").is_none() {
        return;
    }
    let dir = empty("no-sound");
    fs::create_dir_all(dir.join("photos/a")).unwrap();
    fs::write(dir.join("photos/a/b.png"), "no picture").unwrap();
    for (options, what) in [
        ("--data glyphs", "glyphs: no data set of sounds; give \"tones\""),
        ("--data photos", "holds WAV files"),
        ("--data absent", "absent: no data set of sounds"),
        ("--grey", "--grey has no effect here"),
        ("--rate 100", "wants a whole number from 4000 to 96000"),
    ] {
        let text = fails(&dir, &format!("wavenet train {options} {SMALL} --out run"));
        assert!(text.contains(what), "{text}");
    }
}
