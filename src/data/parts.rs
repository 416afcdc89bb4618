//! A folder of files for each class, in a part to learn from and a part to test on: `DIR/train/CLASS/*` and
//! `DIR/test/CLASS/*`, or `DIR/CLASS/*`, of which every tenth file of a class, in the order of their paths, is held
//! out to test on.
//!
//! Classes are the folders' names in order, numbers by their values, and a label is the place in it. Files in folders
//! within a class's folder are of that class. Test files come in turn, one of each class, so that the first ones of
//! them are of all classes. `training`, `testing`, capital letters, and `val`, `valid` or `validation` instead of
//! `test` are understood, and a folder of an archive around all is passed through.

use std::path::{Path, PathBuf};

use super::error::DataError;
use super::images::some;
use super::walk::{Entry, Kind, Left, all_in, entries, entry, place};

/// Where there is no test folder, one file of so many is held out.
pub(super) const HELD_OUT: usize = 10;

/// The names of the training files' folder and of the test files', in any case, and of those that stand in for test
/// files where there are none.
const TRAIN: [&str; 2] = ["train", "training"];
const TEST: [&str; 2] = ["test", "testing"];
const VALIDATION: [&str; 3] = ["val", "valid", "validation"];

/// A class's name and its files.
struct Class {
    name: String,
    files: Vec<PathBuf>,
}

/// A file and its label.
pub(super) type Labelled = (PathBuf, u8);

/// The files of a folder.
pub(super) struct Parts {
    /// The folder's own name, and what was done with it.
    pub(super) name: String,
    pub(super) train: Vec<Labelled>,
    pub(super) test: Vec<Labelled>,
    pub(super) class_names: Vec<String>,
    /// The files that were passed over.
    pub(super) left: Left,
}

impl Parts {
    /// Finds the files of a kind in a folder.
    ///
    /// # Errors
    /// Folders that are not as described, and a part without files.
    pub(super) fn find(folder: &Path, kind: &Kind) -> Result<Self, DataError> {
        let mut left = Left::default();
        let mut name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
        let (root, test) = parts(folder, kind, &mut left)?;
        let train = classes(&root, kind, &mut left)?;
        let class_names: Vec<String> = train.iter().map(|class| class.name.clone()).collect();
        let (train, test) = match &test {
            Some(test) => {
                (labelled(train), known(test, classes(test, kind, &mut left)?, &class_names, kind)?)
            }
            None => {
                name += &format!(", every tenth {} held out", kind.one);
                hold_out(labelled(train))
            }
        };
        let test = in_turn(test);
        if train.is_empty() || test.is_empty() {
            let (which, one) = (if train.is_empty() { "training" } else { "test" }, kind.one);
            let what = format!(
                "no {which} {one}s: put some into train/CLASS and test/CLASS, or at least {HELD_OUT} into CLASS"
            );
            return Err(DataError::Folder { path: folder.to_owned(), what });
        }
        Ok(Self { name, train, test, class_names, left })
    }

    /// The paths of all files, those of the training part first.
    pub(super) fn paths(&self) -> Vec<&Path> {
        self.train.iter().chain(&self.test).map(|(path, _)| path.as_path()).collect()
    }

    /// What was left out of a folder, and the classes that no test file is of, a line each.
    pub(super) fn notes(&self, folder: &Path, kind: &Kind) -> Vec<String> {
        let mut tested = [false; 256];
        self.test.iter().for_each(|(_, label)| tested[usize::from(*label)] = true);
        let names = self.class_names.iter().zip(tested);
        let without: Vec<String> =
            names.filter(|(_, tested)| !tested).map(|(name, _)| name.clone()).collect();
        let untested =
            (!without.is_empty()).then(|| format!("classes without test {}s: {}", kind.one, some(&without)));
        self.left.line(folder).into_iter().chain(untested).collect()
    }
}

