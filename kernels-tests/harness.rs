//! One declaration per case drives everything: a graph with an output `y` and a way to fill its inputs.
//! On the adapter, every plan that differs between kernel classes runs three times with garbage in all
//! unwritten memory, and the last run is compared with the f64 reference. On the CPU, the same graph's
//! first and second derivatives are compared with central differences.

pub(crate) mod coverage;
mod derivatives;
mod sentinel;

pub(crate) use derivatives::{check_derivatives, differences};

use coverage::Kernel;
use oneiro::{
    gpu::{Choice, Executor, Gpu, State},
    graph::{
        Graph, Origin, Tensor, autodiff,
        reference::{self, Values},
        shape::{Array, DType, Type},
    },
    kernel::{
        caps::{AdapterClass, Caps},
        power::POWERS,
    },
    plan::{Launch, Plan},
    rng::{self, RandomStream},
};
use sentinel::Guarded;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    sync::OnceLock,
    time::Instant,
};

/// The runs of one executor, the last of which is compared.
pub(crate) const RUNS: usize = 3;
/// The distance of the NaNs in inputs that have some.
const HOLES: usize = 29;
const SEED: u64 = 0x5eed_0123_4567_89ab;

/// Prints to the terminal, although libtest hides what passing tests print.
pub(crate) fn say(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// The adapter that all tests share; `None` when the user opted out.
pub(crate) fn gpu() -> Option<&'static Gpu> {
    static GPU: OnceLock<Option<Gpu>> = OnceLock::new();
    let open = || {
        if std::env::var("ONEIRO_SKIP_GPU").is_ok_and(|v| v == "1") {
            say(
                "SKIPPED by ONEIRO_SKIP_GPU=1: all kernels and plans on an adapter; nothing was compared there",
            );
            return None;
        }
        let choice = std::env::var("ONEIRO_ADAPTER").map_or(Choice::Best, Choice::Named);
        let gpu = Gpu::headless_blocking(&choice)
            .unwrap_or_else(|e| panic!("{e}\n(ONEIRO_SKIP_GPU=1 skips the tests that need an adapter)"));
        say(&format!("adapter: {} ({}, {})", gpu.caps().name, gpu.caps().backend, gpu.caps().driver.trim()));
        Some(gpu)
    };
    GPU.get_or_init(open).as_ref()
}

/// How an input is filled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fill {
    /// Uniform in a range.
    Uniform(f64, f64),
    /// Either sign, with absolute values whose logarithms are uniform in a range.
    Magnitude(f64, f64),
    /// Whole numbers in `low..high`, so that values occur twice.
    Whole(u32, u32),
    /// Each of the numbers 0..n once.
    Permutation,
}

/// A graph whose results are compared with the reference.
pub(crate) struct Case {
    /// The line of the report that counts it.
    pub(crate) op: String,
    /// The shapes, for messages.
    pub(crate) label: String,
    build: Box<dyn Fn(&Graph)>,
    fills: BTreeMap<&'static str, Fill>,
    fixed: Vec<&'static str>,
    holes: Vec<&'static str>,
    once: bool,
    state: BTreeMap<&'static str, Vec<f64>>,
    tolerance: (f64, f64),
    workgroup: Option<usize>,
    /// A judge of results that differ from the reference.
    pub(crate) judge: Option<Box<Judge>>,
}

/// Whether a result is right, from the inputs, the element's place, and the value that was computed.
pub(crate) type Judge = dyn Fn(&Values, usize, f64) -> bool;

impl Case {
    /// A case whose graph `build` records; it names the results.
    pub(crate) fn new(
        op: impl Into<String>,
        label: impl Into<String>,
        build: impl Fn(&Graph) + 'static,
    ) -> Self {
        Self {
            op: op.into(),
            label: label.into(),
            build: Box::new(build),
            fills: BTreeMap::new(),
            fixed: vec![],
            holes: vec![],
            once: false,
            state: BTreeMap::new(),
            tolerance: (1e-6, 1e-5),
            workgroup: None,
            judge: None,
        }
    }

    /// Only the first derivative is compared, where the second is not offered.
    pub(crate) fn once(self) -> Self {
        Self { once: true, ..self }
    }

    /// Fills an input in another way than uniformly in [-2, 2).
    pub(crate) fn fill(mut self, input: &'static str, fill: Fill) -> Self {
        self.fills.insert(input, fill);
        self
    }

    /// Names an input that is not differentiated.
    pub(crate) fn fixed(mut self, input: &'static str) -> Self {
        self.fixed.push(input);
        self
    }

    /// Puts a NaN at the first of every [`HOLES`] elements of an input.
    pub(crate) fn holes(mut self, input: &'static str) -> Self {
        self.label += &format!(", {input} with NaNs");
        self.holes.push(input);
        self
    }

