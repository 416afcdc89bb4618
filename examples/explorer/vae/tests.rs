//! What the room shows is what the engine computed, and what it says about the weight of the KL term holds.

use super::*;
use eframe::egui::{Event, Pos2, RawInput, Rect, Vec2, pos2, vec2};

const WINDOW: Vec2 = vec2(1200.0, 760.0);

/// A room, without a window.
fn room(lesson: Lesson, settings: Settings) -> (Host, Playing) {
    let host = Host::testing();
    let made = make(host.clone(), Arc::new(lesson), settings, Progress::default());
    let made = pollster::block_on(made).unwrap();
    (host, made)
}

fn record(host: &Host, room: &mut Playing, steps: u64) {
    host.gpu.submit(|encoder| room.record(host, encoder, steps)).unwrap();
    host.gpu.wait().unwrap();
}

/// One frame of egui's with the pointer at this place; returns whether the room wants to be made anew.
fn frame(host: &Host, room: &mut Playing, context: &egui::Context, pointer: Pos2) -> Option<Maker> {
    let screen_rect = Some(Rect::from_min_size(Pos2::ZERO, WINDOW));
    let mut maker = None;
    // The second frame knows what the first one laid out.
    for _ in 0..2 {
        let events = vec![Event::PointerMoved(pointer)];
        let input = RawInput { screen_rect, events, ..Default::default() };
        drop(context.run_ui(input, |ui| maker = room.show(host, ui).or(maker.take())));
    }
    maker
}

/// The grey levels of a canvas.
fn greys(canvas: &Canvas, host: &Host) -> Vec<u8> {
    canvas.pixels(&host.gpu).chunks(4).map(|texel| texel[0]).collect()
}

/// Whether levels are these values to half a level.
fn same(levels: &[u8], values: &[f32]) {
    assert_eq!(levels.len(), values.len());
    for (level, value) in levels.iter().zip(values) {
        assert!((f32::from(*level) - 255.0 * value).abs() < 0.51, "{level}, not {}", 255.0 * value);
    }
}

/// What a decoder of the test's own draws from these latents.
fn decoded(host: &Host, room: &Playing, latents: &[f32]) -> Vec<f32> {
    let (gpu, g) = (&host.gpu, Graph::new());
    let latent = room.settings.latent;
    model::decoder(&g, &room.settings.config(), latents.len() / latent);
    let plan = Plan::new(&g, gpu.caps()).unwrap();
    let executor = Executor::new(gpu, &plan, &room.state, &[]).unwrap();
    executor.write(gpu, "z", latents).unwrap();
    executor.step(gpu).unwrap();
    executor.read(gpu, "pictures").unwrap()
}

#[test]
fn the_pictures_are_the_decoders_at_the_pointer_and_over_the_plane() {
    let (host, mut room) = room(crate::room::digits(), Settings { latent: 5, ..Settings::default() });
    let context = egui::Context::default();
    room.look(Span::Axes([3, 1]));
    record(&host, &mut room, 4);
    // The square begins beneath the row of controls; a quarter of its side is the quartile of the Gaussian.
    let drawn = greys(&room.manifold_canvas, &host);
    let mut seen = vec![];
    for pointer in [pos2(60.0, 200.0), pos2(400.0, 500.0)] {
        frame(&host, &mut room, &context, pointer);
        record(&host, &mut room, 0);
        let z = [0.0, room.at[1], 0.0, room.at[0], 0.0];
        same(&greys(&room.dream_canvas, &host), &decoded(&host, &room, &z));
        seen.push(room.at);
    }
    // Beneath the first of the test pictures the point is where its code lies.
    let first = room.originals.place().left_center() + vec2(5.0, 0.0);
    frame(&host, &mut room, &context, first);
    assert_eq!(room.at, room.plane.point(room.cloud.mean(room.examples[0]).unwrap()));
    let [[left, upper], [right, lower]] = [seen[0], seen[1]];
    assert!(left < -1.0 && right > left && upper > lower, "{seen:?}");

    let q = |i| oneiro::train::quantile(i, COLUMNS);
    let cells = [(0, 0), (COLUMNS - 1, 3), (7, 14)];
    let z: Vec<f32> = cells.iter().flat_map(|&(x, y)| [0.0, -q(y), 0.0, q(x), 0.0]).collect();
    for (&(x, y), wanted) in cells.iter().zip(decoded(&host, &room, &z).chunks(PIXELS)) {
        for (i, want) in wanted.iter().enumerate() {
            let (column, row) = (28 * x + i % 28, 28 * y + i / 28);
            let got = f32::from(drawn[row * 28 * COLUMNS + column]);
            // The scale is a table, whose latents differ from the quantiles by 0.002.
            assert!((got - 255.0 * want).abs() < 1.5, "cell ({x}, {y}): {got}, not {}", 255.0 * want);
        }
    }
}

