//! A folder of pictures for each class, in parts as `parts` finds them.
//!
//! What is left out is told by the data set's notes. Pixels are RGB, or grey where no pixel of the whole set has a
//! colour. Where a size is asked for, the largest square in a picture's middle is scaled to it.

use std::fs;
use std::path::Path;

use image::ImageFormat;

use super::error::DataError;
use super::files::{Files, any_colour, look_at};
use super::images::{Asked, DataSet, Images, MAX_SIDE, Progress};
use super::parts::{Labelled, Parts};
use super::picture::{ENDINGS, Header, MAGIC, recognise, unsupported};
use super::source::Source;
use super::walk::{Kind, holds};

/// The pictures that are looked for.
const PICTURES: Kind = Kind {
    files: "pictures",
    one: "image",
    endings: &ENDINGS,
    magic: MAGIC,
    known: |start| recognise(start).is_some(),
    // Of the kinds that are read, TIFF alone has many codings that are not, such as numbers with fractions.
    strange: |path, start| {
        recognise(start) == Some(ImageFormat::Tiff) && fs::read(path).is_ok_and(|bytes| unsupported(&bytes))
    },
};
/// The folders within each other that are searched for a first picture.
const DEEP: usize = 8;

/// Whether there are pictures in the folder or below it.
pub(super) fn is_here(folder: &Path) -> bool {
    holds(folder, &PICTURES, DEEP)
}

/// Looks at every file of the folder; `progress` hears of each.
///
/// # Errors
/// Folders that are not as described, a file that cannot be read or is no picture, pictures of several sizes where
/// none was asked for, and a side above [`MAX_SIDE`].
pub fn open(
    folder: &Path,
    asked: &Asked,
    progress: &mut dyn FnMut(&Progress),
) -> Result<DataSet<Source>, DataError> {
    let parts = Parts::find(folder, &PICTURES)?;
    let paths = parts.paths();
    let looks = look_at(&paths, progress)?;
    let headers: Vec<Header> = looks.iter().map(|look| look.header).collect();
    let size = one_size(&paths, &headers, asked.size)?;
    let perhaps: Vec<&Path> =
        paths.iter().zip(&headers).filter(|(_, header)| header.colours).map(|(path, _)| *path).collect();
    let colours = !perhaps.is_empty() && any_colour(&perhaps, progress);
    let notes = parts.notes(folder, &PICTURES);
    let Parts { name, train, test, class_names, .. } = parts;
    let (first, rest) = looks.split_at(train.len());
    let files = |of: Vec<Labelled>, looks| {
        let (paths, labels): (Vec<_>, Vec<_>) = of.into_iter().unzip();
        let about = Images {
            count: paths.len(),
            height: size[0],
            width: size[1],
            channels: if colours && !asked.grey { 3 } else { 1 },
            classes: class_names.len(),
            pixels: vec![],
            labels: Some(labels),
        };
        Source::Files(Files::new(about, paths, looks, asked.size))
    };
    let lossy = headers.iter().any(|header| header.lossy || header.size != size) || (colours && asked.grey);
    let set = DataSet::new(name, files(train, first), files(test, rest));
    Ok(DataSet { lossy, class_names, notes, ..set })
}

/// The height and width of all images: what was asked for, or what all of them have.
fn one_size(paths: &[&Path], headers: &[Header], asked: Option<u32>) -> Result<[usize; 2], DataError> {
    let first = headers[0].size;
    let size = asked.map_or(first, |n| [n as usize; 2]);
    let other = headers.iter().position(|header| header.size != first);
    if let Some(i) = other.filter(|_| asked.is_none()) {
        return Err(DataError::Differs { path: paths[i].to_owned(), size: headers[i].size, first });
    }
    if size.iter().any(|&side| side == 0 || side > MAX_SIDE as usize) {
        let [h, w] = size;
        let what =
            format!("{h} x {w} pixels: a side may have 1 to {MAX_SIDE}; scale them by giving an image size");
        return Err(DataError::Folder { path: paths[0].to_owned(), what });
    }
    Ok(size)
}

#[cfg(test)]
mod tests;
