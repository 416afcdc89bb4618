//! What the room shows is what the engine computed.

use super::{networks::LATENT, players::SAMPLES, *};
use crate::room::{self, PIXELS, SIDE};
use oneiro::measure::watch::{spread, spread_of};

fn frame(host: &Host, room: &mut Playing, steps: u64) {
    host.gpu.submit(|encoder| room.record(host, encoder, steps)).unwrap();
    host.gpu.wait().unwrap();
}

fn far(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn the_room_shows_what_the_players_learn() {
    let (host, lesson) = (Host::testing(), Arc::new(room::digits()));
    let made = make(host.clone(), lesson.clone(), Settings::even(), Progress::default());
    let mut room = pollster::block_on(made).unwrap();
    [12, 40, 40].into_iter().for_each(|sample| room.picks.pick(sample));
    frame(&host, &mut room, 20);
    let read = |room: &Playing, name: &str| room.drawing.read(&host.gpu, name).unwrap();

    // The texture is the generator's grid.
    let (samples, pixels) = (read(&room, "samples"), room.samples.pixels(&host.gpu));
    for (x, y) in (0..GRID * SIDE).flat_map(|y| (0..GRID * SIDE).map(move |x| (x, y))) {
        let sample = y / SIDE * GRID + x / SIDE;
        let want = 255.0 * samples[sample * PIXELS + y % SIDE * SIDE + x % SIDE];
        let got = f32::from(pixels[4 * (y * GRID * SIDE + x)]);
        assert!((got - want).abs() < 1.0, "pixel ({x}, {y}) is {got}, the generator says {want}");
    }

    // The walk's ends are the picked samples, and A - B + B is A.
    let (walk, terms) = (read(&room, "pictures"), read(&room, "terms"));
    let sample = |i: usize| &samples[i * PIXELS..][..PIXELS];
    assert!(far(&walk[..PIXELS], sample(12)) < 1e-4);
    assert!(far(&walk[(WALK - 1) * PIXELS..], sample(40)) < 1e-4);
    assert!(far(&terms[3 * PIXELS..], sample(12)) < 1e-4);
    assert!(far(sample(12), sample(40)) > 1e-2, "all samples are one");

    // Variety is the engine's own.
    let real = oneiro::data::Images { count: 1024, ..lesson.train.clone() };
    let real = spread_of(&oneiro::data::Images { pixels: real.pixels[..1024 * PIXELS].to_vec(), ..real });
    let want = spread(samples.iter().copied(), PIXELS) / real;
    let got = f64::from(read(&room, "variety")[0]);
    assert!((got - want).abs() < 1e-3 * want, "the variety is {got}, not {want}");

    // Both learn from round to round, by other rates too, and the curves follow.
    let weights = |name: &str| room.state.read(&host.gpu, name).unwrap();
    let names = ["generator.main.0.weight", "discriminator.main.0.bias"];
    let before = names.map(weights);
    room.settings =
        Settings { steps: 2, lr: 1e-5, lr_discriminator: 2e-2, momentum: true, ..room.settings.clone() };
    frame(&host, &mut room, 5);
    let changes = [0, 1].map(|i| far(&before[i], &room.state.read(&host.gpu, names[i]).unwrap()));
    assert!(changes[0] > 0.0 && changes[0] < 5e-4 && changes[1] > 5e-3, "{changes:?}");
    assert_eq!((room.rounds, room.batches.seen), (26, 31));
    frame(&host, &mut room, 0);
    assert_eq!(room.curves.now().round, 26);

    // A click picks the drawing under it for the letter whose turn it is.
    assert_eq!(room.picks.next, 0);
    let (context, at) = (egui::Context::default(), egui::pos2(150.0, 90.0));
    let button = |pressed| egui::Event::PointerButton {
        pos: at,
        button: egui::PointerButton::Primary,
        pressed,
        modifiers: egui::Modifiers::NONE,
    };
    let mut place = egui::Pos2::ZERO;
    for events in [vec![], vec![egui::Event::PointerMoved(at)], vec![button(true)], vec![button(false)]] {
        let input = egui::RawInput { events, ..Default::default() };
        let _ = context.run_ui(input, |ui| {
            place = ui.cursor().min;
            room.grid(ui, 320.0);
        });
    }
    let [column, row] = [at.x - place.x, at.y - place.y].map(|d| (d / 40.0) as usize);
    assert_eq!((room.picks.places(0), room.picks.next), (&[row * GRID + column][..], 1));

    // Other noise draws other pictures.
    room.picks.redraw();
    frame(&host, &mut room, 0);
    assert!(far(&read(&room, "samples"), &samples) > 1e-2 && room.picks.noise().len() == SAMPLES * LATENT);
}

/// All games can be planned and played, and a drawing costs no read-back of pictures.
#[test]
fn every_game_is_played() {
    let (caps, lesson) =
        (oneiro::kernel::caps::Caps::portable(oneiro::kernel::caps::AdapterClass::Cpu), room::digits());
    for (networks, loss, smooth) in Networks::kinds().iter().flat_map(|(networks, _)| {
        players::LOSSES
            .iter()
            .flat_map(move |(loss, _)| [false, true].map(|smooth| (networks.clone(), *loss, smooth)))
    }) {
        let game = Settings { networks, loss, smooth, ..Settings::even() }.game(&lesson.train).unwrap();
        players::training(&game, &lesson.train, &caps).unwrap();
        players::drawing(&game, &lesson.train, &caps).unwrap();
    }
}

#[test]
fn few_pictures_are_learnt_too() {
    let (host, mut lesson) = (Host::testing(), room::digits());
    let train = &mut lesson.train;
    (train.count, train.labels) = (5, None);
    train.pixels.truncate(5 * PIXELS);
    let made = make(host.clone(), Arc::new(lesson), Settings::even(), Progress::default());
    let mut room = pollster::block_on(made).unwrap();
    frame(&host, &mut room, 4);
    let pictures = room.drawing.read(&host.gpu, "samples").unwrap();
    assert!(room.batch() == 5 && pictures.iter().all(|x| (0.0..=1.0).contains(x)));
}
