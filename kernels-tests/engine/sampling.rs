//! Cached sampling against the whole network at every pixel: the same draws, the same logits, and plain
//! refusals.

mod causality;
mod entropy;
mod networks;

use crate::{
    harness::say,
    subjects::{Ready, adapter, all_caps, for_gpus},
};
use networks::{HINTED, MODELS, Model, RECURRENT, SIGNALS, deep, plain, residual};
use oneiro::{
    gpu::{Executor, Gpu, State},
    graph::{
        Graph,
        reference::{self, Values},
        shape::{Array, Type},
        var::Init,
        window::{Kernel, Taps},
    },
    kernel::caps::{AdapterClass, Caps},
    models::likelihood::Likelihood::{self, Bernoulli},
    nn::Conv2d,
    optim::advance,
    plan::Plan,
    sampling::{INPUT, OUTPUT, cached},
    train::{Draws, Method, Sampler},
};

fn sampler(
    caps: &Caps,
    shape: [usize; 4],
    method: Method,
    likelihood: Likelihood,
    model: Model,
) -> oneiro::error::Result<Sampler> {
    Sampler::new(caps, Draws { shape, likelihood, temperature: 1.0, method }, model)
}

fn draw(
    gpu: &Gpu,
    caps: &Caps,
    shape: [usize; 4],
    method: Method,
    (likelihood, model): (Likelihood, Model),
    given: Option<(&[f32], &[f32])>,
) -> Vec<f32> {
    let sampler = sampler(caps, shape, method, likelihood, model).unwrap();
    let state = State::new(gpu, &sampler.plans(), 3).unwrap();
    sampler.run(gpu, &state, given, 1, |_, _| Ok(())).unwrap()
}

/// Shapes for kernels of a class. Kernels that are not the adapter's own are tried at the first ones alone, since
/// compiling takes most of the time.
fn shapes_for<'a>(gpu: &Gpu, caps: &Caps, all: &'a [[usize; 4]], first: usize) -> &'a [[usize; 4]] {
    if caps.class == gpu.caps().class { all } else { &all[..first] }
}

/// A test that runs by the adapter's own kernels, and by those for GPUs.
fn by_both(test: &str, run: impl Fn(&Gpu, &Caps)) {
    let Some(gpu) = adapter(test) else { return };
    [gpu.caps().clone(), for_gpus(gpu.caps())].iter().for_each(|caps| run(gpu, caps));
}

#[test]
fn cached_sampling_draws_what_the_whole_network_draws() {
    by_both("cached sampling", same_pixels);
    say("cached sampling drew the same pixels as the whole network, for 12 models");
}

fn same_pixels(gpu: &Gpu, caps: &Caps) {
    let pictures: &[_] = &[[3, 9, 11, 1], [2, 5, 4, 4], [3, 8, 9, 3], [1, 1, 6, 1], [2, 7, 1, 1]];
    let signals: &[_] = &[[3, 1, 61, 1], [2, 1, 3, 1]];
    let models = MODELS[..5].iter().chain(&RECURRENT[..2]).chain(&HINTED[..4]);
    let models = models.map(|model| (model, pictures));
    for ((name, likelihood, model), shapes) in models.chain([(&SIGNALS[1], signals)]) {
        for &shape in shapes_for(gpu, caps, shapes, 2) {
            let [naive, cached] = [Method::Naive, Method::Cached]
                .map(|m| draw(gpu, caps, shape, m, (*likelihood, *model), None));
            let differ = naive.iter().zip(&cached).filter(|(a, b)| a != b).count();
            assert_eq!(differ, 0, "{name} {shape:?}: {differ} of {} pixels differ", naive.len());
            let lit = naive.iter().filter(|&&v| v == 1.0).count();
            assert!(
                naive.len() < 20 || (lit > 0 && lit < naive.len()),
                "{name} {shape:?}: {lit} of {} pixels are lit",
                naive.len()
            );
        }
    }
}

