//! Cached sampling against the whole network at every pixel, and the models that it is derived from: causality.

use crate::{harness::say, subjects::adapter};
use oneiro::{
    gpu::{Executor, Gpu, State},
    graph::{
        Graph, Tensor,
        reference::{self, Values},
        shape::{Array, Type},
        var::Init,
        window::{Kernel, Taps},
    },
    kernel::caps::{AdapterClass, Caps},
    measure::bound::Mean,
    models::{
        fvbn::{self, Fvbn},
        gated_pixelcnn::{self, GatedPixelCnn},
        likelihood::Likelihood::{self, Bernoulli, Mixture, Softmax},
        pixelcnn::{Config, PixelCnn},
    },
    nn::{Channels, Conv2d},
    optim::advance,
    plan::Plan,
    sampling::{INPUT, OUTPUT, cached},
    train::{Draws, Method, Sampler},
};

/// Parameters of pixels, `[N, H, W, P]`.
type Model = for<'g> fn(&'g Graph, Tensor<'g>) -> Tensor<'g>;

fn image(x: Tensor<'_>) -> [usize; 3] {
    [x.shape()[1], x.shape()[2], x.shape()[3]]
}

/// Residual blocks, pointwise layers, a head.
fn residual<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    PixelCnn::new(
        g,
        &Config {
            image: image(x),
            features: 6,
            blocks: 2,
            dilations: vec![],
            head: 5,
            dropout: 0.0,
            likelihood: Bernoulli,
        },
    )
    .logits(x)
        * 6.0
}

fn levels<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    PixelCnn::new(
        g,
        &Config {
            image: image(x),
            features: 13,
            blocks: 2,
            dilations: vec![1, 3],
            head: 16,
            dropout: 0.0,
            likelihood: Softmax,
        },
    )
    .logits(x)
        * 8.0
}

fn logistics<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    PixelCnn::new(
        g,
        &Config {
            image: image(x),
            features: 6,
            blocks: 1,
            dilations: vec![],
            head: 8,
            dropout: 0.0,
            likelihood: Mixture(3),
        },
    )
    .logits(x)
        * 4.0
        - 1.0
}

/// Channels one after another, through windows that grow: what lies above is needed whole, its last channel included.
fn colours<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    let c = x.shape()[3];
    let before = if c > 1 { Taps::MaskB } else { Taps::MaskA };
    let first = Conv2d::masked(g, "a", Kernel::same(3).taps(before), [c, 4 * c], Channels::before(c))
        .forward(x)
        .tanh();
    let second = Kernel::same(5).taps(Taps::MaskB);
    let second = Conv2d::masked(g, "b", second, [4 * c, 4 * c], Channels::up_to(c)).forward(first).tanh();
    Conv2d::masked(g, "o", Kernel::square(1), [4 * c, c], Channels::up_to(c)).forward(second) * 9.0
}

/// The same over a scaled picture, which is no window's.
fn scaled<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    colours(g, x * 2.0 - 1.0)
}

fn gated_levels<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    let likelihood = Softmax;
    let config = gated_pixelcnn::Config {
        image: image(x),
        features: 6,
        layers: 2,
        kernel: 3,
        head: 6,
        classes: None,
        dropout: 0.0,
        likelihood,
    };
    GatedPixelCnn::new(g, &config).logits(x, None) * 12.0
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
    let place = g.var("place", Type::f32([1, h, w, 4]), Init::Normal(0.0, 1.0)).broadcast_to([n, h, w, 4]);
    let which = g.var("which", Type::f32([n, 1, 1, 1]), Init::Normal(0.0, 1.0)).broadcast_to([n, h, w, 4]);
    conv("o", Kernel::square(1), [4, c]).forward(gate * which + place) * 4.0
}

/// Two stacks, conditioned on classes.
fn gated<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    let config = gated_pixelcnn::Config {
        image: image(x),
        features: 4,
        layers: 3,
        kernel: 5,
        head: 16,
        classes: Some(3),
        dropout: 0.0,
        likelihood: Bernoulli,
    };
    let class = g.var("class", Type::f32([x.shape()[0], 3]), Init::Normal(0.0, 1.0));
    GatedPixelCnn::new(g, &config).logits(x, Some(class)) * 6.0
}

fn made<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    let shape = x.shape();
    let pixels = shape[1..].iter().product();
    let model = Fvbn::new(g, &fvbn::Config { pixels, hidden: vec![40, 30], direct: true });
    (model.logits(x.reshape([shape[0], pixels])) * 4.0).reshape(shape)
}

