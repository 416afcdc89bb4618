//! Which input pixels an output pixel sees. A kernel's size, stride, padding, dilation and the taps that take
//! part become a list of offsets; a masked convolution is one over fewer taps.

/// The most taps, and the largest size, stride, dilation or padding: far beyond use, and small enough that 32 bits
/// hold what they add up to.
const MOST: usize = 1 << 20;

/// Which of a kernel's positions take part.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Taps {
    /// All positions take part.
    #[default]
    All,
    /// The positions before the centre in raster order take part (van den Oord et al. 2016a, mask A).
    MaskA,
    /// The positions before the centre and the centre take part (ibid., mask B).
    MaskB,
    /// The rows `[first, end)` and the columns `[first, end)` take part, as in the stacks of the gated
    /// PixelCNN.
    Rect([usize; 2], [usize; 2]),
}

/// A convolution's kernel in PyTorch's terms. Rows come before columns throughout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The numbers of rows and columns.
    pub size: [usize; 2],
    /// The distance of neighbouring output pixels in input pixels.
    pub stride: [usize; 2],
    /// The zeros before and after the image.
    pub padding: [usize; 2],
    /// The distance of neighbouring taps in input pixels.
    pub dilation: [usize; 2],
    /// The positions that take part.
    pub taps: Taps,
    /// Whether the size must be odd, as [`Kernel::same`] wants it.
    pub odd: bool,
}

impl Kernel {
    /// A square kernel of all taps, with stride 1 and without padding.
    pub fn square(size: usize) -> Self {
        Self {
            size: [size; 2],
            stride: [1; 2],
            padding: [0; 2],
            dilation: [1; 2],
            taps: Taps::All,
            odd: false,
        }
    }

    /// A square kernel of odd size whose output has the input's extents. An even size is a mistake where the
    /// kernel is used, since padding on both sides cannot keep the extents.
    pub fn same(size: usize) -> Self {
        Self { odd: true, ..Self::square(size).padding(size / 2) }
    }

    /// Sets the stride.
    #[must_use]
    pub fn stride(self, stride: usize) -> Self {
        Self { stride: [stride; 2], ..self }
    }

    /// Sets the padding.
    #[must_use]
    pub fn padding(self, padding: usize) -> Self {
        Self { padding: [padding; 2], odd: false, ..self }
    }

    /// Sets the dilation.
    #[must_use]
    pub fn dilation(self, dilation: usize) -> Self {
        Self { dilation: [dilation; 2], ..self }
    }

    /// Says which positions take part.
    #[must_use]
    pub fn taps(self, taps: Taps) -> Self {
        Self { taps, ..self }
    }

    /// The positions (row, column) that take part, in raster order, which the taps of weights `[T, C, O]`
    /// follow. A kernel that is too large to be used has none.
    pub fn kept(&self) -> Vec<[usize; 2]> {
        if self.too_large() {
            return vec![];
        }
        let [rows, columns] = self.size;
        let centre = rows / 2 * columns + columns / 2;
        let keep = |&[y, x]: &[usize; 2]| match self.taps {
            Taps::All => true,
            Taps::MaskA => y * columns + x < centre,
            Taps::MaskB => y * columns + x <= centre,
            Taps::Rect(of_rows, of_columns) => {
                (of_rows[0]..of_rows[1]).contains(&y) && (of_columns[0]..of_columns[1]).contains(&x)
            }
        };
        (0..rows * columns).map(|i| [i / columns, i % columns]).filter(keep).collect()
    }

    /// The window over an image of these rows and columns.
    ///
    /// # Errors
    /// A kernel that is larger than the padded image, has a 0, or no tap that takes part.
    pub fn window(&self, image: [usize; 2]) -> Result<Window, String> {
        self.check()?;
        let made = |d: usize| {
            let reach = self.dilation[d] * self.size[d].saturating_sub(1) + 1;
            let room = (image[d] + 2 * self.padding[d]).checked_sub(reach);
            room.map(|room| room / self.stride[d] + 1)
        };
        let (Some(rows), Some(columns)) = (made(0), made(1)) else {
            return Err(format!(
                "a kernel of {:?} with padding {:?} does not fit an image of {image:?}",
                self.size, self.padding
            ));
        };
        self.between(image, [rows, columns])
    }

    /// The window of a transposed convolution, which is the window's input gradient: it makes about `image x
    /// stride` pixels of an image of these rows and columns, and `extra` more on each side (PyTorch's
    /// `output_padding`, less than the stride).
    ///
    /// # Errors
    /// A kernel that makes nothing of the image, has a 0, or no tap that takes part.
    pub fn transposed(&self, image: [usize; 2], extra: usize) -> Result<Window, String> {
        self.check()?;
        let made = |d: usize| {
            if extra >= self.stride[d].max(self.dilation[d]) {
                return None;
            }
            let all = image[d].checked_sub(1)? * self.stride[d]
                + self.dilation[d] * self.size[d].checked_sub(1)?
                + 1
                + extra;
            all.checked_sub(2 * self.padding[d]).filter(|&n| n > 0)
        };
        match (made(0), made(1)) {
            (Some(rows), Some(columns)) => self.between([rows, columns], image),
            _ => Err(format!(
                "a transposed kernel of {:?} with padding {:?} makes nothing of {image:?}",
                self.size, self.padding
            )),
        }
    }

