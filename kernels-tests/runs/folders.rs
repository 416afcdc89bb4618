//! Whole runs on folders of pictures: streamed or not, stopped or not, they are the same bit for bit, and the
//! program tells what it made of a folder.

use crate::{
    commands::{empty, fails, newest, pictures, run, start, weights},
    subjects::adapter,
};
use image::RgbImage;
use oneiro::{graph::shape::Type, run::Position};
use std::path::Path;

/// A small VAE.
const TRAIN: &str = "vae train --batch 32 --hidden 16 --latent 2 --seed 5";
/// The position of a run and all its variables.
fn state(dir: &Path, run: &str) -> (Position, Vec<(String, Type, Vec<u32>)>) {
    let checkpoint = newest(dir, run).unwrap();
    (checkpoint.position, checkpoint.values)
}

/// The lines of the metrics that were logged at the ends of epochs.
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
    // Binarised, so that the draws of every step must be the same too; 39 steps are 7 epochs and a part of
    // one.
    let train = format!("{TRAIN} --data photos --checkpoint-every 7 --binarise");
    let whole = run(&dir, &format!("{train} --out whole --steps 39"));
    assert!(!whole.contains("warning: photos"), "{whole}");
    // A budget of two steps' batches, one of a few, and one above the whole data set.
    for (out, mib) in [("least", "0.001"), ("some", "0.02"), ("more", "1")] {
        run(&dir, &format!("{train} --out {out} --steps 39 --stream {mib}"));
        assert!(state(&dir, "whole") == state(&dir, out), "--stream {mib} gives another State");
        assert_eq!(weights(&dir, "whole"), weights(&dir, out), "--stream {mib}");
        assert_eq!(epochs(&dir, "whole"), epochs(&dir, out), "--stream {mib}");
    }
    // Stopped in the middle of an epoch and of a chunk, then killed, and each time gone on with in the other
    // way.
    run(&dir, &format!("{train} --out changing --steps 9 --stream 0.02"));
    let config = std::fs::read_to_string(dir.join("changing/config.toml")).unwrap();
    assert!(config.contains("stream = 0.02"), "{config}");
    let mut child =
        start(&dir, "vae train --resume changing --steps 1000000 --checkpoint-every 1 --stream 0.001");
    child.reaches(&dir, "changing", 14);
    child.kill();
    let step = newest(&dir, "changing").unwrap().position.step;
    let until = step + 5;
    run(&dir, &format!("vae train --resume changing --steps {until}"));
    run(&dir, &format!("{train} --out once --steps {until}"));
    assert!(state(&dir, "once").1 == state(&dir, "changing").1, "stopped at 9, killed at {step}");
    assert_eq!(weights(&dir, "once"), weights(&dir, "changing"));
}

#[test]
fn data_sets_that_are_held_stream_too() {
    if adapter("streaming glyphs").is_none() {
        return;
    }
    let dir = empty("stream-glyphs");
    run(&dir, &format!("{TRAIN} --out whole --steps 30"));
    // Batches of 32 x 784 bytes: chunks of 10 steps.
    run(&dir, &format!("{TRAIN} --out streamed --steps 30 --stream 0.48"));
    assert!(state(&dir, "whole") == state(&dir, "streamed"));
}

#[test]
fn a_streamed_run_that_goes_bad_is_replayed() {
    if adapter("streaming to NaN").is_none() {
        return;
    }
    let dir = pictures("stream-nan");
    let text = fails(&dir, &format!("{TRAIN} --out run --data photos --steps 300 --lr 1e20 --stream 0.001"));
    assert!(text.contains("first bad tensor: launch") && text.contains("commands/vae.rs"), "{text}");
}

