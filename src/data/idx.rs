//! An IDX header is a claim; the file is read only as far as its header claims, and one byte more.
//!
//! MNIST, Fashion-MNIST, KMNIST and EMNIST are published as IDX: four bytes of magic, a
//! big-endian `u32` per dimension, then plain `u8` values. Files may be raw or gzip (told apart
//! by content, since browsers unpack `.gz` and keep the name). A claim is checked against fixed
//! bounds and the file's size first, so that neither a header that lies nor a gzip bomb costs more than four times
//! the file and 64 MiB.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::error::DataError;
use super::images::{DataSet, Images};
pub use super::images::{MAX_BYTES, MAX_SIDE};

/// The magic number of unsigned bytes in three dimensions.
const IMAGES_MAGIC: u32 = 0x0803;
/// The magic number of unsigned bytes in one dimension.
const LABELS_MAGIC: u32 = 0x0801;
/// The memory that a gzip file's contents may take, whatever its size; of the 64 MiB that a file may cost, the decoder
/// has the rest.
const ROOM: u64 = 63 << 20;
/// What EMNIST's files (Cohen et al. 2017) begin with.
const EMNIST: &str = "emnist-";

/// Where the four files of a data set lie.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    folder: PathBuf,
    /// What the names begin with: nothing for MNIST, `emnist-letters-` and the like for EMNIST.
    prefix: String,
}

/// Loads train and test images, and labels where there are any, from `folder`.
///
/// It looks for `train-images-idx3-ubyte`, `t10k-images-idx3-ubyte`, `train-labels-idx1-ubyte` and
/// `t10k-labels-idx1-ubyte`, also spelled `train-images.idx3-ubyte`, raw or with `.gz`. Images
/// come as `[N, H, W, 1]`. A split without a label file has `labels: None`; the classes are the labels that occur.
///
/// # Errors
/// A missing folder or image file, any file that is not exactly what its header claims, and test images of a class
/// without training images.
pub fn load_folder(folder: &Path) -> Result<DataSet, DataError> {
    Place { folder: folder.to_owned(), prefix: String::new() }.load()
}

/// The data sets of which any file lies in the folder.
pub(super) fn places(folder: &Path) -> Vec<Place> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.path().is_file());
    let prefix = |entry: fs::DirEntry| prefix(entry.file_name().to_str()?).map(str::to_owned);
    let mut found: Vec<Place> =
        files.filter_map(prefix).map(|prefix| Place { folder: folder.to_owned(), prefix }).collect();
    found.sort();
    found.dedup();
    // MNIST's own names are not those of one data set among several.
    if found.first().is_some_and(|place| place.prefix.is_empty()) {
        found.truncate(1);
    }
    found
}

/// What a file's name begins with, if it is that of a data set's file.
fn prefix(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".gz").unwrap_or(name).strip_suffix("-ubyte")?;
    let kinds = ["images-idx3", "images.idx3", "labels-idx1", "labels.idx1"];
    let split = kinds.iter().find_map(|kind| name.strip_suffix(kind))?;
    let prefix = ["train-", "t10k-", "test-"].iter().find_map(|part| split.strip_suffix(part))?;
    (prefix.is_empty() || prefix.ends_with('-')).then_some(prefix)
}

impl Place {
    /// The path by which users name this data set: the folder, or one data set of several in it.
    pub(super) fn path(&self) -> PathBuf {
        match self.prefix.strip_suffix('-') {
            Some(name) => self.folder.join(name),
            None => self.folder.clone(),
        }
    }

    /// Loads the data set.
    ///
    /// # Errors
    /// As [`load_folder`].
    pub(super) fn load(&self) -> Result<DataSet, DataError> {
        if !self.folder.is_dir() {
            return Err(DataError::MissingFolder { path: self.folder.clone() });
        }
        // All files are looked up first, so that a missing one is told before a long read.
        let test = if self.prefix.is_empty() { "t10k" } else { "test" };
        let [train_files, test_files] = ["train", test].map(|split| {
            let images = self.find(split, "images", 3)?;
            let images = images.ok_or_else(|| DataError::MissingFile {
                folder: self.folder.clone(),
                looked_for: self.spellings(split, "images", 3).to_vec(),
            })?;
            Ok((images, self.find(split, "labels", 1)?))
        });
        let (train_files, test_files) = (train_files?, test_files?);
        let read = |(images, labels): &(PathBuf, Option<PathBuf>)| read_split(images, labels.as_deref());
        let (mut train, mut test) = (read(&train_files)?, read(&test_files)?);
        let sizes = [&train, &test].map(|images| [images.height, images.width]);
        if sizes[0] != sizes[1] {
            return Err(DataError::SizeMismatch { path: test_files.0, train: sizes[0], test: sizes[1] });
        }
        // EMNIST's images lie on their sides, mirrored.
        if self.prefix.starts_with(EMNIST) {
            transpose(&mut train);
            transpose(&mut test);
        }
        let mut set = DataSet::new(self.name(), train, test);
        let test = test_files.1.unwrap_or(test_files.0);
        set.number_classes(&test, "add some, or leave the test images of these out", |label| {
            label.to_string()
        })?;
        Ok(set)
    }

