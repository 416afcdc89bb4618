//! Measures of a generator that has no likelihood: its pictures against real images, through the features of a named extractor.
//!
//! FID and KID compare distributions of features, coverage asks which classes appear, diversity how far pictures are from each
//! other. Real test images, measured alike, are the floor that a perfect generator would have. A figure holds for its extractor
//! alone ([`Identity`]) and is never one of Inception's.

#[cfg(test)]
mod tests;

use super::{
    distance::{Gaussian, Kid, SUBSETS},
    features::{Extractor, Features, Identity},
    watch::{spread, spread_of},
};
use crate::{
    data::{DataSet, Images, permutation},
    error::{Error, Result},
};
use serde_json::{Value, json};

/// Most real images of a side: more would change the last digit only.
pub const IMAGES: usize = 10_000;
/// Of the choice of images and of subsets, whatever the run's seed: figures of one extractor compare.
const SEED: u64 = 0;
/// Said with every figure.
const CAVEAT: &str =
    "figures of this extractor alone; not to be compared with published (Inception) FID or KID";

/// Which classes pictures fall into, by the extractor's own classifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Pictures of each class.
    pub histogram: Vec<usize>,
}

impl Coverage {
    /// Counts the classes of pictures, each below `classes`.
    pub fn of(found: &[usize], classes: usize) -> Self {
        let mut histogram = vec![0; classes];
        found.iter().for_each(|&class| histogram[class] += 1);
        Self { histogram }
    }

    fn total(&self) -> usize {
        self.histogram.iter().sum()
    }

    /// Classes with at least a tenth of an even share: a few misjudged pictures cover no class.
    pub fn covered(&self) -> usize {
        self.histogram.iter().filter(|&&n| n > 0 && 10 * n * self.histogram.len() >= self.total()).count()
    }

    /// Kullback-Leibler divergence of the classes' shares from even ones, in nats: 0 if all are alike, ln K if there is one.
    pub fn kl_to_uniform(&self) -> f64 {
        let (total, classes) = (self.total() as f64, self.histogram.len() as f64);
        let shares = self.histogram.iter().filter(|&&n| n > 0).map(|&n| n as f64 / total);
        shares.map(|share| share * (share * classes).ln()).sum()
    }
}

/// Figures of one set of pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// How many pictures.
    pub count: usize,
    /// Fréchet distance to real training images.
    pub fid: f64,
    /// Kernel distance to them.
    pub kid: Kid,
    /// Classes.
    pub coverage: Coverage,
    /// Mean squared pixel distance between pictures, relative to that between real training images: 1 is as diverse.
    pub diversity: f64,
}

/// Real images as an extractor sees them, for pictures to be measured against.
pub struct Reference<'a> {
    /// The extractor.
    pub extractor: Extractor<'a>,
    data: String,
    train: Features,
    gaussian: Gaussian,
    test: Features,
    /// Share of the test images whose class the extractor finds, where they have labels of its classes.
    accuracy: Option<f64>,
    /// Of the training and the test images.
    spread: [f64; 2],
}

impl<'a> Reference<'a> {
    /// Takes features of at most `most` ([`IMAGES`]) training images and as many test images, chosen at random.
    ///
    /// # Errors
    /// Images of another size than the extractor's, or fewer than four.
    pub fn new(extractor: Extractor<'a>, set: &DataSet, most: usize) -> Result<Self> {
        let rows = |images: &Images, which| {
            permutation(SEED, which, images.count)[..most.min(images.count)].to_vec()
        };
        let of_test = rows(&set.test, 1);
        let (train, test) =
            (extractor.images(&set.train, &rows(&set.train, 0))?, extractor.images(&set.test, &of_test)?);
        if test.count() < 4 {
            return Err(Error::new(format!(
                "{} has only {} test images; measures need at least four",
                set.name,
                test.count()
            )));
        }
        let labels = set.test.labels.as_ref().filter(|_| set.test.classes == extractor.classes());
        let right = |labels: &Vec<u8>| {
            of_test
                .iter()
                .zip(&test.classes)
                .filter(|(i, c)| usize::from(labels[**i as usize]) == **c)
                .count()
        };
        let accuracy = labels.map(|labels| right(labels) as f64 / test.count() as f64);
        let (gaussian, spread) = (Gaussian::of(&train)?, [&set.train, &set.test].map(spread_of));
        Ok(Self { extractor, data: set.name.clone(), train, gaussian, test, accuracy, spread })
    }

