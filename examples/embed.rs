//! A host application with the engine inside. The host owns the device, the queue, the encoder and the
//! textures, and draws its own render pass. Into the same encoder, the engine records a decoder, whose
//! pictures the host shows, and training steps, which improve these pictures from frame to frame. Decoder and
//! training share one State.

use clap::Parser;
use oneiro::{
    data::glyphs::glyphs,
    error::{Error, Result},
    gpu::{
        self, Blit, Executor, Gpu, Shown, State,
        wgpu::{self, util::DeviceExt},
    },
    graph::{Graph, shape::Type, var::Init},
    models::vae::{Config, Vae},
    optim::{Optimizer, advance},
    plan::Plan,
    run::save,
};
use std::path::PathBuf;

/// A host application that draws frames while a VAE in it learns digits
#[derive(Parser)]
#[command(after_help = "Examples:
  embed                                  48 frames into runs/embed
  embed --frames 200 --steps 16          more, and more training between them
  embed --adapter llvmpipe --out frames  on the software driver")]
struct Cli {
    /// Number of frames to draw
    #[arg(long, default_value_t = 48, value_parser = clap::value_parser!(u16).range(1..))]
    frames: u16,
    /// Training steps recorded into each frame's encoder
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    steps: u16,
    /// Folder of the PNGs
    #[arg(long, value_name = "DIR", default_value = "runs/embed")]
    out: PathBuf,
    /// Adapter, by a part of its name; a wrong name lists all adapters
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
}

/// The width and height of a frame. A row has 2,560 bytes, which need no padding.
pub(crate) const FRAME: [u32; 2] = [640, 360];
/// The top left corner of the decoder's pictures in the frame.
pub(crate) const CORNER: [u32; 2] = [292, 12];
/// The number of pixels in the frame for each pixel of the pictures, in each direction.
pub(crate) const SCALE: u32 = 2;
/// The colour of the frame's background.
pub(crate) const BACKGROUND: [u8; 3] = [26, 26, 51];
/// The width and height of a picture.
const SIDE: usize = 28;
/// The number of pictures in each row and each column of the grid.
const COLUMNS: usize = 6;
const IMAGES: usize = 4096;
const BATCH: usize = 64;
const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

/// The part of the application that is not the engine's.
struct Host {
    device: wgpu::Device,
    queue: wgpu::Queue,
    target: wgpu::Texture,
    pixels: wgpu::Buffer,
    pictures: wgpu::Texture,
    scene: wgpu::Buffer,
    triangle: (wgpu::RenderPipeline, wgpu::BindGroup),
    quad: (wgpu::RenderPipeline, wgpu::BindGroup),
}

