//! The data set of a run: known again by its digest, found again where it was moved, and read.
//!
//! A run that streams pictures keeps a list of them. Where some break or go while the run stands still, it goes on
//! with the others; a picture that became another one is refused.

use super::{
    dir::Saved,
    options::{Options, Recipe},
};
use crate::{
    data::{DataError, DataSet, Images, Source},
    disk::hex,
    error::{Error, Result},
    weights::Weights,
};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, path::Path};

/// The number of images, and the SHA-256 of all their pixels and labels, or of the files of an image folder.
/// With it, a resumed run checks that its data has not changed.
pub(super) fn fingerprint(set: &DataSet<Source>) -> String {
    let mut hasher = Sha256::new();
    [&set.train, &set.test].into_iter().for_each(|images| images.identify(|bytes| hasher.update(bytes)));
    format!("{} + {}, sha256 {}", set.train.about().count, set.test.about().count, hex(hasher.finalize()))
}

/// The SHA-256 of weights, with their names and shapes.
pub(super) fn digest(weights: &Weights) -> String {
    let mut hasher = Sha256::new();
    let sorted: BTreeMap<_, _> = weights.iter().collect();
    for (name, (shape, values)) in sorted {
        hasher.update(format!("{name} {shape:?}"));
        hasher.update(bytemuck::cast_slice(values));
    }
    hex(hasher.finalize())
}

/// The list of the files of a data set below `root`: whether their pixels are changed ones and the set's name, then
/// the training pictures, an empty line, and the test pictures. `None` for images that are no files.
pub(super) fn list(set: &DataSet<Source>, root: &Path) -> Option<String> {
    let (train, test) = (set.train.list(root)?, set.test.list(root)?);
    Some(format!("{} {}\n{train}\n{test}", set.lossy, set.name))
}

impl<T: Options> Saved<T> {
    /// Reads the data set on which the run was trained. The training images of a streamed run are left out if
    /// they are files and need more than [`crate::data::MAX_BYTES`].
    ///
    /// # Errors
    /// Fails if the data set cannot be read, or if it is not the same any more.
    pub fn load(&self) -> Result<DataSet> {
        let (recipe, set) = self.open()?;
        let about = set.with((), ());
        let train = match set.train {
            #[cfg(feature = "folders")]
            ref files @ Source::Files(_)
                if self.sitting.stream.is_some() && files.bytes() > crate::data::MAX_BYTES =>
            {
                Images { count: 0, pixels: vec![], labels: None, ..*files.about() }
            }
            source => recipe.read(source)?,
        };
        Ok(about.with(train, recipe.read(set.test)?))
    }

    /// Reads the test images alone, and returns them with [`DataSet::lossy`].
    ///
    /// # Errors
    /// Fails if the data set cannot be read, or if it is not the same any more.
    pub fn test(&self) -> Result<(Images, bool)> {
        let (recipe, set) = self.open()?;
        Ok((recipe.read(set.test)?, set.lossy))
    }

    /// Finds the run's data set, without reading it. Pictures of a list that are gone or broken are left out of the
    /// training images, with a warning.
    pub(super) fn open(&self) -> Result<(Recipe, DataSet<Source>)> {
        let mut recipe = self.options.clone().recipe().clone();
        if self.images.is_empty() {
            let set = recipe.open()?;
            let about = set.train.about();
            let (found, image) = ([about.height, about.width, about.channels], self.image);
            let what = format!("--image {image:?}: the images of {} are {found:?}", recipe.data);
            return if found == image {
                Ok((recipe, set))
            } else {
                Err(Error::new(what + "; give others by --data"))
            };
        }
        let error = match recipe.open_or(|wrong| self.wrong(&wrong)) {
            Ok(set) => match fingerprint(&set) {
                now if now == self.images => return Ok((recipe, set)),
                now => self.changed(&recipe.data, &now),
            },
            Err(e) => Error::new(format!("{e}; --data says where the run's data lie")),
        };
        let text = self.list.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        match text.filter(|_| Path::new(&recipe.data).is_dir()) {
            Some(text) => self.listed(&recipe, &text, error).map(|set| (recipe, set)),
            None => Err(error),
        }
    }

    /// The error of the run's data, whose images have the run's size.
    fn wrong(&self, wrong: &DataError) -> Error {
        match wrong {
            DataError::Differs { path, size: [h, w], first } => Error::new(format!(
                "{}: {h} x {w} pixels, but the first image has {} x {} and the run's have {} x {}; restore those that \
                 changed",
                path.display(),
                first[0],
                first[1],
                self.image[0],
                self.image[1]
            )),
            _ => Error::new(wrong.to_string()),
        }
    }

    fn changed(&self, data: &str, now: &str) -> Error {
        Error::new(format!(
            "the images of {data} are not those of the run: {} then, {now} now; restore them, let --data \
             lead to them, or train anew",
            self.images
        ))
    }

    /// The data set of a list. `error` says what is wrong without it.
    #[cfg(feature = "folders")]
    fn listed(&self, recipe: &Recipe, text: &str, error: Error) -> Result<DataSet<Source>> {
        let (Some((first, lists)), [height, width, channels]) = (text.split_once('\n'), self.image) else {
            return Err(error);
        };
        let (Some((lossy, name)), Some((train, test))) = (first.split_once(' '), lists.split_once("\n\n"))
        else {
            return Err(error);
        };
        let open = |list: &str| {
            let classes = self.classes;
            let about = Images { count: 0, height, width, channels, classes, pixels: vec![], labels: None };
            recipe.listed(about, list).map_err(|e| Error::new(format!("{error}; {e}")))
        };
        let (train, test) = (open(train)?, open(test)?);
        let gone = train.gone();
        match (test.gone().first(), gone.first()) {
            (Some(path), _) => {
                let what = format!("the run's test picture {} is broken or gone; restore it", path.display());
                return Err(Error::new(format!("{what}, since scores are of all of them")));
            }
            (_, Some(_)) if 2 * gone.len() > train.about().count => return Err(error),
            (_, Some(path)) => note!(
                "warning: {} of the run's {} training pictures are broken or gone and left out, {} first",
                gone.len(),
                train.about().count,
                path.display()
            ),
            (None, None) => note!("note: {} holds other pictures besides the run's own", recipe.data),
        }
        let set = DataSet::new(name, train, test);
        Ok(DataSet { lossy: lossy == "true", class_names: self.class_names.clone(), ..set })
    }

    /// A build without image folders has no lists.
    #[cfg(not(feature = "folders"))]
    fn listed(&self, _: &Recipe, _: &str, error: Error) -> Result<DataSet<Source>> {
        Err(error)
    }
}