    /// FID of pictures `[N, H, W, C]` in [0, 1]: cheap enough for a curve during training.
    ///
    /// # Errors
    /// Fewer than two pictures, not whole or not finite ones.
    pub fn fid(&self, pictures: &[f32]) -> Result<f64> {
        Ok(Gaussian::of(&self.extractor.pictures(pictures)?)?.frechet(&self.gaussian))
    }

    /// All measures of pictures `[N, H, W, C]` in [0, 1], and of as many test images.
    ///
    /// # Errors
    /// Fewer than four pictures, not whole or not finite ones.
    pub fn report(&self, pictures: &[f32]) -> Result<Report> {
        let features = self.extractor.pictures(pictures)?;
        let row = self.extractor.image().iter().product();
        let (count, width) = (features.count().min(self.test.count()), self.test.width);
        let test = Features {
            width,
            values: self.test.values[..count * width].to_vec(),
            classes: self.test.classes[..count].to_vec(),
        };
        Ok(Report {
            extractor: self.extractor.identity.clone(),
            data: self.data.clone(),
            real: self.train.count(),
            accuracy: self.accuracy,
            pictures: self.scores(&features, spread(pictures.iter().copied(), row))?,
            floor: self.scores(&test, self.spread[1])?,
        })
    }

    fn scores(&self, features: &Features, spread: f64) -> Result<Scores> {
        Ok(Scores {
            count: features.count(),
            fid: Gaussian::of(features)?.frechet(&self.gaussian),
            kid: Kid::of(features, &self.train, SUBSETS, SEED)?,
            coverage: Coverage::of(&features.classes, self.extractor.classes()),
            diversity: spread / self.spread[0],
        })
    }
}

/// What was measured, and by what.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The extractor.
    pub extractor: Identity,
    /// The data set's name.
    pub data: String,
    /// Real training images measured against.
    pub real: usize,
    /// Share of real test images whose class the extractor finds: what its classes are worth.
    pub accuracy: Option<f64>,
    /// The generator's pictures.
    pub pictures: Scores,
    /// Real test images, as many as there are pictures where the data set has so many.
    pub floor: Scores,
}

impl Report {
    /// For a terminal.
    pub fn table(&self) -> String {
        let [a, b] = [&self.pictures, &self.floor];
        let row =
            |name: &str, of: &dyn Fn(&Scores) -> String| format!("{name:<24} {:>20} {:>20}\n", of(a), of(b));
        let mut text =
            format!("against {} training images of {}\nfeatures: {}\n", self.real, self.data, self.extractor);
        if let Some(accuracy) = self.accuracy {
            text += &format!("its classes are right for {:.2} % of the test images\n", 100.0 * accuracy);
        }
        text += &format!("{:<24} {:>20} {:>20}\n", "", "pictures", "test images (floor)");
        text += &row("count", &|s| s.count.to_string());
        text += &row("FID", &|s| format!("{:.3}", s.fid));
        text += &row("KID", &|s| format!("{:.5} ± {:.5}", s.kid.mean, s.kid.std));
        text += &row("classes covered", &|s| {
            format!("{} of {}", s.coverage.covered(), s.coverage.histogram.len())
        });
        text += &row("KL to even classes, nats", &|s| format!("{:.4}", s.coverage.kl_to_uniform()));
        text += &row("diversity", &|s| format!("{:.3}", s.diversity));
        for class in 0..a.coverage.histogram.len() {
            text += &row(&format!("  class {class}"), &|s| s.coverage.histogram[class].to_string());
        }
        text += "a class is covered by a tenth of its even share; diversity is the mean squared distance of pictures, of real images 1\n";
        text + &format!(
            "KID: {} subsets of {}, features scaled to a mean square of 1; {CAVEAT}\n",
            a.kid.subsets, a.kid.size
        )
    }

    /// For other programs.
    pub fn json(&self) -> Value {
        let scores = |s: &Scores| {
            json!({
                "count": s.count, "fid": s.fid, "diversity": s.diversity,
                "kid": { "mean": s.kid.mean, "std": s.kid.std, "subsets": s.kid.subsets, "size": s.kid.size },
                "classes_covered": s.coverage.covered(), "kl_to_uniform_nats": s.coverage.kl_to_uniform(), "histogram": s.coverage.histogram,
            })
        };
        let Identity { name, data, sha256 } = &self.extractor;
        json!({
            "extractor": { "name": name, "trained_on": data, "weights_sha256": sha256, "test_accuracy": self.accuracy }, "data": self.data, "real_images": self.real,
            "pictures": scores(&self.pictures), "floor": scores(&self.floor), "note": CAVEAT,
        })
    }
}
