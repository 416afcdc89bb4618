//! The product whose left side is what the pixels in flight see: a convolution at these pixels alone.

use super::{Look, check_step, check_wave, extents, taps, told};
use crate::{
    graph::{
        Tensor,
        op::{LaunchSpec, Lowered, Lowering, Op, Operand},
        shape::{Array, DType, Type},
        wave::Wave,
    },
    kernel::{
        Shader,
        caps::{AdapterClass, Caps},
    },
};

static PORTABLE: Shader = crate::shader!("cursor_product");
static SLICES: Shader = crate::shader!("cursor_slices");
static LANES: Shader = crate::shader!("cursor_product.subgroup.int64");
/// The largest number of channels, which keeps loops well under the 65,535 iterations at which some drivers stop.
pub(crate) const MAX_CHANNELS: usize = 8192;
/// The number of workgroups that fill a card.
const FILLING: u32 = 100;
/// The most rows of a subgroup's tile.
const HIGH: usize = 64;

/// What the pixels in flight see through T taps (row, column), times a matrix: (images `[N, H, R, C]` of the R
/// columns that are kept, weights `[T·C, O]`, step) to `[N·F, O]`. Without taps the left side is rows as they
/// are, `[N·F, C]` with weights `[C, O]`.
#[derive(Clone, Debug)]
pub struct Product {
    /// The pixels in flight.
    pub wave: Wave,
    /// The offsets of the pixels that are seen.
    pub taps: Vec<[i32; 2]>,
}

/// The extents of a product: its rows, the columns of its right side, and the channels and kept columns of the
/// images.
#[derive(Clone, Copy)]
struct Extents {
    n: usize,
    m: usize,
    o: usize,
    c: usize,
    kept: usize,
}

impl Product {
    fn extents(&self, inputs: &[Type]) -> Result<Extents, String> {
        let [of, weights, step] = inputs else {
            return Err("takes images or rows, weights and the step".into());
        };
        check_step(step)?;
        check_wave(self.wave)?;
        let flight = self.wave.flight();
        let [n, kept, c] = match (&of.shape[..], self.taps.is_empty()) {
            (&[m, c], true) if m > 0 && m.is_multiple_of(flight) => [m / flight, 1, c],
            (_, true) => return Err(format!("wants rows of {flight} pixels in flight, got {of:?}")),
            _ => extents(self.wave, &of.shape)?,
        };
        let seen = self.taps.len().max(1);
        match weights.shape[..] {
            [k, o]
                if k == seen * c
                    && k * o > 0
                    && seen <= 64
                    && c <= MAX_CHANNELS
                    && of.dtype == DType::F32
                    && weights.dtype == DType::F32 =>
            {
                Ok(Extents { n, m: n * flight, o, c, kept })
            }
            _ => Err(format!("takes f32 and 1 to 64 taps, got {of:?}, {weights:?} and {seen}")),
        }
    }

    /// The launch over images, or over rows; the operand is theirs.
    fn launch(&self, e: Extents, of: Operand, halves: bool, caps: &Caps) -> LaunchSpec {
        let n = if halves { e.o / 2 } else { e.o };
        let k = self.taps.len().max(1) * e.c;
        let fours = e.c.is_multiple_of(4) && n.is_multiple_of(4);
        let launch = match caps.class {
            AdapterClass::Cpu if lanes(caps) && fours => broadcast(e, n, halves),
            AdapterClass::Cpu => registers(e, n),
            AdapterClass::Gpu => dealt(e, n, halves, if fours { ("fours", k / 4) } else { ("ones", k) }),
        };
        let [a, b] = if launch.entry == "fours" { ["a4", "b4"] } else { ["a", "b"] };
        let launch = launch
            .flag("PLAIN", self.taps.is_empty())
            .flag("HALVES", halves)
            .bind(a, of)
            .bind(b, Operand::Input(1))
            .bind("c", Operand::Output)
            .bind("time", Operand::Input(2))
            .dim("m", e.m)
            .dim("kept", e.kept)
            .dim("taps", self.taps.len().max(1))
            .cost(2 * e.m * e.o * k, 4 * (e.m * k + k * e.o + e.m * n) as u64);
        taps(&self.taps, told(self.wave, launch))
    }
}

/// The tile of CPU drivers with lanes.
fn broadcast(e: Extents, n: usize, halves: bool) -> LaunchSpec {
    let height = e.m.div_ceil(8 * e.m.div_ceil(HIGH));
    let wide = halves || n > 32;
    let columns = if wide && !halves { 64 } else { 32 };
    let grid = [n.div_ceil(columns) as u32, e.m.div_ceil(8 * height) as u32, 1];
    LaunchSpec::new(&LANES, "lanes", grid)
        .flag("WIDE", wide)
        .constant("HEIGHT", height as f64)
        .dim("n4", n / 4)
        .dim("b4", e.o / 4)
        .dim("c4", e.c / 4)
        .why("CPU driver, 8 lanes: a broadcast tile as high as the rows ask for")
}

