//! What the examples of explicit density models share: training by maximum likelihood, exact scores, samples, completions.
//!
//! A model is its options with [`Autoregressive`]: the parameters of every pixel's distribution given the pixels before it. Pixels
//! are black or white, or have 256 levels, as its likelihood says. Black-and-white test images are binarised once for all runs.

mod draw;
mod evaluate;

pub use draw::{Complete, Draw};
pub use evaluate::Evaluate;

use crate::{
    data::Images,
    error::{Error, Result},
    gpu::{Gpu, State},
    graph::{Graph, Source, Tensor, shape::Type, var::Init},
    models::likelihood::Likelihood,
    optim::{Optimizer, Schedule, advance},
    plan::Plan,
    run::{
        AdapterOption, Options, RunDir, Saved, Session, TrainOptions, Trainer, decay, grid, interrupt,
        listener, positive, save, trained,
    },
    train::{Draws, Evaluation, Method, Sampler, Work, batch, labels, remember},
    weights,
};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The stream that binarises training images anew in every step.
const BINARISE: &str = "binarise";
/// Test images at a time, as many of them as the adapter's bindings hold.
const BATCHES: [usize; 6] = [100, 50, 20, 10, 5, 1];
/// Variable of the classes that are drawn or scored, one-hot.
const CLASS: &str = "class";

/// What a network is given.
#[derive(Clone, Copy, Debug)]
pub struct Given<'g> {
    /// Pictures in [0, 1], `[N, H, W, C]`.
    pub x: Tensor<'g>,
    /// Their classes, one-hot `[N, classes]`, of a conditional model.
    pub class: Option<Tensor<'g>>,
    /// Whether it is trained: dropout takes part.
    pub training: bool,
}

/// A model's options.
pub trait Autoregressive: Args + Serialize + serde::de::DeserializeOwned + Clone {
    /// Name of the model and its runs.
    const MODEL: &'static str;
    /// How it is sampled.
    const METHOD: Method;

    /// Distribution of a pixel.
    fn likelihood(&self) -> Likelihood {
        Likelihood::Bernoulli
    }

    /// Whether it is conditioned on classes.
    fn conditional(&self) -> bool {
        false
    }

    /// Why these options cannot be had together, if they cannot.
    fn refuse(&self) -> Option<&'static str> {
        None
    }

    /// The parameters that are trained, and those of every pixel's distribution, `[N, H, W, outputs]` of the likelihood.
    fn network<'g>(&self, g: &'g Graph, given: Given<'g>) -> (Vec<Tensor<'g>>, Tensor<'g>);
}

/// The subcommands.
#[derive(Subcommand)]
pub enum Command<M: Autoregressive> {
    /// Train, or go on with a run; writes weights, metrics, samples, curves and checkpoints
    Train(Train<M>),
    /// Draw pictures, pixel by pixel on the GPU
    Sample(Draw),
    /// Keep the upper half of test images, or what a mask keeps, and draw the rest
    Complete(Complete),
    /// Exact negative log-likelihood of test images, and where it comes from
    Evaluate(Evaluate),
}

/// Options of `train`.
#[derive(Args, Serialize, Deserialize, Clone)]
#[serde(bound = "")]
pub struct Train<M: Autoregressive> {
    #[command(flatten)]
    #[serde(flatten)]
    common: TrainOptions,
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

impl<M: Autoregressive> Options for Train<M> {
    fn common(&mut self) -> &mut TrainOptions {
        &mut self.common
    }
}

fn constant() -> f64 {
    1.0
}

/// Runs a subcommand.
pub fn run<M: Autoregressive>(command: Command<M>) -> Result<()> {
    match command {
        Command::Train(options) => train(options),
        Command::Sample(options) => {
            Model::<M>::open(options.run.as_ref(), &options.adapter)?.sample(&options)
        }
        Command::Complete(options) => {
            Model::<M>::open(options.draw.run.as_ref(), &options.draw.adapter)?.complete(&options)
        }
        Command::Evaluate(options) => {
            Model::<M>::open(options.run.as_ref(), &options.adapter)?.evaluate(&options)
        }
    }
}

/// Classes of pictures that are drawn or scored, which the host writes.
fn chosen<'g>(g: &'g Graph, model: &impl Autoregressive, count: usize, classes: usize) -> Option<Tensor<'g>> {
    model.conditional().then(|| g.var(CLASS, Type::f32([count, classes]), Init::Zeros))
}

/// Parameters, and -log p(x) in nats, `[N, H, W, C]` or of a mixture `[N, H, W, 1]`, of pictures in any shape.
fn nats<'g, M: Autoregressive>(
    g: &'g Graph,
    model: &M,
    given: Given<'g>,
    image: [usize; 3],
) -> (Vec<Tensor<'g>>, Tensor<'g>) {
    let x = given.x.reshape([given.x.shape()[0], image[0], image[1], image[2]]);
    let (params, outputs) = model.network(g, Given { x, ..given });
    (params, model.likelihood().nats(outputs, x))
}

/// A batch of a data set, with the classes of a conditional model.
fn given<'g>(
    g: &'g Graph,
    model: &impl Autoregressive,
    images: &Images,
    x: Tensor<'g>,
    training: bool,
) -> Given<'g> {
    let class = model.conditional().then(|| labels(g, images, x.shape()[0]));
    Given { x, class, training }
}

