//! Convolutions and their gradients on GPUs, by the blocks of the matrix product, cut into parts where there are
//! few: one launch for all taps, and for all sweeps of an input gradient.

use super::{Conv2d, Extents, MAX_TAPS, Side, tile::numbered_taps};
use crate::{
    graph::{
        op::{LaunchSpec, Lowered, Operand},
        window::{Sweep, Window},
    },
    kernel::{
        Shader,
        caps::{AdapterClass, Caps},
    },
    ops::matmul::{Block, Cut, added},
};

static EIGHT: Shader = crate::shader!("conv2d8");
static WEIGHT: Shader = crate::shader!("conv2d_weight8");
/// The most sweeps of a launch.
const MAX_SWEEPS: usize = 16;
/// Rows and columns are packed into 16 bits each.
const MAX_SIDE: usize = 65_535;

impl Conv2d {
    /// Whether the adapter takes blocks for these images.
    fn by_blocks(&self, caps: &Caps) -> bool {
        let sides = self.window.image.iter().chain(&self.window.made);
        caps.class == AdapterClass::Gpu && sides.copied().all(|side| side <= MAX_SIDE)
    }

    /// All sweeps, where the adapter is a GPU and one launch holds them.
    pub(super) fn lattices(&self, caps: &Caps) -> Option<Vec<Sweep>> {
        let forward = self.side == Side::Output;
        let sweeps = if forward { vec![self.window.forward()] } else { self.window.backward() };
        let taps: usize = sweeps.iter().map(|sweep| sweep.taps.len()).sum();
        let fits =
            taps <= MAX_TAPS && sweeps.len() <= MAX_SWEEPS && sweeps.iter().all(|sweep| sweep.shear == 0);
        (self.by_blocks(caps) && fits).then_some(sweeps)
    }

    /// The launches of blocks of the weight gradient, where the adapter is a GPU and the extents allow them.
    pub(super) fn weight_blocks(&self, e: Extents, caps: &Caps) -> Option<Lowered> {
        let Window { image, made, stride, taps } = &self.window;
        if !self.by_blocks(caps) || !e.o.is_multiple_of(4) || taps.len() > MAX_TAPS {
            return None;
        }
        let entry = if e.c.is_multiple_of(4) { "tile" } else { "scalars" };
        let (pixels, rows) = (e.n * made[0] * made[1], taps.len() * e.c);
        let (cut, _) = Block::Eight.cut([1, rows, e.o, pixels]);
        let grid = [e.o.div_ceil(64), rows.div_ceil(64), cut.parts].map(|n| n as u32);
        let (seen, total) = (e.n * image[0] * image[1] * e.c, rows * e.o);
        let launch = LaunchSpec::new(&WEIGHT, entry, grid)
            .dim("c", e.c)
            .dim("o4", e.o / 4)
            .dim("rows", rows)
            .dim("pixels", pixels)
            .dim("chunk", cut.chunk)
            .dim("total", total / 4)
            .pair("src", *image)
            .pair("dst", *made)
            .pair("src_step", *stride)
            .bind(if e.c.is_multiple_of(4) { "x" } else { "xs" }, Operand::Input(0))
            .bind("dy", Operand::Input(1))
            .cost(2 * total * pixels, 4 * (seen + pixels * e.o + total) as u64);
        let launch = numbered_taps(launch, 0, taps.iter().map(|&tap| (tap, 0)));
        Some(cut_up(launch, "y", cut, total, false))
    }

    /// The launches of blocks, where the adapter is a GPU and the extents allow them.
    pub(super) fn blocks(&self, e: Extents, caps: &Caps, epilogue: bool) -> Option<Lowered> {
        let whole = e.c.is_multiple_of(4) && e.o.is_multiple_of(4);
        let sweeps = self.lattices(caps).filter(|_| whole)?;
        let [read, made] = self.channels(e);
        let largest = sweeps.iter().map(|sweep| e.n * sweep.pixels()[1]).max()?;
        if largest.div_ceil(64) > MAX_SIDE {
            return None;
        }
        let panels = |sweep: &Sweep| sweep.taps.len() * read.div_ceil(16);
        let longest = sweeps.iter().map(panels).max()?.max(1);
        let (cut, _) = Block::Eight.cut([sweeps.len(), largest, made, 16 * longest]);
        let total = e.n * sweeps[0].dst.iter().product::<usize>() * made;
        let grid = [made.div_ceil(64), largest.div_ceil(64), sweeps.len() * cut.parts].map(|n| n as u32);
        let mut launch = LaunchSpec::new(&EIGHT, "tile", grid)
            .flag("TB", self.side == Side::Input)
            .dim("c4", read / 4)
            .dim("o4", made / 4)
            .dim("parts", cut.parts)
            .dim("total", total / 4)
            .bind("x", Operand::Input(0))
            .bind("w", Operand::Input(1));
        for (i, sweep) in sweeps.iter().enumerate() {
            launch = launch.dim(&format!("sweep[{i}].chunk"), panels(sweep).div_ceil(cut.parts));
        }
        Some(cut_up(listed(launch, e.n, &sweeps, [read, made]), "c", cut, total, epilogue))
    }
}

/// A launch with all its sweeps over so many images, and what they cost.
pub(super) fn listed(
    mut launch: LaunchSpec,
    images: usize,
    sweeps: &[Sweep],
    [read, made]: [usize; 2],
) -> LaunchSpec {
    let (mut first, mut products) = (0, 0);
    for (i, sweep) in sweeps.iter().enumerate() {
        let pixels = images * sweep.pixels()[1];
        launch = launch
            .pair(&format!("sweep[{i}].lattice"), sweep.lattice)
            .pair(&format!("sweep[{i}].dst_first"), sweep.dst_first)
            .dim(&format!("sweep[{i}].rows"), pixels)
            .dim(&format!("sweep[{i}].first"), first)
            .dim(&format!("sweep[{i}].taps"), sweep.taps.len());
        launch = numbered_taps(launch, first, sweep.taps.iter().copied());
        first += sweep.taps.len();
        products += pixels * sweep.taps.len();
    }
    let Sweep { src, src_step, dst, dst_step, .. } = sweeps[0];
    let (seen, total) = (images * sweeps[0].pixels()[0] * read, images * dst[0] * dst[1] * made);
    launch
        .pair("src", src)
        .pair("src_step", src_step)
        .pair("dst", dst)
        .pair("dst_step", dst_step)
        .cost(2 * products * read * made, 4 * (seen + total + first * read * made) as u64)
}

/// A launch of blocks with its output, which is scratch where there are parts, and the launch that adds them up.
fn cut_up(launch: LaunchSpec, output: &'static str, cut: Cut, total: usize, epilogue: bool) -> Lowered {
    let launch = launch.why(cut.why());
    if cut.parts == 1 {
        return launch.bind(output, Operand::Output).fused(epilogue).into();
    }
    let launch = launch.bind(output, Operand::Scratch(0));
    let sum = added(cut.parts, total, [Operand::Scratch(0), Operand::Output], epilogue);
    Lowered { launches: vec![launch, sum], scratch: vec![4 * (cut.parts * total) as u64] }
}
