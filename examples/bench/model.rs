//! The training step of a whole model: its time, the start-up, the memory, and the share of time in which no
//! kernel runs. For an autoregressive model, also the time to draw pictures.

use crate::{
    ceiling::Ceilings,
    measure::{Clock, Stat, compare, decode, time},
    report::{Measured, ModelFigures, Report},
    sound,
};
use oneiro::{
    data::{Images, glyphs::glyphs},
    error::{Error, Result},
    gpu::{Executor, Gpu, State},
    graph::{
        Graph, Tensor,
        reference::{self, Values},
        shape::{Array, Type},
        var::Init,
        window::{Kernel, Taps},
    },
    kernel::caps::Caps,
    models::{
        autoregressive::{Autoregressive, Given},
        dcgan::Networks,
        game::{Game, Rules},
        likelihood::Likelihood,
        pixelrnn::{self, Cell},
        vae::{Config, Vae},
    },
    nn::Conv2d,
    optim::{Optimizer, advance},
    plan::{Launch, Plan},
    train::{Draws, Feed, Method, Sampler, batch, remember},
};
use std::{slice, time::Instant};

/// The names that `--model` takes.
pub(crate) const MODELS: [&str; 7] =
    ["vae", "pixelcnn", "pixelrnn", "pixelrnn-row", "wavenet", "dcgan32", "dcgan64"];
const SEED: u64 = 0;
/// The largest distance of a moment from its reference, as a share of its length.
const APART: f64 = 5e-3;
/// The number of 3x3 convolutions in the network that is compared.
const DEPTH: usize = 5;
/// Other sizes that are drawn, to show how the cost grows: the number of pictures, their side in pixels, and
/// the number of 3x3 convolutions.
const DRAWN: [(usize, usize, usize); 7] =
    [(1, 28, 5), (4, 28, 5), (64, 28, 5), (16, 14, 5), (16, 56, 5), (16, 28, 1), (16, 28, 10)];
/// The number of pixels that the naive method draws. The time is scaled to whole pictures.
const NAIVE: usize = 4;

/// A model's training step: graphs that run one after another on one State, the images, and the number of
/// images per step.
pub(crate) struct Step {
    graphs: Vec<Graph>,
    images: Images,
    batch: usize,
}

impl Step {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let batch = match name {
            "vae" => crate::cases::BATCH,
            "wavenet" => 4,
            _ => 16,
        };
        let images = if name == "wavenet" { sound::signals(10 * batch) } else { glyphs(10 * batch, 0) };
        let graphs = match name {
            "vae" => vec![vae(&images, batch)],
            "pixelcnn" => vec![density(&images, batch, &Plain { depth: DEPTH })],
            "pixelrnn" => vec![density(&images, batch, &recurrent(Cell::Diagonal))],
            "pixelrnn-row" => vec![density(&images, batch, &recurrent(Cell::Row(3)))],
            "wavenet" => vec![sound::step(&images, batch)],
            _ => dcgan(batch, if name == "dcgan64" { 64 } else { 32 })?.into(),
        };
        Ok(Self { graphs, images, batch })
    }

    pub(crate) fn graphs(&self) -> &[Graph] {
        &self.graphs
    }

    pub(crate) fn plans(&self, caps: &Caps) -> Result<Vec<Plan>> {
        self.graphs.iter().map(|graph| Plan::new(graph, caps)).collect::<std::result::Result<_, _>>()
    }

    pub(crate) fn title(&self, name: &str) -> String {
        format!("{name} step, batch {}", self.batch)
    }
}

