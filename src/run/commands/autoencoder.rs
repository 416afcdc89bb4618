//! The commands of the autoencoder: they train it, show its reconstructions, and train a classifier that
//! starts from its encoder.

use super::few;
use crate::{
    data::{DataSet, Images, permutation},
    error::{Error, Result},
    gpu::{Executor, Gpu, State},
    graph::{Graph, shape::Type},
    models::autoencoder::{Autoencoder, Classifier, Config, correct},
    optim::{Optimizer, advance},
    plan::Plan,
    run::{
        Bare, EpochEnd, Look, Options, Raw, Session, Train, Trained, Trainer, by_ranks, grid, of_test,
        positive, save, say::counted, whole,
    },
    train::{Evaluation, Feed, Round, batch, bursts, labels},
};
use clap::{Args, Subcommand};

/// The number of images in a fine-tuning step.
const FEW: usize = 50;

/// The options of an autoencoder.
pub trait Restoring: Options {
    /// The network for images of this height, width and number of channels.
    fn config(&self, image: [usize; 3]) -> Config;

    /// Adam's step size.
    fn lr(&self) -> f64;
}

/// The subcommands.
#[derive(Subcommand)]
pub enum Command<T: Restoring> {
    /// Train on images without their labels, or continue a run
    Train(Train<T>),
    /// Show test images above their reconstructions
    Reconstruct(Reconstruct<T>),
    /// Fine-tune a classifier on few labels, from the trained encoder and from scratch
    Probe(Probe),
}

/// The options of `reconstruct`.
#[derive(Args)]
pub struct Reconstruct<T: Restoring> {
    #[command(flatten)]
    bare: Bare<T>,
    #[command(flatten)]
    look: Look,
    /// Number of test images [default: 10, or all if there are fewer]
    #[arg(long, value_parser = whole::<u16>(1..=100))]
    count: Option<u16>,
    #[command(flatten)]
    raw: Raw,
}

/// The options of `probe`.
#[derive(Args)]
pub struct Probe {
    #[command(flatten)]
    look: Look,
    /// Where the run's data lie now, if they were moved
    #[arg(long, value_name = "NAME|PATH")]
    data: Option<String>,
    /// Numbers of labelled images to train on, shared evenly among the classes; one line of results each
    #[arg(long, value_delimiter = ',', default_value = "100,1000", value_parser = whole::<u32>(1..))]
    labels: Vec<u32>,
    /// Fine-tuning steps, of 50 images each
    #[arg(long, default_value_t = 1000, value_parser = whole::<u32>(1..))]
    steps: u32,
    /// Training runs per line, each with other labelled images and initial weights
    #[arg(long, default_value_t = 3, value_parser = whole::<u32>(1..))]
    repeats: u32,
    /// Adam's step size
    #[arg(long, default_value_t = 1e-3, value_parser = positive)]
    lr: f64,
}

/// Runs a subcommand.
///
/// # Errors
/// Fails with one line that says what is wrong and what to do.
pub fn run<T: Restoring>(command: Command<T>) -> Result<()> {
    match command {
        Command::Train(options) => by_ranks(&options.sitting, |ranks| train(options.of(ranks))),
        Command::Reconstruct(options) => reconstruct(&options),
        Command::Probe(options) => probe::<T>(&options),
    }
}

fn train<T: Restoring>(options: Train<T>) -> Result<()> {
    let (session, options) = Session::open(options)?;
    let (config, caps, test_set) = (options.config(session.image()), session.gpu.caps(), &session.set.test);
    let g = session.graph();
    let x = batch(&g, &session.set.train, session.batch(), None);
    let metrics = Autoencoder::new(&g, &config).training_step(x, &Optimizer::adam(options.lr() as f32));
    let round = Round::new(&g, &metrics, caps)?;
    let test =
        Evaluation::new(caps, test_set, |g, x| vec![("loss", Autoencoder::new(g, &config).loss(x, false))])?;
    let count = test_set.count.min(10);
    let restore = restorer(&config, count, &session.gpu)?;
    let others: Vec<&Plan> = test.plans().chain([&restore]).collect();
    if session.print_plan(&round, &others) {
        return Ok(());
    }
    let state = session.state(&round, &others)?;
    let test = test.ready(&session.gpu, &state, test_set)?;
    let restore = Executor::new(&session.gpu, &restore, &state, &[])?;
    let bytes = &test_set.pixels[..count * config.pixels];
    let x: Vec<f32> = bytes.iter().map(|&b| f32::from(b) / 255.0).collect();
    let unit = "nats per image";
    let trainer = Trainer { session: &session, state: &state, round: &round, unit, curves: 1, scored: true };
    trainer.run(&mut |at: &EpochEnd<'_>| {
        if let Some(run) = at.run {
            let ([h, w, c], pictures) = (session.image(), restored(&session.gpu, &restore, &x)?);
            save(&run.samples(at.step), &grid(&pictures, 2 * count, h, w, c, count))?;
        }
        Ok(of_test(session.ranks().score(&test)?))
    })?;
    Ok(())
}

