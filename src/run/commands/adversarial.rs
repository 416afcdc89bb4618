//! What the examples of generative adversarial nets share: training two players against each other, samples, walks through the
//! latent space.
//!
//! A model is its options with [`Adversarial`]: two chains of layers. Pictures smaller than the networks' are framed in black, which
//! is cut off again wherever they are shown.

mod draw;
mod evaluate;
mod game;

pub use draw::{Arithmetic, Draw, Nearest};
pub use evaluate::Evaluate;
pub use game::Setting;

use crate::{
    error::{Error, Result},
    gpu::{Executor, Gpu, State},
    graph::{Graph, Tensor},
    measure::{
        features::{self, Extractor},
        report::{self, Reference},
        watch::Watch,
    },
    models::{classifier, gan::Objective},
    nn::Sequential,
    plan::Plan,
    run::{
        Each, Measured, Options, Report, RunDir, Session, TrainOptions, Trainer, animate, grid, listener,
        options::number, plot, positive, read, save,
    },
};
use clap::{Args, Subcommand, ValueEnum};
use draw::Model;
use game::Game;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::path::Path;

/// Names of the two players, and of the generator whose weights are averages over training.
const GENERATOR: &str = "generator";
const DISCRIMINATOR: &str = "discriminator";
const AVERAGE: &str = "ema/generator";
/// Pictures of the grid that training shows, drawn from the same noise each time.
const SHOWN: usize = 64;
/// Pictures of the film of training at most.
const FRAMES: usize = 60;
/// What a round measures.
const METRICS: [&str; 4] = ["loss_D", "loss_G", "D(x)", "D(G(z))"];

/// A model's options.
pub trait Adversarial: Args + Serialize + DeserializeOwned + Clone {
    /// Name of the model and its runs.
    const MODEL: &'static str;

    /// Dimensions of the noise.
    fn latent(&self) -> usize;

    /// Whether both players are told classes.
    fn conditional(&self) -> bool;

    /// Rows and columns that the networks work with, for pictures of these; an error if they cannot.
    fn canvas(&self, image: [usize; 2]) -> Result<[usize; 2]>;

    /// Noise `[N, 1, 1, latent + classes]` to pictures in [-1, 1], `[N, H, W, C]` in any shape.
    fn generator<'g>(&self, g: &'g Graph, name: &str, at: &Setting) -> Sequential<'g>;

    /// Pictures, as [`Adversarial::seen`] gives them, with a channel per class, to one score each.
    fn discriminator<'g>(&self, g: &'g Graph, name: &str, at: &Setting) -> Sequential<'g>;

    /// How the discriminator takes pictures `[N, H, W, C]`: four axes, classes join the last one.
    #[track_caller]
    fn seen<'g>(&self, pictures: Tensor<'g>) -> Tensor<'g> {
        pictures
    }
}

/// The subcommands.
#[derive(Subcommand)]
pub enum Command<M: Adversarial> {
    /// Train both players, or go on with a run; writes weights, metrics, samples, curves, checkpoints, and a film of the samples
    Train(Train<M>),
    /// Draw noise and turn it into pictures
    Sample(Draw),
    /// Walk on the sphere between pairs of noise vectors: a strip and a GIF
    Interpolate(Draw),
    /// Add and subtract averaged noise vectors, and of a conditional model classes: smiling woman - neutral woman + neutral man
    Arithmetic(Arithmetic),
    /// Samples above the training images that are nearest to them
    Nearest(Nearest),
    /// FID and KID against the data, classes covered, diversity; what the discriminator's features are worth
    Evaluate(Evaluate),
}

/// What the players play for.
#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// The game's own value, log(1 - D(G(z))) for the generator
    Minimax,
    /// The generator maximises log D(G(z))
    NonSaturating,
    /// Squared distances to 1 and 0
    LeastSquares,
    /// Hinges at 1 and -1
    Hinge,
    /// Difference of scores, the critic's weights clipped
    Wasserstein,
    /// Difference of scores, the critic's gradient penalised
    WassersteinGp,
}

impl Loss {
    fn objective(self) -> Objective {
        match self {
            Loss::Minimax => Objective::Minimax,
            Loss::NonSaturating => Objective::NonSaturating,
            Loss::LeastSquares => Objective::LeastSquares,
            Loss::Hinge => Objective::Hinge,
            Loss::Wasserstein | Loss::WassersteinGp => Objective::Wasserstein,
        }
    }
}

