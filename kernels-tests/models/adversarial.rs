//! DCGAN against PyTorch: ten rounds of both players from the same weights, pictures and noise end at
//! PyTorch's weights and running statistics, as near as its own f32 comes, and a generator's file gives its
//! pictures (`golden/dcgan_trajectory.py` makes the file); a GAN of perceptrons with tricks of the trade, likewise
//! (`golden/ganhacks_trajectory.py`); and the gradient penalty of whole critics.

use crate::{
    golden::{self, Played, Trajectory, bits, noise, unit},
    harness::differences,
    subjects::{Ready, adapter, all_caps, for_gpus},
};
use oneiro::{
    gpu::Gpu,
    graph::{
        Graph,
        reference::{self, Values},
        shape::{Array, Type},
        var::VarSpec,
    },
    kernel::caps::Caps,
    models::{
        dcgan::{self, Config, Norm},
        game::{self, Game, Rules},
        gan::{self, Objective, gradient_penalty},
        labels::Labels,
        players::{Batch, Tricks},
    },
    nn::{Activation, Mode, Sequential, Weight},
    plan::Plan,
    weights::{self, Weights},
};

const N: usize = 4;
const PICTURES: [usize; 4] = [N, 32, 32, 3];
const NOISE: [usize; 4] = [N, 1, 1, 6];
const ROUNDS: u32 = 10;
const FILE: &str = "dcgan_trajectory.safetensors";
const TRICKS: &str = "ganhacks_trajectory.safetensors";

/// `n` numbers in [-1, 1).
fn signed(salt: u32, n: usize) -> Vec<f32> {
    (0..n as u32).map(|i| bits(salt, i) as f32 / 8_388_608.0 - 1.0).collect()
}

fn config() -> Config {
    Config {
        side: 32,
        channels: 3,
        latent: 6,
        generator: 4,
        discriminator: 4,
        weight: Weight::Plain,
        norm: Norm::Batch,
        mode: Mode::Training,
        classes: 0,
        hint: 0,
        scores: 1,
        tricks: Tricks::default(),
    }
}

/// Ten rounds of the shipped game on recorded noise, each a step of the discriminator and one of the
/// generator.
fn trajectory() -> Trajectory {
    let networks = dcgan::Networks { latent: 6, generator: 4, discriminator: 4 };
    let game = Game::new(networks, Rules::default(), [32, 32, 3], [32, 32], 0, N).unwrap();
    let [discriminator, generator] = [Graph::new(), Graph::new()];
    discriminator.bind_stream("discriminator.z");
    generator.bind_stream("generator.z");
    game.discriminator_step(&discriminator, |g| (g.input("x", Type::f32(PICTURES)), None));
    golden::ends(&generator, &game.generator_step(&generator));
    let inputs = |round: u32| {
        let z = signed(2000 + round, NOISE.iter().product());
        vec![
            ("x", unit(1000 + round, PICTURES.iter().product())),
            ("discriminator.z", z.clone()),
            ("generator.z", z),
        ]
    };
    let (round, inputs, weights) = (vec![discriminator, generator], Box::new(inputs), golden::tensors(FILE));
    Trajectory { round, evaluation: None, rounds: ROUNDS, inputs, weights }
}

/// The streams of the noise on the discriminator's two hidden layers, with their salts and lengths.
const DISTURBED: [(&str, u32, usize); 8] = [
    ("discriminator.main.2/noise", 10_000, N * 6),
    ("discriminator.main.5/noise", 10_003, N * 8),
    ("discriminator.main.2/noise.real", 10_010, N * 6),
    ("discriminator.main.5/noise.real", 10_013, N * 8),
    ("discriminator.main.2/noise.fake.0", 10_020, N / 2 * 6),
    ("discriminator.main.5/noise.fake.0", 10_023, N / 2 * 8),
    ("discriminator.main.2/noise.fake.1", 10_030, N / 2 * 6),
    ("discriminator.main.5/noise.fake.1", 10_033, N / 2 * 8),
];

