//! The buffers that executors own, and whether something lies in them yet: another executor's input that is bound to
//! one of them has nothing to read before the launch that fills it was recorded, or before the host wrote it.

use super::health::lock;
use std::{
    ops::Range,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

/// How many of the steps that fill some buffers have been taken: launches of an executor, or the one write of an input.
#[derive(Clone, Default)]
pub(super) struct Reached(Arc<AtomicUsize>);

impl Reached {
    pub(super) fn steps(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    /// Notes that these steps were taken. They count if all that come before them were taken, too.
    pub(super) fn note(&self, steps: Range<usize>) {
        let further = |at| (steps.start <= at && at < steps.end).then_some(steps.end);
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, further);
    }
}

/// Whether a range of a buffer that an executor owns holds something.
#[derive(Clone)]
pub(super) struct Filled {
    pub(super) reached: Reached,
    /// The number of steps after which it does.
    pub(super) need: usize,
    /// What must happen before, for an error's text.
    pub(super) missing: &'static str,
}

impl Filled {
    pub(super) fn get(&self) -> bool {
        self.reached.steps() >= self.need
    }
}

/// A buffer that an executor owns.
pub(super) struct Owned {
    pub(super) buffer: wgpu::Buffer,
    pub(super) reached: Reached,
    /// The ranges that are filled, and the number of steps after which each is.
    pub(super) fills: Vec<(Range<u64>, usize)>,
    /// What must happen before, for an error's text.
    pub(super) missing: &'static str,
}

/// The buffers of all executors of a device, as long as they live.
#[derive(Default)]
pub(super) struct AllOwned(Mutex<Vec<Weak<Owned>>>);

impl AllOwned {
    /// Makes buffers known as an executor's own.
    pub(super) fn add(&self, owned: impl IntoIterator<Item = Owned>) -> Vec<Arc<Owned>> {
        let owned: Vec<_> = owned.into_iter().map(Arc::new).collect();
        let mut known = lock(&self.0);
        known.retain(|owned| owned.strong_count() > 0);
        known.extend(owned.iter().map(Arc::downgrade));
        owned
    }

    /// Whether there is something in the bytes of a buffer that an executor owns; `None` for a buffer of others.
    pub(super) fn holding(&self, buffer: &wgpu::Buffer, bytes: Range<u64>) -> Option<Filled> {
        let known = lock(&self.0);
        let owned = known.iter().filter_map(Weak::upgrade).find(|owned| owned.buffer == *buffer)?;
        let overlaps = |range: &Range<u64>| range.start < bytes.end && bytes.start < range.end;
        let needs = owned.fills.iter().filter(|(range, _)| overlaps(range)).map(|(_, need)| *need);
        let (reached, need) = (owned.reached.clone(), needs.max().unwrap_or(0));
        Some(Filled { reached, need, missing: owned.missing })
    }
}
