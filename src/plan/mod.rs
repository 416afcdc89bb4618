//! A plan is pure data: launches with buffer slots, printable as a table. Small passes make it without a
//! device, in this order: simplify, fuse, schedule, select, memory.

pub mod expr;
pub mod fuse;
mod launch;
pub mod memory;
mod schedule;
mod select;
mod simplify;
pub mod table;

pub use launch::{Buffer, Constant, Launch, Output, Place, Variant};

use crate::{
    error::{Error, Result},
    graph::{
        Graph,
        shape::Type,
        var::{Arena, VarSpec},
    },
    kernel::{caps::Caps, power::POWERS},
};
use naga::valid::Capabilities;
use select::Selection;

/// Everything that an executor needs to know, and nothing that needs a device.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The dispatches in order.
    pub launches: Vec<Launch>,
    /// The size of each slot in bytes.
    pub slots: Vec<u64>,
    /// The constants that launches read.
    pub constants: Vec<Constant>,
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
    /// The model's first mistake, a training graph that does not advance its step counter, or a limit of the
    /// adapter that the plan exceeds.
    pub fn new(graph: &Graph, caps: &Caps) -> Result<Self> {
        graph.check_whole()?;
        let recording = simplify::simplify(&graph.recording());
        let fused = fuse::Fused::new(&recording);
        let schedule = schedule::schedule(&fused);
        let Selection { launches, slots, constants, inputs, outputs, live_minimum } =
            select::select(&fused, schedule, caps)?;
        let (vars, arenas) = (recording.vars.clone(), recording.arenas.clone());
        let plan = Self { launches, slots, constants, vars, arenas, inputs, outputs, live_minimum };
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

    /// Whether a step reads this buffer.
    pub(crate) fn reads(&self, buffer: Buffer) -> bool {
        let bound = self.launches.iter().flat_map(|l| &l.bindings).map(|(_, place)| place);
        bound.chain(self.outputs.iter().map(|output| &output.place)).any(|place| place.buffer == buffer)
    }

    /// The launches that write a slot, with their numbers, and the places that they write.
    pub(crate) fn fills(&self, slot: usize) -> impl Iterator<Item = (usize, &Launch, &Place)> {
        let written = |(i, launch)| Launch::written(launch).map(move |place| (i, launch, place));
        let of_slot = move |(_, _, place): &(usize, &Launch, &Place)| place.buffer == Buffer::Slot(slot);
        self.launches.iter().enumerate().flat_map(written).filter(of_slot)
    }

    /// Whether an input holds the places of a data set's rows, as many as there are rows.
    pub(crate) fn is_order(&self, input: usize) -> bool {
        let order = |(name, place): &(&str, Place)| *name == "order" && place.buffer == Buffer::Input(input);
        self.launches.iter().any(|l| l.shader.stem == "data" && l.bindings.iter().any(order))
    }

    /// Refuses an adapter that cannot run the plan, which was made for one that can do more.
    pub(crate) fn check_runs(&self, caps: &Caps) -> Result<()> {
        let has = POWERS
            .iter()
            .filter(|p| caps.powers.contains(&p.name))
            .map(|p| p.allows)
            .collect::<Capabilities>();
        match self.launches.iter().find(|launch| !has.contains(launch.powers())) {
            None => self.check_limits(caps),
            Some(Launch { label, at, shader, .. }) => Err(Error::Device(format!(
                "{label} ({at}) was planned as {} for an adapter that can do more than {}; plan with gpu.caps()",
                shader.stem, caps.name
            ))),
        }
    }

    fn check_limits(&self, caps: &Caps) -> Result<()> {
        for launch in &self.launches {
            if let Some((name, place)) = launch.bindings.iter().find(|(_, p)| p.bytes > caps.max_binding) {
                let (need, limit) = (place.bytes, caps.max_binding);
                // No batch makes weights smaller.
                let advice = match place.buffer {
                    Buffer::Var(_) | Buffer::Arena(_) => "use a smaller model, or split the weight",
                    Buffer::Slot(_) | Buffer::Input(_) | Buffer::Constant(_) => {
                        "use a smaller batch or split the tensor"
                    }
                };
                let what = format!(
                    "{} ({}) binds {need} bytes as `{name}`, but {} allows {limit}; {advice}",
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
        let slot = self.slots.iter().copied().max().unwrap_or(0);
        let weights =
            self.arenas.iter().map(arena).chain(self.vars.iter().map(|v| v.ty.bytes())).max().unwrap_or(0);
        let biggest = slot.max(weights);
        if biggest > caps.max_buffer {
            let advice = if weights > caps.max_buffer {
                "use a smaller model"
            } else {
                "use a smaller batch or model"
            };
            return Err(Error::Device(format!(
                "the plan needs a buffer of {biggest} bytes, but {} allows {}; {advice}",
                caps.name, caps.max_buffer
            )));
        }
        Ok(())
    }
}
