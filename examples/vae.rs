//! The variational autoencoder, of perceptrons or convolutions: train it, and look at what it learnt.

use clap::{Args, Parser, Subcommand, ValueEnum};
use oneiro::{
    disk::write_atomic,
    error::{Error, Result},
    gpu::{Executor, Gpu, State},
    graph::{Graph, shape::Type},
    kernel::caps::Caps,
    measure::bound::Bound,
    models::{
        conv_vae,
        vae::{self, Vae},
    },
    nn::{Activation, Mode},
    optim::{Optimizer, Schedule, advance},
    plan::Plan,
    run::{
        AdapterOption, Options, RunDir, Saved, Session, TrainOptions, Trainer, decay, grid, listener, parse,
        positive, save, trained,
    },
    train::{Evaluation, batch, normals, quantile, remember},
    weights,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const MODEL: &str = "vae";

/// Variational autoencoder (Kingma & Welling 2013)
#[derive(Parser)]
#[command(after_help = "Examples:
  vae train                                             digits drawn by the program, 10 epochs, into runs/vae
  vae train --data path/to/mnist --out runs/mnist       MNIST's IDX files
  vae train --resume runs/mnist --epochs 20             goes on where it stopped
  vae train --latent 2 --seconds 60 --out runs/flat     a 2-D latent space
  vae train --model conv --data mnist --out runs/conv   the convolutional one
  vae sample --run runs/mnist                           without --run: the newest run under runs
  vae manifold --run runs/flat
  vae interpolate --count 6
  vae evaluate --run runs/mnist --k 5000 --images 1000 --json bound.json")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train, or go on with a run; writes weights, metrics, samples, curves and checkpoints
    Train(Train),
    /// Draw z from the prior and decode it
    Sample(Draw),
    /// Test images above their reconstructions
    Reconstruct(Draw),
    /// The decoder over a grid of the latent plane (the paper's figure 4)
    Manifold(Draw),
    /// Straight lines in latent space between pairs of test images
    Interpolate(Draw),
    /// ELBO, KL per dimension and the importance-weighted bound on log p(x), over test images
    Evaluate(Evaluate),
}

#[derive(Args, Clone, Serialize, Deserialize)]
struct Train {
    #[command(flatten)]
    #[serde(flatten)]
    common: TrainOptions,
    /// Which networks encode and decode
    #[arg(long, value_enum, default_value_t = Model::Mlp)]
    #[serde(default)]
    model: Model,
    /// Latent dimensions
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    latent: u16,
    /// Widths of the perceptron's hidden layers; the decoder mirrors them [default: 400]
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    hidden: Vec<u16>,
    /// Channels of the convolutions, each of which halves the image; the decoder mirrors them [default: 32,64]
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    #[serde(default)]
    widths: Vec<u16>,
    /// Hidden units: relu or tanh
    #[arg(long, default_value = "relu", value_parser = ["relu", "tanh"])]
    activation: String,
    /// Weight of the KL term
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    beta: f64,
    /// Adam's step size
    #[arg(long, default_value_t = 1e-3, value_parser = positive)]
    lr: f64,
    /// Factor of the step size from one step to the next, up to 1: 0.9996 leaves a twentieth after 7,500 steps
    #[arg(long, default_value_t = constant(), value_parser = decay)]
    #[serde(default = "constant")]
    decay: f64,
    /// Draw black-and-white pixels from the grey ones at every step
    #[arg(long)]
    binarise: bool,
}

#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, PartialEq, Default)]
#[serde(rename_all = "lowercase")]
enum Model {
    /// A multilayer perceptron: pytorch/examples' VAE
    #[default]
    Mlp,
    /// Convolutions of stride 2, as DCGAN has them
    Conv,
}

fn constant() -> f64 {
    1.0
}

impl Options for Train {
    fn common(&mut self) -> &mut TrainOptions {
        &mut self.common
    }
}