fn restorer(config: &Config, count: usize, gpu: &Gpu) -> Result<Plan> {
    let g = Graph::new();
    let x = g.input("x", Type::f32([count, config.pixels]));
    g.output("pictures", Autoencoder::new(&g, config).restore(x).sigmoid());
    Plan::new(&g, gpu.caps())
}

/// The images, followed by their reconstructions.
fn restored(gpu: &Gpu, restore: &Executor, x: &[f32]) -> Result<Vec<f32>> {
    restore.write(gpu, "x", x)?;
    restore.step(gpu)?;
    Ok([x, &restore.read(gpu, "pictures")?].concat())
}

fn reconstruct<T: Restoring>(options: &Reconstruct<T>) -> Result<()> {
    let trained = Trained::open(&options.look, Some(&options.bare))?;
    let gpu = &trained.gpu;
    let x = trained.first(&trained.saved.test()?.0, options.count.map(usize::from), 10)?;
    let count = x.len() / trained.pixels();
    let plan = restorer(&trained.options().config(trained.saved.image), count, gpu)?;
    let state = trained.state(&[&plan])?;
    let pictures = restored(gpu, &Executor::new(gpu, &plan, &state, &[])?, &x)?;
    trained.write("reconstructions.png", &pictures, trained.saved.image[2], count)?;
    options.raw.write(&[trained.numbers(&pictures)])
}

fn probe<T: Restoring>(options: &Probe) -> Result<()> {
    let mut trained = Trained::<T>::open(&options.look, None)?;
    if let Some(data) = &options.data {
        trained.saved.options.recipe().data.clone_from(data);
    }
    let set = trained.saved.load()?;
    if let Some(why) = set.classless() {
        return Err(Error::new(format!("{}: {why}: there is nothing to probe", set.name)));
    }
    let DataSet { train, test, .. } = set;
    // All numbers of labels are checked before anything is trained.
    options.labels.iter().try_for_each(|&n| few(&train, n as usize, 0).map(drop))?;
    say!(
        "test accuracy of one network, {}, mean of {} ± their spread",
        counted(options.steps, "fine-tuning step"),
        counted(options.repeats, "run")
    );
    say!("{:>8}  {:>20}  {:>20}", "labels", "trained encoder", "from scratch");
    for &n in &options.labels {
        let mut scores = [vec![], vec![]];
        for repeat in 0..options.repeats.into() {
            let few = few(&train, n as usize, repeat)?;
            for (warm, scores) in [true, false].into_iter().zip(&mut scores) {
                scores.push(fine_tune(&trained, options, &few, &test, repeat, warm)?);
            }
        }
        let [ours, scratch] = scores.map(|s| {
            let mean = s.iter().sum::<f64>() / s.len() as f64;
            let squares = s.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
            let spread = (squares / (s.len() - 1).max(1) as f64).sqrt();
            format!("{:.2} % ± {:.2}", 100.0 * mean, 100.0 * spread)
        });
        say!("{n:>8}  {ours:>20}  {scratch:>20}");
    }
    Ok(())
}

/// The test accuracy, from 0 to 1, after training on few labelled images: from the trained encoder if `warm`,
/// else from scratch.
fn fine_tune<T: Restoring>(
    trained: &Trained<T>,
    options: &Probe,
    few: &Images,
    test: &Images,
    seed: u64,
    warm: bool,
) -> Result<f64> {
    let (gpu, config) = (&trained.gpu, trained.options().config(trained.saved.image));
    let (size, g) = (few.count.min(FEW), Graph::new());
    let model = Classifier::new(&g, &config, few.classes);
    let loss = model.forward(batch(&g, few, size, None)).cross_entropy(labels(&g, few, size)).mean_all();
    Optimizer::adam(options.lr as f32).step("probe", loss, &model.params());
    advance(&g);
    let step = Plan::new(&g, gpu.caps())?;
    let accuracy = Evaluation::new(gpu.caps(), test, |g, x| {
        let (rows, model) = (x.shape()[0], Classifier::new(g, &config, test.classes));
        vec![("accuracy", correct(model.forward(x), labels(g, test, rows)))]
    })?;
    let plans: Vec<&Plan> = accuracy.plans().chain([&step]).collect();
    let state = State::new(gpu, &plans, seed)?;
    if warm {
        let mut encoder = step.weights();
        encoder.retain(|name| name.starts_with("encoder."));
        trained.load(&state, &encoder)?;
    }
    let feed = Feed::new(gpu, few)?;
    let executor = Executor::new(gpu, &step, &state, &feed.bindings(&step))?;
    let (per_epoch, steps) = (few.count / size, options.steps as usize);
    for (epoch, first) in (0..steps).step_by(per_epoch).enumerate() {
        feed.reorder(gpu, &permutation(seed, epoch as u64, few.count))?;
        let count = per_epoch.min(steps - first);
        bursts(gpu, &executor, count, count, |_| Ok(()))?;
    }
    Ok(accuracy.ready(gpu, &state, test)?.run()?[0].1)
}
