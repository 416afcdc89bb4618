//! When each node of a network is computed while pictures are drawn pixel by pixel, and how far the rows of a
//! picture follow each other.
//!
//! Left: the steps at which the pixels are drawn, where each row follows the one above by a lag of 2. Right:
//! what a 3x3 window over earlier pixels (mask A) sees from the pixel of step 7.
//!
//! ```text
//! 0   1   2   3   4   5          .   .   .   .   .   .
//! 2   3   4   5   6   7          .   .   4   5   6   .
//! 4   5   6   7   8   9          .   .   6  [7]  .   .
//! 6   7   8   9  10  11          .   .   .   .   .   .
//! ```
//!
//! All that the window sees is drawn before step 7. With a lag of 1, the pixel at its upper right would be
//! drawn in the same step as the pixel itself, which is too late. A node that is seen to the right within its
//! own row is computed as many steps before its pixel is drawn.

use crate::{
    error::{Error, Result},
    graph::{NodeId, Origin, Recording, op::Footprint, window::Window},
};
use std::collections::BTreeMap;

/// A network over whole pictures, whose nodes are timed.
pub(super) struct Network<'a> {
    pub(super) from: &'a Recording,
    /// Which nodes depend on the picture.
    pub(super) depends: Vec<bool>,
    /// The picture.
    input: NodeId,
    /// The parameters of the pixels' distributions.
    output: NodeId,
    /// Rows and columns of the picture.
    image: [usize; 2],
    /// How many channels a pixel draws one after another, or 1.
    counts: usize,
}

/// When each node is computed, and how far rows follow each other.
pub(super) struct Timing {
    /// How many steps before its pixel is drawn each node that the output needs is computed.
    pub(super) early: BTreeMap<NodeId, i32>,
    /// The earliest of these.
    pub(super) first: i32,
    /// How many steps later a row's pixels are drawn than those of the row above.
    pub(super) lag: usize,
}

impl<'a> Network<'a> {
    pub(super) fn new(
        from: &'a Recording,
        [input, output]: [NodeId; 2],
        image: [usize; 2],
        counts: usize,
    ) -> Self {
        let mut depends = vec![false; from.nodes.len()];
        depends[input] = true;
        for id in input + 1..from.nodes.len() {
            if let Origin::Op(_, inputs) = &from.nodes[id].origin {
                depends[id] = inputs.iter().any(|&i| depends[i]);
            }
        }
        Self { from, depends, input, output, image, counts }
    }

    /// An error that names an op's line and what about it forbids cached sampling.
    pub(super) fn refused(&self, id: NodeId, what: &str) -> Error {
        let Origin::Op(op, _) = &self.from.nodes[id].origin else { unreachable!("only ops are refused") };
        Error::Model {
            at: self.from.nodes[id].at.to_string(),
            what: format!("{}: {what}; cached sampling cannot be derived", op.name()),
        }
    }

    /// Whether windows see values that a pixel's last channel reaches without any window: such values are
    /// complete only one count after that channel is drawn.
    pub(super) fn settles(&self) -> bool {
        let mut pointwise = vec![false; self.from.nodes.len()];
        pointwise[self.input] = true;
        for id in (self.input + 1..pointwise.len()).filter(|&id| self.depends[id]) {
            let Origin::Op(_, inputs) = &self.from.nodes[id].origin else { continue };
            if self.window(id).is_none() {
                pointwise[id] = inputs.iter().any(|&i| pointwise[i]);
            } else if inputs[0] != self.input && pointwise[inputs[0]] {
                return true;
            }
        }
        false
    }

    /// Times the nodes. The picture's pixel is there one step after it was drawn, and the output is there
    /// when its pixel is drawn. Refuses windows that see what is not drawn yet. Where channels are drawn one
    /// after another, nodes may see the pixel itself; their masks must leave out the channels that follow.
    pub(super) fn timing(&self) -> Result<Timing> {
        self.check_windows()?;
        let early = self.early(&self.earliest())?;
        let first = early.values().copied().max().unwrap_or(0).max(0);
        // No row needs to wait for more than the whole row above; a single one has none, and is alone in flight.
        let whole = self.image[1] + first as usize;
        let lag = if self.image[0] == 1 { whole } else { self.lag(&early).min(whole) };
        Ok(Timing { early, first, lag })
    }

