//! The variational autoencoder: train it, and look at what it learnt.

use clap::{Args, Parser, Subcommand};
use oneiro::{
    caps::Caps,
    data::DataSet,
    gpu::{Executor, Gpu, State},
    graph::{Graph, Tensor},
    models::vae::{Config, Vae},
    nn::Activation,
    optim::{Optimizer, advance},
    plan::Plan,
    run::{
        AdapterOption, Curve, Error, Feed, MetricsLog, Report, Result, RunDir, TrainOptions, Trainer, batch, grid, load, plot, positive,
        remember, save, write_atomic,
    },
    shape::Type,
    var::Init,
    weights,
};
use std::path::PathBuf;

/// Variational autoencoder (Kingma & Welling 2013)
#[derive(Parser)]
#[command(after_help = "Examples:
  vae train --out runs/vae                              digits drawn by the program, 10 epochs
  vae train --data path/to/mnist --out runs/mnist       MNIST's IDX files
  vae train --latent 2 --seconds 60 --out runs/flat     a 2-D latent space
  vae sample --run runs/vae
  vae manifold --run runs/flat
  vae interpolate --run runs/vae --count 6")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train; writes weights, metrics, samples and curves into the run directory
    Train(Train),
    /// Draw z from the prior and decode it
    Sample(Draw),
    /// Test images above their reconstructions
    Reconstruct(Draw),
    /// The decoder over a grid of the latent plane (the paper's figure 4)
    Manifold(Draw),
    /// Straight lines in latent space between pairs of test images
    Interpolate(Draw),
    /// The objective over the whole test set
    Evaluate(Draw),
}

#[derive(Args)]
struct Train {
    #[command(flatten)]
    common: TrainOptions,
    #[command(flatten)]
    adapter: AdapterOption,
    /// Latent dimensions
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    latent: u16,
    /// Widths of the encoder's hidden layers; the decoder mirrors them
    #[arg(long, value_delimiter = ',', default_value = "400", value_parser = clap::value_parser!(u16).range(1..))]
    hidden: Vec<u16>,
    /// Hidden units: relu or tanh
    #[arg(long, default_value = "relu", value_parser = ["relu", "tanh"])]
    activation: String,
    /// Weight of the KL term
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    beta: f64,
    /// Adam's step size
    #[arg(long, default_value_t = 1e-3, value_parser = positive)]
    lr: f64,
    /// Draw black-and-white pixels from the grey ones at every step
    #[arg(long)]
    binarise: bool,
    /// Print the plan of a training step and stop
    #[arg(long)]
    plan: bool,
}

#[derive(Args)]
struct Draw {
    /// Run directory of an earlier `train`
    #[arg(long, value_name = "DIR", default_value = "runs/latest")]
    run: PathBuf,
    #[command(flatten)]
    adapter: AdapterOption,
    /// Pictures (sample 100, reconstruct 10), rows (interpolate 8) or grid side (manifold 20)
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    count: Option<u16>,
    /// Seed of the draws
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The two latent axes of the manifold
    #[arg(long, value_delimiter = ',', default_value = "0,1")]
    axes: Vec<usize>,
    /// Weights of your own (safetensors, PyTorch's names) instead of the run's
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
}

/// What a run directory remembers of its model.
struct Saved {
    config: Config,
    data: String,
    seed: u64,
    binarise: bool,
    size: [usize; 2],
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Train(options) => train(&options),
        Command::Sample(options) => Drawing::open(&options)?.sample(),
        Command::Reconstruct(options) => Drawing::open(&options)?.reconstruct(),
        Command::Manifold(options) => Drawing::open(&options)?.manifold(),
        Command::Interpolate(options) => Drawing::open(&options)?.interpolate(),
        Command::Evaluate(options) => Drawing::open(&options)?.evaluate(),
    }
}

