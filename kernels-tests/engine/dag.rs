//! Random graphs, planned and executed against the reference: shared subexpressions, views of views of up to
//! six axes, several outputs, gradients, variables that swap or are updated in place over several steps. What
//! fusion, scheduling and slot sharing may get wrong shows up as a wrong number here.

use crate::harness::{self, Case, Report};
use oneiro::{
    graph::{
        Graph, Tensor, autodiff,
        shape::{Shape, Type},
        var::Init,
    },
    rng,
};

/// The number of graphs, and of the ops of each.
const GRAPHS: u32 = 300;
const OPS: usize = 24;
/// Most axes and most elements of a tensor that does not come from a bigger one.
const RANK: usize = 6;
const ELEMENTS: usize = 2_000;
/// Values stay below this bound, so that errors in f32 stay small.
const BOUND: f64 = 4.0;

/// A graph under construction: its values with bounds of their magnitude.
struct Builder<'g> {
    graph: &'g Graph,
    key: [u32; 2],
    draws: u32,
    pool: Vec<(Tensor<'g>, f64)>,
}

impl<'g> Builder<'g> {
    fn below(&mut self, n: usize) -> usize {
        self.draws += 1;
        rng::threefry2x32(self.key, [0, self.draws])[0] as usize % n
    }

    /// A value that exists, more often a later one.
    fn any(&mut self) -> (Tensor<'g>, f64) {
        let n = self.pool.len();
        let i = self.below(n).max(self.below(n));
        self.pool[i]
    }

    fn shape(&mut self) -> Shape {
        let rank = 1 + self.below(RANK);
        let mut shape = vec![];
        for _ in 0..rank {
            let room = ELEMENTS / shape.iter().product::<usize>();
            let extent = [1, 2, 3, 4, 5, 8, 12, 17][self.below(if rank > 3 { 5 } else { 8 })];
            shape.push(extent.min(room));
        }
        shape.into()
    }

    /// A value that broadcasts with this shape, or a new input, perhaps of some of its axes only.
    fn partner(&mut self, shape: &Shape) -> (Tensor<'g>, f64) {
        let fits: Vec<_> = self
            .pool
            .iter()
            .copied()
            .filter(|(t, _)| shape.broadcast(&t.shape()).is_some_and(|s| s.numel() <= 2 * ELEMENTS))
            .collect();
        match self.below(6) {
            0 => self.input(shape.clone()),
            1 => {
                let kept: Vec<usize> =
                    shape.iter().map(|&n| if self.below(2) == 0 { n } else { 1 }).collect();
                let inner = self.below(shape.len().max(1));
                self.input(kept[inner.min(kept.len())..].into())
            }
            _ if fits.is_empty() => self.input(shape.clone()),
            _ => fits[self.below(fits.len())],
        }
    }

    fn input(&mut self, shape: Shape) -> (Tensor<'g>, f64) {
        let name = format!("x{}", self.draws);
        (self.graph.input(&name, Type::f32(shape)), 2.0)
    }

