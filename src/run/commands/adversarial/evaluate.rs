//! The command `evaluate`: how good a generator's pictures are, and how much the discriminator's features
//! tell of the classes.

use super::{
    super::{compare::Compared, task::Cases},
    contest::Adversarial,
    draw::{NoiseDraw, TrainedPlayers},
    pictures::tested,
};
use crate::{
    data::{Images, Task, permutation},
    disk::write_atomic,
    error::{Error, Result},
    gpu::Executor,
    graph::{Graph, shape::Type},
    measure::{
        features::{Extractor, FOLDER, Features},
        probe::{Labelled, Probe},
        report::{self, Reference},
    },
    plan::Plan,
    run::{listener, whole},
    train::Work,
};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};

/// The names of the input and the output of the plan that computes features.
const IMAGES: &str = "images";
const HIDDEN: &str = "hidden";
/// The number of images at a time.
const BATCH: usize = 50;

/// The options of `evaluate`.
#[derive(Args)]
pub struct Evaluate<M: Adversarial> {
    #[command(flatten)]
    pub(super) draw: NoiseDraw<M>,
    /// Your own network for the features (safetensors; 3x3 convolutions of stride 2, then linear layers)
    /// [default: a classifier trained on the run's data, once]
    #[arg(long, value_name = "FILE")]
    extractor: Option<PathBuf>,
    /// Show FID and KID although they mean little: where the features are of a network that does not find the
    /// classes, or where there are fewer pictures than features
    #[arg(long)]
    fid: bool,
    /// Also train a linear classifier (logistic regression on standardised features) on the discriminator's
    /// features of this many training images [default without a number: 10000]; Radford et al. 2015, §5.1,
    /// use an SVM on all images
    #[arg(long, value_name = "IMAGES", num_args = 0..=1, default_missing_value = "10000", value_parser = whole::<u32>(10..))]
    probe: Option<u32>,
    /// Test images on which a task is done and measured: `upscale` draws each 8 times beside bicubic enlargement,
    /// `colourise` once, for the engine's own classifier [default: 16, or 128 to colourise]
    #[arg(long, value_name = "IMAGES", value_parser = whole::<u32>(1..))]
    compare: Option<u32>,
    /// Also write the result as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl<M: Adversarial> TrainedPlayers<'_, M> {
    /// Measures what a task's draws are worth.
    fn evaluate_task(&self, task: Task, options: &Evaluate<M>) -> Result<()> {
        if task == Task::Inpaint {
            return Err(Error::new(
                "evaluate: filled holes are measured by their likelihood, which a GAN does not have; look at `sample`",
            ));
        }
        let free = [
            (options.fid, "--fid"),
            (options.probe.is_some(), "--probe"),
            (options.extractor.is_some(), "--extractor"),
            (self.options.count.is_some(), "--count"),
            (self.options.class.is_some(), "--class"),
            (self.options.raw.asked(), "--raw"),
        ];
        if let Some((_, name)) = free.into_iter().find(|(given, _)| *given) {
            return Err(Error::new(format!(
                "{name} has no effect: the model's --task is {task}, and its measures take --compare and --json"
            )));
        }
        let (test, trained, mut json) = (self.held_out(task)?, &self.trained, json!({}));
        json["task"] = task.to_string().into();
        let load = || trained.saved.load();
        let draw = |cases: &Cases, classes: &[usize]| self.draw_cases(cases, classes);
        let compared = Compared { gpu: &trained.gpu, test: &test, load: &load, draw: &draw };
        compared.compare(task, options.compare, &mut json)?;
        options.json.as_ref().map_or(Ok(()), |path| write_atomic(path, format!("{json:#}\n").as_bytes()))
    }

