//! Every op, and every other call that records, with arguments that are wrong; a scan holds that none is
//! left out.

use super::{check, x};
use oneiro::{
    graph::{
        Graph, Tensor, autodiff,
        shape::{DType, Type},
        var::{FileLayout, Init, Role, VarSpec},
        window::Kernel,
    },
    nn::{Activation, spectral_norm, weight_norm},
    ops::{
        cursor::Wave, data::OneHot, elementwise::TABLE, matmul::product, optimizer::Rule, recurrence::Order,
        reparameterize::reparameterize,
    },
    optim::{Optimizer, Schedule, advance},
};
use std::{collections::BTreeSet, path::Path};

/// A tensor of whole numbers.
#[track_caller]
fn whole<'g>(g: &'g Graph, shape: &[usize]) -> Tensor<'g> {
    g.input(&format!("u{shape:?}"), Type::u32(shape))
}

const WAVE: Wave = Wave { image: [4, 4], lag: 1, shift: 0, counts: 1, mirrored: false };

#[test]
fn views_and_reductions_defer_mistakes() {
    check(
        file!(),
        &[
            (line!(), |g| _ = x(g, &[2, 3]).reshape([4]), "reshape"),
            (line!(), |g| _ = x(g, &[2, 3]).broadcast_to([2]), "broadcast"),
            (line!(), |g| _ = x(g, &[2, 3]).permute(&[0, 0]), "permute"),
            (line!(), |g| _ = x(g, &[2, 3]).transpose(0, 2), ""),
            (line!(), |g| _ = x(g, &[2, 3, 4]).t(), ""),
            (line!(), |g| _ = x(g, &[2, 3]).slice(1, 2..4), "slice"),
            (line!(), |g| _ = x(g, &[2, 3]).slice(5, 0..1), "slice"),
            (line!(), |g| _ = x(g, &[2, 3]).pad(2, 1, 1), "pad"),
            (line!(), |g| _ = x(g, &[2, 3]).shift(1, 3), "pad"),
            (line!(), |g| _ = g.concat(&[x(g, &[2, 3]), x(g, &[3, 3])], 1), "concat"),
            (line!(), |g| _ = g.pack(&[whole(g, &[2])]), "pack"),
            (line!(), |g| _ = g.concat(&[], 0), "concat: takes at least one tensor"),
            (line!(), |g| _ = g.pack(&[]), "pack: takes at least one tensor"),
            (line!(), |g| _ = x(g, &[2, 3]).sum(&[2]), "axes"),
            (line!(), |g| _ = x(g, &[2, 3]).mean(&[1, 1]), "axes"),
            (line!(), |g| _ = x(g, &[2, 3]).max_over(&[3]), "axes"),
            (line!(), |g| _ = x(g, &[2, 3]).min_over(&[3]), "axes"),
            (line!(), |g| _ = x(g, &[2, 3]).logsumexp(&[3]), "axes"),
            (line!(), |g| _ = whole(g, &[2, 3]).sum_all(), "takes f32"),
            (line!(), |g| _ = whole(g, &[2, 3]).mean_all(), "takes f32"),
            (line!(), |g| _ = x(g, &[2, 3]).softmax(2), "no axis 2"),
            (line!(), |g| _ = x(g, &[2, 3]).log_softmax(2), "no axis 2"),
            (line!(), |g| _ = x(g, &[2, 3]).cross_entropy(x(g, &[3])), "cross_entropy"),
            (line!(), |g| _ = whole(g, &[2, 3]).moments(), "f32"),
            (line!(), |g| _ = whole(g, &[2, 3]).all_reduce(), "all_reduce: takes f32"),
            (line!(), |g| _ = x(g, &[4, 3]).batch_norm(x(g, &[2]), x(g, &[3]), 1e-5), ""),
            (line!(), |g| _ = x(g, &[2, 3]).matmul(x(g, &[4, 3])), "matmul"),
            (line!(), |g| _ = product(x(g, &[2, 3]), x(g, &[3, 3]), true, false), "matmul"),
            (
                line!(),
                |g| _ = spectral_norm(x(g, &[2, 3]), [x(g, &[2]); 2], 5, oneiro::nn::Mode::Batch)[0],
                "axis 5",
            ),
            (line!(), |g| _ = weight_norm(x(g, &[2, 3]), x(g, &[3]), &[1]), "weight_norm"),
            (line!(), |g| _ = x(g, &[1, 4, 4, 1]).conv2d(x(g, &[9, 2, 1]), &Kernel::same(3)), "conv2d"),
            (
                line!(),
                |g| _ = x(g, &[1, 4, 4, 1]).conv2d(x(g, &[16, 1, 1]), &Kernel::same(4)),
                "an odd size, not [4, 4]",
            ),
            (
                line!(),
                |g| _ = x(g, &[1, 4, 4, 1]).conv2d_transposed(x(g, &[9, 2, 2]), &Kernel::same(3), 0),
                "conv2d",
            ),
            (line!(), |g| _ = x(g, &[1, 4, 4, 1]).avg_pool(&Kernel::same(2)), "an odd size"),
            (
                line!(),
                |g| _ = x(g, &[1, 4, 4, 1]).avg_pool(&Kernel::square(2).padding(usize::MAX)),
                "is too large",
            ),
            (line!(), |g| _ = x(g, &[1, 4, 4, 1]).max_pool(&Kernel::square(usize::MAX)), "is too large"),
            (
                line!(),
                |g| _ = x(g, &[1, 4, 4, 1]).conv2d(x(g, &[9, 1, 1]), &Kernel::square(3).dilation(1 << 40)),
                "is too large",
            ),
            (
                line!(),
                |g| {
                    _ = x(g, &[1, 4, 4, 1]).conv2d_transposed(
                        x(g, &[9, 1, 1]),
                        &Kernel::square(3),
                        usize::MAX,
                    )
                },
                "makes nothing",
            ),
            (line!(), |g| _ = x(g, &[1, 4, 4, 1]).max_pool(&Kernel::square(5)), "does not fit"),
            (line!(), |g| _ = x(g, &[1, 4, 4, 1]).upsample_nearest(0), "and a factor"),
            (line!(), |g| _ = x(g, &[4, 4]).upsample_bilinear(2), "an f32 image"),
            (
                line!(),
                |g| _ = x(g, &[1, 2, 2, 6]).lstm(x(g, &[2, 2, 8]), Order::Diagonals),
                "takes f32 gates",
            ),
            (
                line!(),
                |g| _ = x(g, &[1, 4, 4, 1]).look(Wave { lag: 0, ..WAVE }, &[[0, 0]], g.step()),
                "has a 0",
            ),
            (
                line!(),
                |g| _ = x(g, &[1, 4, 4, 1]).place(Wave { counts: 0, ..WAVE }, x(g, &[4, 1]), g.step()),
                "has a 0",
            ),
            (
                line!(),
                |g| {
                    let none = Wave { lag: 0, ..WAVE };
                    _ = x(g, &[4, 1]).look_times(none, &[], x(g, &[1, 2]), g.step());
                },
                "has a 0",
            ),
            (
                line!(),
                |g| _ = x(g, &[1, 4, 4, 2]).look_times(WAVE, &[[0, 0]], x(g, &[3, 2]), g.step()),
                "1 to 64 taps",
            ),
            (
                line!(),
                |g| {
                    let far = Wave { lag: usize::MAX, counts: usize::MAX, ..WAVE };
                    _ = x(g, &[1, 4, 4, 1]).look(far, &[[0, 0]], g.step());
                },
                "is too large",
            ),
            (line!(), |g| _ = x(g, &[1, 4, 4, 1]).place_channel(WAVE, x(g, &[3, 1]), g.step()), "in flight"),
        ],
    );
}

