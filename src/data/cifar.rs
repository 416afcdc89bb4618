//! CIFAR-10 and CIFAR-100 as they were published (Krizhevsky 2009), the binary versions: files of records, a record
//! being a label (of CIFAR-100 two, of which the second, the fine one, is taken) and the planes R, G, B of 32 x 32
//! bytes, which become channels of a pixel here.
//!
//! The files are read from a folder, or straight from `cifar-10-binary.tar.gz`: nothing is unpacked to the disk, so an
//! archive can write nowhere, and of its entries only the names of the files count.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::DataError;
use super::images::{DataSet, Images};

/// The height and width of an image, in pixels.
pub const SIDE: usize = 32;
/// The archive that holds the files of CIFAR-10.
pub const ARCHIVE: &str = "cifar-10-binary.tar.gz";
const PLANE: usize = SIDE * SIDE;
const PIXELS: usize = 3 * PLANE;
/// The most bytes that are read of a file that names classes.
const NAMES: u64 = 1 << 16;

/// One of the two data sets, as files.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Kind {
    name: &'static str,
    /// The folder within the archive.
    inner: &'static str,
    train: &'static [&'static str],
    test: &'static str,
    /// The records of a training file and of the test file.
    records: [usize; 2],
    /// The bytes of a record before its pixels; the last of them is the class.
    labels: usize,
    classes: usize,
    /// The file that names the classes, one a line.
    names: &'static str,
    /// The folder of the version for Python, and the files in it, of which any one tells it.
    python: (&'static str, &'static [&'static str]),
}

const CIFAR_10: Kind = Kind {
    name: "CIFAR-10",
    inner: "cifar-10-batches-bin",
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: "test_batch.bin",
    records: [10_000, 10_000],
    labels: 1,
    classes: 10,
    names: "batches.meta.txt",
    python: (
        "cifar-10-batches-py",
        &[
            "data_batch_1",
            "data_batch_2",
            "data_batch_3",
            "data_batch_4",
            "data_batch_5",
            "test_batch",
            "batches.meta",
        ],
    ),
};

const CIFAR_100: Kind = Kind {
    name: "CIFAR-100",
    inner: "cifar-100-binary",
    train: &["train.bin"],
    test: "test.bin",
    records: [50_000, 10_000],
    labels: 2,
    classes: 100,
    names: "fine_label_names.txt",
    python: ("cifar-100-python", &["meta", "train", "test"]),
};

/// Both data sets in files of two records, for tests and fuzzing.
#[cfg(any(test, fuzzing))]
pub(super) const SMALL: [Kind; 2] =
    [Kind { records: [2, 2], ..CIFAR_10 }, Kind { records: [2, 2], ..CIFAR_100 }];

/// Where a data set's files lie.
#[derive(Debug, Clone)]
pub(super) struct Place {
    kind: Kind,
    folder: PathBuf,
}

/// The data set whose first file is in the folder itself.
pub(super) fn here(folder: &Path) -> Option<Place> {
    let kinds = [CIFAR_10, CIFAR_100].into_iter();
    let mut found = kinds.filter(|kind| folder.join(kind.train[0]).is_file());
    found.next().map(|kind| Place { kind, folder: folder.to_owned() })
}

/// The data sets in folders of their published names within this one.
pub(super) fn within(folder: &Path) -> impl Iterator<Item = Place> + '_ {
    [CIFAR_10, CIFAR_100].into_iter().filter_map(|kind| here(&folder.join(kind.inner)))
}

/// The folder of a data set in the version for Python, and the version that can be read instead.
pub(super) fn pickles(folder: &Path) -> Option<(PathBuf, String)> {
    let folders = |kind: &Kind| [folder.to_owned(), folder.join(kind.python.0)];
    [CIFAR_10, CIFAR_100].iter().find_map(|kind| {
        let any = |folder: &PathBuf| kind.python.1.iter().any(|file| folder.join(file).is_file());
        let wanted =
            format!("{}'s binary version, the folder {} with {}", kind.name, kind.inner, kind.train[0]);
        folders(kind).into_iter().find(any).map(|folder| (folder, wanted))
    })
}

impl Place {
    /// The folder.
    pub(super) fn path(&self) -> &Path {
        &self.folder
    }

    /// Loads the data set: CIFAR-10 has train images `[50000, 32, 32, 3]` and test images `[10000, 32, 32, 3]` in six
    /// files, CIFAR-100 as many in two.
    ///
    /// # Errors
    /// A file that is missing, has not exactly its records, or holds a label of no class.
    pub(super) fn load(&self) -> Result<DataSet, DataError> {
        let Self { kind, folder } = self;
        let missing: Vec<String> = kind
            .files()
            .filter(|(file, _)| !folder.join(file).is_file())
            .map(|(file, _)| file.to_string())
            .collect();
        if !missing.is_empty() {
            return Err(DataError::MissingFile { folder: folder.clone(), looked_for: missing });
        }
        let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy();
        let named = read_file(&folder.join(kind.names), NAMES).ok();
        kind.collect(&name, named, |file, bytes| {
            let path = folder.join(file);
            read_file(&path, bytes + 1)
                .map_err(|source| DataError::Io { path: path.clone(), source })
                .map(|bytes| (path, bytes))
        })
    }
}

/// Loads the files of a folder with CIFAR-10, see [`ARCHIVE`], or with CIFAR-100.
///
/// # Errors
/// A file that is missing, has not exactly its records, or holds a label of no class.
pub fn load_folder(folder: &Path) -> Result<DataSet, DataError> {
    here(folder).unwrap_or(Place { kind: CIFAR_10, folder: folder.to_owned() }).load()
}

