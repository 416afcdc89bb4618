//! One instruction of a listing: its kind, the bytes that it moves, the registers that it names.

use serde::{Deserialize, Serialize};

/// What an instruction does, by the unit that it occupies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A multiply-add of f32s: the work.
    Fma,
    /// Any other vector instruction at full rate.
    Valu,
    /// A 32-bit integer product, at a quarter of the rate.
    Mul32,
    /// A reciprocal, root, exponential, logarithm or the like, at a quarter of the rate.
    Trans,
    /// An access to workgroup memory.
    Lds,
    /// An access to buffers by lanes.
    Vmem,
    /// An access to spilled values.
    Scratch,
    /// A load for all lanes at once.
    Smem,
    /// A wait for earlier accesses.
    Wait,
    /// A workgroup barrier.
    Barrier,
    /// A branch.
    Branch,
    /// Any other scalar instruction.
    Salu,
    /// Anything else.
    Other,
}

/// The starts of instructions' names, by kind; the first that fits decides.
const NAMES: [(Kind, &[&str]); 12] = [
    (Kind::Fma, &["v_fma", "v_mac", "v_mad_f32", "v_madak_f32", "v_madmk_f32", "v_pk_fma", "v_dual_fma"]),
    (Kind::Trans, &["v_rcp", "v_rsq", "v_sqrt", "v_exp", "v_log", "v_sin", "v_cos"]),
    (Kind::Mul32, &["v_mul_lo", "v_mul_hi", "v_mad_u64", "v_mad_i64"]),
    (Kind::Valu, &["v_"]),
    (Kind::Lds, &["ds_"]),
    (Kind::Vmem, &["buffer_", "global_", "flat_", "image_"]),
    (Kind::Scratch, &["scratch_"]),
    (Kind::Smem, &["s_load", "s_buffer_load"]),
    (Kind::Wait, &["s_waitcnt"]),
    (Kind::Barrier, &["s_barrier"]),
    (Kind::Branch, &["s_cbranch", "s_branch"]),
    (Kind::Salu, &["s_"]),
];

/// An instruction: its name and its operands.
#[derive(Clone, Debug, PartialEq)]
pub struct Instruction {
    /// The kind of work that the instruction does.
    pub kind: Kind,
    /// The name.
    pub name: String,
    /// The operands as they stand, between commas.
    pub operands: Vec<String>,
}

/// A register: a vector or scalar one by its number, or a special one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Register {
    Vector(u32),
    Scalar(u32),
    Carry,
    Condition,
    Lanes,
}

impl Instruction {
    /// Reads a line of a listing; `None` for a label, a comment or an empty line.
    pub fn read(line: &str) -> Option<Self> {
        let line = line.split(';').next().unwrap_or_default().trim();
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
            return None;
        }
        let fits = |(_, starts): &&(Kind, &[&str])| starts.iter().any(|start| name.starts_with(start));
        let kind = NAMES.iter().find(fits).map_or(Kind::Other, |(kind, _)| *kind);
        let operands = rest.split(',').map(str::trim).filter(|o| !o.is_empty()).map(String::from).collect();
        Some(Self { kind, name: name.into(), operands })
    }

    /// The label that a branch leads to.
    pub(super) fn target(&self) -> Option<&str> {
        let first = self.operands.first().filter(|_| self.kind == Kind::Branch)?;
        first.split_whitespace().next()
    }

    /// Whether it writes memory.
    pub(super) fn stores(&self) -> bool {
        self.name.contains("store") || self.kind == Kind::Lds && self.name.contains("write")
    }

    /// The bytes that each lane moves.
    pub(super) fn bytes(&self) -> u64 {
        let name = &self.name;
        let last = name.rsplit('_').next().unwrap_or_default();
        match self.kind {
            Kind::Vmem => match last {
                "ubyte" | "sbyte" | "byte" | "u8" | "i8" | "b8" => 1,
                "ushort" | "short" | "u16" | "b16" => 2,
                "dwordx2" | "b64" => 8,
                "dwordx3" | "b96" => 12,
                "dwordx4" | "b128" => 16,
                _ => 4,
            },
            Kind::Lds => {
                let one = [("128", 16), ("b96", 12), ("b64", 8)].iter().find(|(part, _)| name.contains(part));
                let two =
                    ["read2", "write2", "2addr", "load_2", "store_2"].iter().any(|part| name.contains(part));
                one.map_or(4, |(_, bytes)| *bytes) * if two { 2 } else { 1 }
            }
            _ => 0,
        }
    }

    /// The number of accesses that may still be under way after a wait, of one counter.
    pub(super) fn waits_for(&self, counter: &str) -> Option<usize> {
        let text = self.operands.join(",");
        let rest = text.split_once(counter)?.1.strip_prefix('(')?;
        rest.split_once(')')?.0.parse().ok()
    }

    /// The registers that it writes, and those that it reads.
    pub(super) fn registers(&self) -> (Vec<Register>, Vec<Register>) {
        let of = |operands: &[String]| operands.iter().flat_map(|o| registers(o)).collect::<Vec<_>>();
        if self.stores() {
            return (vec![], of(&self.operands));
        }
        let (first, others) = self.operands.split_at(self.operands.len().min(1));
        let (written, mut read) = (of(first), of(others));
        if self.name.starts_with("v_fmac") || self.name.starts_with("v_mac") {
            read.extend(&written);
        }
        (written, read)
    }
}

