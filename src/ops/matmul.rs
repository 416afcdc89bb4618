//! Matrix products with transpose flags, batched. The two derivatives are matrix products again, so that the
//! op is closed under differentiation without transposed copies.

mod blocks;
mod padded;

pub(super) use blocks::added;
pub use blocks::{Block, Cut};

use crate::{
    graph::{
        Tensor,
        op::{Footprint, LaunchSpec, Lowered, Lowering, Op, Operand},
        shape::{Array, DType, Shape, Type},
    },
    kernel::{
        Shader,
        caps::{AdapterClass, Caps},
    },
};
use std::ops::Range;

/// The kernel for CPU drivers: register tiles fed by subgroup broadcasts.
pub static LANES: Shader = crate::shader!("matmul.subgroup.int64");
/// The kernels for any adapter and any layout.
pub static PORTABLE: Shader = crate::shader!("matmul");

/// The longest part of K that one launch sums. It keeps loops well under the 65,535 iterations at which some
/// drivers stop.
const K_PER_LAUNCH: usize = 8192;
/// The longest K of the subgroup tile, which sums four k per iteration in one launch.
const K_SUBGROUP: usize = 65_536;
/// The most rows of C for which a tile of 64 rows would be a waste.
const FEW: usize = 8;

/// The product C[..., M, N] = A·B. With `ta`, A is stored as `[..., K, M]`; with `tb`, B is stored as
/// `[..., N, K]`.
#[derive(Debug, Clone, Copy)]
pub struct MatMul {
    /// Whether A is stored transposed.
    pub ta: bool,
    /// Whether B is stored transposed.
    pub tb: bool,
}

/// The extents of a product.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extents {
    /// The number of independent products.
    pub batch: usize,
    /// The rows of C.
    pub m: usize,
    /// The columns of C.
    pub n: usize,
    /// The summed extent.
    pub k: usize,
}

/// The entry points that can compute a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// A register tile of 8x32 with subgroup broadcasts, for a few rows.
    Few,
    /// A register tile of 64x64 or 64x32 with subgroup broadcasts.
    Subgroup {
        /// Whether the tile has 64 columns instead of 32.
        wide: bool,
    },
    /// The same tile of 64 or 32 columns on copies whose rows are whole vec4s.
    Padded,
    /// Blocks of 8x8 or 4x4 outputs per invocation fed by workgroup memory.
    Blocks(Cut),
    /// A tile of 64x64 in workgroup memory, for any extents.
    Tile,
    /// Registers alone: 4x4 outputs per invocation.
    Register,
}

impl MatMul {
    /// The operands of A, B and C where the op's inputs and output are meant.
    pub const OPERANDS: [Operand; 3] = [Operand::Input(0), Operand::Input(1), Operand::Output];

    /// The extents from the operands' shapes, if these fit.
    pub fn extents(&self, a: &Shape, b: &Shape) -> Option<Extents> {
        let (r, s) = (a.len().checked_sub(2)?, b.len().checked_sub(2)?);
        let (m, k) = if self.ta { (a[r + 1], a[r]) } else { (a[r], a[r + 1]) };
        let (kb, n) = if self.tb { (b[s + 1], b[s]) } else { (b[s], b[s + 1]) };
        let batch = a[..r].iter().product();
        (k == kb && a[..r] == b[..s] && m * n * k * batch > 0).then_some(Extents { batch, m, n, k })
    }

    /// Whether all extents along which memory is contiguous are whole vec4s.
    fn aligned(&self, e: Extents) -> bool {
        let a = if self.ta { e.m } else { e.k };
        let b = if self.tb { e.k } else { e.n };
        [a, b, e.n].iter().all(|n| n.is_multiple_of(4))
    }

    /// Every variant that computes these extents on this adapter, the preferred one first, and why each is
    /// taken.
    pub fn variants(&self, e: Extents, caps: &Caps) -> Vec<(Variant, &'static str)> {
        let mut out = vec![];
        if caps.runs(&LANES) && self.aligned(e) && e.k <= K_SUBGROUP {
            if e.m <= FEW && !self.ta {
                out.push((Variant::Few, "CPU driver, 8 lanes, at most 8 rows: 8x32 broadcast tile"));
            }
            out.push(if e.n <= 32 {
                (Variant::Subgroup { wide: false }, "CPU driver, 8 lanes, narrow: 64x32 broadcast tile")
            } else {
                (Variant::Subgroup { wide: true }, "CPU driver, 8 lanes: 64x64 broadcast tile")
            });
        }
        if caps.runs(&LANES)
            && !self.aligned(e)
            && e.k <= K_SUBGROUP
            && padded::pays([e.batch, e.m, e.n, e.k])
        {
            out.push((Variant::Padded, "CPU driver, 8 lanes: broadcast tile on copies in whole vec4s"));
        }
        let mut gpu = vec![];
        if self.aligned(e) {
            gpu.extend(Cut::all([e.batch, e.m, e.n, e.k]).map(|cut| (Variant::Blocks(cut), cut.why())));
        }
        gpu.push((Variant::Tile, "GPU, extents without whole vec4s: panels in workgroup memory"));
        let registers = (Variant::Register, "CPU driver without aligned vec4s: 4x4 register tile");
        match caps.class {
            AdapterClass::Gpu => [gpu, out, vec![registers]].concat(),
            AdapterClass::Cpu => [out, vec![registers], gpu].concat(),
        }
    }

