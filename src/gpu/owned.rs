//! The buffers that executors own, and whether something lies in them yet: another executor's input that is bound to
//! one of them has nothing to read before the launch that fills it was recorded, or before the host wrote it.

use super::health::lock;
use crate::graph::shape::DType;
use std::{
    ops::Range,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

/// How many of the steps that fill some buffers were taken: launches of an executor, or the one write of an input.
#[derive(Clone, Default)]
pub(super) struct Reached(Arc<AtomicUsize>);

impl Reached {
    pub(super) fn steps(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    /// Notes that these steps were taken. They count if all that come before them were taken, too. What later ones have
    /// filled counts no more, since slots hold one value after the other.
    pub(super) fn note(&self, steps: Range<usize>) {
        let next = |at| (!steps.is_empty() && steps.start <= at).then_some(steps.end);
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
    }
}

/// A range of a buffer that is filled at a step.
pub(super) struct Fill {
    pub(super) range: Range<u64>,
    pub(super) dtype: DType,
    pub(super) step: usize,
}

/// A buffer that an executor owns.
pub(super) struct Owned {
    pub(super) buffer: wgpu::Buffer,
    /// Whether it is an input, which the host fills.
    pub(super) input: bool,
    pub(super) reached: Reached,
    pub(super) fills: Vec<Fill>,
}

/// A range of a buffer that an executor owns, and whether it holds something.
pub(super) struct Filled {
    owned: Arc<Owned>,
    /// The number of steps after which it does.
    need: usize,
    /// The type of the elements that it then holds.
    pub(super) dtype: Option<DType>,
}

impl Filled {
    pub(super) fn new(owned: Arc<Owned>, bytes: &Range<u64>) -> Self {
        let overlaps = |fill: &&Fill| fill.range.start < bytes.end && bytes.start < fill.range.end;
        let last = owned.fills.iter().filter(overlaps).max_by_key(|fill| fill.step);
        let (need, dtype) = (last.map_or(usize::MAX, |fill| fill.step + 1), last.map(|fill| fill.dtype));
        Self { owned, need, dtype }
    }

    pub(super) fn get(&self) -> bool {
        self.owned.reached.steps() >= self.need
    }

    /// What must happen before it holds something, as the end of a sentence about an input that is bound to it.
    pub(super) fn missing(&self) -> &'static str {
        match self.owned.input {
            true => ", nor was the other executor's input that it is bound to; write one of them before",
            false => {
                ": the executor whose output it is bound to has not recorded the launch that fills it; record a step \
                 of that one, or write the input, before"
            }
        }
    }
}

/// The buffers of all executors of a `Gpu`, as long as they live.
#[derive(Default)]
pub(super) struct AllOwned(Mutex<Vec<Weak<Owned>>>);

impl AllOwned {
    /// Makes a buffer known as an executor's own.
    pub(super) fn add(&self, owned: Owned) -> Arc<Owned> {
        let owned = Arc::new(owned);
        let mut known = lock(&self.0);
        known.retain(|owned| owned.strong_count() > 0);
        known.push(Arc::downgrade(&owned));
        owned
    }

    /// What there is in the bytes of a buffer that an executor owns; `None` for a buffer of others.
    pub(super) fn holding(&self, buffer: &wgpu::Buffer, bytes: &Range<u64>) -> Option<Filled> {
        let known = lock(&self.0);
        let owned = known.iter().filter_map(Weak::upgrade).find(|owned| owned.buffer == *buffer)?;
        Some(Filled::new(owned, bytes))
    }
}
