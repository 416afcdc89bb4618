//! The autoencoder: train it, look at its reconstructions, and train a classifier that starts from its
//! encoder.

use clap::{Args, Parser};
use oneiro::{
    error::Result,
    graph::Graph,
    models::autoencoder::{Autoencoder, Config},
    run::{
        Options, Recipe, TRAINING,
        commands::autoencoder::{Command, Restoring, run},
        exit_code, parse, positive, whole,
    },
};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

/// Autoencoder (Hinton & Salakhutdinov 2006; denoising: Vincent et al. 2008)
#[derive(Parser)]
#[command(after_help = "Examples:
  autoencoder train --data path/to/mnist --out runs/features
  autoencoder reconstruct --run runs/features
  autoencoder probe --run runs/features                 100 and 1,000 labels, from the trained encoder and from scratch
  autoencoder probe --labels 50 --repeats 5")]
struct Cli {
    #[command(subcommand)]
    command: Command<AutoencoderOptions>,
}

#[derive(Args, Clone, Serialize, Deserialize)]
struct AutoencoderOptions {
    #[command(flatten)]
    #[serde(flatten)]
    recipe: Recipe,
    /// Widths of the encoder's hidden layers; the decoder has the same in reverse order
    #[arg(long, value_delimiter = ',', default_value = "500", value_parser = whole::<u16>(1..))]
    hidden: Vec<u16>,
    /// Width of the code
    #[arg(long, default_value_t = 100, value_parser = whole::<u16>(1..))]
    code: u16,
    /// Share of the pixels that are set to 0 before encoding, from 0 to 0.9
    #[arg(long, help_heading = TRAINING, default_value_t = 0.25, value_parser = share)]
    noise: f64,
    /// Adam's step size
    #[arg(long, help_heading = TRAINING, default_value_t = 1e-3, value_parser = positive)]
    lr: f64,
}

fn share(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|x| (0.0..=0.9).contains(x)).ok_or_else(|| "wants a number from 0 to 0.9".into())
}

impl Options for AutoencoderOptions {
    const MODEL: &'static str = "autoencoder";

    fn recipe(&mut self) -> &mut Recipe {
        &mut self.recipe
    }

    fn weights(&self, image: [usize; 3], _: usize) -> Result<Vec<String>> {
        let g = Graph::new();
        Autoencoder::new(&g, &self.config(image));
        Ok(g.weights())
    }
}

impl Restoring for AutoencoderOptions {
    fn config(&self, image: [usize; 3]) -> Config {
        let hidden = self.hidden.iter().map(|&w| w.into()).collect();
        Config { pixels: image.iter().product(), hidden, code: self.code.into(), noise: self.noise as f32 }
    }

    fn lr(&self) -> f64 {
        self.lr
    }
}

fn main() -> ExitCode {
    exit_code(run(parse::<Cli>().command))
}
