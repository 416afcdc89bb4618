//! Deep convolutional GANs: train them, draw samples, walk and calculate with noise, and look for copies of
//! training images.

use clap::{Args, Parser};
use oneiro::{
    error::{Error, Result},
    models::dcgan::Networks,
    run::{
        commands::adversarial::{Adversarial, Command, Given, Normalised, run},
        exit_code, parse, whole,
    },
};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

/// DCGAN (Radford et al. 2015), with other objectives and improvements from later papers
#[derive(Parser)]
#[command(after_help = "Examples:
  dcgan train                                                    digits drawn by the program, into runs/dcgan
  dcgan train --data mnist --picture-every 100                   MNIST; a film of the samples at the end
  dcgan train --data photos --size 64 --image-size 64 --features 64    a folder of pictures; the paper's networks
  dcgan train --data mnist --conditional --out runs/classes      then sample --class 7
  dcgan train --data mnist --loss wasserstein-gp --discriminator-steps 5 --beta1 0
  dcgan train --data mnist --semi-supervised --labels 100 --out runs/few    then evaluate for the accuracy
  dcgan train --data cifar10 --task colourise --loss least-squares
  dcgan sample                                                   without --run: the newest run under runs
  dcgan interpolate --count 6
  dcgan arithmetic --from 0,9,17 --minus 3,12,30 --plus 5,6,40
  dcgan nearest")]
struct Cli {
    #[command(subcommand)]
    command: Command<DcganOptions>,
}

#[derive(Args, Serialize, Deserialize, Clone)]
struct DcganOptions {
    /// Dimensions of the noise
    #[arg(long, default_value_t = 100, value_parser = whole::<u16>(1..))]
    latent: u16,
    /// Channels of the generator's last hidden layer and of the discriminator's first one; pytorch/examples
    /// takes 64
    #[arg(long, default_value_t = 16, value_parser = whole::<u16>(1..))]
    features: u16,
    /// Rows and columns of the networks' pictures, 32 or 64; smaller images get a black frame [default: the
    /// smaller that fits]
    #[arg(long, value_parser = ["32", "64"])]
    size: Option<String>,
    /// What the discriminator's hidden layers are normalised by [default: batch; layer under a gradient penalty, none
    /// with --spectral]
    #[arg(long, value_enum)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    norm: Option<Normalised>,
    /// Tell both players the images' classes
    #[arg(long)]
    conditional: bool,
    #[command(flatten)]
    #[serde(flatten)]
    given: Given,
}

impl Adversarial for DcganOptions {
    const MODEL: &'static str = "dcgan";

    type Networks = Networks;

    fn networks(&self) -> Networks {
        let features = self.features.into();
        Networks { latent: self.latent.into(), generator: features, discriminator: features }
    }

    fn conditional(&self) -> bool {
        self.conditional
    }

    fn given(&self) -> Option<&Given> {
        Some(&self.given)
    }

    fn norm(&self) -> Option<Normalised> {
        self.norm
    }

    fn canvas(&self, [h, w]: [usize; 2]) -> Result<[usize; 2]> {
        let side = match self.size.as_deref() {
            Some("32") => 32,
            None if h.max(w) <= 32 => 32,
            _ => 64,
        };
        match h.max(w) <= side {
            true => Ok([side, side]),
            false => Err(Error::new(format!(
                "the images are {h}x{w}, the networks' pictures {side}x{side}; scale by --image-size {side}"
            ))),
        }
    }
}

fn main() -> ExitCode {
    exit_code(run(parse::<Cli>().command))
}
