//! The command line is read: which options may stand beside `--resume`, and what numbers must be.

use super::change::CHANGEABLE;
use clap::{ArgMatches, Parser, parser::ValueSource};
use std::{
    ffi::OsString,
    ops::{Bound, RangeBounds},
};

/// The heading, in the help, of the options that one sitting may change. No other options are allowed with
/// `--resume`.
pub const SITTING: &str = "This sitting";

/// The heading, in the help, of the options that describe a model without a run.
pub(super) const BARE: &str = "Without a run: the model of --weights";

/// The heading, in the help, of the options that only training uses. What looks at a model without a run does not
/// take them.
pub const TRAINING: &str = "Training";

/// Parses the command line. With `--resume`, an option that a resumed run may not change is an error, which
/// ends the program.
pub fn parse<C: Parser>() -> C {
    let matches = C::command().get_matches_from(joined(std::env::args_os()));
    let called = std::env::args()
        .next()
        .and_then(|path| Some(std::path::Path::new(&path).file_stem()?.to_string_lossy().into_owned()));
    let (mut deepest, mut command) = (&matches, C::command().bin_name(called.unwrap_or_default()));
    command.build();
    while let Some((name, sub)) = deepest.subcommand() {
        command = command.find_subcommand(name).cloned().unwrap_or(command);
        deepest = sub;
    }
    let parsed = check_resume(&command, deepest)
        .and_then(|()| check_bare(&command, deepest))
        .and_then(|()| C::from_arg_matches(&matches).map_err(|e| e.to_string()));
    parsed.unwrap_or_else(|what| command.error(clap::error::ErrorKind::ArgumentConflict, what).exit())
}

/// The words of a command line, with numbers below 0 joined to the options before them: they are values like any
/// other, which the option refuses by its range, and no unknown options.
fn joined(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let negative =
        |word: &str| word.starts_with('-') && word.split(',').all(|number| number.parse::<f64>().is_ok());
    let mut all: Vec<OsString> = vec![];
    for word in words {
        match all.last_mut().filter(|last| is_option(last)) {
            Some(option) if word.to_str().is_some_and(negative) => {
                option.push("=");
                option.push(word);
            }
            _ => all.push(word),
        }
    }
    all
}

/// Whether a word is an option without its value.
fn is_option(word: &OsString) -> bool {
    word.to_str().is_some_and(|word| word.len() > 2 && word.starts_with("--") && !word.contains('='))
}

/// Whether an option was typed.
pub(super) fn typed(matches: &ArgMatches, id: &str) -> bool {
    matches.try_contains_id(id).is_ok() && matches.value_source(id) == Some(ValueSource::CommandLine)
}

/// Checks that a model is described only where its weights are given and no run, which knows it, and by no option
/// that is hidden because it has no effect.
fn check_bare(command: &clap::Command, matches: &ArgMatches) -> std::result::Result<(), String> {
    let idle = |arg: &&clap::Arg| arg.is_hide_set() && typed(matches, arg.get_id().as_str());
    if let Some(arg) = command.get_arguments().find(idle) {
        return Err(format!("--{} has no effect here; leave it out", arg.get_long().unwrap_or_default()));
    }
    let bare =
        |arg: &&clap::Arg| arg.get_help_heading() == Some(BARE) && typed(matches, arg.get_id().as_str());
    let run = typed(matches, "run") || !typed(matches, "weights");
    match command.get_arguments().find(bare).filter(|_| run) {
        Some(arg) => Err(format!(
            "--{} describes a model without a run; leave it out, or give --weights FILE and no --run",
            arg.get_long().unwrap_or_default()
        )),
        None => Ok(()),
    }
}

/// Checks that only options of this sitting were typed beside `--resume`.
fn check_resume(command: &clap::Command, matches: &ArgMatches) -> std::result::Result<(), String> {
    let typed = |id: &str| typed(matches, id);
    let fixed = |id: &str| !CHANGEABLE.contains(&id);
    let own = |arg: &&clap::Arg| {
        let id = arg.get_id().as_str();
        arg.get_help_heading() != Some(SITTING) && fixed(id) && typed(id)
    };
    match command.get_arguments().find(own).filter(|_| typed("resume")) {
        Some(arg) => Err(format!(
            "--{} belongs to the run and cannot change when it is resumed; leave it out",
            arg.get_long().unwrap_or_default()
        )),
        None => Ok(()),
    }
}

/// Parses a number within a range, for clap; `wants` is the error message.
pub(super) fn number(
    text: &str,
    range: impl RangeBounds<f64>,
    wants: &str,
) -> std::result::Result<f64, String> {
    text.parse().ok().filter(|x| range.contains(x)).ok_or_else(|| wants.into())
}

