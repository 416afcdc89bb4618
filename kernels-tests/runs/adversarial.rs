//! Runs of the players of a game: continued bit for bit, drawn from, and trained by every objective.

use crate::{
    commands::{empty, fails, json, labelled, newest, run, weights},
    subjects::adapter,
};

/// A small GAN of perceptrons.
const GAN: &str = "gan train --data . --batch 16 --hidden 24 --latent 5 --seed 3";
/// Tricks of the trade, all at once.
const OF_THE_TRADE: &str = "--real-label 0.7..1.2 --fake-label 0..0.3 --flip 0.1 --optimizer-discriminator sgd \
                            --prior uniform --activation relu --minibatch-stddev --dropout-generator 0.5 \
                            --noise-discriminator 0.5";
/// A small DCGAN.
const DCGAN: &str = "dcgan train --data . --batch 8 --features 4 --latent 5";

/// The players, their optimizers, averages, counters and running statistics end at the same bits.
#[test]
fn a_game_goes_on_bit_for_bit() {
    if adapter("a_game_goes_on_bit_for_bit").is_none() {
        return;
    }
    let dir = empty("game");
    labelled(&dir);
    let tricks =
        "--discriminator-steps 3 --ema 0.9 --smooth 0.1 --instance-noise 0.1 --lr-discriminator 0.001";
    for (name, train) in [
        ("dcgan", format!("{DCGAN} --conditional --ema 0.9")),
        ("gan", format!("{GAN} {tricks} --conditional")),
        (
            "gan-of-tricks",
            format!("{GAN} {OF_THE_TRADE} --hidden-discriminator 12,8 --history 16 --conditional"),
        ),
    ] {
        let program = train.split(' ').next().unwrap_or_default();
        let train = |out: &str, steps: u32| {
            run(&dir, &format!("{train} --out {name}-{out} --steps {steps} --picture-every 2"))
        };
        let text = train("whole", 7);
        let told = ["loss_D", "D(G(z))", "film of training"].iter().all(|what| text.contains(what));
        assert!(told, "{text}");
        train("parts", 3);
        run(&dir, &format!("{program} train --resume {name}-parts --steps 7"));
        let [whole, parts] = ["whole", "parts"].map(|out| format!("{name}-{out}"));
        let checkpoint = newest(&dir, &whole).unwrap();
        assert!(checkpoint == newest(&dir, &parts).unwrap(), "{name}: 7 steps differ from 3 + 4");
        assert_eq!(weights(&dir, &whole), weights(&dir, &parts), "{name}");
        let parts = match name {
            "gan-of-tricks" => ["discriminator.pool", "discriminator.pool.classes", "adam.v/generator"],
            _ => ["adam.m/generator", "adam.v/discriminator", "ema/generator"],
        };
        for part in parts {
            assert!(checkpoint.values.iter().any(|(name, ..)| name.contains(part)), "{name} lacks {part}");
        }
    }
    // What was typed is the run's, and what was not is not there.
    let config = |run: &str| std::fs::read_to_string(dir.join(run).join("config.toml")).unwrap();
    for line in [
        "real_label = \"0.7..1.2\"",
        "fake_label = \"0..0.3\"",
        "flip = 0.1",
        "history = 16",
        "optimizer_discriminator = \"sgd\"",
        "prior = \"uniform\"",
        "activation = \"relu\"",
        "minibatch_stddev = true",
        "dropout_generator = 0.5",
        "noise_discriminator = 0.5",
        "hidden_discriminator = [12, 8]",
    ] {
        let there = ["gan-of-tricks-parts", "gan-parts"].map(|run| config(run).contains(line));
        assert_eq!(there, [true, false], "{line}");
    }
    let text = fails(&dir, "gan train --resume gan-of-tricks-parts --devices 2 --steps 9");
    assert!(text.contains("each rank would have a pool of its own"), "{text}");
    for alone in ["--history 16", "--semi-supervised --labels 10"] {
        let text = fails(&dir, &format!("gan train {alone} --devices 2 --data nowhere"));
        assert!(text.contains("leave --devices and --mpi out"), "{text}");
    }
    let text = fails(&dir, "gan train --resume gan-of-tricks-parts --flip 0.2 --steps 9");
    assert!(text.contains("--flip belongs to the run"), "{text}");
}

