//! What the examples of explicit density models share: training by maximum likelihood, exact scores, samples, completions.
//!
//! A model is its options with [`Autoregressive`]: the logits of black-and-white pixels given the picture. Test images are
//! binarised once, by a stream of their own.

use super::{
    AdapterOption, Error, Evaluation, Feed, Method, Options, Progress, Result, RunDir, Sampler, Saved, Session, TrainOptions, Trainer,
    batch, bound::Mean, grid, positive, remember, save, trained, write_atomic,
};
use crate::{
    data::Images,
    gpu::{Executor, Gpu, State},
    graph::{Graph, Tensor},
    optim::{Optimizer, Schedule, advance},
    plan::Plan,
    shape::Type,
    weights,
};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The stream that binarises training images anew in every step, and test images once.
const BINARISE: &str = "binarise";
/// Test images at a time.
const BATCH: usize = 100;

/// A model's options.
pub trait Autoregressive: Args + Serialize + serde::de::DeserializeOwned + Clone {
    /// Name of the model and its runs.
    const MODEL: &'static str;
    /// How it is sampled.
    const METHOD: Method;

    /// The parameters that are trained, and the logits of p(x_i = 1 | x_<i), of the shape of `x`, `[N, H, W, C]`.
    fn logits<'g>(&self, g: &'g Graph, x: Tensor<'g>) -> (Vec<Tensor<'g>>, Tensor<'g>);
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

/// A factor in (0, 1].
fn decay(text: &str) -> std::result::Result<f64, String> {
    let value = positive(text)?;
    if value <= 1.0 { Ok(value) } else { Err(format!("{value} would let the step size grow; give at most 1")) }
}

/// Options of `sample`.
#[derive(Args, Clone)]
pub struct Draw {
    /// Run directory of an earlier `train` [default: the newest under runs]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    #[command(flatten)]
    adapter: AdapterOption,
    /// Pictures
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
    /// Seed of the draws
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Below 1 draws what is likelier than the model thinks, above 1 less likely
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    temperature: f64,
    /// Run the whole network for every pixel, to compare with
    #[arg(long)]
    naive: bool,
}

/// Options of `complete`.
#[derive(Args)]
pub struct Complete {
    #[command(flatten)]
    draw: Draw,
    /// Picture of the images' size whose bright pixels are kept [default: the upper half]
    #[arg(long, value_name = "PNG")]
    mask: Option<PathBuf>,
}

/// Options of `evaluate`.
#[derive(Args)]
pub struct Evaluate {
    /// Run directory of an earlier `train` [default: the newest under runs]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    #[command(flatten)]
    adapter: AdapterOption,
    /// Only the first so many test images [default: all]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    images: Option<u32>,
    /// Write the result as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs a subcommand.
pub fn run<M: Autoregressive>(command: Command<M>) -> Result<()> {
    match command {
        Command::Train(options) => train(options),
        Command::Sample(options) => Model::<M>::open(options.run.as_ref(), &options.adapter)?.sample(&options),
        Command::Complete(options) => Model::<M>::open(options.draw.run.as_ref(), &options.draw.adapter)?.complete(&options),
        Command::Evaluate(options) => Model::<M>::open(options.run.as_ref(), &options.adapter)?.evaluate(&options),
    }
}

/// Parameters, and -log p(x) of each pixel, `[N, H, W, C]`.
fn nats<'g, M: Autoregressive>(g: &'g Graph, x: Tensor<'g>, image: [usize; 3], model: &M) -> (Vec<Tensor<'g>>, Tensor<'g>) {
    let x = x.reshape([x.shape()[0], image[0], image[1], image[2]]);
    let (params, logits) = model.logits(g, x);
    (params, logits.bce_with_logits(x))
}

fn train<M: Autoregressive>(options: Train<M>) -> Result<()> {
    let (session, options) = Session::open(M::MODEL, options)?;
    let (caps, image, model) = (session.gpu.caps(), session.image(), &options.model);
    let g = Graph::new();
    let (params, loss) = nats(&g, batch(&g, &session.set.train, session.options.batch as usize, Some(BINARISE)), image, model);
    let loss = loss.sum_all();
    Optimizer::adam(options.lr as f32).schedule(Schedule::Exponential { per_step: options.decay }).step(M::MODEL, loss, &params);
    remember(&g, &[loss]);
    advance(&g);
    let step = Plan::new(&g, caps)?;
    let test = Evaluation::in_batches(BATCH, caps, &session.set.test, Some(BINARISE), |g, x| vec![nats(g, x, image, model).1.sum_all()])?;
    let draw = Sampler::new(caps, [16, image[0], image[1], image[2]], 1.0, M::METHOD, |g, x| model.logits(g, x).1)?;
    let others: Vec<&Plan> = test.plans().chain(draw.plans()).collect();
    if session.print_plan(&step, &others) {
        return Ok(());
    }
    let trainer = Trainer::new(&session, &step, &others, &["nll"])?;
    let test = test.ready(&session.gpu, &trainer.state, &session.set.test)?;
    trainer.run("nats per image", |at| {
        let pictures = draw.run(&session.gpu, &trainer.state, None, |_, _| Ok(()))?;
        save(&at.run.samples(at.step), &grid(&pictures, 16, image[0], image[1], image[2], 4))?;
        Ok(vec![("test_nll", test.run()?[0])])
    })
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

    /// A State with the trained weights for these plans; all that is not the plans' own is the model's.
    fn state(&self, plans: &[&Plan], seed: u64) -> Result<State> {
        let state = State::new(&self.gpu, plans, seed)?;
        let (path, g) = (self.run.weights(), Graph::new());
        let [h, w, c] = self.saved.image;
        let (params, _) = self.saved.options.model.logits(&g, g.input("x", Type::f32([1, h, w, c])));
        let recording = g.recording();
        let name = |t: &Tensor<'_>| match recording.nodes[t.id()].source {
            crate::graph::Source::Var(v) => Some(recording.vars[v].name.clone()),
            _ => None,
        };
        let names: Vec<String> = params.iter().filter_map(name).collect();
        weights::apply(&self.gpu, &state, &names, &weights::load(&path)?, &path)?;
        Ok(state)
    }