/// Ten rounds with all tricks at once.
fn with_tricks() -> Trajectory {
    const STREAMS: [(&str, u32, usize); 11] = [
        ("x", 1000, 25),
        ("discriminator.z", 2000, 4),
        ("generator.z", 2000, 4),
        ("generator.main.2.batch", 3000, 8),
        ("generator.main.5.batch", 3001, 6),
        ("generator.main.2.training", 4000, 8),
        ("generator.main.5.training", 4001, 6),
        ("label.real", 5000, 1),
        ("flip.real", 5001, 1),
        ("label.fake", 7000, 1),
        ("flip.fake", 7001, 1),
    ];
    let networks = gan::Networks::mirrored(4, vec![8, 6]);
    let rules = Rules {
        lr: 0.01,
        lr_discriminator: 0.05,
        sgd: true,
        labels: Labels { real: [0.7, 1.2], fake: [0.0, 0.3], flipped: 0.3 },
        history: 4,
        uniform: true,
        tricks: Tricks { stddev: true, dropout: 0.5, noise: 0.5, ..Tricks::default() },
        ..Rules::default()
    };
    let game = Game::new(networks, rules, [5, 5, 1], [5, 5], 0, N).unwrap();
    let [discriminator, generator] = [Graph::new(), Graph::new()];
    let streams = || STREAMS.into_iter().skip(1).map(|(name, ..)| name).chain(["pool"]);
    for name in streams() {
        let player =
            if name == "generator.z" || name.ends_with("training") { &generator } else { &discriminator };
        player.bind_stream(name);
    }
    for (stream, ..) in DISTURBED {
        let player = if stream.ends_with("/noise") { &generator } else { &discriminator };
        player.bind_stream(stream);
    }
    game.discriminator_step(&discriminator, |g| (g.input("x", Type::f32([N, 25])), None));
    golden::ends(&generator, &game.generator_step(&generator));
    let inputs = |round: u32| {
        // The games of several dropouts or labels take every tenth salt.
        let salt = |first: u32| first + if first % 1000 < 10 && first >= 3000 { 10 * round } else { round };
        let all = STREAMS.into_iter().map(|(name, first, width)| (name, unit(salt(first), N * width)));
        let disturbing = DISTURBED.into_iter().map(|(name, salt, n)| (name, noise(salt + 100 * round, n)));
        all.chain([("pool", unit(9000 + round, N / 2))]).chain(disturbing).collect()
    };
    let (round, inputs, weights) =
        (vec![discriminator, generator], Box::new(inputs), golden::tensors(TRICKS));
    Trajectory { round, evaluation: None, rounds: ROUNDS, inputs, weights }
}

/// The losses of discriminator and generator, round by round, as means over the batch.
fn losses(played: &Played) -> Vec<f64> {
    played.measured.iter().flat_map(|row| [row[0], row[1]]).map(|sum| sum / N as f64).collect()
}

/// The largest difference of two lists.
fn worst(got: &[f64], want: impl ExactSizeIterator<Item = f32>) -> f64 {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).map(|(got, want)| (got - f64::from(want)).abs()).fold(0.0, f64::max)
}

/// The largest difference of a variable from what PyTorch's f64 ended at.
fn miss(tensors: &Weights, var: &VarSpec, got: &[f64]) -> f64 {
    let want = &tensors[&format!("after.{}", var.name)].1;
    worst(got, var.layout.places(&var.ty.shape).into_iter().map(|place| want[place]))
}

#[test]
fn the_references_players_follow_pytorch() {
    for trajectory in [trajectory(), with_tricks()] {
        let (played, tensors) = (trajectory.on_reference(), &trajectory.weights);
        let want = tensors["after.losses"].1.iter().copied();
        let miss_of_losses = worst(&losses(&played), want);
        assert!(miss_of_losses < 1e-6, "losses: {miss_of_losses:e} from PyTorch's");
        for (name, var) in trajectory.variables() {
            let miss = miss(tensors, &var, &played.weights[&name]);
            assert!(miss < 1e-6, "{name}: {miss:e} from PyTorch's");
        }
    }
}