    /// The window through which a node sees, if it does.
    fn window(&self, id: NodeId) -> Option<&'a Window> {
        match &self.from.nodes[id].origin {
            Origin::Op(op, _) => match op.footprint() {
                Some(Footprint::Window(window)) => Some(window),
                _ => None,
            },
            _ => None,
        }
    }

    /// A node's inputs that depend on the picture.
    fn inputs(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        let inputs = match &self.from.nodes[id].origin {
            Origin::Op(_, inputs) => &inputs[..],
            _ => &[],
        };
        inputs.iter().copied().filter(|&i| self.depends[i])
    }

    /// The nodes between picture and output that depend on the picture.
    fn between(&self) -> impl DoubleEndedIterator<Item = NodeId> {
        (self.input + 1..=self.output).filter(|&id| self.depends[id])
    }

    /// The column of the rightmost pixel that a node sees in its own row, counted from its own pixel; none if
    /// it sees only other rows.
    fn right(&self, id: NodeId) -> Option<i32> {
        match self.window(id) {
            Some(window) => window.taps.iter().filter(|tap| tap[0] == 0).map(|tap| tap[1]).max(),
            None => Some(0),
        }
    }

    /// First pass: every window keeps the picture's extents and sees no row below.
    fn check_windows(&self) -> Result<()> {
        for id in self.between() {
            let Some(window) = self.window(id) else { continue };
            if window.image != self.image || window.made != self.image || window.stride != [1, 1] {
                return Err(self.refused(id, "it changes the picture's extents"));
            }
            if window.taps.iter().any(|tap| tap[0] > 0) {
                return Err(self.refused(id, "it sees pixels that are not drawn yet"));
            }
        }
        Ok(())
    }

    /// Second pass, from the picture on: how many steps before its pixel is drawn a node can be computed at
    /// most. The picture comes one step late, or with the pixel where channels are drawn one after another.
    fn earliest(&self) -> Vec<i32> {
        let mut earliest = vec![i32::MAX; self.from.nodes.len()];
        earliest[self.input] = if self.counts > 1 { 0 } else { -1 };
        for id in self.between() {
            let seen = self.inputs(id).filter_map(|i| Some(earliest[i].saturating_sub(self.right(id)?)));
            earliest[id] = seen.min().unwrap_or(i32::MAX);
        }
        earliest
    }

    /// Third pass, from the output back: how many steps before its pixel is drawn a node must be computed.
    /// What another node sees to the right is due as many steps before that node.
    fn early(&self, earliest: &[i32]) -> Result<BTreeMap<NodeId, i32>> {
        let mut early = BTreeMap::from([(self.output, 0)]);
        for id in self.between().rev() {
            let Some(&at) = early.get(&id) else { continue };
            if at > earliest[id] {
                return Err(self.refused(id, "it sees pixels that are not drawn yet"));
            }
            for i in self.inputs(id) {
                let due = self.right(id).map_or(at.min(earliest[i]), |right| at + right);
                early.entry(i).and_modify(|other| *other = due.max(*other)).or_insert(due);
            }
        }
        early.insert(self.input, -1);
        Ok(early)
    }

    /// Fourth pass: the lag at which everything that a window sees in the rows above is there in time.
    fn lag(&self, early: &BTreeMap<NodeId, i32>) -> usize {
        // What is at pixels in flight is final only when their last channel is drawn.
        let unfinished = i32::from(self.counts > 1);
        let mut lag = 1;
        for (&id, at) in early {
            let (Some(window), Some(seen)) = (self.window(id), self.inputs(id).next()) else { continue };
            for &[y, x] in window.taps.iter().filter(|tap| tap[0] < 0) {
                let (ahead, rows) = (x + at - early[&seen] + unfinished, -y);
                // ahead / rows, rounded up.
                lag = lag.max((ahead + rows - 1).div_euclid(rows));
            }
        }
        lag as usize
    }

    /// How many columns of its own row a node's values are looked at: from the column where it is computed
    /// back to the leftmost one that a reader still sees.
    pub(super) fn span(&self, early: &BTreeMap<NodeId, i32>, id: NodeId) -> usize {
        let left = |reader: NodeId| {
            self.window(reader).and_then(|window| window.taps.iter().map(|tap| tap[1]).min()).unwrap_or(0)
        };
        let readers = early.iter().filter(|&(&reader, _)| self.inputs(reader).any(|i| i == id));
        let back = readers.map(|(&reader, at)| early[&id] - at - left(reader)).max();
        back.unwrap_or(0).max(0) as usize + 1
    }
}
