//! Where leaves and the results of steps lie before slots are assigned.

use super::{Memory, Schedule, Selector, Step};
use crate::{
    graph::{ALIGN, NodeId, Origin, op::Class},
    plan::{
        Constant,
        launch::{Buffer, Place},
    },
};
use std::collections::BTreeSet;

impl Selector<'_> {
    pub(super) fn place_leaves(&mut self) {
        for (id, node) in self.graph.recording.nodes.iter().enumerate() {
            let (buffer, offset) = match &node.origin {
                Origin::Var(v) => match self.graph.recording.vars[*v].home {
                    Some(home) => (
                        Buffer::Arena(home.arena),
                        4 * (home.row * self.graph.recording.arenas[home.arena].row_len + home.offset),
                    ),
                    None => (Buffer::Var(*v), 0),
                },
                Origin::Arena(a) => (Buffer::Arena(*a), 0),
                Origin::Input(name) => {
                    self.inputs.push((name.clone(), node.ty.clone()));
                    (Buffer::Input(self.inputs.len() - 1), 0)
                }
                _ => continue,
            };
            self.memory
                .insert(id, Memory::Known(Place { buffer, offset: offset as u64, bytes: node.ty.bytes() }));
        }
    }

    /// Gives each step's result memory. Returns the inputs of packs, as (pack, position), that their
    /// producers write straight into the packed row.
    pub(super) fn place_results(&mut self, schedule: &Schedule) -> BTreeSet<(NodeId, usize)> {
        for step in &schedule.steps {
            let root = step.root;
            if let Some(leaf) = schedule.in_place.get(&root) {
                self.memory.insert(root, self.memory[leaf]);
            } else if let Some(value) = self.graph.constant(root) {
                let memory = self.constant(value, self.ty(root).bytes());
                self.give(root, memory);
            } else if !self.memory.contains_key(&root) {
                let exclusive = self.pack_offsets(root).is_some();
                let memory = self.request(self.ty(root).bytes(), exclusive);
                self.memory.insert(root, memory);
            }
        }
        let mut packed = BTreeSet::new();
        for step in &schedule.steps {
            self.place_parts(step, schedule, &mut packed);
        }
        for step in &schedule.steps {
            self.place_range(step.root);
        }
        packed
    }

    /// Lets the producers of a packed row write their part of it themselves where nothing speaks against it.
    /// No launch may read one part and write another, since both lie in one buffer.
    fn place_parts(&mut self, step: &Step, schedule: &Schedule, packed: &mut BTreeSet<(NodeId, usize)>) {
        let (Some(offsets), Memory::Request { index, .. }) =
            (self.pack_offsets(step.root), self.memory[&step.root])
        else {
            return;
        };
        let parts: Vec<NodeId> =
            self.graph.inputs(step.root).iter().map(|&i| self.graph.storage(i)).collect();
        let mut placed: Vec<&Step> = vec![];
        for (i, &part) in parts.iter().enumerate() {
            let Some(producer) = schedule.steps.iter().find(|s| s.root == part) else { continue };
            let bytes = self.ty(part).bytes();
            let exact = (producer.host.is_some() && producer.expr.is_none())
                || self.ty(part).shape.numel().is_multiple_of(4);
            let once = parts.iter().filter(|&&p| p == part).count() == 1;
            let Memory::Request { index: old, offset: 0, .. } = self.memory[&part] else { continue };
            let reads = producer.reads(self.graph);
            let apart =
                !placed.iter().any(|q| reads.contains(&q.root) || q.reads(self.graph).contains(&part));
            if exact && once && apart && !self.requests[old].exclusive {
                self.requests[old].bytes = 0;
                self.memory.insert(part, Memory::Request { index, offset: 4 * offsets[i] as u64, bytes });
                packed.insert((step.root, i));
                placed.push(producer);
            }
        }
    }

    pub(super) fn pack_offsets(&self, id: NodeId) -> Option<Vec<usize>> {
        if let Class::Pack(offsets) = self.graph.class(id) { Some(offsets) } else { None }
    }

    /// A stored node lies in memory that is there without a launch of its own.
    fn give(&mut self, root: NodeId, memory: Memory) {
        self.memory.insert(root, memory);
        self.given.insert(root);
    }

    /// The memory of a constant, which lasts as long as the plan's executor.
    fn constant(&mut self, value: f32, bytes: u64) -> Memory {
        let known = self.constants.iter().position(|c| c.value.to_bits() == value.to_bits());
        let index = known.unwrap_or_else(|| {
            self.constants.push(Constant { value, bytes: 0 });
            self.constants.len() - 1
        });
        self.constants[index].bytes = self.constants[index].bytes.max(bytes);
        Memory::Known(Place { buffer: Buffer::Constant(index), offset: 0, bytes })
    }

    /// Lets a view of neighbouring elements lie where they lie, if bindings may begin there. Rows that producers
    /// fill in place are left alone, since other launches write to the same buffer.
    fn place_range(&mut self, root: NodeId) {
        let Class::Strided(view) = self.graph.class(root) else { return };
        let source = self.graph.storage(self.graph.inputs(root)[0]);
        let (Some(&Memory::Request { index, offset, .. }), Memory::Request { index: own, offset: 0, bytes }) =
            (self.memory.get(&source), self.memory[&root])
        else {
            return;
        };
        let shape = &self.ty(root).shape;
        let steps = shape.strides().into_iter().zip(&view.stride).zip(shape.iter());
        let neighbours = steps.clone().all(|((dense, &stride), &extent)| extent == 1 || dense == stride);
        let start = offset + 4 * view.offset as u64;
        let shared = self.requests[index].exclusive || self.requests[own].exclusive;
        if neighbours && start.is_multiple_of(4 * ALIGN as u64) && !shared {
            self.requests[own].bytes = 0;
            self.give(root, Memory::Request { index, offset: start, bytes });
        }
    }
}
