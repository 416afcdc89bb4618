//! Layers and models against formulas and against PyTorch, and what measures a model.

#[cfg(feature = "run")]
pub(crate) mod adversarial;
#[cfg(feature = "run")]
pub(crate) mod bound;
pub(crate) mod conv_vae;
pub(crate) mod layers;
pub(crate) mod likelihood;
#[cfg(feature = "fid")]
pub(crate) mod measures;
pub(crate) mod mistakes;
pub(crate) mod pixelcnn;
pub(crate) mod vae;
pub(crate) mod weight_norm;
