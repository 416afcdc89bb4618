//! Tricks of the trade of GANs, one by one on one small DCGAN: what helps, and what does not (Chintala et al. 2016,
//! "How to Train a GAN?", <https://github.com/soumith/ganhacks>).
//!
//! Each run trains and is evaluated by the example's own commands. What is measured stays in `target/ganhacks`, so that
//! a measurement that was stopped goes on where it was, run by run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::{Failure, at_home, cargo, root, runtime};

/// Where the runs and the table go.
const FOLDER: &str = "target/ganhacks";
/// What all runs have in common: about 20 s of training on one core, and 5 s of evaluation.
const COMMON: &str = "--features 8 --latent 32 --batch 32 --lr 0.002 --steps 300";
/// The number of pictures that are judged.
const PICTURES: u32 = 1000;
/// The seeds of each trick, and of the baseline, with which all tricks are compared.
const SEEDS: u32 = 3;
const OF_BASELINE: u32 = 6;

/// A trick: its name, and what it adds to the command line.
struct Trick {
    name: &'static str,
    options: &'static str,
}

const TRICKS: [Trick; 21] = [
    Trick { name: "baseline", options: "" },
    Trick { name: "minimax", options: "--loss minimax" },
    Trick { name: "least-squares", options: "--loss least-squares" },
    Trick { name: "hinge", options: "--loss hinge" },
    Trick { name: "uniform-prior", options: "--prior uniform" },
    Trick { name: "no-norm", options: "--norm none" },
    Trick { name: "relu", options: "--activation relu" },
    Trick { name: "smooth", options: "--smooth 0.1" },
    Trick { name: "soft-labels", options: "--real-label 0.7..1.2 --fake-label 0..0.3" },
    Trick { name: "noisy-labels", options: "--flip 0.05" },
    Trick { name: "stddev", options: "--minibatch-stddev" },
    Trick { name: "sgd", options: "--optimizer-discriminator sgd --lr-discriminator 0.05" },
    Trick { name: "history", options: "--history 512" },
    Trick { name: "instance-noise", options: "--instance-noise 0.1" },
    Trick { name: "hidden-noise", options: "--noise-discriminator 0.5" },
    Trick { name: "dropout", options: "--dropout-generator 0.5" },
    Trick { name: "two-steps", options: "--discriminator-steps 2" },
    Trick { name: "fast-discriminator", options: "--lr-discriminator 0.004" },
    Trick { name: "spectral", options: "--spectral" },
    Trick { name: "average", options: "--ema 0.98" },
    Trick { name: "conditional", options: "--conditional" },
];

impl Trick {
    fn seeds(&self) -> u32 {
        if self.options.is_empty() { OF_BASELINE } else { SEEDS }
    }
}

/// The figures of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Score {
    fid: f64,
    /// The classes covered, of ten.
    covered: f64,
    /// The Kullback-Leibler divergence of the drawn classes to even ones, in nats.
    uneven: f64,
}

/// Measures the tricks that were asked for, all of them if none was, and writes the table of all that are measured.
pub(crate) fn run(asked: &[String], data: &str) -> Result<(), Failure> {
    if let Some(other) = asked.iter().find(|name| TRICKS.iter().all(|trick| trick.name != **name)) {
        let known: Vec<&str> = TRICKS.iter().map(|trick| trick.name).collect();
        return Err(Failure::new(format!("no trick `{other}`; there are {}", known.join(", "))));
    }
    cargo(&"build --release --example dcgan".split(' ').map(String::from).collect::<Vec<_>>())?;
    // A path is the user's, wherever the programs run.
    let data = fs::canonicalize(data).map_or(data.into(), |path| path.to_string_lossy().into_owned());
    let chosen =
        TRICKS.iter().filter(|trick| asked.is_empty() || asked.iter().any(|name| name == trick.name));
    // Seed by seed, so that a table of all tricks stands early.
    let mut runs: Vec<(u32, &Trick)> =
        chosen.flat_map(|trick| (0..trick.seeds()).map(move |seed| (seed, trick))).collect();
    runs.sort_by_key(|(seed, _)| *seed);
    let begun = Instant::now();
    for (done, (seed, trick)) in runs.iter().enumerate() {
        let score = measure(trick, *seed, &data)?;
        let (minutes, name) = (begun.elapsed().as_secs_f64() / 60.0, trick.name);
        let (fid, at) = (score.fid, done + 1);
        println!("[{at}/{}] {name}, seed {seed}: FID {fid:.1}  ({minutes:.1} minutes)", runs.len());
    }
    let table = table(&data)?;
    let path = root().join(FOLDER).join("table.md");
    fs::write(&path, &table).map_err(|e| Failure::new(format!("cannot write {}: {e}", path.display())))?;
    println!("\n{table}\n{}", path.display());
    Ok(())
}

