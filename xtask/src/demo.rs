//! The demo: three generative models, which are trained on digits that the program draws itself, and one page
//! that shows their pictures.
//!
//! Everything is made by the examples' own commands, which are printed as they run. The run of each example
//! is in a folder of its name. The page `index.html` lies beside these folders and holds all pictures itself,
//! so it needs no other file.

mod page;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::{Failure, Shown, cargo, cargo_with, root};

/// The help of `cargo xtask demo`.
pub(crate) const HELP: &str = "\
Trains three generative models on digits that the program draws itself, draws from each, and writes one page
with the pictures, the curves and what they show. The page's path is printed last.

    cargo xtask demo [OPTIONS]

    --seconds N          seconds of training, shared by the three models [default: 135]
    --out DIR            the page's folder, with a run of each model in it [default: runs/demo, replaced]
    --overwrite          replace the runs in the folder that --out names
    --seed N             seed of weights, order and noise [default: 0]
    --adapter NAME       part of the adapter's name, or its index; a wrong one lists what was found

Examples:
    cargo xtask demo
    cargo xtask demo --seconds 600                        better digits
    cargo xtask demo --adapter llvmpipe --out runs/slow   the software driver, though there is a GPU
";

/// How cargo builds the demo's examples: without an HTTP client and without decoders of photographs.
const BUILT: [&str; 4] = ["--release", "--no-default-features", "--features", "run"];

/// A model of the demo, and what is done with it.
struct Model {
    /// The name of the example and of the run's folder.
    example: &'static str,
    /// The name that is printed for people.
    name: &'static str,
    /// The model's share of the seconds.
    share: f64,
    /// The options of `train`.
    train: &'static str,
    /// The commands that draw pictures from the trained model, each without `--run`.
    draw: &'static [&'static str],
}

const MODELS: [Model; 3] = [
    Model {
        example: "vae",
        name: "a variational autoencoder",
        share: 0.2,
        train: "--latent 8 --lr 0.003",
        draw: &["sample --count 64", "reconstruct --count 12", "interpolate --count 6"],
    },
    Model {
        example: "pixelcnn",
        name: "a PixelCNN",
        share: 0.5,
        train: "--features 16 --blocks 3 --dilations 2,5,9 --batch 4 --lr 0.01 --decay 0.99925",
        draw: &["sample --count 64 --temperature 0.9", "complete --count 16 --temperature 0.9"],
    },
    Model {
        example: "dcgan",
        name: "a DCGAN",
        share: 0.3,
        train: "--features 8 --batch 32 --lr 0.0008",
        draw: &["sample --count 64", "interpolate --count 6"],
    },
];

/// Builds, trains, draws, and writes the page.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut phases = Phases { done: 0, of: 2 + 2 * MODELS.len() };
    phases.next("building the examples, which takes some minutes the first time");
    cargo(&build())?;
    let (began, seconds) = (Instant::now(), options.seconds);
    for model in &MODELS {
        phases.next(&format!("training {} for {:.0} s", model.name, seconds * model.share));
        cargo(&example(model, &options.train(model)))?;
        phases.next(&format!("drawing from {}", model.name));
        for command in model.draw {
            cargo_with(&example(model, &options.draw(model, command)), &[], Shown::Failure)?;
        }
    }
    phases.next("writing the page");
    let folder = root().join(&options.out);
    let page = page::write(&folder, &options.out, began.elapsed())?;
    println!("\nMade in {}. Open in a browser:\n{}", time(began.elapsed()), page.display());
    Ok(())
}

/// Numbers and prints the phases when they begin.
struct Phases {
    done: usize,
    of: usize,
}

impl Phases {
    fn next(&mut self, what: &str) {
        self.done += 1;
        println!("\n[{}/{}] {what}", self.done, self.of);
    }
}

/// The options of the demo.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    seconds: f64,
    /// The folder of the page: relative to the workspace's root, or absolute.
    out: String,
    overwrite: bool,
    /// The adapter and, below, the seed: every command of an example gets them.
    adapter: Option<String>,
    seed: Option<u64>,
}

impl Options {
    /// Reads the options that were typed after `demo`.
    pub(crate) fn parse(typed: &[String]) -> Result<Self, Failure> {
        let typed = typed.strip_prefix(&["--".to_string()]).unwrap_or(typed);
        let mut options =
            Self { seconds: 135.0, out: "runs/demo".into(), overwrite: true, adapter: None, seed: None };
        let (mut named, mut overwrite) = (false, false);
        let mut words = typed.iter();
        while let Some(word) = words.next() {
            let (option, given) = match word.split_once('=') {
                Some((option, value)) => (option, Some(value.to_string())),
                None => (word.as_str(), None),
            };
            let mut value = || {
                let value = given.clone().or_else(|| words.next().cloned()).filter(|v| !v.is_empty());
                value.ok_or_else(|| wrong(format!("{option} wants a value behind it")))
            };
            match option {
                "--seconds" => options.seconds = seconds(&value()?)?,
                "--out" => (options.out, named) = (value()?, true),
                "--adapter" => options.adapter = Some(value()?),
                "--seed" => {
                    let text = value()?;
                    let seed =
                        text.parse().map_err(|_| wrong(format!("--seed wants a whole number, not `{text}`")));
                    options.seed = Some(seed?);
                }
                "--overwrite" if given.is_none() => overwrite = true,
                _ => return Err(wrong(format!("no option `{word}`"))),
            }
        }
        // The demo may be run again, but a folder that the user named is kept.
        options.overwrite = overwrite || !named;
        Ok(options)
    }

