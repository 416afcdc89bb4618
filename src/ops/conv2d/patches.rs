//! Convolutions of a few channels on CPU drivers, through patches: rows that hold what a pixel sees, whose products are whole vec4s
//! where the channels are not.

use super::{Conv2d, Extents, MAX_TAPS, PORTABLE, Role, added, pairs, with_taps};
use crate::{
    graph::op::{LaunchSpec, Lowered, Operand, grid_1d},
    kernel::caps::Caps,
    ops::matmul::{self, MatMul},
};

impl Conv2d {
    /// Whether patches of a few channels, as rows of a matrix, are whole vec4s where the channels are not.
    pub(super) fn by_patches(&self, e: Extents, caps: &Caps) -> bool {
        let few = self.lanes(Extents { c: 4, ..e }, caps) && !e.c.is_multiple_of(4);
        few && self.window.taps.len() <= MAX_TAPS && (self.window.taps.len() * e.c).is_multiple_of(4)
    }

    /// The product of pixels and weights as a scratch matrix `[pixels, T·C]` of patches, and their sum where they overlap.
    pub(super) fn folded(&self, e: Extents, caps: &Caps) -> Lowered {
        let (pixels, k) = (e.n * self.window.made[0] * self.window.made[1], self.window.taps.len() * e.c);
        let matmul = MatMul { ta: false, tb: true };
        let extents = matmul::Extents { batch: 1, m: pixels, n: k, k: e.o };
        let (variant, why) = matmul.variants(extents, caps)[0];
        let mut launches = matmul.launches(extents, variant, false, why);
        let scratch = |b: &mut (&'static str, Operand)| {
            if b.1 == Operand::Output {
                b.1 = Operand::Scratch(0);
            }
        };
        launches.iter_mut().for_each(|l| l.bindings.iter_mut().for_each(scratch));
        for sweep in self.window.backward() {
            let rows = e.n * sweep.lattice[0] * sweep.lattice[1];
            let launch = LaunchSpec::new(&PORTABLE, "fold", grid_1d((rows * e.c).div_ceil(256)));
            let launch = pairs(launch.dim("c", k).dim("o", e.c).dim("rows", rows), &sweep.src, "src");
            let launch = pairs(pairs(launch, &sweep.lattice, "lattice"), &sweep.src_step, "src_step");
            let launch = pairs(pairs(launch, &sweep.dst, "dst"), &sweep.dst_step, "dst_step");
            let bytes = 4 * (rows * e.c * (sweep.taps.len() + 1)) as u64;
            let launch = with_taps(pairs(launch, &sweep.dst_first, "dst_first"), sweep.taps.iter().copied())
                .bind("x", Operand::Scratch(0))
                .bind("y", Operand::Output)
                .cost(rows * e.c * sweep.taps.len(), bytes)
                .why("few channels: patches from the matrix product, added up");
            launches.push(launch);
        }
        Lowered { launches, scratch: vec![4 * (pixels * k) as u64] }
    }

    /// Patches into a scratch matrix `[pixels, T·C]`, and the product of that.
    pub(super) fn patched(&self, e: Extents, caps: &Caps, epilogue: bool) -> Lowered {
        let sweep = self.window.forward();
        let (pixels, k) = (e.n * sweep.dst[0] * sweep.dst[1], sweep.taps.len() * e.c);
        let launch = LaunchSpec::new(&PORTABLE, "patches", grid_1d((pixels * k / 4).div_ceil(256)));
        let launch = pairs(
            pairs(pairs(launch, &sweep.src, "src"), &sweep.lattice, "lattice"),
            &sweep.src_step,
            "src_step",
        );
        let bytes = 4 * (e.n * sweep.src[0] * sweep.src[1] * e.c + pixels * k) as u64;
        let patches = with_taps(launch, sweep.taps.iter().copied())
            .dim("rows", pixels)
            .dim("c", e.c)
            .bind("x", Operand::Input(0))
            .bind("y4", Operand::Scratch(0))
            .cost(0, bytes)
            .why("few channels: rows of patches for the matrix product");
        let weight = self.role == Role::Weight;
        let matmul = MatMul { ta: weight, tb: false };
        let (m, inner) = if weight { (k, pixels) } else { (pixels, k) };
        // One tile would leave cores idle.
        let halves =
            weight && pixels >= 512 && pixels.is_multiple_of(2) && k.div_ceil(64) * e.o.div_ceil(64) < 32;
        let batch = if halves { 2 } else { 1 };
        let extents = matmul::Extents { batch, m, n: e.o, k: inner / batch };
        let (variant, why) = matmul.variants(extents, caps)[0];
        let mut products = matmul.launches(extents, variant, epilogue, why);
        let swap = |b: &mut (&'static str, Operand)| match b.1 {
            Operand::Input(0) => b.1 = Operand::Scratch(0),
            Operand::Output if halves => b.1 = Operand::Scratch(1),
            _ => {}
        };
        products.iter_mut().for_each(|l| l.bindings.iter_mut().for_each(swap));
        let mut scratch = vec![4 * (pixels * k) as u64];
        if halves {
            products.push(added(k * e.o, 1));
            scratch.push(8 * (k * e.o) as u64);
        }
        Lowered { launches: [vec![patches], products].concat(), scratch }
    }
}
