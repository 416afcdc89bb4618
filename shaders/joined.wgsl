// Small launches that do not need each other as one: the planner puts their kernels into the place of what
// is marked, each as a branch of the entry point `joined`, or of `products` where they are matrix products.
//
// Index map: the kernels' workgroups lie in a row, one kernel's after another's.
//
// Bound: the launch.

// <fused>
@group(0) @binding(0) var<storage, read_write> b0: array<u32>;

@compute @workgroup_size(64)
fn joined(@builtin(workgroup_id) group: vec3<u32>) {
  b0[group.x] = group.x;
}
// </fused>
