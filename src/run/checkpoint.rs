//! A checkpoint holds the State and the position of training, in one safetensors file that proves its own
//! integrity.
//!
//! All randomness is a function of (seed, step), so weights, moments, averages, step counter and RNG key are
//! enough to continue bit for bit. The file's header holds the SHA-256 of the whole file with the 64 digits
//! of that hash replaced by zeros, so that a change of any bit is noticed. A file is written under another
//! name in the same folder, synced and renamed; after a crash, the folder holds the old files or the new one,
//! and never a part of a file.

use crate::{
    data::{GENERATOR, PERMUTATION_VERSION},
    disk::{hex, write_atomic},
    error::{Error, Result},
    gpu::{Gpu, State},
    graph::shape::{DType, Type},
    weights::tensors,
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// The version of the format. A reader refuses any other.
const FORMAT: &str = "oneiro checkpoint 1";
const HASH: &str = "\"sha256\":\"";
const DIGITS: usize = 64;
const ADVICE: &str = "resume from another checkpoint by deleting this one, or restore it from a copy";

/// The position of training when the State was read.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Position {
    /// The number of steps that are done.
    pub step: u64,
    /// The first step of the current epoch.
    pub epoch_start: u64,
    /// The sums of the metrics over the steps of this epoch so far, each sum divided by the batch size.
    pub sums: Vec<f64>,
    /// The score by which the best checkpoint is chosen, where lower is better; `None` in the middle of an
    /// epoch.
    pub score: Option<f64>,
}

impl Position {
    /// Whether the epoch that ends at this step has not been reported yet: training stopped at that moment.
    pub(super) fn owes_report(&self, per_epoch: u64) -> bool {
        self.step > self.epoch_start && self.step.is_multiple_of(per_epoch)
    }
}

/// A saved State.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The position of training.
    pub position: Position,
    /// The run's configuration as text, by which the checkpoint of another run is refused.
    pub config: String,
    /// The saved variables of the State, each with its name, its type and its 32-bit words.
    pub values: Vec<(String, Type, Vec<u32>)>,
}

impl Checkpoint {
    /// Reads the variables that `keep` names back from the device.
    ///
    /// # Errors
    /// Fails if the device is lost.
    pub fn take(gpu: &Gpu, state: &State, keep: &[String], config: &str, position: Position) -> Result<Self> {
        let kept = state.names().filter(|(name, _)| keep.iter().any(|k| k == name));
        let names: Vec<_> = kept.map(|(name, ty)| (name.to_string(), ty.clone())).collect();
        let read = |(name, ty): (String, Type)| {
            let words = state.read_words(gpu, &name)?;
            Ok((name, ty, words))
        };
        Ok(Self {
            position,
            config: config.into(),
            values: names.into_iter().map(read).collect::<Result<_>>()?,
        })
    }

    /// The name of the first variable of type f32 that holds an infinity or NaN, judged by the bits of its
    /// words.
    pub fn first_bad(&self) -> Option<&str> {
        let bad = |w: &u32| w & 0x7f80_0000 == 0x7f80_0000;
        self.values
            .iter()
            .find(|(_, ty, words)| ty.dtype == DType::F32 && words.iter().any(bad))
            .map(|v| v.0.as_str())
    }

    /// Writes the values into the State. The checkpoint must hold exactly the variables that `keep` names;
    /// `path` is for error messages.
    ///
    /// # Errors
    /// Fails if a variable is missing, unknown or of another type.
    pub fn restore(&self, gpu: &Gpu, state: &State, keep: &[String], path: &Path) -> Result<()> {
        let kept = state.names().filter(|(name, _)| keep.iter().any(|k| k == name));
        let has: Vec<_> = kept.map(|(name, ty)| (name.to_string(), ty.clone())).collect();
        let foreign = |what: String| {
            Error::at("use", path, what, "it is of another model or version; train anew into another folder")
        };
        if let Some((name, _)) = has.iter().find(|(name, _)| !self.values.iter().any(|v| v.0 == *name)) {
            return Err(foreign(format!("it lacks `{name}`")));
        }
        for (name, ty, words) in &self.values {
            match has.iter().find(|(n, _)| n == name) {
                Some((_, t)) if t == ty => state.write_words(gpu, name, words)?,
                Some((_, t)) => {
                    return Err(foreign(format!("`{name}` is {ty:?} there and {t:?} in the model")));
                }
                // An older version saved what plans only pass on within a step.
                None if state.ty(name).is_ok() => {}
                None => return Err(foreign(format!("the model has no `{name}`"))),
            }
        }
        Ok(())
    }

