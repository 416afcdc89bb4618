//! 2-D convolution, channels last, over a list of taps, and its two gradients: each one's derivatives are the
//! other two, so the family is closed under differentiation. The input gradient is transposed convolution.
//!
//! Weights are `[T, C, O]` with the T taps that take part: a masked tap has no weight, costs nothing and gets no
//! gradient. Where every pixel sees only itself, or a single one sees the whole image, the convolution is a matrix product and
//! recorded as one.

mod patches;

use super::matmul::product;
use crate::{
    graph::{
        Tensor,
        op::{Footprint, LaunchSpec, Lowered, Lowering, Op, Operand, grid_1d},
        shape::{Array, DType, Shape, Type},
        window::{Kernel, Sweep, Window},
    },
    kernel::{
        Shader,
        caps::{AdapterClass, Caps},
    },
};
use std::ops::Range;

/// Any adapter, any extents: output and input gradient, and patches.
pub static PORTABLE: Shader = crate::shader!("conv2d");
/// Register tiles fed by subgroup broadcasts, for CPU drivers: output and input gradient.
pub static LANES: Shader = crate::shader!("conv2d.subgroup.int64");
/// Any adapter, any extents: weight gradient.
pub static WEIGHT: Shader = crate::shader!("conv2d_weight");
/// As [`LANES`], for the weight gradient.
pub static WEIGHT_LANES: Shader = crate::shader!("conv2d_weight.subgroup.int64");

/// Taps that the uniform holds.
const MAX_TAPS: usize = 64;
/// Loop iterations of one launch: some drivers end loops at 65,535.
const MAX_LOOP: usize = 32_768;

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// (x `[N, H, W, C]`, w `[T, C, O]`) to y `[N, H', W', O]`.
    Output,
    /// (dy `[N, H', W', O]`, w) to dx.
    Input,
    /// (x, dy) to dw.
    Weight,
}

/// One of the family, over a window.
#[derive(Clone, Debug)]
pub struct Conv2d {
    /// Which.
    pub role: Role,
    /// Which pixels are seen.
    pub window: Window,
}

/// N, C and O.
#[derive(Clone, Copy, Debug)]
struct Extents {
    n: usize,
    c: usize,
    o: usize,
}

/// The output as the sum of two halves of so many values, a multiple of 4, in a scratch.
fn added(total: usize, scratch: usize) -> LaunchSpec {
    LaunchSpec::new(&WEIGHT, "add", grid_1d((total / 4).div_ceil(64)))
        .bind("halves", Operand::Scratch(scratch))
        .bind("sum4", Operand::Output)
        .dim("rows", total / 4)
        .cost(total, 12 * total as u64)
        .why("the halves' sum")
}

impl Conv2d {
    fn extents(&self, inputs: &[&Shape]) -> Result<Extents, String> {
        let Window { image, made, taps, .. } = &self.window;
        let [a, b] = inputs else { return Err("takes two tensors".into()) };
        let pixels = |s: &Shape, of: &[usize; 2]| (s.len() == 4 && s[1..3] == of[..]).then(|| (s[0], s[3]));
        let weights = |s: &Shape| (s.len() == 3 && s[0] == taps.len()).then(|| (s[1], s[2]));
        let found = match self.role {
            Role::Output => {
                pixels(a, image).zip(weights(b)).filter(|(x, w)| x.1 == w.0).map(|(x, w)| (x.0, x.1, w.1))
            }
            Role::Input => {
                pixels(a, made).zip(weights(b)).filter(|(y, w)| y.1 == w.1).map(|(y, w)| (y.0, w.0, y.1))
            }
            Role::Weight => pixels(a, image)
                .zip(pixels(b, made))
                .filter(|(x, y)| x.0 == y.0)
                .map(|(x, y)| (x.0, x.1, y.1)),
        };
        let (n, c, o) = found.filter(|f| f.0 * f.1 * f.2 > 0).ok_or_else(|| {
            format!(
                "{a:?} and {b:?} do not fit an image of {image:?}, an output of {made:?} and {} taps",
                taps.len()
            )
        })?;
        Ok(Extents { n, c, o })
    }

    fn shape(&self, Extents { n, c, o }: Extents) -> Shape {
        let Window { image, made, taps, .. } = &self.window;
        match self.role {
            Role::Output => [n, made[0], made[1], o].into(),
            Role::Input => [n, image[0], image[1], c].into(),
            Role::Weight => [taps.len(), c, o].into(),
        }
    }

