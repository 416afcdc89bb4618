//! A data set is two boxes of bytes, train and test, with a number for each image's class.
//!
//! Pixels stay `u8` until a batch is uploaded, so a whole data set fits in memory and its levels stay exact.

use super::error::DataError;
use crate::rng::{self, RandomStream};
use std::path::Path;

/// The largest height or width of images, in pixels.
pub const MAX_SIDE: u32 = 1024;
/// The longest signal to train on, in samples.
pub const MAX_LENGTH: u32 = 1 << 20;
/// The most pixel bytes that are read from one file, decompressed.
pub const MAX_BYTES: u64 = 1 << 30;

/// Images of one size, with or without labels.
#[derive(Debug, Clone)]
pub struct Images {
    /// The number of images, N.
    pub count: usize,
    /// The rows of an image, H.
    pub height: usize,
    /// The columns of an image, W.
    pub width: usize,
    /// The values of a pixel, C (1 is grey).
    pub channels: usize,
    /// The number of classes that occur in the data set, 1 to 256; 0 without labels.
    pub classes: usize,
    /// The pixels, `[N, H, W, C]`, row-major; 0 is black, 255 white.
    pub pixels: Vec<u8>,
    /// The classes of the images, `[N]`, each below `classes`; `None` where the data set has none.
    pub labels: Option<Vec<u8>>,
}

/// A named data set: two sets of images that agree in height, width, channels and classes. The images are
/// [read](Images), or a [`Source`](super::Source) to read them from.
#[derive(Debug, Clone)]
pub struct DataSet<T = Images> {
    /// `"glyphs"`, or the folder's own name.
    pub name: String,
    /// The images to learn from.
    pub train: T,
    /// The images held back to measure on.
    pub test: T,
    /// Whether the pixels differ from those that a camera or scanner gave and that others measured on: they went
    /// through a lossy coding (JPEG, WebP), had more than 8 bits, were scaled, or lost their colours. Of sounds, that
    /// some were resampled or mixed down.
    /// Likelihoods on them, bits/dim, compare with no published figure.
    pub lossy: bool,
    /// What users call the classes, by label, `[Images::classes]`: the folders' names, the published names, or
    /// the labels as the files have them. It is empty without labels.
    pub class_names: Vec<String>,
    /// What the loader left out and what else a user should know, a line each.
    pub notes: Vec<String>,
}

/// How [`open`](super::open) makes the images of a data set.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked {
    /// The seed from which `"glyphs"` are drawn and `"tones"` are played; nothing else uses it.
    pub seed: u64,
    /// The height and width in pixels, 1 to [`MAX_SIDE`], to which pictures of an image folder are scaled.
    pub size: Option<u32>,
    /// Whether colours become grey.
    pub grey: bool,
    /// How sounds become images; where it is asked for, the data set must be of sounds.
    pub sound: Option<Sound>,
    /// Whether the data set must be one of pictures.
    pub pictures: bool,
}

/// How sounds become images: a signal is an image of one row, `[N, 1, length, 1]`, of [μ-law](super::mulaw)
/// levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sound {
    /// The samples of a second, in Hz.
    pub rate: u32,
    /// The samples of a signal, L.
    pub length: u32,
}

impl Sound {
    /// A score of a whole signal in nats as bits for each of its samples.
    pub fn bits_per_sample(self, nats: f64) -> f64 {
        nats / (f64::from(self.length) * std::f64::consts::LN_2)
    }
}

impl Default for Sound {
    /// A quarter of a second at 16 kHz.
    fn default() -> Self {
        Self { rate: 16_000, length: 4096 }
    }
}

/// How far a download or the reading of a folder is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The file's name, or what is done with which images.
    pub file: &'a str,
    /// The unit in which progress is counted.
    pub unit: Unit,
    /// The bytes received, or the images or files read; the count starts again at 0 where another attempt had to be
    /// made.
    pub done: u64,
    /// The number at which `done` ends.
    pub total: u64,
}

/// The unit of a [`Progress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// The bytes of a download.
    Bytes,
    /// The images of a folder.
    Images,
    /// The sounds of a folder.
    Files,
}

impl Images {
    /// Makes every value 0 or 255, where value/255 is the probability of 255 (Salakhutdinov & Murray 2008). The
    /// draw is a function of the image's number and the value's place in it alone, so that whoever measures on
    /// the set measures on the same one. Random stream: `binarise/once`.
    pub fn binarise(&mut self) {
        let (key, size) =
            (RandomStream::new("binarise/once").key([0, 0]), self.height * self.width * self.channels);
        for (i, image) in self.pixels.chunks_mut(size.max(1)).enumerate() {
            for (j, value) in image.iter_mut().enumerate() {
                *value =
                    if rng::uniform(key, i as u32, j as u32) < f32::from(*value) / 255.0 { 255 } else { 0 };
            }
        }
    }

    /// Whether any pixel has a colour.
    pub(super) fn coloured(&self) -> bool {
        self.channels == 3 && self.pixels.chunks_exact(3).any(has_colour)
    }

    /// Turns colours into grey, the [`luma`] of each pixel.
    pub(super) fn grey(self) -> Self {
        let pixels = self.pixels.chunks_exact(3).map(|p| luma([p[0], p[1], p[2]])).collect();
        Self { channels: 1, pixels, ..self }
    }
}

impl<T> DataSet<T> {
    /// A data set of unchanged pixels, without class names and notes.
    pub fn new(name: impl Into<String>, train: T, test: T) -> Self {
        Self { name: name.into(), train, test, lossy: false, class_names: vec![], notes: vec![] }
    }