fn belief<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    let shape = x.shape();
    let pixels = shape[1..].iter().product();
    (Fvbn::new(g, &fvbn::Config { pixels, hidden: vec![], direct: false })
        .logits(x.reshape([shape[0], pixels]))
        * 8.0)
        .reshape(shape)
}

const MODELS: [(&str, Likelihood, Model); 10] = [
    ("PixelCNN", Bernoulli, residual),
    ("stacks", Bernoulli, stacks),
    ("gated PixelCNN", Bernoulli, gated),
    ("colours", Bernoulli, colours),
    ("scaled colours", Bernoulli, scaled),
    ("PixelCNN of 256 levels", Softmax, levels),
    ("PixelCNN of logistics", Mixture(3), logistics),
    ("gated PixelCNN of 256 levels", Softmax, gated_levels),
    ("MADE", Bernoulli, made),
    ("FVSBN", Bernoulli, belief),
];

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
    shape: [usize; 4],
    method: Method,
    (likelihood, model): (Likelihood, Model),
    given: Option<(&[f32], &[f32])>,
) -> Vec<f32> {
    let sampler = sampler(gpu.caps(), shape, method, likelihood, model).unwrap();
    let state = State::new(gpu, &sampler.plans(), 3).unwrap();
    sampler.run(gpu, &state, given, 1, |_, _| Ok(())).unwrap()
}

