//! The engine in a host application: `examples/embed.rs` draws what it should, pictures arrive in every
//! texture format, and a host that keeps its submissions to itself gets read-backs, completions and plain
//! errors.

use crate::subjects::{Ready, adapter, noop};
use oneiro::{
    gpu::{Blit, Choice, Executor, Gpu, Shown, wgpu},
    graph::{Graph, shape::Type},
    plan::Plan,
};

#[allow(dead_code)]
#[path = "../../examples/embed.rs"]
mod example;
use example::{App, BACKGROUND, CORNER, FRAME, SCALE};

/// The frame's pixels at (x, y), RGBA.
fn at(pixels: &[u8], x: u32, y: u32) -> [u8; 4] {
    pixels[4 * (y * FRAME[0] + x) as usize..][..4].try_into().unwrap()
}

/// The pixels of the host's half of the frame that are not background.
fn triangle(pixels: &[u8]) -> Vec<(u32, u32)> {
    let all = (0..FRAME[1]).flat_map(|y| (0..CORNER[0]).map(move |x| (x, y)));
    all.filter(|&(x, y)| at(pixels, x, y)[..3] != BACKGROUND).collect()
}

#[test]
fn the_host_draws_and_the_engine_with_it() {
    let Some(gpu) = adapter("the_host_draws_and_the_engine_with_it") else { return };
    let app = App::open(Some(&gpu.caps().name)).unwrap();
    let (mut losses, mut before) = (vec![], None::<(Vec<f32>, Vec<_>)>);
    for number in 0..4 {
        let frame = app.frame(number, 12).unwrap();
        assert_eq!(at(&frame.pixels, 0, 0), [BACKGROUND[0], BACKGROUND[1], BACKGROUND[2], 255]);
        let host = triangle(&frame.pixels);
        // An equilateral triangle within a circle of 0.4 times the corner's x.
        let area = 1.299 * (0.4 * f64::from(CORNER[0])).powi(2);
        assert!(
            (host.len() as f64 / area - 1.0).abs() < 0.05,
            "{} pixels of the triangle, {area} are due",
            host.len()
        );
        let [x, y] = [CORNER[0] / 2, FRAME[1] / 2];
        assert!(
            at(&frame.pixels, x, y)[..3].iter().all(|c| (90..130).contains(c)),
            "the three colours do not meet in the middle"
        );

        let pictures = app.decoder.read(&app.gpu, "pictures").unwrap();
        let side = 6 * 28;
        for (x, y) in (0..side * SCALE).flat_map(|y| (0..side * SCALE).map(move |x| (x, y))) {
            let (column, row) = ((x / SCALE) as usize, (y / SCALE) as usize);
            let value = pictures[((row / 28 * 6 + column / 28) * 28 + row % 28) * 28 + column % 28];
            let [r, g, b, a] = at(&frame.pixels, CORNER[0] + x, CORNER[1] + y);
            let near = (f32::from(r) / 255.0 - value).abs() <= 0.51 / 255.0;
            assert!(
                near && r == g && g == b && a == 255,
                "frame {number}, pixel ({x}, {y}): {r} {g} {b} {a}, the output says {value}"
            );
        }
        if let Some((pictures_before, host_before)) = &before {
            let moved =
                pictures.iter().zip(pictures_before).filter(|(a, b)| (*a - *b).abs() > 1.0 / 255.0).count();
            assert!(moved > pictures.len() / 20, "{moved} of {} pixels learnt something", pictures.len());
            assert_ne!(&host, host_before, "the triangle stands still");
        }
        before = Some((pictures, host));
        losses.push(frame.loss);
    }
    assert!(losses[0].is_finite() && losses[3] < 0.8 * losses[0], "{losses:?}");
}

#[test]
fn the_host_lists_adapters() {
    let Some(gpu) = adapter("the_host_lists_adapters") else { return };
    let error = App::open(Some("no such adapter")).err().unwrap().to_string();
    assert!(error.contains(&gpu.caps().name), "{error}");
}

/// A graph whose output is its pictures.
struct Pictures {
    values: Vec<f32>,
    executor: Executor,
}