/// The registers that an operand names: `v7`, `s[4:7]`, `vcc`.
fn registers(operand: &str) -> Vec<Register> {
    let mut found = vec![];
    for word in operand.split(|c: char| !(c.is_alphanumeric() || "[:]_".contains(c))) {
        let make: fn(u32) -> Register = match word.as_bytes().first() {
            Some(b'v') => Register::Vector,
            Some(b's') => Register::Scalar,
            _ => |_| Register::Lanes,
        };
        match word {
            "vcc" => found.push(Register::Carry),
            "scc" => found.push(Register::Condition),
            "exec" => found.push(Register::Lanes),
            _ if word.starts_with(['v', 's']) => {
                let range = word[1..].strip_prefix('[').and_then(|r| r.strip_suffix(']'));
                let (first, last) = match range {
                    Some(range) => range.split_once(':').unwrap_or((range, range)),
                    None => (&word[1..], &word[1..]),
                };
                if let (Ok(first), Ok(last)) = (first.parse(), last.parse()) {
                    found.extend((first..=last).map(make));
                }
            }
            _ => {}
        }
    }
    found
}

/// How many instructions of each kind a stretch of code holds, and the bytes that a lane moves in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Multiply-adds.
    pub fma: u64,
    /// Products of f32s, with or without an addition.
    pub products: u64,
    /// Other vector instructions at full rate.
    pub valu: u64,
    /// 32-bit integer products.
    pub mul32: u64,
    /// Transcendental functions.
    pub trans: u64,
    /// Accesses to workgroup memory.
    pub lds: u64,
    /// Accesses to buffers.
    pub vmem: u64,
    /// Accesses to spilled values.
    pub scratch: u64,
    /// Loads for all lanes at once.
    pub smem: u64,
    /// Waits.
    pub wait: u64,
    /// Barriers.
    pub barrier: u64,
    /// Branches and other scalar instructions.
    pub salu: u64,
    /// Bytes that a lane reads and writes in workgroup memory.
    pub lds_bytes: u64,
    /// The part of `lds_bytes` that it reads.
    pub lds_read: u64,
    /// Bytes that a lane loads from buffers.
    pub loaded: u64,
    /// Bytes that a lane stores to buffers.
    pub stored: u64,
}

impl Counts {
    /// Counts some instructions.
    pub fn of<'a>(instructions: impl IntoIterator<Item = &'a Instruction>) -> Self {
        let mut out = Self::default();
        for i in instructions {
            let field = match i.kind {
                Kind::Fma => &mut out.fma,
                Kind::Valu => &mut out.valu,
                Kind::Mul32 => &mut out.mul32,
                Kind::Trans => &mut out.trans,
                Kind::Lds => &mut out.lds,
                Kind::Vmem => &mut out.vmem,
                Kind::Scratch => &mut out.scratch,
                Kind::Smem => &mut out.smem,
                Kind::Wait => &mut out.wait,
                Kind::Barrier => &mut out.barrier,
                Kind::Branch | Kind::Salu | Kind::Other => &mut out.salu,
            };
            *field += 1;
            out.products += u64::from(i.kind == Kind::Fma || i.name.starts_with("v_mul_f32"));
            match i.kind {
                Kind::Lds => {
                    out.lds_bytes += i.bytes();
                    out.lds_read += if i.stores() { 0 } else { i.bytes() };
                }
                Kind::Vmem if i.stores() => out.stored += i.bytes(),
                Kind::Vmem => out.loaded += i.bytes(),
                _ => {}
            }
        }
        out
    }

    /// The sum of these and `times` others.
    #[must_use]
    pub fn plus(self, other: &Self, times: u64) -> Self {
        let sum = |a: u64, b: u64| a + times * b;
        Self {
            fma: sum(self.fma, other.fma),
            products: sum(self.products, other.products),
            valu: sum(self.valu, other.valu),
            mul32: sum(self.mul32, other.mul32),
            trans: sum(self.trans, other.trans),
            lds: sum(self.lds, other.lds),
            vmem: sum(self.vmem, other.vmem),
            scratch: sum(self.scratch, other.scratch),
            smem: sum(self.smem, other.smem),
            wait: sum(self.wait, other.wait),
            barrier: sum(self.barrier, other.barrier),
            salu: sum(self.salu, other.salu),
            lds_bytes: sum(self.lds_bytes, other.lds_bytes),
            lds_read: sum(self.lds_read, other.lds_read),
            loaded: sum(self.loaded, other.loaded),
            stored: sum(self.stored, other.stored),
        }
    }

    /// The share of multiply-adds in the cycles in which the vector unit issues; 0 without vector instructions.
    pub fn share(&self) -> f64 {
        let all = self.fma + self.valu + 4 * (self.mul32 + self.trans);
        if all == 0 { 0.0 } else { self.fma as f64 / all as f64 }
    }

    /// The bytes of workgroup memory that are moved for a multiply-add; 0 without multiply-adds.
    pub fn lds_bytes_per_fma(&self) -> f64 {
        if self.fma == 0 { 0.0 } else { self.lds_bytes as f64 / self.fma as f64 }
    }
}