/// One round of the DCGAN of pytorch/examples, as a step of the discriminator and one of the generator. The
/// discriminator has no sigmoid, and the real pictures, of three channels, lie on the GPU.
fn dcgan(n: usize, side: usize) -> Result<[Graph; 2]> {
    let networks = Networks { latent: 100, generator: 64, discriminator: 64 };
    let game = Game::new(networks, Rules::default(), [side, side, 3], [side, side], 0, n)?;
    let [first, second] = [Graph::new(), Graph::new()];
    let real = Type::f32([n, side, side, 3]);
    game.discriminator_step(&first, |g| (g.var("real", real, Init::Normal(0.5, 0.5)), None));
    remember(&second, &game.generator_step(&second));
    advance(&second);
    Ok([first, second])
}

/// The training step of the VAE of pytorch/examples.
fn vae(images: &Images, size: usize) -> Graph {
    let g = Graph::new();
    let vae = Vae::new(&g, &Config::default());
    remember(&g, &vae.training_step(batch(&g, images, size, None), &Optimizer::adam(1e-3)));
    advance(&g);
    g
}

/// A PixelCNN without residual connections, for comparison with other programs: one 7x7 convolution with mask
/// A, `depth` 3x3 convolutions with mask B, and two 1x1 convolutions, all of 64 channels.
struct Plain {
    depth: usize,
}

impl Autoregressive for Plain {
    fn network<'g>(&self, g: &'g Graph, Given { x, .. }: Given<'g>) -> (Vec<Tensor<'g>>, Tensor<'g>) {
        let (depth, mask) = (self.depth, |size: usize, taps| Kernel::same(size).taps(taps));
        let conv = |i: usize, kernel: Kernel, c, o| Conv2d::new(g, &format!("{i}"), kernel, [c, o]);
        let masked = (1..=depth).map(|i| conv(i, mask(3, Taps::MaskB), 64, 64));
        let layers: Vec<_> = std::iter::once(conv(0, mask(7, Taps::MaskA), 1, 64))
            .chain(masked)
            .chain([conv(depth + 1, Kernel::square(1), 64, 64), conv(depth + 2, Kernel::square(1), 64, 1)])
            .collect();
        let (last, hidden) = layers.split_last().expect("there are layers");
        let logits = last.forward(hidden.iter().fold(x, |x, layer| layer.forward(x).relu()));
        (layers.iter().flat_map(Conv2d::params).collect(), logits)
    }
}

/// A PixelRNN of one layer of 32 units.
fn recurrent(cell: Cell) -> pixelrnn::Config {
    let image = [28, 28, 1];
    pixelrnn::Config { image, cell, features: 32, layers: 1, head: 64, likelihood: Likelihood::Bernoulli }
}

/// The training step of an explicit density model on binarised pictures.
fn density(images: &Images, size: usize, model: &dyn Autoregressive) -> Graph {
    let g = Graph::new();
    let x = batch(&g, images, size, Some("binarise")).reshape([size, images.height, images.width, 1]);
    let given = Given { x, class: None, training: true };
    remember(&g, &model.training_step(&g, "density", given, &Optimizer::adam(1e-3)));
    advance(&g);
    g
}

