//! The long measurements, which tests and CI leave out. Each prints its result, and fails if the result is wrong.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Failure, Shown, cargo_with, ganhacks, root};

/// The help of `cargo xtask figures`.
pub(crate) const HELP: &str = "\
The long measurements that tests and CI leave out. Without options: 200 kills of runs that checkpoint every step,
10,000 steps of soak, every op's cases, the benchmark.

    cargo xtask figures [OPTIONS]

    --soak               10,000 steps of a VAE, 5,000 of a PixelCNN and 2,000 rounds of a GAN, the last two with
                         streamed data and checkpoints, in constant memory; 500 kills of runs of all three
    --fuzz [READER]...   fuzz the readers of foreign bytes one after the other, guided by coverage; all of them if
                         none is named. It needs cargo-fuzz: cargo install cargo-fuzz --locked
    --minutes N          minutes of fuzzing for each reader [default: 20]
    --corpus DIR         the folder of the inputs that the fuzzer keeps [default: target/fuzz/corpus]
    --ganhacks [TRICK].. train a small DCGAN on MNIST with each trick of the trade alone, three seeds each, all of them
                         if none is named, and write a table of FIDs and classes covered; it goes on where it was
                         stopped, and takes about half an hour of one core on Mesa's software driver
    --data NAME|DIR      the data set of these runs [default: mnist]
";

/// What the package of the fuzzing is, and where its own files go.
const FUZZ: &str = "kernels-tests/fuzz";
const BUILT: &str = "target/fuzz";
/// The largest input that the fuzzer makes, in bytes: the smallest archive of CIFAR-10 takes 50 kB.
const LARGEST: u32 = 65_536;

/// What is measured.
#[derive(Debug, PartialEq)]
pub(crate) enum Figures {
    Usual,
    Soak,
    Fuzz { readers: Vec<String>, minutes: f64, corpus: String },
    Ganhacks { tricks: Vec<String>, data: String },
}

impl Figures {
    /// Reads the options that were typed after `figures`.
    pub(crate) fn parse(typed: &[String]) -> Result<Self, Failure> {
        let wrong = |what: String| Failure::new(format!("figures: {what}; see `cargo xtask figures --help`"));
        let (mut minutes, mut corpus) = (20.0, format!("{BUILT}/corpus"));
        let mut words = typed.iter();
        let (mut chosen, mut named, mut data) = (vec![], vec![], String::from("mnist"));
        while let Some(word) = words.next() {
            match word.as_str() {
                "--soak" | "--fuzz" | "--ganhacks" => chosen.push(word.as_str()),
                "--data" => {
                    data = words.next().ok_or_else(|| wrong("--data wants a data set".into()))?.clone()
                }
                "--minutes" => {
                    let number =
                        words.next().and_then(|n| n.parse().ok()).filter(|n| (0.01..1e6).contains(n));
                    minutes = number.ok_or_else(|| wrong("--minutes wants a number above 0".into()))?;
                }
                "--corpus" => {
                    corpus = words.next().ok_or_else(|| wrong("--corpus wants a folder".into()))?.clone()
                }
                name if !name.starts_with('-') && matches!(chosen[..], ["--fuzz" | "--ganhacks"]) => {
                    named.push(name.to_string());
                }
                _ => return Err(wrong(format!("no option `{word}`"))),
            }
        }
        match chosen[..] {
            [] => Ok(Self::Usual),
            ["--soak"] => Ok(Self::Soak),
            ["--fuzz"] => Ok(Self::Fuzz { readers: named, minutes, corpus }),
            ["--ganhacks"] => Ok(Self::Ganhacks { tricks: named, data }),
            _ => Err(wrong(format!("{} are several measurements; give one", chosen.join(" and ")))),
        }
    }

    /// Whether a device is needed.
    pub(crate) fn needs_device(&self) -> bool {
        !matches!(self, Self::Fuzz { .. })
    }

    pub(crate) fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Usual => usual(),
            Self::Soak => soak(),
            Self::Fuzz { readers, minutes, corpus } => fuzz(readers, *minutes, &root().join(corpus)),
            Self::Ganhacks { tricks, data } => ganhacks::run(tricks, data),
        }
    }
}

const TEST: &str = "test --release --test kernels-tests";

fn cargo(args: &str, variables: &[(&str, &str)]) -> Result<(), Failure> {
    let args: Vec<String> = args.split(' ').map(String::from).collect();
    cargo_with(&args, variables, Shown::Everything)
}

fn usual() -> Result<(), Failure> {
    cargo("build --release --examples", &[])?;
    cargo(&format!("{TEST} a_kill_at_any_moment -- --nocapture"), &[("ONEIRO_KILLS", "200")])?;
    cargo(&format!("{TEST} a_long_run -- --nocapture"), &[("ONEIRO_SOAK", "10000")])?;
    cargo(&format!("{TEST} all_op_cases -- --nocapture"), &[])?;
    cargo("run --release --package bench -- --json target/bench.json", &[])?;
    cargo("run --release --package bench -- --model vae --launches", &[])
}

fn soak() -> Result<(), Failure> {
    cargo("build --release --examples", &[])?;
    cargo(&format!("{TEST} a_long_run -- --nocapture"), &[("ONEIRO_SOAK", "10000")])?;
    cargo(&format!("{TEST} long_streamed_runs -- --nocapture"), &[("ONEIRO_SOAK_STREAMED", "1")])?;
    cargo(&format!("{TEST} a_kill_at_any_moment -- --nocapture"), &[("ONEIRO_KILLS", "500")])
}

