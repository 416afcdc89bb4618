//! Measures of a generator that has no likelihood. They compare its pictures with real images through the
//! features of a named extractor.
//!
//! FID and KID compare distributions of features; coverage counts the classes that appear; diversity says how
//! far pictures are from each other. Real test images are measured in the same way: their figures are the
//! floor that a perfect generator would reach. A figure holds for its extractor alone ([`Identity`]), so it
//! is never comparable with published figures, which use Inception's features.

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

/// The largest number of real images from each part of the data set: more would change only the last digit.
pub const IMAGES: usize = 10_000;
/// The seed of the choice of images and of subsets. It does not depend on the run, so that figures of one
/// extractor can be compared.
const SEED: u64 = 0;
/// The share of the way from guessing to certainty that an extractor's accuracy must have gone: with ten
/// classes, 55 % of the test images.
pub const LEARNT: f64 = 0.5;
/// The warning that stands beside every figure.
const CAVEAT: &str =
    "figures of this extractor alone; not to be compared with published (Inception) FID or KID";

/// How many pictures fall into each class, by the extractor's own classifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// The number of pictures in each class.
    pub histogram: Vec<usize>,
}

impl Coverage {
    /// Counts the classes of the pictures. Each must be below `classes`.
    pub fn of(found: &[usize], classes: usize) -> Self {
        let mut histogram = vec![0; classes];
        found.iter().for_each(|&class| histogram[class] += 1);
        Self { histogram }
    }

    fn total(&self) -> usize {
        self.histogram.iter().sum()
    }

    /// The number of classes that appear. A class must have at least a tenth of an even share, so that a few
    /// pictures that are misjudged do not count.
    pub fn covered(&self) -> usize {
        self.histogram.iter().filter(|&&n| n > 0 && 10 * n * self.histogram.len() >= self.total()).count()
    }

    /// The Kullback-Leibler divergence of the classes' shares from even shares, in nats: 0 if all K shares
    /// are equal, ln K if all pictures are of one class.
    pub fn kl_to_uniform(&self) -> f64 {
        let (total, classes) = (self.total() as f64, self.histogram.len() as f64);
        let shares = self.histogram.iter().filter(|&&n| n > 0).map(|&n| n as f64 / total);
        shares.map(|share| share * (share * classes).ln()).sum()
    }
}

/// The figures of one set of pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// The number of pictures.
    pub count: usize,
    /// The Fréchet distance to real training images.
    pub fid: f64,
    /// The kernel distance to real training images.
    pub kid: Kid,
    /// The number of pictures in each class.
    pub coverage: Coverage,
    /// The mean squared pixel distance between pictures, divided by that between real training images. The
    /// value 1 means equal diversity; `None` if all real images are equal.
    pub diversity: Option<f64>,
}

/// Real images as an extractor sees them, with which pictures are compared.
pub struct Reference<'a> {
    /// The extractor.
    pub extractor: Extractor<'a>,
    data: String,
    /// What users call the extractor's classes; empty if these are not the data set's.
    classes: Vec<String>,
    train: Features,
    gaussian: Gaussian,
    test: Features,
    /// The share of the test images whose class the extractor finds, if they have labels of its classes.
    accuracy: Option<f64>,
    /// The [`spread`] of the training images and of the test images.
    spread: [f64; 2],
}

