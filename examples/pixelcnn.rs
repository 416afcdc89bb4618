//! PixelCNN: train it, draw samples pixel by pixel, complete pictures, score images exactly.

use clap::{Args, Parser};
use oneiro::{
    graph::{Graph, Tensor},
    models::{
        autoregressive::{Autoregressive, Given},
        gated_pixelcnn::Config as Gated,
        likelihood::Likelihood,
        pixelcnn::Config as Plain,
    },
    run::{
        TRAINING, below_one,
        commands::autoregressive::{Command, Density, Pixels, run},
        exit_code, parse, whole,
    },
    train::Method,
};
use serde::{Deserialize, Serialize};

/// PixelCNN (van den Oord et al. 2016a, 2016b; outputs of PixelCNN++) on black-and-white, grey and colour
/// images
#[derive(Parser)]
#[command(after_help = "Examples:
  pixelcnn train                                       digits drawn by the program, 10 epochs, into runs/pixelcnn
  pixelcnn train --data mnist --features 32 --blocks 15 --batch 256 --decay 0.999977 --epochs 457 --out runs/large
  pixelcnn train --gated --features 32 --conditional --out runs/gated
  pixelcnn train --data cifar10 --output mixture --features 64 --out runs/colour
  pixelcnn train --resume runs/large                   goes on where it stopped
  pixelcnn sample --count 100 --temperature 0.9 --gif  without --run: the newest run under runs
  pixelcnn sample --run runs/gated --class 7
  pixelcnn complete --run runs/large --mask mask.png
  pixelcnn evaluate --run runs/large --json nll.json
  pixelcnn train --data cifar10 --task colourise --output mixture --out runs/colours
  pixelcnn apply --run runs/colours --images photos    writes photos/NAME-colourised.png")]
struct Cli {
    #[command(subcommand)]
    command: Command<PixelCnnOptions>,
}

#[derive(Args, Serialize, Deserialize, Clone)]
struct PixelCnnOptions {
    /// Use the gated PixelCNN (van den Oord et al. 2016b): two stacks of 5x5 windows without a blind spot
    #[arg(long)]
    gated: bool,
    /// Channels within a block; its input and output have twice as many
    #[arg(long, default_value_t = 16, value_parser = whole::<u16>(1..))]
    features: u16,
    /// Number of residual blocks, or of gated layers after the first
    #[arg(long, default_value_t = 5, value_parser = whole::<u16>(0..=100))]
    blocks: u16,
    /// Dilation of the window of each residual block, repeated in turn (1,3,6 sees far with three blocks)
    /// [default: 1]
    #[arg(long, value_delimiter = ',', value_parser = whole::<u16>(1..=64))]
    #[serde(default)]
    dilations: Vec<u16>,
    /// Channels of the head's hidden layer
    #[arg(long, default_value_t = 32, value_parser = whole::<u16>(1..))]
    head: u16,
    /// Share of the features that training drops, from 0 to below 1
    #[arg(long, help_heading = TRAINING, default_value_t = 0.0, value_parser = below_one)]
    #[serde(default)]
    dropout: f64,
    #[command(flatten)]
    #[serde(flatten)]
    pixels: Pixels,
    /// Condition on the images' classes, with --gated
    #[arg(long)]
    #[serde(default)]
    conditional: bool,
}

impl Density for PixelCnnOptions {
    const MODEL: &'static str = "pixelcnn";
    const METHOD: Method = Method::Cached;

    fn conditional(&self) -> bool {
        self.conditional
    }

    fn pixels(&self) -> Option<&Pixels> {
        Some(&self.pixels)
    }

    fn refuse(&self) -> Option<&'static str> {
        match (self.conditional, self.gated, self.dilations.is_empty()) {
            (true, false, _) => Some("--conditional: only the gated PixelCNN takes classes; add --gated"),
            (_, true, false) => Some("--dilations: not with --gated; leave out one of them"),
            _ => None,
        }
    }
}

impl Autoregressive for PixelCnnOptions {
    fn likelihood(&self) -> Likelihood {
        self.pixels.likelihood()
    }

    fn network<'g>(&self, g: &'g Graph, given: Given<'g>) -> (Vec<Tensor<'g>>, Tensor<'g>) {
        let shape = given.x.shape();
        let (image, likelihood, dropout) =
            ([shape[1], shape[2], shape[3]], self.likelihood(), self.dropout as f32);
        let (features, blocks, head) = (self.features.into(), usize::from(self.blocks), self.head.into());
        let hint = self.pixels.network(given.hint);
        if !self.gated {
            let dilations = self.dilations.iter().map(|&d| d.into()).collect();
            let config = Plain { image, features, blocks, dilations, head, dropout, likelihood, hint };
            return config.network(g, given);
        }
        let (layers, kernel, classes) = (blocks + 1, 5, given.class.map(|class| class.shape()[1]));
        let config = Gated { image, features, layers, kernel, head, classes, dropout, likelihood, hint };
        config.network(g, given)
    }
}

fn main() -> std::process::ExitCode {
    exit_code(run(parse::<Cli>().command))
}
