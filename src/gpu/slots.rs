//! An executor's slots, and whether a step has been recorded that fills them: another executor's input that is bound to
//! an output has nothing to read before.

use super::health::lock;
use std::sync::{
    Arc, Mutex, Weak,
    atomic::{AtomicBool, Ordering},
};

/// The buffers that the launches of a plan write, those of outputs among them.
pub(super) struct Slots {
    pub(super) buffers: Vec<wgpu::Buffer>,
    filled: Filled,
}

/// Whether an executor has recorded a step, or a part of one.
#[derive(Clone, Default)]
pub(super) struct Filled(Arc<AtomicBool>);

impl Filled {
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Slots {
    /// Notes that a step was recorded.
    pub(super) fn note_filled(&self) {
        self.filled.0.store(true, Ordering::Release);
    }
}

/// The slots of all executors of a device, as long as they live.
#[derive(Default)]
pub(super) struct AllSlots(Mutex<Vec<Weak<Slots>>>);

impl AllSlots {
    /// Makes the buffers known as an executor's slots.
    pub(super) fn add(&self, buffers: Vec<wgpu::Buffer>) -> Arc<Slots> {
        let slots = Arc::new(Slots { buffers, filled: Filled::default() });
        let mut known = lock(&self.0);
        known.retain(|slots| slots.strong_count() > 0);
        known.push(Arc::downgrade(&slots));
        slots
    }

    /// Whether the executor whose slot this is has filled it; `None` for a buffer that is no slot.
    pub(super) fn holding(&self, buffer: &wgpu::Buffer) -> Option<Filled> {
        let known = lock(&self.0);
        let slots = known.iter().filter_map(Weak::upgrade).find(|slots| slots.buffers.contains(buffer))?;
        Some(slots.filled.clone())
    }
}
