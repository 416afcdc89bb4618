//! The launches over a front: of the convolution and the cells apart, or of both at once.

use super::{
    extents::{Extents, KEPT},
    front::{Front, Order},
};
use crate::{
    graph::{
        op::{LaunchSpec, grid_1d},
        window::{Sweep, Window},
    },
    kernel::{
        Shader,
        caps::{AdapterClass, Caps},
    },
    ops::cursor,
};

static SHADER: Shader = crate::shader!("recurrence");
static FRONT: Shader = crate::shader!("recurrence_front");
const WORKGROUP: usize = 64;
/// The most taps of a front that is one launch.
const MAX_TAPS: usize = 64;
/// The floating-point operations of a unit's step, forwards or backwards.
const FLOPS: usize = 40;
/// The words that a unit's step reads and writes forwards: the gates, what is seen, the cell before, what is kept.
pub(super) const FORWARDS: usize = 4 + 4 + 1 + KEPT;
/// The same backwards: cell and gates, the cell before, the cotangents of state and cell, what later states ask,
/// and the cotangents of the cell before and of the gates.
pub(super) const BACKWARDS: usize = 5 + 1 + 2 + 1 + 1 + 4;

/// The pixels of a front as a sweep of the convolution over a window, or of its input gradient.
pub(super) fn sweep(front: Front, window: &Window, back: bool) -> Sweep {
    let sign = if back { -1 } else { 1 };
    let from = |(tap, t): (&[i32; 2], usize)| ([0, 1].map(|d| front.first[d] as i32 + sign * tap[d]), t);
    Sweep {
        lattice: front.lattice,
        shear: front.shear,
        src: window.image,
        dst: window.image,
        src_step: [1; 2],
        dst_step: [1; 2],
        dst_first: front.first,
        taps: window.taps.iter().zip(0..).map(from).collect(),
    }
}

/// The launch of a cell's kernel over a front.
pub(super) fn cell_launch(
    entry: &'static str,
    e: Extents,
    order: Order,
    front: Front,
    words: usize,
) -> LaunchSpec {
    let made = e.n * front.lattice[0] * front.lattice[1] * e.units;
    let at_once = e.at_once();
    let grid = grid_1d((made / at_once).div_ceil(WORKGROUP));
    let launch = LaunchSpec::new(&SHADER, entry, grid)
        .constant("WORKGROUP", WORKGROUP as f64)
        .dim("n", made / at_once)
        .cost(FLOPS * made, 4 * (words * made) as u64)
        .why(if at_once == 4 { "four units an invocation" } else { "a unit an invocation" });
    placed(launch, e, order, front)
}

/// The members of `dims` that tell a kernel where a front lies.
fn placed(launch: LaunchSpec, e: Extents, order: Order, front: Front) -> LaunchSpec {
    let [dy, dx] = order.carried().map(|d| d as u32 as usize);
    let at_once = e.at_once();
    launch
        .dim("units", e.units / at_once)
        .dim("states", e.states() / at_once)
        .pair("lattice", front.lattice)
        .pair("first", front.first)
        .dim("lattice[2]", front.shear as u32 as usize)
        .pair("image", e.image)
        .pair("carried", [dy, dx])
}

/// Whether a front is one launch.
pub(super) fn joined(caps: &Caps, e: Extents, order: Order) -> bool {
    caps.class == AdapterClass::Gpu && e.units.is_multiple_of(4) && order.taps().len() <= MAX_TAPS
}

/// The launch of a whole front.
pub(super) fn front_launch(e: Extents, order: Order, front: Front, back: bool) -> LaunchSpec {
    let (states, taps) = (e.n * front.lattice[0] * front.lattice[1], order.taps());
    let (entry, columns, deep, words, sign) = match back {
        true => ("front_back", e.units.div_ceil(16), e.units, BACKWARDS - 1, -1),
        false => ("front", e.units / 4, e.units / 4, FORWARDS - 4, 1),
    };
    let (grid, slices, deals) = cursor::shared(taps.len() * deep, columns, states);
    let products = states * taps.len() * 4 * e.units * e.units;
    let made = states * e.units;
    let launch = LaunchSpec::new(&FRONT, entry, grid)
        .constant("SLICES", slices)
        .constant("DEALS", deals)
        .dim("n", states)
        .dim("taps", taps.len())
        .cost(2 * products + FLOPS * made, 4 * (words * made + taps.len() * 4 * e.units * e.units) as u64)
        .why("GPU: sums and cells of a front at once");
    let launch = placed(launch, e, order, front);
    taps.iter().enumerate().fold(launch, |launch, (t, tap)| {
        let [y, x] = tap.map(|d| (sign * d) as u32 as usize);
        launch.dim(&format!("tap[{t}][0]"), y).dim(&format!("tap[{t}][1]"), x)
    })
}
