//! Third pass: the steps get their order, and some of them may write straight into a variable. Reads see the
//! value before the step, so an in-place update waits for every reader of the old value. Where a reader needs
//! the new value first, the update goes to a slot and is copied at the end.

use super::{
    expr::{Access, Load},
    fuse::{Fused, Step},
};
use crate::graph::{NodeId, Origin, op::Class};
use std::collections::{BTreeMap, BTreeSet};

/// The steps in execution order, and what happens to variables.
pub(crate) struct Schedule {
    /// The steps in order.
    pub(crate) steps: Vec<Step>,
    /// The leaf into whose memory a step writes straight, by the step's root.
    pub(crate) in_place: BTreeMap<NodeId, NodeId>,
    /// Pairs of a leaf and the stored value that is copied into it after all steps.
    pub(crate) copies: Vec<(NodeId, NodeId)>,
}

/// Puts the steps in order.
pub(crate) fn schedule(graph: &Fused<'_>) -> Schedule {
    let mut steps = graph.steps();
    let producer: BTreeMap<NodeId, usize> = steps.iter().enumerate().map(|(i, s)| (s.root, i)).collect();
    let reads: Vec<Vec<NodeId>> = steps.iter().map(|s| s.reads(graph)).collect();
    let mut after: Vec<BTreeSet<usize>> =
        reads.iter().map(|r| r.iter().filter_map(|n| producer.get(n).copied()).collect()).collect();
    let mut in_place = BTreeMap::new();
    let mut copies = vec![];
    for &(leaf, value) in &graph.recording.assigns {
        let value = graph.storage(value);
        let readers: Vec<usize> = (0..steps.len())
            .filter(|&s| reads[s].iter().any(|&n| graph.recording.overlap(n, leaf)))
            .collect();
        let writer = producer.get(&value).copied().filter(|w| {
            let others_first = readers.iter().all(|&r| r == *w || !depends(&after, r, *w));
            let written_already = in_place.contains_key(&value);
            others_first && !written_already && updates_in_place(graph, &steps[*w], leaf, &reads[*w])
        });
        let Some(writer) = writer else {
            copies.push((leaf, value));
            continue;
        };
        after[writer].extend(readers.into_iter().filter(|&r| r != writer));
        in_place.insert(value, leaf);
    }
    let order = topological(&after);
    let mut taken: Vec<Option<Step>> = steps.drain(..).map(Some).collect();
    let steps = order.into_iter().filter_map(|i| taken[i].take()).collect();
    Schedule { steps, in_place, copies }
}

/// Whether the step, which reads these stored nodes, may write into the leaf's memory.
fn updates_in_place(graph: &Fused<'_>, step: &Step, leaf: NodeId, reads: &[NodeId]) -> bool {
    let shares = |node: NodeId| graph.recording.same_buffer(node, leaf);
    if let Some(images) = graph.placed(step.root) {
        let host = step.host.map_or(&[][..], |host| graph.inputs(host));
        let looked_at = |l: &Load| l.node == leaf && matches!(l.access, Access::Seen { .. });
        return graph.storage(images) == leaf
            && !host.iter().any(|&n| shares(graph.storage(n)))
            && step.expr.iter().flat_map(|e| &e.loads).all(|l| looked_at(l) || !shares(l.node));
    }
    match (step.host, &step.expr) {
        (Some(host), None) => {
            let Origin::Op(op, inputs) = &graph.recording.nodes[host].origin else { return false };
            let Some(updated) = op.in_place() else {
                return !matches!(op.class(), Class::Pack(_)) && !reads.iter().any(|&n| shares(n));
            };
            let mut others = inputs.iter().enumerate().filter(|&(i, _)| i != updated);
            graph.storage(inputs[updated]) == leaf && !others.any(|(_, &n)| shares(graph.storage(n)))
        }
        (Some(_), Some(_)) if step.prologue => !reads.iter().any(|&n| shares(n)),
        (None, Some(expr)) => {
            expr.loads.iter().all(|l| !shares(l.node) || (l.node == leaf && l.access == Access::Same))
        }
        _ => false,
    }
}

/// Whether step `a` runs after step `b` in any order that respects the dependencies.
fn depends(after: &[BTreeSet<usize>], a: usize, b: usize) -> bool {
    let mut seen = BTreeSet::from([a]);
    let mut stack = vec![a];
    while let Some(step) = stack.pop() {
        if step == b {
            return true;
        }
        stack.extend(after[step].iter().copied().filter(|&s| seen.insert(s)));
    }
    false
}

/// The order that is nearest to the recording's and respects the dependencies.
fn topological(after: &[BTreeSet<usize>]) -> Vec<usize> {
    let mut order = Vec::with_capacity(after.len());
    let mut done = vec![false; after.len()];
    while order.len() < after.len() {
        let ready = |&s: &usize| !done[s] && after[s].iter().all(|&d| done[d]);
        let next =
            (0..after.len()).find(ready).expect("dependencies form no cycle: each was checked when added");
        done[next] = true;
        order.push(next);
    }
    order
}