/// Fuzzes the readers and prints a row of a table for each.
fn fuzz(asked: &[String], minutes: f64, corpus: &Path) -> Result<(), Failure> {
    let installed = Command::new("cargo-fuzz").arg("--version").output().is_ok_and(|o| o.status.success());
    if !installed {
        return Err(Failure::new("cargo-fuzz is missing; install it by `cargo install cargo-fuzz --locked`"));
    }
    let mut known = names()?;
    if let Some(other) = asked.iter().find(|name| !known.contains(name)) {
        return Err(Failure::new(format!("no reader `{other}`; there are {}", known.join(", "))));
    }
    known.retain(|name| asked.is_empty() || asked.contains(name));
    // The readers need no sanitizer, since there is no unsafe code in them; so any compiler will do.
    let common = ["--fuzz-dir", FUZZ, "--target-dir", BUILT, "-s", "none", "readers"];
    let build = [["fuzz", "build"].as_slice(), &common].concat();
    cargo(&build.join(" "), &[])?;
    let mut table = vec![format!("{:14} {:>10} {:>9} {:>7}  found", "reader", "inputs", "edges", "kept")];
    let mut all_good = true;
    for name in &known {
        let (row, good) = one(name, &common, minutes, &corpus.join(name))?;
        all_good &= good;
        println!("{row}");
        table.push(row);
    }
    println!("\n{minutes} minutes each:\n{}", table.join("\n"));
    if all_good { Ok(()) } else { Err(Failure::new("some inputs broke their readers; each is named above")) }
}

/// The readers' names: those of the folders with their seeds.
fn names() -> Result<Vec<String>, Failure> {
    let folder = root().join(FUZZ).join("seeds");
    let entries = std::fs::read_dir(&folder)
        .map_err(|e| Failure::new(format!("cannot read {}: {e}", folder.display())))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// Fuzzes one reader, and returns its row of the table and whether it took every input well.
fn one(name: &str, common: &[&str], minutes: f64, corpus: &Path) -> Result<(String, bool), Failure> {
    let unwritable = |e| Failure::new(format!("cannot write {}: {e}", corpus.display()));
    std::fs::create_dir_all(corpus).map_err(unwritable)?;
    let mut command = Command::new("cargo-fuzz");
    command.current_dir(root()).args(["fuzz", "run"]).args(common).arg(corpus);
    command.arg(root().join(FUZZ).join("seeds").join(name)).arg("--");
    command.arg(format!("-max_total_time={}", (minutes * 60.0).ceil() as u64));
    command.arg(format!("-max_len={LARGEST}")).args([
        "-timeout=10",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
    ]);
    command.arg(format!("-artifact_prefix={}/broke-", corpus.with_file_name("").display()));
    println!("> ONEIRO_READER={name} {command:?}");
    command.env("ONEIRO_READER", name).stderr(Stdio::piped());
    let output = command.output().map_err(|e| Failure::new(format!("cannot run cargo fuzz: {e}")))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let after = |word: &str| {
        let value = text.rsplit_once(word).and_then(|(_, rest)| rest.split_whitespace().next());
        value.unwrap_or("?").to_string()
    };
    let inputs = after("stat::number_of_executed_units:");
    let found = match text.rsplit_once("Test unit written to ") {
        Some((_, path)) => format!("broken by {}", path.lines().next().unwrap_or_default()),
        None if output.status.success() => "nothing".to_string(),
        None => {
            text.lines().rev().take(20).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
        }
    };
    let (edges, kept) = (after("cov: "), after("corp: "));
    Ok((format!("{name:14} {inputs:>10} {edges:>9} {kept:>7}  {found}"), output.status.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(typed: &str) -> Result<Figures, String> {
        let words: Vec<String> = typed.split_whitespace().map(String::from).collect();
        Figures::parse(&words).map_err(|failure| failure.text.unwrap())
    }

    #[test]
    fn options_are_understood_or_named() {
        assert_eq!(parse(""), Ok(Figures::Usual));
        assert_eq!(parse("--soak"), Ok(Figures::Soak));
        let fuzz = |readers: &[&str], minutes, corpus: &str| {
            let readers = readers.iter().map(|name| name.to_string()).collect();
            Ok(Figures::Fuzz { readers, minutes, corpus: corpus.into() })
        };
        assert_eq!(parse("--fuzz"), fuzz(&[], 20.0, "target/fuzz/corpus"));
        assert_eq!(parse("--fuzz idx png --minutes 0.5 --corpus x"), fuzz(&["idx", "png"], 0.5, "x"));
        let ganhacks = |tricks: &[&str], data: &str| {
            let tricks = tricks.iter().map(|name| name.to_string()).collect();
            Ok(Figures::Ganhacks { tricks, data: data.into() })
        };
        assert_eq!(parse("--ganhacks"), ganhacks(&[], "mnist"));
        assert_eq!(parse("--ganhacks smooth sgd --data x"), ganhacks(&["smooth", "sgd"], "x"));
        for (typed, named) in [
            ("--soak --fuzz", "give one"),
            ("--fuzz --ganhacks", "give one"),
            ("--ganhacks --data", "--data wants"),
            ("--fuzz --minutes none", "--minutes wants"),
            ("--fuzz --corpus", "--corpus wants"),
            ("idx", "`idx`"),
            ("--fuz", "`--fuz`"),
        ] {
            assert!(parse(typed).unwrap_err().contains(named), "{typed}");
        }
    }
}
