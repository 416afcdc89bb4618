//! The commands of the variational autoencoder: they train it, draw from it, show what its latent space
//! holds, and measure the bound. From few labels it learns classes, too.

mod few_labels;
mod options;

pub use options::{FewLabels, Learning, Scheme, Variational, activation};

use super::chosen;
use crate::{
    data::Images,
    disk::write_atomic,
    error::{Error, Result},
    gpu::{Executor, Gpu},
    graph::{Graph, shape::Type},
    kernel::caps::Caps,
    measure::bound::{Bound, Scores},
    models::vae::Vae,
    nn::Mode,
    plan::Plan,
    run::{
        Bare, EpochEnd, Look, Raw, Session, Train, Trained, Trainer, by_ranks, grid, listener, of_test, save,
        whole,
    },
    train::{Evaluation, Round, batch, normals, quantile},
};
use clap::{Args, Subcommand};
use few_labels::Learnt;
use serde_json::json;
use std::path::PathBuf;

/// The number of test images at a time, since convolutions of many need much memory.
const AT_ONCE: usize = 100;
/// The number of pictures that training draws at the end of an epoch.
const SHOWN: usize = 100;
/// The number of pictures from one end of an interpolation to the other.
const STEPS: usize = 12;

/// The subcommands.
#[derive(Subcommand)]
pub enum Command<T: Variational> {
    /// Train, or continue a run; writes weights, metrics, samples, curves and checkpoints
    Train(Train<T>),
    /// Draw z from the prior and decode it
    #[command(mut_arg("count", |arg| arg.help("Number of pictures [default: 100]")))]
    Sample(LatentDraw<T>),
    /// Show test images above their reconstructions
    #[command(mut_arg("count", |arg| arg.help("Number of images [default: 10, or all if there are fewer]")))]
    Reconstruct(LatentDraw<T>),
    /// Decode a grid of points of the latent plane (the paper's figure 4)
    #[command(mut_arg("count", |arg| arg.help("Number of pictures along a side of the grid [default: 20]")))]
    Manifold(Manifold<T>),
    /// Decode straight lines in latent space between pairs of test images
    #[command(mut_arg("count", |arg| arg.help("Number of lines [default: 8, or as many as there are pairs]")))]
    Interpolate(LatentDraw<T>),
    /// Show test images, each before its style in every class (M2's; Kingma et al. 2014, figure 1b)
    #[command(mut_arg("count", |arg| arg.help("Number of images [default: 10, or all if there are fewer]")))]
    Analogies(LatentDraw<T>),
    /// Measure the ELBO, the KL per dimension and the importance-weighted bound on log p(x), over test images; after
    /// --semi-supervised the test accuracy
    Evaluate(Evaluate<T>),
}

/// The options of the commands that draw pictures.
#[derive(Args)]
pub struct LatentDraw<T: Variational> {
    #[command(flatten)]
    bare: Bare<T>,
    #[command(flatten)]
    look: Look,
    /// Number of pictures
    #[arg(long, value_parser = whole::<u16>(1..=100))]
    count: Option<u16>,
    #[command(flatten)]
    raw: Raw,
}

/// The options of `manifold`.
#[derive(Args)]
pub struct Manifold<T: Variational> {
    #[command(flatten)]
    draw: LatentDraw<T>,
    /// The two latent axes
    #[arg(long, value_delimiter = ',', default_value = "0,1", value_parser = whole::<u16>(..))]
    axes: Vec<u16>,
}

impl<T: Variational> LatentDraw<T> {
    fn count(&self, default: u16) -> usize {
        self.count.unwrap_or(default).into()
    }
}

/// The options of `evaluate`.
#[derive(Args)]
pub struct Evaluate<T: Variational> {
    #[command(flatten)]
    bare: Bare<T>,
    #[command(flatten)]
    look: Look,
    /// Importance samples per image
    #[arg(long, default_value_t = 100, value_parser = whole::<u32>(1..=1_000_000))]
    k: u32,
    /// Evaluate only this many test images, from the first on [default: all]
    #[arg(long, value_parser = whole::<u32>(1..))]
    images: Option<u32>,
    /// After --semi-supervised, also train the same classifier on the labels alone
    #[arg(long)]
    alone: bool,
    /// Also write the result as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    raw: Raw,
}

