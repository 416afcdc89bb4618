//! Graphs that once made a plan read and write one buffer in one launch, write past a binding or panic:
//! shared gradients, parameters of one arena that read each other, prefixes of products, many views.

use crate::{
    harness::{self, Case, Report},
    subjects::Ready,
};
use oneiro::{
    gpu::{Executor, State},
    graph::{Graph, Tensor, autodiff, shape::Type, var::Init},
    kernel::caps::{AdapterClass, Caps},
    nn::Linear,
    ops::matmul::product,
    optim::{Optimizer, advance},
    plan::Plan,
};

fn var<'g>(g: &'g Graph, name: &str, shape: &[usize]) -> Tensor<'g> {
    g.var(name, Type::f32(shape), Init::Normal(0.0, 1.0))
}

fn train(g: &Graph, loss: Tensor<'_>, params: &[Tensor<'_>]) {
    Optimizer::sgd(0.01, 0.0).step(
        "group",
        g.tensor(loss.id()),
        &params.iter().map(|p| g.tensor(p.id())).collect::<Vec<_>>(),
    );
    advance(g);
    g.output("y", loss);
}

fn cases() -> Vec<Case> {
    let case = |label: &str, build: fn(&Graph)| Case::new("hazard", label, build).tolerance(1e-4, 1e-4);
    vec![
        case("two parameters with one gradient", |g| {
            let (a, b) = (var(g, "a", &[64]), var(g, "b", &[64]));
            train(g, (g.input("x", Type::f32([64])) + a + b).square().mean_all(), &[a, b]);
        }),
        case("a gradient computed from a later one", |g| {
            let (a, b) = (var(g, "a", &[64]), var(g, "b", &[64]));
            train(g, (a * g.input("x", Type::f32([64])) + b).square().mean_all(), &[a, b]);
        }),
        case("leading rows of a product", |g| {
            let y = g.input("a", Type::f32([70, 8])).matmul(g.input("b", Type::f32([8, 68])));
            g.output("y", y.slice(0, 0..3));
        }),
        case("leading rows of a product, used further", |g| {
            let y = g.input("a", Type::f32([70, 8])).matmul(g.input("b", Type::f32([8, 68])));
            g.output("y", y.slice(0, 0..3).relu() * 2.0);
        }),
        case("eight views of four tensors", |g| {
            let both = |name| {
                let x = g.input(name, Type::f32([12, 12]));
                x + x.t()
            };
            g.output("y", both("a") + both("b") + both("c") + both("d"));
        }),
        case("forty constants", |g| {
            let x = g.input("x", Type::f32([40]));
            g.output("y", (1..=20).fold(x, |y, i| y.clamp(-1.0 - i as f32, 1.0 + i as f32 / 64.0) * 1.01));
        }),
        case("one member of an arena assigned from another", |g| {
            let (a, b, w) = (var(g, "a", &[64]), var(g, "b", &[64]), var(g, "w", &[64]));
            g.arena("group", &[a, b], &[], false);
            g.assign(a, b * 0.5);
            g.output("y", w + a);
        }),
        case("a record of its own history", |g| {
            let history = g.var("history", Type::f32([1, 8]), Init::Normal(0.0, 1.0));
            g.assign(history, history.record(&[history.reshape([8]) * 1.0]));
            g.output("y", history + 1.0);
        }),
        case("products of two matrices with themselves, side by side", |g| {
            for name in ["a", "b"] {
                let (x, c) =
                    (g.input(name, Type::f32([32, 16])), g.input(&format!("c{name}"), Type::f32([32, 32])));
                g.output(&format!("y{name}"), x.matmul(x.t()) * c);
            }
        }),
        case("a record of parts of its own history, each in the other's place", |g| {
            let history = g.var("history", Type::f32([1, 8]), Init::Normal(0.0, 1.0));
            let part = |range| history.reshape([8]).slice(0, range);
            g.assign(history, history.record(&[part(4..8), part(0..4)]));
            g.output("y", history + 1.0);
        }),
        // Views of five separate axes, one more than a cluster addresses.
        case("an upsampled image, read by elements only", |g| {
            g.output("y", g.input("x", Type::f32([2, 2, 3, 3])).upsample_nearest(2).tanh());
        }),
        case("a broadcast along every other axis", |g| {
            let x = g.input("x", Type::f32([2, 3, 4, 5, 6]));
            g.output("y", x * g.input("k", Type::f32([3, 1, 5, 1])));
        }),
        case("five axes reversed", |g| {
            g.output("y", g.input("x", Type::f32([2, 3, 4, 5, 6])).permute(&[4, 3, 2, 1, 0]).tanh());
        }),
        case("a pixel shuffle in PyTorch's order", |g| {
            let x = g.input("x", Type::f32([2, 3, 4, 12])).reshape([2, 3, 4, 3, 2, 2]);
            g.output("y", x.permute(&[0, 1, 4, 2, 5, 3]).reshape([2, 6, 8, 3]).relu());
        }),
        case("an old value beside its optimizer", |g| {
            let a = var(g, "a", &[64]);
            g.output("before", a.reshape([8, 8]));
            train(g, a.square().mean_all(), &[a]);
        }),
    ]
}

#[test]
fn no_hazard_reaches_the_device() {
    let Some(gpu) = harness::gpu() else { return };
    let mut report = Report::default();
    report.family(gpu, "hazards", &cases());
    assert!(report.compared() >= cases().len(), "{} cases ran", report.compared());
}

