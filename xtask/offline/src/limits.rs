//! WebGPU's default limits, which every pipeline and every launch keeps; of uniforms they keep within a quarter.

use crate::launches::{Launches, Pipeline};

/// Storage buffers of a pipeline.
const STORAGE_BUFFERS: usize = 8;
/// Bytes of workgroup memory.
const WORKGROUP_MEMORY: u32 = 16 << 10;
/// Bytes of uniforms: what OpenGL ES and old drivers of Vulkan promise, where WebGPU promises 64 KiB.
const UNIFORMS: u32 = 16 << 10;
/// Invocations of a workgroup.
const INVOCATIONS: u32 = 256;
/// Invocations of a workgroup in each dimension.
const SIZES: [u32; 3] = [256, 256, 64];
/// Workgroups of a launch in each dimension.
const WORKGROUPS: u32 = 65_535;

/// Every pipeline and launch beyond a limit, one line each.
pub fn faults(launches: &Launches) -> Vec<String> {
    let pipelines = launches.pipelines.iter().flat_map(pipeline);
    let grids = launches.steps.iter().flat_map(|step| {
        let beyond = step.launches.iter().filter(|l| l.launch.grid.iter().any(|&n| n > WORKGROUPS));
        beyond.map(|l| {
            let (grid, id) = (l.launch.grid, &launches.pipelines[l.pipeline].id);
            format!("{id}: a grid of {grid:?} in {}, at most {WORKGROUPS} a dimension", step.model)
        })
    });
    pipelines.chain(grids).collect()
}

fn pipeline(pipeline: &Pipeline) -> Vec<String> {
    let r = &pipeline.reflection;
    let storage = r.bindings.iter().filter(|b| !b.uniform).count();
    let mut found = vec![];
    let mut at_most = |what: &str, is: u64, most: u64| {
        if is > most {
            found.push(format!("{}: {is} {what}, at most {most}", pipeline.id));
        }
    };
    at_most("storage buffers", storage as u64, STORAGE_BUFFERS as u64);
    at_most("bytes of workgroup memory", r.workgroup_memory.into(), WORKGROUP_MEMORY.into());
    at_most("bytes of uniforms", r.dims_size.into(), UNIFORMS.into());
    at_most("invocations", pipeline.invocations().into(), INVOCATIONS.into());
    for (size, most) in r.workgroup.iter().zip(SIZES) {
        at_most("invocations in one dimension", (*size).into(), most.into());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use oneiro::kernel::Binding;

    #[test]
    fn each_limit_is_told_when_it_is_exceeded() {
        let mut launches = Launches::of(&["vae"]).unwrap();
        assert!(faults(&launches).is_empty());
        launches.steps[0].launches[0].launch.grid = [65_536, 1, 1];
        let r = &mut launches.pipelines[0].reflection;
        r.bindings =
            (0..9).map(|index| Binding { name: "x".into(), index, uniform: false, writes: false }).collect();
        (r.workgroup_memory, r.dims_size, r.workgroup) = (16_385, 16_385, [1, 1, 257]);
        let found = faults(&launches).join("\n");
        for expected in [
            "9 storage buffers, at most 8",
            "16385 bytes of workgroup memory, at most 16384",
            "16385 bytes of uniforms, at most 16384",
            "257 invocations, at most 256",
            "257 invocations in one dimension, at most 64",
            "a grid of [65536, 1, 1] in vae, at most 65535 a dimension",
        ] {
            assert!(found.contains(expected), "{expected}:\n{found}");
        }
        assert_eq!(found.lines().count(), 6);
    }
}
