//! The kernel benchmark. Every case is checked against its f64 reference, warmed up and then timed; its
//! median time is compared with the ceilings that the same run measures.

mod card;
mod cases;
mod ceiling;
mod explain;
mod measure;
mod model;
mod report;
mod sound;

use bench::{MODELS, Step, drawing};
use clap::Parser;
use oneiro::{
    error::{Error, Result},
    gpu::Gpu,
    kernel::caps::AdapterClass,
    plan::Plan,
    run::{AdapterOption, positive},
};
use report::{Measured, Report};
use std::{path::PathBuf, time::Instant};

/// Times kernels and whole training steps on this machine
///
/// Each case is checked against its reference before it is timed. Times are medians, by GPU timestamps if the
/// adapter has them, else by the wall clock; ±% is half the distance between the quartiles. `ceiling`
/// compares a case with the peaks of compute and bandwidth that the same run measures: it is the time at
/// these peaks as a share of the time taken. `bound` says which peak limits the case. Data that fits into the
/// caches can exceed the ceiling of bandwidth.
#[derive(Parser)]
#[command(after_help = "Examples:
  bench                                every kernel, with its share of the machine's ceiling
  bench --list                         the cases' names
  bench --filter matmul --explain      which kernels these run on this adapter, why, and what else they could run
  bench --model pixelcnn --explain     the same for a training step, and for drawing
  bench --json before.json             the same as the first, kept
  bench --compare before.json          measured again, with the change of each case
  bench --model vae --launches         a training step: time, start-up, memory, idle share, each launch
  bench --report                       all that this adapter does, in about three minutes, as a file for an issue")]
struct Cli {
    #[command(flatten)]
    adapter: AdapterOption,
    /// Run only cases whose name contains this; a full name also runs a case that is too large for software
    /// drivers
    #[arg(long, default_value = "", value_name = "TEXT", conflicts_with = "model")]
    filter: String,
    /// Measure a whole training step instead of kernels
    #[arg(long, value_parser = MODELS, value_name = "NAME")]
    model: Option<String>,
    /// Show each launch of the step as a case of its own, timed by timestamps
    #[arg(long, requires = "model")]
    launches: bool,
    /// Measure each case for about this many seconds
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    seconds: f64,
    /// Write the figures to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Show the change since an earlier file of --json
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Print the names of the cases and models, and measure nothing
    #[arg(long)]
    list: bool,
    /// Print which kernels run and why, and measure nothing
    #[arg(long)]
    explain: bool,
    /// Measure kernels, models and drawing in about three minutes, and write report-ADAPTER.md and .json here
    #[arg(long, conflicts_with_all = ["filter", "model", "seconds", "json", "compare", "list", "explain"])]
    report: bool,
}

fn main() -> Result<()> {
    let start = Instant::now();
    let cli = Cli::parse();
    if cli.list {
        return list(&cli);
    }
    // Errors in the options are reported before anything is measured.
    let earlier = cli.compare.as_deref().map(Report::load).transpose()?;
    cases::chosen(&cli.filter, false)?;
    if let Some(path) = &cli.json {
        writable(path)?;
    }
    let failed = |error: Error| match error.to_string().contains("fails the self-test") {
        true if cli.report => card::failed("failed", error),
        _ => error,
    };
    let gpu = cli.adapter.open().map_err(failed)?;
    if cli.explain {
        return explain(&cli, &gpu);
    }
    if cli.report {
        return card::run(&gpu);
    }
    let report = match &cli.model {
        Some(name) => model::measure(name, &gpu, start, cli.seconds, cli.launches)?,
        None => kernels(&cli, &gpu)?,
    };
    if cli.model.is_some() {
        print_model(&report);
    }
    if let Some(path) = &cli.json {
        report.save(path)?;
        println!("\nwritten to {}", path.display());
    }
    if let Some(earlier) = &earlier {
        print!("\n{}", report.compare(earlier));
    }
    Ok(())
}

fn writable(path: &std::path::Path) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    match folder {
        _ if path.is_dir() => {
            Err(Error::new(format!("--json {} is a folder; name a file in it", path.display())))
        }
        Some(folder) if !folder.is_dir() => {
            Err(Error::new(format!("--json {}: its folder does not exist; make it first", path.display())))
        }
        _ => Ok(()),
    }
}

fn list(cli: &Cli) -> Result<()> {
    for case in cases::chosen(&cli.filter, false)? {
        println!(
            "{}{}",
            case.name,
            if case.large { "   (on software drivers only by its full name)" } else { "" }
        );
    }
    MODELS.iter().for_each(|name| println!("--model {name}"));
    Ok(())
}

fn selected(cli: &Cli, gpu: &Gpu) -> Result<Vec<cases::Case>> {
    cases::chosen(&cli.filter, gpu.caps().class == AdapterClass::Cpu)
}

fn explain(cli: &Cli, gpu: &Gpu) -> Result<()> {
    if let Some(name) = &cli.model {
        let step = Step::new(name)?;
        println!("{}", step.title(name));
        step.plans(gpu.caps())?.iter().for_each(|plan| println!("{}", explain::explain(plan)));
        if let Some(sampler) = drawing(name, gpu.caps())? {
            let [begin, step] = sampler.plans().map(explain::explain);
            println!("{name} draws, once\n{begin}\n{name} draws, each of {} steps\n{step}", sampler.steps());
        }
        return Ok(());
    }
    for case in selected(cli, gpu)? {
        println!("{}\n{}", case.name, explain::explain(&Plan::new(&case.graph, gpu.caps())?));
    }
    Ok(())
}

fn kernels(cli: &Cli, gpu: &Gpu) -> Result<Report> {
    let cases = selected(cli, gpu)?;
    let mut report = Report::new(gpu.caps(), ceiling::Ceilings::measure(gpu, cli.seconds)?);
    println!("{}\n\n{}", report.ceilings, report::header());
    for case in &cases {
        let subject = measure::Subject::new(gpu, case)?;
        let timing = subject.time(cli.seconds)?;
        let measured = Measured::case(&case.name, &subject, &timing, &report.ceilings);
        println!("{measured}");
        report.cases.push(measured);
    }
    Ok(report)
}

fn print_model(report: &Report) {
    println!("{}\n\n{}", report.ceilings, report::header());
    report.cases.iter().for_each(|case| println!("{case}"));
    report.models.iter().for_each(|figures| println!("\n{figures}"));
}
