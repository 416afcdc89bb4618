// Statistics of the columns of x[r, c], for batch normalisation and its derivative, by chunks of rows:
//   moments  mean and Σ (x - mean)² of a chunk, by Welford's recurrence: in one pass, without large sums
//   merge    chunks to mean and Σ (x - mean)² / r (Chan, Golub & LeVeque 1979)
//   sums     Σ a and Σ a·(x - mean) of a chunk
//   total    chunks of sums added up
// The result is y[2, c], of moments and sums y[2, s, c] for s chunks.
//
// Index map: one invocation makes both results of one channel (of one chunk), in the entry points *4 of four
// channels (c is a multiple of 4); in total it makes one result.
//
// Bound: bandwidth.

struct Dims {
  n: u32, // invocations with work
  c: u32, // channels; in the entry points *4 vec4s
  r: u32,
  chunk: u32, // rows
  s: u32,
  factor: f32, // of Σ (x - mean)²: 1/r if there is one chunk
}

// <quad, from elementwise.wgsl>
// Four numbers as they lie in a buffer; for CPU drivers the planner puts <quad64> of selftest.int64 here.
alias Quad = vec4<f32>;
fn floats(q: Quad) -> vec4<f32> { return q; }
fn quad(v: vec4<f32>) -> Quad { return v; }
// </quad>

// <arrays, from reduce.wgsl>
@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(0) var<storage, read_write> y4: array<Quad>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> x4: array<Quad>;
// </arrays>
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> a4: array<Quad>;
@group(0) @binding(3) var<storage, read> means: array<f32>;
@group(0) @binding(3) var<storage, read> means4: array<Quad>;
@group(0) @binding(4) var<uniform> dims: Dims;

override WORKGROUP: u32 = 64u;

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

// <zero, from matmul.wgsl>
// 0, which the compiler cannot know, so that no condition holds uniforms alone: see docs/notes/drivers.md.
fn zero(index: u32) -> u32 { return index >> 31u; }
// </zero>

// First element and rows of invocation i.
fn span(i: u32) -> vec2<u32> {
  let first = i / dims.c * dims.chunk;
  return vec2<u32>(first * dims.c + i % dims.c, min(dims.chunk, dims.r - first));
}

@compute @workgroup_size(WORKGROUP)
fn moments(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let at = span(i);
  var mean = 0.0;
  var squares = 0.0;
  for (var j = 0u; j < at.y; j++) {
    let v = x[at.x + j * dims.c];
    let away = v - mean;
    mean += away * (1.0 / f32(j + 1u));
    squares += away * (v - mean);
  }
  y[i] = mean;
  y[dims.n + i] = squares * dims.factor;
}

@compute @workgroup_size(WORKGROUP)
fn moments4(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let at = span(i);
  var mean = vec4<f32>();
  var squares = vec4<f32>();
  for (var j = 0u; j < at.y; j++) {
    let v = floats(x4[at.x + j * dims.c]);
    let away = v - mean;
    mean += away * (1.0 / f32(j + 1u));
    squares += away * (v - mean);
  }
  y4[i] = quad(mean);
  y4[dims.n + i] = quad(squares * dims.factor);
}

// Rows of chunk j.
fn rows(j: u32) -> f32 {
  return f32(min(dims.chunk, dims.r - j * dims.chunk));
}

@compute @workgroup_size(WORKGROUP)
fn merge(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let end = dims.s + zero(i);
  let first = x[i];
  var away = 0.0;
  for (var j = 0u; j < end; j++) { away += rows(j) * (x[j * dims.c + i] - first); }
  let mean = first + away / f32(dims.r);
  var squares = 0.0;
  for (var j = 0u; j < end; j++) {
    let apart = x[j * dims.c + i] - mean;
    squares += x[(dims.s + j) * dims.c + i] + rows(j) * apart * apart;
  }
  y[i] = mean;
  y[dims.c + i] = squares / f32(dims.r);
}

@compute @workgroup_size(WORKGROUP)
fn sums(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let at = span(i);
  let mean = means[i % dims.c];
  var sum = 0.0;
  var along = 0.0;
  for (var j = 0u; j < at.y; j++) {
    let v = a[at.x + j * dims.c];
    sum += v;
    along += v * (x[at.x + j * dims.c] - mean);
  }
  y[i] = sum;
  y[dims.n + i] = along;
}

@compute @workgroup_size(WORKGROUP)
fn sums4(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let at = span(i);
  let mean = floats(means4[i % dims.c]);
  var sum = vec4<f32>();
  var along = vec4<f32>();
  for (var j = 0u; j < at.y; j++) {
    let v = floats(a4[at.x + j * dims.c]);
    sum += v;
    along += v * (floats(x4[at.x + j * dims.c]) - mean);
  }
  y4[i] = quad(sum);
  y4[dims.n + i] = quad(along);
}

@compute @workgroup_size(WORKGROUP)
fn total(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let end = dims.s + zero(i);
  let first = i / dims.c * dims.s * dims.c + i % dims.c;
  var sum = 0.0;
  for (var j = 0u; j < end; j++) { sum += x[first + j * dims.c]; }
  y[i] = sum;
}
