//! The results of a run, as text and as JSON, and their comparison with an earlier run.

use crate::{
    ceiling::{Bound, Ceilings},
    measure::{Clock, Stat, Subject, Timing},
};
use oneiro::{
    disk::write_atomic,
    error::{Error, Result},
    kernel::caps::Caps,
    plan::{Launch, table},
};
use serde::{Deserialize, Serialize};
use std::{fmt, path::Path, time::SystemTime};

/// The layout of the JSON. The number changes when the meaning of a field changes.
const FORMAT: &str = "oneiro-bench 2";
/// Changes below this share are noise on any machine, however quiet it seems.
const NOISE: f64 = 0.03;
/// If a ceiling changes by more than this factor, other work was running, or it is another machine.
const RESTLESS: f64 = 1.15;

/// The results of one run of the benchmark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    format: String,
    /// The version of the crate.
    pub(crate) version: String,
    /// The seconds since 1970.
    pub(crate) date: u64,
    adapter: String,
    driver: String,
    backend: String,
    pub(crate) ceilings: Ceilings,
    pub(crate) cases: Vec<Measured>,
    #[serde(default)]
    pub(crate) models: Vec<ModelFigures>,
}

/// The figures of one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) name: String,
    /// The median time of a step, in seconds.
    pub(crate) seconds: f64,
    /// The distance between the quartiles, as a share of the median.
    pub(crate) spread: f64,
    samples: usize,
    /// The clock of `seconds`.
    pub(crate) clock: Clock,
    /// The median time by the host's clock, for submission and wait, in seconds.
    wall_seconds: f64,
    pub(crate) flops: u64,
    /// The bytes that would be moved with a perfect cache.
    pub(crate) bytes: u64,
    /// The ceiling that limits the case.
    pub(crate) bound: Bound,
    /// The time at the ceilings, as a share of `seconds`.
    pub(crate) share: f64,
    /// The file and the entry point of each launch.
    pub(crate) kernels: Vec<String>,
    /// The largest error of the results, as a share of 1 + |reference|, where they were compared.
    #[serde(default)]
    pub(crate) error: Option<f64>,
}

/// The figures that only whole models have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ModelFigures {
    pub(crate) name: String,
    pub(crate) batch: usize,
    /// The time from the start of the process to the end of the first step, in seconds.
    pub(crate) start_up_seconds: f64,
    pub(crate) images_per_second: f64,
    pub(crate) launches: usize,
    pub(crate) pipelines: usize,
    /// The memory of weights, moments and statistics.
    pub(crate) state_bytes: u64,
    /// The memory that intermediate values share.
    pub(crate) slot_bytes: u64,
    /// The part of `slot_bytes` that is alive at the worst point. No plan can use less.
    pub(crate) live_minimum_bytes: u64,
    /// The time of all launches by timestamps, in seconds, if they work.
    pub(crate) kernel_seconds: Option<f64>,
    /// The share of the step in which no kernel runs.
    pub(crate) idle_share: Option<f64>,
}

impl Measured {
    /// The figures of launches that took the time `stat` by `clock`, and the median `wall` by the host's
    /// clock.
    pub(crate) fn new<'a>(
        name: &str,
        launches: impl IntoIterator<Item = &'a Launch> + Clone,
        (stat, clock, wall): (Stat, Clock, f64),
        ceilings: &Ceilings,
    ) -> Self {
        let sum = |of: fn(&Launch) -> u64| launches.clone().into_iter().map(of).sum();
        let (best, bound) = ceilings.best(launches.clone());
        Self {
            name: name.into(),
            seconds: stat.median,
            spread: stat.spread,
            samples: stat.samples,
            clock,
            wall_seconds: wall,
            flops: sum(|l| l.flops),
            bytes: sum(|l| l.bytes),
            bound,
            share: best / stat.median,
            kernels: launches.clone().into_iter().map(|l| format!("{}/{}", l.shader.stem, l.entry)).collect(),
            error: None,
        }
    }

    /// The figures of a case, by its better clock.
    pub(crate) fn case(name: &str, subject: &Subject<'_>, timing: &Timing, ceilings: &Ceilings) -> Self {
        let times = (timing.stat(), timing.clock(), timing.wall.median);
        Self { error: Some(subject.error), ..Self::new(name, &subject.plan.launches, times, ceilings) }
    }
}

/// The first line of the table.
pub(crate) fn header() -> String {
    format!("{:<52} {:>10} {:>6} {:>9} {:>8} {:>8}  bound", "case", "ms", "±%", "GFLOP/s", "GB/s", "ceiling")
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |work: u64| work as f64 / self.seconds / 1e9;
        let bound = match self.bound {
            Bound::Compute => "compute",
            Bound::Bandwidth => "bandwidth",
        };
        write!(f, "{:<52} {:>10.4} {:>6.1} ", self.name, self.seconds * 1e3, self.spread * 50.0)?;
        write!(
            f,
            "{:>9.2} {:>8.2} {:>7.1}%  {bound}",
            rate(self.flops),
            rate(self.bytes),
            self.share * 100.0
        )?;
        if self.clock == Clock::Wall { write!(f, " (wall clock)") } else { Ok(()) }
    }
}

impl fmt::Display for Ceilings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "ceiling of compute:   {:>9.1} GFLOP/s ({})",
            self.flops_per_second / 1e9,
            self.flops_by
        )?;
        write!(f, "ceiling of bandwidth: {:>9.1} GB/s ({})", self.bytes_per_second / 1e9, self.bytes_by)
    }
}

