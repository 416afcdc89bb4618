//! The importance-weighted bound of a VAE against likelihoods that are known exactly, and its growth with k.

use crate::subjects::adapter;
use oneiro::{
    data::Images,
    gpu::{Gpu, State},
    measure::bound::{Bound, Bounds},
    models::vae::{Config, Vae},
};
use std::collections::BTreeSet;

const PIXELS: usize = 12;
const LATENT: usize = 3;

fn small() -> Config {
    Config { pixels: PIXELS, hidden: vec![8], latent: LATENT, ..Config::default() }
}

/// Black-and-white images of a fixed pattern.
fn images(count: usize) -> Images {
    let pixels = (0..count * PIXELS).map(|i| if i * i % 7 < 3 { 255 } else { 0 }).collect();
    Images { count, height: 3, width: 4, channels: 1, classes: 0, pixels, labels: None }
}

/// The bounds under weights that `set` gives by name and index; other weights keep their first values.
fn report(gpu: &Gpu, count: usize, k: usize, seed: u64, set: impl Fn(&str, usize) -> Option<f32>) -> Bounds {
    let bound = Bound::new(gpu.caps(), PIXELS, |g| Vae::new(g, &small())).unwrap();
    let state = State::new(gpu, &bound.plans(), seed).unwrap();
    let names: BTreeSet<String> = bound.plans().iter().flat_map(|plan| plan.weights()).collect();
    for name in names {
        let values: Vec<f32> = state
            .read(gpu, &name)
            .unwrap()
            .iter()
            .enumerate()
            .map(|(i, v)| set(&name, i).unwrap_or(*v))
            .collect();
        state.write(gpu, &name, &values).unwrap();
    }
    bound.run(gpu, &state, &images(count), count, k, &mut |_| Ok(())).unwrap()
}

/// If the decoder ignores z, p(x) is a product of Bernoulli probabilities; if q is the prior, too, every
/// importance weight is p(x).
#[test]
fn a_likelihood_known_exactly_is_found_exactly() {
    let Some(gpu) = adapter("the bound of a known likelihood") else { return };
    let bias = |i: usize| i as f32 * 0.3 - 1.5;
    let flat = |name: &str, i: usize| match name {
        "fc4.bias" => Some(bias(i)),
        "fc4.weight" | "fc21.weight" | "fc21.bias" | "fc22.weight" | "fc22.bias" => Some(0.0),
        _ => None,
    };
    let found = report(gpu, 70, 37, 1, flat);
    let x = images(70);
    let log_p = |n: usize| -> f64 {
        let pixel = |i: usize| {
            let l = f64::from(bias(i));
            if x.pixels[n * PIXELS + i] > 0 { -(-l).exp().ln_1p() } else { -l.exp().ln_1p() }
        };
        (0..PIXELS).map(pixel).sum()
    };
    let mean = (0..70).map(log_p).sum::<f64>() / 70.0;
    assert_eq!((found.images, found.active()), (70, 0));
    assert_eq!(found.bounds.iter().map(|b| b.0).collect::<Vec<_>>(), [1, 10, 37]);
    for value in found.bounds.iter().map(|b| b.1.mean).chain([found.elbo.mean, found.reconstruction.mean]) {
        assert!((value - mean).abs() < 2e-5 * mean.abs(), "{value}, but log p(x) is {mean} on average");
    }
}

/// If q is not the prior, the ELBO falls short of log p(x) by the KL divergence, and the bound closes that
/// gap.
#[test]
fn the_bound_closes_the_gap_that_the_kl_leaves() {
    let Some(gpu) = adapter("the bound under a wrong posterior") else { return };
    let shifted = |name: &str, i: usize| match name {
        "fc4.bias" => Some(i as f32 * 0.3 - 1.5),
        "fc21.bias" => Some([0.5, -0.3, 0.0][i]),
        "fc22.bias" => Some([-0.5, 0.2, 0.0][i]),
        "fc4.weight" | "fc21.weight" | "fc22.weight" => Some(0.0),
        _ => None,
    };
    let found = report(gpu, 50, 2000, 2, shifted);
    let kl = |mu: f64, logvar: f64| 0.5 * (mu * mu + logvar.exp() - logvar - 1.0);
    let expected = [kl(0.5, -0.5), kl(-0.3, 0.2), 0.0];
    assert!(
        found.kl_per_dimension.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5),
        "{:?} {expected:?}",
        found.kl_per_dimension
    );
    assert_eq!(found.active(), 2);
    let log_p = found.reconstruction.mean; // p(x|z) does not depend on z
    assert!((found.elbo.mean - (log_p - expected.iter().sum::<f64>())).abs() < 1e-4);
    let gaps: Vec<f64> = found.bounds.iter().map(|b| log_p - b.1.mean).collect();
    assert_eq!(gaps.len(), 5, "k = 1, 10, 100, 1000, 2000");
    assert!(gaps[0] > 0.1 && gaps[1] < gaps[0] && gaps[2] < gaps[1] && gaps[4].abs() < 0.01, "{gaps:?}");
}

