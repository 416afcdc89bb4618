//! A plan is pure data: launches with buffer slots, printable as a table, made without a device by
//! small passes in order: simplify, fuse, schedule, select, memory.

pub mod expr;
pub mod fuse;
pub mod memory;
mod schedule;
mod select;
mod simplify;
pub mod table;

use crate::{
    error::{Error, Result},
    graph::{
        Graph,
        shape::{DType, Type},
        var::{Arena, VarSpec},
    },
    kernel::{Shader, caps::Caps},
};

/// A buffer by its role; the executor owns slots, the State variables and arenas, the host inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Buffer {
    /// Memory shared by values with disjoint lifetimes.
    Slot(usize),
    /// A variable with a buffer of its own.
    Var(usize),
    /// An optimizer group.
    Arena(usize),
    /// A host-bound input.
    Input(usize),
}

/// A range of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The buffer.
    pub buffer: Buffer,
    /// First byte, a multiple of 256.
    pub offset: u64,
    /// Length in bytes, a multiple of 16.
    pub bytes: u64,
}

/// One dispatch with everything it needs.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Op and epilogue, as the table shows them.
    pub label: String,
    /// WGSL module.
    pub shader: &'static Shader,
    /// Replacement of the module's marked function.
    pub function: Option<String>,
    /// Entry point.
    pub entry: &'static str,
    /// Override values.
    pub constants: Vec<(&'static str, f64)>,
    /// Named bindings.
    pub bindings: Vec<(&'static str, Place)>,
    /// Bindings among them that are written.
    pub writes: Vec<&'static str>,
    /// Members of the `dims` uniform.
    pub dims: Vec<(String, u32)>,
    /// Workgroups.
    pub grid: [u32; 3],
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes that a perfect cache moves.
    pub bytes: u64,
    /// Element type of what is written.
    pub dtype: DType,
    /// Why this variant.
    pub why: &'static str,
    /// The user's line.
    pub at: String,
}

/// A named result.
#[derive(Clone, Debug)]
pub struct Output {
    /// Name.
    pub name: String,
    /// Shape and element type.
    pub ty: Type,
    /// Where it lies after the step.
    pub place: Place,
}

/// Everything an executor needs to know, and nothing that needs a device.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Dispatches in order.
    pub launches: Vec<Launch>,
    /// Bytes of each slot.
    pub slots: Vec<u64>,
    /// Persistent values.
    pub vars: Vec<VarSpec>,
    /// Optimizer groups.
    pub arenas: Vec<Arena>,
    /// Host-bound inputs.
    pub inputs: Vec<(String, Type)>,
    /// Named results.
    pub outputs: Vec<Output>,
    /// Bytes alive at the worst step, slots only: no plan can use less.
    pub live_minimum: u64,
}

impl Plan {
    /// Plans a graph for an adapter. Errors: the model's first mistake, or a limit that it exceeds.
    pub fn new(graph: &Graph, caps: &Caps) -> Result<Self> {
        graph.check()?;
        let recording = simplify::simplify(&graph.recording());
        let fused = fuse::Fused::new(&recording);
        let schedule = schedule::schedule(&fused);
        let plan = select::select(&fused, schedule, caps)?;
        plan.check_limits(caps)?;
        Ok(plan)
    }

    /// Bytes of the largest range that a launch binds.
    pub fn largest_binding(&self) -> u64 {
        self.launches.iter().flat_map(|l| &l.bindings).map(|(_, p)| p.bytes).max().unwrap_or(0)
    }

    /// Bytes of all slots.
    pub fn slot_bytes(&self) -> u64 {
        self.slots.iter().sum()
    }

    /// Bytes of all persistent values.
    pub fn state_bytes(&self) -> u64 {
        let arenas: usize = self.arenas.iter().map(|a| a.rows * a.row_len * 4).sum();
        let own: u64 = self.vars.iter().filter(|v| v.home.is_none()).map(|v| v.ty.bytes()).sum();
        arenas as u64 + own
    }

    /// Names of the model's weights among the variables, which a weights file holds: what an optimizer trains, here or
    /// elsewhere, moving averages, and running statistics.
    pub fn weights(&self) -> Vec<String> {
        self.vars.iter().filter(|v| v.role.is_weight()).map(|v| v.name.clone()).collect()
    }

    /// Floating-point operations of one step.
    pub fn flops(&self) -> u64 {
        self.launches.iter().map(|l| l.flops).sum()
    }

    /// Number of different pipelines.
    pub fn pipelines(&self) -> usize {
        let key = |l: &Launch| (l.shader.stem, l.function.clone(), l.entry, format!("{:?}", l.constants));
        self.launches.iter().map(key).collect::<std::collections::BTreeSet<_>>().len()
    }

    fn check_limits(&self, caps: &Caps) -> Result<()> {
        for launch in &self.launches {
            if let Some((name, place)) = launch.bindings.iter().find(|(_, p)| p.bytes > caps.max_binding) {
                let (need, limit) = (place.bytes, caps.max_binding);
                let what = format!(
                    "{} ({}) binds {need} bytes as `{name}`, but {} allows {limit}; use a smaller batch or split the tensor",
                    launch.label, launch.at, caps.name
                );
                return Err(Error::Device(what));
            }
            if launch.grid.iter().any(|&g| g > 65_535) {
                return Err(Error::Device(format!(
                    "{} ({}) needs the grid {:?}, over 65535 workgroups; use a smaller batch",
                    launch.label, launch.at, launch.grid
                )));
            }
        }
        let arena = |a: &Arena| (a.rows * a.row_len * 4) as u64;
        let biggest = self.slots.iter().copied().chain(self.arenas.iter().map(arena)).max().unwrap_or(0);
        if biggest > caps.max_buffer {
            return Err(Error::Device(format!(
                "the plan needs a buffer of {biggest} bytes, but {} allows {}; use a smaller batch or model",
                caps.name, caps.max_buffer
            )));
        }
        Ok(())
    }
}
