//! M2 against PyTorch, its objective against sums over classes that are written out, its derivatives against
//! differences, and M1+M2 as a sum of both models' terms. `golden/semi_supervised_trajectory.py` makes the files.

use crate::{
    golden::{self, Trajectory, noise, unit},
    harness::differences,
    subjects::{adapter, config as vae},
};
use oneiro::{
    graph::{
        Graph, Tensor,
        reference::{self, Values},
        shape::{Array, Type},
        var::VarSpec,
    },
    kernel::caps::{AdapterClass, Caps},
    models::{
        semi_supervised::{Config, M2, SemiSupervised, Visible},
        vae::Vae,
    },
    optim::Optimizer,
    plan::Plan,
    weights,
};

/// The images of a batch, and the labelled ones beside them.
const BATCH: usize = 5;
const FEW: usize = 4;
const INPUTS: usize = 12;
const CLASSES: usize = 3;
const LATENT: usize = 2;
/// The widths of what the classifier's layers read, which has noise over black and white inputs.
const READ: [usize; 3] = [INPUTS, 8, 6];
/// M2 over black and white inputs, and over numbers.
const KINDS: [(&str, Visible); 2] = [("bernoulli", Visible::Bernoulli), ("gaussian", Visible::Gaussian)];

fn config(visible: Visible) -> Config {
    let (inputs, classes, hidden, latent) = (INPUTS, CLASSES, READ[1..].to_vec(), LATENT);
    let noise = if visible == Visible::Bernoulli { 0.25 } else { 0.0 };
    Config { inputs, visible, classes, hidden, latent, noise, alpha: 0.5, share: 0.25, ..Config::default() }
}

/// The streams of the classifier's noise, for each layer.
const UNLABELLED: [&str; 3] =
    ["m2/classifier/unlabelled.0", "m2/classifier/unlabelled.3", "m2/classifier/unlabelled.6"];
const LABELLED: [&str; 3] =
    ["m2/classifier/labelled.0", "m2/classifier/labelled.3", "m2/classifier/labelled.6"];

/// M2, and its inputs: images, labelled ones, and their classes; the noise is an input, too.
fn network(g: &Graph, visible: Visible) -> (M2<'_>, [Tensor<'_>; 3]) {
    inputs(0)
        .iter()
        .filter(|(name, _)| name.starts_with("m2/"))
        .for_each(|(stream, _)| g.bind_stream(stream));
    let input = |name: &str, n, width| g.input(name, Type::f32([n, width]));
    let inputs = [input("x", BATCH, INPUTS), input("few", FEW, INPUTS), input("class", FEW, CLASSES)];
    (M2::new(g, &config(visible)), inputs)
}

fn inputs(step: u32) -> Vec<(&'static str, Vec<f32>)> {
    let hot = |e: usize| f32::from(u8::from((e / CLASSES + step as usize) % CLASSES == e % CLASSES));
    let mut inputs = vec![
        ("x", unit(1000 + step, BATCH * INPUTS)),
        ("few", unit(1500 + step, FEW * INPUTS)),
        ("class", (0..FEW * CLASSES).map(hot).collect()),
        ("m2/labelled", noise(2000 + 3 * step, FEW * LATENT)),
        ("m2/unlabelled", noise(3000 + 3 * step, CLASSES * BATCH * LATENT)),
    ];
    for (i, width) in READ.into_iter().enumerate() {
        let salt = 3 * step + 1000 * i as u32;
        inputs.push((UNLABELLED[i], noise(4000 + salt, BATCH * width)));
        inputs.push((LABELLED[i], noise(7000 + salt, FEW * width)));
    }
    inputs
}

/// Ten training steps.
fn trajectory(name: &str, visible: Visible) -> Trajectory {
    let g = Graph::new();
    let (m2, [x, few, class]) = network(&g, visible);
    let step = SemiSupervised::new(None, m2).training_step(x, few, class, &Optimizer::adam(1e-2));
    golden::ends(&g, &step);
    let weights = golden::tensors(&format!("m2_{name}_weights.safetensors"));
    let trajectory =
        Trajectory { round: vec![g], evaluation: None, rounds: 10, inputs: Box::new(inputs), weights };
    assert_eq!(trajectory.variables().len(), trajectory.weights.len());
    trajectory
}

fn losses(name: &str) -> Vec<f64> {
    golden::numbers("semi_supervised_trajectory.txt", &format!("{name}: "))
}

