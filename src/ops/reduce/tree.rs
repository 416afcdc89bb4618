//! Reductions on GPUs. A trip to memory costs as much as hundreds of other instructions, so that the time of
//! a small reduction is the number of trips that wait for each other. Hence many lanes share a line, each has
//! several loads in flight, and a tree in workgroup memory joins the lanes.

use super::{Kind, Pass};
use crate::{
    graph::op::{LaunchSpec, Operand, grid_1d},
    kernel::Shader,
};

static SHADER: Shader = crate::shader!("reduce_tree");
/// The invocations of a workgroup.
const WORKGROUP: usize = 256;
/// The trips that cost as much as another launch.
const TRIPS: usize = 8;
/// The number of workgroups from which on a card is busy without cuts, and the most that a cut makes.
const BUSY: usize = 256;
const MOST: usize = 1024;

/// How the invocations of a workgroup lie over lines, each of which is reduced to one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::ops) struct Lanes {
    /// The lines of a workgroup, a power of 4.
    pub(in crate::ops) wide: usize,
    /// The elements of a line that are loaded at once.
    pub(in crate::ops) trip: usize,
}

impl Lanes {
    /// As many lanes for a line as it takes to load it in one trip, if an invocation loads `each` elements at
    /// once. At least `beside` lines, if there are so many, lie beside each other, so that what is loaded is
    /// contiguous.
    pub(in crate::ops) fn new(lines: usize, length: usize, each: usize, beside: usize) -> Self {
        let powers = [1, 4, 16, 64, WORKGROUP];
        let least = powers.into_iter().find(|&wide| wide >= lines.min(beside)).unwrap_or(WORKGROUP);
        let most = WORKGROUP / least;
        let high = powers.into_iter().find(|&high| high == most || high * each >= length).unwrap_or(most);
        Self { wide: WORKGROUP / high, trip: high * each }
    }

    /// The length of the chunks that lines are cut into, so that few lines keep a card busy.
    pub(in crate::ops) fn chunk(self, lines: usize, length: usize) -> usize {
        let (groups, trips) = (lines.div_ceil(self.wide), length.div_ceil(self.trip));
        if trips <= TRIPS || groups >= BUSY {
            return length;
        }
        let chunks = trips.min(MOST / groups).min(self.trip);
        trips.div_ceil(chunks) * self.trip
    }
}

/// The launch that sums over the middle axis, which is short enough for one.
pub(in crate::ops) fn sum([outer, r, inner]: [usize; 3], from: Operand, to: Operand) -> LaunchSpec {
    Pass { outer, r, inner, chunk: r }.tree(Kind::Sum, from, to)
}

impl Pass {
    /// The entry point, the results that lie in one element of it, the elements that a lane loads at once, the
    /// lines that shall lie beside each other, and the reason.
    fn entry(self) -> (&'static str, usize, usize, usize, &'static str) {
        match (self.inner, self.by_vectors()) {
            (1, true) => ("rows4", 1, 16, 1, "rows by lanes, vec4s"),
            (1, false) => ("rows", 1, 16, 1, "rows by lanes"),
            (_, true) => ("columns4", 4, 4, 4, "columns by lanes, vec4s"),
            _ => ("columns", 1, 16, 16, "columns by lanes"),
        }
    }

    /// The lines, and the invocations over them, of a pass that cuts nothing.
    fn lanes(self) -> (usize, Lanes) {
        let (_, unit, each, beside, _) = self.entry();
        let lines = self.outer * self.inner / unit;
        (lines, Lanes::new(lines, self.r, each, beside))
    }

    /// The pass as as many passes as it takes so that few results keep a card busy, too.
    pub(in crate::ops) fn trees(mut self) -> Vec<Pass> {
        let mut stages = vec![];
        loop {
            let (lines, lanes) = self.lanes();
            self.chunk = lanes.chunk(lines, self.r);
            stages.push(self);
            if self.s() == 1 {
                return stages;
            }
            self.r = self.s();
        }
    }

    /// The launch of one of these passes.
    pub(in crate::ops) fn tree(self, kind: Kind, from: Operand, to: Operand) -> LaunchSpec {
        let (entry, unit, .., why) = self.entry();
        let lines = self.results() / unit;
        let wide = self.lanes().1.wide;
        let (x, y) = match entry {
            "columns4" => ("x4", "y4"),
            "rows4" => ("x4", "y"),
            _ => ("x", "y"),
        };
        self.sized(LaunchSpec::new(&SHADER, entry, grid_1d(lines.div_ceil(wide))), kind, unit)
            .constant("WIDE", wide as f64)
            .bind(x, from)
            .bind(y, to)
            .why(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_loaded_in_few_trips() {
        // Lines, their length, elements that a lane loads, lines beside each other: lines of a workgroup, chunk.
        for ([lines, length, each, beside], wide, chunk) in [
            ([1, 4_194_304, 16, 1], 1, 4096),
            ([1, 1024, 16, 1], 4, 1024),
            ([4096, 256, 16, 1], 16, 256),
            ([16, 12_544, 4, 4], 4, 256),
            ([16, 49, 4, 4], 16, 49),
            ([256, 4096, 4, 4], 4, 256),
            ([100_000, 3, 4, 4], 256, 3),
            ([3, 5000, 16, 16], 4, 5000),
        ] {
            let lanes = Lanes::new(lines, length, each, beside);
            assert_eq!(
                (lanes.wide, lanes.chunk(lines, length)),
                (wide, chunk),
                "{lines} of {length}: {lanes:?}"
            );
        }
    }
}
