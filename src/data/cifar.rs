//! CIFAR-10 as it was published (Krizhevsky 2009), the binary version: six files of 10,000 records, a record being a label
//! and the planes R, G, B of 32 x 32 bytes, which become channels of a pixel here.
//!
//! The files are read from a folder, or straight from `cifar-10-binary.tar.gz`: nothing is unpacked to the disk, so an
//! archive can write nowhere, and of its entries only the six names count.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{DataError, DataSet, Images, Source};

/// Height and width of an image, in pixels.
pub const SIDE: usize = 32;
/// Number of classes.
pub const CLASSES: usize = 10;
/// The archive that holds the six files.
pub const ARCHIVE: &str = "cifar-10-binary.tar.gz";
/// The folder within the archive.
const INNER: &str = "cifar-10-batches-bin";
const TRAIN: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
const TEST: [&str; 1] = ["test_batch.bin"];
/// Records of one file.
const RECORDS: usize = 10_000;
const PLANE: usize = SIDE * SIDE;
const PIXELS: usize = 3 * PLANE;

/// The folder with the files: the one that is named, or `cifar-10-batches-bin` in it; `None` where neither holds the first.
pub fn find(folder: &Path) -> Option<PathBuf> {
    [folder.to_owned(), folder.join(INNER)].into_iter().find(|f| f.join(TRAIN[0]).is_file())
}

/// Loads the six files of a folder: train images `[50000, 32, 32, 3]`, test images `[10000, 32, 32, 3]`, with labels.
///
/// # Errors
/// A file that is missing, has not exactly 10,000 records, or holds a label above 9.
pub fn load_folder(folder: &Path) -> Result<DataSet<Source>, DataError> {
    let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy();
    in_folder(folder, &name, RECORDS)
}

fn in_folder(folder: &Path, name: &str, records: usize) -> Result<DataSet<Source>, DataError> {
    let missing: Vec<String> = TRAIN
        .iter()
        .chain(&TEST)
        .filter(|file| !folder.join(file).is_file())
        .map(|file| file.to_string())
        .collect();
    if !missing.is_empty() {
        return Err(DataError::MissingFile { folder: folder.to_owned(), looked_for: missing });
    }
    collect(name, records, |file| {
        let path = folder.join(file);
        let bytes = File::open(&path).and_then(|mut file| read(&mut file, records));
        bytes.map_err(|source| DataError::Io { path: path.clone(), source }).map(|bytes| (path, bytes))
    })
}

/// Loads the six files from the archive as it was published.
///
/// # Errors
/// An archive that does not unpack, and as [`load_folder`].
#[cfg(feature = "download")]
pub fn load_archive(path: &Path) -> Result<DataSet<Source>, DataError> {
    in_archive(path, RECORDS)
}

#[cfg(feature = "download")]
fn in_archive(path: &Path, records: usize) -> Result<DataSet<Source>, DataError> {
    let broken = |source| DataError::Gzip { path: path.to_owned(), source };
    let file = File::open(path).map_err(|source| DataError::Io { path: path.to_owned(), source })?;
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(io::BufReader::new(file)));
    let mut found = std::collections::HashMap::new();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let inside = entry.path().map_err(broken)?.into_owned();
        let wanted = TRAIN.iter().chain(&TEST).find(|file| inside == Path::new(INNER).join(file));
        if let Some(file) = wanted.filter(|_| entry.header().entry_type().is_file()) {
            found.insert(*file, read(&mut entry, records).map_err(broken)?);
        }
    }
    collect("cifar10", records, |file| match found.remove(file) {
        Some(bytes) => Ok((path.join(INNER).join(file), bytes)),
        None => Err(DataError::MissingFile {
            folder: path.to_owned(),
            looked_for: vec![format!("{INNER}/{file}")],
        }),
    })
}