    /// Launches of the variant that the adapter prefers; the operands are those of A, B and C, and scratch
    /// buffers are numbered from `scratch` on.
    pub fn preferred(
        &self,
        e: Extents,
        caps: &Caps,
        epilogue: bool,
        operands: [Operand; 3],
        scratch: usize,
    ) -> Lowered {
        self.launches(e, self.variants(e, caps)[0], epilogue, operands, scratch)
    }

    /// Launches of one of the [`MatMul::variants`]; the operands are those of A, B and C, and scratch buffers
    /// are numbered from `scratch` on.
    pub fn launches(
        &self,
        e: Extents,
        (variant, why): (Variant, &'static str),
        epilogue: bool,
        [a, b, c]: [Operand; 3],
        scratch: usize,
    ) -> Lowered {
        if variant == Variant::Padded {
            let extents = [e.batch, e.m, e.n, e.k];
            let grown = padded::Grown::new([self.ta, self.tb], extents, [a, b, c], scratch);
            let (tile, e) = (Variant::Subgroup { wide: e.n > 32 }, Extents { n: grown.n, k: grown.k, ..e });
            let product = self.launches(e, (tile, why), epilogue, grown.operands, 0);
            return grown.around(product);
        }
        let outputs = e.batch * e.m * e.n;
        let bytes = 4 * (e.batch * (e.m * e.k + e.k * e.n) + outputs) as u64;
        let parts = if let Variant::Blocks(cut) = variant { cut.parts } else { 1 };
        let once = matches!(variant, Variant::Few | Variant::Subgroup { .. } | Variant::Blocks(_));
        let step = if once { e.k } else { K_PER_LAUNCH };
        let launch = |start: usize| {
            let end = (start + step).min(e.k);
            let epilogue = end == e.k && epilogue && parts == 1;
            self.launch(e, variant, start..end, epilogue)
                .bind("a", a)
                .bind("b", b)
                .bind("c", if parts > 1 { Operand::Scratch(scratch) } else { c })
                .dim("m", e.m)
                .dim("k", e.k)
                .cost(2 * outputs * (end - start), bytes)
                .fused(epilogue)
                .why(why)
        };
        let mut launches: Vec<_> = (0..e.k).step_by(step).map(launch).collect();
        if parts == 1 {
            return Lowered { launches, scratch: vec![] };
        }
        launches.push(blocks::added(parts, outputs, [Operand::Scratch(scratch), c], epilogue));
        Lowered { launches, scratch: vec![4 * (parts * outputs) as u64] }
    }

    fn launch(&self, e: Extents, variant: Variant, k: Range<usize>, epilogue: bool) -> LaunchSpec {
        let batch = e.batch as u32;
        let grid =
            |columns: usize, rows: usize| [e.n.div_ceil(columns) as u32, e.m.div_ceil(rows) as u32, batch];
        let strided = |entry, grid| {
            let (a_row, a_col) = if self.ta { (1, e.m) } else { (e.k, 1) };
            let (b_row, b_col) = if self.tb { (1, e.k) } else { (e.n, 1) };
            LaunchSpec::new(&PORTABLE, entry, grid)
                .dim("n", e.n)
                .dim("k_start", k.start)
                .dim("k_end", k.end)
                .dim("a_row", a_row)
                .dim("a_col", a_col)
                .dim("b_row", b_row)
                .dim("b_col", b_col)
                .dim("epilogue", usize::from(epilogue))
        };
        let aligned = |shader, entry, grid| {
            LaunchSpec::new(shader, entry, grid).dim("n4", e.n / 4).flag("TA", self.ta).flag("TB", self.tb)
        };
        let lanes = |entry, wide, grid| aligned(&LANES, entry, grid).flag("WIDE", wide);
        match variant {
            Variant::Padded => unreachable!("it is lowered to the tile on copies"),
            Variant::Few => lanes("few", false, grid(32, FEW)),
            Variant::Subgroup { wide } => lanes("lanes", wide, grid(if wide { 64 } else { 32 }, 64)),
            Variant::Blocks(cut) => {
                let [x, y, z] = grid(cut.block.side(), cut.block.side());
                aligned(cut.block.shader(), "tile", [x, y, z * cut.parts as u32])
                    .dim("chunk", cut.chunk)
                    .dim("parts", cut.parts)
                    .dim("batches", e.batch)
            }
            Variant::Tile => strided("tile", grid(64, 64)),
            Variant::Register => strided("registers", grid(32, 32)),
        }
    }
}

impl Op for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [a, b] = inputs else { return Err("takes two tensors".into()) };
        if a.dtype != DType::F32 || b.dtype != DType::F32 {
            return Err(format!("takes f32, got {a:?} and {b:?}"));
        }
        let e = self.extents(&a.shape, &b.shape);
        let e = e.ok_or_else(|| {
            format!(
                "{:?}{} times {:?}{}: inner or batch extents differ",
                a.shape,
                flag(self.ta),
                b.shape,
                flag(self.tb)
            )
        })?;
        let mut shape = a.shape[..a.shape.len() - 2].to_vec();
        shape.extend([e.m, e.n]);
        Ok(Type::f32(shape))
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        let (a, b) = (inputs[0], inputs[1]);
        let e = self.extents(&a.shape, &b.shape).expect("inferred");
        let mut shape = a.shape[..a.shape.len() - 2].to_vec();
        shape.extend([e.m, e.n]);
        Array::from_fn(shape, |i| {
            let (z, row, col) = (i / (e.m * e.n), i / e.n % e.m, i % e.n);
            let at_a = |k| z * e.m * e.k + if self.ta { k * e.m + row } else { row * e.k + k };
            let at_b = |k| z * e.k * e.n + if self.tb { col * e.k + k } else { k * e.n + col };
            (0..e.k).map(|k| a.data[at_a(k)] * b.data[at_b(k)]).sum()
        })
    }

    fn vjp<'g>(&self, x: &[Tensor<'g>], _: Tensor<'g>, ct: Tensor<'g>) -> Vec<Option<Tensor<'g>>> {
        let (a, b) = (x[0], x[1]);
        let da = match (self.ta, self.tb) {
            (false, tb) => product(ct, b, false, !tb),
            (true, tb) => product(b, ct, tb, true),
        };
        let db = match (self.ta, self.tb) {
            (ta, false) => product(a, ct, !ta, false),
            (ta, true) => product(ct, a, true, ta),
        };
        vec![Some(da), Some(db)]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let e = self.extents(&at.inputs[0].shape, &at.inputs[1].shape).ok_or("extents")?;
        Ok(self.preferred(e, at.caps, at.epilogue, Self::OPERANDS, 0))
    }

    fn others(&self, at: &Lowering<'_>) -> Vec<LaunchSpec> {
        let Some(e) = self.extents(&at.inputs[0].shape, &at.inputs[1].shape) else { return vec![] };
        let product = |variant| {
            let launches = self.launches(e, variant, at.epilogue, Self::OPERANDS, 0).launches;
            launches.into_iter().find(|launch| launch.flops > 0)
        };
        self.variants(e, at.caps).into_iter().filter_map(product).collect()
    }

    fn footprint(&self) -> Option<Footprint<'_>> {
        (!self.ta).then_some(Footprint::Row)
    }

    fn accepts_epilogue(&self, _: &[Type], output: &Type) -> bool {
        output.shape.last().is_some_and(|n| n % 4 == 0)
    }
}

