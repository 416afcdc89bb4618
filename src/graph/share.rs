//! How ranks share a training: each takes its part of every batch, and where a value must be of the whole batch,
//! the ranks exchange theirs.

use std::ops::Range;

/// One of `size` ranks that train a model together. Every batch has as many rows for each rank, those of rank 0
/// first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The rank, from 0 on.
    pub rank: usize,
    /// The number of ranks.
    pub size: usize,
}

impl Default for Share {
    /// The share of one rank that trains alone.
    fn default() -> Self {
        Self { rank: 0, size: 1 }
    }
}

impl Share {
    /// Whether there are no other ranks.
    pub fn alone(self) -> bool {
        self.size == 1
    }

    /// Whether this is the rank that speaks for all.
    pub fn leads(self) -> bool {
        self.rank == 0
    }

    /// The rank's part of so many things, which are cut as evenly as they can be.
    pub fn part(self, count: usize) -> Range<usize> {
        let start = |rank: usize| (count as u64 * rank as u64 / self.size as u64) as usize;
        start(self.rank)..start(self.rank + 1)
    }
}

/// How the values that ranks bring become the one that all of them take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// The mean over the ranks, element by element.
    Mean,
    /// The moments of all ranks' rows together, `[2, C]`, from each rank's means and variances (Chan, Golub &
    /// LeVeque 1979): mean = Σ mean_r/N, and variance = Σ (variance_r + (mean_r - mean)²)/N.
    Moments,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_everything_once() {
        for (count, size) in [(0, 3), (2, 3), (10, 3), (12, 4), (usize::MAX >> 32, 7)] {
            let parts: Vec<_> = (0..size).map(|rank| Share { rank, size }.part(count)).collect();
            assert_eq!((parts[0].start, parts[size - 1].end), (0, count));
            assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(parts.iter().all(|part| part.len() - count / size <= 1));
        }
    }
}
