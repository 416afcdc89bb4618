//! The autoencoder: train it, look at its restorations, and start a classifier from what it learnt.

use clap::{Args, Parser, Subcommand};
use oneiro::{
    data::{DataSet, Images, permutation},
    error::{Error, Result},
    gpu::{Executor, Gpu, State},
    graph::{Graph, shape::Type},
    models::autoencoder::{Autoencoder, Classifier, Config, correct},
    optim::{Optimizer, advance},
    plan::Plan,
    run::{AdapterOption, Options, Session, TrainOptions, Trainer, grid, parse, positive, save, trained},
    train::{Evaluation, Feed, batch, labels, remember},
    weights::{self, Weights},
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const MODEL: &str = "autoencoder";

/// Autoencoder (Hinton & Salakhutdinov 2006; denoising: Vincent et al. 2008)
#[derive(Parser)]
#[command(after_help = "Examples:
  autoencoder train --data path/to/mnist --out runs/features
  autoencoder reconstruct --run runs/features
  autoencoder probe --run runs/features                 100 and 1,000 labels, from the trained encoder and from scratch
  autoencoder probe --labels 50 --repeats 5")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train on images without their labels, or go on with a run
    Train(Train),
    /// Test images above their restorations
    Reconstruct(Look),
    /// Fine-tune a classifier on few labels, from the trained encoder and from scratch
    Probe(Probe),
}

#[derive(Args, Clone, Serialize, Deserialize)]
struct Train {
    #[command(flatten)]
    #[serde(flatten)]
    common: TrainOptions,
    /// Widths of the encoder's hidden layers; the decoder mirrors them
    #[arg(long, value_delimiter = ',', default_value = "500", value_parser = clap::value_parser!(u16).range(1..))]
    hidden: Vec<u16>,
    /// Width of the code
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    code: u16,
    /// Share of the pixels dropped before encoding, 0 to 0.9
    #[arg(long, default_value_t = 0.25, value_parser = share)]
    noise: f64,
    /// Adam's step size
    #[arg(long, default_value_t = 1e-3, value_parser = positive)]
    lr: f64,
}

#[derive(Args)]
struct Look {
    /// Run directory of an earlier `train` [default: the newest under runs]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    #[command(flatten)]
    adapter: AdapterOption,
    /// Pictures
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    count: u16,
}

#[derive(Args)]
struct Probe {
    /// Run directory of an earlier `train` [default: the newest under runs]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    #[command(flatten)]
    adapter: AdapterOption,
    /// How many labelled images, shared evenly among the classes
    #[arg(long, value_delimiter = ',', default_value = "100,1000", value_parser = clap::value_parser!(u32).range(1..))]
    labels: Vec<u32>,
    /// Fine-tuning steps of 50 images
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Runs per line, each with its own labelled images and first values
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Adam's step size
    #[arg(long, default_value_t = 1e-3, value_parser = positive)]
    lr: f64,
}

impl Options for Train {
    fn common(&mut self) -> &mut TrainOptions {
        &mut self.common
    }
}

impl Train {
    fn config(&self, image: [usize; 3]) -> Config {
        let hidden = self.hidden.iter().map(|&w| w.into()).collect();
        Config { pixels: image.iter().product(), hidden, code: self.code.into(), noise: self.noise as f32 }
    }
}

fn share(text: &str) -> std::result::Result<f64, String> {
    text.parse().ok().filter(|x| (0.0..=0.9).contains(x)).ok_or_else(|| "wants a number from 0 to 0.9".into())
}

fn main() -> Result<()> {
    match parse::<Cli>().command {
        Command::Train(options) => train(options),
        Command::Reconstruct(options) => reconstruct(&options),
        Command::Probe(options) => probe(&options),
    }
}

fn train(options: Train) -> Result<()> {
    let (session, options) = Session::open(MODEL, options)?;
    let (config, caps) = (options.config(session.image()), session.gpu.caps());
    let g = Graph::new();
    let model = Autoencoder::new(&g, &config);
    let loss = model.loss(batch(&g, &session.set.train, options.common.batch as usize, None), true);
    Optimizer::adam(options.lr as f32).step(MODEL, loss, &model.params());
    remember(&g, &[loss]);
    advance(&g);
    let step = Plan::new(&g, caps)?;
    let test =
        Evaluation::new(caps, &session.set.test, |g, x| vec![Autoencoder::new(g, &config).loss(x, false)])?;
    let restore = restorer(&config, session.set.test.count.min(10), &session.gpu)?;
    let others: Vec<&Plan> = test.plans().chain([&restore]).collect();
    if session.print_plan(&[&step], &others) {
        return Ok(());
    }
    let trainer = Trainer::new(&session, &step, &others, &["loss"])?;
    let test = test.ready(&session.gpu, &trainer.state, &session.set.test)?;
    let restore = Executor::new(&session.gpu, &restore, &trainer.state, &[])?;
    trainer.run("nats per image", |at| {
        write(&session.gpu, &restore, &session.set.test, &config, &at.run.samples(at.step))?;
        Ok(vec![("test_loss", test.run()?[0])])
    })?;
    Ok(())
}

fn restorer(config: &Config, count: usize, gpu: &Gpu) -> Result<Plan> {
    let g = Graph::new();
    let x = g.input("x", Type::f32([count, config.pixels]));
    g.output("pictures", Autoencoder::new(&g, config).restore(x).sigmoid());
    Ok(Plan::new(&g, gpu.caps())?)
}