fn train(options: &Train) -> Result<()> {
    let common = &options.common;
    let set = common.load()?;
    let size = [set.train.height, set.train.width];
    let activation = if options.activation == "tanh" { Activation::Tanh } else { Activation::Relu };
    let config = Config {
        pixels: size[0] * size[1] * set.train.channels,
        hidden: options.hidden.iter().map(|&w| w.into()).collect(),
        latent: options.latent.into(),
        beta: options.beta as f32,
        activation,
    };
    let saved = Saved { config, data: common.data.clone(), seed: common.seed, binarise: options.binarise, size };
    let gpu = options.adapter.open()?;

    let g = Graph::new();
    let x = batch(&g, &set.train, common.batch as usize, saved.binarise.then_some("binarise"));
    let vae = Vae::new(&g, &saved.config);
    let loss = vae.loss(x);
    Optimizer::adam(options.lr as f32).step("vae", loss.total, &vae.params());
    remember(&g, &[loss.total, loss.reconstruction, loss.kl]);
    advance(&g);
    let step = Plan::new(&g, gpu.caps())?;
    if options.plan {
        println!("{step}");
        return Ok(());
    }
    let test = Evaluation::plans(&saved, &set, gpu.caps())?;
    let draw = decoder(&saved, 100, gpu.caps())?;
    let plans: Vec<&Plan> = [&step, &draw].into_iter().chain(&test).collect();
    let state = State::new(&gpu, &plans, common.seed)?;
    let feed = Feed::new(&gpu, &set.train)?;
    let executor = Executor::new(&gpu, &step, &state, &feed.bindings())?;
    let test = Evaluation::new(&gpu, &set, &test, &state)?;
    let draw = Executor::new(&gpu, &draw, &state, &[])?;

    let run = RunDir::create(&common.out)?;
    write_atomic(&run.config(), saved.to_json().as_bytes())?;
    let mut log = MetricsLog::create(run.metrics())?;
    let names = weight_names(&step);
    let mut curve = [vec![], vec![]];
    let z = normals(common.seed, 100 * saved.config.latent);
    let trainer = Trainer { gpu: &gpu, executor: &executor, state: &state, feed: &feed, metrics: &["loss", "reconstruction", "kl"] };
    trainer.run(common, &mut log, |report: &Report, log, progress| {
        let [loss, reconstruction, kl] = test.run(&gpu, &state)?;
        log.write(report.step, &[("test_loss", loss), ("test_reconstruction", reconstruction), ("test_kl", kl)])?;
        curve[0].push((report.epoch as f64, report.means[0]));
        curve[1].push((report.epoch as f64, loss));
        progress.println(&format!(
            "epoch {:>3}: train {:.2}, test {loss:.2} nats (reconstruction {reconstruction:.2} + KL {kl:.2})",
            report.epoch, report.means[0]
        ));
        let pictures = decode(&gpu, &draw, &z)?;
        save(&run.samples(report.step), &grid(&pictures, 100, size[0], size[1], 1, 10))?;
        write_atomic(&run.weights(), &weights::to_bytes(&gpu, &state, &names)?)?;
        Ok(())
    })?;
    let curves = if curve[0].len() > 1 {
        vec![Curve::new("train", curve[0].clone()), Curve::new("test", curve[1].clone())]
    } else {
        oneiro::run::read(run.metrics())?.into_iter().filter(|c| c.label == "loss").collect()
    };
    let x_label = if curve[0].len() > 1 { "epoch" } else { "step" };
    plot(&run.loss_plot(), "VAE: reconstruction + KL", x_label, "nats per image", &curves)?;
    println!("weights: {}\nloss curve: {}", run.weights().display(), run.loss_plot().display());
    Ok(())
}

/// Names of the trained variables: what the weights file holds.
fn weight_names(step: &Plan) -> Vec<String> {
    step.arenas.iter().flat_map(|a| &a.members).map(|&v| step.vars[v].name.clone()).collect()
}

/// Standard normals from the engine's own generator.
fn normals(seed: u64, n: usize) -> Vec<f32> {
    Init::Normal(1.0).words(seed, "latents", n).into_iter().map(f32::from_bits).collect()
}

