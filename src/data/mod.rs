//! A data set is two boxes of bytes, train and test, and an order to walk them in.
//!
//! [`open`] takes a name or a folder: `"glyphs"` draws handwritten-looking digits from a seed and needs no
//! file ([`glyphs`]); the names in [`PUBLISHED`] are downloaded once and kept (`download`, behind the feature
//! of that name); anything else is a folder with the four IDX files that MNIST and its relatives are
//! published as ([`idx`]), with CIFAR's binary files ([`cifar`]), or with a folder of pictures for each class
//! (`folder`, behind the feature `folders`). Pictures in files are a [`Source`], decoded when they are
//! wanted: [`load`] wants all, a streamed run some at a time.
//!
//! A sound is an image of one row, whose levels are those of the μ-law ([`mulaw`]): `"tones"` is played from a seed
//! ([`tones`]), and a folder may hold WAV files for each class (`sounds`, behind the feature `sound`).
//!
//! Nothing here keeps random state: a picture depends only on (seed, index) and an epoch's order
//! only on (seed, epoch), so a run resumed at epoch 7 sees what an uninterrupted one would have.

mod chunks;
pub mod cifar;
#[cfg(feature = "folders")]
mod cores;
#[cfg(feature = "download")]
pub mod download;
mod error;
mod few;
#[cfg(feature = "folders")]
mod files;
#[cfg(feature = "folders")]
pub mod folder;
#[cfg(all(any(test, fuzzing), feature = "download", feature = "sound"))]
pub(crate) mod foreign;
pub mod glyphs;
pub mod idx;
mod images;
mod layout;
pub mod mulaw;
mod names;
mod order;
#[cfg(feature = "folders")]
mod parts;
#[cfg(any(feature = "folders", feature = "run"))]
#[cfg_attr(not(feature = "folders"), expect(dead_code, reason = "a mask needs its pixels alone"))]
pub(crate) mod picture;
#[cfg(feature = "sound")]
pub mod sounds;
mod source;
mod strokes;
mod task;
pub mod tones;
#[cfg(feature = "folders")]
mod walk;
#[cfg(feature = "sound")]
mod wav;

pub use chunks::{Chunk, Chunks, Part};
pub use error::DataError;
pub use images::{Asked, DataSet, Images, MAX_BYTES, MAX_LENGTH, MAX_SIDE, Progress, Sound, Unit, luma};
pub use names::{GLYPHS, GLYPHS_TEST, GLYPHS_TRAIN, PUBLISHED, TONES, TONES_TEST, TONES_TRAIN, is_name};
pub use order::{GENERATOR, Order, PERMUTATION_VERSION, permutation};
pub use source::Source;
pub use task::{Hole, Task, chroma, enlarge, rgb, shrink};

use layout::Known;
use names::CIFAR10;
use std::path::{Path, PathBuf};

/// Loads a data set: `"glyphs"` or `"tones"` (made from `seed`), one of [`PUBLISHED`], or a folder. See [`open`].
///
/// # Errors
/// As [`open`].
pub fn load(name_or_path: &str, seed: u64) -> Result<DataSet, DataError> {
    let nobody = &mut |_: &Progress| ();
    open(name_or_path, &Asked { seed, ..Asked::default() }, nobody)?.read(nobody)
}

/// Finds a data set, and reads all of it but the pixels of image folders; `progress` hears of every step of a
/// long wait.
///
/// A published set is downloaded into the user's cache folder where it is not there yet. A folder that is
/// itself called `glyphs` or `mnist` can be given as `./mnist`.
///
/// # Errors
/// Whatever is found wrong with the folder, a download that fails or that this build cannot do, what is no sound where
/// sounds are asked for and no picture where pictures are, and signals of `"tones"` that are so long that all together
/// pass [`MAX_BYTES`]. `"glyphs"` never fail for another reason.
pub fn open(
    name_or_path: &str,
    asked: &Asked,
    progress: &mut dyn FnMut(&Progress),
) -> Result<DataSet<Source>, DataError> {
    let sound = asked.sound.unwrap_or_default();
    let set = match name_or_path {
        TONES if asked.pictures => return Err(DataError::NoPictures { name: TONES.to_owned() }),
        TONES => {
            let (count, length) = (TONES_TRAIN + TONES_TEST, sound.length);
            let most = MAX_BYTES / count as u64;
            if u64::from(length) > most {
                return Err(DataError::Long { name: TONES.to_owned(), count, length, most });
            }
            let train = tones::tones(TONES_TRAIN, asked.seed, sound);
            let test = tones::held_out(TONES_TEST, asked.seed, sound);
            let class_names = tones::CLASSES.map(String::from).into();
            DataSet { class_names, ..DataSet::new(TONES, train, test) }
        }
        #[cfg(feature = "sound")]
        path if asked.sound.is_some() && Path::new(path).is_dir() => {
            sounds::open(Path::new(path), sound, progress)?
        }
        name if asked.sound.is_some() => return Err(DataError::NoSound { name: name.to_owned() }),
        GLYPHS => {
            let [train, test] =
                [glyphs::glyphs(GLYPHS_TRAIN, asked.seed), glyphs::held_out(GLYPHS_TEST, asked.seed)];
            let class_names = (0..glyphs::CLASSES).map(|digit| digit.to_string()).collect();
            DataSet { class_names, ..DataSet::new(GLYPHS, train, test) }
        }
        CIFAR10 => published_cifar(progress)?,
        name if PUBLISHED.contains(&name) => idx::load_folder(&published(name, progress)?)?,
        path => match layout::find(Path::new(path))? {
            Known::Idx(place) => place.load()?,
            Known::Cifar(place) => place.load()?,
            #[cfg(feature = "folders")]
            Known::Pictures(folder) => return folder::open(&folder, asked, progress),
            #[cfg(feature = "sound")]
            Known::Sounds(_) if asked.pictures => {
                return Err(DataError::NoPictures { name: path.to_owned() });
            }
            #[cfg(feature = "sound")]
            Known::Sounds(folder) => sounds::open(&folder, sound, progress)?,
        },
    };
    set.fit(asked.size, asked.grey)
}

/// The folder that holds a published data set.
#[cfg(feature = "download")]
fn published(name: &str, progress: &mut dyn FnMut(&Progress)) -> Result<PathBuf, DataError> {
    download::fetch(name, progress)
}

/// No folder: without an HTTP client there is none.
#[cfg(not(feature = "download"))]
fn published(name: &str, _: &mut dyn FnMut(&Progress)) -> Result<PathBuf, DataError> {
    Err(DataError::NoDownload { name: name.to_owned() })
}

fn published_cifar(progress: &mut dyn FnMut(&Progress)) -> Result<DataSet, DataError> {
    let folder = published(CIFAR10, progress)?;
    #[cfg(feature = "download")]
    return cifar::load_archive(&folder.join(cifar::ARCHIVE));
    #[cfg(not(feature = "download"))]
    return cifar::load_folder(&folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_says_what_to_give() {
        let line = load("no-such-data-set", 0).unwrap_err().to_string();
        assert!(line.contains("no-such-data-set") && line.contains("\"glyphs\""));
        assert_eq!(line.lines().count(), 1);
    }
}
