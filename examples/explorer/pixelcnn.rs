//! The room of PixelCNN: pictures appear pixel by pixel, each pixel drawn given those before it; what the visitor
//! paints is completed; and each pixel of a picture shows how much it surprised the network.

mod gallery;
mod paint;
mod show;
mod sight;
mod surprise;
#[cfg(test)]
mod tests;
mod tones;

use crate::{
    curve::Curve,
    host::Host,
    making::{Making, Progress},
    pace::Pace,
    probe::Subject,
    room::{self, Batches, Lesson, Maker, PIXELS, Room, SIDE},
};
use eframe::egui;
use gallery::Gallery;
use oneiro::{
    data::Images,
    error::Result,
    gpu::{Executor, Promise, State, wgpu},
    graph::Graph,
    kernel::caps::AdapterClass,
    models::{
        autoregressive::{Autoregressive, Given},
        likelihood::Likelihood,
        pixelcnn::Config,
    },
    optim::{Optimizer, Schedule, advance},
    plan::Plan,
    rng::{self, RandomStream},
    train::batch,
    weights::Weights,
};
use paint::Paper;
use std::{sync::Arc, time::Duration};
use surprise::{Source, Surprise};
use web_time::Instant;

/// The pictures of a training step: few, for software drivers, of which a browser's may not look like one.
const BATCH: usize = 8;
/// The step size, which falls to a twentieth within so many steps.
const RATE: f32 = 4e-3;
const FALLS: u32 = 10_000;
/// The test digits that one can look at.
const DIGITS: usize = 256;
/// How long finished pictures stay.
const REST: Duration = Duration::from_millis(2500);
/// The steps after which one sees strokes.
const STROKES: u64 = 150;
/// The wavefront's least share of a frame at full speed: its steps are short beside those of training.
const SHARE: usize = 16;
/// The least weight of a new loss in the average.
const FRESH: f64 = 0.08;

/// A network that one can choose.
struct Net {
    title: &'static str,
    blocks: usize,
    dilations: &'static [usize],
}

/// The first is the network of the program `pixelcnn`, whose weights fit.
const NETS: [Net; 3] = [
    Net { title: "5 blocks", blocks: 5, dilations: &[] },
    Net { title: "3 wide blocks (dilations 1, 2, 4)", blocks: 3, dilations: &[1, 2, 4] },
    Net { title: "no blocks: near pixels alone", blocks: 0, dilations: &[] },
];

fn config(net: usize) -> Config {
    let Net { blocks, dilations, .. } = NETS[net];
    Config {
        image: [SIDE, SIDE, 1],
        features: 16,
        blocks,
        dilations: dilations.to_vec(),
        head: 32,
        dropout: 0.0,
        likelihood: Likelihood::Bernoulli,
        hint: None,
    }
}

/// For tests: files of two networks that are not the first.
#[cfg(test)]
pub(crate) fn saved(host: &Host) -> Vec<Vec<u8>> {
    let of = |net| {
        let plan = surprise::plan(host.gpu.caps(), &config(net)).unwrap();
        let state = State::new(&host.gpu, &[&plan], 7).unwrap();
        oneiro::weights::to_bytes(&host.gpu, &state, &plan.weights()).unwrap()
    };
    [1, 2].map(of).to_vec()
}

struct Playing {
    net: usize,
    config: Config,
    state: State,
    names: Vec<String>,
    trainer: Executor,
    batches: Batches,
    /// Whether its weights come from a file.
    experienced: bool,
    /// Whether the network learns.
    trains: bool,
    waiting: Option<(u64, Promise<Vec<f32>>)>,
    /// The loss over the steps, in nats an image.
    curve: Curve,
    gallery: Gallery,
    /// The training step of the network that draws.
    drawn_by: u64,
    /// The most wavefront steps a frame, and how many fit it.
    speed: usize,
    pace: Pace,
    /// Whether other pictures begin when these are drawn, and when these were.
    goes_on: bool,
    finished: Option<Instant>,
    paper: Paper,
    surprise: Surprise,
    source: Source,
    digits: Vec<Vec<f32>>,
    /// The test digit whose upper half was kept last.
    half: usize,
    /// The pixel that the pointer is over, and what its prediction sees.
    pointed: Option<(show::Place, Vec<bool>)>,
}

