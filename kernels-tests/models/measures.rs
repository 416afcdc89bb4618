//! The judges of a generator's pictures on the adapter: the classifier and the feature extractor made of it,
//! reports, nearest images, linear probes.

use crate::{commands::empty, golden, subjects::adapter};
use oneiro::{
    data::{DataSet, Images, glyphs::glyphs},
    gpu::Gpu,
    measure::{
        features::Extractor,
        nearest::nearest,
        probe::{Labelled, Probe},
        report::Reference,
    },
    models::classifier::NAME,
};
use std::path::Path;

/// Digits, drawn from two seeds so that no test image is a training image.
fn digits(train: usize, test: usize) -> DataSet {
    DataSet::new("digits", glyphs(train, 1), glyphs(test, 2))
}

fn unit(images: &Images) -> Vec<f32> {
    images.pixels.iter().map(|&b| f32::from(b) / 255.0).collect()
}

/// The names and bytes of the files in a folder.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap());
    entries
        .map(|e| (e.file_name().to_string_lossy().into_owned(), std::fs::read(e.path()).unwrap()))
        .collect()
}

fn refused<T>(made: oneiro::error::Result<T>, parts: &[&str]) {
    let line = made.err().expect("nothing was refused").to_string();
    assert!(
        line.lines().count() == 1 && parts.iter().all(|p| line.contains(p)),
        "`{line}` lacks one of {parts:?}"
    );
}

/// One extractor serves several claims, since its training takes time: it learns, is found again, and judges
/// pictures.
#[test]
fn an_extractor_is_trained_once_and_judges() {
    let Some(gpu) = adapter("the feature extractor") else { return };
    let (set, folder) = (digits(4000, 1000), empty("features"));
    let trained = Extractor::of_data(gpu, &set, &folder, &mut |_| Ok(())).unwrap();
    let accuracy = trained.accuracy(&set.test).unwrap();
    assert!(accuracy > 0.9, "test accuracy {accuracy}");
    let kept = files(&folder);
    assert_eq!(kept.len(), 1, "{:?}", kept.iter().map(|f| &f.0).collect::<Vec<_>>());
    assert!(kept[0].0.starts_with(&format!("{NAME}-")) && kept[0].0.ends_with(".safetensors"));
    found_again(gpu, &set, &folder, &trained);
    assert_eq!(files(&folder), kept, "a second call touched the file");
    let bare = DataSet { train: Images { labels: None, ..set.train.clone() }, ..set.clone() };
    refused(
        Extractor::of_data(gpu, &bare, &folder, &mut |_| Ok(())),
        &["digits: the images have no labels", NAME],
    );
    judged(&Reference::new(trained, &set, 1000).unwrap(), &set);
}

/// A second call finds the extractor by the folder, a third one by its file.
fn found_again(gpu: &Gpu, set: &DataSet, folder: &Path, trained: &Extractor<'_>) {
    let again = Extractor::of_data(gpu, set, folder, &mut |_| Ok(())).unwrap();
    assert_eq!(again.identity, trained.identity);
    let pictures = unit(&set.test);
    let features = trained.pictures(&pictures).unwrap();
    assert_eq!(features, again.pictures(&pictures).unwrap());
    assert_eq!((features.width, features.count()), (128, 1000));
    // By rows as by pictures, in another order and number.
    let rows = trained.images(&set.test, &[999, 0, 250]).unwrap();
    for (i, row) in [999, 0, 250].into_iter().enumerate() {
        assert_eq!(rows.values[i * 128..][..128], features.values[row * 128..][..128]);
        assert_eq!(rows.classes[i], features.classes[row]);
    }
    // The same tensors as a file of the user's own: another name, the same features.
    let (name, bytes) = files(folder).remove(0);
    let own = empty("features-own");
    std::fs::write(own.join("mine.safetensors"), &bytes).unwrap();
    let mine = Extractor::from_file(gpu, &own.join("mine.safetensors"), [28, 28, 1]).unwrap();
    assert_eq!((mine.identity.name.as_str(), &mine.identity.data), ("mine.safetensors", &None));
    assert_eq!(mine.identity.sha256, trained.identity.sha256);
    assert_eq!(mine.pictures(&pictures).unwrap(), features);
    refused(
        Extractor::from_file(gpu, &own.join("mine.safetensors"), [32, 32, 3]),
        &["mine.safetensors", "`conv1.weight`"],
    );
    std::fs::write(own.join(&name), &bytes[..bytes.len() / 2]).unwrap();
    refused(
        Extractor::of_data(gpu, set, &own, &mut |_| Ok(())),
        &[&name, "not a whole safetensors file", "delete it"],
    );
    refused(mine.pictures(&pictures[..100]), &["100 values"]);
    refused(mine.pictures(&[f32::NAN; 784]), &["picture 0 holds NaN"]);
}

