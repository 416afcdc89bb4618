//! Every command of the families that no other file runs whole: it ends well, and its picture is there.

use crate::{
    commands::{empty, labelled, run},
    subjects::adapter,
};

/// Trains a small model on labelled images, runs its commands, and looks for the pictures that they write.
fn every(train: &str, commands: &[(&str, &str)]) {
    if adapter(train).is_none() {
        return;
    }
    let (program, _) = train.split_once(' ').expect("a program and its options");
    let dir = empty(&format!("every-{program}"));
    labelled(&dir);
    run(&dir, &format!("{train} --data . --batch 16 --steps 6 --out run"));
    for name in ["loss.png", "weights.safetensors"] {
        assert!(dir.join("run").join(name).is_file(), "{program}: {name} is missing");
    }
    for (command, made) in commands {
        run(&dir, &format!("{program} {command} --run run"));
        assert!(dir.join("run").join(made).is_file(), "{program} {command}: {made} is missing");
    }
}

#[test]
fn an_autoencoder_restores_and_is_probed() {
    let probe = "probe --labels 4 --steps 3 --repeats 2";
    every(
        "autoencoder train --hidden 16 --code 4",
        &[("reconstruct --count 3", "reconstructions.png"), (probe, "config.toml")],
    );
}

#[test]
fn a_belief_net_draws_completes_and_scores() {
    every(
        "fvbn train --hidden 24 --direct",
        &[
            ("sample --count 4", "samples.png"),
            ("complete --count 2", "completed.png"),
            ("evaluate", "surprise.png"),
        ],
    );
}

#[test]
fn a_latent_space_is_walked_through() {
    every(
        "vae train --hidden 16 --latent 2",
        &[
            ("manifold", "manifold.png"),
            ("interpolate --count 2", "interpolation.png"),
            ("reconstruct --count 3", "reconstructions.png"),
        ],
    );
    every(
        "gan train --hidden 24 --latent 5 --conditional",
        &[
            ("sample --count 4 --class 1", "samples.png"),
            ("interpolate --count 2", "interpolation.gif"),
            ("nearest --count 2", "nearest.png"),
        ],
    );
}
