//! Fourth pass: steps become launches. Each op picks its kernel variant for the adapter, and nodes become
//! places.

mod join;
mod others;
mod place;

use super::{
    expr::{self, Expr},
    fuse::{Fused, Step},
    launch::{Buffer, Constant, Launch, Output, Place},
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
#[derive(Clone, Copy, Debug, PartialEq)]
enum Memory {
    /// A range of a variable, an arena or an input.
    Known(Place),
    /// A range of the slot that the request gets.
    Request { index: usize, offset: u64, bytes: u64 },
}

/// What a range of memory is part of: a buffer, or the slot that a request gets.
#[derive(PartialEq)]
enum Base {
    Buffer(Buffer),
    Request(usize),
}

impl Memory {
    fn base(&self) -> Base {
        match *self {
            Memory::Known(place) => Base::Buffer(place.buffer),
            Memory::Request { index, .. } => Base::Request(index),
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        let range = |m: &Self| match *m {
            Memory::Known(Place { offset, bytes, .. }) | Memory::Request { offset, bytes, .. } => {
                (offset, offset + bytes)
            }
        };
        let ((a, b), (c, d)) = (range(self), range(other));
        self.base() == other.base() && a < d && c < b
    }
}

/// A launch, and the memory of its bindings.
type Unplaced = (Launch, Vec<(&'static str, Memory)>);

/// One step's operands: where they lie.
struct Placement<'a> {
    /// The op's name; empty for a cluster, which its functions name.
    name: &'a str,
    /// The node that is computed; errors name its line.
    node: NodeId,
    inputs: &'a [Memory],
    output: Memory,
    /// Whether the expression makes what the op reads.
    prologue: bool,
}

/// What this pass makes: the parts of a plan that the graph does not have. `Plan` says what they are.
pub(super) struct Selection {
    pub(super) launches: Vec<Launch>,
    pub(super) slots: Vec<u64>,
    pub(super) constants: Vec<Constant>,
    pub(super) inputs: Vec<(String, Type)>,
    pub(super) outputs: Vec<Output>,
    pub(super) live_minimum: u64,
}

/// A selection under construction.
struct Selector<'a> {
    graph: &'a Fused<'a>,
    caps: &'a Caps,
    /// The adapter as others would be planned for.
    kinds: Vec<Caps>,
    /// Where each leaf and each stored node lies.
    memory: BTreeMap<NodeId, Memory>,
    /// The stored nodes that no launch makes: constants, and ranges of other nodes' memory.
    given: BTreeSet<NodeId>,
    /// The constants that launches read.
    constants: Vec<Constant>,
    requests: Vec<Request>,
    inputs: Vec<(String, Type)>,
    /// The names of the buffers that a shader's kernels write, by its stem.
    writable: BTreeMap<&'static str, BTreeSet<String>>,
    /// The launches, and the memory of their bindings.
    launches: Vec<Unplaced>,
}

/// Lowers the steps of a schedule.
pub(super) fn select(graph: &Fused<'_>, schedule: Schedule, caps: &Caps) -> Result<Selection> {
    let mut s = Selector {
        graph,
        caps,
        kinds: caps.others(),
        memory: BTreeMap::new(),
        given: BTreeSet::new(),
        constants: vec![],
        requests: vec![],
        inputs: vec![],
        writable: BTreeMap::new(),
        launches: vec![],
    };
    s.place_leaves();
    let packed = s.place_results(&schedule);
    for step in &schedule.steps {
        if !s.given.contains(&step.root) {
            s.lower(step, &schedule, &packed)?;
        }
    }
    for &(leaf, value) in &schedule.copies {
        s.copy(s.memory[&value], s.memory[&leaf], value)?;
    }
    s.join();
    Ok(s.finish())
}

impl Selector<'_> {
    fn ty(&self, id: NodeId) -> &Type {
        &self.graph.recording.nodes[id].ty
    }

    /// Requests memory, which is alive from the first launch that binds it to the last.
    fn request(&mut self, bytes: u64, exclusive: bool) -> Memory {
        self.requests.push(Request { bytes, first: usize::MAX, last: 0, exclusive });
        Memory::Request { index: self.requests.len() - 1, offset: 0, bytes }
    }

    /// Keeps memory alive at this launch.
    fn touch(&mut self, memory: Memory, now: usize) {
        if let Memory::Request { index, .. } = memory {
            let request = &mut self.requests[index];
            (request.first, request.last) = (request.first.min(now), request.last.max(now));
        }
    }

    fn lower(&mut self, step: &Step, schedule: &Schedule, packed: &BTreeSet<(NodeId, usize)>) -> Result<()> {
        let in_place = schedule.in_place.get(&step.root).copied();
        let output = self.memory[&step.root];
        let expr = step.expr.clone().map(|e| in_place.map_or(e.clone(), |leaf| e.in_place(leaf)));
        if let (Some(images), None) = (self.graph.placed(step.root), in_place) {
            self.copy(self.memory[&self.graph.storage(images)], output, step.root)?;
        }
        let Some(host) = step.host else {
            return self.cluster(step, output, &expr.expect("a step without host has an expression"));
        };
        let Origin::Op(op, ids) = &self.graph.recording.nodes[host].origin else {
            unreachable!("hosts are ops")
        };
        // What a prologue makes lies nowhere, and no launch binds it.
        let lies = |&i: &NodeId| self.memory.get(&self.graph.storage(i)).copied().unwrap_or(output);
        let inputs: Vec<Memory> = ids.iter().map(lies).collect();
        let types: Vec<Type> = ids.iter().map(|&i| self.ty(i).clone()).collect();
        if let (Some(i), None) = (op.in_place(), in_place) {
            self.copy(inputs[i], output, host)?;
        }
        let at = Lowering {
            caps: self.caps,
            inputs: &types,
            output: self.ty(host),
            epilogue: expr.is_some() && !step.prologue,
            prologue: step.prologue,
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
        if let (true, Some(expr)) = (step.prologue, &expr) {
            let numel = types[0].shape.numel();
            let more = |l: LaunchSpec| {
                let flops = l.flops as usize + expr.flops() * numel;
                let bytes = l.bytes + 4 * numel as u64 * (expr.loads.len() as u64).saturating_sub(1);
                if l.fused { l.cost(flops, bytes) } else { l }
            };
            lowered.launches = lowered.launches.into_iter().map(more).collect();
        }
        let placement =
            Placement { name: op.name(), node: host, inputs: &inputs, output, prologue: step.prologue };
        let others = others::others(&**op, &at, &lowered, &self.kinds);
        let main = others::main(&lowered.launches).map(|i| self.launches.len() + i);
        self.emit(lowered, &placement, expr.as_ref())?;
        if let Some(main) = main {
            self.launches[main].0.others = others;
        }
        Ok(())
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

    fn cluster(&mut self, step: &Step, output: Memory, expr: &Expr) -> Result<()> {
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
        self.emit(
            launch.into(),
            &Placement { name: "", node, inputs: &inputs, output, prologue: false },
            Some(expr),
        )
    }

    /// Turns what an op was lowered to into launches: operands become memory, and the marked launch takes the
    /// expression.
    fn emit(&mut self, lowered: Lowered, placement: &Placement<'_>, expr: Option<&Expr>) -> Result<()> {
        let &Placement { name, node, inputs, output, prologue } = placement;
        if expr.is_some_and(|e| e.constants() > MAX_CONSTANTS) {
            let what = format!("an elementwise expression uses more than {MAX_CONSTANTS} constants");
            return Err(self.mistake(node, what));
        }
        let scratch: Vec<Memory> = lowered.scratch.iter().map(|&n| self.request(n, false)).collect();
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
            let writes = self.written(&spec);
            let launch = Launch {
                label: label(name, expr, prologue),
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
                exchange: spec.merge.map(|merge| (merge, self.ty(node).shape.numel())),
                why: spec.why,
                others: vec![],
                parts: vec![],
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
    fn copy(&mut self, from: Memory, to: Memory, node: NodeId) -> Result<()> {
        let ty = self.ty(node);
        // Words: bytes are packed four to one.
        let whole = Pack { offsets: vec![0], len: (ty.shape.numel() * ty.dtype.size()).div_ceil(4) };
        let at = Lowering {
            caps: self.caps,
            inputs: std::slice::from_ref(ty),
            output: ty,
            epilogue: false,
            prologue: false,
            halves: false,
        };
        let lowered = whole.lower(&at).map_err(Error::State)?;
        self.emit(
            lowered,
            &Placement { name: "copy", node, inputs: &[from], output: to, prologue: false },
            None,
        )
    }

    fn finish(mut self) -> Selection {
        let (recording, end) = (self.graph.recording, self.launches.len());
        let used = self.launches.iter().enumerate();
        let used: Vec<_> = used.flat_map(|(i, l)| l.1.iter().map(move |b| (i, b.1))).collect();
        used.into_iter().for_each(|(i, memory)| self.touch(memory, i));
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
            constants: self.constants,
            inputs: self.inputs,
            outputs,
            live_minimum: memory::live_minimum(&requests),
        }
    }
}

/// The name of a launch: its op with epilogue or prologue, or the cluster's functions.
fn label(name: &str, expr: Option<&Expr>, prologue: bool) -> String {
    match expr {
        Some(expr) if name.is_empty() => expr.label(),
        Some(expr) if prologue => format!("{} → {name}", expr.label()),
        Some(expr) => format!("{name} → {}", expr.label()),
        None => name.into(),
    }
}

/// The text of the shader's marked function; other shaders than the cluster's borrow the functions that it
/// calls. `y` is the output's binding.
fn function(expr: &Expr, shader: &Shader, y: &str) -> String {
    expr.wgsl(ELEMENTWISE.text, shader.text, y)
}
