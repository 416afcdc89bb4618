//! The convolutional VAE against PyTorch: from the same weights file, images and noise its losses are PyTorch's, step by step and
//! then in evaluation, and the weights travel back unchanged; and a whole run of it. `golden/conv_vae_trajectory.py` makes the files.

use crate::{
    models::vae::{close, differences, ends, golden_file, noise, unit},
    runs::resume::{empty, example, finish, train},
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
    models::{conv_vae::Config, vae::Vae},
    nn::Mode,
    optim::Optimizer,
    plan::Plan,
    weights,
};
use std::path::Path;

const BATCH: usize = 6;
const PIXELS: usize = 16 * 8 * 3;
const LATENT: usize = 5;

fn config() -> Config {
    Config { image: [16, 8, 3], widths: vec![4, 6, 8], latent: LATENT, ..Config::default() }
}

/// The network with x and the noise as inputs, and its variables.
fn network(g: &Graph, mode: Mode) -> (Vae<'_>, Tensor<'_>, Vec<VarSpec>) {
    g.bind_stream("vae/eps");
    let vae = Vae::convolutional(g, &config(), mode);
    let weights = g.recording().vars.clone();
    (vae, g.input("x", Type::f32([BATCH, PIXELS])), weights)
}

/// A training step, an evaluation, and their weights.
fn graphs() -> ([Graph; 2], Vec<VarSpec>) {
    let (g, evaluation) = (Graph::new(), Graph::new());
    let (vae, x, weights) = network(&g, Mode::Training);
    ends(&g, &vae.training_step(x, &Optimizer::adam(1e-2)));
    let (vae, x, _) = network(&evaluation, Mode::Evaluation);
    evaluation.output("loss", vae.loss(x).total);
    ([g, evaluation], weights)
}

