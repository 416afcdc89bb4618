//! Training images that do not fit into GPU memory. A window of two chunks lies on the GPU, and meanwhile a
//! thread reads the next chunk.
//!
//! A chunk holds the minibatches of a number of steps, in the order in which the epoch visits them. To the
//! kernel, the window is the whole data set in its stored order, so it takes minibatch s from place
//! `s mod 2·chunk`. The steps therefore compute the same, bit for bit, as with all images on the GPU.

use super::Feed;
use crate::{
    data::{Chunk, Chunks, Images, Order, Part, Source},
    error::{Error, Result},
    gpu::Gpu,
    kernel::caps::Caps,
    plan::table,
};
use std::{
    cell::RefCell,
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, mpsc::Receiver},
};

/// The size of the window in MiB, if no option gives another one.
const WINDOW: f64 = 256.0;
const MIB: f64 = 1_048_576.0;

/// Training images that are brought to the GPU when the steps need them.
pub struct Stream {
    plan: Arc<Chunks>,
    ahead: RefCell<Ahead>,
    left_out: RefCell<LeftOut>,
}

/// The pictures that could not be read any more: all, and those of which nobody was told yet.
#[derive(Default)]
struct LeftOut {
    all: BTreeSet<PathBuf>,
    new: Vec<PathBuf>,
}

/// The thread that reads chunks, and how much of its work is on the GPU.
#[derive(Default)]
struct Ahead {
    chunks: Option<Receiver<Chunk>>,
    /// The number of the first chunk that the thread reads.
    first: u64,
    /// The number of the chunk that the thread gives next. The two chunks before it are on the GPU.
    next: u64,
}

impl Stream {
    /// The size of the window in MiB, if no option gives another one: `None` if all the images fit the
    /// adapter, so that no window is needed.
    pub fn window_mib(train: &Source, caps: &Caps) -> Option<f64> {
        (train.bytes() > limit(caps)).then_some(WINDOW)
    }

    /// Streams images through a window of at most `mib` MiB. The window always holds two chunks of at least
    /// one step each.
    ///
    /// # Errors
    /// Fails if two chunks of one step need more than the adapter's largest buffer.
    pub fn new(source: Source, order: Order, mib: f64, caps: &Caps) -> Result<Self> {
        let Order { batch, batches, .. } = order;
        let bytes = (batch * source.row()) as u64;
        let per_epoch = order.per_epoch() * batches;
        // Each chunk begins at a whole word of 4 bytes, for labels too, so its number of images is a multiple
        // of 4.
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
            return Err(Error::new(format!("{what}; try a smaller batch or image size")));
        }
        let plan = Chunks { source, order, steps };
        Ok(Self { plan: Arc::new(plan), ahead: RefCell::default(), left_out: RefCell::default() })
    }

    /// The data set that the graph gets: the window, whose pixels are all 0 until the first chunk is
    /// uploaded.
    pub fn window(&self) -> Images {
        let (about, count) = (self.plan.source.about(), 2 * self.plan.steps as usize * self.plan.order.batch);
        let labels = about.labels.as_ref().map(|_| vec![0; count]);
        Images { count, pixels: vec![0; count * self.plan.source.row()], labels, ..*about }
    }

    /// The number of all training images.
    pub fn count(&self) -> usize {
        self.plan.source.about().count
    }

    /// The pictures that could not be read any more since the last call. Others stood for them.
    pub fn newly_left_out(&self) -> Vec<PathBuf> {
        std::mem::take(&mut self.left_out.borrow_mut().new)
    }

    /// The number of all pictures that could not be read, from the beginning of the sitting.
    pub fn left_out(&self) -> usize {
        self.plan.source.gone().len() + self.left_out.borrow().all.len()
    }

    /// Makes sure that the images of a minibatch are on the GPU. Minibatches are counted from the start of
    /// training. Returns how many of them, from this one on, can be used without another call.
    ///
    /// # Errors
    /// Fails if the images cannot be read.
    pub fn ready(&self, gpu: &Gpu, feed: &Feed, step: u64) -> Result<u64> {
        let (wanted, ahead) = (step / self.plan.steps, &mut *self.ahead.borrow_mut());
        let here = ahead.first.max(ahead.next.saturating_sub(2))..=ahead.next;
        if ahead.chunks.is_none() || !here.contains(&wanted) {
            *ahead = self.start(wanted);
        }
        if ahead.next == wanted {
            let chunk = ahead.chunks.as_ref().and_then(|chunks| chunks.recv().ok());
            let chunk =
                chunk.ok_or_else(|| Error::new("the thread that reads images ended; resume the training"))?;
            self.upload(gpu, feed, ahead, chunk)?;
        }
        Ok(ahead.next * self.plan.steps - step)
    }

    /// Uploads the next chunk if it has been read and the window has room for it. Called while the GPU
    /// computes the steps from this minibatch on.
    ///
    /// # Errors
    /// Fails if the images cannot be read.
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
        let Part { pixels, labels, left_out } = chunk.map_err(|e| Error::new(e.to_string()))?;
        let mut known = self.left_out.borrow_mut();
        for path in left_out {
            if known.all.insert(path.clone()) {
                known.new.push(path);
            }
        }
        let half = ahead.next % 2;
        gpu.write(&feed.data, half * pixels.len() as u64, &pixels)?;
        if let (Some(buffer), Some(labels)) = (&feed.labels, labels) {
            gpu.write(buffer, half * labels.len() as u64, &labels)?;
        }
        ahead.next += 1;
        Ok(())
    }

    fn start(&self, first: u64) -> Ahead {
        Ahead { chunks: Some(self.plan.clone().read_from(first)), first, next: first }
    }
}

/// The largest number of bytes of images that the adapter takes in one buffer.
pub fn limit(caps: &Caps) -> u64 {
    // Uploads are padded to a multiple of 16 bytes, the size of a vec4.
    (caps.max_binding.min(caps.max_buffer) / 16 * 16).min(u64::from(u32::MAX))
}