fn train<M: Autoregressive>(options: Train<M>) -> Result<()> {
    // A resumed run's own options were checked when it began.
    if let Some(why) = options.model.refuse() {
        return Err(Error::new(why));
    }
    let (mut session, options) = Session::open(M::MODEL, options)?;
    if !options.model.likelihood().has_levels() {
        session.set.test.binarise();
    }
    let (caps, image, model) = (session.gpu.caps(), session.image(), &options.model);
    let (train, test) = (&session.set.train, &session.set.test);
    if model.conditional() && (train.labels.is_none() || test.labels.is_none()) {
        return Err(Error::new(format!(
            "{}: the images have no labels to condition on; give others, or train without",
            session.set.name
        )));
    }
    let g = Graph::new();
    let stream = (!model.likelihood().has_levels()).then_some(BINARISE);
    let x = batch(&g, train, session.options.batch as usize, stream);
    let (params, loss) = nats(&g, model, given(&g, model, train, x, true), image);
    let loss = loss.sum_all();
    let schedule = Schedule::Exponential { per_step: options.decay };
    Optimizer::adam(options.lr as f32).schedule(schedule).step(M::MODEL, loss, &params);
    remember(&g, &[loss]);
    advance(&g);
    let step = Plan::new(&g, caps)?;
    let score = fitting(|size| {
        Evaluation::in_batches(size, caps, test, |g, x| {
            vec![nats(g, model, given(g, model, test, x, false), image).1.sum_all()]
        })
    })?;
    let (count, classes) = (16, train.classes);
    let draws = Draws {
        shape: [count, image[0], image[1], image[2]],
        likelihood: model.likelihood(),
        temperature: 1.0,
        method: M::METHOD,
    };
    let draw = Sampler::new(caps, draws, |g, x| {
        model.network(g, Given { x, class: chosen(g, model, count, classes), training: false }).1
    })?;
    let others: Vec<&Plan> = score.plans().chain(draw.plans()).collect();
    if session.print_plan(&[&step], &others) {
        return Ok(());
    }
    let trainer = Trainer::new(&session, &step, &others, &["nll"])?;
    let score = score.ready(&session.gpu, &trainer.state, test)?;
    if model.conditional() {
        trainer.state.write(&session.gpu, CLASS, &one_hot((0..count).map(|i| i % classes), classes))?;
    }
    trainer.run("nats per image", |at| {
        let (mut told, total) = (listener(), draw.steps() as u64);
        let drawn = draw.run(&session.gpu, &trainer.state, None, 1, |done, _| {
            told(Work { what: "steps of drawing samples", done: done as u64, total })
        });
        match drawn {
            // They may take minutes where the whole network runs for every pixel; the run itself ends well.
            Err(_) if interrupt::asked() => {}
            drawn => save(&at.run.samples(at.step), &grid(&drawn?, count, image[0], image[1], image[2], 4))?,
        }
        Ok(vec![("test_nll", score.run()?[0])])
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
struct Model<M: Autoregressive> {
    run: RunDir,
    saved: Saved<Train<M>>,
    gpu: Gpu,
}

impl<M: Autoregressive> Model<M> {
    fn open(run: Option<&PathBuf>, adapter: &AdapterOption) -> Result<Self> {
        let (run, saved) = trained::<Train<M>>(M::MODEL, run)?;
        Ok(Self { run, saved, gpu: adapter.open()? })
    }

    /// Test images as the model knows pixels, and [`crate::data::DataSet::lossy`].
    fn test(&self) -> Result<(Images, bool)> {
        let (mut test, lossy) = self.saved.test()?;
        if !self.model().likelihood().has_levels() {
            test.binarise();
        }
        Ok((test, lossy))
    }

    fn model(&self) -> &M {
        &self.saved.options.model
    }

    /// The network over pictures, whose classes, if any, the host writes.
    fn network<'g>(&self, g: &'g Graph, x: Tensor<'g>) -> (Vec<Tensor<'g>>, Tensor<'g>) {
        let class = chosen(g, self.model(), x.shape()[0], self.saved.classes);
        self.model().network(g, Given { x, class, training: false })
    }

    /// A State with the trained weights for these plans; all that is not the plans' own is the model's.
    fn state(&self, plans: &[&Plan], seed: u64) -> Result<State> {
        let state = State::new(&self.gpu, plans, seed)?;
        let (path, g) = (self.run.weights(), Graph::new());
        let [h, w, c] = self.saved.image;
        let (params, _) = self.network(&g, g.input("x", Type::f32([1, h, w, c])));
        let recording = g.recording();
        let name = |t: &Tensor<'_>| match recording.nodes[t.id()].source {
            Source::Var(v) => Some(recording.vars[v].name.clone()),
            _ => None,
        };
        let names: Vec<String> = params.iter().filter_map(name).collect();
        weights::apply(&self.gpu, &state, &names, &weights::load(&path)?, &path)?;
        Ok(state)
    }

    fn write(&self, name: &str, pictures: &[f32], channels: usize, columns: usize) -> Result<()> {
        let ([h, w, _], path) = (self.saved.image, self.run.path(name));
        save(&path, &grid(pictures, pictures.len() / (h * w * channels), h, w, channels, columns))?;
        println!("{}", path.display());
        Ok(())
    }
}