impl Pictures {
    fn new(gpu: &Gpu, shape: &[usize]) -> Self {
        let g = Graph::new();
        g.output("pictures", g.input("x", Type::f32(shape)) + 0.0);
        let executor = Ready::new(gpu, &g, 0).executor;
        // From below 0 to above 1, no two alike.
        let n: usize = shape.iter().product();
        let values: Vec<f32> = (0..n).map(|i| ((i * 7_919) % n) as f32 / n as f32 * 1.2 - 0.1).collect();
        executor.write(gpu, "x", &values).unwrap();
        Self { values, executor }
    }
}

fn texture(
    gpu: &Gpu,
    format: wgpu::TextureFormat,
    [width, height, layers]: [u32; 3],
    usage: wgpu::TextureUsages,
) -> wgpu::Texture {
    gpu.device.create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: wgpu::Extent3d { width, height, depth_or_array_layers: layers },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage,
        view_formats: &[],
    })
}

/// The value of a 16-bit float.
fn half(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023) / 1024.0);
    let size =
        if exponent == 0 { fraction * 2f32.powi(-14) } else { (1.0 + fraction) * 2f32.powi(exponent - 15) };
    if bits >> 15 == 1 { -size } else { size }
}

/// A texel's channels, and the number of steps from 0 to 1 of its colour.
fn decode(format: wgpu::TextureFormat, texel: &[u8]) -> (Vec<f32>, f32) {
    use wgpu::TextureFormat as F;
    let bytes = || texel.iter().map(|&b| f32::from(b) / 255.0).collect::<Vec<_>>();
    let halves = || texel.chunks(2).map(|b| half(u16::from_le_bytes([b[0], b[1]]))).collect();
    match format {
        F::R8Unorm | F::Rgba8Unorm | F::Rgba8UnormSrgb => (bytes(), 255.0),
        F::Bgra8Unorm | F::Bgra8UnormSrgb => ([2, 1, 0, 3].map(|i| bytes()[i]).into(), 255.0),
        F::Rgb10a2Unorm => {
            let word = u32::from_le_bytes(texel.try_into().unwrap());
            let colour = [0, 10, 20].map(|shift| (word >> shift & 1023) as f32 / 1023.0);
            (vec![colour[0], colour[1], colour[2], (word >> 30) as f32 / 3.0], 1023.0)
        }
        F::R16Float | F::Rgba16Float => (halves(), 1024.0),
        _ => (texel.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect(), 1e7),
    }
}

/// Draws pictures into a texture at (1, 2) of layer 1 and compares every texel, those around the pictures
/// included.
fn compare(gpu: &Gpu, format: wgpu::TextureFormat, shape: [usize; 4], layout: Shown) {
    let pictures = Pictures::new(gpu, &shape);
    let blit = Blit::new(gpu, &pictures.executor, "pictures", layout, format).unwrap();
    let [count, h, w, c] = shape;
    let (columns, rows, first, shown) = match layout {
        Shown::Image(n) => (1, 1, n, 1),
        Shown::Grid { columns } => (columns, count.div_ceil(columns), 0, count),
    };
    assert_eq!([blit.size().width as usize, blit.size().height as usize], [columns * w, rows * h]);
    let size = [(columns * w) as u32 + 3, (rows * h) as u32 + 3, 2];
    let target = texture(gpu, format, size, wgpu::TextureUsages::COPY_DST | wgpu::TextureUsages::COPY_SRC);
    let texel = format.block_copy_size(None).unwrap() as usize;
    let row = (size[0] as usize * texel).next_multiple_of(256);
    let back = gpu.upload("back", &vec![0; row * size[1] as usize]).unwrap();
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    pictures.executor.record(&mut encoder).unwrap();
    blit.record(&mut encoder, &target, wgpu::Origin3d { x: 1, y: 2, z: 1 }).unwrap();
    let from =
        wgpu::TexelCopyTextureInfo { origin: wgpu::Origin3d { x: 0, y: 0, z: 1 }, ..target.as_image_copy() };
    let layout =
        wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row as u32), rows_per_image: None };
    let extent = wgpu::Extent3d { width: size[0], height: size[1], depth_or_array_layers: 1 };
    encoder.copy_texture_to_buffer(from, wgpu::TexelCopyBufferInfo { buffer: &back, layout }, extent);
    gpu.queue.submit([encoder.finish()]);
    let bytes = gpu.read(back.slice(..)).unwrap();
    for (x, y) in (0..size[1] as usize).flat_map(|y| (0..size[0] as usize).map(move |x| (x, y))) {
        let (got, steps) = decode(format, &bytes[y * row + x * texel..][..texel]);
        let inside = (1..1 + columns * w).contains(&x) && (2..2 + rows * h).contains(&y);
        let want = inside.then(|| {
            let (x, y) = (x - 1, y - 2);
            let (n, pixel) = (y / h * columns + x / w, y % h * w + x % w);
            let at = ((first + n) * h * w + pixel) * c;
            match (n < shown, c) {
                (false, _) => [0.0, 0.0, 0.0, 1.0],
                (_, 1) => [pictures.values[at], pictures.values[at], pictures.values[at], 1.0],
                (_, 3) => [pictures.values[at], pictures.values[at + 1], pictures.values[at + 2], 1.0],
                _ => [0, 1, 2, 3].map(|i| pictures.values[at + i]),
            }
        });
        for (i, got) in got.iter().enumerate() {
            let (mut want, alpha10) =
                (want.map_or(0.0, |w| w[i]), i == 3 && format == wgpu::TextureFormat::Rgb10a2Unorm);
            if format!("{format:?}").contains("Unorm") {
                want = want.clamp(0.0, 1.0);
            }
            let steps = if alpha10 { 3.0 } else { steps };
            assert!(
                (got - want).abs() <= 0.51 / steps,
                "{format:?} of {shape:?}, texel ({x}, {y}), channel {i}: {got} instead of {want}"
            );
        }
    }
}

