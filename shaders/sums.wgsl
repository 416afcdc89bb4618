// y[o, c, k] = Σ f[o, j, k] over j in c·chunk..min(r, (c + 1)·chunk), where an elementwise cluster makes f
// [outer, r, inner], four elements at a time: the planner's function computes f where it is added up, so that
// it is not stored. Further passes, over chunks, are those of reduce.wgsl and reduce_tree.wgsl.
//
// Index map: for CPU drivers as in reduce.wgsl, for GPUs as in reduce_tree.wgsl.
//   rows4, rows_tree        inner = 1
//   columns4, columns_tree  inner a multiple of 4
//
// Bound: bandwidth.

struct Dims {
  n: u32, // results, vec4s of them for columns
  r: u32,
  chunk: u32, // for rows a multiple of 4 if there are several
  s: u32, // chunks per row
  inner: u32, // in vec4s for columns
  access: array<Access, 7>,
  constant: array<vec4<f32>, 8>,
}

// <quad, from elementwise.wgsl>
// Four numbers as they lie in a buffer; for CPU drivers the planner puts <quad64> of selftest.int64 here.
alias Quad = vec4<f32>;
fn floats(q: Quad) -> vec4<f32> { return q; }
fn quad(v: vec4<f32>) -> Quad { return v; }
// </quad>

@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(0) var<storage, read_write> y4: array<Quad>;
@group(0) @binding(8) var<uniform> dims: Dims;

// <cluster, from elementwise.wgsl>
@group(0) @binding(1) var<storage, read> x0: array<Quad>;
@group(0) @binding(2) var<storage, read> x1: array<Quad>;
@group(0) @binding(3) var<storage, read> x2: array<Quad>;
@group(0) @binding(4) var<storage, read> x3: array<Quad>;
@group(0) @binding(5) var<storage, read> x4: array<Quad>;
@group(0) @binding(6) var<storage, read> x5: array<Quad>;
@group(0) @binding(7) var<storage, read> x6: array<Quad>;
@group(0) @binding(1) var<storage, read> s0: array<f32>;
@group(0) @binding(2) var<storage, read> s1: array<f32>;
@group(0) @binding(3) var<storage, read> s2: array<f32>;
@group(0) @binding(4) var<storage, read> s3: array<f32>;
@group(0) @binding(5) var<storage, read> s4: array<f32>;
@group(0) @binding(6) var<storage, read> s5: array<f32>;
@group(0) @binding(7) var<storage, read> s6: array<f32>;
// </cluster>

override WORKGROUP: u32 = 64u; // for CPU drivers
override WIDE: u32 = 16u; // for GPUs: lines of a workgroup of 256, a power of 4
override HIGH: u32 = 256u / WIDE;

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

// <fused>
fn fused(i: u32, v: vec4<f32>) -> vec4<f32> {
  return floats(x0[i]);
}
// </fused>

// <span, from reduce.wgsl>
// First element and end of chunk i of the rows.
fn span(i: u32) -> vec2<u32> {
  let row = i / dims.s;
  let first = i % dims.s * dims.chunk;
  return vec2<u32>(row * dims.r + first, row * dims.r + min(first + dims.chunk, dims.r));
}
// </span>

// <down, from reduce.wgsl>
// First element and end of the chunk that result i reads with stride inner.
fn down(i: u32) -> vec2<u32> {
  let c = i / dims.inner;
  let row = c % dims.s * dims.chunk;
  let first = (c / dims.s * dims.r + row) * dims.inner + i % dims.inner;
  return vec2<u32>(first, first + min(dims.chunk, dims.r - row) * dims.inner);
}
// </down>

const FOUR = vec4<u32>(0u, 1u, 2u, 3u);

// The terms that the vec4 at i adds.
fn part(i: u32, inside: vec4<bool>) -> vec4<f32> {
  return select(vec4<f32>(), fused(i, vec4<f32>()), inside);
}

@compute @workgroup_size(WORKGROUP)
fn rows4(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  var total = vec4<f32>();
  let at = span(i);
  let end = at.y / 4u;
  for (var j = at.x / 4u; j < end; j += 1u) { total += fused(j, vec4<f32>()); }
  let tail = at.y % 4u;
  if (tail > 0u) { total += part(end, FOUR < vec4<u32>(tail)); }
  y[i] = total.x + total.y + total.z + total.w;
}

