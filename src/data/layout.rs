//! A folder is known by what lies in it: IDX files, CIFAR's binary files, pictures, WAV files, or torchvision's
//! folders with these.

use std::fs;
use std::path::{Path, PathBuf};

#[cfg(feature = "folders")]
use super::folder;
use super::images::some;
use super::names::ACCEPTED;
#[cfg(feature = "sound")]
use super::sounds;
use super::{cifar, error::DataError, idx};

/// Where torchvision's data sets keep IDX files, below the root that it is given; the last is seen from their
/// own folder.
const TORCHVISION: [&str; 6] =
    ["MNIST/raw", "FashionMNIST/raw", "KMNIST/raw", "EMNIST/raw", "QMNIST/raw", "raw"];

/// A data set that was found.
#[derive(Debug, Clone)]
pub(super) enum Known {
    Idx(idx::Place),
    Cifar(cifar::Place),
    #[cfg(feature = "folders")]
    Pictures(PathBuf),
    #[cfg(feature = "sound")]
    Sounds(PathBuf),
}

impl Known {
    /// The path by which users name it.
    fn path(&self) -> PathBuf {
        match self {
            Self::Idx(place) => place.path(),
            Self::Cifar(place) => place.path().to_owned(),
            #[cfg(feature = "folders")]
            Self::Pictures(folder) => folder.clone(),
            #[cfg(feature = "sound")]
            Self::Sounds(folder) => folder.clone(),
        }
    }
}

/// The one data set that lies in a folder; or one of several, where the path ends in the beginning of its
/// files' names, such as `emnist-letters`.
///
/// # Errors
/// A path that is none, a folder with nothing that is known, with several data sets, or with Python's
/// pickles.
pub(super) fn find(path: &Path) -> Result<Known, DataError> {
    if !path.is_dir() {
        let within = idx::places(path.parent().unwrap_or(path));
        if let Some(named) = within.iter().find(|place| place.path() == path) {
            return Ok(Known::Idx(named.clone()));
        }
        let names: Vec<String> = within.iter().map(|place| place.path().display().to_string()).collect();
        let path = path.to_owned();
        return Err(match names.is_empty() {
            true => DataError::MissingFolder { path },
            false => DataError::Folder { path, what: format!("not there; there is {}", some(&names)) },
        });
    }
    let mut found = files_in(path);
    if found.is_empty() {
        found.extend(TORCHVISION.iter().flat_map(|inner| files_in(&path.join(inner))));
        found.extend(cifar::within(path).map(Known::Cifar));
        #[cfg(feature = "folders")]
        if found.is_empty() && folder::is_here(path) {
            found.push(Known::Pictures(path.to_owned()));
        }
        #[cfg(feature = "sound")]
        if found.is_empty() && sounds::is_here(path) {
            found.push(Known::Sounds(path.to_owned()));
        }
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(unknown(path)),
        _ => {
            let names: Vec<String> = found.iter().map(|known| known.path().display().to_string()).collect();
            let what = format!("several data sets lie there; give one of {}", some(&names));
            Err(DataError::Folder { path: path.to_owned(), what })
        }
    }
}

/// The data sets whose files lie in the folder itself.
fn files_in(folder: &Path) -> Vec<Known> {
    let idx = idx::places(folder).into_iter().map(Known::Idx);
    idx.chain(cifar::here(folder).map(Known::Cifar)).collect()
}

/// Why nothing was found.
fn unknown(folder: &Path) -> DataError {
    let path = folder.to_owned();
    if let Some((folder, wanted)) = cifar::pickles(folder) {
        return DataError::Folder {
            path: folder,
            what: format!("these are Python's pickles, which are not read; give {wanted}"),
        };
    }
    let (mut folders, mut files) = (vec![], vec![]);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() { folders.push(name + "/") } else { files.push(name) }
    }
    folders.sort();
    files.sort();
    folders.extend(files);
    let found = if folders.is_empty() { "nothing".to_owned() } else { some(&folders) };
    let what = format!("no data set of a known kind; found {found}; give a folder with {ACCEPTED}");
    DataError::Folder { path, what }
}