#[test]
fn pictures_arrive_in_every_format() {
    use wgpu::TextureFormat as F;
    let Some(gpu) = adapter("pictures_arrive_in_every_format") else { return };
    for format in [F::R8Unorm, F::R16Float, F::R32Float] {
        compare(gpu, format, [3, 5, 7, 1], Shown::Image(2));
        compare(gpu, format, [5, 3, 67, 1], Shown::Grid { columns: 2 });
    }
    let colour = [
        F::Rgba8Unorm,
        F::Rgba8UnormSrgb,
        F::Bgra8Unorm,
        F::Bgra8UnormSrgb,
        F::Rgb10a2Unorm,
        F::Rgba16Float,
        F::Rgba32Float,
    ];
    for format in colour {
        for channels in [1, 3, 4] {
            compare(gpu, format, [3, 5, 7, channels], Shown::Image(1));
            compare(gpu, format, [4, 3, 33, channels], Shown::Grid { columns: 3 });
        }
    }
    compare(gpu, F::Rgba8Unorm, [1, 1, 1, 1], Shown::Grid { columns: 1 });
}

#[test]
fn pictures_that_do_not_fit_are_errors() {
    use wgpu::{Origin3d, TextureFormat as F, TextureUsages as U};
    let Some(gpu) = adapter("pictures_that_do_not_fit_are_errors") else { return };
    let pictures = Pictures::new(gpu, &[2, 4, 6, 3]);
    let blit = |layout, format| Blit::new(gpu, &pictures.executor, "pictures", layout, format);
    let failed = |result: oneiro::error::Result<Blit>| result.err().expect("an error").to_string();
    assert!(failed(blit(Shown::Image(2), F::Rgba8Unorm)).contains("no image 2"));
    assert!(failed(blit(Shown::Grid { columns: 0 }, F::Rgba8Unorm)).contains("column"));
    assert!(failed(blit(Shown::Grid { columns: usize::MAX }, F::Rgba8Unorm)).contains("columns"));
    assert!(failed(blit(Shown::Image(0), F::R8Unorm)).contains("R8Unorm texture of one channel"));
    assert!(failed(blit(Shown::Image(0), F::Rgba8Uint)).contains("Rgba8Uint"));
    assert!(failed(blit(Shown::Image(0), F::Depth32Float)).contains("Depth32Float"));
    assert!(
        failed(Blit::new(gpu, &pictures.executor, "faces", Shown::Image(0), F::Rgba8Unorm))
            .contains("no output `faces`")
    );
    let flat = Pictures::new(gpu, &[2, 72]);
    assert!(
        failed(Blit::new(gpu, &flat.executor, "pictures", Shown::Image(0), F::Rgba8Unorm))
            .contains("[N, H, W, C]")
    );
    let wide = Shown::Grid { columns: 3_000_000 };
    assert!(failed(blit(wide, F::Rgba32Float)).contains("binds at most"));

    let blit = blit(Shown::Grid { columns: 2 }, F::Rgba8Unorm).unwrap();
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    let mut failed = |t: &wgpu::Texture, [x, y, z]: [u32; 3]| {
        blit.record(&mut encoder, t, Origin3d { x, y, z }).unwrap_err().to_string()
    };
    let fits = texture(gpu, F::Rgba8Unorm, [12, 4, 1], U::COPY_DST);
    assert!(failed(&fits, [1, 0, 0]).contains("12x4 does not fit at (1, 0, 0)"));
    assert!(failed(&fits, [0, u32::MAX, 0]).contains("does not fit"));
    assert!(failed(&fits, [0, 0, 1]).contains("1 layers"));
    assert!(failed(&texture(gpu, F::Rgba8Unorm, [11, 4, 1], U::COPY_DST), [0; 3]).contains("is 11x4"));
    assert!(failed(&texture(gpu, F::Bgra8Unorm, [12, 4, 1], U::COPY_DST), [0; 3]).contains("Bgra8Unorm"));
    assert!(
        failed(&texture(gpu, F::Rgba8Unorm, [12, 4, 1], U::TEXTURE_BINDING), [0; 3]).contains("COPY_DST")
    );
    // After all these errors the host's encoder is as it was.
    blit.record(&mut encoder, &fits, Origin3d::ZERO).unwrap();
    gpu.queue.submit([encoder.finish()]);
    gpu.wait().unwrap();
}

