//! Second pass: elementwise ops become clusters, and a cluster becomes the epilogue of the opaque op that
//! feeds it. The pass runs after autodiff, so that second derivatives never meet an epilogue.
//!
//! A node is *stored* where something other than one cluster reads it. The others are computed inside the
//! cluster of the stored node (its root) that reads them.

mod again;
mod host;

use super::expr::{Access, Expr, Flight};
use crate::graph::{
    NodeId, Origin, Recording,
    op::{Class, Op},
};
use std::collections::{BTreeMap, BTreeSet};

/// The largest number of loads of a launch: WebGPU allows 8 storage bindings by default, and one is the output's.
const MAX_LOADS: usize = 7;
/// The same where pixels in flight are looked at, or placed: one more is the step's counter.
const MAX_LOADS_IN_FLIGHT: usize = 6;
/// The largest number of functions of a cluster. It bounds the text that a driver must compile,
/// and the constants, of which a call has two at most.
const MAX_CALLS: usize = 16;

/// One op or one cluster: what one `lower` call turns into launches.
#[derive(Clone, Debug)]
pub struct Step {
    /// The node whose value the step stores.
    pub root: NodeId,
    /// The node of the opaque op; a pure cluster has none.
    pub host: Option<NodeId>,
    /// The elementwise expression, if there is one: the cluster, or the host's epilogue or prologue.
    pub expr: Option<Expr>,
    /// Whether the expression makes what the host reads, rather than what becomes of the host's result.
    pub prologue: bool,
    /// Whether the expression combines the halves of the host's columns.
    pub halves: bool,
    /// The pixels in flight, where images are looked at for the expression, or rows are placed.
    pub flight: Option<Flight>,
}

impl Step {
    /// The stored nodes that the step reads.
    pub fn reads(&self, graph: &Fused<'_>) -> Vec<NodeId> {
        let host = self.host.filter(|_| !self.prologue);
        let host = host.map_or(vec![], |h| graph.inputs(h).iter().map(|&i| graph.storage(i)).collect());
        let loads = self.expr.iter().flat_map(|e| e.loads.iter().map(|l| l.node));
        let images = graph.placed(self.root).map(|images| graph.storage(images));
        host.into_iter().chain(loads).chain(images).chain(self.flight.map(|(_, step)| step)).collect()
    }
}

/// The graph with each node's place in the fusion.
pub struct Fused<'a> {
    /// The simplified recording.
    pub recording: &'a Recording,
    users: Vec<Vec<NodeId>>,
    /// The value of a constant, of a view of one, and of what is computed from constants alone.
    constants: Vec<Option<f32>>,
    /// The root of the cluster that computes a node which is not stored.
    inlined: Vec<Option<NodeId>>,
    /// Whether something reads the node that needs it in memory.
    stored: Vec<bool>,
}

/// A cluster as it grows from its root towards what it reads.
struct Cluster {
    /// The nodes, or views of nodes, that its launch loads.
    reads: BTreeSet<NodeId>,
    /// The number of functions that it calls.
    calls: usize,
    /// The pixels in flight that it looks at, or whose rows it places.
    flight: Option<Flight>,
}

impl Cluster {
    /// The cluster that computes a node, which it read so far, from the node's own sources.
    fn with(&self, node: NodeId, sources: &BTreeSet<NodeId>, flight: Option<Flight>) -> Self {
        let reads = self.reads.union(sources).copied().filter(|&read| read != node).collect();
        Self { reads, calls: self.calls + 1, flight: self.flight.or(flight) }
    }

    fn has_room(&self) -> bool {
        let loads = if self.flight.is_some() { MAX_LOADS_IN_FLIGHT } else { MAX_LOADS };
        self.reads.len() <= loads && self.calls <= MAX_CALLS
    }
}

impl<'a> Fused<'a> {
    /// Decides which nodes are stored.
    pub fn new(recording: &'a Recording) -> Self {
        let n = recording.nodes.len();
        let mut users = vec![vec![]; n];
        for (id, node) in recording.nodes.iter().enumerate() {
            if let Origin::Op(_, inputs) = &node.origin {
                inputs.iter().for_each(|&i| users[i].push(id));
            }
        }
        let (inlined, stored) = (vec![None; n], vec![false; n]);
        let mut this = Self { recording, users, constants: vec![None; n], inlined, stored };
        (0..n).for_each(|id| this.constants[id] = this.fold(id));
        this.decide();
        this
    }