/// Loads CIFAR-10 from the archive as it was published.
///
/// # Errors
/// An archive that does not unpack or holds more than it should, and as [`load_folder`].
#[cfg(feature = "download")]
pub fn load_archive(path: &Path) -> Result<DataSet, DataError> {
    in_archive(CIFAR_10, path)
}

#[cfg(feature = "download")]
fn in_archive(kind: Kind, path: &Path) -> Result<DataSet, DataError> {
    let unreadable = |source| DataError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    unpack(kind, path, io::BufReader::new(file), size)
}

/// Reads a data set out of an archive of `size` bytes; the path is for messages.
#[cfg(feature = "download")]
pub(super) fn unpack(
    kind: Kind,
    path: &Path,
    file: impl io::BufRead,
    size: u64,
) -> Result<DataSet, DataError> {
    let broken = |source| DataError::Gzip { path: path.to_owned(), source };
    // The files are held twice, as they are and as images, and all of that is to stay within four times the archive
    // and 64 MiB; the published one holds little more than its own size.
    let most = 2 * size + (32 << 20);
    let unpacked = flate2::bufread::GzDecoder::new(file).take(most);
    let mut archive = tar::Archive::new(unpacked);
    let mut found = std::collections::HashMap::new();
    let wanted: Vec<(&str, u64)> = kind.files().chain([(kind.names, NAMES)]).collect();
    // Raw, since long names and other extensions are read into memory whole.
    for entry in archive.entries().map_err(broken)?.raw(true) {
        let entry = entry.map_err(broken)?;
        let inside = entry.path().map_err(broken)?.into_owned();
        let wanted = wanted.iter().find(|(file, _)| inside == Path::new(kind.inner).join(file));
        if let Some((file, bytes)) = wanted.filter(|_| entry.header().entry_type().is_file()) {
            let size = entry.size();
            found.insert(*file, read(entry, size, bytes + 1).map_err(broken)?);
        }
    }
    let named = found.remove(kind.names);
    kind.collect("cifar10", named, |file, _| match found.remove(file) {
        Some(bytes) => Ok((path.join(kind.inner).join(file), bytes)),
        None => Err(DataError::MissingFile {
            folder: path.to_owned(),
            looked_for: vec![format!("{}/{file}", kind.inner)],
        }),
    })
}

/// The bytes of a file, at most so many; the file says that it has `size`.
fn read(from: impl Read, size: u64, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(size.min(most) as usize);
    from.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_file(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    read(file, size, most)
}

impl Kind {
    /// The files and how many bytes each has.
    fn files(self) -> impl Iterator<Item = (&'static str, u64)> {
        let bytes = move |records| (records * (self.labels + PIXELS)) as u64;
        let test = (self.test, bytes(self.records[1]));
        self.train.iter().map(move |file| (*file, bytes(self.records[0]))).chain([test])
    }

    /// The data set from the contents of its files, which `file` gives by name, with the bytes to expect.
    pub(super) fn collect(
        self,
        name: &str,
        class_names: Option<Vec<u8>>,
        mut file: impl FnMut(&'static str, u64) -> Result<(PathBuf, Vec<u8>), DataError>,
    ) -> Result<DataSet, DataError> {
        let mut last = PathBuf::new();
        let mut split = |test: bool| {
            let (mut pixels, mut labels) = (vec![], vec![]);
            for (name, expected) in self.files().filter(|(name, _)| (*name == self.test) == test) {
                let (path, bytes) = file(name, expected)?;
                self.append(&path, &bytes, expected, &mut pixels, &mut labels)?;
                last = path;
            }
            let (count, classes, labels) = (labels.len(), self.classes, Some(labels));
            Ok(Images { count, height: SIDE, width: SIDE, channels: 3, classes, pixels, labels })
        };
        let mut set = DataSet::new(name, split(false)?, split(true)?);
        let text = String::from_utf8(class_names.unwrap_or_default()).unwrap_or_default();
        let names: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        // The last file is that of the test images.
        set.number_classes(&last, "fetch the files again", |label| {
            match names.get(usize::from(label)).filter(|_| names.len() == self.classes) {
                Some(name) => name.to_string(),
                None => label.to_string(),
            }
        })?;
        Ok(set)
    }

    /// Appends a file's images, channels last, and labels.
    fn append(
        self,
        path: &Path,
        bytes: &[u8],
        expected: u64,
        pixels: &mut Vec<u8>,
        labels: &mut Vec<u8>,
    ) -> Result<(), DataError> {
        match bytes.len() as u64 {
            found if found < expected => {
                return Err(DataError::Truncated { path: path.to_owned(), expected, found });
            }
            found if found > expected => {
                return Err(DataError::Oversized { path: path.to_owned(), expected });
            }
            _ => {}
        }
        pixels.reserve_exact(bytes.len());
        for (at, record) in bytes.chunks_exact(self.labels + PIXELS).enumerate() {
            let (label, planes) = (record[self.labels - 1], &record[self.labels..]);
            if usize::from(label) >= self.classes {
                let classes = self.classes;
                return Err(DataError::Label { path: path.to_owned(), record: at, label, classes });
            }
            labels.push(label);
            pixels.extend((0..PLANE).flat_map(|p| [planes[p], planes[PLANE + p], planes[2 * PLANE + p]]));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests;
