//! The rules that an op obeys, and what it tells the planner. Each op family is one file of `src/ops/`.
//!
//! An op's meaning is its `reference`; its derivative is more graph (`vjp`), and its kernel is
//! described by `lower`. A user's own op implements the same trait and is fused, planned and tested
//! like the engine's.

use crate::{
    graph::{
        Tensor,
        shape::{Array, Type},
        share::Merge,
        wave::Wave,
        window::Window,
    },
    kernel::{Shader, caps::Caps},
};
use std::{any::Any, fmt, ops::Range};

/// An operation with one output. `Debug` is its identity: two ops that print alike and have the same inputs
/// are the same value for the planner, which computes it once.
pub trait Op: Any + fmt::Debug + Send + Sync {
    /// The op's name in lower case, as the plan's table shows it.
    fn name(&self) -> &'static str;

    /// The shape rule: the output's type from the inputs' types. Only here are a user's mistakes detected;
    /// the error says what is wrong, without the op's name.
    fn infer(&self, inputs: &[Type]) -> Result<Type, String>;

    /// The definition of the op, by naive f64 loops.
    fn reference(&self, inputs: &[&Array]) -> Array;

    /// The derivative: the inputs' cotangents as graph nodes, `None` where there is no derivative.
    fn vjp<'g>(
        &self,
        inputs: &[Tensor<'g>],
        output: Tensor<'g>,
        cotangent: Tensor<'g>,
    ) -> Vec<Option<Tensor<'g>>>;

    /// The launches that compute the output. The planner makes those of fusable ops itself, see
    /// [`Op::class`].
    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String>;

    /// The first launches of further ways to compute the output on this adapter, beside those that it would take as
    /// an adapter of another kind: `--explain` lists them all.
    fn others(&self, _at: &Lowering<'_>) -> Vec<LaunchSpec> {
        vec![]
    }

    /// How the planner may combine the op with its neighbours.
    fn class(&self) -> Class {
        Class::Opaque
    }

    /// Whether the launch ends in the marked function `fused`, so that elementwise consumers can join it.
    fn accepts_epilogue(&self, _inputs: &[Type], _output: &Type) -> bool {
        false
    }

    /// Whether the first launch can read its only input through the marked function `fused`, so that the elementwise
    /// cluster which makes that input can join it.
    fn accepts_prologue(&self, _inputs: &[Type]) -> bool {
        false
    }

    /// The wave of the pixels that the output's rows are, if the launch that takes an epilogue can also look at
    /// images for it and place its rows into images ([`Class::Seen`], [`Class::Placed`]). The op's last input is
    /// the step's counter.
    fn wave(&self) -> Option<Wave> {
        None
    }

    /// Which input pixels an output pixel reads. Cached sampling is derived from it, and refuses an op that
    /// returns `None`, except elementwise ops and reshapes.
    fn footprint(&self) -> Option<Footprint<'_>> {
        None
    }

    /// The input that becomes the output, if there is one. The planner makes both one buffer and copies first
    /// where the old value is still needed; the kernel binds only [`Operand::Output`], which it reads and
    /// writes.
    fn in_place(&self) -> Option<usize> {
        None
    }
}

/// Which pixels of its first input an output pixel reads.
#[derive(Clone, Debug)]
pub enum Footprint<'a> {
    /// The output reads the pixel itself, all channels; the op takes any number of rows, one a pixel.
    Row,
    /// The output reads the pixels of a window: their channels, tap by tap, are a row that the second input
    /// multiplies as a matrix.
    Window(&'a Window),
    /// The output is a range of the pixel's own channels.
    Channels(Range<usize>),
    /// The output is the pixel at this offset (row, column) from its own, or zero where that is outside.
    Moved([i32; 2]),
    /// The output is the states of a recurrence. A state reads the gates at its own pixel, the third input,
    /// and other states of the output itself, which the fourth input multiplies as a window's.
    States {
        /// The offsets (row, column) of the pixels whose states a state reads.
        taps: Vec<[i32; 2]>,
        /// The offset of the pixel whose cell goes on.
        carried: [i32; 2],
    },
    /// The output repeats its input along the axes that the input lacks or has with an extent of 1.
    Repeat,
}

/// How the planner may combine an op with its neighbours.
#[derive(Clone, Debug)]
pub enum Class {
    /// The op is a row of the elementwise table; output and inputs have one shape.
    Elementwise(&'static Row),
    /// The op is a constant scalar.
    Constant(f32),
    /// The output is the first input's elements in the same order and lies in its memory. Where the shape
    /// stays, there may be further inputs, which serve the derivative alone.
    Alias,
    /// Every output element is one input element at an affine address.
    Strided(Strided),
    /// Row for row, the output is what the pixels in flight see in images (the first input `[N, H, R, C]`) through
    /// one tap (row, column), or zero. The last input is the step's counter.
    Seen(Wave, [i32; 2]),
    /// The output is images (the first input) in which rows (the second) are the new values of the pixels in
    /// flight, in place; of one channel only, where the flag says so: the one that the count draws. The last
    /// input is the step's counter.
    Placed(Wave, bool),
    /// The output is one row of the flattened inputs at these element offsets, with zeros in the gaps. The
    /// planner lets an input's producer write there directly where it can, and drops the launch that `lower`
    /// made for that input.
    Pack(Vec<usize>),
    /// The op has a kernel of its own, which writes exactly the output's elements and never the padding
    /// behind them.
    Opaque,
}

/// A scalar function of one to three f32 arguments, applied to every element.
pub struct Row {
    /// The function's name; in WGSL it is `e_NAME`.
    pub name: &'static str,
    /// The number of arguments.
    pub arity: usize,
    /// The rough cost per element in floating-point operations.
    pub flops: usize,
    /// The definition, from the arguments.
    pub eval: fn(&[f64]) -> f64,
    /// The derivative: inputs, output and cotangent to the inputs' cotangents.
    pub vjp: for<'g> fn(&[Tensor<'g>], Tensor<'g>, Tensor<'g>) -> Vec<Option<Tensor<'g>>>,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// An affine view: output coordinate `c` reads input element `offset + Σ c[d]·stride[d]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Strided {
    /// The stride of each output dimension, in input elements.
    pub stride: Vec<usize>,
    /// The first input element.
    pub offset: usize,
}