#[test]
fn the_references_m2_follows_pytorch() {
    for (name, visible) in KINDS {
        trajectory(name, visible).check_reference(name, &losses(name));
    }
}

#[test]
fn the_adapters_m2_follows_pytorch() {
    let Some(gpu) = adapter("the_adapters_m2_follows_pytorch") else { return };
    for (name, visible) in KINDS {
        trajectory(name, visible).check_adapter(gpu, name, &losses(name));
    }
}

/// Every layer has variables in the gradient.
#[test]
fn m2s_gradient_matches_central_differences() {
    for (name, visible) in KINDS {
        let g = Graph::new();
        let (m2, [x, few, class]) = network(&g, visible);
        let trajectory = trajectory(name, visible);
        let (params, start) = (m2.params(), golden::initial(&g, &trajectory.weights));
        assert_eq!(params.len(), trajectory.weights.len());
        differences(m2.loss(x, few, class).total, &params, &trajectory.values(&g, 0), &start);
    }
}

/// Values of an input by its name, `[rows, width]`.
fn values(name: &str, width: usize, values: &[f32]) -> (String, Array) {
    let data: Vec<f64> = values.iter().map(|&v| v.into()).collect();
    (name.into(), Array::new([data.len() / width, width], data))
}

/// What a function of the model and of its images computes with these inputs and weights.
fn evaluated(
    record: impl for<'g> Fn(&'g Graph) -> Tensor<'g>,
    inputs: Vec<(String, Array)>,
    weights: &weights::Weights,
) -> Vec<f64> {
    let g = Graph::new();
    inputs.iter().for_each(|(name, _)| g.bind_stream(name));
    g.output("out", record(&g));
    let inputs: Values = inputs.into_iter().collect();
    reference::eval(&g, &inputs, &mut golden::initial(&g, weights)).unwrap()["out"].data.clone()
}

fn m2(g: &Graph, visible: Visible) -> M2<'_> {
    M2::new(g, &config(visible))
}

/// A VAE of 4 latents.
fn m1(g: &Graph) -> Vae<'_> {
    Vae::new(g, &vae(INPUTS, 7, 4))
}

fn images(g: &Graph) -> Tensor<'_> {
    g.input("x", Type::f32([BATCH, INPUTS]))
}

/// U(x) is Σ_y q(y|x)·(L(x, y) + log q(y|x)), with L of one labelled batch for each class and the same noise.
#[test]
fn an_unlabelled_image_is_the_sum_over_its_classes() {
    for (name, visible) in KINDS {
        let weights = golden::tensors(&format!("m2_{name}_weights.safetensors"));
        let (x, eps) = (unit(5, BATCH * INPUTS), noise(6, CLASSES * BATCH * LATENT));
        let x = || values("x", INPUTS, &x);
        let noise = |stream, eps| values(stream, LATENT, eps);
        let whole = evaluated(
            |g| m2(g, visible).unlabelled(images(g)),
            vec![x(), noise("m2/unlabelled", &eps)],
            &weights,
        );
        let logits = evaluated(|g| m2(g, visible).logits(images(g)), vec![x()], &weights);
        let bounds: Vec<Vec<f64>> = (0..CLASSES)
            .map(|k| {
                let hot: Vec<f32> =
                    (0..BATCH * CLASSES).map(|e| f32::from(u8::from(e % CLASSES == k))).collect();
                let eps = noise("m2/labelled", &eps[k * BATCH * LATENT..][..BATCH * LATENT]);
                let class = |g: &Graph| g.input("class", Type::f32([BATCH, CLASSES])).id();
                evaluated(
                    |g| m2(g, visible).labelled(images(g), g.tensor(class(g))),
                    vec![x(), values("class", CLASSES, &hot), eps],
                    &weights,
                )
            })
            .collect();
        for n in 0..BATCH {
            let row = &logits[n * CLASSES..][..CLASSES];
            let all: f64 = row.iter().map(|l| l.exp()).sum();
            let term = |k: usize| {
                let q = row[k].exp() / all;
                q * (bounds[k][n] + q.ln())
            };
            let sum: f64 = (0..CLASSES).map(term).sum();
            assert!((whole[n] - sum).abs() < 1e-9, "{name}, image {n}: {} instead of {sum}", whole[n]);
        }
    }
}

/// M2 on M1's latents.
fn upper(g: &Graph) -> M2<'_> {
    M2::new(g, &Config { inputs: 4, ..config(Visible::Gaussian) })
}

