//! The plan as a table: what runs, on which memory, and how big it is.

use super::{Buffer, Launch, Place, Plan};
use std::fmt;

impl fmt::Display for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Buffer::Slot(i) => write!(f, "s{i}"),
            Buffer::Var(i) => write!(f, "var{i}"),
            Buffer::Arena(i) => write!(f, "arena{i}"),
            Buffer::Input(i) => write!(f, "in{i}"),
            Buffer::Constant(i) => write!(f, "c{i}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.buffer)?;
        if self.offset > 0 { write!(f, "+{}", self.offset) } else { Ok(()) }
    }
}

fn places(launch: &Launch, written: bool) -> String {
    let chosen = launch.bindings.iter().filter(|(name, _)| launch.writes.contains(name) == written);
    chosen.map(|(_, place)| place.to_string()).collect::<Vec<_>>().join(" ")
}

/// A number of bytes with a binary unit.
pub fn bytes(n: u64) -> String {
    match n {
        0..1024 => format!("{n} B"),
        1024..1_048_576 => format!("{:.1} KiB", n as f64 / 1024.0),
        _ => format!("{:.1} MiB", n as f64 / 1_048_576.0),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>3}  {:<34} {:<30} {:>14}  {:<40} {:>9} {:>10}",
            "#", "op", "kernel", "grid", "reads → writes", "MFLOP", "bytes"
        )?;
        for (i, l) in self.launches.iter().enumerate() {
            let kernel = format!("{}/{}", l.shader.stem, l.entry);
            let grid = format!("{}x{}x{}", l.grid[0], l.grid[1], l.grid[2]);
            let flow = format!("{} → {}", places(l, false), places(l, true));
            writeln!(
                f,
                "{i:>3}  {:<34} {kernel:<30} {grid:>14}  {flow:<40} {:>9.3} {:>10}",
                l.label,
                l.flops as f64 / 1e6,
                bytes(l.bytes)
            )?;
        }
        writeln!(
            f,
            "{} launches, {} pipelines, {:.1} MFLOP",
            self.launches.len(),
            self.pipelines(),
            self.flops() as f64 / 1e6
        )?;
        writeln!(
            f,
            "slots {} (alive at the worst point {}), state {}, largest binding {}",
            bytes(self.slot_bytes()),
            bytes(self.live_minimum),
            bytes(self.state_bytes()),
            bytes(self.largest_binding())
        )
    }
}
