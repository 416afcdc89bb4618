// Moving average along the innermost axis, a sum of at most `window` terms.
//   causal      y[r, t] = 1/w · Σ x[r, t - k], k = 0..min(w - 1, t)
//   anticausal  y[r, t] = 1/w · Σ x[r, t + k], k = 0..min(w - 1, length - 1 - t): its transpose
// Index map: one invocation computes one element; its loop runs at most `window` times.
// Bound: bandwidth for small windows (the terms come from the cache).

struct Dims {
  n: u32, // the number of elements
  length: u32, // the length of the innermost axis
  window: u32,
}

@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<uniform> dims: Dims;

override WORKGROUP: u32 = 64u;

fn index(group: vec3<u32>, groups: vec3<u32>, lane: u32) -> u32 {
  return (group.y * groups.x + group.x) * WORKGROUP + lane;
}

// The sum of the elements first..=last, divided by the window: elements outside the row count as 0.
fn mean(first: u32, last: u32) -> f32 {
  var sum = 0.0;
  for (var i = first; i <= last; i++) {
    sum += x[i];
  }
  return sum / f32(dims.window);
}

@compute @workgroup_size(WORKGROUP)
fn causal(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let e = index(group, groups, lane);
  if (e < dims.n) { y[e] = mean(e - min(dims.window - 1u, e % dims.length), e); }
}

@compute @workgroup_size(WORKGROUP)
fn anticausal(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let e = index(group, groups, lane);
  if (e < dims.n) { y[e] = mean(e, e + min(dims.window - 1u, dims.length - 1u - e % dims.length)); }
}
