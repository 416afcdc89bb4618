//! The commands of generative adversarial nets: training two players against each other, samples, walks through the latent space,
//! measures.
//!
//! A model is its options with [`Adversarial`]: a kind of networks that can play. Pictures smaller than the networks' are framed
//! in black, which is cut off again wherever they are shown.

mod draw;
#[cfg(feature = "fid")]
mod evaluate;
mod watch;

pub use draw::{Arithmetic, Nearest, NoiseDraw};
#[cfg(feature = "fid")]
pub use evaluate::Evaluate;

use crate::{
    error::{Error, Result},
    gpu::{Executor, Gpu, State},
    graph::{Graph, shape::Type},
    kernel::caps::Caps,
    models::{
        game::{Game, Rules},
        gan::Objective,
        players::Players,
    },
    plan::Plan,
    run::{
        Each, EpochEnd, Options, Recipe, RunDir, SITTING, Session, Train, Trainer,
        options::{below_one, number},
        positive,
    },
    train::{Round, batch, labels},
};
use clap::{Args, Subcommand, ValueEnum};
use draw::TrainedPlayers;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use watch::Watcher;

/// Inputs and output of a plan of pictures.
const NOISE: &str = "z";
const CLASS: &str = "class";
const PICTURES: &str = "pictures";

/// A model's own options.
pub trait Adversarial: Args + Serialize + DeserializeOwned + Clone {
    /// Name of the model and its runs.
    const MODEL: &'static str;
    /// The networks.
    type Networks: Players;

    /// The networks of these options.
    fn networks(&self) -> Self::Networks;

    /// Whether both players are told classes.
    fn conditional(&self) -> bool;

    /// Rows and columns that the networks work with, for pictures of these.
    ///
    /// # Errors
    /// Pictures that are too large for the networks.
    fn canvas(&self, image: [usize; 2]) -> Result<[usize; 2]>;
}

/// The subcommands.
#[derive(Subcommand)]
pub enum Command<M: Adversarial> {
    /// Train both players, or go on with a run; writes weights, metrics, samples, curves, checkpoints, and a film of the samples
    Train(Watched<M>),
    /// NoiseDraw noise and turn it into pictures
    Sample(NoiseDraw),
    /// Walk on the sphere between pairs of noise vectors: a strip and a GIF
    Interpolate(NoiseDraw),
    /// Add and subtract averaged noise vectors, and of a conditional model classes: smiling woman - neutral woman + neutral man
    Arithmetic(Arithmetic),
    /// Samples above the training images that are nearest to them
    Nearest(Nearest),
    /// FID and KID against the data, classes covered, diversity; what the discriminator's features are worth
    #[cfg(feature = "fid")]
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

/// What makes a run: a model's own options, and what its players play for.
#[derive(Args, Serialize, Deserialize, Clone)]
#[serde(bound = "")]
pub struct Contest<M: Adversarial> {
    #[command(flatten)]
    #[serde(flatten)]
    recipe: Recipe,
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
    /// NoiseDraw samples by weights averaged over training with this decay, such as 0.999
    #[arg(long, value_name = "DECAY", value_parser = below_one)]
    ema: Option<f64>,
    /// Largest weight of the critic, with --loss wasserstein [default: 0.01]
    #[arg(long, value_parser = positive)]
    clip: Option<f64>,
    /// Weight of the gradient penalty, with --loss wasserstein-gp [default: 10]
    #[arg(long, value_parser = positive)]
    penalty: Option<f64>,
    #[command(flatten)]
    #[serde(flatten)]
    model: M,
}

impl<M: Adversarial> Contest<M> {
    fn rules(&self) -> Rules {
        Rules {
            objective: self.loss.objective(),
            discriminator_steps: self.discriminator_steps,
            lr: self.lr as f32,
            lr_discriminator: self.lr_discriminator.unwrap_or(self.lr) as f32,
            beta1: self.beta1,
            smooth: self.smooth as f32,
            instance_noise: self.instance_noise as f32,
            spectral: self.spectral,
            ema: self.ema,
            clip: (self.loss == Loss::Wasserstein).then(|| self.clip.unwrap_or(0.01) as f32),
            penalty: (self.loss == Loss::WassersteinGp).then(|| self.penalty.unwrap_or(10.0) as f32),
        }
    }

    /// The game over images of this size, of which so many classes are told.
    fn game(&self, image: [usize; 3], classes: usize) -> Result<Game<M::Networks>> {
        let (canvas, batch) = (self.model.canvas([image[0], image[1]])?, self.recipe.batch as usize);
        let classes = if self.model.conditional() { classes } else { 0 };
        Game::new(self.model.networks(), self.rules(), image, canvas, classes, batch)
    }
}

impl<M: Adversarial> Options for Contest<M> {
    const MODEL: &'static str = M::MODEL;

    fn recipe(&mut self) -> &mut Recipe {
        &mut self.recipe
    }

    fn batches(&self) -> u64 {
        self.discriminator_steps.into()
    }

    fn refuse(&self) -> Option<&'static str> {
        match self.loss {
            _ if self.smooth > 0.0 && !self.loss.objective().has_labels() => Some(
                "--smooth: this --loss has no labels to smooth; leave it out, or take non-saturating or least-squares",
            ),
            _ if self.clip.is_some() && self.loss != Loss::Wasserstein => {
                Some("--clip: only --loss wasserstein clips; leave it out")
            }
            _ if self.penalty.is_some() && self.loss != Loss::WassersteinGp => {
                Some("--penalty: only --loss wasserstein-gp has a penalty; leave it out")
            }
            Loss::WassersteinGp if self.spectral => {
                Some("--spectral and a gradient penalty both bound the critic's slope; choose one")
            }
            _ => None,
        }
    }
}

