//! Whole runs of examples, mostly `vae`, as a user starts them: stopped, killed, spoilt, and continued bit for bit.

use crate::{harness::say, models::vae::golden_file, subjects::adapter};
use clap::{Args, Parser};
use oneiro::{
    graph::Graph,
    nn::Linear,
    optim::Optimizer,
    run::{Checkpoint, Checkpoints, Options, Recipe, Session, Train, Trainer},
    train::{Round, batch},
};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const SMALL: [&str; 8] = ["--batch", "32", "--hidden", "16", "--latent", "2", "--seed", "5"];

/// A folder of one test, gone with it unless the test failed.
pub(crate) struct Folder(PathBuf);

impl std::ops::Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

pub(crate) fn empty(name: &str) -> Folder {
    let dir = std::env::temp_dir().join(format!("oneiro-runs-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    Folder(dir)
}

/// `vae train` as built beside this test.
pub(crate) fn train(dir: &Path, args: &[&str]) -> Child {
    example(dir, "vae", "train", args)
}

/// A command of an example as built beside this test.
pub(crate) fn example(dir: &Path, name: &str, subcommand: &str, args: &[&str]) -> Child {
    let built = std::env::current_exe().unwrap().parent().unwrap().with_file_name("examples").join(name);
    assert!(
        built.is_file(),
        "{} is missing: run `cargo xtask test`, which builds the examples too",
        built.display()
    );
    let mut command = Command::new(built);
    if let Ok(adapter) = std::env::var("ONEIRO_ADAPTER") {
        command.args([subcommand, "--adapter", &adapter]);
    } else {
        command.arg(subcommand);
    }
    command.current_dir(dir).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(crate) fn finish(child: Child, good: bool) -> String {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.success(), good, "{text}");
    text
}

pub(crate) fn start(dir: &Path, run: &str, more: &[&str]) -> Child {
    train(dir, &[&SMALL, ["--out", run].as_slice(), more].concat())
}

pub(crate) fn newest(dir: &Path, run: &str) -> Option<Checkpoint> {
    let read = || Checkpoints::new(dir.join(run).join("checkpoints"), 1).newest();
    // The run may delete a file between its being listed and read: a few tries.
    let found = std::iter::repeat_with(read).take(5).find(Result::is_ok).unwrap_or_else(read);
    found.unwrap_or_else(|e| panic!("{run}: {e}")).map(|(checkpoint, _)| checkpoint)
}

/// Waits until the run has a checkpoint of this step or a later one.
pub(crate) fn reach(dir: &Path, run: &str, step: u64) {
    let begun = Instant::now();
    while newest(dir, run).is_none_or(|c| c.position.step < step) {
        assert!(begun.elapsed() < Duration::from_secs(120), "{run} did not reach step {step}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_killed_run_goes_on_bit_for_bit() {
    if adapter("resuming").is_none() {
        return;
    }
    let dir = empty("resume");
    finish(start(&dir, "whole", &["--steps", "200", "--checkpoint-every", "100"]), true);
    let mut child = start(&dir, "killed", &["--steps", "200", "--checkpoint-every", "20"]);
    reach(&dir, "killed", 100);
    child.kill().unwrap();
    child.wait().unwrap();
    let before = newest(&dir, "killed").unwrap().position.step;
    let text = finish(train(&dir, &["--resume", "killed"]), true);
    assert!(text.contains(&format!("going on at step {before}")), "{text}");
    let (whole, killed) = (newest(&dir, "whole").unwrap(), newest(&dir, "killed").unwrap());
    assert_eq!((whole.position.step, before < 200), (200, true));
    assert!(whole == killed, "200 steps differ from {before} + kill + {}", 200 - before);
    let weights = |run: &str| std::fs::read(dir.join(run).join("weights.safetensors")).unwrap();
    assert_eq!(weights("whole"), weights("killed"));
    let metrics = std::fs::read_to_string(dir.join("killed/metrics.jsonl")).unwrap();
    let steps: Vec<u64> =
        metrics.lines().map(|l| l[8..].split(',').next().unwrap().parse().unwrap()).collect();
    assert!(steps.is_sorted() && steps.last() == Some(&200), "{steps:?}");
}

/// `ONEIRO_KILLS` asks for more than the few of every day.
#[test]
fn a_kill_at_any_moment_leaves_a_readable_run() {
    if adapter("killing").is_none() {
        return;
    }
    let kills: u32 =
        std::env::var("ONEIRO_KILLS").map_or(20, |n| n.parse().expect("ONEIRO_KILLS is a number"));
    let dir = empty("kill");
    let mut child = start(&dir, "run", &["--epochs", "1000", "--checkpoint-every", "1"]);
    reach(&dir, "run", 1);
    let mut last = 0;
    for i in 0..kills {
        // Moments spread evenly over the time of a few steps, by the golden ratio.
        std::thread::sleep(Duration::from_micros(
            (f64::from(i) * 0.618_034).fract().mul_add(60_000.0, 1.0) as u64
        ));
        child.kill().unwrap();
        child.wait().unwrap();
        let checkpoint = newest(&dir, "run").expect("a checkpoint is there");
        let step = checkpoint.position.step;
        assert!(step > last, "kill {i}: from step {last} to {step}");
        last = step;
        child = train(&dir, &["--resume", "run", "--checkpoint-every", "1"]);
        reach(&dir, "run", last + 1);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    say(&format!(
        "{kills} kills while checkpointing every step: every run readable, and further than before"
    ));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_with_a_checkpoint_and_says_how_to_go_on() {
    if adapter("Ctrl-C").is_none() {
        return;
    }
    let dir = empty("interrupt");
    let child = start(&dir, "run", &["--epochs", "1000", "--checkpoint-every", "1000000"]);
    reach(&dir, "run", 0);
    std::thread::sleep(Duration::from_secs(3));
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let text = finish(child, true);
    let step = newest(&dir, "run").unwrap().position.step;
    assert!(
        step > 0 && text.contains(&format!("stopped at step {step} ")) && text.contains("--resume run"),
        "{text}"
    );
}

#[test]
fn a_spoilt_loss_names_the_first_bad_tensor() {
    if adapter("NaN").is_none() {
        return;
    }
    let dir = empty("nan");
    let text = finish(start(&dir, "run", &["--steps", "300", "--lr", "1e20"]), false);
    assert!(text.contains("first bad tensor: launch") && text.contains("commands/vae.rs"), "{text}");
    assert!(text.contains("--resume run") && newest(&dir, "run").is_some(), "{text}");
    // Weights that went bad after a finite loss are not saved over the last good ones.
    let text = finish(
        start(&dir, "each", &["--steps", "300", "--lr", "1e20", "--checkpoint-every", "1", "--keep", "1"]),
        false,
    );
    let last = newest(&dir, "each").unwrap();
    assert!(
        text.contains("first bad tensor") && last.first_bad().is_none(),
        "step {}: {text}",
        last.position.step
    );
}

/// 64 images of 6x6 for training and testing, as IDX files.
fn images(dir: &Path, factor: usize) {
    for name in ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte"] {
        let header = [0, 0, 8, 3, 0, 0, 0, 64, 0, 0, 0, 6, 0, 0, 0, 6];
        let pixels = (0..64 * 36).map(|i| (i * factor) as u8);
        std::fs::write(dir.join(name), header.into_iter().chain(pixels).collect::<Vec<u8>>()).unwrap();
    }
}

#[test]
fn a_run_goes_on_only_with_what_it_was() {
    if adapter("other data").is_none() {
        return;
    }
    let dir = empty("changed");
    images(&dir, 7);
    std::fs::create_dir_all(dir.join("elsewhere")).unwrap();
    finish(start(&dir, "run", &["--data", ".", "--steps", "3", "--keep", "7"]), true);
    // The data is found from another folder; the number of checkpoints stays.
    finish(train(&dir.join("elsewhere"), &["--resume", "../run", "--steps", "4"]), true);
    assert!(std::fs::read_to_string(dir.join("run/config.toml")).unwrap().contains("keep = 7"));
    let refused = |what: &str| {
        let text = finish(train(&dir, &["--resume", "run", "--steps", "5"]), false);
        assert!(text.contains(what), "{text}");
    };
    images(&dir, 5);
    refused("not those of the run");
    images(&dir, 7);
    let (checkpoints, aside) = (dir.join("run/checkpoints"), dir.join("aside"));
    let newest = checkpoints.join("step-000000004.safetensors");
    std::fs::rename(&newest, checkpoints.join("mine.safetensors")).unwrap();
    refused("renamed");
    std::fs::rename(checkpoints.join("mine.safetensors"), &newest).unwrap();
    std::fs::rename(&checkpoints, &aside).unwrap();
    refused("no checkpoint");
    std::fs::rename(&aside, &checkpoints).unwrap();
    std::fs::write(checkpoints.join(".step-000000009.safetensors.1.part"), "half").unwrap();
    finish(train(&dir, &["--resume", "run", "--steps", "5"]), true);
    assert!(!checkpoints.join(".step-000000009.safetensors.1.part").exists());
}

#[test]
fn what_is_no_run_is_not_replaced() {
    if adapter("foreign files").is_none() {
        return;
    }
    let dir = empty("foreign");
    std::fs::create_dir_all(dir.join("mine/checkpoints")).unwrap();
    std::fs::write(dir.join("mine/checkpoints/lightning.ckpt"), "theirs").unwrap();
    std::fs::write(dir.join("mine/weights.safetensors"), "theirs").unwrap();
    let text = finish(start(&dir, "mine", &["--steps", "1"]), false);
    assert!(text.contains("weights.safetensors lies where the run would write"), "{text}");
    finish(start(&dir, "mine", &["--steps", "1", "--overwrite"]), true);
    assert_eq!(std::fs::read_to_string(dir.join("mine/checkpoints/lightning.ckpt")).unwrap(), "theirs");
}

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
}

#[derive(Parser)]
struct TinyCommand {
    #[command(flatten)]
    train: Train<Tiny>,
}

#[test]
fn a_lost_device_leaves_the_run_and_says_how_to_go_on() {
    if adapter("losing the device").is_none() {
        return;
    }
    let dir = empty("lost");
    let mut args = vec![
        "tiny".to_string(),
        "--epochs=4".into(),
        "--batch=2000".into(),
        format!("--out={}", dir.join("run").display()),
    ];
    args.extend(std::env::var("ONEIRO_ADAPTER").map(|a| format!("--adapter={a}")));
    let (session, options) = Session::open(TinyCommand::parse_from(args).train).unwrap();
    let g = Graph::new();
    let layer = Linear::new(&g, "layer", 784, 1);
    let x = batch(&g, &session.set.train, options.recipe.batch as usize, None);
    let loss = layer.forward(x).square().sum(&[0, 1]);
    Optimizer::sgd(1e-6, 0.0).step("tiny", loss, &layer.params());
    let round = Round::new(&g, &vec![("loss", loss)], session.gpu.caps()).unwrap();
    let state = session.state(&round, &[]).unwrap();
    let (unit, shown, each) = ("", 1, None);
    let trainer = Trainer { session: &session, state: &state, round: &round, unit, shown, each };
    let mut epochs = 0;
    let lost = trainer.run(|_| {
        epochs += 1;
        if epochs == 2 {
            session.gpu.device.destroy();
        }
        Ok(vec![])
    });
    let (text, saved) = (lost.unwrap_err().to_string(), newest(&dir, "run").unwrap().position.step);
    assert!(saved > 0 && epochs == 2, "{epochs} epochs, saved at {saved}");
    assert!(
        text.contains("lost") && text.contains(&format!("at step {saved}: go on with --resume")),
        "{text}"
    );
}

/// PyTorch's own file, of a VAE for 6x6 images: the run's first checkpoint holds exactly its numbers.
#[test]
fn training_starts_from_weights_that_pytorch_wrote() {
    if adapter("--weights").is_none() {
        return;
    }
    let (dir, file) = (empty("weights"), golden_file("vae_weights.safetensors"));
    images(&dir, 7);
    std::fs::copy(&file, dir.join("theirs.safetensors")).unwrap();
    let run = |hidden: &str, good: bool| {
        let args = [
            "--data",
            ".",
            "--latent",
            "3",
            "--hidden",
            hidden,
            "--batch",
            "16",
            "--steps",
            "1",
            "--out",
            "run",
            "--weights",
            "theirs.safetensors",
        ];
        finish(train(&dir, &args), good)
    };
    let text = run("13", false);
    assert!(text.contains("theirs.safetensors") && text.contains("the model wants [13]"), "{text}");
    run("12", true);
    let first = Checkpoint::load(&dir.join("run/checkpoints/step-000000000.safetensors")).unwrap();
    let theirs = oneiro::weights::load(&file).unwrap();
    assert_eq!(theirs.len(), 10);
    for (name, (_, values)) in theirs {
        let ours = first.values.iter().find(|v| v.0 == name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(bytemuck::cast_slice::<u32, f32>(&ours.2), values, "{name}");
    }
    // It goes on without the file that it began with.
    std::fs::remove_file(dir.join("theirs.safetensors")).unwrap();
    finish(train(&dir, &["--resume", "run", "--steps", "2"]), true);
}

/// The last step that the run's metrics tell of.
fn logged(dir: &Path, run: &str) -> u64 {
    let text = std::fs::read_to_string(dir.join(run).join("metrics.jsonl")).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .last()
        .and_then(|line| line.strip_prefix("{\"step\":")?.split(',').next()?.parse().ok())
        .unwrap_or(0)
}

/// Resident memory after the first epochs against that at the end: `ONEIRO_SOAK=10000` soaks the VAE of the paper's size.
#[cfg(target_os = "linux")]
#[test]
fn a_long_run_needs_no_more_memory() {
    if adapter("soaking").is_none() {
        return;
    }
    let asked = std::env::var("ONEIRO_SOAK").ok();
    let steps: u64 = asked.as_ref().map_or(4_000, |n| n.parse().expect("ONEIRO_SOAK is a number of steps"));
    let from = if asked.is_some() { steps / 10 } else { steps / 5 };
    let dir = empty("soak");
    let size =
        if asked.is_some() { vec!["--out", "run"] } else { [&SMALL, ["--out", "run"].as_slice()].concat() };
    let mut child = train(&dir, &[size.as_slice(), &["--steps", &steps.to_string()]].concat());
    let pages = |child: &Child| -> Option<u64> {
        std::fs::read_to_string(format!("/proc/{}/statm", child.id())).ok()?.split(' ').nth(1)?.parse().ok()
    };
    let (mut early, mut late) = (0, (0, 0));
    while child.try_wait().unwrap().is_none() {
        let (step, now) = (logged(&dir, "run"), pages(&child).unwrap_or(0));
        if step >= from && step < steps && now > 0 {
            early = if early == 0 { now } else { early };
            late = (step, now);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    finish(child, true);
    let growth = late.1 as f64 / early as f64 - 1.0;
    say(&format!("resident memory between step {from} and {}: {:+.2} %", late.0, 100.0 * growth));
    assert!(late.0 > steps / 2 && growth < 0.01, "grew from {early} to {} pages", late.1);
}

#[test]
fn bad_requests_lose_nothing() {
    if adapter("bad requests").is_none() {
        return;
    }
    let dir = empty("bad");
    finish(start(&dir, "run", &["--steps", "2"]), true);
    let before = newest(&dir, "run").unwrap();
    for (args, what) in [
        (vec!["--out", "run"], "--overwrite"),
        (vec!["--resume", "run", "--lr", "0.5"], "--lr"),
        (vec!["--resume", "none"], "no such folder"),
        (vec!["--out", "run", "--overwrite", "--data", "nowhere"], "nowhere"),
        (vec!["--out", "run", "--overwrite", "--adapter", "none such"], "found"),
        (vec!["--out", "new", "--weights", "run/config.toml"], "safetensors"),
    ] {
        let text = finish(train(&dir, &args), false);
        assert!(text.contains(what), "{args:?}: {text}");
        assert_eq!(newest(&dir, "run").unwrap(), before, "{args:?}");
    }
}

/// 64 images of 6x6 with labels 0 to 2.
pub(crate) fn labelled(dir: &Path) {
    images(dir, 7);
    for name in ["train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"] {
        let labels = [0, 0, 8, 1, 0, 0, 0, 64].into_iter().chain((0..64).map(|i| i % 3));
        std::fs::write(dir.join(name), labels.collect::<Vec<u8>>()).unwrap();
    }
}

#[test]
fn a_conditional_pixelcnn_trains_resumes_draws_and_scores() {
    if adapter("pixelcnn").is_none() {
        return;
    }
    let dir = empty("pixelcnn");
    labelled(&dir);
    let small = [
        "--data",
        ".",
        "--gated",
        "--conditional",
        "--features",
        "4",
        "--blocks",
        "1",
        "--head",
        "4",
        "--batch",
        "8",
        "--steps",
        "3",
    ];
    finish(
        example(&dir, "pixelcnn", "train", &[&small[..], &["--out", "run", "--dropout", "0.2"]].concat()),
        true,
    );
    // A run of a version that did not know these options goes on.
    let forget = |text: &str| {
        let known = |l: &&str| !["dilations", "components", "classes ="].iter().any(|new| l.starts_with(new));
        text.lines().filter(known).map(|l| format!("{l}\n")).collect::<String>()
    };
    let config = dir.join("run/config.toml");
    std::fs::write(&config, forget(&std::fs::read_to_string(&config).unwrap())).unwrap();
    let text = finish(example(&dir, "pixelcnn", "train", &["--resume", "run", "--steps", "5"]), true);
    assert!(text.contains("going on at step 3"), "{text}");
    let json = dir.join("nll.json");
    let evaluate = ["--run", "run", "--images", "50", "--json", json.to_str().unwrap()];
    let text = finish(example(&dir, "pixelcnn", "evaluate", &evaluate), true);
    assert!(text.contains("class   2: NLL") && text.contains("the likeliest class"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let (own, per_class) = (json["nll"].as_f64().unwrap(), json["nll_per_class"].as_array().unwrap());
    let of = |c: usize| per_class[c].as_f64().unwrap() * [17.0, 17.0, 16.0][c];
    assert!((own - (of(0) + of(1) + of(2)) / 50.0).abs() < 1e-6 && (1.0..40.0).contains(&own), "{json}");
    finish(
        example(&dir, "pixelcnn", "sample", &["--run", "run", "--count", "4", "--class", "1", "--gif"]),
        true,
    );
    finish(example(&dir, "pixelcnn", "complete", &["--run", "run", "--count", "4"]), true);
    for name in ["samples.png", "samples.gif", "completed.png", "given.png", "surprise.png"] {
        assert!(dir.join("run").join(name).is_file(), "{name} is missing");
    }
    for (more, what) in [(["--class", "3"], "there are 3 classes"), (["--class", "999"], "--class")] {
        let text =
            finish(example(&dir, "pixelcnn", "sample", &[&["--run", "run"][..], &more].concat()), false);
        assert!(text.contains(what), "{text}");
    }
    let text = finish(
        example(&dir, "pixelcnn", "train", &["--data", ".", "--conditional", "--out", "other"]),
        false,
    );
    assert!(text.contains("add --gated"), "{text}");
}
