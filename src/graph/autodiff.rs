//! Reverse-mode differentiation as a graph transform: a backward walk that calls each op's `vjp`, which
//! appends ordinary nodes. The op set is closed under it, so second derivatives are the same walk again.

use crate::graph::{NodeId, Origin, Tensor};
use std::collections::HashMap;

/// The gradients of the sum of `output`'s elements with respect to each of `wrt`, each of its shape; zeros
/// where the output does not depend on it.
#[track_caller]
pub fn grad<'g>(output: Tensor<'g>, wrt: &[Tensor<'g>]) -> Vec<Tensor<'g>> {
    let graph = output.graph();
    vjp(output, graph.full(output.shape(), 1.0), wrt)
}

/// The vector-Jacobian product: the cotangents of `wrt`, each of its shape, for a cotangent of `output`, of
/// the output's.
#[track_caller]
pub fn vjp<'g>(output: Tensor<'g>, cotangent: Tensor<'g>, wrt: &[Tensor<'g>]) -> Vec<Tensor<'g>> {
    let graph = output.graph();
    if wrt.iter().chain([&cotangent]).any(|t| !std::ptr::eq(t.graph(), graph)) {
        return vec![graph.poison("gradient: a tensor belongs to another graph"); wrt.len()];
    }
    if cotangent.ty() != output.ty() {
        let what = format!("gradient: the cotangent is {:?}, the output {:?}", cotangent.ty(), output.ty());
        return vec![graph.poison(what); wrt.len()];
    }
    graph.traced(|| walk(output, cotangent, wrt))
}

/// The walk back from `output` to `wrt`.
fn walk<'g>(output: Tensor<'g>, cotangent: Tensor<'g>, wrt: &[Tensor<'g>]) -> Vec<Tensor<'g>> {
    let graph = output.graph();
    let on_path = reachable(output, wrt);
    let mut cotangents: HashMap<NodeId, Tensor<'g>> = HashMap::from([(output.id(), cotangent)]);
    for id in (0..=output.id()).rev().filter(|&id| on_path[id]) {
        let Some(&cotangent) = cotangents.get(&id) else { continue };
        let node = graph.recording().nodes[id].clone();
        let Origin::Op(op, inputs) = node.origin else { continue };
        let handles: Vec<_> = inputs.iter().map(|&i| graph.tensor(i)).collect();
        let parts = op.vjp(&handles, graph.tensor(id), cotangent);
        for (input, part) in inputs.into_iter().zip(parts) {
            let Some(part) = part.filter(|_| on_path[input]) else { continue };
            cotangents.entry(input).and_modify(|sum| *sum = *sum + part).or_insert(part);
        }
    }
    let zero = |t: &Tensor<'g>| graph.full(t.shape(), 0.0);
    wrt.iter().map(|t| cotangents.get(&t.id()).copied().unwrap_or_else(|| zero(t))).collect()
}

/// Tells of each node up to `output` whether it depends on one of `wrt`.
fn reachable(output: Tensor<'_>, wrt: &[Tensor<'_>]) -> Vec<bool> {
    let recording = output.graph().recording();
    let mut on_path = vec![false; output.id() + 1];
    for id in 0..=output.id() {
        on_path[id] = wrt.iter().any(|t| t.id() == id)
            || matches!(&recording.nodes[id].origin, Origin::Op(_, inputs) if inputs.iter().any(|&i| on_path[i]));
    }
    on_path
}
