//! Generative adversarial nets of multilayer perceptrons: the first GAN, with other objectives and
//! improvements from later papers.

use clap::{Args, Parser};
use oneiro::{
    error::Result,
    models::gan::Networks,
    run::{
        commands::adversarial::{Adversarial, Command, run},
        exit_code, parse, whole,
    },
};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

/// Generative adversarial nets (Goodfellow et al. 2014) of multilayer perceptrons
#[derive(Parser)]
#[command(after_help = "Examples:
  gan train                                      digits drawn by the program, into runs/gan
  gan train --data mnist --picture-every 200     MNIST; a film of the samples at the end
  gan train --data mnist --batch 64 --lr 0.0005 --loss wasserstein-gp --beta1 0 --discriminator-steps 3
  gan train --data mnist --conditional --out runs/classes    then sample --class 7
  gan sample                                     without --run: the newest run under runs
  gan interpolate --count 6
  gan arithmetic --from 0,9,17 --minus 3,12,30 --plus 5,6,40
  gan nearest")]
struct Cli {
    #[command(subcommand)]
    command: Command<GanOptions>,
}

#[derive(Args, Serialize, Deserialize, Clone)]
struct GanOptions {
    /// Dimensions of the noise
    #[arg(long, default_value_t = 100, value_parser = whole::<u16>(1..))]
    latent: u16,
    /// Widths of the generator's hidden layers
    #[arg(long, value_delimiter = ',', default_value = "256,512", value_parser = whole::<u16>(1..))]
    hidden: Vec<u16>,
    /// Widths of the discriminator's hidden layers [default: --hidden in reverse order]
    #[arg(long, value_name = "WIDTHS", value_delimiter = ',', value_parser = whole::<u16>(1..))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hidden_discriminator: Vec<u16>,
    /// Tell both players the images' classes
    #[arg(long)]
    conditional: bool,
}

impl Adversarial for GanOptions {
    const MODEL: &'static str = "gan";

    type Networks = Networks;

    fn networks(&self) -> Networks {
        let widths = |of: &[u16]| of.iter().map(|&width| width.into()).collect();
        let mirrored = Networks::mirrored(self.latent.into(), widths(&self.hidden));
        match &self.hidden_discriminator[..] {
            [] => mirrored,
            own => Networks { discriminator: widths(own), ..mirrored },
        }
    }

    fn conditional(&self) -> bool {
        self.conditional
    }

    fn canvas(&self, image: [usize; 2]) -> Result<[usize; 2]> {
        Ok(image)
    }
}

fn main() -> ExitCode {
    exit_code(run(parse::<Cli>().command))
}
