//! A run directory: one folder with all the files of a training run.
//!
//! The file names are fixed here, so that `sample` finds what `train` wrote. A file is written under another
//! name and then renamed: a reader sees the old file or the new one and never a part of one, even after a
//! crash.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Checkpoints, change::Change, options::Lasting};
use crate::{
    data::{MAX_LENGTH, MAX_SIDE},
    disk,
    error::{Error, Result},
};
use image::RgbImage;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

const RUNS: &str = "runs";
const CONFIG: &str = "config.toml";
const WEIGHTS: &str = "weights.safetensors";
/// The pictures that the examples draw from a trained model.
const PICTURES: [&str; 19] = [
    "samples.png",
    "samples-strip.png",
    "completed.png",
    "completed-strip.png",
    "samples.gif",
    "completed.gif",
    "given.png",
    "surprise.png",
    "reconstructions.png",
    "manifold.png",
    "interpolation.png",
    "interpolation.gif",
    "analogies.png",
    "arithmetic.png",
    "nearest.png",
    "training.gif",
    "fid.png",
    "continued.png",
    "real.png",
];

/// What the configuration file of a run holds. It is enough to build the model again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Saved<T> {
    /// The name of the model.
    pub model: String,
    /// The height, width and number of channels of the images.
    pub image: [usize; 3],
    /// The number of classes of the images; 0 without labels.
    #[serde(default)]
    pub classes: usize,
    /// What users call the classes, `[classes]`; nothing where an older version trained the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
    /// The number of images and their SHA-256, by which changed data is noticed; nothing where any images of this
    /// size will do.
    pub images: String,
    /// The options that made the run, with their latest values.
    pub options: T,
    /// The options that the next sitting takes over, unless it is given others.
    #[serde(default)]
    pub sitting: Lasting,
    /// The changes of options when the run was resumed, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// The place of the list of the run's pictures, if it streams pictures.
    #[serde(skip)]
    pub list: Option<PathBuf>,
}

impl<T> Saved<T> {
    /// The class of this name, or the only one of this name in small letters; a run without names counts its classes
    /// from 0.
    ///
    /// # Errors
    /// A name that no class has.
    pub fn class(&self, name: &str) -> Result<usize> {
        let names: Vec<String> = (0..self.classes).map(|class| self.class_name(class)).collect();
        let lower = name.to_lowercase();
        let alike: Vec<usize> = (0..names.len()).filter(|&i| names[i].to_lowercase() == lower).collect();
        let only = if let [only] = alike[..] { Some(only) } else { None };
        names.iter().position(|known| known == name).or(only).ok_or_else(|| {
            Error::new(format!("--class {name}: there are {} classes: {}", names.len(), names.join(", ")))
        })
    }

    /// What users call a class.
    pub fn class_name(&self, class: usize) -> String {
        self.class_names.get(class).cloned().unwrap_or_else(|| class.to_string())
    }
}

impl<T: DeserializeOwned> Saved<T> {
    /// Reads a configuration from TOML.
    ///
    /// # Errors
    /// One line about a text that is no configuration, or one of images or classes that there cannot be.
    pub(crate) fn parse(text: &str) -> std::result::Result<Self, String> {
        let this: Self = from_toml(text)?;
        let [height, width, channels] = this.image;
        // A signal is one long row.
        let (high, wide) =
            (1..=MAX_SIDE as usize, 1..=if height == 1 { MAX_LENGTH } else { MAX_SIDE } as usize);
        if !high.contains(&height) || !wide.contains(&width) || ![1, 3].contains(&channels) {
            return Err(format!("images of {:?} are none that it can have been trained on", this.image));
        }
        match (this.classes, this.class_names.len()) {
            (257.., _) => Err(format!("{} classes; there are at most 256", this.classes)),
            (classes, names) if names != 0 && names != classes => {
                Err(format!("{names} names of {classes} classes"))
            }
            _ => Ok(this),
        }
    }
}

/// The configuration as TOML.
pub(super) fn config_text<T: Serialize>(saved: &Saved<T>) -> Result<String> {
    toml::to_string(saved).map_err(|e| Error::new(format!("the options cannot be written as TOML: {e}")))
}

