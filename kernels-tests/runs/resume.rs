//! Runs that were stopped and go on: killed, and continued bit for bit.

use crate::{
    commands::{empty, fails, images, labelled, newest, run, start, weights},
    golden,
    harness::say,
    subjects::adapter,
};
use oneiro::run::Checkpoint;
use std::{fs, time::Duration};

/// A small VAE on the embedded glyphs.
const TRAIN: &str = "vae train --batch 32 --hidden 16 --latent 2 --seed 5";
/// An option that trains for longer than any test looks.
const ENDLESS: &str = "--steps 1000000";

#[test]
fn a_killed_run_goes_on_bit_for_bit() {
    if adapter("resuming").is_none() {
        return;
    }
    let dir = empty("resume");
    let mut child = start(&dir, &format!("{TRAIN} --out killed {ENDLESS} --checkpoint-every 20"));
    child.reaches(&dir, "killed", 100);
    child.kill();
    let before = newest(&dir, "killed").unwrap().position.step;
    let steps = before + 100;
    let text = run(&dir, &format!("vae train --resume killed --steps {steps}"));
    assert!(text.contains(&format!("going on at step {before}")), "{text}");
    run(&dir, &format!("{TRAIN} --out whole --steps {steps} --checkpoint-every 100"));
    let (whole, killed) = (newest(&dir, "whole").unwrap(), newest(&dir, "killed").unwrap());
    assert_eq!((whole.position.step, &whole.position), (steps, &killed.position));
    assert!(whole.values == killed.values, "{steps} steps differ from {before} + kill + 100");
    assert_eq!(weights(&dir, "whole"), weights(&dir, "killed"));
    let metrics = fs::read_to_string(dir.join("killed/metrics.jsonl")).unwrap();
    let logged: Vec<u64> =
        metrics.lines().map(|l| l[8..].split(',').next().unwrap().parse().unwrap()).collect();
    assert!(logged.is_sorted() && logged.last() == Some(&steps), "{logged:?}");
}

#[test]
fn a_step_cut_into_many_submissions_is_the_same_step() {
    if adapter("submissions").is_none() {
        return;
    }
    let dir = empty("submissions");
    let train = "gan train --batch 16 --hidden 16 --latent 4 --discriminator-steps 2 --steps 12 --seed 5";
    run(&dir, &format!("{train} --out whole --submission-ms 1000"));
    run(&dir, &format!("{train} --out cut --submission-ms 1"));
    assert_eq!(weights(&dir, "whole"), weights(&dir, "cut"));
    let text = fails(&dir, &format!("{train} --out none --submission-ms 1001"));
    assert!(text.contains("from 1 to 1000"), "{text}");
}

/// `ONEIRO_KILLS` gives the number of kills, which the models take in turn.
#[test]
fn a_kill_at_any_moment_leaves_a_readable_run() {
    if adapter("killing").is_none() {
        return;
    }
    let kills: usize =
        std::env::var("ONEIRO_KILLS").map_or(21, |n| n.parse().expect("ONEIRO_KILLS is a number"));
    let dir = empty("kill");
    labelled(&dir);
    let models = [
        TRAIN,
        "pixelcnn train --data . --batch 8 --features 4 --blocks 1",
        "gan train --data . --batch 8 --hidden 16 --latent 4 --discriminator-steps 2 --ema 0.9",
    ];
    let mut last = [0; 3];
    for i in 0..kills {
        let model = i % models.len();
        let (name, run) = (models[model].split(' ').next().unwrap(), format!("run{model}"));
        let typed = match last[model] {
            0 => format!("{} --out {run} {ENDLESS} --checkpoint-every 1", models[model]),
            _ => format!("{name} train --resume {run} --checkpoint-every 1"),
        };
        let mut child = start(&dir, &typed);
        child.reaches(&dir, &run, last[model] + 1);
        // Moments spread evenly over the time of a few steps, by the golden ratio.
        let moment = (i as f64 * 0.618_034).fract().mul_add(60_000.0, 1.0);
        std::thread::sleep(Duration::from_micros(moment as u64));
        child.kill();
        let step = newest(&dir, &run).expect("a checkpoint is there").position.step;
        assert!(step > last[model], "kill {i}, {name}: from step {} to {step}", last[model]);
        last[model] = step;
    }
    say(&format!(
        "{kills} kills of a VAE, a PixelCNN and a GAN while checkpointing every step: every run readable, and \
         further than before, at steps {last:?}"
    ));
}

