//! The commands of explicit density models: they train by maximum likelihood, score images exactly, draw
//! samples, and complete pictures.
//!
//! A model is a set of options with [`Autoregressive`], which gives the parameters of each pixel's
//! distribution from the pixels before it. Its likelihood says whether pixels are black or white or have 256
//! levels. Black-and-white test images are binarised once, in the same way for all runs.

mod draw;
mod evaluate;

pub use draw::{Complete, PixelDraw};
pub use evaluate::Evaluate;

use crate::{
    data::Images,
    error::{Error, Result},
    graph::{Graph, Tensor, shape::Type, var::Init},
    models::{
        autoregressive::{Autoregressive, Given},
        likelihood::Likelihood,
    },
    optim::{Optimizer, Schedule},
    plan::Plan,
    run::{
        Look, Options, Recipe, Session, Train, Trained, Trainer, decay, grid, interrupt, listener, of_test,
        positive, save,
    },
    train::{Draws, Evaluation, Method, Round, Sampler, Work, batch, labels},
};
use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The name of the random stream that binarises training images anew in every step.
const BINARISE: &str = "binarise";
/// Numbers of test images at a time, of which the largest that fits the adapter is taken.
const BATCHES: [usize; 6] = [100, 50, 20, 10, 5, 1];
/// The name of the variable with the one-hot classes of the pictures that are drawn or scored.
const CLASS: &str = "class";
/// The number of pictures that training draws at the end of an epoch.
const SHOWN: usize = 16;

/// A model's own options.
pub trait Density: Autoregressive + Args + Serialize + DeserializeOwned + Clone {
    /// The name of the model and of its runs.
    const MODEL: &'static str;
    /// The method that draws its samples.
    const METHOD: Method;

    /// Whether the model is conditioned on classes.
    fn conditional(&self) -> bool {
        false
    }

    /// The reason why these options exclude each other, if they do.
    fn refuse(&self) -> Option<&'static str> {
        None
    }
}

/// The subcommands.
#[derive(Subcommand)]
pub enum Command<M: Density> {
    /// Train, or continue a run; writes weights, metrics, samples, curves and checkpoints
    Train(Train<Fit<M>>),
    /// Draw pictures, pixel by pixel on the GPU
    Sample(PixelDraw),
    /// Keep the upper half of test images, or what a mask keeps, and draw the rest
    Complete(Complete),
    /// Compute the exact negative log-likelihood of test images, in all and for each pixel and class
    Evaluate(Evaluate),
}

/// The options that determine a run: the model's own, and how its likelihood is maximised.
#[derive(Args, Serialize, Deserialize, Clone)]
#[serde(bound = "")]
pub struct Fit<M: Density> {
    #[command(flatten)]
    #[serde(flatten)]
    recipe: Recipe,
    /// Adam's step size
    #[arg(long, default_value_t = 1e-3, value_parser = positive)]
    lr: f64,
    /// Factor of the step size from each step to the next, at most 1 (0.9996 leaves a twentieth after 7,500
    /// steps)
    #[arg(long, default_value_t = 1.0, value_parser = decay)]
    #[serde(default = "constant")]
    decay: f64,
    #[command(flatten)]
    #[serde(flatten)]
    model: M,
}

/// The options that say what a pixel is.
#[derive(Args, Serialize, Deserialize, Clone)]
pub struct Pixels {
    /// Distribution of a pixel; all but `bernoulli` keep the images' 256 levels
    #[arg(long, value_enum, default_value_t = Output::Bernoulli)]
    #[serde(default)]
    output: Output,
    /// Number of logistics of `--output mixture`
    #[arg(long, default_value_t = ten(), value_parser = clap::value_parser!(u8).range(1..))]
    #[serde(default = "ten")]
    components: u8,
}

/// The distribution of a pixel.
#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, PartialEq, Default)]
#[serde(rename_all = "lowercase")]
enum Output {
    /// Black or white
    #[default]
    Bernoulli,
    /// One of 256 levels, channel after channel
    Softmax,
    /// A mixture of discretised logistics, all channels at once
    Mixture,
}

impl Pixels {
    /// The distribution of a pixel.
    pub fn likelihood(&self) -> Likelihood {
        match self.output {
            Output::Bernoulli => Likelihood::Bernoulli,
            Output::Softmax => Likelihood::Softmax,
            Output::Mixture => Likelihood::Mixture(self.components.into()),
        }
    }
}

fn ten() -> u8 {
    10
}

impl<M: Density> Options for Fit<M> {
    const MODEL: &'static str = M::MODEL;

    fn recipe(&mut self) -> &mut Recipe {
        &mut self.recipe
    }

    fn refuse(&self) -> Option<&'static str> {
        self.model.refuse()
    }
}

fn constant() -> f64 {
    1.0
}

/// Runs a subcommand.
///
/// # Errors
/// Fails with one line that says what is wrong and what to do.
pub fn run<M: Density>(command: Command<M>) -> Result<()> {
    match command {
        Command::Train(options) => train(options),
        Command::Sample(options) => TrainedDensity::<M>::open(&options.look)?.sample(&options),
        Command::Complete(options) => TrainedDensity::<M>::open(&options.draw.look)?.complete(&options),
        Command::Evaluate(options) => TrainedDensity::<M>::open(&options.look)?.evaluate(&options),
    }
}