#[test]
fn the_adapters_players_follow_pytorch() {
    let Some(gpu) = adapter("the_adapters_players_follow_pytorch") else { return };
    for caps in [gpu.caps().clone(), for_gpus(gpu.caps())] {
        let played = follows(&trajectory(), gpu, &caps);
        // Once a round for the generator, three times for the discriminator, as there.
        for (player, times) in [("generator", 10.0), ("discriminator", 30.0)] {
            let counters = played
                .weights
                .iter()
                .filter(|(name, _)| name.starts_with(player) && name.ends_with("num_batches_tracked"));
            let counted: Vec<f64> = counters.map(|(_, values)| values[0]).collect();
            assert!(!counted.is_empty() && counted.iter().all(|&n| n == times), "{player}: {counted:?}");
        }
        follows(&with_tricks(), gpu, &caps);
    }
}

/// Plays a trajectory on the adapter, and compares it with PyTorch's.
fn follows(trajectory: &Trajectory, gpu: &Gpu, caps: &Caps) -> Played {
    let (played, tensors) = (trajectory.on_adapter(gpu, caps), &trajectory.weights);
    let within = |name: &str, miss: f64| {
        let theirs = f64::from(tensors[&format!("miss.{name}")].1[0]);
        let fine = miss <= 2.0 * theirs + 1e-4;
        assert!(fine, "{name}: {miss:e} from PyTorch's f64, whose f32 misses it by {theirs:e}");
    };
    within("losses", worst(&losses(&played), tensors["after.losses"].1.iter().copied()));
    for (name, var) in trajectory.variables() {
        within(&name, miss(tensors, &var, &played.weights[&name]));
    }
    played
}

/// Both players see the hints, and the generator's loss has λ times the mean absolute difference from the pictures that
/// belong to them, both in [-1, 1] on the canvas.
#[test]
fn hints_reach_both_players() {
    let round = |l1: f32, lit: f64| -> [f64; 2] {
        let networks = dcgan::Networks { latent: 3, generator: 2, discriminator: 2 };
        let rules = Rules { objective: Objective::LeastSquares, l1, ..Rules::default() };
        let game = Game::new(networks, rules, [6, 6, 2], [8, 8], 0, 2).unwrap().with_hints(1);
        let [d, g] = [Graph::new(), Graph::new()];
        d.bind_stream("discriminator.z");
        g.bind_stream("generator.z");
        game.discriminator_step(&d, |g| {
            let [real, hint] =
                [("x", 2), ("hint", 1)].map(|(name, c)| g.input(name, Type::f32([2, 6, 6, c])));
            Batch { real, class: None, hint: Some(hint) }
        });
        let metrics = game.generator_step(&g);
        g.output("loss", metrics[1].1);
        let mut state = reference::initial(&d, 0);
        state.extend(reference::initial(&g, 0));
        let values = |shape: [usize; 4], at: f64| Array::from_fn(shape, |i| (i % 5) as f64 / 5.0 * at);
        let noise = || Array::new([2, 3], vec![0.3, -0.2, 0.5, 0.1, 0.9, -1.0]);
        let inputs = [
            ("x".to_string(), values([2, 6, 6, 2], 1.0)),
            ("hint".to_string(), values([2, 6, 6, 1], lit)),
            ("discriminator.z".to_string(), noise()),
        ];
        reference::eval(&d, &inputs.into(), &mut state).unwrap();
        let measured = state["discriminator.measured"].data[0];
        let noise = [("generator.z".to_string(), noise())].into();
        [measured, reference::eval(&g, &noise, &mut state).unwrap()["loss"].data[0]]
    };
    let ([d, g], [d_dark, g_dark]) = (round(0.0, 1.0), round(0.0, 0.0));
    assert!(d != d_dark && g != g_dark, "losses do not depend on the hint: {d} {g}");
    let [d_l1, g_l1] = round(10.0, 1.0);
    // The loss is the batch's sum. A new generator's pictures are near 0, and the frame's 28 of 64 pixels are -1.
    let apart = (g_l1 - g) / (2.0 * 10.0);
    let real = (28.0 + 36.0 * (1.0 + 0.6 + 0.2 + 0.2 + 0.6) / 5.0) / 64.0;
    assert!(d == d_l1 && (apart - real).abs() < 0.05, "{apart} instead of about {real}");
}

