//! What the room shows is what the engine computed, and what it teaches is true.

use super::{
    gallery::{COLUMNS, COUNT, when},
    paint::Cell,
    *,
};
use crate::room::digits as lesson;
use oneiro::{graph::shape::Type, models::pixelcnn::PixelCnn, train::PICTURE};
use std::sync::{LazyLock, Mutex, MutexGuard};

/// The room, trained for some steps.
static ROOM: LazyLock<Mutex<(Host, Playing)>> = LazyLock::new(|| {
    let host = Host::testing();
    let made = make(host.clone(), Arc::new(lesson()), Progress::default(), 1);
    let mut room = pollster::block_on(made).unwrap();
    for _ in 0..10 {
        frame(&host, &mut room, 2);
    }
    (room.trains, room.goes_on) = (false, false);
    Mutex::new((host, room))
});

fn room() -> MutexGuard<'static, (Host, Playing)> {
    ROOM.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn frame(host: &Host, room: &mut Playing, steps: u64) {
    host.gpu.submit(|encoder| room.record(host, encoder, steps)).unwrap();
    host.gpu.wait().unwrap();
}

/// Draws from the beginning, with the random numbers of the first drawing; returns the pictures.
fn drawn(host: &Host, room: &mut Playing, speed: usize) -> Vec<f32> {
    room.gallery.state.write_words(&host.gpu, "sampling/round", &[0]).unwrap();
    room.speed = speed;
    room.complete();
    while !room.gallery.finished() {
        frame(host, room, 0);
    }
    room.gallery.state.read(&host.gpu, PICTURE).unwrap()
}

fn chances(host: &Host, room: &mut Playing, picture: &[f32]) -> Vec<f32> {
    room.surprise.put(picture.to_vec());
    room.source = Source::Painting;
    frame(host, room, 0);
    room.surprise.executor.read(&host.gpu, "pictures").unwrap()
}

#[test]
fn the_canvas_shows_the_states_pictures_in_the_order_of_the_wavefront() {
    let (host, room) = &mut *room();
    room.paper.clear();
    (room.speed, room.pace) = (1, Pace::new(true));
    room.complete();
    let when = when(room.gallery.steps);
    let mut before = vec![0.0; COUNT * PIXELS];
    let mut inked = 0;
    for step in 1..room.gallery.steps.min(60) {
        frame(host, room, 0);
        assert_eq!(room.gallery.done, step);
        let picture = room.gallery.state.read(&host.gpu, PICTURE).unwrap();
        let shown = room.gallery.canvas.pixels(&host.gpu);
        for (i, &value) in picture.iter().enumerate() {
            let (picture, pixel) = (i / PIXELS, i % PIXELS);
            let when = when[pixel] as usize;
            let tone = |tone: tones::Tone| if value == 1.0 { tone.ink } else { tone.paper };
            let want = match when + 1 {
                now if now > step => tones::WAITING,
                now if now == step => tone(tones::FLYING),
                _ => tone(tones::DRAWN),
            };
            let [x, y] = [picture % COLUMNS * SIDE + pixel % SIDE, picture / COLUMNS * SIDE + pixel / SIDE];
            let texel = &shown[4 * (y * COLUMNS * SIDE + x)..][..3];
            let same =
                texel.iter().zip(want).all(|(&got, want)| (f32::from(got) - 255.0 * want).abs() < 0.51);
            assert!(same, "pixel {i} in step {step}: {texel:?}, wanted {want:?}");
            assert!(value == before[i] || when + 1 == step, "pixel {i} changed in step {step}");
        }
        inked += picture.iter().zip(&before).filter(|(now, before)| now != before).count();
        before = picture;
    }
    assert!(inked > 0);
}