    fn too_large(&self) -> bool {
        let Self { size, stride, dilation, padding, .. } = self;
        let large = |n: &[usize; 2]| n.iter().any(|&n| n > MOST);
        let far = |d: usize| dilation[d] as u64 * size[d] as u64 > i32::MAX as u64;
        let many = || size.iter().map(|&n| n as u64).product::<u64>() > MOST as u64;
        [size, stride, dilation, padding].into_iter().any(large) || far(0) || far(1) || many()
    }

    fn check(&self) -> Result<(), String> {
        let Self { size, stride, dilation, padding, .. } = self;
        if self.too_large() {
            return Err(format!(
                "a kernel of {size:?} with stride {stride:?}, dilation {dilation:?} and padding {padding:?} is too \
                 large"
            ));
        }
        if self.odd && size.iter().any(|n| n.is_multiple_of(2)) {
            return Err(format!(
                "`Kernel::same` wants an odd size, not {size:?}; pad an even one by `padding`"
            ));
        }
        match [size, stride, dilation].iter().any(|n| n.contains(&0)) {
            true => {
                Err(format!("a kernel of {size:?} with stride {stride:?} and dilation {dilation:?} has a 0"))
            }
            false => Ok(()),
        }
    }

    fn between(&self, image: [usize; 2], made: [usize; 2]) -> Result<Window, String> {
        let offset =
            |tap: [usize; 2]| [0, 1].map(|d| (tap[d] * self.dilation[d]) as i32 - self.padding[d] as i32);
        let taps: Vec<[i32; 2]> = self.kept().into_iter().map(offset).collect();
        if taps.is_empty() {
            return Err(format!("no tap of the kernel {:?} takes part", self.size));
        }
        Ok(Window { image, made, stride: self.stride, taps })
    }
}

/// What output pixels see: pixel p of `made` sees the pixels p·stride + tap of `image`, and zeros outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The rows and columns of the input.
    pub image: [usize; 2],
    /// The rows and columns of the output.
    pub made: [usize; 2],
    /// The distance of neighbouring output pixels in input pixels.
    pub stride: [usize; 2],
    /// The offsets of the pixels that are seen.
    pub taps: Vec<[i32; 2]>,
}

impl Window {
    /// Whether every output pixel sees just the input pixel in its place, so that the convolution is a matrix
    /// product.
    pub fn is_pointwise(&self) -> bool {
        self.taps == [[0, 0]] && self.stride == [1, 1] && self.image == self.made
    }

    /// Whether the only output pixel sees the whole image, so that the convolution is a product of whole
    /// images as rows.
    pub fn is_whole(&self) -> bool {
        let [rows, columns] = self.image;
        let all = (0..rows * columns).map(|i| [(i / columns) as i32, (i % columns) as i32]);
        self.made == [1, 1] && self.taps.iter().copied().eq(all)
    }
}

/// The pixels that one launch makes, and what it reads: it makes pixel p of `lattice` at p·dst_step +
/// dst_first of `dst`, from the pixels p·src_step + tap of `src`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sweep {
    pub(crate) lattice: [usize; 2],
    /// How many columns further right each lattice row lies than the one above.
    pub(crate) shear: i32,
    pub(crate) src: [usize; 2],
    pub(crate) dst: [usize; 2],
    pub(crate) src_step: [usize; 2],
    pub(crate) dst_step: [usize; 2],
    pub(crate) dst_first: [usize; 2],
    /// The offsets, each with the tap of the weights that belongs to it.
    pub(crate) taps: Vec<([i32; 2], usize)>,
}

impl Sweep {
    /// The numbers of pixels of an image read, and of pixels made of an image.
    pub(crate) fn pixels(&self) -> [usize; 2] {
        [self.src, self.lattice].map(|[rows, columns]| rows * columns)
    }
}

impl Window {
    /// The sweep of the convolution itself.
    pub(crate) fn forward(&self) -> Sweep {
        let taps = self.taps.iter().copied().zip(0..).collect();
        let (src, dst, src_step) = (self.image, self.made, self.stride);
        Sweep { lattice: dst, shear: 0, src, dst, src_step, dst_step: [1; 2], dst_first: [0; 2], taps }
    }

    /// The sweeps of the input gradient, one for each remainder modulo the stride: the image pixels of one
    /// remainder are seen through the same taps.
    pub(crate) fn backward(&self) -> Vec<Sweep> {
        let [rows, columns] = [0, 1].map(|d| self.stride[d].min(self.image[d]));
        let phases = (0..rows).flat_map(|y| (0..columns).map(move |x| [y, x]));
        let sweep = |first: [usize; 2]| {
            let lattice = [0, 1].map(|d| (self.image[d] - first[d]).div_ceil(self.stride[d]));
            let away = |tap: &[i32; 2], d: usize| first[d] as i32 - tap[d];
            let meets =
                |tap: &[i32; 2]| [0, 1].iter().all(|&d| away(tap, d).rem_euclid(self.stride[d] as i32) == 0);
            let offset = |tap: &[i32; 2]| [0, 1].map(|d| away(tap, d).div_euclid(self.stride[d] as i32));
            let taps = self
                .taps
                .iter()
                .zip(0..)
                .filter(|(tap, _)| meets(tap))
                .map(|(tap, t)| (offset(tap), t))
                .collect();
            let (src, dst) = (self.made, self.image);
            Sweep {
                lattice,
                shear: 0,
                src,
                dst,
                src_step: [1; 2],
                dst_step: self.stride,
                dst_first: first,
                taps,
            }
        };
        phases.map(sweep).collect()
    }
}
