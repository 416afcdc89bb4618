//! The kernels that an op could have run instead on the same adapter, for `--explain`.

use crate::{
    graph::op::{LaunchSpec, Lowered, Lowering, Op},
    kernel::caps::Caps,
    plan::launch::Variant,
};

/// An op of more launches, such as a scan, is not told by one of them.
const MANY: usize = 16;

/// The launch that does the most, and the first of those.
pub(super) fn main(launches: &[LaunchSpec]) -> Option<usize> {
    (0..launches.len()).rev().max_by_key(|&i| launches[i].flops)
}

/// The other variants of what an op was lowered to: those that the op names itself, and those that it would take as
/// an adapter of another kind. Each is told by the launch that does the most.
pub(super) fn others(op: &dyn Op, at: &Lowering<'_>, taken: &Lowered, kinds: &[Caps]) -> Vec<Variant> {
    let most = |lowered: &Lowered| main(&lowered.launches).map(|i| Variant::from(&lowered.launches[i]));
    let Some(taken) = most(taken).filter(|_| taken.launches.len() <= MANY) else { return vec![] };
    let lowered = |caps| op.lower(&Lowering { caps, ..*at }).ok().and_then(|lowered| most(&lowered));
    let mut found: Vec<Variant> = vec![];
    let own = op.others(at).into_iter().map(|spec| Variant::from(&spec));
    for other in own.chain(kinds.iter().filter_map(lowered)) {
        if ![&taken].into_iter().chain(&found).any(|known| known.same_kernel(&other)) {
            found.push(other);
        }
    }
    found
}
