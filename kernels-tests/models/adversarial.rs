//! DCGAN against PyTorch: ten rounds of both players from the same weights, pictures and noise end at PyTorch's weights and running
//! statistics, as near as its own f32 comes; a generator's file gives its pictures (`golden/dcgan_trajectory.py` makes the file).
//! And whole runs of the examples.

use crate::{
    models::vae::{bits, differences, golden_file},
    runs::resume::{empty, example, finish, labelled, newest},
    subjects::adapter,
};
use oneiro::{
    gpu::{Executor, Gpu, State},
    graph::{
        Graph, Tensor,
        reference::{self, Values},
        shape::{Array, Type},
        var::VarSpec,
    },
    kernel::caps::{AdapterClass, Caps},
    models::{
        dcgan::{self, Config, Norm},
        game::{Game, Rules},
        gan::{self, gradient_penalty},
    },
    nn::{Mode, Sequential, Weight},
    optim::advance,
    plan::Plan,
    train::remember,
    weights::{self, Weights},
};
use std::{collections::BTreeMap, path::Path};

const N: usize = 4;
const PICTURES: [usize; 4] = [N, 32, 32, 3];
const NOISE: [usize; 4] = [N, 1, 1, 6];
const ROUNDS: u32 = 10;

fn config() -> Config {
    Config {
        side: 32,
        channels: 3,
        latent: 6,
        generator: 4,
        discriminator: 4,
        weight: Weight::Plain,
        norm: Norm::Batch,
        classes: 0,
    }
}

/// The shipped round: a step of the discriminator, and one of the generator, on recorded noise.
fn round() -> [Graph; 2] {
    let networks = dcgan::Networks { latent: 6, generator: 4, discriminator: 4 };
    let game = Game::new(networks, Rules::default(), [32, 32, 3], [32, 32], 0, N).unwrap();
    let [discriminator, generator] = [Graph::new(), Graph::new()];
    discriminator.bind_stream("discriminator.z");
    generator.bind_stream("generator.z");
    game.discriminator_step(&discriminator, |g| (g.input("x", Type::f32(PICTURES)), None));
    let metrics = game.generator_step(&generator);
    remember(&generator, &metrics);
    advance(&generator);
    [discriminator, generator]
}

/// In [-1, 1).
fn unit(salt: u32, n: usize) -> Vec<f32> {
    (0..n as u32).map(|i| bits(salt, i) as f32 / 8_388_608.0 - 1.0).collect()
}