/// A file, and at most one byte more than it should have.
fn read(from: &mut impl Read, records: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    from.take((records * (1 + PIXELS)) as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The data set from the contents of its files.
fn collect(
    name: &str,
    records: usize,
    mut file: impl FnMut(&'static str) -> Result<(PathBuf, Vec<u8>), DataError>,
) -> Result<DataSet<Source>, DataError> {
    let mut split = |files: &[&'static str]| {
        let (mut pixels, mut labels) = (Vec::with_capacity(files.len() * records * PIXELS), vec![]);
        for name in files {
            let (path, bytes) = file(name)?;
            append(&path, &bytes, records, &mut pixels, &mut labels)?;
        }
        let (count, labels) = (labels.len(), Some(labels));
        Ok(Source::Held(Images {
            count,
            height: SIDE,
            width: SIDE,
            channels: 3,
            classes: CLASSES,
            pixels,
            labels,
        }))
    };
    Ok(DataSet { name: name.to_owned(), train: split(&TRAIN)?, test: split(&TEST)?, lossy: false })
}

/// Appends a file's images, channels last, and labels.
fn append(
    path: &Path,
    bytes: &[u8],
    records: usize,
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u8>,
) -> Result<(), DataError> {
    let expected = (records * (1 + PIXELS)) as u64;
    match bytes.len() as u64 {
        found if found < expected => {
            return Err(DataError::Truncated { path: path.to_owned(), expected, found });
        }
        found if found > expected => return Err(DataError::Oversized { path: path.to_owned(), expected }),
        _ => {}
    }
    for (at, record) in bytes.chunks_exact(1 + PIXELS).enumerate() {
        let (label, planes) = (record[0], &record[1..]);
        if usize::from(label) >= CLASSES {
            return Err(DataError::Label { path: path.to_owned(), record: at, label, classes: CLASSES });
        }
        labels.push(label);
        pixels.extend((0..PLANE).flat_map(|p| [planes[p], planes[PLANE + p], planes[2 * PLANE + p]]));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::Folder;
    use std::fs;

    /// Two records: the value tells plane and place.
    fn batch(shift: usize) -> Vec<u8> {
        let record = |r: usize| {
            let planes = (0..PIXELS).map(move |i| (i / PLANE * 80 + i % PLANE / 16 + r + shift) as u8);
            std::iter::once((3 * r + shift) as u8 % 10).chain(planes)
        };
        (0..2).flat_map(record).collect()
    }

    fn written(name: &str) -> Folder {
        let dir = Folder::new(name);
        for (i, file) in TRAIN.iter().chain(&TEST).enumerate() {
            fs::write(dir.join(file), batch(i)).unwrap();
        }
        dir
    }

    fn load(dir: &Path) -> Result<DataSet<Source>, DataError> {
        in_folder(dir, "set", 2)
    }

    fn check(set: DataSet<Source>) {
        let set = set.read(&mut |_| ()).unwrap();
        let (train, test) = (&set.train, &set.test);
        assert_eq!(
            (train.count, test.count, train.height, train.width, train.channels, train.classes),
            (10, 2, 32, 32, 3, 10)
        );
        assert_eq!(train.labels.as_deref().unwrap()[..4], [0, 3, 1, 4]);
        // Pixel (1, 2) of the second image of the third file.
        let at = 5 * PIXELS + 3 * (SIDE + 2);
        assert_eq!(train.pixels[at..at + 3], [0, 80, 160].map(|plane| plane + (34 / 16) as u8 + 1 + 2));
        assert_eq!((train.pixels.len(), test.pixels[0], set.lossy), (10 * PIXELS, 5, false));
    }

    #[test]
    fn planes_become_channels_in_the_files_order() {
        check(load(&written("cifar-good")).unwrap());
    }

    #[cfg(feature = "download")]
    #[test]
    fn the_archive_gives_the_same_and_nothing_else_of_it_counts() {
        let (dir, mut packed) = (
            written("cifar-tar"),
            tar::Builder::new(flate2::write::GzEncoder::new(vec![], Default::default())),
        );
        let mut add = |name: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_old();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(bytes.len() as u64);
            header.set_entry_type(tar::EntryType::Regular);
            header.set_cksum();
            packed.append(&header, bytes).unwrap();
        };
        add("../data_batch_1.bin", b"elsewhere");
        add("cifar-10-batches-bin/readme.html", b"hello");
        for (i, file) in TRAIN.iter().chain(&TEST).enumerate() {
            add(&format!("{INNER}/{file}"), &batch(i));
        }
        let bytes = packed.into_inner().unwrap().finish().unwrap();
        let path = dir.join(ARCHIVE);
        fs::write(&path, &bytes).unwrap();
        check(in_archive(&path, 2).unwrap());
        let text = in_archive(&path, 3).unwrap_err().to_string();
        assert!(text.contains("truncated") && text.contains(TRAIN[0]), "{text}");
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let text = in_archive(&path, 2).unwrap_err().to_string();
        assert!(text.contains(ARCHIVE) && text.contains("cut-short"), "{text}");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_file() {
        let dir = written("cifar-bad");
        let fails = |what: &[&str]| {
            let text = load(&dir).unwrap_err().to_string();
            assert!(what.iter().all(|w| text.contains(w)) && text.lines().count() == 1, "{text}");
        };
        let file = dir.join(TRAIN[3]);
        fs::write(&file, &batch(3)[..5000]).unwrap();
        fails(&[TRAIN[3], "truncated", "6146", "5000"]);
        fs::write(&file, [batch(3), vec![0]].concat()).unwrap();
        fails(&[TRAIN[3], "trailing"]);
        let mut bad = batch(3);
        bad[1 + PIXELS] = 10;
        fs::write(&file, bad).unwrap();
        fails(&[TRAIN[3], "record 1", "label 10"]);
        fs::remove_file(&file).unwrap();
        fails(&[TRAIN[3], "missing"]);
    }

    #[test]
    fn the_inner_folder_is_found() {
        let dir = written("cifar-find");
        assert_eq!(find(&dir).as_deref(), Some(&*dir));
        let outer = Folder::new("cifar-outer");
        assert_eq!(find(&outer), None);
        fs::rename(&*dir, outer.join(INNER)).unwrap();
        assert_eq!(find(&outer), Some(outer.join(INNER)));
    }
}
