//! Features of pictures, by which generators are measured. They come from a classifier that the engine trains
//! once, offline, on the data set at hand, or from the user's own network in a weights file.
//!
//! A figure that is computed from features has a meaning for one extractor only. Every extractor therefore
//! has an [`Identity`]: its name with the version, the data that it was trained on, and the SHA-256 of its
//! weights.

use super::probe::argmax;
use crate::{
    data::{DataSet, Images, permutation},
    disk::{hex, write_atomic},
    error::{Error, Result},
    gpu::{Executor, Gpu, State},
    graph::{Graph, shape::Type},
    models::classifier::{Classifier, Config, NAME},
    optim::{Optimizer, Schedule, advance},
    plan::Plan,
    train::{Feed, Listener, Work, batch, labels, pace::bursts},
    weights,
};
use sha2::{Digest, Sha256};
use std::{fmt, fs, path::Path};

/// The folder of trained extractors, beside the runs.
pub const FOLDER: &str = "runs/features";

/// The number of pictures at a time.
const BATCH: usize = 250;
/// How the classifier is trained, which belongs to the version in [`NAME`]: the images of a batch, the
/// epochs, and Adam's first step size, which falls to 0.
const TRAIN_BATCH: usize = 100;
const EPOCHS: u64 = 3;
const LR: f32 = 2e-3;
/// The seed of the weights and of the epochs' orders. It does not depend on the run, so that one data set has
/// one extractor.
const SEED: u64 = 0;
/// The most bytes of training images: the size of WebGPU's largest binding. Of a larger set, evenly spaced
/// images are taken.
const MOST: usize = 128 << 20;

/// The identity of an extractor, which is part of every figure that it gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name with the version, or the name of the user's file.
    pub name: String,
    /// The name and the fingerprint of the data that it was trained on; `None` for a user's file.
    pub data: Option<String>,
    /// The first 12 hexadecimal digits of the SHA-256 of its weights file.
    pub sha256: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = self.data.as_ref().map(|data| format!(" trained on {data}")).unwrap_or_default();
        write!(f, "{}{data}, weights sha256 {}", self.name, self.sha256)
    }
}

/// The features and classes that an extractor found in N pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// The number of features of a picture, D.
    pub width: usize,
    /// The features, `[N, D]`, row by row.
    pub values: Vec<f64>,
    /// The most likely class of each picture, `[N]`.
    pub classes: Vec<usize>,
}

impl Features {
    /// The number of pictures, N.
    pub fn count(&self) -> usize {
        self.classes.len()
    }
}

/// A network on a device that computes the features and classes of pictures.
pub struct Extractor<'a> {
    gpu: &'a Gpu,
    config: Config,
    executor: Executor,
    /// The identity, for naming it beside every figure.
    pub identity: Identity,
}

impl<'a> Extractor<'a> {
    /// Returns the classifier of this data set. It is read from `folder` (usually [`FOLDER`]) or, if it is
    /// not there, trained and written there; `told` hears of the training. The images must be the whole data
    /// set, not the window of a streamed run.
    ///
    /// # Errors
    /// Fails if the data set has no labels, if the folder cannot be written, if the file in it is damaged, or
    /// with the error that `told` returns.
    pub fn of_data(gpu: &'a Gpu, set: &DataSet, folder: &Path, told: &mut Listener<'_>) -> Result<Self> {
        let print = fingerprint(set);
        let config =
            Config::standard([set.train.height, set.train.width, set.train.channels], set.train.classes);
        let path = folder.join(format!("{NAME}-{print}.safetensors"));
        if !path.exists() {
            let advice = "choose a folder that you may write to";
            fs::create_dir_all(folder).map_err(|e| Error::at("make the folder", folder, e, advice))?;
            write_atomic(&path, &train(gpu, set, &config, told)?)?;
        }
        let identity =
            |sha256| Identity { name: NAME.into(), data: Some(format!("{} ({print})", set.name)), sha256 };
        let this = Self::load(gpu, &path, config.image, identity, "delete it, and it is trained again")?;
        if this.config != config {
            return Err(Error::at(
                "use",
                &path,
                "it holds another network",
                "delete it, and it is trained again",
            ));
        }
        Ok(this)
    }

    /// Returns the user's own network for images `[H, W, C]` with values in [0, 1]. [`Config::of_weights`]
    /// says which networks can be read.
    ///
    /// # Errors
    /// Fails if the file cannot be read, or if its tensors are no such network for images of this size.
    pub fn from_file(gpu: &'a Gpu, path: &Path, image: [usize; 3]) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let advice = "give a chain of 3x3 convolutions of stride 2 and linear layers for these images";
        Self::load(gpu, path, image, |sha256| Identity { name, data: None, sha256 }, advice)
    }