/// The folder of the training files' classes, and that of the test files' where there is one.
fn parts(folder: &Path, kind: &Kind, left: &mut Left) -> Result<(PathBuf, Option<PathBuf>), DataError> {
    let all = entries(folder)?;
    let named = |names: &[&str]| {
        let is = |path: &&PathBuf, name| path.file_name().is_some_and(|f| f.eq_ignore_ascii_case(name));
        names.iter().find_map(|name| all.iter().find(|path| is(path, name) && path.is_dir()))
    };
    // Test files without classes are often those of a contest, beside a part to validate on.
    let sorted = |path: &&PathBuf| entries(path).unwrap_or_default().iter().any(|inner| inner.is_dir());
    let (test, validation) = (named(&TEST), named(&VALIDATION));
    let test = [test, validation].into_iter().flatten().find(sorted).or(test).or(validation);
    let train = named(&TRAIN);
    let Some(train) = train else {
        // An archive's own folder around all.
        if let [only] = all.as_slice()
            && wraps(only)
        {
            return parts(only, kind, left);
        }
        return match test.filter(sorted) {
            Some(test) => {
                let what = format!("test {0} without training {0}: {1}", kind.files, test.display());
                let what = format!("{what}; put those into a folder train beside it");
                Err(DataError::Folder { path: folder.to_owned(), what })
            }
            None => Ok((folder.to_owned(), None)),
        };
    };
    for path in all.iter().filter(|&path| path != train && Some(path) != test) {
        left.add(&format!("beside the training and test {}", kind.files), path);
    }
    Ok((train.clone(), test.cloned()))
}

/// Whether a folder is an archive's own around all: it holds nothing but folders, several or one for training.
fn wraps(folder: &Path) -> bool {
    let inside = entries(folder).unwrap_or_default();
    let train = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        path.is_dir() && TRAIN.iter().any(|train| name.eq_ignore_ascii_case(train))
    };
    inside.iter().any(train) || (inside.len() > 1 && inside.iter().all(|path| path.is_dir()))
}

/// The classes in a folder, in the order of their names; those without files are left out.
fn classes(root: &Path, kind: &Kind, left: &mut Left) -> Result<Vec<Class>, DataError> {
    let (mut found, names) = (vec![], kind.files);
    for path in entries(root)? {
        match entry(&path, kind)? {
            Entry::Folder => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                match all_in(&path, kind, left)? {
                    none if none.is_empty() => left.add(&format!("folders without {names}"), &path),
                    files => found.push(Class { name, files }),
                }
            }
            Entry::File => left.add(&format!("{names} outside of the classes' folders"), &path),
            Entry::Other(reason) => left.add(&reason, &path),
        }
    }
    found.sort_by(|a, b| place(&a.name).cmp(&place(&b.name)));
    let wrong = |what| Err(DataError::Folder { path: root.to_owned(), what });
    match found.len() {
        0 => wrong(format!(
            "no folder in it holds {names}; put those of each class into a folder of its own ({})",
            kind.endings.join(", ")
        )),
        n @ 257.. => {
            wrong(format!("{n} classes; labels are bytes: merge folders until there are at most 256"))
        }
        _ => Ok(found),
    }
}

/// The files of all classes, class by class, each with its class's place.
fn labelled(classes: Vec<Class>) -> Vec<Labelled> {
    let numbered = classes.into_iter().enumerate();
    numbered.flat_map(|(label, class)| class.files.into_iter().map(move |path| (path, label as u8))).collect()
}

/// The test files, labelled by the training files' classes, of which the test folder may lack some.
fn known(
    test: &Path,
    classes: Vec<Class>,
    names: &[String],
    kind: &Kind,
) -> Result<Vec<Labelled>, DataError> {
    let mut found = vec![];
    for class in classes {
        let Some(label) = names.iter().position(|name| *name == class.name) else {
            let one = kind.one;
            let what =
                format!("no training {one}s are of this class; add some to train, or remove the folder");
            return Err(DataError::Folder { path: test.join(class.name), what });
        };
        found.extend(class.files.into_iter().map(|path| (path, label as u8)));
    }
    Ok(found)
}

/// The files of all classes in turn, so that the first ones are of all classes.
fn in_turn(files: Vec<Labelled>) -> Vec<Labelled> {
    let mut seen = [0_usize; 256];
    let mut ranked: Vec<(usize, Labelled)> = vec![];
    for file in files {
        let seen = &mut seen[usize::from(file.1)];
        *seen += 1;
        ranked.push((*seen, file));
    }
    ranked.sort_by_key(|(rank, (_, label))| (*rank, *label));
    ranked.into_iter().map(|(_, file)| file).collect()
}

/// Divides into training and test files.
fn hold_out(all: Vec<Labelled>) -> (Vec<Labelled>, Vec<Labelled>) {
    let (mut train, mut test, mut seen) = (vec![], vec![], [0_usize; 256]);
    for file in all {
        let seen = &mut seen[usize::from(file.1)];
        *seen += 1;
        if seen.is_multiple_of(HELD_OUT) { test.push(file) } else { train.push(file) }
    }
    (train, test)
}