impl Train {
    /// Why these options cannot be had together, if they cannot.
    fn refuse(&self) -> Option<&'static str> {
        match self.model {
            Model::Mlp if !self.widths.is_empty() => {
                Some("--widths are channels of convolutions; add --model conv, or give --hidden")
            }
            Model::Conv if !self.hidden.is_empty() => {
                Some("--hidden are units of the perceptron; give --widths, or leave out --model conv")
            }
            _ => None,
        }
    }

    /// The network over images of this height, width and number of channels.
    fn vae<'g>(&self, g: &'g Graph, image: [usize; 3], mode: Mode) -> Vae<'g> {
        let or = |given: &[u16], default: &[usize]| match given {
            [] => default.to_vec(),
            given => given.iter().map(|&w| w.into()).collect(),
        };
        let (latent, beta) = (self.latent.into(), self.beta as f32);
        let activation = if self.activation == "tanh" { Activation::Tanh } else { Activation::Relu };
        match self.model {
            Model::Mlp => {
                let (pixels, hidden) = (image.iter().product(), or(&self.hidden, &[400]));
                Vae::new(g, &vae::Config { pixels, hidden, latent, beta, activation })
            }
            Model::Conv => {
                let widths = or(&self.widths, &[32, 64]);
                Vae::convolutional(g, &conv_vae::Config { image, widths, latent, beta, activation }, mode)
            }
        }
    }

    /// Test images at a time: convolutions keep more of each.
    fn at_once(&self) -> usize {
        if self.model == Model::Mlp { 500 } else { 100 }
    }
}

#[derive(Args)]
struct Draw {
    /// Run directory of an earlier `train` [default: the newest under runs]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
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

#[derive(Args)]
struct Evaluate {
    #[command(flatten)]
    draw: Draw,
    /// Importance samples per image
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    k: u32,
    /// Only the first so many test images [default: all]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    images: Option<u32>,
    /// Write the result as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Evaluate {
    fn run(&self) -> Result<()> {
        let drawing = Drawing::open(&self.draw)?;
        let (options, gpu) = (&drawing.saved.options, &drawing.gpu);
        let mut test = drawing.saved.load()?.test;
        if options.binarise {
            test.binarise();
        }
        let bound = Bound::new(gpu.caps(), drawing.pixels(), |g| drawing.vae(g))?;
        let state = drawing.state(&bound.plans())?;
        let count = self.images.map_or(test.count, |n| (n as usize).min(test.count));
        let report = bound.run(gpu, &state, &test, count, self.k as usize, &mut listener())?;
        print!("{}", report.table());
        if let Some(path) = &self.json {
            write_atomic(path, format!("{:#}\n", report.json()).as_bytes())?;
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    match parse::<Cli>().command {
        Command::Train(options) => train(options),
        Command::Sample(options) => Drawing::open(&options)?.sample(),
        Command::Reconstruct(options) => Drawing::open(&options)?.reconstruct(),
        Command::Manifold(options) => Drawing::open(&options)?.manifold(),
        Command::Interpolate(options) => Drawing::open(&options)?.interpolate(),
        Command::Evaluate(options) => options.run(),
    }
}

fn train(options: Train) -> Result<()> {
    if let Some(why) = options.refuse() {
        return Err(Error::new(why));
    }
    let (mut session, options) = Session::open(MODEL, options)?;
    if options.binarise {
        session.set.test.binarise();
    }
    let (image, caps, common) = (session.image(), session.gpu.caps(), &session.options);
    let g = Graph::new();
    let vae = options.vae(&g, image, Mode::Training);
    let stream = options.binarise.then_some("binarise");
    let loss = vae.loss(batch(&g, &session.set.train, common.batch as usize, stream));
    let schedule = Schedule::Exponential { per_step: options.decay };
    Optimizer::adam(options.lr as f32).schedule(schedule).step(MODEL, loss.total, &vae.params());
    remember(&g, &[loss.total, loss.reconstruction, loss.kl]);
    advance(&g);
    let step = Plan::new(&g, caps)?;
    let test = Evaluation::in_batches(options.at_once(), caps, &session.set.test, |g, x| {
        let loss = options.vae(g, image, Mode::Evaluation).loss(x);
        vec![loss.total, loss.reconstruction, loss.kl]
    })?;
    let draw = decoder(&options, image, 100, caps)?;
    let others: Vec<&Plan> = test.plans().chain([&draw]).collect();
    if session.print_plan(&[&step], &others) {
        return Ok(());
    }
    let trainer = Trainer::new(&session, &step, &others, &["loss", "reconstruction", "kl"])?;
    let test = test.ready(&session.gpu, &trainer.state, &session.set.test)?;
    let draw = Executor::new(&session.gpu, &draw, &trainer.state, &[])?;
    let z = normals(common.seed, 100 * vae.latent());
    trainer.run("nats per image", |at| {
        let [height, width, channels] = image;
        save(
            &at.run.samples(at.step),
            &grid(&decode(&session.gpu, &draw, &z)?, 100, height, width, channels, 10),
        )?;
        Ok(["test_loss", "test_reconstruction", "test_kl"].into_iter().zip(test.run()?).collect())
    })?;
    Ok(())
}

fn decoder(options: &Train, image: [usize; 3], count: usize, caps: &Caps) -> Result<Plan> {
    let g = Graph::new();
    let z = g.input("z", Type::f32([count, options.latent.into()]));
    g.output("pictures", options.vae(&g, image, Mode::Evaluation).decode(z).sigmoid());
    Ok(Plan::new(&g, caps)?)
}

fn decode(gpu: &Gpu, executor: &Executor, z: &[f32]) -> Result<Vec<f32>> {
    executor.write(gpu, "z", z)?;
    gpu.submit(|encoder| executor.record(encoder));
    Ok(executor.read(gpu, "pictures")?)
}

/// A trained model and where its pictures go.
struct Drawing<'a> {
    options: &'a Draw,
    run: RunDir,
    saved: Saved<Train>,
    gpu: Gpu,
}

impl<'a> Drawing<'a> {
    fn open(options: &'a Draw) -> Result<Self> {
        let (run, saved) = trained::<Train>(MODEL, options.run.as_ref())?;
        Ok(Self { options, run, saved, gpu: options.adapter.open()? })
    }

