//! Small clusters that read another one compute it again, so that they need not wait for it: a launch costs more than
//! the few numbers do.

use super::{Fused, MAX_CALLS, MAX_LOADS, Step};
use crate::{graph::NodeId, plan::expr::Expr};
use std::collections::{BTreeMap, BTreeSet};

/// The most elements of a cluster that is computed again.
const SMALL: usize = 4_096;
/// The most functions of a cluster that is computed again.
const FEW: usize = 4;

impl Fused<'_> {
    /// Lets small clusters compute again what they read of each other, and drops those that nothing reads any more.
    pub(super) fn compute_again(&self, steps: &mut Vec<Step>) {
        let places: BTreeMap<NodeId, usize> = steps.iter().enumerate().map(|(i, s)| (s.root, i)).collect();
        let mut spared = BTreeSet::new();
        for i in 0..steps.len() {
            while let Some((source, expr)) = self.again(&steps[i], |id| Some(&steps[*places.get(&id)?])) {
                steps[i].expr = Some(expr);
                spared.insert(source);
            }
        }
        let read: BTreeSet<NodeId> = steps.iter().flat_map(|s| s.reads(self)).collect();
        steps.retain(|s| !spared.contains(&s.root) || read.contains(&s.root));
    }

    /// A cluster that a step reads, and the step's expression without that.
    fn again<'s>(&self, step: &Step, of: impl Fn(NodeId) -> Option<&'s Step>) -> Option<(NodeId, Expr)> {
        let expr = self.small(step)?;
        expr.loads.iter().find_map(|load| {
            let source = of(load.node)?;
            let by = self.small(source).filter(|by| by.calls() <= FEW && !self.kept(source.root))?;
            let alike = self.numel(source.root) == self.numel(step.root);
            // What waits for its readers to be overwritten gets no new ones.
            let waits =
                |id| self.recording.assigns.iter().any(|&(leaf, _)| self.recording.same_buffer(id, leaf));
            let known = |id| expr.loads.iter().any(|l| l.node == id);
            let calm = by.loads.iter().all(|l| known(l.node) || !waits(l.node));
            let grown = (alike && calm).then(|| expr.with_computed(source.root, by))??;
            let room = grown.loads.len() <= MAX_LOADS && grown.calls() <= MAX_CALLS;
            room.then_some((source.root, grown))
        })
    }

    /// The expression of a small cluster without a host.
    fn small<'s>(&self, step: &'s Step) -> Option<&'s Expr> {
        let alone = step.host.is_none() && step.flight.is_none() && self.numel(step.root) <= SMALL;
        step.expr.as_ref().filter(|expr| alone && expr.calls() > 0)
    }
}