    /// Pictures, drawn while a bar shows how far, and a strip of the first as it appears.
    fn draw(&self, options: &Draw, given: Option<(&[f32], &[f32])>, name: &str) -> Result<()> {
        let ([h, w, c], count) = (self.saved.image, usize::from(options.count));
        let method = if options.naive { Method::Naive } else { M::METHOD };
        let (shape, temperature) = ([count, h, w, c], options.temperature as f32);
        let sampler = Sampler::new(self.gpu.caps(), shape, temperature, method, |g, x| self.saved.options.model.logits(g, x).1)?;
        let state = self.state(&sampler.plans(), options.seed)?;
        let bar = Progress::bar(sampler.steps() as u64, "steps");
        let (mut strip, began) = (vec![], std::time::Instant::now());
        let pictures = sampler.run(&self.gpu, &state, given, |done, picture| {
            bar(done as u64);
            if done * 8 >= sampler.steps() * (strip.len() / (h * w * c) + 1) {
                strip.extend_from_slice(&picture()?[..h * w * c]);
            }
            Ok(())
        })?;
        println!("{count} pictures in {:.2} s, {} steps", began.elapsed().as_secs_f64(), sampler.steps());
        let columns = (count as f64).sqrt().ceil() as usize;
        self.write(&format!("{name}.png"), &pictures, columns)?;
        let frames = strip.len() / (h * w * c);
        self.write(&format!("{name}-strip.png"), &strip, frames)
    }

    fn write(&self, name: &str, pictures: &[f32], columns: usize) -> Result<()> {
        let ([h, w, c], path) = (self.saved.image, self.run.path(name));
        save(&path, &grid(pictures, pictures.len() / (h * w * c), h, w, c, columns))?;
        println!("{}", path.display());
        Ok(())
    }

    fn sample(&self, options: &Draw) -> Result<()> {
        self.draw(options, None, "samples")
    }

