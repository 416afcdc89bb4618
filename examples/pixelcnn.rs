//! PixelCNN: train it, draw from it pixel by pixel, complete pictures, score test images exactly.

use clap::{Args, Parser};
use oneiro::{
    graph::{Graph, Tensor},
    models::pixelcnn::{Config, PixelCnn},
    run::{
        Method, Result,
        autoregressive::{self, Autoregressive, Command},
        parse,
    },
};
use serde::{Deserialize, Serialize};

/// PixelCNN (van den Oord et al. 2016) on black-and-white images
#[derive(Parser)]
#[command(after_help = "Examples:
  pixelcnn train                                       digits drawn by the program, 10 epochs, into runs/pixelcnn
  pixelcnn train --data mnist --features 32 --blocks 15 --batch 256 --epochs 457 --out runs/large
  pixelcnn train --resume runs/large                   goes on where it stopped
  pixelcnn sample --count 100 --temperature 0.9        without --run: the newest run under runs
  pixelcnn complete --run runs/large --mask mask.png
  pixelcnn evaluate --run runs/large --json nll.json")]
struct Cli {
    #[command(subcommand)]
    command: Command<Model>,
}

#[derive(Args, Serialize, Deserialize, Clone)]
struct Model {
    /// Channels within a residual block, which runs on twice as many
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    features: u16,
    /// Residual blocks
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(0..=100))]
    blocks: u16,
    /// Channels of the head's hidden layer
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    head: u16,
}

impl Autoregressive for Model {
    const MODEL: &'static str = "pixelcnn";
    const METHOD: Method = Method::Cached;

    fn logits<'g>(&self, g: &'g Graph, x: Tensor<'g>) -> (Vec<Tensor<'g>>, Tensor<'g>) {
        let image = [x.shape()[1], x.shape()[2], x.shape()[3]];
        let config = Config { image, features: self.features.into(), blocks: self.blocks.into(), head: self.head.into() };
        let model = PixelCnn::new(g, &config);
        (model.params(), model.logits(x))
    }
}

fn main() -> Result<()> {
    autoregressive::run(parse::<Cli>().command)
}