    /// The bytes of the checkpoint's file.
    ///
    /// # Errors
    /// Fails if the values cannot be written as a safetensors file.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let p = &self.position;
        let text = |v: &f64| format!("{:016x}", v.to_bits());
        let pairs = [
            ("format", FORMAT.to_string()),
            ("sha256", "0".repeat(DIGITS)),
            ("config", self.config.clone()),
            ("step", p.step.to_string()),
            ("epoch_start", p.epoch_start.to_string()),
            ("sums", p.sums.iter().map(text).collect::<Vec<_>>().join(" ")),
            ("score", p.score.as_ref().map_or(String::new(), text)),
            ("order", order()),
        ];
        let metadata: HashMap<String, String> = pairs.into_iter().map(|(k, v)| (k.to_string(), v)).collect();
        let views = self.values.iter().map(|(name, ty, words)| {
            let dtype = if ty.dtype == DType::F32 { Dtype::F32 } else { Dtype::U32 };
            let view = TensorView::new(dtype, ty.shape.to_vec(), bytemuck::cast_slice(words));
            Ok((name, view.map_err(|e| Error::new(e.to_string()))?))
        });
        let views = views.collect::<Result<Vec<_>>>()?;
        let mut bytes =
            safetensors::serialize(views, Some(metadata)).map_err(|e| Error::new(e.to_string()))?;
        let at =
            digits(&bytes).ok_or_else(|| Error::new("the checkpoint's header has no place for its hash"))?;
        let hash = hash(&bytes, at);
        bytes[at..at + DIGITS].copy_from_slice(hash.as_bytes());
        Ok(bytes)
    }

    /// Reads a checkpoint file.
    ///
    /// # Errors
    /// Fails if a bit of the file has changed, if its name tells another step than its content, or if another
    /// version of the program wrote it.
    pub fn load(path: &Path) -> Result<Self> {
        let bad = |why: String| Error::at("use the checkpoint", path, why, ADVICE);
        let bytes = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
        let this = Self::from_bytes(&bytes).map_err(bad)?;
        match step_of(path) {
            Some(step) if step != this.position.step => Err(bad(format!(
                "it was renamed: its name says step {step}, it holds step {}",
                this.position.step
            ))),
            _ => Ok(this),
        }
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> std::result::Result<Self, String> {
        let damaged =
            |e| format!("it is truncated, damaged or no safetensors file ({e}); {} bytes", bytes.len());
        let file = tensors(bytes).map_err(damaged)?;
        let (length, header) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(e.to_string()))?;
        let meta = header.metadata().clone().unwrap_or_default();
        let get = |key: &str| {
            meta.get(key)
                .cloned()
                .ok_or_else(|| format!("it has no `{key}` in its header: not written by this program"))
        };
        let at = digits(&bytes[..(8 + length).min(bytes.len())])
            .ok_or("it carries no SHA-256 of ours: not written by this program")?;
        if bytes[at..at + DIGITS] != *hash(bytes, at).as_bytes() {
            return Err("its SHA-256 does not fit: it was changed or damaged after it was written".into());
        }
        let format = get("format")?;
        if format != FORMAT {
            return Err(format!("it is `{format}`, this program reads `{FORMAT}`"));
        }
        if get("order")? != order() {
            return Err(format!(
                "its epochs were ordered by {}, this program orders by {}",
                get("order")?,
                order()
            ));
        }
        let number = |text: &str| text.parse().map_err(|_| format!("`{text}` in its header is no number"));
        let float = |text: &str| {
            u64::from_str_radix(text, 16)
                .map(f64::from_bits)
                .map_err(|_| format!("`{text}` in its header is no number"))
        };
        let score = Some(get("score")?).filter(|s| !s.is_empty()).map(|s| float(&s)).transpose()?;
        let sums = get("sums")?.split_whitespace().map(float).collect::<std::result::Result<_, _>>()?;
        let position = Position {
            step: number(&get("step")?)?,
            epoch_start: number(&get("epoch_start")?)?,
            sums,
            score,
        };
        let value = |(name, view): (String, TensorView<'_>)| {
            let dtype = if view.dtype() == Dtype::F32 { DType::F32 } else { DType::U32 };
            let ty = Type { shape: view.shape().to_vec().into(), dtype };
            (name, ty, bytemuck::pod_collect_to_vec(view.data()))
        };
        let mut values: Vec<_> = file.tensors().into_iter().map(value).collect();
        values.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Self { position, config: get("config")?, values })
    }
}