    /// The folder of a model's run.
    fn folder(&self, model: &Model) -> String {
        format!("{}/{}", self.out.trim_end_matches('/'), model.example)
    }

    /// The arguments that train a model.
    fn train(&self, model: &Model) -> Vec<String> {
        let seconds = self.seconds * model.share;
        let mut args = words(&format!("train --data glyphs {} --seconds {seconds:.1} --out", model.train));
        args.push(self.folder(model));
        args.extend(self.seed.iter().flat_map(|seed| ["--seed".into(), seed.to_string()]));
        args.extend(self.overwrite.then(|| "--overwrite".into()));
        args.extend(self.adapter());
        args
    }

    /// The arguments that draw from a trained model.
    fn draw(&self, model: &Model, command: &str) -> Vec<String> {
        let run = ["--run".into(), self.folder(model)];
        words(command).into_iter().chain(run).chain(self.adapter()).collect()
    }

    fn adapter(&self) -> impl Iterator<Item = String> {
        self.adapter.iter().flat_map(|name| ["--adapter".to_string(), name.clone()])
    }
}

fn seconds(text: &str) -> Result<f64, Failure> {
    let number = text.parse().ok().filter(|s| (1.0..=1e6).contains(s));
    number.ok_or_else(|| wrong(format!("--seconds wants a number from 1 on, not `{text}`")))
}

fn wrong(what: String) -> Failure {
    Failure::new(format!("demo: {what}; see `cargo xtask demo --help`"))
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(String::from).collect()
}

/// The arguments of cargo that build all examples of the demo.
fn build() -> Vec<String> {
    let examples = MODELS.iter().flat_map(|model| ["--example", model.example]);
    ["build"].into_iter().chain(BUILT).chain(examples).map(String::from).collect()
}

/// The arguments of cargo that run an example's command.
fn example(model: &Model, command: &[String]) -> Vec<String> {
    let run = ["run", "--quiet"].into_iter().chain(BUILT).chain(["--example", model.example, "--"]);
    run.map(String::from).chain(command.iter().cloned()).collect()
}

/// A time as people read it, such as `2 min 5 s`.
fn time(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// Joins a folder and a path in it, which is written with slashes.
fn within(folder: &Path, path: &str) -> std::path::PathBuf {
    path.split('/').fold(folder.to_owned(), |folder, part| folder.join(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(typed: &str) -> Result<Options, String> {
        let typed: Vec<String> = typed.split_whitespace().map(String::from).collect();
        Options::parse(&typed).map_err(|failure| failure.text.unwrap())
    }

    fn trained(typed: &str) -> Vec<String> {
        let options = parse(typed).unwrap();
        MODELS.iter().map(|model| options.train(model).join(" ")).collect()
    }

    #[test]
    fn without_options_each_model_gets_its_share_of_the_time() {
        let (options, trained) = (parse("").unwrap(), trained(""));
        assert!((MODELS.iter().map(|model| model.share).sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(HELP.contains(&format!("[default: {}]", options.seconds)), "{}", options.seconds);
        for (line, model) in trained.iter().zip(&MODELS) {
            assert!(line.starts_with(&format!("train --data glyphs {}", model.train)), "{line}");
            let seconds = format!("--seconds {:.1}", options.seconds * model.share);
            assert!(line.contains(&seconds), "{line}");
            assert!(line.ends_with(&format!("--out runs/demo/{} --overwrite", model.example)), "{line}");
        }
    }

    #[test]
    fn options_reach_every_command() {
        let options = parse("--seconds=60 --seed 7 --adapter llvmpipe --out runs/x/").unwrap();
        let train = trained("--seconds=60 --seed 7 --adapter llvmpipe --out runs/x/");
        let end = "--seconds 12.0 --out runs/x/vae --seed 7 --adapter llvmpipe";
        assert!(train[0].ends_with(end), "{}", train[0]);
        let draw = options.draw(&MODELS[0], MODELS[0].draw[0]).join(" ");
        assert_eq!(draw, "sample --count 64 --run runs/x/vae --adapter llvmpipe");
    }

    #[test]
    fn a_named_folder_is_replaced_only_if_asked() {
        let overwrite = |typed: &str| parse(typed).unwrap().overwrite;
        assert!(overwrite("") && !overwrite("--out runs/x") && overwrite("--out runs/x --overwrite"));
    }

    #[test]
    fn a_wrong_option_is_one_line_that_names_it() {
        let wrong = [
            "--data mnist",
            "--seconds",
            "--seconds 0",
            "--seconds soon",
            "--seed -1",
            "--out=",
            "--overwrite=yes",
            "5",
        ];
        for typed in wrong {
            let line = parse(typed).unwrap_err();
            let option = typed.split([' ', '=']).next().unwrap();
            assert!(line.contains(option) && line.contains("--help") && line.lines().count() == 1, "{line}");
        }
    }

    #[test]
    fn what_is_built_is_what_runs() {
        let build = build();
        for model in &MODELS {
            let run = example(model, &words("sample"));
            assert!(
                run.ends_with(&["--example", model.example, "--", "sample"].map(String::from)),
                "{run:?}"
            );
            assert!(
                BUILT.iter().all(|word| build.contains(&word.to_string()) && run.contains(&word.to_string()))
            );
        }
    }

    #[test]
    fn times_read_well() {
        let text = |seconds| time(Duration::from_secs(seconds));
        assert_eq!([text(5), text(60), text(185)], ["5 s", "1 min 0 s", "3 min 5 s"]);
    }
}
