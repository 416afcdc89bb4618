//! Every command of the families that no other file runs whole: it ends well, and its picture is there.

use crate::{
    commands::{empty, labelled, run},
    subjects::adapter,
};

/// Trains a small model on labelled images, or on what its line names, runs its commands, and looks for the files
/// that they write.
fn every(train: &str, commands: &[(&str, &str)]) {
    if adapter(train).is_none() {
        return;
    }
    let (program, _) = train.split_once(' ').expect("a program and its options");
    let dir = empty(&format!("every-{program}"));
    labelled(&dir);
    let data = if train.contains("--data") { "" } else { "--data ." };
    run(&dir, &format!("{train} {data} --batch 16 --steps 6 --out run"));
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

#[test]
fn a_wavenet_draws_goes_on_and_scores() {
    let small = "--features 4 --skip 4 --head 4 --layers 2 --blocks 1 --rate 4000 --length 64";
    every(
        &format!("wavenet train --data tones --conditional {small}"),
        &[
            ("sample --count 2 --seconds 0.02 --class hat --real", "samples-2.wav"),
            ("sample --count 2 --seconds 0.02 --naive --raw drawn.npy", "samples.png"),
            ("sample --count 9 --seconds 0.01 --real", "real-9.wav"),
            ("continue --count 2 --given 0.01 --seconds 0.02", "continued.png"),
            ("evaluate --images 16 --json bits.json", "surprise.png"),
        ],
    );
}