    /// Gives a variable its first value.
    pub(crate) fn state(mut self, name: &'static str, values: impl Into<Vec<f64>>) -> Self {
        self.state.insert(name, values.into());
        self
    }

    /// Sets the absolute and relative tolerance of f32 results.
    pub(crate) fn tolerance(mut self, absolute: f64, relative: f64) -> Self {
        self.tolerance = (absolute, relative);
        self
    }

    /// Widens the tolerances by √k, for sums of `k` terms.
    pub(crate) fn terms(mut self, k: usize) -> Self {
        let root = (k as f64).sqrt();
        self.tolerance = (self.tolerance.0 * root, self.tolerance.1 * root);
        self
    }

    /// Runs 1-D kernels with such small workgroups that more than 65,535 of them are needed.
    pub(crate) fn many_workgroups(mut self, workgroup: usize) -> Self {
        self.workgroup = Some(workgroup);
        self
    }

    /// Whether [`Case::many_workgroups`] was asked for, which takes minutes where barriers are slow.
    pub(crate) fn has_many_workgroups(&self) -> bool {
        self.workgroup.is_some()
    }

    /// Lets a judge accept results that differ from the reference.
    pub(crate) fn judge(mut self, judge: impl Fn(&Values, usize, f64) -> bool + 'static) -> Self {
        self.judge = Some(Box::new(judge));
        self
    }

    fn name(&self) -> String {
        format!("{} {}", self.op, self.label)
    }

    fn graph(&self) -> Graph {
        let graph = Graph::new();
        (self.build)(&graph);
        graph.check().unwrap_or_else(|e| panic!("{}: {e}", self.name()));
        graph
    }

    /// The case's plan for an adapter.
    pub(crate) fn plan(&self, caps: &Caps) -> Plan {
        Plan::new(&self.graph(), caps).unwrap_or_else(|e| panic!("{}: {e}", self.name()))
    }

    fn input(&self, name: &str, ty: &Type) -> Array {
        let key = RandomStream::new(&format!("{name}/{}", self.name())).key([7, 11]);
        let unit = |i: usize| f64::from(rng::uniform(key, 0, i as u32));
        let default = if ty.dtype == DType::F32 { Fill::Uniform(-2.0, 2.0) } else { Fill::Whole(0, 256) };
        let mut array = match self.fills.get(name).copied().unwrap_or(default) {
            Fill::Uniform(low, high) => {
                Array::from_fn(ty.shape.clone(), |i| f64::from((low + (high - low) * unit(i)) as f32))
            }
            Fill::Magnitude(low, high) => Array::from_fn(ty.shape.clone(), |i| {
                let (sign, u) = (if unit(i) < 0.5 { -1.0 } else { 1.0 }, 2.0 * unit(i) % 1.0);
                f64::from((sign * (low.ln() + (high / low).ln() * u).exp()) as f32)
            }),
            Fill::Whole(low, high) => Array::from_fn(ty.shape.clone(), |i| {
                f64::from(low) + (unit(i) * f64::from(high - low)).floor()
            }),
            Fill::Permutation => {
                let mut order: Vec<usize> = (0..ty.shape.numel()).collect();
                order.sort_by(|&a, &b| unit(a).total_cmp(&unit(b)));
                Array::from_fn(ty.shape.clone(), |i| order[i] as f64)
            }
        };
        if self.holes.contains(&name) {
            array.data.iter_mut().step_by(HOLES).for_each(|x| *x = f64::NAN);
        }
        array
    }

    fn inputs(&self, graph: &Graph) -> Values {
        let nodes = graph.recording().nodes.clone();
        let input = |n: oneiro::graph::Node| {
            if let Origin::Input(name) = n.origin {
                Some((name.clone(), self.input(&name, &n.ty)))
            } else {
                None
            }
        };
        nodes.into_iter().filter_map(input).collect()
    }

    fn initial(&self, graph: &Graph) -> Values {
        let mut state = reference::initial(graph, SEED);
        for (&name, values) in &self.state {
            let shape = state
                .get(name)
                .unwrap_or_else(|| panic!("{}: no variable `{name}`", self.name()))
                .shape
                .clone();
            state.insert(name.into(), Array::new(shape, values.clone()));
        }
        state
    }
}

/// A `y` that is linear in `x`, at least piece by piece: of order 0 itself, of order 1 its gradient by x, of
/// order 2 the gradient of the gradient by the cotangent.
pub(crate) fn of_order<'g>(g: &'g Graph, x: Tensor<'g>, y: Tensor<'g>, order: usize) -> Tensor<'g> {
    if order == 0 {
        return y;
    }
    let dy = g.input("dy", y.ty());
    let dx = autodiff::vjp(y, dy, &[x])[0];
    if order == 1 { dx } else { autodiff::vjp(dx, g.input("ddx", x.ty()), &[dy])[0] }
}