@compute @workgroup_size(WORKGROUP)
fn columns4(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let at = down(i);
  var total = vec4<f32>();
  for (var j = at.x; j < at.y; j += dims.inner) { total += fused(j, vec4<f32>()); }
  y4[i] = quad(total);
}

// <line, from reduce_tree.wgsl>
// The first element of line i, and its length.
fn line(i: u32) -> vec2<u32> {
  let c = i / dims.inner;
  let row = c % dims.s * dims.chunk;
  let first = (c / dims.s * dims.r + row) * dims.inner + i % dims.inner;
  return select(vec2<u32>(), vec2<u32>(first, min(dims.chunk, dims.r - row)), i < dims.n);
}

// The lane's line among the WIDE, and its place along it, if neighbours lie along a line.
fn along(lane: u32) -> vec2<u32> { return vec2<u32>(lane / HIGH, lane % HIGH); }
// </line>

var<workgroup> totals: array<vec4<f32>, 256>;

fn keep(i: u32, a: vec4<f32>) { totals[i] = a; }
fn kept(i: u32) -> vec4<f32> { return totals[i]; }
fn both(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> { return a + b; }

// <tree, from reduce_tree.wgsl>
// Four times n of what was kept become n.
fn fold(lane: u32, n: u32) {
  workgroupBarrier();
  if (lane < n) {
    keep(lane, both(both(kept(lane), kept(lane + n)), both(kept(lane + 2u * n), kept(lane + 3u * n))));
  }
}

// All lanes' become those of the WIDE lines, which the first lanes see.
fn tree(lane: u32) {
  if (WIDE <= 64u) { fold(lane, 64u); }
  if (WIDE <= 16u) { fold(lane, 16u); }
  if (WIDE <= 4u) { fold(lane, 4u); }
  if (WIDE == 1u) { fold(lane, 1u); }
}

// The first line of a workgroup.
fn lines(group: vec3<u32>, groups: vec3<u32>) -> u32 { return (group.y * groups.x + group.x) * WIDE; }

// The lane's line among the WIDE, and its place along it, if neighbours lie across lines.
fn across(lane: u32) -> vec2<u32> { return vec2<u32>(lane % WIDE, lane / WIDE); }
// </tree>

@compute @workgroup_size(256)
fn rows_tree(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  var a = vec4<f32>();
  let place = along(lane);
  let first = lines(group, groups);
  let at = line(first + place.x);
  let end = vec4<u32>(at.y);
  for (var j = place.y; 4u * j < at.y; j += 4u * HIGH) {
    let p = j + FOUR * HIGH;
    let i = at.x / 4u + min(p, vec4<u32>((at.y - 1u) / 4u));
    a += (part(i.x, 4u * p.x + FOUR < end) + part(i.y, 4u * p.y + FOUR < end))
      + (part(i.z, 4u * p.z + FOUR < end) + part(i.w, 4u * p.w + FOUR < end));
  }
  keep(place.y * WIDE + place.x, a);
  tree(lane);
  if (lane < WIDE && first + lane < dims.n) {
    let total = kept(lane);
    y[first + lane] = (total.x + total.z) + (total.y + total.w);
  }
}

@compute @workgroup_size(256)
fn columns_tree(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  var a = vec4<f32>();
  let place = across(lane);
  let first = lines(group, groups);
  let at = line(first + place.x);
  for (var j = place.y; j < at.y; j += 4u * HIGH) {
    let p = j + FOUR * HIGH;
    let i = at.x + min(p, vec4<u32>(at.y - 1u)) * dims.inner;
    let inside = p < vec4<u32>(at.y);
    a += (part(i.x, vec4<bool>(inside.x)) + part(i.y, vec4<bool>(inside.y)))
      + (part(i.z, vec4<bool>(inside.z)) + part(i.w, vec4<bool>(inside.w)));
  }
  keep(place.y * WIDE + place.x, a);
  tree(lane);
  if (lane < WIDE && first + lane < dims.n) { y4[first + lane] = quad(kept(lane)); }
}
