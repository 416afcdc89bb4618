//! The command `evaluate`: exact scores of test images, in all and for each class, and how well the
//! likelihoods classify them.

use super::{
    super::{compare::Compared, one_hot, task::Cases},
    fit::{Density, Fit, of_images, one, sound},
    trained::{CLASS, TrainedDensity, chosen, fitting},
};
use crate::{
    data::{Images, Task},
    disk::write_atomic,
    error::Result,
    gpu::Executor,
    graph::Graph,
    measure::bound::Mean,
    models::autoregressive::Given,
    plan::Plan,
    run::{Bare, Curve, Look, Raw, listener, plot, say::counted, whole},
    train::{Feed, Work, batch},
};
use clap::Args;
use std::path::PathBuf;

/// The number of images whose scores are shown pixel by pixel.
const SHOWN: usize = 25;

/// The options of `evaluate`.
#[derive(Args)]
pub struct Evaluate<M: Density> {
    #[command(flatten)]
    pub(super) bare: Bare<Fit<M>>,
    #[command(flatten)]
    pub(super) look: Look,
    /// Score only this many test images, from the first on [default: all]
    #[arg(long, value_parser = whole::<u32>(1..))]
    images: Option<u32>,
    /// Test images on which a task is done and measured, none by 0: `upscale` draws each 8 times beside bicubic
    /// enlargement, `colourise` once, for the engine's own classifier [default: 16, or 128 to colourise]
    #[arg(long, value_name = "IMAGES", value_parser = whole::<u32>(..))]
    compare: Option<u32>,
    /// Also write the result as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    raw: Raw,
}

/// The scores of the test images: -log p in nats.
struct Scores {
    /// The score of each image under each class. A model without classes has one score per image.
    under: Vec<Vec<f64>>,
    /// The score of each pixel of the first images, under the class of the image.
    map: Vec<f32>,
}

impl Scores {
    /// The score of each image under its own class, which `class` gives.
    fn own(&self, class: impl Fn(usize) -> usize) -> Vec<f64> {
        self.under.iter().enumerate().map(|(i, scores)| scores[class(i)]).collect()
    }
}

/// A score of an image in nats as bits for each of so many values.
fn bits(nats: Mean, values: f64) -> Mean {
    let nats_of_bits = values * std::f64::consts::LN_2;
    Mean { mean: nats.mean / nats_of_bits, half: nats.half / nats_of_bits }
}

impl<M: Density> TrainedDensity<M> {
    /// Scores the first `count` images under every class that the model knows.
    fn scores(&self, test: &Images, count: usize) -> Result<Scores> {
        let (model, gpu) = (self.model(), &self.trained.gpu);
        let image = [test.height, test.width, test.channels];
        let pixels = image.iter().product::<usize>();
        let classes = if model.conditional() { self.classes() } else { 1 };
        let few = |size: usize| Images { count: size, pixels: vec![0; size * pixels], labels: None, ..*test };
        let (size, plan) = fitting::<M, _>(|size| {
            let g = Graph::new();
            let x = batch(&g, &few(size), size, None);
            let x = x.reshape([size, image[0], image[1], image[2]]);
            let given = Given { class: chosen(&g, model, size, self.classes()), ..of_images(model, x, None) };
            let (_, nll) = model.nats(&g, given);
            let nll = if nll.shape()[3] == 1 { nll } else { nll.sum(&[3]) };
            g.output("nats", nll);
            Ok((size, Plan::new(&g, gpu.caps())?))
        })?;
        let state = self.trained.state(&[&plan])?;
        let feed = Feed::new(gpu, &few(size))?;
        let executor = Executor::new(gpu, &plan, &state, &feed.bindings(&plan))?;
        let (mut told, total, what) = (listener(), count as u64, format!("{}s", one::<M>()));
        let place = image[0] * image[1];
        let mut scores = Scores { under: vec![vec![]; count], map: vec![0.0; count.min(SHOWN) * place] };
        for start in (0..count).step_by(size) {
            let here = size.min(count - start);
            feed.replace(gpu, &test.pixels[start * pixels..(start + here) * pixels])?;
            for class in 0..classes {
                if model.conditional() {
                    state.write(gpu, CLASS, &one_hot(std::iter::repeat_n(class, size), classes))?;
                }
                executor.step(gpu)?;
                let values = executor.read(gpu, "nats")?;
                for (i, one) in values.chunks(place).take(here).enumerate() {
                    scores.under[start + i].push(one.iter().map(|&v| f64::from(v)).sum());
                    let own =
                        test.labels.as_ref().filter(|_| classes > 1).map_or(0, |l| usize::from(l[start + i]));
                    if own == class && start + i < SHOWN {
                        scores.map[(start + i) * place..][..place].copy_from_slice(one);
                    }
                }
                told(Work { what: &what, done: (start + here * (class + 1) / classes) as u64, total })?;
            }
        }
        Ok(scores)
    }

