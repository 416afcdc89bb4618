//! What rooms are given: the engine on the window's own device, and textures that the window shows.

use crate::making::{Progress, breathe};
use eframe::{
    egui,
    egui_wgpu::{RenderState, Renderer},
};
use oneiro::{
    error::Result,
    gpu::{Blit, Executor, Gpu, Shown, State, wgpu},
    plan::Plan,
};
use std::{cell::Cell, sync::Arc};

/// The number of launches of a first step that are submitted at once: drivers compile at the first dispatch, and the
/// window's own frames wait behind it.
const PART: usize = 4;

/// The engine and the window's renderer.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) gpu: Arc<Gpu>,
    renderer: Arc<egui::mutex::RwLock<Renderer>>,
}

impl Host {
    /// Makes the engine ready on the window's device.
    ///
    /// # Errors
    /// A device on which the engine does not compute rightly.
    #[cfg_attr(
        target_arch = "wasm32",
        expect(clippy::arc_with_non_send_sync, reason = "a page has one thread")
    )]
    pub(crate) async fn new(state: RenderState) -> Result<Self> {
        let gpu = Gpu::from_existing(state.device, state.queue).await?;
        Ok(Self { gpu: Arc::new(gpu), renderer: state.renderer })
    }

    /// A host without a window.
    #[cfg(test)]
    pub(crate) fn testing() -> Self {
        let gpu = Gpu::headless_blocking(&Default::default()).expect("an adapter");
        let format = wgpu::TextureFormat::Rgba8Unorm;
        let renderer = Renderer::new(&gpu.device, format, eframe::egui_wgpu::RendererOptions::PREDICTABLE);
        Self { gpu: Arc::new(gpu), renderer: Arc::new(egui::mutex::RwLock::new(renderer)) }
    }

    /// Makes a plan ready, one pipeline after the other, so that neither a page nor the progress line stands still.
    ///
    /// # Errors
    /// As [`Executor::new`]; a shader that a browser refuses, with its message.
    pub(crate) async fn executor(
        &self,
        progress: &Progress,
        plan: &Plan,
        state: &State,
        inputs: &[(&str, wgpu::BufferSlice<'_>)],
    ) -> Result<Executor> {
        for share in Executor::prepare(&self.gpu, plan) {
            progress.share(share?);
            breathe().await;
        }
        self.gpu.settled().await?;
        let executor = Executor::new(&self.gpu, plan, state, inputs)?;
        progress.ready();
        Ok(executor)
    }

    /// Runs an executor's first step, a few launches at a time, and waits for each: the driver compiles here, and the
    /// window goes on. All inputs must be written.
    ///
    /// # Errors
    /// An input that was neither written nor bound; a lost device.
    pub(crate) async fn first_step(&self, progress: &Progress, executor: &Executor) -> Result<()> {
        let count = executor.labels().len();
        for first in (0..count).step_by(PART) {
            progress.share(first as f32 / count as f32);
            let mut done = None;
            self.gpu.submit(|encoder| {
                executor.record_part(encoder, first..count.min(first + PART))?;
                done = Some(self.gpu.completion(encoder));
                Ok(())
            })?;
            if let Some(done) = done {
                done.await?;
            }
        }
        progress.ready();
        Ok(())
    }
}

/// An output's pictures as an image of the window, without a read-back.
pub(crate) struct Canvas {
    blit: Blit,
    texture: wgpu::Texture,
    id: egui::TextureId,
    renderer: Arc<egui::mutex::RwLock<Renderer>>,
    /// Where it was shown last, in points.
    place: Cell<egui::Rect>,
}

impl Canvas {
    /// Makes the texture for an executor's output, f32 `[N, H, W, C]` with values in [0, 1].
    ///
    /// # Errors
    /// An output that is no picture; what the device refuses.
    pub(crate) fn new(host: &Host, executor: &Executor, output: &str, shown: Shown) -> Result<Self> {
        let format = wgpu::TextureFormat::Rgba8Unorm;
        let blit = Blit::new(&host.gpu, executor, output, shown, format)?;
        let texture = host.gpu.device.create_texture(&wgpu::TextureDescriptor {
            label: Some(output),
            size: blit.size(),
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage: wgpu::TextureUsages::COPY_DST
                | wgpu::TextureUsages::COPY_SRC
                | wgpu::TextureUsages::TEXTURE_BINDING,
            view_formats: &[],
        });
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let renderer = host.renderer.clone();
        let id = renderer.write().register_native_texture(&host.gpu.device, &view, wgpu::FilterMode::Nearest);
        Ok(Self { blit, texture, id, renderer, place: Cell::new(egui::Rect::NOTHING) })
    }

    /// Records the copy of the pictures as the executor's last step left them.
    ///
    /// # Errors
    /// A device that is known to be lost.
    pub(crate) fn record(&self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        self.blit.record(encoder, &self.texture, wgpu::Origin3d::ZERO)
    }

    /// Waits for the texture's pixels, RGBA row by row.
    #[cfg(test)]
    pub(crate) fn pixels(&self, gpu: &Gpu) -> Vec<u8> {
        let size = self.blit.size();
        let row = (4 * size.width).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        let buffer = gpu.upload("pixels", &vec![0; (row * size.height) as usize]).expect("memory");
        let layout =
            wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row), rows_per_image: None };
        let to = wgpu::TexelCopyBufferInfo { buffer: &buffer, layout };
        let copied = gpu.submit(|encoder| {
            encoder.copy_texture_to_buffer(self.texture.as_image_copy(), to, size);
            Ok(())
        });
        copied.expect("a device");
        let rows = gpu.read(buffer.slice(..)).expect("a device");
        rows.chunks(row as usize).flat_map(|row| row[..4 * size.width as usize].to_vec()).collect()
    }

    /// Shows the pictures so wide, in points; their own proportions give the height.
    pub(crate) fn show(&self, ui: &mut egui::Ui, width: f32, sense: egui::Sense) -> egui::Response {
        let size = self.blit.size();
        let height = width * size.height as f32 / size.width as f32;
        let response = ui.add(egui::Image::new((self.id, egui::vec2(width, height))).sense(sense));
        self.place.set(response.rect);
        response
    }

    /// The width and height of the pictures, in their own pixels.
    pub(crate) fn size(&self) -> [usize; 2] {
        let wgpu::Extent3d { width, height, .. } = self.blit.size();
        [width as usize, height as usize]
    }

    /// Where the pictures were shown last, in points of the window.
    pub(crate) fn place(&self) -> egui::Rect {
        self.place.get()
    }
}

impl Drop for Canvas {
    fn drop(&mut self) {
        self.renderer.write().free_texture(&self.id);
    }
}
