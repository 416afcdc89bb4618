//! Cached sampling against the whole network at every pixel, and the models that it is derived from: causality.

use crate::{harness::say, subjects::adapter};
use oneiro::{
    caps::{Caps, Class},
    gpu::{Executor, Gpu, State},
    graph::{Graph, Tensor},
    models::{
        fvbn::{self, Fvbn},
        gated_pixelcnn::{self, GatedPixelCnn},
        pixelcnn::{Config, PixelCnn},
    },
    nn::Conv2d,
    ops::conv2d::{Kernel, Taps},
    optim::advance,
    plan::Plan,
    reference::{self, Values},
    run::{Method, Sampler},
    sampling::{INPUT, OUTPUT, cached},
    shape::{Array, Type},
    var::Init,
};

/// Logits of a model, `[N, H, W, C]`.
type Model = for<'g> fn(&'g Graph, Tensor<'g>) -> Tensor<'g>;

fn image(x: Tensor<'_>) -> [usize; 3] {
    [x.shape()[1], x.shape()[2], x.shape()[3]]
}

/// Residual blocks, pointwise layers, a head.
fn residual<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    PixelCnn::new(g, &Config { image: image(x), features: 6, blocks: 2, head: 5 }).logits(x) * 6.0
}

/// Windows of several reaches, one activation seen by two of them, a gate of slices, a scale by pixels, another by images.
fn stacks<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    let [h, w, c] = image(x);
    let n = x.shape()[0];
    let conv = |name: &str, kernel: Kernel, channels| Conv2d::new(g, name, kernel, channels);
    // Whoever sees the pixel itself, as this does, is there only after it was drawn.
    let x = x * 2.0 - 1.0;
    let a = conv("a", Kernel::same(5).taps(Taps::MaskA), [c, 8]).forward(x).tanh();
    let vertical = conv("v", Kernel::same(5).taps(Taps::Rect([0, 2], [0, 5])), [8, 8]).forward(a);
    let horizontal = conv("h", Kernel::same(3).dilation(2).padding(2).taps(Taps::MaskB), [8, 8]).forward(a);
    let both = vertical + horizontal;
    let gate = both.slice(3, 0..4).tanh() * both.slice(3, 4..8).sigmoid();
    let place = g.var("place", Type::f32([1, h, w, 4]), Init::Normal(1.0)).broadcast_to([n, h, w, 4]);
    let which = g.var("which", Type::f32([n, 1, 1, 1]), Init::Normal(1.0)).broadcast_to([n, h, w, 4]);
    conv("o", Kernel::square(1), [4, c]).forward(gate * which + place) * 4.0
}

/// Two stacks, conditioned on classes.
fn gated<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    let config = gated_pixelcnn::Config { image: image(x), features: 4, layers: 3, kernel: 5, head: 6, classes: Some(3) };
    let class = g.var("class", Type::f32([x.shape()[0], 3]), Init::Normal(1.0));
    GatedPixelCnn::new(g, &config).logits(x, Some(class)) * 6.0
}

fn made<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    let shape = x.shape();
    let pixels = shape[1..].iter().product();
    let model = Fvbn::new(g, &fvbn::Config { pixels, hidden: vec![40, 30] });
    (model.logits(x.reshape([shape[0], pixels])) * 4.0).reshape(shape)
}

fn belief<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    let shape = x.shape();
    let pixels = shape[1..].iter().product();
    (Fvbn::new(g, &fvbn::Config { pixels, hidden: vec![] }).logits(x.reshape([shape[0], pixels])) * 8.0).reshape(shape)
}

const MODELS: [(&str, Model); 5] =
    [("PixelCNN", residual), ("stacks", stacks), ("gated PixelCNN", gated), ("MADE", made), ("FVSBN", belief)];

fn draw(gpu: &Gpu, shape: [usize; 4], method: Method, model: Model, given: Option<(&[f32], &[f32])>) -> Vec<f32> {
    let sampler = Sampler::new(gpu.caps(), shape, 1.0, method, model).unwrap();
    let state = State::new(gpu, &sampler.plans(), 3).unwrap();
    sampler.run(gpu, &state, given, |_, _| Ok(())).unwrap()
}

#[test]
fn cached_sampling_draws_what_the_whole_network_draws() {
    let Some(gpu) = adapter("cached sampling") else { return };
    for (name, model) in &MODELS[..3] {
        for shape in [[3, 9, 11, 1], [2, 5, 4, 4], [1, 1, 6, 1], [2, 7, 1, 1]] {
            let [naive, cached] = [Method::Naive, Method::Cached].map(|m| draw(gpu, shape, m, *model, None));
            let differ = naive.iter().zip(&cached).filter(|(a, b)| a != b).count();
            assert_eq!(differ, 0, "{name} {shape:?}: {differ} of {} pixels differ", naive.len());
            let lit = naive.iter().filter(|&&v| v == 1.0).count();
            assert!(naive.len() < 20 || (lit > 0 && lit < naive.len()), "{name} {shape:?}: {lit} of {} pixels are lit", naive.len());
        }
    }
    say("cached sampling drew the same pixels as the whole network, for 3 models of 4 shapes");
}

