//! What a chip's compiler made of a pipeline: resources, loops, and the loop in which its time goes.

use crate::{
    chip::Chip,
    isa::{Code, Counts, Loop},
    vulkan::Compiled,
    work::Work,
};
use oneiro::error::{Error, Result};

/// A compiled pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// The lanes of a wave.
    pub lanes: u64,
    /// The vector registers of a lane.
    pub registers: u64,
    /// The scalar registers of a wave.
    pub scalars: u64,
    /// Registers that are kept in memory for want of room.
    pub spilled: u64,
    /// The bytes of memory that a lane needs for arrays and spilled values.
    pub scratch: u64,
    /// The bytes of workgroup memory.
    pub memory: u64,
    /// The bytes of code.
    pub code: u64,
    /// The loops, outer ones first.
    pub loops: Vec<Loop>,
    /// The code outside of all loops, which runs once.
    pub once: Loop,
}

/// The loop that holds the work of a kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hot {
    /// The loop's index.
    pub index: usize,
    /// What one pass holds, with the passes of a loop inside it.
    pub counts: Counts,
    /// The cycles of a pass of a wave that runs alone.
    pub cycles: u64,
}

impl Built {
    /// Reads what the driver told.
    ///
    /// # Errors
    /// A statistic or listing that this version of the driver does not give.
    pub(crate) fn read(compiled: &Compiled, chip: &Chip) -> Result<Self> {
        let of = |name: &str| {
            let value = compiled.statistics.get(name).map(|&v| v as u64);
            let known = || compiled.statistics.keys().cloned().collect::<Vec<_>>().join(", ");
            value.ok_or_else(|| {
                Error::new(format!(
                    "the driver tells no `{name}`, only {}; use another version of Mesa",
                    known()
                ))
            })
        };
        if compiled.listing.is_empty() {
            return Err(Error::new("the driver gives no assembly; use a Mesa that was built with LLVM"));
        }
        let (code, lanes) = (Code::read(&compiled.listing), u64::from(compiled.lanes));
        Ok(Self {
            lanes,
            registers: of("VGPRs")?,
            scalars: of("SGPRs")?,
            spilled: of("Spilled VGPRs")? + of("Spilled SGPRs")?,
            scratch: of("Scratch size")?,
            memory: of("LDS size")?,
            code: of("Code size")?,
            loops: code.loops(chip, lanes),
            once: code.once(chip, lanes),
        })
    }

    /// How often an invocation that does `work` passes through each loop.
    ///
    /// A loop is recognised by what it alone does: barriers, else products, else loads from buffers, else
    /// reads of workgroup memory; loops that are alike are passed equally often. A loop without any of these
    /// (workgroup memory is zeroed by one) counts as one pass.
    pub fn passes(&self, work: &Work) -> Vec<f64> {
        type Feature = (fn(&Counts) -> u64, fn(&Work) -> u64);
        let features: [Feature; 4] = [
            (|c| c.barrier, |w| w.barriers),
            (|c| c.products, |w| w.products),
            (|c| c.loaded, |w| w.loaded),
            (|c| c.lds_read, |w| w.shared),
        ];
        let mut passes: Vec<Option<f64>> = vec![None; self.loops.len()];
        for (holds, total) in features {
            let counted =
                self.loops.iter().zip(&passes).map(|(l, p)| p.unwrap_or(0.0) * holds(&l.counts) as f64);
            let rest = total(work) as f64 - counted.sum::<f64>();
            let open = |i: &usize| passes[*i].is_none() && holds(&self.loops[*i].counts) > 0;
            let alike: Vec<usize> = (0..passes.len()).filter(open).collect();
            let each: u64 = alike.iter().map(|&i| holds(&self.loops[i].counts)).sum();
            // What stands outside of the loops is less than a pass.
            alike.iter().for_each(|&i| passes[i] = Some((rest / each as f64).floor().max(1.0)));
        }
        passes.into_iter().map(|p| p.unwrap_or(1.0)).collect()
    }

    /// The loop with the most multiply-adds, or else the longest one. A loop that reads what the pass around it
    /// writes to workgroup memory belongs to that pass.
    pub fn hot(&self, passes: &[f64]) -> Option<Hot> {
        let length = |l: &Loop| (l.counts.fma, l.pace.issue, l.pace.cycles);
        let (index, inner) = self.loops.iter().enumerate().max_by_key(|(_, l)| length(l))?;
        let around = inner.outer.map(|o| (o, &self.loops[o]));
        let writes = |l: &Loop| l.counts.lds_bytes > l.counts.lds_read;
        match around.filter(|(_, outer)| writes(outer) && !writes(inner)) {
            Some((outer_index, outer)) => {
                let times = (passes[index] / passes[outer_index]).round().max(1.0) as u64;
                let counts = outer.counts.plus(&inner.counts, times);
                Some(Hot {
                    index: outer_index,
                    counts,
                    cycles: outer.pace.cycles + times * inner.pace.cycles,
                })
            }
            None => Some(Hot { index, counts: inner.counts, cycles: inner.pace.cycles }),
        }
    }

    /// The waves that a SIMD holds beside each other.
    pub fn waves(&self, chip: &Chip, invocations: u32) -> f64 {
        chip.resident(self.lanes, self.registers, self.memory, u64::from(invocations).div_ceil(self.lanes))
    }
}

#[cfg(test)]
pub(crate) mod tests;
