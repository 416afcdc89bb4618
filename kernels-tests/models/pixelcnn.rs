//! PixelCNN and gated PixelCNN against PyTorch: from the same weights file and images their losses are
//! PyTorch's, step by step, and the weights travel back in PyTorch's layout. `golden/pixelcnn_trajectory.py`
//! makes the files.

use crate::{
    golden::{self, Trajectory, bits},
    subjects::adapter,
};
use oneiro::{
    graph::{Graph, shape::Type, var::Init},
    models::{
        autoregressive::{Autoregressive, Given},
        gated_pixelcnn,
        likelihood::Likelihood,
        pixelcnn,
    },
    optim::Optimizer,
};

const MODELS: [&str; 2] = ["pixelcnn", "gated"];
const SHAPE: [usize; 2] = [3, 63];
const IMAGE: [usize; 3] = [7, 9, 1];

/// Ten training steps of a model.
fn trajectory(model: &str) -> Trajectory {
    let g = Graph::new();
    let (x, likelihood) = (g.input("x", Type::f32(SHAPE)), Likelihood::Bernoulli);
    let x = x.reshape([SHAPE[0], IMAGE[0], IMAGE[1], IMAGE[2]]);
    let (image, dropout, optimizer) = (IMAGE, 0.0, Optimizer::adam(1e-3));
    let metrics = if model == "gated" {
        // The images' classes are 0, 1, 0.
        let class = g.var("class", Type::f32([3, 2]), Init::Values([1.0, 0.0, 0.0, 1.0, 1.0, 0.0].into()));
        let config = gated_pixelcnn::Config {
            image,
            features: 5,
            layers: 3,
            kernel: 5,
            head: 6,
            classes: Some(2),
            dropout,
            likelihood,
            hint: None,
        };
        config.training_step(
            &g,
            model,
            Given { class: Some(class), training: true, ..Given::pictures(x) },
            &optimizer,
        )
    } else {
        let (blocks, dilations) = (2, vec![]);
        let config = pixelcnn::Config {
            image,
            features: 6,
            blocks,
            dilations,
            head: 8,
            dropout,
            likelihood,
            hint: None,
        };
        config.training_step(&g, model, Given { training: true, ..Given::pictures(x) }, &optimizer)
    };
    golden::ends(&g, &metrics);
    let weights = golden::tensors(&format!("{model}_weights.safetensors"));
    let inputs = Box::new(|step| vec![("x", pictures(step))]);
    let trajectory = Trajectory { round: vec![g], evaluation: None, rounds: 10, inputs, weights };
    assert_eq!(trajectory.variables().len(), trajectory.weights.len());
    trajectory
}

/// Black and white pictures.
fn pictures(step: u32) -> Vec<f32> {
    (0..189).map(|i| f32::from(u8::from(bits(1000 + step, i) >= 1 << 23))).collect()
}

fn losses(model: &str) -> Vec<f64> {
    golden::numbers(&format!("{model}_trajectory.txt"), "")
}

#[test]
fn the_references_models_follow_pytorch() {
    MODELS.iter().for_each(|model| trajectory(model).check_reference(model, &losses(model)));
}

/// The weights' round trip is a part of it: kept taps come back as they were, masked ones as zeros.
#[test]
fn the_adapters_models_follow_pytorch() {
    let Some(gpu) = adapter("the_adapters_models_follow_pytorch") else { return };
    MODELS.iter().for_each(|model| trajectory(model).check_adapter(gpu, model, &losses(model)));
}

/// A 7x7 mask A keeps 24 of 49 taps, a 3x3 mask B 5 of 9.
#[test]
fn masks_leave_taps_out() {
    let variables = trajectory("pixelcnn").variables();
    let masked = |v: &oneiro::graph::var::VarSpec| {
        v.layout.shape(&v.ty.shape).iter().product::<usize>() - v.ty.shape.numel()
    };
    assert_eq!(variables.values().map(masked).sum::<usize>(), 12 * 25 + 2 * 36 * 4);
}
