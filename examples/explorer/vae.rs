//! The room of the variational autoencoder: a plane of latents whose pictures follow each training step, and the codes
//! that the encoder gives to pictures it never learnt from.

mod cloud;
mod curves;
mod model;
mod plane;
mod show;
#[cfg(test)]
mod tests;

use crate::{
    curve::Curve,
    host::{Canvas, Host},
    making::{Making, Progress},
    probe::Subject,
    room::{Batches, DEEPEST, Lesson, Maker, PIXELS, Room, WIDEST},
};
use cloud::Cloud;
use eframe::egui;
use model::BATCH;
use oneiro::{
    error::Result,
    gpu::{Executor, Promise, Shown, State, wgpu},
    graph::Graph,
    models::vae::Config,
    plan::Plan,
    weights::Weights,
};
use plane::{Plane, Scale, Span, liveliest};
use std::sync::Arc;

/// The pictures in each row and column of the manifold.
const COLUMNS: usize = 15;

/// The steps after which digits can be read.
const BEGUN: u64 = 400;
/// The least weight of a new value in the terms' averages: a minibatch is small.
const FRESH: f64 = 0.2;

/// What the visitor chose and a new room begins with.
#[derive(Clone)]
struct Settings {
    latent: usize,
    /// The widths of the encoder's hidden layers.
    hidden: Vec<usize>,
    beta: f32,
}

impl Default for Settings {
    /// A plane of latents, and a network that is small enough for a software driver. Its second layer lets the plane
    /// hold all digits within some hundred steps.
    fn default() -> Self {
        Self { latent: 2, hidden: vec![128, 64], beta: 1.0 }
    }
}

impl Settings {
    fn config(&self) -> Config {
        let Self { latent, hidden, .. } = self.clone();
        Config { pixels: PIXELS, hidden, latent, ..Config::default() }
    }

    /// These settings with the sizes of a file's weights, if it holds such a network.
    fn of(&self, weights: &Weights) -> Option<Self> {
        let rows = |name: &str| weights.get(&format!("{name}.weight"))?.0.first().copied();
        let deeper = (1..).map_while(|layer| rows(&format!("fc1.{layer}")));
        let hidden: Vec<usize> = std::iter::once(rows("fc1")?).chain(deeper).collect();
        let latent = rows("fc21")?;
        let small = hidden.iter().all(|width| (1..=WIDEST).contains(width)) && hidden.len() <= DEEPEST;
        (small && (2..=WIDEST).contains(&latent) && rows("fc4")? == PIXELS).then_some(Self {
            latent,
            hidden,
            ..*self
        })
    }
}

struct Playing {
    settings: Settings,
    /// The settings with which the room shall be made anew.
    wanted: Option<Settings>,
    state: State,
    names: Vec<String>,
    trainer: Executor,
    batches: Batches,
    /// The weight of the KL term that the trainer has.
    written: f32,
    waiting: Option<(u64, Promise<Vec<f32>>)>,
    curves: [Curve; 2],
    manifold: Executor,
    manifold_canvas: Canvas,
    scale: Scale,
    span: Span,
    plane: Plane,
    /// Whether the manifold's latents are of an older plane.
    turned: bool,
    dream: Executor,
    dream_canvas: Canvas,
    /// The point of the plane that is decoded, and the time in seconds at which the visitor last pointed there.
    at: [f32; 2],
    pointed: Option<f64>,
    /// Whether a ring marks it in the manifold.
    ring: bool,
    mirror: Executor,
    /// The test pictures that are drawn again, by number.
    examples: Vec<usize>,
    originals: Canvas,
    again: Canvas,
    cloud: Cloud,
    /// Whether the cloud is drawn over the manifold too.
    over: bool,
}

/// Makes the room with its first settings.
pub(crate) fn maker() -> Maker {
    anew(Settings::default())
}

fn anew(settings: Settings) -> Maker {
    Box::new(move |host, lesson| {
        Making::new(move |progress| async move {
            let room = make(host, lesson, settings, progress).await?;
            Ok(Box::new(room) as Box<dyn Room>)
        })
    })
}