/// Every pixel given: the cached logits are those of the whole network over the same pictures.
#[test]
fn teacher_forced_logits_are_the_whole_networks() {
    let Some(gpu) = adapter("teacher-forced logits") else { return };
    for (name, model) in &MODELS[..3] {
        let shape = [3, 8, 9, 1];
        let whole = Graph::new();
        whole.output(OUTPUT, model(&whole, whole.input(INPUT, Type::f32(shape))));
        let g = Graph::new();
        let [picture, logits] = ["picture", "kept"].map(|name| g.var(name, Type::f32(shape), Init::Zeros));
        let (wave, rows) = cached(&g, &whole, picture, g.step()).unwrap();
        g.assign(logits, logits.place(wave, rows, g.step()));
        advance(&g);
        let plans = [&whole, &g].map(|g| Plan::new(g, gpu.caps()).unwrap());
        let state = State::new(gpu, &[&plans[0], &plans[1]], 3).unwrap();
        let [at_once, step] = [0, 1].map(|i| Executor::new(gpu, &plans[i], &state, &[]).unwrap());
        let pixels: Vec<f32> = (0..216).map(|i| f32::from(u8::from(i * 7 % 11 < 4))).collect();
        at_once.write(gpu, INPUT, &pixels).unwrap();
        state.write(gpu, "picture", &pixels).unwrap();
        gpu.submit(|encoder| {
            at_once.record(encoder);
            (0..wave.steps()).for_each(|_| step.record(encoder));
        });
        let (want, got) = (at_once.read(gpu, OUTPUT).unwrap(), state.read(gpu, "kept").unwrap());
        let worst = want.iter().zip(&got).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-4 && want.iter().any(|v| v.abs() > 0.1), "{name}: cached logits differ by {worst}");
    }
}

#[test]
fn given_pixels_are_kept_and_another_round_differs() {
    let Some(gpu) = adapter("completion") else { return };
    let shape = [2, 6, 8, 1];
    let pictures: Vec<f32> = (0..96).map(|i| f32::from(u8::from(i % 3 == 0))).collect();
    let given: Vec<f32> = (0..96).map(|i| f32::from(u8::from(i % 5 < 2))).collect();
    let free = draw(gpu, shape, Method::Cached, residual, None);
    for method in [Method::Naive, Method::Cached] {
        let drawn = draw(gpu, shape, method, residual, Some((&pictures, &given)));
        for i in 0..96 {
            assert!(given[i] == 0.0 || drawn[i] == pictures[i], "{method:?}: given pixel {i} was drawn over");
        }
        assert_ne!(drawn, free);
    }
    let sampler = Sampler::new(gpu.caps(), shape, 1.0, Method::Cached, residual).unwrap();
    let state = State::new(gpu, &sampler.plans(), 3).unwrap();
    let rounds = [(); 2].map(|()| sampler.run(gpu, &state, None, |_, _| Ok(())).unwrap());
    assert_ne!(rounds[0], rounds[1]);
    assert_eq!(rounds[0], free);
}

#[test]
fn no_logit_sees_its_pixel_or_a_later_one() {
    for (name, model) in MODELS {
        let (g, shape) = (Graph::new(), [1, 4, 5, 2]);
        g.output("logits", model(&g, g.input("x", Type::f32(shape))));
        let eval = |x: &[f64]| {
            let inputs = Values::from([("x".into(), Array::new(shape, x.to_vec()))]);
            reference::eval(&g, &inputs, &mut reference::initial(&g, 1)).unwrap()["logits"].data.clone()
        };
        let x: Vec<f64> = (0..40).map(|i| f64::from(i * 7 % 5 % 2)).collect();
        let before = eval(&x);
        let mut reached = false;
        for j in 0..40 {
            let mut changed = x.clone();
            changed[j] = 1.0 - changed[j];
            let after = eval(&changed);
            // PixelCNN's channels do not see each other; a belief net's pixels are its channels.
            let until = if name == "MADE" || name == "FVSBN" { j + 1 } else { (j / 2 + 1) * 2 };
            let same = before.iter().zip(&after).take(until).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{name}: changing pixel {j} changes a logit up to it");
            reached |= before != after;
        }
        assert!(reached, "{name}: no pixel has any influence");
    }
}

#[test]
fn what_cannot_be_cached_is_refused_with_the_users_line() {
    let caps = Caps::portable(Class::Cpu);
    let refused = |model: Model, what: &str| {
        let error = Sampler::new(&caps, [1, 4, 4, 1], 1.0, Method::Cached, model).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains(what) && error.contains("kernels-tests/sampling.rs"), "{error}");
    };
    let nothing = Sampler::new(&caps, [1, 4, 4, 1], 1.0, Method::Cached, |_, x| x).err().map(|e| e.to_string());
    assert!(nothing.unwrap_or_default().contains("no output that is computed from the picture"));
    refused(|g, x| Conv2d::new(g, "c", Kernel::same(3), [1, 1]).forward(x), "not drawn yet");
    refused(|g, x| Conv2d::new(g, "c", Kernel::same(3).taps(Taps::MaskB), [1, 1]).forward(x), "not drawn yet");
    refused(|g, x| Conv2d::new(g, "c", Kernel::same(3).taps(Taps::MaskA), [1, 1]).forward(x.permute(&[0, 2, 1, 3])), "moves pixels");
    refused(
        |g, x| {
            let y = Conv2d::new(g, "c", Kernel::same(3).taps(Taps::MaskA), [1, 1]).forward(x);
            y - y.sum(&[1]).reshape([1, 1, 4, 1])
        },
        "moves pixels",
    );
}