    fn vae<'g>(&self, g: &'g Graph) -> Vae<'g> {
        self.saved.options.vae(g, self.saved.image, Mode::Evaluation)
    }

    fn pixels(&self) -> usize {
        self.saved.image.iter().product()
    }

    fn latent(&self) -> usize {
        self.saved.options.latent.into()
    }

    fn count(&self, default: u16) -> usize {
        self.options.count.unwrap_or(default).into()
    }

    /// A State with the trained weights for these plans.
    fn state(&self, plans: &[&Plan]) -> Result<State> {
        let state = State::new(&self.gpu, plans, self.options.seed)?;
        let path = self.options.weights.clone().unwrap_or_else(|| self.run.weights());
        let g = Graph::new();
        self.vae(&g);
        let names: Vec<String> = g.recording().vars.iter().map(|v| v.name.clone()).collect();
        weights::apply(&self.gpu, &state, &names, &weights::load(&path)?, &path)?;
        Ok(state)
    }

    fn decode(&self, z: &[f32]) -> Result<Vec<f32>> {
        let plan = decoder(&self.saved.options, self.saved.image, z.len() / self.latent(), self.gpu.caps())?;
        let state = self.state(&[&plan])?;
        decode(&self.gpu, &Executor::new(&self.gpu, &plan, &state, &[])?, z)
    }

    /// The means of q(z|x) of the first test images, and the images.
    fn encode(&self, count: usize) -> Result<(Vec<f32>, Vec<f32>)> {
        let (set, pixels) = (self.saved.load()?, self.pixels());
        if set.test.count < count {
            return Err(Error::new(format!(
                "{} has only {} test images; see --count",
                set.name, set.test.count
            )));
        }
        let x: Vec<f32> = set.test.pixels[..count * pixels].iter().map(|&b| f32::from(b) / 255.0).collect();
        let g = Graph::new();
        let input = g.input("x", Type::f32([count, pixels]));
        g.output("mu", self.vae(&g).encode(input).0);
        let plan = Plan::new(&g, self.gpu.caps())?;
        let executor = Executor::new(&self.gpu, &plan, &self.state(&[&plan])?, &[])?;
        executor.write(&self.gpu, "x", &x)?;
        self.gpu.submit(|encoder| executor.record(encoder));
        Ok((executor.read(&self.gpu, "mu")?, x))
    }

    fn write(&self, name: &str, pictures: &[f32], columns: usize) -> Result<()> {
        let path = self.run.path(name);
        let [height, width, channels] = self.saved.image;
        save(&path, &grid(pictures, pictures.len() / self.pixels(), height, width, channels, columns))?;
        println!("{}", path.display());
        Ok(())
    }

    fn sample(&self) -> Result<()> {
        let count = self.count(100);
        let z = normals(self.options.seed, count * self.latent());
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
        let latent = self.latent();
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
            z[i * latent + a] = quantile(i % side, side);
            z[i * latent + b] = quantile(i / side, side);
        }
        self.write("manifold.png", &self.decode(&z)?, side)
    }

    fn interpolate(&self) -> Result<()> {
        const STEPS: usize = 12;
        let (rows, latent) = (self.count(8), self.latent());
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
}
