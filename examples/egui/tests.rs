use super::*;
use egui_wgpu::RendererOptions;

const FRAME: u32 = 256;

/// One frame of egui's, without a window; returns the target's pixels and the place of the image in it.
fn frame(
    context: &egui::Context,
    renderer: &mut Renderer,
    dream: &Dream,
    gpu: &Gpu,
    target: &wgpu::Texture,
) -> (Vec<u8>, egui::Rect) {
    let screen = egui::Rect::from_min_size(egui::Pos2::ZERO, egui::Vec2::splat(FRAME as f32));
    let mut place = egui::Rect::NOTHING;
    let input = egui::RawInput { screen_rect: Some(screen), ..Default::default() };
    let output = context.run_ui(input, |ui| place = dream.show(ui).rect);
    for (id, deltas) in &output.textures_delta.set {
        deltas.iter().for_each(|delta| renderer.update_texture(&gpu.device, &gpu.queue, *id, delta));
    }
    let shapes = context.tessellate(output.shapes, 1.0);
    let screen = ScreenDescriptor { size_in_pixels: [FRAME; 2], pixels_per_point: 1.0 };
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    renderer.update_buffers(&gpu.device, &gpu.queue, &mut encoder, &shapes, &screen);
    let view = target.create_view(&Default::default());
    let ops = wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::BLACK), store: wgpu::StoreOp::Store };
    let attachment =
        wgpu::RenderPassColorAttachment { view: &view, depth_slice: None, resolve_target: None, ops };
    let desc = wgpu::RenderPassDescriptor { color_attachments: &[Some(attachment)], ..Default::default() };
    renderer.render(&mut encoder.begin_render_pass(&desc).forget_lifetime(), &shapes, &screen);
    let pixels = gpu.upload("pixels", &[0; (4 * FRAME * FRAME) as usize]).unwrap();
    let layout =
        wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(4 * FRAME), rows_per_image: None };
    let to = wgpu::TexelCopyBufferInfo { buffer: &pixels, layout };
    encoder.copy_texture_to_buffer(target.as_image_copy(), to, target.size());
    gpu.queue.submit([encoder.finish()]);
    (gpu.read(pixels.slice(..)).unwrap(), place)
}

#[test]
fn egui_shows_what_the_decoder_draws_and_it_learns() {
    let gpu = Gpu::headless_blocking(&Default::default()).unwrap();
    let format = wgpu::TextureFormat::Rgba8Unorm;
    let mut renderer = Renderer::new(&gpu.device, format, RendererOptions::PREDICTABLE);
    let dream = Dream::new(gpu.device.clone(), gpu.queue.clone(), &mut renderer);
    let (dream, context) = (pollster::block_on(dream).unwrap(), egui::Context::default());
    let target = gpu.device.create_texture(&wgpu::TextureDescriptor {
        label: Some("window"),
        size: wgpu::Extent3d { width: FRAME, height: FRAME, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
        view_formats: &[],
    });
    let mut seen: Vec<Vec<f32>> = vec![];
    for _ in 0..8 {
        let (pixels, place) = frame(&context, &mut renderer, &dream, &gpu, &target);
        let engine = renderer.callback_resources.get::<Engine>().unwrap();
        assert_eq!(*engine.trouble.lock().unwrap(), None);
        let pictures = engine.decoder.read(&engine.gpu, "pictures").unwrap();
        let [left, top] = [place.min.x, place.min.y].map(|at| at.round() as usize);
        for (x, y) in (0..COLUMNS * SIDE).flat_map(|y| (0..COLUMNS * SIDE).map(move |x| (x, y))) {
            let picture = y / SIDE * COLUMNS + x / SIDE;
            let want = 255.0 * pictures[(picture * SIDE + y % SIDE) * SIDE + x % SIDE];
            let got = f32::from(pixels[4 * ((top + y) * FRAME as usize + left + x)]);
            assert!((got - want).abs() < 2.0, "pixel ({x}, {y}): {got}, the decoder says {want}");
        }
        seen.push(pictures);
    }
    let changed = seen[0].iter().zip(&seen[7]).filter(|(a, b)| (*a - *b).abs() > 0.1).count();
    assert!(changed > seen[0].len() / 20, "{changed} of {} pixels learnt something", seen[0].len());

    // A loss is a sentence in the window.
    renderer.callback_resources.get::<Engine>().unwrap().gpu.note_loss("unplugged");
    frame(&context, &mut renderer, &dream, &gpu, &target);
    let trouble = dream.trouble.lock().unwrap().clone().expect("trouble");
    assert!(trouble.contains("unplugged"), "{trouble}");
}
