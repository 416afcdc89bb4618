//! A data set is read in chunks, ahead of those who train on it: a chunk is a number of steps' batches, in the order in
//! which an epoch visits them.

use super::error::DataError;
use super::order::{Order, permutation};
use super::source::Source;
use std::path::PathBuf;
use std::sync::{
    Arc,
    mpsc::{Receiver, SyncSender, sync_channel},
};

/// The images of each chunk.
pub struct Chunks {
    /// The data set.
    pub source: Source,
    /// The order that says which images each minibatch takes.
    pub order: Order,
    /// The minibatches of a chunk.
    pub steps: u64,
}

/// The pixels and labels that one chunk holds.
pub struct Part {
    /// The images, `[steps·batch, H, W, C]`.
    pub pixels: Vec<u8>,
    /// Their labels, `[steps·batch]`.
    pub labels: Option<Vec<u8>>,
    /// The pictures that could not be read any more, for which others stand.
    pub left_out: Vec<PathBuf>,
}

/// A chunk, or why it could not be read.
pub type Chunk = std::result::Result<Part, DataError>;

impl Chunks {
    /// Starts a thread that reads this chunk and those after it; it ends when nobody listens.
    pub fn read_from(self: Arc<Self>, first: u64) -> Receiver<Chunk> {
        let (send, chunks) = sync_channel(0);
        std::thread::spawn(move || self.read(first, &send));
        chunks
    }

    fn read(&self, first: u64, send: &SyncSender<Chunk>) {
        let (about, mut order) = (self.source.about(), (u64::MAX, vec![]));
        let Order { seed, batch, batches, .. } = self.order;
        let per_epoch = self.order.per_epoch() * batches;
        for chunk in first.. {
            let mut rows = Vec::with_capacity(self.steps as usize * batch);
            for step in chunk * self.steps..(chunk + 1) * self.steps {
                let (epoch, at) = (step / per_epoch, (step % per_epoch) as usize);
                if order.0 != epoch {
                    order = (epoch, permutation(seed, epoch, about.count));
                }
                rows.extend_from_slice(self.order.own(&order.1, at));
            }
            let part = self.source.pixels_or_next(&mut rows).map(|(pixels, left_out)| {
                let of_row = |labels: &Vec<u8>| rows.iter().map(|&i| labels[i as usize]).collect();
                Part { pixels, labels: about.labels.as_ref().map(of_row), left_out }
            });
            if send.send(part).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::Images, graph::share::Share};

    fn source(count: usize) -> Source {
        let labels = Some((0..count).map(|i| i as u8).collect());
        let pixels = (0..count * 3).map(|i| (i / 3) as u8).collect();
        Source::Held(Images { count, height: 1, width: 3, channels: 1, classes: 256, pixels, labels })
    }

    /// Each rank reads the images of its own places and no others; together they are the whole minibatches.
    #[test]
    fn ranks_read_their_parts_of_every_minibatch() {
        let rows = |order: Order| {
            let (send, chunks) = sync_channel(0);
            let plan = Chunks { source: source(53), order, steps: 2 };
            std::thread::scope(|scope| {
                scope.spawn(move || plan.read(0, &send));
                let chunk = || chunks.recv().unwrap().unwrap();
                let rows: Vec<u8> = (0..10).flat_map(|_| chunk().labels.unwrap()).collect();
                drop(chunks);
                rows
            })
        };
        let of = |rank, size| Order {
            seed: 3,
            batch: 6 / size,
            batches: 1,
            count: 53,
            share: Share { rank, size },
        };
        let whole = rows(of(0, 1));
        for size in [2, 3] {
            let parts: Vec<Vec<u8>> = (0..size).map(|rank| rows(of(rank, size))).collect();
            assert!(parts.iter().all(|part| part.len() == whole.len() / size));
            let minibatch = |i: usize| parts.iter().flat_map(move |part| &part[i * 6 / size..][..6 / size]);
            assert!((0..20).flat_map(minibatch).eq(&whole), "{size} ranks");
        }
    }

    #[test]
    fn chunks_are_the_epochs_batches_one_after_the_other() {
        let order = Order { seed: 3, batch: 2, batches: 1, count: 11, share: Share::default() };
        let plan = Chunks { source: source(11), order, steps: 4 };
        let (send, chunks) = sync_channel(0);
        let rows = |step: usize| permutation(3, step as u64 / 5, 11)[step % 5 * 2..][..2].to_vec();
        std::thread::scope(|scope| {
            scope.spawn(move || plan.read(1, &send));
            // Chunks 1 to 3 hold steps 4 to 15: the end of one epoch to the beginning of the fourth.
            for chunk in 1..4 {
                let Part { pixels, labels, .. } = chunks.recv().unwrap().unwrap();
                let rows: Vec<u8> = (4 * chunk..4 * chunk + 4).flat_map(rows).map(|i| i as u8).collect();
                assert_eq!(pixels, rows.iter().flat_map(|&i| [i; 3]).collect::<Vec<u8>>());
                assert_eq!(labels, Some(rows));
            }
            drop(chunks);
        });
    }
}