#[cfg(unix)]
#[test]
fn only_one_process_at_a_time_trains_in_a_folder() {
    if adapter("two writers").is_none() {
        return;
    }
    let dir = empty("writers");
    let mut child = start(&dir, &format!("{TRAIN} --out run {ENDLESS} --checkpoint-every 20"));
    child.reaches(&dir, "run", 20);
    let other = format!("process {} trains in run", child.id());
    for options in ["--out run", "--out run --overwrite --hidden 8", "--resume run"] {
        let text = fails(&dir, &format!("vae train --steps 2 {options}"));
        assert!(text.contains(&other), "{options}: {text}");
    }
    // The run trains on, in its own configuration.
    let step = newest(&dir, "run").unwrap().position.step;
    child.reaches(&dir, "run", step + 40);
    child.kill();
    let step = newest(&dir, "run").unwrap().position.step;
    run(&dir, &format!("vae train --resume run --steps {}", step + 1));
    assert_eq!(newest(&dir, "run").unwrap().position.step, step + 1);
}

#[test]
fn a_run_goes_on_only_with_what_it_was() {
    if adapter("other data").is_none() {
        return;
    }
    let dir = empty("changed");
    let data = |factor: usize| images(&dir, 6, |i| (i * factor) as u8);
    data(7);
    fs::create_dir_all(dir.join("elsewhere")).unwrap();
    run(&dir, &format!("{TRAIN} --out run --data . --steps 3 --keep 7"));
    // The data is found from another folder; the number of checkpoints stays.
    run(&dir.join("elsewhere"), "vae train --resume ../run --steps 4");
    assert!(fs::read_to_string(dir.join("run/config.toml")).unwrap().contains("keep = 7"));
    let refused = |what: &str| {
        let text = fails(&dir, "vae train --resume run --steps 5");
        assert!(text.contains(what), "{text}");
    };
    data(5);
    refused("not those of the run");
    data(7);
    let (checkpoints, aside) = (dir.join("run/checkpoints"), dir.join("aside"));
    let newest = checkpoints.join("step-000000004.safetensors");
    fs::rename(&newest, checkpoints.join("mine.safetensors")).unwrap();
    refused("renamed");
    fs::rename(checkpoints.join("mine.safetensors"), &newest).unwrap();
    fs::rename(&checkpoints, &aside).unwrap();
    refused("no checkpoint");
    fs::rename(&aside, &checkpoints).unwrap();
    let part = checkpoints.join(".step-000000009.safetensors.1.part");
    fs::write(&part, "half").unwrap();
    run(&dir, "vae train --resume run --steps 5");
    assert!(!part.exists());
}

/// The first checkpoint holds exactly the numbers of PyTorch's file, of a VAE for 6x6 images.
#[test]
fn training_starts_from_weights_that_pytorch_wrote() {
    if adapter("--weights").is_none() {
        return;
    }
    let dir = empty("weights");
    images(&dir, 6, |i| (i * 7) as u8);
    fs::copy(golden::path("vae_weights.safetensors"), dir.join("theirs.safetensors")).unwrap();
    let small = "--data . --latent 3 --batch 16 --steps 1";
    let with =
        |hidden: u32| format!("vae train {small} --hidden {hidden} --out run --weights theirs.safetensors");
    let text = fails(&dir, &with(13));
    assert!(text.contains("theirs.safetensors") && text.contains("the model wants [13]"), "{text}");
    run(&dir, &with(12));
    let first = Checkpoint::load(&dir.join("run/checkpoints/step-000000000.safetensors")).unwrap();
    let theirs = golden::tensors("vae_weights.safetensors");
    assert_eq!(theirs.len(), 10);
    for (name, (_, values)) in theirs {
        let ours = first.values.iter().find(|v| v.0 == name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(bytemuck::cast_slice::<u32, f32>(&ours.2), values, "{name}");
    }
    // It goes on without the file that it began with.
    fs::remove_file(dir.join("theirs.safetensors")).unwrap();
    run(&dir, "vae train --resume run --steps 2");
}
