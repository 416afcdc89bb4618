//! Reading the listings of AMD's compiler: instructions by their kind, loops, and what one pass of a loop holds.

mod instruction;
mod loops;
mod pace;

pub use instruction::{Counts, Instruction, Kind};
pub use loops::{Code, Loop};
pub use pace::{Pace, pace};

#[cfg(test)]
mod tests;
