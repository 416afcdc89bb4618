//! The commands of the examples, one file per family of models, so that an example is its model, its options
//! and a `main`.

pub mod adversarial;
pub mod autoencoder;
pub mod autoregressive;
pub mod vae;
