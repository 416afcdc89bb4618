//! Pictures in files, decoded when they are wanted: to one size, and to RGB or grey.
//!
//! Every file is looked at once, for its digest and header.
//!
//! A long run must not end because a file breaks that was whole when it began. Whoever streams gets the next whole
//! picture in its place, and hears of it. A list of the files, with their digests, lets the run go on later.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use image::RgbImage;
use sha2::{Digest, Sha256};

use super::cores::{broken, on_all_cores, told};
use super::error::DataError;
use super::images::{Images, Progress, Unit, has_colour, luma};
use super::picture::{self, Header};
use crate::disk::{hex, unhex};

/// Pictures in files, decoded to one size and number of channels.
#[derive(Debug, Clone)]
pub struct Files {
    /// The images that the files decode to, without their pixels.
    pub(super) about: Images,
    /// The digest of the files' contents and labels, in order.
    pub(super) digest: [u8; 32],
    paths: Vec<PathBuf>,
    /// The digest of each file's contents.
    digests: Vec<[u8; 32]>,
    /// The rows that are known to be broken or gone.
    gone: BTreeSet<u32>,
    /// The height and width that pictures are scaled to.
    size: Option<u32>,
}

/// A way to decode a picture and to scale it.
type Decode = fn(&[u8], Option<u32>) -> Result<RgbImage, String>;

/// How many pictures after a broken one are tried in its place.
const TRIES: u32 = 100;

/// The facts that one look at a file gives.
pub(super) struct Look {
    pub(super) digest: [u8; 32],
    pub(super) header: Header,
}

impl Files {
    /// Files that were looked at; `about` says what they decode to, with their labels and without pixels.
    pub(super) fn new(about: Images, paths: Vec<PathBuf>, looks: &[Look], size: Option<u32>) -> Self {
        let mut digest = Sha256::new();
        for (look, &label) in looks.iter().zip(about.labels.iter().flatten()) {
            digest.update(look.digest);
            digest.update([label]);
            // A picture that is turned has other pixels than its file alone says.
            if look.header.orientation != 1 {
                digest.update([look.header.orientation]);
            }
        }
        let digests = looks.iter().map(|look| look.digest).collect();
        Self { about, digest: digest.finalize().into(), paths, digests, gone: BTreeSet::new(), size }
    }

