//! The models; each file reads like its paper, with the equations cited.

pub mod autoencoder;
pub mod classifier;
pub mod conv_vae;
pub mod dcgan;
pub mod fvbn;
pub mod gan;
pub mod gated_pixelcnn;
pub mod likelihood;
pub mod pixelcnn;
pub mod vae;