#[test]
fn elements_and_draws_defer_mistakes() {
    check(
        file!(),
        &[
            (line!(), |g| _ = g.map("no such", &[x(g, &[2])]), "no elementwise function `no such`"),
            (line!(), |g| _ = g.map("add", &[x(g, &[2])]), "takes 2 tensors"),
            (line!(), |g| _ = g.map("add", &[]), "takes 2 tensors"),
            (line!(), |g| _ = x(g, &[2]) + x(g, &[3]), "do not broadcast"),
            (line!(), |g| _ = x(g, &[2]).select(x(g, &[3]), 0.0), "do not broadcast"),
            (line!(), |g| _ = x(g, &[2]).clamp(x(g, &[3]), 0.0), "do not broadcast"),
            (line!(), |g| _ = Activation::Tanh.apply(whole(g, &[2])), "takes f32"),
            (line!(), |g| _ = g.full([0], 1.0), "no elements"),
            (line!(), |g| _ = x(g, &[2]).dropout("d", 1.0), "dropout"),
            (line!(), |g| _ = (g.uniform("u", [2]), g.uniform("u", [2])), "used twice"),
            (line!(), |g| _ = g.normal("n", [0, 2]), "no elements"),
            (line!(), |g| _ = whole(g, &[2]).bernoulli("b"), "f32 probabilities"),
            (line!(), |g| _ = reparameterize("r", x(g, &[2]), x(g, &[3])), "reparameterize"),
            (line!(), |g| _ = x(g, &[2, 3]).pick(x(g, &[3])), "pick"),
            (line!(), |g| _ = x(g, &[2]).spread(x(g, &[2]), 0), "spread"),
            (line!(), |g| _ = x(g, &[2, 3]).draw_categorical(x(g, &[3])), "draw_categorical"),
            (line!(), |g| _ = x(g, &[2, 3]).gather_rows(whole(g, &[2]), 2), "gather"),
            (line!(), |g| _ = x(g, &[2, 3]).gather_rows_binarised(whole(g, &[2]), 2, "b"), "gather"),
            (line!(), |g| _ = x(g, &[2]).gather_labels(whole(g, &[2]), 2), "gather"),
            (line!(), |g| _ = whole(g, &[2]).one_hot(0), "one_hot"),
            (line!(), |g| _ = g.apply(OneHot { classes: 3 }, &[x(g, &[2])]), "one_hot"),
            (line!(), |g| _ = x(g, &[2]).to_f32(), ""),
            (line!(), |g| _ = x(g, &[2]).unit_f32(), ""),
            (line!(), |g| _ = x(g, &[1]).increment(), "increment"),
            (line!(), |g| _ = x(g, &[2]).record(&[x(g, &[3])]), "record"),
            (line!(), |g| _ = x(g, &[2]).detach() + x(g, &[3]), "do not broadcast"),
        ],
    );
    for row in TABLE {
        let g = Graph::new();
        let line = line!() + 1;
        let _ = g.map(row.name, &vec![g.input("u", Type { shape: [2].into(), dtype: DType::U8 }); row.arity]);
        let error = g.check().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}:{line}:", file!())) && error.contains("takes f32"), "{error}");
    }
}

