//! The pixels that a sampler is at. The rows of a matrix are the pixels of a wavefront: `look` gathers what
//! they see in a cached image, and `place` writes them into one.
//!
//! At step s, a wavefront with lag g is at column s - i·g of each image row i that has such a column: row i +
//! 1 runs g columns behind row i. A wave may be shifted by some steps, ahead of the counter or behind it.
//! Where channels are drawn one after another, the wave stays at its pixels for several counts. The rows in
//! flight are numbered by i modulo their number F, so that row n·F + f of a matrix is the pixel of image n in
//! the image row ≡ f that is in flight. Where a number has no pixel at a step, `look` gives zeros and `place`
//! writes nothing.
//!
//! Images may keep fewer columns than they have: then each row is a ring, in which column j takes the place
//! of column j - R of R that are kept. Whoever looks must see no column that is gone.

use crate::{
    graph::{
        Tensor,
        op::{LaunchSpec, Lowered, Lowering, Op, Operand, grid_1d},
        shape::{Array, DType, Shape, Type},
    },
    kernel::Shader,
};

static SHADER: Shader = crate::shader!("cursor");
const WORKGROUP: usize = 64;

/// A wavefront: which pixels of an image are in flight at a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wave {
    /// Rows and columns of the images.
    pub image: [usize; 2],
    /// How many columns each image row runs behind the one above.
    pub lag: usize,
    /// How many steps the wave is ahead of the counter, or behind it where negative.
    pub shift: i32,
    /// How many counts a step takes: one for each channel that is drawn after another.
    pub counts: usize,
    /// Whether the wave goes through each row from right to left.
    pub mirrored: bool,
}

impl Wave {
    /// F, the most image rows in flight.
    pub fn flight(&self) -> usize {
        self.image[1].div_ceil(self.lag)
    }

    /// How many counts it takes until every channel of every pixel was visited.
    pub fn steps(&self) -> usize {
        let own = (self.image[0] - 1) * self.lag + self.image[1];
        own.saturating_add_signed(-self.shift as isize) * self.counts
    }

    /// The pixel of the row in flight that has number `f` at a count: image row and column, if there is one.
    pub fn pixel(&self, count: usize, f: usize) -> Option<[usize; 2]> {
        let step = (count / self.counts).checked_add_signed(self.shift as isize)?;
        let (newest, flight) = (step / self.lag, self.flight());
        let row = newest.checked_sub((newest + flight - f) % flight)?;
        let (column, columns) = (step - row * self.lag, self.image[1]);
        let inside = row < self.image[0] && column < columns;
        inside.then(|| [row, if self.mirrored { columns - 1 - column } else { column }])
    }

    /// The numbers of images, of columns that they keep, and of channels.
    fn images(&self, shape: &Shape) -> Result<[usize; 3], String> {
        let [rows, columns] = self.image;
        match shape[..] {
            _ if self.lag == 0 || self.counts == 0 => Err(format!("{self:?} has a 0")),
            [n, h, kept, c] if h == rows && (1..=columns).contains(&kept) && n * c > 0 => Ok([n, kept, c]),
            _ => Err(format!("wants images of {:?}, or fewer columns of them, got {shape:?}", self.image)),
        }
    }

    fn common(&self, launch: LaunchSpec, [n, kept, c]: [usize; 3], width: usize) -> LaunchSpec {
        let elements = n * self.flight() * width;
        launch
            .constant("WORKGROUP", WORKGROUP as f64)
            .dim("n", elements)
            .dim("c", c)
            .dim("rows", self.image[0])
            .dim("columns", self.image[1])
            .dim("kept", kept)
            .dim("lag", self.lag)
            .dim("shift", self.shift as u32 as usize)
            .dim("flight", self.flight())
            .dim("counts", self.counts)
            .dim("mirrored", usize::from(self.mirrored))
            .cost(0, 8 * elements as u64)
    }
}

fn check_step(step: &Type) -> Result<(), String> {
    if *step == Type::u32([1]) { Ok(()) } else { Err(format!("the step is a u32 [1], got {step:?}")) }
}

/// What the pixels in flight see through T taps (row, column), with zeros outside: (images `[N, H, R, C]` of
/// the R columns that are kept, step) to `[N·F, T·C]`.
#[derive(Clone, Debug)]
pub struct Look {
    /// The pixels in flight.
    pub wave: Wave,
    /// The offsets of the pixels that are seen.
    pub taps: Vec<[i32; 2]>,
}