#[test]
fn cached_sampling_draws_what_the_whole_network_draws() {
    let Some(gpu) = adapter("cached sampling") else { return };
    for (name, likelihood, model) in &MODELS[..5] {
        for shape in [[3, 9, 11, 1], [2, 5, 4, 4], [3, 8, 9, 3], [1, 1, 6, 1], [2, 7, 1, 1]] {
            let [naive, cached] =
                [Method::Naive, Method::Cached].map(|m| draw(gpu, shape, m, (*likelihood, *model), None));
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
    say("cached sampling drew the same pixels as the whole network, for 5 models of 5 shapes");
}

/// What the naive way's pictures would have been, had all uniform numbers been 1e-5 smaller or larger; drawn by the f64 reference.
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

/// A number between two of 256 levels, within 1e-5 of the threshold, falls to either side by rounding, and later pixels follow: such
/// an image is let off from there on.
#[test]
fn cached_sampling_draws_the_same_levels() {
    let Some(gpu) = adapter("cached sampling of levels") else { return };
    for (name, likelihood, model) in &MODELS[5..8] {
        for shape in [[6, 4, 5, 3], [6, 5, 4, 1]] {
            let [naive, cached] =
                [Method::Naive, Method::Cached].map(|m| draw(gpu, shape, m, (*likelihood, *model), None));
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

/// -log p of drawn pictures and the sum of the entropies of what they were drawn from have one mean: of each picture their
/// difference is zero on average, whatever the model.
#[test]
fn drawn_pictures_are_as_likely_as_their_entropy_says() {
    let Some(gpu) = adapter("entropy of draws") else { return };
    for (name, likelihood, model) in &MODELS[..8] {
        let (n, c) = (300, if *name == "stacks" { 1 } else { 3 });
        let shape = [n, 3, 4, c];
        let pictures = draw(gpu, shape, Method::Cached, (*likelihood, *model), None);
        let g = Graph::new();
        let x = g.input(INPUT, Type::f32(shape));
        let outputs = model(&g, x);
        g.output(OUTPUT, outputs);
        g.output("nats", likelihood.nats(outputs, x));
        let plan = Plan::new(&g, gpu.caps()).unwrap();
        let state = State::new(gpu, &[&plan], 3).unwrap();
        let executor = Executor::new(gpu, &plan, &state, &[]).unwrap();
        executor.write(gpu, INPUT, &pictures).unwrap();
        executor.step(gpu);
        let (nats, outputs) = (executor.read(gpu, "nats").unwrap(), executor.read(gpu, OUTPUT).unwrap());
        let pixels = outputs.chunks(likelihood.outputs(c)).zip(pictures.chunks(c));
        let entropies: Vec<f64> = pixels.map(|(row, pixel)| entropy(*likelihood, row, pixel)).collect();
        let nats: Vec<f32> =
            nats.chunks(nats.len() / entropies.len()).map(|pixel| pixel.iter().sum()).collect();
        let size = nats.len() / n;
        let sum = |v: &mut dyn Iterator<Item = f64>| v.sum::<f64>();
        let per_image = |i: usize| {
            let at = i * size..(i + 1) * size;
            (sum(&mut nats[at.clone()].iter().map(|&v| v.into())), sum(&mut entropies[at].iter().copied()))
        };
        let (nll, expected): (Vec<f64>, Vec<f64>) = (0..n).map(per_image).unzip();
        let excess = Mean::of(&nll.iter().zip(&expected).map(|(a, b)| a - b).collect::<Vec<_>>());
        let (nll, expected) = (Mean::of(&nll).mean, Mean::of(&expected).mean);
        say(&format!(
            "{name}: NLL {nll:.3} of its own draws, entropy {expected:.3}, difference {:.3} ± {:.3}",
            excess.mean, excess.half
        ));
        // The seed is fixed: with another one in twenty right samplers would fall outside.
        assert!(
            excess.mean.abs() < excess.half && excess.half < 0.1 * expected,
            "{name}: {nll} against {expected}"
        );
    }
}

/// Σ H(x_c | x_<c) of a pixel's channels in nats, given what was drawn.
fn entropy(likelihood: Likelihood, parameters: &[f32], pixel: &[f32]) -> f64 {
    let p: Vec<f64> = parameters.iter().map(|&v| v.into()).collect();
    let plogp = |p: &f64| if *p > 0.0 { p * p.ln() } else { 0.0 };
    let of = |outcomes: &[f64]| -outcomes.iter().map(plogp).sum::<f64>();
    let softmax = |logits: &[f64]| -> Vec<f64> {
        let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = logits.iter().map(|l| (l - top).exp()).sum();
        logits.iter().map(|l| (l - top).exp() / total).collect()
    };
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let k = match likelihood {
        Bernoulli => return p.iter().map(|&l| of(&[sigmoid(l), sigmoid(-l)])).sum(),
        Softmax => return p.chunks(256).map(|logits| of(&softmax(logits))).sum(),
        Mixture(k) => k,
    };
    let at = |channel: usize, what: usize, j: usize| p[k * (1 + 3 * channel + what) + j];
    let u: Vec<f64> = pixel.iter().map(|&v| f64::from(v) * 2.0 - 1.0).collect();
    let probability = |c: usize, level: usize, j: usize| {
        let coupled =
            [0.0, at(0, 2, j).tanh() * u[0], at(1, 2, j).tanh() * u[0] + at(2, 2, j).tanh() * u[1]][c];
        let (mean, scale) = (at(c, 0, j) + coupled, at(c, 1, j).clamp(-7.0, 7.0).exp());
        let cdf = |level: f64| sigmoid((level / 127.5 - 1.0 - mean) / scale);
        let upper = if level == 255 { 1.0 } else { cdf(level as f64 + 0.5) };
        upper - if level == 0 { 0.0 } else { cdf(level as f64 - 0.5) }
    };
    // What the channels so far say about the component.
    let mut weights = softmax(&p[..k]);
    let mut total = 0.0;
    for (c, &value) in pixel.iter().enumerate() {
        let mixed = |level| (0..k).map(|j| weights[j] * probability(c, level, j)).sum();
        total += of(&(0..256).map(mixed).collect::<Vec<f64>>());
        let drawn = (value * 255.0).round() as usize;
        let seen: Vec<f64> = (0..k).map(|j| weights[j] * probability(c, drawn, j)).collect();
        weights = seen.iter().map(|w| w / seen.iter().sum::<f64>()).collect();
    }
    total
}

/// Every pixel given: the cached logits are those of the whole network over the same pictures, of colours channel after channel.
#[test]
fn teacher_forced_logits_are_the_whole_networks() {
    let Some(gpu) = adapter("teacher-forced logits") else { return };
    let colours = MODELS[..8].iter().filter(|(name, ..)| *name != "stacks").map(|model| (model, 3));
    for ((name, likelihood, model), c) in MODELS[..8].iter().map(|model| (model, 1)).chain(colours) {
        let (shape, outputs) = ([3, 8, 9, c], [3, 8, 9, likelihood.outputs(c)]);
        let whole = Graph::new();
        whole.output(OUTPUT, model(&whole, whole.input(INPUT, Type::f32(shape))));
        let g = Graph::new();
        let [picture, logits] = [("picture", shape), ("kept", outputs)]
            .map(|(name, shape)| g.var(name, Type::f32(shape), Init::Zeros));
        let (wave, rows) = cached(&g, &whole, picture, g.step(), likelihood.steps(c)).unwrap();
        g.assign(logits, logits.place(wave, rows, g.step()));
        advance(&g);
        let plans = [&whole, &g].map(|g| Plan::new(g, gpu.caps()).unwrap());
        let state = State::new(gpu, &[&plans[0], &plans[1]], 3).unwrap();
        let [at_once, step] = [0, 1].map(|i| Executor::new(gpu, &plans[i], &state, &[]).unwrap());
        let pixels: Vec<f32> = (0..216 * c).map(|i| f32::from(u8::from(i * 7 % 11 < 4))).collect();
        at_once.write(gpu, INPUT, &pixels).unwrap();
        state.write(gpu, "picture", &pixels).unwrap();
        gpu.submit(|encoder| {
            at_once.record(encoder);
            (0..wave.steps()).for_each(|_| step.record(encoder));
        });
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
    let free = draw(gpu, shape, Method::Cached, (Bernoulli, residual), None);
    for method in [Method::Naive, Method::Cached] {
        let drawn = draw(gpu, shape, method, (Bernoulli, residual), Some((&pictures, &given)));
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

/// Logits of a model over pictures, by the kernels.
fn logits(gpu: &Gpu, shape: [usize; 4], seed: u64, model: Model) -> impl Fn(&[f32]) -> Vec<f32> {
    let g = Graph::new();
    g.output("logits", model(&g, g.input("x", Type::f32(shape))));
    let plan = Plan::new(&g, gpu.caps()).unwrap();
    let executor = Executor::new(gpu, &plan, &State::new(gpu, &[&plan], seed).unwrap(), &[]).unwrap();
    move |x| {
        executor.write(gpu, "x", x).unwrap();
        executor.step(gpu);
        executor.read(gpu, "logits").unwrap()
    }
}

/// A picture, and the same with each value changed.
fn changes(size: usize) -> (Vec<f32>, impl Iterator<Item = (usize, Vec<f32>)>) {
    let x: Vec<f32> = (0..size).map(|i| (i * 7 % 5 % 2) as f32).collect();
    let whole = x.clone();
    (
        x,
        (0..size).map(move |j| {
            (j, whole.iter().enumerate().map(|(i, v)| if i == j { 1.0 - v } else { *v }).collect())
        }),
    )
}

/// To the bit, by the kernels.
#[test]
fn no_logit_sees_its_pixel_or_a_later_one() {
    let Some(gpu) = adapter("causality") else { return };
    for (name, likelihood, model) in MODELS {
        let c = if likelihood.has_levels() { 3 } else { 2 };
        let (eval, (x, changes)) = (logits(gpu, [1, 3, 4, c], 2, model), changes(12 * c));
        let before = eval(&x);
        let mut reached = vec![false; before.len()];
        for (j, changed) in changes {
            let after = eval(&changed);
            // Channels follow each other but in these: one's channels do not see each other, a mixture has them at once.
            let together = name == "stacks" || likelihood.steps(c) == 1;
            let until = if together { (j / c + 1) * c } else { j + 1 } * likelihood.outputs(c) / c;
            let same = before.iter().zip(&after).take(until).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{name}: changing value {j} changes an output up to it");
            reached.iter_mut().zip(before.iter().zip(&after)).for_each(|(r, (a, b))| *r |= a != b);
        }
        let reached = &reached[likelihood.outputs(c)..];
        let blind = reached.iter().filter(|&&r| !r).count();
        assert!(blind == 0, "{name}: {blind} of {} outputs after the first pixel see nothing", reached.len());
    }
}

/// Every logit sees every pixel before it; of a PixelCNN with as large windows, some do not (van den Oord et al. 2016b, §2.2).
#[test]
fn only_the_gated_pixelcnn_has_no_blind_spot() {
    let Some(gpu) = adapter("blind spots") else { return };
    fn gated<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
        let config = gated_pixelcnn::Config {
            image: image(x),
            features: 16,
            layers: 4,
            kernel: 3,
            head: 16,
            classes: None,
            dropout: 0.0,
            likelihood: Bernoulli,
        };
        GatedPixelCnn::new(g, &config).logits(x, None)
    }
    fn plain<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
        let conv = |i: usize, c, taps| Conv2d::new(g, &format!("{i}"), Kernel::same(3).taps(taps), c);
        let first = conv(0, [1, 16], Taps::MaskA).forward(x);
        let hidden = (1..4).fold(first, |x, i| conv(i, [16, 16], Taps::MaskB).forward(x.tanh()));
        Conv2d::new(g, "out", Kernel::square(1), [16, 1]).forward(hidden.tanh())
    }
    let blind = |model: Model| -> usize {
        let (eval, (x, changes)) = (logits(gpu, [1, 5, 5, 1], 2, model), changes(25));
        let before = eval(&x);
        changes
            .map(|(j, changed)| {
                eval(&changed).iter().zip(&before).skip(j + 1).filter(|(a, b)| a == b).count()
            })
            .sum()
    };
    let (gated, plain) = (blind(gated), blind(plain));
    assert!(gated == 0 && plain > 0, "a gated PixelCNN misses {gated} pairs of pixels, a plain one {plain}");
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
