//! A walk through folders of pictures or of sounds that remembers what it passes over, so that it can be told.
//!
//! What systems and programs leave behind (hidden files and folders, `Thumbs.db`, `__MACOSX` and the like) is
//! passed over without a word.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::DataError;

/// The names of litter, in any case; names that begin with a dot are litter, too.
const LITTER: [&str; 5] = ["thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "icon\r"];

/// The kind of files that a walk looks for.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    /// What many of them are called, such as "pictures".
    pub(super) files: &'static str,
    /// The word for one file of this kind.
    pub(super) one: &'static str,
    /// The endings of names by which files count as of this kind, in any case.
    pub(super) endings: &'static [&'static str],
    /// The number of bytes at a file's beginning by which its content is known.
    pub(super) magic: u64,
    /// Whether a file that begins with these bytes is of this kind, whatever it is called.
    pub(super) known: fn(&[u8]) -> bool,
    /// Whether a file that is called or begins like one of this kind is in a coding that is not read.
    pub(super) strange: fn(&Path, &[u8]) -> bool,
}

/// What was left out, by reason: how often, and the first.
#[derive(Default)]
pub(super) struct Left(Vec<(String, usize, PathBuf)>);

impl Left {
    /// Remembers that something was left out; the reason reads like "links to nothing".
    pub(super) fn add(&mut self, reason: &str, path: &Path) {
        match self.0.iter_mut().find(|(known, ..)| known == reason) {
            Some((_, count, _)) => *count += 1,
            None => self.0.push((reason.to_owned(), 1, path.to_owned())),
        }
    }

    /// All of it in one line, or nothing; paths begin at `root`.
    pub(super) fn line(&self, root: &Path) -> Option<String> {
        let part = |(reason, count, first): &(String, usize, PathBuf)| {
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
    /// A file of the kind that is looked for.
    File,
    /// Nothing that is read, for this reason.
    Other(String),
}

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
pub(super) fn entry(path: &Path, kind: &Kind) -> Result<Entry, DataError> {
    let unreadable = |source| DataError::Io { path: path.to_owned(), source };
    match fs::metadata(path) {
        Err(_) if path.is_symlink() => Ok(Entry::Other("links to nothing".to_owned())),
        Err(source) => Err(unreadable(source)),
        Ok(about) if about.is_dir() => Ok(Entry::Folder),
        Ok(about) if about.is_file() && is_wanted(path, kind).map_err(unreadable)? => Ok(Entry::File),
        Ok(_) => Ok(Entry::Other(format!("no {} of a kind that is read", kind.files))),
    }
}

/// Whether a file is called or is one of this kind, and in a coding that is read.
fn is_wanted(path: &Path, kind: &Kind) -> std::io::Result<bool> {
    let mut start = vec![];
    File::open(path)?.take(kind.magic).read_to_end(&mut start)?;
    let called =
        path.extension().is_some_and(|e| kind.endings.iter().any(|ending| e.eq_ignore_ascii_case(ending)));
    Ok((called || (kind.known)(&start)) && !(kind.strange)(path, &start))
}

/// Whether there is a file of this kind in the folder, or in folders within each other that are at most so `deep`.
pub(super) fn holds(folder: &Path, kind: &Kind, deep: usize) -> bool {
    let all = entries(folder).unwrap_or_default();
    let is = |wanted: fn(&Entry) -> bool| move |path: &&PathBuf| entry(path, kind).is_ok_and(|e| wanted(&e));
    all.iter().any(|path| is(|e| matches!(e, Entry::File))(&path))
        || deep > 0
            && all.iter().filter(is(|e| matches!(e, Entry::Folder))).any(|path| holds(path, kind, deep - 1))
}

/// All files of this kind in a folder and in the folders within it, in the order of their paths.
pub(super) fn all_in(folder: &Path, kind: &Kind, left: &mut Left) -> Result<Vec<PathBuf>, DataError> {
    let parent = folder.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unreadable = |source| DataError::Io { path: parent.to_owned(), source };
    let mut above: Vec<_> =
        fs::canonicalize(parent).map_err(unreadable)?.ancestors().map(Path::to_owned).collect();
    let mut found = vec![];
    descend(folder, kind, &mut above, left, &mut found)?;
    Ok(found)
}

fn descend(
    folder: &Path,
    kind: &Kind,
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
        match entry(&path, kind)? {
            Entry::Folder => descend(&path, kind, above, left, found)?,
            Entry::File => found.push(path),
            Entry::Other(reason) => left.add(&reason, &path),
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
