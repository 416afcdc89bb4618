//! Which kernels planners choose for the op cases. What must have run on an adapter follows from what the
//! adapter's own planners can choose, and each entry point in `shaders/` must be chosen on some adapter.

use super::Case;
use oneiro::{kernel::caps::Caps, plan::Plan};
use std::collections::BTreeSet;

/// The distance of the cases and random graphs that are compared: 1, or what `ONEIRO_SAMPLE` says.
pub(crate) fn sample() -> usize {
    let Ok(typed) = std::env::var("ONEIRO_SAMPLE") else { return 1 };
    let every = typed.parse().ok().filter(|&every| every > 0);
    every.unwrap_or_else(|| panic!("ONEIRO_SAMPLE is a number above zero, as in ONEIRO_SAMPLE=16"))
}

/// A kernel by its shader's stem and its entry point.
pub(crate) type Kernel = (String, String);

/// The kernels of a plan.
pub(crate) fn kernels(plan: &Plan) -> impl Iterator<Item = Kernel> {
    plan.launches.iter().map(|l| (l.shader.stem.into(), l.entry.into()))
}

/// The kernels that the planners of these adapters choose for these cases.
pub(crate) fn chosen(cases: &[Case], adapters: &[Caps]) -> BTreeSet<Kernel> {
    let of_case =
        |case| adapters.iter().flat_map(move |caps| kernels(&Case::plan(case, caps)).collect::<Vec<_>>());
    cases.iter().flat_map(of_case).collect()
}