    /// The data set's name: its prefix, or the folder's name, or that of the folder around torchvision's `raw`.
    fn name(&self) -> String {
        let path = self.path();
        let named = if path.ends_with("raw") { path.parent().unwrap_or(&path) } else { &path };
        named.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
    }

    /// The accepted names of a file, in the order in which they are tried.
    fn spellings(&self, split: &str, kind: &str, dimensions: u8) -> [String; 4] {
        let prefix = &self.prefix;
        [("-", ""), ("-", ".gz"), (".", ""), (".", ".gz")]
            .map(|(dot, gz)| format!("{prefix}{split}-{kind}{dot}idx{dimensions}-ubyte{gz}"))
    }

    /// The first spelling that is a file in the folder, if any.
    fn find(&self, split: &str, kind: &str, dimensions: u8) -> Result<Option<PathBuf>, DataError> {
        for name in self.spellings(split, kind, dimensions) {
            let path = self.folder.join(name);
            match fs::metadata(&path) {
                Ok(found) if found.is_file() => return Ok(Some(path)),
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(DataError::Io { path, source });
                }
                _ => {}
            }
        }
        Ok(None)
    }
}

/// What a file with this magic number seems to be, as the end of "it ...".
fn looks_like(magic: u32) -> &'static str {
    match magic {
        LABELS_MAGIC => "looks like a labels file; are images and labels swapped?",
        IMAGES_MAGIC => "looks like an images file; are images and labels swapped?",
        0x0800..=0x0eff => "looks like an IDX file of another type or number of dimensions",
        _ => "does not look like an IDX file",
    }
}

/// Reads one split's images and, where a path is given, its labels as they are.
fn read_split(images: &Path, labels: Option<&Path>) -> Result<Images, DataError> {
    let mut images = read_images(Source::open(images)?)?;
    let labels = labels.map(|path| read_labels(Source::open(path)?, images.count));
    images.labels = labels.transpose()?;
    Ok(images)
}

/// Makes a data set of the bytes of one images file and, where there is one, of its labels file, raw or gzip, as a
/// browser has them. The last tenth of the images, at least one, is the test set. Names are for messages.
///
/// # Errors
/// Fails for bytes that are not exactly what their header claims, for another number of labels than of images, for a
/// single image, and for a class that only the last tenth has.
pub fn parse(images: (&str, &[u8]), labels: Option<(&str, &[u8])>) -> Result<DataSet, DataError> {
    fn source<'a>((name, bytes): (&'a str, &'a [u8])) -> Result<Source<'a>, DataError> {
        let (path, size) = (Path::new(name), bytes.len() as u64);
        Source::new(path, io::Cursor::new(bytes), size)
            .map_err(|source| DataError::Io { path: path.to_owned(), source })
    }
    let mut train = read_images(source(images)?)?;
    if train.count == 1 {
        let claimed = [1, train.height as u32, train.width as u32];
        let why = "one image leaves none to measure on";
        return Err(DataError::Dimensions { path: images.0.into(), claimed, why });
    }
    train.labels = labels.map(|labels| read_labels(source(labels)?, train.count)).transpose()?;
    let held = train.count.div_ceil(10);
    train.count -= held;
    let test = Images {
        count: held,
        pixels: train.pixels.split_off(train.count * train.height * train.width),
        labels: train.labels.as_mut().map(|labels| labels.split_off(train.count)),
        ..train
    };
    let mut set = DataSet::new(images.0, train, test);
    let advice = "the last tenth of the images is held out: shuffle them, or leave the labels out";
    set.number_classes(Path::new(images.0), advice, |label| label.to_string())?;
    Ok(set)
}

/// Reads an images file, `[N, H, W, 1]`, without labels.
pub(super) fn read_images(mut source: Source) -> Result<Images, DataError> {
    let [n, h, w] = source.header(IMAGES_MAGIC)?;
    let refuse = |why| DataError::Dimensions { path: source.path.to_owned(), claimed: [n, h, w], why };
    if n == 0 {
        return Err(refuse("there are no images in it"));
    }
    if h == 0 || w == 0 {
        return Err(refuse("an image without pixels"));
    }
    if h > MAX_SIDE || w > MAX_SIDE {
        return Err(refuse("a side is longer than 1024 pixels"));
    }
    let size = [n, h, w]
        .iter()
        .try_fold(1_u64, |size, &side| size.checked_mul(u64::from(side)))
        .filter(|&size| size <= MAX_BYTES)
        .ok_or_else(|| refuse("more than 1 GiB of pixels"))?;
    if source.gzip && size > source.room {
        return Err(refuse("more than 4 times the gzip file and 63 MiB; unpack it first"));
    }
    Ok(Images {
        count: n as usize,
        height: h as usize,
        width: w as usize,
        channels: 1,
        classes: 0,
        pixels: source.body(size)?,
        labels: None,
    })
}

