//! Runs that learn classes from few labels: trained, resumed, drawn from and scored, and what they refuse.

use crate::{
    commands::{Folder, empty, fails, images, json, newest, run, weights},
    subjects::adapter,
};
use std::fs;

/// Writes 64 images of 8x8 pixels, of two classes: bright above and bright below, with noise.
fn halves(name: &str) -> Folder {
    let dir = empty(name);
    let noise = |i: usize| (i * 7919 % 61) as u8;
    images(&dir, 8, |i| if (i / 32 + i / 64).is_multiple_of(2) { 190 + noise(i) } else { noise(i) });
    for name in ["train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"] {
        let labels = [0, 0, 8, 1, 0, 0, 0, 64].into_iter().chain((0..64).map(|i| i % 2));
        fs::write(dir.join(name), labels.collect::<Vec<u8>>()).unwrap();
    }
    dir
}

/// A share of the JSON that `evaluate` writes.
fn share(dir: &Folder, name: &str) -> f64 {
    json(&dir.join("few.json"))[name].as_f64().unwrap_or_else(|| panic!("no `{name}`"))
}

#[test]
fn m2_learns_resumes_draws_and_scores() {
    if adapter("m2 by vae").is_none() {
        return;
    }
    let dir = halves("m2");
    let train = "vae train --data . --batch 16 --semi-supervised m2 --m2-hidden 16 --m2-latent 2 --lr 0.01";
    let text = run(&dir, &format!("{train} --labels 4 --steps 60 --out whole"));
    assert!(text.contains("test_accuracy") && dir.join("whole/samples-000060.png").exists(), "{text}");
    run(&dir, &format!("{train} --labels 4 --steps 25 --out parts"));
    run(&dir, "vae train --resume parts --steps 60");
    assert!(newest(&dir, "whole") == newest(&dir, "parts"), "60 steps differ from 25 + 35");
    assert_eq!(weights(&dir, "whole"), weights(&dir, "parts"));
    let text = run(&dir, "vae evaluate --run whole --alone --images 60 --json few.json");
    assert!(text.contains("with 4 labels") && text.contains("labels alone"), "{text}");
    assert!(text.contains("the pixels are grey: these are cross entropies"), "{text}");
    assert!(share(&dir, "accuracy") > 0.9 && share(&dir, "alone") > 0.9, "{text}");
    assert!(share(&dir, "elbo") < 0.0 && share(&dir, "labels") == 4.0 && share(&dir, "images") == 60.0);
    run(&dir, "vae sample --run whole --count 6");
    run(&dir, "vae analogies --run whole --count 3 --raw analogies.npy");
    for made in ["whole/samples.png", "whole/analogies.png", "analogies.npy"] {
        assert!(dir.join(made).is_file(), "{made} is missing");
    }
    // The weights alone are a model, too.
    let bare = "--image 8,8,1 --classes 2 --semi-supervised m2 --labels 4 --m2-hidden 16 --m2-latent 2";
    run(&dir, &format!("vae sample --weights whole/weights.safetensors {bare} --count 2"));
    for (line, what) in [
        ("reconstruct --run whole", "sample or analogies"),
        ("evaluate --run whole --raw scores.npy", "--json"),
        ("train --data . --semi-supervised m2 --labels 5 --out none", "a multiple of 2"),
        ("train --data . --semi-supervised m2 --labels 640 --out none", "give at most 64"),
        ("train --data . --semi-supervised m2 --out none", "--labels"),
        ("train --data . --m2-latent 3 --out none", "add --semi-supervised"),
        ("train --data . --m2-activation relu --out none", "add --semi-supervised"),
        ("train --data . --m2-noise 0.5 --out none", "add --semi-supervised"),
        ("train --data . --semi-supervised m2 --labels 4 --m2-noise -1 --out none", "from 0 on"),
        ("train --data . --semi-supervised m1m2 --labels 4 --out none", "by --weights"),
        ("train --data . --semi-supervised m2 --labels 4 --hidden 8 --out none", "give --m2-hidden"),
        ("train --data . --semi-supervised m1 --labels 4 --alpha 3 --out none", "add --semi-supervised m2"),
        (
            "train --data . --semi-supervised m1m2 --labels 4 --weights whole/weights.safetensors --out none",
            "of M1, fc1.weight first",
        ),
    ] {
        let text = fails(&dir, &format!("vae {}", line.replace("--data .", "--data . --batch 16")));
        assert!(text.contains(what), "{line}: {text}");
    }
    for set in ["train", "t10k"] {
        fs::remove_file(dir.join(format!("{set}-labels-idx1-ubyte"))).unwrap();
    }
    let text = fails(&dir, &format!("{train} --labels 4 --out none"));
    assert!(text.contains("have no labels") && text.contains("without --semi-supervised"), "{text}");
}

