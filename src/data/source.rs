//! Where images come from when they are wanted: bytes that are held already, or files that are decoded on demand.

use super::error::DataError;
#[cfg(feature = "folders")]
use super::files::Files;
use super::images::{DataSet, Images, Progress};
use std::path::{Path, PathBuf};

/// Images that can be read, in whole or some rows at a time: the same bytes either way.
#[derive(Debug, Clone)]
pub enum Source {
    /// Images in memory.
    Held(Images),
    /// Pictures in files, one for each image.
    #[cfg(feature = "folders")]
    Files(Files),
}

impl Source {
    /// How many images there are, how large and of which classes; without pixels where these are in files.
    pub fn about(&self) -> &Images {
        match self {
            Self::Held(images) => images,
            #[cfg(feature = "folders")]
            Self::Files(files) => &files.about,
        }
    }

    /// The bytes of one image.
    pub fn row(&self) -> usize {
        let about = self.about();
        about.height * about.width * about.channels
    }

    /// The bytes of all images.
    pub fn bytes(&self) -> u64 {
        self.about().count as u64 * self.row() as u64
    }

    /// The pixels of these images, `[rows, H, W, C]`; files are decoded on all cores.
    ///
    /// # Errors
    /// A file that cannot be read or decoded.
    pub fn pixels(&self, rows: &[u32]) -> Result<Vec<u8>, DataError> {
        match self {
            Self::Held(images) => Ok(rows
                .iter()
                .flat_map(|&i| &images.pixels[i as usize * self.row()..][..self.row()])
                .copied()
                .collect()),
            #[cfg(feature = "folders")]
            Self::Files(files) => files.pixels(rows, &mut |_| ()),
        }
    }

    /// The pixels of these images, as [`Source::pixels`] gives them, but the next whole picture stands for one that
    /// cannot be read any more; its row is put into `rows`. Returns the paths of the pictures that were newly left
    /// out, too.
    ///
    /// # Errors
    /// Not one of the files can be read, or none of the hundred after a broken one.
    pub fn pixels_or_next(&self, rows: &mut [u32]) -> Result<(Vec<u8>, Vec<PathBuf>), DataError> {
        match self {
            Self::Held(_) => Ok((self.pixels(rows)?, vec![])),
            #[cfg(feature = "folders")]
            Self::Files(files) => files.pixels_or_next(rows),
        }
    }

    /// The list of the files below `root`, each with its digest and label, for [`Source::listed`]; `None` for images
    /// in memory, and for names that are no lines of text.
    #[cfg_attr(not(feature = "folders"), expect(unused_variables, reason = "only image folders have files"))]
    pub fn list(&self, root: &Path) -> Option<String> {
        match self {
            Self::Held(_) => None,
            #[cfg(feature = "folders")]
            Self::Files(files) => files.list(root),
        }
    }

    /// The files of a list below `root`, scaled to `size` where that is given; `about` says what they decode to. Files
    /// that are gone or broken since are left out, see [`Source::gone`].
    ///
    /// # Errors
    /// A file that is another picture now, and a damaged list.
    #[cfg(feature = "folders")]
    pub fn listed(
        about: Images,
        list: &str,
        root: &Path,
        size: Option<u32>,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Self, DataError> {
        Files::listed(about, list, root, size, progress).map(Self::Files)
    }

    /// The pictures that are known to be broken or gone.
    pub fn gone(&self) -> Vec<&Path> {
        match self {
            Self::Held(_) => vec![],
            #[cfg(feature = "folders")]
            Self::Files(files) => files.gone(),
        }
    }

    /// Reads all images.
    ///
    /// # Errors
    /// As [`Source::pixels`].
    #[cfg_attr(not(feature = "folders"), expect(unused_variables, reason = "only image folders take long"))]
    pub fn read(self, progress: &mut dyn FnMut(&Progress)) -> Result<Images, DataError> {
        match self {
            Self::Held(images) => Ok(images),
            #[cfg(feature = "folders")]
            Self::Files(files) => {
                let rows: Vec<u32> = (0..files.about.count as u32).collect();
                Ok(Images { pixels: files.pixels(&rows, progress)?, ..files.about })
            }
        }
    }

    /// Decodes every image once and keeps none: whoever reads rows later meets no broken file, unless it changes.
    ///
    /// # Errors
    /// As [`Source::pixels`]; the error names the first broken picture and counts the others.
    #[cfg_attr(not(feature = "folders"), expect(unused_variables, reason = "only image folders take long"))]
    pub fn check(&self, progress: &mut dyn FnMut(&Progress)) -> Result<(), DataError> {
        match self {
            Self::Held(_) => Ok(()),
            #[cfg(feature = "folders")]
            Self::Files(files) => files.check(progress),
        }
    }

    /// Gives `take` bytes that tell these images from others: pixels and labels, or the digest of the files.
    pub fn identify(&self, mut take: impl FnMut(&[u8])) {
        match self {
            Self::Held(images) => {
                take(&images.pixels);
                take(images.labels.as_deref().unwrap_or_default());
            }
            #[cfg(feature = "folders")]
            Self::Files(files) => take(&files.digest),
        }
    }
}

impl DataSet<Source> {
    /// Reads all images.
    ///
    /// # Errors
    /// As [`Source::pixels`].
    pub fn read(self, progress: &mut dyn FnMut(&Progress)) -> Result<DataSet, DataError> {
        let about = self.with((), ());
        Ok(about.with(self.train.read(progress)?, self.test.read(progress)?))
    }
}

impl DataSet {
    /// The same data set as a source, and grey where that is asked for. Images in memory are not scaled.
    pub(super) fn fit(self, size: Option<u32>, grey: bool) -> Result<DataSet<Source>, DataError> {
        let (height, width, channels) = (self.train.height, self.train.width, self.train.channels);
        if size.is_some_and(|n| [n as usize; 2] != [height, width]) {
            return Err(DataError::OneSize { name: self.name, size: [height, width] });
        }
        let about = self.with((), ());
        let sets = [self.train, self.test];
        let lossy = about.lossy || (grey && sets.iter().any(Images::coloured));
        let [train, test] =
            sets.map(|images| if grey && channels == 3 { images.grey() } else { images }).map(Source::Held);
        Ok(DataSet { lossy, ..about.with(train, test) })
    }
}