#[test]
fn the_cloud_and_the_pictures_drawn_again_are_the_encoders() {
    let mut lesson = crate::room::digits();
    let kept = 37;
    lesson.test.count = kept;
    lesson.test.pixels.truncate(kept * PIXELS);
    let test = lesson.test.clone();
    let (host, mut room) = room(lesson, Settings::default());
    record(&host, &mut room, 8);
    // The look that began with the steps comes with the next record.
    record(&host, &mut room, 0);
    let g = Graph::new();
    model::encoder(&g, &room.settings.config(), kept);
    let plan = Plan::new(&g, host.gpu.caps()).unwrap();
    let executor = Executor::new(&host.gpu, &plan, &room.state, &[]).unwrap();
    let all: Vec<usize> = (0..kept).collect();
    executor.write(&host.gpu, "x", &cloud::values(&test, &all)).unwrap();
    executor.step(&host.gpu).unwrap();
    let means = executor.read(&host.gpu, "mu").unwrap();
    assert_eq!(room.cloud.means, means);
    assert_eq!(room.cloud.kl, executor.read(&host.gpu, "kl").unwrap());
    let points: Vec<_> = room.cloud.points(&room.plane).collect();
    let labels = test.labels.as_ref().unwrap();
    for (i, (point, colour)) in points.iter().enumerate() {
        assert_eq!(
            (&point[..], *colour),
            (&means[2 * i..2 * i + 2], crate::palette::class(labels[i].into()))
        );
    }

    let examples = cloud::examples(&test);
    assert_eq!(examples.iter().map(|&i| labels[i]).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let z: Vec<f32> = examples.iter().flat_map(|&i| means[2 * i..2 * i + 2].to_vec()).collect();
    for (canvas, wanted) in
        [(&room.originals, cloud::values(&test, &examples)), (&room.again, decoded(&host, &room, &z))]
    {
        let greys = greys(canvas, &host);
        for (i, picture) in wanted.chunks(PIXELS).enumerate() {
            let rows = greys.chunks(280).flat_map(|row| row[28 * i..28 * (i + 1)].to_vec());
            same(&rows.collect::<Vec<_>>(), picture);
        }
    }
}

#[test]
fn beta_takes_effect_at_once() {
    let (host, mut room) = room(crate::room::digits(), Settings::default());
    let kl = |room: &mut Playing, beta| {
        room.settings.beta = beta;
        for _ in 0..8 {
            record(&host, room, 20);
        }
        room.trainer.read(&host.gpu, "nats").unwrap()
    };
    let [evidence, free, pressed] = [1.0, 0.0, 10.0].map(|beta| kl(&mut room, beta));
    assert!(evidence[1] > 0.5 && evidence[0] < 190.0, "{evidence:?}");
    assert!(free[1] > 3.0 * evidence[1] && free[0] < evidence[0], "{free:?} after {evidence:?}");
    assert!(pressed[1] < 0.3 * free[1] && pressed[0] > free[0], "{pressed:?} after {free:?}");
}

#[test]
fn a_lesson_without_classes_and_smaller_than_a_batch_is_learnt_too() {
    let mut lesson = crate::room::digits();
    lesson.class_names = vec![];
    for (images, count) in [(&mut lesson.train, 20), (&mut lesson.test, 3)] {
        images.pixels.truncate(count * PIXELS);
        (images.count, images.classes, images.labels) = (count, 0, None);
    }
    let (host, mut room) = room(lesson, Settings { latent: 10, ..Settings::default() });
    assert_eq!(room.batch(), 20);
    record(&host, &mut room, 3);
    record(&host, &mut room, 0);
    assert_eq!((room.step(), room.cloud.points(&room.plane).count()), (4, 3));
    let context = egui::Context::default();
    assert!(frame(&host, &mut room, &context, pos2(600.0, 300.0)).is_none());
    room.wanted = Some(Settings { latent: 2, ..room.settings.clone() });
    assert!(frame(&host, &mut room, &context, pos2(600.0, 300.0)).is_some());
}
