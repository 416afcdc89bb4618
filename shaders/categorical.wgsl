// One entry of each row by its index, and indices (whole numbers in f32) drawn from rows of logits.
//   pick              y[r] = x[r, index[r]], 0 for an index out of range
//   spread            y[r, k] = x[r] where k = index[r], else 0; pick and spread are each other's derivatives
//   draw_categorical  y[r] = the first k with Σ_{j<=k} w_j > u[r]·Σ_j w_j,  w_j = exp(x[r, j] - max x[r])
// A weight under e^-80 counts as 0, since uniforms come in steps of 2^-24. The class drawn is the last one of
// nonzero weight that starts at or below u, so that there is one even where rounding keeps the sum below u.
//
// Index map: one invocation makes one row, in spread one element. In the entry points *4 it moves vec4s (k is
// a multiple of 4) and sums in the same order. In draw_lanes, for GPUs, the 256 lanes of a workgroup share
// a row.
//
// Bound: bandwidth; draw_categorical by two exp per element.

struct Dims {
  n: u32, // invocations with work: rows; elements or vec4s of spread
  k: u32, // classes; in the entry points *4 vec4s per row
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
@group(0) @binding(2) var<storage, read> index: array<f32>;
@group(0) @binding(2) var<storage, read> uniforms: array<f32>;
@group(0) @binding(3) var<uniform> dims: Dims;

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

// The index of a row with k classes, -1 if it is out of range.
fn class_of(row: u32, k: u32) -> i32 {
  let c = index[row];
  return select(-1, i32(clamp(c, 0.0, f32(k - 1u))), c >= 0.0 && c < f32(k));
}

@compute @workgroup_size(WORKGROUP)
fn pick(id: Invocation) {
  let r = number(id.group, id.groups, id.lane);
  if (r >= dims.n) { return; }
  let c = class_of(r, dims.k);
  y[r] = select(0.0, x[r * dims.k + u32(max(c, 0))], c >= 0);
}

@compute @workgroup_size(WORKGROUP)
fn spread(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let r = i / dims.k;
  y[i] = select(0.0, x[r], class_of(r, dims.k) == i32(i - r * dims.k));
}

@compute @workgroup_size(WORKGROUP)
fn spread4(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let r = i / dims.k;
  let here = vec4<i32>(4 * i32(i - r * dims.k)) + vec4<i32>(0, 1, 2, 3);
  y4[i] = quad(select(vec4<f32>(), vec4<f32>(x[r]), vec4<i32>(class_of(r, 4u * dims.k)) == here));
}

// <nan, from elementwise.wgsl>
// Whether numbers are none, by their bits, since drivers may take a NaN for equal to itself.
fn is_nan(a: vec4<f32>) -> vec4<bool> {
  return (bitcast<vec4<u32>>(a) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
}

// y, a function of a, with a's NaNs: drivers' functions make numbers of some, as exp an infinity and max the
// other argument.
fn with_nan(y: vec4<f32>, a: vec4<f32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(select(bitcast<vec4<u32>>(y), bitcast<vec4<u32>>(a), is_nan(a)));
}
// </nan>

// exp(x - top), 0 under e^-80. Halved, the difference of any two floats is finite.
fn weight(x: vec4<f32>, top: f32) -> vec4<f32> {
  let half = 0.5 * x - 0.5 * top;
  return with_nan(select(vec4<f32>(), exp(2.0 * max(half, vec4<f32>(-40.0))), half > vec4<f32>(-40.0)), x);
}

// A drawn class; a row with a NaN, whose total is one, draws it.
fn put(r: u32, drawn: u32, total: f32) {
  y[r] = with_nan(vec4<f32>(f32(drawn)), vec4<f32>(total)).x;
}

@compute @workgroup_size(WORKGROUP)
fn draw_categorical(id: Invocation) {
  let r = number(id.group, id.groups, id.lane);
  if (r >= dims.n) { return; }
  let first = r * dims.k;
  let end = first + dims.k;
  var top = x[first];
  for (var i = first + 1u; i < end; i++) { top = max(top, x[i]); }
  var total = 0.0;
  for (var i = first; i < end; i++) { total += weight(vec4<f32>(x[i]), top).x; }
  let level = uniforms[r] * total;
  var sum = 0.0;
  var drawn = first;
  for (var i = first; i < end && sum <= level; i++) {
    let w = weight(vec4<f32>(x[i]), top).x;
    sum += w;
    if (w > 0.0) { drawn = i; }
  }
  put(r, drawn - first, total);
}

@compute @workgroup_size(WORKGROUP)
fn draw_categorical4(id: Invocation) {
  let r = number(id.group, id.groups, id.lane);
  if (r >= dims.n) { return; }
  let first = r * dims.k;
  let end = first + dims.k;
  var tops = floats(x4[first]);
  for (var i = first + 1u; i < end; i++) { tops = max(tops, floats(x4[i])); }
  let top = max(max(tops.x, tops.y), max(tops.z, tops.w));
  var total = 0.0;
  for (var i = first; i < end; i++) {
    let w = weight(floats(x4[i]), top);
    total = (((total + w.x) + w.y) + w.z) + w.w;
  }
  let level = uniforms[r] * total;
  var sum = 0.0;
  var drawn = 0u;
  for (var i = first; i < end && sum <= level; i++) {
    let w = weight(floats(x4[i]), top);
    let a = sum + w.x;
    let b = a + w.y;
    let c = b + w.z;
    let reached = (vec4<f32>(sum, a, b, c) <= vec4<f32>(level)) & (w > vec4<f32>());
    let at = select(vec4<u32>(), vec4<u32>(4u * (i - first)) + vec4<u32>(0u, 1u, 2u, 3u), reached);
    drawn = max(drawn, max(max(at.x, at.y), max(at.z, at.w)));
    sum = c + w.w;
  }
  put(r, drawn, total);
}

var<workgroup> each: array<f32, 256>;

// The largest of the lanes' numbers.
fn largest(v: f32, lane: u32) -> f32 {
  each[lane] = v;
  for (var s = 128u; s > 0u; s /= 2u) {
    workgroupBarrier();
    if (lane < s) { each[lane] = max(each[lane], each[lane + s]); }
  }
  workgroupBarrier();
  let all = each[0];
  workgroupBarrier();
  return all;
}

// The sum of the lanes' numbers up to a lane's own, which stays in `each`.
fn sum_up(v: f32, lane: u32) {
  each[lane] = v;
  for (var s = 1u; s < 256u; s *= 2u) {
    workgroupBarrier();
    let before = select(0.0, each[max(lane, s) - s], lane >= s);
    workgroupBarrier();
    each[lane] += before;
  }
  workgroupBarrier();
}

@compute @workgroup_size(256)
fn draw_lanes(
  @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let r = group.y * groups.x + group.x;
  if (r >= dims.n) { return; }
  let row = r * dims.k;
  let share = (dims.k + 255u) / 256u;
  let first = min(lane * share, dims.k);
  let end = min(first + share, dims.k);
  var top = x[row];
  for (var i = first; i < end; i++) { top = max(top, x[row + i]); }
  top = largest(top, lane);
  var sum = 0.0;
  for (var i = first; i < end; i++) { sum += weight(vec4<f32>(x[row + i]), top).x; }
  sum_up(sum, lane);
  let total = each[255];
  sum = select(0.0, each[max(lane, 1u) - 1u], lane > 0u);
  workgroupBarrier();
  let level = uniforms[r] * total;
  var drawn = 0u;
  for (var i = first; i < end && sum <= level; i++) {
    let w = weight(vec4<f32>(x[row + i]), top).x;
    sum += w;
    if (w > 0.0) { drawn = i; }
  }
  let last = largest(f32(drawn), lane);
  if (lane == 0u) { put(r, u32(last), total); }
}
