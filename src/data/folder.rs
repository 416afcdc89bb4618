//! A folder of pictures for each class: `DIR/train/CLASS/*` and `DIR/test/CLASS/*`, or `DIR/CLASS/*`, of which every tenth
//! picture of a class, in the order of their names, is held out to test on.
//!
//! Classes are the folders' names in order, and a label is the place in it. PNG, JPEG, WebP, BMP, GIF (its first frame) and PNM
//! are told apart by their content. [`open`] looks at every file once: its digest, size and colours. Pixels are decoded when they
//! are wanted, on all cores: RGB, or grey where no file has colours; transparency is dropped. Where a size is asked for, the
//! largest square in a picture's middle is scaled to it.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};
use sha2::{Digest, Sha256};

use super::source::luma;
use super::{Asked, DataError, DataSet, Images, Progress, Source, Unit, idx};

/// The endings of files that count as pictures, in any case; everything else in a folder is passed over.
pub const ENDINGS: [&str; 10] = ["png", "jpg", "jpeg", "webp", "bmp", "gif", "pbm", "pgm", "ppm", "pnm"];
/// Where there is no test folder, one picture of so many is held out.
pub const HELD_OUT: usize = 10;

/// Pictures in files, decoded to one size and number of channels.
#[derive(Debug, Clone)]
pub struct Files {
    /// What they decode to; without pixels.
    pub(super) about: Images,
    /// Of the files' contents and labels, in order.
    pub(super) digest: [u8; 32],
    paths: Vec<PathBuf>,
    /// Height and width that pictures are scaled to.
    size: Option<u32>,
}

/// A file and its label.
type Labelled = (PathBuf, u8);

/// What one look at a file tells.
struct Look {
    digest: [u8; 32],
    size: [usize; 2],
    colours: bool,
    /// JPEG, and WebP but for its lossless kind.
    lossy: bool,
}

/// Whether the folder holds folders of pictures, or at least pictures.
pub(super) fn is_here(folder: &Path) -> bool {
    let inside = |folder: &Path| entries(folder).unwrap_or_default();
    folder.join("train").is_dir()
        || inside(folder).iter().any(|p| is_picture(p) || inside(p).iter().any(|p| is_picture(p)))
}

/// Looks at every file of the folder; `progress` hears of each.
///
/// # Errors
/// Folders that are not as described, a file that cannot be read or is no picture, pictures of several sizes where none was asked
/// for, and a side above [`idx::MAX_SIDE`].
pub fn open(
    folder: &Path,
    asked: &Asked,
    progress: &mut dyn FnMut(&Progress),
) -> Result<DataSet<Source>, DataError> {
    let mut name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
    let [train, test] = ["train", "test"].map(|split| Some(folder.join(split)).filter(|f| f.is_dir()));
    let root = train.as_deref().unwrap_or(folder);
    let classes = classes(root)?;
    let train = pictures(root, &classes)?;
    let (train, test) = match test.filter(|_| root != folder) {
        Some(test) => (train, pictures(&test, &known(&test, &classes)?)?),
        None => {
            name += ", every tenth image held out";
            hold_out(train)
        }
    };
    if train.is_empty() || test.is_empty() {
        let which = if train.is_empty() { "training" } else { "test" };
        let what = format!(
            "no {which} images: put some into train/CLASS and test/CLASS, or at least {HELD_OUT} into CLASS"
        );
        return Err(DataError::Classes { path: folder.to_owned(), what });
    }
    let looks = look_at(&train, &test, progress)?;
    let (first, mut size) = (looks[0].size, looks[0].size);
    let paths = || train.iter().chain(&test).map(|(path, _)| path);
    if let Some(n) = asked.size {
        size = [n as usize; 2];
    } else if let Some((look, path)) = looks.iter().zip(paths()).find(|(look, _)| look.size != first) {
        return Err(DataError::Differs { path: path.clone(), size: look.size, first });
    }
    if size.iter().any(|&side| side == 0 || side > idx::MAX_SIDE as usize) {
        let what = format!(
            "{} x {} pixels: a side may have 1 to {}; scale with --image-size N",
            size[0],
            size[1],
            idx::MAX_SIDE
        );
        return Err(DataError::Classes { path: train[0].0.clone(), what });
    }
    let colours = looks.iter().any(|look| look.colours);
    let lossy = looks.iter().any(|look| look.lossy || look.size != size) || (colours && asked.grey);
    let channels = if colours && !asked.grey { 3 } else { 1 };
    let about = Images {
        count: 0,
        height: size[0],
        width: size[1],
        channels,
        classes: classes.len(),
        pixels: vec![],
        labels: None,
    };
    let (first, rest) = looks.split_at(train.len());
    let files = |of: Vec<Labelled>, looks: &[Look]| {
        let (paths, labels): (Vec<_>, Vec<_>) = of.into_iter().unzip();
        let mut digest = Sha256::new();
        looks
            .iter()
            .zip(&labels)
            .for_each(|(look, &label)| digest.update([&look.digest, [label].as_slice()].concat()));
        let about = Images { count: paths.len(), labels: Some(labels), pixels: vec![], ..about };
        Source::Files(Files { about, digest: digest.finalize().into(), paths, size: asked.size })
    };
    Ok(DataSet { name, train: files(train, first), test: files(test, rest), lossy })
}

