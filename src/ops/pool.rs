//! Average and maximum pooling, channels last, with PyTorch's windows. The average and its transpose are each
//! other's derivative. The maximum is taken by its position: to find the first largest tap has no derivative;
//! to take the element at a tap, and to put one back, are each other's derivatives. So both are closed under
//! differentiation.

use crate::{
    graph::{
        Tensor,
        op::{LaunchSpec, Lowered, Lowering, Op, Operand, grid_1d},
        shape::{Array, DType, Shape, Type},
        window::{Kernel, Taps, Window},
    },
    kernel::Shader,
};

static SHADER: Shader = crate::shader!("pool");
const WORKGROUP: usize = 64;
/// The largest number of positions in a window: each is a loop iteration of one invocation, and some
/// drivers end loops at 65,535.
const MAX_TAPS: usize = 32_768;

/// What a pooling op computes. Images x are `[N, H, W, C]`, results y and taps `[N, H', W', C]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// x to y: the sum over a window divided by the window's number of positions, those outside the image
    /// included.
    Mean,
    /// y to x: the transpose of the mean.
    Unmean,
    /// x to taps: the tap of the window's first largest element, in raster order, as f32.
    ArgMax,
    /// x and taps to y: the elements at the taps.
    Take,
    /// y and taps to x: each element is added where its tap is.
    Put,
}

/// One of the pooling ops over windows.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The function of a window that is computed.
    pub pooling: Pooling,
    /// The size, stride, padding and dilation of the windows, of which all taps take part.
    pub kernel: Kernel,
    /// The rows and columns of the image.
    pub image: [usize; 2],
}

impl Pool {
    fn window(&self) -> Result<Window, String> {
        let window = self.kernel.window(self.image)?;
        let Kernel { size, padding, taps, .. } = &self.kernel;
        if *taps != Taps::All || size[0] * size[1] > MAX_TAPS || (0..2).any(|d| 2 * padding[d] > size[d]) {
            return Err(format!(
                "takes all of at most {MAX_TAPS} positions, padded by at most half of the size, got {:?}",
                self.kernel
            ));
        }
        Ok(window)
    }

    fn to_image(&self) -> bool {
        matches!(self.pooling, Pooling::Unmean | Pooling::Put)
    }

    fn other(&self, pooling: Pooling) -> Self {
        Self { pooling, ..self.clone() }
    }

    /// What an element counts in a window's sum.
    fn factor(&self) -> f64 {
        let positions = self.kernel.size[0] * self.kernel.size[1];
        if matches!(self.pooling, Pooling::Mean | Pooling::Unmean) { 1.0 / positions as f64 } else { 1.0 }
    }

    /// The element of the image that result `i` sees at a tap, if it lies within the image.
    fn seen(&self, made: &Shape, i: usize, tap: usize) -> Option<usize> {
        let (at, k) = (made.coords(i), &self.kernel);
        let tap = [tap / k.size[1], tap % k.size[1]];
        let pixel =
            [0, 1].map(|d| (at[d + 1] * k.stride[d] + tap[d] * k.dilation[d]).wrapping_sub(k.padding[d]));
        let inside = (0..2).all(|d| pixel[d] < self.image[d]);
        inside.then(|| ((at[0] * self.image[0] + pixel[0]) * self.image[1] + pixel[1]) * made[3] + at[3])
    }
}