    /// Calls `f(tap, input pixel, output pixel)` for every pair that meets.
    fn pairs(&self, n: usize, mut f: impl FnMut(usize, usize, usize)) {
        let Window { image, made, stride, taps } = &self.window;
        for p in 0..n * made[0] * made[1] {
            let (z, y, x) = (p / (made[0] * made[1]), p / made[1] % made[0], p % made[1]);
            for (t, tap) in taps.iter().enumerate() {
                let (y, x) =
                    ((y * stride[0]) as i64 + i64::from(tap[0]), (x * stride[1]) as i64 + i64::from(tap[1]));
                if (0..image[0] as i64).contains(&y) && (0..image[1] as i64).contains(&x) {
                    f(t, (z * image[0] + y as usize) * image[1] + x as usize, p);
                }
            }
        }
    }

    fn other(&self, role: Role) -> Self {
        Self { role, window: self.window.clone() }
    }

    /// Whether the CPU drivers' tile can load these channels as whole vec4s.
    fn lanes(&self, e: Extents, caps: &Caps) -> bool {
        caps.class == AdapterClass::Cpu && caps.runs(&LANES) && e.c.is_multiple_of(4) && e.o.is_multiple_of(4)
    }

    fn sweep_launches(&self, e: Extents, caps: &Caps, epilogue: bool) -> Result<Vec<LaunchSpec>, String> {
        let sweeps =
            if self.role == Role::Output { vec![self.window.forward()] } else { self.window.backward() };
        let read = if self.role == Role::Output { e.c } else { e.o };
        let part = (MAX_LOOP / read).min(MAX_TAPS);
        if part == 0 {
            return Err(format!(
                "{read} channels are more than the {MAX_LOOP} that a launch sums; split them"
            ));
        }
        let mut out = vec![];
        for sweep in &sweeps {
            for start in (0..sweep.taps.len().max(1)).step_by(part) {
                let taps = start..(start + part).min(sweep.taps.len());
                let last = taps.end == sweep.taps.len();
                out.push(self.sweep_launch(
                    e,
                    sweep,
                    taps,
                    self.lanes(e, caps),
                    caps.class,
                    last && epilogue,
                ));
            }
        }
        Ok(out)
    }

    fn sweep_launch(
        &self,
        e: Extents,
        sweep: &Sweep,
        taps: Range<usize>,
        lanes: bool,
        class: AdapterClass,
        epilogue: bool,
    ) -> LaunchSpec {
        let forward = self.role == Role::Output;
        let (read, made) = if forward { (e.c, e.o) } else { (e.o, e.c) };
        let rows = e.n * sweep.lattice[0] * sweep.lattice[1];
        let wide = made > 32;
        let tile = |columns: usize, side: usize| {
            let [y, z, _] = grid_1d(rows.div_ceil(side));
            [made.div_ceil(columns) as u32, y, z]
        };
        let launch = if lanes {
            let launch = LaunchSpec::new(&LANES, "lanes", tile(if wide { 64 } else { 32 }, 64))
                .dim("c4", read / 4)
                .dim("o4", made / 4);
            let flag = |on| f64::from(u8::from(on));
            let launch = launch
                .constant("WIDE", flag(wide))
                .constant("TB", flag(!forward))
                .why("CPU driver, 8 lanes: broadcast tile");
            launch.constant("LATTICE", flag(sweep.dst_step != [1, 1]))
        } else {
            let (entry, side, why) = portable(class);
            let (w_in, w_out) = if forward { (e.o, 1) } else { (1, e.o) };
            let launch =
                LaunchSpec::new(&PORTABLE, entry, tile(side, side)).dim("c", read).dim("o", made).why(why);
            launch.dim("w_in", w_in).dim("w_out", w_out).dim("epilogue", usize::from(epilogue))
        };
        let bytes = 4
            * (e.n * (sweep.src[0] * sweep.src[1] * read + sweep.lattice[0] * sweep.lattice[1] * made)
                + taps.len() * e.c * e.o);
        let cost = 2 * rows * taps.len() * e.c * e.o;
        let launch = pairs(launch, &sweep.src, "src");
        let launch = pairs(pairs(launch, &sweep.lattice, "lattice"), &sweep.src_step, "src_step");
        let launch = pairs(pairs(launch, &sweep.dst, "dst"), &sweep.dst_step, "dst_step");
        let launch =
            pairs(launch, &sweep.dst_first, "dst_first").dim("accumulate", usize::from(taps.start > 0));
        with_taps(launch, sweep.taps[taps].iter().copied())
            .dim("rows", rows)
            .bind("x", Operand::Input(0))
            .bind("w", Operand::Input(1))
            .bind("y", Operand::Output)
            .cost(cost, bytes as u64)
            .fused(epilogue)
    }

