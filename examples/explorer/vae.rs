//! The room of the variational autoencoder: a plane of latents whose pictures follow each training step.

use crate::{
    host::{Canvas, Host},
    making::{Making, Progress},
    probe::Subject,
    room::{Lesson, Maker, Room},
};
use eframe::egui;
use oneiro::{
    data::Order,
    error::Result,
    gpu::{Executor, Promise, Shown, State, wgpu},
    graph::{Graph, shape::Type},
    models::vae::{Config, Vae},
    optim::{Optimizer, advance},
    plan::Plan,
    train::{Feed, batch, quantile},
};
use std::sync::Arc;

const BATCH: usize = 64;
/// The pictures in each row and column of the manifold.
const COLUMNS: usize = 12;

struct Playing {
    state: State,
    trainer: Executor,
    manifold: Executor,
    canvas: Canvas,
    feed: Feed,
    order: Order,
    step: u64,
    names: Vec<String>,
    waiting: Option<Promise<Vec<f32>>>,
    loss: f32,
}

/// Makes the room with its first settings.
pub(crate) fn maker() -> Maker {
    Box::new(|host, lesson| Making::new(|progress| make(host, lesson, progress)))
}

async fn make(host: Host, lesson: Arc<Lesson>, progress: Progress) -> Result<Box<dyn Room>> {
    let (gpu, train) = (&host.gpu, &lesson.train);
    let config = Config { hidden: vec![256], latent: 2, ..Config::default() };
    let g = Graph::new();
    let x = batch(&g, train, BATCH, Some("binarise"));
    let vae = Vae::new(&g, &config);
    let (_, loss) = vae.training_step(x, &Optimizer::adam(2e-3))[0];
    advance(&g);
    g.output("loss", loss * (1.0 / BATCH as f32));
    let (training, names) = (Plan::new(&g, gpu.caps())?, g.weights());

    let g = Graph::new();
    let count = COLUMNS * COLUMNS;
    let z = g.input("z", Type::f32([count, 2]));
    g.output("pictures", Vae::new(&g, &config).decode(z).sigmoid().reshape([count, 28, 28, 1]));
    let decoding = Plan::new(&g, gpu.caps())?;

    let state = State::new(gpu, &[&training, &decoding], 0)?;
    let feed = Feed::new(gpu, train)?;
    let order = Order { seed: 0, batch: BATCH, batches: 1, count: train.count };
    feed.reorder(gpu, &order.of(0))?;
    progress.begin("kernels that train");
    let trainer = host.executor(&progress, &training, &state, &feed.bindings(&training)).await?;
    progress.begin("kernels that draw");
    let manifold = host.executor(&progress, &decoding, &state, &[]).await?;
    let q = |i| quantile(i, COLUMNS);
    let z: Vec<f32> = (0..count).flat_map(|i| [q(i % COLUMNS), -q(i / COLUMNS)]).collect();
    manifold.write(gpu, "z", &z)?;
    progress.begin("the first step");
    host.first_step(&progress, &trainer).await?;
    host.first_step(&progress, &manifold).await?;
    let canvas = Canvas::new(&host, &manifold, "pictures", Shown::Grid { columns: COLUMNS })?;
    Ok(Box::new(Playing {
        state,
        trainer,
        manifold,
        canvas,
        feed,
        order,
        step: 1,
        names,
        waiting: None,
        loss: f32::NAN,
    }))
}

impl Room for Playing {
    fn batch(&self) -> usize {
        BATCH
    }

    fn step(&self) -> u64 {
        self.step
    }

    fn record(&mut self, host: &Host, encoder: &mut wgpu::CommandEncoder, steps: u64) -> Result<()> {
        for _ in 0..steps {
            let per_epoch = self.order.per_epoch();
            if self.step.is_multiple_of(per_epoch) {
                self.feed.record_reorder(&host.gpu, encoder, &self.order.of(self.step / per_epoch))?;
            }
            self.trainer.record(encoder)?;
            self.step += 1;
        }
        if let Some(loss) = self.waiting.as_mut().and_then(Promise::ready) {
            (self.loss, self.waiting) = (loss?[0], None);
        }
        if self.waiting.is_none() {
            self.waiting = Some(self.trainer.record_read(&host.gpu, encoder, "loss")?);
        }
        self.manifold.record(encoder)?;
        self.canvas.record(encoder)
    }

    fn show(&mut self, _: &Host, ui: &mut egui::Ui) -> Option<Maker> {
        ui.label(format!("{:.1} nats", self.loss));
        let side = ui.available_size().min_elem();
        self.canvas.show(ui, side, egui::Sense::click_and_drag());
        None
    }

    fn weights(&self) -> (&State, &[String]) {
        (&self.state, &self.names)
    }

    fn subject(&self) -> Subject<'_> {
        Subject { trainer: &self.trainer, drawer: &self.manifold, canvas: &self.canvas }
    }
}
