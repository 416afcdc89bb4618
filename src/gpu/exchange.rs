//! Steps in which ranks exchange values: the launches up to one that wrote such a value are submitted, the host takes
//! the value, and what all ranks have in common goes into its place before the next launch.

use super::{Executor, Gpu};
use crate::{error::Result, graph::share::Merge};

impl Executor {
    /// Runs one step in which ranks exchange values, in submissions of at most `most` launches, and waits for it.
    /// `exchange` gets each value in its turn, in the order that all ranks have, and makes it the one that they
    /// have in common.
    ///
    /// # Errors
    /// As [`Executor::step`]; the error of `exchange`, after which a part of the step is done.
    pub fn step_with(
        &self,
        gpu: &Gpu,
        most: usize,
        exchange: &mut dyn FnMut(Merge, &mut [f32]) -> Result<()>,
    ) -> Result<()> {
        gpu.owns("the executor", self.health())?;
        let (launches, mut first) = (self.labels().len(), 0);
        let ends = self.exchanges().iter().map(|e| (e.launch + 1, Some(e))).chain([(launches, None)]);
        for (end, met) in ends {
            while end - first > most.max(1) {
                gpu.submit(|encoder| self.record_part(encoder, first..first + most.max(1)))?;
                first += most.max(1);
            }
            let mut read = None;
            gpu.submit(|encoder| {
                self.record_part(encoder, first..end)?;
                let range = met.map(|e| e.buffer.slice(e.range.clone()));
                read = range.map(|range| gpu.record_read(encoder, range)).transpose()?;
                Ok(())
            })?;
            gpu.wait()?;
            if let (Some(e), Some(read)) = (met, read) {
                let mut values: Vec<f32> = bytemuck::pod_collect_to_vec(&pollster::block_on(read)?);
                exchange(e.merge, &mut values)?;
                gpu.write(&e.buffer, e.range.start, bytemuck::cast_slice(&values))?;
            }
            first = end;
        }
        Ok(())
    }
}