#[test]
fn variables_and_optimizers_defer_mistakes() {
    check(
        file!(),
        &[
            (
                line!(),
                |g| {
                    let _ = g.param_in("v", Type::f32([2]), Init::Zeros, FileLayout::Same);
                    _ = g.declare(VarSpec::new("v", Type::f32([3]), Init::Zeros, Role::Buffer));
                },
                "declared twice",
            ),
            (line!(), |g| g.update(x(g, &[2]), |old| old + 1.0), "not a variable"),
            (line!(), |g| g.assign(g.var("v", Type::f32([2]), Init::Zeros), x(g, &[3])), "the value [3]"),
            (line!(), |g| g.output("y", Graph::new().constant(1.0)), "another graph"),
            (line!(), |g| _ = g.tensor(7) + 1.0, "no node 7"),
            (line!(), |g| _ = autodiff::grad(x(g, &[2]), &[Graph::new().constant(1.0)]), "another graph"),
            (line!(), |g| _ = autodiff::vjp(x(g, &[2]), x(g, &[3]), &[]), "the cotangent is [3]"),
            (line!(), |g| [(); 2].iter().for_each(|()| advance(g)), "assigned twice"),
            (
                line!(),
                |g| _ = Optimizer::adam(-1.0).step("o", g.constant(0.0), &[x(g, &[2])]),
                "at least 0, not -1",
            ),
            (line!(), |g| _ = Optimizer::adam(f32::NAN).step("o", g.constant(0.0), &[x(g, &[2])]), "not NaN"),
            (
                line!(),
                |g| _ = Optimizer::adamw(0.1, -0.5).step("o", g.constant(0.0), &[x(g, &[2])]),
                "weight decay",
            ),
            (
                line!(),
                |g| _ = Optimizer::sgd(0.1, 1.0).step("o", g.constant(0.0), &[x(g, &[2])]),
                "a momentum",
            ),
            (
                line!(),
                |g| _ = Optimizer::adam(0.1).betas(0.9, 1.0).step("o", g.constant(0.0), &[x(g, &[2])]),
                "a beta",
            ),
            (
                line!(),
                |g| _ = Optimizer::adam(0.1).ema(1.5).step("o", g.constant(0.0), &[x(g, &[2])]),
                "an average",
            ),
            (
                line!(),
                |g| _ = Optimizer::adam(0.1).clip_norm(0.0).step("o", g.constant(0.0), &[x(g, &[2])]),
                "a bound",
            ),
            (line!(), |g| _ = Optimizer::adam(0.1).step("o", g.constant(0.0), &[]), "no parameters"),
            (
                line!(),
                |g| {
                    let (beta1, beta2, weight_decay, decoupled) = (0.9, 0.9, 0.0, false);
                    let rule = Rule::Adam { beta1, beta2, eps: f64::NAN, weight_decay, decoupled };
                    _ = Optimizer::new(rule, 0.1).step("o", g.constant(0.0), &[x(g, &[2])]);
                },
                "Adam's eps is at least 0, not NaN",
            ),
            (line!(), |g| _ = Schedule::Exponential { per_step: 2.0 }.rate(g, 0.1), "in (0, 1], not 2"),
            (line!(), |g| _ = Schedule::Exponential { per_step: f64::NAN }.rate(g, 0.1), "not NaN"),
            (
                line!(),
                |g| _ = Schedule::Linear { steps: 3, floor: f32::NAN }.rate(g, 0.1),
                "in [0, 1], not NaN",
            ),
            (
                line!(),
                |g| {
                    let adam = Optimizer::adam(0.1).schedule(Schedule::Exponential { per_step: 2.0 });
                    _ = adam.step("o", g.constant(0.0), &[x(g, &[2])]);
                },
                "optimizer `o`: a schedule's factor",
            ),
        ],
    );
}

