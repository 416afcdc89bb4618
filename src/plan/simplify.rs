//! First pass: it keeps what outputs and assigns need, merges equal nodes, and sees through views that change
//! nothing.

use crate::{
    graph::{Node, NodeId, Origin, Recording, op::Class, shape::DType},
    ops::views::{Reading, View},
};
use std::{collections::HashMap, sync::Arc};

/// The recording without dead nodes and repeated subexpressions. Ops that print alike and have the same
/// inputs are one value; random draws print their stream's name, which is unique.
pub(crate) fn simplify(recording: &Recording) -> Recording {
    let mut out = Recording { nodes: vec![], ..recording.clone() };
    let mut new_id: HashMap<NodeId, NodeId> = HashMap::new();
    let mut seen: HashMap<(String, Vec<NodeId>), NodeId> = HashMap::new();
    for id in needed_with_leaves(recording) {
        let node = &recording.nodes[id];
        let target = match &node.origin {
            Origin::Op(op, inputs) => {
                let inputs: Vec<NodeId> = inputs.iter().map(|i| new_id[i]).collect();
                let same_shape = inputs.first().is_some_and(|&i| out.nodes[i].ty == node.ty);
                if matches!(op.class(), Class::Alias) && same_shape {
                    inputs[0]
                } else {
                    *seen.entry((format!("{op:?}"), inputs.clone())).or_insert_with(|| {
                        out.nodes.push(Node {
                            origin: Origin::Op(op.clone(), inputs),
                            ty: node.ty.clone(),
                            at: node.at,
                        });
                        out.nodes.len() - 1
                    })
                }
            }
            leaf => {
                out.nodes.push(Node { origin: leaf.clone(), ty: node.ty.clone(), at: node.at });
                out.nodes.len() - 1
            }
        };
        new_id.insert(id, target);
    }
    out.outputs.iter_mut().for_each(|(_, id)| *id = new_id[id]);
    out.assigns.iter_mut().for_each(|(leaf, value)| (*leaf, *value) = (new_id[leaf], new_id[value]));
    keep_old_values(&mut out);
    out
}

/// Copies outputs and new values that lie, perhaps reshaped, in a variable which the step assigns: they mean
/// its value before the step.
fn keep_old_values(out: &mut Recording) {
    let targets: Vec<NodeId> = out.assigns.iter().map(|&(leaf, _)| leaf).collect();
    let copied = |out: &mut Recording, id: NodeId| {
        let source = out.storage(id);
        let Node { ty, at, .. } = out.nodes[id].clone();
        if ty.dtype == DType::U8 || !targets.iter().any(|&target| out.same_buffer(source, target)) {
            return id;
        }
        let copy = View { from: ty.shape.clone(), reading: Reading::Broadcast(ty.shape.clone()) };
        out.nodes.push(Node { origin: Origin::Op(Arc::new(copy), vec![id]), ty, at });
        out.nodes.len() - 1
    };
    for i in 0..out.outputs.len() {
        out.outputs[i].1 = copied(out, out.outputs[i].1);
    }
    for i in 0..out.assigns.len() {
        out.assigns[i].1 = copied(out, out.assigns[i].1);
    }
}

/// The needed nodes and the targets of assigns, in order.
fn needed_with_leaves(recording: &Recording) -> Vec<NodeId> {
    let mut ids = recording.needed();
    ids.extend(recording.assigns.iter().map(|&(leaf, _)| leaf));
    ids.sort_unstable();
    ids.dedup();
    ids
}