fn inputs(step: u32) -> [(&'static str, Vec<f32>); 2] {
    [("x", unit(1000 + step, BATCH * PIXELS)), ("vae/eps", noise(2000 + 3 * step, BATCH * LATENT))]
}

fn values(step: u32) -> Values {
    let array = |(name, values): (&str, Vec<f32>)| {
        (
            name.to_string(),
            Array::new([BATCH, values.len() / BATCH], values.into_iter().map(f64::from).collect()),
        )
    };
    inputs(step).into_iter().map(array).collect()
}

/// A graph's variables in f64, the network's those of PyTorch's file.
fn theirs(graph: &Graph, weights: &[VarSpec]) -> Values {
    let file = weights::load(&golden_file("conv_vae_weights.safetensors")).unwrap();
    let mut state = reference::initial(graph, 0);
    for var in weights {
        let places = var.layout.places(&var.ty.shape);
        state.get_mut(&var.name).unwrap().data =
            places.into_iter().map(|p| f64::from(file[&var.name].1[p])).collect();
    }
    state
}

fn golden() -> Vec<f64> {
    let text = std::fs::read_to_string(golden_file("conv_vae_trajectory.txt")).unwrap();
    text.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

#[test]
fn the_references_convolutional_vae_follows_pytorch() {
    let ([step, evaluation], weights) = graphs();
    let mut state = theirs(&step, &weights);
    let mut loss = |s| {
        reference::eval(if s < 10 { &step } else { &evaluation }, &values(s), &mut state).unwrap()["loss"]
            .data[0]
    };
    close("loss of step", &(0..11).map(&mut loss).collect::<Vec<_>>(), &golden(), 1e-9);
}

fn losses(gpu: &Gpu, caps: &Caps) -> Vec<f64> {
    let (graphs, weights) = graphs();
    let [step, evaluation] = graphs.map(|graph| Plan::new(&graph, caps).unwrap());
    let state = State::new(gpu, &[&step, &evaluation], 0).unwrap();
    let names: Vec<String> = weights.into_iter().map(|v| v.name).collect();
    let path = golden_file("conv_vae_weights.safetensors");
    let theirs = weights::load(&path).unwrap();
    weights::apply(gpu, &state, &names, &theirs, &path).unwrap();
    let written = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conv_vae.safetensors");
    std::fs::write(&written, weights::to_bytes(gpu, &state, &names).unwrap()).unwrap();
    assert!(weights::load(&written).unwrap() == theirs, "what was read is written");
    let [step, evaluation] = [step, evaluation].map(|plan| Executor::new(gpu, &plan, &state, &[]).unwrap());
    let run = |s| {
        let executor = if s < 10 { &step } else { &evaluation };
        inputs(s).iter().for_each(|(name, values)| executor.write(gpu, name, values).unwrap());
        executor.step(gpu);
        f64::from(executor.read(gpu, "loss").unwrap()[0])
    };
    (0..11).map(run).collect()
}

#[test]
fn the_adapters_convolutional_vae_follows_pytorch() {
    let Some(gpu) = adapter("the_adapters_convolutional_vae_follows_pytorch") else { return };
    close("loss of step", &losses(gpu, gpu.caps()), &golden(), 1e-4);
    let other = Caps { class: AdapterClass::Gpu, powers: vec![], ..gpu.caps().clone() };
    close("loss of step with GPU kernels", &losses(gpu, &other), &golden(), 1e-4);
}

/// The objective's gradient by variables of all layers against central differences in f64.
#[test]
fn the_objectives_gradient_matches_central_differences() {
    let g = Graph::new();
    let (vae, x, weights) = network(&g, Mode::Training);
    differences(vae.loss(x).total, &vae.params(), &values(0), &theirs(&g, &weights));
}

#[test]
fn images_that_do_not_halve_are_named() {
    for (image, widths, what) in
        [([28, 30, 1], vec![4, 8], "multiples of 4, not 28x30"), ([8, 8, 1], vec![], "0 layers")]
    {
        let g = Graph::new();
        let config = Config { image, widths, ..config() };
        let vae = Vae::convolutional(&g, &config, Mode::Training);
        g.output("loss", vae.loss(g.input("x", Type::f32([2, image.iter().product()]))).total);
        let text = Plan::new(&g, &Caps::portable(AdapterClass::Gpu)).unwrap_err().to_string();
        assert!(text.contains(what) && text.contains("conv_vae.rs") && text.lines().count() == 1, "{text}");
    }
}

/// 64 images of 8x8: a bright rectangle of any size in a corner.
fn rectangles(dir: &Path) {
    for name in ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte"] {
        let header = [0, 0, 8, 3, 0, 0, 0, 64, 0, 0, 0, 8, 0, 0, 0, 8];
        let pixels = (0..64 * 64).map(|i| if i % 8 <= i / 64 % 8 && i / 8 % 8 <= i / 512 { 250 } else { 5 });
        std::fs::write(dir.join(name), header.into_iter().chain(pixels).collect::<Vec<u8>>()).unwrap();
    }
}

#[test]
fn a_convolutional_run_trains_resumes_draws_and_scores() {
    if adapter("vae --model conv").is_none() {
        return;
    }
    let dir = empty("conv");
    rectangles(&dir);
    let common = ["--data", ".", "--latent", "2", "--batch", "16", "--out", "run"];
    let conv = [
        &common[..],
        &["--model", "conv", "--widths", "4,8", "--lr", "0.01", "--decay", "0.999", "--binarise"],
    ]
    .concat();
    finish(train(&dir, &[&conv[..], &["--steps", "30"]].concat()), true);
    let text = finish(train(&dir, &["--resume", "run", "--steps", "100"]), true);
    assert!(text.contains("going on at step 30"), "{text}");
    let json = dir.join("bound.json");
    let evaluate = ["--run", "run", "--images", "60", "--k", "25", "--json", json.to_str().unwrap()];
    let text = finish(example(&dir, "vae", "evaluate", &evaluate), true);
    assert!(text.contains("IWAE k = 25") && text.contains("60 test images"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    // One probability for all pixels gives about -40 nats; what binarising leaves uncertain costs 6.
    let elbo = json["elbo"]["mean"].as_f64().unwrap();
    assert!((-30.0..-6.0).contains(&elbo), "{json}");
    for (command, count) in [("sample", "4"), ("reconstruct", "3"), ("interpolate", "2"), ("manifold", "4")] {
        finish(example(&dir, "vae", command, &["--run", "run", "--count", count]), true);
    }
    for name in ["samples.png", "reconstructions.png", "interpolation.png", "manifold.png"] {
        assert!(dir.join("run").join(name).is_file(), "{name} is missing");
    }
    for (more, what) in [
        (vec!["--widths", "4"], "add --model conv"),
        (vec!["--model", "conv", "--hidden", "9"], "give --widths"),
        (vec!["--model", "conv", "--widths", "4,4,4,4"], "multiples of 16, not 8x8"),
    ] {
        let text = finish(train(&dir, &[&common[..], &["--overwrite"], &more].concat()), false);
        assert!(text.contains(what), "{text}");
    }
}

/// A run of a version that knew one network only.
#[test]
fn a_perceptrons_older_run_goes_on() {
    if adapter("older runs").is_none() {
        return;
    }
    let dir = empty("older");
    rectangles(&dir);
    finish(
        train(
            &dir,
            &[
                "--data", ".", "--hidden", "9", "--latent", "2", "--batch", "16", "--steps", "3", "--out",
                "run",
            ],
        ),
        true,
    );
    let (config, new) = (dir.join("run/config.toml"), ["model = \"mlp\"", "widths = ", "decay = "]);
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(new.iter().all(|new| text.contains(new)), "{text}");
    let known = text.lines().filter(|l| !new.iter().any(|new| l.starts_with(new))).map(|l| format!("{l}\n"));
    std::fs::write(&config, known.collect::<String>()).unwrap();
    let text = finish(train(&dir, &["--resume", "run", "--steps", "5"]), true);
    assert!(text.contains("going on at step 3"), "{text}");
    finish(example(&dir, "vae", "sample", &["--run", "run", "--count", "4"]), true);
}
