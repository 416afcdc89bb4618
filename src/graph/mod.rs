//! The graph: an append-only list of single-output nodes with static shapes, built by calling methods
//! on `Copy` handles. Errors are deferred as WebGPU's encoders defer them: the first bad op poisons the
//! graph with the user's file and line, and `Plan::new` returns it.

pub mod autodiff;
pub mod op;
pub mod reference;
pub mod shape;
pub mod var;
mod variables;
pub mod window;

use crate::{
    error::{Error, Result},
    graph::{
        op::{Class, Op},
        shape::{Shape, Type},
        var::{Arena, VarSpec},
    },
};
use std::{
    cell::{Cell, Ref, RefCell},
    collections::BTreeSet,
    fmt,
    panic::Location,
    sync::Arc,
};

/// Position of a node in its graph.
pub type NodeId = usize;

/// Where a node's value comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// An op applied to earlier nodes.
    Op(Arc<dyn Op>, Vec<NodeId>),
    /// A persistent value of the State, by index into [`Recording::vars`].
    Var(usize),
    /// All rows of an optimizer group's arena, by index into [`Recording::arenas`].
    Arena(usize),
    /// A buffer that the host binds.
    Input(String),
    /// The result of a bad op; never planned.
    Poison,
}

/// One node.
#[derive(Clone, Debug)]
pub struct Node {
    /// How it is computed.
    pub origin: Origin,
    /// Its shape and element type.
    pub ty: Type,
    /// The user's line.
    pub at: &'static Location<'static>,
}

/// What a graph holds; read by autodiff, the reference evaluator and the planner.
#[derive(Default, Debug, Clone)]
pub struct Recording {
    /// Nodes in topological order.
    pub nodes: Vec<Node>,
    /// Persistent values.
    pub vars: Vec<VarSpec>,
    /// Optimizer groups.
    pub arenas: Vec<Arena>,
    /// Named results.
    pub outputs: Vec<(String, NodeId)>,
    /// (leaf, new value): visible after the step.
    pub assigns: Vec<(NodeId, NodeId)>,
    pub(crate) error: Option<Error>,
    pub(crate) counter: Option<String>,
    pub(crate) streams: BTreeSet<String>,
    pub(crate) bound: BTreeSet<String>,
}

impl Recording {
    /// The node in whose memory this one lies: reshapes alias their input.
    pub fn storage(&self, mut id: NodeId) -> NodeId {
        while let Origin::Op(op, inputs) = &self.nodes[id].origin
            && matches!(op.class(), Class::Alias)
        {
            id = inputs[0];
        }
        id
    }

    /// Nodes that outputs and assigns depend on, in order.
    pub fn needed(&self) -> Vec<NodeId> {
        let mut need = vec![false; self.nodes.len()];
        let ends = self.outputs.iter().map(|&(_, id)| id).chain(self.assigns.iter().map(|&(_, id)| id));
        ends.for_each(|id| need[id] = true);
        for id in (0..need.len()).rev() {
            if let (true, Origin::Op(_, inputs)) = (need[id], &self.nodes[id].origin) {
                inputs.iter().for_each(|&i| need[i] = true);
            }
        }
        (0..need.len()).filter(|&id| need[id]).collect()
    }

    /// The arena that a leaf lies in.
    fn arena_of(&self, leaf: NodeId) -> Option<usize> {
        match self.nodes[leaf].origin {
            Origin::Var(v) => self.vars[v].home.map(|home| home.arena),
            Origin::Arena(a) => Some(a),
            _ => None,
        }
    }

    /// Whether two leaves lie in one buffer: usage is tracked per buffer, so no launch may read one and write the other.
    pub fn same_buffer(&self, a: NodeId, b: NodeId) -> bool {
        let same_var = matches!((&self.nodes[a].origin, &self.nodes[b].origin), (Origin::Var(v), Origin::Var(w)) if v == w);
        same_var || self.arena_of(a).is_some_and(|arena| self.arena_of(b) == Some(arena))
    }

    /// Whether two leaves share elements: one variable, or a member and its whole arena.
    pub fn overlap(&self, a: NodeId, b: NodeId) -> bool {
        let distinct = matches!((&self.nodes[a].origin, &self.nodes[b].origin), (Origin::Var(v), Origin::Var(w)) if v != w);
        !distinct && self.same_buffer(a, b)
    }
}

/// A graph under construction. Not `Sync`: a model is recorded by one thread.
#[derive(Default)]
pub struct Graph {
    recording: RefCell<Recording>,
    /// The line that all nodes and mistakes name, within [`Graph::traced`].
    caller: Cell<Option<&'static Location<'static>>>,
}

