//! Copies that exchange axes, on GPUs. Read or written element by element, one side would touch a line of the
//! cache for each element; through tiles in workgroup memory, both sides move whole lines.

use super::words::SHADER;
use crate::graph::op::{LaunchSpec, grid_1d};

/// The elements along both sides of a tile, as in `shaders/views.wgsl`.
const SIDE: usize = 32;
/// The extent from which on tiles are worth their edges.
const LEAST: usize = SIDE / 2;

/// The launch of a copy whose axes have these extents and strides of the input, if its elements are contiguous
/// along one axis of the input and along another of the output. Its element addresses are the caller's to set.
pub(super) fn launch(dims: &[(usize, usize)]) -> Option<LaunchSpec> {
    let (&(last, step), outer) = dims.split_last()?;
    let axis = outer.iter().position(|&(_, stride)| stride == 1)?;
    let row = outer[axis].0;
    if row < LEAST || last < LEAST || step == 0 {
        return None;
    }
    let extent = |dims: &[(usize, usize)]| dims.iter().map(|d| d.0).product::<usize>();
    let (above, middle) = (extent(&outer[..axis]), extent(&outer[axis + 1..]));
    let tiles = above * middle * row.div_ceil(SIDE) * last.div_ceil(SIDE);
    let launch = LaunchSpec::new(&SHADER, "transpose", grid_1d(tiles))
        .dim("n", tiles)
        .dim("row", row)
        .dim("pitch", middle * last)
        .dim("middle", middle)
        .dim("last", last)
        .dim("step", step);
    Some(launch.why("tiles through workgroup memory"))
}
