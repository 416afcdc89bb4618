//! Views that have to copy, because their output holds what no single input holds: zeros around a tensor, or
//! several tensors in one.

use super::words::{Cotangents, SHADER, WORKGROUP, words};
use crate::graph::{
    ALIGN, Graph, Tensor,
    op::{Class, Footprint, LaunchSpec, Lowered, Lowering, Op, Operand, grid_1d},
    shape::{Array, DType, MOST_STEPS, Shape, Type},
};

/// The mistake of joining no tensors.
const NOTHING: &str = "takes at least one tensor";

/// A launch that copies an input; see [`between`].
fn copy(entry: [&'static str; 2], input: usize, dims: &[(&str, usize)], read: usize) -> LaunchSpec {
    between([Operand::Input(input), Operand::Output], entry, dims, read)
}

/// Copies rows of `row` elements to rows of `pitch`: longer ones end in zeros, and shorter ones leave elements out.
pub(in crate::ops) fn rows(operands: [Operand; 2], rows: usize, [row, pitch]: [usize; 2]) -> LaunchSpec {
    let dims = [("n", rows * pitch), ("row", row), ("pitch", pitch), ("offset", 0)];
    between(operands, ["pad", "pad4"], &dims, rows * row.min(pitch))
}

/// A launch of the first entry point, or of its vec4 twin where all `dims`, here in elements, are multiples
/// of 4. The first of `dims` is `n`, the number of elements to write.
fn between(
    [from, to]: [Operand; 2],
    entry: [&'static str; 2],
    dims: &[(&str, usize)],
    read: usize,
) -> LaunchSpec {
    let wide = dims.iter().all(|(_, v)| v % 4 == 0);
    let unit = if wide { 4 } else { 1 };
    let n = dims[0].1;
    let (x, y) = if wide { ("x4", "y4") } else { ("x", "y") };
    let launch = LaunchSpec::new(&SHADER, entry[usize::from(wide)], grid_1d((n / unit).div_ceil(WORKGROUP)))
        .constant("WORKGROUP", WORKGROUP as f64)
        .bind(x, from)
        .bind(y, to)
        .cost(0, 4 * (read + n) as u64)
        .why(if wide { "copy by vec4s" } else { "copy by elements" });
    dims.iter().fold(launch, |launch, (name, value)| launch.dim(name, value / unit))
}

/// A tensor with zeros before and after the elements of one axis.
#[derive(Debug)]
pub struct Pad {
    /// The axis that grows.
    pub axis: usize,
    /// The number of zeros in front.
    pub before: usize,
    /// The number of zeros behind; where it is negative, as many elements are left out.
    pub after: isize,
}

impl Pad {
    /// The shape of the output, or what is wrong.
    fn shape(&self, from: &Shape) -> Result<Shape, String> {
        let mut shape = from.to_vec();
        let Some(extent) = shape.get_mut(self.axis) else {
            return Err(format!("{from:?} has no axis {}", self.axis));
        };
        if self.after.min(0).unsigned_abs() >= *extent {
            return Err(format!("{} along axis {} of {from:?} leaves nothing", -self.after, self.axis));
        }
        *extent = (*extent + self.before).saturating_add_signed(self.after);
        Ok(shape.into())
    }
}

impl Op for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let dtype = words(inputs)?;
        Ok(Type { shape: self.shape(&inputs[0].shape)?, dtype })
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        let x = inputs[0];
        let (shape, stride) = (self.shape(&x.shape).expect("inferred"), x.shape.strides());
        Array::from_fn(shape.clone(), |i| {
            let mut at = shape.coords(i);
            at[self.axis] = at[self.axis].wrapping_sub(self.before);
            if at[self.axis] >= x.shape[self.axis] {
                return 0.0;
            }
            x.data[at.iter().zip(&stride).map(|(c, s)| c * s).sum::<usize>()]
        })
    }

    fn vjp<'g>(&self, inputs: &[Tensor<'g>], _: Tensor<'g>, cotangent: Tensor<'g>) -> Cotangents<'g> {
        let kept = inputs[0].shape()[self.axis].saturating_add_signed(self.after.min(0));
        let cotangent = cotangent.slice(self.axis, self.before..self.before + kept);
        vec![Some(cotangent.pad(self.axis, 0, self.after.min(0).unsigned_abs()))]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let row = |t: &Type| t.shape[self.axis..].iter().product::<usize>();
        let inner: usize = at.output.shape[self.axis + 1..].iter().product();
        let dims = [
            ("n", at.output.shape.numel()),
            ("row", row(&at.inputs[0])),
            ("pitch", row(at.output)),
            ("offset", self.before * inner),
        ];
        Ok(copy(["pad", "pad4"], 0, &dims, at.inputs[0].shape.numel()).into())
    }

    fn footprint(&self) -> Option<Footprint<'_>> {
        let by = -(self.before as i32);
        match self.axis {
            _ if self.after != by as isize => None,
            1 => Some(Footprint::Moved([by, 0])),
            2 => Some(Footprint::Moved([0, by])),
            _ => None,
        }
    }
}