fn flag(transposed: bool) -> &'static str {
    if transposed { "ᵀ" } else { "" }
}

/// The product A·B with transpose flags (`ta`: A is stored transposed). A matrix times a vector is recorded
/// as sums of rows, since tiles would waste all columns but one. A long sum of few results, as in a narrow
/// layer's weight gradient, is recorded as a batch of parts, since one tile would keep all cores but one
/// idle.
#[track_caller]
pub fn product<'g>(a: Tensor<'g>, b: Tensor<'g>, ta: bool, tb: bool) -> Tensor<'g> {
    let (x, y) = (a.shape(), b.shape());
    let column = y.len() == 2 && y[usize::from(!tb)] == 1 && x.last() == Some(&y.numel());
    if let (&[m, k], false, true) = (&x[..], ta, column) {
        return (a * b.reshape([1, k])).sum(&[1]).reshape([m, 1]);
    }
    if let (&[k, m], &[kb, n], true, false) = (&x[..], &y[..], ta, tb) {
        let tiles = m.div_ceil(64) * n.div_ceil(64);
        let fits = |p: &usize| k == kb && k.is_multiple_of(*p) && k / p >= 512 && tiles * p <= 32;
        if let Some(parts) = [16, 8, 4, 2].into_iter().find(fits) {
            return product(a.reshape([parts, k / parts, m]), b.reshape([parts, k / parts, n]), true, false)
                .sum(&[0]);
        }
    }
    a.graph().apply(MatMul { ta, tb }, &[a, b])
}

impl<'g> Tensor<'g> {
    /// Self `[..., M, K]` times `[..., K, N]`.
    #[track_caller]
    #[must_use]
    pub fn matmul(self, other: Tensor<'g>) -> Tensor<'g> {
        product(self, other, false, false)
    }
}