/// A generator that was trained elsewhere gives its pictures.
#[test]
fn a_generator_of_pytorch_loads_unchanged() {
    let Some(gpu) = adapter("a_generator_of_pytorch_loads_unchanged") else { return };
    let (tensors, g) = (golden::tensors(FILE), Graph::new());
    let generator = dcgan::generator(&g, "generator", &Config { mode: Mode::Evaluation, ..config() });
    g.output("pictures", generator.forward(g.input("z", Type::f32(NOISE))));
    let ready = Ready::new(gpu, &g, 0);
    golden::apply(gpu, &ready.state, &ready.plan.weights(), &tensors, FILE);
    let got = ready.write("z", &signed(3000, NOISE.iter().product())).step().read("pictures");
    let want = &tensors["pictures"].1;
    let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(got.len() == want.len() && worst < 1e-4, "pictures are {worst:e} from PyTorch's");
}

/// A file of the generator alone loads by the names that a game gives it.
#[test]
fn a_generators_own_file_loads_by_the_games_names() {
    let Some(gpu) = adapter("a_generators_own_file_loads_by_the_games_names") else { return };
    let tensors = golden::tensors(FILE);
    let main = tensors
        .iter()
        .filter_map(|(name, t)| Some((name.strip_prefix("generator.")?.to_string(), t.clone())));
    let file: Weights = main.collect();
    assert!(file.len() > 10 && file.keys().all(|name| name.starts_with("main.")), "{:?}", file.keys());
    let networks = dcgan::Networks { latent: 6, generator: 4, discriminator: 4 };
    for ema in [None, Some(0.9)] {
        let rules = Rules { ema, ..Rules::default() };
        let game = Game::new(networks, rules, [32, 32, 3], [32, 32], 0, N).unwrap();
        let g = Graph::new();
        g.output("pictures", game.pictures(g.input("z", Type::f32([N, 6])), None));
        let (ready, named) = (Ready::new(gpu, &g, 0), game::named(file.clone(), ema.is_some()));
        let (names, path) = (ready.plan.weights(), std::path::Path::new("netG.safetensors"));
        weights::apply(gpu, &ready.state, &names, &named, path).unwrap();
        assert!(names.iter().all(|name| game.weights().contains(name)), "{names:?}");
        let got = ready.write("z", &signed(3000, NOISE.iter().product())).step().read("pictures");
        let want = tensors["pictures"].1.iter().map(|p| (p + 1.0) / 2.0);
        let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-4, "pictures are {worst:e} from PyTorch's");
    }
}