    /// The same data set with other images in place of its own.
    pub fn with<U>(&self, train: U, test: U) -> DataSet<U> {
        let (name, class_names, notes) = (self.name.clone(), self.class_names.clone(), self.notes.clone());
        DataSet { name, train, test, lossy: self.lossy, class_names, notes }
    }
}

impl DataSet {
    /// Why the images cannot be told apart by their classes; `None` if they can.
    pub fn classless(&self) -> Option<&'static str> {
        match self.train.labels.as_ref().and(self.test.labels.as_ref()) {
            None => Some("the images have no labels"),
            Some(_) if self.train.classes < 2 => Some("all images are of one class"),
            Some(_) => None,
        }
    }

    /// Numbers the classes that occur, in the order of their labels, and names them: a label that no training image
    /// has is no class. `advice` says what to do where the test images at `test` are of such a label.
    ///
    /// # Errors
    /// Test images of a class that no training image is of.
    pub(super) fn number_classes(
        &mut self,
        test: &Path,
        advice: &str,
        name: impl Fn(u8) -> String,
    ) -> Result<(), DataError> {
        let mut occurs = [[false; 256]; 2];
        for (occurs, images) in occurs.iter_mut().zip([&self.train, &self.test]) {
            images.labels.iter().flatten().for_each(|&label| occurs[usize::from(label)] = true);
        }
        let [train, tested] = occurs;
        let classes = if self.train.labels.is_some() { train } else { tested };
        let named = |of: &dyn Fn(usize) -> bool| -> Vec<String> {
            (0..=255).filter(|&label| of(usize::from(label))).map(&name).collect()
        };
        let strange = named(&|label| tested[label] && !classes[label]);
        if !strange.is_empty() {
            let what = format!("no training images are of these classes: {}; {advice}", some(&strange));
            return Err(DataError::Folder { path: test.to_owned(), what });
        }
        self.class_names = named(&|label| classes[label]);
        let mut number = [0; 256];
        let numbered =
            classes.iter().zip(&mut number).filter(|(occurs, _)| **occurs).map(|(_, number)| number);
        numbered.zip(0..=255_u8).for_each(|(number, class)| *number = class);
        for images in [&mut self.train, &mut self.test] {
            images.labels.iter_mut().flatten().for_each(|label| *label = number[usize::from(*label)]);
            images.classes = self.class_names.len();
        }
        Ok(())
    }
}

/// The first names of a list, and how many more there are.
pub(super) fn some(names: &[String]) -> String {
    const SHOWN: usize = 5;
    match names.len().saturating_sub(SHOWN) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names[..SHOWN].join(", ")),
    }
}

/// Whether a pixel `[R, G, B]` is not grey.
pub(super) fn has_colour(pixel: &[u8]) -> bool {
    pixel[0] != pixel[1] || pixel[1] != pixel[2]
}

/// The brightness of a colour by Rec. 709's weights, rounded.
pub fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((2_126 * u32::from(r) + 7_152 * u32::from(g) + 722 * u32::from(b) + 5_000) / 10_000) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_binarised_alike_wherever_it_is_asked_for() {
        let set = |count: usize| Images {
            count,
            height: 20,
            width: 30,
            channels: 1,
            classes: 0,
            pixels: [0, 64, 255].repeat(count * 200),
            labels: None,
        };
        let [mut few, mut many] = [set(2), set(5)];
        few.binarise();
        many.binarise();
        assert_eq!(few.pixels, many.pixels[..2 * 600]);
        assert_ne!(many.pixels[..600], many.pixels[600..1200]);
        let share = |of: usize| {
            many.pixels.iter().skip(of).step_by(3).map(|&v| f64::from(v) / 255.0).sum::<f64>() / 1000.0
        };
        assert_eq!([share(0), share(2)], [0.0, 1.0]);
        assert!((share(1) - 64.0 / 255.0).abs() < 0.05, "{}", share(1));
    }

    #[test]
    fn classes_are_those_that_occur_and_keep_their_labels_as_names() {
        let images = |labels: &[u8]| Images {
            count: labels.len(),
            height: 1,
            width: 1,
            channels: 1,
            classes: 256,
            pixels: vec![0; labels.len()],
            labels: Some(labels.to_vec()),
        };
        let number =
            |set: &mut DataSet| set.number_classes(Path::new("t10k"), "add some", |label| label.to_string());
        let mut set = DataSet::new("gap", images(&[7, 3, 255, 7]), images(&[3, 255]));
        number(&mut set).unwrap();
        assert_eq!(set.class_names, ["3", "7", "255"]);
        assert_eq!(set.train.labels.as_deref(), Some([1, 0, 2, 1].as_slice()));
        assert_eq!(set.test.labels.as_deref(), Some([0, 2].as_slice()));
        assert_eq!((set.train.classes, set.test.classes), (3, 3));
        let mut every = DataSet::new("all", images(&(0..=255).collect::<Vec<_>>()), images(&[]));
        number(&mut every).unwrap();
        assert_eq!((every.train.classes, every.classless()), (256, None));
        assert_eq!(every.train.labels.unwrap()[255], 255);
        let mut one = DataSet::new("one", images(&[4, 4]), images(&[4]));
        number(&mut one).unwrap();
        assert_eq!(one.classless(), Some("all images are of one class"));
        one.test.labels = None;
        assert_eq!(one.classless(), Some("the images have no labels"));
        let error = number(&mut DataSet::new("new", images(&[3, 7]), images(&[9, 3]))).unwrap_err();
        assert_eq!(error.to_string(), "t10k: no training images are of these classes: 9; add some");
    }
}