    pub(super) fn evaluate(&self, options: &Evaluate<M>) -> Result<()> {
        let ((test, lossy), model) = (self.test()?, self.model());
        let count = options.images.map_or(test.count, |n| (n as usize).min(test.count));
        let scores = self.scores(&test, count)?;
        self.surprise(&scores.map)?;
        say!(
            "{}{}",
            counted(count, &format!("test {}", one::<M>())),
            if model.likelihood().has_levels() { " of 256 levels" } else { ", binarised once for all runs" }
        );
        let labels = test.labels.as_deref().filter(|_| model.conditional());
        let of = |i: usize| labels.map_or(0, |l| usize::from(l[i]));
        let nll = Mean::of(&scores.own(of));
        let values = self.values(&test, count);
        let bits = bits(nll, values);
        let given = match (model.task(), model.conditional()) {
            (None, false) => "",
            (None, true) => " given the class",
            (Some(_), false) => " given the hint",
            (Some(_), true) => " given the hint and the class",
        };
        if M::SOUND.is_some() {
            say!(
                "NLL{given} {:.4}{} bits per sample (95 %), {:.1} nats per signal",
                bits.mean,
                bits.interval(),
                nll.mean
            );
        } else {
            let (mean, interval, bits) = (nll.mean, nll.interval(), bits.mean);
            say!("NLL{given} {mean:.3}{interval} nats per image (95 %), {bits:.4} bits per dimension");
        }
        if model.task().is_some() {
            say!("an image has {values:.1} values to draw, whose dimensions these are");
        }
        let mut json = serde_json::json!({
            "images": count, "nll": nll.mean, "half_width_95": nll.half, "bits_per_dim": bits.mean,
            "bits_half_width_95": bits.half, "conditional": model.conditional(), "lossy_data": lossy,
        });
        if labels.is_some() {
            self.tell_classes(&scores, of, values, &mut json);
        }
        if let Some(task) = model.task() {
            json["task"] = task.to_string().into();
            let trained = &self.trained;
            let load = || trained.saved.load();
            let draw = |cases: &Cases, classes: &[usize]| self.draw_cases(cases, classes, 1.0);
            let compared = Compared { gpu: &trained.gpu, test: &test, load: &load, draw: &draw };
            compared.compare(task, options.compare, &mut json)?;
        }
        if let Some(path) = &options.json {
            write_atomic(path, format!("{json:#}\n").as_bytes())?;
        }
        let own: Vec<f32> = scores.own(of).into_iter().map(|v| v as f32).collect();
        let under: Vec<f32> = scores.under.concat().into_iter().map(|v| v as f32).collect();
        let classes = under.len() / count;
        options.raw.write(&[("nats", vec![count], &own), ("nats_per_class", vec![count, classes], &under)])
    }

