//! WaveNet: train it on sounds, draw signals of any length, let a beginning go on, score signals exactly.

use clap::{Args, Parser};
use oneiro::{
    data::Sound,
    graph::{Graph, Tensor},
    models::{
        autoregressive::{Autoregressive, Given},
        likelihood::Likelihood,
        wavenet::{Config, LIKELIHOOD},
    },
    run::{
        commands::autoregressive::{
            Density,
            sound::{Command, Signals, run},
        },
        exit_code, parse, whole,
    },
    train::Method,
};
use serde::{Deserialize, Serialize};

/// WaveNet (van den Oord et al. 2016) on sounds of 256 μ-law levels
#[derive(Parser)]
#[command(after_help = "Examples:
  wavenet train                                        sounds played by the program, 10 epochs, into runs/wavenet
  wavenet train --conditional --epochs 3 --out runs/tones
  wavenet train --data drums --rate 8000 --length 8000 --layers 10 --batch 4 --out runs/drums
  wavenet train --resume runs/tones                    goes on where it stopped
  wavenet sample --seconds 4                           without --run: the newest run under runs
  wavenet sample --run runs/tones --class kick --temperature 0.9
  wavenet continue --run runs/tones --given 0.1        test signals go on
  wavenet continue --run runs/drums --from loop.wav --given 1 --seconds 5
  wavenet evaluate --run runs/tones --json bits.json")]
struct Cli {
    #[command(subcommand)]
    command: Command<WaveNetOptions>,
}

#[derive(Args, Serialize, Deserialize, Clone)]
struct WaveNetOptions {
    /// Channels of the residual path and of the gated units
    #[arg(long, default_value_t = 32, value_parser = whole::<u16>(1..))]
    features: u16,
    /// Channels of the skip connections
    #[arg(long, default_value_t = 64, value_parser = whole::<u16>(1..))]
    skip: u16,
    /// Channels of the head's hidden layer
    #[arg(long, default_value_t = 64, value_parser = whole::<u16>(1..))]
    head: u16,
    /// Layers of a block, with dilations 1, 2, 4 and so on: 9 of them see 512 samples
    #[arg(long, default_value_t = 9, value_parser = whole::<u16>(1..=16))]
    layers: u16,
    /// Number of blocks, each of which begins with dilation 1 again
    #[arg(long, default_value_t = 2, value_parser = whole::<u16>(1..=100))]
    blocks: u16,
    /// Condition on the sounds' classes
    #[arg(long)]
    conditional: bool,
    #[command(flatten)]
    #[serde(flatten)]
    signals: Signals,
}

impl Density for WaveNetOptions {
    const MODEL: &'static str = "wavenet";
    const METHOD: Method = Method::Cached;
    const SOUND: Option<fn(&Self) -> Sound> = Some(|model| model.signals.sound());

    fn conditional(&self) -> bool {
        self.conditional
    }
}

impl Autoregressive for WaveNetOptions {
    fn likelihood(&self) -> Likelihood {
        LIKELIHOOD
    }

    fn network<'g>(&self, g: &'g Graph, given: Given<'g>) -> (Vec<Tensor<'g>>, Tensor<'g>) {
        let config = Config {
            features: self.features.into(),
            skip: self.skip.into(),
            head: self.head.into(),
            layers: self.layers.into(),
            blocks: self.blocks.into(),
            classes: given.class.map(|class| class.shape()[1]),
        };
        config.network(g, given)
    }
}

fn main() -> std::process::ExitCode {
    exit_code(run(parse::<Cli>().command))
}
