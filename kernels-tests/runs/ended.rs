//! How runs end: by signals, panics, a lost device, and with nobody who reads what they print.

#[cfg(unix)]
use crate::commands::{command, logged, run, send, start_by};
use crate::{
    commands::{Folder, empty, newest},
    subjects::adapter,
};
use clap::{Args, Parser};
use oneiro::{
    error::Result,
    graph::Graph,
    nn::Linear,
    optim::Optimizer,
    run::{EpochEnd, Measured, Observer, Options, Recipe, RunDir, Session, Train, Trainer},
    train::{Round, batch},
};
use serde::{Deserialize, Serialize};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::Stdio,
};

/// A small VAE on the embedded glyphs.
#[cfg(unix)]
const TRAIN: &str = "vae train --batch 32 --hidden 16 --latent 2 --seed 5";
/// An option that trains for longer than any test looks.
#[cfg(unix)]
const ENDLESS: &str = "--steps 1000000 --checkpoint-every 1000000";

/// Waits for a first step, then sends a signal.
#[cfg(unix)]
fn signal(child: &mut crate::commands::Process, dir: &Path, name: &str, after: u64) {
    child.until("a step was logged", || logged(dir, "run") > after);
    assert!(send(name, &child.id().to_string()));
}

#[cfg(unix)]
#[test]
fn a_signal_ends_with_a_checkpoint_its_code_and_how_to_go_on() {
    if adapter("signals").is_none() {
        return;
    }
    for (name, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let dir = empty(&format!("interrupt{name}"));
        let mut child = crate::commands::start(&dir, &format!("{TRAIN} --out run {ENDLESS}"));
        signal(&mut child, &dir, name, 0);
        let text = child.ends_as(Some(code));
        let step = newest(&dir, "run").unwrap().position.step;
        let told = text.contains(&format!("stopped at step {step} ")) && text.contains("--resume run");
        assert!(step > 0 && told, "{name}: {text}");
    }
}

#[cfg(unix)]
#[test]
fn what_was_ignored_from_the_start_stays_ignored() {
    if adapter("ignored signals").is_none() {
        return;
    }
    let dir = empty("nohup");
    // As nohup does, and as a shell does with what it starts in the background.
    let shell = ["sh", "-c", "trap '' HUP INT; exec \"$@\"", "sh"];
    let mut child = start_by(&dir, &shell, &format!("{TRAIN} --out run {ENDLESS}"));
    signal(&mut child, &dir, "-HUP", 0);
    signal(&mut child, &dir, "-INT", 0);
    // It trains on until a signal comes that nobody ignored.
    let step = logged(&dir, "run");
    signal(&mut child, &dir, "-TERM", step + 10);
    let text = child.ends_as(Some(143));
    assert!(newest(&dir, "run").unwrap().position.step > step + 10, "{text}");
}

#[cfg(unix)]
#[test]
fn nobody_needs_to_read_what_is_printed() {
    if adapter("closed pipes").is_none() {
        return;
    }
    let dir = empty("pipe");
    let unread = |typed: &str| {
        let mut child =
            command(&dir, &[], typed).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The pipes' other ends are closed before anything is written.
        drop((child.stdout.take(), child.stderr.take()));
        let status = child.wait().unwrap();
        assert!(status.success(), "{typed}: {status}");
    };
    unread(&format!("{TRAIN} --out run --epochs 1"));
    assert!(dir.join("run/summary.txt").is_file());
    unread("vae evaluate --run run --k 2 --images 20 --json bound.json");
    assert!(crate::commands::json(&dir.join("bound.json")).is_object());
    unread("vae sample --run run");
    assert!(dir.join("run/samples.png").is_file());
    run(&dir, "vae reconstruct --run run");
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_is_lost_is_an_error_at_the_end() {
    if adapter("a full device").is_none() {
        return;
    }
    let dir = empty("full");
    let lost = |typed: &str| {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let ended = command(&dir, &[], typed).stdout(full).stderr(Stdio::piped()).output().unwrap();
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{typed}: {told}");
        let last = told.lines().last().unwrap();
        assert!(
            last.starts_with("Error: standard output cannot be written (No space left"),
            "{typed}: {told}"
        );
    };
    // Nothing of a training is lost.
    lost(&format!("{TRAIN} --out run --epochs 1"));
    assert!(dir.join("run/summary.txt").is_file());
    lost("vae evaluate --run run --k 2 --images 20 --json bound.json");
    assert!(crate::commands::json(&dir.join("bound.json")).is_object());
    lost("vae sample --run run");
    assert!(dir.join("run/samples.png").is_file());
    lost("vae train --plan");
}

/// Options of a model of one layer.
#[derive(Args, Clone, Serialize, Deserialize)]
struct Tiny {
    #[command(flatten)]
    #[serde(flatten)]
    recipe: Recipe,
}

impl Options for Tiny {
    const MODEL: &'static str = "tiny";

    fn recipe(&mut self) -> &mut Recipe {
        &mut self.recipe
    }

    fn weights(&self, _: [usize; 3], _: usize) -> Result<Vec<String>> {
        Ok(["layer.weight", "layer.bias"].map(String::from).into())
    }
}

#[derive(Parser)]
struct TinyCommand {
    #[command(flatten)]
    train: Train<Tiny>,
}

/// Calls `look` after every step, `report` after every epoch.
struct Looking<'a, L, R> {
    session: &'a Session,
    look: L,
    report: R,
}