    fn load(
        gpu: &'a Gpu,
        path: &Path,
        image: [usize; 3],
        identity: impl FnOnce(String) -> Identity,
        advice: &str,
    ) -> Result<Self> {
        let bytes = fs::read(path).map_err(|e| Error::at("read", path, e, advice))?;
        let refused = |e: crate::error::Error| Error::new(format!("{e}; {advice}"));
        let weights = weights::load(path).map_err(refused)?;
        let config =
            Config::of_weights(image, &weights).map_err(|what| Error::at("use", path, what, advice))?;
        let g = Graph::new();
        let network = Classifier::new(&g, &config);
        let features =
            network.features(g.input("pictures", Type::f32([BATCH, image[0], image[1], image[2]])));
        g.output("features", features);
        g.output("logits", network.logits(features));
        let plan = Plan::new(&g, gpu.caps())?;
        let state = State::new(gpu, &[&plan], SEED)?;
        weights::apply(gpu, &state, &plan.weights(), &weights, path).map_err(refused)?;
        let executor = Executor::new(gpu, &plan, &state, &[])?;
        Ok(Self { gpu, config, executor, identity: identity(short(Sha256::new_with_prefix(bytes))) })
    }

    /// The height, width and number of channels of the pictures.
    pub fn image(&self) -> [usize; 3] {
        self.config.image
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.config.classes()
    }

    /// Computes the features of pictures `[N, H, W, C]` with values in [0, 1].
    ///
    /// # Errors
    /// Fails if there are no pictures, if the last one is not whole, or if a value is not finite.
    pub fn pictures(&self, pictures: &[f32]) -> Result<Features> {
        let row = self.row();
        if pictures.is_empty() || !pictures.len().is_multiple_of(row) {
            return Err(Error::new(format!(
                "features: wants pictures of {:?}, got {} values",
                self.image(),
                pictures.len()
            )));
        }
        let mut out = self.none();
        pictures.chunks(BATCH * row).try_for_each(|some| self.batch(some.to_vec(), &mut out))?;
        Ok(out)
    }

    /// Computes the features of some images of a data set, given by their places in it.
    ///
    /// # Errors
    /// Fails if the images have another size than the network takes.
    pub fn images(&self, images: &Images, rows: &[u32]) -> Result<Features> {
        let (row, size) = (self.row(), [images.height, images.width, images.channels]);
        if size != self.image() {
            return Err(Error::new(format!(
                "{} takes images of {:?}, not {size:?}; use another extractor",
                self.identity,
                self.image()
            )));
        }
        let mut out = self.none();
        for rows in rows.chunks(BATCH) {
            let bytes = rows.iter().flat_map(|&i| &images.pixels[i as usize * row..][..row]);
            self.batch(bytes.map(|&b| f32::from(b) / 255.0).collect(), &mut out)?;
        }
        Ok(out)
    }

    /// The share of the images, from 0 to 1, whose label the network finds.
    ///
    /// # Errors
    /// Fails if the images have no labels, or another size than the network takes.
    pub fn accuracy(&self, images: &Images) -> Result<f64> {
        let labels = images
            .labels
            .as_ref()
            .ok_or_else(|| Error::new("an accuracy needs labels; take a data set that has some"))?;
        let found = self.images(images, &(0..images.count as u32).collect::<Vec<_>>())?.classes;
        Ok(found.iter().zip(labels).filter(|(found, label)| **found == usize::from(**label)).count() as f64
            / images.count as f64)
    }

    fn row(&self) -> usize {
        self.config.image.iter().product()
    }

    fn none(&self) -> Features {
        Features { width: self.config.features(), values: vec![], classes: vec![] }
    }

    /// Adds the features of up to [`BATCH`] pictures to `out`.
    fn batch(&self, mut pictures: Vec<f32>, out: &mut Features) -> Result<()> {
        // A NaN must be found in the pictures, since ReLU hides it in the features.
        if let Some(bad) = pictures.iter().position(|v| !v.is_finite()) {
            let (place, value) = (out.count() + bad / self.row(), pictures[bad]);
            return Err(Error::new(format!(
                "features: picture {place} holds {value}; the generator's weights are spoilt"
            )));
        }
        let count = pictures.len() / self.row();
        pictures.resize(BATCH * self.row(), 0.0);
        self.executor.write(self.gpu, "pictures", &pictures)?;
        self.executor.step(self.gpu)?;
        let (features, logits) =
            (self.executor.read(self.gpu, "features")?, self.executor.read(self.gpu, "logits")?);
        out.values.extend(features[..count * out.width].iter().map(|&v| f64::from(v)));
        out.classes.extend(logits.chunks(self.classes()).take(count).map(argmax));
        Ok(())
    }
}

/// The first 12 hexadecimal digits of a digest.
fn short(hasher: Sha256) -> String {
    hex(hasher.finalize())[..12].into()
}