fn decoder(saved: &Saved, count: usize, caps: &Caps) -> Result<Plan> {
    let g = Graph::new();
    let vae = Vae::new(&g, &saved.config);
    let z = g.input("z", Type::f32([count, saved.config.latent]));
    g.output("pictures", vae.decode(z).sigmoid());
    Ok(Plan::new(&g, caps)?)
}

fn decode(gpu: &Gpu, executor: &Executor, z: &[f32]) -> Result<Vec<f32>> {
    executor.write(gpu, "z", z)?;
    gpu.submit(|encoder| executor.record(encoder));
    Ok(executor.read(gpu, "pictures")?)
}

/// The objective summed over the test set: whole batches, then the rest as a batch of its own.
struct Evaluation {
    executors: Vec<(Executor, Feed, usize)>,
    images: usize,
}

const TEST_BATCH: usize = 500;
const TOTAL: &str = "eval.total";

impl Evaluation {
    fn sizes(images: usize) -> Vec<(usize, usize)> {
        let whole = TEST_BATCH.min(images);
        [(whole, images / whole), (images % whole, 1)].into_iter().filter(|(size, _)| *size > 0).collect()
    }

    fn plans(saved: &Saved, set: &DataSet, caps: &Caps) -> Result<Vec<Plan>> {
        let plan = |(size, _)| {
            let g = Graph::new();
            g.count_by("eval.step");
            let x = batch(&g, &set.test, size, saved.binarise.then_some("binarise"));
            let loss = Vae::new(&g, &saved.config).loss(x);
            let total = g.var(TOTAL, Type::f32([3]), Init::Zeros);
            let terms: Vec<Tensor<'_>> = [loss.total, loss.reconstruction, loss.kl].map(|t| t.reshape([1])).to_vec();
            g.assign(total, total + oneiro::ops::views::concat(&terms, 0));
            advance(&g);
            Ok(Plan::new(&g, caps)?)
        };
        Self::sizes(set.test.count).into_iter().map(plan).collect()
    }

    fn new(gpu: &Gpu, set: &DataSet, plans: &[Plan], state: &State) -> Result<Self> {
        let n = set.test.count;
        let mut executors = vec![];
        for ((size, times), plan) in Self::sizes(n).into_iter().zip(plans) {
            let feed = Feed::new(gpu, &set.test)?;
            // The rest comes first in its own order, where the step counter starts.
            let first = if times == 1 && size < n { n - size } else { 0 };
            let order: Vec<u32> = (0..n).map(|i| ((i + first) % n) as u32).collect();
            feed.reorder(gpu, &order);
            executors.push((Executor::new(gpu, plan, state, &feed.bindings())?, feed, times));
        }
        Ok(Self { executors, images: n })
    }

    /// Mean loss, reconstruction and KL per image, with one draw of z each.
    fn run(&self, gpu: &Gpu, state: &State) -> Result<[f64; 3]> {
        state.write(gpu, TOTAL, &[0.0; 3])?;
        for (executor, _, times) in &self.executors {
            state.write_words(gpu, "eval.step", &[0])?;
            gpu.submit(|encoder| (0..*times).for_each(|_| executor.record(encoder)));
        }
        let sums = state.read(gpu, TOTAL)?;
        Ok([0, 1, 2].map(|i| f64::from(sums[i]) / self.images as f64))
    }
}

impl Saved {
    fn to_json(&self) -> String {
        let c = &self.config;
        let value = serde_json::json!({
            "model": "vae", "pixels": c.pixels, "hidden": c.hidden, "latent": c.latent, "beta": c.beta,
            "activation": if c.activation == Activation::Tanh { "tanh" } else { "relu" },
            "data": self.data, "seed": self.seed, "binarise": self.binarise, "size": self.size,
        });
        format!("{value:#}\n")
    }