/// Makes the room with its first settings.
pub(crate) fn maker() -> Maker {
    with(0)
}

/// Makes the room with this one of the networks.
fn with(net: usize) -> Maker {
    Box::new(move |host, lesson| {
        Making::new(move |progress| async move {
            let room: Box<dyn Room> = Box::new(make(host, lesson, progress, net).await?);
            Ok(room)
        })
    })
}

async fn make(host: Host, lesson: Arc<Lesson>, progress: Progress, net: usize) -> Result<Playing> {
    let (gpu, train, config) = (&host.gpu, &lesson.train, config(net));
    let software = gpu.caps().class == AdapterClass::Cpu;
    let size = train.count.min(BATCH);
    let g = Graph::new();
    let x = batch(&g, train, size, Some("binarise")).reshape([size, SIDE, SIDE, 1]);
    let falls = Schedule::Linear { steps: FALLS, floor: 0.05 };
    let optimizer = Optimizer::adam(RATE).schedule(falls).clip_norm(1.0);
    let given = Given { training: true, ..Given::pictures(x) };
    let loss = config.training_step(&g, "pixelcnn", given, &optimizer)[0].1;
    advance(&g);
    g.output("loss", loss * (1.0 / size as f32));
    let (training, names) = (Plan::new(&g, gpu.caps())?, g.weights());
    let looking = surprise::plan(gpu.caps(), &config)?;
    let state = State::new(gpu, &[&training, &looking], 0)?;
    let batches = Batches::new(&host, train, size)?;

    // Trainer, view and judge, and the two plans of the sampler; each with its first step.
    progress.pieces(10);
    progress.begin("kernels that train");
    let trainer = host.executor(&progress, &training, &state, &batches.bindings(&training)).await?;
    progress.begin("kernels that draw");
    let gallery = Gallery::new(&host, &progress, &config, &state, &names).await?;
    progress.begin("kernels that judge");
    let when = gallery::when(gallery.steps);
    let mut surprise = Surprise::new(&host, &progress, &looking, &state, &when).await?;
    progress.begin("the first step");
    host.first_step(&progress, &trainer).await?;
    let digits = digits(if lesson.test.count > 0 { &lesson.test } else { train });
    surprise.put(digits[0].clone());
    Ok(Playing {
        net,
        config,
        state,
        names,
        trainer,
        batches,
        experienced: false,
        trains: true,
        waiting: None,
        curve: Curve::new(FRESH),
        speed: gallery.steps,
        gallery,
        drawn_by: 0,
        pace: Pace::new(software),
        goes_on: true,
        finished: None,
        paper: Paper::default(),
        surprise,
        source: Source::Digit(0),
        digits,
        half: 0,
        pointed: None,
    })
}

/// The first test digits, black and white as the tests of the programs have them.
fn digits(test: &Images) -> Vec<Vec<f32>> {
    let pixels = test.pixels.iter().copied().take(DIGITS * PIXELS).collect();
    let mut test = Images { pixels, labels: None, ..*test };
    test.binarise();
    let value = |&level: &u8| f32::from(level > 127);
    test.pixels.chunks(PIXELS).map(|digit| digit.iter().map(value).collect()).collect()
}

/// The toss of a coin for each pixel.
fn noise() -> Vec<f32> {
    let key = RandomStream::new("noise").key([0, 0]);
    (0..PIXELS).map(|i| f32::from(rng::uniform(key, 0, i as u32) < 0.5)).collect()
}

