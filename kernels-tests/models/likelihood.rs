//! The meaning of networks' outputs: likelihoods against the formulas of their papers, at the edges of their
//! range, and as graphs with derivatives.

use crate::harness::{Case, Fill};
use oneiro::{
    graph::{
        Graph,
        reference::{self, Values},
        shape::{Array, Type},
    },
    models::likelihood::{
        Likelihood::{self, Bernoulli, Mixture, Softmax},
        log_probability,
    },
};

fn nats(likelihood: Likelihood, [n, h, w, c]: [usize; 4], x: Fill) -> Case {
    let build = move |g: &Graph| {
        let outputs = g.input("outputs", Type::f32([n, h, w, likelihood.outputs(c)]));
        g.output("y", likelihood.nats(outputs, g.input("x", Type::f32([n, h, w, c]))));
    };
    Case::new("likelihood", format!("{likelihood:?} {n}x{h}x{w}x{c} {x:?}"), build)
        .fill("x", x)
        .fixed("x")
        .tolerance(1e-5, 2e-5)
}

fn draw(likelihood: Likelihood, rows: usize, c: usize) -> Case {
    let build = move |g: &Graph| {
        let outputs = g.input("outputs", Type::f32([rows, likelihood.outputs(c)]));
        let uniform = g.input("uniform", Type::f32([rows, likelihood.uniforms(c)]));
        g.output("y", likelihood.draw(outputs, 0.8, uniform));
    };
    let case =
        Case::new("draw", format!("{likelihood:?} {rows}x{c}"), build).fixed("outputs").fixed("uniform");
    // What falls between two levels may be rounded to either.
    let case = if likelihood.has_levels() { case.tolerance(1.01 / 255.0, 0.0) } else { case };
    case.fill("uniform", Fill::Uniform(0.0, 1.0))
}

pub(crate) fn cases() -> Vec<Case> {
    let mut out = vec![];
    for likelihood in [Bernoulli, Softmax, Mixture(4)] {
        // Far outputs: no infinity and no NaN in f32 either.
        out.push(
            nats(likelihood, [1, 5, 5, 3], Fill::Whole(0, 2)).fill("outputs", Fill::Uniform(-90.0, 90.0)),
        );
    }
    for x in [Fill::Uniform(0.0, 1.0), Fill::Whole(0, 2)] {
        for shape in [[1, 1, 1, 1], [2, 3, 5, 1], [1, 7, 3, 3], [2, 4, 4, 3], [1, 5, 13, 1]] {
            out.extend([Softmax, Mixture(1), Mixture(3), Mixture(10)].map(|l| nats(l, shape, x)));
            out.push(nats(Bernoulli, shape, Fill::Whole(0, 2)));
        }
    }
    for (rows, c) in [(1, 1), (3, 3), (64, 1), (65, 3), (131, 1)] {
        out.extend([Bernoulli, Softmax, Mixture(1), Mixture(4), Mixture(10)].map(|l| draw(l, rows, c)));
    }
    out
}

pub(crate) fn smooth() -> Vec<Case> {
    let x = Fill::Uniform(0.0, 1.0);
    [Bernoulli, Softmax, Mixture(1), Mixture(3)]
        .iter()
        .flat_map(|&l| [nats(l, [1, 1, 2, 1], x), nats(l, [1, 1, 1, 3], x)])
        .collect()
}

