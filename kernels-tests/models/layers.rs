//! Layers of generative networks: those that are composed of other ops against the reference and central
//! differences, and all of them against PyTorch's over three training steps and in evaluation
//! (`golden/layers.py` makes the file).

use crate::{
    golden,
    harness::{Case, Fill},
    subjects::adapter,
};
use oneiro::{
    gpu::{Executor, State},
    graph::{Graph, Tensor, autodiff, shape::Type, window::Kernel},
    nn::{
        BatchNorm, Conv2d, ConvTranspose2d, InstanceNorm, LayerNorm, Linear, Mode, Weight, minibatch_stddev,
        spectral_norm,
    },
    plan::Plan,
    weights::Weights,
};
use std::collections::BTreeSet;

/// A spectrally normalised weight and the next u and v, as a function of all three.
fn spectral(shape: &[usize], outputs: usize, mode: Mode) -> Case {
    let dims = shape.to_vec();
    let build = move |g: &Graph| {
        let mut rest = dims.clone();
        rest[outputs] = 1;
        let [weight, u, v] = [("w", &dims[..]), ("u", &[dims[outputs]]), ("v", &rest)]
            .map(|(name, shape)| g.input(name, Type::f32(shape)));
        let [weight, next_u, next_v] = spectral_norm(weight, [u, v], outputs, mode);
        g.output("y", weight);
        g.output("next u", next_u);
        g.output("next v", next_v);
    };
    Case::new("spectral_norm", format!("{shape:?} along {outputs} {mode:?}"), build)
        .fill("w", Fill::Uniform(0.1, 1.0))
        .fill("u", Fill::Uniform(0.1, 1.0))
        .fill("v", Fill::Uniform(0.1, 1.0))
        .tolerance(5e-6, 5e-6)
}

/// Layer normalisation over some last axes, or instance normalisation.
fn composed(shape: &[usize], over: Option<usize>) -> Case {
    let dims = shape.to_vec();
    let build = move |g: &Graph| {
        let x = g.input("x", Type::f32(&dims[..]));
        let y = match over {
            Some(axes) => LayerNorm::new(g, "n", &dims[dims.len() - axes..]).forward(x),
            None => InstanceNorm::new(g, "n", dims[3]).forward(x),
        };
        g.output("y", y.leaky_relu(0.2));
    };
    let name = if over.is_some() { "layer_norm" } else { "instance_norm" };
    Case::new(name, format!("{shape:?} over {over:?}"), build).tolerance(1e-5, 1e-5)
}

/// The minibatch's standard deviation as one more channel.
fn compared(shape: &[usize]) -> Case {
    let dims = shape.to_vec();
    let build = move |g: &Graph| g.output("y", minibatch_stddev(g.input("x", Type::f32(&dims[..]))));
    Case::new("minibatch_stddev", format!("{shape:?}"), build).tolerance(1e-5, 1e-5)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut out = vec![];
    out.extend([&[2, 1][..], &[5, 7], &[3, 4, 4, 2], &[64, 4, 4, 33]].map(compared));
    for mode in [Mode::Training, Mode::Batch, Mode::Evaluation] {
        out.extend([[1, 1], [1, 7], [3, 5], [64, 65], [127, 300]].map(|shape| spectral(&shape, 0, mode)));
        out.extend(
            [[9, 3, 5], [16, 8, 12], [4, 33, 64]]
                .iter()
                .flat_map(|shape| [1, 2].map(|outputs| spectral(shape, outputs, mode))),
        );
    }
    for shape in [[2, 1, 2, 1], [1, 3, 3, 4], [3, 5, 2, 7], [2, 8, 8, 16], [5, 4, 7, 33]] {
        out.extend([Some(1), Some(3), None].map(|over| composed(&shape, over)));
    }
    out.extend([[3, 4], [17, 65], [128, 64]].map(|shape| composed(&shape, Some(1))));
    out
}

/// The penalty (‖∂D/∂x‖ - 1)² of a critic without batch norm (Gulrajani et al. 2017, eq. 3), whose gradient
/// is a second derivative of the critic.
fn penalty(pool: for<'g> fn(Tensor<'g>, &Kernel) -> Tensor<'g>) -> Case {
    let build = move |g: &Graph| {
        let x = g.input("x", Type::f32([2, 8, 8, 1]));
        let y = pool(x, &Kernel::square(2).stride(2))
            .conv2d(g.input("a", Type::f32([9, 1, 3])), &Kernel::same(3).stride(2));
        let y = LayerNorm::new(g, "layer", &[2, 2, 3]).forward(y).leaky_relu(0.2);
        let y = y.conv2d(g.input("b", Type::f32([4, 3, 1])), &Kernel::square(2));
        let slope = autodiff::grad(y, &[x])[0];
        g.output("y", (slope.square().sum(&[1, 2, 3]).sqrt() - 1.0).square());
    };
    Case::new("gradient penalty", "8x8", build)
}