#[test]
fn an_optimized_variable_is_not_assigned_again() {
    let g = Graph::new();
    let w = var(&g, "w", &[64]);
    Optimizer::sgd(0.1, 0.0).step("group", w.square().sum_all(), &[w]);
    let line = line!() + 1;
    g.assign(w, w.clamp(-1.0, 1.0));
    let error = g.check().unwrap_err().to_string();
    assert!(error.contains(&format!("{}:{line}:", file!())) && error.contains("assigned twice"), "{error}");
}

#[test]
fn tensors_of_another_graph_are_refused() {
    let (g, other) = (Graph::new(), Graph::new());
    g.output("y", other.constant(1.0));
    assert!(g.check().unwrap_err().to_string().contains("another graph"));
    let g = Graph::new();
    g.assign(var(&g, "w", &[4]), other.full([4], 0.0));
    assert!(g.check().unwrap_err().to_string().contains("another graph"));
}

fn trainer(group: &str, batch: usize, names: [&str; 2]) -> Plan {
    let g = Graph::new();
    let [a, b] = names.map(|name| Linear::new(&g, name, 4, 4));
    let loss = b.forward(a.forward(g.input("x", Type::f32([batch, 4])))).square().sum_all();
    Optimizer::adam(0.1).step(group, loss, &[a.params(), b.params()].concat());
    advance(&g);
    Plan::new(&g, &Caps::software()).unwrap()
}

/// Two plans that train the same variables share one arena, or are refused; they never train copies.
#[test]
fn optimizer_groups_are_shared_or_refused() {
    let Some(gpu) = harness::gpu() else { return };
    let (whole, tail) = (trainer("group", 8, ["a", "b"]), trainer("group", 3, ["a", "b"]));
    State::new(gpu, &[&whole, &tail], 0).unwrap();
    let error = |plan: &Plan| State::new(gpu, &[&whole, plan], 0).err().expect("refused").to_string();
    assert!(error(&trainer("another", 8, ["a", "b"])).contains("two optimizer groups"));
    assert!(error(&trainer("group", 8, ["b", "a"])).contains("different variables"));
}

/// Another plan may have put two variables into one buffer; a plan that then writes one from the other is
/// refused.
#[test]
fn a_plan_that_another_plan_endangers_is_refused() {
    let Some(gpu) = harness::gpu() else { return };
    let g = Graph::new();
    let [w, v] = ["w", "v"].map(|name| var(&g, name, &[64]));
    Optimizer::sgd(0.1, 0.0).step("group", (w * v).sum_all(), &[w, v]);
    advance(&g);
    let trainer = Plan::new(&g, gpu.caps()).unwrap();
    let g = Graph::new();
    let [w, v] = ["w", "v"].map(|name| var(&g, name, &[64]));
    g.assign(w, v * 0.5);
    let other = Plan::new(&g, gpu.caps()).unwrap();
    let state = State::new(gpu, &[&trainer, &other], 0).unwrap();
    let error = Executor::new(gpu, &other, &state, &[]).err().expect("refused").to_string();
    assert!(error.contains("reads and writes one buffer") && error.contains(file!()), "{error}");
    let alone = State::new(gpu, &[&other], 0).unwrap();
    Executor::new(gpu, &other, &alone, &[]).unwrap();
}

#[test]
fn gradients_and_groups_are_checked() {
    let (g, other) = (Graph::new(), Graph::new());
    autodiff::grad(var(&g, "w", &[4]).sum_all(), &[var(&other, "w", &[4])]);
    assert!(g.check().unwrap_err().to_string().contains("another graph"));
    let g = Graph::new();
    let w = var(&g, "w", &[64]);
    Optimizer::sgd(0.1, 0.0).step("group", w.square(), &[w]);
    assert!(g.check().unwrap_err().to_string().contains("one number is wanted"));
    let g = Graph::new();
    for name in ["w", "v"] {
        Optimizer::sgd(0.1, 0.0).step("group", var(&g, name, &[64]).sum_all(), &[var(&g, name, &[64])]);
    }
    assert!(g.check().unwrap_err().to_string().contains("declared twice"));
}

/// An infinity in the last row of B stays one, whatever the kernel does with the tail of K.
#[test]
fn tails_of_k_keep_infinities() {
    let Some(gpu) = harness::gpu() else { return };
    for (ta, class) in [
        (true, AdapterClass::Cpu),
        (false, AdapterClass::Cpu),
        (true, AdapterClass::Gpu),
        (false, AdapterClass::Gpu),
    ] {
        let g = Graph::new();
        let a = g.input("a", Type::f32(if ta { [5, 8] } else { [8, 5] }));
        g.output("y", product(a, g.input("b", Type::f32([5, 8])), ta, false));
        let ready = Ready::by(gpu, &Caps { class, ..gpu.caps().clone() }, &g, 0);
        let b: Vec<f32> = (0..40).map(|i| if i < 32 { 1.0 } else { f32::INFINITY }).collect();
        let y = ready.write("a", &[1.0f32; 40]).write("b", &b).step().read("y");
        let infinite = y.iter().all(|v| v.to_bits() == f32::INFINITY.to_bits());
        assert!(infinite, "{}: {y:?}", ready.plan.launches[0].entry);
    }
}