/// Measures a model's step. `start` is the start of the process; if `each`, every launch becomes a case too.
pub(crate) fn measure(name: &str, gpu: &Gpu, start: Instant, seconds: f64, each: bool) -> Result<Report> {
    let this = Step::new(name)?;
    let plans = this.plans(gpu.caps())?;
    let state = State::new(gpu, &plans.iter().collect::<Vec<_>>(), SEED)?;
    let feed = Feed::new(gpu, &this.images)?;
    let executors = plans
        .iter()
        .map(|plan| Executor::new(gpu, plan, &state, &feed.bindings(plan)))
        .collect::<Result<Vec<_>>>()?;
    gpu.submit(|encoder| executors.iter().for_each(|executor| executor.record(encoder)));
    gpu.wait()?;
    let start_up_seconds = start.elapsed().as_secs_f64();
    check(gpu, &this, &executors, &state)?;
    let ceilings = Ceilings::measure(gpu, seconds)?;
    let seconds = seconds / plans.len() as f64;
    // Timestamps separate the launches, so the step as a whole is timed without them.
    let timed =
        |profiled| executors.iter().map(|e| time(gpu, e, seconds, profiled)).collect::<Result<Vec<_>>>();
    let step = Stat::sum(timed(false)?.iter().map(|t| t.wall));
    let profiled = timed(true)?;
    let kernels = profiled
        .iter()
        .map(|t| t.kernels)
        .collect::<Option<Vec<_>>>()
        .map(|all| Stat::sum(all.into_iter()).median);
    let busy = profiled.iter().map(|t| Some(t.busy? * t.wall.median)).sum::<Option<f64>>();
    let walls: f64 = profiled.iter().map(|t| t.wall.median).sum();
    let launches: Vec<Launch> = plans.iter().flat_map(|plan| plan.launches.clone()).collect();
    let mut report = Report::new(gpu.caps(), ceilings);
    report.cases.push(Measured::new(
        &this.title(name),
        &launches,
        (step, Clock::Wall, step.median),
        &report.ceilings,
    ));
    if each {
        for (i, (launch, &stat)) in launches.iter().zip(profiled.iter().flat_map(|t| &t.launches)).enumerate()
        {
            let name = format!("{name} {i:02} {}", launch.label);
            report.cases.push(Measured::new(
                &name,
                slice::from_ref(launch),
                (stat, Clock::Gpu, stat.median),
                &report.ceilings,
            ));
        }
    }
    if name == "pixelcnn" {
        for method in [Method::Cached, Method::Naive] {
            report.cases.push(plain(gpu, (this.batch, 28, DEPTH), method, &report.ceilings)?);
        }
        for what in DRAWN {
            report.cases.push(plain(gpu, what, Method::Cached, &report.ceilings)?);
        }
    }
    if let Some(cell) = match name {
        "pixelrnn" => Some(Cell::Diagonal),
        "pixelrnn-row" => Some(Cell::Row(3)),
        _ => None,
    } {
        for method in [Method::Cached, Method::Naive] {
            let what = format!("{name} draws {} 28x28", this.batch);
            report.cases.push(sampling(
                gpu,
                [this.batch, 28],
                &what,
                &recurrent(cell),
                method,
                &report.ceilings,
            )?);
        }
    }
    if name == "wavenet" {
        report.cases.extend(sound::draws(gpu, &report.ceilings)?);
    }
    report.model = Some(ModelFigures {
        name: name.into(),
        batch: this.batch,
        start_up_seconds,
        images_per_second: this.batch as f64 / step.median,
        launches: launches.len(),
        pipelines: plans.iter().map(Plan::pipelines).sum(),
        state_bytes: plans.iter().map(Plan::state_bytes).max().unwrap_or(0),
        slot_bytes: plans.iter().map(Plan::slot_bytes).sum(),
        live_minimum_bytes: plans.iter().map(|plan| plan.live_minimum).sum(),
        kernel_seconds: kernels,
        idle_share: busy.map(|busy| 1.0 - busy / walls),
    });
    Ok(report)
}

/// Measures how long it takes to draw a batch of pictures from a plain PixelCNN.
fn plain(
    gpu: &Gpu,
    (count, side, depth): (usize, usize, usize),
    method: Method,
    ceilings: &Ceilings,
) -> Result<Measured> {
    let layers = if depth == DEPTH { String::new() } else { format!(", {depth} 3x3 layers") };
    let what = format!("pixelcnn draws {count} {side}x{side}{layers}");
    sampling(gpu, [count, side], &what, &Plain { depth }, method, ceilings)
}

