//! The GPU's time for every launch, by timestamps inside the pass.

use super::{Executor, Gpu};
use crate::error::{Error, Result};
use std::sync::Arc;

/// The timestamp queries of one executor.
pub struct Profile {
    /// Two queries for each launch; a set has room for [`LAUNCHES`].
    sets: Vec<wgpu::QuerySet>,
    resolved: wgpu::Buffer,
    launches: usize,
    /// The token of the executor.
    executor: Arc<()>,
}

/// The bytes of a launch's two timestamps.
const BYTES: u64 = 16;
/// The launches that one query set of WebGPU can time.
const LAUNCHES: usize = wgpu::QUERY_SET_MAX_QUERIES as usize / 2;

impl Profile {
    /// Makes the queries for an executor.
    ///
    /// # Errors
    /// An adapter without timestamps inside passes.
    pub fn new(gpu: &Gpu, executor: &Executor) -> Result<Self> {
        gpu.owns("the executor", executor.health())?;
        gpu.check()?;
        if !gpu.caps().timestamps {
            return Err(Error::Device(format!("{} cannot write timestamps inside a pass", gpu.caps().name)));
        }
        let launches = executor.launches().len();
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let (sets, resolved) = gpu.guarded("timestamps", |d| {
            let set = |first| {
                d.create_query_set(&wgpu::QuerySetDescriptor {
                    label: None,
                    ty: wgpu::QueryType::Timestamp,
                    count: 2 * LAUNCHES.min(launches - first) as u32,
                })
            };
            let sets = (0..launches).step_by(LAUNCHES).map(set).collect();
            let desc = wgpu::BufferDescriptor {
                label: Some("timestamps"),
                size: BYTES * launches as u64,
                usage,
                mapped_at_creation: false,
            };
            (sets, d.create_buffer(&desc))
        })?;
        Ok(Self { sets, resolved, launches, executor: executor.token().clone() })
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
        executor.whole()?;
        executor.begin()?;
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for (i, launch) in executor.launches().iter().enumerate() {
            let (set, query) = (&self.sets[i / LAUNCHES], 2 * (i % LAUNCHES) as u32);
            pass.write_timestamp(set, query);
            launch.record(&mut pass);
            pass.write_timestamp(set, query + 1);
        }
        drop(pass);
        executor.reached().note(0..self.launches);
        for (i, set) in self.sets.iter().enumerate() {
            let count = LAUNCHES.min(self.launches - i * LAUNCHES);
            encoder.resolve_query_set(
                set,
                0..2 * count as u32,
                &self.resolved,
                BYTES * (i * LAUNCHES) as u64,
            );
        }
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
