//! The command line.

use crate::chip::{CHIPS, Chip};
use bench::MODELS;
use clap::{Parser, builder::PossibleValuesParser};
use std::path::PathBuf;

/// Compiles the benchmark's models for GPUs that are not at hand, and models the time of their steps
///
/// Every model is planned for a GPU with WebGPU's default limits. Each distinct pipeline is compiled by the
/// compiler of Mesa's RADV for an AMD chip, on a driver that needs no card. Registers, spills and instructions
/// are the compiler's; times are a model's. docs/offline.md says what the model leaves out.
#[derive(Debug, Parser)]
#[command(
    name = "offline",
    bin_name = "cargo xtask offline",
    after_help = "Examples:
  cargo xtask offline                              all models for navi21: kernels, and steps by kernel
  cargo xtask offline --model vae --launches       the launches of one step
  cargo xtask offline --chip vega20 --isa          the listings of all pipelines, in target/offline
  cargo xtask offline --json before.json           the same as the first, kept
  cargo xtask offline --compare before.json        what has changed since
  cargo xtask offline --check                      what CI asks: no spills, the recorded shares, the limits"
)]
pub struct Options {
    /// Plan only this model; it may be given several times
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(MODELS))]
    model: Vec<String>,
    /// Compile for this chip; it may be given several times [default: navi21, or all to check and record]
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(CHIPS.map(|c| c.name)))]
    chip: Vec<String>,
    /// Show each launch of the steps
    #[arg(long)]
    pub launches: bool,
    /// Write the listing of each pipeline into target/offline
    #[arg(long)]
    pub isa: bool,
    /// Write WGSL, SPIR-V, HLSL and MSL of each pipeline and a list of all launches into a folder, and compile nothing
    #[arg(long, value_name = "FOLDER",
          conflicts_with_all = ["chip", "launches", "isa", "json", "compare", "check", "record"])]
    pub dump: Option<PathBuf>,
    /// Write the figures to a file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Show the change since an earlier file of --json
    #[arg(long, value_name = "FILE")]
    pub compare: Option<PathBuf>,
    /// Fail on spills, scratch memory, a share under the recorded one, or a limit that is exceeded
    #[arg(long, conflicts_with_all = ["launches", "compare", "record"])]
    pub check: bool,
    /// Record the shares of multiply-adds of today in xtask/offline/shares.json
    #[arg(long, conflicts_with_all = ["model", "chip", "compare"])]
    pub record: bool,
}

impl Options {
    /// Reads the command line; what is wrong with it is told in one line.
    ///
    /// # Errors
    /// A wrong command line, or a call for help, whose text the error prints.
    pub fn read(words: impl IntoIterator<Item = String>) -> Result<Self, clap::Error> {
        Self::try_parse_from(words)
    }

    /// The models, in the benchmark's order.
    pub fn models(&self) -> Vec<&'static str> {
        let asked = |name: &&str| self.model.is_empty() || self.model.iter().any(|m| m == name);
        MODELS.into_iter().filter(asked).collect()
    }

    /// The chips.
    pub fn chips(&self) -> Vec<&'static Chip> {
        let all = self.check || self.record;
        let asked = |chip: &&Chip| match self.chip.is_empty() {
            true => all || chip.name == CHIPS[0].name,
            false => self.chip.iter().any(|c| c == chip.name),
        };
        CHIPS.iter().filter(asked).collect()
    }

    /// Whether all models and all chips are asked for.
    pub fn whole(&self) -> bool {
        self.models().len() == MODELS.len() && self.chips().len() == CHIPS.len()
    }
}

/// What is wrong with a command line, in one line.
pub fn told(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines: Vec<&str> =
        text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage")).collect();
    let words: Vec<&str> = lines.iter().flat_map(|line| line.split_whitespace()).collect();
    let line = words.join(" ");
    let line = line.trim_start_matches("error: ").split(" For more information").next().unwrap_or_default();
    format!("{line}; see `cargo xtask offline --help`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Result<Options, clap::Error> {
        Options::read(format!("offline {words}").split_whitespace().map(String::from))
    }

    fn chips(words: &str) -> Vec<&'static str> {
        read(words).unwrap().chips().into_iter().map(|chip| chip.name).collect()
    }

    #[test]
    fn everything_is_planned_for_one_chip_and_checked_for_all() {
        let usual = read("").unwrap();
        assert_eq!((usual.models(), chips("")), (MODELS.to_vec(), vec!["navi21"]));
        assert_eq!(chips("--check"), ["navi21", "gfx1100", "vega20"]);
        assert_eq!(chips("--chip vega20 --chip navi21"), ["navi21", "vega20"]);
        assert_eq!(chips("--check --chip vega20"), ["vega20"]);
        assert_eq!(read("--model dcgan32 --model vae").unwrap().models(), ["vae", "dcgan32"]);
        assert!(read("--check").unwrap().whole() && !read("--check --model vae").unwrap().whole());
    }

    #[test]
    fn what_is_wrong_is_told_in_one_line() {
        for (words, expected) in [
            ("--speed", "unexpected argument '--speed'"),
            ("--model resnet", "invalid value 'resnet' for '--model <NAME>'"),
            ("--model resnet", "possible values: vae, pixelcnn"),
            ("--chip navi22", "invalid value 'navi22'"),
            ("--json", "a value is required for '--json <FILE>'"),
            ("--check --record", "cannot be used with"),
            ("--record --compare a.json", "cannot be used with"),
            ("--record --model vae", "cannot be used with"),
            ("more", "unexpected argument 'more'"),
        ] {
            let text = told(&read(words).unwrap_err());
            assert!(text.contains(expected) && text.ends_with("see `cargo xtask offline --help`"), "{text}");
            assert!(!text.contains('\n') && !text.contains("Usage") && !text.contains("error:"), "{text}");
        }
    }

    #[test]
    fn the_help_has_examples() {
        let help = read("--help").unwrap_err();
        assert!(!help.use_stderr() && help.to_string().contains("cargo xtask offline --compare before.json"));
    }
}
