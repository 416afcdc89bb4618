//! An executor's inputs: ranges of the host's buffers, or buffers of its own that must be written before a
//! step.

use super::{
    Element, Gpu, State,
    device::STORAGE,
    owned::{Filled, Owned, Reached},
};
use crate::{
    error::{Error, Result},
    graph::shape::Type,
    plan::{Buffer, Launch, Place, Plan},
};
use std::{collections::BTreeMap, sync::Arc};

/// A named input.
pub(super) struct Input {
    ty: Type,
    pub(super) buffer: wgpu::Buffer,
    pub(super) offset: u64,
    /// Whether the host wrote it by this executor.
    written: Reached,
    /// What must hold something before a step that the host did not write it for; nothing where no launch reads it, or
    /// where the buffer is a host's, which holds what the host says.
    source: Option<Filled>,
    /// The buffer that it has of its own, to which others may be bound.
    _owned: Vec<Arc<Owned>>,
    /// What the elements must stay below, if they are places of rows.
    below: Option<usize>,
}

impl Input {
    /// An input with a buffer of its own.
    fn own(gpu: &Gpu, name: &str, ty: &Type) -> Result<Self> {
        let (buffer, written) = (gpu.buffer(name, ty.bytes(), STORAGE)?, Reached::default());
        let fills = vec![(0..ty.bytes(), 1)];
        let missing = ", nor was the other executor's input that it is bound to; write one of them before";
        let owned = Owned { buffer: buffer.clone(), reached: written.clone(), fills, missing };
        let missing = "; write it, or bind a buffer to it, before the first step";
        let source = Some(Filled { reached: written.clone(), need: 1, missing });
        let owned = gpu.owned.add([owned]);
        Ok(Self { ty: ty.clone(), buffer, offset: 0, written, source, _owned: owned, below: None })
    }

    /// An input that lies in a buffer of the host's or of another executor.
    fn bound(gpu: &Gpu, ty: &Type, slice: &wgpu::BufferSlice<'_>) -> Self {
        let (buffer, offset) = (slice.buffer().clone(), slice.offset());
        let elements = (ty.shape.numel() * ty.dtype.size()) as u64;
        let source = gpu.owned.holding(&buffer, offset..offset + elements);
        Self {
            ty: ty.clone(),
            buffer,
            offset,
            written: Reached::default(),
            source,
            _owned: vec![],
            below: None,
        }
    }

    pub(super) fn note_written(&self) {
        self.written.note(0..1);
    }

    /// What must happen before a step can read it.
    fn lacks(&self) -> Option<&'static str> {
        self.source
            .as_ref()
            .filter(|source| self.written.steps() == 0 && !source.get())
            .map(|source| source.missing)
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
            let mut input = match bound {
                Some(slice) => Input::bound(gpu, ty, slice),
                None => Input::own(gpu, name, ty)?,
            };
            input.source.take_if(|_| !plan.reads(Buffer::Input(i)));
            input.below = plan.is_order(i).then(|| ty.shape.numel());
            all.insert(name.clone(), input);
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