#[test]
fn size_and_colours_belong_to_the_run() {
    if adapter("image sizes").is_none() {
        return;
    }
    let dir = pictures("sizes");
    let text = run(&dir, &format!("{TRAIN} --out run --data photos --image-size 4 --grey --steps 3"));
    assert!(text.contains("warning: photos") && text.contains("compare with no published figures"), "{text}");
    let config = std::fs::read_to_string(dir.join("run/config.toml")).unwrap();
    let words = ["image = [4, 4, 1]", "image_size = 4", "grey = true", "177 + 18"];
    assert!(words.iter().all(|word| config.contains(word)), "{config}");
    let text = fails(&dir, "vae train --resume run --grey");
    assert!(text.contains("--grey belongs to the run"), "{text}");
    run(&dir, "vae train --resume run --steps 6");
    run(&dir, &format!("{TRAIN} --out plain --data photos --steps 1"));
    // One pixel of one picture is another.
    let changed = dir.join("photos/dog/007.png");
    let mut image = image::open(&changed).unwrap().into_rgb8();
    image.get_pixel_mut(2, 3).0[1] ^= 1;
    image.save(&changed).unwrap();
    let text = fails(&dir, "vae train --resume run --steps 9");
    assert!(text.contains("not those of the run"), "{text}");
    // Several sizes, a picture that is none, and a batch that is too large for the adapter.
    RgbImage::new(7, 5).save(&changed).unwrap();
    let text = fails(&dir, &format!("{TRAIN} --out other --data photos --steps 3"));
    assert!(text.contains("007.png") && text.contains("an image size"), "{text}");
    // No advice that a run which goes on cannot follow.
    let text = fails(&dir, "vae train --resume plain --steps 9");
    let told = text.contains("the run's have 6 x 6; restore those") || text.contains("the run's have 5 x");
    assert!(told && text.contains("007.png: 5 x 7 pixels") && !text.contains("an image size"), "{text}");
    std::fs::write(&changed, "none").unwrap();
    let text = fails(&dir, &format!("{TRAIN} --out other --data photos --image-size 4 --steps 3"));
    assert!(text.contains("007.png") && text.contains("cannot be decoded"), "{text}");
}

#[test]
fn a_finished_run_is_told_where_its_data_went() {
    if adapter("moved data").is_none() {
        return;
    }
    let dir = pictures("moved");
    run(&dir, &format!("{TRAIN} --out run --data photos --steps 1"));
    std::fs::rename(dir.join("photos"), dir.join("elsewhere")).unwrap();
    let text = run(&dir, "vae train --resume run --data elsewhere --steps 1 --lr 0.5");
    assert!(text.contains("nothing to do") && text.contains("data lie in"), "{text}");
    let config = std::fs::read_to_string(dir.join("run/config.toml")).unwrap();
    assert!(config.contains("/elsewhere\"") && !config.contains("0.5"), "{config}");
    run(&dir, "vae evaluate --run run --k 2");
}