fn stack(g: &Graph) -> SemiSupervised<'_> {
    SemiSupervised::new(Some(m1(g)), upper(g))
}

/// The weights of the stack, drawn by a seed.
fn weights_of_the_stack() -> weights::Weights {
    let g = Graph::new();
    let _ = stack(&g);
    let state = reference::initial(&g, 3);
    let known = g.recording().vars.clone();
    let filed = |v: &VarSpec| {
        let values: Vec<f32> = state[&v.name].data.iter().map(|&v| v as f32).collect();
        (v.name.clone(), (v.ty.shape.to_vec(), values))
    };
    known.iter().filter(|v| v.role.is_weight()).map(filed).collect()
}

/// The bound of M1+M2 is that of M1 with M2's bound in place of the prior: -log p(x|z₁) + log q(z₁|x) +
/// U(z₁), of which the second term is minus the entropy of q.
#[test]
fn the_stacks_bound_is_that_of_both_models() {
    let weights = weights_of_the_stack();
    let (pixels, e1, e2) = (unit(5, BATCH * INPUTS), noise(6, BATCH * 4), noise(9, CLASSES * BATCH * LATENT));
    let x = || values("x", INPUTS, &pixels);
    let second = || values("m2/unlabelled", LATENT, &e2);
    let bound = evaluated(
        |g| stack(g).bound(images(g)),
        vec![x(), values("m1/unlabelled", 4, &e1), second()],
        &weights,
    );
    let [mu, logvar] = [0, 1]
        .map(|i| evaluated(|g| <[Tensor<'_>; 2]>::from(m1(g).encode(images(g)))[i], vec![x()], &weights));
    let z: Vec<f32> =
        (0..BATCH * 4).map(|i| (mu[i] + (0.5 * logvar[i]).exp() * f64::from(e1[i])) as f32).collect();
    let z = || values("z", 4, &z);
    let latents = |g: &Graph| g.input("z", Type::f32([BATCH, 4])).id();
    let logits = evaluated(|g| m1(g).decode(g.tensor(latents(g))), vec![z()], &weights);
    let m2 = Config { inputs: 4, ..config(Visible::Gaussian) };
    let upper =
        evaluated(|g| M2::new(g, &m2).unlabelled(g.tensor(latents(g))), vec![z(), second()], &weights);
    for n in 0..BATCH {
        let row = |all: &[f64], width: usize| all[n * width..][..width].to_vec();
        let bce: f64 = row(&logits, INPUTS)
            .iter()
            .zip(&pixels[n * INPUTS..])
            .map(|(l, &x)| l.exp().ln_1p() - l * f64::from(x))
            .sum();
        let entropy: f64 = row(&logvar, 4).iter().map(|v| 0.5 * (1.0 + std::f64::consts::TAU.ln() + v)).sum();
        let sum = bce - entropy + upper[n];
        assert!((bound[n] - sum).abs() < 1e-5, "image {n}: {} instead of {sum}", bound[n]);
    }
}

/// A step of the stack trains M2 and leaves M1 as it is.
#[test]
fn m1_stays_as_it_was_trained() {
    let (g, weights) = (Graph::new(), weights_of_the_stack());
    let [few, class] = [("few", INPUTS), ("class", CLASSES)].map(|(n, w)| g.input(n, Type::f32([FEW, w])));
    let step = stack(&g).training_step(images(&g), few, class, &Optimizer::adam(1e-2));
    golden::ends(&g, &step);
    let before = golden::initial(&g, &weights);
    let mut state = before.clone();
    let given = inputs(0)
        .into_iter()
        .filter(|(name, _)| !name.starts_with("m2/"))
        .map(|(name, v)| values(name, if name == "class" { CLASSES } else { INPUTS }, &v));
    reference::eval(&g, &given.collect(), &mut state).unwrap();
    for name in weights.keys() {
        let moved = state[name].data != before[name].data;
        assert_eq!(moved, !name.starts_with("fc"), "{name}");
    }
}

#[test]
fn a_network_without_hidden_layers_is_named() {
    let g = Graph::new();
    let m2 = M2::new(&g, &Config { hidden: vec![], ..config(Visible::Bernoulli) });
    g.output("logits", m2.logits(images(&g)));
    let text = Plan::new(&g, &Caps::portable(AdapterClass::Gpu)).unwrap_err().to_string();
    assert!(text.contains("at least one hidden layer") && text.lines().count() == 1, "{text}");
}
