//! The convolution and its input gradient: sweeps over a lattice of pixels, each of which sums what its taps
//! see.

use super::{
    Conv2d, Extents, LANES, MAX_LOOP, MAX_TAPS, PORTABLE, Side,
    tile::{Tile, numbered_taps, with_taps},
};
use crate::{
    graph::{
        op::{LaunchSpec, Operand, grid_1d},
        window::Sweep,
    },
    kernel::caps::Caps,
};
use std::{ops::Range, slice::Chunks};

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
        let most = if self.lanes(e, caps) { taps_of_a_launch(self.channels(e)[0]) } else { 0 };
        let groups = together(&sweeps, most);
        let parts: Result<Vec<_>, String> =
            groups.map(|group| self.summed(e, group, caps, epilogue, operands)).collect();
        Ok(parts?.concat())
    }

    /// The launches of one sweep, or of some that are taken [`together`], for an op that goes over its images sweep
    /// by sweep; the operands are what is read, the weights, and what is made. Each launch adds its taps to what the
    /// ones before it made.
    ///
    /// # Errors
    /// More channels than a launch sums.
    pub(in crate::ops) fn summed(
        &self,
        e: Extents,
        sweeps: &[Sweep],
        caps: &Caps,
        epilogue: bool,
        operands: [Operand; 3],
    ) -> Result<Vec<LaunchSpec>, String> {
        let [read, made] = self.channels(e);
        let part = taps_of_a_launch(read);
        if part == 0 {
            return Err(format!(
                "{read} channels are more than the {MAX_LOOP} that a launch sums; split them"
            ));
        }
        let (tile, all) = (self.tile(e, caps, made), sweeps[0].taps.len());
        let launch = |start: usize| {
            let taps = start..(start + part).min(all);
            let last = taps.end == all;
            self.sweep(e, sweeps, taps, tile, last && epilogue, operands)
        };
        Ok((0..all.max(1)).step_by(part).map(launch).collect())
    }

    /// One launch: some taps of a sweep, or all of some sweeps.
    fn sweep(
        &self,
        e: Extents,
        sweeps: &[Sweep],
        taps: Range<usize>,
        tile: Tile,
        epilogue: bool,
        [x, w, y]: [Operand; 3],
    ) -> LaunchSpec {
        let forward = self.side == Side::Output;
        let [read, made] = self.channels(e);
        let (sweep, count) = (&sweeps[0], sweeps.len());
        let ([seen, swept], weights) = (sweep.pixels(), count * taps.len() * e.c * e.o);
        let rows = e.n * swept;
        let [height, width] = tile.size();
        let [down, more, _] = grid_1d(rows.div_ceil(height));
        let grid = [made.div_ceil(width) as u32, down, more * count as u32];
        let launch = match tile {
            Tile::Lanes { wide } => LaunchSpec::new(&LANES, tile.entry(), grid)
                .dim("c4", read / 4)
                .dim("o4", made / 4)
                .dim("sweeps", count)
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
        written(seeing(launch, sweep, taps.clone()), sweeps)
            .dim("accumulate", usize::from(taps.start > 0))
            .dim("rows", rows)
            .bind("x", x)
            .bind("w", w)
            .bind("y", y)
            .cost(2 * rows * weights, 4 * (e.n * (seen * read + count * swept * made) + weights) as u64)
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

/// A launch that makes the pixels of sweeps' lattices within the image made. It sees through the first one's taps.
pub(super) fn written(launch: LaunchSpec, sweeps: &[Sweep]) -> LaunchSpec {
    let Sweep { dst, dst_step, dst_first, .. } = sweeps[0];
    let launch = launch.pair("dst", dst).pair("dst_step", dst_step).pair("dst_first", dst_first);
    let others = sweeps.iter().enumerate().skip(1);
    let with = |launch, (i, sweep): (usize, &Sweep)| {
        numbered_taps(launch, i * sweep.taps.len(), sweep.taps.iter().copied())
    };
    others.fold(launch, with)
}

/// The most taps of a sweep that a launch sums over so many channels.
fn taps_of_a_launch(read: usize) -> usize {
    (MAX_LOOP / read).min(MAX_TAPS)
}

/// All sweeps in one group, if they make lattices of the same extents through as many taps each, at most `most`,
/// remainder by remainder, as where a stride divides the image and the kernel; otherwise each by itself.
pub(super) fn together(sweeps: &[Sweep], most: usize) -> Chunks<'_, Sweep> {
    let first = &sweeps[0];
    let follows = |(i, sweep): (usize, &Sweep)| {
        let corner = [i / first.dst_step[1], i % first.dst_step[1]];
        (sweep.lattice, sweep.taps.len(), sweep.dst_first) == (first.lattice, first.taps.len(), corner)
    };
    let fits = (1..=most).contains(&first.taps.len()) && sweeps.len() * first.taps.len() <= MAX_TAPS;
    let alike = fits && sweeps.iter().enumerate().all(follows);
    sweeps.chunks(if alike { sweeps.len() } else { 1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::window::{Kernel, Taps};

    #[test]
    fn sweeps_that_differ_in_corner_and_taps_alone_are_together() {
        let stepped = |size, stride| Kernel { size, stride, ..Kernel::square(1) };
        let none = Kernel::same(3).stride(2).taps(Taps::Rect([0, 1], [0, 3])); // in one row, no tap meets a pixel
        let cases = [
            (Kernel::square(4).stride(2).padding(1), [8, 8], 1),
            (Kernel::square(4).stride(2).padding(1), [7, 8], 4),
            (Kernel::square(3).stride(2), [8, 8], 4),
            (stepped([2, 3], [2, 1]), [6, 5], 1),
            (stepped([3, 4], [3, 2]), [6, 8], 1),
            (Kernel::square(3).stride(3), [9, 9], 1),
            (Kernel::square(16).stride(2), [32, 32], 4), // more taps than the uniform holds
            (none, [1, 4], 2),
        ];
        for (kernel, image, groups) in cases {
            let sweeps = kernel.window(image).unwrap().backward();
            assert_eq!(together(&sweeps, MAX_TAPS).len(), groups, "{kernel:?} over {image:?}");
            assert_eq!(together(&sweeps, 0).len(), sweeps.len());
        }
    }

    /// A stride far beyond the image has no more sweeps than the image has pixels.
    #[test]
    fn sweeps_are_no_more_than_pixels() {
        let window = Kernel::square(1).stride(1 << 20).window([3, 2]).unwrap();
        assert_eq!(window.backward().len(), 6);
    }
}
