//! What changed since an earlier run: steps, and kernels whose resources or hot loops are others.

use crate::report::{ChipReport, PipelineReport, Report};
use std::{collections::BTreeMap, fmt::Write as _};

/// The changes as text.
pub fn compare(then: &Report, now: &Report) -> String {
    let mut out = String::new();
    for chip in &now.chips {
        match then.chips.iter().find(|c| c.chip == chip.chip) {
            Some(earlier) => out += &chips(earlier, chip),
            None => out += &format!("{}: not in the earlier report\n", chip.chip),
        }
    }
    let hours = now.date.saturating_sub(then.date) as f64 / 3600.0;
    format!("against {hours:.1} hours earlier\n{out}")
}

fn chips(then: &ChipReport, now: &ChipReport) -> String {
    let mut out = format!("{}\n", now.chip);
    if then.driver != now.driver {
        let (a, b) = (&then.driver, &now.driver);
        let _ = writeln!(
            out,
            "warning: another compiler: then {a}, now {b}; this compares compilers, not kernels"
        );
    }
    let _ = writeln!(out, "{:<44} {:>9} {:>9} {:>6}  launches", "step", "then ms", "now ms", "ratio");
    for step in &now.steps {
        let Some(earlier) = then.steps.iter().find(|s| s.title == step.title) else { continue };
        let (a, b) = (earlier.launches.len(), step.launches.len());
        let _ = writeln!(
            out,
            "{:<44} {:>9.3} {:>9.3} {:>6.2}  {a} -> {b}",
            step.title,
            earlier.seconds * 1e3,
            step.seconds * 1e3,
            step.seconds / earlier.seconds
        );
    }
    let (old, new) = (kernels(&then.pipelines), kernels(&now.pipelines));
    let mut same = 0;
    for (name, figures) in &new {
        match old.get(name) {
            Some(earlier) if earlier == figures => same += 1,
            Some(earlier) => _ = writeln!(out, "{name:<44} {earlier} -> {figures}"),
            None => _ = writeln!(out, "{name:<44} new: {figures}"),
        }
    }
    // Of a part of the models, most kernels of an earlier whole are not asked for.
    let whole = then.steps.iter().all(|step| now.steps.iter().any(|other| other.title == step.title));
    for name in old.keys().filter(|name| whole && !new.contains_key(*name)) {
        let _ = writeln!(out, "{name:<44} gone");
    }
    let _ = writeln!(out, "{same} kernels are the same");
    out
}

/// The figures of each kernel that are compared, as text: of its pipelines the most registers and spills, and the
/// smallest share.
fn kernels(pipelines: &[PipelineReport]) -> BTreeMap<&str, String> {
    let mut all: BTreeMap<&str, (u64, u64, Option<f64>)> = BTreeMap::new();
    for p in pipelines {
        let (registers, spilled, share) = all.entry(&p.kernel).or_default();
        *registers = p.vector_registers.max(*registers);
        *spilled += p.spilled_registers;
        let own = p.hot.as_ref().filter(|hot| hot.counts.fma > 0).map(|hot| hot.share);
        *share = [*share, own].into_iter().flatten().reduce(f64::min);
    }
    let text = |(registers, spilled, share): (u64, u64, Option<f64>)| {
        let share = share.map_or(String::new(), |s| format!(", share {s:.2}"));
        let spilled = if spilled > 0 { format!(", {spilled} spilled") } else { String::new() };
        format!("{registers} registers{spilled}{share}")
    };
    all.into_iter().map(|(name, figures)| (name, text(figures))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{chip, pipeline, step};

    #[test]
    fn steps_kernels_and_compilers_that_changed_are_told() {
        let report = |driver: &str, pipelines, microseconds: &[f64]| {
            let steps = vec![step("vae step", microseconds)];
            Report::new(vec![ChipReport { steps, ..chip(driver, pipelines) }])
        };
        let then =
            report("a", vec![pipeline("tile", 0.58), pipeline("same", 0.5), pipeline("old", 0.5)], &[80.0]);
        let mut better = pipeline("tile", 0.91);
        better.vector_registers = 128;
        let now = report("a", vec![better, pipeline("same", 0.5), pipeline("new", 0.5)], &[20.0, 20.0]);
        let text = compare(&then, &now);
        for expected in [
            "0.080     0.040   0.50  1 -> 2",
            "40 registers, share 0.58 -> 128 registers, share 0.91",
            "new: 40 registers",
            "gone",
            "1 kernels are the same",
        ] {
            assert!(text.contains(expected), "{expected}:\n{text}");
        }
        assert!(!text.contains("warning"));
        let part = Report::new(vec![chip("a", vec![])]);
        assert!(!compare(&then, &part).contains("gone"), "its steps were not asked for");
        assert!(compare(&then, &report("b", vec![], &[1.0])).contains("warning: another compiler"));
    }
}
