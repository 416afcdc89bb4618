//! Random command lines: options of each program's own `--help` with values that fit and that do not. Each line is a
//! result or an error, and never a panic, a signal or a process without an end.

use crate::{
    commands::{Folder, built, empty, labelled, run},
    harness::say,
    subjects::adapter,
};
use oneiro::rng;
use std::{
    fs::File,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// The longest time that a line may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Each program, with what makes its training small.
const PROGRAMS: [(&str, &str); 8] = [
    ("autoencoder", "--data . --hidden 8"),
    ("dcgan", "--data . --features 2 --latent 3"),
    ("fvbn", "--data ."),
    ("gan", "--data . --hidden 8 --latent 3"),
    ("pixelcnn", "--data . --features 4 --blocks 1"),
    ("pixelrnn", "--data . --features 2 --head 2"),
    ("vae", "--data . --hidden 8 --latent 2"),
    (SOUNDS, "--data tones --rate 4000 --length 64 --features 2 --skip 2 --head 2 --layers 2 --blocks 1"),
];
/// The program of sounds, and values of its lengths: every sample is a step, and a second of sound has thousands.
const SOUNDS: &str = "wavenet";
const SECONDS: [&str; 8] = ["0.001", "0.005", "0.01", "0", "-1", "nan", "none", ""];
const SAMPLES: [&str; 8] = ["2", "16", "100", "0", "1", "-1", "2097152", ""];
/// Values of all kinds; many fit some option.
const VALUES: [&str; 31] = [
    "0",
    "1",
    "2",
    "3",
    "7",
    "10",
    "-1",
    "0.5",
    "1.5",
    "-0.5",
    "1e-3",
    "1e9",
    "1e400",
    "nan",
    "inf",
    "255",
    "256",
    "65536",
    "4294967296",
    "99999999999999999999",
    "",
    ",",
    "0,1",
    "1,2,3",
    "0,99",
    "none",
    "é∞",
    "./absent",
    "-",
    ".",
    "run",
];
/// Values that fit most options that want a number.
const FITTING: [&str; 5] = ["1", "2", "3", "7", "0.5"];
/// Values of options that say how long a run is, and of sizes that this machine has to hold.
const SMALL: [&str; 8] = ["0", "1", "2", "3", "-1", "0.5", "none", ""];
const LENGTHS: [&str; 4] = ["steps", "epochs", "seconds", "checkpoint-every"];

/// Numbers drawn from a seed.
struct Draw {
    line: u32,
    draws: u32,
}

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.draws += 1;
        rng::threefry2x32([0x0011_2e55, self.line], [0, self.draws])[0] as usize % n
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// An option as the help shows it.
struct Known {
    name: String,
    takes_value: bool,
    /// The values that the help lists, if it lists them.
    values: Vec<String>,
}

/// A subcommand of a program with its options.
struct Subcommand {
    program: usize,
    name: String,
    options: Vec<Known>,
}

fn help(program: &str, subcommand: &[&str]) -> String {
    let output = Command::new(built(program)).args(subcommand).arg("--help").output().unwrap();
    assert!(output.status.success(), "{program} {subcommand:?} --help");
    String::from_utf8(output.stdout).unwrap()
}

fn subcommands(program: usize) -> Vec<Subcommand> {
    let of = PROGRAMS[program].0;
    let text = help(of, &[]);
    let list = text.split("Commands:\n").nth(1).unwrap().lines().take_while(|line| !line.is_empty());
    let names = list.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.map(|line| line.split_whitespace().next().unwrap()).filter(|name| *name != "help");
    names
        .map(|name| Subcommand { program, name: name.into(), options: options(&help(of, &[name])) })
        .collect()
}

/// The options that a help lists, and the values of those that have a list of them.
fn options(help: &str) -> Vec<Known> {
    let mut found: Vec<Known> = vec![];
    for line in help.lines() {
        let (trimmed, spaces) = (line.trim_start(), line.len() - line.trim_start().len());
        if let Some(option) = trimmed.split_once("--").filter(|(before, _)| before.len() <= 4 && spaces <= 8)
        {
            let mut words = option.1.split(' ');
            let name = words.next().unwrap_or_default().trim_end_matches("...").to_string();
            let takes_value = words.next().is_some_and(|word| word.starts_with(['<', '[']));
            found.push(Known { name, takes_value, values: vec![] });
        }
        let listed = trimmed.split_once("[possible values: ").and_then(|(_, rest)| rest.split_once(']'));
        let value = trimmed.strip_prefix("- ").and_then(|rest| rest.split_once(':'));
        let values =
            listed.map(|(list, _)| list.split(", ").collect()).or(value.map(|(value, _)| vec![value]));
        if let (Some(option), Some(values)) = (found.last_mut(), values) {
            option.values.extend(values.into_iter().map(String::from));
        }
    }
    found
}

/// A line: what a subcommand wants to be short and small, unless the line says otherwise, and a few options.
fn line(draw: &mut Draw, subcommand: &Subcommand) -> Vec<String> {
    let (program, small) = PROGRAMS[subcommand.program];
    let given = match subcommand.name.as_str() {
        "train" => format!("--batch 8 --steps 2 --out run-{} {small}", draw.line),
        "sample" | "continue" if program == SOUNDS => format!("--run {program} --seconds 0.01"),
        _ => format!("--run {program}"),
    };
    let mut words: Vec<(String, Option<String>)> = vec![];
    let mut rest = given.split_whitespace();
    while let (Some(name), Some(value)) = (rest.next(), rest.next()) {
        words.push((name.trim_start_matches("--").into(), Some(value.into())));
    }
    for _ in 0..draw.below(5) {
        let option = draw.of(&subcommand.options);
        let values: &[&str] = if LENGTHS.contains(&option.name.as_str()) { &SMALL } else { &VALUES };
        let drawn = program == SOUNDS && subcommand.name != "train";
        let value = match option.takes_value {
            false => None,
            true if drawn && ["seconds", "given"].contains(&option.name.as_str()) => {
                Some(draw.of(&SECONDS).to_string())
            }
            true if program == SOUNDS && option.name == "length" => Some(draw.of(&SAMPLES).to_string()),
            true if !option.values.is_empty() && draw.below(4) > 0 => Some(draw.of(&option.values).clone()),
            true if draw.below(3) == 0 => Some(draw.of(&FITTING).to_string()),
            true => Some(draw.of(values).to_string()),
        };
        // An option that is given twice is an error, which needs only few lines.
        if draw.below(20) > 0 {
            words.retain(|(name, _)| *name != option.name);
        }
        words.push((option.name.clone(), value));
    }
    if subcommand.name == "train" && draw.below(2) == 0 {
        words.push(("plan".into(), None));
    }
    let typed = words.into_iter().flat_map(|(name, value)| [Some(format!("--{name}")), value]);
    [subcommand.name.clone()].into_iter().chain(typed.flatten()).collect()
}

/// Runs a line to its end, and returns its exit code, or what is wrong with that end.
fn end(dir: &Path, number: u32, program: &str, words: &[String]) -> Result<i32, String> {
    let printed = dir.join(format!("printed-{number}"));
    let out = File::create(&printed).unwrap();
    let mut command = Command::new(built(program));
    command.args(words).current_dir(dir).env("XDG_CACHE_HOME", dir.join("cache"));
    command.stdin(Stdio::null()).stderr(out.try_clone().unwrap()).stdout(out);
    let (mut child, began) = (command.spawn().unwrap(), Instant::now());
    let status = loop {
        match child.try_wait().unwrap() {
            None if began.elapsed() > PATIENCE => {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(2)),
            some => break some,
        }
    };
    let text = String::from_utf8_lossy(&std::fs::read(&printed).unwrap()).into_owned();
    match status.map(|status| status.code()) {
        Some(Some(code @ 0..=2)) if !text.contains("panicked at") => Ok(code),
        code => Err(format!("{program} {words:?}: exit code {code:?}\n{text}")),
    }
}

/// A folder with a small data set and a trained run of each program.
fn prepared() -> Folder {
    let dir = empty("lines");
    labelled(&dir);
    for (program, small) in PROGRAMS {
        run(&dir, &format!("{program} train --batch 8 --steps 2 --out {program} {small}"));
    }
    dir
}

/// `ONEIRO_LINES` gives the number of lines.
#[test]
fn random_command_lines_are_results_or_errors() {
    if adapter("command lines").is_none() {
        return;
    }
    let lines = std::env::var("ONEIRO_LINES").map_or(500, |n| n.parse().expect("ONEIRO_LINES is a number"));
    let dir = prepared();
    let all: Vec<Subcommand> = (0..PROGRAMS.len()).flat_map(subcommands).collect();
    assert!(all.len() > 20 && all.iter().all(|s| s.options.len() > 3), "{} subcommands", all.len());
    let next = AtomicU32::new(0);
    let work = || {
        let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let check = |number| {
            let mut draw = Draw { line: number, draws: 0 };
            let subcommand = draw.of(&all);
            let words = line(&mut draw, subcommand);
            end(&dir, number, PROGRAMS[subcommand.program].0, &words)
        };
        numbers.take_while(|&n| n < lines).map(check).collect::<Vec<_>>()
    };
    let ends: Vec<Result<i32, String>> = std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let of = |code| ends.iter().filter(|end| **end == Ok(code)).count() as u32;
    let [results, errors, refused] = [0, 1, 2].map(of);
    let said =
        format!("{lines} lines: {results} results, {errors} errors, {refused} refused by their options");
    say(&said);
    let wrong: Vec<String> = ends.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{} of {lines} lines:\n{}", wrong.len(), wrong.join("\n"));
    // Lines that all end at the options' parser would test little.
    assert!(results > lines / 10 && errors > lines / 50, "{said}");
}