/// Turns the columns of all images into rows.
fn transpose(images: &mut Images) {
    let (height, width) = (images.height, images.width);
    for image in images.pixels.chunks_mut(height * width) {
        let old = image.to_vec();
        for (at, value) in image.iter_mut().enumerate() {
            *value = old[at % height * width + at / height];
        }
    }
    (images.height, images.width) = (width, height);
}

/// Reads a labels file, `[images]`.
pub(super) fn read_labels(mut source: Source, images: usize) -> Result<Vec<u8>, DataError> {
    let [labels] = source.header(LABELS_MAGIC)?;
    if labels as usize != images {
        return Err(DataError::LabelCount { path: source.path.to_owned(), labels, images });
    }
    source.body(u64::from(labels))
}

/// A file that is being read, decompressed on the way where it is gzip.
pub(super) struct Source<'a> {
    path: &'a Path,
    reader: Box<dyn Read + 'a>,
    gzip: bool,
    /// The bytes that its contents may take: the file's own, or of gzip four times as many and [`ROOM`].
    room: u64,
    /// The bytes that were read so far, after decompression.
    taken: u64,
}

impl<'a> Source<'a> {
    fn open(path: &'a Path) -> Result<Self, DataError> {
        let unreadable = |source| DataError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        Self::new(path, file, size).map_err(unreadable)
    }

    /// The contents of a file, which has `size` bytes; the path is for messages.
    pub(super) fn new(path: &'a Path, mut file: impl Read + Seek + 'a, size: u64) -> io::Result<Self> {
        let mut start = Vec::new();
        file.by_ref().take(2).read_to_end(&mut start)?;
        file.rewind()?;
        let (file, gzip) = (BufReader::new(file), start == [0x1f, 0x8b]);
        let room = if gzip { size.saturating_mul(4).saturating_add(ROOM) } else { size };
        let reader: Box<dyn Read + 'a> =
            if gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        Ok(Self { path, reader, gzip, room, taken: 0 })
    }

    /// Reads up to `limit` bytes; fewer only at the end of the file.
    fn read(&mut self, limit: u64) -> Result<Vec<u8>, DataError> {
        // Reserved once: a buffer that grows is held twice while it moves.
        let mut bytes = Vec::with_capacity(limit.min(self.room) as usize);
        let result = self.reader.by_ref().take(limit).read_to_end(&mut bytes);
        self.taken += bytes.len() as u64;
        match result {
            Ok(_) => Ok(bytes),
            Err(source) if self.gzip => Err(DataError::Gzip { path: self.path.to_owned(), source }),
            Err(source) => Err(DataError::Io { path: self.path.to_owned(), source }),
        }
    }

    /// Checks the magic number and reads `D` dimensions.
    fn header<const D: usize>(&mut self, magic: u32) -> Result<[u32; D], DataError> {
        let size = 4 + 4 * D as u64;
        let bytes = self.read(size)?;
        let mut words =
            bytes.chunks_exact(4).map(|word| u32::from_be_bytes(word.try_into().expect("chunks of four")));
        // A wrong magic tells more than a short file does, so it is told first.
        if let Some(found) = words.next().filter(|&found| found != magic) {
            let (path, seems) = (self.path.to_owned(), looks_like(found));
            return Err(DataError::Magic { path, expected: magic, found, seems });
        }
        if self.taken < size {
            return Err(self.truncated(size));
        }
        Ok(std::array::from_fn(|_| words.next().expect("a whole header")))
    }

    /// Reads the `size` bytes after the header, which must also be the last.
    fn body(&mut self, size: u64) -> Result<Vec<u8>, DataError> {
        let expected = self.taken + size;
        // The byte beyond finds trailing data, and makes gzip check its sum at the end.
        let bytes = self.read(size + 1)?;
        if self.taken < expected {
            return Err(self.truncated(expected));
        }
        if self.taken > expected {
            return Err(DataError::Oversized { path: self.path.to_owned(), expected });
        }
        Ok(bytes)
    }

    fn truncated(&self, expected: u64) -> DataError {
        DataError::Truncated { path: self.path.to_owned(), expected, found: self.taken }
    }
}

#[cfg(test)]
mod tests;