/// The first test images above their restorations, as a picture.
fn write(
    gpu: &Gpu,
    restore: &Executor,
    images: &Images,
    config: &Config,
    path: &std::path::Path,
) -> Result<()> {
    let range = restore.output("pictures")?.1;
    let count = (range.end - range.start) as usize / 4 / config.pixels;
    let x: Vec<f32> = images.pixels[..count * config.pixels].iter().map(|&b| f32::from(b) / 255.0).collect();
    restore.write(gpu, "x", &x)?;
    gpu.submit(|encoder| restore.record(encoder));
    let pictures = [x, restore.read(gpu, "pictures")?].concat();
    save(path, &grid(&pictures, 2 * count, images.height, images.width, images.channels, count))
}

fn reconstruct(options: &Look) -> Result<()> {
    let (run, saved) = trained::<Train>(MODEL, options.run.as_ref())?;
    let (config, images) = (saved.options.config(saved.image), saved.load()?.test);
    let gpu = options.adapter.open()?;
    let plan = restorer(&config, images.count.min(options.count.into()), &gpu)?;
    let state = State::new(&gpu, &[&plan], 0)?;
    let names: Vec<String> = state.names().map(|(n, _)| n.into()).collect();
    weights::apply(&gpu, &state, &names, &weights::load(&run.weights())?, &run.weights())?;
    let path = run.path("reconstructions.png");
    write(&gpu, &Executor::new(&gpu, &plan, &state, &[])?, &images, &config, &path)?;
    println!("{}", path.display());
    Ok(())
}

/// `n` images, evenly from all classes, in an order drawn from the seed.
fn few(images: &Images, n: usize, seed: u64) -> Result<Images> {
    let all =
        images.labels.as_ref().ok_or_else(|| Error::new("the data set has no labels; probe needs some"))?;
    let (mut left, mut rows) = (vec![n.div_ceil(images.classes); images.classes], vec![]);
    for i in permutation(seed, 0, images.count) {
        let class = all[i as usize] as usize;
        if left[class] > 0 && rows.len() < n {
            left[class] -= 1;
            rows.push(i as usize);
        }
    }
    if rows.len() < n {
        return Err(Error::new(format!(
            "--labels {n} is more than the classes hold; only {} could be found evenly",
            rows.len()
        )));
    }
    let size = images.height * images.width * images.channels;
    let pixels = rows.iter().flat_map(|&i| images.pixels[i * size..][..size].iter().copied()).collect();
    Ok(Images { count: n, pixels, labels: Some(rows.iter().map(|&i| all[i]).collect()), ..*images })
}

fn probe(options: &Probe) -> Result<()> {
    let (run, saved) = trained::<Train>(MODEL, options.run.as_ref())?;
    let DataSet { train, test, .. } = saved.load()?;
    let gpu = options.adapter.open()?;
    let trained = weights::load(&run.weights())?;
    // Before anything is trained.
    options.labels.iter().try_for_each(|&n| few(&train, n as usize, 0).map(drop))?;
    println!(
        "test accuracy of one network, {} fine-tuning steps, mean of {} runs ± their spread",
        options.steps, options.repeats
    );
    println!("{:>8}  {:>20}  {:>20}", "labels", "trained encoder", "from scratch");
    for &n in &options.labels {
        let mut scores = [vec![], vec![]];
        for repeat in 0..options.repeats {
            let few = few(&train, n as usize, repeat.into())?;
            for (start, scores) in [Some((&trained, run.weights())), None].iter().zip(&mut scores) {
                scores.push(fine_tune(
                    &gpu,
                    &saved.options.config(saved.image),
                    &few,
                    &test,
                    options,
                    repeat.into(),
                    start.as_ref(),
                )?);
            }
        }
        let [ours, scratch] = scores.map(|s| {
            let mean = s.iter().sum::<f64>() / s.len() as f64;
            let spread =
                (s.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (s.len() - 1).max(1) as f64).sqrt();
            format!("{:.2} % ± {:.2}", 100.0 * mean, 100.0 * spread)
        });
        println!("{n:>8}  {ours:>20}  {scratch:>20}");
    }
    Ok(())
}

/// Test accuracy after training on few labelled images.
fn fine_tune(
    gpu: &Gpu,
    config: &Config,
    few: &Images,
    test: &Images,
    options: &Probe,
    seed: u64,
    start: Option<&(&Weights, PathBuf)>,
) -> Result<f64> {
    let size = few.count.min(50);
    let g = Graph::new();
    let model = Classifier::new(&g, config, few.classes);
    let loss = model.forward(batch(&g, few, size, None)).cross_entropy(labels(&g, few, size)).mean_all();
    Optimizer::adam(options.lr as f32).step("probe", loss, &model.params());
    advance(&g);
    let step = Plan::new(&g, gpu.caps())?;
    let accuracy = Evaluation::new(gpu.caps(), test, |g, x| {
        let rows = x.shape()[0];
        vec![correct(Classifier::new(g, config, test.classes).forward(x), labels(g, test, rows))]
    })?;
    let plans: Vec<&Plan> = accuracy.plans().chain([&step]).collect();
    let state = State::new(gpu, &plans, seed)?;
    if let Some((trained, path)) = start {
        let encoder: Vec<String> =
            state.names().map(|(n, _)| n.to_string()).filter(|n| n.starts_with("encoder.")).collect();
        weights::apply(gpu, &state, &encoder, trained, path)?;
    }
    let feed = Feed::new(gpu, few)?;
    let executor = Executor::new(gpu, &step, &state, &feed.bindings(&step))?;
    let per_epoch = few.count / size;
    for (epoch, first) in (0..options.steps as usize).step_by(per_epoch).enumerate() {
        feed.reorder(gpu, &permutation(seed, epoch as u64, few.count));
        gpu.submit(|encoder| {
            (first..(first + per_epoch).min(options.steps as usize)).for_each(|_| executor.record(encoder))
        });
        gpu.wait()?;
    }
    Ok(accuracy.ready(gpu, &state, test)?.run()?[0])
}
