//! The results as text.

use crate::report::{ChipReport, LaunchReport, PipelineReport, StepReport, seconds};
use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

impl fmt::Display for ChipReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {} pipelines by {}", self.chip, self.pipelines.len(), self.driver)?;
        writeln!(f, "\n{}", kernels(&self.pipelines))?;
        writeln!(
            f,
            "Times are modelled, for a {} and {} us a launch.",
            self.card,
            crate::time::LAUNCH * 1e6
        )?;
        self.steps.iter().try_for_each(|step| write!(f, "\n{step}"))
    }
}

/// A table of kernels: of each the most registers and spills, the fewest waves, and the hot loop of the pipeline
/// with the smallest share of multiply-adds.
pub fn kernels(pipelines: &[PipelineReport]) -> String {
    let mut groups: BTreeMap<&str, Vec<&PipelineReport>> = BTreeMap::new();
    pipelines.iter().for_each(|p| groups.entry(&p.kernel).or_default().push(p));
    let mut out = format!(
        "{:<31} {:>5} {:>4} {:>5} {:>7} {:>5} {:>5}  {:>4} {:>4} {:>5} {:>5} {:>3} {:>4} {:>4} {:>4} {:>4}  \
         {:>5} {:>5}  {}\n",
        "kernel",
        "pipes",
        "regs",
        "spill",
        "scratch",
        "LDS",
        "waves",
        "fma",
        "valu",
        "mul32",
        "trans",
        "lds",
        "vmem",
        "smem",
        "salu",
        "wait",
        "share",
        "B/fma",
        "groups"
    );
    for (kernel, all) in groups {
        let most = |of: fn(&PipelineReport) -> u64| all.iter().map(|p| of(p)).max().unwrap_or(0);
        let waves = all.iter().map(|p| p.waves).fold(f64::INFINITY, f64::min);
        let groups = [
            all.iter().map(|p| p.workgroups[0]).min().unwrap_or(0),
            all.iter().map(|p| p.workgroups[1]).max().unwrap_or(0),
        ];
        let _ = write!(
            out,
            "{kernel:<31} {:>5} {:>4} {:>5} {:>7} {:>5} {waves:>5.1}  ",
            all.len(),
            most(|p| p.vector_registers),
            most(|p| p.spilled_registers),
            most(|p| p.scratch_bytes),
            most(|p| p.workgroup_memory)
        );
        let hot = all.iter().filter_map(|p| p.hot.as_ref()).min_by(|a, b| a.share.total_cmp(&b.share));
        match hot {
            Some(hot) => {
                let c = &hot.counts;
                let _ = write!(
                    out,
                    "{:>4} {:>4} {:>5} {:>5} {:>3} {:>4} {:>4} {:>4} {:>4}  {:>5.2} {:>5.2}",
                    c.fma,
                    c.valu,
                    c.mul32,
                    c.trans,
                    c.lds,
                    c.vmem,
                    c.smem,
                    c.salu,
                    c.wait,
                    hot.share,
                    hot.lds_bytes_per_fma
                );
            }
            None => {
                let _ = write!(out, "{:<58}", "no loop");
            }
        }
        let _ = match groups {
            [a, b] if a == b => writeln!(out, "  {a}"),
            [a, b] => writeln!(out, "  {a} to {b}"),
        };
    }
    out
}

impl fmt::Display for StepReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |flops: u64, seconds: f64| flops as f64 / seconds / 1e12;
        writeln!(
            f,
            "{}: {:.3} ms, {} launches, {:.2} TFLOP/s",
            self.title,
            self.seconds * 1e3,
            self.launches.len(),
            rate(self.flops, self.seconds)
        )?;
        writeln!(
            f,
            "  {:<31} {:>8} {:>9} {:>6} {:>9}  bound of the launches",
            "kernel", "launches", "us", "%", "TFLOP/s"
        )?;
        for (kernel, launches) in self.by_kernel() {
            let time = seconds(&launches);
            writeln!(
                f,
                "  {kernel:<31} {:>8} {:>9.1} {:>6.1} {:>9.2}  {}",
                launches.len(),
                time * 1e6,
                100.0 * time / self.seconds,
                rate(launches.iter().map(|l| l.flops).sum(), time),
                bounds(&launches)
            )?;
        }
        Ok(())
    }
}

/// How many launches each bound limits.
fn bounds(launches: &[&LaunchReport]) -> String {
    let mut counts = BTreeMap::new();
    launches.iter().for_each(|l| *counts.entry(l.bound).or_insert(0) += 1);
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    counts.iter().map(|(bound, count)| format!("{} {count}", bound.name())).collect::<Vec<_>>().join(", ")
}

/// A table of a step's launches.
pub fn launches(step: &StepReport) -> String {
    let mut out = format!(
        "{}\n  {:>3} {:<44} {:<31} {:>13} {:>7} {:>9}  bound\n",
        step.title, "#", "op", "kernel", "grid", "passes", "us"
    );
    for (i, l) in step.launches.iter().enumerate() {
        let grid = l.grid.map(|n| n.to_string()).join("x");
        let _ = writeln!(
            out,
            "  {i:>3} {:<44} {:<31} {grid:>13} {:>7.0} {:>9.1}  {}",
            l.label,
            l.kernel,
            l.passes,
            l.seconds * 1e6,
            l.bound.name()
        );
    }
    out
}
