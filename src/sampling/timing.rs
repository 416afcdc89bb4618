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
//!
//! A recurrence that sees its own states to the right goes through a row from right to left, after the whole
//! row was drawn. It may be seen from rows below only, and these follow by a lag of almost two rows:
//!
//! ```text
//! 0   1   2   3    drawn         6   5   4   3    states from the right
//! 6   7   8   9                 12  11  10   9
//! ```

use crate::{
    error::{Error, Result},
    graph::{NodeId, Origin, Recording, op::Footprint},
};
use std::collections::{BTreeMap, BTreeSet};

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
    /// How many steps before its pixel is drawn each node that the output needs is computed; for a node that
    /// goes from right to left, before the leftmost pixel of its row is drawn.
    pub(super) early: BTreeMap<NodeId, i32>,
    /// The earliest of these.
    pub(super) first: i32,
    /// How many steps later a row's pixels are drawn than those of the row above.
    pub(super) lag: usize,
}

/// The pixels that a node reads of another node, or of itself.
struct Sight {
    of: NodeId,
    /// The offsets (row, column) of the pixels that are read.
    taps: Vec<[i32; 2]>,
    /// How many steps earlier they must be computed.
    before: i32,
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

    /// What an op tells about the pixels that it reads.
    fn footprint(&self, id: NodeId) -> Option<Footprint<'a>> {
        match &self.from.nodes[id].origin {
            Origin::Op(op, _) => op.footprint(),
            _ => None,
        }
    }

    /// Whether a node goes through its row from right to left: a recurrence that sees its states to the right.
    pub(super) fn mirrored(&self, id: NodeId) -> bool {
        let to_the_right = |tap: &[i32; 2]| tap[0] == 0 && tap[1] > 0;
        matches!(self.footprint(id), Some(Footprint::States { taps, .. }) if taps.iter().any(to_the_right))
    }

    /// What a node reads of nodes that depend on the picture.
    fn sights(&self, id: NodeId) -> Vec<Sight> {
        let Origin::Op(op, inputs) = &self.from.nodes[id].origin else { return vec![] };
        let sight = |of, taps| Sight { of, taps, before: 0 };
        match op.footprint() {
            Some(Footprint::Window(window)) => vec![sight(inputs[0], window.taps.clone())],
            Some(Footprint::Moved(tap)) => vec![sight(inputs[0], vec![tap])],
            Some(Footprint::States { taps, .. }) => {
                vec![sight(inputs[2], vec![[0, 0]]), Sight { of: id, taps, before: 1 }]
            }
            _ => {
                let inputs = inputs.iter().filter(|&&i| self.depends[i]);
                inputs.map(|&i| sight(i, vec![[0, 0]])).collect()
            }
        }
    }

    /// The nodes whose values other pixels see, or nodes that are computed at other steps.
    pub(super) fn windowed(&self, early: &BTreeMap<NodeId, i32>) -> BTreeSet<NodeId> {
        let own = [[0, 0]];
        let sights = early.keys().flat_map(|&id| self.sights(id));
        sights.filter(|sight| sight.taps[..] != own && sight.of != self.input).map(|sight| sight.of).collect()
    }

    /// Whether windows see values that a pixel's last channel reaches without any window: such values are
    /// complete only one count after that channel is drawn.
    pub(super) fn settles(&self) -> bool {
        let mut pointwise = vec![false; self.from.nodes.len()];
        pointwise[self.input] = true;
        for id in self.between() {
            let sees = self.sights(id);
            if let None | Some(Footprint::Row | Footprint::Channels(_) | Footprint::Repeat) =
                self.footprint(id)
            {
                pointwise[id] = sees.iter().any(|sight| pointwise[sight.of]);
            } else if sees.iter().any(|sight| sight.of != self.input && pointwise[sight.of]) {
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
        // No row needs to wait for more than the whole row above, and what goes back through it. A single one
        // has none, and is alone in flight.
        let ends = early.iter().filter(|&(&id, _)| self.mirrored(id)).map(|(_, at)| self.unfinished() - at);
        let whole = (ends.max().unwrap_or(0).max(self.image[1] as i32) + first) as usize;
        let lag = if self.image[0] == 1 { whole } else { self.lag(&early).min(whole) };
        Ok(Timing { early, first, lag })
    }

    /// How many steps later what is at pixels in flight is final: where channels are drawn one after another,
    /// only when the last one is drawn.
    fn unfinished(&self) -> i32 {
        i32::from(self.counts > 1)
    }

    /// The nodes between picture and output that depend on the picture.
    fn between(&self) -> impl DoubleEndedIterator<Item = NodeId> {
        (self.input + 1..=self.output).filter(|&id| self.depends[id])
    }

    /// By how many steps at most the pixel that is seen, `dx` columns to the right of the pixel that sees it,
    /// comes later than that pixel, over all columns of a row.
    ///
    /// A node comes to column j of W at step j, a mirrored one at step -j, each but for how early it is. So the
    /// steps between are, where the pixel that sees is at j:
    /// - forwards both: (j + dx) - j = dx;
    /// - mirrored both: -(j + dx) + j = -dx;
    /// - mirrored seen by forwards: -(j + dx) - j, which is largest at the first j for which both columns are
    ///   there: -|dx|;
    /// - forwards seen by mirrored: (j + dx) + j, which is largest at the last such j: 2(W - 1) - |dx|.
    fn reach(&self, seen: NodeId, by: NodeId, dx: i32) -> i32 {
        let there_and_back = 2 * (self.image[1] as i32 - 1);
        match [self.mirrored(seen), self.mirrored(by)] {
            [false, false] => dx,
            [true, true] => -dx,
            [true, false] => -dx.abs(),
            [false, true] => there_and_back - dx.abs(),
        }
    }

    /// The reach of a sight within the node's own row; none if it sees only other rows.
    fn ahead(&self, sight: &Sight, id: NodeId) -> Option<i32> {
        let own = sight.taps.iter().filter(|tap| tap[0] == 0);
        own.map(|tap| self.reach(sight.of, id, tap[1]) + sight.before).max()
    }

    /// First pass: every window keeps the picture's extents and sees no row below, and a recurrence does not
    /// wait for itself.
    fn check_windows(&self) -> Result<()> {
        for id in self.between() {
            if let Some(Footprint::Window(window)) = self.footprint(id)
                && (window.image != self.image || window.made != self.image || window.stride != [1, 1])
            {
                return Err(self.refused(id, "it changes the picture's extents"));
            }
            for sight in self.sights(id) {
                let own = sight.of == id && self.ahead(&sight, id).is_some_and(|ahead| ahead > 0);
                if own || sight.taps.iter().any(|tap| tap[0] > 0) {
                    return Err(self.refused(id, "it sees pixels that are not drawn yet"));
                }
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
            for sight in self.sights(id).iter().filter(|sight| sight.of != id) {
                if let Some(ahead) = self.ahead(sight, id) {
                    earliest[id] = earliest[id].min(earliest[sight.of].saturating_sub(ahead));
                }
            }
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
            for sight in self.sights(id).iter().filter(|sight| sight.of != id) {
                let due = self.ahead(sight, id).map_or(at.min(earliest[sight.of]), |ahead| at + ahead);
                early.entry(sight.of).and_modify(|other| *other = due.max(*other)).or_insert(due);
            }
        }
        early.insert(self.input, -1);
        Ok(early)
    }

    /// Fourth pass: the lag at which everything that a window sees in the rows above is there in time.
    fn lag(&self, early: &BTreeMap<NodeId, i32>) -> usize {
        let mut lag = 1;
        for (&id, at) in early {
            for sight in self.sights(id) {
                for &[y, x] in sight.taps.iter().filter(|tap| tap[0] < 0) {
                    let ahead = self.reach(sight.of, id, x) + at - early[&sight.of]
                        + sight.before.max(self.unfinished());
                    // ahead / rows, rounded up.
                    lag = lag.max((ahead - y - 1).div_euclid(-y));
                }
            }
        }
        lag as usize
    }

    /// How many columns of its own row a node's values are looked at: from the column where it is computed
    /// back to the leftmost one that a reader still sees.
    pub(super) fn span(&self, early: &BTreeMap<NodeId, i32>, id: NodeId) -> usize {
        let mut back = 0;
        for (&reader, at) in early {
            for sight in self.sights(reader).iter().filter(|sight| sight.of == id) {
                if self.mirrored(reader) || self.mirrored(id) {
                    return self.image[1];
                }
                let left = sight.taps.iter().map(|tap| tap[1]).min().unwrap_or(0);
                back = back.max(early[&id] - at - left);
            }
        }
        back as usize + 1
    }
}
