//! Fourth pass: steps become launches. Each op picks its kernel variant for the adapter, and nodes become
//! places.

use super::{
    expr::{self, Expr},
    fuse::{Fused, Step},
    launch::{Buffer, Launch, Output, Place},
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
    kernel::{self, Shader, caps::Caps},
    ops::{
        cursor::{self, To},
        views::Pack,
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// The elementwise cluster kernel, whose functions epilogues borrow.
pub(crate) static ELEMENTWISE: Shader = crate::shader!("elementwise");
/// The largest number of constants that the `dims` of a fused kernel hold.
const MAX_CONSTANTS: usize = 32;
const WORKGROUP: usize = 256;

/// Where a stored node lies before slots are assigned.
#[derive(Clone, Copy, Debug)]
enum Memory {
    /// A range of a variable, an arena or an input.
    Known(Place),
    /// A range of the slot that the request gets.
    Request { index: usize, offset: u64, bytes: u64 },
}

/// One step's operands: where they lie, and when the step runs.
struct Placement<'a> {
    /// The op's name; empty for a cluster, which its functions name.
    name: &'a str,
    /// The node that is computed; errors name its line.
    node: NodeId,
    inputs: &'a [Memory],
    output: Memory,
    /// The position of the step in the schedule.
    now: usize,
}

/// What this pass makes: the parts of a plan that the graph does not have. `Plan` says what they are.
pub(super) struct Selection {
    pub(super) launches: Vec<Launch>,
    pub(super) slots: Vec<u64>,
    pub(super) inputs: Vec<(String, Type)>,
    pub(super) outputs: Vec<Output>,
    pub(super) live_minimum: u64,
}

/// A selection under construction.
struct Selector<'a> {
    graph: &'a Fused<'a>,
    caps: &'a Caps,
    /// Where each leaf and each stored node lies.
    memory: BTreeMap<NodeId, Memory>,
    requests: Vec<Request>,
    inputs: Vec<(String, Type)>,
    /// The names of the buffers that a shader's kernels write, by its stem.
    writable: BTreeMap<&'static str, BTreeSet<String>>,
    /// The launches, and the memory of their bindings.
    launches: Vec<(Launch, Vec<(&'static str, Memory)>)>,
}

/// Lowers the steps of a schedule.
pub(super) fn select(graph: &Fused<'_>, schedule: Schedule, caps: &Caps) -> Result<Selection> {
    let mut s = Selector {
        graph,
        caps,
        memory: BTreeMap::new(),
        requests: vec![],
        inputs: vec![],
        writable: BTreeMap::new(),
        launches: vec![],
    };
    s.place_leaves();
    let packed = s.place_results(&schedule);
    for (now, step) in schedule.steps.iter().enumerate() {
        s.lower(step, now, &schedule, &packed)?;
    }
    let end = schedule.steps.len();
    for &(leaf, value) in &schedule.copies {
        s.copy(s.memory[&value], s.memory[&leaf], value, end)?;
    }
    Ok(s.finish(end))
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
            self.memory
                .insert(id, Memory::Known(Place { buffer, offset: offset as u64, bytes: node.ty.bytes() }));
        }
    }

    /// Gives each step's result memory. Returns the inputs of packs, as (pack, position), that their
    /// producers write straight into the packed row.
    fn place_results(&mut self, schedule: &Schedule) -> BTreeSet<(NodeId, usize)> {
        for (now, step) in schedule.steps.iter().enumerate() {
            let root = step.root;
            if let Some(leaf) = schedule.in_place.get(&root) {
                self.memory.insert(root, self.memory[leaf]);
            } else if !self.memory.contains_key(&root) {
                let exclusive = self.pack_offsets(root).is_some();
                let memory = self.request(self.ty(root).bytes(), now, exclusive);
                self.memory.insert(root, memory);
            }
        }
        let mut packed = BTreeSet::new();
        for step in &schedule.steps {
            self.place_parts(step, schedule, &mut packed);
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

    fn pack_offsets(&self, id: NodeId) -> Option<Vec<usize>> {
        if let Class::Pack(offsets) = self.graph.class(id) { Some(offsets) } else { None }
    }

    /// Requests memory that is alive at this step at least.
    fn request(&mut self, bytes: u64, now: usize, exclusive: bool) -> Memory {
        self.requests.push(Request { bytes, first: now, last: now, exclusive });
        Memory::Request { index: self.requests.len() - 1, offset: 0, bytes }
    }

    /// Keeps memory alive at this step.
    fn touch(&mut self, memory: Memory, now: usize) {
        if let Memory::Request { index, .. } = memory {
            let request = &mut self.requests[index];
            (request.first, request.last) = (request.first.min(now), request.last.max(now));
        }
    }

    fn lower(
        &mut self,
        step: &Step,
        now: usize,
        schedule: &Schedule,
        packed: &BTreeSet<(NodeId, usize)>,
    ) -> Result<()> {
        let in_place = schedule.in_place.get(&step.root).copied();
        let output = self.memory[&step.root];
        let expr = step.expr.clone().map(|e| in_place.map_or(e.clone(), |leaf| e.in_place(leaf)));
        if let (Some(images), None) = (self.graph.placed(step.root), in_place) {
            self.copy(self.memory[&self.graph.storage(images)], output, step.root, now)?;
        }
        let Some(host) = step.host else {
            return self.cluster(step, output, now, &expr.expect("a step without host has an expression"));
        };
        let Origin::Op(op, ids) = &self.graph.recording.nodes[host].origin else {
            unreachable!("hosts are ops")
        };
        let inputs: Vec<Memory> = ids.iter().map(|&i| self.memory[&self.graph.storage(i)]).collect();
        let types: Vec<Type> = ids.iter().map(|&i| self.ty(i).clone()).collect();
        if let (Some(i), None) = (op.in_place(), in_place) {
            self.copy(inputs[i], output, host, now)?;
        }
        let at = Lowering {
            caps: self.caps,
            inputs: &types,
            output: self.ty(host),
            epilogue: expr.is_some(),
            halves: step.halves,
        };
        let mut lowered =
            op.lower(&at).map_err(|what| self.mistake(host, format!("{}: {what}", op.name())))?;
        if self.pack_offsets(host).is_some() {
            let mut position = 0..;
            lowered.launches.retain(|_| position.next().is_none_or(|i| !packed.contains(&(host, i))));
        }
        if let Some(to) = self.placing(step.root) {
            let placing = |launch: LaunchSpec| if launch.fused { to.placing(launch) } else { launch };
            lowered.launches = lowered.launches.into_iter().map(placing).collect();
        }
        let placement = Placement { name: op.name(), node: host, inputs: &inputs, output, now };
        self.emit(lowered, &placement, expr.as_ref())
    }

    /// Where a step places its rows, if it does.
    fn placing(&self, root: NodeId) -> Option<To> {
        let Class::Placed(_, one_channel) = self.graph.class(root) else { return None };
        let shape = &self.ty(root).shape;
        Some(To { kept: shape[2], channels: shape[3], one_channel })
    }

    /// An error at the user's line.
    fn mistake(&self, id: NodeId, what: String) -> Error {
        Error::Model { at: self.graph.recording.nodes[id].at.to_string(), what }
    }

    fn cluster(&mut self, step: &Step, output: Memory, now: usize, expr: &Expr) -> Result<()> {
        let node = self.graph.made(step.root);
        let numel = self.ty(node).shape.numel();
        let n4 = numel.div_ceil(4);
        let inputs: Vec<Memory> = step.flight.iter().map(|(_, step)| self.memory[step]).collect();
        let launch = match step.flight {
            Some((wave, _)) => cursor::cluster(wave, numel, self.placing(step.root)),
            None => LaunchSpec::new(&ELEMENTWISE, "elementwise", grid_1d(n4.div_ceil(WORKGROUP)))
                .constant("WORKGROUP", WORKGROUP as f64)
                .bind("y", Operand::Output)
                .dim("n4", n4)
                .fused(true)
                .why("elementwise cluster"),
        };
        let launch = launch.cost(expr.flops() * numel, 4 * (numel * (expr.loads.len() + 1)) as u64);
        self.emit(launch.into(), &Placement { name: "", node, inputs: &inputs, output, now }, Some(expr))
    }

    /// Turns what an op was lowered to into launches: operands become memory, and the marked launch takes the
    /// expression.
    fn emit(&mut self, lowered: Lowered, placement: &Placement<'_>, expr: Option<&Expr>) -> Result<()> {
        let &Placement { name, node, inputs, output, now } = placement;
        if expr.is_some_and(|e| e.constants() > MAX_CONSTANTS) {
            let what = format!("an elementwise expression uses more than {MAX_CONSTANTS} constants");
            return Err(self.mistake(node, what));
        }
        let scratch: Vec<Memory> = lowered.scratch.iter().map(|&n| self.request(n, now, false)).collect();
        let memory = |operand: Operand| match operand {
            Operand::Input(i) => inputs[i],
            Operand::Output => output,
            Operand::Scratch(i) => scratch[i],
        };
        for spec in lowered.launches {
            let expr = expr.filter(|_| spec.fused);
            let y = expr::output(&spec);
            let spec = match expr {
                Some(expr) => expr.dims(spec),
                None => spec,
            };
            let own = spec.bindings.iter().map(|&(name, operand)| (name, memory(operand)));
            let bindings: Vec<_> = own.chain(expr.map(|e| self.loads(e)).unwrap_or_default()).collect();
            bindings.iter().for_each(|&(_, memory)| self.touch(memory, now));
            let writes = self.written(&spec);
            let launch = Launch {
                label: label(name, expr),
                shader: spec.shader,
                function: expr.map(|e| function(e, spec.shader, y)),
                in_words: self.caps.in_words(spec.shader),
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

    /// The bindings that a launch writes, which its shader says. A shader that is no WGSL writes its output
    /// alone; the device refuses it with naga's words.
    fn written(&mut self, spec: &LaunchSpec) -> Vec<&'static str> {
        let read = || kernel::writable(spec.shader.text).unwrap_or_default();
        let known = self.writable.entry(spec.shader.stem).or_insert_with(read);
        let writes = |&&(name, to): &&(&str, Operand)| {
            if known.is_empty() { to == Operand::Output } else { known.contains(name) }
        };
        spec.bindings.iter().filter(writes).map(|b| b.0).collect()
    }

    /// The bindings through which an expression reads stored nodes.
    fn loads(&self, expr: &Expr) -> Vec<(&'static str, Memory)> {
        let load = |k: usize| (expr.binding(k), self.memory[&expr.loads[k].node]);
        (0..expr.loads.len()).filter(|&k| !expr.loads[k].old).map(load).collect()
    }

    /// Copies memory that holds a value of the node's type.
    fn copy(&mut self, from: Memory, to: Memory, node: NodeId, now: usize) -> Result<()> {
        let ty = self.ty(node);
        // Words: bytes are packed four to one.
        let whole = Pack { offsets: vec![0], len: (ty.shape.numel() * ty.dtype.size()).div_ceil(4) };
        let at = Lowering {
            caps: self.caps,
            inputs: std::slice::from_ref(ty),
            output: ty,
            epilogue: false,
            halves: false,
        };
        let lowered = whole.lower(&at).map_err(Error::State)?;
        self.emit(lowered, &Placement { name: "copy", node, inputs: &[from], output: to, now }, None)
    }

    fn finish(mut self, end: usize) -> Selection {
        let recording = self.graph.recording;
        for &(_, id) in &recording.outputs {
            self.touch(self.memory[&self.graph.storage(id)], end);
        }
        self.requests.iter_mut().filter(|r| r.exclusive).for_each(|r| (r.first, r.last) = (0, end));
        let used: Vec<usize> = (0..self.requests.len()).filter(|&i| self.requests[i].bytes > 0).collect();
        let requests: Vec<Request> = used.iter().map(|&i| self.requests[i].clone()).collect();
        let assignment = memory::assign(&requests);
        let slot_of: BTreeMap<usize, usize> = used.into_iter().zip(assignment.slot_of).collect();
        let place = |memory: Memory| match memory {
            Memory::Known(place) => place,
            Memory::Request { index, offset, bytes } => {
                Place { buffer: Buffer::Slot(slot_of[&index]), offset, bytes }
            }
        };
        let outputs = recording.outputs.iter().map(|(name, id)| {
            let place = place(self.memory[&self.graph.storage(*id)]);
            Output { name: name.clone(), ty: recording.nodes[*id].ty.clone(), place }
        });
        let outputs = outputs.collect();
        let launches = self.launches.into_iter().map(|(launch, bindings)| {
            let bindings = bindings.into_iter().map(|(name, memory)| (name, place(memory))).collect();
            Launch { bindings, ..launch }
        });
        Selection {
            launches: launches.collect(),
            slots: assignment.slots,
            inputs: self.inputs,
            outputs,
            live_minimum: memory::live_minimum(&requests),
        }
    }
}

/// The name of a launch: its op and epilogue, or the cluster's functions.
fn label(name: &str, expr: Option<&Expr>) -> String {
    match expr {
        Some(expr) if name.is_empty() => expr.label(),
        Some(expr) => format!("{name} → {}", expr.label()),
        None => name.into(),
    }
}

/// The text of the shader's marked function; other shaders than the cluster's borrow the functions that it
/// calls. `y` is the output's binding.
fn function(expr: &Expr, shader: &Shader, y: &str) -> String {
    expr.wgsl((shader.stem != ELEMENTWISE.stem).then_some(ELEMENTWISE.text), y)
}
