//! The host of docs/embedding.md's section "In egui", which a test holds to this text.

use eframe::{
    egui,
    egui_wgpu::{RenderState, WgpuConfiguration, WgpuSetup, WgpuSetupCreateNew},
};
use oneiro::{
    error::Result,
    gpu::{Blit, Executor, Gpu, wgpu},
};
use std::sync::Arc;

/// For `eframe::NativeOptions::wgpu_options` and `eframe::WebOptions::wgpu_options`.
fn device() -> WgpuConfiguration {
    let mut setup = WgpuSetupCreateNew::without_display_handle();
    setup.device_descriptor = Arc::new(|adapter| wgpu::DeviceDescriptor {
        required_limits: Gpu::required_limits(),
        required_features: Gpu::useful_features() & adapter.features(),
        ..Default::default()
    });
    WgpuConfiguration { wgpu_setup: WgpuSetup::CreateNew(setup), ..Default::default() }
}

/// Once, with `eframe::CreationContext::wgpu_render_state`.
async fn engine(state: &RenderState) -> Result<Gpu> {
    Gpu::from_existing(state.device.clone(), state.queue.clone()).await
}

/// Once: a texture for the pictures of a blit whose format is `Rgba8Unorm`, and egui's name for it.
fn texture(state: &RenderState, blit: &Blit) -> (wgpu::Texture, egui::TextureId) {
    let texture = state.device.create_texture(&wgpu::TextureDescriptor {
        label: Some("pictures"),
        size: blit.size(),
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: wgpu::TextureFormat::Rgba8Unorm,
        usage: wgpu::TextureUsages::COPY_DST | wgpu::TextureUsages::TEXTURE_BINDING,
        view_formats: &[],
    });
    let view = texture.create_view(&Default::default());
    let nearest = wgpu::FilterMode::Nearest;
    let id = state.renderer.write().register_native_texture(&state.device, &view, nearest);
    (texture, id)
}

/// Every frame, in `eframe::App::logic`: it is submitted before egui's own passes.
fn frame(gpu: &Gpu, step: &Executor, blit: &Blit, texture: &wgpu::Texture) -> Result<()> {
    gpu.check()?;
    gpu.submit(|encoder| {
        step.record(encoder)?;
        blit.record(encoder, texture, wgpu::Origin3d::ZERO)
    })
}

/// Every frame, in `eframe::App::ui`.
fn show(ui: &mut egui::Ui, id: egui::TextureId) {
    ui.image((id, egui::vec2(280.0, 280.0)));
    ui.ctx().request_repaint();
}

#[test]
fn the_document_has_this_host() {
    let _ = (device, engine, texture, frame, show);
    let text = include_str!("embedded.rs");
    let host = &text[text.find("use eframe").unwrap()..text.find("\n#[test]").unwrap()];
    let document = include_str!("../../docs/embedding.md");
    assert!(document.contains(&format!("```rs\n{host}```\n")), "docs/embedding.md has another host for egui");
}
