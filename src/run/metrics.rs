//! The metrics of a training run as a file, one JSON object per line: `{"step":100,"loss":104.2}`.
//!
//! Each line is flushed when it is written, so that another program can follow the file and a crash loses
//! nothing. A value that is not a number is written as `null`, and is read back as a NaN, which makes a gap
//! in the curve.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::Curve;
use crate::{
    disk::write_atomic,
    error::{Error, Result},
};

const STEP: &str = "step";
const ADVICE: &str = "check that its folder exists, is yours to write to and has room";

/// Writes one line for each step that was measured.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl MetricsLog {
    /// Starts a new file and drops the lines of an earlier run.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let file = File::create(&path).map_err(|e| Error::at("write", &path, e, ADVICE))?;
        Ok(Self { path, file })
    }

    /// Continues the file of a run that goes on after `step`, or starts it if it is missing.
    ///
    /// Lines of later steps are dropped, since these steps will run again. So is a last line that a crash cut
    /// short.
    ///
    /// # Errors
    /// Fails if the file cannot be read or written.
    pub fn resume(path: impl AsRef<Path>, step: u64) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        if path.exists() {
            let mut kept = String::new();
            for (line, object) in lines(&path)? {
                if step_of(&object).is_some_and(|s| s <= step as f64) {
                    kept.push_str(&line);
                    kept.push('\n');
                }
            }
            write_atomic(&path, kept.as_bytes())?;
        }
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(|e| Error::at("write", &path, e, ADVICE))?;
        Ok(Self { path, file })
    }

    /// Writes the values measured at `step`.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn write(&mut self, step: u64, values: &[(impl AsRef<str>, f64)]) -> Result<()> {
        // The line is composed by hand, so that `step` comes first and the values keep the caller's order.
        let mut line = format!("{{\"{STEP}\":{step}");
        for (name, value) in values {
            line.push_str(&format!(",{}:{}", Value::from(name.as_ref()), Value::from(*value)));
        }
        line.push_str("}\n");
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.flush());
        written.map_err(|e| Error::at("write", &self.path, e, ADVICE))
    }
}

/// The last step in a metrics file; `None` if there is no file, or no step after 0 in it.
pub(super) fn last_step(path: PathBuf) -> Result<Option<u64>> {
    if !path.exists() {
        return Ok(None);
    }
    Ok(lines(&path)?
        .iter()
        .filter_map(|(_, object)| step_of(object))
        .map(|s| s as u64)
        .max()
        .filter(|&s| s > 0))
}

/// Reads a metrics file as one curve over the steps for each name.
///
/// # Errors
/// Fails if the file cannot be read, or if a line is damaged.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<Curve>> {
    let mut curves: Vec<Curve> = Vec::new();
    for (_, object) in lines(path.as_ref())? {
        let Some(step) = step_of(&object) else {
            continue;
        };
        for (name, value) in object.iter().filter(|(name, _)| *name != STEP) {
            let y = match value {
                Value::Null => f64::NAN,
                // Text and lists are notes for people, not points of a curve.
                _ => match value.as_f64() {
                    Some(y) => y,
                    None => continue,
                },
            };
            match curves.iter_mut().find(|c| c.label == *name) {
                Some(curve) => curve.points.push((step, y)),
                None => curves.push(Curve::new(name, vec![(step, y)])),
            }
        }
    }
    Ok(curves)
}

/// The lines, each as text and as an object. A last line without its line end was cut short, so it is left
/// out.
fn lines(path: &Path) -> Result<Vec<(String, Map<String, Value>)>> {
    let advice = "train first, or name another run";
    let bytes = fs::read(path).map_err(|e| Error::at("read", path, e, advice))?;
    let text = String::from_utf8_lossy(&bytes);
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse = |(i, line): (usize, &str)| {
        let object = serde_json::from_str(line).map_err(|e| {
            let advice = format!("mend or delete line {}", i + 1);
            Error::at("read", path, e, &advice)
        })?;
        Ok((line.to_string(), object))
    };
    let filled = |(_, line): &(usize, &str)| !line.trim().is_empty();
    whole.lines().enumerate().filter(filled).map(parse).collect()
}

fn step_of(object: &Map<String, Value>) -> Option<f64> {
    object.get(STEP)?.as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::tests::empty_dir;

    #[test]
    fn what_was_written_is_read_back_as_curves() {
        let path = empty_dir("metrics").join("metrics.jsonl");
        let mut log = MetricsLog::create(&path).unwrap();
        log.write(1, &[("loss", 2.5), ("kl", 0.125)]).unwrap();
        // The line can be read while the log is open, since nothing waits in a buffer.
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"step\":1,\"loss\":2.5,\"kl\":0.125}\n");
        log.write(2, &[("loss", f64::NAN)]).unwrap();
        log.write(3, &[("loss", 1.0)]).unwrap();
        let curves = read(&path).unwrap();
        let loss = &curves.iter().find(|c| c.label == "loss").unwrap().points;
        assert_eq!([loss[0], loss[2]], [(1.0, 2.5), (3.0, 1.0)]);
        assert!(loss[1].1.is_nan());
        assert!(curves.contains(&Curve::new("kl", vec![(1.0, 0.125)])));
    }

    #[test]
    fn a_line_cut_short_is_left_out_and_gone_after_resuming() {
        let path = empty_dir("metrics-resume").join("metrics.jsonl");
        let text = "{\"step\":1,\"a\":1}\n{\"step\":2,\"a\":2}\n{\"step\":3,\"a\":3}\n{\"step\":4,";
        fs::write(&path, text).unwrap();
        assert_eq!(read(&path).unwrap()[0].points.len(), 3);
        let mut log = MetricsLog::resume(&path, 2).unwrap();
        log.write(3, &[("a", 30.0)]).unwrap();
        assert_eq!(read(&path).unwrap()[0].points, [(1.0, 1.0), (2.0, 2.0), (3.0, 30.0)]);
    }

    #[test]
    fn a_new_log_drops_the_old_one_and_resuming_needs_none() {
        let path = empty_dir("metrics-new").join("metrics.jsonl");
        MetricsLog::resume(&path, 0).unwrap().write(1, &[("a", 1.0)]).unwrap();
        assert_eq!(read(&path).unwrap().len(), 1);
        MetricsLog::create(&path).unwrap();
        assert_eq!(read(&path).unwrap(), []);
    }

    #[test]
    fn a_damaged_line_is_named() {
        let path = empty_dir("metrics-bad").join("metrics.jsonl");
        fs::write(&path, "{\"step\":1}\nnonsense\n{\"step\":2}\n").unwrap();
        let line = read(&path).unwrap_err().to_string();
        assert!(line.contains("line 2") && line.contains("metrics.jsonl"), "{line}");
        assert!(!line.contains('\n'));
    }
}
