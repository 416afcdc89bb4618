//! Static shapes: every node of a graph knows its extents and element type before any device exists.

use std::{fmt, ops::Deref};

/// The most elements of a tensor: beyond all memory, and small enough that sums over tensors do not overflow.
const MOST: u64 = 1 << 48;
/// The largest number that an op takes for an extent, a distance or a factor: kernels count in 32 bits.
pub(crate) const MOST_STEPS: usize = i32::MAX as usize;

/// The extents of a row-major tensor, outermost first; `[]` is a scalar's.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// Makes a shape from its extents.
    pub fn new(dims: &[usize]) -> Self {
        Self(dims.to_vec())
    }

    /// The number of elements.
    pub fn numel(&self) -> usize {
        self.0.iter().product()
    }

    /// What keeps a tensor of this shape from being computed, or `None`.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        if self.0.contains(&0) {
            return Some("has no elements");
        }
        let count = self.0.iter().try_fold(1, |n: u64, &extent| n.checked_mul(extent as u64));
        // Four bytes each must be addressable, too.
        let small = |n: u64| n <= MOST && usize::try_from(4 * n).is_ok();
        if count.is_some_and(small) { None } else { Some("has too many elements") }
    }

    /// The row-major strides in elements.
    pub fn strides(&self) -> Vec<usize> {
        let mut strides = vec![1; self.0.len()];
        for d in (1..self.0.len()).rev() {
            strides[d - 1] = strides[d] * self.0[d];
        }
        strides
    }

    /// The coordinates of the element at row-major position `index`.
    pub fn coords(&self, mut index: usize) -> Vec<usize> {
        let mut coords = vec![0; self.0.len()];
        for d in (0..self.0.len()).rev() {
            coords[d] = index % self.0[d];
            index /= self.0[d];
        }
        coords
    }

    /// The common shape of two operands under NumPy's broadcasting rule, if there is one.
    pub fn broadcast(&self, other: &Self) -> Option<Self> {
        let rank = self.len().max(other.len());
        let extent = |s: &Self, d: usize| if d + s.len() < rank { 1 } else { s[d + s.len() - rank] };
        (0..rank)
            .map(|d| match (extent(self, d), extent(other, d)) {
                (a, b) if a == b || b == 1 => Some(a),
                (1, b) => Some(b),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()
            .map(Self)
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Self::new(dims)
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Self::new(&dims)
    }
}

impl From<Vec<usize>> for Shape {
    fn from(dims: Vec<usize>) -> Self {
        Self(dims)
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        write!(f, "[{}]", dims.join("x"))
    }
}

/// The element type of a tensor.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DType {
    /// A 32-bit float, the type of everything that is differentiated.
    F32,
    /// A 32-bit unsigned integer, for counters, labels and permutations.
    U32,
    /// A byte, packed four to a word, for data sets that stay on the GPU.
    U8,
}

impl DType {
    /// The number of bytes per element.
    pub fn size(self) -> usize {
        match self {
            DType::F32 | DType::U32 => 4,
            DType::U8 => 1,
        }
    }
}

/// The shape and element type of a tensor.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Type {
    /// The extents.
    pub shape: Shape,
    /// The element type.
    pub dtype: DType,
}

impl Type {
    /// Makes the type of f32 elements in a shape.
    pub fn f32(shape: impl Into<Shape>) -> Self {
        Self { shape: shape.into(), dtype: DType::F32 }
    }

    /// Makes the type of u32 elements in a shape.
    pub fn u32(shape: impl Into<Shape>) -> Self {
        Self { shape: shape.into(), dtype: DType::U32 }
    }

    /// Makes the type of bytes in a shape.
    pub fn u8(shape: impl Into<Shape>) -> Self {
        Self { shape: shape.into(), dtype: DType::U8 }
    }

    /// The number of bytes in memory, rounded up to whole `vec4<f32>`s, which kernels load and store.
    pub fn bytes(&self) -> u64 {
        ((self.shape.numel() * self.dtype.size()) as u64).next_multiple_of(16).max(16)
    }
}

impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dtype {
            DType::F32 => write!(f, "{:?}", self.shape),
            other => write!(f, "{other:?}{:?}", self.shape),
        }
    }
}

/// A tensor on the CPU in f64, with which `Op::reference` computes. Integers are held exactly.
#[derive(Clone, PartialEq, Debug)]
pub struct Array {
    /// The extents.
    pub shape: Shape,
    /// The elements in row-major order.
    pub data: Vec<f64>,
}

impl Array {
    /// Makes an array of its elements, as many as the shape has.
    pub fn new(shape: impl Into<Shape>, data: Vec<f64>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.numel(), data.len(), "elements against shape {shape:?}");
        Self { shape, data }
    }

    /// Makes an array whose element at row-major position `i` is `f(i)`.
    pub fn from_fn(shape: impl Into<Shape>, f: impl FnMut(usize) -> f64) -> Self {
        let shape = shape.into();
        let data = (0..shape.numel()).map(f).collect();
        Self { shape, data }
    }

    /// Makes a one-element array of rank 0.
    pub fn scalar(value: f64) -> Self {
        Self::new([], vec![value])
    }

    /// The elements as f32.
    pub fn to_f32(&self) -> Vec<f32> {
        self.data.iter().map(|&x| x as f32).collect()
    }
}
