//! An IDX header is a claim, and the file is read only as far as the claim and one byte more.
//!
//! IDX is what MNIST, Fashion-MNIST, KMNIST and EMNIST are published in: four bytes of magic, a
//! big-endian `u32` per dimension, then plain `u8` values. Files may be raw or gzip (told apart
//! by content, since browsers unpack `.gz` and keep the name). A claim is checked against fixed
//! bounds first; then memory grows with the bytes that really arrive, so neither a header that
//! lies nor a gzip bomb costs more than those bounds.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::{DataError, DataSet, Images};

/// The largest height or width that is read, in pixels.
pub const MAX_SIDE: u32 = 1024;
/// The most pixel bytes that are read from one file, decompressed.
pub const MAX_BYTES: u64 = 1 << 30;

/// Unsigned bytes in three dimensions.
const IMAGES_MAGIC: u32 = 0x0803;
/// Unsigned bytes in one dimension.
const LABELS_MAGIC: u32 = 0x0801;

/// Loads train and test images, and labels where there are any, from `folder`.
///
/// Looks for `train-images-idx3-ubyte`, `t10k-images-idx3-ubyte`, `train-labels-idx1-ubyte` and
/// `t10k-labels-idx1-ubyte`, also spelled `train-images.idx3-ubyte`, raw or with `.gz`. Images
/// come as `[N, H, W, 1]`. A split without a label file has `labels: None`; `classes` is the
/// largest label of both splits + 1, and 0 if neither has labels.
///
/// # Errors
/// A missing folder or image file, and any file that is not exactly what its header claims.
pub fn load_folder(folder: &Path) -> Result<DataSet, DataError> {
    if !folder.is_dir() {
        return Err(DataError::MissingFolder { path: folder.to_owned() });
    }
    // All files are looked up first, so that a missing one is told before a long read.
    let files = ["train", "t10k"].map(|split| {
        let images = find(folder, split, "images", 3)?;
        let images = images.ok_or_else(|| DataError::MissingFile {
            folder: folder.to_owned(),
            looked_for: spellings(split, "images", 3).to_vec(),
        })?;
        Ok((images, find(folder, split, "labels", 1)?))
    });
    let [train_files, test_files] = files;
    let (train_files, test_files) = (train_files?, test_files?);

    let mut train = read_split(&train_files.0, train_files.1.as_deref())?;
    let mut test = read_split(&test_files.0, test_files.1.as_deref())?;
    let sizes = [&train, &test].map(|images| [images.height, images.width]);
    if sizes[0] != sizes[1] {
        return Err(DataError::SizeMismatch { path: test_files.0, train: sizes[0], test: sizes[1] });
    }
    train.classes = train.classes.max(test.classes);
    test.classes = train.classes;
    let name = folder.file_name().unwrap_or(folder.as_os_str());
    Ok(DataSet { name: name.to_string_lossy().into_owned(), train, test, lossy: false })
}

/// Whether any of the four files is in the folder.
pub fn is_here(folder: &Path) -> bool {
    let names = ["train", "t10k"]
        .into_iter()
        .flat_map(|split| [spellings(split, "images", 3), spellings(split, "labels", 1)]);
    names.flatten().any(|name| folder.join(name).is_file())
}

/// What a file with this magic number seems to be, as the end of "it ...".
pub(super) fn looks_like(magic: u32) -> &'static str {
    match magic {
        LABELS_MAGIC => "looks like a labels file; are images and labels swapped?",
        IMAGES_MAGIC => "looks like an images file; are images and labels swapped?",
        0x0800..=0x0eff => "looks like an IDX file of another type or number of dimensions",
        _ => "does not look like an IDX file",
    }
}

/// The accepted names of a file, in the order in which they are tried.
fn spellings(split: &str, kind: &str, dimensions: u8) -> [String; 4] {
    [("-", ""), ("-", ".gz"), (".", ""), (".", ".gz")]
        .map(|(dot, gz)| format!("{split}-{kind}{dot}idx{dimensions}-ubyte{gz}"))
}

/// The first spelling that is a file in `folder`, if any.
fn find(folder: &Path, split: &str, kind: &str, dimensions: u8) -> Result<Option<PathBuf>, DataError> {
    for name in spellings(split, kind, dimensions) {
        let path = folder.join(name);
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

/// Reads one split's images and, where a path is given, its labels.
fn read_split(images: &Path, labels: Option<&Path>) -> Result<Images, DataError> {
    let mut images = read_images(images)?;
    if let Some(path) = labels {
        let labels = read_labels(path, images.count)?;
        images.classes = labels.iter().max().map_or(0, |&top| usize::from(top) + 1);
        images.labels = Some(labels);
    }
    Ok(images)
}

/// Reads an images file, `[N, H, W, 1]`, without labels.
fn read_images(path: &Path) -> Result<Images, DataError> {
    let mut source = Source::open(path)?;
    let [n, h, w] = source.header(IMAGES_MAGIC)?;
    let refuse = |why| DataError::Dimensions { path: path.to_owned(), claimed: [n, h, w], why };
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

/// Reads a labels file, `[images]`.
fn read_labels(path: &Path, images: usize) -> Result<Vec<u8>, DataError> {
    let mut source = Source::open(path)?;
    let [labels] = source.header(LABELS_MAGIC)?;
    if labels as usize != images {
        return Err(DataError::LabelCount { path: path.to_owned(), labels, images });
    }
    source.body(u64::from(labels))
}

/// A file being read, decompressed on the way where it is gzip.
struct Source<'a> {
    path: &'a Path,
    reader: Box<dyn Read>,
    gzip: bool,
    /// Bytes read so far, after decompression.
    taken: u64,
}

impl<'a> Source<'a> {
    fn open(path: &'a Path) -> Result<Self, DataError> {
        let (reader, gzip) = open(path).map_err(|source| DataError::Io { path: path.to_owned(), source })?;
        Ok(Self { path, reader, gzip, taken: 0 })
    }

    /// Up to `limit` bytes; fewer only at the end of the file.
    fn read(&mut self, limit: u64) -> Result<Vec<u8>, DataError> {
        // No capacity is reserved: the buffer grows with what arrives, not with what is claimed.
        let mut bytes = Vec::new();
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
            return Err(DataError::Magic { path: self.path.to_owned(), expected: magic, found });
        }
        if self.taken < size {
            return Err(self.truncated(size));
        }
        Ok(std::array::from_fn(|_| words.next().expect("a whole header")))
    }

    /// The `size` bytes after the header, which must also be the last.
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

/// Opens a file; the flag says whether it is gzip.
fn open(path: &Path) -> io::Result<(Box<dyn Read>, bool)> {
    let mut file = File::open(path)?;
    let mut start = Vec::new();
    file.by_ref().take(2).read_to_end(&mut start)?;
    file.rewind()?;
    let file = BufReader::new(file);
    if start == [0x1f, 0x8b] {
        Ok((Box::new(MultiGzDecoder::new(file)), true))
    } else {
        Ok((Box::new(file), false))
    }
}

#[cfg(test)]
mod tests;
