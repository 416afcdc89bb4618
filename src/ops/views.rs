//! Ops that move elements and compute nothing. A reshape aliases its input. Broadcasts, permutations and
//! slices are affine reads, through which consumers index. Pad, concat and pack (in `copies`) copy. The
//! kernels in `shaders/views.wgsl` copy 32-bit words, so that u32 tensors pass like f32.

mod copies;
mod detach;
mod tiles;
mod words;

pub(super) use copies::rows;
pub use copies::{Concat, Pack, Pad};
pub use detach::Detach;

use crate::{
    graph::{
        Tensor,
        op::{Class, Footprint, LaunchSpec, Lowered, Lowering, Op, Operand, Strided, grid_1d},
        shape::{Array, Shape, Type},
    },
    kernel::caps::AdapterClass,
};
use std::ops::Range;
use words::{Cotangents, SHADER, WORKGROUP, words};

/// Another shape for the same elements in the same order.
#[derive(Debug)]
pub struct Reshape {
    /// The new shape.
    pub shape: Shape,
}

impl Op for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let Type { shape, dtype } = &inputs[0];
        if shape.numel() != self.shape.numel() {
            let (old, new) = (shape.numel(), self.shape.numel());
            return Err(format!("{shape:?} has {old} elements, {:?} has {new}", self.shape));
        }
        Ok(Type { shape: self.shape.clone(), dtype: *dtype })
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        Array::new(self.shape.clone(), inputs[0].data.clone())
    }

    fn vjp<'g>(&self, inputs: &[Tensor<'g>], _: Tensor<'g>, cotangent: Tensor<'g>) -> Cotangents<'g> {
        vec![Some(cotangent.reshape(inputs[0].shape()))]
    }

    fn lower(&self, _: &Lowering<'_>) -> Result<Lowered, String> {
        Err("reshapes alias their input".into())
    }

    fn class(&self) -> Class {
        Class::Alias
    }
}

/// How a [`View`] reads its input.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// The output repeats axes of extent 1 and has further outer axes, until it has this shape (NumPy's
    /// rule).
    Broadcast(Shape),
    /// Output axis d is input axis `axes[d]`.
    Permute(Vec<usize>),
    /// The output is a range of one axis.
    Slice {
        /// The axis.
        axis: usize,
        /// The coordinates that are kept.
        range: Range<usize>,
    },
}

/// An affine view of an input of shape `from`. It is an op, so that it has a derivative and a copying kernel.
#[derive(Debug)]
pub struct View {
    /// The shape of the input.
    pub from: Shape,
    /// How the input is read.
    pub reading: Reading,
}

impl View {
    /// The shape of the output, or what is wrong.
    fn shape(&self) -> Result<Shape, String> {
        let from = &self.from;
        match &self.reading {
            Reading::Broadcast(to) if from.broadcast(to).as_ref() == Some(to) => Ok(to.clone()),
            Reading::Broadcast(to) => Err(format!("{from:?} does not broadcast to {to:?}")),
            Reading::Permute(axes) => {
                let mut sorted = axes.clone();
                sorted.sort_unstable();
                if !sorted.iter().copied().eq(0..from.len()) {
                    return Err(format!("axes {axes:?} are not a permutation of the axes of {from:?}"));
                }
                Ok(axes.iter().map(|&a| from[a]).collect::<Vec<_>>().into())
            }
            Reading::Slice { axis, range } => {
                let Some(&extent) = from.get(*axis) else {
                    return Err(format!("{from:?} has no axis {axis}"));
                };
                if range.is_empty() || range.end > extent {
                    return Err(format!(
                        "range {range:?} is empty or beyond the {extent} of axis {axis} of {from:?}"
                    ));
                }
                let mut shape = from.to_vec();
                shape[*axis] = range.len();
                Ok(shape.into())
            }
        }
    }

    /// The affine map from output coordinates to input elements, for a view that passed `infer`.
    pub fn strided(&self) -> Strided {
        let stride = self.from.strides();
        match &self.reading {
            Reading::Broadcast(to) => {
                let added = to.len() - self.from.len();
                let repeat = self.from.iter().zip(stride).map(|(&n, s)| if n == 1 { 0 } else { s });
                Strided { stride: std::iter::repeat_n(0, added).chain(repeat).collect(), offset: 0 }
            }
            Reading::Permute(axes) => {
                Strided { stride: axes.iter().map(|&a| stride[a]).collect(), offset: 0 }
            }
            Reading::Slice { axis, range } => Strided { offset: range.start * stride[*axis], stride },
        }
    }
}