#[test]
fn one_step_a_frame_draws_the_same_pictures_as_full_speed_and_keeps_what_is_painted() {
    let (host, room) = &mut *room();
    room.paper.clear();
    let free = drawn(host, room, usize::MAX);
    room.paper.stroke(egui::pos2(9.0, 6.0), Cell::Ink);
    room.paper.stroke(egui::pos2(19.0, 9.0), Cell::Ink);
    let (picture, mask) = room.paper.given().unwrap();
    let inked = picture.iter().filter(|&&ink| ink == 1.0).count();
    assert!((20..60).contains(&inked), "{inked} pixels");
    assert!(mask[..9 * SIDE].iter().all(|&kept| kept == 1.0), "the rows above are kept");
    assert!(mask[11 * SIDE..].iter().all(|&kept| kept == 0.0), "the rows below are not");
    let [fast, slow] = [usize::MAX, 1].map(|speed| drawn(host, room, speed));
    assert_eq!(fast, slow);
    assert_ne!(fast, free);
    for (i, completion) in fast.chunks(PIXELS).enumerate() {
        let kept = (0..PIXELS).all(|at| mask[at] == 0.0 || completion[at] == picture[at]);
        assert!(kept, "completion {i} does not keep what was painted");
    }
    let [first, second] = [0, 1].map(|i| &fast[i * PIXELS..][..PIXELS]);
    assert_ne!(first, second);
}

#[test]
fn pictures_are_drawn_by_the_network_whose_weights_are_loaded_from_their_beginning_on() {
    let (host, room) = &mut *room();
    room.paper.clear();
    let (weight, bias) = ("head.1.weight", "head.1.bias");
    let before = [weight, bias].map(|name| room.state.read(&host.gpu, name).unwrap());
    room.complete();
    frame(host, room, 0);
    // A network that draws nothing but ink.
    room.state.write(&host.gpu, weight, &vec![0.0; before[0].len()]).unwrap();
    room.state.write(&host.gpu, bias, &[100.0]).unwrap();
    while !room.gallery.finished() {
        frame(host, room, 0);
    }
    let ink = |pictures: Vec<f32>| pictures.iter().filter(|&&ink| ink == 1.0).count();
    let begun = ink(room.gallery.state.read(&host.gpu, PICTURE).unwrap());
    let loaded = ink(drawn(host, room, usize::MAX));
    [weight, bias]
        .iter()
        .zip(&before)
        .for_each(|(name, old)| room.state.write(&host.gpu, name, old).unwrap());
    assert!(begun < COUNT * PIXELS, "pictures that had begun are those of the network before");
    assert_eq!(loaded, COUNT * PIXELS);
}

#[test]
fn the_heat_map_sums_to_the_models_loss() {
    let (host, room) = &mut *room();
    let g = Graph::new();
    let x = g.input("x", Type::f32([1, PIXELS]));
    g.output("loss", PixelCnn::new(&g, &room.config).loss(x));
    let plan = Plan::new(&g, host.gpu.caps()).unwrap();
    let model = Executor::new(&host.gpu, &plan, &room.state, &[]).unwrap();
    let mut totals = vec![];
    for source in [Source::Digit(3), Source::Noise] {
        let picture = if source == Source::Noise { noise() } else { room.digits[3].clone() };
        room.look_at(source);
        // The read-back of the first frame comes with the second.
        (0..3).for_each(|_| frame(host, room, 0));
        model.write(&host.gpu, "x", &picture).unwrap();
        model.step(&host.gpu).unwrap();
        let (want, got) = (model.read(&host.gpu, "loss").unwrap()[0], room.surprise.total());
        assert!((got - want).abs() < 1e-4 * want, "{got} nats in the heat map, {want} by the model");
        totals.push(got);
    }
    assert!(totals[1] > 1.5 * totals[0], "noise surprises more than a digit: {totals:?}");
}

#[test]
fn a_drawn_picture_comes_into_view_without_a_read_back() {
    let (host, room) = &mut *room();
    room.paper.clear();
    let pictures = drawn(host, room, usize::MAX);
    room.look_at(Source::Drawn(4));
    frame(host, room, 0);
    let seen = room.surprise.executor.read(&host.gpu, "picture").unwrap();
    for (i, &ink) in pictures[4 * PIXELS..][..PIXELS].iter().enumerate() {
        let want = if ink == 1.0 { tones::DRAWN.ink[0] } else { tones::DRAWN.paper[0] };
        assert!((seen[3 * i] - want).abs() < 1e-5, "pixel {i}");
    }
}

