// What a machine can do at most, for the benchmark: the ceilings that other kernels are measured against.
//   fma_chains  y[i] = Σ over 32 chains j of c, which starts at x[i] + j and becomes c·a + b, 4·rounds times
//   copy        dst4[i] = src4[i]
//
// Index map: one invocation makes one element, in copy one vec4. The 32 chains are independent, so that the
// latency of one hides behind the others.
//
// Bound: compute in fma_chains, bandwidth in copy.

struct Dims {
  count: u32,
  rounds: u32,
  a: f32,
  b: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read> src4: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dst4: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> dims: Dims;

const WORKGROUP = 256u;

// <invocation, from views.wgsl>
// What an entry point is told. Only the entry point itself may read the members: elsewhere naga's HLSL
// confuses `groups` with `group`. One with barriers takes them singly, since WGSL counts a struct's as not
// uniform.
struct Invocation {
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
}

// Number of an invocation in the launch, whose workgroups lie in rows.
fn number(group: vec3<u32>, groups: vec3<u32>, lane: u32) -> u32 {
  return (group.y * groups.x + group.x) * WORKGROUP + lane;
}
// </invocation>

fn four(c: vec4<f32>, a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
  return fma(fma(fma(fma(c, a, b), a, b), a, b), a, b);
}

@compute @workgroup_size(WORKGROUP)
fn fma_chains(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.count) { return; }
  let a = vec4<f32>(dims.a);
  let b = vec4<f32>(dims.b);
  var c0 = x[i] + vec4<f32>(0.0, 1.0, 2.0, 3.0);
  var c1 = c0 + 4.0;
  var c2 = c0 + 8.0;
  var c3 = c0 + 12.0;
  var c4 = c0 + 16.0;
  var c5 = c0 + 20.0;
  var c6 = c0 + 24.0;
  var c7 = c0 + 28.0;
  for (var round = 0u; round < dims.rounds; round++) {
    c0 = four(c0, a, b);
    c1 = four(c1, a, b);
    c2 = four(c2, a, b);
    c3 = four(c3, a, b);
    c4 = four(c4, a, b);
    c5 = four(c5, a, b);
    c6 = four(c6, a, b);
    c7 = four(c7, a, b);
  }
  y[i] = dot(c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7, vec4<f32>(1.0));
}

@compute @workgroup_size(WORKGROUP)
fn copy(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i < dims.count) { dst4[i] = src4[i]; }
}
