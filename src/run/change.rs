//! The options of a recipe that may change when a run is resumed, and the record of their changes.
//!
//! A run that went bad would go bad again, bit for bit. It can go on with a smaller step size or tighter weights:
//! the configuration then holds the new value, and the step from which on it holds.

use crate::error::{Error, Result};
use clap::{ArgMatches, Args, Command, FromArgMatches, parser::ValueSource};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use toml::{Table, Value};

/// The options, by their names in the configuration. The place of the data is no part of the record, since the
/// data themselves must be the same.
pub(super) const CHANGEABLE: [&str; 4] = ["lr", "lr_discriminator", "clip", "data"];

/// A change of an option.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The number of steps that were done before.
    pub step: u64,
    /// The name of the option.
    pub option: String,
    /// The value before; `None` if the option was not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<f64>,
    /// The value from then on.
    pub to: f64,
}

/// The options of `CHANGEABLE` that were typed.
#[derive(Clone, Debug, Default)]
pub struct Typed(Vec<&'static str>);

impl FromArgMatches for Typed {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let typed = |id: &&str| {
            matches.try_contains_id(id).is_ok() && matches.value_source(id) == Some(ValueSource::CommandLine)
        };
        Ok(Self(CHANGEABLE.into_iter().filter(typed).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// It has no options of its own.
impl Args for Typed {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

impl Typed {
    /// The options of a run with the values that were typed, and what changes by that after `step` steps.
    ///
    /// # Errors
    /// Fails if the options do not fit into TOML.
    pub(super) fn change<T: Serialize + DeserializeOwned>(
        &self,
        run: &T,
        typed: &T,
        step: u64,
    ) -> Result<(T, Vec<Change>)> {
        let bad =
            |e: &dyn std::fmt::Display| Error::new(format!("the options cannot be written as TOML: {e}"));
        let [mut table, typed] =
            [Table::try_from(run).map_err(|e| bad(&e))?, Table::try_from(typed).map_err(|e| bad(&e))?];
        let mut changes = vec![];
        for &option in &self.0 {
            let Some(to) = typed.get(option).cloned() else { continue };
            let from = table.insert(option.into(), to.clone());
            if let (Some(to), true) = (to.as_float(), from.as_ref() != Some(&to)) {
                let from = from.as_ref().and_then(Value::as_float);
                changes.push(Change { step, option: option.into(), from, to });
            }
        }
        Ok((table.try_into().map_err(|e| bad(&e))?, changes))
    }
}

/// The options of a configuration as they were before all its changes.
pub(super) fn unchanged(config: &Table) -> Table {
    let mut options = config.get("options").and_then(Value::as_table).cloned().unwrap_or_default();
    let changes = config.get("changes").cloned().and_then(|c| c.try_into::<Vec<Change>>().ok());
    for Change { option, from, .. } in changes.unwrap_or_default().into_iter().rev() {
        match from {
            Some(from) => options.insert(option, Value::Float(from)),
            None => options.remove(&option),
        };
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Run {
        lr: f64,
        clip: Option<f64>,
        batch: u32,
    }

    #[test]
    fn what_was_typed_changes_and_can_be_undone() {
        let (run, typed) =
            (Run { lr: 0.1, clip: None, batch: 8 }, Run { lr: 0.01, clip: Some(0.5), batch: 128 });
        let (now, changes) = Typed(vec!["lr", "clip"]).change(&run, &typed, 7).unwrap();
        assert_eq!(now, Run { lr: 0.01, clip: Some(0.5), batch: 8 });
        let [lr, clip] = changes.as_slice() else { panic!("{changes:?}") };
        assert_eq!((lr.step, lr.from, lr.to), (7, Some(0.1), 0.01));
        assert_eq!((clip.option.as_str(), clip.from, clip.to), ("clip", None, 0.5));
        let (again, none) = Typed(vec!["lr"]).change(&now, &now, 9).unwrap();
        assert_eq!((again, none), (Run { lr: 0.01, clip: Some(0.5), batch: 8 }, vec![]));
        let config = Table::from_iter([
            ("options".to_string(), Value::try_from(&now).unwrap()),
            ("changes".to_string(), Value::try_from(&changes).unwrap()),
        ]);
        assert_eq!(unchanged(&config), Table::try_from(&run).unwrap());
    }
}
