//! Pipelines made by hand.

use super::*;
use crate::isa::Pace;

/// A loop with these counts, inside another or not.
pub(crate) fn a_loop(outer: Option<usize>, counts: Counts) -> Loop {
    Loop { outer, counts, pace: Pace { cycles: 1000, issue: 500 } }
}

/// A pipeline with these loops, of 40 registers.
pub(crate) fn built(loops: Vec<Loop>) -> Built {
    let once = Loop { outer: None, counts: Counts::default(), pace: Pace { cycles: 100, issue: 50 } };
    Built {
        lanes: 64,
        registers: 40,
        scalars: 128,
        spilled: 0,
        scratch: 0,
        memory: 0,
        code: 100,
        loops,
        once,
    }
}

/// No instructions.
const NONE: Counts = Counts {
    fma: 0,
    products: 0,
    valu: 0,
    mul32: 0,
    trans: 0,
    lds: 0,
    vmem: 0,
    scratch: 0,
    smem: 0,
    wait: 0,
    barrier: 0,
    salu: 0,
    lds_bytes: 0,
    lds_read: 0,
    loaded: 0,
    stored: 0,
};

#[test]
fn loops_are_passed_as_often_as_their_work_says() {
    let zeroes = a_loop(None, Counts { lds_bytes: 16, ..NONE });
    let tile =
        a_loop(None, Counts { barrier: 2, products: 256, loaded: 32, lds_read: 512, lds_bytes: 544, ..NONE });
    let work = Work { barriers: 98, products: 49 * 256 + 12, loaded: 49 * 32, shared: 49 * 512 };
    assert_eq!(built(vec![zeroes, tile]).passes(&work), [1.0, 49.0]);
}

#[test]
fn loops_that_are_alike_are_passed_equally_often() {
    let loads = |products| a_loop(None, Counts { loaded: 8, products, ..NONE });
    let work = Work { products: 3 * 32 + 2, loaded: 2 * 8 * 32, ..Work::default() };
    assert_eq!(built(vec![loads(1), loads(2)]).passes(&work), [32.0, 32.0]);
    // What one loop loads is not counted for another.
    let (sums, tree) = (Counts { loaded: 4, ..NONE }, Counts { barrier: 1, loaded: 4, lds_read: 8, ..NONE });
    let work = Work { loaded: 40 * 4 + 8 * 4, barriers: 8, shared: 64, ..Work::default() };
    assert_eq!(built(vec![a_loop(None, sums), a_loop(None, tree)]).passes(&work), [40.0, 8.0]);
}

#[test]
fn the_hot_loop_multiplies_most() {
    let (few, many) = (Counts { fma: 1, valu: 500, ..NONE }, Counts { fma: 256, valu: 145, ..NONE });
    let kernel = built(vec![a_loop(None, few), a_loop(None, many)]);
    assert_eq!(kernel.hot(&[1.0, 1.0]).unwrap().index, 1);
    assert_eq!(built(vec![]).hot(&[]), None);
}

/// A panel is loaded once, and multiplied by a loop of its own.
#[test]
fn a_pass_holds_the_passes_of_the_loop_that_reads_what_it_writes() {
    let panel = Counts { valu: 20, barrier: 2, lds_bytes: 32, ..NONE };
    let products = Counts { fma: 16, valu: 4, lds_bytes: 32, lds_read: 32, ..NONE };
    let kernel = built(vec![a_loop(None, panel), a_loop(Some(0), products)]);
    let hot = kernel.hot(&[10.0, 160.0]).unwrap();
    assert_eq!((hot.index, hot.counts.fma, hot.counts.valu), (0, 256, 20 + 16 * 4));
    assert_eq!((hot.counts.lds_bytes, hot.cycles), (32 + 16 * 32, 17_000));
}

#[test]
fn a_driver_that_tells_too_little_is_refused() {
    let chip = Chip::named("navi21").unwrap();
    let names = ["VGPRs", "SGPRs", "Spilled VGPRs", "Spilled SGPRs", "Scratch size", "LDS size", "Code size"];
    let statistics = names.map(|name| (name.to_string(), 8.0));
    let whole = Compiled { lanes: 64, statistics: statistics.into(), listing: "BB0:\n\ts_endpgm\n".into() };
    assert_eq!(Built::read(&whole, chip).unwrap().spilled, 16);
    for name in names {
        let mut less = whole.clone();
        less.statistics.remove(name);
        assert!(Built::read(&less, chip).unwrap_err().to_string().contains(&format!("`{name}`")));
    }
    let silent = Compiled { listing: String::new(), ..whole };
    assert!(Built::read(&silent, chip).unwrap_err().to_string().contains("no assembly"));
}
