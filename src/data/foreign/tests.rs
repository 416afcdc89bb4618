//! No reader panics on foreign bytes, hangs, or takes more memory than four times its input and 64 MiB: small valid
//! inputs of every kind are damaged in many ways, all from one seed.

use std::fs;
use std::time::{Duration, Instant};

use image::{ImageFormat, Rgb, RgbImage};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::data::DataError;
use crate::data::order::{below, stream};
use crate::data::picture::tests::{LOSSY_WEBP, PROGRESSIVE, encoded, tiff};
use crate::data::wav::tests::{FLOAT, INT, file};
use crate::disk::scratch::Folder;

/// Numbers that readers trip over.
const EDGES: [u32; 10] = [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/// A place in so many bytes.
fn at(random: &mut ChaCha8Rng, length: usize) -> usize {
    below(random, length.max(1) as u32) as usize
}

/// The bytes with one to five changes.
fn damaged(random: &mut ChaCha8Rng, bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..=below(random, 5) {
        let (here, there) = (at(random, out.len()), at(random, out.len()));
        let (low, high) = (here.min(there), here.max(there));
        let edge = EDGES[at(random, EDGES.len())];
        match below(random, 8) {
            0 => out.iter_mut().skip(here).take(1).for_each(|b| *b ^= 1 << below(random, 8)),
            1 => out.iter_mut().skip(here).take(1).for_each(|b| *b = below(random, 256) as u8),
            2 => out.iter_mut().skip(here).zip(edge.to_le_bytes()).for_each(|(b, e)| *b = e),
            3 => out.iter_mut().skip(here).zip(edge.to_be_bytes()).for_each(|(b, e)| *b = e),
            4 => out.iter_mut().skip(here).zip((edge as u16).to_be_bytes()).for_each(|(b, e)| *b = e),
            5 => out.truncate(high),
            6 => drop(out.drain(low..(low + 1 + at(random, 8)).min(out.len()))),
            _ => {
                let piece = out[low..high.min(low + 64)].to_vec();
                out.splice(here..here, piece);
            }
        }
    }
    out
}

/// Reads damaged inputs made from these and counts how many were taken; the bounds on time and memory hold for each.
fn try_all(name: &[u8; 8], count: u32, valid: &[Vec<u8>], mut read: impl FnMut(&[u8]) -> bool) -> u32 {
    let mut taken = 0;
    for (i, seed) in valid.iter().enumerate() {
        for n in 0..count {
            let random = &mut stream(name, i as u64, n.into(), 0);
            let mut bytes = damaged(random, seed);
            if bytes.starts_with(b"\x89PNG") && below(random, 2) == 0 {
                bytes = picture::summed(&bytes);
            }
            let (mut good, began) = (false, Instant::now());
            let memory = allocation_counter::measure(|| good = read(&bytes)).bytes_max;
            let bound = 4 * bytes.len() as u64 + (64 << 20);
            assert!(
                memory <= bound,
                "seed {i}, input {n}: {memory} bytes of memory for {} of input",
                bytes.len()
            );
            assert!(began.elapsed() < Duration::from_secs(10), "seed {i}, input {n}: {:?}", began.elapsed());
            taken += u32::from(good);
        }
    }
    taken
}

/// An error is one line that names the file.
fn told<T>(result: Result<T, DataError>, dir: &Path) -> bool {
    if let Err(error) = &result {
        let line = error.to_string();
        assert!(line.lines().count() == 1 && line.contains(&dir.display().to_string()), "{line}");
    }
    result.is_ok()
}

#[test]
fn damaged_pictures() {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP};
    let image = RgbImage::from_fn(12, 8, |x, y| Rgb([(x * 20) as u8, (y * 30) as u8, (x * y) as u8]));
    let mut valid: Vec<Vec<u8>> = [Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP].map(|f| encoded(&image, f)).into();
    valid.extend([
        PROGRESSIVE.to_vec(),
        LOSSY_WEBP.to_vec(),
        tiff(&image, 6, 1),
        b"P2\n2 2\n9\n1 2 3 4\n".to_vec(),
    ]);
    let taken = try_all(b"pictures", 1500, &valid, picture);
    assert!(taken > 1000, "{taken} damaged pictures are still read: the damage is too great to test much");
}

