// y = fused(Σ_p part[p]), f32: adds up what the workgroups of a product summed apart, for GPUs.
//
// Index map: four loads are in flight at once.
//   parts  one invocation makes four elements, from all parts
//   many   a workgroup makes eight vec4s: 32 invocations share the parts of each, so that few wait for many
//
// Bound: bandwidth.

struct Dims {
  n4: u32, // vec4s of y
  parts: u32,
  access: array<Access, 3>,
  constant: array<vec4<f32>, 8>,
}

// <quad, from elementwise.wgsl>
// Four numbers as they lie in a buffer; for CPU drivers the planner puts <quad64> of selftest.int64 here.
alias Quad = vec4<f32>;
fn floats(q: Quad) -> vec4<f32> { return q; }
fn quad(v: vec4<f32>) -> Quad { return v; }
// </quad>

@group(0) @binding(0) var<storage, read> part: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> dims: Dims;
const WORKGROUP = 64u;

// <epilogue, from matmul.wgsl>
// What the planner's function may read beside the product, as vec4s where elements line up with the output's.
@group(0) @binding(4) var<storage, read> x0: array<Quad>;
@group(0) @binding(5) var<storage, read> x1: array<Quad>;
@group(0) @binding(6) var<storage, read> x2: array<Quad>;
@group(0) @binding(4) var<storage, read> s0: array<f32>;
@group(0) @binding(5) var<storage, read> s1: array<f32>;
@group(0) @binding(6) var<storage, read> s2: array<f32>;

// <fused>
fn fused(i: u32, v: vec4<f32>) -> vec4<f32> {
  return v;
}
// </fused>
// </epilogue>

// <access, from elementwise.wgsl>
// Extents of the output as an operand sees it (w is also the length of a row), and the operand's strides.
struct Access {
  shape: vec4<u32>,
  stride: vec4<u32>,
  offset: u32,
}

// vec4 index into a row that is repeated for every outer index; its length is a multiple of 4.
fn row(i: u32, k: u32) -> u32 { return i % dims.access[k].shape.w; }

// Element index of a value that is constant along rows of a multiple of 4 elements.
fn column(i: u32, k: u32) -> u32 { return i / dims.access[k].shape.w; }

fn address(e: u32, k: u32) -> u32 {
  let shape = dims.access[k].shape;
  let stride = dims.access[k].stride;
  let w = e % shape.w; let e1 = e / shape.w;
  let z = e1 % shape.z; let e2 = e1 / shape.z;
  let y = e2 % shape.y; let x = e2 / shape.y;
  return dims.access[k].offset + w * stride.w + z * stride.z + y * stride.y + x * stride.x;
}

// Element indices of four consecutive outputs under an affine view.
fn strided(i: u32, k: u32) -> vec4<u32> {
  let e = 4u * i;
  return vec4<u32>(address(e, k), address(e + 1u, k), address(e + 2u, k), address(e + 3u, k));
}
// </access>

// <zero, from matmul.wgsl>
// 0, which the compiler cannot know, so that no condition holds uniforms alone: see docs/notes/drivers.md.
fn zero(index: u32) -> u32 { return index >> 31u; }
// </zero>

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

@compute @workgroup_size(WORKGROUP)
fn parts(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  let n = dims.n4;
  if (i >= n) { return; }
  var sum: vec4<f32>;
  var p = 0u;
  for (; p + 4u <= dims.parts + zero(i); p += 4u) {
    let at = p * n + i;
    sum += (part[at] + part[at + n]) + (part[at + 2u * n] + part[at + 3u * n]);
  }
  for (; p < dims.parts + zero(i); p++) { sum += part[p * n + i]; }
  y[i] = fused(i, sum);
}

// A vec4 of a part, zero past the last.
fn part_of(p: u32, i: u32) -> vec4<f32> {
  let inside = p < dims.parts;
  return select(vec4<f32>(), part[select(0u, p * dims.n4 + i, inside)], inside);
}

var<workgroup> sums: array<array<vec4<f32>, 8>, 32>;

// Adds the upper half of so many sums to the lower.
fn fold(half: u32, slice: u32, q: u32) {
  workgroupBarrier();
  if (slice < half) { sums[slice][q] += sums[slice + half][q]; }
}

@compute @workgroup_size(256)
fn many(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let slice = lane / 8u; let q = lane % 8u;
  let i = (group.y * groups.x + group.x) * 8u + q;
  let mine = min(i, dims.n4 - 1u);
  var sum: vec4<f32>;
  for (var p = slice; p < dims.parts + zero(i); p += 128u) {
    sum += (part_of(p, mine) + part_of(p + 32u, mine)) + (part_of(p + 64u, mine) + part_of(p + 96u, mine));
  }
  sums[slice][q] = sum;
  fold(16u, slice, q); fold(8u, slice, q); fold(4u, slice, q); fold(2u, slice, q); fold(1u, slice, q);
  if (slice == 0u && i < dims.n4) { y[i] = fused(i, sums[0][q]); }
}
