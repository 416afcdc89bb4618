//! Runs of the variational autoencoder: its convolutional network, and options that older versions did not
//! know.

use crate::{
    commands::{empty, fails, images, json, run},
    subjects::adapter,
};
use std::{fs, path::Path};

/// Writes 8x8 images of bright rectangles of any size in a corner.
fn rectangles(dir: &Path) {
    images(dir, 8, |i| if i % 8 <= i / 64 % 8 && i / 8 % 8 <= i / 512 { 250 } else { 5 });
}

#[test]
fn a_convolutional_run_trains_resumes_draws_and_scores() {
    if adapter("vae --model conv").is_none() {
        return;
    }
    let dir = empty("conv");
    rectangles(&dir);
    let train = "vae train --data . --latent 2 --batch 16 --out run";
    let conv = "--model conv --widths 4,8 --lr 0.01 --decay 0.999 --binarise";
    run(&dir, &format!("{train} {conv} --steps 30"));
    let text = run(&dir, "vae train --resume run --steps 100");
    assert!(text.contains("going on at step 30"), "{text}");
    let text = run(&dir, "vae evaluate --run run --images 60 --k 25 --json bound.json");
    assert!(text.contains("IWAE k = 25") && text.contains("60 test images"), "{text}");
    // One probability for all pixels gives about -40 nats; what binarising leaves uncertain costs 6.
    let bound = json(&dir.join("bound.json"));
    assert!((-30.0..-6.0).contains(&bound["elbo"]["mean"].as_f64().unwrap()), "{bound}");
    for (command, count, made) in [
        ("sample", 4, "samples.png"),
        ("reconstruct", 3, "reconstructions.png"),
        ("interpolate", 2, "interpolation.png"),
        ("manifold", 4, "manifold.png"),
    ] {
        run(&dir, &format!("vae {command} --run run --count {count}"));
        assert!(dir.join("run").join(made).is_file(), "{made} is missing");
    }
    for (more, what) in [
        ("--widths 4", "add --model conv"),
        ("--model conv --hidden 9", "give --widths"),
        ("--model conv --widths 4,4,4,4", "multiples of 16, not 8x8"),
    ] {
        let text = fails(&dir, &format!("{train} --overwrite {more}"));
        assert!(text.contains(what), "{text}");
    }
}

/// 50 images of 5x5 pixels, which are scored at a time, are no whole words of 4 bytes.
#[test]
fn odd_images_are_scored() {
    if adapter("odd_images_are_scored").is_none() {
        return;
    }
    let dir = empty("odd");
    images(&dir, 5, |i| (i * 7) as u8);
    run(&dir, "vae train --data . --hidden 9 --latent 2 --batch 16 --steps 2 --out run");
    let text = run(&dir, "vae evaluate --run run --images 63 --k 3");
    assert!(text.contains("63 test images"), "{text}");
}

/// A run of a version that knew one network only has no option for the kind of network.
#[test]
fn a_perceptrons_older_run_goes_on() {
    if adapter("older runs").is_none() {
        return;
    }
    let dir = empty("older");
    rectangles(&dir);
    run(&dir, "vae train --data . --hidden 9 --latent 2 --batch 16 --steps 3 --out run");
    let (config, new) = (dir.join("run/config.toml"), ["model = \"mlp\"", "widths = ", "decay = "]);
    let text = fs::read_to_string(&config).unwrap();
    assert!(new.iter().all(|new| text.contains(new)), "{text}");
    let known = text.lines().filter(|l| !new.iter().any(|new| l.starts_with(new))).map(|l| format!("{l}\n"));
    fs::write(&config, known.collect::<String>()).unwrap();
    let text = run(&dir, "vae train --resume run --steps 5");
    assert!(text.contains("going on at step 3"), "{text}");
    run(&dir, "vae sample --run run --count 4");
}