/// Options of `train`.
#[derive(Args, Serialize, Deserialize, Clone)]
#[serde(bound = "")]
pub struct Train<M: Adversarial> {
    #[command(flatten)]
    #[serde(flatten)]
    common: TrainOptions,
    /// What the players play for
    #[arg(long, value_enum, default_value = "non-saturating")]
    loss: Loss,
    /// Discriminator steps before each generator step
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    discriminator_steps: u16,
    /// Adam's step size
    #[arg(long, default_value_t = 2e-4, value_parser = positive)]
    lr: f64,
    /// The discriminator's, if it is another one
    #[arg(long, value_name = "LR", value_parser = positive)]
    lr_discriminator: Option<f64>,
    /// Adam's decay of first moments
    #[arg(long, default_value_t = 0.5, value_parser = below_one)]
    beta1: f64,
    /// One-sided label smoothing: real pictures are labelled 1 minus this
    #[arg(long, default_value_t = 0.0, value_parser = below_one)]
    smooth: f64,
    /// Standard deviation of normal noise on all pictures that the discriminator sees; pixels are in [-1, 1]
    #[arg(long, value_name = "SIGMA", default_value_t = 0.0, value_parser = zero_or_more)]
    instance_noise: f64,
    /// Normalise the discriminator's weights by their spectral norms, instead of its activations
    #[arg(long)]
    spectral: bool,
    /// Draw samples by weights averaged over training with this decay, such as 0.999
    #[arg(long, value_name = "DECAY", value_parser = below_one)]
    ema: Option<f64>,
    /// Largest weight of the critic, with --loss wasserstein [default: 0.01]
    #[arg(long, value_parser = positive)]
    clip: Option<f64>,
    /// Weight of the gradient penalty, with --loss wasserstein-gp [default: 10]
    #[arg(long, value_parser = positive)]
    penalty: Option<f64>,
    /// Draw the sample grid each so many steps, too, for the film of training; asked for again when a run is resumed [default: at the
    /// end of epochs]
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u64).range(1..))]
    #[serde(skip)]
    picture_every: Option<u64>,
    /// Measure FID with so many pictures whenever the sample grid is drawn, for a curve; trains the extractor first, once; asked for
    /// again when a run is resumed
    #[arg(long, value_name = "PICTURES", num_args = 0..=1, default_missing_value = "1000", value_parser = clap::value_parser!(u32).range(100..))]
    #[serde(skip)]
    fid: Option<u32>,
    #[command(flatten)]
    #[serde(flatten)]
    model: M,
}

impl<M: Adversarial> Train<M> {
    /// Whose weights samples are drawn by.
    fn drawn(&self) -> &'static str {
        if self.ema.is_some() { AVERAGE } else { GENERATOR }
    }
}

impl<M: Adversarial> Options for Train<M> {
    fn common(&mut self) -> &mut TrainOptions {
        &mut self.common
    }

    fn batches(&self) -> u64 {
        self.discriminator_steps.into()
    }
}

/// A number from 0 to below 1, for clap.
fn below_one(text: &str) -> std::result::Result<f64, String> {
    number(text, 0.0..1.0, "wants a number from 0 to below 1")
}

/// A finite number from 0 on, for clap.
fn zero_or_more(text: &str) -> std::result::Result<f64, String> {
    number(text, 0.0..1e30, "wants a number from 0 on")
}

/// Runs a subcommand.
pub fn run<M: Adversarial>(command: Command<M>) -> Result<()> {
    match command {
        Command::Train(options) => train(options),
        Command::Sample(options) => Model::<M>::open(&options)?.sample(),
        Command::Interpolate(options) => Model::<M>::open(&options)?.interpolate(),
        Command::Arithmetic(options) => Model::<M>::open(&options.draw)?.arithmetic(&options),
        Command::Nearest(options) => Model::<M>::open(&options.draw)?.nearest(&options),
        Command::Evaluate(options) => Model::<M>::open(&options.draw)?.evaluate(&options),
    }
}

/// Why these options cannot be had together, if they cannot.
fn refuse<M: Adversarial>(options: &Train<M>) -> Option<&'static str> {
    match options.loss {
        _ if options.smooth > 0.0 && !options.loss.objective().has_labels() => Some(
            "--smooth: this --loss has no labels to smooth; leave it out, or take non-saturating or least-squares",
        ),
        _ if options.clip.is_some() && options.loss != Loss::Wasserstein => {
            Some("--clip: only --loss wasserstein clips; leave it out")
        }
        _ if options.penalty.is_some() && options.loss != Loss::WassersteinGp => {
            Some("--penalty: only --loss wasserstein-gp has a penalty; leave it out")
        }
        Loss::WassersteinGp if options.spectral => {
            Some("--spectral and a gradient penalty both bound the critic's slope; choose one")
        }
        _ => None,
    }
}