    fn complete(&self, options: &Complete) -> Result<()> {
        let ([h, w, c], test, count) = (self.saved.image, self.saved.load()?.test, usize::from(options.draw.count));
        if test.count < count {
            return Err(Error::new(format!("--count {count}: there are {} test images", test.count)));
        }
        let mask = match &options.mask {
            Some(path) => read_mask(path, h, w)?,
            None => (0..h * w).map(|p| f32::from(u8::from(p / w < h / 2))).collect(),
        };
        let pixel = |i: usize| f32::from(u8::from(test.pixels[i] >= 128));
        let kept = |i: usize| mask[i / c % (h * w)];
        let n = count * h * w * c;
        let given: Vec<f32> = (0..n).map(kept).collect();
        let pictures: Vec<f32> = (0..n).map(|i| pixel(i) * kept(i)).collect();
        self.write("given.png", &pictures, (count as f64).sqrt().ceil() as usize)?;
        self.draw(&options.draw, Some((&pictures, &given)), "completed")
    }

    fn evaluate(&self, options: &Evaluate) -> Result<()> {
        let (image, test) = (self.saved.image, self.saved.load()?.test);
        let (pixels, count) = (image.iter().product::<usize>(), options.images.map_or(test.count, |n| (n as usize).min(test.count)));
        let g = Graph::new();
        let few = Images {
            count: BATCH,
            height: image[0],
            width: image[1],
            channels: image[2],
            classes: 0,
            pixels: vec![0; BATCH * pixels],
            labels: None,
        };
        let (_, nll) = nats(&g, batch(&g, &few, BATCH, Some(BINARISE)), image, &self.saved.options.model);
        g.output("pixels", nll);
        advance(&g);
        let plan = Plan::new(&g, self.gpu.caps())?;
        let state = self.state(&[&plan], self.saved.options.common.seed)?;
        let feed = Feed::new(&self.gpu, &few)?;
        let executor = Executor::new(&self.gpu, &plan, &state, &feed.bindings(&plan))?;
        let bar = Progress::bar(count as u64, "images");
        let (mut scores, mut map) = (vec![], vec![]);
        for start in (0..count).step_by(BATCH) {
            let here = BATCH.min(count - start);
            let mut bytes = test.pixels[start * pixels..(start + here) * pixels].to_vec();
            bytes.resize(BATCH * pixels, 0);
            self.gpu.queue.write_buffer(&feed.data, 0, &bytes);
            self.gpu.submit(|encoder| executor.record(encoder));
            let values = executor.read(&self.gpu, "pixels")?;
            scores.extend(values.chunks(pixels).take(here).map(|one| one.iter().map(|&v| f64::from(v)).sum::<f64>()));
            if map.is_empty() {
                map = values[..here.min(25) * pixels].to_vec();
            }
            bar((start + here) as u64);
        }
        // Bright where a pixel was a surprise: 3 nats are white.
        self.write("surprise.png", &map.iter().map(|v| v / 3.0).collect::<Vec<_>>(), 5)?;
        let nll = Mean::of(&scores);
        let bits = nll.mean / pixels as f64 / std::f64::consts::LN_2;
        println!("{count} test images, binarised once (seed {})", self.saved.options.common.seed);
        println!("NLL {:.3} ± {:.3} nats per image (95 %), {bits:.4} bits per dimension", nll.mean, nll.half);
        if let Some(path) = &options.json {
            let json = serde_json::json!({ "images": count, "nll": nll.mean, "half_width_95": nll.half, "bits_per_dim": bits });
            write_atomic(path, format!("{json:#}\n").as_bytes())?;
        }
        Ok(())
    }
}

/// 1 where the picture is bright.
fn read_mask(path: &Path, height: usize, width: usize) -> Result<Vec<f32>> {
    let picture = image::open(path).map_err(|e| Error::at("read the mask", path, e, "give a PNG of the images' size"))?.to_luma8();
    if (picture.height() as usize, picture.width() as usize) != (height, width) {
        let what = format!("it is {}x{} pixels, the images are {width}x{height}", picture.width(), picture.height());
        return Err(Error::at("use the mask", path, what, "scale it to the images' size"));
    }
    Ok(picture.pixels().map(|p| f32::from(u8::from(p.0[0] >= 128))).collect())
}
