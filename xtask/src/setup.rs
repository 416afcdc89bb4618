//! The set-up: it looks at the machine, says what it will do, does it, and looks again.

use std::process::Command;

use crate::Failure;
use crate::plan::{Plan, Step, decide};
use crate::probe;

pub(crate) fn run() -> Result<(), Failure> {
    let (why, steps) = match decide(&probe::system()) {
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
    match decide(&probe::system()) {
        Plan::Ready(what) => {
            println!("set-up: {what}");
            Ok(())
        }
        Plan::Install { why, .. } => Err(Failure::new(format!(
            "all was installed, yet {why}; see whether `vulkaninfo --summary` lists a device"
        ))),
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