fn train<M: Adversarial>(options: Train<M>) -> Result<()> {
    if let Some(why) = refuse(&options) {
        return Err(Error::new(why));
    }
    let (every, fid) = (options.picture_every, options.fid);
    let (session, options) = Session::open(M::MODEL, options)?;
    let (caps, set) = (session.gpu.caps(), &session.set.train);
    if options.model.conditional() && set.labels.is_none() {
        return Err(Error::new(format!(
            "{}: the images have no labels to condition on; give others, or train without",
            session.set.name
        )));
    }
    let game = Game::new(&options, session.image(), set.classes)?;
    let (discriminate, generate) = (game.discriminator_step(set, caps)?, game.generator_step(caps)?);
    let draw = game.pictures(caps, SHOWN)?;
    if session.print_plan(&[&discriminate, &generate], &[&draw]) {
        return Ok(());
    }
    let round = [(&discriminate, options.batches()), (&generate, 1)];
    let trainer = Trainer::of_round(&session, &round, &[&draw], &METRICS)?.showing(METRICS.len());
    let draw = Pictures::new(&session.gpu, &draw, &trainer.state)?;
    let [h, w, c] = session.image();
    let measured = |count: u32| -> Result<_> {
        let set = session.whole()?;
        let extractor = Extractor::of_data(&session.gpu, &set, Path::new(features::FOLDER), &mut listener())?;
        Ok((count as usize, Reference::new(extractor, &set, report::IMAGES)?))
    };
    let reference = fid.map(measured).transpose()?;
    let noise = |count| (game.noise(session.options.seed, count), game.in_turn(count));
    let shown = noise(SHOWN);
    let picture = |run: &RunDir, step: u64| -> Result<Vec<f32>> {
        let pictures = draw.draw(&shown.0, &shown.1)?;
        save(&run.samples(step), &grid(&pictures, SHOWN, h, w, c, SHOWN.isqrt()))?;
        Ok(pictures)
    };
    let distance = || -> Measured {
        let Some((count, reference)) = &reference else { return Ok(vec![]) };
        let ((z, classes), k, mut drawn) =
            (noise(count.next_multiple_of(SHOWN)), game.classes() * SHOWN, vec![]);
        for (i, z) in z.chunks(shown.0.len()).enumerate() {
            drawn.extend(draw.draw(z, &classes[i * k..(i + 1) * k])?);
        }
        Ok(vec![("fid", reference.fid(&drawn[..count * h * w * c])?)])
    };
    // Test images are at hand even where training images are streamed.
    let real = if session.stream.is_some() { &session.set.test } else { set };
    let (watch, mut told) = (Watch::new(options.loss.objective(), options.smooth, real), false);
    let mut between = |run: &RunDir, step| {
        let diversity = watch.diversity(&picture(run, step)?);
        let collapse = watch.collapse(step, diversity);
        collapse.iter().filter(|_| !told).for_each(|line| eprintln!("warning: {line}"));
        told = collapse.is_some();
        Ok([vec![("diversity", diversity)], distance()?].concat())
    };
    let each = every.map(|steps| -> Each<'_> { (steps, &mut between) });
    let run = trainer.run_looking("loss, judgement", each, |at: &Report<'_>| {
        let diversity = watch.diversity(&picture(at.run, at.step)?);
        watch.warning(at.step, at.means, diversity).into_iter().for_each(|line| eprintln!("warning: {line}"));
        Ok([vec![("diversity", diversity)], distance()?].concat())
    })?;
    let curves = read(run.metrics())?;
    if let Some(curve) = curves.into_iter().find(|c| c.label == "fid") {
        let title = format!("FID of {} on {}, features of {}", M::MODEL, session.set.name, classifier::NAME);
        plot(&run.path("fid.png"), &title, "step", "FID", &[curve])?;
        println!("FID: {}", run.path("fid.png").display());
    }
    let frames = run.frames(FRAMES)?;
    if frames.len() > 1 {
        let path = run.path("training.gif");
        animate(&path, &frames, 120)?;
        println!("film of training: {}", path.display());
    }
    Ok(())
}

/// A generator on a device: noise in, pictures out.
struct Pictures<'a> {
    gpu: &'a Gpu,
    executor: Executor,
    inputs: Vec<String>,
}

impl<'a> Pictures<'a> {
    fn new(gpu: &'a Gpu, plan: &Plan, state: &State) -> Result<Self> {
        let inputs = plan.inputs.iter().map(|(name, _)| name.clone()).collect();
        Ok(Self { gpu, executor: Executor::new(gpu, plan, state, &[])?, inputs })
    }

    /// Pictures in [0, 1] from as many noise vectors as the plan takes, and their classes, one-hot.
    fn draw(&self, z: &[f32], classes: &[f32]) -> Result<Vec<f32>> {
        for (name, values) in [(game::NOISE, z), (game::CLASS, classes)] {
            if self.inputs.iter().any(|input| input == name) {
                self.executor.write(self.gpu, name, values)?;
            }
        }
        self.gpu.submit(|encoder| self.executor.record(encoder));
        Ok(self.executor.read(self.gpu, game::PICTURES)?)
    }
}