impl fmt::Display for ModelFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "process start to first finished step: {:.2} s", self.start_up_seconds)?;
        writeln!(
            f,
            "batch {}: {:.0} images/s, {} launches, {} pipelines",
            self.batch, self.images_per_second, self.launches, self.pipelines
        )?;
        let (slots, live) = (self.slot_bytes, self.live_minimum_bytes);
        write!(
            f,
            "memory: state {}, slots {} against ",
            table::bytes(self.state_bytes),
            table::bytes(slots)
        )?;
        writeln!(f, "{} alive at the worst point: {:.3}", table::bytes(live), slots as f64 / live as f64)?;
        match (self.kernel_seconds, self.idle_share) {
            (Some(busy), Some(idle)) => {
                write!(f, "kernels {:.2} ms by timestamps, idle share {idle:.3}", busy * 1e3)
            }
            _ => write!(f, "idle share unknown: this adapter has no timestamps"),
        }
    }
}

impl Report {
    /// Makes an empty report of this machine, dated now.
    pub(crate) fn new(caps: &Caps, ceilings: Ceilings) -> Self {
        Self {
            format: FORMAT.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            date: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |t| t.as_secs()),
            adapter: caps.name.clone(),
            driver: caps.driver.trim().into(),
            backend: caps.backend.clone(),
            ceilings,
            cases: vec![],
            models: vec![],
        }
    }

    /// Writes the report as JSON.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::new(e.to_string()))?;
        write_atomic(path, (text + "\n").as_bytes())
    }

    /// Reads the JSON of an earlier run.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let fail =
            |what: String| Error::new(format!("{}: {what}; `bench --json FILE` makes one", path.display()));
        let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| fail(format!("no JSON ({e})")))?;
        match value["format"].as_str() {
            Some(FORMAT) => {
                serde_json::from_value(value).map_err(|e| fail(format!("a damaged report ({e})")))
            }
            Some(other) => Err(fail(format!("of format `{other}`, this program reads `{FORMAT}`"))),
            None => Err(fail("JSON, but no report of this benchmark".into())),
        }
    }

    /// The changes since an earlier run, as text.
    pub(crate) fn compare(&self, earlier: &Self) -> String {
        let mut out = String::new();
        let mut line = |text: String| out.push_str(&(text + "\n"));
        for (what, then, now) in [
            ("adapter", &earlier.adapter, &self.adapter),
            ("driver", &earlier.driver, &self.driver),
            ("backend", &earlier.backend, &self.backend),
        ] {
            if then != now {
                line(format!(
                    "warning: another {what}: then {then}, now {now}; this compares machines, not kernels"
                ));
            }
        }
        let hours = self.date.saturating_sub(earlier.date) as f64 / 3600.0;
        let ceilings = [|c: &Ceilings| c.flops_per_second, |c: &Ceilings| c.bytes_per_second];
        let [flops, bytes] = ceilings.map(|rate| rate(&self.ceilings) / rate(&earlier.ceilings));
        line(format!(
            "against {hours:.1} hours earlier (version {}); the ceilings now are x{flops:.2} and x{bytes:.2}",
            earlier.version
        ));
        if [flops, bytes].iter().any(|x| !(1.0 / RESTLESS..RESTLESS).contains(x)) {
            line("warning: the ceilings moved, so the machine is not equally quiet; changes below may be its own".into());
        }
        line(format!("{:<52} {:>10} {:>10} {:>7} {:>8}", "case", "then ms", "now ms", "ratio", "noise"));
        let mut counts = [0; 3];
        for now in &self.cases {
            let Some(then) = earlier.cases.iter().find(|c| c.name == now.name) else { continue };
            let change = Change::new(then, now);
            counts[change.verdict as usize] += 1;
            line(format!(
                "{:<52} {:>10.4} {:>10.4} {change}",
                now.name,
                then.seconds * 1e3,
                now.seconds * 1e3
            ));
        }
        for now in &self.models {
            let Some(then) = earlier.models.iter().find(|m| m.name == now.name) else { continue };
            let (then, now) = (then.start_up_seconds, now.start_up_seconds);
            line(format!("start-up: {then:.2} s then, {now:.2} s now"));
        }
        let unmatched =
            |a: &Self, b: &Self| a.cases.iter().filter(|c| !b.cases.iter().any(|d| d.name == c.name)).count();
        let [same, faster, slower] = counts;
        line(format!(
            "{faster} faster, {slower} slower, {same} within the noise; {} only now, {} only then",
            unmatched(self, earlier),
            unmatched(earlier, self)
        ));
        out
    }
}

/// The change of a case between two runs.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Change {
    /// The new time divided by the old one.
    ratio: f64,
    /// The share below which a change means nothing: the larger spread of the two runs, or more.
    noise: f64,
    verdict: Verdict,
    /// Whether the two times were measured by different clocks.
    clocks: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Same,
    Faster,
    Slower,
}

impl Change {
    fn new(then: &Measured, now: &Measured) -> Self {
        let (ratio, noise) = (now.seconds / then.seconds, NOISE.max(then.spread).max(now.spread));
        let verdict = match ratio {
            r if r > 1.0 + noise => Verdict::Slower,
            r if r < 1.0 / (1.0 + noise) => Verdict::Faster,
            _ => Verdict::Same,
        };
        Self { ratio, noise, verdict, clocks: then.clock != now.clock }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Same => "",
            Verdict::Faster => "  faster",
            Verdict::Slower => "  SLOWER",
        };
        write!(f, "{:>7.3} {:>7.1}%{verdict}", self.ratio, self.noise * 100.0)?;
        if self.clocks { write!(f, " (another clock)") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