impl Op for Pool {
    fn name(&self) -> &'static str {
        match self.pooling {
            Pooling::Mean => "pool_mean",
            Pooling::Unmean => "pool_unmean",
            Pooling::ArgMax => "pool_argmax",
            Pooling::Take => "pool_take",
            Pooling::Put => "pool_put",
        }
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let made = self.window()?.made;
        let of = |t: &Type, [h, w]: [usize; 2]| match t.shape[..] {
            [n, _, _, c] if t.dtype == DType::F32 && n * c > 0 => Some(Type::f32([n, h, w, c])),
            _ => None,
        };
        let (read, makes) = if self.to_image() { (made, self.image) } else { (self.image, made) };
        let taps = matches!(self.pooling, Pooling::Take | Pooling::Put);
        let fits = |t: &Type| of(t, read).as_ref() == Some(t);
        let tapped = || {
            !taps
                || inputs.get(1).is_some_and(|t| {
                    of(t, made).as_ref() == Some(t) && Some(t) == of(&inputs[0], made).as_ref()
                })
        };
        match inputs {
            [x, ..] if inputs.len() == 1 + usize::from(taps) && fits(x) && tapped() => {
                of(x, makes).ok_or_else(String::new)
            }
            _ => Err(format!(
                "{inputs:?} do not fit an image of {:?} and results of {made:?}, f32 [N, rows, columns, C]",
                self.image
            )),
        }
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        let (x, k) = (inputs[0], &self.kernel);
        let [h, w] = self.window().expect("inferred").made;
        let made: Shape = [x.shape[0], h, w, x.shape[3]].into();
        let taps = k.size[0] * k.size[1];
        let all =
            |i: usize| (0..taps).filter_map(|tap| Some((tap, self.seen(&made, i, tap)?))).collect::<Vec<_>>();
        let at = |i: usize| self.seen(&made, i, inputs[1].data[i] as usize);
        let mut image = Array::from_fn([x.shape[0], self.image[0], self.image[1], x.shape[3]], |_| 0.0);
        match self.pooling {
            Pooling::Mean => Array::from_fn(made.clone(), |i| {
                all(i).into_iter().map(|(_, q)| x.data[q]).sum::<f64>() * self.factor()
            }),
            Pooling::ArgMax => Array::from_fn(made.clone(), |i| {
                let first = |best: (usize, usize), next: (usize, usize)| {
                    if x.data[next.1] > x.data[best.1] { next } else { best }
                };
                all(i).into_iter().reduce(first).map_or(-1.0, |(tap, _)| tap as f64)
            }),
            Pooling::Take => Array::from_fn(made.clone(), |i| at(i).map_or(0.0, |q| x.data[q])),
            Pooling::Unmean => {
                (0..made.numel()).for_each(|i| {
                    all(i).into_iter().for_each(|(_, q)| image.data[q] += x.data[i] * self.factor())
                });
                image
            }
            Pooling::Put => {
                (0..made.numel()).for_each(|i| at(i).into_iter().for_each(|q| image.data[q] += x.data[i]));
                image
            }
        }
    }

    fn vjp<'g>(&self, inputs: &[Tensor<'g>], _: Tensor<'g>, ct: Tensor<'g>) -> Vec<Option<Tensor<'g>>> {
        let of = |pooling, inputs: &[Tensor<'g>]| Some(ct.graph().apply(self.other(pooling), inputs));
        match self.pooling {
            Pooling::Mean => vec![of(Pooling::Unmean, &[ct])],
            Pooling::Unmean => vec![of(Pooling::Mean, &[ct])],
            Pooling::ArgMax => vec![None],
            Pooling::Take => vec![of(Pooling::Put, &[ct, inputs[1]]), None],
            Pooling::Put => vec![of(Pooling::Take, &[ct, inputs[1]]), None],
        }
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let (k, made, c) = (&self.kernel, self.window()?.made, at.output.shape[3]);
        let entry = match self.pooling {
            Pooling::Mean | Pooling::ArgMax => ["gather", "gather4"],
            Pooling::Take => ["take", "take4"],
            Pooling::Unmean | Pooling::Put => ["scatter", "scatter4"],
        };
        let wide = usize::from(c.is_multiple_of(4));
        let unit = 1 + 3 * wide;
        let n = at.output.shape.numel() / unit;
        let flag = |pooling| f64::from(u8::from(self.pooling == pooling));
        let launch = LaunchSpec::new(&SHADER, entry[wide], grid_1d(n.div_ceil(WORKGROUP)))
            .constant("WORKGROUP", WORKGROUP as f64)
            .constant("ARGMAX", flag(Pooling::ArgMax))
            .constant("PICKED", flag(Pooling::Put))
            // Four taps name elements anywhere, so that no vec4 is loaded.
            .bind(if self.pooling == Pooling::Take { "x" } else { ["x", "x4"][wide] }, Operand::Input(0))
            .bind(["y", "y4"][wide], Operand::Output)
            .dim("n", n)
            .dim("c", c / unit)
            .dim_f32("factor", self.factor() as f32);
        let launch = match self.pooling {
            Pooling::Mean | Pooling::ArgMax => launch,
            // The kernel has this binding also where it does not read it.
            Pooling::Unmean => launch.bind(["taps", "taps4"][wide], Operand::Input(0)),
            Pooling::Take | Pooling::Put => launch.bind(["taps", "taps4"][wide], Operand::Input(1)),
        };
        let of = [
            ("image", self.image),
            ("made", made),
            ("size", k.size),
            ("stride", k.stride),
            ("padding", k.padding),
        ];
        let launch = of.into_iter().chain([("dilation", k.dilation)]).fold(
            launch,
            |launch, (name, [rows, columns])| {
                launch.dim(&format!("{name}[0]"), rows).dim(&format!("{name}[1]"), columns)
            },
        );
        let bytes =
            4 * (at.output.shape.numel() + at.inputs.iter().map(|t| t.shape.numel()).sum::<usize>()) as u64;
        let launch = launch.cost(at.output.shape.numel() * k.size[0] * k.size[1], bytes);
        Ok(launch
            .why(if wide == 1 {
                "four channels each"
            } else {
                "not a multiple of 4 channels: single elements"
            })
            .into())
    }
}