/// The folder of a run.
fn folder(trick: &Trick, seed: u32) -> PathBuf {
    root().join(FOLDER).join(format!("{}-{seed}", trick.name))
}

/// The words that train a run, but for where the data and the run lie.
fn recipe(trick: &Trick, seed: u32) -> String {
    format!("train {COMMON} {} --seed {seed}", trick.options)
}

/// Names the recipe and the data that a run's figures belong to.
fn origin(trick: &Trick, seed: u32, data: &str) -> String {
    format!("{} --data {data}", recipe(trick, seed))
}

/// Trains and evaluates a run, unless that was done already.
fn measure(trick: &Trick, seed: u32, data: &str) -> Result<Score, Failure> {
    if let Some(score) = kept(trick, seed, data) {
        return Ok(score);
    }
    let (folder, recipe) = (folder(trick, seed), recipe(trick, seed));
    let (run, report) = (path(&folder), path(&folder.join("report.json")));
    let mut train: Vec<&str> = recipe.split_whitespace().collect();
    train.extend(["--data", data, "--out", &run, "--overwrite"]);
    let evaluate = format!("evaluate --count {PICTURES} --fid --run {run} --json {report}");
    dcgan(&train)?;
    dcgan(&evaluate.split(' ').collect::<Vec<_>>())?;
    let note = folder.join("recipe.txt");
    let origin = origin(trick, seed, data);
    fs::write(&note, &origin).map_err(|e| Failure::new(format!("cannot write {}: {e}", note.display())))?;
    kept(trick, seed, data).ok_or_else(|| Failure::new(format!("{report} holds no FID")))
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// What a run of this recipe came to on these data, if it is at hand.
fn kept(trick: &Trick, seed: u32, data: &str) -> Option<Score> {
    let folder = folder(trick, seed);
    let same = fs::read_to_string(folder.join("recipe.txt")).ok()? == origin(trick, seed, data);
    score(&fs::read_to_string(folder.join("report.json")).ok().filter(|_| same)?)
}

/// The figures of the drawn pictures in a report of `evaluate --json`.
fn score(report: &str) -> Option<Score> {
    let pictures = report.split_once("\"pictures\": {")?.1;
    let value = |name: &str| {
        let rest = pictures.split_once(&format!("\"{name}\": "))?.1;
        rest.split([',', '\n']).next()?.trim().parse().ok()
    };
    let (fid, covered) = (value("fid")?, value("classes_covered")?);
    Some(Score { fid, covered, uneven: value("kl_to_uniform_nats")? })
}

/// Runs the example, and shows what it prints only if it fails.
fn dcgan(args: &[&str]) -> Result<(), Failure> {
    let here = std::env::current_exe().map_err(|e| Failure::new(format!("cannot find dcgan: {e}")))?;
    let program = here.with_file_name("").join("../release/examples/dcgan");
    let mut command = Command::new(&program);
    at_home(command.args(args));
    let runtime = runtime::Private::where_needed();
    runtime.iter().for_each(|folder| folder.give(&mut command));
    let output =
        command.output().map_err(|e| Failure::new(format!("cannot run {}: {e}", program.display())))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("dcgan {} failed:\n{}", args.join(" "), text.trim_end())))
}

