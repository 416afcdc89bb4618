//! The buffers of all persistent values. Several executors share one State: a trainer and a sampler, or
//! the two players of a GAN. It is made from all the plans that share it, and a mismatch is an error.

use super::Gpu;
use crate::{
    error::{Error, Result},
    plan::{Buffer, Plan},
    shape::Type,
    var::Init,
};
use std::collections::BTreeMap;

/// A persistent value's buffer and range.
#[derive(Clone, Debug)]
struct Home {
    ty: Type,
    init: Init,
    buffer: usize,
    offset: u64,
}

/// Persistent values on the GPU.
pub struct State {
    buffers: Vec<wgpu::Buffer>,
    vars: BTreeMap<String, Home>,
    /// Arena name to (buffer, rows, row length).
    arenas: BTreeMap<String, (usize, usize, usize)>,
}

impl State {
    /// Allocates and initialises the variables of all plans; first values are a function of (seed, name).
    pub fn new(gpu: &Gpu, plans: &[&Plan], seed: u64) -> Result<Self> {
        let mut this = Self { buffers: vec![], vars: BTreeMap::new(), arenas: BTreeMap::new() };
        let mut sizes = vec![];
        // Arenas first: a variable in an optimizer group lives there for every plan.
        for plan in plans {
            for arena in &plan.arenas {
                let bytes = (arena.rows * arena.row_len * 4) as u64;
                let entry = (sizes.len(), arena.rows, arena.row_len);
                if let Some(known) = this.arenas.insert(arena.name.clone(), entry) {
                    return Err(Error::State(format!(
                        "two plans declare the optimizer group `{}` ({} floats); give each a name",
                        arena.name, known.2
                    )));
                }
                sizes.push((arena.name.clone(), bytes));
            }
            for var in plan.vars.iter().filter(|v| v.home.is_some()) {
                let (arena, row, offset) = var.home.unwrap_or_default();
                let (buffer, _, row_len) = this.arenas[&plan.arenas[arena].name];
                let home = Home { ty: var.ty.clone(), init: var.init.clone(), buffer, offset: 4 * (row * row_len + offset) as u64 };
                this.vars.insert(var.name.clone(), home);
            }
        }
        for var in plans.iter().flat_map(|p| &p.vars) {
            match this.vars.get(&var.name) {
                Some(home) if home.ty != var.ty => {
                    return Err(Error::State(format!("variable `{}` is {:?} in one plan and {:?} in another", var.name, home.ty, var.ty)));
                }
                Some(_) => {}
                None => {
                    let home = Home { ty: var.ty.clone(), init: var.init.clone(), buffer: sizes.len(), offset: 0 };
                    sizes.push((var.name.clone(), var.ty.bytes()));
                    this.vars.insert(var.name.clone(), home);
                }
            }
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        for (label, size) in &sizes {
            let desc = wgpu::BufferDescriptor { label: Some(label), size: *size, usage, mapped_at_creation: false };
            this.buffers.push(gpu.guarded(|d| d.create_buffer(&desc))?);
        }
        for (name, home) in &this.vars {
            let words = home.init.words(seed, name, home.ty.shape.numel());
            gpu.queue.write_buffer(&this.buffers[home.buffer], home.offset, bytemuck::cast_slice(&words));
        }
        Ok(this)
    }

    /// Names and types of all values, in the order of their names.
    pub fn names(&self) -> impl Iterator<Item = (&str, &Type)> {
        self.vars.iter().map(|(name, home)| (name.as_str(), &home.ty))
    }

    fn home(&self, name: &str) -> Result<&Home> {
        self.vars.get(name).ok_or_else(|| Error::State(format!("there is no variable `{name}`")))
    }

    /// A value's 32-bit words.
    pub fn read_words(&self, gpu: &Gpu, name: &str) -> Result<Vec<u32>> {
        let home = self.home(name)?;
        gpu.read_words(&self.buffers[home.buffer], home.offset, 4 * home.ty.shape.numel() as u64)
    }

    /// A value as f32.
    pub fn read(&self, gpu: &Gpu, name: &str) -> Result<Vec<f32>> {
        Ok(self.read_words(gpu, name)?.into_iter().map(f32::from_bits).collect())
    }

    /// Overwrites a value's words; takes effect before the next submission.
    pub fn write_words(&self, gpu: &Gpu, name: &str, words: &[u32]) -> Result<()> {
        let home = self.home(name)?;
        if words.len() != home.ty.shape.numel() {
            return Err(Error::State(format!("variable `{name}` has {} elements, got {}", home.ty.shape.numel(), words.len())));
        }
        gpu.queue.write_buffer(&self.buffers[home.buffer], home.offset, bytemuck::cast_slice(words));
        Ok(())
    }

    /// Overwrites a value.
    pub fn write(&self, gpu: &Gpu, name: &str, values: &[f32]) -> Result<()> {
        self.write_words(gpu, name, bytemuck::cast_slice(values))
    }

    /// The buffer and offset that a plan's variable or arena lies at.
    pub(super) fn locate(&self, plan: &Plan, buffer: Buffer) -> Result<(&wgpu::Buffer, u64)> {
        match buffer {
            Buffer::Var(i) => {
                let home = self.home(&plan.vars[i].name)?;
                if home.ty != plan.vars[i].ty {
                    return Err(Error::State(format!(
                        "variable `{}` is {:?} in the plan and {:?} in the State",
                        plan.vars[i].name, plan.vars[i].ty, home.ty
                    )));
                }
                Ok((&self.buffers[home.buffer], home.offset))
            }
            Buffer::Arena(i) => {
                let arena = &plan.arenas[i];
                let known = self.arenas.get(&arena.name).filter(|a| (a.1, a.2) == (arena.rows, arena.row_len));
                let (buffer, ..) =
                    known.ok_or_else(|| Error::State(format!("the State was not made for the optimizer group `{}`", arena.name)))?;
                Ok((&self.buffers[*buffer], 0))
            }
            Buffer::Slot(_) | Buffer::Input(_) => unreachable!("slots and inputs belong to the executor"),
        }
    }
}