/// The axes of a view as (extent, stride): axes of extent 1 are dropped, and neighbours that step alike are
/// merged.
fn collapse(shape: &Shape, stride: &[usize]) -> Vec<(usize, usize)> {
    let mut dims: Vec<(usize, usize)> = vec![];
    for (&n, &s) in shape.iter().zip(stride).filter(|&(&n, _)| n != 1) {
        match dims.last_mut() {
            Some(last) if last.1 == s * n => *last = (last.0 * n, s),
            _ => dims.push((n, s)),
        }
    }
    dims
}

impl Op for View {
    fn name(&self) -> &'static str {
        match self.reading {
            Reading::Broadcast(_) => "broadcast",
            Reading::Permute(_) => "permute",
            Reading::Slice { .. } => "slice",
        }
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let dtype = words(inputs)?;
        if inputs[0].shape != self.from {
            return Err(format!("made for an input of shape {:?}, got {:?}", self.from, inputs[0].shape));
        }
        Ok(Type { shape: self.shape()?, dtype })
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        let Strided { stride, offset } = self.strided();
        let shape = self.shape().expect("a view is inferred before it is evaluated");
        Array::from_fn(shape.clone(), |i| {
            let steps = shape.coords(i).into_iter().zip(&stride).map(|(c, s)| c * s);
            inputs[0].data[offset + steps.sum::<usize>()]
        })
    }

    fn vjp<'g>(&self, _: &[Tensor<'g>], _: Tensor<'g>, cotangent: Tensor<'g>) -> Cotangents<'g> {
        vec![Some(match &self.reading {
            Reading::Broadcast(to) => {
                let added = to.len() - self.from.len();
                let repeated = |d: usize| d < added || self.from[d - added] != to[d];
                let axes: Vec<usize> = (0..to.len()).filter(|&d| repeated(d)).collect();
                cotangent.sum(&axes).reshape(self.from.clone())
            }
            Reading::Permute(axes) => {
                let inverse: Vec<_> =
                    (0..axes.len()).filter_map(|a| axes.iter().position(|&b| b == a)).collect();
                cotangent.permute(&inverse)
            }
            Reading::Slice { axis, range } => cotangent.pad(*axis, range.start, self.from[*axis] - range.end),
        })]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let Strided { stride, offset } = self.strided();
        let mut dims = collapse(&at.output.shape, &stride);
        if dims.len() > 8 {
            return Err(format!("a view of {} separate axes; at most 8 can be copied", dims.len()));
        }
        // Whole vec4s move where the innermost axis is contiguous and every row starts at one.
        let wide = dims.split_last().is_some_and(|(&(n, s), outer)| {
            s == 1 && n % 4 == 0 && offset % 4 == 0 && outer.iter().all(|(_, s)| s % 4 == 0)
        });
        let (mut unit, n) = (1, at.output.shape.numel());
        if wide {
            unit = 4;
            let last = dims.len() - 1;
            dims[last].0 /= 4;
            dims[..last].iter_mut().for_each(|d| d.1 /= 4);
        }
        let (entry, x, y) = if wide { ("gather4", "x4", "y4") } else { ("gather", "x", "y") };
        let gather = || {
            LaunchSpec::new(&SHADER, entry, grid_1d((n / unit).div_ceil(WORKGROUP)))
                .constant("WORKGROUP", WORKGROUP as f64)
                .dim("n", n / unit)
                .why(if wide { "affine copy by vec4s" } else { "affine copy by elements" })
        };
        let tiled = !wide && at.caps.class == AdapterClass::Gpu;
        let mut launch = tiled
            .then(|| tiles::launch(&dims))
            .flatten()
            .unwrap_or_else(gather)
            .bind(x, Operand::Input(0))
            .bind(y, Operand::Output)
            .dim("offset", offset / unit)
            .cost(0, 4 * (n + n.min(self.from.numel())) as u64);
        let missing = 8 - dims.len();
        for d in 0..8 {
            let (extent, stride) = if d < missing { (1, 0) } else { dims[d - missing] };
            let place = format!("[{}][{}]", d / 4, d % 4);
            launch = launch.dim(&format!("shape{place}"), extent).dim(&format!("stride{place}"), stride);
        }
        Ok(launch.into())
    }

    fn class(&self) -> Class {
        Class::Strided(self.strided())
    }

    fn footprint(&self) -> Option<Footprint<'_>> {
        match &self.reading {
            Reading::Slice { axis, range } if axis + 1 == self.from.len() => {
                Some(Footprint::Channels(range.clone()))
            }
            Reading::Broadcast(_) => Some(Footprint::Repeat),
            _ => None,
        }
    }
}