#[test]
fn a_trained_game_draws_walks_and_reckons() {
    if adapter("a_trained_game_draws_walks_and_reckons").is_none() {
        return;
    }
    let dir = empty("walks");
    labelled(&dir);
    run(&dir, &format!("{GAN} --steps 2 --out game"));
    for (command, made) in [
        ("sample --count 5", &["samples.png"][..]),
        ("interpolate --count 2", &["interpolation.png", "interpolation.gif"]),
        ("arithmetic --from 0,1 --minus 2,3 --plus 4,7", &["arithmetic.png"]),
        ("nearest --count 3 --images 2", &["nearest.png"]),
    ] {
        run(&dir, &format!("gan {command} --run game"));
        let shown = |name: &&str| image::open(dir.join("game").join(name)).is_ok();
        assert!(made.iter().all(shown), "{command}: {made:?}");
    }
    // The same seed draws the same pictures; another one others.
    let samples = |seed: &str| {
        run(&dir, &format!("gan sample --run game {seed}"));
        std::fs::read(dir.join("game/samples.png")).unwrap()
    };
    let first = samples("");
    assert!(first == samples("--seed 1") && first != samples("--seed 2"));
    for (command, what) in [
        ("gan arithmetic --run game --from 0,1,2 --minus 3", "give every term as many"),
        ("gan sample --run game --class 3", "not told classes"),
        ("gan nearest --run game --images 20 --count 0", "--count"),
        (&format!("{GAN} --out none --loss hinge --smooth 0.1"), "no labels to smooth"),
        (&format!("{GAN} --out none --loss wasserstein-gp --spectral"), "choose one"),
        (&format!("{GAN} --out none --discriminator-steps 9"), "a step takes 144 images"),
        (&format!("{GAN} --out none --history 12"), "take an even --batch"),
        (&format!("{GAN} --out none --history 0"), "wants a whole number from 1"),
        (&format!("{GAN} --out none --flip 0.5"), "from 0 to below 0.5"),
        (&format!("{GAN} --out none --flip 0.1 --loss hinge"), "has no labels"),
        (&format!("{GAN} --out none --fake-label 0.1 --loss wasserstein"), "has no labels"),
        (&format!("{GAN} --out none --real-label 1.1"), "a mean label above 1"),
        (&format!("{GAN} --out none --real-label 0.2..0.1"), "two as LOW..HIGH"),
        (&format!("{GAN} --out none --real-label 0.9 --smooth 0.1"), "choose one"),
        (&format!("{GAN} --out none --fake-label 0.95 --smooth 0.1"), "below that of real pictures"),
        (&format!("{GAN} --out none --dropout-generator 1"), "from 0 to below 1"),
        (&format!("{GAN} --out none --noise-discriminator=-1"), "wants a number from 0 on"),
        (&format!("{GAN} --out none --hidden-discriminator 8,0"), "wants a whole number from 1"),
        (&format!("{DCGAN} --out none --norm batch --loss wasserstein-gp"), "of each picture alone"),
        (&format!("{DCGAN} --out none --norm none --semi-supervised --labels 10"), "weights are normalised"),
        (
            &format!("{GAN} --out none --minibatch-stddev --semi-supervised --labels 10"),
            "depend on the others",
        ),
    ] {
        let text = fails(&dir, command);
        assert!(text.contains(what), "{text}");
    }
}

/// An extractor that saw 64 images of noise, and 5 pictures, are no base of a FID.
#[cfg(feature = "fid")]
#[test]
fn a_fid_without_a_base_is_refused() {
    if adapter("a_fid_without_a_base_is_refused").is_none() {
        return;
    }
    let dir = empty("fid");
    labelled(&dir);
    let text = run(&dir, &format!("{DCGAN} --steps 1 --out run --fid 100"));
    assert!(text.contains("warning: the FID will mean little"), "{text}");
    let text = run(&dir, "dcgan evaluate --run run --count 5 --json report.json");
    let json = json(&dir.join("report.json"));
    assert!(text.contains("refused; ask by name to see, since"), "{text}");
    assert!(json["pictures"]["fid"].is_null() && json["pictures"]["doubt"].is_string(), "{json}");
    let text = run(&dir, "dcgan evaluate --run run --count 5 --fid");
    assert!(!text.contains("refused") && text.contains("shown because asked for"), "{text}");
}

/// Every objective and trick trains for a few steps, with finite losses.
#[test]
fn all_objectives_train() {
    if adapter("all_objectives_train").is_none() {
        return;
    }
    let dir = empty("objectives");
    labelled(&dir);
    let tricks = [
        "--loss minimax",
        "--loss least-squares --smooth 0.1",
        "--loss hinge --spectral",
        "--loss wasserstein --discriminator-steps 2",
        "--loss wasserstein-gp",
        "--instance-noise 0.2 --ema 0.9 --conditional",
        "--size 64",
        &format!("{OF_THE_TRADE} --history 8 --norm none"),
        "--loss wasserstein-gp --minibatch-stddev --history 8 --conditional",
    ];
    for (i, trick) in tricks.iter().enumerate() {
        let text = run(&dir, &format!("{DCGAN} --steps 2 {trick} --out run{i}"));
        assert!(text.contains("loss_G") && !text.to_lowercase().contains("nan"), "{text}");
        run(&dir, &format!("dcgan sample --run run{i} --count 2"));
    }
    // Clipped weights are within bounds.
    let file = oneiro::weights::load(&dir.join("run3/weights.safetensors")).unwrap();
    let largest = |player: &str| {
        let of = file.iter().filter(|(name, _)| name.starts_with(player) && name.ends_with("weight"));
        of.flat_map(|(_, (_, values))| values).fold(0f32, |a, b| a.max(b.abs()))
    };
    assert!(largest("discriminator") <= 0.01 && largest("generator") > 0.01);
}

/// A conditional, averaged model computes with the pictures of the grid that `sample` draws, their classes
/// too.
#[test]
fn arithmetic_takes_the_pictures_of_the_grid() {
    if adapter("arithmetic_takes_the_pictures_of_the_grid").is_none() {
        return;
    }
    let dir = empty("arithmetic");
    labelled(&dir);
    run(&dir, &format!("{DCGAN} --steps 2 --instance-noise 0.2 --ema 0.9 --conditional --out run"));
    run(&dir, "dcgan arithmetic --run run --from 5,2 --minus 4,1 --plus 8,0");
    run(&dir, "dcgan sample --run run --count 9");
    let cells = |name: &str, columns: u32| {
        let picture = image::open(dir.join("run").join(name)).unwrap().to_rgb8();
        // Pictures of 6x6 with a gap between, magnified.
        let side = 7 * (picture.width() / (7 * columns + 1));
        move |row: u32, column: u32| {
            image::imageops::crop_imm(&picture, column * side, row * side, side, side).to_image()
        }
    };
    let (terms, samples) = (cells("arithmetic.png", 6), cells("samples.png", 3));
    for (row, places) in [(0, [5, 2]), (1, [4, 1]), (2, [8, 0])] {
        for (column, place) in (0..).zip(places) {
            let same = terms(row, column) == samples(place / 3, place % 3);
            assert!(same, "row {row}, column {column} is not place {place}");
        }
    }
}
