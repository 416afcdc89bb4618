//! Hints: from the same weights file, pictures and hints, the losses of models with hints are PyTorch's, step by step
//! (`golden/hint_trajectory.py` makes the files), and a logit sees the whole hint, but only the pixels before it.

use crate::{
    golden::{self, Trajectory, bits, unit},
    subjects::adapter,
};
use oneiro::{
    graph::{
        Graph, autodiff, reference,
        shape::{Array, Type},
        var::Init,
    },
    models::{
        autoregressive::{Autoregressive, Given},
        gated_pixelcnn,
        hint::Config,
        likelihood::Likelihood::Bernoulli,
        pixelcnn, pixelrnn,
    },
    optim::Optimizer,
};

const IMAGE: [usize; 3] = [7, 9, 1];
const BATCH: usize = 3;
/// The channels of a hint.
const CHANNELS: usize = 2;

/// A network over hints.
fn over(features: usize, layers: usize) -> Config {
    Config { channels: CHANNELS, features, layers }
}

fn plain(image: [usize; 3], features: usize, hint: Config) -> pixelcnn::Config {
    let (blocks, dilations, head, dropout) = (2, vec![], 8, 0.0);
    let hint = Some(hint);
    pixelcnn::Config { image, features, blocks, dilations, head, dropout, likelihood: Bernoulli, hint }
}

fn gated(image: [usize; 3], features: usize, hint: Config, classes: Option<usize>) -> gated_pixelcnn::Config {
    let (kernel, head, dropout) = (3, 6, 0.0);
    let hint = Some(hint);
    gated_pixelcnn::Config {
        image,
        features,
        layers: 2,
        kernel,
        head,
        classes,
        dropout,
        likelihood: Bernoulli,
        hint,
    }
}

fn rows(image: [usize; 3], features: usize, hint: Config) -> pixelrnn::Config {
    let (cell, head) = (pixelrnn::Cell::Row(3), 6);
    let hint = Some(hint);
    pixelrnn::Config { image, cell, features, layers: 2, head, likelihood: Bernoulli, hint }
}

/// Ten training steps of a model of the script.
fn trajectory(name: &str, config: &dyn Step, classes: bool) -> Trajectory {
    let g = Graph::new();
    let [h, w, c] = IMAGE;
    let [x, hint] =
        [("x", c), ("hint", CHANNELS)].map(|(name, c)| g.input(name, Type::f32([BATCH, h, w, c])));
    // The pictures' classes are 0, 1, 0.
    let of = || g.var("class", Type::f32([3, 2]), Init::Values([1.0, 0.0, 0.0, 1.0, 1.0, 0.0].into()));
    let class = classes.then(of);
    let given = Given { class, hint: Some(hint), training: true, ..Given::pictures(x) };
    config.record(&g, name, given);
    let weights = golden::tensors(&format!("hinted_{name}_weights.safetensors"));
    let inputs = Box::new(|step| {
        let n = BATCH * IMAGE.iter().product::<usize>();
        let x = (0..n as u32).map(|i| f32::from(u8::from(bits(1000 + step, i) >= 1 << 23))).collect();
        vec![("x", x), ("hint", unit(2000 + step, n * CHANNELS))]
    });
    let trajectory = Trajectory { round: vec![g], evaluation: None, rounds: 10, inputs, weights };
    assert_eq!(trajectory.variables().len(), trajectory.weights.len());
    trajectory
}

/// A model that records a training step.
trait Step {
    fn record<'g>(&self, g: &'g Graph, name: &str, given: Given<'g>);
}

impl<M: Autoregressive> Step for M {
    fn record<'g>(&self, g: &'g Graph, name: &str, given: Given<'g>) {
        golden::ends(g, &self.training_step(g, name, given, &Optimizer::adam(1e-3)));
    }
}

/// The trajectories of all models, with PyTorch's losses.
fn all() -> Vec<(&'static str, Trajectory, Vec<f64>)> {
    let (plain, gated, rows) =
        (plain(IMAGE, 6, over(5, 2)), gated(IMAGE, 5, over(4, 1), Some(2)), rows(IMAGE, 5, over(4, 2)));
    let models: [(_, &dyn Step, _); 3] =
        [("pixelcnn", &plain, false), ("gated", &gated, true), ("row", &rows, false)];
    let losses = |name: &str| golden::numbers(&format!("hinted_{name}_trajectory.txt"), "");
    models.map(|(name, model, classes)| (name, trajectory(name, model, classes), losses(name))).into()
}

#[test]
fn the_references_models_with_hints_follow_pytorch() {
    all().iter().for_each(|(name, trajectory, losses)| trajectory.check_reference(name, losses));
}

#[test]
fn the_adapters_models_with_hints_follow_pytorch() {
    let Some(gpu) = adapter("the_adapters_models_with_hints_follow_pytorch") else { return };
    all().iter().for_each(|(name, trajectory, losses)| trajectory.check_adapter(gpu, name, losses));
}

/// The hint's network sees nine pixels far, which is more than the picture has: every logit must have a slope at every
/// pixel of the hint. It has none at its own pixel of the picture, or at a later one.
#[test]
fn a_logit_sees_the_whole_hint_and_only_earlier_pixels() {
    let (h, w, n) = (4, 5, 20);
    let image = [h, w, 1];
    sees(&plain(image, 8, over(24, 4)), n);
    sees(&gated(image, 8, over(24, 4), None), n);
    sees(&rows(image, 8, over(24, 4)), n);

    fn sees<M: Autoregressive>(model: &M, n: usize) {
        let g = Graph::new();
        let [x, hint] =
            [("x", 1), ("hint", CHANNELS)].map(|(name, c)| g.input(name, Type::f32([1, 4, 5, c])));
        let (_, logits) = model.network(&g, Given { hint: Some(hint), ..Given::pictures(x) });
        let logits = logits.reshape([n]);
        for i in 0..n {
            let slopes = autodiff::grad(logits.slice(0, i..i + 1), &[x, hint]);
            g.output(&format!("x/{i}"), slopes[0]);
            g.output(&format!("hint/{i}"), slopes[1]);
        }
        let values = |salt, n: usize| unit(salt, n).into_iter().map(f64::from).collect();
        let inputs = [
            ("x".to_string(), Array::new([1, 4, 5, 1], values(3, n))),
            ("hint".to_string(), Array::new([1, 4, 5, CHANNELS], values(4, n * CHANNELS))),
        ];
        let slopes = reference::eval(&g, &inputs.into(), &mut reference::initial(&g, 0)).unwrap();
        for i in 0..n {
            let [of_x, of_hint] = ["x", "hint"].map(|of| &slopes[&format!("{of}/{i}")].data);
            assert!(of_x[i..].iter().all(|&slope| slope == 0.0), "logit {i} sees ahead");
            assert!(i == 0 || of_x[..i].iter().any(|&slope| slope != 0.0), "logit {i} sees no pixel");
            let blind =
                of_hint.chunks(CHANNELS).filter(|pixel| pixel.iter().all(|&slope| slope == 0.0)).count();
            assert_eq!(blind, 0, "logit {i} misses {blind} pixels of the hint");
        }
    }
}
