//! Fourth pass: steps to launches. Each op picks its kernel variant for the adapter; nodes become places.

use super::{
    Buffer, Launch, Output, Place, Plan,
    expr::Expr,
    fuse::{Fused, Step},
    memory::{self, Request},
    schedule::Schedule,
};
use crate::{
    error::{Error, Result},
    graph::{
        NodeId, Origin,
        op::{Class, LaunchSpec, Lowered, Lowering, Op, Operand, grid_1d},
        shape::Type,
    },
    kernel::{Shader, caps::Caps},
    ops::views::Pack,
};
use std::{collections::BTreeMap, sync::Arc};

/// The elementwise cluster kernel, whose functions epilogues borrow.
pub(crate) static ELEMENTWISE: Shader = crate::shader!("elementwise");
/// Constants that the `dims` of a fused kernel holds.
const MAX_CONSTANTS: usize = 32;
const WORKGROUP: usize = 256;

/// Where a stored node lies before slots are assigned: a range of a variable, input or request.
#[derive(Clone, Copy, Debug)]
enum Home {
    Known(Place),
    Request { index: usize, offset: u64, bytes: u64 },
}

struct Selector<'a> {
    graph: &'a Fused<'a>,
    caps: &'a Caps,
    homes: BTreeMap<NodeId, Home>,
    requests: Vec<Request>,
    inputs: Vec<(String, Type)>,
    launches: Vec<(Launch, Vec<(&'static str, Home)>)>,
}

/// Lowers a schedule.
pub(crate) fn select(graph: &Fused<'_>, schedule: Schedule, caps: &Caps) -> Result<Plan> {
    let mut s =
        Selector { graph, caps, homes: BTreeMap::new(), requests: vec![], inputs: vec![], launches: vec![] };
    s.place_leaves();
    let packed = s.place_results(&schedule);
    for (now, step) in schedule.steps.iter().enumerate() {
        s.lower(step, now, &schedule, &packed)?;
    }
    let end = schedule.steps.len();
    for &(leaf, value) in &schedule.copies {
        s.copy(value, leaf, end)?;
    }
    s.finish(end)
}

impl Selector<'_> {
    fn ty(&self, id: NodeId) -> &Type {
        &self.graph.recording.nodes[id].ty
    }

    fn place_leaves(&mut self) {
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
            self.homes
                .insert(id, Home::Known(Place { buffer, offset: offset as u64, bytes: node.ty.bytes() }));
        }
    }

    /// Gives each step's result a home; returns the (pack, input position) pairs written directly by their producers.
    fn place_results(&mut self, schedule: &Schedule) -> BTreeMap<(NodeId, usize), ()> {
        let mut packed = BTreeMap::new();
        for (now, step) in schedule.steps.iter().enumerate() {
            if let Some(leaf) = schedule.in_place.get(&step.root) {
                self.homes.insert(step.root, self.homes[leaf]);
            } else if !self.homes.contains_key(&step.root) {
                let exclusive = self.pack_offsets(step.root).is_some();
                let bytes = self.ty(step.root).bytes();
                let index = self.request(bytes, now, exclusive);
                self.homes.insert(step.root, Home::Request { index, offset: 0, bytes });
            }
        }
        for step in &schedule.steps {
            self.place_parts(step, schedule, &mut packed);
        }
        packed
    }

    /// Producers of a packed row write their part of it themselves where nothing speaks against it: no
    /// launch may read one part and write another, since both are one buffer.
    fn place_parts(&mut self, step: &Step, schedule: &Schedule, packed: &mut BTreeMap<(NodeId, usize), ()>) {
        let (Some(offsets), Home::Request { index, .. }) =
            (self.pack_offsets(step.root), self.homes[&step.root])
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
            let Home::Request { index: old, offset: 0, .. } = self.homes[&part] else { continue };
            let reads = producer.reads(self.graph);
            let apart =
                !placed.iter().any(|q| reads.contains(&q.root) || q.reads(self.graph).contains(&part));
            if exact && once && apart && !self.requests[old].exclusive {
                self.requests[old].bytes = 0;
                self.homes.insert(part, Home::Request { index, offset: 4 * offsets[i] as u64, bytes });
                packed.insert((step.root, i), ());
                placed.push(producer);
            }
        }
    }

    fn pack_offsets(&self, id: NodeId) -> Option<Vec<usize>> {
        if let Class::Pack(offsets) = self.graph.class(id) { Some(offsets) } else { None }
    }

    fn request(&mut self, bytes: u64, now: usize, exclusive: bool) -> usize {
        self.requests.push(Request { bytes, first: now, last: now, exclusive });
        self.requests.len() - 1
    }

    fn touch(&mut self, home: Home, now: usize) {
        if let Home::Request { index, .. } = home {
            let request = &mut self.requests[index];
            (request.first, request.last) = (request.first.min(now), request.last.max(now));
        }
    }

    fn lower(
        &mut self,
        step: &Step,
        now: usize,
        schedule: &Schedule,
        packed: &BTreeMap<(NodeId, usize), ()>,
    ) -> Result<()> {
        let in_place = schedule.in_place.get(&step.root).copied();
        let output = self.homes[&step.root];
        let expr = step.expr.clone().map(|e| in_place.map_or(e.clone(), |leaf| e.in_place(leaf)));
        let Some(host) = step.host else {
            let expr = expr.expect("a step without host has an expression");
            return self.cluster(step, expr, output, now);
        };
        let Origin::Op(op, ids) = &self.graph.recording.nodes[host].origin else {
            unreachable!("hosts are ops")
        };
        let inputs: Vec<Home> = ids.iter().map(|&i| self.homes[&self.graph.storage(i)]).collect();
        let types: Vec<Type> = ids.iter().map(|&i| self.ty(i).clone()).collect();
        if let (Some(i), None) = (op.in_place(), in_place) {
            self.copy_home(inputs[i], output, self.ty(host).clone(), now, host)?;
        }
        let at =
            Lowering { caps: self.caps, inputs: &types, output: self.ty(host), epilogue: expr.is_some() };
        let mut lowered = op.lower(&at).map_err(|what| self.error(host, op, what))?;
        if self.pack_offsets(host).is_some() {
            let mut position = 0..;
            lowered.launches.retain(|_| position.next().is_none_or(|i| !packed.contains_key(&(host, i))));
        }
        self.emit(lowered, &inputs, output, now, op.name(), host, expr)
    }

    fn error(&self, id: NodeId, op: &Arc<dyn Op>, what: String) -> Error {
        Error::Model {
            at: self.graph.recording.nodes[id].at.to_string(),
            what: format!("{}: {what}", op.name()),
        }
    }

    fn cluster(&mut self, step: &Step, expr: Expr, output: Home, now: usize) -> Result<()> {
        let numel = self.ty(step.root).shape.numel();
        let n4 = numel.div_ceil(4);
        let bytes = 4 * (numel * (expr.loads.len() + 1)) as u64;
        let launch = LaunchSpec::new(&ELEMENTWISE, "elementwise", grid_1d(n4.div_ceil(WORKGROUP)))
            .constant("WORKGROUP", WORKGROUP as f64)
            .bind("y", Operand::Output)
            .dim("n4", n4)
            .cost(expr.flops() * numel, bytes)
            .fused(true)
            .why("elementwise cluster");
        self.emit(launch.into(), &[], output, now, "", step.root, Some(expr))
    }

    /// Turns specs into launches: operands to homes, the expression into the marked launch.
    #[allow(clippy::too_many_arguments, reason = "the parts of one step, known only here")]
    fn emit(
        &mut self,
        lowered: Lowered,
        inputs: &[Home],
        output: Home,
        now: usize,
        name: &str,
        node: NodeId,
        expr: Option<Expr>,
    ) -> Result<()> {
        let scratch: Vec<Home> = lowered
            .scratch
            .iter()
            .map(|&bytes| Home::Request { index: self.request(bytes, now, false), offset: 0, bytes })
            .collect();
        for mut spec in lowered.launches {
            let mut label = name.to_string();
            let mut function = None;
            let mut extra = vec![];
            if let (true, Some(expr)) = (spec.fused, &expr) {
                if expr.constants() > MAX_CONSTANTS {
                    let at = self.graph.recording.nodes[node].at.to_string();
                    return Err(Error::Model {
                        at,
                        what: format!("an elementwise expression uses more than {MAX_CONSTANTS} constants"),
                    });
                }
                let library = (spec.shader.stem != ELEMENTWISE.stem).then_some(ELEMENTWISE.text);
                function = Some(expr.wgsl(library));
                label = if name.is_empty() { expr.label() } else { format!("{name} → {}", expr.label()) };
                extra = (0..expr.loads.len())
                    .map(|k| (expr.binding(k), self.homes[&expr.loads[k].node]))
                    .collect();
                spec = expr.dims(spec);
            }
            let home = |operand: Operand| match operand {
                Operand::Input(i) => inputs[i],
                Operand::Output => output,
                Operand::Scratch(i) => scratch[i],
            };
            // A scratch buffer is written by one launch, as its `y`, and read by the next.
            let written = |&(name, o): &(&str, Operand)| {
                o == Operand::Output || (matches!(o, Operand::Scratch(_)) && name.starts_with('y'))
            };
            let writes = spec.bindings.iter().filter(|b| written(b)).map(|b| b.0).collect();
            let bindings: Vec<_> = spec.bindings.iter().map(|&(n, o)| (n, home(o))).chain(extra).collect();
            bindings.iter().for_each(|&(_, h)| self.touch(h, now));
            let launch = Launch {
                label,
                shader: spec.shader,
                function,
                entry: spec.entry,
                constants: spec.constants,
                bindings: vec![],
                writes,
                dims: spec.dims,
                grid: spec.grid,
                flops: spec.flops,
                bytes: spec.bytes,
                dtype: self.ty(node).dtype,
                why: spec.why,
                at: self.graph.recording.nodes[node].at.to_string(),
            };
            self.launches.push((launch, bindings));
        }
        Ok(())
    }

    /// Copies a stored value into a variable after all steps.
    fn copy(&mut self, value: NodeId, leaf: NodeId, now: usize) -> Result<()> {
        self.copy_home(self.homes[&value], self.homes[&leaf], self.ty(leaf).clone(), now, value)
    }

    fn copy_home(&mut self, from: Home, to: Home, ty: Type, now: usize, node: NodeId) -> Result<()> {
        // Words: bytes are packed four to one.
        let whole = Pack { offsets: vec![0], len: (ty.shape.numel() * ty.dtype.size()).div_ceil(4) };
        let at =
            Lowering { caps: self.caps, inputs: std::slice::from_ref(&ty), output: &ty, epilogue: false };
        let lowered = whole.lower(&at).map_err(Error::State)?;
        self.emit(lowered, &[from], to, now, "copy", node, None)
    }

    fn finish(mut self, end: usize) -> Result<Plan> {
        let recording = self.graph.recording;
        for &(_, id) in &recording.outputs {
            self.touch(self.homes[&self.graph.storage(id)], end);
        }
        self.requests.iter_mut().filter(|r| r.exclusive).for_each(|r| (r.first, r.last) = (0, end));
        let used: Vec<usize> = (0..self.requests.len()).filter(|&i| self.requests[i].bytes > 0).collect();
        let requests: Vec<Request> = used.iter().map(|&i| self.requests[i].clone()).collect();
        let assignment = memory::assign(&requests);
        let slot_of: BTreeMap<usize, usize> = used.into_iter().zip(assignment.slot_of).collect();
        let place = |home: Home| match home {
            Home::Known(place) => place,
            Home::Request { index, offset, bytes } => {
                Place { buffer: Buffer::Slot(slot_of[&index]), offset, bytes }
            }
        };
        let outputs = recording.outputs.iter().map(|(name, id)| {
            let place = place(self.homes[&self.graph.storage(*id)]);
            Output { name: name.clone(), ty: recording.nodes[*id].ty.clone(), place }
        });
        let outputs = outputs.collect();
        let launches = self.launches.into_iter().map(|(launch, homes)| {
            let bindings = homes.into_iter().map(|(name, home)| (name, place(home))).collect();
            Launch { bindings, ..launch }
        });
        Ok(Plan {
            launches: launches.collect(),
            slots: assignment.slots,
            vars: recording.vars.clone(),
            arenas: recording.arenas.clone(),
            inputs: self.inputs,
            outputs,
            live_minimum: memory::live_minimum(&requests),
        })
    }
}