/// The fingerprint of a data set's images and labels: the first digits of their SHA-256.
fn fingerprint(set: &DataSet) -> String {
    let mut hasher = Sha256::new();
    for images in [&set.train, &set.test] {
        hasher.update(&images.pixels);
        hasher.update(images.labels.as_deref().unwrap_or_default());
    }
    short(hasher)
}

/// Takes `count` of the images at even distances, since image folders are in the order of their classes.
fn spaced(images: &Images, labels: &[u8], count: usize) -> Images {
    let (row, at) = (images.height * images.width * images.channels, |i: usize| i * images.count / count);
    let pixels = (0..count).flat_map(|i| &images.pixels[at(i) * row..][..row]).copied().collect();
    Images { count, pixels, labels: Some((0..count).map(|i| labels[at(i)]).collect()), ..*images }
}

/// Trains the classifier on the training images, and returns its weights as a safetensors file.
fn train(gpu: &Gpu, set: &DataSet, config: &Config, told: &mut Listener<'_>) -> Result<Vec<u8>> {
    let why = set.classless().or((set.train.count == 0).then_some("there are no training images"));
    let (None, Some(known)) = (why, &set.train.labels) else {
        let why = why.unwrap_or("the images have no labels");
        let what = format!("{}: {why}, so {NAME} has nothing to learn", set.name);
        return Err(Error::new(format!("{what}; give a weights file of features")));
    };
    let row = config.image.iter().product::<usize>();
    let images = spaced(&set.train, known, set.train.count.min(MOST / row).max(1));
    let (size, [h, w, c]) = (images.count.min(TRAIN_BATCH), config.image);
    let per_epoch = (images.count / size) as u64;
    let g = Graph::new();
    let network = Classifier::new(&g, config);
    let x = batch(&g, &images, size, None).reshape([size, h, w, c]);
    let loss = network.logits(network.features(x)).cross_entropy(labels(&g, &images, size)).mean_all();
    let schedule = Schedule::Linear { steps: (EPOCHS * per_epoch) as u32, floor: 0.0 };
    Optimizer::adam(LR).schedule(schedule).step(NAME, loss, &network.params());
    g.output("loss", loss);
    advance(&g);
    let plan = Plan::new(&g, gpu.caps())?;
    let state = State::new(gpu, &[&plan], SEED)?;
    let feed = Feed::new(gpu, &images)?;
    let executor = Executor::new(gpu, &plan, &state, &feed.bindings(&plan))?;
    let what = format!("images to train {NAME} on {} once, {EPOCHS} epochs", set.name);
    let total = EPOCHS * per_epoch * size as u64;
    for epoch in 0..EPOCHS {
        feed.reorder(gpu, &permutation(SEED, epoch, images.count))?;
        bursts(gpu, &executor, per_epoch as usize, per_epoch as usize, |done| {
            let loss = executor.read(gpu, "loss")?[0];
            if !loss.is_finite() {
                let what = format!("{NAME} was not trained to its end: its loss became {loss}");
                return Err(Error::new(format!("{what}; nothing of it was kept")));
            }
            told(Work { what: &what, done: (epoch * per_epoch + done as u64) * size as u64, total })
        })?;
    }
    weights::to_bytes(gpu, &state, &plan.weights())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(count: usize) -> Images {
        let pixels = (0..count * 6).map(|i| i as u8).collect();
        Images {
            count,
            height: 1,
            width: 2,
            channels: 3,
            classes: 4,
            pixels,
            labels: Some((0..count).map(|i| (i % 4) as u8).collect()),
        }
    }

    #[test]
    fn a_fingerprint_is_of_all_pixels_and_labels() {
        let set = DataSet::new("a", images(9), images(5));
        let print = fingerprint(&set);
        assert!(print.len() == 12 && print == fingerprint(&DataSet { name: "b".into(), ..set.clone() }));
        let changes: [fn(&mut DataSet); 3] = [
            |set| set.train.pixels[7] ^= 1,
            |set| set.test.pixels[0] ^= 1,
            |set| set.test.labels.as_mut().unwrap()[4] ^= 1,
        ];
        for change in changes {
            let mut other = set.clone();
            change(&mut other);
            assert_ne!(fingerprint(&other), print);
        }
    }

    #[test]
    fn spaced_images_are_of_the_whole_set() {
        let all = images(9);
        let labels = all.labels.clone().unwrap();
        let same = spaced(&all, &labels, 9);
        assert_eq!((&same.pixels, &same.labels), (&all.pixels, &all.labels));
        let few = spaced(&all, &labels, 4);
        assert_eq!((few.count, few.labels.unwrap()), (4, vec![0, 2, 0, 2]));
        assert_eq!(few.pixels[6..12], all.pixels[12..18]);
    }
}