#[test]
fn a_blit_allocates_nothing() {
    let Some(shared) = adapter("a_blit_allocates_nothing") else { return };
    let gpu = &Gpu::headless_blocking(&Choice::Named(shared.caps().name.clone())).unwrap();
    let pictures = Pictures::new(gpu, &[4, 28, 28, 1]);
    let format = wgpu::TextureFormat::Rgba8Unorm;
    let blit = Blit::new(gpu, &pictures.executor, "pictures", Shown::Grid { columns: 2 }, format).unwrap();
    let target = texture(gpu, format, [56, 56, 1], wgpu::TextureUsages::COPY_DST);
    let counts = || {
        let hal = gpu.device.get_internal_counters().hal;
        [
            &hal.buffers,
            &hal.buffer_memory,
            &hal.memory_allocations,
            &hal.textures,
            &hal.bind_groups,
            &hal.compute_pipelines,
        ]
        .map(|c| c.read())
    };
    let frame = || {
        gpu.submit(|encoder| {
            pictures.executor.record(encoder)?;
            blit.record(encoder, &target, wgpu::Origin3d::ZERO)
        })
        .unwrap();
        gpu.wait().unwrap();
    };
    frame();
    let first = counts();
    assert!(first[0] > 3 && first[1] > 10_000 && first[4] > 1, "the counters do not count: {first:?}");
    for _ in 0..10 {
        frame();
        assert_eq!(counts(), first);
    }
}

