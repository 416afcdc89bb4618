//! The set-up: it looks at the machine, says what it will do, does it, and looks again.

use std::process::Command;

use crate::Failure;
use crate::plan::{self, Plan, Step, decide};
use crate::probe;

pub(crate) fn run() -> Result<(), Failure> {
    carry_out(|| decide(&probe::system()), "see whether `vulkaninfo --summary` lists a device")
}

/// Installs what the tests of windows and pages need, as far as it can be had.
pub(crate) fn screens() -> Result<(), Failure> {
    let browser = || probe::BROWSERS.lines().any(probe::program_exists);
    let decide = || plan::screens(&probe::system(), probe::program_exists("Xvfb"), browser());
    carry_out(decide, "see whether `Xvfb` and `chromium` start")
}

/// Installs Open MPI with what its bindings are made by.
pub(crate) fn mpi() -> Result<(), Failure> {
    let decide = || plan::mpi(&probe::system(), probe::mpi());
    carry_out(decide, "see whether `mpirun --version` answers, and where libclang lies")
}

/// Installs Khronos' validator of SPIR-V.
pub(crate) fn spirv() -> Result<(), Failure> {
    let decide = || plan::spirv(&probe::system(), probe::program_exists("spirv-val"));
    carry_out(decide, "see whether `spirv-val --version` answers")
}

/// The features beyond the usual ones with which this machine can test: all builds have them, so that nothing is
/// built twice. `told` says on one line what the tests of ranks will be.
pub(crate) fn features(told: bool) -> Vec<String> {
    let found = plan::mpi(&probe::system(), probe::mpi());
    let there = matches!(found, Plan::Ready(_));
    if told {
        match found {
            Plan::Ready(_) => println!("ranks: tried as threads and, by MPI, as processes"),
            Plan::Install { why, .. } => {
                println!("ranks: tried as threads alone, since {why}: `cargo xtask setup --mpi` installs it")
            }
            Plan::ByHand(what) => {
                println!("ranks: tried as threads alone, since {}", what.replace('\n', " "))
            }
        }
    }
    if there { ["--features", "oneiro/mpi"].map(String::from).to_vec() } else { vec![] }
}

fn carry_out(decide: impl Fn() -> Plan, advice: &str) -> Result<(), Failure> {
    let (why, steps) = match decide() {
        Plan::Ready(what) => {
            println!("set-up: {what}");
            return Ok(());
        }
        Plan::ByHand(what) => return Err(Failure::new(what)),
        Plan::Install { why, steps } => (why, steps),
    };
    println!("set-up: {why}. It will be installed by:\n{}", list(&steps));
    for step in &steps {
        println!("> {}", step.line());
        match run_step(step) {
            Ok(()) => {}
            Err(e) if step.may_fail => eprintln!("set-up: that failed ({e}); going on"),
            Err(e) => {
                let text = format!("`{}` failed ({e}); mend that, or type:", step.line());
                return Err(Failure::new(format!("{text}\n{}", list(&steps))));
            }
        }
    }
    match decide() {
        Plan::Ready(what) => {
            println!("set-up: {what}");
            Ok(())
        }
        Plan::Install { why, .. } => Err(Failure::new(format!("all was installed, yet {why}; {advice}"))),
        Plan::ByHand(what) => Err(Failure::new(what)),
    }
}

fn run_step(step: &Step) -> Result<(), String> {
    let (program, args) = step.words.split_first().expect("a step has a program");
    match Command::new(program).args(args).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.to_string()),
        Err(e) => Err(e.to_string()),
    }
}

fn list(steps: &[Step]) -> String {
    steps.iter().map(|step| format!("    {}", step.line())).collect::<Vec<_>>().join("\n")
}
