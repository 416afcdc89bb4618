//! The models; each file reads like its paper, with the equations cited. A model declares its variables in a
//! graph, computes, and records its own training step: objective, optimizer and what is measured.

pub mod autoencoder;
pub mod autoregressive;
pub mod classifier;
pub mod conv_vae;
pub mod dcgan;
pub mod few_labels_game;
pub mod fvbn;
pub mod game;
pub mod gan;
pub mod gated_pixelcnn;
pub mod hint;
mod hinted_game;
mod history;
pub mod labels;
pub mod likelihood;
pub mod pixelcnn;
pub mod pixelrnn;
pub mod players;
mod rules;
pub mod semi_supervised;
pub mod vae;
pub mod wavenet;

use crate::graph::Tensor;

/// What a training step measures, by name: scalars, each summed over the batch, the loss first.
pub type Metrics<'g> = Vec<(&'static str, Tensor<'g>)>;
