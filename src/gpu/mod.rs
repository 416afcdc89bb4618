//! Everything that touches wgpu: the device, its pipelines, the State's buffers, executors and transfers.
//! The library records, the host submits; nothing here prints or reads the environment, and threads
//! live only as long as pipelines are compiled.

#![cfg_attr(
    target_arch = "wasm32",
    allow(clippy::arc_with_non_send_sync, reason = "the same code is shared by threads natively")
)]

mod bind;
mod device;
#[cfg(not(target_arch = "wasm32"))]
mod exchange;
mod executor;
mod health;
mod inputs;
mod open;
mod owned;
mod pipelines;
mod profile;
mod promise;
mod selftest;
mod state;
mod texture;
mod transfer;

pub use device::Gpu;
pub(crate) use device::Pipeline;
pub use executor::Executor;
pub(crate) use inputs::within;
pub use open::{Choice, adapters};
pub use profile::Profile;
pub use promise::Promise;
pub use state::State;
pub use texture::{Blit, Shown};
pub use transfer::Element;
pub use wgpu;