pub(crate) fn smooth() -> Vec<Case> {
    let mut out: Vec<Case> =
        [Some(1), Some(3), None].into_iter().map(|over| composed(&[2, 2, 2, 3], over)).collect();
    out.push(compared(&[3, 2, 1, 2]));
    out.extend([penalty(|x, kernel| x.avg_pool(kernel)), penalty(|x, kernel| x.max_pool(kernel))]);
    out
}

type Layer<'g> = (Vec<(&'static str, Tensor<'g>)>, Tensor<'g>);

/// A layer of the golden file by its name: its parameters by their names, and what it makes of an input.
fn layer<'g>(g: &'g Graph, name: &str, x: Tensor<'g>, mode: Mode) -> Layer<'g> {
    let four = || Kernel::square(4).stride(2).padding(1);
    let pooled = || Kernel::square(3).stride(2).padding(1);
    let tall = || Kernel { size: [3, 2], padding: [1, 0], ..Kernel::square(1) };
    let spectral = Weight::Spectral(mode);
    let named = |params: Vec<Tensor<'g>>, names: &[&'static str]| {
        names.iter().copied().zip(params).collect::<Vec<_>>()
    };
    let affine = ["weight", "bias"];
    let up = |kernel, channels, weight, bias| ConvTranspose2d::of(g, name, kernel, channels, weight, bias);
    match name {
        "bn1" | "bn2" => {
            let layer = BatchNorm::new(g, name, if name == "bn1" { 5 } else { 4 }, mode);
            (named(layer.params(), &affine), layer.forward(x))
        }
        "ln" => {
            let layer = LayerNorm::new(g, name, &[4, 2, 3]);
            (named(layer.params(), &affine), layer.forward(x))
        }
        "in" => {
            let layer = InstanceNorm::new(g, name, 3);
            (named(layer.params(), &affine), layer.forward(x))
        }
        "up" | "out" | "first" | "sn_up" => {
            let layer = match name {
                "up" => up(four(), [3, 4], Weight::Plain, false),
                "out" => up(pooled(), [3, 2], Weight::Plain, true).output_padding(1),
                "first" => up(Kernel::square(4), [5, 4], Weight::Plain, false),
                _ => up(four(), [3, 2], spectral, true),
            };
            let names = if name == "sn_up" { ["weight_orig", "bias"] } else { affine };
            (named(layer.params(), &names), layer.forward(x))
        }
        "last" => {
            let layer = Conv2d::of(g, name, Kernel::square(4), [3, 1], Weight::Plain, false);
            (named(layer.params(), &affine), layer.forward(x))
        }
        "sn_conv" => {
            let layer = Conv2d::of(g, name, tall(), [2, 4], spectral, false);
            (named(layer.params(), &["weight_orig"]), layer.forward(x))
        }
        "sn_linear" => {
            let layer = Linear::of(g, name, [5, 3], spectral, true);
            (named(layer.params(), &["weight_orig", "bias"]), layer.forward(x))
        }
        "avg" => (vec![], x.avg_pool(&pooled())),
        "max" => (vec![], x.max_pool(&pooled())),
        "nearest" => (vec![], x.upsample_nearest(2)),
        "bilinear" => (vec![], x.upsample_bilinear(3)),
        _ => unreachable!("no layer `{name}`"),
    }
}

/// The layers of the file in one graph.
fn graph(golden: &Weights, names: &[&str], mode: Mode) -> Graph {
    let g = Graph::new();
    for name in names {
        let input = format!("{name}.x");
        let x = g.input(&input, Type::f32(golden[&input].0.clone()));
        let (params, y) = layer(&g, name, x, mode);
        if mode == Mode::Evaluation {
            g.output(&format!("{name}.eval"), y);
            continue;
        }
        g.output(&format!("{name}.y"), y);
        let wrt: Vec<_> = params.iter().map(|p| p.1).chain([x]).collect();
        let gradients = autodiff::grad((y * y.square()).sum_all(), &wrt);
        let parts = params.iter().map(|p| p.0).chain(["x"]);
        parts.zip(gradients).for_each(|(part, gradient)| g.output(&format!("{name}.{part}.grad"), gradient));
    }
    g
}

