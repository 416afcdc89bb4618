//! Pictures into a host's texture. One launch packs an output's values into rows of the texture's format, and
//! a copy puts them in place. Both are recorded into the host's encoder and allocate nothing, and the texture
//! needs `COPY_DST` alone.

use super::{
    Executor, Gpu,
    bind::{Bound, Builder},
};
use crate::{
    error::{Error, Result},
    graph::{
        op::grid_1d,
        shape::{DType, Type},
    },
    kernel::Shader,
    plan::{Buffer, Launch, Place},
};

static SHADER: Shader = crate::shader!("texture");
const WORKGROUP: usize = 64;
/// The most columns of a grid: far beyond any texture, and small enough for sizes in bytes to be computed.
const MAX_COLUMNS: usize = 1 << 24;

/// Which of an output's images a texture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The texture shows the image of this index.
    Image(usize),
    /// The texture shows all images row by row, without gaps; places without an image are black.
    Grid {
        /// The number of images side by side.
        columns: usize,
    },
}

/// A copy of an output's pictures into textures of one format.
///
/// The output is f32 `[N, H, W, C]` with C = 1 (grey), 3 or 4 (straight alpha). Values from 0 to 1 are
/// display values, as in a PNG: a unorm texture gets them clamped and rounded whether it is `-srgb` or not, a
/// float texture as they are.
///
/// ```no_run
/// # use oneiro::{error::Result, gpu::{Blit, Executor, Gpu, Shown, wgpu}};
/// # fn f(gpu: &Gpu, executor: &Executor, texture: &wgpu::Texture, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
/// let blit = Blit::new(gpu, executor, "pictures", Shown::Grid { columns: 8 }, texture.format())?; // once
/// executor.record(encoder)?; // every frame
/// blit.record(encoder, texture, wgpu::Origin3d::ZERO)?;
/// # Ok(())
/// # }
/// ```
pub struct Blit {
    launch: Bound,
    rows: wgpu::Buffer,
    row_bytes: u32,
    format: wgpu::TextureFormat,
    size: wgpu::Extent3d,
}

/// How a format's texels fill units, which are what one invocation writes.
struct Packing {
    entry: &'static str,
    binding: &'static str,
    channels: usize,
    texel_bytes: usize,
    unit_bytes: usize,
}

impl Packing {
    fn of(format: wgpu::TextureFormat) -> Option<Self> {
        use wgpu::TextureFormat as F;
        let (entry, binding, channels, texel_bytes, unit_bytes) = match format {
            F::R8Unorm => ("r8", "words", 1, 1, 4),
            F::Rgba8Unorm | F::Rgba8UnormSrgb => ("rgba8", "words", 4, 4, 4),
            F::Bgra8Unorm | F::Bgra8UnormSrgb => ("bgra8", "words", 4, 4, 4),
            F::Rgb10a2Unorm => ("rgb10a2", "words", 4, 4, 4),
            F::R16Float => ("r16", "words", 1, 2, 4),
            F::Rgba16Float => ("rgba16", "pairs", 4, 8, 8),
            F::R32Float => ("r32", "words", 1, 4, 4),
            F::Rgba32Float => ("rgba32", "quads", 4, 16, 16),
            _ => return None,
        };
        Some(Self { entry, binding, channels, texel_bytes, unit_bytes })
    }
}

/// Where the images lie in the picture.
struct Arrangement {
    image: [usize; 2],
    channels: usize,
    columns: usize,
    rows: usize,
    first: usize,
    end: usize,
}

impl Arrangement {
    fn new(output: &str, ty: &Type, shown: Shown) -> Result<Self> {
        let wrong = |what: &str| Err(Error::State(format!("output `{output}` is {ty:?}; {what}")));
        let (DType::F32, &[count, height, width, channels @ (1 | 3 | 4)]) = (ty.dtype, &ty.shape[..]) else {
            return wrong("a texture takes f32 pictures [N, H, W, C] with 1, 3 or 4 channels");
        };
        let (columns, rows, first, end) = match shown {
            Shown::Image(n) if n < count => (1, 1, n, n + 1),
            Shown::Image(n) => return wrong(&format!("it has no image {n}")),
            Shown::Grid { columns } if columns == 0 || columns > MAX_COLUMNS => {
                return wrong(&format!("a grid has 1 to {MAX_COLUMNS} columns"));
            }
            Shown::Grid { columns } => (columns, count.div_ceil(columns), 0, count),
        };
        Ok(Self { image: [width, height], channels, columns, rows, first, end })
    }

    /// The width and height of the picture.
    fn size(&self) -> [usize; 2] {
        [self.columns * self.image[0], self.rows * self.image[1]]
    }
}

