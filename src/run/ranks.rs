//! What the ranks of one training tell each other between steps. Rank 0 speaks for all: it writes the run's folder,
//! and nobody else prints.

use crate::{
    error::{Error, Result},
    graph::share::Share,
    train::{Alone, Collective, Ready},
};
use std::{fmt, sync::Arc, thread, time::Duration};

/// A rank's line to all ranks of the training.
#[derive(Clone)]
pub struct Ranks {
    line: Arc<dyn Collective>,
    /// The number of ranks before this one on the same machine.
    place: usize,
    /// What tells builds of this program apart, where ranks are processes.
    build: String,
}

impl Default for Ranks {
    /// The one rank of a training that is not shared.
    fn default() -> Self {
        Self { line: Arc::new(Alone), place: 0, build: String::new() }
    }
}

impl fmt::Debug for Ranks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.share().fmt(f)
    }
}

impl Ranks {
    /// The rank, and the number of ranks.
    pub fn share(&self) -> Share {
        self.line.share()
    }

    /// Makes a rank that is the one with this number on its machine. `build` tells builds of this program apart.
    pub(super) fn new(line: Arc<dyn Collective>, place: usize, build: String) -> Self {
        Self { line, place, build }
    }

    /// Whether ranks are processes.
    pub(super) fn processes(&self) -> bool {
        !self.build.is_empty()
    }

    /// The line to the others.
    pub(super) fn line(&self) -> &dyn Collective {
        &*self.line
    }

    /// The number of ranks before this one on the same machine; `None` where there is one rank.
    pub(super) fn place(&self) -> Option<usize> {
        (!self.share().alone()).then_some(self.place)
    }

    /// Does something on rank 0, then on the others, which find there what it has fetched.
    pub(super) fn in_turn<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if !self.share().leads() {
            self.line.barrier()?;
            return work();
        }
        let done = work()?;
        self.line.barrier()?;
        Ok(done)
    }

    /// Tells all ranks the run's folder, which rank 0 brings: any of them may have to say how to go on.
    pub(super) fn advise(&self, root: &str) -> Result<()> {
        let root = self.line.broadcast(root.as_bytes())?;
        let root = String::from_utf8_lossy(&root);
        self.line.advise(&format!("go on from the last checkpoint with: train --resume {root}"));
        Ok(())
    }

    /// The smallest of the ranks' values, if any rank has one.
    pub(super) fn least(&self, mine: Option<f64>) -> Result<Option<f64>> {
        let all = self.line.gather(&mine.map_or(vec![], |value| value.to_le_bytes().to_vec()))?;
        Ok(all
            .iter()
            .filter_map(|bytes| Some(f64::from_le_bytes(bytes[..].try_into().ok()?)))
            .reduce(f64::min))
    }

    /// Joins the wishes of all ranks: a bit of the result is set if any rank sets it.
    pub(super) fn any(&self, mine: u8) -> Result<u8> {
        if self.share().alone() {
            return Ok(mine);
        }
        Ok(self.line.gather(&[mine])?.iter().flat_map(|bytes| bytes.first()).fold(0, |all, one| all | one))
    }

    /// Means per image of a test set that the ranks share.
    ///
    /// # Errors
    /// Fails if the device is lost, or if a rank has ended.
    pub fn score(&self, test: &Ready<'_>) -> Result<Vec<(&'static str, f64)>> {
        let (sums, images) = test.part(self.share())?;
        self.means(sums, images)
    }

    /// Means over the images of all ranks, from each rank's sums over its own.
    ///
    /// # Errors
    /// Fails if a rank has ended.
    pub(super) fn means<'a>(&self, own: Vec<(&'a str, f64)>, images: usize) -> Result<Vec<(&'a str, f64)>> {
        let sums = own.iter().map(|(_, sum)| *sum).chain([images as f64]);
        let mine: Vec<u8> = sums.flat_map(f64::to_le_bytes).collect();
        let mut totals = vec![0.0; own.len() + 1];
        for bytes in self.line.gather(&mine)? {
            let values = bytes.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes));
            totals.iter_mut().zip(values).for_each(|(total, value)| *total += value);
        }
        let count = totals.pop().unwrap_or_default();
        Ok(own.iter().zip(totals).map(|((name, _), total)| (*name, total / count)).collect())
    }

    /// Refuses ranks that do not train the same: another build of the program, or another configuration, which
    /// `alike` compares and which names the data by their digest. Returns the ranks' adapters.
    pub(super) fn agree(
        &self,
        config: &str,
        adapter: &str,
        alike: impl Fn(&str, &str) -> Option<&'static str>,
    ) -> Result<Vec<String>> {
        const BETWEEN: &str = "\0";
        let mine = [self.build.as_str(), adapter, config].join(BETWEEN);
        let all: Vec<String> =
            self.line.gather(mine.as_bytes())?.iter().map(|b| String::from_utf8_lossy(b).into()).collect();
        let parts = |text: &str| -> [String; 3] {
            let mut parts = text.splitn(3, BETWEEN).map(String::from);
            [(); 3].map(|()| parts.next().unwrap_or_default())
        };
        let first = parts(&all[0]);
        let mut adapters = vec![];
        for (rank, [build, adapter, config]) in all.iter().map(|text| parts(text)).enumerate() {
            let differs = (build != first[0]).then_some("another build of the program");
            if let Some(what) = differs.or_else(|| alike(&first[2], &config)) {
                let advice = "start all ranks with the same program, options and data";
                return Err(Error::new(format!("rank {rank} has {what} than rank 0; {advice}")));
            }
            adapters.push(adapter);
        }
        Ok(adapters)
    }
}

/// Waits on other ranks than the first, where all fail alike: the first one's end ends them before they say the same.
pub(super) fn after_first(rank: usize) {
    /// Longer than `mpirun` takes to kill the others: Open MPI gives them a second.
    const LONG: Duration = Duration::from_secs(3);
    if rank > 0 {
        thread::sleep(LONG);
    }
}
