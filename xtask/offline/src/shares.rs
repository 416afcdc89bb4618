//! What may not get worse: no spills, no scratch memory, and in each loop of multiply-adds at least the share of
//! them that `xtask/offline/shares.json` records.

use crate::report::{ChipReport, PipelineReport};
use oneiro::{
    disk::write_atomic,
    error::{Error, Result},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// A loop with at least so many multiply-adds a pass is judged by their share.
const PRODUCTS: u64 = 32;
/// What to do where the record is of other kernels.
const RECORD: &str = "`cargo xtask offline --record` writes the file anew";
/// How far a share may lie below the recorded one: its last digits, or more where another version of the driver
/// compiled.
const ROUNDING: f64 = 0.002;
const OTHER_DRIVER: f64 = 0.05;

/// The recorded shares.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// The version of the driver whose compiler they are of.
    pub driver: String,
    /// The shares by chip and kernel.
    pub shares: BTreeMap<String, BTreeMap<String, f64>>,
}

/// The file.
pub fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("shares.json")
}

impl Shares {
    /// The shares of a run: the smallest of each kernel's pipelines, rounded down.
    pub fn of(chips: &[ChipReport]) -> Self {
        let driver = chips.first().map_or(String::new(), |c| c.driver.clone());
        let down = |share: f64| (share * 1000.0).floor() / 1000.0;
        let shares = chips.iter().map(|chip| {
            let all = smallest(chip).into_iter().map(|(kernel, share)| (kernel.to_string(), down(share)));
            (chip.chip.clone(), all.collect())
        });
        Self { driver, shares: shares.collect() }
    }

    /// Reads the recorded shares.
    ///
    /// # Errors
    /// A file that cannot be read or holds something else.
    pub fn load(path: &Path) -> Result<Self> {
        let fail = |what: String| {
            Error::new(format!("{}: {what}; `cargo xtask offline --record` writes it", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
        serde_json::from_str(&text).map_err(|e| fail(e.to_string()))
    }

    /// Writes the file.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::new(e.to_string()))?;
        write_atomic(path, (text + "\n").as_bytes())
    }

    /// What got worse in a run, one line each. Rows that no pipeline of a run over all models has are faults too.
    pub fn faults(&self, chips: &[ChipReport], whole: bool) -> Vec<String> {
        let mut found = vec![];
        for chip in chips {
            let name = &chip.chip;
            let slack = if chip.driver == self.driver { ROUNDING } else { OTHER_DRIVER };
            let (now, recorded) = (smallest(chip), self.shares.get(name).cloned().unwrap_or_default());
            found.extend(chip.pipelines.iter().filter_map(|p| spill(chip, p)));
            for (kernel, share) in &now {
                match recorded.get(*kernel) {
                    Some(least) if *share < least - slack => found.push(format!(
                        "{kernel} on {name}: {share:.3} of its hot loop are multiply-adds, {least:.3} were recorded"
                    )),
                    Some(_) => {}
                    None => found.push(format!("{kernel} on {name}: no share is recorded; {RECORD}")),
                }
            }
            let stale = recorded.keys().filter(|kernel| whole && !now.contains_key(kernel.as_str()));
            found.extend(
                stale.map(|k| format!("{k} on {name}: a share is recorded, but no model runs it; {RECORD}")),
            );
        }
        found
    }
}

/// Each kernel whose hot loop multiplies, and the smallest share of multiply-adds of its pipelines.
fn smallest(chip: &ChipReport) -> BTreeMap<&str, f64> {
    let mut all: BTreeMap<&str, f64> = BTreeMap::new();
    for pipeline in &chip.pipelines {
        if let Some(hot) = pipeline.hot.filter(|hot| hot.counts.fma >= PRODUCTS) {
            let least = all.entry(&pipeline.kernel).or_insert(1.0);
            *least = least.min(hot.share);
        }
    }
    all
}

fn spill(chip: &ChipReport, p: &PipelineReport) -> Option<String> {
    let what = match (p.spilled_registers, p.scratch_bytes) {
        (0, 0) => return None,
        (0, bytes) => format!("{bytes} bytes of scratch memory"),
        (registers, _) => format!("{registers} registers are spilled"),
    };
    Some(format!("{} on {}: {what}", p.id, chip.chip))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{chip, pipeline};

    fn faults(recorded: &Shares, now: ChipReport, whole: bool) -> Vec<String> {
        recorded.faults(&[now], whole)
    }

    #[test]
    fn a_share_may_rise_but_not_fall() {
        let recorded = Shares::of(&[chip("a", vec![pipeline("k", 0.58), pipeline("k", 0.57)])]);
        assert_eq!(recorded.shares["navi21"]["k"], 0.57, "the smallest of a kernel's pipelines");
        assert!(faults(&recorded, chip("a", vec![pipeline("k", 0.6)]), true).is_empty());
        assert!(faults(&recorded, chip("a", vec![pipeline("k", 0.569)]), true).is_empty(), "rounding");
        let fallen = faults(&recorded, chip("a", vec![pipeline("k", 0.56)]), true);
        assert!(
            fallen.len() == 1 && fallen[0].contains("0.560") && fallen[0].contains("0.570"),
            "{fallen:?}"
        );
        assert!(faults(&recorded, chip("b", vec![pipeline("k", 0.53)]), true).is_empty(), "another compiler");
        assert_eq!(faults(&recorded, chip("b", vec![pipeline("k", 0.51)]), true).len(), 1);
    }

    #[test]
    fn the_record_names_exactly_what_runs() {
        let recorded = Shares::of(&[chip("a", vec![pipeline("k", 0.5)])]);
        let new = faults(&recorded, chip("a", vec![pipeline("k", 0.5), pipeline("other", 0.5)]), true);
        assert!(new.len() == 1 && new[0].contains("other on navi21: no share is recorded"), "{new:?}");
        let stale = faults(&recorded, chip("a", vec![]), true);
        assert!(stale.len() == 1 && stale[0].contains("no model runs it"), "{stale:?}");
        assert!(faults(&recorded, chip("a", vec![]), false).is_empty(), "a part of the models says nothing");
        let mut few = pipeline("few", 0.1);
        few.hot.as_mut().unwrap().counts.fma = PRODUCTS - 1;
        assert!(faults(&recorded, chip("a", vec![few, pipeline("k", 0.5)]), true).is_empty(), "not judged");
    }

    #[test]
    fn spills_and_scratch_memory_are_faults() {
        let recorded = Shares::of(&[chip("a", vec![pipeline("k", 0.5)])]);
        let (mut spills, mut scratch) = (pipeline("k", 0.5), pipeline("k", 0.5));
        (spills.spilled_registers, spills.scratch_bytes, scratch.scratch_bytes) = (2, 8, 16);
        let found = faults(&recorded, chip("a", vec![spills, scratch]), true);
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("2 registers") && found[1].contains("16 bytes of scratch"), "{found:?}");
    }

    #[test]
    fn the_record_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shares.json");
        let shares = Shares::of(&[chip("a", vec![pipeline("k", 0.5)])]);
        assert!(Shares::load(&path).unwrap_err().to_string().contains("--record"));
        shares.save(&path).unwrap();
        assert_eq!(Shares::load(&path).unwrap(), shares);
    }
}
