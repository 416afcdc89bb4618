//! Plans as data: their tables, memory and order are checked without a device; mistakes in a model are
//! errors that name the user's line, mistakes in size errors that name the limit.

use crate::subjects::{Ready, adapter, all_caps, config, decoder, evaluation, training};
use oneiro::{
    graph::{
        Graph, Tensor,
        reference::{self, Values},
        shape::Type,
        var::{Home, Init, Role},
    },
    kernel::caps::{AdapterClass, Caps},
    models::vae::Config,
    nn::{BatchNorm, Linear, MaskedLinear, Mode},
    ops::reparameterize::reparameterize,
    optim::{Optimizer, advance},
    plan::{Buffer, Place, Plan},
};
use std::path::Path;

fn every_plan() -> Vec<(String, Plan)> {
    let config = Config::default();
    let mut plans = vec![];
    for (adapter, caps) in all_caps() {
        let graphs = [
            ("training", training(&config, 60_000, 128)),
            ("evaluation", evaluation(&config, 10_000, 500)),
            ("decoder", decoder(&config, 100)),
        ];
        plans.extend(
            graphs.map(|(name, graph)| (format!("{name} on {adapter}"), Plan::new(&graph, &caps).unwrap())),
        );
    }
    plans
}

/// Compares a text with a file of `golden/`; `ONEIRO_BLESS=1` rewrites the file.
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels-tests/golden").join(name);
    if std::env::var("ONEIRO_BLESS").is_ok_and(|v| v == "1") {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    let differs =
        (1..).zip(known.lines().chain(std::iter::repeat("")).zip(text.lines())).find(|(_, (a, b))| a != b);
    let hint = "if the new plan is meant, run the tests once with ONEIRO_BLESS=1 and review the diff";
    assert!(known == text, "{} differs, first at {differs:?}; {hint}", path.display());
}

#[test]
fn the_training_plan_is_the_known_one() {
    let graph = training(&Config::default(), 60_000, 128);
    golden("vae_training_software.txt", &Plan::new(&graph, &Caps::software()).unwrap().to_string());
    golden(
        "vae_training_gpu.txt",
        &Plan::new(&graph, &Caps::portable(AdapterClass::Gpu)).unwrap().to_string(),
    );
}

#[test]
fn planning_is_deterministic() {
    let text = || every_plan().into_iter().map(|(_, p)| format!("{p}{:?}", p.launches)).collect::<String>();
    assert_eq!(text(), text());
}

#[test]
fn memory_is_close_to_what_is_alive() {
    for (name, plan) in every_plan() {
        let (planned, least) = (plan.slot_bytes(), plan.live_minimum);
        assert!(planned >= least, "{name}: {planned} bytes cannot hold {least}");
        assert!(
            planned as f64 <= 1.15 * least as f64,
            "{name}: {planned} bytes of slots, {least} alive at the worst point"
        );
        assert!(plan.pipelines() <= 32, "{name}: {} pipelines", plan.pipelines());
    }
}

#[test]
fn no_launch_reads_and_writes_one_buffer() {
    for (name, plan) in every_plan() {
        for launch in &plan.launches {
            let (writes, reads): (Vec<_>, Vec<_>) =
                launch.bindings.iter().partition(|(n, _)| launch.writes.contains(n));
            let joined = launch.label.contains(" | ");
            assert!(joined || writes.len() == 1, "{name}: {} writes {writes:?}", launch.label);
            for (i, (_, w)) in writes.iter().enumerate() {
                let other = |p: &Place| p.buffer != w.buffer;
                let apart = |p: &Place| p.offset + p.bytes <= w.offset || w.offset + w.bytes <= p.offset;
                assert!(
                    reads.iter().all(|(_, p)| other(p))
                        && writes[i + 1..].iter().all(|(_, p)| other(p) || apart(p)),
                    "{name}: {} {:?}",
                    launch.label,
                    launch.bindings
                );
            }
            for (binding, place) in &launch.bindings {
                assert!(
                    place.offset % 256 == 0 && place.bytes % 16 == 0 && place.bytes > 0,
                    "{name}: {} `{binding}` {place:?}",
                    launch.label
                );
                if let Buffer::Slot(i) = place.buffer {
                    assert!(
                        place.offset + place.bytes <= plan.slots[i],
                        "{name}: {} `{binding}` is beyond its slot",
                        launch.label
                    );
                }
            }
        }
    }
}

/// Every launch that reads a value of the step before comes ahead of the launch that overwrites it.
#[test]
fn updates_come_after_every_reader_of_the_old_value() {
    for (name, plan) in every_plan() {
        let mut updated: Vec<Buffer> = vec![];
        let history = plan.vars.iter().position(|var| var.name == "history");
        for launch in &plan.launches {
            for (binding, place) in &launch.bindings {
                let persistent = matches!(place.buffer, Buffer::Var(_) | Buffer::Arena(_));
                let written = launch.writes.contains(binding);
                // A history is written in parts, one for each metric, and never read.
                let part = written && history.map(Buffer::Var) == Some(place.buffer);
                assert!(
                    part || !persistent || !updated.contains(&place.buffer),
                    "{name}: {} uses {} after its update",
                    launch.label,
                    place.buffer
                );
                assert!(
                    written || !matches!(place.buffer, Buffer::Slot(_)) || wrote(&plan, place.buffer),
                    "{name}: {} was never written",
                    place.buffer
                );
            }
            updated.extend(
                launch
                    .bindings
                    .iter()
                    .filter(|(n, _)| launch.writes.contains(n))
                    .map(|(_, p)| p.buffer)
                    .filter(|b| !matches!(b, Buffer::Slot(_))),
            );
        }
        assert_eq!(updated.is_empty(), name.starts_with("decoder"), "{name}: updates {updated:?}");
    }
}

