//! Small folders of WAV files, and the ways in which a folder can be wrong.

use super::*;
use crate::data::images::Asked;
use crate::data::wav::tests::{FLOAT, INT, file};
use crate::data::{mulaw, open as find};
use crate::disk::scratch::Folder;

const SOUND: Sound = Sound { rate: 8000, length: 100 };

fn asked(sound: Sound) -> Asked {
    Asked { sound: Some(sound), ..Asked::default() }
}

fn load(dir: &Path, sound: Sound) -> Result<DataSet, DataError> {
    find(dir.to_str().unwrap(), &asked(sound), &mut |_| ())?.read(&mut |_| ())
}

fn fails(dir: &Path, what: &[&str]) {
    let text = load(dir, SOUND).unwrap_err().to_string();
    assert!(what.iter().all(|w| text.contains(w)) && text.lines().count() == 1, "{text}");
}

/// A file of so many samples, all of this amplitude.
fn flat(samples: usize, amplitude: f64) -> Vec<u8> {
    file(8000, 16, 1, INT, &vec![amplitude; samples])
}

#[test]
fn files_are_cut_into_signals_with_their_labels() {
    let dir = Folder::new("sounds-cut");
    dir.put("train/low/a.wav", flat(250, 0.1));
    dir.put("train/low/deep/b.WAV", flat(100, 0.2));
    dir.put("train/high/nameless", flat(300, 0.3));
    dir.put("train/high/short.wav", flat(99, 0.4));
    dir.put("train/high/notes.txt", "no sound");
    dir.put("test/low/c.wav", flat(200, 0.5));
    let mut heard = vec![];
    let mut hear = |p: &Progress| heard.push((p.done, p.total, p.unit));
    let set = find(dir.to_str().unwrap(), &asked(SOUND), &mut hear).unwrap().read(&mut |_| ()).unwrap();
    assert_eq!(heard, [1, 2, 3, 4, 5].map(|done| (done, 5, Unit::Files)));
    let (train, levels) = (&set.train, |amplitude| [mulaw::level(amplitude); 100]);
    assert_eq!((train.count, train.height, train.width, train.channels, train.classes), (6, 1, 100, 1, 2));
    assert_eq!(
        train.pixels,
        [0.3, 0.3, 0.3, 0.1, 0.1, 0.2].map(|x| levels((x * 32768_f64).round() / 32768.0)).concat()
    );
    assert_eq!(set.test.pixels, [levels(0.5); 2].concat());
    assert_eq!(train.labels.as_deref(), Some([0, 0, 0, 1, 1, 1].as_slice()));
    assert_eq!((set.test.labels.as_deref(), set.lossy), (Some([1, 1].as_slice()), false));
    assert_eq!(set.class_names, ["high", "low"]);
    let left = "left out: no WAV files of a kind that is read: train/high/notes.txt; files shorter than a signal: \
                train/high/short.wav; ends of files that fill no signal: train/low/a.wav";
    assert_eq!(set.notes, [left, "classes without test files: high"]);
}

#[test]
fn every_tenth_file_is_held_out_whole() {
    let dir = Folder::new("sounds-held");
    for i in 0..20 {
        dir.put(&format!("one/{i:02}.wav"), flat(300, f64::from(i) / 40.0));
    }
    let set = load(&dir, SOUND).unwrap();
    assert_eq!((set.train.count, set.test.count), (54, 6));
    let held: Vec<u8> = [9.0, 19.0].iter().flat_map(|i| [mulaw::level(i / 40.0); 300]).collect();
    let off = |(a, b): (&u8, &u8)| a.abs_diff(*b) <= 1;
    assert!(set.test.pixels.iter().zip(&held).all(off) && set.name.ends_with("every tenth file held out"));
}

#[test]
fn what_was_changed_is_told() {
    let dir = Folder::new("sounds-changed");
    dir.put("train/a/loud.wav", file(8000, 32, 1, FLOAT, &[1.5; 200]));
    dir.put("test/a/1.wav", flat(100, 0.1));
    let set = load(&dir, SOUND).unwrap();
    assert!(!set.lossy && set.notes.len() == 1, "{:?}", set.notes);
    assert!(
        set.notes[0].starts_with("samples beyond full scale are clipped: ")
            && set.notes[0].ends_with("loud.wav")
    );
    let other = load(&dir, Sound { rate: 16_000, ..SOUND }).unwrap();
    assert!(other.lossy && other.train.count == 4);
}

#[test]
fn wrong_folders_and_files_are_named() {
    let dir = Folder::new("sounds-wrong");
    fails(&dir, &["sounds-wrong", "no folder in it holds WAV files", "wav, wave"]);
    dir.put("train/a/1.wav", flat(100, 0.1));
    dir.put("train/a/2.wav", &flat(100, 0.1)[..90]);
    fails(&dir, &["no test files"]);
    dir.put("test/a/1.wav", flat(100, 0.1));
    fails(&dir, &["train/a/2.wav", "cut short", "leave it out"]);
    dir.put("train/a/3.wav", "RIFF");
    fails(&dir, &["train/a/2.wav", "nor can 1 more", "3.wav"]);
    dir.put("train/a/2.wav", flat(20, 0.1));
    dir.put("train/a/3.wav", flat(20, 0.1));
    assert_eq!(load(&dir, SOUND).unwrap().train.count, 1);
    dir.put("test/a/1.wav", flat(99, 0.1));
    fails(&dir, &["no test file holds a signal of 100 samples at 8000 Hz"]);
    for (name, what) in
        [("glyphs", "no data set of sounds"), ("mnist", "\"tones\""), ("no-such", "WAV files")]
    {
        let text = find(name, &asked(SOUND), &mut |_| ()).unwrap_err().to_string();
        assert!(text.contains(name) && text.contains(what), "{text}");
    }
}

#[test]
fn a_folder_of_sounds_is_known_by_its_files() {
    let dir = Folder::new("sounds-known");
    dir.put("train/a/1.wav", flat(4096, 0.1));
    dir.put("test/a/1.wav", flat(4096, 0.1));
    let set = find(dir.to_str().unwrap(), &Asked::default(), &mut |_| ()).unwrap();
    assert_eq!((set.train.about().width, set.train.about().count), (4096, 2));
}