/// A handle of a node: `Copy`, so that `a * b + c` needs neither clones nor `?`.
#[derive(Clone, Copy)]
pub struct Tensor<'g> {
    graph: &'g Graph,
    id: NodeId,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was recorded so far.
    pub fn recording(&self) -> Ref<'_, Recording> {
        self.recording.borrow()
    }

    /// The first error, if any op was given what it cannot take.
    pub fn check(&self) -> Result<()> {
        self.recording.borrow().error.clone().map_or(Ok(()), Err)
    }

    /// Runs `record`, whose nodes and mistakes all name the line that calls this. `#[track_caller]` ends at a closure; a
    /// layer or model that records within closures or folds names the user's line by this.
    #[track_caller]
    pub fn traced<T>(&self, record: impl FnOnce() -> T) -> T {
        let outer = self.caller.replace(Some(self.here()));
        let recorded = record();
        self.caller.set(outer);
        recorded
    }

    /// The user's line.
    #[track_caller]
    fn here(&self) -> &'static Location<'static> {
        self.caller.get().unwrap_or(Location::caller())
    }

    fn push(&self, origin: Origin, ty: Type, at: &'static Location<'static>) -> Tensor<'_> {
        let mut recording = self.recording.borrow_mut();
        recording.nodes.push(Node { origin, ty, at });
        Tensor { graph: self, id: recording.nodes.len() - 1 }
    }

    /// Poisons the graph with an error at the caller's line; later errors are its consequences and dropped.
    #[track_caller]
    pub fn poison(&self, what: impl Into<String>) -> Tensor<'_> {
        let at = self.here();
        let error = Error::Model { at: at.to_string(), what: what.into() };
        self.recording.borrow_mut().error.get_or_insert(error);
        self.push(Origin::Poison, Type::f32([]), at)
    }

    /// Applies an op to tensors of this graph.
    #[track_caller]
    pub fn apply<'g>(&'g self, op: impl Op, inputs: &[Tensor<'g>]) -> Tensor<'g> {
        self.apply_shared(Arc::new(op), inputs)
    }

    /// [`Graph::apply`] of an op that another graph holds too.
    #[track_caller]
    pub fn apply_shared<'g>(&'g self, op: Arc<dyn Op>, inputs: &[Tensor<'g>]) -> Tensor<'g> {
        let at = self.here();
        if inputs.iter().any(|t| !std::ptr::eq(t.graph, self)) {
            return self.poison(format!("{}: an input belongs to another graph", op.name()));
        }
        if inputs.iter().any(|t| matches!(self.recording.borrow().nodes[t.id].origin, Origin::Poison)) {
            return self.push(Origin::Poison, Type::f32([]), at);
        }
        let types: Vec<Type> = inputs.iter().map(|t| t.ty()).collect();
        match op.infer(&types) {
            Ok(ty) if ty.shape.contains(&0) => {
                self.poison(format!("{}: the result {ty:?} has no elements", op.name()))
            }
            Ok(ty) => self.push(Origin::Op(op.clone(), inputs.iter().map(|t| t.id).collect()), ty, at),
            Err(what) => self.poison(format!("{}: {what}", op.name())),
        }
    }

    /// A buffer that the host binds before the step runs.
    #[track_caller]
    pub fn input(&self, name: &str, ty: Type) -> Tensor<'_> {
        let found = self
            .recording
            .borrow()
            .nodes
            .iter()
            .position(|n| matches!(&n.origin, Origin::Input(i) if i == name));
        match found {
            Some(id) if self.recording.borrow().nodes[id].ty == ty => Tensor { graph: self, id },
            Some(_) => self.poison(format!("input `{name}` is declared twice with different types")),
            None if ty.shape.contains(&0) => self.poison(format!("input `{name}` {ty:?} has no elements")),
            None => self.push(Origin::Input(name.into()), ty, self.here()),
        }
    }

    /// Reserves a random stream's name; a second use poisons the graph, since draws would repeat.
    #[track_caller]
    pub(crate) fn claim_stream(&self, name: &str) {
        if !self.recording.borrow_mut().streams.insert(name.into()) {
            self.poison(format!("random stream `{name}` is used twice; give each draw a name of its own"));
        }
    }

    /// Makes the stream an input of the same name instead of a draw: for tests against recorded noise.
    pub fn bind_stream(&self, name: &str) {
        self.recording.borrow_mut().bound.insert(name.into());
    }

    /// Whether [`Graph::bind_stream`] was called for this stream.
    pub fn is_bound(&self, stream: &str) -> bool {
        self.recording.borrow().bound.contains(stream)
    }

    /// Names a result that the host can read after the step.
    #[track_caller]
    pub fn output(&self, name: &str, tensor: Tensor<'_>) {
        if !self.owns(tensor) {
            self.poison(format!("output `{name}` belongs to another graph"));
            return;
        }
        if self.recording.borrow().outputs.iter().any(|(n, _)| n == name) {
            self.poison(format!("output `{name}` is named twice"));
        }
        self.recording.borrow_mut().outputs.push((name.into(), tensor.id));
    }

    fn owns(&self, tensor: Tensor<'_>) -> bool {
        std::ptr::eq(tensor.graph, self)
    }

    /// The handle of a node by its position.
    pub fn tensor(&self, id: NodeId) -> Tensor<'_> {
        assert!(id < self.recording.borrow().nodes.len(), "no node {id}");
        Tensor { graph: self, id }
    }
}

/// Arena members start at multiples of this many elements: 256 bytes, WebGPU's binding alignment.
pub const ALIGN: usize = 64;

impl<'g> Tensor<'g> {
    /// The graph that the tensor belongs to.
    pub fn graph(self) -> &'g Graph {
        self.graph
    }

    /// Its node.
    pub fn id(self) -> NodeId {
        self.id
    }

    /// Shape and element type.
    pub fn ty(self) -> Type {
        self.graph.recording.borrow().nodes[self.id].ty.clone()
    }

    /// Extents; none where a mistake left no value.
    pub fn shape(self) -> Shape {
        self.ty().shape
    }

    /// The extent of one axis, 1 where the tensor has no such axis: a model that asks so goes on recording after a mistake.
    pub fn extent(self, axis: usize) -> usize {
        self.shape().get(axis).copied().unwrap_or(1)
    }
}

impl fmt::Debug for Tensor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}{:?}", self.id, self.ty())
    }
}