/// A parser of whole numbers within a range that holds its ends, for clap.
pub fn whole<T: TryFrom<u64>>(
    range: impl RangeBounds<u64>,
) -> impl Fn(&str) -> std::result::Result<T, String> + Clone {
    let largest = [u64::MAX, u32::MAX.into(), u16::MAX.into()].into_iter().find(|&n| T::try_from(n).is_ok());
    let end = |bound, none| if let Bound::Included(&n) = bound { n } else { none };
    let first = end(range.start_bound(), 0);
    let last = end(range.end_bound(), largest.unwrap_or(u8::MAX.into()));
    move |text| {
        let number =
            text.parse().ok().filter(|n| (first..=last).contains(n)).and_then(|n| T::try_from(n).ok());
        number.ok_or_else(|| match last {
            u64::MAX => format!("wants a whole number from {first} on"),
            _ => format!("wants a whole number from {first} to {last}"),
        })
    }
}

/// Parses a finite number above 0, for clap.
pub fn positive(text: &str) -> std::result::Result<f64, String> {
    // The number must be finite and above 0 as f32 too, since kernels compute in f32.
    text.parse()
        .ok()
        .filter(|x: &f64| (*x as f32).is_finite() && *x as f32 > 0.0)
        .ok_or_else(|| "wants a number above 0".into())
}

/// Parses a finite number of at least 0, for clap.
pub(super) fn zero_or_more(text: &str) -> std::result::Result<f64, String> {
    number(text, 0.0..1e30, "wants a number from 0 on")
}

/// Parses a number from 0 to below 1, for clap.
pub fn below_one(text: &str) -> std::result::Result<f64, String> {
    number(text, 0.0..1.0, "wants a number from 0 to below 1")
}

/// Parses a factor in (0, 1], for clap.
pub fn decay(text: &str) -> std::result::Result<f64, String> {
    let value = positive(text)?;
    if value <= 1.0 {
        Ok(value)
    } else {
        Err(format!("{value} would let the step size grow; give at most 1"))
    }
}

/// The sizes that an option was given, or the usual ones.
pub fn sizes(given: &[u16], usual: &[usize]) -> Vec<usize> {
    if given.is_empty() { usual.to_vec() } else { given.iter().map(|&size| size.into()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[derive(Parser)]
    struct Cli {
        #[arg(id = "lr", long, default_value_t = 1.0, value_parser = positive)]
        _lr: f64,
        #[arg(id = "batch", long, default_value_t = 1, value_parser = whole::<u32>(1..))]
        _batch: u32,
        #[arg(id = "seconds", long, value_parser = positive, help_heading = SITTING)]
        _seconds: Option<f64>,
        #[arg(id = "stream", long, num_args = 0..=1, value_parser = positive, help_heading = SITTING)]
        _stream: Option<f64>,
        #[arg(id = "resume", long, help_heading = SITTING)]
        _resume: Option<String>,
    }

    #[test]
    fn a_number_below_0_is_refused_by_its_range() {
        for (line, value) in [
            ("x --lr -1", "-1"),
            ("x --lr=-1", "-1"),
            ("x --batch -5", "-5"),
            ("x --stream -1", "-1"),
            ("x --seconds -2.5e-3", "-2.5e-3"),
            ("x --lr -inf --batch 3", "-inf"),
            ("x --lr -nan", "-nan"),
        ] {
            let words = joined(line.split(' ').map(OsString::from));
            let error = Cli::command().try_get_matches_from(words).unwrap_err().to_string();
            assert!(error.contains(&format!("invalid value '{value}' for '--")), "{line}: {error}");
        }
        for line in ["x --axes=1 -1", "x --lr 3 --resume -x", "x - -1", "x -- -1", "x --lr -1,x"] {
            assert_eq!(
                joined(line.split(' ').map(OsString::from)).join("".as_ref()),
                line.replace(' ', "").as_str()
            );
        }
        assert_eq!(joined(["--axes", "-1,0"].into_iter().map(OsString::from)), ["--axes=-1,0"]);
    }

    #[test]
    fn a_whole_number_outside_its_range_is_told_the_range() {
        let (some, bytes, all) = (whole::<u16>(1..=100), whole::<u8>(1..), whole::<u64>(..));
        assert_eq!(
            (some("100"), bytes("255"), all("18446744073709551615")),
            (Ok(100), Ok(255), Ok(u64::MAX))
        );
        for text in ["0", "101", "-1", "1.5", "x", "", "99999999999999999999"] {
            assert_eq!(some(text).unwrap_err(), "wants a whole number from 1 to 100", "{text}");
        }
        assert_eq!(bytes("256").unwrap_err(), "wants a whole number from 1 to 255");
        assert_eq!(all("-5").unwrap_err(), "wants a whole number from 0 on");
    }

    fn check(line: &str) -> std::result::Result<(), String> {
        let matches = Cli::command().try_get_matches_from(line.split(' ')).unwrap();
        check_resume(&Cli::command(), &matches)
    }

    #[test]
    fn a_resumed_run_keeps_its_own_options() {
        assert!(check("x --resume runs/a --stream --seconds 3").is_ok());
        assert!(check("x --lr 0.1 --batch 3").is_ok());
        assert!(check("x --resume runs/a --lr 0.1").is_ok());
        assert!(check("x --resume runs/a --batch 3").unwrap_err().contains("--batch"));
    }
}
