//! Which kernel makes the outputs of a convolution, tile by tile, and what its launches share.

use super::{Conv2d, Extents};
use crate::{
    graph::op::LaunchSpec,
    kernel::caps::{AdapterClass, Caps},
};

/// A kernel, by the tile of outputs that one of its workgroups makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tile {
    /// Register tiles fed by subgroup broadcasts, 64 columns wide or 32.
    Lanes { wide: bool },
    /// A tile whose operands pass through workgroup memory.
    Panels,
    /// Registers alone, 4x4 outputs an invocation.
    Registers,
}

impl Tile {
    /// The rows and columns of the tile.
    pub(super) fn size(self) -> [usize; 2] {
        match self {
            Tile::Lanes { wide: true } | Tile::Panels => [64, 64],
            Tile::Lanes { wide: false } => [64, 32],
            Tile::Registers => [32, 32],
        }
    }

    /// The entry point.
    pub(super) fn entry(self) -> &'static str {
        match self {
            Tile::Lanes { .. } => "lanes",
            Tile::Panels => "tile",
            Tile::Registers => "registers",
        }
    }

    /// Why the planner takes it.
    pub(super) fn why(self) -> &'static str {
        match self {
            Tile::Lanes { .. } => "CPU driver, 8 lanes: broadcast tile",
            Tile::Panels => "GPU: panels in workgroup memory",
            Tile::Registers => "CPU driver without aligned vec4s: 4x4 register tile",
        }
    }
}

impl Conv2d {
    /// The tile for so many columns of outputs.
    pub(super) fn tile(&self, e: Extents, caps: &Caps, columns: usize) -> Tile {
        match caps.class {
            _ if self.lanes(e, caps) => Tile::Lanes { wide: columns > 32 },
            AdapterClass::Gpu => Tile::Panels,
            AdapterClass::Cpu => Tile::Registers,
        }
    }
}

/// A launch with its taps and their number.
pub(super) fn with_taps(
    launch: LaunchSpec,
    taps: impl ExactSizeIterator<Item = ([i32; 2], usize)>,
) -> LaunchSpec {
    let count = taps.len();
    numbered_taps(launch, 0, taps).dim("taps", count)
}

/// A launch with some of its taps, numbered from `first` on: the offset of the pixel that is seen, and which of
/// the weights' taps it meets.
pub(super) fn numbered_taps(
    mut launch: LaunchSpec,
    first: usize,
    taps: impl Iterator<Item = ([i32; 2], usize)>,
) -> LaunchSpec {
    for (k, ([row, column], of)) in (first..).zip(taps) {
        for (i, value) in [row as u32 as usize, column as u32 as usize, of].into_iter().enumerate() {
            launch = launch.dim(&format!("tap[{k}][{i}]"), value);
        }
    }
    launch
}