    fn unary(&mut self, (x, bound): (Tensor<'g>, f64)) -> (Tensor<'g>, f64) {
        match self.below(7) {
            0 => (x.tanh(), 1.0),
            1 => (x.sigmoid(), 1.0),
            2 => (x.relu(), bound),
            3 => (x.softplus(), bound + 0.7),
            4 => (-x, bound),
            5 => (x.square(), bound * bound),
            _ => (x * 0.5 + 0.25, bound * 0.5 + 0.25),
        }
    }

    fn binary(&mut self, (x, a): (Tensor<'g>, f64)) -> (Tensor<'g>, f64) {
        let (y, b) = self.partner(&x.shape());
        match self.below(6) {
            0 => (x + y, a + b),
            1 => (x - y, a + b),
            2 => (x * y, a * b),
            3 => (x.graph().map("max", &[x, y]), a.max(b)),
            4 => (x.graph().map("min", &[y, x]), a.max(b)),
            _ => (x.sigmoid() * y + x, a + b),
        }
    }

    /// A view, and often a view of that, and so on.
    fn view(&mut self, (mut x, bound): (Tensor<'g>, f64)) -> (Tensor<'g>, f64) {
        loop {
            x = self.one_view(x);
            if self.below(3) == 0 {
                return (x, bound);
            }
        }
    }

    fn one_view(&mut self, x: Tensor<'g>) -> Tensor<'g> {
        let shape = x.shape();
        let (rank, small) = (shape.len(), shape.numel() <= ELEMENTS / 2);
        let axis = self.below(rank.max(1));
        match self.below(11) {
            _ if shape.is_empty() => x.broadcast_to([3, 4]),
            0 => x.reshape([shape.numel()]),
            1 => x.reshape([1, shape.numel(), 1]),
            2 if rank > 1 => x.transpose(0, rank - 1),
            3 if shape[axis] > 1 => {
                let start = self.below(shape[axis] - 1);
                x.slice(axis, start..shape[axis])
            }
            4 if small && rank < RANK => {
                x.reshape([&[1][..], &shape[..]].concat()).broadcast_to([&[2][..], &shape[..]].concat())
            }
            5 if small => x.pad(axis, self.below(3), self.below(5)),
            6 if small => x.graph().concat(&[x, x.tanh()], axis),
            7 if shape[axis] > 1 => {
                x.slice(axis, 1..shape[axis]).reshape([1, shape.numel() / shape[axis] * (shape[axis] - 1)])
            }
            8 => {
                let mut axes: Vec<usize> = (0..rank).collect();
                (1..rank).for_each(|i| axes.swap(i, self.below(i + 1)));
                x.permute(&axes)
            }
            // An axis in two: the outer one inwards, or each element of it repeated.
            9 if rank < RANK && shape[axis] > 1 => {
                let outer = [2, 3].into_iter().find(|n| shape[axis].is_multiple_of(*n)).unwrap_or(1);
                let inner = shape[axis] / outer;
                x.reshape([&shape[..axis], &[outer, inner], &shape[axis + 1..]].concat())
                    .transpose(axis, axis + 1)
            }
            10 if small && rank < RANK => {
                let apart = |n| [&shape[..=axis], &[n], &shape[axis + 1..]].concat();
                x.reshape(apart(1)).broadcast_to(apart(2))
            }
            _ => x.reshape([shape.numel(), 1]),
        }
    }

    fn reduce(&mut self, (x, bound): (Tensor<'g>, f64)) -> (Tensor<'g>, f64) {
        let shape = x.shape();
        if shape.is_empty() {
            return (x.tanh(), 1.0);
        }
        let axis = self.below(shape.len());
        match self.below(4) {
            0 => (x.mean(&[axis]), bound),
            1 => (x.max_over(&[axis]), bound),
            2 => (x.softmax(axis), 1.0),
            _ => (x.mean_all(), bound),
        }
    }

    fn product(&mut self, (x, bound): (Tensor<'g>, f64)) -> (Tensor<'g>, f64) {
        let n = x.shape().numel();
        let rows = [4, 3, 2, 1].into_iter().find(|r| n.is_multiple_of(*r)).unwrap_or(1);
        let (k, columns) = (n / rows, [1, 4, 7, 8][self.below(4)]);
        let (w, _) = self.input([k, columns].into());
        ((x.reshape([rows, k]).matmul(w) * (1.0 / k as f32)).tanh(), bound.min(1.0))
    }

    /// Records one more value, made of those that exist.
    fn grow(&mut self) {
        let x = self.any();
        let (y, bound) = match self.below(10) {
            0..=2 => self.unary(x),
            3..=5 => self.binary(x),
            6..=7 => self.view(x),
            8 => self.reduce(x),
            _ => self.product(x),
        };
        let y = if bound > BOUND { (y * (1.0 / bound) as f32, 1.0) } else { (y, bound) };
        self.pool.push(y);
    }

    /// An expression of the variable's shape.
    fn of_shape(&mut self, shape: &Shape) -> Tensor<'g> {
        let (x, _) = self.any();
        let all = x.mean_all();
        let fits: Vec<_> = self.pool.iter().map(|p| p.0).filter(|t| t.shape() == *shape).collect();
        if fits.is_empty() {
            all.broadcast_to(shape.clone())
        } else {
            fits[self.below(fits.len())].tanh() + all
        }
    }

    /// Assigns three variables of one shape: by a swap, an update from itself, or a new value.
    fn assign(&mut self, vars: [Tensor<'g>; 3]) {
        let [a, b, c] = vars;
        let shape = a.shape();
        match self.below(4) {
            0 => {
                self.graph.assign(a, b);
                self.graph.assign(b, a);
            }
            1 => self.graph.assign(a, (a * 0.5 + b).tanh()),
            2 => {
                self.graph.assign(b, a.t().reshape(shape.clone()).tanh());
                self.graph.assign(a, b + 0.125);
            }
            _ => {
                let value = self.of_shape(&shape).tanh();
                self.graph.assign(a, value);
                self.graph.assign(b, value);
            }
        }
        let value = self.of_shape(&shape);
        self.graph.assign(c, (c + value).tanh());
    }
}

/// Records the graph with this number.
fn record(graph: &Graph, number: u32) {
    let mut b = Builder { graph, key: [number, 0xda6], draws: 0, pool: vec![] };
    let shape = [2 + b.below(4), 3 + b.below(6)];
    let vars = ["a", "b", "c"].map(|name| graph.var(name, Type::f32(shape), Init::Normal(0.0, 0.5)));
    b.pool.extend(vars.map(|v| (v, 2.0)));
    for _ in 0..3 {
        let shape = b.shape();
        let x = b.input(shape);
        b.pool.push(x);
    }
    (0..OPS).for_each(|_| b.grow());
    // The same subexpression again, recorded anew.
    let (x, _) = b.any();
    graph.output("again", (x.tanh() + 1.0) * (x.tanh() + 1.0));
    // Views of the value of most axes, which nothing but elementwise functions reads.
    let x = b.pool.iter().copied().max_by_key(|(x, _)| x.shape().len()).expect("the pool holds values");
    let (once, again) = (b.view(x), b.view(x));
    graph.output("seen", (once.0.tanh() + 0.5).square());
    graph.output("seen beside", b.binary(again).0);
    for i in 0..1 + b.below(4) {
        let (x, _) = b.any();
        graph.output(&format!("out {i}"), x);
    }
    if b.below(2) == 0 {
        let loss = b.pool[b.pool.len() - 1].0.mean_all() + vars[0].square().mean_all();
        let grads = autodiff::grad(loss, &vars);
        if b.below(2) == 0 {
            graph.output("grads", graph.pack(&grads));
        } else {
            grads.iter().enumerate().for_each(|(i, g)| graph.output(&format!("grad {i}"), *g));
        }
    }
    if b.below(4) > 0 {
        b.assign(vars);
    } else {
        graph.output("old", vars[0]);
        graph.assign(vars[0], (vars[0] + vars[1]).tanh());
    }
    graph.assign(graph.step(), graph.step().increment());
}

#[test]
fn random_graphs_compute_what_the_reference_does() {
    let Some(gpu) = harness::gpu() else { return };
    let cases: Vec<Case> = (0..GRAPHS)
        .step_by(harness::coverage::sample())
        .map(|i| Case::new("random graph", format!("{i}"), move |g| record(g, i)).tolerance(2e-5, 2e-4))
        .collect();
    let mut report = Report::default();
    report.family(gpu, "random graphs", &cases);
    assert!(report.compared() >= cases.len());
}

/// Corner cases by name: variables that are read, swapped and kept in one step.
#[test]
fn variables_keep_their_old_value_within_a_step() {
    let Some(gpu) = harness::gpu() else { return };
    let three = |g: &Graph| ["a", "b", "c"].map(|n| g.var(n, Type::f32([3, 5]), Init::Normal(0.0, 1.0)).id());
    let case = |name: &str, build: for<'g> fn(&'g Graph, [Tensor<'g>; 3])| {
        Case::new("variables", name, move |g| build(g, three(g).map(|id| g.tensor(id)))).tolerance(1e-5, 1e-5)
    };
    let cases = [
        case("rotation", |g, [a, b, c]| {
            g.assign(a, b);
            g.assign(b, c);
            g.assign(c, a);
        }),
        case("output of the old value", |g, [a, b, _]| {
            g.output("old", a);
            g.output("old view", a.t());
            g.assign(a, (a + b).tanh());
        }),
        case("one value for two variables", |g, [a, b, c]| {
            let sum = (a + b * c).tanh();
            g.assign(a, sum);
            g.assign(b, sum);
            g.output("sum", sum);
        }),
        case("readers around an update", |g, [a, b, c]| {
            let new = (a * 2.0 + b).tanh();
            g.output("before", a.sum(&[0]));
            g.output("after", new.sum(&[1]));
            g.output("both", a.t().matmul(new));
            g.assign(a, new);
            g.assign(c, a - c);
        }),
        case("update through a reshape", |g, [a, b, _]| {
            let row = (a.reshape([15]) + b.reshape([15])).tanh();
            g.assign(a, row.reshape([3, 5]));
            g.output("row", row);
        }),
        case("update from its own transpose", |g, [a, b, _]| {
            g.assign(a, (a.t().reshape([3, 5]) + b).tanh());
        }),
        case("swap through reshapes, with counters", |g, [a, b, _]| {
            let (n, m) = (g.var("n", Type::u32([1]), Init::Constant(1.0)), g.step());
            g.assign(a, b.reshape([15]).reshape([3, 5]));
            g.assign(b, a.reshape([15]).reshape([3, 5]));
            g.assign(n, m);
            g.assign(m, m.increment());
            g.output("count", m);
        }),
        case("an input straight to an output and a variable", |g, [a, b, _]| {
            let x = g.input("x", Type::f32([3, 5]));
            g.output("x", x);
            g.output("constant", g.full([3], 0.5));
            g.assign(a, x);
            g.assign(b, g.full([3, 5], 2.0));
        }),
    ];
    Report::default().family(gpu, "variables", &cases);
}