impl Playing {
    fn train(&mut self, host: &Host, encoder: &mut wgpu::CommandEncoder, steps: u64) -> Result<()> {
        for _ in 0..steps {
            self.batches.record(host, encoder, &self.trainer)?;
        }
        if let Some((step, loss)) = &mut self.waiting
            && let Some(loss) = loss.ready()
        {
            let loss = f64::from(loss?[0]);
            // Weights that were loaded begin another average.
            if self.curve.last().is_some_and(|before| !(0.5..2.0).contains(&(loss / before))) {
                self.curve.anew();
            }
            self.curve.push(*step, loss);
            self.waiting = None;
        }
        if self.waiting.is_none() && steps > 0 {
            let loss = self.trainer.record_read(&host.gpu, encoder, "loss")?;
            self.waiting = Some((self.batches.seen, loss));
        }
        Ok(())
    }

    /// Records the wavefront's share of the frame.
    fn draw(&mut self, host: &Host, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        if self.gallery.finished() {
            let since = *self.finished.get_or_insert_with(Instant::now);
            if self.goes_on && since.elapsed() > REST {
                self.gallery.again();
            }
        }
        let fit = self.pace.steps(1)?.map_or(0, |fit| SHARE.max(fit as usize));
        if self.gallery.begins() {
            self.drawn_by = self.batches.seen;
        }
        let before = self.gallery.done;
        self.gallery.record(&host.gpu, encoder, self.speed.min(fit))?;
        if !self.gallery.finished() {
            self.finished = None;
        }
        if fit > 0 {
            let steps = self.gallery.done.saturating_sub(before);
            // A frame whose share was cut by the slider does not tell how many would fit.
            self.pace.recorded(&host.gpu, encoder, if steps < fit { 0 } else { steps as u64 });
        }
        Ok(())
    }

    /// Brings a picture into view.
    fn look_at(&mut self, source: Source) {
        self.source = source;
        match source {
            Source::Digit(i) => self.surprise.put(self.digits[i % self.digits.len()].clone()),
            Source::Noise => self.surprise.put(noise()),
            Source::Painting => self.surprise.put(self.paper.picture()),
            Source::Drawn(_) => {}
        }
    }

    /// Begins pictures that complete what is on the paper.
    fn complete(&mut self) {
        self.gallery.restart(self.paper.given());
        if self.source == Source::Painting {
            self.look_at(Source::Painting);
        }
    }
}

impl Room for Playing {
    fn batch(&self) -> usize {
        self.batches.size()
    }

    fn step(&self) -> u64 {
        self.batches.seen
    }

    fn record(&mut self, host: &Host, encoder: &mut wgpu::CommandEncoder, steps: u64) -> Result<()> {
        let steps = if self.trains { steps } else { 0 };
        self.train(host, encoder, steps)?;
        self.draw(host, encoder)?;
        let drawn = match self.source {
            Source::Drawn(i) => Some((self.gallery.picture(i)?, self.gallery.done)),
            _ => None,
        };
        self.surprise.record(&host.gpu, encoder, drawn)
    }

    fn show(&mut self, _: &Host, ui: &mut egui::Ui) -> Option<Maker> {
        self.show_all(ui)
    }

    fn weights(&self) -> (&State, &[String]) {
        (&self.state, &self.names)
    }

    /// The room's large steps of the beginning would spoil what the network has learnt.
    fn loaded(&mut self) -> String {
        (self.experienced, self.trains) = (true, false);
        "; training is switched off, so that the network stays as it is".into()
    }

    fn sized(&self, host: &Host, weights: &Weights) -> Option<Maker> {
        let caps = host.gpu.caps();
        let fits =
            |&net: &usize| surprise::plan(caps, &config(net)).is_ok_and(|plan| room::holds(weights, &[plan]));
        (0..NETS.len()).find(fits).filter(|&net| net != self.net).map(with)
    }

    fn subject(&self) -> Subject<'_> {
        let (drawer, canvas) = (&self.surprise.executor, &self.surprise.canvases[1]);
        Subject { trainer: &self.trainer, drawer, canvas }
    }
}
