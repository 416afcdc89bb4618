//! Explanations of a plan: which kernel each launch runs, why, and which others the op could have run on this
//! adapter.

use oneiro::plan::Plan;

/// Explains a plan, launch by launch.
pub(crate) fn explain(plan: &Plan) -> String {
    let mut out = String::new();
    for launch in &plan.launches {
        let constants: Vec<_> =
            launch.constants.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        let [x, y, z] = launch.grid;
        out += &format!(
            "  {}: {}/{}{}, grid {x}x{y}x{z}\n    because: {}\n",
            launch.label,
            launch.shader.stem,
            launch.entry,
            constants.concat(),
            launch.why
        );
        for other in &launch.others {
            let [x, y, z] = other.grid;
            out +=
                &format!("    not taken: {}/{}, grid {x}x{y}x{z} ({})\n", other.stem, other.entry, other.why);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::all;
    use oneiro::kernel::caps::{AdapterClass, Caps};

    #[test]
    fn a_kernel_is_named_with_the_reason_and_the_alternatives() {
        let cases = all();
        let text = |name: &str, caps| {
            let case = cases.iter().find(|c| c.name.starts_with(name)).unwrap();
            explain(&Plan::new(&case.graph, &caps).unwrap())
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
        let gpu = text("vae fc1 forward", Caps::portable(AdapterClass::Gpu));
        assert!(
            gpu.contains("matmul/tile")
                && gpu.contains("not taken: matmul/registers")
                && !gpu.contains("lanes"),
            "{gpu}"
        );
        assert!(text("sum 4M", Caps::software()).contains("not taken: reduce_tree/rows4"));
        let few = text("conv2d 7x7", Caps::software());
        assert!(few.contains("conv2d/patches") && few.contains("not taken: conv2d/registers"), "{few}");
    }

    #[test]
    fn a_step_of_drawing_is_explained() {
        let sampler = bench::drawing("pixelcnn", &Caps::software()).unwrap().unwrap();
        let text = explain(sampler.plans()[1]);
        assert!(text.contains("look·product") && text.contains("not taken: "), "{text}");
    }
}
