//! Pipelines are compiled on all cores, since a driver can spend seconds in it. The threads end with the call.

use super::{Gpu, device::key};
use crate::{error::Result, plan::Launch};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};
#[cfg(not(target_arch = "wasm32"))]
use std::{panic, thread};

impl Gpu {
    /// Compiles the pipelines that these launches lack.
    pub(super) fn compile_all(&self, launches: &[Launch]) -> Result<()> {
        let mut lacking: BTreeMap<_, _> = launches.iter().map(|launch| (key(launch), launch)).collect();
        lacking.retain(|key, _| !self.known().contains_key(key));
        let (lacking, next) = (lacking.into_values().collect::<Vec<_>>(), AtomicUsize::new(0));
        let work = || -> Result<()> {
            while let Some(launch) = lacking.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.pipeline(launch)?;
            }
            Ok(())
        };
        #[cfg(target_arch = "wasm32")]
        return work();
        #[cfg(not(target_arch = "wasm32"))]
        spread(work, lacking.len())
    }
}

/// Does the work on as many cores as it has parts.
#[cfg(not(target_arch = "wasm32"))]
fn spread(work: impl Fn() -> Result<()> + Copy + Send, parts: usize) -> Result<()> {
    let cores = thread::available_parallelism().map_or(1, usize::from).min(parts);
    if cores < 2 {
        return work();
    }
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|w| w.join().unwrap_or_else(|panic| panic::resume_unwind(panic)))
    })
}
