//! The memory and the file handles of long runs.

use crate::{
    commands::{empty, logged, start},
    harness::say,
    subjects::adapter,
};
use std::{fs, path::Path, time::Duration};

/// The memory and the file handles that a process held at a step.
struct Held {
    step: u64,
    pages: usize,
    handles: usize,
}

/// A run that is watched: what is typed, how many steps it has, and the step from which memory may not grow.
struct Soak<'a> {
    train: &'a str,
    steps: u64,
    from: u64,
}

impl Soak<'_> {
    /// Trains in a folder and compares what was held in the tenth of the steps after the first ones with the last
    /// tenth: the middle of the memory, the fewest handles.
    fn run(&self, dir: &Path) {
        let Self { train, steps, from } = *self;
        let mut child = start(dir, &format!("{train} --out run --overwrite --steps {steps}"));
        let (process, mut all) = (format!("/proc/{}", child.id()), vec![]);
        while !child.ended() {
            let pages =
                || fs::read_to_string(format!("{process}/statm")).ok()?.split(' ').nth(1)?.parse().ok();
            let (step, handles) =
                (logged(dir, "run"), fs::read_dir(format!("{process}/fd")).map_or(0, Iterator::count));
            // A process that ends holds nothing.
            if let Some(pages) = pages().filter(|&pages: &usize| pages > 0 && handles > 0 && step < steps) {
                all.push(Held { step, pages, handles });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        child.ends(true);
        let seen = |steps: std::ops::Range<u64>, of: fn(&Held) -> usize| {
            let mut found: Vec<usize> =
                all.iter().filter(|held| steps.contains(&held.step)).map(of).collect();
            assert!(!found.is_empty(), "{train}: nothing was seen at steps {steps:?}");
            found.sort();
            found
        };
        let (early, late) = (from..from + steps / 10, steps - steps / 10..steps);
        let both = |of| [early.clone(), late.clone()].map(|steps| seen(steps, of));
        let pages = both(|held| held.pages).map(|found| found[found.len() / 2]);
        // The fewest: a checkpoint that is being written holds one more.
        let handles = both(|held| held.handles).map(|found| found[0]);
        let growth = pages[1] as f64 / pages[0] as f64 - 1.0;
        say(&format!(
            "{train}: between steps {from} and {steps}, resident memory {:+.2} % of {} pages, file handles {handles:?}",
            100.0 * growth,
            pages[0]
        ));
        assert!(growth < 0.01, "{train}: grew from {} to {} pages", pages[0], pages[1]);
        assert_eq!(handles[0], handles[1], "{train}: file handles");
    }
}

/// `ONEIRO_SOAK=10000` trains the VAE of the paper's size for 10,000 steps.
#[test]
fn a_long_run_needs_no_more_memory() {
    if adapter("soaking").is_none() {
        return;
    }
    let asked = std::env::var("ONEIRO_SOAK").ok();
    let steps = asked.as_ref().map_or(4_000, |n| n.parse().expect("ONEIRO_SOAK is a number of steps"));
    let (from, size) = match asked {
        Some(_) => (steps / 10, ""),
        None => (steps / 5, "--batch 32 --hidden 16 --latent 2"),
    };
    Soak { train: &format!("vae train {size}"), steps, from }.run(&empty("soak"));
}

/// Pictures are read from files while training goes on, and checkpoints are written. `ONEIRO_SOAK_STREAMED=1` trains
/// a PixelCNN for 5,000 steps and a GAN for 2,000 rounds.
#[cfg(feature = "folders")]
#[test]
fn long_streamed_runs_need_no_more_memory_and_handles() {
    if adapter("soaking streamed").is_none() {
        return;
    }
    let whole = std::env::var("ONEIRO_SOAK_STREAMED").is_ok_and(|asked| asked == "1");
    let dir = crate::commands::pictures("soak-streamed");
    let often = "--data photos --stream 0.02 --checkpoint-every 5";
    for (train, steps, few) in [
        ("pixelcnn train --features 4 --blocks 1 --batch 8", 5_000, 400),
        ("gan train --hidden 16 --latent 4 --batch 8 --discriminator-steps 2", 2_000, 400),
    ] {
        let steps = if whole { steps } else { few };
        Soak { train: &format!("{train} {often}"), steps, from: steps / 4 }.run(&dir);
    }
}
