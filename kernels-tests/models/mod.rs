//! Layers and models against formulas and against PyTorch, and what measures a model.

mod adversarial;
mod autoencoder;
mod bound;
mod conv_vae;
mod hint;
pub(crate) mod layers;
pub(crate) mod likelihood;
#[cfg(feature = "fid")]
mod measures;
mod mistakes;
mod pixelcnn;
mod pixelrnn;
mod ranks;
mod semi_supervised;
mod task;
mod vae;
mod wavenet;
pub(crate) mod weight_norm;
