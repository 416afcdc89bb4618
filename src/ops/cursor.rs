//! The pixels that a sampler is at. The rows of a matrix are the pixels of a wavefront ([`Wave`]): `look`
//! gathers what they see in a cached image, and `place` writes them into one. Where a row has no pixel at a
//! step, `look` gives zeros and `place` writes nothing.
//!
//! In a plan they are rarely launches of their own. A cluster reads what is seen through one tap as it reads
//! a view, a product gathers its left side while it computes ([`Product`]), and both may write their rows
//! straight into images.
//!
//! Images may keep fewer columns than they have: then each row is a ring, in which column j takes the place
//! of column j - R of R that are kept. Whoever looks must see no column that is gone.

mod product;

pub use crate::graph::wave::Wave;
pub use product::Product;
pub(crate) use product::{MAX_CHANNELS, shared};

use crate::{
    graph::{
        Tensor,
        op::{Class, LaunchSpec, Lowered, Lowering, Op, Operand, grid_1d},
        shape::{Array, DType, Shape, Type},
    },
    kernel::Shader,
};

static SHADER: Shader = crate::shader!("cursor");
const WORKGROUP: usize = 64;

fn check_wave(wave: Wave) -> Result<(), String> {
    let all = [wave.lag, wave.counts, wave.image[0], wave.image[1]];
    // Kernels count in u32.
    match (all.contains(&0), all.iter().all(|&n| n <= i32::MAX as usize)) {
        (true, _) => Err(format!("{wave:?} has a 0")),
        (_, false) => Err(format!("{wave:?} is too large")),
        _ => Ok(()),
    }
}

/// The numbers of images, of columns that they keep, and of channels.
fn extents(wave: Wave, shape: &Shape) -> Result<[usize; 3], String> {
    check_wave(wave)?;
    let [rows, columns] = wave.image;
    match shape[..] {
        [n, h, kept, c] if h == rows && (1..=columns).contains(&kept) && n * c > 0 => Ok([n, kept, c]),
        _ => Err(format!("wants images of {:?}, or fewer columns of them, got {shape:?}", wave.image)),
    }
}

/// The members of `dims` that tell a kernel where a wave is.
fn told(wave: Wave, launch: LaunchSpec) -> LaunchSpec {
    launch
        .pair("image", wave.image)
        .dim("lag", wave.lag)
        .dim("shift", wave.shift as u32 as usize)
        .dim("flight", wave.flight())
        .dim("counts", wave.counts)
        .dim("mirrored", usize::from(wave.mirrored))
}

/// The members of `dims` that tell a kernel about taps.
fn taps(taps: &[[i32; 2]], launch: LaunchSpec) -> LaunchSpec {
    taps.iter().enumerate().fold(launch, |launch, (t, [y, x])| {
        launch
            .dim(&format!("tap[{t}][0]"), *y as u32 as usize)
            .dim(&format!("tap[{t}][1]"), *x as u32 as usize)
    })
}

/// Where a launch places rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct To {
    /// The columns that the images keep.
    pub(crate) kept: usize,
    /// Their channels.
    pub(crate) channels: usize,
    /// Whether a count replaces one channel only.
    pub(crate) one_channel: bool,
}

impl To {
    /// Whether rows are placed four channels at a time.
    pub(crate) fn fours(self) -> bool {
        self.channels.is_multiple_of(4) && !self.one_channel
    }

    /// The launch of [`Product`] with rows that are placed.
    pub(crate) fn placing(self, launch: LaunchSpec) -> LaunchSpec {
        launch.flag("PLACED", true).dim("to[0]", self.kept)
    }
}

/// The launch of a cluster over so many elements of rows, some of whose operands are what the pixels of a wave
/// see, or whose rows are placed. Its input is the step's counter.
pub(crate) fn cluster(wave: Wave, elements: usize, to: Option<To>) -> LaunchSpec {
    let (entry, y) = match to {
        Some(to) if !to.fours() => ("place", "y"),
        Some(_) => ("place4", "y4"),
        None => ("rows4", "y4"),
    };
    let grid = grid_1d(elements.div_ceil(4 * WORKGROUP));
    let launch = LaunchSpec::new(&SHADER, entry, grid)
        .constant("WORKGROUP", WORKGROUP as f64)
        .bind(y, Operand::Output)
        .bind("time", Operand::Input(0))
        .dim("n", elements)
        .fused(true)
        .why("elementwise cluster over the pixels in flight");
    let launch = told(wave, launch);
    let Some(to) = to else { return launch };
    let unit = if to.fours() { 4 } else { 1 };
    launch.dim("to[0]", to.kept).dim("to[1]", to.channels / unit).dim("to[2]", usize::from(to.one_channel))
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

impl Look {
    /// The launch for so many images, columns kept and channels; the operands are those of images, step and
    /// output.
    fn launch(&self, [n, kept, c]: [usize; 3], [of, step, output]: [Operand; 3]) -> LaunchSpec {
        let width = self.taps.len() * c;
        let elements = n * self.wave.flight() * width;
        let (entry, to, images, per) =
            if c.is_multiple_of(4) { ("look4", "y4", "image4", 4) } else { ("look", "y", "image", 1) };
        let launch = LaunchSpec::new(&SHADER, entry, grid_1d(elements.div_ceil(per * WORKGROUP)))
            .constant("WORKGROUP", WORKGROUP as f64)
            .dim("n", elements)
            .dim("c", c)
            .dim("kept", kept)
            .dim("width", width)
            .cost(0, 8 * elements as u64)
            .bind(to, output)
            .bind(images, of)
            .bind("time", step);
        taps(&self.taps, told(self.wave, launch))
    }
}

impl Op for Look {
    fn name(&self) -> &'static str {
        "look"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [images, step] = inputs else { return Err("takes images and the step".into()) };
        check_step(step)?;
        let [n, _, c] = extents(self.wave, &images.shape)?;
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

    fn class(&self) -> Class {
        match self.taps[..] {
            [tap] => Class::Seen(self.wave, tap),
            _ => Class::Opaque,
        }
    }

    fn lower(&self, at: &Lowering<'_>) -> Result<Lowered, String> {
        let [n, kept, c] = extents(self.wave, &at.inputs[0].shape)?;
        Ok(self.launch([n, kept, c], [Operand::Input(0), Operand::Input(1), Operand::Output]).into())
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
        let [n, _, c] = extents(self.wave, &images.shape)?;
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

    fn class(&self) -> Class {
        Class::Placed(self.wave, self.one_channel)
    }

    fn lower(&self, _: &Lowering<'_>) -> Result<Lowered, String> {
        Err("the planner makes the launch".into())
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
