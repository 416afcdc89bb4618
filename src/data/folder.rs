//! A folder of pictures for each class: `DIR/train/CLASS/*` and `DIR/test/CLASS/*`, or `DIR/CLASS/*`, of which every
//! tenth picture of a class, in the order of their paths, is held out to test on.
//!
//! Classes are the folders' names in order, numbers by their values, and a label is the place in it. Pictures in
//! folders within a class's folder are of that class. `training`, `testing`, capital letters, and `val`, `valid`
//! or `validation` instead of `test` are understood. What is left out is told by the data set's notes. Pixels are
//! RGB, or grey where no pixel of the whole set has a colour. Where a size is asked for, the largest square in a
//! picture's middle is scaled to it.

use std::path::{Path, PathBuf};

use super::error::DataError;
use super::files::{Files, any_colour, look_at};
use super::images::{Asked, DataSet, Images, MAX_SIDE, Progress, some};
use super::picture::{ENDINGS, Header};
use super::source::Source;
use super::walk::{Entry, Left, entries, entry, pictures, place};

/// Where there is no test folder, one picture of so many is held out.
pub const HELD_OUT: usize = 10;

/// The names of the training pictures' folder and of the test pictures', in any case, and of those that stand in
/// for test pictures where there are none.
const TRAIN: [&str; 2] = ["train", "training"];
const TEST: [&str; 2] = ["test", "testing"];
const VALIDATION: [&str; 3] = ["val", "valid", "validation"];
/// The folders within each other that are searched for a first picture.
const DEEP: usize = 8;

/// A class's name and its pictures.
struct Class {
    name: String,
    pictures: Vec<PathBuf>,
}

/// A file and its label.
type Labelled = (PathBuf, u8);

/// Whether there are pictures in the folder or below it.
pub(super) fn is_here(folder: &Path) -> bool {
    holds_picture(folder, DEEP)
}

fn holds_picture(folder: &Path, deep: usize) -> bool {
    let all = entries(folder).unwrap_or_default();
    let is = |wanted: fn(&Entry) -> bool| move |path: &&PathBuf| entry(path).is_ok_and(|e| wanted(&e));
    all.iter().any(|path| is(|e| matches!(e, Entry::Picture))(&path))
        || deep > 0
            && all.iter().filter(is(|e| matches!(e, Entry::Folder))).any(|path| holds_picture(path, deep - 1))
}

/// Looks at every file of the folder; `progress` hears of each.
///
/// # Errors
/// Folders that are not as described, a file that cannot be read or is no picture, pictures of several sizes where
/// none was asked for, and a side above [`MAX_SIDE`].
pub fn open(
    folder: &Path,
    asked: &Asked,
    progress: &mut dyn FnMut(&Progress),
) -> Result<DataSet<Source>, DataError> {
    let mut left = Left::default();
    let mut name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
    let (root, test) = parts(folder, &mut left)?;
    let train = classes(&root, &mut left)?;
    let class_names: Vec<String> = train.iter().map(|class| class.name.clone()).collect();
    let (train, test) = match &test {
        Some(test) => (labelled(train), known(test, classes(test, &mut left)?, &class_names)?),
        None => {
            name += ", every tenth image held out";
            hold_out(labelled(train))
        }
    };
    if train.is_empty() || test.is_empty() {
        let which = if train.is_empty() { "training" } else { "test" };
        let what = format!(
            "no {which} images: put some into train/CLASS and test/CLASS, or at least {HELD_OUT} into CLASS"
        );
        return Err(DataError::Folder { path: folder.to_owned(), what });
    }
    let paths: Vec<&Path> = train.iter().chain(&test).map(|(path, _)| path.as_path()).collect();
    let looks = look_at(&paths, progress)?;
    let headers: Vec<Header> = looks.iter().map(|look| look.header).collect();
    let size = one_size(&paths, &headers, asked.size)?;
    let perhaps: Vec<&Path> =
        paths.iter().zip(&headers).filter(|(_, header)| header.colours).map(|(path, _)| *path).collect();
    let colours = !perhaps.is_empty() && any_colour(&perhaps, progress);
    let mut notes: Vec<String> = left.line(folder).into_iter().collect();
    notes.extend(untested(&class_names, &test));
    let (first, rest) = looks.split_at(train.len());
    let files = |of: Vec<Labelled>, looks| {
        let (paths, labels): (Vec<_>, Vec<_>) = of.into_iter().unzip();
        let about = Images {
            count: paths.len(),
            height: size[0],
            width: size[1],
            channels: if colours && !asked.grey { 3 } else { 1 },
            classes: class_names.len(),
            pixels: vec![],
            labels: Some(labels),
        };
        Source::Files(Files::new(about, paths, looks, asked.size))
    };
    let lossy = headers.iter().any(|header| header.lossy || header.size != size) || (colours && asked.grey);
    let set = DataSet::new(name, files(train, first), files(test, rest));
    Ok(DataSet { lossy, class_names, notes, ..set })
}