/// Options of `train`.
#[derive(Args)]
pub struct Watched<M: Adversarial> {
    #[command(flatten)]
    train: Train<Contest<M>>,
    #[command(flatten)]
    watching: Watching,
}

/// What one sitting looks at while the players play.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = SITTING)]
pub struct Watching {
    /// NoiseDraw the sample grid each so many steps, too, for the film of training [default: at the end of epochs]
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u64).range(1..))]
    picture_every: Option<u64>,
    /// Measure FID with so many pictures whenever the sample grid is drawn, for a curve; trains the extractor first, once
    #[arg(long, value_name = "PICTURES", num_args = 0..=1, default_missing_value = "1000", value_parser = clap::value_parser!(u32).range(100..))]
    #[cfg(feature = "fid")]
    fid: Option<u32>,
}

/// A finite number from 0 on, for clap.
fn zero_or_more(text: &str) -> Result<f64, String> {
    number(text, 0.0..1e30, "wants a number from 0 on")
}

/// Runs a subcommand.
pub fn run<M: Adversarial>(command: Command<M>) -> Result<()> {
    match command {
        Command::Train(options) => train(options.train, &options.watching),
        Command::Sample(options) => TrainedPlayers::<M>::open(&options)?.sample(),
        Command::Interpolate(options) => TrainedPlayers::<M>::open(&options)?.interpolate(),
        Command::Arithmetic(options) => TrainedPlayers::<M>::open(&options.draw)?.arithmetic(&options),
        Command::Nearest(options) => TrainedPlayers::<M>::open(&options.draw)?.nearest(&options),
        #[cfg(feature = "fid")]
        Command::Evaluate(options) => TrainedPlayers::<M>::open(&options.draw)?.evaluate(&options),
    }
}

fn train<M: Adversarial>(options: Train<Contest<M>>, watching: &Watching) -> Result<()> {
    let (session, options) = Session::open(options)?;
    let (caps, set) = (session.gpu.caps(), &session.set.train);
    if options.model.conditional() && set.labels.is_none() {
        return Err(Error::new(format!(
            "{}: the images have no labels to condition on; give others, or train without",
            session.set.name
        )));
    }
    let game = options.game(session.image(), set.classes)?;
    let round = round(&game, &session)?;
    let draw = pictures(&game, caps, watch::SHOWN)?;
    if session.print_plan(&round, &[&draw]) {
        return Ok(());
    }
    let state = session.state(&round, &[&draw])?;
    let draw = Pictures::new(&session.gpu, &draw, &state)?;
    let mut watcher = Watcher::new(&session, &game, &draw, watching)?;
    let (unit, shown) = ("loss, judgement", round.metrics.len());
    let run = {
        let watcher = std::cell::RefCell::new(&mut watcher);
        let mut between = |run: &RunDir, step| watcher.borrow_mut().look(run, step);
        let each = watching.picture_every.map(|steps| -> Each<'_> { (steps, &mut between) });
        let trainer = Trainer { session: &session, state: &state, round: &round, unit, shown, each };
        trainer.run(|at: &EpochEnd<'_>| watcher.borrow_mut().report(at))?
    };
    watcher.finish(M::MODEL, &run)
}

/// Both players' steps over the session's training images.
fn round<P: Players>(game: &Game<P>, session: &Session) -> Result<Round> {
    let (set, caps, size) = (&session.set.train, session.gpu.caps(), session.recipe.batch as usize);
    let [discriminator, generator] = [Graph::new(), Graph::new()];
    game.discriminator_step(&discriminator, |g| {
        (batch(g, set, size, None), (game.classes() > 0).then(|| labels(g, set, size)))
    });
    let metrics = game.generator_step(&generator);
    let times = game.rules().discriminator_steps.into();
    Ok(Round::new(&generator, &metrics, caps)?.after(Plan::new(&discriminator, caps)?, times))
}

/// A plan of pictures from noise `z` and classes `class`.
fn pictures<P: Players>(game: &Game<P>, caps: &Caps, count: usize) -> Result<Plan> {
    let g = Graph::new();
    let z = g.input(NOISE, Type::f32([count, game.latent()]));
    let class = (game.classes() > 0).then(|| g.input(CLASS, Type::f32([count, game.classes()])));
    g.output(PICTURES, game.pictures(z, class));
    Plan::new(&g, caps)
}

/// All classes in turn, one-hot of so many; nothing where there are none.
fn in_turn(classes: usize, count: usize) -> Vec<f32> {
    one_hot(classes, (0..count).map(|i| i % classes.max(1)))
}

fn one_hot(classes: usize, of: impl Iterator<Item = usize>) -> Vec<f32> {
    of.flat_map(|class| (0..classes).map(move |k| f32::from(u8::from(k == class)))).collect()
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
        for (name, values) in [(NOISE, z), (CLASS, classes)] {
            if self.inputs.iter().any(|input| input == name) {
                self.executor.write(self.gpu, name, values)?;
            }
        }
        self.executor.step(self.gpu);
        self.executor.read(self.gpu, PICTURES)
    }
}
