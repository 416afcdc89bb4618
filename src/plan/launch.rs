//! What a plan is made of: launches, which bind places in buffers, and named results.

use crate::{
    graph::{
        op::LaunchSpec,
        shape::{DType, Type},
        share::Merge,
    },
    kernel::{self, Shader},
};
use naga::valid::Capabilities;

/// A buffer by its role. The executor owns slots and constants, the State owns variables and arenas, and
/// the host binds inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Buffer {
    /// Memory that values with disjoint lifetimes share.
    Slot(usize),
    /// A variable with a buffer of its own.
    Var(usize),
    /// The arena of an optimizer group.
    Arena(usize),
    /// An input that the host binds.
    Input(usize),
    /// A constant, which the executor writes once.
    Constant(usize),
}

/// A number that launches read from memory, again and again.
#[derive(Clone, Copy, Debug)]
pub struct Constant {
    /// The number.
    pub value: f32,
    /// The bytes that are filled with it.
    pub bytes: u64,
}

/// A range of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The buffer.
    pub buffer: Buffer,
    /// The first byte, a multiple of 256.
    pub offset: u64,
    /// The length in bytes, a multiple of 16.
    pub bytes: u64,
}

/// One dispatch with everything it needs.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The op and its epilogue, as the table shows them.
    pub label: String,
    /// The WGSL module.
    pub shader: &'static Shader,
    /// What replaces the module's marked function, if anything does.
    pub function: Option<String>,
    /// Whether the kernel reads and writes four numbers as two words.
    pub in_words: bool,
    /// The entry point.
    pub entry: &'static str,
    /// The values of its `override`s.
    pub constants: Vec<(&'static str, f64)>,
    /// What the named bindings are bound to.
    pub bindings: Vec<(&'static str, Place)>,
    /// The names of the bindings that are written.
    pub writes: Vec<&'static str>,
    /// The members of the `dims` uniform; an f32 is given by its bits.
    pub dims: Vec<(String, u32)>,
    /// The numbers of workgroups in x, y and z.
    pub grid: [u32; 3],
    /// The floating-point operations.
    pub flops: u64,
    /// The bytes that would be read and written with a perfect cache.
    pub bytes: u64,
    /// The element type of what is written.
    pub dtype: DType,
    /// How the ranks' values become one and how many elements these have, if ranks exchange what the launch wrote
    /// before the next one runs.
    pub exchange: Option<(Merge, usize)>,
    /// Why this kernel variant was chosen.
    pub why: &'static str,
    /// The variants that were not, if the op has others on this adapter.
    pub others: Vec<Variant>,
    /// The launches that were joined to this one, if any were; their own bindings are empty.
    pub parts: Vec<Launch>,
    /// The user's line that recorded the op; of joined launches, all their lines.
    pub at: String,
}

impl Launch {
    /// The module's text, as the device gets it.
    pub fn text(&self) -> String {
        let own = || self.shader.text.to_string();
        let text = self.function.as_ref().map_or_else(own, |f| kernel::patch(self.shader.text, f));
        if self.in_words { kernel::in_words(&text) } else { text }
    }

    /// The places that the kernel writes.
    pub fn written(&self) -> impl Iterator<Item = &Place> {
        self.bindings.iter().filter(|(name, _)| self.writes.contains(name)).map(|(_, place)| place)
    }

    /// The capabilities that naga's validator must allow the module.
    pub fn powers(&self) -> Capabilities {
        let words = if self.in_words { Capabilities::SHADER_INT64 } else { Capabilities::empty() };
        kernel::powers(self.shader.stem) | words
    }
}

/// A kernel that a launch could have run instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// The file's stem of the WGSL module.
    pub stem: &'static str,
    /// The entry point.
    pub entry: &'static str,
    /// The numbers of workgroups in x, y and z.
    pub grid: [u32; 3],
    /// When it is chosen.
    pub why: &'static str,
}

impl Variant {
    /// Whether both run the same kernel on the same grid.
    pub(super) fn same_kernel(&self, other: &Self) -> bool {
        (self.stem, self.entry, self.grid) == (other.stem, other.entry, other.grid)
    }
}

impl From<&LaunchSpec> for Variant {
    fn from(spec: &LaunchSpec) -> Self {
        Self { stem: spec.shader.stem, entry: spec.entry, grid: spec.grid, why: spec.why }
    }
}

/// A named result.
#[derive(Clone, Debug)]
pub struct Output {
    /// The result's name.
    pub name: String,
    /// The result's shape and element type.
    pub ty: Type,
    /// Where the result lies after the step.
    pub place: Place,
}