#[test]
fn a_prediction_depends_on_its_context_and_on_nothing_else() {
    let (host, room) = &mut *room();
    let digit = room.digits[0].clone();
    let at = [14, 12];
    let pixel = at[0] * SIDE + at[1];
    let context = sight::context(&room.config, at);
    assert!(context[pixel..].iter().all(|seen| !seen), "what follows is not seen");
    let want = chances(host, room, &digit)[pixel];
    let turned = |which: &dyn Fn(usize) -> bool| {
        (0..PIXELS).map(|i| if which(i) { 1.0 - digit[i] } else { digit[i] }).collect::<Vec<_>>()
    };
    let others = chances(host, room, &turned(&|i| !context[i]))[pixel];
    assert_eq!(others, want, "what the pixel does not see changes nothing");
    // A network that learnt for some steps gives far pixels little weight, but more than none.
    let within: Vec<_> = (0..pixel).filter(|&i| context[i]).collect();
    let tried: Vec<_> = within.iter().step_by(9).copied().collect();
    let felt = tried.iter().filter(|&&seen| chances(host, room, &turned(&|i| i == seen))[pixel] != want);
    let felt = felt.count();
    assert!(10 * felt > 8 * tried.len(), "{felt} of {} pixels of {} matter", tried.len(), within.len());
}

/// One frame of egui's with these events, in a window of this size; returns what the room took of it.
fn shown(
    room: &mut Playing,
    host: &Host,
    context: &egui::Context,
    size: egui::Vec2,
    events: Vec<egui::Event>,
) -> egui::Rect {
    let screen_rect = Some(egui::Rect::from_min_size(egui::Pos2::ZERO, size));
    let mut taken = egui::Rect::NOTHING;
    let _ = context.run_ui(egui::RawInput { screen_rect, events, ..Default::default() }, |ui| {
        assert!(room.show(host, ui).is_none());
        taken = ui.min_rect();
    });
    taken
}

#[test]
fn a_stroke_on_the_paper_begins_completions_when_the_pen_is_lifted() {
    let (host, room) = &mut *room();
    room.paper = Paper::default();
    drawn(host, room, usize::MAX);
    let (context, size) = (egui::Context::default(), egui::vec2(1200.0, 760.0));
    let button = |pos, pressed| egui::Event::PointerButton {
        pos,
        button: egui::PointerButton::Primary,
        pressed,
        modifiers: egui::Modifiers::NONE,
    };
    shown(room, host, &context, size, vec![]);
    let [from, to] = [egui::pos2(120.0, 180.0), egui::pos2(220.0, 200.0)];
    shown(room, host, &context, size, vec![egui::Event::PointerMoved(from), button(from, true)]);
    shown(room, host, &context, size, vec![egui::Event::PointerMoved(to)]);
    let inked = room.paper.cells.iter().filter(|&&cell| cell == Cell::Ink).count();
    assert!((15..60).contains(&inked), "{inked} pixels are painted");
    assert!(room.gallery.finished(), "nothing begins while the pen is down");
    shown(room, host, &context, size, vec![button(to, false)]);
    shown(room, host, &context, size, vec![]);
    assert!(room.gallery.begins());
    frame(host, room, 0);
    let pictures = room.gallery.state.read(&host.gpu, PICTURE).unwrap();
    let painted = room.paper.picture();
    assert!(pictures.chunks(PIXELS).all(|one| (0..PIXELS).all(|i| painted[i] <= one[i])));
    room.paper.clear();
}

#[test]
fn the_room_fits_a_small_window_and_shows_what_a_pixel_sees() {
    let (host, room) = &mut *room();
    let context = egui::Context::default();
    for size in [egui::vec2(1184.0, 740.0), egui::vec2(884.0, 620.0)] {
        // The first frames lay out the text.
        for _ in 0..2 {
            shown(room, host, &context, size, vec![]);
        }
        let taken = shown(room, host, &context, size, vec![]);
        assert!(taken.max.x <= size.x + 0.5 && taken.max.y <= size.y + 0.5, "{taken:?} in {size:?}");
        let heat = room.surprise.canvases[2].place();
        let over = vec![egui::Event::PointerMoved(heat.lerp_inside(egui::vec2(0.51, 0.51)))];
        for _ in 0..2 {
            shown(room, host, &context, size, over.clone());
        }
        let (_, seen) = room.pointed.as_ref().expect("a pixel at the pointer");
        assert_eq!(*seen, sight::context(&room.config, [SIDE / 2, SIDE / 2]));
        shown(room, host, &context, size, vec![egui::Event::PointerGone]);
    }
}
