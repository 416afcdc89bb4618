//! Examples run as processes, as a user starts them.

mod adversarial;
mod autoregressive;
mod embed;
mod ended;
mod every;
mod few_labels;
#[cfg(feature = "folders")]
mod folders;
mod lines;
#[cfg(target_os = "linux")]
mod memory;
mod ranks;
mod refused;
mod resume;
#[cfg(feature = "sound")]
mod sound;
mod tasks;
mod told;
mod vae;
mod weights;
