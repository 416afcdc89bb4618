//! An executor's inputs: ranges of the host's buffers, or buffers of its own that must be written before a
//! step.

use super::{Element, Gpu, State, device::STORAGE, slots::Filled};
use crate::{
    error::{Error, Result},
    graph::shape::Type,
    plan::{Buffer, Launch, Place, Plan},
};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

/// A named input.
pub(super) struct Input {
    ty: Type,
    pub(super) buffer: wgpu::Buffer,
    pub(super) offset: u64,
    /// Whether there is something in it that a step may read, as far as the executor knows.
    written: AtomicBool,
    /// Where it is bound to another executor's output, whether that holds something.
    source: Option<Filled>,
    /// What the elements must stay below, if they are places of rows.
    below: Option<usize>,
}

impl Input {
    pub(super) fn note_written(&self) {
        self.written.store(true, Ordering::Release);
    }

    fn lacks(&self) -> bool {
        !self.written.load(Ordering::Acquire) && !self.source.as_ref().is_some_and(Filled::get)
    }
}

/// All inputs by their names.
pub(super) struct Inputs(BTreeMap<String, Input>);

fn wrong(what: String) -> Error {
    Error::State(what)
}

impl Inputs {
    pub(super) fn new(gpu: &Gpu, plan: &Plan, host: &[(&str, wgpu::BufferSlice<'_>)]) -> Result<Self> {
        for (i, (name, _)) in host.iter().enumerate() {
            if !plan.inputs.iter().any(|(n, _)| n == name) {
                return Err(wrong(format!("the plan has no input `{name}`")));
            }
            if host[..i].iter().any(|(n, _)| n == name) {
                return Err(wrong(format!("input `{name}` is bound twice; bind it once")));
            }
        }
        let mut all = BTreeMap::new();
        for (i, (name, ty)) in plan.inputs.iter().enumerate() {
            let bound = host.iter().find(|(n, _)| n == name).map(|(_, slice)| slice);
            if let Some(slice) = bound {
                fits(gpu, name, ty, slice)?;
                gpu.ours(&format!("the buffer of input `{name}`"), slice.buffer())?;
            }
            let (buffer, offset) = match bound {
                Some(slice) => (slice.buffer().clone(), slice.offset()),
                None => (gpu.buffer(name, ty.bytes(), STORAGE)?, 0),
            };
            let source = bound.and_then(|slice| gpu.slots.holding(slice.buffer()));
            let known = bound.is_some() && source.is_none();
            let written = AtomicBool::new(known || !plan.reads(Buffer::Input(i)));
            let below = plan.is_order(i).then(|| ty.shape.numel());
            all.insert(name.clone(), Input { ty: ty.clone(), buffer, offset, written, source, below });
        }
        Ok(Self(all))
    }

    /// Refuses an input that lies in a buffer of the State which the same launch writes.
    pub(super) fn apart(&self, plan: &Plan, launch: &Launch, state: &State) -> Result<()> {
        let writes = |(name, place): &&(_, Place)| {
            launch.writes.contains(name) && matches!(place.buffer, Buffer::Var(_) | Buffer::Arena(_))
        };
        for (_, place) in &launch.bindings {
            let Buffer::Input(i) = place.buffer else { continue };
            let name = &plan.inputs[i].0;
            let Input { buffer, offset, .. } = self.get(name)?;
            for (_, written) in launch.bindings.iter().filter(writes) {
                if state.locate(plan, written.buffer)?.0 == buffer {
                    let (label, at, held) = (&launch.label, &launch.at, state.at(buffer, *offset));
                    return Err(wrong(format!(
                        "input `{name}` is bound to {held}, whose buffer {label} ({at}) writes while it reads the \
                         input; bind a copy of it, or let the graph read the variable"
                    )));
                }
            }
        }
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Result<&Input> {
        self.0.get(name).ok_or_else(|| wrong(format!("the plan has no input `{name}`")))
    }

    /// Finds an input that a step would read and nobody has written.
    pub(super) fn written(&self) -> Result<()> {
        let Some((name, Input { ty, source, .. })) = self.0.iter().find(|(_, input)| input.lacks()) else {
            return Ok(());
        };
        let what = match source {
            None => "was never written; write it, or bind a buffer to it, before the first step",
            Some(_) => {
                "was never written: the executor whose output it is bound to has recorded no step; record one, or \
                        write the input, before"
            }
        };
        Err(wrong(format!("input `{name}` ({ty:?}) {what}")))
    }

    /// The input, if it takes these values.
    pub(super) fn takes<T: Element>(&self, name: &str, values: &[T]) -> Result<&Input> {
        let input = self.get(name)?;
        let Input { ty, buffer, .. } = input;
        if ty.dtype != T::DTYPE {
            return Err(wrong(format!("input `{name}` is {:?}, got {:?} elements", ty.dtype, T::DTYPE)));
        }
        let (need, got) = (ty.shape.numel() * ty.dtype.size(), size_of_val(values));
        if got != need {
            return Err(wrong(format!("input `{name}` is {ty:?} ({need} bytes), got {got} bytes")));
        }
        if !buffer.usage().contains(wgpu::BufferUsages::COPY_DST) {
            let what = format!("input `{name}` is bound to a buffer with the usages {:?}", buffer.usage());
            return Err(wrong(format!("{what}; create it with COPY_DST to write it")));
        }
        if let Some(rows) = input.below {
            within(name, rows, bytemuck::cast_slice(values))?;
        }
        Ok(input)
    }
}

/// Refuses an order that has not a place for each row of the data, or that points outside them.
pub(crate) fn within(name: &str, rows: usize, order: &[u32]) -> Result<()> {
    if order.len() != rows {
        let what = format!("the order `{name}` has {} places, but the data has {rows} rows", order.len());
        return Err(wrong(format!("{what}; give a place for each row")));
    }
    match order.iter().position(|&row| row as usize >= rows) {
        None => Ok(()),
        Some(at) => Err(wrong(format!(
            "element {at} of the order `{name}` is {}, but the data has {rows} rows; give places from 0 to {}",
            order[at],
            rows - 1
        ))),
    }
}

/// Refuses a host's range that cannot be bound to the input.
fn fits(gpu: &Gpu, name: &str, ty: &Type, slice: &wgpu::BufferSlice<'_>) -> Result<()> {
    let (buffer, offset) = (slice.buffer(), slice.offset());
    let align = u64::from(gpu.device.limits().min_storage_buffer_offset_alignment);
    let (elements, room) = ((ty.shape.numel() * ty.dtype.size()) as u64, buffer.size() - offset);
    let what = if !buffer.usage().contains(wgpu::BufferUsages::STORAGE) {
        format!("is bound to a buffer with the usages {:?}; create it with STORAGE", buffer.usage())
    } else if !offset.is_multiple_of(align) {
        format!("is bound from byte {offset} on; begin at a multiple of {align}")
    } else if slice.size() < elements || room < ty.bytes() {
        let has = if slice.size() < elements { slice.size() } else { room };
        format!("needs {} bytes, the bound range has {has}", ty.bytes())
    } else {
        return Ok(());
    };
    Err(wrong(format!("input `{name}` {what}")))
}
