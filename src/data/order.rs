//! The order in which the epochs of a run visit the images.
//!
//! Nothing here keeps random state: an order is a function of its arguments alone, so a run resumed at epoch
//! 7 sees what an uninterrupted one would have seen.

use crate::graph::share::Share;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// The generator behind [`permutation`] and the glyphs, for a run's records.
pub const GENERATOR: &str = "ChaCha8 (rand_chacha 0.10)";
/// The version of [`permutation`]'s algorithm; it goes up when any order changes.
pub const PERMUTATION_VERSION: u32 = 1;

/// The order of `n` items in `epoch`, `[n]`: a pure function of its arguments.
///
/// It is version [`PERMUTATION_VERSION`], Fisher–Yates fed by [`GENERATOR`], written out here so
/// that no release of a random-number crate changes the order that a recorded run saw.
///
/// # Panics
/// If `n` is above `u32::MAX`.
pub fn permutation(seed: u64, epoch: u64, n: usize) -> Vec<u32> {
    let n = u32::try_from(n).expect("a permutation has at most u32::MAX items");
    let mut random = stream(b"shuffle1", seed, epoch, 0);
    let mut order: Vec<u32> = (0..n).collect();
    shuffle(&mut random, &mut order);
    order
}

/// How minibatches are taken from a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The seed of the epochs' permutations.
    pub seed: u64,
    /// The images of a minibatch that are the rank's own.
    pub batch: usize,
    /// The minibatches of a training step.
    pub batches: u64,
    /// The number of training images.
    pub count: usize,
    /// The rank that the images are for, of those that share each minibatch.
    pub share: Share,
}

impl Order {
    /// The images of a training step, those of all ranks.
    pub fn images(&self) -> u64 {
        (self.batch * self.share.size) as u64 * self.batches
    }

    /// The rank's own places of a minibatch, `[batch]`, in an epoch's permutation. Minibatches are counted from the
    /// start of the epoch.
    pub(super) fn own<'a>(&self, places: &'a [u32], minibatch: usize) -> &'a [u32] {
        let Share { rank, size } = self.share;
        &places[(minibatch * size + rank) * self.batch..][..self.batch]
    }

    /// The steps of an epoch; images that are left over are dropped, and shuffled into other batches next
    /// time.
    pub fn per_epoch(&self) -> u64 {
        self.count as u64 / self.images()
    }

    /// The places of an epoch's images, the rank's own first, turned so that the epoch's first step finds its
    /// minibatch where its counter looks.
    pub fn of(&self, epoch: u64) -> Vec<u32> {
        let places = permutation(self.seed, epoch, self.count);
        let mine = self.count / (self.batch * self.share.size);
        let mut order: Vec<u32> = (0..mine).flat_map(|i| self.own(&places, i)).copied().collect();
        // A gather's order has a place for each image; no step looks at those behind the rank's own.
        order.extend(&places[order.len()..]);
        let batches = self.count / self.batch;
        let first = epoch * self.per_epoch() * self.batches % batches as u64;
        order[..batches * self.batch].rotate_right(first as usize * self.batch);
        order
    }
}

/// A generator whose 32-byte key spells out what it is for, so no two uses share numbers.
pub(super) fn stream(purpose: &[u8; 8], a: u64, b: u64, c: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(purpose);
    key[8..16].copy_from_slice(&a.to_le_bytes());
    key[16..24].copy_from_slice(&b.to_le_bytes());
    key[24..].copy_from_slice(&c.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// Shuffles at most `u32::MAX` items by Fisher–Yates, from the end.
pub(super) fn shuffle<T>(random: &mut ChaCha8Rng, items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(random, last as u32 + 1) as usize);
    }
}

/// A number below `bound` (> 0), unbiased: Lemire's multiplication with rejection.
pub(super) fn below(random: &mut ChaCha8Rng, bound: u32) -> u32 {
    let reject_below = bound.wrapping_neg() % bound;
    loop {
        let wide = u64::from(random.next_u32()) * u64::from(bound);
        if wide as u32 >= reject_below {
            return (wide >> 32) as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permutation_holds_every_item_once() {
        for n in [0, 1, 2, 1000] {
            let mut order = permutation(3, 4, n);
            order.sort_unstable();
            assert!(order.iter().copied().eq(0..n as u32));
        }
    }

    #[test]
    fn permutation_is_the_recorded_one() {
        let first = permutation(0, 0, 100)[..8].to_vec();
        assert_eq!(first, [81, 6, 43, 86, 14, 32, 83, 8]);
    }

    #[test]
    fn permutation_depends_on_seed_and_epoch() {
        assert_eq!(permutation(1, 2, 50), permutation(1, 2, 50));
        assert_ne!(permutation(1, 2, 50), permutation(2, 1, 50));
        assert_ne!(permutation(1, 2, 50), permutation(1, 3, 50));
    }

    /// Step by step, the ranks' images are those of the whole minibatch, wherever an epoch begins.
    #[test]
    fn ranks_share_every_minibatch() {
        let order = |rank, size: usize| Order {
            seed: 3,
            batch: 6 / size,
            batches: 2,
            count: 53,
            share: Share { rank, size },
        };
        let seen = |order: Order, minibatch: u64| {
            let (per_epoch, all) = (order.per_epoch() * order.batches, (53 / order.batch) as u64);
            let places = order.of(minibatch / per_epoch);
            places[(minibatch % all) as usize * order.batch..][..order.batch].to_vec()
        };
        for size in [1, 2, 3] {
            assert_eq!((order(0, size).per_epoch(), order(0, size).images()), (4, 12));
            for minibatch in 0..40 {
                let parts: Vec<u32> = (0..size).flat_map(|rank| seen(order(rank, size), minibatch)).collect();
                assert_eq!(parts, seen(order(0, 1), minibatch), "{size} ranks, minibatch {minibatch}");
            }
        }
    }

    #[test]
    fn below_is_even() {
        let mut random = stream(b"testing.", 0, 0, 0);
        let mut counts = [0_i32; 5];
        for _ in 0..50_000 {
            counts[below(&mut random, 5) as usize] += 1;
        }
        // Five standard deviations of a fair draw are about 450.
        assert!(counts.iter().all(|c| (c - 10_000).abs() < 450));
    }
}