#[test]
fn a_broken_picture_is_told_before_a_streamed_run_begins() {
    if adapter("broken pictures").is_none() {
        return;
    }
    let dir = pictures("broken");
    let train = format!("{TRAIN} --out run --data photos --steps 12 --stream 0.001");
    // Their headers are whole.
    let whole = std::fs::read(dir.join("photos/dog/007.png")).unwrap();
    for name in ["photos/dog/007.png", "photos/eel/030.png"] {
        std::fs::write(dir.join(name), &whole[..whole.len() - 20]).unwrap();
    }
    let text = fails(&dir, &train);
    assert!(["dog/007.png: cannot be decoded", "eel/030.png"].iter().all(|w| text.contains(w)), "{text}");
    assert!(!dir.join("run").exists());
    // The advice is to remove them; then the run goes to its end, and on.
    std::fs::remove_file(dir.join("photos/dog/007.png")).unwrap();
    std::fs::remove_file(dir.join("photos/eel/030.png")).unwrap();
    run(&dir, &train);
    let text = run(&dir, "vae train --resume run --steps 15");
    assert!(text.contains("going on at step 12") && !text.contains("checking files"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_picture_that_breaks_is_left_out_and_the_run_goes_on() {
    if adapter("pictures that break").is_none() {
        return;
    }
    let dir = pictures("breaks");
    let train = format!("{TRAIN} --out run --data photos --stream 0.001 --checkpoint-every 1");
    let mut child = start(&dir, &format!("{train} --steps 1000000"));
    child.reaches(&dir, "run", 2);
    let [dog, eel, cat] = ["dog/007", "eel/030", "cat/003"].map(|p| dir.join(format!("photos/{p}.png")));
    let [whole, other, small] = [&dog, &eel, &cat].map(|path| std::fs::read(path).unwrap());
    std::fs::write(&dog, &whole[..whole.len() - 20]).unwrap();
    std::fs::remove_file(&eel).unwrap();
    RgbImage::new(5, 5).save(&cat).unwrap();
    // Two more epochs visit every picture but those that the epochs leave over.
    let step = newest(&dir, "run").unwrap().position.step;
    child.reaches(&dir, "run", step + 25);
    assert!(crate::commands::send("-INT", &child.id().to_string()));
    let text = child.ends_as(Some(130));
    let warned = ["dog/007", "eel/030", "cat/003"].map(|p| format!("{p}.png cannot be read any more"));
    assert!(warned.iter().all(|w| text.matches(w).count() == 1), "{text}");
    let summary = std::fs::read_to_string(dir.join("run/summary.txt")).unwrap();
    assert!(summary.contains("left out   3 training pictures"), "{summary}");
    // It goes on without them, and its measures too.
    let until = newest(&dir, "run").unwrap().position.step + 10;
    let text = run(&dir, &format!("vae train --resume run --steps {until}"));
    assert!(text.contains("3 of the run's 177 training pictures are broken or gone and left out"), "{text}");
    assert_eq!(newest(&dir, "run").unwrap().position.step, until);
    run(&dir, "vae evaluate --run run --k 2");
    // Another picture in the place of one is refused, and so is a test picture that broke.
    std::fs::write(&dog, &other).unwrap();
    let resume = format!("vae train --resume run --steps {}", until + 10);
    let text = fails(&dir, &resume);
    assert!(text.contains("dog/007.png: it is another picture"), "{text}");
    std::fs::write(&dog, &whole).unwrap();
    let test = dir.join("photos/cat/009.png");
    let held_out = std::fs::read(&test).unwrap();
    std::fs::write(&test, "none").unwrap();
    let text = fails(&dir, &resume);
    assert!(text.contains("test picture") && text.contains("cat/009.png is broken or gone"), "{text}");
    // All are there again.
    std::fs::write(&test, held_out).unwrap();
    std::fs::write(&eel, other).unwrap();
    std::fs::write(&cat, small).unwrap();
    let text = run(&dir, &resume);
    assert!(!text.contains("broken") && text.contains("going on"), "{text}");
}

/// A small conditional GAN.
const GAN: &str = "gan train --conditional --hidden 8 --batch 16 --steps 2 --out run";

#[test]
fn classes_have_names_and_what_is_left_out_is_told() {
    if adapter("class names").is_none() {
        return;
    }
    let dir = pictures("names");
    std::fs::write(dir.join("photos/dog/list.csv"), "000.png").unwrap();
    let text = run(&dir, &format!("{GAN} --data photos"));
    let classes = "classes of photos, every tenth image held out: cat, dog, eel";
    assert!([classes, "left out: no pictures", "dog/list.csv"].iter().all(|w| text.contains(w)), "{text}");
    let config = std::fs::read_to_string(dir.join("run/config.toml")).unwrap();
    assert!(config.contains(r#"class_names = ["cat", "dog", "eel"]"#), "{config}");
    run(&dir, "gan sample --run run --count 4 --class dog");
    let text = fails(&dir, "gan sample --run run --class 1");
    assert!(text.contains("there are 3 classes: cat, dog, eel"), "{text}");
}

/// Writes an IDX file of 6 x 5 images, or of labels that take turns.
fn idx(path: &Path, count: u32, labels: Option<&[u8]>) {
    let header: &[u32] = if labels.is_some() { &[0x801, count] } else { &[0x803, count, 5, 6] };
    let mut bytes: Vec<u8> = header.iter().flat_map(|n| n.to_be_bytes()).collect();
    match labels {
        Some(labels) => bytes.extend((0..count as usize).map(|i| labels[i % labels.len()])),
        None => bytes.extend((0..count * 30).map(|i| (i * 37) as u8)),
    }
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn classes_that_do_not_occur_are_neither_drawn_nor_counted() {
    if adapter("absent classes").is_none() {
        return;
    }
    let dir = empty("gap");
    for (split, count) in [("train", 80), ("t10k", 20)] {
        idx(&dir.join(format!("gap/{split}-images-idx3-ubyte")), count, None);
        idx(&dir.join(format!("gap/{split}-labels-idx1-ubyte")), count, Some(&[3, 7]));
    }
    // The test images alone have a class: no run begins, whatever it is of.
    idx(&dir.join("gap/t10k-labels-idx1-ubyte"), 20, Some(&[3, 7, 9]));
    let text = fails(&dir, &format!("{GAN} --data gap"));
    assert!(
        text.contains("t10k-labels-idx1-ubyte: no training images are of these classes: 9; add"),
        "{text}"
    );
    idx(&dir.join("gap/t10k-labels-idx1-ubyte"), 20, Some(&[3, 7]));
    let text = run(&dir, &format!("{GAN} --data gap"));
    assert!(text.contains("classes of gap: 3, 7"), "{text}");
    let config = std::fs::read_to_string(dir.join("run/config.toml")).unwrap();
    assert!(config.contains("classes = 2\n") && config.contains(r#"class_names = ["3", "7"]"#), "{config}");
    run(&dir, "gan sample --run run --count 4 --class 7");
    for absent in ["0", "1", "8"] {
        let text = fails(&dir, &format!("gan sample --run run --class {absent}"));
        assert!(text.contains("there are 2 classes: 3, 7"), "{text}");
    }
}
