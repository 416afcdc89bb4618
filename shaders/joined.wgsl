// Small launches that do not wait for each other as one: the planner puts their kernels into the place of
// what is marked, each as a branch of the entry point `joined`.
//
// Index map: kernel z runs in the workgroups of z, as it would alone.
//
// Bound: the launch.

// <fused>
@group(0) @binding(0) var<storage, read_write> b0: array<u32>;

@compute @workgroup_size(64)
fn joined(@builtin(workgroup_id) group: vec3<u32>) {
  b0[group.z] = group.z;
}
// </fused>