impl Host {
    fn open(name: Option<&str>) -> Result<Self> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let found = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
        let fits = |a: &wgpu::Adapter| {
            name.is_none_or(|n| a.get_info().name.to_lowercase().contains(&n.to_lowercase()))
        };
        let adapter =
            found.into_iter().filter(fits).min_by_key(|a| a.get_info().device_type == wgpu::DeviceType::Cpu);
        let list = || pollster::block_on(gpu::adapters()).join("; ");
        let adapter = adapter.ok_or_else(|| Error::new(format!("no such adapter; found: {}", list())))?;
        let desc = wgpu::DeviceDescriptor {
            required_limits: Gpu::required_limits(),
            required_features: Gpu::useful_features() & adapter.features(),
            ..Default::default()
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&desc)).map_err(|e| Error::new(e.to_string()))?;
        Ok(Self::new(device, queue))
    }

    fn new(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let texture = |label, [width, height]: [u32; 2], usage| {
            device.create_texture(&wgpu::TextureDescriptor {
                label: Some(label),
                size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: FORMAT,
                usage,
                view_formats: &[],
            })
        };
        let buffer = |label, size, usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let side = (COLUMNS * SIDE) as u32;
        let pictures = texture(
            "pictures",
            [side, side],
            wgpu::TextureUsages::COPY_DST | wgpu::TextureUsages::TEXTURE_BINDING,
        );
        let target =
            texture("target", FRAME, wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC);
        let scene = buffer("scene", 24, wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST);
        let bytes = u64::from(4 * FRAME[0] * FRAME[1]);
        let pixels = buffer("pixels", bytes, wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC);

        let module = device.create_shader_module(wgpu::include_wgsl!("embed.wgsl"));
        let view = pictures.create_view(&Default::default());
        let both = [scene.as_entire_binding(), wgpu::BindingResource::TextureView(&view)];
        let ready = |vertex, fragment, topology, resources: &[wgpu::BindingResource<'_>]| {
            let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
                label: Some(vertex),
                layout: None,
                vertex: wgpu::VertexState {
                    module: &module,
                    entry_point: Some(vertex),
                    compilation_options: Default::default(),
                    buffers: &[],
                },
                primitive: wgpu::PrimitiveState { topology, ..Default::default() },
                depth_stencil: None,
                multisample: Default::default(),
                fragment: Some(wgpu::FragmentState {
                    module: &module,
                    entry_point: Some(fragment),
                    compilation_options: Default::default(),
                    targets: &[Some(FORMAT.into())],
                }),
                multiview_mask: None,
                cache: None,
            });
            let entries = (0..)
                .zip(resources)
                .map(|(binding, r)| wgpu::BindGroupEntry { binding, resource: r.clone() });
            let entries: Vec<_> = entries.collect();
            let layout = pipeline.get_bind_group_layout(0);
            let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(vertex),
                layout: &layout,
                entries: &entries,
            });
            (pipeline, group)
        };
        let triangle = ready("triangle", "paint", wgpu::PrimitiveTopology::TriangleList, &both[..1]);
        let quad = ready("quad", "show", wgpu::PrimitiveTopology::TriangleStrip, &both);
        Self { device, queue, target, pixels, pictures, scene, triangle, quad }
    }

    /// Records the render pass, and a copy of its target into a buffer that can be read.
    fn draw(&self, encoder: &mut wgpu::CommandEncoder, angle: f32) {
        let [w, h, x, y, scale] = [FRAME[0], FRAME[1], CORNER[0], CORNER[1], SCALE].map(|n| n as f32);
        self.queue.write_buffer(&self.scene, 0, bytemuck::cast_slice(&[w, h, x, y, scale, angle]));
        let view = self.target.create_view(&Default::default());
        let [r, g, b] = BACKGROUND.map(|c| f64::from(c) / 255.0);
        let load = wgpu::LoadOp::Clear(wgpu::Color { r, g, b, a: 1.0 });
        let ops = wgpu::Operations { load, store: wgpu::StoreOp::Store };
        let attachment =
            wgpu::RenderPassColorAttachment { view: &view, depth_slice: None, resolve_target: None, ops };
        let desc =
            wgpu::RenderPassDescriptor { color_attachments: &[Some(attachment)], ..Default::default() };
        let mut pass = encoder.begin_render_pass(&desc);
        for ((pipeline, group), vertices) in [(&self.triangle, 3), (&self.quad, 4)] {
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, group, &[]);
            pass.draw(0..vertices, 0..1);
        }
        drop(pass);
        let layout = wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(4 * FRAME[0]),
            rows_per_image: None,
        };
        let to = wgpu::TexelCopyBufferInfo { buffer: &self.pixels, layout };
        encoder.copy_texture_to_buffer(self.target.as_image_copy(), to, self.target.size());
    }
}

/// The host, with the engine's executors.
pub(crate) struct App {
    host: Host,
    /// The engine on the host's device.
    pub(crate) gpu: Gpu,
    trainer: Executor,
    /// The decoder, whose output `pictures` is `[N, 28, 28, 1]`.
    pub(crate) decoder: Executor,
    blit: Blit,
}

/// The result of one frame.
pub(crate) struct Frame {
    /// The frame's pixels in RGBA, row by row.
    pub(crate) pixels: Vec<u8>,
    /// The loss at the last training step, in nats per image.
    pub(crate) loss: f32,
}

