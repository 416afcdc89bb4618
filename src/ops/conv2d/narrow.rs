//! Convolutions and input gradients that make a few channels, on GPUs. Most of a block's columns would be idle:
//! lanes lie along the channels that are read instead, and their sums meet. One launch takes all sweeps.

use super::{Conv2d, Extents, Side, blocks::listed};
use crate::{
    graph::op::{LaunchSpec, Lowered, Operand, grid_1d},
    kernel::{Shader, caps::Caps},
};

static NARROW: Shader = crate::shader!("conv2d_narrow");
/// The most channels made.
const FEW: usize = 4;
/// The pixels of a workgroup.
const PIXELS: usize = 16;

impl Conv2d {
    /// The launch for a few channels made, where the adapter is a GPU and the extents allow it.
    pub(super) fn narrow(&self, e: Extents, caps: &Caps, epilogue: bool) -> Option<Lowered> {
        let [read, made] = self.channels(e);
        let sweeps = self.lattices(caps).filter(|_| made <= FEW && read.is_multiple_of(4))?;
        let most = sweeps.iter().map(|sweep| e.n * sweep.pixels()[1]).max()?;
        let [across, down, _] = grid_1d(most.div_ceil(PIXELS));
        let (entry, output) = if made == FEW { ("four", "y4") } else { ("narrow", "y") };
        let launch = LaunchSpec::new(&NARROW, entry, [across, down, sweeps.len() as u32])
            .flag("TB", self.side == Side::Input)
            .constant("MADE", made as f64)
            .dim("c4", read / 4)
            .bind("x", Operand::Input(0))
            .bind("w", Operand::Input(1))
            .bind(output, Operand::Output)
            .fused(epilogue)
            .why("GPU: at most 4 channels made: lanes along channels read");
        Some(listed(launch, e.n, &sweeps, [read, made]).into())
    }
}
