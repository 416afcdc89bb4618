//! A data set is two boxes of bytes, train and test, and an order to walk them in.
//!
//! Pixels stay `u8` until a batch is uploaded, so a whole data set fits in memory and its levels stay exact. [`open`] takes a
//! name or a folder: `"glyphs"` draws handwritten-looking digits from a seed and needs no file ([`glyphs`]); the names in
//! [`PUBLISHED`] are downloaded once and kept (`download`, behind the feature of that name); anything else is a folder with the
//! four IDX files that MNIST and its relatives are published as ([`idx`]), with CIFAR-10's binary batches ([`cifar`]), or with a
//! folder of pictures for each class (`folder`, behind the feature `folders`). Pictures in files are a [`Source`], decoded when
//! they are wanted: [`load`] wants all, a streamed run some at a time.
//!
//! Nothing here keeps random state: a picture depends only on (seed, index) and an epoch's order
//! only on (seed, epoch), so a run resumed at epoch 7 sees what an uninterrupted one would have.

mod chunks;
pub mod cifar;
#[cfg(feature = "download")]
pub mod download;
mod error;
#[cfg(feature = "folders")]
pub mod folder;
pub mod glyphs;
pub mod idx;
mod order;
mod source;
mod strokes;

pub use chunks::{Chunk, Chunks};
pub use error::DataError;
pub use order::{GENERATOR, Order, PERMUTATION_VERSION, permutation};
pub use source::Source;

use crate::rng::{self, Stream};
use order::{below, shuffle, stream};
use std::path::{Path, PathBuf};

/// The name under which [`load`] gives the embedded, drawn data set.
pub const GLYPHS: &str = "glyphs";
/// How many training images [`load`] draws for [`GLYPHS`].
pub const GLYPHS_TRAIN: usize = 20_000;
/// How many test images [`load`] draws for [`GLYPHS`].
pub const GLYPHS_TEST: usize = 2_000;

/// The names under which [`load`] gives published data sets, downloaded once with the feature `download`.
pub const PUBLISHED: [&str; 4] = ["mnist", "fashion-mnist", "kmnist", CIFAR10];
const CIFAR10: &str = "cifar10";

/// Whether a data set is named rather than a folder's path.
pub fn is_name(data: &str) -> bool {
    data == GLYPHS || PUBLISHED.contains(&data)
}

/// Images of one size, with or without labels.
#[derive(Debug, Clone)]
pub struct Images {
    /// Number of images, N.
    pub count: usize,
    /// Rows per image, H.
    pub height: usize,
    /// Columns per image, W.
    pub width: usize,
    /// Values per pixel, C (1 is grey).
    pub channels: usize,
    /// Number of classes, 1 to 256: the largest label of the data set + 1; 0 without labels.
    pub classes: usize,
    /// `[N, H, W, C]`, row-major; 0 is black, 255 white.
    pub pixels: Vec<u8>,
    /// `[N]`, each below `classes`; `None` where the data set has none.
    pub labels: Option<Vec<u8>>,
}

impl Images {
    /// Makes every value 0 or 255, this with value/255 as probability (Salakhutdinov & Murray 2008): a function of the image's
    /// number and the value's place in it alone, so that whoever measures on the set measures on the same one.
    pub fn binarise(&mut self) {
        let (key, size) =
            (Stream::new("binarise/once").key([0, 0]), self.height * self.width * self.channels);
        for (i, image) in self.pixels.chunks_mut(size.max(1)).enumerate() {
            for (j, value) in image.iter_mut().enumerate() {
                *value =
                    if rng::uniform(key, i as u32, j as u32) < f32::from(*value) / 255.0 { 255 } else { 0 };
            }
        }
    }
}

/// A named data set: two sets of images that agree in height, width, channels and classes; read, or as [`Source`]s to read.
#[derive(Debug, Clone)]
pub struct DataSet<T = Images> {
    /// `"glyphs"`, or the folder's own name.
    pub name: String,
    /// The images to learn from.
    pub train: T,
    /// The images held back to measure on.
    pub test: T,
    /// The pixels are not those that a camera or scanner gave and that others measured on: they went through a lossy coding
    /// (JPEG, WebP), were scaled, or made grey. Likelihoods on them, bits/dim, compare with no published figure.
    pub lossy: bool,
}

/// How [`open`] makes the images of a data set.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked {
    /// Of the drawing of `"glyphs"`; nothing else uses it.
    pub seed: u64,
    /// Height and width in pixels, 1 to [`idx::MAX_SIDE`]; only pictures of an image folder are scaled to it.
    pub size: Option<u32>,
    /// Colours become grey.
    pub grey: bool,
}

/// How far a download or the reading of an image folder is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The file's name, or what is done with which images.
    pub file: &'a str,
    /// What is counted.
    pub unit: Unit,
    /// Bytes received or images read; starts again at 0 where another attempt had to be made.
    pub done: u64,
    /// The same of the whole.
    pub total: u64,
}

/// What a [`Progress`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes of a download.
    Bytes,
    /// Images of a folder.
    Images,
}

