//! What the examples of explicit density models share: training by maximum likelihood, exact scores, samples, completions.
//!
//! A model is its options with [`Autoregressive`]: the parameters of every pixel's distribution given the pixels before it. Pixels
//! are black or white, or have 256 levels, as its likelihood says. Black-and-white test images are binarised once for all runs.

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

/// The stream that binarises training images anew in every step.
const BINARISE: &str = "binarise";
/// Test images at a time, as many of them as the adapter's bindings hold.
const BATCHES: [usize; 6] = [100, 50, 20, 10, 5, 1];
/// Variable of the classes that are drawn or scored, one-hot.
const CLASS: &str = "class";
/// Pictures that training draws between epochs.
const SHOWN: usize = 16;

/// A model's own options.
pub trait Density: Autoregressive + Args + Serialize + DeserializeOwned + Clone {
    /// Name of the model and its runs.
    const MODEL: &'static str;
    /// How it is sampled.
    const METHOD: Method;

    /// Whether it is conditioned on classes.
    fn conditional(&self) -> bool {
        false
    }

    /// Why these options cannot be had together, if they cannot.
    fn refuse(&self) -> Option<&'static str> {
        None
    }
}

/// The subcommands.
#[derive(Subcommand)]
pub enum Command<M: Density> {
    /// Train, or go on with a run; writes weights, metrics, samples, curves and checkpoints
    Train(Train<Fit<M>>),
    /// Draw pictures, pixel by pixel on the GPU
    Sample(PixelDraw),
    /// Keep the upper half of test images, or what a mask keeps, and draw the rest
    Complete(Complete),
    /// Exact negative log-likelihood of test images, and where it comes from
    Evaluate(Evaluate),
}

/// What makes a run: a model's own options, and how its likelihood is maximised.
#[derive(Args, Serialize, Deserialize, Clone)]
#[serde(bound = "")]
pub struct Fit<M: Density> {
    #[command(flatten)]
    #[serde(flatten)]
    recipe: Recipe,
    /// Adam's step size
    #[arg(long, default_value_t = 1e-3, value_parser = positive)]
    lr: f64,
    /// Factor of the step size from one step to the next, up to 1: 0.9996 leaves a twentieth after 7,500 steps
    #[arg(long, default_value_t = 1.0, value_parser = decay)]
    #[serde(default = "constant")]
    decay: f64,
    #[command(flatten)]
    #[serde(flatten)]
    model: M,
}

/// Options of what a pixel is.
#[derive(Args, Serialize, Deserialize, Clone)]
pub struct Pixels {
    /// What a pixel's distribution is; all but `bernoulli` keep the images' 256 levels
    #[arg(long, value_enum, default_value_t = Output::Bernoulli)]
    #[serde(default)]
    output: Output,
    /// Logistics of `--output mixture`
    #[arg(long, default_value_t = ten(), value_parser = clap::value_parser!(u8).range(1..))]
    #[serde(default = "ten")]
    components: u8,
}

/// What a pixel's distribution is.
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
    /// The distribution.
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
pub fn run<M: Density>(command: Command<M>) -> Result<()> {
    match command {
        Command::Train(options) => train(options),
        Command::Sample(options) => TrainedDensity::<M>::open(&options.look)?.sample(&options),
        Command::Complete(options) => TrainedDensity::<M>::open(&options.draw.look)?.complete(&options),
        Command::Evaluate(options) => TrainedDensity::<M>::open(&options.look)?.evaluate(&options),
    }
}

/// Classes of pictures that are drawn or scored, which the host writes.
fn chosen<'g>(g: &'g Graph, model: &impl Density, count: usize, classes: usize) -> Option<Tensor<'g>> {
    model.conditional().then(|| g.var(CLASS, Type::f32([count, classes]), Init::Zeros))
}

/// A batch `[N, pixels]` of a data set, with the classes of a conditional model.
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
            // They may take minutes where the whole network runs for every pixel; the run itself ends well.
            Err(_) if interrupt::asked() => {}
            drawn => save(&at.run.samples(at.step), &grid(&drawn?, SHOWN, image[0], image[1], image[2], 4))?,
        }
        Ok(of_test(score.run()?))
    })?;
    Ok(())
}

/// What can be made for the largest of [`BATCHES`].
fn fitting<T>(make: impl Fn(usize) -> Result<T>) -> Result<T> {
    let (least, more) = BATCHES.split_last().expect("there are batches");
    more.iter().find_map(|&size| make(size).ok()).map_or_else(|| make(*least), Ok)
}

/// Rows with a 1 at each class.
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

    /// Test images as the model knows pixels, and [`crate::data::DataSet::lossy`].
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

    /// What the network is given over pictures `[N, H, W, C]`, whose classes, if any, the host writes.
    fn given<'g>(&self, x: Tensor<'g>) -> Given<'g> {
        let class = chosen(x.graph(), self.model(), x.shape()[0], self.classes());
        Given { x, class, training: false }
    }
}