/// The table of all tricks of which every seed is measured, in Markdown.
fn table(data: &str) -> Result<String, Failure> {
    let scores =
        |trick: &Trick| (0..trick.seeds()).map(|seed| kept(trick, seed, data)).collect::<Option<Vec<_>>>();
    let baseline = scores(&TRICKS[0]);
    let mut lines = vec![
        "| trick | options | FID, mean ± spread of the seeds | classes covered | KL to even classes, nats | against the \
         baseline |"
            .to_string(),
        "|---|---|---|---|---|---|".into(),
    ];
    for trick in &TRICKS {
        let Some(found) = scores(trick) else { continue };
        let judged = baseline.as_ref().map_or("–", |baseline| against(baseline, &found));
        let judged = if trick.options.is_empty() { "–" } else { judged };
        lines.push(row(trick, &found, judged));
    }
    Ok(lines.join("\n") + "\n")
}

fn row(trick: &Trick, found: &[Score], judged: &str) -> String {
    let each = |of: fn(&Score) -> f64| found.iter().map(of).collect::<Vec<f64>>();
    let (fid, uneven) = (spread(&each(|s| s.fid)), spread(&each(|s| s.uneven)));
    let covered = mean(&each(|s| s.covered));
    let options = if trick.options.is_empty() { "–".into() } else { format!("`{}`", trick.options) };
    let (name, [fid, around], [uneven, about]) = (trick.name, fid, uneven);
    format!(
        "| {name} | {options} | {fid:.0} ± {around:.0} | {covered:.1} | {uneven:.2} ± {about:.2} | {judged} |"
    )
}

/// A trick counts as better or worse if all its FIDs lie on one side of all of the baseline's. Of three runs beside six
/// that do not differ, that happens by chance once in 84 tries on either side.
fn against(baseline: &[Score], found: &[Score]) -> &'static str {
    let ends = |scores: &[Score]| {
        let fids = || scores.iter().map(|score| score.fid);
        [fids().fold(f64::INFINITY, f64::min), fids().fold(f64::NEG_INFINITY, f64::max)]
    };
    let ([least, largest], [low, high]) = (ends(baseline), ends(found));
    match () {
        () if high < least => "better",
        () if low > largest => "worse",
        () => "no effect shown",
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The mean and the sample standard deviation.
fn spread(values: &[f64]) -> [f64; 2] {
    let (mean, n) = (mean(values), values.len() as f64);
    [mean, (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(fids: &[f64]) -> Vec<Score> {
        fids.iter().map(|&fid| Score { fid, covered: 9.0, uneven: 0.25 }).collect()
    }

    #[test]
    fn reports_are_read_and_rows_written() {
        let report = "{\n  \"floor\": {\n    \"classes_covered\": 10,\n    \"fid\": 9.15\n  },\n  \"pictures\": {\n    \
                      \"classes_covered\": 9,\n    \"fid\": 163.5,\n    \"kl_to_uniform_nats\": 0.25\n  }\n}";
        assert_eq!(score(report), Some(scores(&[163.5])[0]));
        assert_eq!(score(&report.replace("163.5", "null")), None);
        let row = row(&TRICKS[7], &scores(&[100.0, 102.0, 104.0]), "better");
        assert_eq!(row, "| smooth | `--smooth 0.1` | 102 ± 2 | 9.0 | 0.25 ± 0.00 | better |");
    }

    #[test]
    fn only_what_lies_apart_from_the_baseline_has_an_effect() {
        let baseline = scores(&[100.0, 120.0, 110.0]);
        for (fids, judged) in
            [([90.0, 99.0], "better"), ([121.0, 130.0], "worse"), ([90.0, 101.0], "no effect shown")]
        {
            assert_eq!(against(&baseline, &scores(&fids)), judged);
        }
    }

    #[test]
    fn tricks_differ_by_their_names_and_options() {
        let all =
            |of: fn(&Trick) -> &str| TRICKS.iter().map(of).collect::<std::collections::BTreeSet<_>>().len();
        assert_eq!([all(|trick| trick.name), all(|trick| trick.options)], [TRICKS.len(); 2]);
        assert!(TRICKS[0].options.is_empty());
    }
}