impl<'a> Reference<'a> {
    /// Takes the features of at most `most` training images and as many test images, chosen at random.
    /// [`IMAGES`] is the usual number.
    ///
    /// # Errors
    /// Fails if the images have another size than the extractor takes, or if there are fewer than two
    /// training or four test images.
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
        let same = set.train.classes == extractor.classes();
        let classes = if same { set.class_names.clone() } else { vec![] };
        Ok(Self { extractor, data: set.name.clone(), classes, train, gaussian, test, accuracy, spread })
    }

    /// The FID of pictures `[N, H, W, C]` with values in [0, 1]. It is fast enough for a curve during
    /// training.
    ///
    /// # Errors
    /// Fails if there are fewer than two pictures, if the last one is not whole, or if a value is not finite.
    pub fn fid(&self, pictures: &[f32]) -> Result<f64> {
        Ok(Gaussian::of(&self.extractor.pictures(pictures)?)?.frechet(&self.gaussian))
    }

    /// All measures of pictures `[N, H, W, C]` with values in [0, 1], and of as many test images.
    ///
    /// # Errors
    /// Fails if there are fewer than four pictures, if the last one is not whole, or if a value is not
    /// finite.
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
            classes: self.classes.clone(),
            real: self.train.count(),
            features: width,
            accuracy: self.accuracy,
            pictures: self.scores(&features, spread(pictures.iter().copied(), row))?,
            floor: self.scores(&test, self.spread[1])?,
        })
    }

    /// Why a FID of `count` pictures would mean nothing, if it would; see [`Report::doubt`].
    pub fn doubt(&self, count: usize) -> Option<String> {
        let classes = self.extractor.classes();
        unlearnt(self.accuracy, classes).or_else(|| few(count, self.train.count(), self.train.width))
    }

    fn scores(&self, features: &Features, spread: f64) -> Result<Scores> {
        Ok(Scores {
            count: features.count(),
            fid: Gaussian::of(features)?.frechet(&self.gaussian),
            kid: Kid::of(features, &self.train, SUBSETS, SEED)?,
            coverage: Coverage::of(&features.classes, self.extractor.classes()),
            diversity: (self.spread[0] > 0.0).then(|| spread / self.spread[0]),
        })
    }
}

/// The figures of a generator's pictures, and how they were measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The extractor.
    pub extractor: Identity,
    /// The name of the data set.
    pub data: String,
    /// What users call the extractor's classes; empty if these are not the data set's.
    pub classes: Vec<String>,
    /// The number of real training images that the pictures are compared with.
    pub real: usize,
    /// The number of features of a picture.
    pub features: usize,
    /// The share of real test images, from 0 to 1, whose class the extractor finds. It says how far its
    /// classes can be trusted.
    pub accuracy: Option<f64>,
    /// The figures of the generator's pictures.
    pub pictures: Scores,
    /// The figures of real test images: as many as there are pictures, or all if the data set has fewer.
    pub floor: Scores,
}

/// Why features say nothing: their extractor does not find the classes of test images.
pub(crate) fn unlearnt(accuracy: Option<f64>, classes: usize) -> Option<String> {
    let guess = 1.0 / classes as f64;
    let (least, found) = (guess + LEARNT * (1.0 - guess), accuracy?);
    let percent = |share| format!("{:.2} %", 100.0 * share);
    (found < least).then(|| {
        let (found, least) = (percent(found), percent(least));
        format!(
            "the extractor is right for {found} of the test images, and its features count from {least} on"
        )
    })
}

/// Why a FID says nothing: fewer pictures than features do not determine a covariance.
fn few(pictures: usize, real: usize, features: usize) -> Option<String> {
    let what =
        |count, of| format!("{count} {of} are fewer than the {features} features, too few for a covariance");
    match pictures < features {
        true => Some(what(pictures, "pictures")),
        false => (real < features).then(|| what(real, "training images")),
    }
}

impl Report {
    /// Why the FID of these pictures means nothing, if it does: the extractor learnt too little ([`LEARNT`]), or
    /// there are fewer pictures than features. In the first case the KID and the classes mean nothing either.
    pub fn doubt(&self, of: &Scores) -> Option<String> {
        self.unlearnt().or_else(|| few(of.count, self.real, self.features))
    }

    fn unlearnt(&self) -> Option<String> {
        unlearnt(self.accuracy, self.pictures.coverage.histogram.len())
    }

    /// The FID of these pictures, unless there is a doubt; `named` asks for it even then.
    fn fid(&self, of: &Scores, named: bool) -> Option<f64> {
        (named || self.doubt(of).is_none()).then_some(of.fid)
    }