/// The values that the f64 reference draws after the given pictures' pixels if all uniform numbers are 1e-5
/// smaller, or larger.
fn shifted(
    gpu: &Gpu,
    shape: [usize; 4],
    (likelihood, model): (Likelihood, Model),
    pictures: &[f32],
) -> [Vec<f64>; 2] {
    let (pixels, c) = (shape[0] * shape[1] * shape[2], shape[3]);
    let sampler = sampler(gpu.caps(), shape, Method::Naive, likelihood, model).unwrap();
    let state = State::new(gpu, &sampler.plans(), 3).unwrap();
    sampler.run(gpu, &state, None, 1, |_, _| Ok(())).unwrap();
    let outputs = logits(gpu, shape, 3, model)(pictures);
    let uniform = state.read(gpu, "sampling/uniform").unwrap();
    let g = Graph::new();
    let [o, u] = [("outputs", likelihood.outputs(c)), ("uniform", likelihood.uniforms(c))]
        .map(|(name, n)| g.input(name, Type::f32([pixels, n])));
    g.output("drawn", likelihood.draw(o, 1.0, u));
    let array = |values: &[f32], by: f64| {
        Array::new([pixels, values.len() / pixels], values.iter().map(|&v| f64::from(v) + by).collect())
    };
    [-1e-5, 1e-5].map(|by| {
        let inputs =
            Values::from([("outputs".into(), array(&outputs, 0.0)), ("uniform".into(), array(&uniform, by))]);
        reference::eval(&g, &inputs, &mut Values::new()).unwrap()["drawn"].data.clone()
    })
}

/// A uniform number within 1e-5 of the threshold between two levels may fall to either side by rounding, and
/// all later pixels of the image follow from it: they are not compared.
#[test]
fn cached_sampling_draws_the_same_levels() {
    by_both("cached sampling of levels", same_levels);
}

fn same_levels(gpu: &Gpu, caps: &Caps) {
    let pictures: &[_] = &[[6, 4, 5, 3], [6, 5, 4, 1]];
    // Longer than what is seen, so that rings go round.
    let signals: &[_] = &[[6, 1, 50, 1], [6, 1, 12, 1]];
    let models = MODELS[5..8].iter().chain(&RECURRENT[2..]).chain(&HINTED[4..]);
    let models = models.map(|model| (model, pictures));
    for ((name, likelihood, model), shapes) in models.chain([(&SIGNALS[0], signals)]) {
        for &shape in shapes_for(gpu, caps, shapes, 1) {
            let [naive, cached] = [Method::Naive, Method::Cached]
                .map(|m| draw(gpu, caps, shape, m, (*likelihood, *model), None));
            let size = naive.len() / shape[0];
            let [below, above] = shifted(gpu, shape, (*likelihood, *model), &naive);
            let near = |i: usize| below[i] != above[i];
            let mut equal = 0;
            for image in 0..shape[0] {
                match (image * size..(image + 1) * size).find(|&i| naive[i] != cached[i]) {
                    None => equal += 1,
                    Some(i) => {
                        let (a, b) = (naive[i], cached[i]);
                        assert!(
                            near(i) && (a - b).abs() < 1.01 / 255.0,
                            "{name} {shape:?}: value {i} is {a} and {b}, far from a threshold"
                        );
                    }
                }
            }
            let thresholds = (0..naive.len()).filter(|&i| near(i)).count();
            assert!(
                equal >= 5 && thresholds < naive.len() / 20,
                "{name} {shape:?}: {equal} of 6 images are equal, {thresholds} values near"
            );
            let mut values: Vec<u32> = naive.iter().map(|v| v.to_bits()).collect();
            values.sort_unstable();
            values.dedup();
            assert!(values.len() > 20, "{name} {shape:?}: only {} levels are drawn", values.len());
        }
    }
}

/// Where every pixel is given, the cached logits are those of the whole network over the same pictures,
/// channel after channel.
#[test]
fn teacher_forced_logits_are_the_whole_networks() {
    by_both("teacher-forced logits", same_logits);
}

