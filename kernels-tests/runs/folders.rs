//! Whole runs of the example `vae` on a folder of pictures: streamed or not, stopped or not, they are the same bit for bit.

use crate::{
    runs::resume::{Folder, empty, finish, newest, reach, start, train},
    subjects::adapter,
};
use image::{Rgb, RgbImage};
use oneiro::{graph::shape::Type, run::Position};
use std::path::Path;

/// Pictures of each class: 177 to train on, so that of an epoch's batches of 32, 5 whole ones, 17 rows are left over.
const PICTURES: u32 = 65;

/// Three classes of 6x5 pictures, in colours, without a test folder: every tenth is held out.
fn pictures(name: &str) -> Folder {
    let dir = empty(name);
    for (class, blue) in [("cat", 0), ("dog", 100), ("eel", 200)] {
        std::fs::create_dir_all(dir.join("photos").join(class)).unwrap();
        for i in 0..PICTURES {
            let image = RgbImage::from_fn(6, 5, |x, y| {
                Rgb([(40 * x) as u8, (i * 3 + y * 7) as u8, blue + (i ^ x) as u8 % 50])
            });
            image.save(dir.join("photos").join(class).join(format!("{i:03}.png"))).unwrap();
        }
    }
    dir
}

/// Where the run stands and all its variables; the options differ.
fn state(dir: &Path, run: &str) -> (Position, Vec<(String, Type, Vec<u32>)>) {
    let checkpoint = newest(dir, run).unwrap();
    (checkpoint.position, checkpoint.values)
}

fn weights(dir: &Path, run: &str) -> Vec<u8> {
    std::fs::read(dir.join(run).join("weights.safetensors")).unwrap()
}

/// Mean losses by step, as they were logged at the end of epochs.
fn epochs(dir: &Path, run: &str) -> Vec<String> {
    let text = std::fs::read_to_string(dir.join(run).join("metrics.jsonl")).unwrap();
    text.lines().filter(|l| l.contains("test_loss")).map(String::from).collect()
}

#[test]
fn a_streamed_run_is_the_same_as_one_that_fits() {
    if adapter("streaming").is_none() {
        return;
    }
    let dir = pictures("stream");
    let args = |more: &[&'static str]| [&["--data", "photos", "--checkpoint-every", "7"], more].concat();
    // Binarised, so that the draws of every step must be the same too; 39 steps are 7 epochs and a part of one.
    let whole = finish(start(&dir, "whole", &args(&["--steps", "39", "--binarise"])), true);
    assert!(!whole.contains("warning: photos"), "{whole}");
    // A budget of two steps' batches, one of a few, and one above the whole data set.
    for (run, mib) in [("least", "0.001"), ("some", "0.02"), ("more", "1")] {
        finish(start(&dir, run, &args(&["--steps", "39", "--binarise", "--stream", mib])), true);
        assert!(state(&dir, "whole") == state(&dir, run), "--stream {mib} gives another State");
        assert_eq!(weights(&dir, "whole"), weights(&dir, run), "--stream {mib}");
        assert_eq!(epochs(&dir, "whole"), epochs(&dir, run), "--stream {mib}");
    }
    // Stopped in the middle of an epoch and of a chunk, then killed, and each time gone on with in the other way.
    finish(start(&dir, "changing", &args(&["--steps", "9", "--binarise", "--stream", "0.02"])), true);
    let config = std::fs::read_to_string(dir.join("changing/config.toml")).unwrap();
    assert!(config.contains("stream = 0.02"), "{config}");
    let mut child = train(
        &dir,
        &["--resume", "changing", "--steps", "100000", "--checkpoint-every", "1", "--stream", "0.001"],
    );
    reach(&dir, "changing", 14);
    child.kill().unwrap();
    child.wait().unwrap();
    let step = newest(&dir, "changing").unwrap().position.step;
    let until = (step + 5).to_string();
    finish(train(&dir, &["--resume", "changing", "--steps", &until]), true);
    finish(start(&dir, "once", &[args(&["--binarise", "--steps"]).as_slice(), &[&until]].concat()), true);
    assert!(state(&dir, "once").1 == state(&dir, "changing").1, "stopped at 9, killed at {step}");
    assert_eq!(weights(&dir, "once"), weights(&dir, "changing"));
}

#[test]
fn data_sets_that_are_held_stream_too() {
    if adapter("streaming glyphs").is_none() {
        return;
    }
    let dir = empty("stream-glyphs");
    finish(start(&dir, "whole", &["--steps", "30"]), true);
    // Batches of 32 x 784 bytes: chunks of 10 steps.
    finish(start(&dir, "streamed", &["--steps", "30", "--stream", "0.48"]), true);
    assert!(state(&dir, "whole") == state(&dir, "streamed"));
}

#[test]
fn a_streamed_run_that_goes_bad_is_replayed() {
    if adapter("streaming to NaN").is_none() {
        return;
    }
    let dir = pictures("stream-nan");
    let text = finish(
        start(&dir, "run", &["--data", "photos", "--steps", "300", "--lr", "1e20", "--stream", "0.001"]),
        false,
    );
    assert!(text.contains("first bad tensor: launch") && text.contains("commands/vae.rs"), "{text}");
}

#[test]
fn size_and_colours_belong_to_the_run() {
    if adapter("image sizes").is_none() {
        return;
    }
    let dir = pictures("sizes");
    let text = finish(
        start(&dir, "run", &["--data", "photos", "--image-size", "4", "--grey", "--steps", "3"]),
        true,
    );
    assert!(text.contains("warning: photos") && text.contains("compare with no published figures"), "{text}");
    let config = std::fs::read_to_string(dir.join("run/config.toml")).unwrap();
    assert!(
        ["image = [4, 4, 1]", "image_size = 4", "grey = true", "177 + 18"].iter().all(|w| config.contains(w)),
        "{config}"
    );
    let text = finish(train(&dir, &["--resume", "run", "--grey"]), false);
    assert!(text.contains("--grey belongs to the run"), "{text}");
    finish(train(&dir, &["--resume", "run", "--steps", "6"]), true);
    // One pixel of one picture is another.
    let changed = dir.join("photos/dog/007.png");
    let mut image = image::open(&changed).unwrap().into_rgb8();
    image.get_pixel_mut(2, 3).0[1] ^= 1;
    image.save(&changed).unwrap();
    let text = finish(train(&dir, &["--resume", "run", "--steps", "9"]), false);
    assert!(text.contains("not those of the run"), "{text}");
    // Several sizes, a picture that is none, and a batch that is too large for the adapter.
    RgbImage::new(7, 5).save(&changed).unwrap();
    let text = finish(start(&dir, "other", &["--data", "photos", "--steps", "3"]), false);
    assert!(text.contains("007.png") && text.contains("--image-size N"), "{text}");
    std::fs::write(&changed, "none").unwrap();
    let text =
        finish(start(&dir, "other", &["--data", "photos", "--image-size", "4", "--steps", "3"]), false);
    assert!(text.contains("007.png") && text.contains("cannot be decoded"), "{text}");
}