/// What lies in a folder, in the order of the names, hidden files aside.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let unreadable = |source| DataError::Io { path: folder.to_owned(), source };
    let mut found = vec![];
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn is_picture(path: &Path) -> bool {
    path.extension().is_some_and(|e| ENDINGS.iter().any(|ending| e.eq_ignore_ascii_case(ending)))
}

/// The names of the classes, in order.
fn classes(root: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut found = vec![];
    for folder in entries(root)?.into_iter().filter(|p| p.is_dir()) {
        if entries(&folder)?.iter().any(|p| is_picture(p)) {
            found.extend(folder.file_name().map(PathBuf::from));
        }
    }
    let wrong = |what| Err(DataError::Classes { path: root.to_owned(), what });
    match found.len() {
        0 => wrong(format!(
            "no folder in it holds pictures; put those of each class into a folder of its own ({})",
            ENDINGS.join(", ")
        )),
        n @ 257.. => {
            wrong(format!("{n} classes; labels are bytes: merge folders until there are at most 256"))
        }
        _ => Ok(found),
    }
}

/// The training folder's classes, of which the test folder may lack some.
fn known(test: &Path, classes: &[PathBuf]) -> Result<Vec<PathBuf>, DataError> {
    let here = self::classes(test)?;
    match here.iter().find(|class| !classes.contains(class)) {
        Some(class) => {
            let what =
                "no training images are of this class; add some to train, or remove the folder".to_owned();
            Err(DataError::Classes { path: test.join(class), what })
        }
        None => Ok(classes.to_vec()),
    }
}

/// All pictures with their labels, class by class.
fn pictures(root: &Path, classes: &[PathBuf]) -> Result<Vec<Labelled>, DataError> {
    let mut found = vec![];
    for (label, folder) in
        classes.iter().map(|class| root.join(class)).enumerate().filter(|(_, folder)| folder.is_dir())
    {
        found.extend(entries(&folder)?.into_iter().filter(|p| is_picture(p)).map(|path| (path, label as u8)));
    }
    Ok(found)
}

/// Divides into training and test images.
fn hold_out(all: Vec<Labelled>) -> (Vec<Labelled>, Vec<Labelled>) {
    let (mut train, mut test, mut seen) = (vec![], vec![], [0_usize; 256]);
    for image in all {
        let seen = &mut seen[usize::from(image.1)];
        *seen += 1;
        if seen.is_multiple_of(HELD_OUT) { test.push(image) } else { train.push(image) }
    }
    (train, test)
}

fn look_at(
    train: &[Labelled],
    test: &[Labelled],
    progress: &mut dyn FnMut(&Progress),
) -> Result<Vec<Look>, DataError> {
    let (mut looks, total) = (vec![], train.len() + test.len());
    looks.resize_with(total, || None);
    let path = |i: usize| &train.get(i).unwrap_or_else(|| &test[i - train.len()]).0;
    on_all_cores(
        total,
        |i| look(path(i)),
        |i, look| looks[i] = Some(look),
        &mut told("looking at files", total, progress),
    )?;
    Ok(looks.into_iter().flatten().collect())
}

