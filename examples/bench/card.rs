//! What an adapter does, in one file to attach to an issue: every kernel's error and share of the ceiling, the
//! steps of the models, and drawing. A wrong result is noted and does not end the run.

use crate::{
    cases,
    ceiling::Ceilings,
    measure::{Clock, Subject},
    model,
    report::{self, Measured, ModelFigures, Report},
};
use bench::MODELS;
use oneiro::{
    disk::write_atomic,
    error::{Error, Result},
    gpu::Gpu,
    kernel::caps::{AdapterClass, Caps},
};
use std::{
    fmt::Write,
    path::PathBuf,
    time::{Duration, Instant},
};

/// How long a case is measured, in seconds.
const SECONDS: f64 = 0.15;
/// No model is begun after this time, so that the whole takes about three minutes.
const LAST_START: Duration = Duration::from_secs(120);
/// The models of hundreds of launches, which are measured last.
const LONG: [&str; 3] = ["pixelrnn", "pixelrnn-row", "wavenet"];
/// A kernel is called slow below this share of its ceiling, if it takes longer than `LAUNCH`.
const SLOW: f64 = 0.1;
/// The time that a launch may take, however little it does, in seconds.
const LAUNCH: f64 = 2e-5;
/// The slowest kernels that the last line names.
const NAMED: usize = 3;

/// The measurements of a run, and its faults.
struct Found {
    report: Report,
    /// The errors of cases whose results are wrong or which cannot run.
    wrong: Vec<String>,
    /// The models that were not begun in time.
    left_out: Vec<&'static str>,
}

/// Measures everything, writes `report-ADAPTER.md` and `.json` here, and prints the verdict.
pub(crate) fn run(gpu: &Gpu) -> Result<()> {
    let (started, caps) = (Instant::now(), gpu.caps());
    let [page, json] = ["md", "json"].map(|end| PathBuf::from(format!("report-{}.{end}", slug(&caps.name))));
    // Written each time, so that a driver that dies on a case leaves what was measured before.
    let keep = |found: &Found| {
        write_atomic(&page, found.page(caps).as_bytes())?;
        found.report.save(&json)
    };
    let ceilings = Ceilings::measure(gpu, SECONDS).map_err(|error| failed(&caps.name, error))?;
    println!("self-test: passed\n{ceilings}\n\n{}", report::header());
    let mut found = Found { report: Report::new(caps, ceilings), wrong: vec![], left_out: vec![] };
    for case in cases::chosen("", gpu.caps().class == AdapterClass::Cpu)? {
        let measured = Subject::new(gpu, &case).and_then(|subject| {
            let timing = subject.time(SECONDS)?;
            Ok(Measured::case(&case.name, &subject, &timing, &found.report.ceilings))
        });
        found.keep(measured.map(|measured| (vec![measured], vec![])));
        keep(&found)?;
    }
    let mut models = MODELS;
    models.sort_by_key(|name| LONG.contains(name));
    for name in models {
        if started.elapsed() > LAST_START {
            found.left_out.push(name);
        } else {
            let measured = model::measure(name, gpu, Instant::now(), SECONDS, false);
            found.keep(measured.map(|of_model| (of_model.cases, of_model.models)));
        }
        keep(&found)?;
    }
    println!("\n{} and {} written: attach them to an issue", page.display(), json.display());
    println!("{}", found.verdict());
    Ok(())
}

/// Writes `report-NAME.md` that says only why nothing could be measured, and returns that error.
pub(crate) fn failed(name: &str, error: Error) -> Error {
    let page = PathBuf::from(format!("report-{}.md", slug(name)));
    let text = format!("# {name}\n\nWRONG: {error}\n\n* oneiro {}\n", env!("CARGO_PKG_VERSION"));
    match write_atomic(&page, text.as_bytes()) {
        Ok(()) => Error::new(format!("{error}; {} written: attach it to an issue", page.display())),
        Err(unwritten) => Error::new(format!("{error}; {unwritten}")),
    }
}

/// A name as part of a file's name.
fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

impl Found {
    /// Keeps and prints what was measured, or the error.
    fn keep(&mut self, measured: Result<(Vec<Measured>, Vec<ModelFigures>)>) {
        match measured {
            Ok((cases, models)) => {
                cases.iter().for_each(|case| println!("{case}"));
                self.report.cases.extend(cases);
                self.report.models.extend(models);
            }
            Err(error) => {
                println!("{error}");
                self.wrong.push(error.to_string());
            }
        }
    }

    /// The line that says what is wrong or slow.
    fn verdict(&self) -> String {
        let checked: Vec<_> = self.report.cases.iter().filter(|case| case.error.is_some()).collect();
        let worst = checked.iter().filter_map(|case| case.error).fold(0.0, f64::max);
        let mut line = match self.wrong.as_slice() {
            [] => format!(
                "right: {} kernels (largest error {worst:.1e}) and the steps of {} models",
                checked.len(),
                self.report.models.len()
            ),
            wrong => format!("WRONG: {}", wrong.join("; ")),
        };
        let mut slow: Vec<_> =
            checked.into_iter().filter(|case| case.share < SLOW && case.seconds > LAUNCH).collect();
        slow.sort_by(|a, b| (b.seconds * (1.0 - b.share)).total_cmp(&(a.seconds * (1.0 - a.share))));
        if !slow.is_empty() {
            let name = |case: &&Measured| format!("{} ({:.1} %)", case.name, 100.0 * case.share);
            let named = slow.iter().take(NAMED).map(name).collect::<Vec<_>>().join(", ");
            let _ = write!(
                line,
                "; slow: {} of them are under {:.0} % of the ceiling, {named} cost most",
                slow.len(),
                100.0 * SLOW
            );
        }
        if !self.left_out.is_empty() {
            let _ = write!(line, "; left out after {} s: {}", LAST_START.as_secs(), self.left_out.join(", "));
        }
        line
    }

