//! Persistent values as plain data: first contents, roles and places. The State decides where they lie: in the
//! arena of an optimizer group or in a buffer of their own.

use super::shape::Type;
use crate::rng;
use std::sync::Arc;

/// The first contents of a persistent value.
#[derive(Clone, Debug, PartialEq)]
pub enum Init {
    /// All elements are zero.
    Zeros,
    /// All elements have this value.
    Constant(f32),
    /// The elements are uniform in [-bound, bound), drawn by the stream of the variable's name.
    Uniform(f32),
    /// The elements are normal with this mean and standard deviation, drawn by the stream of the variable's
    /// name.
    Normal(f32, f32),
    /// The elements are these.
    Values(Arc<[f32]>),
    /// The elements are another variable's first values.
    Copy {
        /// The other variable's name.
        of: String,
        /// The other variable's first contents.
        init: Box<Init>,
    },
    /// The n elements are Euclidean norms of another variable's first values, whose element i counts to norm
    /// i / inner mod n.
    Norms {
        /// The other variable's name.
        of: String,
        /// The other variable's first contents.
        init: Box<Init>,
        /// The number of the other variable's elements.
        len: usize,
        /// The number of elements from one norm's to the next one's.
        inner: usize,
    },
    /// The elements are the run's seed, as two u32 words.
    Seed,
}

impl Init {
    /// PyTorch's default for linear and convolution layers, uniform within 1/√fan_in.
    pub fn fan_in(fan_in: usize) -> Self {
        Init::Uniform(1.0 / (fan_in as f32).sqrt())
    }

    /// What is wrong with these as the first contents of `n` elements, as the end of "it ...", if anything is.
    pub(crate) fn fault(&self, n: usize) -> Option<String> {
        match self {
            Init::Values(values) if values.len() != n => Some(format!(
                "has {n} elements, but its first values are {}; give one for each",
                values.len()
            )),
            Init::Seed if n != 2 => Some(format!("has {n} elements, but a seed is two words")),
            Init::Copy { init, .. } => init.fault(n),
            Init::Norms { init, len, .. } => init.fault(*len),
            _ => None,
        }
    }

    /// The first `n` values as 32-bit words. They are a function of seed and name alone, by the
    /// random stream `init/NAME`.
    pub fn words(&self, seed: u64, name: &str, n: usize) -> Vec<u32> {
        let draw = |f: &dyn Fn(u32) -> f32| (0..n as u32).map(|i| f(i).to_bits()).collect();
        let stream = rng::RandomStream::new(&format!("init/{name}"));
        let key = stream.key([seed as u32, (seed >> 32) as u32]);
        match self {
            Init::Zeros => vec![0; n],
            Init::Constant(c) => vec![c.to_bits(); n],
            Init::Values(values) => values.iter().map(|v| v.to_bits()).collect(),
            Init::Uniform(bound) => draw(&|i| (rng::uniform(key, 0, i) * 2.0 - 1.0) * bound),
            Init::Normal(mean, std) => draw(&|i| mean + rng::normal(key, 0, i) as f32 * std),
            Init::Copy { of, init } => init.words(seed, of, n),
            Init::Norms { of, init, len, inner } => {
                let mut squares = vec![0.0; n];
                for (i, word) in init.words(seed, of, *len).into_iter().enumerate() {
                    squares[i / inner % n] += f64::from(f32::from_bits(word)).powi(2);
                }
                squares.into_iter().map(|s| (s.sqrt() as f32).to_bits()).collect()
            }
            Init::Seed => vec![seed as u32, (seed >> 32) as u32],
        }
    }
}

/// How a weights file holds a value.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum FileLayout {
    /// The file holds the value as it is.
    #[default]
    Same,
    /// The file holds a convolution's `[T, C, O]` as PyTorch's `[O, C, rows, columns]`, with zeros where no
    /// tap takes part.
    Kernel {
        /// The kernel's rows and columns.
        size: [usize; 2],
        /// The row and column of each tap that takes part.
        kept: Vec<[usize; 2]>,
    },
    /// The file holds a convolution's `[T, C, O]` over signals as PyTorch's `[O, C, T]`.
    Line,
    /// The file holds the channels first, as PyTorch does; here they come last.
    Channels,
    /// The file holds as one row what it would hold by the inner layout.
    Row(Box<FileLayout>),
}

