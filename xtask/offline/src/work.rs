//! What one invocation of a launch does, by walking through its WGSL with the launch's own `dims`: how many
//! products, bytes and barriers. From that follows how often a loop of the compiled code runs.
//!
//! Only what decides on control flow is computed; the numbers of the model itself are never known.

mod eval;
mod need;
mod value;
mod walk;

use crate::launches::Pipeline;
use oneiro::{error::Result, plan::Launch};
use std::collections::BTreeMap;

/// What an invocation does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Products of f32s, with or without an addition.
    pub products: u64,
    /// Bytes that it loads from storage buffers.
    pub loaded: u64,
    /// Bytes that it reads from workgroup memory.
    pub shared: u64,
    /// Workgroup barriers.
    pub barriers: u64,
}

impl Work {
    fn add(&mut self, other: Self) {
        self.products += other.products;
        self.loaded += other.loaded;
        self.shared += other.shared;
        self.barriers += other.barriers;
    }
}

/// Follows the first invocation of the first workgroup, which is never cut off by an edge.
///
/// # Errors
/// A pipeline that naga refuses.
pub fn work(pipeline: &Pipeline, launch: &Launch) -> Result<Work> {
    let offsets = &pipeline.reflection.dims;
    let mut words = vec![0; pipeline.reflection.dims_size.div_ceil(4) as usize];
    for (name, value) in &launch.dims {
        if let Some(&offset) = offsets.get(name) {
            words[offset as usize / 4] = *value;
        }
    }
    pipeline.module(|module, info| walk::Walk::new(module, info, &pipeline.entry, &words, launch.grid).run())
}

/// The work of each launch, which is followed once for launches that are alike.
#[derive(Default)]
pub struct Memory(BTreeMap<(usize, Vec<u32>), Work>);

impl Memory {
    /// The work of a launch.
    ///
    /// # Errors
    /// A pipeline that naga refuses.
    pub fn work(&mut self, index: usize, pipeline: &Pipeline, launch: &Launch) -> Result<Work> {
        let key = (index, launch.dims.iter().map(|(_, value)| *value).collect());
        if let Some(&work) = self.0.get(&key) {
            return Ok(work);
        }
        let found = work(pipeline, launch)?;
        self.0.insert(key, found);
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