/// Calls that no argument makes wrong: what they take is right by its type.
const NEVER_WRONG: [&str; 5] = ["constant", "step", "seed", "poison", "apply_shared"];
/// Public functions that take or give tensors and record nothing, or report errors themselves.
const NO_RECORDING: [&str; 16] = [
    "params",
    "classifier_params",
    "weight",
    "bias",
    "graph",
    "is_bound",
    "eval",
    "initial",
    "cached",
    "has_labels",
    "has_levels",
    "latent",
    "name",
    "shared",
    "sharing",
    "output_padding",
];

/// A public function that has to do with tensors or graphs.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Recording {
    name: String,
    /// How it is called: `Type::name(`, `.name(` or `name(`.
    call: String,
    /// Whether it names the caller's line.
    names: bool,
}

/// How a function of this name and signature is called that stands behind `before` in its file.
fn call(before: &str, name: &str, signature: &str) -> String {
    let indented = before.rsplit('\n').next().is_some_and(str::is_empty);
    let of = before.rsplit_once("\nimpl").map_or("", |(_, of)| of);
    let of =
        if let Some(of) = of.strip_prefix('<') { of.split_once('>').map_or("", |(_, of)| of) } else { of };
    let of: String = of.trim_start().chars().take_while(|c| c.is_alphanumeric()).collect();
    match indented {
        true if signature.contains("self") => format!(".{name}("),
        true => format!("{of}::{name}("),
        false => format!("{name}("),
    }
}

/// Each public function that has to do with tensors or graphs.
fn recording_functions() -> BTreeSet<Recording> {
    let mut found = BTreeSet::new();
    let folders =
        ["src/nn", "src/models", "src/ops", "src/graph"].into_iter().flat_map(crate::tidy::rust_files);
    for file in folders.chain(["src/optim.rs".to_string()]) {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file)).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (at, _) in text.match_indices("    pub fn ").chain(text.match_indices("\npub fn ")) {
            let rest = text[at..].split_once("pub fn ").map_or("", |(_, rest)| rest);
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let signature = rest.split(['{', ';']).next().unwrap_or_default();
            let attributes = text[..at].rsplit("\n\n").next().unwrap_or_default();
            let names = attributes.rsplit('}').next().unwrap_or_default().contains("#[track_caller]");
            if !name.is_empty() && (names || signature.contains("Tensor<") || signature.contains("&'g Graph"))
            {
                let call = call(&text[..at], &name, signature);
                found.insert(Recording { name, call, names });
            }
        }
    }
    assert!(found.len() > 60, "{found:?}");
    found
}

/// What records names the user's line, and one of the tables above or in the other files of mistakes calls it
/// wrongly.
#[test]
fn every_recording_call_is_tried_wrongly() {
    let tables = [
        include_str!("ops.rs"),
        include_str!("../mistakes.rs"),
        include_str!("../../models/mistakes.rs"),
        include_str!("../../models/mistakes/players.rs"),
    ];
    let tables =
        tables.map(|text| text.split("fn ops_go_on_after_a_mistake").next().unwrap_or_default()).join("\n");
    let called = |call: &str| {
        let at = |(i, _): (usize, &str)| {
            call.starts_with('.') || !tables[..i].ends_with(|c: char| c.is_alphanumeric() || c == '_')
        };
        tables.match_indices(call).any(at)
    };
    for Recording { name, call, names } in recording_functions() {
        if NO_RECORDING.contains(&name.as_str()) || NEVER_WRONG.contains(&name.as_str()) {
            continue;
        }
        assert!(names, "`{call}` has no #[track_caller]");
        assert!(called(&call), "no table of mistakes calls `{call}`");
    }
}
