//! Files that come from and go to the visitor: weights and pictures are dropped on the window, weights are saved.

use crate::{making::Making, room::Lesson};
use eframe::egui::{DroppedFile, DroppedFileHandle};
use oneiro::{
    data::{self, idx},
    error::{Error, Result},
    weights::{self, Weights},
};
use std::path::{Path, PathBuf};

/// An offer is what the visitor dropped, as it was read.
pub(crate) enum Offer {
    /// Weights, and the file's name.
    Weights(Weights, PathBuf),
    Lesson(Lesson),
}

/// Begins to read what was dropped: a safetensors file, an IDX file of images with or without its labels, or, on the
/// desktop, a folder that holds a data set.
pub(crate) fn read(files: Vec<DroppedFileHandle>) -> Making<Offer> {
    Making::new(|progress| async move {
        progress.begin("reading what was dropped");
        #[cfg(not(target_arch = "wasm32"))]
        if let [folder] = &files[..]
            && folder.path().is_dir()
        {
            return Ok(Offer::Lesson(folder_of(folder.path())?));
        }
        let mut read = vec![];
        for file in &files {
            read.push((file.path().to_owned(), bytes(file.as_ref()).await?));
        }
        offer(read)
    })
}

#[cfg(not(target_arch = "wasm32"))]
async fn bytes(file: &dyn DroppedFile) -> Result<Vec<u8>> {
    file.bytes().map_err(|what| Error::new(format!("{}: {what}", file.path().display())))
}

#[cfg(target_arch = "wasm32")]
async fn bytes(file: &dyn DroppedFile) -> Result<Vec<u8>> {
    file.bytes_async().await.map_err(|what| Error::new(format!("{}: {what}", file.path().display())))
}

/// The data set in a folder, its pictures scaled to what rooms learn from.
#[cfg(not(target_arch = "wasm32"))]
fn folder_of(path: &Path) -> Result<Lesson> {
    let asked = data::Asked { size: Some(28), grey: true, pictures: true, ..data::Asked::default() };
    let wrong = |e: data::DataError| Error::new(e.to_string());
    let name = path.display().to_string();
    let nobody = &mut |_: &data::Progress<'_>| ();
    fitting(data::open(&name, &asked, nobody).map_err(wrong)?.read(nobody).map_err(wrong)?)
}

/// Whether bytes are weights, PyTorch's own among them, which have an error of their own.
fn are_weights(path: &Path, bytes: &[u8]) -> bool {
    let named = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("safetensors"));
    // A header's length, then its JSON.
    named || bytes.get(8) == Some(&b'{') || bytes.starts_with(b"PK")
}

/// A file as if it was dropped, such as one that the command line names: Wayland's windows get no drops yet.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug)]
pub(crate) struct Named(pub(crate) PathBuf);

#[cfg(not(target_arch = "wasm32"))]
impl DroppedFile for Named {
    fn path(&self) -> &Path {
        &self.0
    }

    fn bytes(&self) -> std::result::Result<Vec<u8>, String> {
        std::fs::read(&self.0).map_err(|e| e.to_string())
    }
}

/// Finds out what the bytes of files are.
fn offer(mut files: Vec<(PathBuf, Vec<u8>)>) -> Result<Offer> {
    // Of two files, the larger one holds the images.
    files.sort_by_key(|(_, bytes)| std::cmp::Reverse(bytes.len()));
    let named = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names: Vec<String> = files.iter().map(|(path, _)| named(path)).collect();
    match &files[..] {
        [(path, bytes)] if are_weights(path, bytes) => {
            let weights = weights::parse(bytes).map_err(|e| Error::new(format!("{}: {e}", names[0])))?;
            Ok(Offer::Weights(weights, names[0].clone().into()))
        }
        [(_, images), labels @ ..] if labels.len() < 2 && !files.iter().any(|(p, b)| are_weights(p, b)) => {
            let labels = labels.first().map(|(_, bytes)| (names[1].as_str(), &bytes[..]));
            let set = idx::parse((&names[0], images), labels).map_err(|e| Error::new(e.to_string()))?;
            fitting(set).map(Offer::Lesson)
        }
        _ => {
            Err(Error::new("drop one safetensors file, or one IDX file of images with or without its labels"))
        }
    }
}

/// A data set of the size that rooms learn from.
fn fitting(set: Lesson) -> Result<Lesson> {
    let data::Images { height, width, channels, .. } = set.train;
    match [height, width, channels] {
        [28, 28, 1] => Ok(set),
        _ => Err(Error::new(format!(
            "{}: pictures of {height}x{width} with {channels} channels; the rooms learn from 28x28 and grey ones",
            set.name
        ))),
    }
}

/// Writes a file that does not exist yet into the current folder, and returns its path.
///
/// # Errors
/// A folder that cannot be written.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn save(name: &str, bytes: &[u8]) -> Result<String> {
    use std::io::Write as _;
    for number in 1_u32.. {
        let path = PathBuf::from(format!("{name}-{number}.safetensors"));
        match std::fs::File::create_new(&path).and_then(|mut file| file.write_all(bytes)) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::new(format!("{}: {e}", path.display()))),
            Ok(()) => return Ok(std::path::absolute(&path).unwrap_or(path).display().to_string()),
        }
    }
    Err(Error::new(format!("{name}: there are too many files of this name")))
}

/// Hands a file to the browser, which keeps it among its downloads.
///
/// # Errors
/// A browser that refuses.
#[cfg(target_arch = "wasm32")]
pub(crate) fn save(name: &str, bytes: &[u8]) -> Result<String> {
    let name = format!("{name}.safetensors");
    crate::web::download(&name, bytes).map_err(|e| Error::new(format!("{name}: {e:?}")))?;
    Ok(format!("{name} among the browser's downloads"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(side: u8) -> Vec<u8> {
        let header = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, side, 0, 0, 0, side];
        [header.to_vec(), vec![7; 2 * usize::from(side).pow(2)]].concat()
    }

    #[test]
    fn files_are_known_by_what_they_hold() {
        let labels = |second| (PathBuf::from("labels"), vec![0, 0, 8, 1, 0, 0, 0, 2, 3, second]);
        let Ok(Offer::Lesson(lesson)) = offer(vec![labels(3), ("digits".into(), images(28))]) else {
            panic!("no lesson")
        };
        assert_eq!((lesson.train.count, lesson.test.count, lesson.class_names.len()), (1, 1, 1));
        for (files, what) in [
            (vec![("small".into(), images(27))], "27x27"),
            (vec![labels(4), ("digits".into(), images(28))], "shuffle them"),
            (vec![("a.safetensors".into(), vec![1, 2, 3])], "safetensors"),
            (vec![("letter.txt".into(), b"dear".to_vec())], "letter.txt"),
            (vec![], "drop one"),
            (vec![("A.SAFETENSORS".into(), vec![1, 2, 3])], "safetensors"),
            (vec![("a.pt".into(), [&b"PK\x03\x04"[..], &[9; 60]].concat())], "PyTorch's own"),
            (vec![("a".into(), b"\x08\0\0\0\0\0\0\0{\"a\":".to_vec())], "safetensors"),
            (
                vec![("a.safetensors".into(), vec![1]), ("b.safetensors".into(), vec![2, 3])],
                "one safetensors",
            ),
        ] {
            let line = offer(files).err().expect("an error").to_string();
            assert!(line.contains(what) && line.lines().count() == 1, "{line}");
        }
    }
}