    pub(super) fn evaluate(&self, options: &Evaluate<M>) -> Result<()> {
        if let Some(task) = self.trained.options().task() {
            return self.evaluate_task(task, options);
        }
        if options.compare.is_some() {
            return Err(Error::new(
                "--compare has no effect: the model draws freely; it is for runs with --task",
            ));
        }
        let (set, pictures) = (self.trained.saved.load()?, self.samples(self.count(5000))?);
        if set.train.count == 0 {
            return Err(Error::new(format!(
                "{}: the training images are more than can be read at once; take a smaller set",
                set.name
            )));
        }
        let extractor = match &options.extractor {
            Some(path) => Extractor::from_file(&self.trained.gpu, path, self.trained.saved.image)?,
            None => Extractor::of_data(&self.trained.gpu, &set, Path::new(FOLDER), &mut listener())?,
        };
        let reference = Reference::new(extractor, &set, report::IMAGES)?;
        let report = reference.report(&pictures)?;
        if self.options.raw.asked() {
            self.numbers(&pictures, reference.extractor.pictures(&pictures)?)?;
        }
        say!("{}", report.table(options.fid).trim_end());
        if !options.fid && report.doubt(&report.pictures).is_some() {
            note!("note: --fid asks for the FID by name");
        }
        let mut json = report.json(options.fid);
        if let Some(labels) = self.trained.options().labels() {
            let plans = tested(&self.game, self.trained.gpu.caps(), &set.test)?;
            let state = self.trained.state(&plans.plans().collect::<Vec<_>>())?;
            let accuracy = plans.ready(&self.trained.gpu, &state, &set.test)?.run()?[0].1;
            say!("accuracy {:.2} % of the test images with {labels} labels", 100.0 * accuracy);
            (json["labels"], json["accuracy"]) = (labels.into(), accuracy.into());
        }
        let write = |json: &serde_json::Value| match &options.json {
            Some(path) => write_atomic(path, format!("{json:#}\n").as_bytes()),
            None => Ok(()),
        };
        write(&json)?;
        if let (Some(_), Some(why)) = (options.probe, set.classless()) {
            return Err(Error::new(format!("--probe: {why}; leave it out")));
        }
        if let Some(most) = options.probe {
            let accuracy = self.probe(&set.train, &set.test, most as usize)?;
            say!(
                "linear classifier on the discriminator's features: {:.2} % of the test images",
                100.0 * accuracy
            );
            json["discriminator_probe_accuracy"] = json!(accuracy);
            write(&json)?;
        }
        Ok(())
    }

    /// Writes pictures as numbers, with what the extractor finds in each.
    fn numbers(&self, pictures: &[f32], found: Features) -> Result<()> {
        let (count, width) = (found.count(), found.width);
        let values: Vec<f32> = found.values.into_iter().map(|v| v as f32).collect();
        let classes: Vec<f32> = found.classes.into_iter().map(|class| class as f32).collect();
        self.options.raw.write(&[
            self.trained.numbers(pictures),
            ("features", vec![count, width], &values),
            ("classes", vec![count], &classes),
        ])
    }

    /// The test accuracy of a linear classifier on the discriminator's features, trained on at most `most`
    /// images.
    fn probe(&self, train: &Images, test: &Images, most: usize) -> Result<f64> {
        let (Some(train_labels), Some(test_labels)) = (&train.labels, &test.labels) else {
            return Err(Error::new("--probe: the images have no labels; leave it out"));
        };
        let rows =
            |images: &Images, most: usize| permutation(0, 0, images.count)[..most.min(images.count)].to_vec();
        let (of_train, of_test) = (rows(train, most), rows(test, test.count));
        let mut listener = listener();
        let total = (of_train.len() + of_test.len()) as u64;
        let mut told = |done| listener(Work { what: "images", done, total });
        let [a, b] = [
            self.hidden(train, &of_train, &mut told)?,
            self.hidden(test, &of_test, &mut |done| told(of_train.len() as u64 + done))?,
        ];
        let labels = |all: &[u8], rows: &[u32]| rows.iter().map(|&r| all[r as usize]).collect::<Vec<_>>();
        let (own, others) = (labels(train_labels, &of_train), labels(test_labels, &of_test));
        Probe::default().accuracy(
            &self.trained.gpu,
            Labelled { features: &a, labels: &own },
            Labelled { features: &b, labels: &others },
            &mut listener,
        )
    }

    /// Computes the discriminator's features of the images in these rows of the data set, row by row.
    fn hidden(
        &self,
        images: &Images,
        rows: &[u32],
        told: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Vec<f32>> {
        let (g, [h, w, c]) = (Graph::new(), self.trained.saved.image);
        g.output(HIDDEN, self.game.hidden(g.input(IMAGES, Type::f32([BATCH, h, w, c]))));
        let plan = Plan::new(&g, self.trained.gpu.caps())?;
        let state = self.trained.state(&[&plan])?;
        let executor = Executor::new(&self.trained.gpu, &plan, &state, &[])?;
        let (row, mut all) = (images.height * images.width * images.channels, vec![]);
        for (i, some) in rows.chunks(BATCH).enumerate() {
            // The last batch is filled up by repeating the first image.
            let filled = some.iter().copied().chain(std::iter::repeat(rows[0])).take(BATCH);
            let bytes = filled.flat_map(|r| &images.pixels[r as usize * row..][..row]);
            executor.write(
                &self.trained.gpu,
                IMAGES,
                &bytes.map(|&b| f32::from(b) / 255.0).collect::<Vec<_>>(),
            )?;
            executor.step(&self.trained.gpu)?;
            let found = executor.read(&self.trained.gpu, HIDDEN)?;
            all.extend_from_slice(&found[..found.len() / BATCH * some.len()]);
            told((i * BATCH + some.len()) as u64)?;
        }
        Ok(all)
    }
}