    /// The files that a list names, below `root`; `about` says what they decode to, without their number and labels.
    /// Files that are gone, that cannot be decoded any more or that have another size now are left out, as a run that
    /// goes on leaves them out.
    pub(super) fn listed(
        about: Images,
        list: &str,
        root: &Path,
        size: Option<u32>,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Self, DataError> {
        let (mut paths, mut digests, mut labels) = (vec![], vec![], vec![]);
        for line in list.lines() {
            let mut parts = line.splitn(3, ' ');
            let (Some(digest), Some(Ok(label)), Some(path)) =
                (parts.next().and_then(unhex), parts.next().map(str::parse), parts.next())
            else {
                let what = format!("the run's list of its pictures has the damaged line `{line}`");
                return Err(DataError::Folder { path: root.to_owned(), what });
            };
            paths.push(root.join(path));
            digests.push(digest);
            labels.push(label);
        }
        let about = Images { count: paths.len(), labels: Some(labels), ..about };
        let mut this = Self { about, digest: [0; 32], paths, digests, gone: BTreeSet::new(), size };
        let mut gone = BTreeSet::new();
        let whole = |i: usize| match fs::read(&this.paths[i]) {
            Ok(bytes) if this.digests[i] == <[u8; 32]>::from(Sha256::digest(&bytes)) => Ok(true),
            Ok(bytes) if picture::decode(&bytes, size).is_ok_and(|image| this.fits(&image)) => {
                let what =
                    "it is another picture than when the run began; restore it, or remove it".to_owned();
                Err(DataError::Folder { path: this.paths[i].clone(), what })
            }
            _ => Ok(false),
        };
        let take = |i: usize, whole: bool| {
            if !whole {
                gone.insert(i as u32);
            }
        };
        on_all_cores(
            this.paths.len(),
            whole,
            take,
            &mut told("looking at files", Unit::Images, this.paths.len(), progress),
        )?;
        this.gone = gone;
        Ok(this)
    }

    /// The files as a list, one line each: digest, label, path below `root`. `None` if a path cannot stand in a
    /// line of text.
    pub(super) fn list(&self, root: &Path) -> Option<String> {
        let mut list = String::new();
        for ((path, digest), label) in
            self.paths.iter().zip(&self.digests).zip(self.about.labels.iter().flatten())
        {
            let path = path.strip_prefix(root).ok()?.to_str().filter(|path| !path.contains(['\n', '\r']))?;
            list += &format!("{} {label} {path}\n", hex(digest));
        }
        Some(list)
    }

    /// The paths of the pictures that are known to be broken or gone.
    pub(super) fn gone(&self) -> Vec<&Path> {
        self.gone.iter().map(|&row| self.paths[row as usize].as_path()).collect()
    }

    /// The pixels of these rows, `[rows, H, W, C]`. The next whole picture stands for a broken one, and its row
    /// is put into `rows`; returned are also the paths of those that were not known to be broken.
    pub(super) fn pixels_or_next(&self, rows: &mut [u32]) -> Result<(Vec<u8>, Vec<PathBuf>), DataError> {
        let row = self.about.height * self.about.width * self.about.channels;
        let (mut pixels, mut failed) = (vec![0; rows.len() * row], vec![]);
        let take = |i: usize, image: Result<Vec<u8>, DataError>| match image {
            Ok(image) => pixels[i * row..][..row].copy_from_slice(&image),
            Err(error) => failed.push((i, error)),
        };
        on_all_cores(rows.len(), |i| Ok(self.whole(rows[i])), take, &mut |_| ())?;
        failed.sort_by_key(|(i, _)| *i);
        let (all, mut left_out) = (failed.len() == rows.len(), vec![]);
        for (i, error) in failed {
            let Some((next, image)) = self.next_whole(rows[i]).filter(|_| !all) else {
                return Err(missing_folder(&self.paths[rows[i] as usize]).unwrap_or(error));
            };
            if !self.gone.contains(&rows[i]) {
                left_out.push(self.paths[rows[i] as usize].clone());
            }
            rows[i] = next;
            pixels[i * row..][..row].copy_from_slice(&image);
        }
        Ok((pixels, left_out))
    }

    fn next_whole(&self, row: u32) -> Option<(u32, Vec<u8>)> {
        let next = (1..=TRIES).map(|n| (row + n) % self.paths.len() as u32);
        next.into_iter().find_map(|next| Some((next, self.whole(next).ok()?)))
    }

    /// The pixels of a picture that is not known to be broken.
    fn whole(&self, row: u32) -> Result<Vec<u8>, DataError> {
        let path = &self.paths[row as usize];
        if self.gone.contains(&row) {
            Err(broken(path, "it was left out"))
        } else {
            self.decode(path, picture::decode)
        }
    }

    /// The pixels of these rows, `[rows, H, W, C]`.
    pub(super) fn pixels(
        &self,
        rows: &[u32],
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Vec<u8>, DataError> {
        let row = self.about.height * self.about.width * self.about.channels;
        let mut pixels = vec![0; rows.len() * row];
        let take = |i: usize, image: Vec<u8>| pixels[i * row..][..row].copy_from_slice(&image);
        let decode = |i: usize| self.decode(&self.paths[rows[i] as usize], picture::decode_whole);
        on_all_cores(rows.len(), decode, take, &mut told("decoding", Unit::Images, rows.len(), progress))?;
        Ok(pixels)
    }

    /// Decodes every picture once and keeps none.
    pub(super) fn check(&self, progress: &mut dyn FnMut(&Progress)) -> Result<(), DataError> {
        let count = self.paths.len();
        let decode = |i: usize| self.decode(&self.paths[i], picture::decode_whole).map(drop);
        on_all_cores(count, decode, |_, ()| (), &mut told("checking files", Unit::Images, count, progress))
    }

    /// Whether a picture has the size of all.
    fn fits(&self, image: &RgbImage) -> bool {
        image.dimensions() == (self.about.width as u32, self.about.height as u32)
    }

    /// The pixels of one picture, `[H, W, C]`.
    fn decode(&self, path: &Path, decode: Decode) -> Result<Vec<u8>, DataError> {
        let image = decode(&read(path)?, self.size).map_err(|what| broken(path, what))?;
        if !self.fits(&image) {
            return Err(broken(path, "it has another size than before: the file was changed"));
        }
        Ok(if self.about.channels == 1 {
            image.pixels().map(|p| luma(p.0)).collect()
        } else {
            image.into_raw()
        })
    }
}

/// Looks at every file; `progress` hears of each.
pub(super) fn look_at(paths: &[&Path], progress: &mut dyn FnMut(&Progress)) -> Result<Vec<Look>, DataError> {
    let mut looks = vec![];
    looks.resize_with(paths.len(), || None);
    let look = |i: usize| {
        let (path, bytes) = (paths[i], read(paths[i])?);
        let header = picture::header(&bytes).map_err(|what| broken(path, what))?;
        Ok(Look { digest: Sha256::digest(&bytes).into(), header })
    };
    let take = |i: usize, look| looks[i] = Some(look);
    let looked = on_all_cores(
        paths.len(),
        look,
        take,
        &mut told("looking at files", Unit::Images, paths.len(), progress),
    );
    if let Err(first) = looked {
        // No use without them: all that are broken are told at once, also those that only decoding finds.
        let whole = |i: usize| {
            picture::decode_whole(&read(paths[i])?, None).map(drop).map_err(|what| broken(paths[i], what))
        };
        let hear = &mut told("checking files", Unit::Images, paths.len(), progress);
        return on_all_cores(paths.len(), whole, |_, ()| (), hear).and(Err(first));
    }
    Ok(looks.into_iter().flatten().collect())
}

/// Whether any pixel of these pictures has a colour. The search ends at the first that has one; a picture that
/// cannot be decoded has none.
pub(super) fn any_colour(paths: &[&Path], progress: &mut dyn FnMut(&Progress)) -> bool {
    let found = AtomicBool::new(false);
    let coloured = |path: &Path| {
        let image = read(path).ok().and_then(|bytes| picture::decode(&bytes, None).ok());
        image.is_some_and(|image| image.pixels().any(|p| has_colour(&p.0)))
    };
    let look = |i: usize| {
        if !found.load(Ordering::Relaxed) && coloured(paths[i]) {
            found.store(true, Ordering::Relaxed);
        }
        Ok(())
    };
    let told = &mut told("looking for colours", Unit::Images, paths.len(), progress);
    on_all_cores(paths.len(), look, |_, ()| (), told).is_ok() && found.into_inner()
}

/// Where a picture's folder is not there any more, the error that names the outermost one that is gone.
fn missing_folder(path: &Path) -> Option<DataError> {
    let gone = path.ancestors().skip(1).take_while(|folder| !folder.exists()).last()?;
    let what = "the folder of the pictures is gone; bring it back, and resume the run".to_owned();
    Some(DataError::Folder { path: gone.to_owned(), what })
}

fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    fs::read(path).map_err(|source| broken(path, source.to_string()))
}
