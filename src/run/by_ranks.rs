//! Trainings that several ranks share: threads of this process with a device each, or processes by MPI.

#[cfg(feature = "mpi")]
use super::mpi::run as processes;
use super::{
    options::Sitting,
    ranks::{Ranks, after_first},
    say::named,
};
use crate::{
    error::{Error, Result},
    train::{Collective, Threads},
};
use std::{env, panic::resume_unwind, sync::Arc, thread};

/// The variables in which Open MPI's and MPICH's `mpirun` tell a program how many of it they started, and which one
/// it is.
const STARTED: [[&str; 2]; 2] = [["OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"], ["PMI_SIZE", "PMI_RANK"]];

/// Runs a training once for each rank that the options of the sitting ask for.
///
/// # Errors
/// Fails with rank 0's error, which names a rank that ended before, or with that of the first other rank; and if
/// `mpirun` started several trainings that know nothing of each other.
pub fn by_ranks(sitting: &Sitting, run: impl Fn(Ranks) -> Result<()> + Sync) -> Result<()> {
    if let Some([count, rank]) = strangers(sitting.mpi, |name| env::var(name).ok()) {
        after_first(rank);
        let advice = "add --mpi, so that they train one model together";
        return Err(Error::new(format!("mpirun started this program {count} times; {advice}")));
    }
    match usize::from(sitting.devices.unwrap_or(1)) {
        _ if sitting.mpi => processes(run),
        1 => run(Ranks::default()),
        size => threads(size, run),
    }
}

/// How many programs `mpirun` started, and which one this is, if it does not ask for the others by `--mpi`.
fn strangers(mpi: bool, variable: impl Fn(&str) -> Option<String>) -> Option<[usize; 2]> {
    let number = |name| variable(name)?.parse().ok();
    let told = STARTED.iter().filter_map(|[size, rank]| Some([number(size)?, number(rank).unwrap_or(0)]));
    told.filter(|[size, _]| *size > 1 && !mpi).max()
}

fn threads(size: usize, run: impl Fn(Ranks) -> Result<()> + Sync) -> Result<()> {
    let ended = thread::scope(|scope| {
        let (run, mut begun) = (&run, vec![]);
        for line in Threads::new(size) {
            let place = line.share().rank;
            let line = Arc::new(line);
            let of_rank = move || {
                let done = run(Ranks::new(line.clone(), place, String::new()));
                done.inspect_err(|error| line.leave(&error.to_string()))
            };
            begun.push(thread::Builder::new().name(named(place)).spawn_scoped(scope, of_rank));
        }
        let joined = begun.into_iter().map(|thread| thread.map(|thread| thread.join()));
        joined.collect::<std::io::Result<Vec<_>>>()
    });
    let why = |e| Error::new(format!("{size} threads cannot be started ({e}); take fewer --devices"));
    ended.map_err(why)?.into_iter().try_for_each(|done| done.unwrap_or_else(|panic| resume_unwind(panic)))
}

#[cfg(not(feature = "mpi"))]
fn processes(_: impl Fn(Ranks) -> Result<()>) -> Result<()> {
    let how = "build it with `cargo build --release --features mpi`, where the system has MPI";
    Err(Error::new(format!("--mpi: this program was built without MPI; {how}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rank_that_fails_ends_all_and_is_named() {
        let fails = |rank| {
            move |ranks: Ranks| match ranks.share().rank == rank {
                true => Err(Error::new("no memory")),
                false => ranks.any(1).map(drop),
            }
        };
        assert_eq!(threads(3, fails(2)).unwrap_err().to_string(), "rank 2 has ended: no memory");
        assert_eq!(threads(3, fails(0)).unwrap_err().to_string(), "no memory");
        let panics = |ranks: Ranks| match ranks.share().rank {
            1 => panic!("as the test wants it"),
            _ => ranks.any(1).map(drop),
        };
        assert_eq!(threads(2, panics).unwrap_err().to_string(), "rank 1 has ended: its thread is over");
    }

    #[test]
    fn programs_that_mpirun_started_train_together_or_not_at_all() {
        let started = |size: &'static str| {
            move |name: &str| STARTED[1].iter().position(|&told| told == name).map(|i| [size, "3"][i].into())
        };
        assert_eq!(strangers(false, started("8")), Some([8, 3]));
        assert_eq!(strangers(true, started("8")), None);
        assert_eq!([strangers(false, started("1")), strangers(false, |_| None)], [None; 2]);
    }

    #[test]
    fn ranks_wish_measure_and_agree_together() {
        threads(3, |ranks| {
            let rank = ranks.share().rank;
            assert_eq!(ranks.any(1 << rank).unwrap(), 0b111);
            assert_eq!(ranks.least((rank > 0).then_some(rank as f64)).unwrap(), Some(1.0));
            assert_eq!(ranks.least(None).unwrap(), None);
            // Three images in all; the first rank has none.
            let means = ranks.means(vec![("nll", 7.0 * rank as f64)], rank).unwrap();
            assert_eq!(means, [("nll", 7.0)]);
            let unlike = |a: &str, b: &str| (a != b).then_some("another text");
            assert_eq!(ranks.agree("same", &rank.to_string(), unlike).unwrap(), ["0", "1", "2"]);
            let refused = ranks.agree(if rank == 1 { "other" } else { "same" }, "", unlike).unwrap_err();
            assert!(refused.to_string().starts_with("rank 1 has another text than rank 0;"), "{refused}");
            Ok(())
        })
        .unwrap();
    }
}
