//! What PyTorch computed, and the protocol that compares it: from the same weights, images and noise, the
//! losses of training steps and the weights after them are PyTorch's. Scripts in `golden/` make the files;
//! images and noise come from an integer hash.

use crate::subjects::for_gpus;
use oneiro::{
    gpu::{Executor, Gpu, State},
    graph::{
        Graph, Origin,
        reference::{self, Values},
        shape::{Array, Shape},
        var::VarSpec,
    },
    kernel::caps::Caps,
    models::Metrics,
    optim::advance,
    plan::Plan,
    train::remember,
    weights::{self, Weights},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

/// The place of a file in `golden/`.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels-tests/golden").join(name)
}

/// The tensors of a file in `golden/`.
pub(crate) fn tensors(name: &str) -> Weights {
    weights::load(&path(name)).unwrap()
}

/// The numbers of a line of a text file in `golden/`: the one that starts with `start`.
pub(crate) fn numbers(name: &str, start: &str) -> Vec<f64> {
    let text = std::fs::read_to_string(path(name)).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(start)).unwrap();
    line.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

/// 24 bits of an element, by a hash that the scripts compute too.
pub(crate) fn bits(salt: u32, element: u32) -> u32 {
    let mut x = element.wrapping_mul(0x9E37_79B9).wrapping_add(salt.wrapping_mul(0x85EB_CA6B));
    x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
    x = (x ^ (x >> 15)).wrapping_mul(0x846C_A68B);
    (x ^ (x >> 16)) >> 8
}

/// `n` numbers in [0, 1).
pub(crate) fn unit(salt: u32, n: usize) -> Vec<f32> {
    (0..n as u32).map(|i| bits(salt, i) as f32 / 16_777_216.0).collect()
}

/// `n` numbers that are nearly normal: sums of three uniform ones.
pub(crate) fn noise(salt: u32, n: usize) -> Vec<f32> {
    let sum = |i| (0..3).map(|k| (bits(salt + k, i) >> 2) as f32).sum::<f32>();
    (0..n as u32).map(|i| (sum(i) / 4_194_304.0 - 1.5) * 2.0).collect()
}

/// Compares numbers by their relative errors.
pub(crate) fn close(what: &str, got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let error = (got - expected).abs() / expected.abs();
        assert!(error < tolerance, "{what} {i}: {got} instead of {expected} (relative error {error:.1e})");
    }
}

/// Ends the recording of a training step as runs end it: the step's metrics are remembered, its counter
/// advances.
pub(crate) fn ends(g: &Graph, metrics: &Metrics<'_>) {
    remember(g, metrics);
    advance(g);
}

/// A variable's first values as f64, in the engine's layout, from a file's tensor.
pub(crate) fn values(var: &VarSpec, tensors: &Weights) -> Array {
    let (shape, values) = tensors.get(&var.name).unwrap_or_else(|| panic!("no tensor `{}`", var.name));
    assert_eq!(*shape, var.layout.shape(&var.ty.shape), "{}", var.name);
    let places = var.layout.places(&var.ty.shape);
    Array::new(var.ty.shape.clone(), places.into_iter().map(|place| f64::from(values[place])).collect())
}

/// A graph's first State in f64, with weights from a file.
pub(crate) fn initial(graph: &Graph, tensors: &Weights) -> Values {
    let mut state = reference::initial(graph, 0);
    for var in graph.recording().vars.iter().filter(|var| var.role.is_weight()) {
        state.insert(var.name.clone(), values(var, tensors));
    }
    state
}

/// The variables with these names as a weights file holds them.
pub(crate) fn written(gpu: &Gpu, state: &State, names: &[String]) -> Weights {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let name = format!("written-{}.safetensors", FILES.fetch_add(1, Ordering::Relaxed));
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, weights::to_bytes(gpu, state, names).unwrap()).unwrap();
    weights::load(&path).unwrap()
}

/// Writes a file's tensors into a State, as runs do, and checks that they travel back unchanged: kept
/// elements as they were, those that a mask leaves out as zeros. `from` names the file in messages.
pub(crate) fn apply(gpu: &Gpu, state: &State, names: &[String], tensors: &Weights, from: &str) {
    let asked: Weights =
        names.iter().filter_map(|name| Some((name.clone(), tensors.get(name)?.clone()))).collect();
    weights::apply(gpu, state, names, &asked, &path(from)).unwrap();
    let back = written(gpu, state, names);
    assert_eq!(back.len(), names.len(), "{from}");
    for (name, ty) in state.names().filter(|(name, _)| names.iter().any(|n| n == name)) {
        let ((shape, ours), (wanted, theirs)) = (&back[name], &tensors[name]);
        assert_eq!(shape, wanted, "{name}");
        let kept = state.file_layout(name).unwrap().places(&ty.shape);
        for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
            let right = if kept.contains(&i) { a == b } else { *a == 0.0 };
            assert!(right, "{name}: element {i} is {a}, in {from} {b}");
        }
    }
}