impl FileLayout {
    /// The shape in the file of a value of this shape here.
    pub fn shape(&self, shape: &[usize]) -> Vec<usize> {
        match self {
            FileLayout::Same => shape.to_vec(),
            FileLayout::Kernel { size, .. } => vec![shape[2], shape[1], size[0], size[1]],
            FileLayout::Line => vec![shape[2], shape[1], shape[0]],
            FileLayout::Channels => {
                shape.iter().skip(shape.len() - 1).chain(&shape[..shape.len() - 1]).copied().collect()
            }
            FileLayout::Row(inner) => vec![inner.shape(shape).iter().product()],
        }
    }

    /// A value of this shape as the file holds it: the shape there, and the elements. Gradients and moments lie as
    /// their variable does.
    ///
    /// # Panics
    /// Panics if there are not as many values as the shape has elements.
    pub fn to_file(&self, shape: &[usize], values: &[f32]) -> (Vec<usize>, Vec<f32>) {
        let (there, places) = (self.shape(shape), self.places(shape));
        assert_eq!(places.len(), values.len(), "a value of {shape:?}");
        let mut out = vec![0.0; there.iter().product()];
        places.into_iter().zip(values).for_each(|(place, &value)| out[place] = value);
        (there, out)
    }

    /// The position in the file of each element here, in row-major order.
    pub fn places(&self, shape: &[usize]) -> Vec<usize> {
        let n: usize = shape.iter().product();
        match self {
            FileLayout::Same => (0..n).collect(),
            FileLayout::Kernel { size, kept } => {
                let (c, o) = (shape[1], shape[2]);
                let place = |i: usize| {
                    let [y, x] = kept[i / (c * o)];
                    ((i % o * c + i / o % c) * size[0] + y) * size[1] + x
                };
                (0..n).map(place).collect()
            }
            FileLayout::Line => {
                let (t, c, o) = (shape[0], shape[1], shape[2]);
                (0..n).map(|i| (i % o * c + i / o % c) * t + i / (c * o)).collect()
            }
            FileLayout::Channels => {
                let c = shape[shape.len() - 1];
                (0..n).map(|i| i % c * (n / c) + i / c).collect()
            }
            FileLayout::Row(inner) => inner.places(shape),
        }
    }
}

/// What a persistent value is to the model and to its training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The value is a parameter: an optimizer trains it, in this graph or in another one of the same model.
    Trained,
    /// The value is the moving average of a parameter.
    Average,
    /// The value is a part of the model that no optimizer trains, such as running statistics (PyTorch's
    /// buffers).
    Buffer,
    /// The value is a step counter or the seed, of which all random numbers are a function.
    Counter,
    /// The value outlives a step for another reason: an optimizer's moments, metrics, caches, pictures being
    /// drawn.
    Working,
    /// The value goes from one plan of a step to a later one. Between steps it means nothing, so that checkpoints leave
    /// it out.
    Passed,
}

impl Role {
    /// Whether the value belongs to the model's weights, which a weights file holds.
    pub fn is_weight(self) -> bool {
        matches!(self, Role::Trained | Role::Average | Role::Buffer)
    }
}

/// The name of the variable that holds the moving average of another one.
pub fn average(name: &str) -> String {
    format!("ema/{name}")
}

/// Where an optimizer group keeps one of its variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// The group's arena, by index into [`Recording::arenas`](super::Recording::arenas).
    pub arena: usize,
    /// The arena's row: 0 holds the parameters themselves.
    pub row: usize,
    /// The first element within the row.
    pub offset: usize,
}

/// The declaration of a persistent value.
#[derive(Clone, Debug, PartialEq)]
pub struct VarSpec {
    /// The name, here and in weights files.
    pub name: String,
    /// The shape and element type.
    pub ty: Type,
    /// The first contents.
    pub init: Init,
    /// How a weights file holds the value.
    pub layout: FileLayout,
    /// What the value is to the model and to its training.
    pub role: Role,
    /// Where the value lies, if an optimizer group of this graph owns it.
    pub home: Option<Home>,
}

impl VarSpec {
    /// Declares a value that weights files hold as it is, and that no optimizer group owns yet.
    pub fn new(name: impl Into<String>, ty: Type, init: Init, role: Role) -> Self {
        Self { name: name.into(), ty, init, layout: FileLayout::Same, role, home: None }
    }
}

/// An optimizer group, whose parameters, moments and averages lie in one buffer of `rows` x `row_len` f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Arena {
    /// The name of the group.
    pub name: String,
    /// The number of rows: the parameters, one row per moment, the moving averages if there are any.
    pub rows: usize,
    /// The number of elements per row, in which the members start at multiples of [`ALIGN`](super::ALIGN).
    pub row_len: usize,
    /// The indices of the member variables, in order.
    pub members: Vec<usize>,
}
