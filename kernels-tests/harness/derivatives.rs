//! Derivatives, which are ordinary nodes of a graph, against central differences in f64.

use super::Case;
use oneiro::graph::{
    Origin, Tensor, autodiff,
    reference::{self, Values},
    shape::DType,
};

/// Compares the first and second derivatives of a case's `y` with central differences; returns their number.
pub(crate) fn check_derivatives(case: &Case) -> usize {
    let graph = case.graph();
    let y = graph.tensor(graph.recording().outputs[0].1);
    let inputs: Vec<(String, Tensor<'_>)> = graph
        .recording()
        .nodes
        .iter()
        .enumerate()
        .filter_map(|(id, n)| match &n.origin {
            Origin::Input(name) if n.ty.dtype == DType::F32 && !case.fixed.contains(&name.as_str()) => {
                Some((name.clone(), id))
            }
            _ => None,
        })
        .map(|(name, id)| (name, graph.tensor(id)))
        .collect();
    let wrt: Vec<_> = inputs.iter().map(|i| i.1).collect();
    let cotangent = graph.input("cotangent", y.ty());
    let first = autodiff::vjp(y, cotangent, &wrt);
    let along =
        |(i, g): (usize, &Tensor<'_>)| (*g * graph.input(&format!("direction {i}"), g.ty())).sum_all().id();
    let parts: Vec<_> = first.iter().enumerate().map(along).collect();
    let slope = parts
        .into_iter()
        .map(|id| graph.tensor(id))
        .reduce(|a, b| a + b)
        .expect("an input is differentiated");
    let second = if case.once { vec![] } else { autodiff::grad(slope, &wrt) };
    graph.output("value", (y * cotangent).sum_all());
    graph.output("slope", slope);
    for (order, derivatives) in [("first", &first), ("second", &second)] {
        derivatives.iter().enumerate().for_each(|(i, d)| graph.output(&format!("{order} {i}"), *d));
    }
    let values = case.inputs(&graph);
    let eval = |values: &Values| {
        reference::eval(&graph, values, &mut case.initial(&graph))
            .unwrap_or_else(|e| panic!("{}: {e}", case.name()))
    };
    let (analytic, h, orders) = (eval(&values), 1e-5, if case.once { 1 } else { 2 });
    let mut compared = 0;
    for (i, (name, t)) in inputs.iter().enumerate() {
        for e in 0..t.shape().numel() {
            let shifted = |by: f64| {
                let mut values = values.clone();
                values.get_mut(name).expect("an input").data[e] += by;
                eval(&values)
            };
            let (low, high) = (shifted(-h), shifted(h));
            for (of, order) in [("value", "first"), ("slope", "second")].into_iter().take(orders) {
                let difference = (high[of].data[0] - low[of].data[0]) / (2.0 * h);
                let derivative = analytic[&format!("{order} {i}")].data[e];
                let fine = (derivative - difference).abs() <= 1e-6 * (1.0 + difference.abs());
                assert!(
                    fine,
                    "{}: {order} derivative by {name}[{e}] is {derivative}, central differences say {difference}",
                    case.name()
                );
                compared += 1;
            }
        }
    }
    compared
}

/// Compares a loss's gradient by three elements of each of these variables with central differences.
pub(crate) fn differences(loss: Tensor<'_>, params: &[Tensor<'_>], inputs: &Values, start: &Values) {
    let g = loss.graph();
    let names: Vec<String> = params.iter().map(|t| t.name().expect("a variable")).collect();
    g.output("differentiated", loss);
    autodiff::grad(loss, params)
        .into_iter()
        .zip(&names)
        .for_each(|(gradient, name)| g.output(name, gradient));
    let eval = |state: &Values| reference::eval(g, inputs, &mut state.clone()).unwrap();
    let gradients = eval(start);
    for name in &names {
        let n = start[name].data.len();
        for i in [0, n / 2, n - 1] {
            let h = 1e-6;
            let at = |shift: f64| {
                let mut moved = start.clone();
                moved.get_mut(name).unwrap().data[i] += shift;
                eval(&moved)["differentiated"].data[0]
            };
            let (slope, gradient) = ((at(h) - at(-h)) / (2.0 * h), gradients[name].data[i]);
            assert!(
                (slope - gradient).abs() < 1e-5 * (1.0 + gradient.abs()),
                "{name} {i}: {gradient}, by differences {slope}"
            );
        }
    }
}