    /// Few tiles would leave cores idle on a CPU driver: there two halves of the pixels are summed apart, then added.
    fn weight_lowered(&self, e: Extents, caps: &Caps) -> Lowered {
        let (pixels, total) =
            (e.n * self.window.made[0] * self.window.made[1], self.window.taps.len() * e.c * e.o);
        let tiles = (self.window.taps.len() * e.c).div_ceil(64) * e.o.div_ceil(64);
        let halves = self.lanes(e, caps) && tiles < 32 && pixels >= 512;
        let mut launches = self.weight_launches(e, caps, halves);
        if !halves {
            return Lowered { launches, scratch: vec![] };
        }
        launches.push(added(total, 0));
        Lowered { launches, scratch: vec![8 * total as u64] }
    }

    fn weight_launches(&self, e: Extents, caps: &Caps, halves: bool) -> Vec<LaunchSpec> {
        let Window { image, made, stride, taps } = &self.window;
        let pixels = e.n * made[0] * made[1];
        let lanes = self.lanes(e, caps);
        let part = if lanes { 4 * MAX_LOOP } else { MAX_LOOP };
        let (part, depth) = if halves { (2 * part, 2) } else { (part, 1) };
        let total = taps.len() * e.c * e.o;
        let launch = |start: usize, group: usize| {
            let taps = &taps[group..(group + MAX_TAPS).min(taps.len())];
            let (rows, end) = (taps.len() * e.c, (start + part).min(pixels));
            let grid = |columns: usize, side: usize| {
                [e.o.div_ceil(columns) as u32, rows.div_ceil(side) as u32, depth]
            };
            let launch = if lanes {
                let wide = e.o > 32;
                let launch = LaunchSpec::new(&WEIGHT_LANES, "lanes", grid(if wide { 64 } else { 32 }, 64));
                let launch = launch
                    .constant("WIDE", f64::from(u8::from(wide)))
                    .why("CPU driver, 8 lanes: broadcast tile");
                let chunk = (end - start).div_ceil(depth as usize).next_multiple_of(4);
                launch.dim("c4", e.c / 4).dim("o4", e.o / 4).dim("chunk", chunk).dim("total", total / 4)
            } else {
                let (entry, side, why) = portable(caps.class);
                LaunchSpec::new(&WEIGHT, entry, grid(side, side)).dim("c", e.c).dim("o", e.o).why(why)
            };
            let launch = pairs(pairs(pairs(launch, image, "src"), made, "dst"), stride, "src_step");
            let bytes = 4 * (e.n * image[0] * image[1] * e.c + pixels * e.o + taps.len() * e.c * e.o);
            with_taps(launch, taps.iter().map(|&tap| (tap, 0)))
                .dim("rows", rows)
                .dim("first_row", group * e.c)
                .dim("start", start)
                .dim("end", end)
                .bind("x", Operand::Input(0))
                .bind("dy", Operand::Input(1))
                .bind("y", if halves { Operand::Scratch(0) } else { Operand::Output })
                .cost(2 * rows * e.o * (end - start), bytes as u64)
        };
        let groups = (0..taps.len()).step_by(MAX_TAPS);
        groups
            .flat_map(|group| (0..pixels).step_by(part).map(move |start| (start, group)))
            .map(|(s, g)| launch(s, g))
            .collect()
    }
}

/// Entry point, side of its tile, and why, where the broadcast tile does not serve.
fn portable(class: AdapterClass) -> (&'static str, usize, &'static str) {
    match class {
        AdapterClass::Gpu => ("tile", 64, "GPU: panels in workgroup memory"),
        AdapterClass::Cpu => ("registers", 32, "CPU driver without aligned vec4s: 4x4 register tile"),
    }
}

fn pairs(launch: LaunchSpec, of: &[usize; 2], name: &str) -> LaunchSpec {
    launch.dim(&format!("{name}[0]"), of[0]).dim(&format!("{name}[1]"), of[1])
}

fn with_taps(launch: LaunchSpec, taps: impl Iterator<Item = ([i32; 2], usize)>) -> LaunchSpec {
    let mut launch = launch;
    let mut count = 0;
    for ([y, x], of) in taps {
        for (i, value) in [y as u32 as usize, x as u32 as usize, of].into_iter().enumerate() {
            launch = launch.dim(&format!("tap[{count}][{i}]"), value);
        }
        count += 1;
    }
    launch.dim("taps", count)
}

