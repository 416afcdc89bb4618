//! PixelRNN against PyTorch: from the same weights file and images, the losses of the Row LSTM and of the Diagonal
//! BiLSTM are PyTorch's, step by step, and the weights travel back in PyTorch's layout.
//! `golden/pixelrnn_trajectory.py` makes the files.

use crate::{
    golden::{self, Trajectory, bits},
    harness::say,
    subjects::adapter,
};
use oneiro::{
    graph::{
        Graph, autodiff, reference,
        shape::{Array, Type},
    },
    kernel::caps::Caps,
    models::{
        autoregressive::{Autoregressive, Given},
        likelihood::Likelihood,
        pixelrnn::{Cell, Config, PixelRnn},
    },
    optim::Optimizer,
    plan::Plan,
};
use std::time::Instant;

const CELLS: [(&str, Cell); 2] = [("row", Cell::Row(3)), ("diagonal", Cell::Diagonal)];
const IMAGE: [usize; 3] = [6, 7, 1];
const BATCH: usize = 3;

/// Ten training steps of a network of two layers.
fn trajectory(name: &str, cell: Cell) -> Trajectory {
    let g = Graph::new();
    let [h, w, c] = IMAGE;
    let x = g.input("x", Type::f32([BATCH, h, w, c]));
    let (features, layers, head, likelihood) = (5, 2, 6, Likelihood::Bernoulli);
    let config = Config { image: IMAGE, cell, features, layers, head, likelihood, hint: None };
    let given = Given { training: true, ..Given::pictures(x) };
    golden::ends(&g, &config.training_step(&g, name, given, &Optimizer::adam(3e-3)));
    let weights = golden::tensors(&format!("{name}_weights.safetensors"));
    let inputs = Box::new(|step| vec![("x", pictures(step))]);
    let trajectory = Trajectory { round: vec![g], evaluation: None, rounds: 10, inputs, weights };
    assert_eq!(trajectory.variables().len(), trajectory.weights.len());
    trajectory
}

/// Black and white pictures.
fn pictures(step: u32) -> Vec<f32> {
    let n = (BATCH * IMAGE.iter().product::<usize>()) as u32;
    (0..n).map(|i| f32::from(u8::from(bits(1000 + step, i) >= 1 << 23))).collect()
}

fn losses(name: &str) -> Vec<f64> {
    golden::numbers(&format!("{name}_trajectory.txt"), "")
}

#[test]
fn the_references_recurrent_models_follow_pytorch() {
    CELLS.into_iter().for_each(|(name, cell)| trajectory(name, cell).check_reference(name, &losses(name)));
}

#[test]
fn the_adapters_recurrent_models_follow_pytorch() {
    let Some(gpu) = adapter("the_adapters_recurrent_models_follow_pytorch") else { return };
    CELLS.into_iter().for_each(|(name, cell)| trajectory(name, cell).check_adapter(gpu, name, &losses(name)));
}

/// The nodes of a training step's graph, the launches of its scans and in all, and the microseconds to plan it.
fn size(name: &str, cell: Cell, layers: usize, side: usize) -> [usize; 4] {
    let g = Graph::new();
    let (image, likelihood) = ([side, side, 1], Likelihood::Bernoulli);
    let config = Config { image, cell, features: 8, layers, head: 8, likelihood, hint: None };
    let x = g.input("x", Type::f32([2, side, side, 1]));
    let given = Given { training: true, ..Given::pictures(x) };
    golden::ends(&g, &config.training_step(&g, name, given, &Optimizer::adam(1e-3)));
    let began = Instant::now();
    let plan = Plan::new(&g, &Caps::software()).unwrap();
    let took = began.elapsed().as_micros() as usize;
    let scans = plan.launches.iter().filter(|launch| launch.label.starts_with("scan")).count();
    [g.constant(0.0).id(), scans, plan.launches.len(), took]
}

/// A scan step is at most four launches forwards and backwards together; the graph does not grow with the image.
#[test]
fn launches_grow_with_fronts_and_nodes_do_not() {
    for (name, cell) in CELLS {
        for layers in [1, 7] {
            let [small, large] = [6, 28].map(|side| size(name, cell, layers, side));
            let (lstms, fronts) = if matches!(cell, Cell::Row(_)) { (1, 28) } else { (2, 55) };
            // The sums of the loss and the biases' gradients may take another pass.
            assert!(large[0] <= small[0] + 6 * lstms * layers, "{name}: nodes {small:?} {large:?}");
            assert!(large[1] <= 4 * lstms * fronts * layers, "{name}: {large:?}");
            let [nodes, scans, launches, took] = large;
            say(&format!(
                "{name}, {layers} layers, 28x28: {nodes} nodes, {launches} launches, {scans} of scans, \
                 planned in {took} us"
            ));
        }
    }
}

/// How many pixels before its own a logit of a 5 x `width` image does not see, in all; none sees its own pixel or a
/// later one.
fn blind(cell: Cell, width: usize) -> usize {
    let (g, image, n) = (Graph::new(), [5, width, 1], 5 * width);
    let (features, layers, head, likelihood) = (8, 2, 40, Likelihood::Bernoulli);
    let config = Config { image, cell, features, layers, head, likelihood, hint: None };
    let x = g.input("x", Type::f32([1, 5, width, 1]));
    let logits = PixelRnn::new(&g, &config).logits(x).reshape([n]);
    for i in 0..n {
        g.output(&i.to_string(), autodiff::grad(logits.slice(0, i..i + 1), &[x])[0]);
    }
    let picture = Array::from_fn([1, 5, width, 1], |i| f64::from(bits(7, i as u32) % 2));
    let inputs = [("x".to_string(), picture)].into();
    let slopes = reference::eval(&g, &inputs, &mut reference::initial(&g, 0)).unwrap();
    let mut blind = 0;
    for i in 0..n {
        let slopes = &slopes[&i.to_string()].data;
        assert!(slopes[i..].iter().all(|&slope| slope == 0.0), "{cell:?}: logit {i} sees ahead");
        blind += slopes[..i].iter().filter(|&&slope| slope == 0.0).count();
    }
    blind
}

/// What the states from the right know ends before the last pixel of the row above, since mask A hides each pixel
/// from its own features. The 7x7 window alone sees that pixel: in rows of six, two pixels of each row are too far
/// from it.
#[test]
fn no_logit_sees_ahead_and_a_diagonal_bilstm_misses_the_end_of_the_row_above_alone() {
    assert_eq!([4, 6].map(|width| blind(Cell::Diagonal, width)), [0, 2 * 4]);
    blind(Cell::Row(3), 6);
}