/// Real images score near the floor and worse pictures far above it; one picture repeated covers one class.
fn judged(reference: &Reference<'_>, set: &DataSet) {
    let fresh = unit(&glyphs(500, 9));
    let report = reference.report(&fresh).unwrap();
    assert_eq!((report.pictures.count, report.floor.count, report.real), (500, 500, 1000));
    assert!(report.pictures.fid < 2.0 * report.floor.fid, "{}", report.table(false));
    assert!(report.pictures.kid.mean.abs() < 4.0 * report.pictures.kid.std, "{}", report.table(false));
    assert_eq!((report.pictures.coverage.covered(), report.floor.coverage.covered()), (10, 10));
    assert!(
        report.pictures.coverage.kl_to_uniform() < 0.01
            && (report.pictures.diversity.unwrap() - 1.0).abs() < 0.05
    );
    assert!((reference.fid(&fresh).unwrap() - report.pictures.fid).abs() < 1e-9);

    let grey: Vec<f32> = fresh.iter().map(|v| 0.5 * v + 0.2).collect();
    let spoilt = reference.report(&grey).unwrap();
    assert!(
        spoilt.pictures.fid > 4.0 * report.pictures.fid
            && spoilt.pictures.kid.mean > 4.0 * spoilt.pictures.kid.std,
        "{}",
        spoilt.table(false)
    );
    assert!((spoilt.pictures.diversity.unwrap() - 0.25 * report.pictures.diversity.unwrap()).abs() < 1e-3);

    let collapsed = reference.report(&unit(&set.test)[..784].repeat(500)).unwrap();
    assert!(
        collapsed.pictures.fid > spoilt.floor.fid * 4.0 && collapsed.pictures.diversity.unwrap() < 1e-6,
        "{}",
        collapsed.table(false)
    );
    assert_eq!(collapsed.pictures.coverage.covered(), 1);
    assert!((collapsed.pictures.coverage.kl_to_uniform() - 10f64.ln()).abs() < 1e-9);

    let (table, json) = (report.table(false), report.json(false));
    for part in [NAME, "trained on digits (", "weights sha256", "10 of 10", "not to be compared", "floor"] {
        assert!(table.contains(part), "no `{part}` in\n{table}");
    }
    assert_eq!(json["extractor"]["weights_sha256"], reference.extractor.identity.sha256.as_str());
    assert_eq!((&json["pictures"]["count"], &json["floor"]["classes_covered"]), (&500.into(), &10.into()));
}

