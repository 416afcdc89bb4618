//! How ranks that share a training talk to each other: as threads of one process, or as processes by MPI. Whatever
//! they exchange is taken in the order of the ranks, so that as many ranks compute the same bits again.

use crate::{
    error::{Error, Result},
    graph::share::{Merge, Share},
};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes of each rank, or for each rank, in the order of the ranks.
pub type Parts = Vec<Arc<[u8]>>;

/// The most values that every rank adds up by itself. Of more, each adds up its part for all.
const FEW: usize = 4096;
/// The most bytes of a message that tells all what rank 0 has: MPI counts them by 31 bits.
const PIECE: usize = 1 << 30;

/// One rank's line to all others. Every rank makes the same calls in the same order.
pub trait Collective: Send + Sync {
    /// The rank, and the number of ranks.
    fn share(&self) -> Share;

    /// Gives every rank its part of `parts`, and returns the parts that all ranks have for this one.
    ///
    /// # Errors
    /// Fails if a rank has ended, or does not answer; the error names it.
    fn swap(&self, parts: Parts) -> Result<Parts>;

    /// Tells the others why this rank ends before its time.
    fn leave(&self, _why: &str) {}

    /// Says what to do if a rank ends so that nobody can be told by an error.
    fn advise(&self, _how_to_go_on: &str) {}

    /// Brings bytes, and returns those of all ranks.
    ///
    /// # Errors
    /// Fails as [`Collective::swap`] does.
    fn gather(&self, mine: &[u8]) -> Result<Parts> {
        self.swap(vec![mine.into(); self.share().size])
    }

    /// Replaces each value by its sum over all ranks, which is added up in f64 and in the order of the ranks.
    ///
    /// # Errors
    /// Fails as [`Collective::swap`] does, or if a rank brought another number of values.
    fn sum(&self, values: &mut [f32]) -> Result<()> {
        let Share { rank, size } = self.share();
        if values.len() <= FEW {
            let all = self.gather(bytemuck::cast_slice(values))?;
            return added(&all, values);
        }
        let block = |rank| Share { rank, size }.part(values.len());
        let blocks = (0..size).map(|rank| bytemuck::cast_slice(&values[block(rank)]).into()).collect();
        let (own, lens) = (block(rank), (0..size).map(|rank| block(rank).len()).collect::<Vec<_>>());
        let of_block = self.swap(blocks)?;
        added(&of_block, &mut values[own.clone()])?;
        let mut rest = values;
        for (bytes, len) in self.gather(bytemuck::cast_slice(&rest[own]))?.iter().zip(lens) {
            let (block, behind) = rest.split_at_mut(len);
            block.copy_from_slice(&bytemuck::pod_collect_to_vec::<u8, f32>(bytes));
            rest = behind;
        }
        Ok(())
    }

    /// Gives every rank the bytes that rank 0 brings.
    ///
    /// # Errors
    /// Fails as [`Collective::swap`] does.
    fn broadcast(&self, from_first: &[u8]) -> Result<Arc<[u8]>> {
        in_pieces(self, from_first, PIECE)
    }

    /// Waits until all ranks are here.
    ///
    /// # Errors
    /// Fails as [`Collective::swap`] does.
    fn barrier(&self) -> Result<()> {
        self.gather(&[]).map(drop)
    }
}

/// The bytes that rank 0 brings, in messages of at most so many.
fn in_pieces(line: &(impl Collective + ?Sized), from_first: &[u8], most: usize) -> Result<Arc<[u8]>> {
    let mut rest = if line.share().leads() { from_first } else { &[] };
    let mut got: Vec<u8> = vec![];
    loop {
        let (piece, behind) = rest.split_at(most.min(rest.len()));
        let piece = line.gather(piece)?.swap_remove(0);
        got.extend_from_slice(&piece);
        // A whole piece has another one behind it, if an empty one.
        if piece.len() < most {
            return Ok(got.into());
        }
        rest = behind;
    }
}

/// The values of all ranks.
fn floats(all: &[Arc<[u8]>], len: usize) -> Result<Vec<Vec<f32>>> {
    match all.iter().position(|bytes| bytes.len() != 4 * len) {
        None => Ok(all.iter().map(|bytes| bytemuck::pod_collect_to_vec(bytes)).collect()),
        Some(rank) => Err(Error::new(format!(
            "rank {rank} brought {} bytes where others brought {}; all ranks must run one program with one \
             configuration",
            all[rank].len(),
            4 * len
        ))),
    }
}