/// The name of the generator that orders the epochs. Together with the step it gives the position in the
/// data.
fn order() -> String {
    format!("{GENERATOR}, version {PERMUTATION_VERSION}")
}

/// The place of the hash's digits in the header.
fn digits(bytes: &[u8]) -> Option<usize> {
    let at = bytes.windows(HASH.len()).position(|w| w == HASH.as_bytes())? + HASH.len();
    (at + DIGITS <= bytes.len()).then_some(at)
}

fn hash(bytes: &[u8], at: usize) -> String {
    let mut hasher = Sha256::new();
    hasher.update(&bytes[..at]);
    hasher.update([b'0'; DIGITS]);
    hasher.update(&bytes[at + DIGITS..]);
    hex(hasher.finalize())
}

/// A checkpoint's bytes with the hash that belongs to them.
#[cfg(any(test, fuzzing))]
pub(crate) fn hashed(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    if let Some(at) = digits(bytes) {
        out[at..at + DIGITS].copy_from_slice(hash(bytes, at).as_bytes());
    }
    out
}

fn step_of(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.strip_prefix("step-")?.parse().ok()
}

/// The checkpoints of one run: the newest ones and the best one.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    keep: usize,
    best: Option<(f64, u64)>,
}

impl Checkpoints {
    /// The checkpoints in a folder, which is made when the first one is saved. Of these, the `keep` newest
    /// and the best one are kept.
    pub fn new(folder: PathBuf, keep: usize) -> Self {
        Self { folder, keep: keep.max(1), best: None }
    }

