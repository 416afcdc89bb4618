//! The model of time: a launch takes as long as the slowest of its bounds, and what a dispatch costs.
//!
//! The bounds are the chain of latencies of the waves that a SIMD runs one after another, the vector unit, the
//! workgroup memory, the first cache, and the card's memory. `docs/offline.md` says what this leaves out.

use crate::{built::Built, chip::Chip};
use serde::{Deserialize, Serialize};

/// The seconds that a launch costs by itself, whatever it does.
pub const LAUNCH: f64 = 3e-6;

/// What limits a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// The vector unit's issue.
    Compute,
    /// The workgroup memory's bandwidth.
    Lds,
    /// The bandwidth of the first cache or of the card's memory.
    Memory,
    /// The latencies of one wave's instructions.
    Latency,
    /// The launch's own cost.
    Launch,
}

impl Bound {
    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Lds => "LDS",
            Self::Memory => "memory",
            Self::Latency => "latency",
            Self::Launch => "launch",
        }
    }
}

/// What a launch runs on.
pub struct Load<'a> {
    /// The pipeline.
    pub built: &'a Built,
    /// How often each loop is passed.
    pub passes: &'a [f64],
    /// The number of workgroups.
    pub groups: u64,
    /// The invocations of a workgroup.
    pub invocations: u32,
    /// The bytes that the launch reads and writes with a perfect cache.
    pub bytes: u64,
}

/// The modelled seconds of a launch, with its own cost, and what limits it.
pub fn modelled(load: &Load<'_>, chip: &Chip) -> (f64, Bound) {
    let built = load.built;
    // What one wave does from beginning to end.
    let total = |of: &dyn Fn(&crate::isa::Loop) -> u64| {
        let loops = built.loops.iter().zip(load.passes).map(|(l, passes)| passes * of(l) as f64);
        loops.sum::<f64>() + of(&built.once) as f64
    };
    let lanes = built.lanes as f64;
    let (cycles, issue) = (total(&|l| l.pace.cycles), total(&|l| l.pace.issue));
    let (memory, loaded) = (total(&|l| l.counts.lds_bytes) * lanes, total(&|l| l.counts.loaded) * lanes);
    // Waves are spread evenly; the fullest SIMD decides.
    let waves = load.groups * u64::from(load.invocations).div_ceil(built.lanes);
    let fullest = waves.div_ceil(chip.units * chip.simds).max(1) as f64;
    let rounds = (fullest / built.waves(chip, load.invocations)).max(1.0);
    let in_unit = fullest * chip.simds as f64;
    let bounds = [
        (cycles * rounds / chip.clock, Bound::Latency),
        (issue * fullest / chip.clock, Bound::Compute),
        (memory * in_unit / chip.memory_rate / chip.clock, Bound::Lds),
        (loaded * in_unit / chip.cache_rate / chip.clock, Bound::Memory),
        (load.bytes as f64 / chip.bandwidth, Bound::Memory),
    ];
    let slowest = bounds.into_iter().fold((0.0, Bound::Launch), |a, b| if b.0 > a.0 { b } else { a });
    let bound = if slowest.0 < LAUNCH { Bound::Launch } else { slowest.1 };
    (slowest.0 + LAUNCH, bound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        built::tests::{a_loop, built},
        isa::Counts,
    };

    /// A loop of 1000 cycles, 500 of which issue, passed 10 times; and 100 cycles once.
    fn took(groups: u64, bytes: u64, counts: Counts) -> (f64, Bound) {
        let built = built(vec![a_loop(None, counts)]);
        let load = Load { built: &built, passes: &[10.0], groups, invocations: 64, bytes };
        let (seconds, bound) = modelled(&load, Chip::named("navi21").unwrap());
        (((seconds - LAUNCH) * 2.1e9).round(), bound)
    }

    #[test]
    fn one_wave_takes_its_latencies_and_many_take_turns() {
        let none = Counts::default();
        assert_eq!(took(1, 0, none), (10_100.0, Bound::Latency));
        assert_eq!(took(120, 0, none), (10_100.0, Bound::Latency), "one wave for each SIMD");
        assert_eq!(took(240, 0, none), (10_100.0, Bound::Latency), "two hide each other's latencies");
        assert_eq!(took(480, 0, none), (4.0 * 5_050.0, Bound::Compute), "four are more than the unit issues");
    }

    #[test]
    fn bytes_take_their_time_where_they_pass() {
        let shared = Counts { lds_bytes: 1024, ..Counts::default() };
        // 10 passes of 64 lanes and 1024 bytes, two SIMDs at 128 bytes a cycle.
        assert_eq!(took(120, 0, shared), (10_240.0, Bound::Lds));
        let loaded = Counts { loaded: 1024, ..Counts::default() };
        assert_eq!(took(120, 0, loaded), (20_480.0, Bound::Memory));
        let (cycles, bound) = took(1, 435_200_000, Counts::default());
        assert_eq!((cycles, bound), (2.1e6, Bound::Memory), "a millisecond of 435 GB/s");
    }

    #[test]
    fn what_takes_less_than_a_launch_is_bound_by_it() {
        let built = built(vec![]);
        let load = Load { built: &built, passes: &[], groups: 1, invocations: 64, bytes: 64 };
        let (seconds, bound) = modelled(&load, Chip::named("navi21").unwrap());
        assert!(bound == Bound::Launch && (seconds - LAUNCH - 100.0 / 2.1e9).abs() < 1e-12);
    }
}
