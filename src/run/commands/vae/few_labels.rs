//! Classes from few labels: M2, alone or on M1, is trained on all images and on the labels of a few; a
//! classifier reads M1's codes; and what few labels gave is measured beside what they give alone.

use super::{
    super::{chosen, one_hot},
    options::Variational,
};
use crate::{
    data::{Images, permutation},
    error::{Error, Result},
    gpu::{Executor, Gpu, State},
    graph::{Graph, Tensor, shape::Type},
    kernel::caps::Caps,
    measure::{
        bound::{GREY, is_binary},
        probe::{Labelled, Probe},
    },
    models::autoencoder::correct,
    nn::Mode,
    optim::{Optimizer, advance},
    plan::Plan,
    run::{EpochEnd, Raw, Session, Trained, Trainer, grid, listener, of_test, save, say::counted},
    train::{Evaluation, Feed, Round, batch, bursts, labelled, labels, normals},
    weights::Weights,
};
use serde_json::Value;
use std::path::Path;

/// The number of test images at a time; each is decoded for all classes.
const AT_ONCE: usize = 100;
/// The number of styles in the picture of training, a row each, with all classes.
const STYLES: usize = 10;
/// How a classifier is trained on the labels alone: the images of a batch, at most, and the steps.
const ALONE: [usize; 2] = [100, 1000];

/// Trains M2, and shows its classes in a few styles.
pub(super) fn train<T: Variational>(mut session: Session, options: &T) -> Result<()> {
    let labels = options.few_labels().labels().unwrap_or_default();
    let few = chosen(&*session.whole()?, labels, session.recipe.seed)?;
    session.beside(&few)?;
    let (image, classes, caps) = (session.image(), few.classes, session.gpu.caps());
    if let (true, Some((file, path))) = (options.few_labels().stacked(), session.weights()) {
        whole_m1(options, image, file, path)?;
    }
    let (size, binarise) = (session.recipe.batch as usize, options.learning().binarise);
    let stream = |name| binarise.then_some(name);
    let g = Graph::new();
    let model = options.semi_supervised(&g, image, classes, session.count());
    let x = batch(&g, &session.set.train, size, stream("binarise"));
    let (known, class) = labelled(&g, &few, size.min(few.count), stream("binarise/labelled"));
    let metrics = model.training_step(x, known, class, &options.learning().optimizer());
    let round = Round::new(&g, &metrics, caps)?;
    let test = score(options, image, &session.set.test, caps)?;
    let draw = pictures(options, image, classes, STYLES * classes, caps)?;
    let others: Vec<&Plan> = test.plans().chain([&draw]).collect();
    if session.print_plan(&round, &others) {
        return Ok(());
    }
    let state = session.state(&round, &others)?;
    let test = test.ready(&session.gpu, &state, &session.set.test)?;
    let draw = Executor::new(&session.gpu, &draw, &state, &[])?;
    let z = normals(session.recipe.seed, STYLES * model.m2().latent());
    let (z, class) = every_class(&z, STYLES, classes);
    let unit = "nats per image";
    let trainer = Trainer { session: &session, state: &state, round: &round, unit, curves: 1, scored: true };
    trainer.run(&mut |at: &EpochEnd<'_>| {
        let [h, w, c] = image;
        if let Some(run) = at.run {
            let pictures = drawn(&session.gpu, &draw, &z, &class)?;
            save(&run.samples(at.step), &grid(&pictures, STYLES * classes, h, w, c, classes))?;
        }
        Ok(of_test(test.run()?.into_iter().map(|(name, mean)| (name, percent(name, mean))).collect()))
    })?;
    Ok(())
}

/// Checks that a file holds all of M1, which stays as it is. M2 begins at random, so that the file may lack it.
fn whole_m1<T: Variational>(options: &T, image: [usize; 3], file: &Weights, path: &Path) -> Result<()> {
    let g = Graph::new();
    options.vae(&g, image, Mode::Evaluation);
    let lacking: Vec<String> = g.weights().into_iter().filter(|name| !file.contains_key(name)).collect();
    let Some(first) = lacking.first() else { return Ok(()) };
    let what = format!("it lacks {} of M1, {first} first", counted(lacking.len(), "tensor"));
    Err(Error::at("use", path, what, "give the file of a trained M1, with the options it was trained with"))
}

/// Accuracies are told in percent.
fn percent(name: &str, mean: f64) -> f64 {
    if name == "accuracy" { 100.0 * mean } else { mean }
}

/// The negative bound and the accuracy on these images.
fn score<T: Variational>(options: &T, image: [usize; 3], test: &Images, caps: &Caps) -> Result<Evaluation> {
    Evaluation::in_batches(AT_ONCE, caps, test, |g, x| {
        let model = options.semi_supervised(g, image, test.classes, 1);
        let right = correct(model.logits(x), labels(g, test, x.extent(0)));
        vec![("loss", model.bound(x).sum_all()), ("accuracy", right)]
    })
}

