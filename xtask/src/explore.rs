//! The explorer's window. It runs in the folder where the command was typed: files that are named lie there, and
//! weights are saved there.

use crate::{Failure, Shown, apart, cargo_itself, finish, root};
use std::process::Command;

/// Builds the explorer, with cargo's messages, and opens it.
pub(crate) fn run(rest: &[String]) -> Result<(), Failure> {
    println!("> cargo run --release --package explorer -- {}", rest.join(" "));
    finish(command(rest), Shown::Everything)
}

fn command(rest: &[String]) -> Command {
    let mut command = cargo_itself();
    command.args(["run", "--release", "--package", "explorer", "--manifest-path"]);
    command.arg(root().join("Cargo.toml")).arg("--").args(rest);
    apart(&mut command);
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn files_are_named_from_where_the_user_is() {
        let typed = ["../weights.safetensors", "--room", "gan"].map(String::from);
        let command = command(&typed);
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let manifest = words.iter().position(|word| word == "--manifest-path").unwrap() + 1;
        let manifest = Path::new(&words[manifest]);
        assert!(command.get_current_dir().is_none() && manifest.is_absolute() && manifest.is_file());
        assert_eq!(words[words.len() - 3..], typed);
    }
}
