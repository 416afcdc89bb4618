//! PixelRNN: train it, draw samples pixel by pixel, complete pictures, score images exactly.

use clap::{Args, Parser, ValueEnum};
use oneiro::{
    graph::{Graph, Tensor},
    models::{
        autoregressive::{Autoregressive, Given},
        likelihood::Likelihood,
        pixelrnn::{self, Config},
    },
    run::{
        commands::autoregressive::{Command, Density, Pixels, run},
        exit_code, parse, whole,
    },
    train::Method,
};
use serde::{Deserialize, Serialize};

/// PixelRNN (van den Oord et al. 2016) on black-and-white, grey and colour images
#[derive(Parser)]
#[command(after_help = "Examples:
  pixelrnn train                                       digits drawn by the program, 10 epochs, into runs/pixelrnn
  pixelrnn train --cell row --layers 2 --out runs/row
  pixelrnn train --data mnist --features 32 --head 64 --batch 16 --lr 0.003 --decay 0.9997 \\
      --clip 50 --steps 16000 --out runs/mnist
  pixelrnn train --data cifar10 --output softmax --batch 16 --out runs/levels
  pixelrnn train --resume runs/mnist                   goes on where it stopped
  pixelrnn sample --count 16 --gif                     without --run: the newest run under runs
  pixelrnn complete --run runs/mnist --mask mask.png
  pixelrnn evaluate --run runs/mnist --json nll.json
  pixelrnn train --cell row --task inpaint --out runs/holes")]
struct Cli {
    #[command(subcommand)]
    command: Command<PixelRnnOptions>,
}

/// The kind of the LSTM layers.
#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Cell {
    /// Row LSTM: row after row, each state from three of the row above
    Row,
    /// Diagonal BiLSTM: diagonals from the left and from the right
    Diagonal,
}

#[derive(Args, Serialize, Deserialize, Clone)]
struct PixelRnnOptions {
    /// LSTM over rows, or over diagonals in both directions
    #[arg(long, value_enum, default_value_t = Cell::Diagonal)]
    cell: Cell,
    /// Units of an LSTM; its layer's input and output have twice as many channels
    #[arg(long, default_value_t = 16, value_parser = whole::<u16>(1..))]
    features: u16,
    /// Number of residual LSTM layers
    #[arg(long, default_value_t = 1, value_parser = whole::<u16>(1..=100))]
    layers: u16,
    /// Channels of the head's hidden layer
    #[arg(long, default_value_t = 32, value_parser = whole::<u16>(1..))]
    head: u16,
    #[command(flatten)]
    #[serde(flatten)]
    pixels: Pixels,
}

impl Density for PixelRnnOptions {
    const MODEL: &'static str = "pixelrnn";
    const METHOD: Method = Method::Cached;

    fn pixels(&self) -> Option<&Pixels> {
        Some(&self.pixels)
    }
}

impl Autoregressive for PixelRnnOptions {
    fn likelihood(&self) -> Likelihood {
        self.pixels.likelihood()
    }

    fn network<'g>(&self, g: &'g Graph, given: Given<'g>) -> (Vec<Tensor<'g>>, Tensor<'g>) {
        let shape = given.x.shape();
        let config = Config {
            image: [shape[1], shape[2], shape[3]],
            cell: match self.cell {
                Cell::Row => pixelrnn::Cell::Row(3),
                Cell::Diagonal => pixelrnn::Cell::Diagonal,
            },
            features: self.features.into(),
            layers: self.layers.into(),
            head: self.head.into(),
            likelihood: self.likelihood(),
            hint: self.pixels.network(given.hint),
        };
        config.network(g, given)
    }
}

fn main() -> std::process::ExitCode {
    exit_code(run(parse::<Cli>().command))
}
