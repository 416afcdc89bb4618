//! A plan is pure data: launches with buffer slots, printable as a table. Small passes make it without a
//! device, in this order: simplify, fuse, schedule, select, memory.

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

/// A buffer by its role. The executor owns slots, the State owns variables and arenas, and the host binds
/// inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Buffer {
    /// Memory that values with disjoint lifetimes share.
    Slot(usize),
    /// A variable with a buffer of its own.
    Var(usize),
    /// The arena of an optimizer group.
    Arena(usize),
    /// An input that the host binds.
    Input(usize),
}

/// A range of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The buffer.
    pub buffer: Buffer,
    /// The first byte, a multiple of 256.
    pub offset: u64,
    /// The length in bytes, a multiple of 16.
    pub bytes: u64,
}

/// One dispatch with everything it needs.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The op and its epilogue, as the table shows them.
    pub label: String,
    /// The WGSL module.
    pub shader: &'static Shader,
    /// What replaces the module's marked function, if anything does.
    pub function: Option<String>,
    /// The entry point.
    pub entry: &'static str,
    /// The values of its `override`s.
    pub constants: Vec<(&'static str, f64)>,
    /// What the named bindings are bound to.
    pub bindings: Vec<(&'static str, Place)>,
    /// The names of the bindings that are written.
    pub writes: Vec<&'static str>,
    /// The members of the `dims` uniform; an f32 is given by its bits.
    pub dims: Vec<(String, u32)>,
    /// The numbers of workgroups in x, y and z.
    pub grid: [u32; 3],
    /// The floating-point operations.
    pub flops: u64,
    /// The bytes that would be read and written with a perfect cache.
    pub bytes: u64,
    /// The element type of what is written.
    pub dtype: DType,
    /// Why this kernel variant was chosen.
    pub why: &'static str,
    /// The user's line that recorded the op.
    pub at: String,
}

/// A named result.
#[derive(Clone, Debug)]
pub struct Output {
    /// The result's name.
    pub name: String,
    /// The result's shape and element type.
    pub ty: Type,
    /// Where the result lies after the step.
    pub place: Place,
}

/// Everything that an executor needs to know, and nothing that needs a device.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The dispatches in order.
    pub launches: Vec<Launch>,
    /// The size of each slot in bytes.
    pub slots: Vec<u64>,
    /// The persistent values.
    pub vars: Vec<VarSpec>,
    /// The optimizer groups.
    pub arenas: Vec<Arena>,
    /// The inputs that the host binds, with their types.
    pub inputs: Vec<(String, Type)>,
    /// The named results.
    pub outputs: Vec<Output>,
    /// The bytes in slots that are alive at the worst step. No plan can use less.
    pub live_minimum: u64,
}

impl Plan {
    /// Plans a graph for an adapter.
    ///
    /// # Errors
    /// The model's first mistake, or a limit of the adapter that the plan exceeds.
    pub fn new(graph: &Graph, caps: &Caps) -> Result<Self> {
        graph.check()?;
        let recording = simplify::simplify(&graph.recording());
        let fused = fuse::Fused::new(&recording);
        let schedule = schedule::schedule(&fused);
        let plan = select::select(&fused, schedule, caps)?;
        plan.check_limits(caps)?;
        Ok(plan)
    }

    /// The bytes of the largest range that a launch binds.
    pub fn largest_binding(&self) -> u64 {
        self.launches.iter().flat_map(|l| &l.bindings).map(|(_, p)| p.bytes).max().unwrap_or(0)
    }

    /// The bytes of all slots.
    pub fn slot_bytes(&self) -> u64 {
        self.slots.iter().sum()
    }

    /// The bytes of all persistent values.
    pub fn state_bytes(&self) -> u64 {
        let arenas: usize = self.arenas.iter().map(|a| a.rows * a.row_len * 4).sum();
        let own: u64 = self.vars.iter().filter(|v| v.home.is_none()).map(|v| v.ty.bytes()).sum();
        arenas as u64 + own
    }

    /// The names of the model's weights among the variables. A weights file holds them: what an optimizer
    /// trains, in this graph or elsewhere, moving averages, and running statistics.
    pub fn weights(&self) -> Vec<String> {
        self.vars.iter().filter(|v| v.role.is_weight()).map(|v| v.name.clone()).collect()
    }

    /// The floating-point operations of one step.
    pub fn flops(&self) -> u64 {
        self.launches.iter().map(|l| l.flops).sum()
    }

    /// The number of different pipelines.
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