#[test]
fn nearest_images_are_those_of_brute_force() {
    let Some(gpu) = adapter("nearest images") else { return };
    // More images than a batch, a size that is no multiple of 4, and duplicates.
    let (side, count) = (5, 2311);
    let bits = |i: usize| golden::bits(17, i as u32);
    let mut pixels: Vec<u8> = (0..count * side * side).map(|i| (bits(i) >> 16) as u8).collect();
    pixels.copy_within(25 * 7..25 * 8, 25 * 2000);
    let images = Images { count, height: side, width: side, channels: 1, classes: 0, pixels, labels: None };
    let mut pictures: Vec<f32> = (0..140 * 25).map(|i| bits(1_000_000 + i) as f32 / 16_777_216.0).collect();
    pictures[25 * 3..25 * 4].copy_from_slice(&unit(&images)[25 * 7..25 * 8]);
    let found = nearest(gpu, &pictures, &images, 4).unwrap();
    assert_eq!(found.len(), 140);
    for (picture, found) in pictures.chunks(25).zip(&found) {
        let distance = |row: &[u8]| {
            picture.iter().zip(row).map(|(&p, &b)| (f64::from(p) - f64::from(b) / 255.0).powi(2)).sum::<f64>()
        };
        let mut all: Vec<(f64, usize)> =
            images.pixels.chunks(25).map(distance).enumerate().map(|(i, d)| (d, i)).collect();
        all.sort_by(|a, b| a.partial_cmp(b).unwrap());
        for ((distance, index), neighbour) in all.iter().zip(found) {
            assert!(
                neighbour.index == *index && (neighbour.distance - distance).abs() < 1e-12,
                "{neighbour:?}, but {index} at {distance}"
            );
        }
        assert_eq!(found.len(), 4);
    }
    assert_eq!([found[3][0].index, found[3][1].index], [7, 2000], "the copies");
    assert!(found[3][1].distance < 1e-10);
    refused(nearest(gpu, &pictures[..30], &images, 1), &["[5, 5, 1]", "30 values"]);
}

#[test]
fn a_probe_finds_what_is_linear_and_no_more() {
    let Some(gpu) = adapter("the linear probe") else { return };
    let (width, classes) = (12, 3);
    let noise = |salt: u32, i: usize| golden::bits(salt, i as u32) as f32 / 16_777_216.0 - 0.5;
    // Classes by the largest of three features of different scales, by a margin; the others are noise, one
    // never changes.
    let make = |salt: u32, rows: usize| -> (Vec<f32>, Vec<u8>) {
        let of = |row: usize| {
            (0..classes)
                .max_by(|&a, &b| noise(salt, row * width + a).total_cmp(&noise(salt, row * width + b)))
                .unwrap()
        };
        let margin = |i: usize| if i % width == of(i / width) { 0.3 } else { 0.0 };
        let value = |i: usize| (noise(salt, i) + margin(i)) * [1000.0, 0.01, 1.0][i % 3] + [0.0, 50.0][i % 2];
        let features = (0..rows * width).map(|i| if i % width == 5 { 3.0 } else { value(i) }).collect();
        (features, (0..rows).map(|row| of(row) as u8).collect())
    };
    let (train, test) = (make(40, 1700), make(41, 701));
    let accuracy = |train: &(Vec<f32>, Vec<u8>), test: &(Vec<f32>, Vec<u8>)| {
        let [train, test] = [train, test].map(|(features, labels)| Labelled { features, labels });
        Probe { steps: 600, ..Probe::default() }.accuracy(gpu, train, test, &mut |_| Ok(()))
    };
    let separable = accuracy(&train, &test).unwrap();
    assert!(separable > 0.99, "separable classes: {separable}");
    let random = |rows: usize, salt: u32| -> Vec<u8> {
        (0..rows).map(|i| (golden::bits(salt, i as u32) % 3) as u8).collect()
    };
    let chance = accuracy(&(train.0.clone(), random(1700, 50)), &(test.0.clone(), random(701, 51))).unwrap();
    assert!((chance - 1.0 / 3.0).abs() < 0.07, "random labels: {chance}");
    refused(accuracy(&(train.0.clone(), vec![0; 999]), &test), &["999 labels"]);
    refused(accuracy(&train, &(vec![1.0; 26], vec![0, 1])), &["differ in width"]);
}
