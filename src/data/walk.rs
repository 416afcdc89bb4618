//! A walk through folders of pictures that remembers what it passes over, so that it can be told.
//!
//! What systems and programs leave behind (hidden files and folders, `Thumbs.db`, `__MACOSX` and the like) is
//! passed over without a word.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::DataError;
use super::picture::{ENDINGS, MAGIC, recognise};

/// The names of litter, in any case; names that begin with a dot are litter, too.
const LITTER: [&str; 5] = ["thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "icon\r"];

/// What was left out, by reason: how often, and the first.
#[derive(Default)]
pub(super) struct Left(Vec<(&'static str, usize, PathBuf)>);

impl Left {
    /// Remembers that something was left out; the reason reads like "links to nothing".
    pub(super) fn add(&mut self, reason: &'static str, path: &Path) {
        match self.0.iter_mut().find(|(known, ..)| *known == reason) {
            Some((_, count, _)) => *count += 1,
            None => self.0.push((reason, 1, path.to_owned())),
        }
    }

    /// All of it in one line, or nothing; paths begin at `root`.
    pub(super) fn line(&self, root: &Path) -> Option<String> {
        let part = |(reason, count, first): &(&str, usize, PathBuf)| {
            let first = first.strip_prefix(root).unwrap_or(first).display();
            if *count == 1 {
                format!("{reason}: {first}")
            } else {
                format!("{reason}: {count} ({first} first)")
            }
        };
        let parts: Vec<String> = self.0.iter().map(part).collect();
        (!parts.is_empty()).then(|| format!("left out: {}", parts.join("; ")))
    }
}

/// The kind of thing that a path leads to.
pub(super) enum Entry {
    Folder,
    Picture,
    /// Nothing that is read, for this reason.
    Other(&'static str),
}

/// The reason to leave out what is no picture.
pub(super) const NO_PICTURES: &str = "no pictures of a kind that is read";

/// What lies in a folder, in the order of the names, without litter.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let unreadable = |source| DataError::Io { path: folder.to_owned(), source };
    let mut found = vec![];
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().to_lowercase();
        if !name.starts_with('.') && !LITTER.contains(&name.as_str()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Tells the kind of thing that lies at a path of [`entries`].
pub(super) fn entry(path: &Path) -> Result<Entry, DataError> {
    let unreadable = |source| DataError::Io { path: path.to_owned(), source };
    match fs::metadata(path) {
        Err(_) if path.is_symlink() => Ok(Entry::Other("links to nothing")),
        Err(source) => Err(unreadable(source)),
        Ok(about) if about.is_dir() => Ok(Entry::Folder),
        Ok(about) if about.is_file() && is_picture(path).map_err(unreadable)? => Ok(Entry::Picture),
        Ok(_) => Ok(Entry::Other(NO_PICTURES)),
    }
}

/// Whether a file is called a picture or is one.
fn is_picture(path: &Path) -> std::io::Result<bool> {
    if path.extension().is_some_and(|e| ENDINGS.iter().any(|ending| e.eq_ignore_ascii_case(ending))) {
        return Ok(true);
    }
    let mut start = vec![];
    File::open(path)?.take(MAGIC).read_to_end(&mut start)?;
    Ok(recognise(&start).is_some())
}

/// All pictures in a folder and in the folders within it, in the order of their paths.
pub(super) fn pictures(folder: &Path, left: &mut Left) -> Result<Vec<PathBuf>, DataError> {
    let mut found = vec![];
    descend(folder, &mut vec![], left, &mut found)?;
    Ok(found)
}

fn descend(
    folder: &Path,
    above: &mut Vec<PathBuf>,
    left: &mut Left,
    found: &mut Vec<PathBuf>,
) -> Result<(), DataError> {
    let unreadable = |source| DataError::Io { path: folder.to_owned(), source };
    let real = fs::canonicalize(folder).map_err(unreadable)?;
    if above.contains(&real) {
        left.add("links to a folder that they lie in", folder);
        return Ok(());
    }
    above.push(real);
    for path in entries(folder)? {
        match entry(&path)? {
            Entry::Folder => descend(&path, above, left, found)?,
            Entry::Picture => found.push(path),
            Entry::Other(reason) => left.add(reason, &path),
        }
    }
    above.pop();
    Ok(())
}

/// A name's place among others: whole numbers by their values, before all other names.
pub(super) fn place(name: &str) -> (bool, u64, &str) {
    match name.parse() {
        Ok(number) => (false, number, name),
        Err(_) => (true, 0, name),
    }
}