impl<'g> Tensor<'g> {
    /// The means over windows of `[N, H, W, C]`, where the padding's zeros count (`torch.nn.AvgPool2d`).
    #[track_caller]
    #[must_use]
    pub fn avg_pool(self, kernel: &Kernel) -> Tensor<'g> {
        let shape = self.shape();
        let image = [1, 2].map(|d| shape.get(d).copied().unwrap_or(0));
        self.graph().apply(Pool { pooling: Pooling::Mean, kernel: kernel.clone(), image }, &[self])
    }

    /// The largest elements over windows of `[N, H, W, C]`, where the padding does not count
    /// (`torch.nn.MaxPool2d`). The derivative goes to the first largest element in raster order, and a second
    /// derivative to the same elements.
    #[track_caller]
    #[must_use]
    pub fn max_pool(self, kernel: &Kernel) -> Tensor<'g> {
        let shape = self.shape();
        let image = [1, 2].map(|d| shape.get(d).copied().unwrap_or(0));
        let pool = |pooling| Pool { pooling, kernel: kernel.clone(), image };
        let taps = self.graph().apply(pool(Pooling::ArgMax), &[self]);
        self.graph().apply(pool(Pooling::Take), &[self, taps])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;

    fn pool(pooling: Pooling, kernel: Kernel, inputs: &[&Array]) -> Array {
        Pool { pooling, kernel, image: [3, 3] }.reference(inputs)
    }

    #[test]
    fn references() {
        let kernel = Kernel::square(2);
        let x = Array::new([1, 3, 3, 1], vec![1., 5., 5., 2., 5., 0., -1., -2., -3.]);
        assert_eq!(pool(Pooling::Mean, kernel.clone(), &[&x]).data, [13. / 4., 15. / 4., 4. / 4., 0.]);
        let taps = pool(Pooling::ArgMax, kernel.clone(), &[&x]);
        assert_eq!(taps.data, [1., 0., 1., 0.], "the first of equals");
        assert_eq!(pool(Pooling::Take, kernel.clone(), &[&x, &taps]).data, [5.; 4]);
        let put = pool(Pooling::Put, kernel, &[&Array::new([1, 2, 2, 1], vec![1., 2., 4., 8.]), &taps]);
        assert_eq!(put.data, [0., 3., 0., 0., 12., 0., 0., 0., 0.]);
        let padded =
            pool(Pooling::ArgMax, Kernel::same(3).stride(2), &[&Array::new([1, 3, 3, 1], vec![-1.; 9])]);
        assert_eq!(padded.data, [4., 3., 1., 0.], "padding is never the largest");
    }

    #[test]
    fn mistakes_are_named() {
        let mistakes = [
            (vec![1, 3, 3, 1], Kernel::square(4), "does not fit an image of [3, 3]"),
            (vec![1, 3, 3, 1], Kernel::square(2).padding(2), "padded by at most half of the size"),
            (vec![3, 3], Kernel::square(1), "does not fit"),
        ];
        for (shape, kernel, expected) in mistakes {
            let g = Graph::new();
            let _ = g.input("x", Type::f32(shape)).max_pool(&kernel);
            let error = g.check().unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("pool.rs"), "{error}");
        }
    }
}