#[test]
fn read_backs_and_completions_follow_the_hosts_submission() {
    let Some(gpu) = adapter("read_backs_and_completions_follow_the_hosts_submission") else { return };
    let pictures = Pictures::new(gpu, &[1, 3, 5, 1]);
    let output = pictures.executor.output("pictures").unwrap();
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    pictures.executor.record(&mut encoder).unwrap();
    let mut read = gpu.record_read(&mut encoder, output).unwrap();
    let mut tail = gpu.record_read(&mut encoder, output.slice(4..9)).unwrap();
    let mut floats = pictures.executor.record_read(gpu, &mut encoder, "pictures").unwrap();
    let mut done = gpu.completion(&encoder);
    gpu.wait().unwrap();
    assert!(read.ready().is_none() && done.ready().is_none(), "nothing was submitted yet");
    gpu.queue.submit([encoder.finish()]);
    gpu.wait().unwrap();
    let bytes: Vec<u8> = bytemuck::cast_slice(&pictures.values).to_vec();
    assert_eq!(read.ready().expect("the device was waited for").unwrap(), bytes);
    assert!(read.ready().is_none(), "a result comes once");
    assert_eq!(tail.ready().expect("the device was waited for").unwrap(), bytes[4..9]);
    assert_eq!(floats.ready().expect("the device was waited for").unwrap(), pictures.values);
    done.ready().expect("the device was waited for").unwrap();

    // Awaiting polls the device; so does asking once a frame.
    let [a, b] = pollster::block_on(pictures.executor.read_async(gpu, ["pictures", "pictures"])).unwrap();
    assert!(a == pictures.values && b == a);
    let mut asked = gpu.read_async(output);
    let came = (0..10_000).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(1));
        asked.ready()
    });
    assert_eq!(came.expect("within ten seconds").unwrap(), bytes);

    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    let (mut read, mut done) = (gpu.record_read(&mut encoder, output).unwrap(), gpu.completion(&encoder));
    drop(encoder);
    let dropped = read.ready().expect("it will never be submitted").unwrap_err().to_string();
    assert!(dropped.contains("without being submitted"), "{dropped}");
    assert!(done.ready().expect("it will never be submitted").is_err());

    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    let deaf = wgpu::BufferDescriptor {
        label: None,
        size: 64,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    };
    let deaf = gpu.device.create_buffer(&deaf);
    let mut failed = |from| gpu.record_read(&mut encoder, from).err().expect("an error").to_string();
    assert!(failed(output.buffer().slice(2..6)).contains("whole words"));
    assert!(failed(deaf.slice(..)).contains("COPY_SRC"));
    gpu.queue.submit([encoder.finish()]);
}

/// A device whose limit is one step below the required one is refused, for each limit.
#[test]
fn every_limit_is_named() {
    type Weaken = fn(&mut wgpu::Limits);
    let weaken: [(&str, Weaken); 12] = [
        ("max_bindings_per_bind_group is 999", |l| l.max_bindings_per_bind_group -= 1),
        ("max_storage_buffers_per_shader_stage is 7", |l| l.max_storage_buffers_per_shader_stage -= 1),
        ("max_uniform_buffers_per_shader_stage is 11", |l| l.max_uniform_buffers_per_shader_stage -= 1),
        ("max_uniform_buffer_binding_size is 65532", |l| l.max_uniform_buffer_binding_size -= 4),
        ("max_compute_workgroup_storage_size is 16383", |l| l.max_compute_workgroup_storage_size -= 1),
        ("max_compute_invocations_per_workgroup is 255", |l| l.max_compute_invocations_per_workgroup -= 1),
        ("max_compute_workgroup_size_x is 255", |l| l.max_compute_workgroup_size_x -= 1),
        ("max_compute_workgroup_size_y is 255", |l| l.max_compute_workgroup_size_y -= 1),
        ("max_compute_workgroup_size_z is 63", |l| l.max_compute_workgroup_size_z -= 1),
        ("max_compute_workgroups_per_dimension is 65534", |l| l.max_compute_workgroups_per_dimension -= 1),
        ("min_uniform_buffer_offset_alignment is 512, the engine needs at most 256", |l| {
            l.min_uniform_buffer_offset_alignment = 512
        }),
        ("min_storage_buffer_offset_alignment is 512, the engine needs at most 256", |l| {
            l.min_storage_buffer_offset_alignment = 512
        }),
    ];
    for (expected, weaken) in weaken {
        let mut limits = Gpu::required_limits();
        weaken(&mut limits);
        let (device, queue) = noop(limits);
        let error = Gpu::from_existing_blocking(device, queue).err().expect(expected).to_string();
        assert!(error.contains(expected) && error.contains("required_limits()"), "{expected}: {error}");
    }
}

/// If a host allows only small buffers, planning fails with the numbers.
#[test]
fn small_bindings_are_the_plans_business() {
    let limits = wgpu::Limits {
        max_storage_buffer_binding_size: 1 << 20,
        max_buffer_size: 1 << 20,
        ..Gpu::required_limits()
    };
    let (device, queue) = noop(limits);
    let gpu = Gpu::untested(device, queue);
    assert_eq!((gpu.caps().max_binding, gpu.caps().max_buffer), (1 << 20, 1 << 20));
    let g = Graph::new();
    g.output("y", g.input("x", Type::f32([1 << 19])) + 1.0);
    let error = Plan::new(&g, gpu.caps()).unwrap_err().to_string();
    assert!(error.contains("2097152") || error.contains("2 MiB") || error.contains("2.0 MiB"), "{error}");
}
