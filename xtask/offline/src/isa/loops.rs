//! The loops of a listing, and the common path through each.
//!
//! On the common path forward branches are not taken, for a compiler lays the usual case out first, and backward
//! ones are; only jumps without a condition lead elsewhere.

use super::{Counts, Instruction, Pace, pace};
use crate::chip::Chip;
use std::collections::BTreeMap;

/// A listing as blocks.
pub struct Code {
    /// Each block's instructions, in order.
    blocks: Vec<Vec<Instruction>>,
    /// Each loop's first and last block, those of outer loops first.
    spans: Vec<(usize, usize)>,
    /// The block of each label.
    labels: BTreeMap<String, usize>,
}

/// A loop: what one pass holds, without the loops inside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Loop {
    /// The loop around this one, by its index.
    pub outer: Option<usize>,
    /// The instructions of a pass.
    pub counts: Counts,
    /// The cycles of a pass.
    pub pace: Pace,
}

impl Code {
    /// Reads a listing.
    pub fn read(listing: &str) -> Self {
        let (mut blocks, mut labels) = (vec![vec![]], BTreeMap::new());
        for line in listing.lines() {
            let label = line.split(':').next().filter(|l| line.contains(':') && l.starts_with("BB"));
            match (label, Instruction::read(line)) {
                (Some(label), _) => {
                    labels.insert(label.to_string(), blocks.len());
                    blocks.push(vec![]);
                }
                (None, Some(instruction)) => blocks.last_mut().expect("it begins with one").push(instruction),
                (None, None) => {}
            }
        }
        let mut ends = BTreeMap::new();
        for (i, block) in blocks.iter().enumerate() {
            for &to in block.iter().filter_map(|i| labels.get(i.target()?)).filter(|&&to| to <= i) {
                ends.insert(to, i);
            }
        }
        Self { blocks, spans: ends.into_iter().collect(), labels }
    }

    /// The number of instructions in the listing.
    pub fn instructions(&self) -> usize {
        self.blocks.iter().map(Vec::len).sum()
    }

    /// All loops, outer ones first.
    pub fn loops(&self, chip: &Chip, lanes: u64) -> Vec<Loop> {
        let all = self.spans.iter().enumerate().map(|(i, &(head, last))| {
            let around = |&(h, l): &(usize, usize)| h < head && last <= l;
            let path = self.path(Some(i));
            Loop {
                outer: self.spans.iter().rposition(around),
                counts: Counts::of(path.iter().copied()),
                pace: pace(&path, chip, lanes),
            }
        });
        all.collect()
    }

    /// What runs once: the common path outside of all loops.
    pub fn once(&self, chip: &Chip, lanes: u64) -> Loop {
        let path = self.path(None);
        Loop { outer: None, counts: Counts::of(path.iter().copied()), pace: pace(&path, chip, lanes) }
    }

    /// The common path through one pass of a loop, or through the whole; loops on the way are left out.
    fn path(&self, this: Option<usize>) -> Vec<&Instruction> {
        let (head, last) = this.map_or((0, self.blocks.len() - 1), |i| self.spans[i]);
        let (mut path, mut block) = (vec![], head);
        // Jumps lead on, so the path ends; a listing that is no program's ends it, too.
        for _ in 0..=self.blocks.len() {
            if block > last {
                break;
            }
            let inner = self.spans.iter().enumerate().find(|(i, span)| span.0 == block && Some(*i) != this);
            if let Some((_, &(_, end))) = inner {
                block = end + 1;
                continue;
            }
            let mut next = block + 1;
            for instruction in &self.blocks[block] {
                path.push(instruction);
                let to = instruction.target().and_then(|label| self.labels.get(label));
                match to {
                    Some(&to) if to == head && this.is_some() => return path,
                    Some(&to) if instruction.name == "s_branch" => {
                        next = to;
                        break;
                    }
                    _ => {}
                }
            }
            block = next;
        }
        path
    }
}