impl App {
    /// Opens the adapter with this part of its name, or the best one.
    pub(crate) fn open(adapter: Option<&str>) -> Result<Self> {
        let host = Host::open(adapter)?;
        let gpu = Gpu::from_existing_blocking(host.device.clone(), host.queue.clone())?;
        let config = Config { hidden: vec![256], latent: 16, ..Config::default() };

        let g = Graph::new();
        let data = g.input("data", Type::u8([IMAGES, config.pixels]));
        let x = data.gather_rows(g.input("order", Type::u32([IMAGES])), BATCH);
        let vae = Vae::new(&g, &config);
        let (_, loss) = vae.training_step(x, &Optimizer::adam(2e-3))[0];
        advance(&g);
        g.output("loss", loss * (1.0 / BATCH as f32));
        let training = Plan::new(&g, gpu.caps())?;

        let g = Graph::new();
        let count = COLUMNS * COLUMNS;
        let z = g.input("z", Type::f32([count, config.latent]));
        g.output("pictures", Vae::new(&g, &config).decode(z).sigmoid().reshape([count, SIDE, SIDE, 1]));
        let decoding = Plan::new(&g, gpu.caps())?;

        // The engine binds the host's own buffers without a copy.
        let buffer = |label, contents: &[u8]| {
            let desc = wgpu::util::BufferInitDescriptor {
                label: Some(label),
                contents,
                usage: wgpu::BufferUsages::STORAGE,
            };
            host.device.create_buffer_init(&desc)
        };
        let order: Vec<u32> = (0..IMAGES as u32).collect();
        let (data, order) =
            (buffer("data", &glyphs(IMAGES, 0).pixels), buffer("order", bytemuck::cast_slice(&order)));
        let z =
            buffer("z", bytemuck::cast_slice(&Init::Normal(0.0, 1.0).words(0, "z", count * config.latent)));

        let state = State::new(&gpu, &[&training, &decoding], 0)?;
        let inputs = [("data", data.slice(..)), ("order", order.slice(..))];
        let trainer = Executor::new(&gpu, &training, &state, &inputs)?;
        let decoder = Executor::new(&gpu, &decoding, &state, &[("z", z.slice(..))])?;
        let blit = Blit::new(&gpu, &decoder, "pictures", Shown::Grid { columns: COLUMNS }, FORMAT)?;
        Ok(Self { host, gpu, trainer, decoder, blit })
    }

    /// Draws one frame: one encoder and one submission, both the host's.
    pub(crate) fn frame(&self, number: u16, steps: u16) -> Result<Frame> {
        let host = &self.host;
        let mut encoder = host.device.create_command_encoder(&Default::default());
        self.decoder.record(&mut encoder)?;
        (0..steps).try_for_each(|_| self.trainer.record(&mut encoder))?;
        self.blit.record(&mut encoder, &host.pictures, wgpu::Origin3d::ZERO)?;
        host.draw(&mut encoder, 0.1 * f32::from(number));
        let loss = self.trainer.record_read(&self.gpu, &mut encoder, "loss")?;
        let pixels = self.gpu.record_read(&mut encoder, host.pixels.slice(..))?;

        host.queue.submit([encoder.finish()]);
        // This host waits; one with a window asks `ready` of both in its next frames.
        Ok(Frame { pixels: pollster::block_on(pixels)?, loss: pollster::block_on(loss)?[0] })
    }
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let app = App::open(cli.adapter.as_deref())?;
    println!("adapter: {}", app.gpu.caps().name);
    std::fs::create_dir_all(&cli.out)
        .map_err(|e| Error::new(format!("cannot create {}: {e}", cli.out.display())))?;
    for number in 0..cli.frames {
        let frame = app.frame(number, cli.steps)?;
        let pixel = |x, y| {
            let at = 4 * (y * FRAME[0] + x) as usize;
            image::Rgb([frame.pixels[at], frame.pixels[at + 1], frame.pixels[at + 2]])
        };
        save(
            &cli.out.join(format!("frame-{number:05}.png")),
            &image::RgbImage::from_fn(FRAME[0], FRAME[1], pixel),
        )?;
        if number % 8 == 0 || number + 1 == cli.frames {
            println!("frame {number:>5}: {:.1} nats per image", frame.loss);
        }
    }
    println!("{} frames in {}", cli.frames, cli.out.display());
    Ok(())
}
