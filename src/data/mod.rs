//! A data set is two boxes of bytes, train and test, and an order to walk them in.
//!
//! Pixels stay `u8` until a batch is uploaded, so a whole data set fits in memory and its grey
//! levels stay exact. [`load`] takes a name or a folder: `"glyphs"` draws handwritten-looking
//! digits from a seed and needs no file ([`glyphs`]); the names in [`PUBLISHED`] are downloaded once
//! and kept (`download`, behind the feature of that name); anything else is a folder with the four
//! IDX files that MNIST and its relatives are published as ([`idx`]).
//!
//! Nothing here keeps random state: a picture depends only on (seed, index) and an epoch's order
//! only on (seed, epoch), so a run resumed at epoch 7 sees what an uninterrupted one would have.

#[cfg(feature = "download")]
pub mod download;
pub mod glyphs;
pub mod idx;
mod strokes;

use std::path::{Path, PathBuf};
use std::{error, fmt, io};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The name under which [`load`] gives the embedded, drawn data set.
pub const GLYPHS: &str = "glyphs";
/// How many training images [`load`] draws for [`GLYPHS`].
pub const GLYPHS_TRAIN: usize = 20_000;
/// How many test images [`load`] draws for [`GLYPHS`].
pub const GLYPHS_TEST: usize = 2_000;

/// The names under which [`load`] gives published data sets, downloaded once with the feature `download`.
pub const PUBLISHED: [&str; 3] = ["mnist", "fashion-mnist", "kmnist"];

/// Whether a data set is named rather than a folder's path.
pub fn is_name(data: &str) -> bool {
    data == GLYPHS || PUBLISHED.contains(&data)
}

/// The generator behind [`permutation`] and the glyphs, for a run's records.
pub const GENERATOR: &str = "ChaCha8 (rand_chacha 0.10)";
/// The version of [`permutation`]'s algorithm; it goes up when any order changes.
pub const PERMUTATION_VERSION: u32 = 1;

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

/// A named data set: two sets of images that agree in height, width, channels and classes.
#[derive(Debug, Clone)]
pub struct DataSet {
    /// `"glyphs"`, or the folder's own name.
    pub name: String,
    /// The images to learn from.
    pub train: Images,
    /// The images held back to measure on.
    pub test: Images,
}

/// How far the download of one file is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The file's name.
    pub file: &'a str,
    /// Bytes received; starts again at 0 where another attempt had to be made.
    pub done: u64,
    /// Bytes of the whole file.
    pub total: u64,
}

/// Why a data set could not be loaded; displayed as one line that names the file.
#[derive(Debug)]
#[non_exhaustive]
pub enum DataError {
    /// `path` is not a folder, or there is nothing there.
    MissingFolder {
        /// What was given to [`load`].
        path: PathBuf,
    },
    /// None of the accepted spellings of a file is in the folder.
    MissingFile {
        /// The folder that was searched.
        folder: PathBuf,
        /// The file names that were looked for.
        looked_for: Vec<String>,
    },
    /// The operating system refused to open or read the file.
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is gzip, but does not decompress.
    Gzip {
        /// The file.
        path: PathBuf,
        /// What the decompressor said.
        source: io::Error,
    },
    /// The first four bytes are not those of the kind of file that was expected.
    Magic {
        /// The file.
        path: PathBuf,
        /// The magic number expected there.
        expected: u32,
        /// The magic number found.
        found: u32,
    },
    /// The file ends before its header says (both in bytes, decompressed).
    Truncated {
        /// The file.
        path: PathBuf,
        /// The size its header claims, or its header's own size.
        expected: u64,
        /// The size it has.
        found: u64,
    },
    /// The file goes on after its header says it ends.
    Oversized {
        /// The file.
        path: PathBuf,
        /// The size its header claims, in bytes, decompressed.
        expected: u64,
    },
    /// The header claims no images, empty images, or more than this reader takes.
    Dimensions {
        /// The file.
        path: PathBuf,
        /// Images, rows and columns, as the header claims.
        claimed: [u32; 3],
        /// Which bound that breaks.
        why: &'static str,
    },
    /// The label file's header claims another number of labels than there are images.
    LabelCount {
        /// The label file.
        path: PathBuf,
        /// Labels that it claims.
        labels: u32,
        /// Images of the same split.
        images: usize,
    },
    /// Test images have another size than the training images.
    SizeMismatch {
        /// The test image file.
        path: PathBuf,
        /// Height and width of the training images.
        train: [usize; 2],
        /// Height and width of the test images.
        test: [usize; 2],
    },
    /// A published data set was named, and this build has no HTTP client.
    NoDownload {
        /// The name of the data set.
        name: String,
    },
    /// A published data set was named, and the system names no cache folder for this user.
    NoCache {
        /// The name of the data set.
        name: String,
    },
    /// The cache folder cannot be made or written.
    Unwritable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No mirror gave a file of a published data set, whole and right.
    Download {
        /// The name of the data set.
        name: String,
        /// The files that are missing, the one that failed first.
        missing: Vec<String>,
        /// The cache folder, where the files can be put by hand.
        folder: PathBuf,
        /// Each place that was tried and why it did not do.
        tried: Vec<String>,
    },
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingFolder { path } => write!(
                f,
                "{}: not a folder; give a folder with MNIST's four IDX files, \
                 \"{GLYPHS}\" for the built-in digits, or one of {} to download",
                path.display(),
                PUBLISHED.join(", ")
            ),
            Self::MissingFile { folder, looked_for } => {
                write!(f, "{}: a file is missing from this data folder; looked for {}", folder.display(), looked_for.join(", "))
            }
            Self::Io { path, source } => write!(f, "{}: cannot be read: {source}", path.display()),
            Self::Gzip { path, source } => write!(f, "{}: corrupt or cut-short gzip ({source}); fetch the file again", path.display()),
            Self::Magic { path, expected, found } => {
                write!(f, "{}: wrong magic number {found:#010x}, expected {expected:#010x}; it {}", path.display(), idx::looks_like(*found))
            }
            Self::Truncated { path, expected, found } => {
                write!(f, "{}: truncated: expected {expected} bytes, found {found}; fetch the file again", path.display())
            }
            Self::Oversized { path, expected } => write!(
                f,
                "{}: trailing bytes: its header claims {expected} bytes and more follow; the \
                 header is wrong or the file is not what its name says",
                path.display()
            ),
            Self::Dimensions { path, claimed, why } => {
                let [n, h, w] = claimed;
                let path = path.display();
                write!(f, "{path}: header claims {n} images of {h} x {w}: {why}")
            }
            Self::LabelCount { path, labels, images } => {
                write!(f, "{}: {labels} labels for {images} images; the two files are not of one data set", path.display())
            }
            Self::SizeMismatch { path, train, test } => write!(
                f,
                "{}: test images are {} x {}, training images {} x {}; the files are not of one \
                 data set",
                path.display(),
                test[0],
                test[1],
                train[0],
                train[1]
            ),
            Self::NoDownload { name } => {
                write!(
                    f,
                    "{name}: this build lacks the feature `download`; build with it, or give a folder with the IDX files: --data PATH"
                )
            }
            Self::NoCache { name } => {
                write!(
                    f,
                    "{name}: the system names no cache folder to download into; set HOME, or give a folder with the files: --data PATH"
                )
            }
            Self::Unwritable { path, source } => write!(
                f,
                "{}: cannot be written: {source}; make room or set another cache folder (on Linux XDG_CACHE_HOME), or give a \
                 folder with the files: --data PATH",
                path.display()
            ),
            Self::Download { name, missing, folder, tried } => write!(
                f,
                "{name}: cannot get {} ({}); check the network, or put {} into {} by hand, or give another folder with the IDX \
                 files: --data PATH",
                missing[0],
                tried.join("; "),
                missing.join(", "),
                folder.display()
            ),
        }
    }
}