#[test]
fn m1_and_m2_on_it_learn_from_few_labels() {
    if adapter("m1 and m1m2 by vae").is_none() {
        return;
    }
    let dir = halves("m1m2");
    let train = "vae train --data . --batch 16 --hidden 16 --lr 0.01 --steps 60 --labels 4";
    run(&dir, &format!("{train} --latent 3 --semi-supervised m1 --out m1"));
    let text = run(&dir, "vae evaluate --run m1 --k 2 --alone --json few.json");
    assert!(text.contains("IWAE") && share(&dir, "accuracy") > 0.9 && share(&dir, "alone") > 0.9, "{text}");
    let upper =
        "--m2-hidden 12 --m2-latent 2 --m2-activation relu --m2-noise 0.3 --weights m1/weights.safetensors";
    run(&dir, &format!("{train} --latent 3 --semi-supervised m1m2 {upper} --out m1m2"));
    run(&dir, "vae evaluate --run m1m2 --alone --json few.json");
    assert!(share(&dir, "accuracy") > 0.9 && share(&dir, "elbo") < 0.0);
    run(&dir, "vae analogies --run m1m2 --count 2");
    // M1 is in the stack's file as it was trained.
    let [m1, both] = ["m1", "m1m2"]
        .map(|name| oneiro::weights::load(&dir.join(name).join("weights.safetensors")).unwrap());
    assert!(m1.iter().all(|(name, tensor)| both[name] == *tensor) && both.len() > m1.len());
    let text = fails(&dir, "vae analogies --run m1");
    assert!(text.contains("tells class from style"), "{text}");
    let text = fails(&dir, &format!("{train} --latent 4 --semi-supervised m1m2 {upper} --out none"));
    assert!(text.contains("`fc21.bias` is [3] but the model wants [4]"), "{text}");
}

#[test]
fn a_game_learns_from_few_labels() {
    if adapter("dcgan --semi-supervised").is_none() {
        return;
    }
    let dir = halves("game");
    let train = "dcgan train --data . --batch 8 --features 4 --latent 5 --semi-supervised";
    let text = run(&dir, &format!("{train} --labels 4 --lr 0.002 --steps 24 --out whole"));
    assert!(text.contains("test_accuracy"), "{text}");
    run(&dir, &format!("{train} --labels 4 --lr 0.002 --steps 9 --out parts"));
    run(&dir, "dcgan train --resume parts --steps 24");
    assert!(newest(&dir, "whole") == newest(&dir, "parts"), "24 steps differ from 9 + 15");
    run(&dir, "dcgan sample --run whole --count 4");
    for (more, what) in [
        ("--labels 4 --loss hinge", "leave --loss out"),
        ("--labels 4 --conditional", "choose one"),
        ("--labels 4 --discriminator-steps 2", "leave --discriminator-steps out"),
        ("--labels 3", "a multiple of 2 up to 64"),
        ("--labels 66", "one has only 32 images; give at most 64"),
        ("", "--labels"),
    ] {
        let text = fails(&dir, &format!("{train} {more} --out none"));
        assert!(text.contains(what), "{more}: {text}");
    }
    #[cfg(feature = "fid")]
    {
        let text = run(&dir, "dcgan evaluate --run whole --count 100 --json few.json");
        assert!(text.contains("with 4 labels") && share(&dir, "accuracy") > 0.9, "{text}");
    }
}