/// Each of `rows` styles for every class, and the classes, one-hot.
fn every_class(z: &[f32], rows: usize, classes: usize) -> (Vec<f32>, Vec<f32>) {
    let styles = z.chunks(z.len() / rows.max(1)).flat_map(|style| style.repeat(classes)).collect();
    (styles, one_hot((0..rows * classes).map(|i| i % classes), classes))
}

/// Plans `count` pictures from styles `z` and classes `class`.
fn pictures<T: Variational>(
    options: &T,
    image: [usize; 3],
    classes: usize,
    count: usize,
    caps: &Caps,
) -> Result<Plan> {
    let g = Graph::new();
    let model = options.semi_supervised(&g, image, classes, 1);
    let z = g.input("z", Type::f32([count, model.m2().latent()]));
    g.output("pictures", model.pictures(z, g.input("class", Type::f32([count, classes]))));
    Plan::new(&g, caps)
}

fn drawn(gpu: &Gpu, executor: &Executor, z: &[f32], class: &[f32]) -> Result<Vec<f32>> {
    executor.write(gpu, "z", z)?;
    executor.write(gpu, "class", class)?;
    executor.step(gpu)?;
    executor.read(gpu, "pictures")
}

/// A trained run that learnt classes from few labels, and its data.
pub(super) struct Learnt<'a, T: Variational> {
    trained: &'a Trained<T>,
}

impl<'a, T: Variational> Learnt<'a, T> {
    pub(super) fn new(trained: &'a Trained<T>) -> Self {
        Self { trained }
    }

    /// Pictures of styles and their classes.
    fn decode(&self, z: &[f32], class: &[f32]) -> Result<Vec<f32>> {
        let (trained, gpu) = (self.trained, &self.trained.gpu);
        let classes = trained.saved.classes;
        let count = class.len() / classes;
        let plan = pictures(trained.options(), trained.saved.image, classes, count, gpu.caps())?;
        let state = trained.state(&[&plan])?;
        drawn(gpu, &Executor::new(gpu, &plan, &state, &[])?, z, class)
    }

