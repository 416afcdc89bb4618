//! Ranks that are processes, which MPI starts and connects: `mpirun -n 8 … train --mpi`. Messages go from rank to rank,
//! and what they hold is added up in the ranks' order, whatever order they come in.

use super::{
    interrupt,
    ranks::{Ranks, after_first},
    say,
    say::aloud,
};
use crate::{
    disk::hex,
    error::{Error, Result},
    graph::share::Share,
    train::{Collective, Parts},
};
use mpi::{
    Threading,
    request::{self, Request, Scope},
    topology::SimpleCommunicator,
    traits::*,
};
use sha2::{Digest, Sha256};
use std::{
    panic::resume_unwind,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// The time after which a rank that does not answer is taken for hanging: longer than rank 0 draws and measures at the
/// end of an epoch, while the others wait.
const PATIENCE: Duration = Duration::from_secs(3600);
/// The time after which rank 0 says for whom it waits.
const SILENCE: Duration = Duration::from_secs(60);
/// MPI ends all ranks when one has died: first by a signal, and after about a second at once. A rank that waits so
/// long after a signal says how to go on.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// A rank's line to the other processes.
struct Mpi {
    share: Share,
    /// How to go on after the end of all.
    advice: Mutex<String>,
    /// Whether this rank has said how to go on.
    told: AtomicBool,
}

impl Mpi {
    /// Receives and sends until `progress` is over: it returns the first rank from or to which something is open still.
    fn wait(&self, mut progress: impl FnMut() -> Option<usize>) {
        let (begun, mut asked, mut tries) = (Instant::now(), false, 0u32);
        while let Some(rank) = progress() {
            let waited = begun.elapsed();
            // One rank speaks for those that live: the first, or the second where the first does not answer.
            let speaks = self.share.rank == usize::from(rank == 0);
            let last = speaks && waited > LAST_WORDS && interrupt::asked();
            if last && !self.told.swap(true, Ordering::Relaxed) {
                let advice = self.advice.lock().unwrap_or_else(PoisonError::into_inner);
                aloud(format_args!("rank {rank} does not answer; if it has ended, {advice}"));
            }
            // Nobody asks after rank 0: its own work, such as drawing, may take longer.
            if speaks && !asked && rank > 0 && waited > SILENCE {
                asked = true;
                aloud(format_args!("waiting for rank {rank} for {} seconds", SILENCE.as_secs()));
            }
            if waited > PATIENCE {
                let advice = self.advice.lock().unwrap_or_else(PoisonError::into_inner);
                let minutes = PATIENCE.as_secs() / 60;
                aloud(format_args!("Error: rank {rank} has not answered for {minutes} minutes; {advice}"));
                SimpleCommunicator::world().abort(1);
            }
            tries += 1;
            if tries < 200 { thread::yield_now() } else { thread::sleep(Duration::from_micros(50)) }
        }
    }
}

impl Collective for Mpi {
    fn share(&self) -> Share {
        self.share
    }

    fn swap(&self, parts: Parts) -> Result<Parts> {
        const TAG: i32 = 1;
        let Share { rank, size } = self.share;
        if parts.iter().any(|part| part.len() > i32::MAX as usize) {
            return Err(Error::new("MPI takes messages of at most 2 GiB; train a smaller model"));
        }
        let world = SimpleCommunicator::world();
        let mut got = vec![vec![]; size];
        got[rank] = parts[rank].to_vec();
        request::scope(|scope| {
            let send = |other: usize| {
                let to = world.process_at_rank(other as i32);
                (other, to.immediate_send_with_tag(scope, &parts[other][..], TAG))
            };
            let mut sent: Vec<_> = (0..size).filter(|&other| other != rank).map(send).collect();
            let mut silent: Vec<_> = got.iter_mut().enumerate().filter(|(other, _)| *other != rank).collect();
            let mut coming = vec![];
            self.wait(|| {
                for (other, place) in std::mem::take(&mut silent) {
                    // Messages of one rank come in the order in which it sent them.
                    let from = world.process_at_rank(other as i32);
                    let Some((message, about)) = from.immediate_matched_probe_with_tag(TAG) else {
                        silent.push((other, place));
                        continue;
                    };
                    place.resize(about.count(u8::equivalent_datatype()) as usize, 0);
                    // Who dies after the first part of a message never sends the rest.
                    coming.push((other, message.immediate_matched_receive_into(scope, &mut place[..])));
                }
                coming = pending(std::mem::take(&mut coming));
                sent = pending(std::mem::take(&mut sent));
                let silent = silent.first().map(|(other, _)| *other);
                silent.or(coming.first().map(|(other, _)| *other)).or(sent.first().map(|(other, _)| *other))
            });
        });
        Ok(got.into_iter().map(Arc::from).collect())
    }

    fn advise(&self, how_to_go_on: &str) {
        *self.advice.lock().unwrap_or_else(PoisonError::into_inner) = how_to_go_on.into();
    }
}

/// The requests that are not done.
fn pending<'a, B: ?Sized, S: Scope<'a>>(
    all: Vec<(usize, Request<'a, B, S>)>,
) -> Vec<(usize, Request<'a, B, S>)> {
    all.into_iter().filter_map(|(other, request)| Some((other, request.test().err()?))).collect()
}

/// Runs a training as the rank that this process is. If it fails, all ranks end.
pub(super) fn run(run: impl Fn(Ranks) -> Result<()> + Sync) -> Result<()> {
    let why = "MPI is running already, or does not let threads call it; start the program by mpirun";
    let universe = mpi::initialize_with_threading(Threading::Serialized);
    let (universe, _) = universe.filter(|u| u.1 >= Threading::Serialized).ok_or_else(|| Error::new(why))?;
    let world = universe.world();
    let (rank, size) = (world.rank() as usize, world.size() as usize);
    let place = world.split_shared(rank as i32).rank() as usize;
    if size == 1 {
        note!("--mpi: one rank trains; `mpirun -n 8` before the command starts eight");
    }
    let advice = Mutex::new("start all ranks again".into());
    let line = Mpi { share: Share { rank, size }, advice, told: AtomicBool::new(false) };
    let ranks = Ranks::new(Arc::new(line), place, build()?);
    let done = thread::scope(|scope| {
        let of_rank = || run(ranks.clone());
        let thread = thread::Builder::new().name(say::named(rank)).spawn_scoped(scope, of_rank);
        Ok(thread.map_err(|e| Error::new(format!("a thread cannot be started: {e}")))?.join())
    });
    match done {
        Ok(Ok(Ok(()))) => return Ok(()),
        Ok(Ok(Err(error))) | Err(error) => {
            after_first(rank);
            note!("Error: rank {rank}: {error}");
        }
        Ok(Err(panic)) if size == 1 => resume_unwind(panic),
        Ok(Err(_)) => note!("Error: rank {rank} panicked"),
    }
    world.abort(1)
}

/// The SHA-256 of this program.
fn build() -> Result<String> {
    let read = || std::fs::read(std::env::current_exe()?);
    let bytes =
        read().map_err(|e| Error::new(format!("this program cannot be read ({e}); leave it where it is")))?;
    Ok(hex(Sha256::digest(bytes)))
}
