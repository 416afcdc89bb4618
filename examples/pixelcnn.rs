//! PixelCNN: train it, draw from it pixel by pixel, complete pictures, score test images exactly.

use clap::{Args, Parser};
use oneiro::{
    graph::{Graph, Tensor},
    models::{
        gated_pixelcnn::{self, GatedPixelCnn},
        pixelcnn::{self, PixelCnn},
    },
    run::{
        Method, Result,
        autoregressive::{self, Autoregressive, Command},
        parse,
    },
};
use serde::{Deserialize, Serialize};

/// PixelCNN (van den Oord et al. 2016a, 2016b) on black-and-white images
#[derive(Parser)]
#[command(after_help = "Examples:
  pixelcnn train                                       digits drawn by the program, 10 epochs, into runs/pixelcnn
  pixelcnn train --data mnist --features 32 --blocks 15 --batch 256 --epochs 457 --out runs/large
  pixelcnn train --gated --features 24 --out runs/gated
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
    /// The gated PixelCNN (van den Oord et al. 2016b): two stacks of 5x5 windows without a blind spot
    #[arg(long)]
    gated: bool,
    /// Channels within a block, which runs on twice as many
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    features: u16,
    /// Residual blocks, or gated layers after the first
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
        let (features, blocks, head) = (self.features.into(), usize::from(self.blocks), self.head.into());
        if self.gated {
            let config = gated_pixelcnn::Config { image, features, layers: blocks + 1, kernel: 5, head, classes: None };
            let model = GatedPixelCnn::new(g, &config);
            return (model.params(), model.logits(x, None));
        }
        let model = PixelCnn::new(g, &pixelcnn::Config { image, features, blocks, head });
        (model.params(), model.logits(x))
    }
}

fn main() -> Result<()> {
    autoregressive::run(parse::<Cli>().command)
}