fn wrote(plan: &Plan, buffer: Buffer) -> bool {
    plan.launches.iter().any(|l| l.bindings.iter().any(|(n, p)| p.buffer == buffer && l.writes.contains(n)))
}

/// A graph whose result depends on when assigns take effect: a swap, a chain and a reader of the old value.
fn assigns() -> Graph {
    let g = Graph::new();
    let var = |name: &str, c: f32| g.var(name, Type::f32([8]), Init::Constant(c));
    let (a, b, c, d) = (var("a", 1.0), var("b", 2.0), var("c", 3.0), var("d", 4.0));
    g.assign(a, b);
    g.assign(b, a);
    g.assign(c, c + a);
    g.assign(d, c * 2.0 + d);
    g.output("seen", a * 1000.0 + b * 100.0 + c * 10.0 + d);
    advance(&g);
    g
}

#[test]
fn assigns_take_effect_after_the_step() {
    let graph = assigns();
    let mut state = reference::initial(&graph, 0);
    let expected: Vec<f64> = (0..3)
        .map(|_| reference::eval(&graph, &Values::new(), &mut state).unwrap()["seen"].data[0])
        .collect();
    // a, b, c, d: 1 2 3 4, then 2 1 4 10, then 1 2 6 18.
    assert_eq!(expected, [1234.0, 2150.0, 1278.0]);
    let Some(gpu) = adapter("assigns_take_effect_after_the_step") else { return };
    let ready = Ready::new(gpu, &graph, 0);
    for (step, expected) in expected.into_iter().enumerate() {
        assert_eq!(ready.step().read("seen"), [expected as f32; 8], "step {step}");
    }
    for (name, expected) in &state {
        let words = ready.state.read_words(gpu, name).unwrap();
        let got: Vec<f64> = words
            .iter()
            .map(|&w| if name == "step" { f64::from(w) } else { f64::from(f32::from_bits(w)) })
            .collect();
        assert_eq!(got, expected.data, "`{name}` after three steps");
    }
}

/// The error of planning a bad model, which must be one line that names `line` of this file.
fn mistake(graph: &Graph, line: u32) -> String {
    let error = Plan::new(graph, &Caps::software()).unwrap_err().to_string();
    let at = format!("{}:{line}:", file!());
    assert!(error.starts_with(&at) && error.lines().count() == 1, "`{error}` does not name {at}");
    error
}

/// A step whose counter stands still draws the same numbers and minibatch for ever.
#[test]
fn a_training_step_advances_its_counter() {
    let line = line!() + 4;
    let record = |ends: &dyn Fn(&Graph)| {
        let g = Graph::new();
        let w = g.param("w", Type::f32([2]), Init::Zeros);
        let _ = Optimizer::adam(0.1).step("fit", (w - 1.0).square().sum_all(), &[w]);
        ends(&g);
        Plan::new(&g, &Caps::software())
    };
    let error = record(&|_| ()).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("{}:{line}:", file!())) && error.contains("`step` stands still"),
        "{error}"
    );
    assert!(record(&|g| g.count_by("other")).unwrap_err().to_string().contains("`other` stands still"));
    assert!(record(&|g| advance(g)).is_ok() && record(&Graph::counted_elsewhere).is_ok());
}

#[test]
fn variables_and_inputs_know_their_names() {
    let g = Graph::new();
    let (w, x) = (g.param("w", Type::f32([2]), Init::Zeros), g.input("x", Type::f32([2])));
    assert_eq!([w, x, w + x].map(Tensor::name), [Some("w".into()), Some("x".into()), None]);
    let layer = Linear::new(&g, "fc", 2, 3);
    let shared = g.sharing(|| Linear::new(&g, "fc", 2, 3));
    assert_eq!(layer.weight().name().as_deref(), Some("fc.weight"));
    assert!(layer.weight().id() == shared.weight().id() && g.check().is_ok());
}

