//! Small files of both kinds, the archive, and each way in which they can be wrong.

use super::*;
use crate::disk::scratch::Folder;
use std::fs;

/// Two records: the value tells plane and place.
fn batch(shift: usize) -> Vec<u8> {
    let record = |r: usize| {
        let planes = (0..PIXELS).map(move |i| (i / PLANE * 80 + i % PLANE / 16 + r + shift) as u8);
        std::iter::once((3 * r + shift) as u8 % 8).chain(planes)
    };
    (0..2).flat_map(record).collect()
}

/// CIFAR-10 in files of two records.
const SMALL: Kind = super::SMALL[0];

/// The names of the files, training first.
fn names() -> Vec<&'static str> {
    SMALL.files().map(|(name, _)| name).collect()
}

/// The six small files, and one that names the classes.
pub(in crate::data) fn files() -> Vec<(String, Vec<u8>)> {
    let named = names().into_iter().enumerate().map(|(i, name)| (name.to_owned(), batch(i)));
    named.chain([(SMALL.names.to_owned(), b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n".to_vec())]).collect()
}

fn written(name: &str) -> Folder {
    let dir = Folder::new(name);
    files()[..6].iter().for_each(|(file, bytes)| dir.put(file, bytes));
    dir
}

pub(in crate::data) fn load(dir: &Path) -> Result<DataSet, DataError> {
    Place { kind: SMALL, folder: dir.to_owned() }.load()
}

#[cfg(feature = "download")]
pub(in crate::data) fn load_packed(path: &Path) -> Result<DataSet, DataError> {
    in_archive(SMALL, path)
}

/// The header of a file in an archive; its type is `0`.
#[cfg(feature = "download")]
pub(in crate::data) fn tar_header(name: &str, size: u64, kind: u8) -> Vec<u8> {
    let mut header = tar::Header::new_old();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_size(size);
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// An archive of these files in the folder of CIFAR-10, not compressed.
#[cfg(feature = "download")]
pub(in crate::data) fn packed(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![];
    for (name, bytes) in files {
        let name = if name.contains('/') { name.clone() } else { format!("{}/{name}", SMALL.inner) };
        out.extend(tar_header(&name, bytes.len() as u64, b'0'));
        out.extend(bytes);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

fn check(set: DataSet) {
    let (train, test) = (&set.train, &set.test);
    // No record has label 8 or 9.
    assert_eq!(
        (train.count, test.count, train.height, train.width, train.channels, train.classes),
        (10, 2, 32, 32, 3, 8)
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
    let dir = Folder::new("cifar-tar");
    let others = [("../data_batch_1.bin", "elsewhere"), ("cifar-10-batches-bin/readme.html", "hello")];
    let others = others.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
    let mut zip = flate2::write::GzEncoder::new(vec![], Default::default());
    io::Write::write_all(&mut zip, &packed(&[others.as_slice(), &files()].concat())).unwrap();
    let bytes = zip.finish().unwrap();
    let path = dir.join(ARCHIVE);
    fs::write(&path, &bytes).unwrap();
    let set = in_archive(SMALL, &path).unwrap();
    assert_eq!(set.class_names[7], "h");
    check(set);
    let text = in_archive(Kind { records: [3, 3], ..SMALL }, &path).unwrap_err().to_string();
    assert!(text.contains("truncated") && text.contains(names()[0]), "{text}");
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let text = in_archive(SMALL, &path).unwrap_err().to_string();
    assert!(text.contains(ARCHIVE) && text.contains("cut-short"), "{text}");
}

#[test]
fn what_is_wrong_is_named_with_its_file() {
    let dir = written("cifar-bad");
    let fails = |what: &[&str]| {
        let text = load(&dir).unwrap_err().to_string();
        assert!(what.iter().all(|w| text.contains(w)) && text.lines().count() == 1, "{text}");
    };
    let file = dir.join(names()[3]);
    fs::write(&file, &batch(3)[..5000]).unwrap();
    fails(&[names()[3], "truncated", "6146", "5000"]);
    fs::write(&file, [batch(3), vec![0]].concat()).unwrap();
    fails(&[names()[3], "trailing"]);
    let mut bad = batch(3);
    bad[1 + PIXELS] = 10;
    fs::write(&file, bad).unwrap();
    fails(&[names()[3], "record 1", "label 10"]);
    fs::remove_file(&file).unwrap();
    fails(&[names()[3], "missing"]);
}

#[test]
fn the_inner_folder_is_found() {
    let dir = written("cifar-find");
    assert_eq!(here(&dir).unwrap().path(), &*dir);
    let outer = Folder::new("cifar-outer");
    assert!(here(&outer).is_none() && within(&outer).next().is_none());
    fs::rename(&*dir, outer.join(SMALL.inner)).unwrap();
    assert_eq!(within(&outer).next().unwrap().path(), outer.join(SMALL.inner));
}

#[test]
fn classes_have_their_published_names() {
    let dir = written("cifar-names");
    dir.put(SMALL.names, &files()[6].1);
    assert_eq!(load(&dir).unwrap().class_names, ["a", "b", "c", "d", "e", "f", "g", "h"]);
    dir.put(SMALL.names, "too\nfew\n");
    assert_eq!(load(&dir).unwrap().class_names[7], "7");
}

#[test]
fn of_a_hundred_classes_the_fine_label_counts() {
    let (dir, kind) = (Folder::new("cifar-100"), Kind { records: [3, 1], ..CIFAR_100 });
    let record = |coarse: u8, fine: u8| [vec![coarse, fine], vec![fine; PIXELS]].concat();
    dir.put("train.bin", [record(19, 99), record(3, 40), record(3, 0)].concat());
    dir.put("test.bin", record(0, 40));
    let set = Place { kind, folder: dir.to_owned() }.load().unwrap();
    assert_eq!((set.train.classes, set.class_names), (3, ["0", "40", "99"].map(String::from).to_vec()));
    assert_eq!(set.train.labels.as_deref(), Some([2, 1, 0].as_slice()));
    assert_eq!((set.train.pixels[0], set.test.pixels[0], set.test.labels), (99, 40, Some(vec![1])));
    assert_eq!(here(&dir).unwrap().kind, CIFAR_100);
    let text = load_folder(&dir).unwrap_err().to_string();
    assert!(text.contains("truncated") && text.contains("train.bin"), "{text}");
    dir.put("train.bin", [record(19, 99), record(3, 100), record(3, 0)].concat());
    let text = Place { kind, folder: dir.to_owned() }.load().unwrap_err().to_string();
    assert!(text.contains("record 1") && text.contains("label 100 of 100"), "{text}");
}

#[test]
fn pickles_name_the_version_that_is_read() {
    let any = |kind: Kind| kind.python.1.iter().map(move |file| (kind, *file));
    for (kind, file) in any(CIFAR_10).chain(any(CIFAR_100)) {
        let dir = Folder::new("cifar-pickles");
        dir.put(&format!("{}/{file}", kind.python.0), "pickled");
        for path in [dir.to_owned(), dir.join(kind.python.0)] {
            let text = crate::data::load(path.to_str().unwrap(), 0).unwrap_err().to_string();
            assert!(["pickles", kind.inner, kind.train[0]].iter().all(|w| text.contains(w)), "{text}");
            assert_eq!(text.lines().count(), 1);
        }
    }
}