/// The variable of the classes of pictures that are drawn or scored, if the model is conditional. The host
/// writes it.
fn chosen<'g>(g: &'g Graph, model: &impl Density, count: usize, classes: usize) -> Option<Tensor<'g>> {
    model.conditional().then(|| g.var(CLASS, Type::f32([count, classes]), Init::Zeros))
}

/// The network's inputs for a batch `[N, pixels]` of a data set, with the classes if the model is
/// conditional.
fn given<'g>(model: &impl Density, images: &Images, x: Tensor<'g>, training: bool) -> Given<'g> {
    let size = x.shape()[0];
    let class = model.conditional().then(|| labels(x.graph(), images, size));
    Given { x: x.reshape([size, images.height, images.width, images.channels]), class, training }
}

fn train<M: Density>(options: Train<Fit<M>>) -> Result<()> {
    let (mut session, options) = Session::open(options)?;
    let model = &options.model;
    if !model.likelihood().has_levels() {
        session.set.test.binarise();
    }
    let (caps, image) = (session.gpu.caps(), session.image());
    let (train, test) = (&session.set.train, &session.set.test);
    if model.conditional() && (train.labels.is_none() || test.labels.is_none()) {
        return Err(Error::new(format!(
            "{}: the images have no labels to condition on; give others, or train without",
            session.set.name
        )));
    }
    let g = Graph::new();
    let stream = (!model.likelihood().has_levels()).then_some(BINARISE);
    let x = batch(&g, train, session.recipe.batch as usize, stream);
    let schedule = Schedule::Exponential { per_step: options.decay };
    let optimizer = Optimizer::adam(options.lr as f32).schedule(schedule);
    let metrics = model.training_step(&g, M::MODEL, given(model, train, x, true), &optimizer);
    let round = Round::new(&g, &metrics, caps)?;
    let score = fitting(|size| {
        Evaluation::in_batches(size, caps, test, |g, x| {
            vec![("nll", model.nats(g, given(model, test, x, false)).1.sum_all())]
        })
    })?;
    let classes = train.classes;
    let draws = Draws {
        shape: [SHOWN, image[0], image[1], image[2]],
        likelihood: model.likelihood(),
        temperature: 1.0,
        method: M::METHOD,
    };
    let draw = Sampler::new(caps, draws, |g, x| {
        model.network(g, Given { x, class: chosen(g, model, SHOWN, classes), training: false }).1
    })?;
    let others: Vec<&Plan> = score.plans().chain(draw.plans()).collect();
    if session.print_plan(&round, &others) {
        return Ok(());
    }
    let state = session.state(&round, &others)?;
    let score = score.ready(&session.gpu, &state, test)?;
    if model.conditional() {
        state.write(&session.gpu, CLASS, &one_hot((0..SHOWN).map(|i| i % classes), classes))?;
    }
    let unit = "nats per image";
    let trainer = Trainer { session: &session, state: &state, round: &round, unit, shown: 1, each: None };
    trainer.run(|at| {
        let (mut told, total) = (listener(), draw.steps() as u64);
        let drawn = draw.run(&session.gpu, &state, None, 1, |done, _| {
            told(Work { what: "steps of drawing samples", done: done as u64, total })
        });
        match drawn {
            // Drawing may take minutes if the whole network runs for every pixel. After Ctrl-C the pictures
            // are left out, and the run ends as usual.
            Err(_) if interrupt::asked() => {}
            drawn => save(&at.run.samples(at.step), &grid(&drawn?, SHOWN, image[0], image[1], image[2], 4))?,
        }
        Ok(of_test(score.run()?))
    })?;
    Ok(())
}

/// The result of `make` for the largest of [`BATCHES`] for which it succeeds.
fn fitting<T>(make: impl Fn(usize) -> Result<T>) -> Result<T> {
    let (least, more) = BATCHES.split_last().expect("there are batches");
    more.iter().find_map(|&size| make(size).ok()).map_or_else(|| make(*least), Ok)
}

/// Rows of `of` elements, each with a 1 at its class and 0 elsewhere.
fn one_hot(classes: impl Iterator<Item = usize>, of: usize) -> Vec<f32> {
    classes.flat_map(|class| (0..of).map(move |i| f32::from(u8::from(i == class)))).collect()
}

/// A trained model.
struct TrainedDensity<M: Density> {
    trained: Trained<Fit<M>>,
}

impl<M: Density> TrainedDensity<M> {
    fn open(look: &Look) -> Result<Self> {
        Ok(Self { trained: Trained::open(look)? })
    }

    /// The test images, binarised if the model's pixels are black or white, and
    /// [`crate::data::DataSet::lossy`].
    fn test(&self) -> Result<(Images, bool)> {
        let (mut test, lossy) = self.trained.saved.test()?;
        if !self.model().likelihood().has_levels() {
            test.binarise();
        }
        Ok((test, lossy))
    }

    fn model(&self) -> &M {
        &self.trained.options().model
    }

    fn classes(&self) -> usize {
        self.trained.saved.classes
    }

    /// The network's inputs for pictures `[N, H, W, C]`. The host writes their classes, if the model is
    /// conditional.
    fn given<'g>(&self, x: Tensor<'g>) -> Given<'g> {
        let class = chosen(x.graph(), self.model(), x.shape()[0], self.classes());
        Given { x, class, training: false }
    }
}
