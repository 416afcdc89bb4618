//! A run directory: one folder holds all that a training run leaves behind.
//!
//! The names are fixed here, so that `sample` finds what `train` wrote. Whole files
//! are written beside their place and renamed into it: whoever reads one, even after
//! a crash, sees the old file or the new file and never half of one.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Error, Result};

/// The folder of one run and the names of the files in it.
#[derive(Clone, Debug)]
pub struct RunDir {
    root: PathBuf,
}

impl RunDir {
    /// Makes the folder where it is missing, and checks that files can be written in it.
    ///
    /// A folder that holds an earlier run is taken as it is; see [`RunDir::has_run`].
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let root = path.as_ref().to_path_buf();
        if root.exists() && !root.is_dir() {
            let advice = "name a folder, or move the file away";
            return Err(Error::at("use", &root, "it is not a folder", advice));
        }
        let advice = "choose a folder that you may write to";
        fs::create_dir_all(&root).map_err(|e| Error::at("make the folder", &root, e, advice))?;
        // A failure after an hour of training would lose the weights, so try now.
        let probe = beside(&root.join("probe"));
        fs::write(&probe, b"").map_err(|e| Error::at("write in", &root, e, advice))?;
        let _ = fs::remove_file(&probe);
        Ok(Self { root })
    }

    /// The folder of a run that was trained earlier.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let root = path.as_ref().to_path_buf();
        let run = Self { root };
        if run.has_run() {
            return Ok(run);
        }
        let why = match run.root.is_dir() {
            true => "it holds no weights.safetensors",
            false => "there is no such folder",
        };
        let advice = "train first, with this folder as its output";
        Err(Error::at("use the run", &run.root, why, advice))
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether weights of an earlier run are here.
    pub fn has_run(&self) -> bool {
        self.weights().is_file()
    }

    /// A file of any other name in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// `metrics.jsonl`: what training measured, one JSON object a line.
    pub fn metrics(&self) -> PathBuf {
        self.path("metrics.jsonl")
    }

    /// `weights.safetensors`: the model.
    pub fn weights(&self) -> PathBuf {
        self.path("weights.safetensors")
    }

    /// `config.json`: the options of the run, from which the model is built again.
    pub fn config(&self) -> PathBuf {
        self.path("config.json")
    }

    /// `samples-000123.png`: samples drawn at that step; zeros keep the names in order.
    pub fn samples(&self, step: u64) -> PathBuf {
        self.path(&format!("samples-{step:06}.png"))
    }

    /// `loss.png`: the curves of the run.
    pub fn loss_plot(&self) -> PathBuf {
        self.path("loss.png")
    }
}

/// Writes a whole file so that a reader sees the old content or the new, never a part.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = beside(path);
    let write = || {
        let mut file = fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        // Without this a power cut may keep the rename and lose the content.
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|e| {
        let _ = fs::remove_file(&temporary);
        let advice = "check that its folder exists, is yours to write to and has room";
        Error::at("write", path, e, advice)
    })
}

/// A hidden name in the same folder, where a rename is one step of the file system.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.part", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::tests::empty_dir;

    #[test]
    fn a_run_directory_is_made_with_its_parents_and_may_be_used_again() {
        let root = empty_dir("dir-create").join("runs/one");
        let run = RunDir::create(&root).unwrap();
        assert!(!run.has_run());
        assert!(RunDir::open(&root).is_err());
        write_atomic(&run.weights(), b"w").unwrap();
        assert!(RunDir::create(&root).unwrap().has_run());
        assert_eq!(RunDir::open(&root).unwrap().root(), root);
        assert_eq!(run.samples(123), root.join("samples-000123.png"));
        // Neither the probe nor a temporary file may stay behind.
        assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
    }

    #[test]
    fn a_file_in_the_place_of_the_folder_is_a_one_line_error() {
        let file = empty_dir("dir-file").join("taken");
        fs::write(&file, "x").unwrap();
        let line = RunDir::create(&file).unwrap_err().to_string();
        assert!(line.contains("not a folder") && line.contains("taken"));
        assert!(!line.contains('\n'));
    }

    #[test]
    fn an_absent_run_says_to_train_first() {
        let line = RunDir::open("no/such/run").unwrap_err().to_string();
        assert!(line.contains("train first"), "{line}");
    }

    #[test]
    fn a_whole_file_replaces_the_old_one_and_a_failure_leaves_it() {
        let dir = empty_dir("dir-atomic");
        let path = dir.join("config.json");
        write_atomic(&path, b"a longer old text").unwrap();
        write_atomic(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(write_atomic(&dir.join("absent/config.json"), b"x").is_err());
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    }
}