/// Makes values the sums of all ranks' values.
fn added(all: &[Arc<[u8]>], sums: &mut [f32]) -> Result<()> {
    let all = floats(all, sums.len())?;
    for (i, sum) in sums.iter_mut().enumerate() {
        *sum = all.iter().map(|values| f64::from(values[i])).sum::<f64>() as f32;
    }
    Ok(())
}

/// Makes values those that all ranks have in common.
///
/// # Errors
/// Fails as [`Collective::sum`] does.
pub fn exchange(ranks: &dyn Collective, merge: Merge, values: &mut [f32]) -> Result<()> {
    match merge {
        Merge::Mean => {
            ranks.sum(values)?;
            let share = 1.0 / ranks.share().size as f32;
            values.iter_mut().for_each(|value| *value *= share);
        }
        Merge::Moments => {
            let all = floats(&ranks.gather(bytemuck::cast_slice(values))?, values.len())?;
            let (c, share) = (values.len() / 2, 1.0 / all.len() as f64);
            for i in 0..c {
                let over = |f: &dyn Fn(&Vec<f32>) -> f64| all.iter().map(f).sum::<f64>() * share;
                let mean = over(&|of| of[i].into());
                let variance = over(&|of| f64::from(of[c + i]) + (f64::from(of[i]) - mean).powi(2));
                (values[i], values[c + i]) = (mean as f32, variance as f32);
            }
        }
    }
    Ok(())
}

/// One rank that trains alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Collective for Alone {
    fn share(&self) -> Share {
        Share::default()
    }

    fn swap(&self, parts: Parts) -> Result<Parts> {
        Ok(parts)
    }
}

/// A rank that is a thread of this process, as the others are. When it is dropped, the rank has ended: others that
/// wait for it then get an error instead.
pub struct Threads {
    share: Share,
    meeting: Arc<Meeting>,
}

/// Where threads meet.
#[derive(Default)]
struct Meeting {
    table: Mutex<Table>,
    changed: Condvar,
}

/// The values that the ranks bring to a meeting, and how far the meeting is.
#[derive(Default)]
struct Table {
    /// What each rank brought for each, until all have taken theirs.
    brought: Vec<Option<Parts>>,
    /// The number of ranks that have taken theirs.
    taken: usize,
    /// The rank that ended first, and why.
    ended: Option<(usize, String)>,
}

impl Threads {
    /// Makes the ranks of one training, at least one, each for a thread of its own.
    pub fn new(size: usize) -> Vec<Self> {
        let meeting = Arc::new(Meeting::default());
        meeting.table().brought.resize(size, None);
        (0..size).map(|rank| Self { share: Share { rank, size }, meeting: meeting.clone() }).collect()
    }
}

impl Meeting {
    /// A panic elsewhere leaves the table as it was.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the table is as wanted.
    fn until(&self, wanted: impl Fn(&Table) -> bool) -> Result<MutexGuard<'_, Table>> {
        let mut table = self.table();
        loop {
            if wanted(&table) {
                return Ok(table);
            }
            if let Some((rank, why)) = &table.ended {
                return Err(Error::new(format!("rank {rank} has ended: {why}")));
            }
            table = self.changed.wait(table).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Collective for Threads {
    fn share(&self) -> Share {
        self.share
    }

    fn swap(&self, parts: Parts) -> Result<Parts> {
        let (Share { rank, size }, meeting) = (self.share, &self.meeting);
        // What was brought last time is still there until the slowest has taken it.
        meeting.until(|table| table.brought[rank].is_none())?.brought[rank] = Some(parts);
        meeting.changed.notify_all();
        let mut table = meeting.until(|table| table.brought.iter().all(Option::is_some))?;
        let mine = table.brought.iter().flatten().map(|parts| parts[rank].clone()).collect();
        table.taken += 1;
        if table.taken == size {
            table.taken = 0;
            table.brought.fill(None);
            meeting.changed.notify_all();
        }
        Ok(mine)
    }

    fn leave(&self, why: &str) {
        self.meeting.table().ended.get_or_insert((self.share.rank, why.into()));
        self.meeting.changed.notify_all();
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.leave("its thread is over");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_longer_than_a_message_comes_in_pieces() {
        for len in [0, 1, 3, 4, 5, 8, 9] {
            let bytes: Vec<u8> = (0..len).collect();
            assert_eq!(in_pieces(&Alone, &bytes, 4).unwrap()[..], bytes[..]);
        }
    }
}