    /// The inputs of a node.
    pub fn inputs(&self, id: NodeId) -> &'a [NodeId] {
        match &self.recording.nodes[id].origin {
            Origin::Op(_, inputs) => inputs,
            _ => &[],
        }
    }

    /// The class of a node's op; leaves count as opaque.
    pub fn class(&self, id: NodeId) -> Class {
        match &self.recording.nodes[id].origin {
            Origin::Op(op, _) => match (op.class(), self.constants[id]) {
                (Class::Elementwise(_), Some(c)) => Class::Constant(c),
                (class, _) => class,
            },
            _ => Class::Opaque,
        }
    }

    /// The node in whose memory this one lies: an alias, such as a reshape, lies in its input's.
    pub fn storage(&self, id: NodeId) -> NodeId {
        self.recording.storage(id)
    }

    /// The op of a node, if it is one.
    fn op(&self, id: NodeId) -> Option<&'a dyn Op> {
        match &self.recording.nodes[id].origin {
            Origin::Op(op, _) => Some(op.as_ref()),
            _ => None,
        }
    }

    /// The images over which a node places rows, if it does.
    pub fn placed(&self, id: NodeId) -> Option<NodeId> {
        matches!(self.class(id), Class::Placed(..)).then(|| self.inputs(id)[0])
    }

    /// The node whose elements a step computes: of rows that are placed, the rows.
    pub fn made(&self, root: NodeId) -> NodeId {
        if self.placed(root).is_some() { self.inputs(root)[1] } else { root }
    }

    /// The pixels in flight that a node looks at, or whose rows it places or makes.
    fn flight(&self, id: NodeId) -> Option<Flight> {
        let op = self.op(id)?;
        let wave = match op.class() {
            Class::Seen(wave, _) | Class::Placed(wave, _) => wave,
            _ => op.wave()?,
        };
        Some((wave, self.storage(*self.inputs(id).last()?)))
    }

    fn numel(&self, id: NodeId) -> usize {
        self.recording.nodes[id].ty.shape.numel()
    }

    fn is_leaf(&self, id: NodeId) -> bool {
        !matches!(self.recording.nodes[id].origin, Origin::Op(..))
    }

    /// The value of a node that is a constant; it costs nothing wherever it is used.
    pub fn constant(&self, id: NodeId) -> Option<f32> {
        self.constants[id]
    }

    /// The value of a node, if it is a constant or made of those that stand before it.
    fn fold(&self, id: NodeId) -> Option<f32> {
        let mut inputs = self.inputs(id).iter().map(|&i| self.constants[i]);
        match self.class(id) {
            Class::Constant(c) => Some(c),
            Class::Alias | Class::Strided(_) => inputs.next()?,
            Class::Elementwise(row) => {
                let args = inputs.map(|c| c.map(f64::from)).collect::<Option<Vec<_>>>()?;
                Some((row.eval)(&args) as f32)
            }
            _ => None,
        }
    }

    /// Decides which nodes are stored, from the last node to the first, so that readers come before what they
    /// read. An example: `h = x·w; a = h + b; t = tanh(a); s = t²; m = max(s)`, with t and m as outputs.
    ///
    /// | node | what | decision |
    /// |---|---|---|
    /// | m | opaque | is stored, and so must be what it reads: s |
    /// | s | elementwise, read by m | is stored: the root of a cluster {s}, which reads t |
    /// | t | elementwise, an output | is stored: the root of a cluster {t}, which reads a |
    /// | a | elementwise, read by t alone | joins t: the cluster {a, t} reads h and the view of b |
    /// | b along the rows | a view | is read in place; what it views, b, is stored (a variable is anyway) |
    /// | h | opaque | is stored; [`Fused::steps`] makes the cluster {a, t} its epilogue |
    fn decide(&mut self) {
        let recording = self.recording;
        for id in recording.outputs.iter().map(|o| o.1).chain(recording.assigns.iter().map(|a| a.1)) {
            self.store(id);
        }
        let mut clusters = BTreeMap::new();
        for id in (0..recording.nodes.len()).rev() {
            match self.class(id) {
                Class::Alias => self.inlined[id] = self.common_root(id),
                Class::Elementwise(_) => self.decide_elementwise(id, &mut clusters),
                // Clusters compute constants and address views; other readers, and views of too many axes,
                // need memory.
                Class::Strided(_) | Class::Constant(_) => {
                    let constant = self.constant(id).is_some();
                    self.stored[id] |= self.reader_needs_memory(id) || !(constant || self.fits_access(id));
                    if !constant {
                        self.store(self.inputs(id)[0]);
                    }
                }
                Class::Seen(_, tap) => {
                    self.stored[id] |= !self.seen_in_place(id, tap, &clusters);
                    self.inputs(id).iter().for_each(|&input| self.store(input));
                }
                Class::Placed(..) => self.decide_placed(id, &mut clusters),
                Class::Opaque | Class::Pack(_) => {
                    self.stored[id] = true;
                    self.inputs(id).iter().for_each(|&input| self.store(input));
                }
            }
        }
    }

    /// Whether only clusters of the same flight read what is seen. One that overwrites the images must not
    /// look at pixels that it overwrites elsewhere.
    fn seen_in_place(&self, id: NodeId, tap: [i32; 2], clusters: &BTreeMap<NodeId, Cluster>) -> bool {
        let (Some(flight), images) = (self.flight(id), self.storage(self.inputs(id)[0])) else {
            return false;
        };
        !self.stored[id]
            && !self.reader_needs_memory(id)
            && self.readers(id).iter().all(|&u| {
                let root = self.inlined[u].unwrap_or(u);
                let overwritten = self.placed(root).map(|of| self.storage(of));
                let apart = overwritten
                    .is_none_or(|of| !self.recording.same_buffer(of, images) || flight.0.apart(tap));
                apart && clusters.get(&root).is_some_and(|cluster| cluster.flight == Some(flight))
            })
    }

    /// Rows that are placed are the root of a cluster, which what makes them may join.
    fn decide_placed(&mut self, id: NodeId, clusters: &mut BTreeMap<NodeId, Cluster>) {
        let (inputs, rows) = (self.inputs(id), self.storage(self.inputs(id)[1]));
        self.stored[id] = true;
        let joins = matches!(self.class(rows), Class::Elementwise(_));
        inputs.iter().enumerate().filter(|&(i, _)| i != 1 || !joins).for_each(|(_, &i)| self.store(i));
        clusters.insert(id, Cluster { reads: BTreeSet::from([rows]), calls: 0, flight: self.flight(id) });
    }

    /// Marks the memory that a node lies in as stored.
    fn store(&mut self, id: NodeId) {
        let storage = self.storage(id);
        self.stored[storage] = true;
    }

    /// Whether anything but clusters reads a view, directly or through reshapes.
    fn reader_needs_memory(&self, id: NodeId) -> bool {
        self.users[id].iter().any(|&u| match self.class(u) {
            Class::Elementwise(_) | Class::Constant(_) => false,
            Class::Alias => {
                self.inlined[u].is_none() && (self.reader_needs_memory(u) || self.stored[self.storage(u)])
            }
            Class::Strided(_) => self.constant(u).is_none(),
            _ => true,
        })
    }

    /// The root of the one cluster that reads a node, if there is only one and nothing else reads the node.
    fn common_root(&self, id: NodeId) -> Option<NodeId> {
        if self.stored[self.storage(id)] {
            return None;
        }
        let root = |u: NodeId| match self.class(u) {
            Class::Elementwise(_) if self.numel(u) == self.numel(id) => Some(self.inlined[u].unwrap_or(u)),
            Class::Alias => self.inlined[u],
            Class::Placed(..) if self.made(u) == id => Some(u),
            _ => None,
        };
        let (&first, rest) = self.users[id].split_first()?;
        let common = root(first)?;
        rest.iter().all(|&u| root(u) == Some(common)).then_some(common)
    }

    /// Lets a node join the one cluster that reads it, if there is only one and it has room; else the node is
    /// the root of a cluster of its own.
    fn decide_elementwise(&mut self, id: NodeId, clusters: &mut BTreeMap<NodeId, Cluster>) {
        let sources = self.inputs(id).iter().map(|&i| self.storage(i));
        let sources: BTreeSet<NodeId> = sources.filter(|&i| self.constant(i).is_none()).collect();
        let looks = sources.iter().find(|&&i| matches!(self.class(i), Class::Seen(..)));
        let flight = looks.and_then(|&look| self.flight(look));
        if let Some(root) = self.common_root(id) {
            let grown = clusters[&root].with(id, &sources, flight);
            if grown.has_room() {
                self.inlined[id] = Some(root);
                clusters.insert(root, grown);
                return;
            }
        }
        self.stored[id] = true;
        clusters.insert(id, Cluster { reads: sources, calls: 1, flight });
    }

    /// The steps in order of their roots.
    pub fn steps(&self) -> Vec<Step> {
        let stored =
            |id: &NodeId| self.stored[*id] && !self.is_leaf(*id) && !matches!(self.class(*id), Class::Alias);
        let mut steps: Vec<Step> =
            (0..self.recording.nodes.len()).filter(stored).map(|id| self.step(id)).collect();
        self.take_epilogues(&mut steps);
        self.take_prologues(&mut steps);
        self.compute_again(&mut steps);
        steps
    }

    /// The step that stores a node, before hosts take clusters.
    fn step(&self, root: NodeId) -> Step {
        let own_kernel = match self.class(root) {
            Class::Opaque | Class::Pack(_) | Class::Seen(..) => true,
            Class::Strided(_) => self.constant(root).is_none() && !self.fits_access(root),
            _ => false,
        };
        let expr = (!own_kernel).then(|| self.expression(root));
        let placed = self.placed(root).and_then(|_| self.flight(root));
        let flight = placed.or(expr.as_ref().and_then(|e| e.flight));
        Step { root, host: own_kernel.then_some(root), expr, prologue: false, halves: false, flight }
    }

    /// Whether the cluster kernel can address a strided view: f32 elements, four dimensions after merging.
    fn fits_access(&self, id: NodeId) -> bool {
        self.recording.nodes[id].ty.dtype == crate::graph::shape::DType::F32 && self.view_access(id).is_some()
    }

    fn view_access(&self, id: NodeId) -> Option<Access> {
        match self.class(id) {
            Class::Strided(view) => Access::view(&self.recording.nodes[id].ty.shape, &view),
            _ => None,
        }
    }

    /// The nodes that read a node, directly or through reshapes.
    fn readers(&self, id: NodeId) -> Vec<NodeId> {
        let through =
            |&u: &NodeId| if matches!(self.class(u), Class::Alias) { self.readers(u) } else { vec![u] };
        self.users[id].iter().flat_map(through).collect()
    }

    fn kept(&self, id: NodeId) -> bool {
        let recording = self.recording;
        let mut kept =
            recording.outputs.iter().map(|&(_, id)| id).chain(recording.assigns.iter().map(|&(_, v)| v));
        kept.any(|k| self.storage(k) == id)
    }

    /// The expression of a cluster.
    fn expression(&self, root: NodeId) -> Expr {
        let mut expr = Expr::default();
        let mut done = BTreeMap::new();
        self.emit(self.made(root), root, &mut expr, &mut done);
        expr
    }

    fn emit(&self, id: NodeId, root: NodeId, expr: &mut Expr, done: &mut BTreeMap<NodeId, usize>) -> usize {
        if let Some(&value) = done.get(&id) {
            return value;
        }
        let inside = id == root || self.inlined[id].is_some();
        let value = match self.class(id) {
            _ if self.constant(id).is_some() => expr.constant(self.constant(id).unwrap_or_default()),
            Class::Elementwise(row) if inside => {
                let args = self.inputs(id).iter().map(|&i| self.emit(i, root, expr, done)).collect();
                expr.call(row, args)
            }
            Class::Alias => self.emit(self.inputs(id)[0], root, expr, done),
            Class::Seen(_, tap) if !self.stored[id] => {
                let images = self.inputs(id)[0];
                let &[_, _, kept, channels] = &self.recording.nodes[images].ty.shape[..] else {
                    unreachable!("images have four axes")
                };
                let flight = self.flight(id).expect("what is seen is in flight");
                expr.look(self.storage(images), Access::Seen { kept, channels, tap }, flight)
            }
            Class::Strided(_) if id == root || !self.stored[id] => match self.view_access(id) {
                Some(access) => expr.load(self.storage(self.inputs(id)[0]), access),
                None => expr.load(id, Access::Same),
            },
            _ => expr.load(id, Access::Same),
        };
        done.insert(id, value);
        value
    }
}