impl error::Error for DataError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io { source, .. } | Self::Gzip { source, .. } | Self::Unwritable { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Loads a data set: `"glyphs"` (drawn from `seed`), one of [`PUBLISHED`], or a folder of IDX files.
///
/// A published set is downloaded into the user's cache folder where it is not there yet. A folder that
/// is itself called `glyphs` or `mnist` can be given as `./mnist`. Only `"glyphs"` uses `seed`.
///
/// # Errors
/// Whatever [`idx::load_folder`] finds wrong with the folder, and a download that fails or that this
/// build cannot do; `"glyphs"` never fails.
pub fn load(name_or_path: &str, seed: u64) -> Result<DataSet, DataError> {
    load_with(name_or_path, seed, &mut |_| ())
}

/// [`load`], telling `progress` of every piece that a download receives.
///
/// # Errors
/// As [`load`].
pub fn load_with(name_or_path: &str, seed: u64, progress: &mut dyn FnMut(&Progress)) -> Result<DataSet, DataError> {
    match name_or_path {
        GLYPHS => {
            Ok(DataSet { name: GLYPHS.to_owned(), train: glyphs::glyphs(GLYPHS_TRAIN, seed), test: glyphs::held_out(GLYPHS_TEST, seed) })
        }
        name if PUBLISHED.contains(&name) => idx::load_folder(&published(name, progress)?),
        path => idx::load_folder(Path::new(path)),
    }
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

/// The order of `n` items in `epoch`, `[n]`: a pure function of its arguments.
///
/// It is version [`PERMUTATION_VERSION`], Fisher–Yates fed by [`GENERATOR`], written out here so
/// that no release of a random-number crate changes the order that a recorded run saw.
///
/// # Panics
/// If `n` is above `u32::MAX`.
pub fn permutation(seed: u64, epoch: u64, n: usize) -> Vec<u32> {
    let n = u32::try_from(n).expect("a permutation has at most u32::MAX items");
    let mut random = stream(b"shuffle1", seed, epoch, 0);
    let mut order: Vec<u32> = (0..n).collect();
    shuffle(&mut random, &mut order);
    order
}

/// A generator whose 32-byte key spells out what it is for, so no two uses share numbers.
fn stream(purpose: &[u8; 8], a: u64, b: u64, c: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(purpose);
    key[8..16].copy_from_slice(&a.to_le_bytes());
    key[16..24].copy_from_slice(&b.to_le_bytes());
    key[24..].copy_from_slice(&c.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// Fisher–Yates, from the end; at most `u32::MAX` items.
fn shuffle<T>(random: &mut ChaCha8Rng, items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(random, last as u32 + 1) as usize);
    }
}

/// A number below `bound` (> 0), unbiased: Lemire's multiplication with rejection.
fn below(random: &mut ChaCha8Rng, bound: u32) -> u32 {
    let reject_below = bound.wrapping_neg() % bound;
    loop {
        let wide = u64::from(random.next_u32()) * u64::from(bound);
        if wide as u32 >= reject_below {
            return (wide >> 32) as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