/// With weights as they come, k = 1 estimates the ELBO, and more draws give larger bounds.
#[test]
fn more_draws_tighten_the_bound() {
    let Some(gpu) = adapter("the order of bounds") else { return };
    let loud = |name: &str, i: usize| (name == "fc4.weight").then(|| ((i * 37 % 19) as f32 - 9.0) * 0.3);
    let runs = [3, 4].map(|seed| report(gpu, 200, 500, seed, loud));
    let first = &runs[0];
    let means: Vec<f64> = first.bounds.iter().map(|b| b.1.mean).collect();
    assert!(means.windows(2).all(|w| w[0] < w[1]), "{means:?}");
    assert!(
        (means[0] - first.elbo.mean).abs() < 4.0 * first.bounds[0].1.half,
        "{} against {}",
        means[0],
        first.elbo.mean
    );
    assert!(first.elbo.mean < means[3] && first.kl.mean > 0.0);
    let scores = &first.scores;
    for (of, mean) in [
        (&scores.log_px, means[3]),
        (&scores.elbo, first.elbo.mean),
        (&scores.reconstruction, first.reconstruction.mean),
        (&scores.kl, first.kl.mean),
    ] {
        assert!(of.len() == 200 && (of.iter().sum::<f64>() / 200.0 - mean).abs() < 1e-9, "{mean}");
    }
    let text = first.table();
    assert!(text.contains("IWAE k = 500") && text.contains("200 test images"), "{text}");
    assert_eq!(first.json()["iwae"][3]["k"], 500);
    assert_ne!(runs[0].bounds, runs[1].bounds, "the seed changes nothing");
}

/// The log weights of the f64 reference are the formula's, term by term.
#[test]
fn log_weights_are_the_papers() {
    use oneiro::graph::{
        Graph, reference,
        shape::{Array, Type},
    };
    let g = Graph::new();
    g.bind_stream("vae/importance");
    let [x, mu, logvar] =
        [("x", PIXELS), ("mu", LATENT), ("logvar", LATENT)].map(|(n, w)| g.input(n, Type::f32([2, w])));
    let vae = Vae::new(&g, &small());
    let [log_w, log_px] = vae.log_weights(x, mu, logvar, 3);
    g.output("log_w", log_w);
    g.output("log_px", log_px);
    g.output("logits", vae.decode(g.input("z", Type::f32([6, LATENT]))));
    let wave = |n: usize, s: f64| move |i: usize| ((i * n % 11) as f64 - 5.0) * s;
    let mut values = reference::Values::new();
    let mut put = |name: &str, shape: &[usize], f: &dyn Fn(usize) -> f64| {
        let array = Array::from_fn(shape, f);
        values.insert(name.into(), array.clone());
        array
    };
    let pixels = put("x", &[2, PIXELS], &|i| f64::from(u8::from(i % 3 == 0)));
    let (m, v) = (put("mu", &[2, LATENT], &wave(3, 0.1)), put("logvar", &[2, LATENT], &wave(5, 0.2)));
    let eps = put("vae/importance", &[3, 2, LATENT], &wave(7, 0.3));
    let z = Array::from_fn([6, LATENT], |i| m.data[i % 6] + (0.5 * v.data[i % 6]).exp() * eps.data[i]);
    values.insert("z".into(), z.clone());
    let found = reference::eval(&g, &values, &mut reference::initial(&g, 5)).unwrap();
    let normal = |x: f64, mu: f64, logvar: f64| {
        -0.5 * (std::f64::consts::TAU.ln() + logvar + (x - mu).powi(2) / logvar.exp())
    };
    for row in 0..6 {
        let pixel = |p: usize| {
            let (l, x) = (found["logits"].data[row * PIXELS + p], pixels.data[row % 2 * PIXELS + p]);
            x * l - (l.exp() + 1.0).ln()
        };
        let px: f64 = (0..PIXELS).map(pixel).sum();
        let ratio = |d: usize| {
            let (at, q) = (row * LATENT + d, row % 2 * LATENT + d);
            normal(z.data[at], 0.0, 0.0) - normal(z.data[at], m.data[q], v.data[q])
        };
        let w = px + (0..LATENT).map(ratio).sum::<f64>();
        assert!(
            (found["log_px"].data[row] - px).abs() < 1e-9 && (found["log_w"].data[row] - w).abs() < 1e-9,
            "row {row}"
        );
    }
}
