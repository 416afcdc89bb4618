//! The graph: an append-only list of single-output nodes with static shapes, built by calling methods
//! on `Copy` handles. Errors are deferred as WebGPU's encoders defer them: the first bad op poisons the
//! graph with the user's file and line, and `Plan::new` returns it.

pub mod autodiff;
pub mod op;
pub mod reference;
pub mod shape;
pub mod var;
pub mod window;

use crate::{
    error::{Error, Result},
    graph::{
        op::{Class, Op},
        shape::{Shape, Type},
        var::{Arena, Home, Init, Role, VarSpec, average},
    },
};
use std::{
    cell::{Ref, RefCell},
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

    fn push(&self, origin: Origin, ty: Type, at: &'static Location<'static>) -> Tensor<'_> {
        let mut recording = self.recording.borrow_mut();
        recording.nodes.push(Node { origin, ty, at });
        Tensor { graph: self, id: recording.nodes.len() - 1 }
    }

    /// Poisons the graph with an error at the caller's line; later errors are its consequences and dropped.
    #[track_caller]
    pub fn poison(&self, what: impl Into<String>) -> Tensor<'_> {
        let at = Location::caller();
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
        let at = Location::caller();
        if inputs.iter().any(|t| !std::ptr::eq(t.graph, self)) {
            return self.poison(format!("{}: an input belongs to another graph", op.name()));
        }
        if inputs.iter().any(|t| matches!(self.recording.borrow().nodes[t.id].origin, Origin::Poison)) {
            return self.push(Origin::Poison, Type::f32([]), at);
        }
        let types: Vec<Type> = inputs.iter().map(|t| t.ty()).collect();
        match op.infer(&types) {
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
            None => self.push(Origin::Input(name.into()), ty, Location::caller()),
        }
    }

    /// A persistent value that is no part of the model ([`Role::Working`]) unless an optimizer trains it.
    #[track_caller]
    pub fn var(&self, name: &str, ty: Type, init: Init) -> Tensor<'_> {
        self.declare(VarSpec::new(name, ty, init, Role::Working))
    }

    /// A parameter of the model ([`Role::Trained`]), whether this graph trains it or not.
    #[track_caller]
    pub fn param(&self, name: &str, ty: Type, init: Init) -> Tensor<'_> {
        self.declare(VarSpec::new(name, ty, init, Role::Trained))
    }

    /// A part of the model that no optimizer trains ([`Role::Buffer`]): running statistics.
    #[track_caller]
    pub fn buffer(&self, name: &str, ty: Type, init: Init) -> Tensor<'_> {
        self.declare(VarSpec::new(name, ty, init, Role::Buffer))
    }

    /// Gives a variable other first contents than its layer declared; norms of it follow.
    #[track_caller]
    pub fn initialise(&self, variable: Tensor<'_>, init: Init) {
        let source = self.owns(variable).then(|| self.recording.borrow().nodes[variable.id].origin.clone());
        let Some(Origin::Var(v)) = source else {
            self.poison("initialise: the tensor is not a variable of this graph");
            return;
        };
        let vars = &mut self.recording.borrow_mut().vars;
        let name = vars[v].name.clone();
        for var in vars.iter_mut() {
            if let Init::Norms { of, init: inner, .. } = &mut var.init
                && *of == name
            {
                **inner = init.clone();
            }
        }
        vars[v].init = init;
    }

    /// A persistent value by its whole declaration; an equal name and type declare one variable.
    #[track_caller]
    pub fn declare(&self, spec: VarSpec) -> Tensor<'_> {
        let (name, ty) = (spec.name.clone(), spec.ty.clone());
        let found = self.recording.borrow().vars.iter().position(|v| v.name == name);
        if let Some(index) = found {
            let recording = self.recording.borrow();
            if recording.vars[index].ty != ty {
                drop(recording);
                return self.poison(format!("variable `{name}` is declared twice with different types"));
            }
            let id = recording.nodes.iter().position(|n| matches!(n.origin, Origin::Var(i) if i == index));
            if let Some(id) = id {
                return Tensor { graph: self, id };
            }
        }
        let index = found.unwrap_or_else(|| {
            let mut recording = self.recording.borrow_mut();
            recording.vars.push(spec);
            recording.vars.len() - 1
        });
        self.push(Origin::Var(index), ty, Location::caller())
    }

    /// The step counter: a u32 variable that every random op mixes in and minibatches follow. It is
    /// advanced by the graph that calls `optim::advance`; [`Graph::count_by`] names another one.
    #[track_caller]
    pub fn step(&self) -> Tensor<'_> {
        let name = self.recording.borrow().counter.clone();
        let name = name.as_deref().unwrap_or("step");
        self.declare(VarSpec::new(name, Type::u32([1]), Init::Zeros, Role::Counter))
    }

    /// Makes this graph count its steps by a variable of its own: an evaluation beside a training run.
    pub fn count_by(&self, variable: &str) {
        self.recording.borrow_mut().counter = Some(variable.into());
    }

    /// The run's RNG key: a u32 pair set from the seed when the State is made.
    #[track_caller]
    pub fn seed(&self) -> Tensor<'_> {
        self.declare(VarSpec::new("seed", Type::u32([2]), Init::Seed, Role::Counter))
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

    /// Gives a variable its value of the next step; readers within this step see the old one.
    #[track_caller]
    pub fn assign(&self, variable: Tensor<'_>, value: Tensor<'_>) {
        if !self.owns(variable) || !self.owns(value) {
            self.poison("assign: a tensor belongs to another graph");
            return;
        }
        let recording = self.recording.borrow();
        let leaf = matches!(recording.nodes[variable.id].origin, Origin::Var(_) | Origin::Arena(_));
        let twice = recording.assigns.iter().any(|&(v, _)| recording.overlap(v, variable.id));
        drop(recording);
        if !leaf {
            self.poison("assign: the target is not a variable");
        } else if twice {
            self.poison("assign: the variable is assigned twice in one step, perhaps by its optimizer");
        } else if variable.ty() != value.ty() {
            self.poison(format!("assign: the variable is {:?}, the value {:?}", variable.ty(), value.ty()));
        } else {
            self.recording.borrow_mut().assigns.push((variable.id, value.id));
        }
    }

    /// [`Graph::assign`] of what `next` makes of the value so far, the variable's own or what this step gave it already: several
    /// updates in one step follow each other.
    #[track_caller]
    pub fn update<'g>(&'g self, variable: Tensor<'g>, next: impl FnOnce(Tensor<'g>) -> Tensor<'g>) {
        let mut recording = self.recording.borrow_mut();
        let given = recording.assigns.iter().position(|&(leaf, _)| leaf == variable.id);
        let given = given.map(|i| recording.assigns.remove(i).1);
        drop(recording);
        self.assign(variable, next(given.map_or(variable, |id| self.tensor(id))));
    }

    /// Puts the parameters of one optimizer group side by side into an arena and returns the whole as one `[rows, total]`
    /// tensor: row 0 holds the parameters, each further one a moment, the variables `MOMENT/NAME`, and the last one, if
    /// asked for, the moving [`average`]s.
    #[track_caller]
    pub fn arena(&self, name: &str, vars: &[Tensor<'_>], moments: &[&str], averaged: bool) -> Tensor<'_> {
        if self.recording.borrow().arenas.iter().any(|a| a.name == name) {
            return self.poison(format!(
                "optimizer group `{name}` is declared twice; give each group a name of its own"
            ));
        }
        let mut recording = self.recording.borrow_mut();
        let index = recording.arenas.len();
        let mut members = Vec::new();
        let mut offset = 0;
        for t in vars {
            match recording.nodes[t.id].origin {
                Origin::Var(v) if recording.vars[v].home.is_none() => {
                    recording.vars[v].home = Some(Home { arena: index, row: 0, offset });
                    recording.vars[v].role = Role::Trained;
                    offset += recording.vars[v].ty.shape.numel().next_multiple_of(ALIGN);
                    members.push(v);
                }
                _ => {
                    drop(recording);
                    return self.poison(format!(
                        "arena `{name}`: a member is not a variable, or in an arena already"
                    ));
                }
            }
        }
        let rows = 1 + moments.len() + usize::from(averaged);
        for row in 1..rows {
            for &v in &members {
                let param = recording.vars[v].clone();
                let home = param.home.map(|home| Home { row, ..home });
                let spec = match moments.get(row - 1) {
                    Some(moment) => {
                        let name = format!("{moment}/{}", param.name);
                        VarSpec { home, ..VarSpec::new(name, param.ty, Init::Zeros, Role::Working) }
                    }
                    // An average begins where its parameter does, and lies in files as it does.
                    None => {
                        let (name, of) = (average(&param.name), param.name.clone());
                        let init = Init::Copy { of, init: param.init.into() };
                        VarSpec { name, init, role: Role::Average, home, ..param }
                    }
                };
                recording.vars.push(spec);
            }
        }
        recording.arenas.push(Arena { name: name.into(), rows, row_len: offset, members });
        drop(recording);
        self.push(Origin::Arena(index), Type::f32([rows, offset]), Location::caller())
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

    /// Extents.
    pub fn shape(self) -> Shape {
        self.ty().shape
    }
}

impl fmt::Debug for Tensor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}{:?}", self.id, self.ty())
    }
}
