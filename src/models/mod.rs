//! The models; each file reads like its paper, with the equations cited.

pub mod autoencoder;
pub mod classifier;
pub mod fvbn;
pub mod gated_pixelcnn;
pub mod likelihood;
pub mod pixelcnn;
pub mod vae;