fn inputs(round: u32) -> [(&'static str, Array); 3] {
    let of = |salt, shape: [usize; 4]| {
        Array::new(shape, unit(salt, shape.iter().product()).into_iter().map(f64::from).collect())
    };
    // The game takes images in [0, 1]; half of a sum is exact.
    let mut x = of(1000 + round, PICTURES);
    x.data.iter_mut().for_each(|v| *v = (*v + 1.0) / 2.0);
    let z = Array::new([N, NOISE[3]], of(2000 + round, NOISE).data);
    [("x", x), ("discriminator.z", z.clone()), ("generator.z", z)]
}

fn golden() -> Weights {
    weights::load(&golden_file("dcgan_trajectory.safetensors")).unwrap()
}

/// Both players' weights and statistics.
fn players(graphs: &[Graph]) -> BTreeMap<String, VarSpec> {
    let of =
        |g: &Graph| g.recording().vars.iter().filter(|v| v.role.is_weight()).cloned().collect::<Vec<_>>();
    graphs.iter().flat_map(of).map(|v| (v.name.clone(), v)).collect()
}

/// The largest difference from what PyTorch's f64 ended at, in a file's layout.
fn miss(golden: &Weights, var: &VarSpec, got: &[f64]) -> f64 {
    let want = &golden[&format!("after.{}", var.name)].1;
    let places = var.layout.places(&var.ty.shape);
    places.into_iter().zip(got).map(|(place, got)| (got - f64::from(want[place])).abs()).fold(0.0, f64::max)
}

#[test]
fn the_references_players_follow_pytorch() {
    let (golden, graphs) = (golden(), round());
    let mut state = Values::new();
    graphs.iter().for_each(|g| state.extend(reference::initial(g, 0)));
    let players = players(&graphs);
    for (name, var) in &players {
        let places = var.layout.places(&var.ty.shape);
        state.get_mut(name).unwrap().data =
            places.into_iter().map(|p| f64::from(golden[name].1[p])).collect();
    }
    for r in 0..ROUNDS {
        let inputs: Values = inputs(r).into_iter().map(|(name, x)| (name.to_string(), x)).collect();
        for graph in &graphs {
            reference::eval(graph, &inputs, &mut state).unwrap();
        }
        for i in 0..2 {
            let loss = state["history"].data[4 * r as usize + i] / N as f64;
            let want = f64::from(golden["after.losses"].1[2 * r as usize + i]);
            assert!((loss - want).abs() < 1e-6, "round {r}, player {i}: loss {loss}, PyTorch's {want}");
        }
    }
    for (name, var) in &players {
        let miss = miss(&golden, var, &state[name].data);
        assert!(miss < 1e-6, "{name}: {miss:e} from PyTorch's");
    }
}

fn apply(gpu: &Gpu, state: &State, names: &[String], golden: &Weights) {
    weights::apply(gpu, state, names, golden, &golden_file("dcgan_trajectory.safetensors")).unwrap();
}

fn play(gpu: &Gpu, caps: &Caps, golden: &Weights) {
    let graphs = round();
    let plans: Vec<Plan> = graphs.iter().map(|g| Plan::new(g, caps).unwrap()).collect();
    let state = State::new(gpu, &plans.iter().collect::<Vec<_>>(), 0).unwrap();
    let players = players(&graphs);
    apply(gpu, &state, &players.keys().cloned().collect::<Vec<_>>(), golden);
    let executors: Vec<Executor> =
        plans.iter().map(|plan| Executor::new(gpu, plan, &state, &[]).unwrap()).collect();
    let mut losses = vec![];
    for r in 0..ROUNDS {
        for (plan, executor) in plans.iter().zip(&executors) {
            let wanted = inputs(r).into_iter().filter(|(name, _)| plan.inputs.iter().any(|(n, _)| n == name));
            wanted.for_each(|(name, x)| executor.write(gpu, name, &x.to_f32()).unwrap());
        }
        gpu.submit(|encoder| executors.iter().for_each(|executor| executor.record(encoder)));
        let history = state.read(gpu, "history").unwrap();
        losses.extend(history[4 * r as usize..][..2].iter().map(|sum| sum / N as f32));
    }
    let within = |name: &str, miss: f64| {
        let theirs = f64::from(golden[&format!("miss.{name}")].1[0]);
        assert!(
            miss <= 2.0 * theirs + 1e-4,
            "{name}: {miss:e} from PyTorch's f64, whose f32 misses it by {theirs:e}"
        );
    };
    let of_losses = losses
        .iter()
        .zip(&golden["after.losses"].1)
        .map(|(a, b)| f64::from((a - b).abs()))
        .fold(0.0, f64::max);
    within("losses", of_losses);
    for (name, var) in &players {
        let got: Vec<f64> = state.read(gpu, name).unwrap().into_iter().map(f64::from).collect();
        within(name, miss(golden, var, &got));
    }
    // Once a round for the generator, three times for the discriminator, as there.
    for (player, times) in [("generator", 10.0), ("discriminator", 30.0)] {
        let counted = players.keys().filter(|n| n.starts_with(player) && n.ends_with("num_batches_tracked"));
        let counted: Vec<f32> = counted.map(|name| state.read(gpu, name).unwrap()[0]).collect();
        assert!(!counted.is_empty() && counted.iter().all(|&n| n == times), "{player}: {counted:?}");
    }
}

#[test]
fn the_adapters_players_follow_pytorch() {
    let Some(gpu) = adapter("the_adapters_players_follow_pytorch") else { return };
    let golden = golden();
    play(gpu, gpu.caps(), &golden);
    play(gpu, &Caps { class: AdapterClass::Gpu, powers: vec![], ..gpu.caps().clone() }, &golden);
}

/// A generator that was trained elsewhere gives its pictures.
#[test]
fn a_generator_of_pytorch_loads_unchanged() {
    let Some(gpu) = adapter("a_generator_of_pytorch_loads_unchanged") else { return };
    let (golden, g) = (golden(), Graph::new());
    let generator = dcgan::generator(&g, "generator", &config());
    let pictures: Tensor<'_> = generator.forward(g.input("z", Type::f32(NOISE)), Mode::Evaluation);
    g.output("pictures", pictures);
    let plan = Plan::new(&g, gpu.caps()).unwrap();
    let state = State::new(gpu, &[&plan], 0).unwrap();
    apply(gpu, &state, &plan.weights(), &golden);
    let executor = Executor::new(gpu, &plan, &state, &[]).unwrap();
    executor.write(gpu, "z", &unit(3000, NOISE.iter().product())).unwrap();
    executor.step(gpu);
    let (got, want) = (executor.read(gpu, "pictures").unwrap(), &golden["pictures"].1);
    let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(got.len() == want.len() && worst < 1e-4, "pictures are {worst:e} from PyTorch's");
}

/// Runs of examples, small; what is asked of each differs.
const GAN: [&str; 8] = ["--batch", "16", "--hidden", "24", "--latent", "5", "--seed", "3"];
const TRICKS: [&str; 9] = [
    "--discriminator-steps",
    "3",
    "--ema",
    "0.9",
    "--smooth",
    "0.1",
    "--instance-noise",
    "0.1",
    "--lr-discriminator=0.001",
];

fn weights_of(dir: &Path, run: &str) -> Vec<u8> {
    std::fs::read(dir.join(run).join("weights.safetensors")).unwrap()
}

/// Both players, their optimizers, averages, counters and running statistics.
#[test]
fn a_game_goes_on_bit_for_bit() {
    if adapter("a_game_goes_on_bit_for_bit").is_none() {
        return;
    }
    let dir = empty("game");
    labelled(&dir);
    let conv = ["--batch", "8", "--features", "4", "--latent", "5", "--conditional", "--ema", "0.9"];
    let perceptron = [&GAN[..], &TRICKS, &["--conditional"]].concat();
    for (name, model) in [("dcgan", &conv[..]), ("gan", &perceptron)] {
        let options = [&["--data", "."], model].concat();
        let train = |out: &str, steps: &str| {
            let extra = ["--out", out, "--steps", steps, "--picture-every", "2"];
            finish(example(&dir, name, "train", &[&options[..], &extra].concat()), true)
        };
        let text = train(&format!("{name}-whole"), "7");
        assert!(
            text.contains("loss_D") && text.contains("D(G(z))") && text.contains("film of training"),
            "{text}"
        );
        train(&format!("{name}-parts"), "3");
        let parts = format!("{name}-parts");
        finish(example(&dir, name, "train", &["--resume", &parts, "--steps", "7"]), true);
        let [whole, resumed] = ["whole", "parts"].map(|run| newest(&dir, &format!("{name}-{run}")).unwrap());
        assert!(whole == resumed, "{name}: 7 steps differ from 3 + 4");
        assert_eq!(weights_of(&dir, &format!("{name}-whole")), weights_of(&dir, &parts), "{name}");
        let held = |part: &str| whole.values.iter().any(|(name, ..)| name.contains(part));
        assert!(held("adam.m/generator") && held("adam.v/discriminator") && held("ema/generator"), "{name}");
    }
}

#[test]
fn a_trained_game_draws_walks_and_reckons() {
    if adapter("a_trained_game_draws_walks_and_reckons").is_none() {
        return;
    }
    let dir = empty("walks");
    labelled(&dir);
    let run = ["--run", "game"];
    finish(
        example(
            &dir,
            "gan",
            "train",
            &[&GAN[..], &["--data", ".", "--steps", "2", "--out", "game"]].concat(),
        ),
        true,
    );
    let ask = |what: &str, more: &[&str], good: bool| {
        finish(example(&dir, "gan", what, &[&run[..], more].concat()), good)
    };
    for (what, more, made) in [
        ("sample", &["--count", "5"][..], &["samples.png"][..]),
        ("interpolate", &["--count", "2"], &["interpolation.png", "interpolation.gif"]),
        ("arithmetic", &["--from", "0,1", "--minus", "2,3", "--plus", "4,7"], &["arithmetic.png"]),
        ("nearest", &["--count", "3", "--images", "2"], &["nearest.png"]),
    ] {
        ask(what, more, true);
        made.iter()
            .for_each(|name| assert!(image::open(dir.join("game").join(name)).is_ok(), "{what}: {name}"));
    }
    // The same seed draws the same pictures; another one others.
    let samples = |more: &[&str]| {
        ask("sample", more, true);
        std::fs::read(dir.join("game/samples.png")).unwrap()
    };
    let first = samples(&[]);
    assert!(first == samples(&["--seed", "1"]) && first != samples(&["--seed", "2"]));
    for (what, more, wanted) in [
        ("arithmetic", &["--from", "0,1,2", "--minus", "3"][..], "give every term as many"),
        ("sample", &["--class", "3"], "not told classes"),
        ("nearest", &["--images", "20", "--count", "0"], "--count"),
    ] {
        let text = ask(what, more, false);
        assert!(text.contains(wanted), "{text}");
    }
    for (more, wanted) in [
        (&["--loss", "hinge", "--smooth", "0.1"][..], "no labels to smooth"),
        (&["--loss", "wasserstein-gp", "--spectral"], "choose one"),
        (&["--discriminator-steps", "9"], "a step takes 144 images"),
    ] {
        let text = finish(
            example(&dir, "gan", "train", &[&GAN[..], &["--data", ".", "--out", "none"], more].concat()),
            false,
        );
        assert!(text.contains(wanted), "{text}");
    }
}

/// The penalty's gradient by the weights of DCGAN's and the perceptrons' critics, a second derivative through all of their layers.
#[test]
fn the_penaltys_gradient_matches_central_differences() {
    fn check<'g>(critic: &Sequential<'g>, g: &'g Graph, shape: &[usize]) {
        let [real, fake] = ["x", "z"].map(|name| g.input(name, Type::f32(shape)));
        let loss =
            gradient_penalty(|x| critic.forward(x, Mode::Batch).reshape([shape[0]]), real, fake, "penalty");
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
    let g = Graph::new();
    let config = gan::Config { pixels: 7, latent: 1, hidden: vec![4, 5], weight: Weight::Plain, classes: 0 };
    check(&gan::discriminator(&g, "d", &config), &g, &[3, 7]);
}

/// Every objective and trick trains for a few steps, with finite losses.
#[test]
fn all_objectives_train() {
    if adapter("all_objectives_train").is_none() {
        return;
    }
    let dir = empty("objectives");
    labelled(&dir);
    let dcgan = ["--data", ".", "--batch", "8", "--features", "4", "--latent", "5", "--steps", "2"];
    let tricks: [&[&str]; 7] = [
        &["--loss", "minimax"],
        &["--loss", "least-squares", "--smooth", "0.1"],
        &["--loss", "hinge", "--spectral"],
        &["--loss", "wasserstein", "--discriminator-steps", "2"],
        &["--loss", "wasserstein-gp"],
        &["--instance-noise", "0.2", "--ema", "0.9", "--conditional"],
        &["--size", "64"],
    ];
    for (i, trick) in tricks.iter().enumerate() {
        let out = format!("run{i}");
        let text =
            finish(example(&dir, "dcgan", "train", &[&dcgan[..], trick, &["--out", &out]].concat()), true);
        assert!(text.contains("loss_G") && !text.to_lowercase().contains("nan"), "{text}");
        finish(example(&dir, "dcgan", "sample", &["--run", &out, "--count", "2"]), true);
    }
    // Of a conditional, averaged model: the pictures that are reckoned with are those of the grid, their classes too.
    finish(
        example(
            &dir,
            "dcgan",
            "arithmetic",
            &["--run", "run5", "--from", "5,2", "--minus", "4,1", "--plus", "8,0"],
        ),
        true,
    );
    finish(example(&dir, "dcgan", "sample", &["--run", "run5", "--count", "9"]), true);
    let cells = |name: &str, columns: u32| {
        let picture = image::open(dir.join("run5").join(name)).unwrap().to_rgb8();
        // Pictures of 6x6 with a gap between, magnified.
        let side = 7 * (picture.width() / (7 * columns + 1));
        move |row: u32, column: u32| {
            image::imageops::crop_imm(&picture, column * side, row * side, side, side).to_image()
        }
    };
    let (terms, samples) = (cells("arithmetic.png", 6), cells("samples.png", 3));
    for (row, places) in [(0, [5, 2]), (1, [4, 1]), (2, [8, 0])] {
        for (column, place) in (0..).zip(places) {
            assert!(
                terms(row, column) == samples(place / 3, place % 3),
                "row {row}, column {column} is not place {place}"
            );
        }
    }
    // Clipped weights are within bounds.
    let file = weights::load(&dir.join("run3/weights.safetensors")).unwrap();
    let largest = |player: &str| {
        let of = file.iter().filter(|(name, _)| name.starts_with(player) && name.ends_with("weight"));
        of.flat_map(|(_, (_, values))| values).fold(0f32, |a, b| a.max(b.abs()))
    };
    assert!(largest("discriminator") <= 0.01 && largest("generator") > 0.01);
}
