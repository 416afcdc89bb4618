//! The variational autoencoder, of perceptrons or convolutions: train it, and look at what it learnt.

use clap::{Args, Parser, ValueEnum};
use oneiro::{
    error::Result,
    graph::Graph,
    models::{conv_vae, vae},
    nn::Mode,
    run::{
        Options, Recipe, TRAINING,
        commands::vae::{Command, Learning, Variational, activation, run},
        exit_code, parse, positive, sizes, whole,
    },
};
use serde::{Deserialize, Serialize};

/// Variational autoencoder (Kingma & Welling 2013)
#[derive(Parser)]
#[command(after_help = "Examples:
  vae train                                             digits drawn by the program, 10 epochs, into runs/vae
  vae train --data path/to/mnist --out runs/mnist       MNIST's IDX files
  vae train --resume runs/mnist --epochs 20             goes on where it stopped
  vae train --latent 2 --seconds 60 --out runs/flat     a 2-D latent space
  vae train --model conv --data mnist --out runs/conv   the convolutional one
  vae manifold --run runs/flat                          without --run: the newest run under runs; also sample
  vae evaluate --run runs/mnist --k 5000 --images 1000 --json bound.json
  vae train --data mnist --semi-supervised m2 --labels 100 --out runs/m2    then analogies, evaluate --alone")]
struct Cli {
    #[command(subcommand)]
    command: Command<VaeOptions>,
}

#[derive(Args, Clone, Serialize, Deserialize)]
struct VaeOptions {
    #[command(flatten)]
    #[serde(flatten)]
    recipe: Recipe,
    /// Networks that encode and decode
    #[arg(long, value_enum, default_value_t = Networks::Mlp)]
    #[serde(default)]
    model: Networks,
    /// Latent dimensions
    #[arg(long, default_value_t = 20, value_parser = whole::<u16>(1..))]
    latent: u16,
    /// Widths of the perceptron's hidden layers; the decoder has the same in reverse order [default: 400]
    #[arg(long, value_delimiter = ',', value_parser = whole::<u16>(1..))]
    hidden: Vec<u16>,
    /// Channels of the convolutions that halve the image; the decoder has the same reversed [default: 32,64]
    #[arg(long, value_delimiter = ',', value_parser = whole::<u16>(1..))]
    #[serde(default)]
    widths: Vec<u16>,
    /// Activation of the hidden units: relu, tanh or softplus
    #[arg(long, default_value = "relu", value_parser = ["relu", "tanh", "softplus"])]
    activation: String,
    /// Weight of the KL term
    #[arg(long, help_heading = TRAINING, default_value_t = 1.0, value_parser = positive)]
    beta: f64,
    #[command(flatten)]
    #[serde(flatten)]
    learning: Learning,
}

#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, PartialEq, Default)]
#[serde(rename_all = "lowercase")]
enum Networks {
    /// A multilayer perceptron, as in pytorch/examples' VAE
    #[default]
    Mlp,
    /// Convolutions of stride 2, as in DCGAN
    Conv,
}

impl Options for VaeOptions {
    const MODEL: &'static str = "vae";

    fn recipe(&mut self) -> &mut Recipe {
        &mut self.recipe
    }

    fn refuse(&self, several: bool) -> Option<&'static str> {
        match self.model {
            Networks::Mlp if !self.widths.is_empty() => Some("--widths: add --model conv, or give --hidden"),
            Networks::Conv if !self.hidden.is_empty() => Some("--hidden: give --widths, or no --model conv"),
            _ => {
                let usual = (self.model, self.latent, self.hidden.len(), self.beta)
                    == (Networks::Mlp, 20, 0, 1.0)
                    && self.activation == "relu";
                self.learning.refuse(self.recipe.weights.is_some(), several, usual)
            }
        }
    }

    fn weights(&self, image: [usize; 3], classes: usize) -> Result<Vec<String>> {
        self.names(image, classes)
    }
}

impl Variational for VaeOptions {
    fn vae<'g>(&self, g: &'g Graph, image: [usize; 3], mode: Mode) -> vae::Vae<'g> {
        let activation = activation(&self.activation);
        let (latent, beta, pixels) = (self.latent.into(), self.beta as f32, image.iter().product());
        let (hidden, widths) = (sizes(&self.hidden, &[400]), sizes(&self.widths, &[32, 64]));
        match self.model {
            Networks::Mlp => vae::Vae::new(g, &vae::Config { pixels, hidden, latent, beta, activation }),
            Networks::Conv => vae::Vae::convolutional(
                g,
                &conv_vae::Config { image, widths, latent, beta, activation },
                mode,
            ),
        }
    }

    fn learning(&self) -> &Learning {
        &self.learning
    }
}

fn main() -> std::process::ExitCode {
    exit_code(run(parse::<Cli>().command))
}