/// What `Op::lower` is told.
#[derive(Clone, Copy)]
pub struct Lowering<'a> {
    /// The adapter that the plan is made for.
    pub caps: &'a Caps,
    /// The inputs' types.
    pub inputs: &'a [Type],
    /// The output's type.
    pub output: &'a Type,
    /// Whether an epilogue is attached. Those launches must then be marked by [`LaunchSpec::fused`] that write
    /// elements of the output for the last time, each element once.
    pub epilogue: bool,
    /// Whether a prologue makes the input; exactly one launch must then be marked by [`LaunchSpec::fused`], and none
    /// reads the input.
    pub prologue: bool,
    /// Whether the epilogue combines the two halves of the output's columns, so that only as many are stored.
    pub halves: bool,
}

/// The launches of one op and their scratch buffers.
#[derive(Clone, Debug, Default)]
pub struct Lowered {
    /// The launches in order.
    pub launches: Vec<LaunchSpec>,
    /// The sizes of the scratch buffers in bytes.
    pub scratch: Vec<u64>,
}

impl From<LaunchSpec> for Lowered {
    fn from(launch: LaunchSpec) -> Self {
        Self { launches: vec![launch], scratch: vec![] }
    }
}

/// What a binding of a kernel is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// The op's i-th input.
    Input(usize),
    /// The op's output.
    Output,
    /// The i-th scratch buffer.
    Scratch(usize),
}

/// One dispatch of an op: an entry point, its specialisation, and what it binds and sets, by names.
#[derive(Clone, Debug)]
pub struct LaunchSpec {
    /// The WGSL module.
    pub shader: &'static Shader,
    /// The entry point.
    pub entry: &'static str,
    /// The values of its `override`s.
    pub constants: Vec<(&'static str, f64)>,
    /// What each named binding is bound to.
    pub bindings: Vec<(&'static str, Operand)>,
    /// The members of the `dims` uniform; an f32 is given by its bits.
    pub dims: Vec<(String, u32)>,
    /// The numbers of workgroups in x, y and z.
    pub grid: [u32; 3],
    /// The floating-point operations.
    pub flops: u64,
    /// The bytes that would be read and written with a perfect cache.
    pub bytes: u64,
    /// Whether an epilogue, a prologue or a cluster's expression goes into this launch.
    pub fused: bool,
    /// How the ranks' values become one, if they exchange what the launch wrote before the next one runs.
    pub merge: Option<Merge>,
    /// Why this variant was chosen, for `--explain`.
    pub why: &'static str,
}

impl LaunchSpec {
    /// Makes a launch of `entry` with a grid; the other methods add the rest.
    pub fn new(shader: &'static Shader, entry: &'static str, grid: [u32; 3]) -> Self {
        Self {
            shader,
            entry,
            constants: vec![],
            bindings: vec![],
            dims: vec![],
            grid,
            flops: 0,
            bytes: 0,
            fused: false,
            merge: None,
            why: "",
        }
    }

    /// Binds a named buffer.
    pub fn bind(mut self, name: &'static str, operand: Operand) -> Self {
        self.bindings.push((name, operand));
        self
    }

    /// Sets a member of the `dims` uniform.
    pub fn dim(mut self, name: &str, value: usize) -> Self {
        self.dims.push((name.to_string(), u32::try_from(value).unwrap_or(u32::MAX)));
        self
    }

    /// Sets a member of the `dims` uniform that holds two numbers: rows and columns.
    pub fn pair(self, name: &str, [rows, columns]: [usize; 2]) -> Self {
        self.dim(&format!("{name}[0]"), rows).dim(&format!("{name}[1]"), columns)
    }

    /// Sets an f32 member of the `dims` uniform.
    pub fn dim_f32(mut self, name: &str, value: f32) -> Self {
        self.dims.push((name.to_string(), value.to_bits()));
        self
    }

    /// Sets an `override`.
    pub fn constant(mut self, name: &'static str, value: f64) -> Self {
        self.constants.push((name, value));
        self
    }

    /// Sets an `override` that switches something on or off.
    pub fn flag(self, name: &'static str, on: bool) -> Self {
        self.constant(name, f64::from(u8::from(on)))
    }

    /// States the floating-point operations and bytes.
    pub fn cost(mut self, flops: usize, bytes: u64) -> Self {
        (self.flops, self.bytes) = (flops as u64, bytes);
        self
    }

    /// Says whether the launch takes the epilogue.
    pub fn fused(mut self, yes: bool) -> Self {
        self.fused = yes;
        self
    }

    /// Says why this variant was chosen.
    pub fn why(mut self, why: &'static str) -> Self {
        self.why = why;
        self
    }
}

/// The grid of a 1-D number of workgroups, folded into x and y, since a direct dispatch over 65,535 in one
/// dimension voids the encoder. Kernels recover the index as `workgroup_id.y * num_workgroups.x +
/// workgroup_id.x` and check the end.
pub fn grid_1d(workgroups: usize) -> [u32; 3] {
    let y = workgroups.div_ceil(65_535).max(1);
    [workgroups.div_ceil(y).max(1) as u32, y as u32, 1]
}
