//! What plans need of a device's memory, and what helps where that is too much.

use crate::plan::{Plan, table};
use std::collections::{BTreeMap, BTreeSet};

/// The bytes of slots, of inputs and of the State that the plans need together.
pub(super) fn planned(plans: &[&Plan]) -> [u64; 3] {
    let slots = plans.iter().map(|p| p.slot_bytes()).sum();
    let inputs = plans.iter().flat_map(|p| &p.inputs).map(|(_, ty)| ty.bytes()).sum();
    // Variables that an optimizer owns lie in its arena, for every plan.
    let arenas: BTreeMap<&str, u64> = plans
        .iter()
        .flat_map(|p| &p.arenas)
        .map(|a| (a.name.as_str(), (a.rows * a.row_len * 4) as u64))
        .collect();
    let owned: BTreeSet<&str> =
        plans.iter().flat_map(|p| &p.vars).filter(|v| v.home.is_some()).map(|v| v.name.as_str()).collect();
    let others = plans
        .iter()
        .flat_map(|p| &p.vars)
        .map(|v| (v.name.as_str(), v.ty.bytes()))
        .filter(|(name, _)| !owned.contains(name));
    let others: BTreeMap<&str, u64> = others.collect();
    [slots, inputs, arenas.values().chain(others.values()).sum()]
}

/// What helps where the bytes of [`planned`] are too many.
pub(super) fn advice([slots, inputs, state]: [u64; 3]) -> String {
    if state > slots + inputs {
        // A smaller batch leaves the weights as they are.
        format!(
            "the weights and what the optimizer keeps take {}: train a smaller model",
            table::bytes(state)
        )
    } else {
        "try a smaller --batch or model".into()
    }
}

#[cfg(test)]
mod tests {
    use super::advice;

    #[test]
    fn a_smaller_batch_is_advised_only_where_it_helps() {
        assert!(advice([700, 100, 500]).contains("smaller --batch"));
        assert!(!advice([700, 100, 5000]).contains("batch"));
        assert!(advice([700, 100, 5000]).contains("smaller model"));
    }
}
