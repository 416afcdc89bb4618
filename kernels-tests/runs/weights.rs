//! Weights files that are given to a program.

use crate::{
    commands::{empty, fails, images, run, weights},
    subjects::adapter,
};

/// A file fits the model or it is refused, unless a part of it is meant.
#[test]
fn a_deeper_networks_file_is_no_shallower_ones() {
    if adapter("strict weights").is_none() {
        return;
    }
    let dir = empty("strict");
    images(&dir, 6, |i| (i * 7) as u8);
    let train = "vae train --data . --latent 2 --batch 16 --steps 1";
    run(&dir, &format!("{train} --hidden 9,9 --out deep"));
    run(&dir, &format!("{train} --hidden 9 --out shallow"));
    let deep = "--weights deep/weights.safetensors";
    let told = "missing none; unexpected 4 (`fc1.1.bias`, `fc1.1.weight`, `fc3.1.bias`, `fc3.1.weight`)";
    for command in [&format!("{train} --hidden 9 --out new")[..], "vae evaluate --run shallow"] {
        let text = fails(&dir, &format!("{command} {deep}"));
        assert!(text.contains(told) && text.contains("--weights-partial"), "{text}");
        let text = run(&dir, &format!("{command} {deep} --weights-partial"));
        assert!(text.contains("taken 10 (`fc1.bias`") && text.contains("left in the file 4"), "{text}");
    }
    // What is drawn needs a part of the model only; the other names are known all the same.
    run(&dir, "vae sample --run shallow --count 4");
    // With --weights-partial, what the file lacks is the run's own.
    let text = fails(&dir, "vae evaluate --run deep --weights shallow/weights.safetensors");
    assert!(text.contains("missing 4 (`fc1.1.bias`") && text.contains("unexpected none"), "{text}");
    let own = "--images 20 --k 1";
    let whole = run(&dir, &format!("vae evaluate --run deep {own}"));
    let part = format!("vae evaluate --run deep {deep} --weights-partial {own}");
    assert!(run(&dir, &part).contains(whole.split_once("test images").unwrap().1));
    assert_ne!(weights(&dir, "deep"), weights(&dir, "shallow"));
}