async fn make(host: Host, lesson: Arc<Lesson>, settings: Settings, progress: Progress) -> Result<Playing> {
    let (gpu, config) = (&host.gpu, settings.config());
    let Settings { latent, beta, .. } = settings;
    let train = &lesson.train;
    let test = if lesson.test.count > 0 { &lesson.test } else { train };
    let (shown, examples) = (cloud::shown(test), cloud::examples(test));
    let size = train.count.min(BATCH);
    let plan = |record: &dyn Fn(&Graph)| {
        let g = Graph::new();
        record(&g);
        Plan::new(&g, gpu.caps())
    };
    let training = plan(&|g| model::trainer(g, &config, train, size))?;
    let plans = [
        plan(&|g| model::decoder(g, &config, COLUMNS * COLUMNS))?,
        plan(&|g| model::decoder(g, &config, 1))?,
        plan(&|g| model::encoder(g, &config, shown.len()))?,
        plan(&|g| model::mirror(g, &config, examples.len()))?,
    ];
    let all: Vec<&Plan> = std::iter::once(&training).chain(&plans).collect();
    let state = State::new(gpu, &all, 0)?;
    let batches = Batches::new(&host, train, size)?;

    progress.pieces(2 * all.len());
    progress.begin("kernels that train");
    let trainer = host.executor(&progress, &training, &state, &batches.bindings(&training)).await?;
    progress.begin("kernels that draw");
    let mut looks = vec![];
    for plan in &plans {
        looks.push(host.executor(&progress, plan, &state, &[]).await?);
    }
    let [manifold, dream, encoder, mirror] =
        <[Executor; 4]>::try_from(looks).unwrap_or_else(|_| unreachable!("there are as many plans"));

    let (scale, plane) = (Scale::new(), Plane::axes(latent, [0, 1]));
    trainer.write(gpu, "beta", &[beta])?;
    manifold.write(gpu, "z", &plane.cells(&scale, COLUMNS))?;
    dream.write(gpu, "z", &plane.latents([0.0; 2]))?;
    encoder.write(gpu, "x", &cloud::values(test, &shown))?;
    mirror.write(gpu, "x", &cloud::values(test, &examples))?;
    progress.begin("the first step");
    for executor in [&trainer, &manifold, &dream, &encoder, &mirror] {
        host.first_step(&progress, executor).await?;
    }
    Ok(Playing {
        settings,
        wanted: None,
        names: training.weights(),
        batches,
        written: beta,
        waiting: None,
        curves: [FRESH; 2].map(Curve::new),
        manifold_canvas: Canvas::new(&host, &manifold, "pictures", Shown::Grid { columns: COLUMNS })?,
        scale,
        span: if latent > 2 { Span::Liveliest } else { Span::Axes([0, 1]) },
        plane,
        turned: false,
        dream_canvas: Canvas::new(&host, &dream, "pictures", Shown::Image(0))?,
        at: [0.0; 2],
        pointed: None,
        ring: false,
        originals: Canvas::new(&host, &mirror, "originals", Shown::Grid { columns: examples.len() })?,
        again: Canvas::new(&host, &mirror, "again", Shown::Grid { columns: examples.len() })?,
        examples,
        cloud: Cloud::new(encoder, latent, &shown, test, &lesson.class_names),
        over: false,
        state,
        trainer,
        manifold,
        dream,
        mirror,
    })
}

impl Playing {
    /// Records the steps, and a read-back of the terms after them.
    fn learn(&mut self, host: &Host, encoder: &mut wgpu::CommandEncoder, steps: u64) -> Result<()> {
        if self.written != self.settings.beta {
            self.written = self.settings.beta;
            self.trainer.record_write(&host.gpu, encoder, "beta", &[self.written])?;
        }
        for _ in 0..steps {
            self.batches.record(host, encoder, &self.trainer)?;
        }
        if let Some((step, promise)) = &mut self.waiting
            && let Some(nats) = promise.ready()
        {
            nats?.iter().zip(&mut self.curves).for_each(|(&nats, curve)| curve.push(*step, nats.into()));
            self.waiting = None;
        }
        if steps > 0 && self.waiting.is_none() {
            self.waiting = Some((self.batches.seen, self.trainer.record_read(&host.gpu, encoder, "nats")?));
        }
        Ok(())
    }

    /// Takes another plane.
    fn look(&mut self, span: Span) {
        let latent = self.settings.latent;
        let before = self.plane.axes.unwrap_or([0, 1]);
        self.span = span;
        let plane = match span {
            Span::Liveliest => Plane::axes(latent, liveliest(&self.cloud.kl, before)),
            Span::Axes(axes) => Plane::axes(latent, axes),
            Span::Random(seed) => Plane::random(latent, seed),
        };
        self.turned |= plane != self.plane;
        self.plane = plane;
    }
}

impl Room for Playing {
    fn batch(&self) -> usize {
        self.batches.size()
    }

    fn step(&self) -> u64 {
        self.batches.seen
    }

    /// Digits come before smooth frames: a software driver draws a window for as long as it learns ten steps.
    fn least(&self) -> u64 {
        if self.batches.seen < BEGUN { 6 } else { 1 }
    }

    fn record(&mut self, host: &Host, encoder: &mut wgpu::CommandEncoder, steps: u64) -> Result<()> {
        self.learn(host, encoder, steps)?;
        if self.cloud.record(host, encoder)? && self.span == Span::Liveliest {
            self.look(Span::Liveliest);
        }
        if std::mem::take(&mut self.turned) {
            let cells = self.plane.cells(&self.scale, COLUMNS);
            self.manifold.record_write(&host.gpu, encoder, "z", &cells)?;
        }
        self.dream.record_write(&host.gpu, encoder, "z", &self.plane.latents(self.at))?;
        for executor in [&self.manifold, &self.dream, &self.mirror] {
            executor.record(encoder)?;
        }
        for canvas in [&self.manifold_canvas, &self.dream_canvas, &self.originals, &self.again] {
            canvas.record(encoder)?;
        }
        Ok(())
    }

    fn show(&mut self, _: &Host, ui: &mut egui::Ui) -> Option<Maker> {
        self.lay_out(ui);
        self.wanted.take().map(anew)
    }

    fn weights(&self) -> (&State, &[String]) {
        (&self.state, &self.names)
    }

    fn sized(&self, _: &Host, weights: &Weights) -> Option<Maker> {
        let sizes = |settings: &Settings| (settings.latent, settings.hidden.clone());
        let wanted = self.settings.of(weights)?;
        (sizes(&wanted) != sizes(&self.settings)).then(|| anew(wanted))
    }

    fn subject(&self) -> Subject<'_> {
        Subject { trainer: &self.trainer, drawer: &self.manifold, canvas: &self.manifold_canvas }
    }
}