/// Tensors one after the other along an axis.
#[derive(Debug)]
pub struct Concat {
    /// The axis that grows.
    pub axis: usize,
}

impl Op for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let dtype = words(inputs)?;
        let (first, others) = inputs.split_first().ok_or(NOTHING)?;
        let mut shape = first.shape.to_vec();
        if self.axis >= shape.len() {
            return Err(format!("{:?} has no axis {}", first.shape, self.axis));
        }
        for t in others {
            let same = |d: usize| d == self.axis || t.shape[d] == shape[d];
            if t.shape.len() != shape.len() || !(0..shape.len()).all(same) {
                return Err(format!("{:?} and {:?} differ beside axis {}", first.shape, t.shape, self.axis));
            }
            shape[self.axis] += t.shape[self.axis];
        }
        Ok(Type { shape: shape.into(), dtype })
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        let mut shape = inputs[0].shape.to_vec();
        shape[self.axis] = inputs.iter().map(|x| x.shape[self.axis]).sum();
        let outer: usize = shape[..self.axis].iter().product();
        let mut data = vec![];
        for o in 0..outer {
            for x in inputs {
                let row = x.data.len() / outer;
                data.extend_from_slice(&x.data[o * row..(o + 1) * row]);
            }
        }
        Array::new(shape, data)
    }

    fn vjp<'g>(&self, inputs: &[Tensor<'g>], _: Tensor<'g>, cotangent: Tensor<'g>) -> Cotangents<'g> {
        let mut start = 0;
        let mut part = |x: &Tensor<'g>| {
            let range = start..start + x.shape()[self.axis];
            start = range.end;
            Some(cotangent.slice(self.axis, range))
        };
        inputs.iter().map(&mut part).collect()
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let row = |t: &Type| t.shape[self.axis..].iter().product::<usize>();
        let mut lowered = Lowered::default();
        let mut offset = 0;
        for (i, x) in at.inputs.iter().enumerate() {
            let n = x.shape.numel();
            let dims = [("n", n), ("row", row(x)), ("pitch", row(at.output)), ("offset", offset)];
            lowered.launches.push(copy(["scatter", "scatter4"], i, &dims, n).dim("valid", n));
            offset += row(x);
        }
        Ok(lowered)
    }
}

/// All elements of the inputs in one row: input i begins at element `offsets[i]`, and the gaps are zero.
#[derive(Debug)]
pub struct Pack {
    /// The first element of each input, ascending from 0.
    pub offsets: Vec<usize>,
    /// The length of the row.
    pub len: usize,
}

impl Pack {
    /// Where the gap behind input i ends.
    fn end(&self, i: usize) -> usize {
        self.offsets.get(i + 1).copied().unwrap_or(self.len)
    }
}