    /// The checkpoint files, oldest first.
    pub fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|e| e.path());
        let mut files: Vec<_> = entries
            .filter(|p| p.extension().is_some_and(|e| e == "safetensors") && step_of(p).is_some())
            .collect();
        files.sort_by_key(|p| step_of(p));
        files
    }

    /// The step of the newest checkpoint, by its name; 0 if there is none.
    pub(super) fn newest_step(&self) -> u64 {
        self.files().last().and_then(|path| step_of(path)).unwrap_or(0)
    }

    /// Reads the newest checkpoint and returns it with its path; `None` if there is no checkpoint. The older
    /// ones are read only to find the best one.
    ///
    /// # Errors
    /// Fails if the newest file is damaged, or if the folder holds a safetensors file of another name.
    pub fn newest(&mut self) -> Result<Option<(Checkpoint, PathBuf)>> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|e| e.path());
        let renamed = |p: &PathBuf| p.extension().is_some_and(|e| e == "safetensors") && step_of(p).is_none();
        if let Some(path) = entries.into_iter().find(renamed) {
            return Err(Error::at(
                "use the checkpoint",
                &path,
                "it was renamed, or is not ours",
                "name it step-NUMBER again, or move it away",
            ));
        }
        let mut files = self.files();
        let Some(path) = files.pop() else { return Ok(None) };
        files.iter().filter_map(|f| Checkpoint::load(f).ok()).for_each(|c| self.judge(&c.position));
        let newest = Checkpoint::load(&path)?;
        self.judge(&newest.position);
        Ok(Some((newest, path)))
    }

    /// The score and the step of the best checkpoint.
    pub fn best(&self) -> Option<(f64, u64)> {
        self.best
    }

    fn judge(&mut self, position: &Position) {
        if let Some(score) =
            position.score.filter(|s| s.is_finite()).filter(|s| self.best.is_none_or(|(best, _)| *s < best))
        {
            self.best = Some((score, position.step));
        }
    }

    /// Writes a checkpoint, then deletes those that are neither among the newest nor the best. Returns the
    /// path.
    ///
    /// # Errors
    /// Fails if the folder is not writable or has no room.
    pub fn save(&mut self, checkpoint: &Checkpoint) -> Result<PathBuf> {
        let advice = "check that the run directory is yours to write to and has room";
        std::fs::create_dir_all(&self.folder)
            .map_err(|e| Error::at("make the folder", &self.folder, e, advice))?;
        let path = self.folder.join(format!("step-{:09}.safetensors", checkpoint.position.step));
        write_atomic(&path, &checkpoint.to_bytes()?)?;
        self.judge(&checkpoint.position);
        let files = self.files();
        for old in &files[..files.len().saturating_sub(self.keep)] {
            if step_of(old) != self.best.map(|(_, step)| step) {
                // A file that cannot be deleted takes room, but the run can go on.
                let _ = std::fs::remove_file(old);
            }
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::scratch::Folder;

    fn small(step: u64, score: Option<f64>) -> Checkpoint {
        let position = Position { step, epoch_start: 3, sums: vec![0.1, f64::MAX], score };
        let values = vec![
            ("fc.weight".into(), Type::f32([2, 2]), vec![0x3f80_0000, 0x7fc0_0001, 0, 0x8000_0000]),
            ("seed".into(), Type::u32([2]), vec![u32::MAX, 7]),
        ];
        Checkpoint { position, config: "model = \"vae\"\n[options]\nlr = 0.1\n".into(), values }
    }

    #[test]
    fn what_was_saved_is_loaded_bit_for_bit() {
        let dir = Folder::new("checkpoint-round");
        let path = dir.join("step-000000007.safetensors");
        std::fs::write(&path, small(7, Some(0.1)).to_bytes().unwrap()).unwrap();
        assert_eq!(Checkpoint::load(&path).unwrap(), small(7, Some(0.1)));
    }

    /// This includes the digits of the hash itself, since they are compared as text.
    #[test]
    fn every_single_bit_flip_is_refused() {
        let bytes = small(7, None).to_bytes().unwrap();
        let mut refused = 0;
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            refused += usize::from(Checkpoint::from_bytes(&flipped).is_err());
        }
        assert_eq!(refused, 8 * bytes.len());
    }

    #[test]
    fn a_truncated_renamed_or_foreign_file_is_told_apart() {
        let dir = Folder::new("checkpoint-bad");
        let (path, bytes) = (dir.join("step-000000008.safetensors"), small(7, None).to_bytes().unwrap());
        let error = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let line = Checkpoint::load(&path).unwrap_err().to_string();
            assert!(line.contains("step-000000008") && !line.contains('\n'), "{line}");
            line
        };
        assert!(error(&bytes).contains("renamed"));
        assert!((0..bytes.len()).all(|n| Checkpoint::from_bytes(&bytes[..n]).is_err()));
        assert!(error(&bytes[..100]).contains("truncated"));
        assert!(error(b"").contains("truncated"));
        let view = TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
        assert!(
            error(&safetensors::serialize([("x", view)], None).unwrap())
                .contains("not written by this program")
        );
        let other = |from: &str, to: &str| {
            let text = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
            let mut changed = bytes.clone();
            changed[text..text + to.len()].copy_from_slice(to.as_bytes());
            error(&hashed(&changed))
        };
        assert!(other("oneiro checkpoint 1", "oneiro checkpoint 2").contains("this program reads"));
        assert!(other("version 1", "version 9").contains("ordered by"));
    }

    #[test]
    fn the_last_few_and_the_best_are_kept() {
        let dir = Folder::new("checkpoint-keep");
        let mut kept = Checkpoints::new(dir.join("checkpoints"), 2);
        assert!(kept.newest().unwrap().is_none());
        for (step, score) in
            [(1, Some(5.0)), (2, Some(1.0)), (3, None), (4, Some(2.0)), (5, Some(f64::NAN)), (6, Some(3.0))]
        {
            kept.save(&small(step, score)).unwrap();
        }
        let steps: Vec<_> = kept.files().iter().filter_map(|p| step_of(p)).collect();
        assert_eq!(steps, [2, 5, 6]);
        // A new process finds the newest checkpoint and the best one.
        let mut again = Checkpoints::new(kept.folder.clone(), 2);
        assert_eq!(again.newest().unwrap().unwrap().0.position.step, 6);
        assert_eq!(again.best(), Some((1.0, 2)));
    }
}
