//! The demo: train the variational autoencoder for a minute, then draw from it.

use std::path::{Path, PathBuf};

use crate::{Failure, cargo, root};

const EXAMPLE: &str = "vae";
/// The options of `train`; an option that is typed behind `demo` takes the place of its like.
const TRAIN: [(&str, &str); 4] =
    [("--data", "glyphs"), ("--latent", "2"), ("--seconds", "60"), (OUT, "runs/demo")];
const OUT: &str = "--out";
/// What is drawn afterwards, each with `--run` and the folder of the run.
const DRAW: [&str; 3] = ["sample", "reconstruct", "manifold"];

pub(crate) fn run(extra: &[String]) -> Result<(), Failure> {
    let (train, folder) = train(extra);
    cargo(&example(train))?;
    for command in DRAW {
        cargo(&example([command, "--run", &folder].map(String::from).to_vec()))?;
    }
    let pictures = pictures(&root().join(&folder))?;
    println!("\nThe pictures:");
    for picture in pictures {
        println!("  {}", picture.display());
    }
    Ok(())
}

fn example(args: Vec<String>) -> Vec<String> {
    let fixed = ["run", "--release", "--example", EXAMPLE, "--"].map(String::from);
    fixed.into_iter().chain(args).collect()
}

/// The arguments of `train`, and the folder of the run.
fn train(extra: &[String]) -> (Vec<String>, String) {
    let extra = match extra.split_first() {
        Some((first, rest)) if first == "--" => rest,
        _ => extra,
    };
    let mut args = vec!["train".to_string()];
    let mut folder = String::new();
    for (option, value) in TRAIN {
        let typed = typed(extra, option);
        if typed.is_none() {
            args.extend([option, value].map(String::from));
        }
        if option == OUT {
            folder = typed.unwrap_or_else(|| value.to_string());
        }
    }
    // The demo may be run again; a folder that the user names is his.
    if typed(extra, OUT).is_none() && !extra.iter().any(|a| a == "--overwrite") {
        args.push("--overwrite".into());
    }
    args.extend(extra.iter().cloned());
    (args, folder)
}

/// The value of an option among the arguments, as `--option value` or `--option=value`.
fn typed(args: &[String], option: &str) -> Option<String> {
    args.iter().enumerate().find_map(|(i, arg)| match arg.strip_prefix(option)? {
        "" => Some(args.get(i + 1).cloned().unwrap_or_default()),
        value => value.strip_prefix('=').map(String::from),
    })
}

fn pictures(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |e| Failure::new(format!("cannot read {}: {e}", folder.display()));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|e| e == "png") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(args: &[&str]) -> Vec<String> {
        args.iter().map(|a| a.to_string()).collect()
    }

    #[test]
    fn without_options_a_minute_on_glyphs() {
        let (args, folder) = train(&[]);
        assert_eq!(args.join(" "), "train --data glyphs --latent 2 --seconds 60 --out runs/demo --overwrite");
        assert_eq!(folder, "runs/demo");
    }

    #[test]
    fn a_typed_option_replaces_its_like_and_the_rest_is_added() {
        let (args, folder) = train(&strings(&["--", "--seconds=5", "--out", "runs/x", "--seed", "7"]));
        assert_eq!(args.join(" "), "train --data glyphs --latent 2 --seconds=5 --out runs/x --seed 7");
        assert_eq!(folder, "runs/x");
    }

    #[test]
    fn an_option_that_only_begins_alike_replaces_nothing() {
        let (args, _) = train(&strings(&["--data-limit", "9"]));
        assert!(args.join(" ").starts_with("train --data glyphs"));
    }
}