/// The f64 reference of a graph with named inputs.
fn eval(
    inputs: &[(&str, Array)],
    build: impl for<'g> Fn(&'g Graph, &[oneiro::graph::Tensor<'g>]) -> oneiro::graph::Tensor<'g>,
) -> Vec<f64> {
    let g = Graph::new();
    let tensors: Vec<_> =
        inputs.iter().map(|(name, array)| g.input(name, Type::f32(array.shape.clone()))).collect();
    g.output("y", build(&g, &tensors));
    let values: Values = inputs.iter().map(|(name, array)| (name.to_string(), array.clone())).collect();
    reference::eval(&g, &values, &mut reference::initial(&g, 0)).unwrap()["y"].data.clone()
}

fn logistic(mean: f64, scale: f64) -> Vec<f64> {
    let levels = Array::from_fn([256], |i| i as f64 / 127.5 - 1.0);
    eval(&[("x", levels)], |g, x| {
        log_probability(
            x[0],
            g.full([256], (mean / 127.5 - 1.0) as f32),
            g.full([256], (scale / 127.5).ln() as f32),
        )
        .exp()
    })
}

#[test]
fn discretised_logistics_have_the_published_values() {
    let p = logistic(100.0, 5.0);
    // The logistic's density there is 0.04805; its level takes σ(0.5) - σ(0.3) = 0.04802.
    assert!((p[102] - 0.04802).abs() < 5e-6 && (p[100] - 0.0500).abs() < 5e-5, "{} {}", p[102], p[100]);
    assert!((logistic(50.0, 2.0)[50] - 0.1244).abs() < 5e-5);
    for (mean, scale) in
        [(100.0, 5.0), (0.0, 30.0), (255.0, 0.2), (-40.0, 20.0), (300.0, 3.0), (128.0, 400.0)]
    {
        let total: f64 = logistic(mean, scale).iter().sum();
        assert!((total - 1.0).abs() < 1e-6, "mean {mean}, scale {scale}: 256 levels add up to {total}");
    }
}

#[test]
fn a_uniform_model_scores_eight_bits() {
    let x = Array::from_fn([2, 3, 4, 3], |i| (i * 37 % 256) as f64 / 255.0);
    let outputs = Array::from_fn([2, 3, 4, 768], |_| 0.0);
    for nats in eval(&[("outputs", outputs), ("x", x)], |_, t| Softmax.nats(t[0], t[1])) {
        assert_eq!(nats / std::f64::consts::LN_2, 8.0);
    }
}

/// Equations 1 to 3 of PixelCNN++ (Salimans et al. 2017), written as they stand there.
#[test]
fn coupled_channels_follow_the_paper() {
    let k = 3;
    let parameter = |i: usize| ((i * 2_654_435_761) % 1000) as f64 / 250.0 - 2.0;
    let levels = [[0, 17, 255], [255, 0, 128], [90, 91, 92], [3, 250, 0]];
    let x = Array::from_fn([1, 2, 2, 3], |i| f64::from(levels[i / 3][i % 3]) / 255.0);
    let outputs = Array::from_fn([1, 2, 2, 10 * k], parameter);
    let got = eval(&[("outputs", outputs), ("x", x)], |_, t| Mixture(k).nats(t[0], t[1]));
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    for (pixel, level) in levels.iter().enumerate() {
        let p = |i: usize| parameter(pixel * 10 * k + i);
        let total: f64 = (0..k).map(|j| p(j).exp()).sum();
        let u = level.map(|v| f64::from(v) / 127.5 - 1.0);
        let component = |j: usize| {
            let part = |channel: usize, what: usize| p(k * (1 + 3 * channel + what) + j);
            let coefficient = |i: usize| part(i, 2).tanh();
            let means = [
                part(0, 0),
                part(1, 0) + coefficient(0) * u[0],
                part(2, 0) + coefficient(1) * u[0] + coefficient(2) * u[1],
            ];
            let channel = |c: usize| {
                let cdf = |half: f64| sigmoid((u[c] + half / 255.0 - means[c]) / part(c, 1).exp());
                (if level[c] == 255 { 1.0 } else { cdf(1.0) }) - if level[c] == 0 { 0.0 } else { cdf(-1.0) }
            };
            p(j).exp() / total * channel(0) * channel(1) * channel(2)
        };
        let want = -(0..k).map(component).sum::<f64>().ln();
        assert!((got[pixel] - want).abs() < 1e-6, "{level:?}: {} against {want}", got[pixel]);
    }
}

/// At temperature T an outcome's probability is raised to the power of 1/T, and a logistic's scale is
/// multiplied by T.
#[test]
fn temperatures_sharpen_and_flatten() {
    let n = 4000;
    let uniform = Array::from_fn([n, 1], |i| (i as f64 + 0.5) / n as f64);
    let drawn = |likelihood: Likelihood, outputs: Vec<f64>, uniform: Array, t: f32| {
        let p = outputs.len();
        let outputs = Array::from_fn([n, p], |i| outputs[i % p]);
        eval(&[("outputs", outputs), ("uniform", uniform)], |_, x| likelihood.draw(x[0], t, x[1]))
    };
    for t in [0.5, 1.0, 2.0] {
        let mean = |v: &[f64]| v.iter().sum::<f64>() / n as f64;
        let lit = mean(&drawn(Bernoulli, vec![0.7], uniform.clone(), t));
        assert!(
            (lit - 1.0 / (1.0 + (-0.7 / f64::from(t)).exp())).abs() < 1e-3,
            "temperature {t}: {lit} are lit"
        );
        // Two levels, 0 and 255, odds 3 to 1.
        let logits = (0..256)
            .map(|k| {
                if k == 0 {
                    3f64.ln()
                } else if k == 255 {
                    0.0
                } else {
                    -60.0
                }
            })
            .collect();
        let white = mean(&drawn(Softmax, logits, uniform.clone(), t));
        assert!(
            (white - 1.0 / (1.0 + 3f64.powf(1.0 / f64::from(t)))).abs() < 1e-3,
            "temperature {t}: {white} are white"
        );
        // One logistic of scale 0.02 in the middle: its quartiles are ln 3 scales away.
        let both = Array::from_fn([n, 2], |i| (i / 2) as f64 / n as f64);
        let mut levels = drawn(Mixture(1), vec![0.0, 0.0, 0.02f64.ln()], both, t);
        levels.sort_by(f64::total_cmp);
        let quartile = (levels[n * 3 / 4] * 2.0 - 1.0) / (0.02 * 3f64.ln());
        assert!(
            (quartile - f64::from(t)).abs() < 0.25,
            "temperature {t}: the quartile is {quartile} of the scale's"
        );
    }
}

#[test]
fn no_parameter_makes_a_likelihood_that_is_no_number() {
    for size in [0.0, 30.0, 1000.0] {
        for x in [0.0, 1.0, 128.0 / 255.0] {
            for likelihood in [Bernoulli, Softmax, Mixture(4)] {
                let outputs = Array::from_fn([1, 3, 4, likelihood.outputs(3)], |i| {
                    if i * 7 % 3 == 0 { size } else { -size }
                });
                let pixels = Array::from_fn([1, 3, 4, 3], |_| x);
                let nats = eval(&[("outputs", outputs), ("x", pixels)], |_, t| likelihood.nats(t[0], t[1]));
                assert!(
                    nats.iter().all(|v| v.is_finite() && *v > -1e-9),
                    "{likelihood:?} at {x}, outputs ±{size}: {nats:?}"
                );
            }
        }
    }
}

#[test]
fn wrong_shapes_are_one_sentence() {
    let says = |outputs: [usize; 4], x: [usize; 4], likelihood: Likelihood| {
        let g = Graph::new();
        likelihood.nats(g.input("o", Type::f32(outputs)), g.input("x", Type::f32(x)));
        g.check().unwrap_err().to_string()
    };
    assert!(says([1, 2, 2, 5], [1, 2, 2, 1], Softmax).contains("wants outputs [N, H, W, 256]"));
    assert!(says([1, 2, 2, 5], [1, 2, 2, 4], Mixture(2)).contains("wants 1 to 3 channels, got 4"));
}