fn same_logits(gpu: &Gpu, caps: &Caps) {
    let models = || MODELS[..8].iter().chain(&RECURRENT).chain(&HINTED);
    let grey = models().map(|model| (model, [3, 8, 9, 1]));
    let colours = models().filter(|(name, ..)| *name != "stacks").map(|model| (model, [3, 8, 9, 3]));
    let signals = SIGNALS.iter().map(|model| (model, [3, 1, 72, 1]));
    for ((name, likelihood, model), shape @ [n, h, w, c]) in grey.chain(colours).chain(signals) {
        let outputs = [n, h, w, likelihood.outputs(c)];
        let whole = Graph::new();
        whole.output(OUTPUT, model(&whole, whole.input(INPUT, Type::f32(shape))));
        let [begin, g] = [Graph::new(), Graph::new()];
        let [picture, logits] = [("picture", shape), ("kept", outputs)]
            .map(|(name, shape)| g.var(name, Type::f32(shape), Init::Zeros));
        let (wave, rows) = cached(&begin, &g, &whole, picture, g.step(), likelihood.steps(c)).unwrap();
        g.assign(logits, logits.place(wave, rows, g.step()));
        advance(&g);
        let plans = [&whole, &begin, &g].map(|g| Plan::new(g, caps).unwrap());
        let state = State::new(gpu, &plans.each_ref(), 3).unwrap();
        let [at_once, first, step] =
            plans.each_ref().map(|plan| Executor::new(gpu, plan, &state, &[]).unwrap());
        let pixels: Vec<f32> = (0..216 * c).map(|i| f32::from(u8::from(i * 7 % 11 < 4))).collect();
        at_once.write(gpu, INPUT, &pixels).unwrap();
        state.write(gpu, "picture", &pixels).unwrap();
        gpu.submit(|encoder| {
            at_once.record(encoder)?;
            first.record(encoder)?;
            (0..wave.steps()).try_for_each(|_| step.record(encoder))
        })
        .unwrap();
        let (want, got) = (at_once.read(gpu, OUTPUT).unwrap(), state.read(gpu, "kept").unwrap());
        let worst = want.iter().zip(&got).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(
            worst < 1e-4 && want.iter().any(|v| v.abs() > 0.1),
            "{name} of {c} channels: cached logits differ by {worst}"
        );
    }
}

#[test]
fn given_pixels_are_kept_and_another_round_differs() {
    let Some(gpu) = adapter("completion") else { return };
    let shape = [2, 6, 8, 1];
    let pictures: Vec<f32> = (0..96).map(|i| f32::from(u8::from(i % 3 == 0))).collect();
    let given: Vec<f32> = (0..96).map(|i| f32::from(u8::from(i % 5 < 2))).collect();
    let free = draw(gpu, gpu.caps(), shape, Method::Cached, (Bernoulli, residual), None);
    for method in [Method::Naive, Method::Cached] {
        let drawn = draw(gpu, gpu.caps(), shape, method, (Bernoulli, residual), Some((&pictures, &given)));
        for i in 0..96 {
            assert!(given[i] == 0.0 || drawn[i] == pictures[i], "{method:?}: given pixel {i} was drawn over");
        }
        assert_ne!(drawn, free);
    }
    let sampler = sampler(gpu.caps(), shape, Method::Cached, Bernoulli, residual).unwrap();
    let state = State::new(gpu, &sampler.plans(), 3).unwrap();
    let rounds = [(); 2].map(|()| sampler.run(gpu, &state, None, 1, |_, _| Ok(())).unwrap());
    assert_ne!(rounds[0], rounds[1]);
    assert_eq!(rounds[0], free);
}

/// A signal's step costs the same however long the signal is; a longer one adds its own samples alone, what is
/// given of them, and the random numbers they take.
#[test]
fn the_step_of_a_signal_does_not_grow_with_its_length() {
    let caps = Caps::portable(AdapterClass::Cpu);
    for (name, likelihood, model) in SIGNALS {
        let [short, long] = [100, 1_000_000]
            .map(|length| sampler(&caps, [2, 1, length, 1], Method::Cached, likelihood, model).unwrap());
        let [a, b] = [&short, &long].map(|sampler| sampler.plans()[1]);
        let costs =
            |plan: &Plan| plan.launches.iter().map(|l| (l.grid, l.flops, l.bytes)).collect::<Vec<_>>();
        assert_eq!(costs(a), costs(b), "{name}");
        assert_eq!(
            (a.slot_bytes(), b.state_bytes() - a.state_bytes()),
            (b.slot_bytes(), 3 * 4 * 2 * 999_900)
        );
        assert_eq!(long.steps() - short.steps(), 999_900, "{name}");
    }
}

