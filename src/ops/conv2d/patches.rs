//! Convolutions of a few channels on CPU drivers, through patches: a row of a matrix holds what a pixel sees.
//! The rows are whole vec4s where the channels are not.

use super::{
    Conv2d, Extents, MAX_TAPS, PATCHES, Side,
    sweep::{seeing, together, written},
    weight::added,
};
use crate::{
    graph::op::{LaunchSpec, Lowered, Operand, grid_1d},
    kernel::caps::Caps,
    ops::matmul::{self, MatMul},
};

/// The matrix `[pixels, T·C]` of patches.
const MATRIX: Operand = Operand::Scratch(0);
/// Two halves of the weight gradient, which are added up.
const HALVES: Operand = Operand::Scratch(1);

impl Conv2d {
    /// Whether the adapter takes patches for these channels.
    pub(super) fn by_patches(&self, e: Extents, caps: &Caps) -> bool {
        let few = self.lanes(Extents { c: 4, ..e }, caps) && !e.c.is_multiple_of(4);
        few && self.window.taps.len() <= MAX_TAPS && (self.window.taps.len() * e.c).is_multiple_of(4)
    }

    /// The input gradient: the product of pixels and weights as a matrix of patches, and their sum where they
    /// overlap.
    pub(super) fn folded(&self, e: Extents, caps: &Caps) -> Lowered {
        let (pixels, k) = (e.n * self.window.made[0] * self.window.made[1], self.window.taps.len() * e.c);
        let extents = matmul::Extents { batch: 1, m: pixels, n: k, k: e.o };
        let operands = [Operand::Input(0), Operand::Input(1), MATRIX];
        let Lowered { mut launches, scratch: parts } =
            MatMul { ta: false, tb: true }.preferred(extents, caps, false, operands, 1);
        for sweeps in together(&self.window.backward(), MAX_TAPS) {
            let [_, swept] = sweeps[0].pixels();
            let (rows, taps, count) = (e.n * swept, sweeps[0].taps.len(), sweeps.len());
            let [across, down, _] = grid_1d((rows * e.c).div_ceil(256));
            let launch = LaunchSpec::new(&PATCHES, "fold", [across, down, count as u32]);
            let launch = written(seeing(launch, &sweeps[0], 0..taps), sweeps)
                .dim("c", k)
                .dim("o", e.c)
                .dim("rows", rows)
                .bind("x", MATRIX)
                .bind("y", Operand::Output)
                .cost(count * rows * e.c * taps, 4 * (count * rows * e.c * (taps + 1)) as u64)
                .why("few channels: patches from the matrix product, added up");
            launches.push(launch);
        }
        Lowered { launches, scratch: [vec![4 * (pixels * k) as u64], parts].concat() }
    }

    /// The output or the weight gradient: a matrix of patches, and its product with the weights or the
    /// cotangent.
    pub(super) fn patched(&self, e: Extents, caps: &Caps, epilogue: bool) -> Lowered {
        let sweep = self.window.forward();
        let ([seen, swept], k) = (sweep.pixels(), sweep.taps.len() * e.c);
        let pixels = e.n * swept;
        let launch = LaunchSpec::new(&PATCHES, "patches", grid_1d((pixels * k / 4).div_ceil(256)));
        let patches = seeing(launch, &sweep, 0..sweep.taps.len())
            .dim("rows", pixels)
            .dim("c", e.c)
            .bind("x", Operand::Input(0))
            .bind("y4", MATRIX)
            .cost(0, 4 * (e.n * seen * e.c + pixels * k) as u64)
            .why("few channels: rows of patches for the matrix product");
        let mut scratch = vec![4 * (pixels * k) as u64];
        let mut launches = vec![patches];
        if self.side == Side::Output {
            let extents = matmul::Extents { batch: 1, m: pixels, n: e.o, k };
            let operands = [MATRIX, Operand::Input(1), Operand::Output];
            let product = MatMul { ta: false, tb: false }.preferred(extents, caps, epilogue, operands, 1);
            launches.extend(product.launches);
            scratch.extend(product.scratch);
            return Lowered { launches, scratch };
        }
        // One tile would leave cores idle.
        let few = k.div_ceil(64) * e.o.div_ceil(64) < 32;
        let halves = few && pixels >= 512 && pixels.is_multiple_of(2);
        let batch = if halves { 2 } else { 1 };
        let extents = matmul::Extents { batch, m: k, n: e.o, k: pixels / batch };
        let operands = [MATRIX, Operand::Input(1), if halves { HALVES } else { Operand::Output }];
        if halves {
            scratch.push(8 * (k * e.o) as u64);
        }
        let product =
            MatMul { ta: true, tb: false }.preferred(extents, caps, epilogue, operands, scratch.len());
        launches.extend(product.launches);
        scratch.extend(product.scratch);
        if halves {
            launches.push(added(k * e.o, 1));
        }
        Lowered { launches, scratch }
    }
}
