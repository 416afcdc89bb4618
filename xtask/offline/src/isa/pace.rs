//! How long a stretch of code takes one wave that runs alone: instructions are issued in order, and each waits
//! for its operands and for the accesses that the listing waits for.

use super::{Instruction, Kind, instruction::Register};
use crate::chip::Chip;
use std::collections::{HashMap, VecDeque};

/// The cycles until a load from a buffer, from workgroup memory (without its size) or for all lanes arrives. They
/// are textbook figures for hits in the second cache.
const VMEM: u64 = 300;
const LDS: u64 = 64;
const SMEM: u64 = 60;

/// The cycles of a stretch of code.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    /// The cycles from the first instruction to the last.
    pub cycles: u64,
    /// The cycles in which the vector unit issues an instruction.
    pub issue: u64,
}

/// Walks through instructions in order, for a wave of so many lanes.
pub fn pace(instructions: &[&Instruction], chip: &Chip, lanes: u64) -> Pace {
    let per = lanes.div_ceil(chip.lanes);
    let mut out = Pace::default();
    let mut ready: HashMap<Register, u64> = HashMap::new();
    let [mut vector, mut local] = [VecDeque::new(), VecDeque::new()];
    for i in instructions {
        if i.kind == Kind::Wait {
            for (counter, under_way) in [("vmcnt", &mut vector), ("lgkmcnt", &mut local)] {
                let left = i.waits_for(counter).unwrap_or(usize::MAX);
                while under_way.len() > left {
                    out.cycles = out.cycles.max(under_way.pop_front().unwrap_or(0));
                }
            }
            out.cycles += 1;
            continue;
        }
        let (written, read) = i.registers();
        out.cycles = read.iter().filter_map(|r| ready.get(r)).fold(out.cycles, |t, &r| t.max(r));
        let (start, takes) = (out.cycles, if i.kind.is_vector() { per * i.kind.slots() } else { 1 });
        out.cycles += takes;
        let later = match i.kind {
            kind if kind.is_vector() => {
                out.issue += takes;
                takes + chip.dependent
            }
            _ => 1,
        };
        match i.kind {
            Kind::Vmem if !i.stores() => vector.push_back(start + VMEM),
            Kind::Vmem => {}
            Kind::Lds => local.push_back(start + LDS + i.bytes() / 4),
            Kind::Smem => local.push_back(start + SMEM),
            _ => written.iter().for_each(|&r| _ = ready.insert(r, start + later)),
        }
        if i.kind == Kind::Salu {
            ready.insert(Register::Condition, start + 2);
        }
    }
    out
}

impl Kind {
    /// Whether the vector unit issues it.
    fn is_vector(self) -> bool {
        self.slots() > 0
    }

    /// The issue slots of the vector unit that it takes.
    fn slots(self) -> u64 {
        match self {
            Kind::Fma | Kind::Valu => 1,
            Kind::Mul32 | Kind::Trans => 4,
            _ => 0,
        }
    }
}
