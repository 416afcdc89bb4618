//! The host of tests: the engine on a device of its own, and a renderer without a window.

use crate::host::Host;
use eframe::egui_wgpu::{Renderer, RendererOptions};
use oneiro::gpu::{Gpu, wgpu};

/// Makes a host without a window.
pub(crate) fn host() -> Host {
    let gpu = Gpu::headless_blocking(&Default::default()).expect("a device");
    let format = wgpu::TextureFormat::Rgba8Unorm;
    let renderer = Renderer::new(&gpu.device, format, RendererOptions::PREDICTABLE);
    Host::windowless(gpu, renderer)
}