    fn read(run: &RunDir) -> Result<Self> {
        let path = run.config();
        let bad = |what: &str| Error::new(format!("{}: {what}; train again into this directory", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|e| bad(&e.to_string()))?;
        let v: serde_json::Value = serde_json::from_str(&text).map_err(|e| bad(&e.to_string()))?;
        let number = |key: &str| v[key].as_u64().filter(|&n| n > 0).ok_or_else(|| bad(&format!("no positive number `{key}`")));
        let list = |key: &str| -> Result<Vec<usize>> {
            let items = v[key].as_array().ok_or_else(|| bad(&format!("no list `{key}`")))?;
            items.iter().map(|i| i.as_u64().map(|n| n as usize).ok_or_else(|| bad(&format!("`{key}` holds no numbers")))).collect()
        };
        let size: [usize; 2] = list("size")?.try_into().map_err(|_| bad("`size` is not two numbers"))?;
        let config = Config {
            pixels: number("pixels")? as usize,
            hidden: Some(list("hidden")?)
                .filter(|h| !h.is_empty() && h.iter().all(|&w| (1..=65_535).contains(&w)))
                .ok_or_else(|| bad("`hidden` is no list of layer widths"))?,
            latent: number("latent")? as usize,
            beta: v["beta"].as_f64().unwrap_or(1.0) as f32,
            activation: if v["activation"] == "tanh" { Activation::Tanh } else { Activation::Relu },
        };
        if size[0].checked_mul(size[1]) != Some(config.pixels) || config.latent > 65_535 || config.pixels > 1 << 24 {
            return Err(bad("`size`, `pixels` and `latent` do not fit together"));
        }
        let data = v["data"].as_str().ok_or_else(|| bad("no `data`"))?.to_string();
        Ok(Self { config, data, seed: v["seed"].as_u64().unwrap_or(0), binarise: v["binarise"] == true, size })
    }
}

/// A trained model and where its pictures go.
struct Drawing<'a> {
    options: &'a Draw,
    run: RunDir,
    saved: Saved,
    gpu: Gpu,
}

impl<'a> Drawing<'a> {
    fn open(options: &'a Draw) -> Result<Self> {
        let run = RunDir::open(&options.run)?;
        let saved = Saved::read(&run)?;
        Ok(Self { options, run, saved, gpu: options.adapter.open()? })
    }

    fn count(&self, default: u16) -> usize {
        self.options.count.unwrap_or(default).into()
    }

    /// A State with the trained weights for these plans.
    fn state(&self, plans: &[&Plan]) -> Result<State> {
        let state = State::new(&self.gpu, plans, self.options.seed)?;
        let path = self.options.weights.clone().unwrap_or_else(|| self.run.weights());
        let names: Vec<String> = state.names().map(|(n, _)| n.to_string()).filter(|n| n.starts_with("fc")).collect();
        weights::apply(&self.gpu, &state, &names, &weights::load(&path)?, &path)?;
        Ok(state)
    }

    fn decode(&self, z: &[f32]) -> Result<Vec<f32>> {
        let plan = decoder(&self.saved, z.len() / self.saved.config.latent, self.gpu.caps())?;
        let state = self.state(&[&plan])?;
        decode(&self.gpu, &Executor::new(&self.gpu, &plan, &state, &[])?, z)
    }

    /// The means of q(z|x) of the first test images, and the images.
    fn encode(&self, count: usize) -> Result<(Vec<f32>, Vec<f32>)> {
        let set = load(&self.saved.data, self.saved.seed)?;
        let pixels = self.saved.config.pixels;
        if set.test.count < count || set.test.pixels.len() != set.test.count * pixels {
            return Err(Error::new(format!(
                "{} has no {count} test images of {pixels} pixels, as the model was trained on; see --count",
                self.saved.data
            )));
        }
        let x: Vec<f32> = set.test.pixels[..count * pixels].iter().map(|&b| f32::from(b) / 255.0).collect();
        let g = Graph::new();
        let input = g.input("x", Type::f32([count, pixels]));
        g.output("mu", Vae::new(&g, &self.saved.config).encode(input).0);
        let plan = Plan::new(&g, self.gpu.caps())?;
        let executor = Executor::new(&self.gpu, &plan, &self.state(&[&plan])?, &[])?;
        executor.write(&self.gpu, "x", &x)?;
        self.gpu.submit(|encoder| executor.record(encoder));
        Ok((executor.read(&self.gpu, "mu")?, x))
    }