/// Measures how long it takes to draw so many pictures of such a side.
fn sampling(
    gpu: &Gpu,
    [count, side]: [usize; 2],
    what: &str,
    model: &dyn Autoregressive,
    method: Method,
    ceilings: &Ceilings,
) -> Result<Measured> {
    let draws =
        Draws { shape: [count, side, side, 1], likelihood: Likelihood::Bernoulli, temperature: 1.0, method };
    let sampler = Sampler::new(gpu.caps(), draws, |g, x| {
        model.network(g, Given { x, class: None, training: false }).1
    })?;
    let state = State::new(gpu, &sampler.plans(), SEED)?;
    let [begin, step] = sampler.plans();
    let steps = if method == Method::Naive { NAIVE } else { sampler.steps() };
    let draw = || -> Result<f64> {
        let executors = [Executor::new(gpu, begin, &state, &[])?, Executor::new(gpu, step, &state, &[])?];
        executors[0].step(gpu);
        let started = Instant::now();
        for burst in (0..steps).collect::<Vec<_>>().chunks(16) {
            gpu.submit(|encoder| burst.iter().for_each(|_| executors[1].record(encoder)));
            gpu.wait()?;
        }
        Ok(started.elapsed().as_secs_f64() * sampler.steps() as f64 / steps as f64)
    };
    draw()?;
    let times = (0..3).map(|_| draw()).collect::<Result<Vec<_>>>()?;
    let how = if method == Method::Naive {
        format!("naive, by {NAIVE} pixels")
    } else {
        format!("cached, {steps} steps")
    };
    let stat = Stat::of(times);
    Ok(Measured::new(&format!("{what}, {how}"), &[], (stat, Clock::Wall, stat.median), ceilings))
}

/// Runs another step, plan by plan, and compares losses and first moments with the reference, which starts
/// each plan from the values on the device. A first moment is a share of every gradient; the new weights
/// would show less, since Adam's first steps are signs of gradients, however small these are. DCGAN's moments
/// are compared as vectors, see [`near`].
fn check(gpu: &Gpu, this: &Step, executors: &[Executor], state: &State) -> Result<()> {
    let images = &this.images;
    let bytes = images.pixels.iter().map(|&x| f64::from(x)).collect();
    let data = Array::new([images.count, images.pixels.len() / images.count], bytes);
    let order = Array::from_fn([images.count], |i| i as f64);
    let inputs = Values::from([("data".into(), data), ("order".into(), order)]);
    for (graph, executor) in this.graphs.iter().zip(executors) {
        let value = |name: &str, ty: &Type| -> Result<Array> {
            Ok(Array::new(ty.shape.clone(), decode(&state.read_words(gpu, name)?, ty.dtype)))
        };
        let mut after = state
            .names()
            .map(|(name, ty)| Ok((name.into(), value(name, ty)?)))
            .collect::<Result<Values>>()?;
        reference::eval(graph, &inputs, &mut after)?;
        executor.step(gpu);
        let kinked = this.graphs.len() > 1;
        for (name, ty) in state.names().filter(|(name, _)| *name == "history" || name.starts_with("adam.m/"))
        {
            let (got, want) = (decode(&state.read_words(gpu, name)?, ty.dtype), &after[name].data);
            if kinked { near(name, &got, want)? } else { compare("the model's step", name, &got, want)? }
        }
    }
    Ok(())
}

/// Compares two vectors by their distance, with a wide bound. If the input of a leaky ReLU is almost 0,
/// rounding may choose its other slope. Even in f64, DCGAN's gradient changes by a thousandth in half of the
/// seeds when the generator's pictures change by a millionth.
fn near(name: &str, got: &[f64], want: &[f64]) -> Result<()> {
    let length = |of: &mut dyn Iterator<Item = f64>| of.map(|v| v * v).sum::<f64>().sqrt();
    let (apart, size) =
        (length(&mut got.iter().zip(want).map(|(a, b)| a - b)), length(&mut want.iter().copied()));
    // A NaN is never within the bound.
    if apart <= APART * size {
        return Ok(());
    }
    let what = format!("the model's step: `{name}` is {apart:.2e} from its reference of length {size:.2e}");
    Err(Error::new(format!("{what}; a wrong kernel is not timed: run `cargo xtask test` on this adapter")))
}
