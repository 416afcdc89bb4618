//! How a product is cut for a GPU: into blocks of outputs, one for each workgroup, and where these are too few
//! for the machine, into parts of the sum, which another launch adds up.
//!
//! The machine is not known when a plan is made. The rule estimates the time on two cards, a middle and a large
//! one, from the extents alone, and takes what has the least product of both; docs/notes/gpu.md says where the
//! cards' constants are from.

use crate::{
    graph::op::{LaunchSpec, Operand, grid_1d},
    kernel::Shader,
};

static EIGHT: Shader = crate::shader!("matmul8");
static FOUR: Shader = crate::shader!("matmul4");
static PARTS: Shader = crate::shader!("parts");

/// The times that a card takes, in nanoseconds, and the workgroups that it runs at once.
struct Card {
    /// The workgroups that issue beside each other.
    lanes: usize,
    /// From one panel to the next where nothing else runs beside the workgroup.
    latency: f64,
    /// A workgroup's instructions of a panel of [`Block::Eight`] and of [`Block::Four`].
    issue: [f64; 2],
    /// A launch.
    launch: f64,
    /// The time in which it moves a byte.
    byte: f64,
}

const CARDS: [Card; 2] = [
    Card { lanes: 120, latency: 1710.0, issue: [1070.0, 590.0], launch: 3000.0, byte: 2.4e-3 },
    Card { lanes: 132, latency: 1400.0, issue: [520.0, 450.0], launch: 4000.0, byte: 2.5e-4 },
];
/// The most workgroups that a cut aims at: about where the large card is full.
const MOST: usize = 400;
/// The most parts that one invocation adds up, where there are few: more are shared by a workgroup.
const ALONE: usize = 8;
/// The vec4s of a sum from which on there are invocations enough.
const PLENTY: usize = 8192;

/// The outputs of a workgroup of 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// 64x64 outputs, 8x8 an invocation.
    Eight,
    /// 32x32 outputs, 4x4 an invocation.
    Four,
}

impl Block {
    /// Rows and columns of outputs.
    pub fn side(self) -> usize {
        if self == Block::Eight { 64 } else { 32 }
    }

    pub(super) fn shader(self) -> &'static Shader {
        if self == Block::Eight { &EIGHT } else { &FOUR }
    }

    /// The summed indices of a panel.
    pub(super) fn depth(self) -> usize {
        if self == Block::Eight { 16 } else { 32 }
    }

    /// The best cut of a product with so many outputs in so many rows and columns of so many matrices, each the
    /// sum of k terms, and the product of its estimated times.
    pub(in crate::ops) fn cut(self, [batch, rows, columns, k]: [usize; 4]) -> (Cut, f64) {
        let tiles = batch * rows.div_ceil(self.side()) * columns.div_ceil(self.side());
        let panels = k.div_ceil(self.depth());
        let most = (MOST / tiles).clamp(1, panels);
        let estimate = |parts: usize| {
            let chunk = panels.div_ceil(parts);
            let parts = panels.div_ceil(chunk);
            let cut = Cut { block: self, parts, chunk: chunk * self.depth() };
            let sums = (2 * parts + 1) as f64 * 4.0 * (batch * rows * columns) as f64;
            let time = |card: &Card| {
                let waves = (tiles * parts).div_ceil(card.lanes) as f64;
                let main = chunk as f64 * card.latency.max(card.issue[self as usize] * waves) + card.launch;
                if parts > 1 { main + sums * card.byte + card.launch } else { main }
            };
            (cut, CARDS.iter().map(time).product())
        };
        let least = |a: &(Cut, f64), b: &(Cut, f64)| a.1.total_cmp(&b.1).then(a.0.parts.cmp(&b.0.parts));
        (1..=most).map(estimate).min_by(least).expect("one part at least")
    }
}

/// A way to cut a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// The block of outputs that a workgroup makes.
    pub block: Block,
    /// The parts of the sum.
    pub parts: usize,
    /// The summed indices of a part; the last may have fewer.
    pub(in crate::ops) chunk: usize,
}

impl Cut {
    /// Why the planner takes it.
    pub(in crate::ops) fn why(self) -> &'static str {
        match (self.block, self.parts) {
            (Block::Eight, 1) => "GPU: blocks of 64x64 outputs fill it",
            (Block::Eight, _) => "GPU: few blocks of 64x64 outputs and a long sum, cut into parts",
            (Block::Four, 1) => "GPU: blocks of 32x32 outputs",
            (Block::Four, _) => "GPU: few blocks of 32x32 outputs, the sum cut into parts",
        }
    }

    /// The cuts into each kind of block, the quicker one first.
    pub(super) fn all(extents: [usize; 4]) -> [Cut; 2] {
        let mut all = [Block::Eight, Block::Four].map(|block| block.cut(extents));
        all.sort_by(|a, b| a.1.total_cmp(&b.1));
        all.map(|(cut, _)| cut)
    }
}

/// Adds up parts of so many values, a multiple of 4, and ends with the epilogue.
pub(in crate::ops) fn added(
    parts: usize,
    total: usize,
    [from, to]: [Operand; 2],
    epilogue: bool,
) -> LaunchSpec {
    let many = parts > ALONE && total / 4 < PLENTY;
    let (entry, vec4s) = if many { ("many", 8) } else { ("parts", 64) };
    LaunchSpec::new(&PARTS, entry, grid_1d((total / 4).div_ceil(vec4s)))
        .bind("part", from)
        .bind("y", to)
        .dim("n4", total / 4)
        .dim("parts", parts)
        .cost(parts * total, 4 * ((parts + 1) * total) as u64)
        .fused(epilogue)
        .why(if many { "GPU: many parts of the sums" } else { "GPU: the parts of the sums" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_blocks_are_cut_into_parts_and_many_are_not() {
        let best = |extents| Cut::all(extents)[0];
        let whole = best([1, 2048, 2048, 2048]);
        assert_eq!((whole.block, whole.parts), (Block::Eight, 1));
        let small = best([1, 128, 400, 784]);
        assert_eq!((small.block, small.parts), (Block::Four, 5));
        let long = best([1, 576, 64, 12_544]);
        assert!(long.block == Block::Eight && (190..=MOST).contains(&(9 * long.parts)), "{long:?}");
        let once = best([1, 32, 32, 20]);
        assert_eq!((once.block, once.parts, once.chunk), (Block::Four, 1, 32));
    }

    #[test]
    fn parts_cover_the_sum_without_an_empty_one() {
        for k in [1, 15, 16, 17, 31, 33, 784, 12_544, 70_000] {
            for cut in Cut::all([1, 64, 64, k]) {
                assert!(cut.chunk.is_multiple_of(cut.block.depth()));
                assert!((cut.parts - 1) * cut.chunk < k && k <= cut.parts * cut.chunk, "{k}: {cut:?}");
            }
        }
    }
}
