//! The graph: an append-only list of single-output nodes with static shapes, built by calling methods
//! on `Copy` handles. Errors are deferred as WebGPU's encoders defer them: the first bad op poisons the
//! graph with the user's file and line, and `Plan::new` returns it.

pub mod autodiff;
pub mod op;
pub mod reference;
pub mod shape;
pub mod share;
pub mod var;
mod variables;
pub mod wave;
pub mod window;

use crate::{
    error::{Error, Result},
    graph::{
        op::{Class, Op},
        shape::{Shape, Type},
        share::Share,
        var::{Arena, VarSpec},
    },
    rng::RandomStream,
};
use std::{
    cell::{Cell, Ref, RefCell},
    collections::BTreeSet,
    fmt,
    panic::Location,
    sync::Arc,
};

/// The position of a node in its graph.
pub type NodeId = usize;

/// Where a node's value comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// The value is an op's result on earlier nodes.
    Op(Arc<dyn Op>, Vec<NodeId>),
    /// The value persists in the State; the index is into [`Recording::vars`].
    Var(usize),
    /// The value is all rows of an optimizer group's arena; the index is into [`Recording::arenas`].
    Arena(usize),
    /// The value lies in a buffer that the host binds by this name.
    Input(String),
    /// There is no value, since the user made a mistake; such a graph is never planned.
    Poison,
}

/// One value of a graph.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where the value comes from.
    pub origin: Origin,
    /// The value's shape and element type.
    pub ty: Type,
    /// The user's line that recorded the node.
    pub at: &'static Location<'static>,
}

/// What a graph holds. Autodiff, the reference evaluator and the planner read it.
#[derive(Default, Debug, Clone)]
pub struct Recording {
    /// The nodes in topological order.
    pub nodes: Vec<Node>,
    /// The persistent values.
    pub vars: Vec<VarSpec>,
    /// The optimizer groups.
    pub arenas: Vec<Arena>,
    /// The results by their names.
    pub outputs: Vec<(String, NodeId)>,
    /// Pairs of a leaf and its new value, which is visible after the step.
    pub assigns: Vec<(NodeId, NodeId)>,
    pub(crate) error: Option<Error>,
    pub(crate) counter: Option<String>,
    pub(crate) streams: BTreeSet<String>,
    pub(crate) layers: BTreeSet<String>,
    /// The line of the first optimizer, unless another graph of the State advances the counter.
    pub(crate) trained: Option<&'static Location<'static>>,
    pub(crate) counted_elsewhere: bool,
    pub(crate) bound: BTreeSet<String>,
}

impl Recording {
    /// The node in whose memory this one lies: an alias, such as a reshape, lies in its input's.
    pub fn storage(&self, mut id: NodeId) -> NodeId {
        while let Origin::Op(op, inputs) = &self.nodes[id].origin
            && matches!(op.class(), Class::Alias)
        {
            id = inputs[0];
        }
        id
    }

    /// The nodes that outputs and assigns depend on, in order.
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

    /// The arena that a leaf lies in, if any.
    fn arena_of(&self, leaf: NodeId) -> Option<usize> {
        match self.nodes[leaf].origin {
            Origin::Var(v) => self.vars[v].home.map(|home| home.arena),
            Origin::Arena(a) => Some(a),
            _ => None,
        }
    }

    /// Whether two leaves lie in one buffer. Usage is tracked per buffer, so no launch may read one and write
    /// the other.
    pub fn same_buffer(&self, a: NodeId, b: NodeId) -> bool {
        let same_var = matches!((&self.nodes[a].origin, &self.nodes[b].origin), (Origin::Var(v), Origin::Var(w)) if v == w);
        same_var || self.arena_of(a).is_some_and(|arena| self.arena_of(b) == Some(arena))
    }

    /// Whether two leaves share elements, being one variable, or a member and its whole arena.
    pub fn overlap(&self, a: NodeId, b: NodeId) -> bool {
        let distinct = matches!((&self.nodes[a].origin, &self.nodes[b].origin), (Origin::Var(v), Origin::Var(w)) if v != w);
        !distinct && self.same_buffer(a, b)
    }
}

