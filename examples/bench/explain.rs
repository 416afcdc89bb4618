//! Explanations of a plan: which kernel each launch runs, why, and which others the op could have run on this
//! adapter.

use oneiro::plan::{Launch, Plan};

/// Explains a plan, launch by launch.
pub(crate) fn explain(plan: &Plan) -> String {
    plan.launches.iter().map(|launch| told(launch, "  ")).collect()
}

/// A launch, and below it those that were joined to it.
fn told(launch: &Launch, indent: &str) -> String {
    let constants: String = launch.constants.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    let [x, y, z] = launch.grid;
    let (stem, entry) = (launch.shader.stem, launch.entry);
    let mut out = format!("{indent}{}: {stem}/{entry}{constants}, grid {x}x{y}x{z}\n", launch.label);
    let indent = format!("{indent}  ");
    let why = Some(launch.why).filter(|why| !why.is_empty()).unwrap_or("the only kernel");
    out += &format!("{indent}because: {why}\n");
    for other in &launch.others {
        let [x, y, z] = other.grid;
        out +=
            &format!("{indent}not taken: {}/{}, grid {x}x{y}x{z} ({})\n", other.stem, other.entry, other.why);
    }
    out + &launch.parts.iter().map(|part| told(part, &indent)).collect::<String>()
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
        assert!(
            few.contains("conv2d_patches/patches") && few.contains("not taken: conv2d/registers"),
            "{few}"
        );
    }

    #[test]
    fn what_was_joined_is_told_one_by_one() {
        let plans = bench::Step::new("vae").unwrap().plans(&Caps::portable(AdapterClass::Gpu)).unwrap();
        let products = plans[0].launches.iter().find(|l| l.entry == "products").unwrap();
        let text = told(products, "");
        assert!(products.parts.len() > 1 && products.parts.iter().all(|part| text.contains(&part.label)));
        assert!(text.contains("\n  matmul") && text.contains("\n    not taken: "), "{text}");
    }

    #[test]
    fn a_step_of_drawing_is_explained() {
        let sampler = bench::drawing("pixelcnn", &Caps::software()).unwrap().unwrap();
        let text = explain(sampler.plans()[1]);
        assert!(text.contains("look·product") && text.contains("not taken: "), "{text}");
    }
}