/// The values of inputs by their names.
type Inputs = Vec<(&'static str, Vec<f32>)>;

/// A training run that PyTorch made too.
pub(crate) struct Trajectory {
    /// The graphs of a round in the order in which they run; the last one remembers what the round measured.
    pub(crate) round: Vec<Graph>,
    /// A graph that runs once after the last round, with the inputs of the next: its output `loss` is the
    /// last loss.
    pub(crate) evaluation: Option<Graph>,
    /// The number of rounds.
    pub(crate) rounds: u32,
    /// The inputs of a round; a graph takes those that it has. Recorded noise is an input by
    /// `Graph::bind_stream`.
    pub(crate) inputs: Box<dyn Fn(u32) -> Inputs>,
    /// The first weights by PyTorch's names, in its layouts.
    pub(crate) weights: Weights,
}

/// The result of a trajectory.
pub(crate) struct Played {
    /// The metrics of each round, the loss first.
    pub(crate) measured: Vec<Vec<f64>>,
    /// The evaluation's loss.
    evaluated: Option<f64>,
    /// The weights after the last round, in the engine's layouts.
    pub(crate) weights: BTreeMap<String, Vec<f64>>,
}

impl Played {
    /// The loss of each round, then that of the evaluation.
    fn losses(&self) -> Vec<f64> {
        self.measured.iter().map(|row| row[0]).chain(self.evaluated).collect()
    }
}

impl Trajectory {
    /// The variables that are the model's weights, by name.
    pub(crate) fn variables(&self) -> BTreeMap<String, VarSpec> {
        let graphs = self.round.iter().chain(&self.evaluation);
        let vars = graphs.flat_map(|g| g.recording().vars.clone());
        vars.filter(|v| v.role.is_weight()).map(|v| (v.name.clone(), v)).collect()
    }

    /// Plays all rounds on the f64 reference.
    pub(crate) fn on_reference(&self) -> Played {
        let mut state = Values::new();
        self.round.iter().chain(&self.evaluation).for_each(|g| state.extend(initial(g, &self.weights)));
        for round in 0..self.rounds {
            for graph in &self.round {
                reference::eval(graph, &self.values(graph, round), &mut state).unwrap();
            }
        }
        let evaluate = |g: &Graph| reference::eval(g, &self.values(g, self.rounds), &mut state).unwrap();
        let evaluated = self.evaluation.as_ref().map(evaluate).map(|outputs| outputs["loss"].data[0]);
        let weights = self.variables().into_keys().map(|name| (name.clone(), state[&name].data.clone()));
        Played { measured: self.rows(&state["history"].data), evaluated, weights: weights.collect() }
    }

    /// Plays all rounds on the adapter, by plans for `caps`.
    pub(crate) fn on_adapter(&self, gpu: &Gpu, caps: &Caps) -> Played {
        let graphs = self.round.iter().chain(&self.evaluation);
        let plans: Vec<Plan> = graphs.map(|g| Plan::new(g, caps).unwrap()).collect();
        let state = State::new(gpu, &plans.iter().collect::<Vec<_>>(), 0).unwrap();
        let names: Vec<String> = self.variables().into_keys().collect();
        apply(gpu, &state, &names, &self.weights, "weights.safetensors");
        let ready = |plan: &Plan| Executor::new(gpu, plan, &state, &[]).unwrap();
        let executors: Vec<Executor> = plans.iter().map(ready).collect();
        let write = |plan: &Plan, executor: &Executor, round: u32| {
            let takes = |name: &str| plan.inputs.iter().any(|(n, _)| n == name);
            let inputs = (self.inputs)(round).into_iter().filter(|(name, _)| takes(name));
            inputs.for_each(|(name, values)| executor.write(gpu, name, &values).unwrap());
        };
        let players = || plans.iter().zip(&executors);
        for round in 0..self.rounds {
            players().take(self.round.len()).for_each(|(plan, executor)| write(plan, executor, round));
            let round = &executors[..self.round.len()];
            gpu.submit(|encoder| round.iter().try_for_each(|executor| executor.record(encoder))).unwrap();
        }
        let evaluated = players().nth(self.round.len()).map(|(plan, executor)| {
            write(plan, executor, self.rounds);
            executor.step(gpu).unwrap();
            f64::from(executor.read(gpu, "loss").unwrap()[0])
        });
        let read = |name: &str| state.read(gpu, name).unwrap().into_iter().map(f64::from).collect::<Vec<_>>();
        let weights = names.iter().map(|name| (name.clone(), read(name))).collect();
        Played { measured: self.rows(&read("history")), evaluated, weights }
    }

    /// Compares the losses of the reference with PyTorch's, to the rounding of f64.
    pub(crate) fn check_reference(&self, what: &str, losses: &[f64]) {
        close(&format!("{what}: loss"), &self.on_reference().losses(), losses, 1e-9);
    }

    /// Compares the losses of the adapter with PyTorch's: by its own kernels, and by those for GPUs on
    /// whatever adapter there is.
    pub(crate) fn check_adapter(&self, gpu: &Gpu, what: &str, losses: &[f64]) {
        for caps in [gpu.caps().clone(), for_gpus(gpu.caps())] {
            let name = format!("{what} ({:?} kernels): loss", caps.class);
            close(&name, &self.on_adapter(gpu, &caps).losses(), losses, 1e-4);
        }
    }

    /// The inputs of a graph in a round, as the reference takes them.
    pub(crate) fn values(&self, graph: &Graph, round: u32) -> Values {
        let recording = graph.recording();
        let shape = |name: &str| -> Option<Shape> {
            let node = recording.nodes.iter().find(|n| matches!(&n.origin, Origin::Input(i) if i == name));
            node.map(|node| node.ty.shape.clone())
        };
        let array = |(name, values): (&str, Vec<f32>)| {
            let data = values.into_iter().map(f64::from).collect();
            Some((name.to_string(), Array::new(shape(name)?, data)))
        };
        (self.inputs)(round).into_iter().filter_map(array).collect()
    }

    /// The rows of the variable `history` that the rounds have written.
    fn rows(&self, history: &[f64]) -> Vec<Vec<f64>> {
        let recording = self.round.last().expect("a round has a graph").recording();
        let var = recording.vars.iter().find(|v| v.name == "history").expect("the round is remembered");
        assert!(self.rounds as usize <= var.ty.shape[0]);
        history.chunks(var.ty.shape[1]).take(self.rounds as usize).map(<[f64]>::to_vec).collect()
    }
}