/// The gradient of the penalty by a critic's weights is a second derivative through all of its layers.
#[test]
fn the_penaltys_gradient_matches_central_differences() {
    fn check<'g>(critic: &Sequential<'g>, g: &'g Graph, shape: &[usize]) {
        let [real, fake] = ["x", "z"].map(|name| g.input(name, Type::f32(shape)));
        let loss = gradient_penalty(|x| critic.forward(x).reshape([shape[0]]), real, fake, "penalty");
        let values = |salt| Array::from_fn(shape, |i| f64::from(bits(salt, i as u32)) / 8_388_608.0 - 1.0);
        let mut start = reference::initial(g, 0);
        // The first weights of a DCGAN are so small that their third powers are lost in the differences.
        start
            .iter_mut()
            .filter(|(name, _)| name.ends_with("weight"))
            .for_each(|(_, w)| w.data.iter_mut().for_each(|v| *v *= 6.0));
        differences(
            loss,
            &critic.params(),
            &Values::from([("x".into(), values(1)), ("z".into(), values(2))]),
            &start,
        );
    }
    let g = Graph::new();
    check(
        &dcgan::discriminator(&g, "d", &Config { side: 16, norm: Norm::Layer, channels: 2, ..config() }),
        &g,
        &[3, 16, 16, 2],
    );
    // The slope of a critic that compares pictures counts what each does to the others.
    let g = Graph::new();
    let tricks = Tricks { stddev: true, ..Tricks::default() };
    let compared = Config { side: 8, norm: Norm::Layer, channels: 1, tricks, ..config() };
    check(&dcgan::discriminator(&g, "d", &compared), &g, &[3, 8, 8, 1]);
    let g = Graph::new();
    let config = gan::Config {
        pixels: 7,
        latent: 1,
        hidden: vec![4, 5],
        discriminator: vec![5, 4],
        weight: Weight::Plain,
        classes: 0,
        scores: 1,
        mode: Mode::Training,
        tricks: Tricks::default(),
    };
    check(&gan::discriminator(&g, "d", &config), &g, &[3, 7]);
}

/// Each trick changes the plans of the players whom it concerns, and no other; without tricks both are as they were.
#[test]
fn each_trick_changes_what_it_says_and_nothing_else() {
    let plans = |rules: Rules| {
        let networks = dcgan::Networks { latent: 3, generator: 2, discriminator: 2 };
        let game = Game::new(networks, rules, [16, 16, 1], [16, 16], 0, 4).unwrap();
        let [d, g] = [Graph::new(), Graph::new()];
        game.discriminator_step(&d, |g| (g.input("x", Type::f32([4, 256])), None));
        golden::ends(&g, &game.generator_step(&g));
        let caps = &all_caps()[0].1;
        ([d, g].map(|g| Plan::new(&g, caps).unwrap().to_string()), game.weights())
    };
    let tricks = |change: fn(&mut Tricks)| {
        let mut tricks = Tricks::default();
        change(&mut tricks);
        Rules { tricks, ..Rules::default() }
    };
    let labels = |change: fn(&mut Labels)| {
        let mut labels = Labels::default();
        change(&mut labels);
        Rules { labels, ..Rules::default() }
    };
    let (before, names) = plans(Rules::default());
    // Labels that are smoothed by 0 are plain labels, so that the plans stay as they were.
    assert_eq!(plans(labels(|l| *l = Labels::smoothed(0.0))).0, before);
    // A rule, whether each player's plan changes, and whether the discriminator's weights do.
    for (what, rules, changes, other_weights) in [
        ("soft labels of real pictures", labels(|l| l.real = [0.9, 1.0]), [true, false], false),
        ("soft labels of drawn ones", labels(|l| l.fake = [0.0, 0.3]), [true, false], false),
        ("flips", labels(|l| l.flipped = 0.1), [true, false], false),
        ("a pool", Rules { history: 6, ..Rules::default() }, [true, false], false),
        ("SGD", Rules { sgd: true, ..Rules::default() }, [true, false], false),
        ("uniform noise", Rules { uniform: true, ..Rules::default() }, [true, true], false),
        ("ReLU", tricks(|t| t.activation = Activation::Relu), [true, true], false),
        ("no norm", tricks(|t| t.norm = Some(Norm::None)), [true, true], true),
        ("the batch's own norm", tricks(|t| t.norm = Some(Norm::Batch)), [false, false], false),
        ("dropout", tricks(|t| t.dropout = 0.5), [true, true], true),
        ("stddev", tricks(|t| t.stddev = true), [true, true], true),
    ] {
        let (plans, weights) = plans(rules);
        let changed = [0, 1].map(|player| plans[player] != before[player]);
        assert_eq!((changed, weights != names), (changes, other_weights), "{what}");
    }
}
