//! The examples' commands, a family of models a file: an example is its model, its options and a `main`.

pub mod adversarial;
pub mod autoencoder;
pub mod autoregressive;
pub mod vae;
