//! The weight gradient: a matrix `[T·C, O]` of sums over pixels.

use super::{
    Conv2d, Extents, MAX_LOOP, MAX_TAPS, WEIGHT, WEIGHT_LANES,
    tile::{Tile, with_taps},
};
use crate::{
    graph::{
        op::{LaunchSpec, Lowered, Operand, grid_1d},
        window::Window,
    },
    kernel::caps::Caps,
};
use std::ops::Range;

impl Conv2d {
    /// Launches of some taps and some pixels each. Few tiles would leave cores of a CPU driver idle: there,
    /// two halves of the pixels are summed apart and then added.
    pub(super) fn weight(&self, e: Extents, caps: &Caps) -> Lowered {
        let taps = self.window.taps.len();
        let (pixels, total) = (e.n * self.window.made[0] * self.window.made[1], taps * e.c * e.o);
        let tile = self.tile(e, caps, e.o);
        let lanes = matches!(tile, Tile::Lanes { .. });
        let tiles = (taps * e.c).div_ceil(64) * e.o.div_ceil(64);
        let halves = lanes && tiles < 32 && pixels >= 512;
        // An iteration sums 4 pixels, and each half has loops of its own.
        let part = MAX_LOOP * if lanes { 4 } else { 1 } * if halves { 2 } else { 1 };
        let mut launches = vec![];
        for first in (0..taps).step_by(MAX_TAPS) {
            for start in (0..pixels).step_by(part) {
                let (taps, pixels) = (first..(first + MAX_TAPS).min(taps), start..(start + part).min(pixels));
                launches.push(self.weight_part(e, tile, taps, pixels, halves));
            }
        }
        if !halves {
            return Lowered { launches, scratch: vec![] };
        }
        launches.push(added(total, 0));
        Lowered { launches, scratch: vec![8 * total as u64] }
    }

    /// One launch: what some pixels add to the weights of some taps.
    fn weight_part(
        &self,
        e: Extents,
        tile: Tile,
        taps: Range<usize>,
        pixels: Range<usize>,
        halves: bool,
    ) -> LaunchSpec {
        let Window { image, made, stride, taps: all } = &self.window;
        let (rows, depth) = (taps.len() * e.c, if halves { 2 } else { 1 });
        let [height, width] = tile.size();
        let grid = [e.o.div_ceil(width) as u32, rows.div_ceil(height) as u32, depth];
        let launch = match tile {
            Tile::Lanes { wide } => LaunchSpec::new(&WEIGHT_LANES, tile.entry(), grid)
                .flag("WIDE", wide)
                .dim("c4", e.c / 4)
                .dim("o4", e.o / 4)
                .dim("chunk", pixels.len().div_ceil(depth as usize).next_multiple_of(4))
                .dim("total", all.len() * e.c * e.o / 4),
            Tile::Panels | Tile::Registers => {
                LaunchSpec::new(&WEIGHT, tile.entry(), grid).dim("c", e.c).dim("o", e.o)
            }
        };
        let launch = launch.pair("src", *image).pair("dst", *made).pair("src_step", *stride);
        let (seen, summed) = (e.n * image[0] * image[1], e.n * made[0] * made[1]);
        with_taps(launch, all[taps.clone()].iter().map(|&tap| (tap, 0)))
            .dim("rows", rows)
            .dim("first_row", taps.start * e.c)
            .dim("start", pixels.start)
            .dim("end", pixels.end)
            .bind("x", Operand::Input(0))
            .bind("dy", Operand::Input(1))
            .bind("y", if halves { Operand::Scratch(0) } else { Operand::Output })
            .cost(2 * rows * e.o * pixels.len(), 4 * (seen * e.c + summed * e.o + rows * e.o) as u64)
            .why(tile.why())
    }
}

/// The output as the sum of two halves of so many values, a multiple of 4, in a scratch buffer.
pub(super) fn added(total: usize, scratch: usize) -> LaunchSpec {
    LaunchSpec::new(&WEIGHT, "add", grid_1d((total / 4).div_ceil(64)))
        .bind("halves", Operand::Scratch(scratch))
        .bind("sum4", Operand::Output)
        .dim("rows", total / 4)
        .cost(total, 12 * total as u64)
        .why("the halves' sum")
}
