//! Weight normalisation: kernels against the reference, derivatives against central differences, and layers
//! against PyTorch's from one weights file, which is written back unchanged. `golden/weight_norm.py` makes
//! the file.

use crate::{
    golden,
    harness::{Case, Fill},
    subjects::{Ready, adapter},
};
use oneiro::{
    graph::{Graph, Tensor, autodiff, reference, shape::Type, window::Kernel},
    nn::{Conv2d, Linear, weight_norm},
};

/// A case with norms over all axes of `v` but one.
fn case(shape: &[usize], outputs: usize) -> Case {
    let (dims, axes): (Vec<usize>, Vec<usize>) =
        (shape.to_vec(), (0..shape.len()).filter(|&d| d != outputs).collect());
    let terms = shape.iter().product::<usize>() / shape[outputs];
    let build = move |g: &Graph| {
        let length = g.input("g", Type::f32([dims[outputs]]));
        g.output("y", weight_norm(g.input("v", Type::f32(&dims[..])), length, &axes));
    };
    Case::new("weight_norm", format!("{shape:?} along {outputs}"), build)
        .fill("v", Fill::Uniform(0.1, 2.0))
        .tolerance(1e-6, 1e-6)
        .terms(terms)
}

pub(crate) fn cases() -> Vec<Case> {
    let matrices = [[1, 1], [1, 7], [3, 5], [64, 65], [127, 784], [257, 33], [10, 4_099]];
    let kernels = [[1, 1, 1], [9, 3, 5], [24, 1, 32], [5, 16, 17], [13, 33, 64], [4, 160, 160]];
    let mut out: Vec<Case> = matrices.iter().flat_map(|shape| [case(shape, 0), case(shape, 1)]).collect();
    out.extend(kernels.iter().map(|shape| case(shape, 2)));
    out
}

pub(crate) fn smooth() -> Vec<Case> {
    let shapes: [(&[usize], usize); 4] = [(&[3, 4], 0), (&[1, 2], 0), (&[2, 3], 1), (&[2, 2, 3], 2)];
    shapes.map(|(shape, outputs)| case(shape, outputs)).into()
}

/// Names as outputs what a layer makes, and the gradients of its sum of squares.
fn output<'g>(g: &'g Graph, name: &str, y: Tensor<'g>, params: &[Tensor<'g>]) {
    g.output(&format!("{name}.y"), y);
    for (part, gradient) in
        ["weight_g", "weight_v", "bias"].iter().zip(autodiff::grad(y.square().sum_all(), params))
    {
        g.output(&format!("{name}.{part}.grad"), gradient);
    }
}

#[test]
fn layers_are_pytorchs() {
    let Some(gpu) = adapter("layers_are_pytorchs") else { return };
    let g = Graph::new();
    let linear = Linear::weight_normed(&g, "linear", 5, 3);
    let conv = Conv2d::weight_normed(
        &g,
        "conv",
        Kernel { size: [3, 2], padding: [1, 0], ..Kernel::square(1) },
        [2, 3],
    );
    output(&g, "linear", linear.forward(g.input("linear.x", Type::f32([4, 5]))), &linear.params());
    output(&g, "conv", conv.forward(g.input("conv.x", Type::f32([2, 4, 5, 2]))), &conv.params());
    let (ready, golden) = (Ready::new(gpu, &g, 3), golden::tensors("weight_norm.safetensors"));
    let names = ready.plan.weights();
    assert_eq!(names.len(), 6, "{names:?}");
    golden::apply(gpu, &ready.state, &names, &golden, "weight_norm.safetensors");
    ["linear.x", "conv.x"].iter().for_each(|x| _ = ready.write(x, &golden[*x].1));
    ready.step();
    for output in &ready.plan.outputs {
        let (got, want) = (ready.read(&output.name), &golden[&output.name].1);
        // Gradients come in our layout.
        let variable = output.name.strip_suffix(".grad");
        let layout = variable.map(|variable| ready.state.file_layout(variable).unwrap());
        let places = layout.map_or((0..want.len()).collect(), |layout| layout.places(&output.ty.shape));
        assert_eq!(got.len(), want.len(), "{}", output.name);
        for (i, (got, place)) in got.iter().zip(places).enumerate() {
            let fine = (got - want[place]).abs() <= 2e-5 * (1.0 + want[place].abs());
            assert!(fine, "{} {i}: {got} instead of {}", output.name, want[place]);
        }
    }
}

/// Normalising a layer does not change its function, as in PyTorch.
#[test]
fn at_first_the_weight_is_v() {
    let g = Graph::new();
    let layers = [
        ("linear", Linear::weight_normed(&g, "linear", 7, 5).weight()),
        ("conv", Conv2d::weight_normed(&g, "conv", Kernel::same(3), [4, 6]).weight()),
    ];
    layers.iter().for_each(|(name, weight)| g.output(name, *weight));
    let mut state = reference::initial(&g, 11);
    let out = reference::eval(&g, &Default::default(), &mut state).unwrap();
    for (name, outputs) in [("linear", 5), ("conv", 6)] {
        let (weight, v) = (&out[name], &state[&format!("{name}.weight_v")]);
        assert!(
            weight.data.iter().zip(&v.data).all(|(w, v)| v.abs() > 0.0 && (w - v).abs() < 1e-6 * v.abs()),
            "{name}"
        );
        assert_eq!(state[&format!("{name}.weight_g")].data.len(), outputs);
    }
}