impl<L: FnMut(u64) -> Measured, R: FnMut(&Session, &EpochEnd<'_>) -> Measured> Observer
    for Looking<'_, L, R>
{
    fn every(&self) -> Option<u64> {
        Some(1)
    }

    fn look(&mut self, _: &RunDir, step: u64) -> Measured {
        (self.look)(step)
    }

    fn report(&mut self, at: &EpochEnd<'_>) -> Measured {
        (self.report)(self.session, at)
    }
}

/// Trains a model of one layer in this process; `look` is called after every step, `report` after every epoch.
fn train(
    typed: &str,
    folder: &Path,
    look: impl FnMut(u64) -> Measured,
    report: impl FnMut(&Session, &EpochEnd<'_>) -> Measured,
) -> Result<Option<RunDir>> {
    let mut args: Vec<String> = typed.split(' ').map(String::from).collect();
    args.push(folder.display().to_string());
    args.extend(std::env::var("ONEIRO_ADAPTER").map(|a| format!("--adapter={a}")));
    let (session, options) = Session::open(TinyCommand::parse_from(args).train)?;
    let g = Graph::new();
    let layer = Linear::new(&g, "layer", 784, 1);
    let x = batch(&g, &session.set.train, options.recipe.batch as usize, None);
    let loss = layer.forward(x).square().sum(&[0, 1]);
    Optimizer::sgd(1e-6, 0.0).step("tiny", loss, &layer.params());
    let round = Round::new(&g, &vec![("loss", loss)], session.gpu.caps())?;
    let state = session.state(&round, &[])?;
    let (session, mut looking) = (&session, Looking { session: &session, look, report });
    Trainer { session, state: &state, round: &round, unit: "", curves: 1, scored: true }.run(&mut looking)
}

/// Looks at nothing between steps.
fn quiet(_: u64) -> Measured {
    Ok(vec![])
}

#[test]
fn a_lost_device_leaves_the_run_and_says_how_to_go_on() {
    if adapter("losing the device").is_none() {
        return;
    }
    let dir = empty("lost");
    let mut epochs = 0;
    let lost = train("tiny --epochs 4 --batch 2000 --out", &dir.join("run"), quiet, |session, _| {
        epochs += 1;
        if epochs == 2 {
            session.gpu.device.destroy();
        }
        Ok(vec![])
    });
    let (text, saved) = (lost.map(drop).unwrap_err().to_string(), newest(&dir, "run").unwrap().position.step);
    assert!(saved > 0 && epochs == 2, "{epochs} epochs, saved at {saved}");
    assert!(
        text.contains("lost") && text.contains(&format!("at step {saved}: go on with --resume")),
        "{text}"
    );
}

/// The number of steps of an epoch of [`train`] with `--batch 500`.
const EPOCH: u64 = 40;

/// Runs of two epochs that end badly at step `at`, by a panic or else an error; then they go on to the end.
fn ends_badly_and_goes_on(dir: &Folder, at: u64, panics: bool) {
    let name = format!("{}-{at}", if panics { "panic" } else { "error" });
    let bad = |step: u64| match step == at {
        true if panics => panic!("as the test wants it"),
        true => Err(oneiro::error::Error::new("as the test wants it")),
        false => Ok(vec![]),
    };
    let look = |step: u64| if step.is_multiple_of(EPOCH) { Ok(vec![]) } else { bad(step) };
    let typed = "tiny --epochs 2 --batch 500 --out";
    let ended = catch_unwind(AssertUnwindSafe(|| {
        train(typed, &dir.join(&name), look, |_, at| bad(at.step)).map(drop)
    }));
    match ended {
        Ok(ended) => assert!(!panics && ended.unwrap_err().to_string().contains("as the test wants it")),
        Err(panic) => assert_eq!(panic.downcast_ref(), Some(&"as the test wants it")),
    }
    assert_eq!(newest(dir, &name).unwrap().position.step, at, "{name}");
    let mut reports = vec![];
    let done = train("tiny --resume", &dir.join(&name), quiet, |_, at| {
        reports.push((at.step, at.means.to_vec()));
        Ok(vec![])
    });
    done.unwrap().unwrap();
    let whole = newest(dir, "whole").unwrap();
    assert_eq!(newest(dir, &name).unwrap(), whole, "{name}");
    // The report of an epoch that ended in the failure is made up for.
    assert_eq!(
        reports.iter().map(|r| r.0).collect::<Vec<_>>(),
        if at > EPOCH { vec![2 * EPOCH] } else { vec![EPOCH, 2 * EPOCH] }
    );
}

#[test]
fn what_was_trained_before_a_panic_or_an_error_is_saved() {
    if adapter("panics").is_none() {
        return;
    }
    let dir = empty("panic");
    let mut steps = vec![];
    train("tiny --epochs 2 --batch 500 --out", &dir.join("whole"), quiet, |_, at| {
        steps.push(at.step);
        Ok(vec![])
    })
    .unwrap()
    .unwrap();
    assert_eq!(steps, [EPOCH, 2 * EPOCH]);
    for panics in [true, false] {
        for at in [5, EPOCH, EPOCH + 3, 2 * EPOCH] {
            ends_badly_and_goes_on(&dir, at, panics);
        }
    }
}

#[test]
fn a_finished_run_has_nothing_to_do_and_stays_as_it_is() {
    if adapter("finished runs").is_none() {
        return;
    }
    let dir = empty("finished");
    let folder = dir.join("run");
    train("tiny --epochs 3 --steps 8 --batch 500 --out", &folder, quiet, |_, _| Ok(vec![])).unwrap().unwrap();
    assert_eq!(newest(&dir, "run").unwrap().position.step, 8);
    let read = || {
        let files = ["config.toml", "metrics.jsonl", "summary.txt", "loss.png", "weights.safetensors"];
        files.map(|name| {
            (
                std::fs::read(folder.join(name)).unwrap(),
                folder.join(name).metadata().unwrap().modified().unwrap(),
            )
        })
    };
    let before = read();
    for typed in ["tiny --resume", "tiny --steps 8 --keep 2 --resume", "tiny --steps 5 --resume"] {
        assert!(train(typed, &folder, quiet, |_, _| Ok(vec![])).unwrap().is_none(), "{typed}");
    }
    assert!(read() == before);
    train("tiny --steps 9 --resume", &folder, quiet, |_, _| Ok(vec![])).unwrap().unwrap();
    assert_eq!(newest(&dir, "run").unwrap().position.step, 9);
}

#[test]
fn a_plan_that_is_only_printed_uploads_no_images() {
    if adapter("--plan").is_none() {
        return;
    }
    let dir = empty("plan");
    let held = |typed: &str| {
        let mut args: Vec<String> = typed.split(' ').map(String::from).collect();
        args.push(dir.join("run").display().to_string());
        args.extend(std::env::var("ONEIRO_ADAPTER").map(|a| format!("--adapter={a}")));
        let (session, _) = Session::open(TinyCommand::parse_from(args).train).unwrap();
        session.gpu.device.get_internal_counters().hal.buffer_memory.read()
    };
    // The glyphs have 15 MB.
    let (all, none) = (held("tiny --out"), held("tiny --plan --out"));
    assert!(all > 15_000_000 && none < 1_000_000, "{all} and {none} bytes");
    assert!(!dir.join("run").exists());
}