/// Loads a data set: `"glyphs"` (drawn from `seed`), one of [`PUBLISHED`], or a folder. See [`open`].
///
/// # Errors
/// As [`open`].
pub fn load(name_or_path: &str, seed: u64) -> Result<DataSet, DataError> {
    let nobody = &mut |_: &Progress| ();
    open(name_or_path, &Asked { seed, ..Asked::default() }, nobody)?.read(nobody)
}

/// Finds a data set, and reads all of it but the pixels of image folders; `progress` hears of every step of a long wait.
///
/// A published set is downloaded into the user's cache folder where it is not there yet. A folder that is itself called `glyphs`
/// or `mnist` can be given as `./mnist`.
///
/// # Errors
/// Whatever is found wrong with the folder, and a download that fails or that this build cannot do; `"glyphs"` never fails.
pub fn open(
    name_or_path: &str,
    asked: &Asked,
    progress: &mut dyn FnMut(&Progress),
) -> Result<DataSet<Source>, DataError> {
    let set = match name_or_path {
        GLYPHS => {
            let [train, test] =
                [glyphs::glyphs(GLYPHS_TRAIN, asked.seed), glyphs::held_out(GLYPHS_TEST, asked.seed)]
                    .map(Source::Held);
            DataSet { name: GLYPHS.to_owned(), train, test, lossy: false }
        }
        CIFAR10 => published_cifar(progress)?,
        name if PUBLISHED.contains(&name) => idx::load_folder(&published(name, progress)?)?.held(),
        path => return open_folder(Path::new(path), asked, progress),
    };
    set.fit(asked.size, asked.grey)
}

/// A folder is known by what lies in it.
#[cfg_attr(not(feature = "folders"), expect(unused_variables, reason = "only image folders take long"))]
fn open_folder(
    folder: &Path,
    asked: &Asked,
    progress: &mut dyn FnMut(&Progress),
) -> Result<DataSet<Source>, DataError> {
    #[cfg(feature = "folders")]
    if !idx::is_here(folder) && cifar::find(folder).is_none() && folder::is_here(folder) {
        return folder::open(folder, asked, progress);
    }
    let set = match cifar::find(folder).filter(|_| !idx::is_here(folder)) {
        Some(folder) => cifar::load_folder(&folder)?,
        None => idx::load_folder(folder)?.held(),
    };
    set.fit(asked.size, asked.grey)
}

/// The folder that holds a published data set.
#[cfg(feature = "download")]
fn published(name: &str, progress: &mut dyn FnMut(&Progress)) -> Result<PathBuf, DataError> {
    download::fetch(name, progress)
}

/// Without an HTTP client there is none.
#[cfg(not(feature = "download"))]
fn published(name: &str, _: &mut dyn FnMut(&Progress)) -> Result<PathBuf, DataError> {
    Err(DataError::NoDownload { name: name.to_owned() })
}

fn published_cifar(progress: &mut dyn FnMut(&Progress)) -> Result<DataSet<Source>, DataError> {
    let folder = published(CIFAR10, progress)?;
    #[cfg(feature = "download")]
    return cifar::load_archive(&folder.join(cifar::ARCHIVE));
    #[cfg(not(feature = "download"))]
    return cifar::load_folder(&folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty folder of one test, removed when dropped.
    pub(super) struct Folder(PathBuf);

    impl Folder {
        pub(super) fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("oneiro-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&dir);
            std::fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }
    }

    impl std::ops::Deref for Folder {
        type Target = Path;

        fn deref(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn permutation_holds_every_item_once() {
        for n in [0, 1, 2, 1000] {
            let mut order = permutation(3, 4, n);
            order.sort_unstable();
            assert!(order.iter().copied().eq(0..n as u32));
        }
    }

    #[test]
    fn permutation_is_the_recorded_one() {
        let first = permutation(0, 0, 100)[..8].to_vec();
        assert_eq!(first, [81, 6, 43, 86, 14, 32, 83, 8]);
    }

    #[test]
    fn permutation_depends_on_seed_and_epoch() {
        assert_eq!(permutation(1, 2, 50), permutation(1, 2, 50));
        assert_ne!(permutation(1, 2, 50), permutation(2, 1, 50));
        assert_ne!(permutation(1, 2, 50), permutation(1, 3, 50));
    }

    #[test]
    fn below_is_even() {
        let mut random = stream(b"testing.", 0, 0, 0);
        let mut counts = [0_i32; 5];
        for _ in 0..50_000 {
            counts[below(&mut random, 5) as usize] += 1;
        }
        // Five standard deviations of a fair draw are about 450.
        assert!(counts.iter().all(|c| (c - 10_000).abs() < 450));
    }

    #[test]
    fn an_unknown_name_says_what_to_give() {
        let line = load("no-such-data-set", 0).unwrap_err().to_string();
        assert!(line.contains("no-such-data-set") && line.contains("\"glyphs\""));
        assert_eq!(line.lines().count(), 1);
    }

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
}