    /// The number of values that are drawn of an image: the mean over the first test images, where holes differ.
    fn values(&self, test: &Images, count: usize) -> f64 {
        let (all, c) = (self.drawn().iter().product::<usize>(), test.channels);
        if self.model().task() != Some(Task::Inpaint) {
            return all as f64;
        }
        let size = test.height * test.width * c;
        let missing = test.pixels[..count * size].iter().skip(c - 1).step_by(c).filter(|&&b| b > 0).count();
        (missing * (c - 1)) as f64 / count as f64
    }

    /// Writes `surprise.png`: the scores of each pixel of the first images, or their mean at each time of signals.
    fn surprise(&self, map: &[f32]) -> Result<()> {
        let (model, [h, w, c]) = (self.model(), self.drawn());
        if let Some(sound) = sound(model) {
            let count = map.len() / w;
            let mean = |t: usize| {
                let nats = map.iter().skip(t).step_by(w).sum::<f32>() / count as f32;
                (t as f64 / f64::from(sound.rate), f64::from(nats) / std::f64::consts::LN_2)
            };
            let curve = Curve::new(format!("mean of {count} signals"), (0..h * w).map(mean).collect());
            let path = self.trained.run.path("surprise.png");
            plot(&path, "Bits of each sample", "seconds", "bits per sample", &[curve])?;
            say!("{}: how -log p changes with what was heard before", path.display());
            return Ok(());
        }
        // White is the score of a uniform distribution over 256 levels, or 3 nats for a black-and-white
        // pixel, far above its ln 2.
        let white = if model.likelihood().has_levels() { c as f32 * 256f32.ln() } else { 3.0 };
        self.trained.write("surprise.png", &map.iter().map(|v| v / white).collect::<Vec<_>>(), 1, 5)?;
        say!("surprise.png: each pixel's -log p, white from {white:.1} nats");
        Ok(())
    }

    /// Prints the score of each class, the score of images whose class is not known, and how often the most
    /// likely class is the right one.
    fn tell_classes(
        &self,
        scores: &Scores,
        of: impl Fn(usize) -> usize,
        values: f64,
        json: &mut serde_json::Value,
    ) {
        let classes = self.classes();
        let each = |class: usize| {
            let own: Vec<f64> = scores
                .under
                .iter()
                .enumerate()
                .filter(|(i, _)| of(*i) == class)
                .map(|(_, s)| s[class])
                .collect();
            (!own.is_empty()).then(|| Mean::of(&own))
        };
        let per_class: Vec<Option<Mean>> = (0..classes).map(each).collect();
        for (class, nll) in per_class.iter().enumerate() {
            let class = self.trained.saved.class_name(class);
            match nll {
                Some(nll) if M::SOUND.is_some() => {
                    let bits = bits(*nll, values);
                    say!("class {class}: {:.4}{} bits per sample", bits.mean, bits.interval());
                }
                Some(nll) => say!("class {class:>3}: NLL {:.3}{}", nll.mean, nll.interval()),
                None => say!("class {class:>3}: no {}", one::<M>()),
            }
        }
        let best = |s: &[f64]| (0..classes).min_by(|&a, &b| s[a].total_cmp(&s[b])).unwrap_or_default();
        let right = scores.under.iter().enumerate().filter(|(i, s)| best(s) == of(*i)).count();
        let accuracy = right as f64 / scores.under.len() as f64;
        // This is -log of the mean of p(x|c), where all classes are equally likely.
        let marginal = |s: &Vec<f64>| {
            let least = s[best(s)];
            least - (s.iter().map(|v| (least - v).exp()).sum::<f64>() / classes as f64).ln()
        };
        let unknown = Mean::of(&scores.under.iter().map(marginal).collect::<Vec<_>>());
        let one = one::<M>();
        say!("NLL over classes {:.3}{} nats per {one}", unknown.mean, unknown.interval());
        say!("the likeliest class is the right one for {:.2} % of the {one}s", 100.0 * accuracy);
        json["nll_per_class"] = per_class.iter().map(|m| m.map(|m| m.mean)).collect::<Vec<_>>().into();
        json["nll_over_classes"] = unknown.mean.into();
        json["accuracy"] = accuracy.into();
    }
}
