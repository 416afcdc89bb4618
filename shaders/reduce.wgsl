// One pass of a reduction over the middle of x[outer, r, inner]; r is cut into s chunks:
//   y[o, c, k] = reduction over j in c·chunk..min(r, (c + 1)·chunk) of x[o, j, k]
//   sum: Σ x;  max: max x;  logsumexp: top + log Σ exp(x - top), top = max x
//
// Index map: one invocation makes one result, in columns4 four neighbouring ones.
//   rows, rows4        inner = 1: by single loads, or by vec4s
//   columns, columns4  any inner
//
// Bound: bandwidth.

struct Dims {
  n: u32, // results, outer·s·inner; vec4s of results for columns4
  r: u32,
  chunk: u32, // at most 4096 loop iterations; for rows4 a multiple of 4
  s: u32, // chunks per row
  inner: u32, // in vec4s for columns4
}

// <quad, from elementwise.wgsl>
// Four numbers as they lie in a buffer; for CPU drivers the planner puts <quad64> of selftest.int64 here.
alias Quad = vec4<f32>;
fn floats(q: Quad) -> vec4<f32> { return q; }
fn quad(v: vec4<f32>) -> Quad { return v; }
// </quad>

// <arrays, master>
@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(0) var<storage, read_write> y4: array<Quad>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> x4: array<Quad>;
// </arrays>
@group(0) @binding(2) var<uniform> dims: Dims;

override KIND: u32 = 0u; // SUM, MAX or 2, logsumexp
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

// <reduction, master>
const SUM = 0u;
const MAX = 1u;
const LOWEST = -3.40282346e38;

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

// What a value adds to the total. Capping the exponent at -80 keeps x - top finite for all finite x.
fn term(v: vec4<f32>, top: vec4<f32>) -> vec4<f32> {
  if (KIND == SUM) { return v; }
  return with_nan(exp(max(v, top - 80.0) - top), v);
}

// The larger of two. A NaN is a maximum; logsumexp has it in its terms.
fn larger(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
  if (KIND != MAX) { return max(a, b); }
  return with_nan(with_nan(max(a, b), a), b);
}

// The total of logsumexp is at least 1, the largest element's term.
fn finish(top: vec4<f32>, total: vec4<f32>) -> vec4<f32> {
  if (KIND == SUM) { return total; }
  if (KIND == MAX) { return top; }
  return top + with_nan(log(max(total, vec4<f32>(1.0))), total);
}
// </reduction>

// The largest of x[first], x[first + stride], ... before x[end], and the sum of their terms.
fn largest(first: u32, end: u32, stride: u32) -> f32 {
  var top = LOWEST;
  if (KIND == SUM) { return top; }
  for (var j = first; j < end; j += stride) { top = larger(vec4<f32>(top), vec4<f32>(x[j])).x; }
  return top;
}

fn summed(first: u32, end: u32, stride: u32, top: f32) -> f32 {
  var total = 0.0;
  if (KIND == MAX) { return total; }
  for (var j = first; j < end; j += stride) { total += term(vec4<f32>(x[j]), vec4<f32>(top)).x; }
  return total;
}

// The same of vec4s.
fn largest4(first: u32, end: u32, stride: u32) -> vec4<f32> {
  var top = vec4<f32>(LOWEST);
  if (KIND == SUM) { return top; }
  for (var j = first; j < end; j += stride) { top = larger(top, floats(x4[j])); }
  return top;
}

fn summed4(first: u32, end: u32, stride: u32, top: vec4<f32>) -> vec4<f32> {
  var total = vec4<f32>();
  if (KIND == MAX) { return total; }
  for (var j = first; j < end; j += stride) { total += term(floats(x4[j]), top); }
  return total;
}

fn store(i: u32, top: f32, total: f32) {
  y[i] = finish(vec4<f32>(top), vec4<f32>(total)).x;
}

// <span, master>
// First element and end of chunk i of the rows.
fn span(i: u32) -> vec2<u32> {
  let row = i / dims.s;
  let first = i % dims.s * dims.chunk;
  return vec2<u32>(row * dims.r + first, row * dims.r + min(first + dims.chunk, dims.r));
}
// </span>

@compute @workgroup_size(WORKGROUP)
fn rows(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let at = span(i);
  let top = largest(at.x, at.y, 1u);
  store(i, top, summed(at.x, at.y, 1u, top));
}

// Chunks start at multiples of 4 elements; the last may end between them.
@compute @workgroup_size(WORKGROUP)
fn rows4(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let at = span(i);
  let end = at.y / 4u;
  let tail = at.y % 4u;
  let inside = vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(tail);
  var tops = largest4(at.x / 4u, end, 1u);
  if (KIND != SUM && tail > 0u) { tops = larger(tops, select(vec4<f32>(LOWEST), floats(x4[end]), inside)); }
  let pairs = larger(tops, tops.zwxy);
  let top = larger(pairs, pairs.yxwz).x;
  var total = summed4(at.x / 4u, end, 1u, vec4<f32>(top));
  if (KIND != MAX && tail > 0u) {
    // Padding is masked before exp and after, since its bits may be anything.
    let last = select(vec4<f32>(0.0), floats(x4[end]), inside);
    total += select(vec4<f32>(0.0), term(last, vec4<f32>(top)), inside);
  }
  store(i, top, total.x + total.y + total.z + total.w);
}

// <down, master>
// First element and end of the chunk that result i reads with stride inner.
fn down(i: u32) -> vec2<u32> {
  let c = i / dims.inner;
  let row = c % dims.s * dims.chunk;
  let first = (c / dims.s * dims.r + row) * dims.inner + i % dims.inner;
  return vec2<u32>(first, first + min(dims.chunk, dims.r - row) * dims.inner);
}
// </down>

@compute @workgroup_size(WORKGROUP)
fn columns(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let at = down(i);
  let top = largest(at.x, at.y, dims.inner);
  store(i, top, summed(at.x, at.y, dims.inner, top));
}

@compute @workgroup_size(WORKGROUP)
fn columns4(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let at = down(i);
  let top = largest4(at.x, at.y, dims.inner);
  y4[i] = quad(finish(top, summed4(at.x, at.y, dims.inner, top)));
}
