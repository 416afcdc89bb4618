//! One op, one file: the rules that an op obeys, and what it tells the planner.
//!
//! An op's meaning is its `reference`; its derivative is more graph (`vjp`), and its kernel is
//! described by `lower`. A user's own op implements the same trait and is fused, planned and tested
//! like the engine's.

use crate::{
    graph::{
        Tensor,
        shape::{Array, Type},
        window::Window,
    },
    kernel::{Shader, caps::Caps},
};
use std::{any::Any, fmt, ops::Range};

/// An operation with one output. `Debug` is its identity: two ops that print alike and have the same
/// inputs are the same value (common-subexpression elimination relies on it).
pub trait Op: Any + fmt::Debug + Send + Sync {
    /// Lower-case name, as the plan's table shows it.
    fn name(&self) -> &'static str;

    /// The shape rule, and the only place where user mistakes are detected.
    fn infer(&self, inputs: &[Type]) -> Result<Type, String>;

    /// The definition of the op: naive f64 loops.
    fn reference(&self, inputs: &[&Array]) -> Array;

    /// Cotangents of the inputs as graph nodes, `None` where there is no derivative.
    fn vjp<'g>(
        &self,
        inputs: &[Tensor<'g>],
        output: Tensor<'g>,
        cotangent: Tensor<'g>,
    ) -> Vec<Option<Tensor<'g>>>;

    /// Launches that compute the output. Fusable ops (see [`Op::class`]) leave it to the planner.
    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String>;

    /// What fusion needs to know.
    fn class(&self) -> Class {
        Class::Opaque
    }

    /// Whether the launch ends in the marked function `fused`, so that elementwise consumers can join it.
    fn accepts_epilogue(&self, _inputs: &[Type], _output: &Type) -> bool {
        false
    }

    /// Which input pixels an output pixel reads: cached sampling is derived from it, and refuses an op that does not tell.
    /// Elementwise ops and reshapes need not tell.
    fn footprint(&self) -> Option<Footprint<'_>> {
        None
    }

    /// The input that becomes the output: the planner makes both one buffer (copying first where the
    /// old value is still needed), and the kernel sees only [`Operand::Output`], read-write.
    fn in_place(&self) -> Option<usize> {
        None
    }
}

/// Which pixels of its first input an output pixel reads.
#[derive(Clone, Debug)]
pub enum Footprint<'a> {
    /// The output reads the pixel itself, all channels; the op takes any number of rows, one a pixel.
    Row,
    /// The output reads the pixels of a window: their channels, tap by tap, are a row that the second input multiplies
    /// as a matrix.
    Window(&'a Window),
    /// The output is a range of the pixel's own channels.
    Channels(Range<usize>),
    /// The output repeats its input along the axes that the input lacks or has with an extent of 1.
    Repeat,
}

/// How the planner may combine an op with its neighbours.
#[derive(Clone, Debug)]
pub enum Class {
    /// A row of the elementwise table: output and inputs have one shape.
    Elementwise(&'static Row),
    /// A constant scalar.
    Constant(f32),
    /// Same elements in the same order: aliases its first input. Further inputs serve the derivative alone: there may be some where
    /// the shape stays.
    Alias,
    /// Every output element is one input element at an affine address.
    Strided(Strided),
    /// Flattens its inputs into one row at these element offsets, the gaps zero; the planner lets
    /// producers write there directly where it can. `lower` copies the inputs that it is asked for.
    Pack(Vec<usize>),
    /// A kernel of its own. It writes exactly the output's elements, never the padding behind them.
    Opaque,
}

/// A scalar function of one to three f32 arguments, applied to every element.
pub struct Row {
    /// Name; the WGSL function is `e_NAME`.
    pub name: &'static str,
    /// Number of arguments.
    pub arity: usize,
    /// Cost per element, in rough floating-point operations.
    pub flops: usize,
    /// Definition.
    pub eval: fn(&[f64]) -> f64,
    /// Derivative: (inputs, output, cotangent) to the inputs' cotangents.
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
    /// Stride in input elements per output dimension.
    pub stride: Vec<usize>,
    /// First input element.
    pub offset: usize,
}

/// What `Op::lower` is told.
pub struct Lowering<'a> {
    /// The adapter that the plan is made for.
    pub caps: &'a Caps,
    /// Input types.
    pub inputs: &'a [Type],
    /// Output type.
    pub output: &'a Type,
    /// Whether an epilogue is attached: then exactly one launch must be marked [`LaunchSpec::fused`].
    pub epilogue: bool,
}

/// The launches of one op, in order, and their scratch buffers in bytes.
#[derive(Clone, Debug, Default)]
pub struct Lowered {
    /// Launches in order.
    pub launches: Vec<LaunchSpec>,
    /// Scratch buffers, in bytes.
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

/// One dispatch: entry point, specialisation, bindings by name, extents by name.
#[derive(Clone, Debug)]
pub struct LaunchSpec {
    /// The WGSL module.
    pub shader: &'static Shader,
    /// Entry point.
    pub entry: &'static str,
    /// Values of `override`s.
    pub constants: Vec<(&'static str, f64)>,
    /// What each named binding is bound to.
    pub bindings: Vec<(&'static str, Operand)>,
    /// Members of the `dims` uniform; f32 members as bits.
    pub dims: Vec<(String, u32)>,
    /// Workgroups in x, y, z.
    pub grid: [u32; 3],
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes read and written by a perfect cache.
    pub bytes: u64,
    /// Whether an epilogue or expression goes into this launch.
    pub fused: bool,
    /// Why this variant was chosen, for `--explain`.
    pub why: &'static str,
}

impl LaunchSpec {
    /// A launch of `entry` with a grid; the rest is added by the builder methods.
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

    /// States the cost.
    pub fn cost(mut self, flops: usize, bytes: u64) -> Self {
        (self.flops, self.bytes) = (flops as u64, bytes);
        self
    }

    /// Marks the launch as the one that takes the epilogue.
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

/// Folds a 1-D number of workgroups into (x, y): a direct dispatch over 65,535 voids the encoder.
/// Kernels recover the index as `workgroup_id.y * num_workgroups.x + workgroup_id.x` and check the end.
pub fn grid_1d(workgroups: usize) -> [u32; 3] {
    let y = workgroups.div_ceil(65_535).max(1);
    [workgroups.div_ceil(y).max(1) as u32, y as u32, 1]
}
