//! Upsampling by a whole factor, channels last. The nearest neighbour is a broadcast. Bilinear interpolation
//! and its transpose are one op in two roles, and each other's derivative.

use crate::{
    graph::{
        Tensor,
        op::{LaunchSpec, Lowered, Lowering, Op, Operand, grid_1d},
        shape::{Array, DType, MOST_STEPS, Shape, Type},
    },
    kernel::Shader,
};

static SHADER: Shader = crate::shader!("resample");
const WORKGROUP: usize = 64;
/// The largest factor: the transpose sums over up to (2·factor)² pixels, and some drivers end loops at
/// 65,535.
const MAX_FACTOR: usize = 64;

/// Bilinear interpolation of `[N, H, W, C]` to `[N, factor·H, factor·W, C]` with aligned pixel centres, or
/// its transpose.
#[derive(Clone, Debug)]
pub struct Bilinear {
    /// How many rows and columns are made of one.
    pub factor: usize,
    /// Whether it is the transpose, from the bigger image to the smaller one.
    pub transposed: bool,
}

impl Bilinear {
    /// The smaller image and the bigger one.
    fn shapes(&self, x: &Shape) -> [Shape; 2] {
        let of = |h, w| [x[0], h, w, x[3]].into();
        match self.transposed {
            false => [x.clone(), of(x[1] * self.factor, x[2] * self.factor)],
            true => [of(x[1] / self.factor, x[2] / self.factor), x.clone()],
        }
    }

    /// The pixels of a row or column of n that made pixel o sees, and their weights.
    fn seen(&self, o: usize, n: usize) -> [(usize, f64); 2] {
        let at = ((o as f64 + 0.5) / self.factor as f64 - 0.5).clamp(0.0, (n - 1) as f64);
        let first = at.floor();
        [(first as usize, 1.0 - (at - first)), ((first as usize + 1).min(n - 1), at - first)]
    }
}

impl Op for Bilinear {
    fn name(&self) -> &'static str {
        if self.transposed { "bilinear_transposed" } else { "bilinear" }
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let Type { shape, dtype } = &inputs[0];
        let whole =
            !self.transposed || shape.iter().skip(1).take(2).all(|n| n.is_multiple_of(self.factor.max(1)));
        if *dtype != DType::F32
            || shape.len() != 4
            || shape.numel() == 0
            || !whole
            || !(1..=MAX_FACTOR).contains(&self.factor)
        {
            return Err(format!(
                "takes an f32 image [N, H, W, C] and a factor of 1 to {MAX_FACTOR}, got {:?} and {}",
                inputs[0], self.factor
            ));
        }
        let [small, big] = self.shapes(shape);
        Ok(Type::f32(if self.transposed { small } else { big }))
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        let x = inputs[0];
        let [small, big] = self.shapes(&x.shape);
        let mut out = Array::from_fn(if self.transposed { small.clone() } else { big.clone() }, |_| 0.0);
        for o in 0..big.numel() {
            let at = big.coords(o);
            for (row, of_row) in self.seen(at[1], small[1]) {
                for (column, of_column) in self.seen(at[2], small[2]) {
                    let q = ((at[0] * small[1] + row) * small[2] + column) * small[3] + at[3];
                    let (to, from) = if self.transposed { (q, o) } else { (o, q) };
                    out.data[to] += of_row * of_column * x.data[from];
                }
            }
        }
        out
    }

    fn vjp<'g>(&self, _: &[Tensor<'g>], _: Tensor<'g>, ct: Tensor<'g>) -> Vec<Option<Tensor<'g>>> {
        vec![Some(ct.graph().apply(Self { transposed: !self.transposed, ..*self }, &[ct]))]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let [small, big] = self.shapes(&at.inputs[0].shape);
        let wide = small[3].is_multiple_of(4);
        let (unit, i) = if wide { (4, 1) } else { (1, 0) };
        let n = at.output.shape.numel() / unit;
        let entry =
            if self.transposed { ["transpose", "transpose4"] } else { ["interpolate", "interpolate4"] };
        let launch = LaunchSpec::new(&SHADER, entry[i], grid_1d(n.div_ceil(WORKGROUP)))
            .constant("WORKGROUP", WORKGROUP as f64)
            .bind(["x", "x4"][i], Operand::Input(0))
            .bind(["y", "y4"][i], Operand::Output)
            .dim("n", n)
            .dim("c", small[3] / unit)
            .dim("factor", self.factor)
            .dim("image[0]", small[1])
            .dim("image[1]", small[2])
            .cost(8 * big.numel(), 4 * (small.numel() + big.numel()) as u64)
            .why(if wide { "four channels each" } else { "not a multiple of 4 channels: single elements" });
        Ok(launch.into())
    }
}

impl<'g> Tensor<'g> {
    /// Each pixel of `[N, H, W, C]` repeated to factor x factor pixels (`torch.nn.Upsample`, nearest), as a
    /// view.
    #[track_caller]
    #[must_use]
    pub fn upsample_nearest(self, factor: usize) -> Tensor<'g> {
        match self.shape()[..] {
            [n, h, w, c] if (1..=MOST_STEPS).contains(&factor) => {
                let apart = self.reshape([n, h, 1, w, 1, c]).broadcast_to([n, h, factor, w, factor, c]);
                apart.reshape([n, h * factor, w * factor, c])
            }
            _ => self.graph().poison(format!(
                "upsample_nearest: takes an image [N, H, W, C] and a factor of 1 to {MOST_STEPS}, \
                 got {self:?} and {factor}"
            )),
        }
    }

    /// An image `[N, H, W, C]` interpolated to `[N, factor·H, factor·W, C]` (`torch.nn.Upsample`, bilinear,
    /// align_corners=False).
    #[track_caller]
    #[must_use]
    pub fn upsample_bilinear(self, factor: usize) -> Tensor<'g> {
        self.graph().apply(Bilinear { factor, transposed: false }, &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;

    #[test]
    fn references() {
        let up = Bilinear { factor: 2, transposed: false };
        assert_eq!(
            up.reference(&[&Array::new([1, 1, 2, 1], vec![0.0, 4.0])]).data,
            [0., 1., 3., 4., 0., 1., 3., 4.]
        );
        let down = Bilinear { factor: 2, transposed: true };
        let x = Array::new([1, 2, 4, 1], vec![1., 10., 100., 1000., 1., 10., 100., 1000.]);
        assert_eq!(down.reference(&[&x]).data, [2. * (1. + 7.5 + 25.), 2. * (2.5 + 75. + 1000.)]);
    }

    #[test]
    fn mistakes_are_named() {
        for (shape, factor) in [(vec![3, 3], 2), (vec![1, 3, 3, 1], 65), (vec![1, 3, 3, 1], 0)] {
            let g = Graph::new();
            let _ = g.input("x", Type::f32(shape)).upsample_bilinear(factor);
            let error = g.check().unwrap_err().to_string();
            assert!(
                error.contains("bilinear: takes an f32 image [N, H, W, C] and a factor")
                    && error.contains("resample.rs"),
                "{error}"
            );
        }
    }
}
