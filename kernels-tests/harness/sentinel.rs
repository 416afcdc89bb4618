//! A guard against reads and writes out of bounds, which are silent on every driver: all slots are longer
//! than the plan says, are bound in full and filled with a NaN, which must be found unchanged behind their
//! ends.

use oneiro::{
    gpu::{Executor, Gpu, wgpu},
    graph::{
        Graph, Origin,
        op::{Class, grid_1d},
        shape::Type,
    },
    plan::{Buffer, Place, Plan},
};

/// A quiet NaN that no kernel computes.
pub(crate) const POISON: u32 = 0x7fc0_dead;
/// The bytes behind every slot and input that are bound to the kernels, too.
const GUARD: u64 = 256;

/// Rewrites 1-D launches to small workgroups, and those over lines to workgroups of one; at least one must then
/// need more than a dispatch's x holds.
pub(crate) fn shrink(plan: &mut Plan, workgroup: usize, name: &str) {
    let mut most = 0;
    for launch in &mut plan.launches {
        let groups = launch.grid[0] as usize * launch.grid[1] as usize;
        for (name, size) in &mut launch.constants {
            let Some((_, small)) = [("WORKGROUP", workgroup), ("WIDE", 1)].into_iter().find(|s| s.0 == *name)
            else {
                continue;
            };
            launch.grid = grid_1d((groups * *size as usize).div_ceil(small));
            *size = small as f64;
        }
        most = most.max(launch.grid[0] as usize * launch.grid[1] as usize);
    }
    assert!(most > 65_535, "{name}: only {most} workgroups");
}

/// Uploads an input: its elements, then garbage.
pub(crate) fn upload(gpu: &Gpu, name: &str, mut bytes: Vec<u8>, ty: &Type) -> wgpu::Buffer {
    while (bytes.len() as u64) < ty.bytes() + GUARD {
        bytes.push(POISON.to_le_bytes()[bytes.len() % 4]);
    }
    gpu.upload(name, &bytes).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// A plan whose slots and bindings are longer than needed.
pub(crate) struct Guarded {
    /// The plan to run.
    pub(crate) plan: Plan,
    /// The first word of each slot that nothing may write.
    end: Vec<usize>,
    /// Whether slots may hold garbage at the start.
    dirty: bool,
}

impl Guarded {
    /// Lengthens slots and bindings; also checks that no launch reads and writes one buffer.
    pub(crate) fn new(graph: &Graph, mut plan: Plan, name: &str) -> Self {
        let packs = |s: &Origin| matches!(s, Origin::Op(op, _) if matches!(op.class(), Class::Pack(_)));
        let dirty = !graph.recording().nodes.iter().any(|n| packs(&n.origin));
        // An output that is a view may lie within a larger value.
        let view = |name: &str| {
            let recording = graph.recording();
            let id = recording.outputs.iter().find(|o| o.0 == name).map(|o| recording.storage(o.1));
            id.is_some_and(|id| match &recording.nodes[id].origin {
                Origin::Op(op, _) => matches!(op.class(), Class::Strided(_)),
                _ => false,
            })
        };
        let whole = dirty && !plan.outputs.iter().any(|o| view(&o.name));
        let end = (0..plan.slots.len()).map(|i| Self::end(&plan, i, whole)).collect();
        for launch in &mut plan.launches {
            for (i, (binding, place)) in launch.bindings.iter().enumerate() {
                let clash = |(other, p): &(&str, Place)| {
                    let writes = [binding, other].map(|b| launch.writes.contains(b));
                    let apart = place.offset + place.bytes <= p.offset || p.offset + p.bytes <= place.offset;
                    p.buffer == place.buffer && (writes[0] != writes[1] || (writes[0] && !apart))
                };
                assert!(
                    !launch.bindings[i + 1..].iter().any(clash),
                    "{name}: {} binds a buffer twice and writes it",
                    launch.label
                );
            }
            // Ranges of one buffer that a launch writes must stay apart.
            let buffers: Vec<Buffer> = launch.bindings.iter().map(|b| b.1.buffer).collect();
            let alone = |buffer: &Buffer| buffers.iter().filter(|b| *b == buffer).count() == 1;
            let guarded = |place: &&mut Place| {
                matches!(place.buffer, Buffer::Slot(_) | Buffer::Input(_)) && alone(&place.buffer)
            };
            launch
                .bindings
                .iter_mut()
                .map(|b| &mut b.1)
                .filter(guarded)
                .for_each(|place| place.bytes += GUARD);
        }
        plan.slots.iter_mut().for_each(|bytes| *bytes += GUARD);
        Self { plan, end, dirty }
    }

    /// The word at which the written part of a slot ends; a slot of one opaque value ends with its elements.
    fn end(plan: &Plan, slot: usize, whole: bool) -> usize {
        let written = plan.launches.iter().flat_map(|l| {
            let here =
                move |b: &&(&'static str, Place)| l.writes.contains(&b.0) && b.1.buffer == Buffer::Slot(slot);
            l.bindings.iter().filter(here).map(move |b| (b.1, l.function.is_none()))
        });
        let written: Vec<_> = written.collect();
        let one = written.iter().all(|w| w.0 == written[0].0 && w.1);
        let output = plan.outputs.iter().find(|o| written.first().is_some_and(|w| w.0 == o.place));
        match output {
            Some(output) if one && whole => output.ty.shape.numel(),
            _ => {
                let bound = plan
                    .launches
                    .iter()
                    .flat_map(|l| l.bindings.iter().map(|b| b.1))
                    .chain(plan.outputs.iter().map(|o| o.place));
                let here = bound.filter(|p| p.buffer == Buffer::Slot(slot));
                here.map(|p| ((p.offset + p.bytes) / 4) as usize).max().unwrap_or(0)
            }
        }
    }

    /// Fills the slots with garbage, except where the executor promises zeros.
    pub(crate) fn poison(&self, gpu: &Gpu, executor: &Executor) {
        for (buffer, &end) in executor.slots().zip(&self.end) {
            let start = if self.dirty { 0 } else { end };
            let words = vec![POISON; buffer.size() as usize / 4 - start];
            gpu.write(buffer, 4 * start as u64, bytemuck::cast_slice(&words)).unwrap();
        }
    }

    /// Fails if anything was written behind a slot's end.
    pub(crate) fn check(&self, gpu: &Gpu, executor: &Executor, name: &str) {
        for (i, (buffer, &end)) in executor.slots().zip(&self.end).enumerate() {
            let start = 4 * end as u64;
            let words = gpu.read_words(buffer.slice(start..)).unwrap_or_else(|e| panic!("{name}: {e}"));
            let bad = words.iter().position(|&w| w != POISON);
            assert_eq!(bad, None, "{name}: words written behind the end of slot {i}");
        }
    }
}