impl Blit {
    /// Makes the pipeline and the staging rows for textures of `format`: `r8unorm`, `rgba8unorm`,
    /// `bgra8unorm` (also `-srgb`), `rgb10a2unorm`, `r16float`, `rgba16float`, `r32float` or `rgba32float`.
    ///
    /// # Errors
    /// Another format, more channels than the format has, an output that is no picture.
    pub fn new(
        gpu: &Gpu,
        executor: &Executor,
        output: &str,
        shown: Shown,
        format: wgpu::TextureFormat,
    ) -> Result<Self> {
        gpu.owns("the executor", executor.health())?;
        gpu.check()?;
        let ty = executor.output_type(output)?;
        let arrangement = Arrangement::new(output, ty, shown)?;
        let packing = Packing::of(format).ok_or_else(|| {
            Error::State(format!(
                "no pictures can be copied into a {format:?} texture; use rgba8unorm, bgra8unorm, r8unorm or a \
                 float one"
            ))
        })?;
        if packing.channels < arrangement.channels {
            let what = format!(
                "output `{output}` is {ty:?}, which does not fit a {format:?} texture of one channel"
            );
            return Err(Error::State(what));
        }
        let [width, height] = arrangement.size();
        let row_bytes =
            (width * packing.texel_bytes).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT as usize);
        let (bytes, limit) = ((row_bytes * height) as u64, gpu.caps().max_binding);
        if bytes > limit {
            return Err(Error::State(format!(
                "a {width}x{height} {format:?} picture needs {bytes} bytes, the adapter binds at most {limit}"
            )));
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        let rows = gpu.buffer("texture rows", bytes, usage)?;
        let source = executor.output(output)?;
        let places = [(&rows, 0), (source.buffer(), source.offset())];
        let launch = launch(output, &arrangement, &packing, row_bytes, [bytes, ty.bytes()]);
        let launch = Builder::one(gpu, &launch, |place| match place.buffer {
            Buffer::Slot(i) => Ok((places[i].0.clone(), places[i].1)),
            other => Err(Error::State(format!("a blit does not bind {other:?}"))),
        })?;
        let size = wgpu::Extent3d { width: width as u32, height: height as u32, depth_or_array_layers: 1 };
        Ok(Self { launch, rows, row_bytes: row_bytes as u32, format, size })
    }

    /// The width and height of the picture in texels, of one layer.
    pub fn size(&self) -> wgpu::Extent3d {
        self.size
    }

    /// Records packing and copy. The picture's top left goes to `origin` of mip level 0, `origin.z` being the
    /// array layer.
    ///
    /// # Errors
    /// A texture that has another format, no `COPY_DST` or several samples, is not 2-D, or is too small for
    /// the picture there; nothing is then recorded.
    pub fn record(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        texture: &wgpu::Texture,
        origin: wgpu::Origin3d,
    ) -> Result<()> {
        self.check(texture, origin)?;
        self.launch.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
        let layout = wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(self.row_bytes),
            rows_per_image: Some(self.size.height),
        };
        encoder.copy_buffer_to_texture(
            wgpu::TexelCopyBufferInfo { buffer: &self.rows, layout },
            wgpu::TexelCopyTextureInfo { texture, mip_level: 0, origin, aspect: wgpu::TextureAspect::All },
            self.size,
        );
        Ok(())
    }

    /// Finds what wgpu would find wrong only when the host finishes its encoder.
    fn check(&self, texture: &wgpu::Texture, origin: wgpu::Origin3d) -> Result<()> {
        let (size, picture) = (texture.size(), self.size);
        let within = |at: u32, need: u32, has: u32| at.checked_add(need).is_some_and(|end| end <= has);
        let what = if texture.format() != self.format {
            format!("is {:?}, the pictures were prepared for {:?}", texture.format(), self.format)
        } else if !texture.usage().contains(wgpu::TextureUsages::COPY_DST) {
            format!("has the usages {:?}; create it with COPY_DST", texture.usage())
        } else if texture.dimension() != wgpu::TextureDimension::D2 || texture.sample_count() != 1 {
            format!(
                "is {:?} with {} samples; a 2-D texture of one sample is needed",
                texture.dimension(),
                texture.sample_count()
            )
        } else if !within(origin.x, picture.width, size.width)
            || !within(origin.y, picture.height, size.height)
            || origin.z >= size.depth_or_array_layers
        {
            let [x, y, z] = [origin.x, origin.y, origin.z];
            let [w, h, layers] = [size.width, size.height, size.depth_or_array_layers];
            format!(
                "is {w}x{h} with {layers} layers; the picture of {}x{} does not fit at ({x}, {y}, {z})",
                picture.width, picture.height
            )
        } else {
            return Ok(());
        };
        Err(Error::State(format!("the texture {what}")))
    }
}

/// The packing launch; slot 0 holds the rows, slot 1 the output.
fn launch(output: &str, a: &Arrangement, packing: &Packing, row_bytes: usize, bytes: [u64; 2]) -> Launch {
    let [width, height] = a.size();
    let row = row_bytes / packing.unit_bytes;
    let dims = [
        ("n", row * height),
        ("row", row),
        ("width", width),
        ("image[0]", a.image[0]),
        ("image[1]", a.image[1]),
        ("channels", a.channels),
        ("columns", a.columns),
        ("first", a.first),
        ("end", a.end),
    ];
    let place = |slot: usize| Place { buffer: Buffer::Slot(slot), offset: 0, bytes: bytes[slot] };
    Launch {
        label: format!("{output} to texture"),
        shader: &SHADER,
        function: None,
        in_words: false,
        entry: packing.entry,
        constants: vec![("WORKGROUP", WORKGROUP as f64)],
        bindings: vec![(packing.binding, place(0)), ("pictures", place(1))],
        writes: vec![packing.binding],
        dims: dims.map(|(name, value)| (name.to_string(), value as u32)).into(),
        grid: grid_1d((row * height).div_ceil(WORKGROUP)),
        flops: 0,
        bytes: bytes.iter().sum(),
        dtype: DType::U32,
        exchange: None,
        why: "",
        others: vec![],
        parts: vec![],
        at: String::new(),
    }
}
