//! The commands of generative adversarial nets: they train two players against each other, draw samples, walk
//! through the latent space, and measure.
//!
//! A model is a set of options with [`Adversarial`], which says what networks play. Images that are smaller
//! than the networks' pictures get a black frame, which is cut off again wherever pictures are shown.

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

/// The names of the inputs and the output of a plan that draws pictures.
const NOISE: &str = "z";
const CLASS: &str = "class";
const PICTURES: &str = "pictures";

/// A model's own options.
pub trait Adversarial: Args + Serialize + DeserializeOwned + Clone {
    /// The name of the model and of its runs.
    const MODEL: &'static str;
    /// The networks of the two players.
    type Networks: Players;

    /// The networks that these options describe.
    fn networks(&self) -> Self::Networks;

    /// Whether both players are told the classes of the images.
    fn conditional(&self) -> bool;

    /// The rows and columns of the networks' pictures, for images of these rows and columns.
    ///
    /// # Errors
    /// Fails if the images are too large for the networks.
    fn canvas(&self, image: [usize; 2]) -> Result<[usize; 2]>;
}

/// The subcommands.
#[derive(Subcommand)]
pub enum Command<M: Adversarial> {
    /// Train both players, or continue a run; writes weights, metrics, samples, curves, checkpoints, and a
    /// film of the samples
    Train(Box<Watched<M>>),
    /// Draw noise and turn it into pictures
    Sample(NoiseDraw),
    /// Draw a walk on the sphere between pairs of noise vectors, as a strip and a GIF
    Interpolate(NoiseDraw),
    /// Add and subtract means of noise vectors (and of classes, if the model is conditional): smiling woman -
    /// neutral woman + neutral man
    Arithmetic(Arithmetic),
    /// Show samples above the training images that are nearest to them
    Nearest(Nearest),
    /// Measure FID and KID against the data, the classes covered and the diversity, and with --probe
    /// the discriminator's features
    #[cfg(feature = "fid")]
    Evaluate(Evaluate),
}

/// The objective of the two players.
#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// The original game: the generator minimises log(1 - D(G(z)))
    Minimax,
    /// The generator maximises log D(G(z))
    NonSaturating,
    /// Squared distances of the scores to 1 and 0
    LeastSquares,
    /// Hinge losses at 1 and -1
    Hinge,
    /// Difference of mean scores, with clipped weights of the critic
    Wasserstein,
    /// Difference of mean scores, with a penalty on the critic's gradient
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

/// The options that determine a run: the model's own, and those of the game.
#[derive(Args, Serialize, Deserialize, Clone)]
#[serde(bound = "")]
pub struct Contest<M: Adversarial> {
    #[command(flatten)]
    #[serde(flatten)]
    recipe: Recipe,
    /// Objective of the two players
    #[arg(long, value_enum, default_value = "non-saturating")]
    loss: Loss,
    /// Discriminator steps before each generator step
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    discriminator_steps: u16,
    /// Adam's step size
    #[arg(long, default_value_t = 2e-4, value_parser = positive)]
    lr: f64,
    /// Adam's step size of the discriminator [default: the value of --lr]
    #[arg(long, value_name = "LR", value_parser = positive)]
    lr_discriminator: Option<f64>,
    /// Adam's decay rate of the first moment
    #[arg(long, default_value_t = 0.5, value_parser = below_one)]
    beta1: f64,
    /// One-sided label smoothing: real pictures get the label 1 minus this
    #[arg(long, default_value_t = 0.0, value_parser = below_one)]
    smooth: f64,
    /// Standard deviation of normal noise on all pictures that the discriminator sees; pixels are in [-1, 1]
    #[arg(long, value_name = "SIGMA", default_value_t = 0.0, value_parser = zero_or_more)]
    instance_noise: f64,
    /// Divide the discriminator's weights by their spectral norms, instead of normalising its activations
    #[arg(long)]
    spectral: bool,
    /// Draw samples with weights averaged over training, with this decay (such as 0.999)
    #[arg(long, value_name = "DECAY", value_parser = below_one)]
    ema: Option<f64>,
    /// Largest absolute weight of the critic, with --loss wasserstein [default: 0.01]
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

    /// The game over images `[height, width, channels]` with this number of classes.
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

/// The options of `train`.
#[derive(Args)]
pub struct Watched<M: Adversarial> {
    #[command(flatten)]
    train: Train<Contest<M>>,
    #[command(flatten)]
    watching: Watching,
}

/// The options for watching the game, which one sitting may change.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = SITTING)]
pub struct Watching {
    /// Draw the sample grid every so many steps too, which gives the film of training more pictures [default:
    /// only at the end of epochs]
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u64).range(1..))]
    picture_every: Option<u64>,
    /// Measure FID with this many pictures whenever the sample grid is drawn, as a curve; first trains the
    /// extractor, once per data set
    #[arg(long, value_name = "PICTURES", num_args = 0..=1, default_missing_value = "1000", value_parser = clap::value_parser!(u32).range(100..))]
    #[cfg(feature = "fid")]
    fid: Option<u32>,
}

/// Parses a finite number of at least 0, for clap.
fn zero_or_more(text: &str) -> Result<f64, String> {
    number(text, 0.0..1e30, "wants a number from 0 on")
}

/// Runs a subcommand.
///
/// # Errors
/// Fails with one line that says what is wrong and what to do.
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

/// The steps of both players over the session's training images.
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

/// Plans `count` pictures from noise `z` and, if the model is conditional, classes `class`.
fn pictures<P: Players>(game: &Game<P>, caps: &Caps, count: usize) -> Result<Plan> {
    let g = Graph::new();
    let z = g.input(NOISE, Type::f32([count, game.latent()]));
    let class = (game.classes() > 0).then(|| g.input(CLASS, Type::f32([count, game.classes()])));
    g.output(PICTURES, game.pictures(z, class));
    Plan::new(&g, caps)
}

/// The classes of `count` pictures, one-hot: all classes in turn. Empty if there are no classes.
fn in_turn(classes: usize, count: usize) -> Vec<f32> {
    one_hot(classes, (0..count).map(|i| i % classes.max(1)))
}

fn one_hot(classes: usize, of: impl Iterator<Item = usize>) -> Vec<f32> {
    of.flat_map(|class| (0..classes).map(move |k| f32::from(u8::from(k == class)))).collect()
}

/// A generator on a device, which turns noise into pictures.
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

    /// Draws pictures with values in [0, 1]. Noise vectors and one-hot classes must be as many as the plan
    /// takes.
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