/// An array's elements as the device holds them.
pub(crate) fn bytes(array: &Array, dtype: DType) -> Vec<u8> {
    let words = |f: &dyn Fn(f64) -> u32| array.data.iter().flat_map(|&x| f(x).to_le_bytes()).collect();
    match dtype {
        DType::F32 => words(&|x| (x as f32).to_bits()),
        DType::U32 => words(&|x| x as u32),
        DType::U8 => array.data.iter().map(|&x| x as u8).collect(),
    }
}

fn value(word: u32, dtype: DType) -> f64 {
    if dtype == DType::F32 { f64::from(f32::from_bits(word)) } else { f64::from(word) }
}

/// The adapter's capabilities, and those that lead to other kernels, which the adapter can run as well.
fn classes(caps: &Caps) -> Vec<Caps> {
    let class = |class| Caps { class, ..caps.clone() };
    let mut all = vec![caps.clone(), class(AdapterClass::Cpu), class(AdapterClass::Gpu)];
    all.extend(caps.powers.iter().map(|power| class(AdapterClass::Cpu).without(power)));
    all
}

/// A text that is equal for two plans if their kernels are.
fn identity(plan: &Plan) -> String {
    let launch = |l: &Launch| {
        format!("{} {} {:?} {:?} {:?} {:?}", l.shader.stem, l.entry, l.function, l.constants, l.grid, l.dims)
    };
    plan.launches.iter().map(launch).collect::<Vec<_>>().join("\n")
}

/// The number of cases of each op, and its worst error. Results that are wrong fail the test when the report
/// goes out of scope, so that one run on a new adapter lists them all.
#[derive(Default)]
pub(crate) struct Report {
    lines: BTreeMap<String, (usize, f64)>,
    ran: BTreeSet<Kernel>,
    wrong: Vec<String>,
}

impl Drop for Report {
    fn drop(&mut self) {
        let shown = self.wrong.iter().take(100).map(String::as_str).collect::<Vec<_>>().join("\n");
        let right = self.wrong.is_empty() || std::thread::panicking();
        assert!(right, "{} results are wrong:\n{shown}", self.wrong.len());
    }
}

impl Report {
    /// Compares all cases of a family.
    pub(crate) fn family(&mut self, gpu: &Gpu, name: &str, cases: &[Case]) {
        let (start, before, pipelines) = (Instant::now(), self.compared(), gpu.pipelines());
        cases.iter().for_each(|case| self.compare(gpu, case));
        let (count, made, time) =
            (self.compared() - before, gpu.pipelines() - pipelines, start.elapsed().as_secs_f64());
        say(&format!("{name}: {count} cases, {made} pipelines, {time:.1} s"));
    }

    /// The number of cases so far.
    pub(crate) fn compared(&self) -> usize {
        self.lines.values().map(|line| line.0).sum()
    }

    /// Runs a case on every kernel class whose plan differs.
    pub(crate) fn compare(&mut self, gpu: &Gpu, case: &Case) {
        let graph = case.graph();
        let (inputs, start) = (case.inputs(&graph), case.initial(&graph));
        let (mut state, mut wanted) = (start.clone(), Values::new());
        let runs = if graph.recording().assigns.is_empty() { 1 } else { RUNS };
        for _ in 0..runs {
            wanted = reference::eval(&graph, &inputs, &mut state)
                .unwrap_or_else(|e| panic!("{}: {e}", case.name()));
        }
        let mut seen = BTreeSet::new();
        for caps in classes(gpu.caps()) {
            let mut plan = Plan::new(&graph, &caps).unwrap_or_else(|e| panic!("{}: {e}", case.name()));
            if !seen.insert(identity(&plan)) {
                continue;
            }
            case.workgroup.into_iter().for_each(|w| sentinel::shrink(&mut plan, w, &case.name()));
            let launched: Vec<Kernel> = coverage::kernels(&plan).collect();
            let (got, after) = run(gpu, &graph, plan, &inputs, &start, &case.name());
            self.ran.extend(launched);
            let mut worst: f64 = 0.0;
            for (name, ty, values) in got.iter().chain(&after) {
                let want = wanted
                    .get(name)
                    .filter(|_| got.iter().any(|g| g.0 == *name))
                    .unwrap_or_else(|| &state[name]);
                match check(case, &inputs, (ty, values), want) {
                    Ok(error) => worst = worst.max(error),
                    Err(text) => {
                        let (class, powers) = (caps.class, &caps.powers);
                        let of = format!("{} (class {class:?}, powers {powers:?}), `{name}`", case.name());
                        self.wrong.push(format!("{of} {ty:?}: {text}"));
                    }
                }
            }
            let line = self.lines.entry(case.op.clone()).or_default();
            *line = (line.0 + 1, line.1.max(worst));
        }
    }

