//! The memory of a long run.

use crate::{
    commands::{empty, logged, start},
    harness::say,
    subjects::adapter,
};
use std::time::Duration;

/// Compares the resident memory after the first epochs with that at the end. `ONEIRO_SOAK=10000` trains the
/// VAE of the paper's size for 10,000 steps.
#[test]
fn a_long_run_needs_no_more_memory() {
    if adapter("soaking").is_none() {
        return;
    }
    let asked = std::env::var("ONEIRO_SOAK").ok();
    let steps: u64 = asked.as_ref().map_or(4_000, |n| n.parse().expect("ONEIRO_SOAK is a number of steps"));
    let (from, size) =
        if asked.is_some() { (steps / 10, "") } else { (steps / 5, "--batch 32 --hidden 16 --latent 2") };
    let dir = empty("soak");
    let mut child = start(&dir, &format!("vae train --out run --steps {steps} {size}"));
    let statm = format!("/proc/{}/statm", child.id());
    let pages = || -> Option<u64> { std::fs::read_to_string(&statm).ok()?.split(' ').nth(1)?.parse().ok() };
    let (mut early, mut late) = (0, (0, 0));
    while !child.ended() {
        let (step, now) = (logged(&dir, "run"), pages().unwrap_or(0));
        if step >= from && step < steps && now > 0 {
            early = if early == 0 { now } else { early };
            late = (step, now);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.ends(true);
    let growth = late.1 as f64 / early as f64 - 1.0;
    say(&format!("resident memory between step {from} and {}: {:+.2} %", late.0, 100.0 * growth));
    assert!(late.0 > steps / 2 && growth < 0.01, "grew from {early} to {} pages", late.1);
}
