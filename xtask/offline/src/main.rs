//! The program of `cargo xtask offline`.

use indicatif::{ProgressBar, ProgressStyle};
use offline::{
    chip::Chip,
    compare::compare,
    driver::{self, Batch, Unable},
    launches::Launches,
    limits,
    options::{Options, told},
    report::{ChipReport, Report},
    shares::{self, Shares},
    table,
    work::Memory,
};
use oneiro::error::{Error, Result};
use std::{fs, path::Path, process::ExitCode, thread};

/// Where listings go.
const LISTINGS: &str = "target/offline";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if words.get(1).is_some_and(|word| word == driver::WORD) {
        return if driver::serve().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let options = match Options::read(words) {
        Ok(options) => options,
        Err(help) if !help.use_stderr() => help.exit(),
        Err(wrong) => {
            eprintln!("offline: {}", told(&wrong));
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("offline: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    // Errors in the options are reported before anything is compiled.
    let earlier = options.compare.as_deref().map(Report::load).transpose()?;
    let recorded = options.check.then(|| Shares::load(&shares::file())).transpose()?;
    let launches = Launches::of(&options.models())?;
    if let Some(folder) = &options.dump {
        launches.write(folder)?;
        println!("{} pipelines in {}", launches.pipelines.len(), folder.display());
        return Ok(());
    }
    let mut faults = if options.check { limits::faults(&launches) } else { vec![] };
    let batches = match compile(&options.chips(), &launches) {
        Ok(batches) => batches,
        Err(Unable::Failed(error)) => return Err(error),
        Err(Unable::Missing(what)) if options.check => {
            println!("skipped: spills and shares. {what}");
            return judged(&faults, &launches, "all limits hold");
        }
        Err(Unable::Missing(what)) => return Err(Error::new(what)),
    };
    if options.isa {
        listings(&options.chips(), &launches, &batches)?;
    }
    let mut memory = Memory::default();
    let each = options.chips().into_iter().zip(&batches);
    let chips = each.map(|(chip, batch)| ChipReport::new(chip, &launches, batch, &mut memory));
    let report = Report::new(chips.collect::<Result<_>>()?);
    if let Some(path) = &options.json {
        report.save(path)?;
        println!("written to {}", path.display());
    }
    if options.record {
        let path = shares::file();
        Shares::of(&report.chips).save(&path)?;
        println!("recorded in {}", path.display());
    } else if let Some(recorded) = recorded {
        faults.extend(recorded.faults(&report.chips, options.whole()));
        let names: Vec<_> = report.chips.iter().map(|c| c.chip.as_str()).collect();
        let by = format!("for {} by {}", names.join(", "), report.chips[0].driver);
        return judged(&faults, &launches, &format!("all limits hold, nothing spills, no share fell {by}"));
    } else if let Some(earlier) = earlier {
        print!("{}", compare(&earlier, &report));
    } else {
        show(&report, options.launches);
    }
    Ok(())
}

fn show(report: &Report, launches: bool) {
    for chip in &report.chips {
        println!("{chip}");
        if launches {
            chip.steps.iter().for_each(|step| println!("{}", table::launches(step)));
        }
    }
}

/// The end of a check: what holds if there are no faults.
fn judged(faults: &[String], launches: &Launches, holds: &str) -> Result<()> {
    let count: usize = launches.steps.iter().map(|step| step.launches.len()).sum();
    let checked = format!("{} pipelines and {count} launches", launches.pipelines.len());
    if faults.is_empty() {
        println!("{checked}: {holds}");
        return Ok(());
    }
    faults.iter().for_each(|fault| eprintln!("{fault}"));
    Err(Error::new(format!("{} faults in {checked}, told above", faults.len())))
}

/// Compiles all pipelines for all chips, the chips side by side.
fn compile(chips: &[&'static Chip], launches: &Launches) -> std::result::Result<Vec<Batch>, Unable> {
    let style = ProgressStyle::with_template("{bar:22.cyan/238} {pos} of {len} pipelines");
    let bar = ProgressBar::new((chips.len() * launches.pipelines.len()) as u64)
        .with_style(style.expect("the template is a constant"));
    let one = |chip: &'static Chip| driver::compile(chip, &launches.pipelines, || bar.inc(1));
    let batches = thread::scope(|scope| {
        let started: Vec<_> = chips.iter().map(|&chip| scope.spawn(move || one(chip))).collect();
        started.into_iter().map(|batch| batch.join().expect("it does not panic")).collect()
    });
    bar.finish_and_clear();
    batches
}

/// Writes all listings.
fn listings(chips: &[&'static Chip], launches: &Launches, batches: &[Batch]) -> Result<()> {
    for (chip, batch) in chips.iter().zip(batches) {
        let folder = Path::new(LISTINGS).join(chip.name);
        let failed = |e| Error::new(format!("cannot write to {}: {e}", folder.display()));
        fs::create_dir_all(&folder).map_err(failed)?;
        for (pipeline, listing) in launches.pipelines.iter().zip(batch.listings()) {
            fs::write(folder.join(format!("{}.s", pipeline.id)), listing).map_err(failed)?;
        }
        println!("{} listings in {}", launches.pipelines.len(), folder.display());
    }
    Ok(())
}
