//! Ranks as threads that exchange values: in the ranks' order, in large and small numbers, and with ranks that end.

use oneiro::{
    graph::share::Merge,
    train::{Collective, Threads, exchange},
};

/// Runs one closure a rank, each in a thread.
pub(crate) fn each<T: Send>(size: usize, run: impl Fn(&Threads) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> =
            Threads::new(size).into_iter().map(|rank| scope.spawn(move || run(&rank))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn all_ranks_get_the_same_in_the_ranks_order() {
    let all = each(3, |ranks| {
        let rank = ranks.share().rank;
        let rounds = (0..200u8).map(|round| {
            let brought = ranks.gather(&[round, rank as u8]).unwrap();
            brought.iter().map(|bytes| bytes.to_vec()).collect::<Vec<_>>()
        });
        let rounds: Vec<_> = rounds.collect();
        let mut values = [rank as f32, 1.0];
        exchange(ranks, Merge::Mean, &mut values).unwrap();
        let mut many: Vec<f32> = (0..5_000).map(|i| (i * (rank + 1)) as f32).collect();
        ranks.sum(&mut many).unwrap();
        assert!(many.iter().enumerate().all(|(i, &sum)| sum == 6.0 * i as f32), "{many:?}");
        (rounds, values, ranks.broadcast(&[rank as u8]).unwrap().to_vec())
    });
    for (rounds, values, first) in &all {
        let wanted = |round: u8| (0..3).map(|rank| vec![round, rank]).collect::<Vec<_>>();
        assert!(rounds.iter().eq(&(0..200).map(wanted).collect::<Vec<_>>()));
        assert_eq!((values, first), (&[1.0, 1.0], &vec![0]));
    }
}

/// The rows far from zero would be all rounding, were squares added up.
#[test]
fn moments_are_those_of_all_rows() {
    let x: Vec<f32> = (0..12).map(|i| 10_000.0 + (i as f32 * 0.7).sin()).collect();
    let of = |x: &[f32]| {
        let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / x.len() as f64;
        [mean as f32, variance as f32]
    };
    let whole = of(&x);
    for got in each(3, |ranks| {
        let mut values = of(&x[ranks.share().part(12)]);
        exchange(ranks, Merge::Moments, &mut values).unwrap();
        values
    }) {
        assert!(got[0] == whole[0] && (got[1] / whole[1] - 1.0).abs() < 1e-2, "{got:?}, not {whole:?}");
    }
}

#[test]
fn who_waits_for_a_rank_that_ended_is_told() {
    let ended = each(3, |ranks| match ranks.share().rank {
        1 => {
            ranks.leave("it ran out of memory");
            Ok(())
        }
        _ => ranks.barrier(),
    });
    let told = |rank: usize| ended[rank].clone().unwrap_err().to_string();
    assert!(ended[1].is_ok() && told(0) == "rank 1 has ended: it ran out of memory" && told(0) == told(2));
    let other = each(2, |ranks| ranks.sum(&mut vec![0.0; 3 + ranks.share().rank]));
    assert!(other[0].clone().unwrap_err().to_string().contains("rank 1 brought 16 bytes"));
}
