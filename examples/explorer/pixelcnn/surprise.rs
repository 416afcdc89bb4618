//! How surprised the network is by each pixel of a picture: -log p of the pixel given those before it, in nats.

use super::tones::{self, heated, rgb, toned};
use crate::{
    host::{Canvas, Host},
    making::Progress,
    room::{PIXELS, SIDE},
};
use oneiro::{
    error::Result,
    gpu::{Executor, Gpu, Promise, Shown, State, wgpu},
    graph::{Graph, shape::Type},
    kernel::caps::Caps,
    models::{
        autoregressive::{Autoregressive, Given},
        pixelcnn::Config,
    },
    plan::Plan,
};

/// Where the picture in view comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A test digit of this number.
    Digit(usize),
    /// Every pixel is ink or not by the toss of a coin.
    Noise,
    /// What the visitor painted, on black paper.
    Painting,
    /// One of the gallery's pictures, as far as it is drawn.
    Drawn(usize),
}

/// The picture in view, and what the network thinks of it.
pub(super) struct Surprise {
    pub(super) executor: Executor,
    /// The picture, what the network expected of each pixel, and its surprise.
    pub(super) canvases: [Canvas; 3],
    /// -log p of each pixel in nats as it was last read, 0 where a pixel is not drawn.
    pub(super) nats: Vec<f32>,
    picture: wgpu::Buffer,
    /// A picture that comes into view with the next frame.
    next: Option<Vec<f32>>,
    waiting: Option<Promise<Vec<f32>>>,
}

/// Plans the network's view of one picture.
pub(super) fn plan(caps: &Caps, config: &Config) -> Result<Plan> {
    let g = Graph::new();
    let one = Type::f32([1, SIDE, SIDE, 1]);
    let [x, when] = ["x", "when"].map(|name| g.input(name, one.clone()));
    let drawn = when.lt(g.input("done", Type::f32([1])).reshape([1, 1, 1, 1]));
    let (_, logits) = config.network(&g, Given::pictures(x));
    let (nats, chance) = (config.likelihood.nats(logits, x) * drawn, logits.sigmoid());
    let masked = |channel: &dyn Fn(usize) -> _| rgb(&g, |c| drawn.select(channel(c), tones::WAITING[c]));
    g.output("picture", masked(&|c| toned(x, tones::DRAWN, c)));
    g.output("pictures", drawn.select(chance, tones::WAITING[1]));
    g.output("surprise", masked(&|c| heated(nats, c)));
    g.output("nats", nats);
    Plan::new(&g, caps)
}

impl Surprise {
    /// Makes the plan ready on the network that learns. A gallery's drawing takes `when` to draw each pixel.
    pub(super) async fn new(
        host: &Host,
        progress: &Progress,
        plan: &Plan,
        live: &State,
        when: &[f32],
    ) -> Result<Self> {
        let gpu = &host.gpu;
        let picture = gpu.upload("picture", &[0; 4 * PIXELS])?;
        let executor = host.executor(progress, plan, live, &[("x", picture.slice(..))]).await?;
        executor.write(gpu, "when", when)?;
        executor.write(gpu, "done", &[f32::MAX])?;
        host.first_step(progress, &executor).await?;
        let canvas = |name| Canvas::new(host, &executor, name, Shown::Image(0));
        let canvases = [canvas("picture")?, canvas("pictures")?, canvas("surprise")?];
        Ok(Self { executor, canvases, nats: vec![0.0; PIXELS], picture, next: None, waiting: None })
    }

    /// Brings a picture into view with the next frame.
    pub(super) fn put(&mut self, picture: Vec<f32>) {
        self.next = Some(picture);
    }

    /// -log p of the picture in nats, as it was last read.
    pub(super) fn total(&self) -> f32 {
        self.nats.iter().sum()
    }

    /// Records what the network thinks of the picture that was put, or of one that is in a buffer with so many steps
    /// of the wavefront done.
    pub(super) fn record(
        &mut self,
        gpu: &Gpu,
        encoder: &mut wgpu::CommandEncoder,
        drawn: Option<((wgpu::Buffer, u64), usize)>,
    ) -> Result<()> {
        let done = drawn.as_ref().map_or(f32::MAX, |(_, done)| *done as f32);
        self.executor.record_write(gpu, encoder, "done", &[done])?;
        if let Some(((buffer, offset), _)) = drawn {
            encoder.copy_buffer_to_buffer(&buffer, offset, &self.picture, 0, (4 * PIXELS) as u64);
        } else if let Some(picture) = self.next.take() {
            self.executor.write(gpu, "x", &picture)?;
        }
        self.executor.record(encoder)?;
        self.canvases.iter().try_for_each(|canvas| canvas.record(encoder))?;
        if let Some(nats) = self.waiting.as_mut().and_then(Promise::ready) {
            (self.nats, self.waiting) = (nats?, None);
        }
        if self.waiting.is_none() {
            self.waiting = Some(self.executor.record_read(gpu, encoder, "nats")?);
        }
        Ok(())
    }
}