/// Reads TOML; a text that is longer than any configuration is refused, since its values take many times its size.
pub(super) fn from_toml<T: DeserializeOwned>(text: &str) -> std::result::Result<T, String> {
    const LONGEST: usize = 1 << 18;
    match text.len() {
        0..LONGEST => toml::from_str(text).map_err(|e| e.message().to_string()),
        length => Err(format!("it has {length} bytes, more than any configuration")),
    }
}

/// Deletes a file, if it is there.
pub(super) fn delete(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::at("delete", path, e, "delete it by hand, or choose another folder"))
        }
        _ => Ok(()),
    }
}

fn model_of(text: &str) -> Option<String> {
    Some(from_toml::<toml::Table>(text).ok()?.get("model")?.as_str()?.to_string())
}

/// The folder of a run, and the names of the files in it.
#[derive(Clone, Debug)]
pub struct RunDir {
    root: PathBuf,
}

impl RunDir {
    /// Makes the folder if it is missing, and checks that files can be written in it. A folder that holds an
    /// earlier run is accepted; see [`RunDir::has_run`].
    ///
    /// # Errors
    /// Fails if the path is a file, or if the folder cannot be made or is not writable.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let root = path.as_ref().to_path_buf();
        if root.exists() && !root.is_dir() {
            let advice = "name a folder, or move the file away";
            return Err(Error::at("use", &root, "it is not a folder", advice));
        }
        let advice = "choose a folder that you may write to";
        fs::create_dir_all(&root).map_err(|e| Error::at("make the folder", &root, e, advice))?;
        // A failure after an hour of training would lose the weights, so writing is tried now.
        let probe = disk::beside(&root.join("probe"));
        fs::write(&probe, b"").map_err(|e| Error::at("write in", &root, e, advice))?;
        let _ = fs::remove_file(&probe);
        Ok(Self { root })
    }

    /// Opens the folder of an earlier run.
    ///
    /// # Errors
    /// Fails if the folder does not exist or holds no run.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let run = Self { root: path.as_ref().to_path_buf() };
        if run.has_run() {
            return Ok(run);
        }
        let why = match run.root.is_dir() {
            true => "it holds no config.toml",
            false => "there is no such folder",
        };
        let advice = "train first, or give the folder that an earlier `train` named";
        Err(Error::at("use the run", &run.root, why, advice))
    }

    /// Makes the folder `runs/MODEL`, or `runs/MODEL-2` and so on if that exists already.
    ///
    /// # Errors
    /// Fails if the folder cannot be made.
    pub fn fresh(model: &str) -> Result<Self> {
        Self::create(RUNS)?;
        let name = |n: u32| if n == 1 { model.to_string() } else { format!("{model}-{n}") };
        // Of two processes that start at once, only one makes a folder.
        let made = |path: &PathBuf| {
            !fs::create_dir(path).is_err_and(|e| e.kind() == std::io::ErrorKind::AlreadyExists)
        };
        let free = (1..).map(|n| Path::new(RUNS).join(name(n))).find(made);
        Self::create(free.expect("numbers do not end"))
    }

    /// Finds the run of this model whose weights were written last, among the runs in `runs`.
    ///
    /// # Errors
    /// Fails if there is none.
    pub fn latest(model: &str) -> Result<Self> {
        let folders = fs::read_dir(RUNS).into_iter().flatten().flatten().map(|e| e.path());
        let written = |p: &PathBuf| fs::metadata(p.join(WEIGHTS)).and_then(|m| m.modified()).ok();
        let of_model = |p: &PathBuf| {
            fs::read_to_string(p.join(CONFIG)).is_ok_and(|t| model_of(&t).as_deref() == Some(model))
        };
        match folders.filter(of_model).filter_map(|p| Some((written(&p)?, p))).max() {
            Some((_, path)) => Self::open(path),
            None => Err(Error::new(format!(
                "no trained `{model}` lies under {RUNS}; train first, or name a run with --run"
            ))),
        }
    }

    /// Reads the configuration of a run of this model.
    ///
    /// # Errors
    /// Fails if the file cannot be read, or if the run is of another model.
    pub fn read_config<T: DeserializeOwned>(&self, model: &str) -> Result<Saved<T>> {
        let (path, advice) = (self.config(), "train again into another folder");
        let text = fs::read_to_string(&path).map_err(|e| Error::at("read", &path, e, advice))?;
        match model_of(&text) {
            Some(found) if found != model => Err(Error::at(
                "use",
                &path,
                format!("the run is of a `{found}`, not a `{model}`"),
                "name another run",
            )),
            _ => Saved::parse(&text)
                .map(|saved| Saved { list: Some(self.pictures()), ..saved })
                .map_err(|what| Error::at("read", &path, what, advice)),
        }
    }

    /// Deletes an earlier run: its checkpoints, metrics, weights and pictures, but no file that this program
    /// did not write.
    ///
    /// # Errors
    /// Fails if a file cannot be deleted.
    pub fn clear(&self) -> Result<()> {
        // The sounds are the run's as long as there is a configuration. That goes next: without it, the folder no
        // longer counts as a run.
        let pictures = PICTURES.map(|name| self.path(name));
        let samples = self.all_samples();
        let sounds: Vec<_> = samples.iter().map(|picture| picture.with_extension("wav")).collect();
        self.clear_all_sounds()?;
        let files = self.fixed().into_iter().chain(pictures).chain(samples).chain(sounds);
        files.chain(Checkpoints::new(self.checkpoints(), 1).files()).try_for_each(|path| delete(&path))?;
        self.sweep();
        // The folder stays if something else lies in it.
        let _ = fs::remove_dir(self.checkpoints());
        Ok(())
    }

    /// The files that [`RunDir::samples`] names, in the order of their steps.
    fn all_samples(&self) -> Vec<PathBuf> {
        let step = |p: &PathBuf| -> Option<u64> {
            p.file_name()?.to_str()?.strip_prefix("samples-")?.strip_suffix(".png")?.parse().ok()
        };
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten().map(|e| e.path());
        let mut found: Vec<_> = entries.filter_map(|p| Some((step(&p)?, p))).collect();
        found.sort();
        found.into_iter().map(|(_, p)| p).collect()
    }

    /// Reads the run's sample pictures in the order of the steps: at most `most` of them at even distances,
    /// including the first and the last.
    ///
    /// # Errors
    /// Fails if a picture cannot be read.
    pub fn frames(&self, most: usize) -> Result<Vec<RgbImage>> {
        let all = self.all_samples();
        let count = most.min(all.len());
        let picked = (0..count).map(|i| &all[i * (all.len() - 1) / (count - 1).max(1)]);
        let read = |p: &PathBuf| {
            image::open(p)
                .map(|i| i.into_rgb8())
                .map_err(|e| Error::at("read", p, e, "delete it and go on with the run"))
        };
        picked.map(read).collect()
    }

    fn fixed(&self) -> [PathBuf; 6] {
        [self.config(), self.metrics(), self.weights(), self.summary(), self.loss_plot(), self.pictures()]
    }

    /// A file that the run would overwrite, although there is no run in the folder.
    pub(super) fn in_the_way(&self) -> Option<PathBuf> {
        self.fixed().into_iter().chain(Checkpoints::new(self.checkpoints(), 1).files()).find(|p| p.exists())
    }

    /// Deletes the unfinished files of a program that was killed.
    pub(super) fn sweep(&self) {
        for folder in [self.root.clone(), self.checkpoints()] {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
            let half = |p: &PathBuf| {
                p.file_name()
                    .and_then(|n| n.to_str())
                    .is_some_and(|n| n.starts_with('.') && n.ends_with(".part"))
            };
            // A file that cannot be deleted takes room, but the run can go on.
            entries.filter(half).for_each(|p| drop(fs::remove_file(p)));
        }
    }

    /// The current folder, where the pictures of a model without a run go.
    pub(super) fn here() -> Self {
        Self { root: PathBuf::from(".") }
    }

    /// The path of the folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the folder holds a run.
    pub fn has_run(&self) -> bool {
        self.config().is_file()
    }

    /// The path of a file with this name in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// `metrics.jsonl`: what training measured, one JSON object per line.
    pub fn metrics(&self) -> PathBuf {
        self.path("metrics.jsonl")
    }

    /// `weights.safetensors`: the model as it was last saved.
    pub fn weights(&self) -> PathBuf {
        self.path(WEIGHTS)
    }

    /// `config.toml`: the options of the run, from which the model is built again.
    pub fn config(&self) -> PathBuf {
        self.path(CONFIG)
    }

    /// `checkpoints`: the folder from which training continues.
    pub fn checkpoints(&self) -> PathBuf {
        self.path("checkpoints")
    }

    /// `pictures.txt`: the list of the pictures that the run streams, with their digests.
    pub fn pictures(&self) -> PathBuf {
        self.path("pictures.txt")
    }

    /// `summary.txt`: a text for people that says what the run was and what it reached.
    pub fn summary(&self) -> PathBuf {
        self.path("summary.txt")
    }

    /// `samples-000123.png`: the samples drawn at this step. The zeros keep the names in order.
    pub fn samples(&self, step: u64) -> PathBuf {
        self.path(&format!("samples-{step:06}.png"))
    }

    /// `loss.png`: the curves of the run.
    pub fn loss_plot(&self) -> PathBuf {
        self.path("loss.png")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{scratch::Folder, write_atomic};

    fn saved() -> Saved<Vec<u32>> {
        Saved {
            model: "vae".into(),
            image: [28, 28, 1],
            classes: 10,
            class_names: vec![],
            images: "1 + 1".into(),
            options: vec![1, 2],
            sitting: Lasting::default(),
            changes: vec![],
            list: None,
        }
    }

    #[test]
    fn a_configuration_is_read_back_and_only_by_its_model() {
        let dir = Folder::new("dir-config");
        let run = RunDir::create(dir.to_path_buf()).unwrap();
        write_atomic(&run.config(), config_text(&saved()).unwrap().as_bytes()).unwrap();
        assert_eq!(run.read_config::<Vec<u32>>("vae").unwrap().options, [1, 2]);
        assert!(run.read_config::<Vec<u32>>("gan").unwrap_err().to_string().contains("`vae`"));
        assert!(run.read_config::<String>("vae").is_err());
        for (bad, what) in [
            (Saved { image: [28, 28, 2], ..saved() }, "[28, 28, 2]"),
            (Saved { image: [1 << 40, 1 << 40, 1], ..saved() }, "none that it can have been"),
            (Saved { image: [2, 1 << 20, 1], ..saved() }, "none that it can have been"),
            (Saved { classes: 1 << 40, ..saved() }, "at most 256"),
            (Saved { class_names: vec!["cat".into()], ..saved() }, "1 names of 10 classes"),
            (Saved { images: "1".repeat(1 << 18), ..saved() }, "more than any configuration"),
        ] {
            write_atomic(&run.config(), config_text(&bad).unwrap().as_bytes()).unwrap();
            let line = run.read_config::<Vec<u32>>("vae").unwrap_err().to_string();
            assert!(line.contains(what) && line.contains("config.toml") && !line.contains('\n'), "{line}");
        }
        run.clear().unwrap();
        assert!(!run.has_run());
    }

    #[test]
    fn a_run_directory_is_made_with_its_parents_and_may_be_used_again() {
        let dir = Folder::new("dir-create");
        let root = dir.join("runs/one");
        let run = RunDir::create(&root).unwrap();
        assert!(!run.has_run());
        assert!(RunDir::open(&root).is_err());
        write_atomic(&run.config(), b"model = 1").unwrap();
        assert!(RunDir::create(&root).unwrap().has_run());
        assert_eq!(RunDir::open(&root).unwrap().root(), root);
        assert_eq!(run.samples(123), root.join("samples-000123.png"));
        // Neither the probe nor a temporary file may be left.
        assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
    }

    #[test]
    fn a_file_in_the_place_of_the_folder_is_a_one_line_error() {
        let dir = Folder::new("dir-file");
        let file = dir.join("taken");
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
}
