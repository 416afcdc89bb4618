//! The application's frames without a window: what a visitor drops, and what a lost device leaves.

use super::*;
use egui::{Pos2, Rect, Shape, vec2};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// A file as a visitor drops it.
#[derive(Debug)]
struct Dropped(&'static str, Vec<u8>);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &Path {
        Path::new(self.0)
    }

    fn bytes(&self) -> std::result::Result<Vec<u8>, String> {
        Ok(self.1.clone())
    }
}

/// The application and its context.
struct Seen {
    app: Explorer,
    context: egui::Context,
}

impl Seen {
    /// Opens the application, and waits until the first room is open.
    fn open() -> Self {
        let context = egui::Context::default();
        context.set_fonts(fonts());
        let app = Explorer::with(Making::new(|_| async { Ok(Host::testing()) }), Asked::default());
        let mut seen = Self { app, context };
        seen.until(|app| matches!(app.places[0], Place::Open(_)));
        seen
    }

    /// One frame; returns all that is written in it.
    fn frame(&mut self, dropped: Vec<egui::DroppedFileHandle>) -> String {
        let texts = self.sized([1200.0, 820.0], dropped);
        texts.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join("\n")
    }

    /// One frame of a window of this size; returns all that is written in it, and where.
    fn sized(&mut self, size: [f32; 2], dropped: Vec<egui::DroppedFileHandle>) -> Vec<(String, Rect)> {
        let screen_rect = Some(Rect::from_min_size(Pos2::ZERO, size.into()));
        let input = egui::RawInput { screen_rect, dropped_files: dropped, ..Default::default() };
        let output = self.context.run_ui(input, |ui| {
            self.app.advance(ui.ctx());
            self.app.show(ui);
        });
        let mut told = vec![];
        output.shapes.iter().for_each(|clipped| written(&clipped.shape, clipped.clip_rect, &mut told));
        told
    }