/// A window, its product and the place of its rows are one launch, and so is what a pixel is drawn from.
#[test]
fn a_step_takes_few_launches() {
    let launches = |caps: &Caps, shape, likelihood, model: Model| {
        sampler(caps, shape, Method::Cached, likelihood, model).unwrap().plans()[1].launches.len()
    };
    for (name, caps) in all_caps() {
        let pixelcnn = launches(&caps, [16, 28, 28, 1], Bernoulli, plain);
        assert!(pixelcnn <= 12, "{name}: {pixelcnn} launches a step of the PixelCNN");
        let wavenet = launches(&caps, [1, 1, 16_000, 1], Likelihood::Softmax, deep);
        assert!(wavenet <= 74, "{name}: {wavenet} launches a sample of 20 layers");
    }
}

/// A function that computes a model's logits over pictures by the kernels.
fn logits(gpu: &Gpu, shape: [usize; 4], seed: u64, model: Model) -> impl Fn(&[f32]) -> Vec<f32> {
    let g = Graph::new();
    g.output("logits", model(&g, g.input("x", Type::f32(shape))));
    let ready = Ready::new(gpu, &g, seed);
    move |x| ready.write("x", x).step().read("logits")
}

#[test]
fn what_cannot_be_cached_is_refused_with_the_users_line() {
    let caps = Caps::portable(AdapterClass::Cpu);
    let refused = |model: Model, what: &str| {
        let error = sampler(&caps, [1, 4, 4, 1], Method::Cached, Bernoulli, model)
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default();
        assert!(error.contains(what) && error.contains(file!()), "{error}");
    };
    let nothing =
        sampler(&caps, [1, 4, 4, 1], Method::Cached, Bernoulli, |_, x| x).err().map(|e| e.to_string());
    assert!(nothing.unwrap_or_default().contains("no output that is computed from the picture"));
    refused(|g, x| Conv2d::new(g, "c", Kernel::same(3), [1, 1]).forward(x), "not drawn yet");
    refused(
        |g, x| Conv2d::new(g, "c", Kernel::same(3).taps(Taps::MaskB), [1, 1]).forward(x),
        "not drawn yet",
    );
    refused(
        |g, x| {
            Conv2d::new(g, "c", Kernel::same(3).taps(Taps::MaskA), [1, 1]).forward(x.permute(&[0, 2, 1, 3]))
        },
        "moves pixels",
    );
    refused(
        |g, x| {
            let y = Conv2d::new(g, "c", Kernel::same(3).taps(Taps::MaskA), [1, 1]).forward(x);
            y - y.sum(&[1]).reshape([1, 1, 4, 1])
        },
        "moves pixels",
    );
}

/// What a hint says is the same for all steps: they read it at their pixels, and the network over it runs before them.
#[test]
fn a_hints_network_runs_once() {
    for (name, likelihood, model) in HINTED {
        let [whole, begin, g] = [Graph::new(), Graph::new(), Graph::new()];
        let shape = [2, 8, 9, 1];
        whole.output(OUTPUT, model(&whole, whole.input(INPUT, Type::f32(shape))));
        let picture = g.var("picture", Type::f32(shape), Init::Zeros);
        let (_, rows) = cached(&begin, &g, &whole, picture, g.step(), likelihood.steps(1)).unwrap();
        g.output("rows", rows);
        let hints = |g: &Graph| g.recording().vars.iter().filter(|v| v.name.starts_with("hint")).count();
        assert!(hints(&begin) >= 6 && hints(&g) == 0, "{name}: {} and {}", hints(&begin), hints(&g));
        let plan = Plan::new(&g, &Caps::portable(AdapterClass::Gpu)).unwrap();
        let copies = plan.launches.iter().filter(|launch| launch.label.starts_with("look")).count();
        say(&format!("{name}: {} launches a step, {copies} that only look", plan.launches.len()));
    }
}
