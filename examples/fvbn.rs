//! Fully visible belief nets: the sigmoid belief net or, with hidden layers, MADE. Train them, draw samples,
//! complete pictures, score images exactly.

use clap::{Args, Parser};
use oneiro::{
    graph::{Graph, Tensor},
    models::{
        autoregressive::{Autoregressive, Given},
        fvbn::Config,
    },
    run::{
        commands::autoregressive::{Command, Density, run},
        exit_code, parse, whole,
    },
    train::Method,
};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

/// Fully visible belief nets on black-and-white images: FVSBN, and MADE (Germain et al. 2015)
#[derive(Parser)]
#[command(after_help = "Examples:
  fvbn train                                   FVSBN on digits drawn by the program, into runs/fvbn
  fvbn train --data mnist --hidden 2000 --direct --batch 100 --lr 0.005 --decay 0.999744 --steps 8443
                                               MADE with one hidden layer on MNIST
  fvbn sample --count 100                      without --run: the newest run under runs
  fvbn complete
  fvbn evaluate --json nll.json")]
struct Cli {
    #[command(subcommand)]
    command: Command<FvbnOptions>,
}

#[derive(Args, Serialize, Deserialize, Clone)]
struct FvbnOptions {
    /// Widths of the hidden layers (MADE); none for the sigmoid belief net
    #[arg(long, value_delimiter = ',', value_parser = whole::<u16>(1..))]
    hidden: Vec<u16>,
    /// Connect outputs to the pixels before them directly too, beside the hidden layers (MADE)
    #[arg(long, requires = "hidden")]
    #[serde(default)]
    direct: bool,
}

impl Density for FvbnOptions {
    const MODEL: &'static str = "fvbn";
    const METHOD: Method = Method::Naive;
}

impl Autoregressive for FvbnOptions {
    fn network<'g>(&self, g: &'g Graph, given: Given<'g>) -> (Vec<Tensor<'g>>, Tensor<'g>) {
        let pixels = given.x.shape()[1..].iter().product();
        let hidden = self.hidden.iter().map(|&w| w.into()).collect();
        Config { pixels, hidden, direct: self.direct }.network(g, given)
    }
}

fn main() -> ExitCode {
    exit_code(run(parse::<Cli>().command))
}
