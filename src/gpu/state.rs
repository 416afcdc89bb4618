//! The buffers of all persistent values. Several executors share one State: a trainer and a sampler, or
//! the two players of a GAN. It is made from all the plans that share it, and a mismatch is an error.

use super::Gpu;
use crate::{
    error::{Error, Result},
    graph::{
        shape::Type,
        var::{self, Arena, Init},
    },
    plan::{Buffer, Plan},
};
use std::collections::BTreeMap;

/// A persistent value's buffer and range.
#[derive(Clone, Debug)]
struct Home {
    ty: Type,
    init: Init,
    file: var::Layout,
    buffer: usize,
    offset: u64,
}

/// Persistent values on the GPU.
pub struct State {
    buffers: Vec<wgpu::Buffer>,
    vars: BTreeMap<String, Home>,
    /// Arena name to its buffer and layout.
    arenas: BTreeMap<String, (usize, Layout)>,
}

/// Rows of an arena and its members in order: equal layouts put every variable at the same place.
type Layout = (usize, Vec<(String, Type)>);

fn layout(plan: &Plan, arena: &Arena) -> Layout {
    let member = |&v: &usize| (plan.vars[v].name.clone(), plan.vars[v].ty.clone());
    (arena.rows, arena.members.iter().map(member).collect())
}

impl State {
    /// Allocates and initialises the variables of all plans; first values are a function of (seed, name).
    pub fn new(gpu: &Gpu, plans: &[&Plan], seed: u64) -> Result<Self> {
        let mut this = Self { buffers: vec![], vars: BTreeMap::new(), arenas: BTreeMap::new() };
        let mut sizes = vec![];
        // Arenas first: a variable in an optimizer group lives there for every plan.
        for plan in plans {
            for arena in &plan.arenas {
                let layout = layout(plan, arena);
                match this.arenas.get(&arena.name) {
                    Some((_, known)) if *known == layout => {}
                    Some(_) => {
                        return Err(Error::State(format!(
                            "two plans give the optimizer group `{}` different variables",
                            arena.name
                        )));
                    }
                    None => {
                        this.arenas.insert(arena.name.clone(), (sizes.len(), layout));
                        sizes.push((arena.name.clone(), (arena.rows * arena.row_len * 4) as u64));
                    }
                }
            }
            for var in &plan.vars {
                let Some((arena, row, offset)) = var.home else { continue };
                let arena = &plan.arenas[arena];
                let buffer = this.arenas[&arena.name].0;
                let home = Home {
                    ty: var.ty.clone(),
                    init: var.init.clone(),
                    file: var.layout.clone(),
                    buffer,
                    offset: 4 * (row * arena.row_len + offset) as u64,
                };
                if this.vars.insert(var.name.clone(), home).is_some_and(|known| known.buffer != buffer) {
                    let what = format!(
                        "variable `{}` is in two optimizer groups, `{}` and another; give both plans' groups one name",
                        var.name, arena.name
                    );
                    return Err(Error::State(what));
                }
            }
        }
        for var in plans.iter().flat_map(|p| &p.vars) {
            match this.vars.get(&var.name) {
                Some(home) if home.ty != var.ty => {
                    return Err(Error::State(format!(
                        "variable `{}` is {:?} in one plan and {:?} in another",
                        var.name, home.ty, var.ty
                    )));
                }
                Some(_) => {}
                None => {
                    let home = Home {
                        ty: var.ty.clone(),
                        init: var.init.clone(),
                        file: var.layout.clone(),
                        buffer: sizes.len(),
                        offset: 0,
                    };
                    sizes.push((var.name.clone(), var.ty.bytes()));
                    this.vars.insert(var.name.clone(), home);
                }
            }
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        for (label, size) in &sizes {
            let desc =
                wgpu::BufferDescriptor { label: Some(label), size: *size, usage, mapped_at_creation: false };
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

    /// How weights files hold a value.
    pub fn file_layout(&self, name: &str) -> Result<&var::Layout> {
        Ok(&self.home(name)?.file)
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
            return Err(Error::State(format!(
                "variable `{name}` has {} elements, got {}",
                home.ty.shape.numel(),
                words.len()
            )));
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
                let known = self.arenas.get(&arena.name).filter(|(_, known)| *known == layout(plan, arena));
                let (buffer, _) = known.ok_or_else(|| {
                    Error::State(format!("the State was not made for the optimizer group `{}`", arena.name))
                })?;
                Ok((&self.buffers[*buffer], 0))
            }
            Buffer::Slot(_) | Buffer::Input(_) => unreachable!("slots and inputs belong to the executor"),
        }
    }
}
