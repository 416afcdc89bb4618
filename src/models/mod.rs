//! The models; each file reads like its paper, with the equations cited.

pub mod autoencoder;
pub mod fvbn;
pub mod pixelcnn;
pub mod vae;