/// Compares values with a tensor of the file.
fn compare(golden: &Weights, name: &str, got: &[f32], places: &[usize]) {
    let (_, want) = &golden[name];
    assert_eq!((got.len(), places.len()), (want.len(), want.len()), "{name}");
    let biggest = want.iter().fold(0f32, |most, w| most.max(w.abs()));
    for (i, (got, &place)) in got.iter().zip(places).enumerate() {
        let fine = (got - want[place]).abs() <= 2e-5 * (1.0 + biggest);
        assert!(fine, "{name} {i}: {got} instead of {}", want[place]);
    }
}

#[test]
fn layers_are_pytorchs() {
    let Some(gpu) = adapter("layers_are_pytorchs") else { return };
    let golden = golden::tensors("layers.safetensors");
    // The weights under spectral norm have moved since the last iteration, so that evaluation shows which u and v
    // it takes.
    let moved = golden.iter().filter(|(name, _)| name.ends_with(".eval.weight_orig"));
    let moved: Weights = moved.map(|(name, tensor)| (name.replace(".eval", ""), tensor.clone())).collect();
    let layers: Vec<&str> = golden.keys().filter_map(|name| name.strip_suffix(".x")).collect();
    assert_eq!(layers.len(), 15, "{layers:?}");
    let plan = |names: &[&str], mode| Plan::new(&graph(&golden, names, mode), gpu.caps()).unwrap();
    let (training, evaluation) = (plan(&layers, Mode::Training), plan(&layers, Mode::Evaluation));
    let state = State::new(gpu, &[&training, &evaluation], 3).unwrap();
    let names: BTreeSet<String> = [&training, &evaluation].iter().flat_map(|plan| plan.weights()).collect();
    let names: Vec<String> = names.into_iter().collect();
    golden::apply(gpu, &state, &names, &golden, "layers.safetensors");
    for (plan, steps) in [(&training, 3), (&evaluation, 1)] {
        if steps == 1 {
            let names: Vec<String> = moved.keys().cloned().collect();
            assert_eq!(names.len(), 3, "{names:?}");
            golden::apply(gpu, &state, &names, &moved, "layers.safetensors");
        }
        let executor = Executor::new(gpu, plan, &state, &[]).unwrap();
        plan.inputs.iter().for_each(|(name, _)| executor.write(gpu, name, &golden[name].1).unwrap());
        gpu.submit(|encoder| (0..steps).try_for_each(|_| executor.record(encoder))).unwrap();
        for output in &plan.outputs {
            let got = executor.read(gpu, &output.name).unwrap();
            // Gradients of variables come in our layout.
            let layout =
                output.name.strip_suffix(".grad").and_then(|variable| state.file_layout(variable).ok());
            let places = layout.map_or((0..got.len()).collect(), |layout| layout.places(&output.ty.shape));
            compare(&golden, &output.name, &got, &places);
        }
    }
    let kept: Vec<&String> = golden.keys().filter(|name| name.starts_with("after.")).collect();
    assert_eq!(kept.len(), 2 * 3 + 3 * 2, "{kept:?}");
    for name in kept {
        let variable = &name["after.".len()..];
        let (layout, shape) = (state.file_layout(variable).unwrap(), &state.ty(variable).unwrap().shape);
        compare(&golden, name, &state.read(gpu, variable).unwrap(), &layout.places(shape));
    }
}

/// A batch norm with a leaky ReLU costs few launches, its gradient included.
#[test]
fn a_batch_norm_is_a_few_launches() {
    let g = Graph::new();
    let layer = BatchNorm::new(&g, "bn", 64, Mode::Training);
    let x = g.input("x", Type::f32([32, 16, 16, 64]));
    let y = layer.forward(x).leaky_relu(0.2);
    g.output("y", y);
    let wrt = [layer.params(), vec![x]].concat();
    let gradients = autodiff::vjp(y, g.input("dy", y.ty()), &wrt);
    gradients.into_iter().enumerate().for_each(|(i, gradient)| g.output(&format!("gradient {i}"), gradient));
    let plan = Plan::new(&g, &oneiro::kernel::caps::Caps::software()).unwrap();
    let large = plan.launches.iter().filter(|l| l.bytes > 1 << 20).count();
    assert!(large <= 5, "moments, tensor, slope through the ReLU, sums, gradient: {plan}");
    assert!(plan.launches.len() <= 18, "{plan}");
}
