//! Training images that do not fit: a window of two chunks lies on the GPU, and a thread reads the next chunk meanwhile.
//!
//! A chunk is a number of steps' batches, in the order in which an epoch visits them. Step s finds its rows where the kernel
//! looks for them with the window as its data and nothing permuted: at batch `s mod 2·chunk`. So the steps compute what they
//! would with all images there, bit for bit.

use super::Feed;
use crate::{
    data::{Chunk, Chunks, Images, Order, Source},
    error::{Error, Result},
    gpu::Gpu,
    kernel::caps::Caps,
    plan::table,
};
use std::{
    cell::RefCell,
    sync::{Arc, mpsc::Receiver},
};

/// MiB of the window where no option says otherwise.
const WINDOW: f64 = 256.0;
const MIB: f64 = 1_048_576.0;

/// Training images that come to the GPU as the steps need them.
pub struct Stream {
    plan: Arc<Chunks>,
    ahead: RefCell<Ahead>,
}

/// The thread that reads, and what the GPU has of it.
#[derive(Default)]
struct Ahead {
    chunks: Option<Receiver<Chunk>>,
    /// The thread's first chunk.
    first: u64,
    /// The chunk that it gives next; the two before are on the GPU.
    next: u64,
}

impl Stream {
    /// MiB of the window where no option says otherwise; nothing where the images fit the adapter.
    pub fn window_mib(train: &Source, caps: &Caps) -> Option<f64> {
        (train.bytes() > limit(caps)).then_some(WINDOW)
    }

    /// Streams images through a window of at most so many MiB, but of two chunks of one step at least.
    ///
    /// # Errors
    /// Two chunks of one step are more than the adapter's largest buffer.
    pub fn new(source: Source, order: Order, mib: f64, caps: &Caps) -> Result<Self> {
        let Order { batch, batches, .. } = order;
        let bytes = (batch * source.row()) as u64;
        let per_epoch = order.per_epoch() * batches;
        // Chunks begin at whole words, labels too.
        let whole =
            [1, 2, 4].into_iter().find(|n| (n * batch).is_multiple_of(4)).unwrap_or(4) as u64 * batches;
        let steps = ((mib * MIB) as u64).min(limit(caps)) / (2 * bytes);
        let steps = (steps.min(per_epoch) / whole * whole).max(whole);
        let need = 2 * steps * bytes;
        if need > limit(caps) {
            let (need, limit) = (table::bytes(need), table::bytes(limit(caps)));
            let what = format!(
                "two parts of the streamed images need {need}, the adapter's largest buffer is {limit}"
            );
            return Err(Error::new(format!("{what}; try a smaller --batch or --image-size")));
        }
        let plan = Chunks { source, order, steps };
        Ok(Self { plan: Arc::new(plan), ahead: RefCell::default() })
    }

    /// What the graph takes for the data set: the window, still black.
    pub fn window(&self) -> Images {
        let (about, count) = (self.plan.source.about(), 2 * self.plan.steps as usize * self.plan.order.batch);
        let labels = about.labels.as_ref().map(|_| vec![0; count]);
        Images { count, pixels: vec![0; count * self.plan.source.row()], labels, ..*about }
    }

    /// Number of all images.
    pub fn count(&self) -> usize {
        self.plan.source.about().count
    }

    /// Makes sure that the GPU has the images of a step; returns how many steps from it on can be submitted.
    pub fn ready(&self, gpu: &Gpu, feed: &Feed, step: u64) -> Result<u64> {
        let (wanted, ahead) = (step / self.plan.steps, &mut *self.ahead.borrow_mut());
        let here = ahead.first.max(ahead.next.saturating_sub(2))..=ahead.next;
        if ahead.chunks.is_none() || !here.contains(&wanted) {
            *ahead = self.start(wanted);
        }
        if ahead.next == wanted {
            let chunk = ahead.chunks.as_ref().and_then(|chunks| chunks.recv().ok());
            let chunk =
                chunk.ok_or_else(|| Error::new("the thread that reads images ended; go on with --resume"))?;
            self.upload(gpu, feed, ahead, chunk)?;
        }
        Ok(ahead.next * self.plan.steps - step)
    }

    /// While the GPU computes steps from this one on: uploads the next chunk, if it is read and there is room.
    pub fn ahead(&self, gpu: &Gpu, feed: &Feed, step: u64) -> Result<()> {
        let ahead = &mut *self.ahead.borrow_mut();
        match ahead
            .chunks
            .as_ref()
            .filter(|_| ahead.next == step / self.plan.steps + 1)
            .and_then(|chunks| chunks.try_recv().ok())
        {
            Some(chunk) => self.upload(gpu, feed, ahead, chunk),
            None => Ok(()),
        }
    }

    fn upload(&self, gpu: &Gpu, feed: &Feed, ahead: &mut Ahead, chunk: Chunk) -> Result<()> {
        let (pixels, labels) = chunk.map_err(|e| Error::new(e.to_string()))?;
        let half = ahead.next % 2;
        gpu.write_padded(&feed.data, half * pixels.len() as u64, &pixels);
        if let (Some(buffer), Some(labels)) = (&feed.labels, labels) {
            gpu.write_padded(buffer, half * labels.len() as u64, &labels);
        }
        ahead.next += 1;
        Ok(())
    }

    fn start(&self, first: u64) -> Ahead {
        Ahead { chunks: Some(self.plan.clone().read_from(first)), first, next: first }
    }
}

/// The most bytes of images that the adapter takes.
pub fn limit(caps: &Caps) -> u64 {
    // Uploads are padded to whole vec4s.
    (caps.max_binding.min(caps.max_buffer) / 16 * 16).min(u64::from(u32::MAX))
}
