//! Explanations of a plan: which kernel each launch runs, why, and which others the op could have run on this
//! adapter.

use oneiro::{
    error::Result,
    graph::{Graph, Origin, op::LaunchSpec},
    kernel::caps::Caps,
    ops::matmul::{Extents, MatMul},
    plan::{Launch, Plan},
};
use std::any::Any;

/// Explains the plan of a graph, launch by launch.
pub(crate) fn explain(graph: &Graph, caps: &Caps) -> Result<String> {
    let products = products(graph);
    let mut out = String::new();
    for launch in Plan::new(graph, caps)?.launches {
        let constants: Vec<_> =
            launch.constants.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let [x, y, z] = launch.grid;
        out += &format!(
            "  {}: {}/{} {}, grid {x}x{y}x{z}\n",
            launch.label,
            launch.shader.stem,
            launch.entry,
            constants.join(" ")
        );
        out += &format!("    because: {}\n", launch.why);
        for other in others(&launch, &products, caps) {
            let [x, y, z] = other.grid;
            out += &format!(
                "    not taken: {}/{}, grid {x}x{y}x{z} ({})\n",
                other.shader.stem, other.entry, other.why
            );
        }
    }
    Ok(out)
}

/// The graph's matrix products, with their extents.
fn products(graph: &Graph) -> Vec<(MatMul, Extents)> {
    let recording = graph.recording();
    let product = |origin: &Origin| {
        let Origin::Op(op, inputs) = origin else { return None };
        let op: &dyn Any = &**op;
        let op = op.downcast_ref::<MatMul>()?;
        let [a, b] = [inputs[0], inputs[1]].map(|i| recording.nodes[i].ty.shape.clone());
        Some((*op, op.extents(&a, &b)?))
    };
    recording.nodes.iter().filter_map(|node| product(&node.origin)).collect()
}

/// The launches that the op could have run instead. Only the matrix product has a choice.
fn others(launch: &Launch, products: &[(MatMul, Extents)], caps: &Caps) -> Vec<LaunchSpec> {
    for (op, e) in products {
        let variants = op.variants(*e, caps);
        let launches = |variant| op.launches(*e, variant, false, MatMul::OPERANDS, 0).launches;
        if launches(variants[0]).iter().any(|spec| runs(launch, spec)) {
            return variants[1..]
                .iter()
                .filter_map(|&variant| launches(variant).into_iter().next())
                .collect();
        }
    }
    vec![]
}

/// Whether the launch runs this kernel, whatever was fused into it.
fn runs(launch: &Launch, spec: &LaunchSpec) -> bool {
    let same_dims = spec.dims.iter().all(|dim| dim.0 == "epilogue" || launch.dims.contains(dim));
    launch.entry == spec.entry && launch.grid == spec.grid && launch.constants == spec.constants && same_dims
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::all;

    #[test]
    fn a_product_names_its_kernel_the_reason_and_the_alternatives() {
        let cases = all();
        let text = |name: &str, caps| {
            explain(&cases.iter().find(|c| c.name.starts_with(name)).unwrap().graph, &caps).unwrap()
        };
        let software = text("vae fc1 forward", Caps::software());
        assert!(
            software.contains("matmul.subgroup.int64/lanes")
                && software.contains("because: CPU driver, 8 lanes"),
            "{software}"
        );
        assert!(
            software.contains("not taken: matmul/registers") && software.contains("not taken: matmul/tile"),
            "{software}"
        );
        let gpu = text("vae fc1 forward", Caps::portable(oneiro::kernel::caps::AdapterClass::Gpu));
        assert!(
            gpu.contains("matmul/tile")
                && gpu.contains("not taken: matmul/registers")
                && !gpu.contains("lanes"),
            "{gpu}"
        );
        assert!(!text("sum 4M", Caps::software()).contains("not taken"));
    }
}
