//! The engine in an egui application. A VAE learns digits in egui's own encoder, and its pictures are shown as an
//! image of egui's, without a read-back. An eframe application gives [`Dream::new`] the device, the queue and the
//! renderer of its `RenderState`, and calls [`Dream::show`] in every frame.

use egui_wgpu::{Callback, CallbackResources, CallbackTrait, Renderer, ScreenDescriptor, wgpu};
use oneiro::{
    data::{Images, Order, glyphs::glyphs},
    error::Result,
    gpu::{Blit, Executor, Gpu, Shown, State},
    graph::{Graph, shape::Type},
    models::vae::{Config, Vae},
    optim::{Optimizer, advance},
    plan::Plan,
    train::{Feed, batch, normals},
};
use std::sync::{Arc, Mutex, PoisonError};

const IMAGES: usize = 1024;
const BATCH: usize = 64;
/// The training steps of a frame.
const STEPS: u64 = 4;
/// The number of pictures in each row and each column, and their width and height.
const COLUMNS: usize = 4;
const SIDE: usize = 28;

/// The part that egui's interface holds: the image, and what went wrong.
pub struct Dream {
    image: egui::TextureId,
    trouble: Trouble,
}

type Trouble = Arc<Mutex<Option<String>>>;

/// The engine, which egui's renderer holds.
struct Engine {
    gpu: Gpu,
    trainer: Executor,
    decoder: Executor,
    feed: Feed,
    blit: Blit,
    texture: wgpu::Texture,
    order: Order,
    step: u64,
    trouble: Trouble,
}

impl Dream {
    /// Makes the engine ready on egui's device and puts it into egui's renderer. The device should have
    /// [`Gpu::required_limits`] and [`Gpu::useful_features`].
    ///
    /// # Errors
    /// Fails if the device refuses a pipeline or a buffer.
    pub async fn new(device: wgpu::Device, queue: wgpu::Queue, renderer: &mut Renderer) -> Result<Self> {
        let gpu = Gpu::from_existing(device, queue).await?;
        let (digits, config) =
            (glyphs(IMAGES, 0), Config { hidden: vec![256], latent: 16, ..Config::default() });
        let (training, decoding) = (training(&gpu, &digits, &config)?, decoding(&gpu, &config)?);
        let state = State::new(&gpu, &[&training, &decoding], 0)?;
        let feed = Feed::new(&gpu, &digits)?;
        let trainer = Executor::new(&gpu, &training, &state, &feed.bindings(&training))?;
        let decoder = Executor::new(&gpu, &decoding, &state, &[])?;
        decoder.write(&gpu, "z", &normals(0, COLUMNS * COLUMNS * config.latent))?;
        gpu.settled().await?;

        let (format, side) = (wgpu::TextureFormat::Rgba8Unorm, (COLUMNS * SIDE) as u32);
        let texture = gpu.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("dream"),
            size: wgpu::Extent3d { width: side, height: side, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage: wgpu::TextureUsages::COPY_DST | wgpu::TextureUsages::TEXTURE_BINDING,
            view_formats: &[],
        });
        let blit = Blit::new(&gpu, &decoder, "pictures", Shown::Grid { columns: COLUMNS }, format)?;
        let view = texture.create_view(&Default::default());
        let image = renderer.register_native_texture(&gpu.device, &view, wgpu::FilterMode::Nearest);
        let (order, trouble) =
            (Order { seed: 0, batch: BATCH, batches: 1, count: IMAGES }, Trouble::default());
        let dream = Self { image, trouble: trouble.clone() };
        let engine = Engine { gpu, trainer, decoder, feed, blit, texture, order, step: 0, trouble };
        renderer.callback_resources.insert(engine);
        Ok(dream)
    }

    /// Shows the pictures, or in a sentence what went wrong, and lets the VAE train in this frame's encoder.
    pub fn show(&self, ui: &mut egui::Ui) -> egui::Response {
        if let Some(trouble) = &*self.trouble.lock().unwrap_or_else(PoisonError::into_inner) {
            return ui.label(trouble);
        }
        let response = ui.image((self.image, egui::Vec2::splat((COLUMNS * SIDE) as f32)));
        ui.painter().add(Callback::new_paint_callback(response.rect, Frame));
        ui.ctx().request_repaint();
        response
    }
}

fn training(gpu: &Gpu, digits: &Images, config: &Config) -> Result<Plan> {
    let g = Graph::new();
    let x = batch(&g, digits, BATCH, Some("binarise"));
    Vae::new(&g, config).training_step(x, &Optimizer::adam(2e-3));
    advance(&g);
    Plan::new(&g, gpu.caps())
}

fn decoding(gpu: &Gpu, config: &Config) -> Result<Plan> {
    let g = Graph::new();
    let count = COLUMNS * COLUMNS;
    let z = g.input("z", Type::f32([count, config.latent]));
    g.output("pictures", Vae::new(&g, config).decode(z).sigmoid().reshape([count, SIDE, SIDE, 1]));
    Plan::new(&g, gpu.caps())
}

impl Engine {
    fn record(&mut self, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        self.gpu.check()?;
        for _ in 0..STEPS {
            let per_epoch = self.order.per_epoch();
            if self.step.is_multiple_of(per_epoch) {
                self.feed.record_reorder(&self.gpu, encoder, &self.order.of(self.step / per_epoch))?;
            }
            self.trainer.record(encoder)?;
            self.step += 1;
        }
        self.decoder.record(encoder)?;
        self.blit.record(encoder, &self.texture, wgpu::Origin3d::ZERO)
    }
}

/// One frame's work, which egui's renderer asks for.
struct Frame;

impl CallbackTrait for Frame {
    /// Records into egui's encoder, before egui's own pass.
    fn prepare(
        &self,
        _: &wgpu::Device,
        _: &wgpu::Queue,
        _: &ScreenDescriptor,
        encoder: &mut wgpu::CommandEncoder,
        resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        if let Some(engine) = resources.get_mut::<Engine>()
            && let Err(error) = engine.record(encoder)
        {
            *engine.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        }
        vec![]
    }

    /// The image is painted by egui itself.
    fn paint(&self, _: egui::PaintCallbackInfo, _: &mut wgpu::RenderPass<'static>, _: &CallbackResources) {}
}

#[cfg(test)]
mod tests;