fn look(path: &Path) -> Result<Look, DataError> {
    let (bytes, format) = read(path)?;
    let decoder =
        ImageReader::with_format(Cursor::new(&bytes), format).into_decoder().map_err(|e| broken(path, e))?;
    let (width, height) = decoder.dimensions();
    let lossless = bytes.get(12..16) == Some(b"VP8L");
    Ok(Look {
        digest: Sha256::digest(&bytes).into(),
        size: [height as usize, width as usize],
        colours: decoder.color_type().has_color(),
        lossy: format == ImageFormat::Jpeg || (format == ImageFormat::WebP && !lossless),
    })
}

/// A file's bytes and what they are.
fn read(path: &Path) -> Result<(Vec<u8>, ImageFormat), DataError> {
    let bytes = fs::read(path).map_err(|source| DataError::Io { path: path.to_owned(), source })?;
    let format = image::guess_format(&bytes).map_err(|e| broken(path, e))?;
    // The decoder fills in what a cut-short file lacks.
    if format == ImageFormat::Jpeg && !bytes.windows(2).rev().any(|end| end == [0xff, 0xd9]) {
        return Err(broken(path, "cut short: a JPEG without its end"));
    }
    Ok((bytes, format))
}

fn broken(path: &Path, what: impl ToString) -> DataError {
    DataError::Picture { path: path.to_owned(), what: what.to_string() }
}

impl Files {
    /// The pixels of these rows, `[rows, H, W, C]`.
    pub(super) fn pixels(
        &self,
        rows: &[u32],
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Vec<u8>, DataError> {
        let row = self.about.height * self.about.width * self.about.channels;
        let mut pixels = vec![0; rows.len() * row];
        let take = |i: usize, image: Vec<u8>| pixels[i * row..][..row].copy_from_slice(&image);
        on_all_cores(
            rows.len(),
            |i| self.decode(&self.paths[rows[i] as usize]),
            take,
            &mut told("decoding", rows.len(), progress),
        )?;
        Ok(pixels)
    }

    /// One picture, `[H, W, C]`.
    fn decode(&self, path: &Path) -> Result<Vec<u8>, DataError> {
        let (bytes, format) = read(path)?;
        let mut image =
            image::load_from_memory_with_format(&bytes, format).map_err(|e| broken(path, e))?.into_rgb8();
        if let Some(n) = self.size.filter(|&n| image.dimensions() != (n, n)) {
            let ((width, height), side) = (image.dimensions(), image.width().min(image.height()));
            let square =
                DynamicImage::from(image).crop_imm((width - side) / 2, (height - side) / 2, side, side);
            image = square.resize_exact(n, n, FilterType::Triangle).into_rgb8();
        }
        if image.dimensions() != (self.about.width as u32, self.about.height as u32) {
            return Err(broken(path, "it has another size than before: the file was changed"));
        }
        Ok(if self.about.channels == 1 {
            image.pixels().map(|p| luma(p.0)).collect()
        } else {
            image.into_raw()
        })
    }
}

/// Tells how many of the images are done.
fn told(what: &str, total: usize, progress: &mut dyn FnMut(&Progress)) -> impl FnMut(usize) {
    move |done| progress(&Progress { file: what, unit: Unit::Images, done: done as u64, total: total as u64 })
}

/// Computes `f(0..n)` on all cores; `take` gets each result with its index, in any order, and `done` their number.
fn on_all_cores<T: Send>(
    n: usize,
    f: impl Fn(usize) -> Result<T, DataError> + Sync,
    mut take: impl FnMut(usize, T),
    done: &mut dyn FnMut(usize),
) -> Result<(), DataError> {
    let (next, cores) = (AtomicUsize::new(0), thread::available_parallelism().map_or(1, usize::from));
    thread::scope(|scope| {
        let (send, receive) = sync_channel(1024);
        for _ in 0..cores.min(n) {
            let (send, next, f) = (send.clone(), &next, &f);
            scope.spawn(move || {
                let indices =
                    std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed)).take_while(|&i| i < n);
                // Nobody receives any more once something went wrong.
                let _ = indices.map(|i| send.send((i, f(i)))).find(Result::is_err);
            });
        }
        drop(send);
        for (seen, (i, result)) in receive.into_iter().enumerate() {
            take(i, result?);
            done(seen + 1);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests;
