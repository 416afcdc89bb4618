//! An executor's inputs: ranges of the host's buffers, or buffers of its own that must be written before a
//! step.

use super::{
    Element, Gpu, State,
    device::STORAGE,
    owned::{Fill, Filled, Owned, Reached},
};
use crate::{
    error::{Error, Result},
    graph::shape::Type,
    plan::{Buffer, Launch, Place, Plan},
};
use std::collections::BTreeMap;

/// A named input.
pub(super) struct Input {
    ty: Type,
    pub(super) buffer: wgpu::Buffer,
    pub(super) offset: u64,
    /// Whether the host wrote it by this executor.
    written: Reached,
    /// The buffer of an executor that it lies in: its own, or another one's that it is bound to.
    within: Option<Filled>,
    /// Whether it is bound.
    bound: bool,
    /// Whether a launch or an output reads it.
    read: bool,
    /// What the elements must stay below, if they are places of rows.
    below: Option<usize>,
}

impl Input {
    fn new(gpu: &Gpu, plan: &Plan, i: usize, bound: Option<&wgpu::BufferSlice<'_>>) -> Result<Self> {
        let ((name, ty), written) = (&plan.inputs[i], Reached::default());
        let (buffer, offset, within) = match bound {
            Some(slice) => {
                fits(gpu, name, ty, slice)?;
                (slice.buffer().clone(), slice.offset(), of_another(gpu, name, ty, slice)?)
            }
            None => {
                let buffer = gpu.buffer(name, ty.bytes(), STORAGE)?;
                let fills = vec![Fill { range: 0..ty.bytes(), dtype: ty.dtype, step: 0 }];
                let own = Owned { buffer: buffer.clone(), input: true, reached: written.clone(), fills };
                (buffer, 0, Some(Filled::new(gpu.owned.add(own), &(0..ty.bytes()))))
            }
        };
        let read = plan.reads(Buffer::Input(i));
        let below = plan.is_order(i).then(|| ty.shape.numel());
        Ok(Self { ty: ty.clone(), buffer, offset, written, within, bound: bound.is_some(), read, below })
    }

    pub(super) fn note_written(&self) {
        self.written.note(0..1);
    }

    /// This says what the host must do before a step can read the input; `None` where it can.
    fn lacks(&self) -> Option<&'static str> {
        let within =
            self.within.as_ref().filter(|held| self.read && self.written.steps() == 0 && !held.get())?;
        Some(match self.bound {
            true => within.missing(),
            false => "; write it, or bind a buffer to it, before the first step",
        })
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
        for (i, (name, _)) in plan.inputs.iter().enumerate() {
            let bound = host.iter().find(|(n, _)| n == name).map(|(_, slice)| slice);
            all.insert(name.clone(), Input::new(gpu, plan, i, bound)?);
        }
        Ok(Self(all))
    }

    /// Refuses an input that lies in a buffer of the State which the same launch writes.
    pub(super) fn apart(&self, plan: &Plan, launch: &Launch, state: &State) -> Result<()> {
        let held = |place: &&Place| matches!(place.buffer, Buffer::Var(_) | Buffer::Arena(_));
        for (_, place) in &launch.bindings {
            let Buffer::Input(i) = place.buffer else { continue };
            let name = &plan.inputs[i].0;
            let Input { buffer, offset, .. } = self.get(name)?;
            for written in launch.written().filter(held) {
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
        let mut missing = self.0.iter().filter_map(|(name, input)| Some((name, &input.ty, input.lacks()?)));
        missing.next().map_or(Ok(()), |(name, ty, what)| {
            Err(wrong(format!("input `{name}` ({ty:?}) was never written{what}")))
        })
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

/// The range of another executor's buffer that an input is bound to, if it is one.
fn of_another(gpu: &Gpu, name: &str, ty: &Type, slice: &wgpu::BufferSlice<'_>) -> Result<Option<Filled>> {
    let elements = (ty.shape.numel() * ty.dtype.size()) as u64;
    let within = gpu.owned.holding(slice.buffer(), &(slice.offset()..slice.offset() + elements));
    match within.as_ref().and_then(|held| held.dtype).filter(|held| *held != ty.dtype) {
        None => Ok(within),
        Some(other) => Err(wrong(format!(
            "input `{name}` is {:?}, and the output that it is bound to {other:?}; bind one of the same type",
            ty.dtype
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
        return gpu.ours(&format!("the buffer of input `{name}`"), buffer);
    };
    Err(wrong(format!("input `{name}` {what}")))
}