impl Op for Look {
    fn name(&self) -> &'static str {
        "look"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [images, step] = inputs else { return Err("takes images and the step".into()) };
        check_step(step)?;
        let [n, _, c] = self.wave.images(&images.shape)?;
        if images.dtype != DType::F32 || self.taps.is_empty() || self.taps.len() > 64 {
            return Err(format!("takes f32 and 1 to 64 taps, got {images:?} and {}", self.taps.len()));
        }
        Ok(Type::f32([n * self.wave.flight(), self.taps.len() * c]))
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        let (images, step) = (inputs[0], inputs[1].data[0] as usize);
        let (h, kept, flight, c) = (self.wave.image[0], images.shape[2], self.wave.flight(), images.shape[3]);
        let width = self.taps.len() * c;
        Array::from_fn([images.shape[0] * flight, width], |i| {
            let (row, tap, channel) = (i / width, self.taps[i % width / c], i % c);
            let at = |p: usize, d: usize| {
                usize::try_from(p as i64 + i64::from(tap[d])).ok().filter(|&q| q < self.wave.image[d])
            };
            let seen = self.wave.pixel(step, row % flight).and_then(|p| at(p[0], 0).zip(at(p[1], 1)));
            seen.map_or(0.0, |(y, x)| images.data[((row / flight * h + y) * kept + x % kept) * c + channel])
        })
    }

    fn vjp<'g>(&self, inputs: &[Tensor<'g>], _: Tensor<'g>, _: Tensor<'g>) -> Vec<Option<Tensor<'g>>> {
        vec![None; inputs.len()]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let extents @ [n, _, c] = self.wave.images(&at.inputs[0].shape)?;
        let width = self.taps.len() * c;
        let (entry, to, images, per) =
            if c.is_multiple_of(4) { ("look4", "y4", "image4", 4) } else { ("look", "y", "image", 1) };
        let grid = grid_1d((n * self.wave.flight() * width).div_ceil(per * WORKGROUP));
        let mut launch =
            self.wave.common(LaunchSpec::new(&SHADER, entry, grid), extents, width).dim("width", width);
        for (t, [y, x]) in self.taps.iter().enumerate() {
            launch = launch
                .dim(&format!("tap[{t}][0]"), *y as u32 as usize)
                .dim(&format!("tap[{t}][1]"), *x as u32 as usize);
        }
        Ok(launch
            .bind(to, Operand::Output)
            .bind(images, Operand::Input(0))
            .bind("time", Operand::Input(1))
            .into())
    }
}

/// The images with the pixels in flight replaced, in place: (images `[N, H, R, C]` of the R columns that are
/// kept, rows `[N·F, C]`, step) to images.
#[derive(Clone, Debug)]
pub struct Place {
    /// The pixels in flight.
    pub wave: Wave,
    /// Whether a count replaces one channel only; the first count replaces the first channel.
    pub one_channel: bool,
}

impl Op for Place {
    fn name(&self) -> &'static str {
        "place"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [images, rows, step] = inputs else { return Err("takes images, rows and the step".into()) };
        check_step(step)?;
        let [n, _, c] = self.wave.images(&images.shape)?;
        if *rows != Type::f32([n * self.wave.flight(), c]) || images.dtype != DType::F32 {
            return Err(format!(
                "{rows:?} are not the pixels in flight, {} of {c} channels",
                n * self.wave.flight()
            ));
        }
        Ok(images.clone())
    }

    fn reference(&self, inputs: &[&Array]) -> Array {
        let (rows, step) = (inputs[1], inputs[2].data[0] as usize);
        let (h, kept, flight, c) =
            (self.wave.image[0], inputs[0].shape[2], self.wave.flight(), inputs[0].shape[3]);
        let mut out = inputs[0].clone();
        for row in 0..rows.shape[0] {
            if let Some([y, x]) = self.wave.pixel(step, row % flight) {
                let at = ((row / flight * h + y) * kept + x % kept) * c;
                for channel in (0..c).filter(|&i| !self.one_channel || i == step % self.wave.counts) {
                    out.data[at + channel] = rows.data[row * c + channel];
                }
            }
        }
        out
    }

    fn vjp<'g>(&self, inputs: &[Tensor<'g>], _: Tensor<'g>, _: Tensor<'g>) -> Vec<Option<Tensor<'g>>> {
        vec![None; inputs.len()]
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let extents @ [n, _, c] = self.wave.images(&at.inputs[0].shape)?;
        let (entry, to, rows, per) = if c.is_multiple_of(4) && !self.one_channel {
            ("place4", "y4", "image4", 4)
        } else {
            ("place", "y", "image", 1)
        };
        let grid = grid_1d((n * self.wave.flight() * c).div_ceil(per * WORKGROUP));
        let launch = self
            .wave
            .common(LaunchSpec::new(&SHADER, entry, grid), extents, c)
            .dim("one_channel", usize::from(self.one_channel));
        Ok(launch
            .bind(to, Operand::Output)
            .bind(rows, Operand::Input(1))
            .bind("time", Operand::Input(2))
            .into())
    }

    fn in_place(&self) -> Option<usize> {
        Some(0)
    }
}

impl<'g> Tensor<'g> {
    /// What the pixels in flight at `step` see of these images `[N, H, R, C]` through taps: `[N·F, T·C]`. With
    /// R below the wave's columns, column j lies at j mod R.
    #[track_caller]
    #[must_use]
    pub fn look(self, wave: Wave, taps: &[[i32; 2]], step: Tensor<'g>) -> Tensor<'g> {
        self.graph().apply(Look { wave, taps: taps.to_vec() }, &[self, step])
    }

    /// These images with the pixels in flight at `step` replaced by `rows` `[N·F, C]`. Where the result is
    /// assigned to the variable that the images are in, this is done in place.
    #[track_caller]
    #[must_use]
    pub fn place(self, wave: Wave, rows: Tensor<'g>, step: Tensor<'g>) -> Tensor<'g> {
        self.graph().apply(Place { wave, one_channel: false }, &[self, rows, step])
    }

    /// [`Tensor::place`] of one channel, the one that the count draws.
    #[track_caller]
    #[must_use]
    pub fn place_channel(self, wave: Wave, rows: Tensor<'g>, step: Tensor<'g>) -> Tensor<'g> {
        self.graph().apply(Place { wave, one_channel: true }, &[self, rows, step])
    }
}