/// The tile of CPU drivers in general.
fn registers(e: Extents, n: usize) -> LaunchSpec {
    let grid = [n.div_ceil(32) as u32, e.m.div_ceil(32) as u32, 1];
    LaunchSpec::new(&PORTABLE, "registers", grid)
        .dim("n", n)
        .dim("b_row", e.o)
        .dim("c", e.c)
        .why("CPU driver, any channels: 4x4 register tile")
}

/// The tile of GPUs.
fn dealt(e: Extents, n: usize, halves: bool, (entry, terms): (&'static str, usize)) -> LaunchSpec {
    let columns = n.div_ceil(if halves { 8 } else { 16 });
    let (grid, slices, deals) = shared(terms, columns, e.m);
    let launch = LaunchSpec::new(&SLICES, entry, grid).constant("SLICES", slices);
    let launch = if entry == "fours" { launch.constant("DEALS", deals) } else { launch };
    launch
        .dim("n", n)
        .dim("b_row", e.o)
        .dim("c", e.c)
        .why("GPU: a sum is dealt out to lanes, so that it is short and a card is full")
}

/// How lanes of a GPU share sums of so many terms, which workgroups of 256 make for 16 columns, and of `rows` for
/// 128 over the number of lanes that share a sum: the grid, that number, and how many terms are loaded at once. As
/// many lanes share a sum as are busy, until there are workgroups enough to fill a card.
pub(crate) fn shared(terms: usize, columns: usize, rows: usize) -> ([u32; 3], f64, f64) {
    let grid = |lanes| [columns as u32, rows.div_ceil(128 / lanes) as u32, 1];
    let enough = |&lanes: &usize| grid(lanes).iter().product::<u32>() >= FILLING || terms <= lanes;
    let lanes = [8, 16, 32].into_iter().find(enough).unwrap_or(64);
    (grid(lanes), lanes as f64, terms.div_ceil(lanes).min(4) as f64)
}

impl Op for Product {
    fn name(&self) -> &'static str {
        if self.taps.is_empty() { "product" } else { "look·product" }
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        self.extents(inputs).map(|e| Type::f32([e.m, e.o]))
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        let weights = inputs[1];
        let look = Look { wave: self.wave, taps: self.taps.clone() };
        let seen =
            if self.taps.is_empty() { inputs[0].clone() } else { look.reference(&[inputs[0], inputs[2]]) };
        let (k, o) = (weights.shape[0], weights.shape[1]);
        Array::from_fn([seen.shape[0], o], |i| {
            (0..k).map(|j| seen.data[i / o * k + j] * weights.data[j * o + i % o]).sum()
        })
    }

    fn vjp<'g>(&self, inputs: &[Tensor<'g>], _: Tensor<'g>, _: Tensor<'g>) -> Vec<Option<Tensor<'g>>> {
        vec![None; inputs.len()]
    }

    /// On CPU drivers with lanes, images of few channels are gathered first, so that the lanes' tile can load
    /// the rows in fours.
    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let e = self.extents(at.inputs)?;
        let k = self.taps.len().max(1) * e.c;
        let mut launches = vec![];
        let mut scratch = vec![];
        let fours = [k, e.o].iter().all(|n| n.is_multiple_of(4)) && !e.c.is_multiple_of(4);
        let last = if lanes(at.caps) && fours && k <= MAX_CHANNELS {
            let look = Look { wave: self.wave, taps: self.taps.clone() };
            let seen = Operand::Scratch(0);
            launches.push(look.launch([e.n, e.kept, e.c], [Operand::Input(0), Operand::Input(2), seen]));
            scratch.push(4 * (e.m * k) as u64);
            let rows = Product { wave: self.wave, taps: vec![] };
            rows.launch(Extents { c: k, ..e }, seen, at.halves, at.caps)
        } else {
            self.launch(e, Operand::Input(0), at.halves, at.caps)
        };
        let last = if last.shader.stem == LANES.stem {
            last
        } else {
            last.dim("epilogue", usize::from(at.epilogue))
        };
        launches.push(last.fused(at.epilogue));
        Ok(Lowered { launches, scratch })
    }

    fn accepts_epilogue(&self, _: &[Type], output: &Type) -> bool {
        output.shape[1].is_multiple_of(4)
    }

    fn wave(&self) -> Option<Wave> {
        Some(self.wave)
    }
}

/// Whether products have the lanes' tile.
fn lanes(caps: &Caps) -> bool {
    caps.class == AdapterClass::Cpu && caps.runs(&LANES)
}

impl<'g> Tensor<'g> {
    /// What the pixels in flight at `step` see of these images `[N, H, R, C]` through taps, times weights
    /// `[T·C, O]`: `[N·F, O]`. Without taps these are the rows, `[N·F, C]`.
    #[track_caller]
    #[must_use]
    pub fn look_times(
        self,
        wave: Wave,
        taps: &[[i32; 2]],
        weights: Tensor<'g>,
        step: Tensor<'g>,
    ) -> Tensor<'g> {
        self.graph().apply(Product { wave, taps: taps.to_vec() }, &[self, weights, step])
    }
}