    /// Prints the number of cases and the worst error of each op.
    pub(crate) fn print(&self) {
        let mut text = format!("{:<28} {:>5}  worst |got - want| / (1 + |want|)\n", "op", "cases");
        self.lines
            .iter()
            .for_each(|(op, (count, worst))| text += &format!("{op:<28} {count:>5}  {worst:.1e}\n"));
        text +=
            &format!("{} entry points ran\n{} op x shape cases compared", self.ran.len(), self.compared());
        say(&text);
    }

    /// Fails for a kernel that this adapter's planners choose for one of the cases and that did not run.
    pub(crate) fn assert_every_choice_ran(&self, gpu: &Gpu, cases: &[Case]) {
        let chosen = coverage::chosen(cases, &classes(gpu.caps()));
        let missed: Vec<_> = chosen.difference(&self.ran).collect();
        assert!(missed.is_empty(), "chosen on this adapter, but no case ran {missed:?}");
        for power in POWERS.iter().filter(|power| !gpu.caps().powers.contains(&power.name)) {
            say(&format!(
                "not run: the kernels that need `{}`, which this adapter does not have",
                power.name
            ));
        }
    }
}

/// Compares one result with the reference; returns its worst error, or the first element that is wrong.
fn check(case: &Case, inputs: &Values, (ty, got): (&Type, &[f64]), want: &Array) -> Result<f64, String> {
    let (absolute, relative) = if ty.dtype == DType::F32 { case.tolerance } else { (0.0, 0.0) };
    let mut worst: f64 = 0.0;
    for (i, (&a, &b)) in got.iter().zip(&want.data).enumerate() {
        let error = (a - b).abs();
        let near = || {
            error <= absolute + relative * b.abs()
                || case.judge.as_ref().is_some_and(|judge| judge(inputs, i, a))
        };
        if !(if b.is_nan() { a.is_nan() } else { !a.is_nan() && near() }) {
            return Err(format!("element {i} is {a}, the reference {b}"));
        }
        worst = if case.judge.is_some() { worst } else { worst.max(error / (1.0 + b.abs())) };
    }
    Ok(worst)
}

/// Results by name.
pub(crate) type Results = Vec<(String, Type, Vec<f64>)>;

/// Runs a plan [`RUNS`] times between sentinels; returns the last run's outputs, and the variables after it.
pub(crate) fn run(
    gpu: &Gpu,
    graph: &Graph,
    plan: Plan,
    inputs: &Values,
    start: &Values,
    name: &str,
) -> (Results, Results) {
    let fail = |e: oneiro::error::Error| -> ! { panic!("{name}: {e}") };
    let guarded = Guarded::new(graph, plan, name);
    let plan = &guarded.plan;
    let state = State::new(gpu, &[plan], SEED).unwrap_or_else(|e| fail(e));
    for var in &plan.vars {
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(&bytes(&start[&var.name], var.ty.dtype));
        state.write_words(gpu, &var.name, &words).unwrap_or_else(|e| fail(e));
    }
    let buffers: Vec<_> = plan
        .inputs
        .iter()
        .map(|(n, ty)| (n.as_str(), sentinel::upload(gpu, n, bytes(&inputs[n], ty.dtype), ty)))
        .collect();
    let host: Vec<_> = buffers.iter().map(|(n, b)| (*n, b.slice(..))).collect();
    let executor = Executor::new(gpu, plan, &state, &host).unwrap_or_else(|e| fail(e));
    guarded.poison(gpu, &executor);
    // Alone, ranks exchange nothing, so that a step may be recorded in one part.
    let whole = 0..executor.labels().len();
    gpu.submit(|encoder| (0..RUNS).try_for_each(|_| executor.record_part(encoder, whole.clone()))).unwrap();
    gpu.wait().unwrap_or_else(|e| fail(e));
    guarded.check(gpu, &executor, name);
    let floats = |words: Vec<u32>, dtype| words.into_iter().map(|w| value(w, dtype)).collect();
    let output = |o: &oneiro::plan::Output| {
        let words = executor.read_words(gpu, &o.name).unwrap_or_else(|e| fail(e));
        (o.name.clone(), o.ty.clone(), floats(words, o.ty.dtype))
    };
    let var = |v: &oneiro::graph::var::VarSpec| {
        let words = state.read_words(gpu, &v.name).unwrap_or_else(|e| fail(e));
        (v.name.clone(), v.ty.clone(), floats(words, v.ty.dtype))
    };
    (plan.outputs.iter().map(output).collect(), plan.vars.iter().map(var).collect())
}
