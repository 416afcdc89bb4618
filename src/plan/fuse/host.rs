//! Opaque ops as hosts of clusters: a cluster becomes the epilogue of the op that feeds it, or the prologue of the
//! one that reads it.

use super::{Fused, Step};
use crate::{
    graph::{
        NodeId,
        op::{Class, Strided},
    },
    plan::expr::{Access, Expr},
};
use std::collections::BTreeSet;

/// The largest number of inputs that an epilogue reads beside its host's result.
const MAX_EXTRA: usize = 3;

impl Fused<'_> {
    /// Lets hosts take the clusters that they feed.
    pub(super) fn take_epilogues(&self, steps: &mut Vec<Step>) {
        for step in steps.iter_mut() {
            if let Some(host) = self.epilogue_host(step) {
                let expr = step.expr.take();
                let halves = expr.as_ref().and_then(|e| self.halves(e, host, step.root));
                step.halves = halves.is_some();
                step.expr = expr.map(|e| match &halves {
                    Some(halves) => e.with_halves(host, halves),
                    None => e.with_value(host),
                });
                step.host = Some(host);
            }
        }
        let hosted: BTreeSet<NodeId> =
            steps.iter().filter(|s| s.expr.is_some()).filter_map(|s| s.host).collect();
        steps.retain(|s| s.expr.is_some() || !hosted.contains(&s.root));
    }

    /// Lets hosts make what they read by the clusters that nothing else reads.
    pub(super) fn take_prologues(&self, steps: &mut Vec<Step>) {
        let mut taken = BTreeSet::new();
        for i in 0..steps.len() {
            let Some((host, made)) = self.prologue(&steps[i]) else { continue };
            let alone = |s: &&Step| s.root == made && s.host.is_none() && s.flight.is_none();
            let expr = steps.iter().find(alone).and_then(|s| s.expr.clone());
            if expr.is_some() && self.readers(made) == [host] && !self.kept(made) {
                taken.insert(made);
                (steps[i].expr, steps[i].prologue) = (expr, true);
            }
        }
        steps.retain(|s| !taken.contains(&s.root));
    }

    /// The host of a step, and the node that it reads, if a cluster may make that where it is read.
    fn prologue(&self, step: &Step) -> Option<(NodeId, NodeId)> {
        let host = step.host.filter(|_| step.expr.is_none())?;
        let types: Vec<_> = self.inputs(host).iter().map(|&i| self.recording.nodes[i].ty.clone()).collect();
        let &[input] = self.inputs(host) else { return None };
        let made = self.storage(input);
        let cluster = matches!(self.class(made), Class::Elementwise(_));
        (cluster && self.op(host)?.accepts_prologue(&types)).then_some((host, made))
    }

    /// The cluster's last opaque input that can take the cluster as its epilogue.
    fn epilogue_host(&self, step: &Step) -> Option<NodeId> {
        let expr = step.expr.as_ref().filter(|_| step.host.is_none())?;
        let made = self.made(step.root);
        let fits = |&node: &NodeId| {
            let Some(op) = self.op(node) else { return false };
            let types: Vec<_> =
                self.inputs(node).iter().map(|&i| self.recording.nodes[i].ty.clone()).collect();
            let whole = expr.loads.iter().filter(|l| l.node == node).all(|l| l.access == Access::Same)
                && self.numel(node) == self.numel(made)
                && self.readers(node).iter().all(|&u| self.inlined[u].unwrap_or(u) == step.root);
            let others = expr.loads.iter().filter(|l| l.node != node).count();
            (whole || self.halves(expr, node, step.root).is_some())
                && others <= MAX_EXTRA
                && !self.kept(node)
                && self.flies_with(node, step)
                && op.accepts_epilogue(&types, &self.recording.nodes[node].ty)
        };
        expr.loads.iter().map(|l| l.node).filter(fits).max()
    }

    /// Whether a host can look at images and place rows as a step does. It writes no images that it reads, and
    /// whole pixels alone.
    fn flies_with(&self, host: NodeId, step: &Step) -> bool {
        let Some(flight) = step.flight else { return true };
        let reads = self.inputs(host).iter().map(|&i| self.storage(i));
        let reads: Vec<_> =
            reads.chain(step.expr.iter().flat_map(|e| e.loads.iter().map(|l| l.node))).collect();
        let apart = |images: NodeId| {
            let images = self.storage(images);
            !reads.iter().any(|&read| self.recording.same_buffer(read, images))
        };
        self.op(host).is_some_and(|op| op.wave().is_some())
            && self.flight(host) == Some(flight)
            && !matches!(self.class(step.root), Class::Placed(_, true))
            && self.placed(step.root).is_none_or(apart)
    }

    /// How a root's cluster reads the two halves of a host's columns, if it reads just these, nothing else does,
    /// and the host can combine them.
    fn halves(&self, expr: &Expr, host: NodeId, root: NodeId) -> Option<[Access; 2]> {
        self.op(host)?.wave()?;
        let &[rows, columns] = &self.recording.nodes[host].ty.shape[..] else { return None };
        let made = [rows, columns / 2].into();
        let half = |offset| Access::view(&made, &Strided { stride: vec![columns, 1], offset });
        let halves = [half(0)?, half(columns / 2)?];
        let read: Vec<_> = expr.loads.iter().filter(|l| l.node == host).map(|l| &l.access).collect();
        let both = columns % 8 == 0 && read.len() == 2 && halves.iter().all(|half| read.contains(&half));
        let alone = self.readers(host).iter().all(|&view| {
            let inside = |&u: &NodeId| self.inlined[u].unwrap_or(u) == root;
            matches!(self.class(view), Class::Strided(_))
                && !self.stored[view]
                && self.readers(view).iter().all(inside)
        });
        (both && alone).then_some(halves)
    }
}
