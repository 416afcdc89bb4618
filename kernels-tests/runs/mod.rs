//! Examples run as processes, as a user starts them.

mod adversarial;
mod autoregressive;
mod embed;
#[cfg(feature = "folders")]
mod folders;
mod lines;
#[cfg(target_os = "linux")]
mod memory;
mod refused;
mod resume;
mod vae;
mod weights;
