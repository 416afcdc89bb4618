//! The buffers of all persistent values. Several executors share one State: a trainer and a sampler, or
//! the two players of a GAN. It is made from all the plans that share it, and a mismatch is an error.

use super::{Gpu, Promise, device::STORAGE, health::Health};
use crate::{
    error::{Error, Result},
    graph::{
        shape::{DType, Type},
        var::{Arena, FileLayout, VarSpec},
    },
    plan::{Buffer, Plan},
};
use std::{collections::BTreeMap, sync::Arc};

/// A persistent value: its declaration by the first plan that has it, and where it lies.
struct Held {
    spec: VarSpec,
    /// The index into the State's buffers.
    buffer: usize,
    /// The first byte.
    offset: u64,
}

impl Held {
    fn new(spec: &VarSpec, buffer: usize, offset: u64) -> Self {
        Self { spec: spec.clone(), buffer, offset }
    }
}

/// The persistent values of one or several plans on the GPU.
pub struct State {
    buffers: Vec<wgpu::Buffer>,
    vars: BTreeMap<String, Held>,
    /// Each arena's buffer and members, by its name.
    arenas: BTreeMap<String, (usize, Members)>,
    health: Arc<Health>,
}

/// The rows of an arena and its members in order: where these are equal, every variable lies at the same
/// place.
type Members = (usize, Vec<(String, Type)>);

fn members(plan: &Plan, arena: &Arena) -> Members {
    let member = |&v: &usize| (plan.vars[v].name.clone(), plan.vars[v].ty.clone());
    (arena.rows, arena.members.iter().map(member).collect())
}

impl State {
    /// Allocates and initialises the variables of all plans. First values are a function of seed and name.
    ///
    /// # Errors
    /// Plans that disagree about a variable or an optimizer group; what the device refuses.
    pub fn new(gpu: &Gpu, plans: &[&Plan], seed: u64) -> Result<Self> {
        gpu.check()?;
        let health = gpu.health.clone();
        let mut this = Self { buffers: vec![], vars: BTreeMap::new(), arenas: BTreeMap::new(), health };
        let mut sizes = vec![];
        // Arenas first: a variable in an optimizer group lives there for every plan.
        for plan in plans {
            for arena in &plan.arenas {
                let members = members(plan, arena);
                match this.arenas.get(&arena.name) {
                    Some((_, known)) if *known == members => {}
                    Some(_) => {
                        return Err(Error::State(format!(
                            "two plans give the optimizer group `{}` different variables",
                            arena.name
                        )));
                    }
                    None => {
                        this.arenas.insert(arena.name.clone(), (sizes.len(), members));
                        sizes.push((arena.name.clone(), (arena.rows * arena.row_len * 4) as u64));
                    }
                }
            }
            for var in &plan.vars {
                let Some(home) = var.home else { continue };
                let arena = &plan.arenas[home.arena];
                let buffer = this.arenas[&arena.name].0;
                let offset = 4 * (home.row * arena.row_len + home.offset) as u64;
                let held = Held::new(var, buffer, offset);
                if this.vars.insert(var.name.clone(), held).is_some_and(|known| known.buffer != buffer) {
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
                Some(held) if held.spec.ty != var.ty => {
                    return Err(Error::State(format!(
                        "variable `{}` is {:?} in one plan and {:?} in another",
                        var.name, held.spec.ty, var.ty
                    )));
                }
                Some(_) => {}
                None => {
                    this.vars.insert(var.name.clone(), Held::new(var, sizes.len(), 0));
                    sizes.push((var.name.clone(), var.ty.bytes()));
                }
            }
        }
        for (label, size) in &sizes {
            this.buffers.push(gpu.buffer(label, *size, STORAGE)?);
        }
        for (name, Held { spec, buffer, offset }) in &this.vars {
            let words = spec.init.words(seed, name, spec.ty.shape.numel());
            gpu.write(&this.buffers[*buffer], *offset, bytemuck::cast_slice(&words))?;
        }
        Ok(this)
    }

    /// The names and types of all values, in the order of their names.
    pub fn names(&self) -> impl Iterator<Item = (&str, &Type)> {
        self.vars.iter().map(|(name, held)| (name.as_str(), &held.spec.ty))
    }

    /// How weights files hold a value.
    ///
    /// # Errors
    /// An unknown name.
    pub fn file_layout(&self, name: &str) -> Result<&FileLayout> {
        Ok(&self.held(name)?.spec.layout)
    }

    /// The shape and element type of a value.
    ///
    /// # Errors
    /// An unknown name.
    pub fn ty(&self, name: &str) -> Result<&Type> {
        Ok(&self.held(name)?.spec.ty)
    }

    fn held(&self, name: &str) -> Result<&Held> {
        self.vars.get(name).ok_or_else(|| Error::State(format!("there is no variable `{name}`")))
    }

    /// A value's range of its buffer, for hosts that bind, copy or read it themselves.
    ///
    /// # Errors
    /// An unknown name.
    pub fn variable(&self, name: &str) -> Result<wgpu::BufferSlice<'_>> {
        let held = self.held(name)?;
        let bytes = 4 * held.spec.ty.shape.numel() as u64;
        Ok(self.buffers[held.buffer].slice(held.offset..held.offset + bytes))
    }