impl Op for Pack {
    fn name(&self) -> &'static str {
        "pack"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        if let Some(bad) = inputs.iter().find(|t| t.dtype != DType::F32) {
            return Err(format!("takes f32, not {:?}", bad.dtype));
        }
        if inputs.is_empty() {
            return Err(NOTHING.into());
        }
        let fits = |(i, t): (usize, &Type)| self.offsets[i] + t.shape.numel() <= self.end(i);
        if inputs.len() != self.offsets.len()
            || self.offsets.first() != Some(&0)
            || !inputs.iter().enumerate().all(fits)
        {
            return Err(format!(
                "{inputs:?} do not fit at offsets {:?} of {} elements",
                self.offsets, self.len
            ));
        }
        Ok(Type::f32([self.len]))
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        let mut data = vec![0.0; self.len];
        for (x, &offset) in inputs.iter().zip(&self.offsets) {
            data[offset..offset + x.data.len()].copy_from_slice(&x.data);
        }
        Array::new([self.len], data)
    }

    fn vjp<'g>(&self, inputs: &[Tensor<'g>], _: Tensor<'g>, cotangent: Tensor<'g>) -> Cotangents<'g> {
        let part = |(x, &at): (&Tensor<'g>, &usize)| {
            let shape = x.shape();
            Some(cotangent.slice(0, at..at + shape.numel()).reshape(shape))
        };
        inputs.iter().zip(&self.offsets).map(part).collect()
    }

    /// One launch per input, in order, which also writes the zeros of the gap behind it.
    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let launch = |(i, x): (usize, &Type)| {
            let (offset, valid) = (self.offsets[i], x.shape.numel());
            let n = self.end(i) - offset;
            // There is one row, so that the pitch is never used.
            let dims = [("n", n), ("row", n), ("pitch", 0), ("offset", offset)];
            copy(["scatter", "scatter4"], i, &dims, valid).dim("valid", valid)
        };
        Ok(Lowered { launches: at.inputs.iter().enumerate().map(launch).collect(), scratch: vec![] })
    }

    fn class(&self) -> Class {
        Class::Pack(self.offsets.clone())
    }
}

impl<'g> Tensor<'g> {
    /// A tensor with zeros before and after the elements of one axis.
    #[track_caller]
    #[must_use]
    pub fn pad(self, axis: usize, before: usize, after: usize) -> Tensor<'g> {
        if before.max(after) > MOST_STEPS {
            return self
                .graph()
                .poison(format!("pad: takes at most {MOST_STEPS} zeros, got {before} and {after}"));
        }
        let nothing = axis < self.shape().len() && before + after == 0;
        if nothing { self } else { self.graph().apply(Pad { axis, before, after: after as isize }, &[self]) }
    }

    /// A tensor whose elements are moved by so many places along an axis, fewer than it has: zeros enter in
    /// front, and the last elements leave.
    #[track_caller]
    #[must_use]
    pub fn shift(self, axis: usize, by: usize) -> Tensor<'g> {
        if by > MOST_STEPS {
            return self.graph().poison(format!("shift: moves by at most {MOST_STEPS} places, got {by}"));
        }
        let nothing = axis < self.shape().len() && by == 0;
        let pad = Pad { axis, before: by, after: -(by as isize) };
        if nothing { self } else { self.graph().apply(pad, &[self]) }
    }
}

impl Graph {
    /// Tensors (at least one) one after the other along an axis; their other extents must agree.
    #[track_caller]
    pub fn concat<'g>(&'g self, tensors: &[Tensor<'g>], axis: usize) -> Tensor<'g> {
        match tensors {
            &[alone] if axis < alone.shape().len() => alone,
            _ => self.apply(Concat { axis }, tensors),
        }
    }

    /// All elements of f32 tensors (at least one) in one row. Each tensor starts at a multiple of [`ALIGN`], and
    /// the row ends at one.
    #[track_caller]
    pub fn pack<'g>(&'g self, tensors: &[Tensor<'g>]) -> Tensor<'g> {
        let mut len = 0;
        let mut place = |t: &Tensor<'g>| {
            let offset = len;
            len += t.shape().numel().next_multiple_of(ALIGN);
            offset
        };
        let offsets = tensors.iter().map(&mut place).collect();
        self.apply(Pack { offsets, len }, tensors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(shape: &[usize]) -> Array {
        Array::from_fn(shape, |i| i as f64)
    }

    #[test]
    fn references() {
        let padded = Pad { axis: 1, before: 1, after: 1 }.reference(&[&range(&[2, 1])]);
        assert_eq!(padded.data, [0., 0., 0., 0., 1., 0.]);
        let joined = Concat { axis: 1 }.reference(&[&range(&[2, 1]), &range(&[2, 2])]);
        assert_eq!(joined.data, [0., 0., 1., 1., 2., 3.]);
        let packed = Pack { offsets: vec![0, 3], len: 6 }.reference(&[&range(&[2]), &range(&[2, 1])]);
        assert_eq!(packed.data, [0., 1., 0., 0., 1., 0.]);
    }
}