/// The folder of the training pictures' classes, and that of the test pictures' where there is one.
fn parts(folder: &Path, left: &mut Left) -> Result<(PathBuf, Option<PathBuf>), DataError> {
    let all = entries(folder)?;
    let named = |names: &[&str]| {
        let is = |path: &&PathBuf, name| path.file_name().is_some_and(|f| f.eq_ignore_ascii_case(name));
        names.iter().find_map(|name| all.iter().find(|path| is(path, name) && path.is_dir()))
    };
    let (train, test) = (named(&TRAIN), named(&TEST).or_else(|| named(&VALIDATION)));
    let Some(train) = train else {
        // An archive's own folder around all.
        if let [only] = all.as_slice()
            && entries(only).unwrap_or_default().iter().any(|path| is_train(path))
        {
            return parts(only, left);
        }
        return match test.filter(|test| entries(test).unwrap_or_default().iter().any(|path| path.is_dir())) {
            Some(test) => {
                let what = format!("test pictures without training pictures: {}", test.display());
                let what = format!("{what}; put those into a folder train beside it");
                Err(DataError::Folder { path: folder.to_owned(), what })
            }
            None => Ok((folder.to_owned(), None)),
        };
    };
    for path in all.iter().filter(|&path| path != train && Some(path) != test) {
        left.add("beside the training and test pictures", path);
    }
    Ok((train.clone(), test.cloned()))
}

fn is_train(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    path.is_dir() && TRAIN.iter().any(|train| name.eq_ignore_ascii_case(train))
}

/// The classes in a folder, in the order of their names; those without pictures are left out.
fn classes(root: &Path, left: &mut Left) -> Result<Vec<Class>, DataError> {
    let mut found = vec![];
    for path in entries(root)? {
        match entry(&path)? {
            Entry::Folder => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                match pictures(&path, left)? {
                    none if none.is_empty() => left.add("folders without pictures", &path),
                    pictures => found.push(Class { name, pictures }),
                }
            }
            Entry::Picture => left.add("pictures outside of the classes' folders", &path),
            Entry::Other(reason) => left.add(reason, &path),
        }
    }
    found.sort_by(|a, b| place(&a.name).cmp(&place(&b.name)));
    let wrong = |what| Err(DataError::Folder { path: root.to_owned(), what });
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

/// The pictures of all classes, class by class, each with its class's place.
fn labelled(classes: Vec<Class>) -> Vec<Labelled> {
    let numbered = classes.into_iter().enumerate();
    numbered
        .flat_map(|(label, class)| class.pictures.into_iter().map(move |path| (path, label as u8)))
        .collect()
}

/// The test pictures, labelled by the training pictures' classes, of which the test folder may lack some.
fn known(test: &Path, classes: Vec<Class>, names: &[String]) -> Result<Vec<Labelled>, DataError> {
    let mut found = vec![];
    for class in classes {
        let Some(label) = names.iter().position(|name| *name == class.name) else {
            let what =
                "no training images are of this class; add some to train, or remove the folder".to_owned();
            return Err(DataError::Folder { path: test.join(class.name), what });
        };
        found.extend(class.pictures.into_iter().map(|path| (path, label as u8)));
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

/// A note of the classes that no test picture is of.
fn untested(names: &[String], test: &[Labelled]) -> Option<String> {
    let mut tested = [false; 256];
    test.iter().for_each(|(_, label)| tested[usize::from(*label)] = true);
    let without: Vec<String> =
        names.iter().zip(tested).filter(|(_, tested)| !tested).map(|(name, _)| name.clone()).collect();
    (!without.is_empty()).then(|| format!("classes without test images: {}", some(&without)))
}

/// The height and width of all images: what was asked for, or what all of them have.
fn one_size(paths: &[&Path], headers: &[Header], asked: Option<u32>) -> Result<[usize; 2], DataError> {
    let first = headers[0].size;
    let size = asked.map_or(first, |n| [n as usize; 2]);
    let other = headers.iter().position(|header| header.size != first);
    if let Some(i) = other.filter(|_| asked.is_none()) {
        return Err(DataError::Differs { path: paths[i].to_owned(), size: headers[i].size, first });
    }
    if size.iter().any(|&side| side == 0 || side > MAX_SIDE as usize) {
        let [h, w] = size;
        let what =
            format!("{h} x {w} pixels: a side may have 1 to {MAX_SIDE}; scale them by giving an image size");
        return Err(DataError::Folder { path: paths[0].to_owned(), what });
    }
    Ok(size)
}

#[cfg(test)]
mod tests;