impl<'g> Tensor<'g> {
    #[track_caller]
    fn view(self, reading: Reading) -> Tensor<'g> {
        self.graph().apply(View { from: self.shape(), reading }, &[self])
    }

    /// The same elements in the same order under another shape; itself if that is its shape.
    #[track_caller]
    #[must_use]
    pub fn reshape(self, shape: impl Into<Shape>) -> Tensor<'g> {
        let shape = shape.into();
        if shape == self.shape() { self } else { self.graph().apply(Reshape { shape }, &[self]) }
    }

    /// Self repeated along axes of extent 1 and along new outer axes (NumPy's rule); itself if that is its
    /// shape.
    #[track_caller]
    #[must_use]
    pub fn broadcast_to(self, shape: impl Into<Shape>) -> Tensor<'g> {
        let shape = shape.into();
        if shape == self.shape() { self } else { self.view(Reading::Broadcast(shape)) }
    }

    /// Self with its axes in another order: output axis d is input axis `axes[d]`.
    #[track_caller]
    #[must_use]
    pub fn permute(self, axes: &[usize]) -> Tensor<'g> {
        let same = axes.iter().copied().eq(0..self.shape().len());
        if same { self } else { self.view(Reading::Permute(axes.to_vec())) }
    }

    /// Self with two axes exchanged.
    #[track_caller]
    #[must_use]
    pub fn transpose(self, a: usize, b: usize) -> Tensor<'g> {
        let mut axes: Vec<usize> = (0..self.shape().len()).collect();
        if a.max(b) >= axes.len() {
            return self.graph().poison(format!("transpose: {:?} has no axis {}", self.shape(), a.max(b)));
        }
        axes.swap(a, b);
        self.permute(&axes)
    }

    /// The transpose of a matrix.
    #[track_caller]
    #[must_use]
    pub fn t(self) -> Tensor<'g> {
        match self.shape().len() {
            2 => self.permute(&[1, 0]),
            _ => self.graph().poison(format!("t: takes a matrix, not {:?}", self.shape())),
        }
    }

    /// The coordinates `range` of one axis, which stays.
    #[track_caller]
    #[must_use]
    pub fn slice(self, axis: usize, range: Range<usize>) -> Tensor<'g> {
        let whole = self.shape().get(axis).is_some_and(|&n| range == (0..n));
        if whole { self } else { self.view(Reading::Slice { axis, range }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{ALIGN, Graph};

    fn range(shape: &[usize]) -> Array {
        Array::from_fn(shape, |i| i as f64)
    }

    fn view(shape: &[usize], reading: Reading) -> Array {
        View { from: shape.into(), reading }.reference(&[&range(shape)])
    }

    #[test]
    fn references() {
        assert_eq!(
            view(&[2, 1], Reading::Broadcast([2, 2, 2].into())).data,
            [0., 0., 1., 1., 0., 0., 1., 1.]
        );
        assert_eq!(view(&[2, 3], Reading::Permute(vec![1, 0])).data, [0., 3., 1., 4., 2., 5.]);
        assert_eq!(view(&[2, 3], Reading::Slice { axis: 1, range: 1..3 }).data, [1., 2., 4., 5.]);
    }

    #[test]
    fn shapes_and_mistakes() {
        let g = Graph::new();
        let x = g.input("x", Type::u32([2, 3, 4]));
        assert_eq!(x.permute(&[2, 0, 1]).ty(), Type::u32([4, 2, 3]));
        assert_eq!(x.transpose(0, 2).shape(), [4, 3, 2].into());
        assert_eq!(g.concat(&[x, x.slice(1, 1..2)], 1).pad(0, 1, 2).ty(), Type::u32([5, 4, 4]));
        assert_eq!(x.reshape([6, 4]).t().shape(), [4, 6].into());
        assert_eq!(x.broadcast_to([2, 3, 4]).id(), x.id());
        assert_eq!(g.pack(&[g.full([65], 1.0), g.constant(2.0)]).shape(), [3 * ALIGN].into());
        assert!(g.check().is_ok());
        let mistakes: [for<'g> fn(Tensor<'g>) -> Tensor<'g>; 7] = [
            |x| x.reshape([5]),
            |x| x.broadcast_to([3, 4]),
            |x| x.permute(&[0, 0, 1]),
            |x| x.transpose(0, 3),
            |x| x.t(),
            |x| x.slice(1, 2..4),
            |x| x.graph().concat(&[x, x.slice(2, 0..1)], 1),
        ];
        for mistake in mistakes {
            let g = Graph::new();
            let _ = mistake(g.input("x", Type::f32([2, 3, 4])));
            assert!(g.check().is_err());
        }
    }
}
