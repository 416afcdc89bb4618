//! Where images come from when they are wanted: bytes that are held already, or files that are decoded on demand.

#[cfg(feature = "folders")]
use super::folder::Files;
use super::{DataError, DataSet, Images, Progress};

/// Images that can be read, in whole or some rows at a time: the same bytes either way.
#[derive(Debug, Clone)]
pub enum Source {
    /// In memory.
    Held(Images),
    /// In files, one an image.
    #[cfg(feature = "folders")]
    Files(Files),
}

impl Source {
    /// How many, how large, of which classes; without pixels where these are in files.
    pub fn about(&self) -> &Images {
        match self {
            Self::Held(images) => images,
            #[cfg(feature = "folders")]
            Self::Files(files) => &files.about,
        }
    }

    /// Bytes of one image.
    pub fn row(&self) -> usize {
        let about = self.about();
        about.height * about.width * about.channels
    }

    /// Bytes of all images.
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

    /// All of them.
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

    /// Gives `take` bytes that are others where the images are: pixels and labels, or the digest of the files.
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
        Ok(DataSet {
            name: self.name,
            train: self.train.read(progress)?,
            test: self.test.read(progress)?,
            lossy: self.lossy,
        })
    }

    /// The images as they were asked for, where they are held: other than files, they are not scaled.
    pub(super) fn fit(self, size: Option<u32>, grey: bool) -> Result<Self, DataError> {
        let Self { name, train, test, lossy } = self;
        let (height, width, channels) = (train.about().height, train.about().width, train.about().channels);
        if size.is_some_and(|n| [n as usize; 2] != [height, width]) {
            return Err(DataError::OneSize { name, size: [height, width] });
        }
        let grey = grey && channels == 3;
        let [train, test] = [train, test].map(|source| match source {
            Source::Held(images) if grey => Source::Held(images.grey()),
            other => other,
        });
        Ok(Self { name, train, test, lossy: lossy || grey })
    }
}

impl DataSet {
    /// The same, as sources.
    pub(super) fn held(self) -> DataSet<Source> {
        DataSet {
            name: self.name,
            train: Source::Held(self.train),
            test: Source::Held(self.test),
            lossy: self.lossy,
        }
    }
}

impl Images {
    /// Colours to grey, [`luma`] of each pixel.
    fn grey(self) -> Self {
        let pixels = self.pixels.chunks_exact(3).map(|p| luma([p[0], p[1], p[2]])).collect();
        Self { channels: 1, pixels, ..self }
    }
}

/// The brightness of a colour by Rec. 709's weights, rounded.
pub(super) fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((2_126 * u32::from(r) + 7_152 * u32::from(g) + 722 * u32::from(b) + 5_000) / 10_000) as u8
}