    /// Copies the f32 elements of values to the host in one submission.
    pub fn read_async<const N: usize>(&self, gpu: &Gpu, names: [&str; N]) -> Promise<[Vec<f32>; N]> {
        let float = |name: &&str| match self.ty(name)?.dtype {
            DType::F32 => self.variable(name),
            other => Err(Error::State(format!(
                "variable `{name}` is {other:?}; read its bytes by Gpu::read_async"
            ))),
        };
        gpu.read_floats(self.belongs(gpu).and_then(|()| names.iter().map(float).collect()))
    }

    /// Waits for a value and returns its 32-bit words.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_words(&self, gpu: &Gpu, name: &str) -> Result<Vec<u32>> {
        self.belongs(gpu)?;
        gpu.read_words(self.variable(name)?)
    }

    /// Waits for a value and returns its f32 elements.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(&self, gpu: &Gpu, name: &str) -> Result<Vec<f32>> {
        Ok(self.read_words(gpu, name)?.into_iter().map(f32::from_bits).collect())
    }

    /// Overwrites a value's 32-bit words. They take effect before the next submission.
    ///
    /// # Errors
    /// An unknown name, or another number of words than the value has.
    pub fn write_words(&self, gpu: &Gpu, name: &str, words: &[u32]) -> Result<()> {
        self.belongs(gpu)?;
        let held = self.held(name)?;
        let (elements, got) = (held.spec.ty.shape.numel(), words.len());
        if got != elements {
            return Err(Error::State(format!("variable `{name}` has {elements} elements, got {got}")));
        }
        gpu.write(&self.buffers[held.buffer], held.offset, bytemuck::cast_slice(words))
    }

    /// Overwrites a value's f32 elements, as [`State::write_words`] does.
    pub fn write(&self, gpu: &Gpu, name: &str, values: &[f32]) -> Result<()> {
        self.write_words(gpu, name, bytemuck::cast_slice(values))
    }

    /// Refuses a Gpu that did not make this State.
    pub(crate) fn belongs(&self, gpu: &Gpu) -> Result<()> {
        gpu.owns("the State", &self.health)
    }

    /// Names what holds a byte of one of the State's buffers.
    pub(super) fn at(&self, buffer: &wgpu::Buffer, byte: u64) -> String {
        let holds = |held: &Held| {
            let bytes = held.spec.ty.bytes();
            self.buffers[held.buffer] == *buffer && (held.offset..held.offset + bytes).contains(&byte)
        };
        match self.vars.iter().find(|(_, held)| holds(held)) {
            Some((name, _)) => format!("variable `{name}`"),
            None => "the State's own".into(),
        }
    }

    /// The buffer and offset that a plan's variable or arena lies at.
    pub(super) fn locate(&self, plan: &Plan, buffer: Buffer) -> Result<(&wgpu::Buffer, u64)> {
        match buffer {
            Buffer::Var(i) => {
                let name = &plan.vars[i].name;
                let held = self.vars.get(name).ok_or_else(|| {
                    Error::State(format!(
                        "the State has no variable `{name}` of the plan; make it from all plans that share it"
                    ))
                })?;
                if held.spec.ty != plan.vars[i].ty {
                    return Err(Error::State(format!(
                        "variable `{}` is {:?} in the plan and {:?} in the State",
                        name, plan.vars[i].ty, held.spec.ty
                    )));
                }
                Ok((&self.buffers[held.buffer], held.offset))
            }
            Buffer::Arena(i) => {
                let arena = &plan.arenas[i];
                let known = self.arenas.get(&arena.name).filter(|(_, known)| *known == members(plan, arena));
                let (buffer, _) = known.ok_or_else(|| {
                    Error::State(format!("the State was not made for the optimizer group `{}`", arena.name))
                })?;
                Ok((&self.buffers[*buffer], 0))
            }
            Buffer::Slot(_) | Buffer::Input(_) | Buffer::Constant(_) => {
                unreachable!("slots, inputs and constants belong to the executor")
            }
        }
    }
}
