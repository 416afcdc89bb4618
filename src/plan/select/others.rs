//! The kernels that an op could have run instead on the same adapter, for `--explain`.

use crate::{
    graph::op::{Lowered, Lowering, Op},
    kernel::caps::Caps,
    plan::launch::Variant,
};

/// The other variants of what an op was lowered to: those that the op names itself, and those that it would take as
/// an adapter of another kind. Each is told by its first launch.
pub(super) fn others(op: &dyn Op, at: &Lowering<'_>, taken: &Lowered, kinds: &[Caps]) -> Vec<Variant> {
    let Some(taken) = taken.launches.first().map(Variant::from) else { return vec![] };
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