/// Runs a subcommand.
///
/// # Errors
/// Fails with one line that says what is wrong and what to do.
pub fn run<T: Variational>(command: Command<T>) -> Result<()> {
    match command {
        Command::Train(options) => by_ranks(&options.sitting, |ranks| train(options.of(ranks))),
        Command::Sample(options) => TrainedVae::open(&options.look, &options.bare)?.sample(&options),
        Command::Reconstruct(options) => {
            TrainedVae::open(&options.look, &options.bare)?.reconstruct(&options)
        }
        Command::Manifold(options) => {
            TrainedVae::open(&options.draw.look, &options.draw.bare)?.manifold(&options)
        }
        Command::Interpolate(options) => {
            TrainedVae::open(&options.look, &options.bare)?.interpolate(&options)
        }
        Command::Analogies(options) => TrainedVae::open(&options.look, &options.bare)?.analogies(&options),
        Command::Evaluate(options) => TrainedVae::open(&options.look, &options.bare)?.evaluate(&options),
    }
}

fn train<T: Variational>(mut options: Train<T>) -> Result<()> {
    // The file of the M1 that M2 stands on holds a part of the model.
    options.options.recipe().weights_partial |= options.options.few_labels().stacked();
    let (mut session, options) = Session::open(options)?;
    let (learning, few) = (options.learning(), options.few_labels());
    if learning.binarise {
        session.set.test.binarise();
    }
    if few.by_m2() {
        return few_labels::train(session, &options);
    }
    if let Some(labels) = few.labels() {
        chosen(&*session.whole()?, labels, session.recipe.seed)?;
    }
    let (image, caps, recipe) = (session.image(), session.gpu.caps(), &session.recipe);
    let g = session.graph();
    let vae = options.vae(&g, image, Mode::Training);
    let stream = learning.binarise.then_some("binarise");
    let x = batch(&g, &session.set.train, session.batch(), stream);
    let metrics = vae.training_step(x, &learning.optimizer());
    let round = Round::new(&g, &metrics, caps)?;
    let tested = &session.set.test;
    let test = Evaluation::in_batches(AT_ONCE, caps, tested, |g, x| {
        options.vae(g, image, Mode::Evaluation).loss(x).metrics()
    })?;
    let draw = decoder(&options, image, SHOWN, caps)?;
    let others: Vec<&Plan> = test.plans().chain([&draw]).collect();
    if session.print_plan(&round, &others) {
        return Ok(());
    }
    let state = session.state(&round, &others)?;
    let test = test.ready(&session.gpu, &state, tested)?;
    let draw = Executor::new(&session.gpu, &draw, &state, &[])?;
    let z = normals(recipe.seed, SHOWN * vae.latent());
    let unit = "nats per image";
    let trainer = Trainer { session: &session, state: &state, round: &round, unit, curves: 1, scored: true };
    trainer.run(&mut |at: &EpochEnd<'_>| {
        let [h, w, c] = image;
        if let Some(run) = at.run {
            let pictures = decode(&session.gpu, &draw, &z)?;
            save(&run.samples(at.step), &grid(&pictures, SHOWN, h, w, c, SHOWN.isqrt()))?;
        }
        Ok(of_test(session.ranks().score(&test)?))
    })?;
    Ok(())
}

fn decoder<T: Variational>(options: &T, image: [usize; 3], count: usize, caps: &Caps) -> Result<Plan> {
    let g = Graph::new();
    let vae = options.vae(&g, image, Mode::Evaluation);
    let z = g.input("z", Type::f32([count, vae.latent()]));
    g.output("pictures", vae.decode(z).sigmoid());
    Plan::new(&g, caps)
}

fn decode(gpu: &Gpu, executor: &Executor, z: &[f32]) -> Result<Vec<f32>> {
    executor.write(gpu, "z", z)?;
    executor.step(gpu)?;
    executor.read(gpu, "pictures")
}