/// A graph under construction. It is not `Sync`, since one thread records a model.
#[derive(Default)]
pub struct Graph {
    recording: RefCell<Recording>,
    /// The line that all nodes and mistakes name, within [`Graph::traced`].
    caller: Cell<Option<&'static Location<'static>>>,
    /// Whether layers may have names that are taken, within [`Graph::sharing`].
    shares: Cell<bool>,
    /// The rank that runs the graph, of those that share the training.
    share: Share,
    /// Whether batch normalisation takes the rank's own rows alone.
    local: bool,
}

/// A handle of a node. It is `Copy`, so that `a * b + c` needs neither clones nor `?`.
#[derive(Clone, Copy)]
pub struct Tensor<'g> {
    graph: &'g Graph,
    id: NodeId,
}

impl Graph {
    /// Makes an empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an empty graph of a rank that shares a training with others. All of them record the same model, each
    /// over its rows of the batch. Random draws go by the elements of the whole batch, whose rows are the first
    /// axis, and so do the statistics of batch normalisation; optimizers follow the mean of all ranks' gradients.
    #[track_caller]
    pub fn shared(share: Share) -> Self {
        let this = Self { share, ..Self::default() };
        if share.rank >= share.size {
            this.poison(format!("there is no rank {} of {}; ranks count from 0", share.rank, share.size));
        }
        this
    }

    /// Makes batch normalisation take the statistics of the rank's own rows, without exchanges. Running statistics
    /// then follow each rank's own rows, too.
    #[must_use]
    pub fn with_local_batch_norm(self) -> Self {
        Self { local: true, ..self }
    }

    /// The rank that runs the graph.
    pub fn share(&self) -> Share {
        self.share
    }

    /// The share of the rows that batch normalisation looks at.
    pub(crate) fn statistics(&self) -> Share {
        if self.local { Share::default() } else { self.share }
    }