    /// The page in Markdown.
    fn page(&self, caps: &Caps) -> String {
        let Report { ceilings, cases, models, .. } = &self.report;
        let powers = if caps.powers.is_empty() { "none".into() } else { caps.powers.join(", ") };
        let mut page = format!("# {}\n\n{}\n\n", caps.name, self.verdict());
        let _ = writeln!(page, "* driver: {} ({})", caps.driver.trim(), caps.backend);
        let _ = writeln!(page, "* planned as: {:?}; powers: {powers}; self-test: passed", caps.class);
        let _ = writeln!(page, "* oneiro {}; seconds since 1970: {}", self.report.version, self.report.date);
        ceilings.to_string().lines().for_each(|line| page += &format!("* {line}\n"));
        page += "\n| case | ms | ±% | GFLOP/s | GB/s | of the ceiling | largest error |\n";
        page += "|---|---|---|---|---|---|---|\n";
        cases.iter().for_each(|case| page += &(case.row() + "\n"));
        page += "\n| model | batch | start-up, s | images/s | launches | pipelines | kernels, ms | idle |\n";
        page += "|---|---|---|---|---|---|---|---|\n";
        for m in models {
            let or = |value: Option<String>| value.unwrap_or_else(|| "–".into());
            let kernels = or(m.kernel_seconds.map(|s| format!("{:.3}", 1e3 * s)));
            let idle = or(m.idle_share.map(|share| format!("{share:.2}")));
            let _ = writeln!(
                page,
                "| {} | {} | {:.2} | {:.0} | {} | {} | {kernels} | {idle} |",
                m.name, m.batch, m.start_up_seconds, m.images_per_second, m.launches, m.pipelines
            );
        }
        page
    }
}

impl Measured {
    /// A row of the page's table.
    fn row(&self) -> String {
        let clock = if self.clock == Clock::Wall { " (wall clock)" } else { "" };
        let error = self.error.map_or("–".into(), |error| format!("{error:.1e}"));
        let time = format!("{:.4}{clock} | {:.1}", 1e3 * self.seconds, 50.0 * self.spread);
        if self.kernels.is_empty() {
            return format!("| {} | {time} | – | – | – | {error} |", self.name);
        }
        let rate = |work: u64| work as f64 / self.seconds / 1e9;
        let (flops, bytes, share) = (rate(self.flops), rate(self.bytes), 100.0 * self.share);
        let work = format!("{flops:.1} | {bytes:.1} | {share:.1} %, {:?}", self.bound);
        format!("| {} | {time} | {work} | {error} |", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(shares: &[(f64, f64)]) -> Found {
        let ceilings = Ceilings {
            flops_per_second: 1e12,
            flops_by: "fma".into(),
            bytes_per_second: 1e11,
            bytes_by: "copy".into(),
        };
        let mut report = Report::new(&Caps::portable(AdapterClass::Gpu), ceilings);
        for (i, &(seconds, share)) in shares.iter().enumerate() {
            let stat = crate::measure::Stat::of(vec![seconds]);
            let mut case =
                Measured::new(&format!("case {i}"), &[], (stat, Clock::Gpu, seconds), &report.ceilings);
            (case.share, case.error) = (share, Some(1e-6));
            report.cases.push(case);
        }
        Found { report, wrong: vec![], left_out: vec![] }
    }

    #[test]
    fn the_verdict_names_what_is_wrong_or_slow() {
        let mut found = found(&[(1e-3, 0.9), (1e-3, 0.05), (1e-6, 0.001)]);
        assert_eq!(
            found.verdict(),
            "right: 3 kernels (largest error 1.0e-6) and the steps of 0 models; \
             slow: 1 of them are under 10 % of the ceiling, case 1 (5.0 %) cost most"
        );
        found.wrong.push("case: element 3 of `y` is 1, its reference 2".into());
        found.left_out.push("dcgan64");
        let line = found.verdict();
        assert!(
            line.starts_with("WRONG: case: element 3") && line.ends_with("left out after 120 s: dcgan64")
        );
    }

    #[test]
    fn the_page_has_a_row_for_each_case() {
        let page = found(&[(1e-3, 0.9), (2e-3, 0.5)]).page(&Caps::portable(AdapterClass::Gpu));
        assert!(
            page.contains("| case 1 | 2.0000 |")
                && page.lines().filter(|l| l.starts_with("| case ")).count() == 3
        );
        assert_eq!(slug("AMD Radeon (TM) RX 6800/XT"), "AMD-Radeon-TM-RX-6800-XT");
    }
}