impl Op for Conv2d {
    fn name(&self) -> &'static str {
        match self.role {
            Role::Output => "conv2d",
            Role::Input => "conv2d_input",
            Role::Weight => "conv2d_weight",
        }
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        if let Some(other) = inputs.iter().find(|t| t.dtype != DType::F32) {
            return Err(format!("takes f32, got {other:?}"));
        }
        let shapes: Vec<&Shape> = inputs.iter().map(|t| &t.shape).collect();
        Ok(Type::f32(self.shape(self.extents(&shapes)?)))
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        let (a, b) = (inputs[0], inputs[1]);
        let e = self.extents(&[&a.shape, &b.shape]).expect("inferred");
        let mut out = Array::from_fn(self.shape(e), |_| 0.0);
        self.pairs(e.n, |t, x, y| {
            for c in 0..e.c {
                for o in 0..e.o {
                    let (x, w, y) = (x * e.c + c, (t * e.c + c) * e.o + o, y * e.o + o);
                    match self.role {
                        Role::Output => out.data[y] += a.data[x] * b.data[w],
                        Role::Input => out.data[x] += a.data[y] * b.data[w],
                        Role::Weight => out.data[w] += a.data[x] * b.data[y],
                    }
                }
            }
        });
        out
    }

    fn vjp<'g>(&self, inputs: &[Tensor<'g>], _: Tensor<'g>, ct: Tensor<'g>) -> Vec<Option<Tensor<'g>>> {
        let (a, b) = (inputs[0], inputs[1]);
        let of = |role, x, y| Some(ct.graph().apply(self.other(role), &[x, y]));
        match self.role {
            Role::Output => vec![of(Role::Input, ct, b), of(Role::Weight, a, ct)],
            Role::Input => vec![of(Role::Output, ct, b), of(Role::Weight, ct, a)],
            Role::Weight => vec![of(Role::Input, b, ct), of(Role::Output, a, ct)],
        }
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let e = self.extents(&[&at.inputs[0].shape, &at.inputs[1].shape])?;
        if self.by_patches(e, at.caps) {
            return Ok(match self.role {
                Role::Input => self.folded(e, at.caps),
                _ => self.patched(e, at.caps, at.epilogue),
            });
        }
        let launches = match self.role {
            Role::Weight => return Ok(self.weight_lowered(e, at.caps)),
            _ => self.sweep_launches(e, at.caps, at.epilogue)?,
        };
        Ok(Lowered { launches, scratch: vec![] })
    }

    fn footprint(&self) -> Option<Footprint<'_>> {
        (self.role == Role::Output).then_some(Footprint::Window(&self.window))
    }

    fn accepts_epilogue(&self, _: &[Type], output: &Type) -> bool {
        let whole = self.role == Role::Output || (self.role == Role::Input && self.window.stride == [1, 1]);
        whole && output.shape[3].is_multiple_of(4)
    }
}

impl<'g> Tensor<'g> {
    /// Convolution of an image `[N, H, W, C]` with weights `[T, C, O]`, T the kernel's taps in raster order.
    #[track_caller]
    #[must_use]
    pub fn conv2d(self, weight: Tensor<'g>, kernel: &Kernel) -> Tensor<'g> {
        let (x, w) = (self.shape(), weight.shape());
        if x.len() != 4 {
            return self.graph().poison(format!("conv2d: wants an image [N, H, W, C], got {x:?}"));
        }
        match kernel.window([x[1], x[2]]) {
            Err(what) => self.graph().poison(format!("conv2d: {what}")),
            Ok(window) if window.is_pointwise() && w.len() == 3 && w[..2] == [1, x[3]] => {
                let rows = self.reshape([x[0] * x[1] * x[2], x[3]]);
                product(rows, weight.reshape([w[1], w[2]]), false, false).reshape([x[0], x[1], x[2], w[2]])
            }
            Ok(window) if window.is_whole() && w.len() == 3 && w[..2] == [x[1] * x[2], x[3]] => {
                let (k, o) = (w[0] * w[1], w[2]);
                product(self.reshape([x[0], k]), weight.reshape([k, o]), false, false)
                    .reshape([x[0], 1, 1, o])
            }
            Ok(window) => self.graph().apply(Conv2d { role: Role::Output, window }, &[self, weight]),
        }
    }

    /// Transposed convolution of an image `[N, H, W, O]` with weights `[T, C, O]` to `[N, H', W', C]`; `extra` is
    /// PyTorch's `output_padding`.
    #[track_caller]
    #[must_use]
    pub fn conv2d_transposed(self, weight: Tensor<'g>, kernel: &Kernel, extra: usize) -> Tensor<'g> {
        let (x, w) = (self.shape(), weight.shape());
        if x.len() != 4 {
            return self.graph().poison(format!("conv2d_transposed: wants an image [N, H, W, C], got {x:?}"));
        }
        match kernel.transposed([x[1], x[2]], extra) {
            Err(what) => self.graph().poison(format!("conv2d_transposed: {what}")),
            Ok(window) if window.is_whole() && w.len() == 3 && w[0] == window.taps.len() && w[2] == x[3] => {
                let [rows, columns] = window.image;
                product(self.reshape([x[0], x[3]]), weight.reshape([w[0] * w[1], w[2]]), false, true)
                    .reshape([x[0], rows, columns, w[1]])
            }
            Ok(window) => self.graph().apply(Conv2d { role: Role::Input, window }, &[self, weight]),
        }
    }
}
