//! The GPU's time for every launch, by timestamps inside the pass.

use super::{Executor, Gpu};
use crate::error::{Error, Result};
use std::sync::Arc;

/// The timestamp queries of one executor.
pub struct Profile {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    count: u32,
    executor: Arc<()>,
}

impl Profile {
    /// Makes the queries for an executor.
    ///
    /// # Errors
    /// An adapter without timestamps inside passes.
    pub fn new(gpu: &Gpu, executor: &Executor) -> Result<Self> {
        gpu.owns("the executor", executor.health())?;
        if !gpu.caps().timestamps {
            return Err(Error::Device(format!("{} cannot write timestamps inside a pass", gpu.caps().name)));
        }
        let count = 2 * executor.launches().len() as u32;
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let (queries, resolved) = gpu.guarded("timestamps", |d| {
            let queries = d.create_query_set(&wgpu::QuerySetDescriptor {
                label: None,
                ty: wgpu::QueryType::Timestamp,
                count,
            });
            let desc = wgpu::BufferDescriptor {
                label: Some("timestamps"),
                size: 8 * u64::from(count),
                usage,
                mapped_at_creation: false,
            };
            (queries, d.create_buffer(&desc))
        })?;
        Ok(Self { queries, resolved, count, executor: executor.token().clone() })
    }

    /// Records one step of the executor with a timestamp around every launch.
    ///
    /// # Errors
    /// Another executor than the profile was made for; what [`Executor::record`] refuses.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder, executor: &Executor) -> Result<()> {
        if !Arc::ptr_eq(&self.executor, executor.token()) {
            let what = "the profile was made for another executor; make one for each";
            return Err(Error::State(what.into()));
        }
        executor.ready()?;
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for (i, launch) in executor.launches().iter().enumerate() {
            pass.write_timestamp(&self.queries, 2 * i as u32);
            launch.record(&mut pass);
            pass.write_timestamp(&self.queries, 2 * i as u32 + 1);
        }
        drop(pass);
        encoder.resolve_query_set(&self.queries, 0..self.count, &self.resolved, 0);
        Ok(())
    }

    /// The seconds that each launch of the last profiled step took, in order.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(&self, gpu: &Gpu) -> Result<Vec<f64>> {
        let bytes = gpu.read(self.resolved.slice(..))?;
        let stamps: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes);
        let tick = f64::from(gpu.queue.get_timestamp_period()) * 1e-9;
        Ok(stamps.chunks(2).map(|s| s[1].saturating_sub(s[0]) as f64 * tick).collect())
    }
}