    /// The recording so far.
    pub fn recording(&self) -> Ref<'_, Recording> {
        self.recording.borrow()
    }

    /// Returns the user's first mistake, if there was one.
    pub fn check(&self) -> Result<()> {
        self.recording.borrow().error.clone().map_or(Ok(()), Err)
    }

    /// Returns the first mistake, or that the graph trains but does not advance its step counter.
    pub(crate) fn check_whole(&self) -> Result<()> {
        self.check()?;
        let recording = self.recording.borrow();
        let counter = recording.counter.as_deref().unwrap_or("step");
        let advances = recording.assigns.iter().any(
            |&(leaf, _)| matches!(recording.nodes[leaf].origin, Origin::Var(v) if recording.vars[v].name == counter),
        );
        match recording.trained.filter(|_| !advances && !recording.counted_elsewhere) {
            Some(at) => Err(Error::Model {
                at: at.to_string(),
                what: format!(
                    "the graph trains, but its step counter `{counter}` stands still, so that every step draws \
                     the same; call \
                     `optim::advance`, or `Graph::counted_elsewhere` where another graph of the State advances it"
                ),
            }),
            None => Ok(()),
        }
    }

    /// Says that an optimizer's step was recorded at the caller's line.
    #[track_caller]
    pub(crate) fn trains(&self) {
        let at = self.here();
        self.recording.borrow_mut().trained.get_or_insert(at);
    }

    /// Says that another graph of the State advances the step counter, so that this one may train without.
    pub fn counted_elsewhere(&self) {
        self.recording.borrow_mut().counted_elsewhere = true;
    }

    /// Runs `record`; all nodes and mistakes within it name the line that calls this function. Layers and
    /// models need it where they record within closures, at which `#[track_caller]` ends.
    #[track_caller]
    pub fn traced<T>(&self, record: impl FnOnce() -> T) -> T {
        let outer = self.caller.replace(Some(self.here()));
        let recorded = record();
        self.caller.set(outer);
        recorded
    }

    /// The user's line that nodes and mistakes name now.
    #[track_caller]
    fn here(&self) -> &'static Location<'static> {
        self.caller.get().unwrap_or(Location::caller())
    }

    fn push(&self, origin: Origin, ty: Type, at: &'static Location<'static>) -> Tensor<'_> {
        let mut recording = self.recording.borrow_mut();
        recording.nodes.push(Node { origin, ty, at });
        Tensor { graph: self, id: recording.nodes.len() - 1 }
    }

    /// Poisons the graph with an error at the caller's line. Later errors are consequences of the first one
    /// and are dropped.
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

    /// Does what [`Graph::apply`] does with an op that another graph holds too.
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
        let inferred = op.infer(&types).and_then(|ty| match ty.shape.fault() {
            Some(fault) => Err(format!("the result {ty:?} {fault}")),
            None => Ok(ty),
        });
        match inferred {
            Ok(ty) => self.push(Origin::Op(op.clone(), inputs.iter().map(|t| t.id).collect()), ty, at),
            Err(what) => self.poison(format!("{}: {what}", op.name())),
        }
    }

    /// Declares an input: a buffer that the host binds or writes before the step runs. An equal name and type
    /// declare one input.
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
            None => match ty.shape.fault() {
                Some(fault) => self.poison(format!("input `{name}` {ty:?} {fault}")),
                None => self.push(Origin::Input(name.into()), ty, self.here()),
            },
        }
    }

    /// Reserves a random stream's name; a second use poisons the graph, since draws would repeat.
    #[track_caller]
    pub(crate) fn claim_stream(&self, name: &str) {
        if !self.recording.borrow_mut().streams.insert(name.into()) {
            self.poison(format!("random stream `{name}` is used twice; give each draw a name of its own"));
        }
    }

    /// The random stream of this name, of which the graph's rank draws its elements.
    pub(crate) fn stream(&self, name: &str) -> RandomStream {
        RandomStream { rank: self.share.rank, ..RandomStream::new(name) }
    }

    /// Reserves a layer's name; a second use poisons the graph, unless sharing is asked for.
    #[track_caller]
    pub(crate) fn claim_layer(&self, name: &str) {
        if !self.recording.borrow_mut().layers.insert(name.into()) && !self.shares.get() {
            self.poison(format!(
                "layer `{name}` is declared twice; give each a name of its own, or ask for sharing by `Graph::sharing`"
            ));
        }
    }

    /// Runs `record`, in which layers and models may have names that others of the graph have. Layers of one
    /// name share their variables, where these have one type.
    pub fn sharing<T>(&self, record: impl FnOnce() -> T) -> T {
        let outer = self.shares.replace(true);
        let recorded = record();
        self.shares.set(outer);
        recorded
    }

    /// Makes the stream an input of the same name instead of a draw, so that a test can give recorded noise.
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
    #[track_caller]
    pub fn tensor(&self, id: NodeId) -> Tensor<'_> {
        let known = id < self.recording.borrow().nodes.len();
        if known { Tensor { graph: self, id } } else { self.poison(format!("there is no node {id}")) }
    }
}

/// Arena members start at multiples of this many elements: 256 bytes, WebGPU's binding alignment.
pub const ALIGN: usize = 64;

impl<'g> Tensor<'g> {
    /// The graph that the tensor belongs to.
    pub fn graph(self) -> &'g Graph {
        self.graph
    }

    /// The position of its node.
    pub fn id(self) -> NodeId {
        self.id
    }

    /// The variable's or input's name, if the tensor is one.
    pub fn name(self) -> Option<String> {
        let recording = self.graph.recording.borrow();
        match &recording.nodes[self.id].origin {
            Origin::Var(v) => Some(recording.vars[*v].name.clone()),
            Origin::Input(name) => Some(name.clone()),
            _ => None,
        }
    }

    /// The shape and element type.
    pub fn ty(self) -> Type {
        self.graph.recording.borrow().nodes[self.id].ty.clone()
    }

    /// The extents; a tensor that a mistake left without a value has none.
    pub fn shape(self) -> Shape {
        self.ty().shape
    }

    /// The extent of one axis, or 1 where the tensor has no such axis, so that a model goes on recording
    /// after a mistake.
    pub fn extent(self, axis: usize) -> usize {
        self.shape().get(axis).copied().unwrap_or(1)
    }
}

impl fmt::Debug for Tensor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}{:?}", self.id, self.ty())
    }
}