#[test]
fn damaged_sounds() {
    let sound: Vec<f64> = (0..60).map(|i| f64::from(i % 13 - 6) / 7.0).collect();
    let valid: Vec<Vec<u8>> = [(8, 1, INT), (16, 2, INT), (24, 1, INT), (32, 3, INT), (32, 1, FLOAT)]
        .into_iter()
        .flat_map(|(bits, channels, kind)| {
            [16_000, 44_100].map(|rate| file(rate, bits, channels, kind, &sound))
        })
        .collect();
    let taken = try_all(b"wavfiles", 1500, &valid, wav);
    assert!(taken > 1000, "{taken} damaged files are still read: the damage is too great to test much");
}

#[test]
fn damaged_idx_files() {
    let dir = Folder::new("foreign-idx");
    let images =
        |n: u8| [&[0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, 2, 0, 0, 0, 3][..], &vec![7; n as usize * 6]].concat();
    let labels = |n: u8| [vec![0, 0, 8, 1, 0, 0, 0, n], (0..n).collect()].concat();
    for (split, n) in [("train", 9), ("t10k", 4)] {
        dir.put(&format!("{split}-images-idx3-ubyte"), images(n));
    }
    // Beside labels of test images, most others would be refused: their classes must be those of training images.
    dir.put("train-labels-idx1-ubyte", labels(9));
    for (name, valid) in [("train-images-idx3-ubyte", images(9)), ("train-labels-idx1-ubyte", labels(9))] {
        let kinds = [valid.clone(), gzip(&valid)];
        let taken = try_all(b"idxfiles", 300, &kinds, |bytes| {
            allocation_counter::opt_out(|| dir.put(name, bytes));
            told(idx::load_folder(&dir), &dir)
        });
        // Damage before it is compressed.
        let packed = try_all(b"idxfiles", 300, std::slice::from_ref(&valid), |bytes| {
            allocation_counter::opt_out(|| dir.put(name, gzip(bytes)));
            told(idx::load_folder(&dir), &dir)
        });
        assert!(taken > 10 && packed > 10, "{name}: {taken}, {packed}");
        dir.put(name, &valid);
    }
}

#[test]
fn damaged_cifar_files_and_archives() {
    let dir = Folder::new("foreign-cifar");
    let files = cifar::tests::files();
    files.iter().for_each(|(name, bytes)| dir.put(name, bytes));
    let mut taken = 0;
    for (name, bytes) in [&files[0], &files[5], &files[6]] {
        taken += try_all(b"batches.", 300, std::slice::from_ref(bytes), |damaged| {
            allocation_counter::opt_out(|| dir.put(name, damaged));
            told(cifar::tests::load(&dir), &dir)
        });
        dir.put(name, bytes);
    }
    assert!(taken > 300, "{taken}");
    let packed = cifar::tests::packed(&files);
    let path = dir.join(cifar::ARCHIVE);
    let read = |bytes: &[u8], zip: bool| {
        allocation_counter::opt_out(|| {
            fs::write(&path, if zip { gzip(bytes) } else { bytes.to_vec() }).unwrap()
        });
        told(cifar::tests::load_packed(&path), &dir)
    };
    let damaged = try_all(b"archives", 300, &[gzip(&packed)], |bytes| read(bytes, false));
    let inside = try_all(b"archives", 600, std::slice::from_ref(&packed), |bytes| read(bytes, true));
    assert!(damaged < 300 && inside > 50, "{damaged}, {inside}");
}

#[test]
fn archives_that_unpack_to_much_are_left_in_time() {
    let dir = Folder::new("foreign-bomb");
    let path = dir.join(cifar::ARCHIVE);
    let (name, zeros) = (cifar::tests::files()[0].0.clone(), vec![0; 1 << 20]);
    // 256 MiB in a file that counts, in one that does not, and in a name.
    for (name, kind) in [(name.as_str(), b'0'), ("other", b'0'), ("././@LongLink", b'L')] {
        let inside = if kind == b'0' { format!("cifar-10-batches-bin/{name}") } else { name.to_owned() };
        let mut writer = GzEncoder::new(vec![], Compression::fast());
        writer.write_all(&cifar::tests::tar_header(&inside, 256 << 20, kind)).unwrap();
        (0..256).for_each(|_| writer.write_all(&zeros).unwrap());
        fs::write(&path, writer.finish().unwrap()).unwrap();
        let memory =
            allocation_counter::measure(|| assert!(!told(cifar::load_archive(&path), &dir))).bytes_max;
        assert!(memory < 64 << 20, "{name}: {memory}");
    }
}