    /// The KID of these pictures, unless the extractor learnt too little; `named` asks for it even then.
    fn kid<'a>(&self, of: &'a Scores, named: bool) -> Option<&'a Kid> {
        (named || self.unlearnt().is_none()).then_some(&of.kid)
    }

    /// The classes of these pictures, unless the extractor learnt too little; `named` asks for them even then.
    fn coverage<'a>(&self, of: &'a Scores, named: bool) -> Option<&'a Coverage> {
        (named || self.unlearnt().is_none()).then_some(&of.coverage)
    }

    /// Names the figures that are in doubt, each with the reason.
    fn doubts(&self) -> Vec<(&'static str, String)> {
        if let Some(doubt) = self.unlearnt() {
            return vec![("FID, KID and classes", doubt)];
        }
        let columns =
            [("the FID of the pictures", &self.pictures), ("the FID of the test images", &self.floor)];
        columns.into_iter().filter_map(|(what, scores)| Some((what, self.doubt(scores)?))).collect()
    }

    /// The report as text for a terminal. Figures that a [`Report::doubt`] is about are refused, unless they are
    /// asked for by name.
    pub fn table(&self, named: bool) -> String {
        const REFUSED: &str = "refused";
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
        text += &row("FID", &|s| self.fid(s, named).map_or(REFUSED.into(), |fid| format!("{fid:.3}")));
        let kid = |kid: &Kid| format!("{:.5} ± {:.5}", kid.mean, kid.std);
        text += &row("KID", &|s| self.kid(s, named).map_or(REFUSED.into(), kid));
        let classes = |s: &Scores, text: &dyn Fn(&Coverage) -> String| {
            self.coverage(s, named).map_or(REFUSED.into(), text)
        };
        text += &row("classes covered", &|s| {
            classes(s, &|c| format!("{} of {}", c.covered(), c.histogram.len()))
        });
        text += &row("KL to even classes, nats", &|s| classes(s, &|c| format!("{:.4}", c.kl_to_uniform())));
        text += &row("diversity", &|s| s.diversity.map_or("-".into(), |d| format!("{d:.3}")));
        for class in 0..a.coverage.histogram.len() {
            let name = self.classes.get(class).cloned().unwrap_or_else(|| class.to_string());
            text += &row(&format!("  class {name}"), &|s| classes(s, &|c| c.histogram[class].to_string()));
        }
        for (what, doubt) in self.doubts() {
            let how = if named { "shown because asked for" } else { "refused; ask by name to see" };
            text += &format!("{what}: {how}, since {doubt}\n");
        }
        text += "a class is covered by a tenth of its even share; diversity is the mean squared distance of pictures, of real images 1\n";
        text + &format!(
            "KID: {} subsets of {}, features scaled to a mean square of 1; {CAVEAT}\n",
            a.kid.subsets, a.kid.size
        )
    }

    /// The report as JSON for other programs. Figures that are refused, as in [`Report::table`], are null, and
    /// `doubt` says why.
    pub fn json(&self, named: bool) -> Value {
        let scores = |s: &Scores| {
            json!({
                "count": s.count, "fid": self.fid(s, named), "doubt": self.doubt(s), "diversity": s.diversity,
                "kid": self.kid(s, named).map(|kid| json!({ "mean": kid.mean, "std": kid.std, "subsets": kid.subsets, "size": kid.size })),
                "classes_covered": self.coverage(s, named).map(Coverage::covered),
                "kl_to_uniform_nats": self.coverage(s, named).map(Coverage::kl_to_uniform),
                "histogram": self.coverage(s, named).map(|c| &c.histogram),
            })
        };
        let Identity { name, data, sha256 } = &self.extractor;
        json!({
            "extractor": { "name": name, "trained_on": data, "weights_sha256": sha256, "test_accuracy": self.accuracy }, "data": self.data, "classes": self.classes, "real_images": self.real,
            "pictures": scores(&self.pictures), "floor": scores(&self.floor), "note": CAVEAT,
        })
    }
}
