//! What a graph means: its evaluation by the ops' f64 references on the CPU. It is slow and simple, and every
//! kernel, plan and derivative is judged against it.

use crate::{
    error::{Error, Result},
    graph::{Graph, Origin, Recording, shape::Array, var::Home},
};
use std::collections::BTreeMap;

/// Arrays by the names of inputs, variables or outputs.
pub type Values = BTreeMap<String, Array>;

/// Runs one step. It returns the outputs by name and writes the variables' values after the step back into
/// `state`.
///
/// # Errors
/// The graph's first mistake; an input or a variable without a value.
pub fn eval(graph: &Graph, inputs: &Values, state: &mut Values) -> Result<Values> {
    graph.check()?;
    let recording = graph.recording();
    let mut values: Vec<Option<Array>> = vec![None; recording.nodes.len()];
    for id in recording.needed() {
        let node = &recording.nodes[id];
        let value = match &node.origin {
            Origin::Op(op, ids) => {
                let args: Vec<&Array> = ids.iter().filter_map(|&i| values[i].as_ref()).collect();
                op.reference(&args)
            }
            Origin::Input(name) => inputs.get(name).cloned().ok_or_else(|| missing("input", name))?,
            Origin::Var(v) => {
                let name = &recording.vars[*v].name;
                state.get(name).cloned().ok_or_else(|| missing("variable", name))?
            }
            Origin::Arena(a) => gather_arena(&recording, *a, state)?,
            Origin::Poison => unreachable!("a checked graph has no poisoned node"),
        };
        assert_eq!(value.shape, node.ty.shape, "shape of node {id} ({:?})", node.origin);
        values[id] = Some(value);
    }
    let value = |id: usize| values[id].clone().expect("needed nodes are evaluated");
    let outputs = recording.outputs.iter().map(|(name, id)| (name.clone(), value(*id))).collect();
    for &(leaf, new) in &recording.assigns {
        match recording.nodes[leaf].origin {
            Origin::Var(v) => drop(state.insert(recording.vars[v].name.clone(), value(new))),
            Origin::Arena(a) => scatter_arena(&recording, a, &value(new), state),
            _ => unreachable!("assign checks its target"),
        }
    }
    Ok(outputs)
}

fn missing(what: &str, name: &str) -> Error {
    Error::State(format!("{what} `{name}` has no value"))
}

fn gather_arena(recording: &Recording, arena: usize, state: &Values) -> Result<Array> {
    let spec = &recording.arenas[arena];
    let mut out = Array::from_fn([spec.rows, spec.row_len], |_| 0.0);
    for var in recording.vars.iter() {
        let Some(Home { row, offset, .. }) = var.home.filter(|home| home.arena == arena) else { continue };
        let value = state.get(&var.name).ok_or_else(|| missing("variable", &var.name))?;
        let at = row * spec.row_len + offset;
        out.data[at..at + value.data.len()].copy_from_slice(&value.data);
    }
    Ok(out)
}

fn scatter_arena(recording: &Recording, arena: usize, value: &Array, state: &mut Values) {
    let row_len = recording.arenas[arena].row_len;
    for var in recording.vars.iter() {
        let Some(Home { row, offset, .. }) = var.home.filter(|home| home.arena == arena) else { continue };
        let at = row * row_len + offset;
        let data = value.data[at..at + var.ty.shape.numel()].to_vec();
        state.insert(var.name.clone(), Array::new(var.ty.shape.clone(), data));
    }
}

/// The variables' first values, as `gpu::State` makes them from the seed.
pub fn initial(graph: &Graph, seed: u64) -> Values {
    let word = |ty: crate::graph::shape::DType, w: u32| match ty {
        crate::graph::shape::DType::F32 => f64::from(f32::from_bits(w)),
        _ => f64::from(w),
    };
    let vars = graph.recording().vars.clone();
    vars.into_iter()
        .map(|v| {
            let words = v.init.words(seed, &v.name, v.ty.shape.numel());
            let data = words.into_iter().map(|w| word(v.ty.dtype, w)).collect();
            (v.name, Array::new(v.ty.shape, data))
        })
        .collect()
}
