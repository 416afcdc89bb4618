//! The kernels that an op could have run instead on the same adapter, for `--explain`.

use crate::{
    graph::op::{Lowered, Lowering, Op},
    kernel::caps::Caps,
    plan::launch::Variant,
};

/// An op of more launches, such as a scan, is not told by its first.
const MANY: usize = 16;

/// The other variants of what an op was lowered to: those that the op names itself, and those that it would take as
/// an adapter of another kind. Each is told by its first launch.
pub(super) fn others(op: &dyn Op, at: &Lowering<'_>, taken: &Lowered, kinds: &[Caps]) -> Vec<Variant> {
    let first_of = taken.launches.first().filter(|_| taken.launches.len() <= MANY);
    let Some(taken) = first_of.map(Variant::from) else { return vec![] };
    let first = |caps| op.lower(&Lowering { caps, ..*at }).ok().and_then(|l| l.launches.into_iter().next());
    let mut found: Vec<Variant> = vec![];
    for other in op.others(at).into_iter().chain(kinds.iter().filter_map(first)) {
        let other = Variant::from(&other);
        if ![&taken].into_iter().chain(&found).any(|known| known.same_kernel(&other)) {
            found.push(other);
        }
    }
    found
}