    /// What the model finds in images `[N, pixels]`, row by row.
    fn found(
        &self,
        x: &[f32],
        record: impl for<'g> FnOnce(&T, Tensor<'g>) -> Tensor<'g>,
    ) -> Result<Vec<f32>> {
        let (trained, gpu, g) = (self.trained, &self.trained.gpu, Graph::new());
        let (pixels, mut all) = (trained.pixels(), vec![]);
        let size = AT_ONCE.min(x.len() / pixels);
        g.output("found", record(trained.options(), g.input("x", Type::f32([size, pixels]))));
        let plan = Plan::new(&g, gpu.caps())?;
        let state = trained.state(&[&plan])?;
        let executor = Executor::new(gpu, &plan, &state, &[])?;
        for some in x.chunks(size * pixels) {
            // The last batch is filled up with black images.
            let filled: Vec<f32> =
                some.iter().copied().chain(std::iter::repeat(0.0)).take(size * pixels).collect();
            executor.write(gpu, "x", &filled)?;
            executor.step(gpu)?;
            let found = executor.read(gpu, "found")?;
            all.extend_from_slice(&found[..found.len() / size * (some.len() / pixels)]);
        }
        Ok(all)
    }

    /// Draws `count` styles and shows each in one class, all classes in turn.
    pub(super) fn sample(&self, count: usize, raw: &Raw) -> Result<()> {
        let (trained, classes) = (self.trained, self.trained.saved.classes);
        let g = Graph::new();
        let latent = trained.options().semi_supervised(&g, trained.saved.image, classes, 1).m2().latent();
        let class = one_hot((0..count).map(|i| i % classes), classes);
        let pictures = self.decode(&normals(trained.seed, count * latent), &class)?;
        trained.write("samples.png", &pictures, trained.saved.image[2], classes)?;
        raw.write(&[trained.numbers(&pictures)])
    }

    /// Shows test images, each before its style in every class (the paper's figure 1b).
    pub(super) fn analogies(&self, x: &[f32], raw: &Raw) -> Result<()> {
        let (trained, classes, pixels) = (self.trained, self.trained.saved.classes, self.trained.pixels());
        let image = trained.saved.image;
        let z =
            self.found(x, |options, x| options.semi_supervised(x.graph(), image, classes, 1).styles(x))?;
        let rows = x.len() / pixels;
        let (z, class) = every_class(&z, rows, classes);
        let drawn = self.decode(&z, &class)?;
        let row = |(x, drawn): (&[f32], &[f32])| [x, drawn].concat();
        let all: Vec<f32> = x.chunks(pixels).zip(drawn.chunks(classes * pixels)).flat_map(row).collect();
        trained.write("analogies.png", &all, image[2], classes + 1)?;
        raw.write(&[trained.numbers(&all)])
    }

    /// Prints for how many test images the class is found, with --alone also after training on the labels
    /// alone, and of M2 the bound. Adds all of it to the JSON.
    pub(super) fn evaluate(&self, test: &Images, alone: bool, json: &mut Value) -> Result<()> {
        let (trained, options) = (self.trained, self.trained.options());
        let (n, m2) = (options.few_labels().labels().unwrap_or_default(), options.few_labels().by_m2());
        let seed = options.clone().recipe().seed;
        let few = (alone || !m2).then(|| chosen(&trained.saved.load()?, n, seed));
        let few = few.transpose()?;
        json["labels"] = n.into();
        let accuracy = if m2 {
            let scores = self.scores(test)?;
            json["elbo"] = (-scores[0].1).into();
            let binary = is_binary(&test.pixels);
            json["likelihood"] = binary.into();
            if !binary {
                say!("{GREY}");
            }
            say!("ELBO {:.3} nats per image, of {}", -scores[0].1, counted(test.count, "test image"));
            scores[1].1
        } else {
            self.probed(few.as_ref().unwrap_or(test), test, true)?
        };
        json["accuracy"] = accuracy.into();
        say!("accuracy {:.2} % with {n} labels", 100.0 * accuracy);
        if let Some(few) = few.filter(|_| alone) {
            let accuracy = if m2 { self.alone(&few, test)? } else { self.probed(&few, test, false)? };
            json["alone"] = accuracy.into();
            say!("accuracy {:.2} % of the same classifier on these labels alone", 100.0 * accuracy);
        }
        Ok(())
    }

    /// The bound and the accuracy of M2 on test images, by name.
    fn scores(&self, test: &Images) -> Result<Vec<(&'static str, f64)>> {
        let (trained, gpu) = (self.trained, &self.trained.gpu);
        let test_plans = score(trained.options(), trained.saved.image, test, gpu.caps())?;
        let state = trained.state(&test_plans.plans().collect::<Vec<_>>())?;
        test_plans.ready(gpu, &state, test)?.run()
    }

    /// The test accuracy of a linear classifier on M1's codes of the labelled images, or on their pixels.
    fn probed(&self, few: &Images, test: &Images, codes: bool) -> Result<f64> {
        let image = self.trained.saved.image;
        let features = |images: &Images| -> Result<Vec<f32>> {
            let values: Vec<f32> = images.pixels.iter().map(|&b| f32::from(b) / 255.0).collect();
            let codes_of = |x: &[f32]| {
                self.found(x, |options, x| options.vae(x.graph(), image, Mode::Evaluation).encode(x).0)
            };
            match codes {
                true => codes_of(&values),
                false => Ok(values),
            }
        };
        let none = || Error::new("an accuracy needs labels; take a data set that has some");
        let known = |images: &Images| images.labels.clone().ok_or_else(none);
        let (own, others) = (known(few)?, known(test)?);
        Probe { l2: 1e-3, scaled: false, ..Probe::default() }.accuracy(
            &self.trained.gpu,
            Labelled { features: &features(few)?, labels: &own },
            Labelled { features: &features(test)?, labels: &others },
            &mut listener(),
        )
    }

    /// The test accuracy of M2's classifier after training on the labelled images alone.
    fn alone(&self, few: &Images, test: &Images) -> Result<f64> {
        let (trained, gpu, [most, steps]) = (self.trained, &self.trained.gpu, ALONE);
        let (image, options, size) = (trained.saved.image, trained.options(), few.count.min(most));
        let g = Graph::new();
        let model = options.semi_supervised(&g, image, few.classes, 1);
        let binarise = options.learning().binarise.then_some("binarise");
        let logits = model.logits(batch(&g, few, size, binarise));
        let loss = logits.cross_entropy(labels(&g, few, size)).mean_all();
        Optimizer::adam(1e-3).step("alone", loss, &model.m2().classifier_params());
        advance(&g);
        let step = Plan::new(&g, gpu.caps())?;
        let accuracy = Evaluation::new(gpu.caps(), test, |g, x| {
            let model = options.semi_supervised(g, image, few.classes, 1);
            vec![("accuracy", correct(model.logits(x), labels(g, test, x.extent(0))))]
        })?;
        let plans: Vec<&Plan> = accuracy.plans().chain([&step]).collect();
        let state = State::new(gpu, &plans, trained.seed)?;
        let mut below = step.weights();
        below.retain(|name| !["qy.", "qz.", "px."].iter().any(|part| name.starts_with(part)));
        trained.load(&state, &below)?;
        let feed = Feed::new(gpu, few)?;
        let executor = Executor::new(gpu, &step, &state, &feed.bindings(&step))?;
        let per_epoch = few.count / size;
        for (epoch, first) in (0..steps).step_by(per_epoch).enumerate() {
            feed.reorder(gpu, &permutation(trained.seed, epoch as u64, few.count))?;
            let count = per_epoch.min(steps - first);
            bursts(gpu, &executor, count, count, |_| Ok(()))?;
        }
        Ok(accuracy.ready(gpu, &state, test)?.run()?[0].1)
    }
}