    /// Frames until something holds.
    fn until(&mut self, holds: impl Fn(&Explorer) -> bool) {
        let begun = Instant::now();
        while !holds(&self.app) {
            assert!(begun.elapsed() < Duration::from_secs(120), "{}", self.frame(vec![]));
            self.frame(vec![]);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn weights(&self) -> Vec<u8> {
        let (Place::Open(room), Some(host)) = (&self.app.places[self.app.room], &self.app.host) else {
            panic!("no room")
        };
        let (state, names) = room.weights();
        weights::to_bytes(&host.gpu, state, names).unwrap()
    }
}

/// A notice that is longer than the window is wide goes on in the next line, and leaves by a click.
#[test]
fn a_long_notice_stays_in_the_window() {
    let mut seen = Seen::open();
    seen.app.notice = "a message that is far longer than any window is wide; ".repeat(12);
    seen.frame(vec![]);
    let input = egui::RawInput {
        screen_rect: Some(Rect::from_min_size(Pos2::ZERO, vec2(900.0, 620.0))),
        ..Default::default()
    };
    // A panel has the height of its last frame.
    let _ = seen.context.run_ui(input.clone(), |ui| seen.app.show(ui));
    let output = seen.context.run_ui(input, |ui| seen.app.show(ui));
    let notice = output
        .shapes
        .iter()
        .find(|clipped| matches!(&clipped.shape, Shape::Text(text) if text.galley.text() == seen.app.notice));
    let clipped = notice.expect("the notice is shown");
    let place = clipped.shape.visual_bounding_rect();
    assert!(clipped.clip_rect.contains_rect(place) && place.right() <= 900.0, "{place:?}");
}

/// Weights of other sizes make the room anew, and those of another room open it.
#[test]
fn weights_find_the_room_that_they_fit() {
    let mut seen = Seen::open();
    let gpu = seen.app.host.as_ref().unwrap().gpu.clone();
    let g = oneiro::graph::Graph::new();
    let x = g.input("x", oneiro::graph::shape::Type::f32([1, 784]));
    let vae = oneiro::models::vae::Vae::new(&g, &oneiro::models::vae::Config::default());
    g.output("loss", vae.loss(x).total);
    let plan = oneiro::plan::Plan::new(&g, gpu.caps()).unwrap();
    let state = oneiro::gpu::State::new(&gpu, &[&plan], 7).unwrap();
    let programs = weights::to_bytes(&gpu, &state, &g.weights()).unwrap();
    seen.app.paused = true;
    seen.frame(vec![Arc::new(Dropped("vae.safetensors", programs.clone()))]);
    seen.until(|app| app.notice.contains("vae.safetensors: 10 weights loaded"));
    assert!(seen.weights() == programs);

    let players = ["generator.main.0.weight", "discriminator.main.0.weight"];
    let weights = players.map(|name| (name.to_owned(), (vec![1], vec![0.0]))).into();
    let told = seen.app.take(Offer::Weights(weights, "gan.safetensors".into())).unwrap();
    assert!(seen.app.room == 2 && told.contains("weights of the GAN"), "{told}");
}

/// What a room saves comes back into a room of other settings, and what `gan train` and `dcgan train` make into the
/// GAN's. What fits no room is refused in a sentence that says what would.
#[test]
fn weights_of_other_settings_come_back() {
    let mut seen = Seen::open();
    seen.app.paused = true;
    let host = seen.app.host.clone().unwrap();
    let games = gan::saved(&host, &seen.app.lesson.train);
    let nets = pixelcnn::saved(&host);
    for (i, (room, bytes)) in
        games.into_iter().map(|b| (2, b)).chain(nets.into_iter().map(|b| (1, b))).enumerate()
    {
        let name = format!("{i}.safetensors");
        let count = weights::parse(&bytes).unwrap().len();
        seen.frame(vec![Arc::new(Dropped(name.clone().leak(), bytes.clone()))]);
        seen.until(|app| app.dropped.is_none() && app.offer.is_none());
        let told = format!("{name}: {count} weights loaded");
        assert!(seen.app.room == room && seen.app.notice.starts_with(&told), "{}", seen.app.notice);
        assert!(seen.weights() == bytes, "{name}");
        let shown = seen.frame(vec![]);
        let early = ["It is early", "Both players are new", "first strokes in"];
        assert!(!early.iter().any(|words| shown.contains(words)), "{shown}");
    }

    // Players that are told classes, and layers that are wider than the room's widest.
    for (classes, width) in [(10, 16), (0, 4096)] {
        let layers = [
            ("generator.main.0.weight", [width, 32 + classes]),
            ("generator.main.2.weight", [784, width]),
            ("discriminator.main.0.weight", [width, 784 + classes]),
            ("discriminator.main.2.weight", [1, width]),
        ];
        let weights = layers.map(|(name, shape)| (name.to_owned(), (shape.to_vec(), vec![])));
        seen.app.offer = Some(Offer::Weights(weights.into(), "other.safetensors".into()));
        seen.until(|app| app.offer.is_none());
        let told = &seen.app.notice;
        let fits = ["other.safetensors: ", "`gan train`", "without classes", "2048"];
        assert!(fits.iter().all(|part| told.contains(part)) && told.lines().count() == 1, "{told}");
    }
}

/// No text lies over another one, in windows down to the least that pages may have.
#[test]
fn no_text_lies_over_another() {
    let mut seen = Seen::open();
    for room in 0..ROOMS.len() {
        seen.app.open(room);
        seen.until(|app| matches!(&app.places[room], Place::Open(room) if room.step() > 8));
        for size in [[1200.0, 820.0], [900.0, 620.0], [700.0, 500.0]] {
            // Panels have the height of their last frame.
            let texts = [(); 4].map(|()| seen.sized(size, vec![])).into_iter().last().unwrap();
            for (i, (text, place)) in texts.iter().enumerate() {
                for (other, over) in &texts[..i] {
                    let both = place.intersect(*over);
                    let apart = both.width() < 1.0 || both.height() < 2.0;
                    assert!(apart, "{size:?}: {text:?} at {place:?} lies over {other:?} at {over:?}");
                }
            }
            assert!(texts.iter().filter(|(_, place)| place.is_positive()).count() > 20, "{texts:?}");
        }
    }
}

fn written(shape: &Shape, clip: Rect, told: &mut Vec<(String, Rect)>) {
    match shape {
        Shape::Text(text) => {
            told.push((text.galley.text().to_owned(), shape.visual_bounding_rect().intersect(clip)));
        }
        Shape::Vec(shapes) => shapes.iter().for_each(|shape| written(shape, clip, told)),
        _ => {}
    }
}

#[test]
fn weights_return_by_a_drop_and_a_loss_is_a_sentence_with_a_way_on() {
    let mut seen = Seen::open();
    seen.until(|app| matches!(&app.places[0], Place::Open(room) if room.step() > 8));
    seen.app.paused = true;
    let learnt = seen.weights();
    seen.app.places[0] = Place::Closed;
    seen.until(|app| matches!(app.places[0], Place::Open(_)));
    assert!(seen.weights() != learnt);
    seen.frame(vec![Arc::new(Dropped("learnt.safetensors", learnt.clone()))]);
    seen.until(|app| app.dropped.is_none());
    assert!(seen.frame(vec![]).contains("learnt.safetensors: "), "{}", seen.app.notice);
    assert!(seen.weights() == learnt);

    // What is no weights' file is said, and loses nothing.
    seen.frame(vec![Arc::new(Dropped("bad.safetensors", b"no weights".to_vec()))]);
    seen.until(|app| app.dropped.is_none());
    assert!(
        seen.frame(vec![]).contains("bad.safetensors: not a whole safetensors file"),
        "{}",
        seen.app.notice
    );
    assert!(seen.weights() == learnt);

    // Pictures are learnt from by a new room.
    let header = [0, 0, 8, 3, 0, 0, 0, 20, 0, 0, 0, 28, 0, 0, 0, 28];
    let images = [header.to_vec(), (0..20 * 784_u32).map(|i| (i % 251) as u8).collect()].concat();
    seen.frame(vec![Arc::new(Dropped("mine", images))]);
    seen.until(|app| app.lesson.name == "mine" && matches!(app.places[0], Place::Open(_)));
    assert!(seen.frame(vec![]).contains("mine: 18 pictures to learn from"));

    seen.app.host.as_ref().unwrap().gpu.note_loss("unplugged");
    seen.frame(vec![]);
    let told = seen.frame(vec![]);
    assert!(told.contains("unplugged") && told.contains("Open the window or the page again"), "{told}");
}