#[test]
fn errors_name_the_users_line() {
    let input = |g: &Graph, name: &str, shape: [usize; 2]| g.input(name, Type::f32(shape)).id();
    type Mistake = for<'g> fn(Tensor<'g>, Tensor<'g>) -> Tensor<'g>;
    let cases: [(u32, Mistake, &str); 4] = [
        (line!(), |a, b| a.matmul(b), "matmul"),
        (line!(), |a, b| a + b, "[2x3]"),
        (line!(), |a, _| a.reshape([7]), "reshape"),
        (line!(), |a, _| a.slice(1, 2..9), "slice"),
    ];
    for (line, make, what) in cases {
        let g = Graph::new();
        let (a, b) = (g.tensor(input(&g, "a", [2, 3])), g.tensor(input(&g, "b", [4, 5])));
        let _ = make(a, b);
        // What follows from the first mistake is not reported.
        g.output("late", a.matmul(a));
        let error = mistake(&g, line);
        assert!(error.contains(what), "`{error}` does not say `{what}`");
    }
    let g = Graph::new();
    let x = g.tensor(input(&g, "x", [2, 3]));
    let line = line!() + 1;
    g.assign(x, x + x);
    assert!(mistake(&g, line).contains("not a variable"));
}

#[test]
fn a_stream_is_drawn_once() {
    let g = Graph::new();
    let mu = g.input("mu", Type::f32([4, 4]));
    let z = reparameterize("eps", mu, mu);
    let line = line!() + 1;
    g.output("z", z + reparameterize("eps", mu, mu));
    let error = mistake(&g, line);
    assert!(error.contains("`eps`") && error.contains("twice"), "{error}");
}

#[test]
fn limits_name_what_is_allowed_and_needed() {
    let small = config(64, 16, 4);
    let graph = training(&small, 512, 32);
    let caps = Caps { name: "tiny".into(), max_binding: 4096, ..Caps::portable(AdapterClass::Gpu) };
    let error = Plan::new(&graph, &caps).unwrap_err().to_string();
    assert!(
        ["tiny", "allows 4096", "8192 bytes", "subjects.rs:"].iter().all(|part| error.contains(part)),
        "{error}"
    );
    let caps = Caps { name: "tiny".into(), max_buffer: 4096, ..Caps::portable(AdapterClass::Gpu) };
    let error = Plan::new(&graph, &caps).unwrap_err().to_string();
    let arena = Plan::new(&graph, &Caps::portable(AdapterClass::Gpu))
        .unwrap()
        .arenas
        .iter()
        .map(|a| a.rows * a.row_len * 4)
        .max()
        .unwrap();
    assert!(
        ["tiny", "allows 4096", &format!("{arena} bytes")].iter().all(|part| error.contains(part)),
        "{error}"
    );
}

/// A step that trains layers and keeps their averages, beside layers that it only uses.
#[test]
fn a_plan_knows_its_weights() {
    let g = Graph::new();
    let (x, other) = (g.input("x", Type::f32([4, 3])), Linear::new(&g, "other", 2, 1));
    let (layer, norm) =
        (Linear::weight_normed(&g, "layer", 3, 2), BatchNorm::new(&g, "norm", 2, Mode::Training));
    let y = other.forward(norm.forward(layer.forward(x)));
    let masked = MaskedLinear::new(&g, "masked", &[1, 2, 3], &[2]);
    let by_hand = g.var("by hand", Type::f32([4, 1]), Init::Zeros);
    let loss = (y * masked.forward(x) + by_hand).square().sum_all();
    let params = [layer.params(), norm.params(), vec![by_hand]].concat();
    Optimizer::adam(1e-3).ema(0.9).step("fit", loss, &params);
    g.assign(g.var("metrics", Type::f32([]), Init::Zeros), loss + g.normal("noise", []));
    advance(&g);
    let plan = Plan::new(&g, &Caps::portable(AdapterClass::Gpu)).unwrap();

    let names = |keep: &dyn Fn(Role) -> bool| -> Vec<&str> {
        let mut names: Vec<_> = plan.vars.iter().filter(|v| keep(v.role)).map(|v| v.name.as_str()).collect();
        names.sort_unstable();
        names
    };
    let trained = ["by hand", "layer.bias", "layer.weight_g", "layer.weight_v", "norm.bias", "norm.weight"];
    let apart = ["masked.bias", "masked.weight", "other.bias", "other.weight"];
    let mut all = [&trained[..], &apart].concat();
    all.sort_unstable();
    assert_eq!(names(&|role| role == Role::Trained), all);
    assert_eq!(names(&|role| role == Role::Average), trained.map(|name| format!("ema/{name}")));
    let statistics = ["norm.num_batches_tracked", "norm.running_mean", "norm.running_var"];
    assert_eq!(names(&|role| role == Role::Buffer), statistics);
    assert_eq!(names(&|role| role == Role::Counter), ["seed", "step"]);
    let moments = ["adam.m/", "adam.v/"].map(|moment| trained.map(|name| format!("{moment}{name}"))).concat();
    assert_eq!(
        names(&|role| role == Role::Working),
        [moments, ["masked.of", "masked.sees", "metrics"].map(String::from).to_vec()].concat()
    );
    let mut weights = plan.weights();
    weights.sort_unstable();
    assert_eq!(weights, names(&Role::is_weight));
    let home = |name: &str| plan.vars.iter().find(|v| v.name == name).unwrap().home;
    let (first, average) = (home("layer.weight_v").unwrap(), home("ema/layer.weight_v").unwrap());
    assert_eq!((first.row, average), (0, Home { row: 3, ..first }));
    assert_eq!(home("other.weight"), None);
}
