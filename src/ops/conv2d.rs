//! 2-D convolution, channels last, over a list of taps, and its two gradients. Each one's derivatives are the
//! other two, so the family is closed under differentiation. The input gradient is transposed convolution.
//!
//! Weights are `[T, C, O]` over the T taps that take part: a masked tap has no weight, costs nothing and gets
//! no gradient. Where every pixel sees only itself, or a single pixel sees the whole image, the convolution
//! is a matrix product and is recorded as one.

mod blocks;
mod narrow;
mod patches;
mod sweep;
mod tile;
mod weight;

use super::matmul::product;
use crate::{
    graph::{
        Tensor,
        op::{Footprint, Lowered, Lowering, Op},
        shape::{Array, DType, Shape, Type},
        window::{Kernel, Window},
    },
    kernel::{
        Shader,
        caps::{AdapterClass, Caps},
    },
};

/// The output and the input gradient, for any adapter and any extents.
pub static PORTABLE: Shader = crate::shader!("conv2d");
/// The output and the input gradient, for CPU drivers: register tiles fed by subgroup broadcasts.
pub static LANES: Shader = crate::shader!("conv2d.subgroup.int64");
/// Patches and their sums, for CPU drivers and images of few channels.
pub static PATCHES: Shader = crate::shader!("conv2d_patches");
/// The weight gradient, for any adapter and any extents.
pub static WEIGHT: Shader = crate::shader!("conv2d_weight");
/// The weight gradient, for CPU drivers, as [`LANES`].
pub static WEIGHT_LANES: Shader = crate::shader!("conv2d_weight.subgroup.int64");

/// The largest number of taps that the uniform holds.
const MAX_TAPS: usize = 64;
/// The largest number of loop iterations of one launch: some drivers end loops at 65,535.
const MAX_LOOP: usize = 32_768;

/// Which of the three ops: the convolution, or one of its gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The convolution: (x `[N, H, W, C]`, w `[T, C, O]`) to y `[N, H', W', O]`.
    Output,
    /// The input gradient: (dy `[N, H', W', O]`, w) to dx.
    Input,
    /// The weight gradient: (x, dy) to dw.
    Weight,
}

/// One of the three ops, over a window.
#[derive(Clone, Debug)]
pub struct Conv2d {
    /// Which of the three ops this is.
    pub side: Side,
    /// Which pixels an output pixel sees.
    pub window: Window,
}

/// The numbers of images, of channels of the convolution's input, and of channels of its output.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extents {
    pub(super) n: usize,
    pub(super) c: usize,
    pub(super) o: usize,
}

impl Conv2d {
    fn extents(&self, inputs: &[&Shape]) -> Result<Extents, String> {
        let Window { image, made, taps, .. } = &self.window;
        let [a, b] = inputs else { return Err("takes two tensors".into()) };
        let pixels = |s: &Shape, of: &[usize; 2]| (s.len() == 4 && s[1..3] == of[..]).then(|| (s[0], s[3]));
        let weights = |s: &Shape| (s.len() == 3 && s[0] == taps.len()).then(|| (s[1], s[2]));
        let found = match self.side {
            Side::Output => {
                pixels(a, image).zip(weights(b)).filter(|(x, w)| x.1 == w.0).map(|(x, w)| (x.0, x.1, w.1))
            }
            Side::Input => {
                pixels(a, made).zip(weights(b)).filter(|(y, w)| y.1 == w.1).map(|(y, w)| (y.0, w.0, y.1))
            }
            Side::Weight => pixels(a, image)
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
        match self.side {
            Side::Output => [n, made[0], made[1], o].into(),
            Side::Input => [n, image[0], image[1], c].into(),
            Side::Weight => [taps.len(), c, o].into(),
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

    fn other(&self, side: Side) -> Self {
        Self { side, window: self.window.clone() }
    }

    /// Whether the adapter takes the tile of [`LANES`], which loads channels as whole vec4s.
    fn lanes(&self, e: Extents, caps: &Caps) -> bool {
        caps.class == AdapterClass::Cpu && caps.runs(&LANES) && e.c.is_multiple_of(4) && e.o.is_multiple_of(4)
    }
}

impl Op for Conv2d {
    fn name(&self) -> &'static str {
        match self.side {
            Side::Output => "conv2d",
            Side::Input => "conv2d_input",
            Side::Weight => "conv2d_weight",
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
                    match self.side {
                        Side::Output => out.data[y] += a.data[x] * b.data[w],
                        Side::Input => out.data[x] += a.data[y] * b.data[w],
                        Side::Weight => out.data[w] += a.data[x] * b.data[y],
                    }
                }
            }
        });
        out
    }

    fn vjp<'g>(&self, inputs: &[Tensor<'g>], _: Tensor<'g>, ct: Tensor<'g>) -> Vec<Option<Tensor<'g>>> {
        let (a, b) = (inputs[0], inputs[1]);
        let of = |side, x, y| Some(ct.graph().apply(self.other(side), &[x, y]));
        match self.side {
            Side::Output => vec![of(Side::Input, ct, b), of(Side::Weight, a, ct)],
            Side::Input => vec![of(Side::Output, ct, b), of(Side::Weight, ct, a)],
            Side::Weight => vec![of(Side::Input, b, ct), of(Side::Output, a, ct)],
        }
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let e = self.extents(&[&at.inputs[0].shape, &at.inputs[1].shape])?;
        if self.by_patches(e, at.caps) {
            return Ok(match self.side {
                Side::Input => self.folded(e, at.caps),
                _ => self.patched(e, at.caps, at.epilogue),
            });
        }
        if self.side == Side::Weight {
            return Ok(self.weight_blocks(e, at.caps).unwrap_or_else(|| self.weight(e, at.caps)));
        }
        let whole = self.narrow(e, at.caps, at.epilogue).or_else(|| self.blocks(e, at.caps, at.epilogue));
        match whole {
            Some(lowered) => Ok(lowered),
            None => Ok(Lowered { launches: self.sweeps(e, at.caps, at.epilogue)?, scratch: vec![] }),
        }
    }

    fn footprint(&self) -> Option<Footprint<'_>> {
        (self.side == Side::Output).then_some(Footprint::Window(&self.window))
    }

    fn accepts_epilogue(&self, _: &[Type], output: &Type) -> bool {
        self.side != Side::Weight && output.shape[3].is_multiple_of(4)
    }
}

impl<'g> Tensor<'g> {
    /// The convolution of an image `[N, H, W, C]` with weights `[T, C, O]`, where T are the kernel's taps in
    /// raster order.
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
            Ok(window) => self.graph().apply(Conv2d { side: Side::Output, window }, &[self, weight]),
        }
    }

    /// The transposed convolution of an image `[N, H, W, O]` with weights `[T, C, O]`, to `[N, H', W', C]`;
    /// `extra` is PyTorch's `output_padding`.
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
            Ok(window) => self.graph().apply(Conv2d { side: Side::Input, window }, &[self, weight]),
        }
    }
}