/// A trained VAE.
struct TrainedVae<T: Variational> {
    trained: Trained<T>,
    latent: usize,
}

impl<T: Variational> TrainedVae<T> {
    fn open(look: &Look, bare: &Bare<T>) -> Result<Self> {
        let trained = Trained::open(look, Some(bare))?;
        let g = Graph::new();
        let latent = trained.options().vae(&g, trained.saved.image, Mode::Evaluation).latent();
        Ok(Self { trained, latent })
    }

    fn vae<'g>(&self, g: &'g Graph) -> Vae<'g> {
        self.trained.options().vae(g, self.trained.saved.image, Mode::Evaluation)
    }

    /// How classes were learnt from few labels.
    fn few_labels(&self) -> &FewLabels {
        self.trained.options().few_labels()
    }

    /// Makes sure that the run is of a VAE alone, whose latent space this command shows.
    fn plain(&self, command: &str) -> Result<()> {
        match self.few_labels().by_m2() {
            true => Err(Error::new(format!(
                "`{command}` shows a VAE's latent space, and the run is of M2; take sample or analogies"
            ))),
            false => Ok(()),
        }
    }

    fn decode(&self, z: &[f32]) -> Result<Vec<f32>> {
        let (gpu, image) = (&self.trained.gpu, self.trained.saved.image);
        let plan = decoder(self.trained.options(), image, z.len() / self.latent, gpu.caps())?;
        let state = self.trained.state(&[&plan])?;
        decode(gpu, &Executor::new(gpu, &plan, &state, &[])?, z)
    }

    /// The means of q(z|x) for images `[N, pixels]`.
    fn encode(&self, x: &[f32]) -> Result<Vec<f32>> {
        let (gpu, pixels, g) = (&self.trained.gpu, self.trained.pixels(), Graph::new());
        g.output("mu", self.vae(&g).encode(g.input("x", Type::f32([x.len() / pixels, pixels]))).0);
        let plan = Plan::new(&g, gpu.caps())?;
        let state = self.trained.state(&[&plan])?;
        let executor = Executor::new(gpu, &plan, &state, &[])?;
        executor.write(gpu, "x", x)?;
        executor.step(gpu)?;
        executor.read(gpu, "mu")
    }

    fn write(&self, name: &str, pictures: &[f32], columns: usize, raw: &Raw) -> Result<()> {
        self.trained.write(name, pictures, self.trained.saved.image[2], columns)?;
        raw.write(&[self.trained.numbers(pictures)])
    }

    fn sample(&self, options: &LatentDraw<T>) -> Result<()> {
        let count = options.count(100);
        if self.few_labels().by_m2() {
            return Learnt::new(&self.trained).sample(count, &options.raw);
        }
        let z = normals(self.trained.seed, count * self.latent);
        self.write("samples.png", &self.decode(&z)?, (count as f64).sqrt().ceil() as usize, &options.raw)
    }

    /// The test images, black and white if the model was trained on such pixels.
    fn test(&self) -> Result<Images> {
        let (mut test, _) = self.trained.saved.test()?;
        if self.trained.options().learning().binarise {
            test.binarise();
        }
        Ok(test)
    }

    fn reconstruct(&self, options: &LatentDraw<T>) -> Result<()> {
        self.plain("reconstruct")?;
        let x = self.trained.first(&self.test()?, options.count.map(usize::from), 10)?;
        let (pictures, count) = (self.decode(&self.encode(&x)?)?, x.len() / self.trained.pixels());
        self.write("reconstructions.png", &[x, pictures].concat(), count, &options.raw)
    }

    /// Decodes quantiles of the prior along two axes. The other coordinates are 0.
    fn manifold(&self, options: &Manifold<T>) -> Result<()> {
        self.plain("manifold")?;
        let latent = self.latent;
        let axes: Vec<usize> = options.axes.iter().map(|&axis| axis.into()).collect();
        let (&[a, b], side) = (axes.as_slice(), options.draw.count(20)) else {
            return Err(Error::new("--axes wants two numbers, such as 0,1"));
        };
        if a == b || a >= latent || b >= latent {
            let what = format!("--axes {a},{b}: the model's latent axes are 0 to {}", latent - 1);
            return Err(Error::new(format!("{what}, and two different ones are needed")));
        }
        let mut z = vec![0.0; side * side * latent];
        for i in 0..side * side {
            z[i * latent + a] = quantile(i % side, side);
            z[i * latent + b] = quantile(i / side, side);
        }
        self.write("manifold.png", &self.decode(&z)?, side, &options.draw.raw)
    }

    fn interpolate(&self, options: &LatentDraw<T>) -> Result<()> {
        self.plain("interpolate")?;
        let (asked, latent) = (options.count.map(|rows| 2 * usize::from(rows)), self.latent);
        let x = self.trained.first(&self.test()?, asked, 16)?;
        let pairs = x.len() / self.trained.pixels() / 2;
        if pairs == 0 {
            return Err(Error::new("there is one test image; a line has two ends"));
        }
        let mu = self.encode(&x)?;
        let mut z = Vec::with_capacity(pairs * STEPS * latent);
        for ends in mu.chunks_exact(2 * latent) {
            for s in 0..STEPS {
                let t = s as f32 / (STEPS - 1) as f32;
                z.extend((0..latent).map(|d| ends[d] * (1.0 - t) + ends[latent + d] * t));
            }
        }
        self.write("interpolation.png", &self.decode(&z)?, STEPS, &options.raw)
    }

    fn analogies(&self, options: &LatentDraw<T>) -> Result<()> {
        if !self.few_labels().by_m2() {
            let advice = "train one with --semi-supervised m2 or m1m2";
            return Err(Error::new(format!(
                "`analogies` wants a model that tells class from style; {advice}"
            )));
        }
        let x = self.trained.first(&self.test()?, options.count.map(usize::from), 10)?;
        Learnt::new(&self.trained).analogies(&x, &options.raw)
    }

    fn evaluate(&self, options: &Evaluate<T>) -> Result<()> {
        let few = self.few_labels();
        if options.alone && few.labels().is_none() {
            return Err(Error::new("--alone: the run learnt from no labels; leave it out"));
        }
        if options.raw.asked() && few.by_m2() {
            return Err(Error::new(
                "--raw: M2's scores are means over all images; leave it out, or take --json",
            ));
        }
        let test = self.test()?;
        let count = options.images.map_or(test.count, |n| (n as usize).min(test.count));
        let test = test.at(&(0..count as u32).collect::<Vec<_>>());
        let mut json = if few.by_m2() { json!({ "images": count }) } else { self.bounds(options, &test)? };
        if few.labels().is_some() {
            Learnt::new(&self.trained).evaluate(&test, options.alone, &mut json)?;
        }
        match &options.json {
            Some(path) => write_atomic(path, format!("{json:#}\n").as_bytes()),
            None => Ok(()),
        }
    }

    /// Measures a VAE's bounds on these images, and returns them as JSON.
    fn bounds(&self, options: &Evaluate<T>, test: &Images) -> Result<serde_json::Value> {
        let (trained, gpu, count) = (&self.trained, &self.trained.gpu, test.count);
        let bound = Bound::new(gpu.caps(), trained.pixels(), |g| self.vae(g))?;
        let state = trained.state(&bound.plans())?;
        let report = bound.run(gpu, &state, test, count, options.k as usize, &mut listener())?;
        say!("{}", report.table().trim_end());
        let Scores { log_px, elbo, reconstruction, kl } = &report.scores;
        let scores = [("log_px", log_px), ("elbo", elbo), ("reconstruction", reconstruction), ("kl", kl)]
            .map(|(name, of)| (name, of.iter().map(|&v| v as f32).collect::<Vec<_>>()));
        options.raw.write(&scores.each_ref().map(|(name, of)| (*name, vec![count], of.as_slice())))?;
        Ok(report.json())
    }
}
