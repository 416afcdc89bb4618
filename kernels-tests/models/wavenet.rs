//! WaveNet against PyTorch: from the same weights file and signals its losses are PyTorch's, step by step, and
//! the weights travel back in PyTorch's layout (`golden/wavenet_trajectory.py` makes the files). And what a
//! distribution depends on.

use crate::{
    golden::{self, Trajectory, bits},
    subjects::adapter,
};
use oneiro::{
    graph::{
        Graph,
        reference::{self, Values},
        shape::{Array, Type},
        var::Init,
    },
    models::{
        autoregressive::{Autoregressive, Given},
        wavenet::{Config, LIKELIHOOD, WaveNet},
    },
    optim::Optimizer,
};

const BATCH: usize = 3;
const LENGTH: usize = 40;
const CONFIG: Config = Config { features: 6, skip: 5, head: 7, layers: 3, blocks: 2, classes: Some(3) };

/// Ten training steps; the signals' classes are 0, 1, 2.
fn trajectory() -> Trajectory {
    let g = Graph::new();
    let x = g.input("x", Type::f32([BATCH, 1, LENGTH, 1]));
    let classes = (0..9).map(|i| f32::from(u8::from(i % 4 == 0))).collect();
    let class = Some(g.var("class", Type::f32([3, 3]), Init::Values(classes)));
    let given = Given { class, training: true, ..Given::pictures(x) };
    golden::ends(&g, &CONFIG.training_step(&g, "wavenet", given, &Optimizer::adam(1e-2)));
    let weights = golden::tensors("wavenet_weights.safetensors");
    let inputs = Box::new(|step| vec![("x", signals(step))]);
    let trajectory = Trajectory { round: vec![g], evaluation: None, rounds: 10, inputs, weights };
    assert_eq!(trajectory.variables().len(), trajectory.weights.len());
    trajectory
}

/// Signals of 16 levels.
fn signals(step: u32) -> Vec<f32> {
    (0..(BATCH * LENGTH) as u32).map(|i| (bits(1000 + step, i) >> 20 << 4) as f32 / 255.0).collect()
}

fn losses() -> Vec<f64> {
    golden::numbers("wavenet_trajectory.txt", "")
}

#[test]
fn the_references_wavenet_follows_pytorch() {
    trajectory().check_reference("wavenet", &losses());
}

#[test]
fn the_adapters_wavenet_follows_pytorch() {
    let Some(gpu) = adapter("the_adapters_wavenet_follows_pytorch") else { return };
    trajectory().check_adapter(gpu, "wavenet", &losses());
}

/// Every sample within the reach changes a distribution, and no other one does: neither an earlier one, nor
/// the sample itself or a later one.
#[test]
fn a_distribution_depends_on_what_is_within_its_reach() {
    const LENGTH: usize = 24;
    let config = Config { features: 8, skip: 12, head: 12, classes: None, ..CONFIG };
    let reach = config.reach();
    assert_eq!((reach, config.dilations()), (16, vec![1, 2, 4, 1, 2, 4]));
    let g = Graph::new();
    let x = g.input("x", Type::f32([LENGTH + 1, 1, LENGTH, 1]));
    g.output("logits", WaveNet::new(&g, &config).logits(x, None));
    // Each signal has another level at its own place; the last one has none.
    let signals = Array::from_fn([LENGTH + 1, 1, LENGTH, 1], |i| {
        let level = bits(7, (i % LENGTH) as u32) % 256;
        let changed = i / LENGTH == i % LENGTH;
        f64::from(if changed { (level + 100) % 256 } else { level }) / 255.0
    });
    let inputs = Values::from([("x".to_string(), signals)]);
    let logits = reference::eval(&g, &inputs, &mut reference::initial(&g, 0)).unwrap()["logits"].clone();
    let row = |signal: usize, t: usize| &logits.data[(signal * LENGTH + t) * 256..][..256];
    for changed in 0..LENGTH {
        for t in 0..LENGTH {
            let seen = (changed + 1..=changed + reach).contains(&t);
            let differs = row(changed, t) != row(LENGTH, t);
            assert_eq!(differs, seen, "sample {changed} and the distribution of sample {t}");
        }
    }
}

/// A model that knows nothing needs 8 bits a sample.
#[test]
fn equal_logits_are_eight_bits_a_sample() {
    let g = Graph::new();
    let x = g.input("x", Type::f32([BATCH, 1, LENGTH, 1]));
    let class = g.input("class", Type::f32([BATCH, 3]));
    let (_, nats) = CONFIG.nats(&g, Given { class: Some(class), ..Given::pictures(x) });
    g.output("bits", nats.sum_all() * (1.0 / ((BATCH * LENGTH) as f32 * std::f32::consts::LN_2)));
    let mut state = reference::initial(&g, 0);
    for of_head in ["head.1.weight", "head.1.bias"] {
        state.get_mut(of_head).unwrap().data.fill(0.0);
    }
    let x = Array::new([BATCH, 1, LENGTH, 1], signals(0).into_iter().map(f64::from).collect());
    let class = Array::from_fn([BATCH, 3], |i| f64::from(u8::from(i % 4 == 0)));
    let inputs = Values::from([("x".to_string(), x), ("class".to_string(), class)]);
    let bits = reference::eval(&g, &inputs, &mut state).unwrap()["bits"].data[0];
    assert!((bits - 8.0).abs() < 1e-6 && LIKELIHOOD.outputs(1) == 256, "{bits} bits a sample");
}
