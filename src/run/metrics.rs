//! The metrics of a training run as a file, one JSON object per line: `{"step":100,"loss":104.2}`.
//!
//! Each line is flushed when it is written, so that another program can follow the file and a crash loses
//! nothing. A value that is not a number is written as `null`, and is read back as a NaN, which makes a gap
//! in the curve.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::Curve;
use crate::{
    disk::write_atomic,
    error::{Error, Result},
};

const STEP: &str = "step";
/// The longest line that is read, in bytes.
const LINE: u64 = 1 << 20;
/// The most curves that are read from one file.
const CURVES: usize = 1000;
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
            let mut kept = vec![];
            each_line(open(&path)?, &path, |line, object| {
                if step_of(object).is_some_and(|s| s <= step as f64) {
                    kept.extend(line);
                    kept.push(b'\n');
                }
                Ok(())
            })?;
            write_atomic(&path, &kept)?;
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
    let mut last = 0;
    if path.exists() {
        each_line(open(&path)?, &path, |_, object| {
            last = last.max(step_of(object).map_or(0, |s| s as u64));
            Ok(())
        })?;
    }
    Ok(Some(last).filter(|&s| s > 0))
}

/// Reads a metrics file as one curve over the steps for each name.
///
/// # Errors
/// Fails if the file cannot be read, if a line is damaged, or if there are more than a thousand names.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<Curve>> {
    curves(open(path.as_ref())?, path.as_ref())
}

/// The curves of a metrics file's contents; the path is for messages.
pub(crate) fn curves(from: impl BufRead, path: &Path) -> Result<Vec<Curve>> {
    let mut curves: Vec<Curve> = Vec::new();
    each_line(from, path, |_, object| {
        let Some(step) = step_of(object) else { return Ok(()) };
        for (name, value) in object.iter().filter(|(name, _)| *name != STEP) {
            // Text and lists are notes for people, not points of a curve.
            let Some(y) = value.is_null().then_some(f64::NAN).or_else(|| value.as_f64()) else { continue };
            let many = curves.len() == CURVES;
            match curves.iter_mut().find(|c| c.label == *name) {
                Some(curve) => {
                    // A curve takes as much memory as its text; doubling would take several times as much.
                    let points = &mut curve.points;
                    if points.len() == points.capacity() {
                        points.reserve_exact(4 + points.len() / 4);
                    }
                    points.push((step, y));
                }
                None if many => {
                    let what = format!("it measures more than {CURVES} things");
                    return Err(Error::at("read", path, what, "restore it from a copy"));
                }
                None => curves.push(Curve::new(name, vec![(step, y)])),
            }
        }
        Ok(())
    })?;
    Ok(curves)
}

fn open(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path);
    file.map(BufReader::new).map_err(|e| Error::at("read", path, e, "train first, or name another run"))
}

/// Gives each line as it stands and as an object. A last line without its line end was cut short, so it is
/// left out.
fn each_line(
    mut from: impl BufRead,
    path: &Path,
    mut take: impl FnMut(&[u8], &Map<String, Value>) -> Result<()>,
) -> Result<()> {
    let mut line = vec![];
    for number in 1.. {
        line.clear();
        let bad = |what: String| Error::at("read", path, what, &format!("mend or delete line {number}"));
        let read = from.by_ref().take(LINE).read_until(b'\n', &mut line).map_err(|e| bad(e.to_string()))?;
        match line.pop() {
            Some(b'\n') if line.trim_ascii().is_empty() => continue,
            Some(b'\n') => {}
            _ if read as u64 == LINE => return Err(bad(format!("a line of more than {LINE} bytes"))),
            _ => break,
        }
        take(&line, &serde_json::from_slice(&line).map_err(|e| bad(e.to_string()))?)?;
    }
    Ok(())
}

fn step_of(object: &Map<String, Value>) -> Option<f64> {
    object.get(STEP)?.as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::scratch::Folder;
    use std::fs;

    #[test]
    fn what_was_written_is_read_back_as_curves() {
        let dir = Folder::new("metrics");
        let path = dir.join("metrics.jsonl");
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
        let dir = Folder::new("metrics-resume");
        let path = dir.join("metrics.jsonl");
        let text = "{\"step\":1,\"a\":1}\n{\"step\":2,\"a\":2}\n{\"step\":3,\"a\":3}\n{\"step\":4,";
        fs::write(&path, text).unwrap();
        assert_eq!(read(&path).unwrap()[0].points.len(), 3);
        let mut log = MetricsLog::resume(&path, 2).unwrap();
        log.write(3, &[("a", 30.0)]).unwrap();
        assert_eq!(read(&path).unwrap()[0].points, [(1.0, 1.0), (2.0, 2.0), (3.0, 30.0)]);
    }

    #[test]
    fn a_new_log_drops_the_old_one_and_resuming_needs_none() {
        let dir = Folder::new("metrics-new");
        let path = dir.join("metrics.jsonl");
        MetricsLog::resume(&path, 0).unwrap().write(1, &[("a", 1.0)]).unwrap();
        assert_eq!(read(&path).unwrap().len(), 1);
        MetricsLog::create(&path).unwrap();
        assert_eq!(read(&path).unwrap(), []);
    }

    #[test]
    fn what_no_run_writes_is_refused_before_it_takes_memory() {
        let names: String = (0..=CURVES).map(|i| format!(",\"{i}\":1")).collect();
        let line = " ".repeat(LINE as usize);
        for (text, what) in [(format!("{{\"step\":1{names}}}\n"), "1000 things"), (line, "delete line 1")] {
            let error = curves(text.as_bytes(), Path::new("metrics")).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn a_damaged_line_is_named() {
        let dir = Folder::new("metrics-bad");
        let path = dir.join("metrics.jsonl");
        fs::write(&path, "{\"step\":1}\nnonsense\n{\"step\":2}\n").unwrap();
        let line = read(&path).unwrap_err().to_string();
        assert!(line.contains("line 2") && line.contains("metrics.jsonl"), "{line}");
        assert!(!line.contains('\n'));
    }
}