    fn write(&self, name: &str, pictures: &[f32], columns: usize) -> Result<()> {
        let path = self.run.path(name);
        let [height, width] = self.saved.size;
        save(&path, &grid(pictures, pictures.len() / (height * width), height, width, 1, columns))?;
        println!("{}", path.display());
        Ok(())
    }

    fn sample(&self) -> Result<()> {
        let count = self.count(100);
        let z = normals(self.options.seed, count * self.saved.config.latent);
        let columns = (count as f64).sqrt().ceil() as usize;
        self.write("samples.png", &self.decode(&z)?, columns)
    }

    fn reconstruct(&self) -> Result<()> {
        let count = self.count(10);
        let (mu, x) = self.encode(count)?;
        let pictures = [x, self.decode(&mu)?].concat();
        self.write("reconstructions.png", &pictures, count)
    }

    /// Quantiles of the prior along two axes, the other coordinates 0.
    fn manifold(&self) -> Result<()> {
        let latent = self.saved.config.latent;
        let (&[a, b], side) = (self.options.axes.as_slice(), self.count(20)) else {
            return Err(Error::new("--axes wants two numbers, such as 0,1"));
        };
        if a == b || a >= latent || b >= latent {
            return Err(Error::new(format!(
                "--axes {a},{b}: the model's latent axes are 0 to {}, and two different ones are needed",
                latent - 1
            )));
        }
        let mut z = vec![0.0; side * side * latent];
        for i in 0..side * side {
            z[i * latent + a] = quantile((i % side) as f64, side);
            z[i * latent + b] = quantile((i / side) as f64, side);
        }
        self.write("manifold.png", &self.decode(&z)?, side)
    }

    fn interpolate(&self) -> Result<()> {
        const STEPS: usize = 12;
        let (rows, latent) = (self.count(8), self.saved.config.latent);
        let (mu, _) = self.encode(2 * rows)?;
        let mut z = Vec::with_capacity(rows * STEPS * latent);
        for ends in mu.chunks(2 * latent) {
            for s in 0..STEPS {
                let t = s as f32 / (STEPS - 1) as f32;
                z.extend((0..latent).map(|d| ends[d] * (1.0 - t) + ends[latent + d] * t));
            }
        }
        self.write("interpolation.png", &self.decode(&z)?, STEPS)
    }

    fn evaluate(&self) -> Result<()> {
        let set = load(&self.saved.data, self.saved.seed)?;
        let plans = Evaluation::plans(&self.saved, &set, self.gpu.caps())?;
        let state = self.state(&plans.iter().collect::<Vec<_>>())?;
        let [loss, reconstruction, kl] = Evaluation::new(&self.gpu, &set, &plans, &state)?.run(&self.gpu, &state)?;
        println!("{} test images: loss {loss:.3} = reconstruction {reconstruction:.3} + beta·KL {kl:.3} nats per image", set.test.count);
        Ok(())
    }
}

/// The normal quantile at the middle of cell `i` of `n`, by bisection of its distribution function.
fn quantile(i: f64, n: usize) -> f32 {
    let (p, mut low, mut high) = ((i + 0.5) / n as f64, -6.0, 6.0);
    for _ in 0..50 {
        let middle = (low + high) / 2.0;
        if normal_cdf(middle) < p { low = middle } else { high = middle }
    }
    low as f32
}

/// Φ(x) by Simpson's rule: exact enough for picking grid points.
fn normal_cdf(x: f64) -> f64 {
    let (n, density) = (200, |t: f64| (-0.5 * t * t).exp() / std::f64::consts::TAU.sqrt());
    let h = x / f64::from(n);
    let inner: f64 = (1..n).map(|k| density(h * f64::from(k)) * if k % 2 == 1 { 4.0 } else { 2.0 }).sum();
    0.5 + h / 3.0 * (density(0.0) + inner + density(x))
}
