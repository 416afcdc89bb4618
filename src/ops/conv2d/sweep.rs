//! The convolution and its input gradient: sweeps over a lattice of pixels, each of which sums what its taps
//! see.

use super::{
    Conv2d, Extents, LANES, MAX_LOOP, MAX_TAPS, PORTABLE, Side,
    tile::{Tile, with_taps},
};
use crate::{
    graph::{
        op::{LaunchSpec, Operand, grid_1d},
        window::Sweep,
    },
    kernel::caps::Caps,
};
use std::ops::Range;

impl Conv2d {
    /// The channels that a sweep reads, and the channels that it makes.
    pub(super) fn channels(&self, e: Extents) -> [usize; 2] {
        if self.side == Side::Output { [e.c, e.o] } else { [e.o, e.c] }
    }

    /// All launches, in order.
    pub(super) fn sweeps(&self, e: Extents, caps: &Caps, epilogue: bool) -> Result<Vec<LaunchSpec>, String> {
        let sweeps =
            if self.side == Side::Output { vec![self.window.forward()] } else { self.window.backward() };
        let operands = [Operand::Input(0), Operand::Input(1), Operand::Output];
        let parts: Result<Vec<_>, String> =
            sweeps.iter().map(|sweep| self.summed(e, sweep, caps, epilogue, operands)).collect();
        Ok(parts?.concat())
    }

    /// The launches of one sweep, for an op that goes over its images sweep by sweep; the operands are what is
    /// read, the weights, and what is made. Each launch adds its taps to what the ones before it made.
    ///
    /// # Errors
    /// More channels than a launch sums.
    pub(in crate::ops) fn summed(
        &self,
        e: Extents,
        sweep: &Sweep,
        caps: &Caps,
        epilogue: bool,
        operands: [Operand; 3],
    ) -> Result<Vec<LaunchSpec>, String> {
        let [read, made] = self.channels(e);
        let part = (MAX_LOOP / read).min(MAX_TAPS);
        if part == 0 {
            return Err(format!(
                "{read} channels are more than the {MAX_LOOP} that a launch sums; split them"
            ));
        }
        let tile = self.tile(e, caps, made);
        let launch = |start: usize| {
            let taps = start..(start + part).min(sweep.taps.len());
            let last = taps.end == sweep.taps.len();
            self.sweep(e, sweep, taps, tile, last && epilogue, operands)
        };
        Ok((0..sweep.taps.len().max(1)).step_by(part).map(launch).collect())
    }

    /// One launch: some taps of a sweep.
    fn sweep(
        &self,
        e: Extents,
        sweep: &Sweep,
        taps: Range<usize>,
        tile: Tile,
        epilogue: bool,
        [x, w, y]: [Operand; 3],
    ) -> LaunchSpec {
        let forward = self.side == Side::Output;
        let [read, made] = self.channels(e);
        let ([seen, swept], weights) = (sweep.pixels(), taps.len() * e.c * e.o);
        let rows = e.n * swept;
        let [height, width] = tile.size();
        let [down, more, _] = grid_1d(rows.div_ceil(height));
        let grid = [made.div_ceil(width) as u32, down, more];
        let launch = match tile {
            Tile::Lanes { wide } => LaunchSpec::new(&LANES, tile.entry(), grid)
                .dim("c4", read / 4)
                .dim("o4", made / 4)
                .flag("WIDE", wide)
                .flag("TB", !forward)
                .flag("LATTICE", sweep.lattice != sweep.dst),
            Tile::Panels | Tile::Registers => LaunchSpec::new(&PORTABLE, tile.entry(), grid)
                .dim("c", read)
                .dim("o", made)
                .dim("w_in", if forward { e.o } else { 1 })
                .dim("w_out", if forward { 1 } else { e.o })
                .dim("epilogue", usize::from(epilogue)),
        };
        written(seeing(launch, sweep, taps.clone()), sweep)
            .dim("accumulate", usize::from(taps.start > 0))
            .dim("rows", rows)
            .bind("x", x)
            .bind("w", w)
            .bind("y", y)
            .cost(2 * rows * weights, 4 * (e.n * (seen * read + swept * made) + weights) as u64)
            .fused(epilogue)
            .why(tile.why())
    }
}

/// A launch that sees pixels of an image through some taps of a sweep.
pub(super) fn seeing(launch: LaunchSpec, sweep: &Sweep, taps: Range<usize>) -> LaunchSpec {
    let launch = launch
        .pair("src", sweep.src)
        .pair("lattice", sweep.lattice)
        .pair("src_step", sweep.src_step)
        .dim("lattice[2]", sweep.shear as u32 as usize);
    with_taps(launch, sweep.taps[taps].iter().copied())
}

/// A launch that makes the pixels of a sweep's lattice within the image made.
pub(super) fn written(launch: LaunchSpec, sweep: &Sweep) -> LaunchSpec {
    launch.pair("dst", sweep.dst).pair("dst_step", sweep.dst_step).pair("dst_first", sweep.dst_first)
}
