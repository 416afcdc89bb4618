//! What a run refuses, and what it leaves as it was.

use crate::{
    commands::{empty, fails, newest, run},
    subjects::adapter,
};
use std::fs;

/// A small VAE on the embedded glyphs.
const TRAIN: &str = "vae train --batch 32 --hidden 16 --latent 2 --seed 5";

#[test]
fn a_spoilt_loss_names_the_first_bad_tensor() {
    if adapter("NaN").is_none() {
        return;
    }
    let dir = empty("nan");
    let text = fails(&dir, &format!("{TRAIN} --out run --steps 300 --lr 1e20"));
    assert!(text.contains("first bad tensor: launch") && text.contains("commands/vae.rs"), "{text}");
    assert!(text.contains("--resume run --lr") && newest(&dir, "run").is_some(), "{text}");
    // What is advised works, and the configuration tells from which step on.
    let good = newest(&dir, "run").unwrap().position.step;
    run(&dir, &format!("vae train --resume run --lr 0.002 --steps {}", good + 20));
    assert_eq!(newest(&dir, "run").unwrap().position.step, good + 20);
    let config = fs::read_to_string(dir.join("run/config.toml")).unwrap();
    let change =
        format!("[[changes]]\nstep = {good}\noption = \"lr\"\nfrom = 100000000000000000000.0\nto = 0.002\n");
    assert!(config.contains(&change) && config.contains("\nlr = 0.002\n"), "{config}");
    run(&dir, &format!("vae train --resume run --steps {}", good + 30));
    assert_eq!(newest(&dir, "run").unwrap().position.step, good + 30);
    // Weights that went bad after a finite loss are not saved over the last good ones.
    let text =
        fails(&dir, &format!("{TRAIN} --out each --steps 300 --lr 1e20 --checkpoint-every 1 --keep 1"));
    let last = newest(&dir, "each").unwrap();
    let good = text.contains("first bad tensor") && last.first_bad().is_none();
    assert!(good, "step {}: {text}", last.position.step);
}

#[test]
fn what_is_no_run_is_not_replaced() {
    if adapter("foreign files").is_none() {
        return;
    }
    let dir = empty("foreign");
    fs::create_dir_all(dir.join("mine/checkpoints")).unwrap();
    fs::write(dir.join("mine/checkpoints/lightning.ckpt"), "theirs").unwrap();
    fs::write(dir.join("mine/weights.safetensors"), "theirs").unwrap();
    let text = fails(&dir, &format!("{TRAIN} --out mine --steps 1"));
    assert!(text.contains("weights.safetensors lies where the run would write"), "{text}");
    run(&dir, &format!("{TRAIN} --out mine --steps 1 --overwrite"));
    assert_eq!(fs::read_to_string(dir.join("mine/checkpoints/lightning.ckpt")).unwrap(), "theirs");
}

#[test]
fn bad_requests_lose_nothing() {
    if adapter("bad requests").is_none() {
        return;
    }
    let dir = empty("bad");
    run(&dir, &format!("{TRAIN} --out run --steps 2"));
    let before = newest(&dir, "run").unwrap();
    for (options, what) in [
        ("--out run", "--overwrite"),
        ("--resume run --hidden 8", "--hidden"),
        ("--resume none", "no such folder"),
        ("--out run --overwrite --data nowhere", "nowhere"),
        ("--out run --overwrite --adapter none-such", "found"),
        ("--out new --weights run/config.toml", "safetensors"),
    ] {
        let text = fails(&dir, &format!("vae train {options}"));
        assert!(text.contains(what), "{options}: {text}");
        assert_eq!(newest(&dir, "run").unwrap(), before, "{options}");
    }
}
