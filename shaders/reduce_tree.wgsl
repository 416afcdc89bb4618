// One pass of a reduction over the middle of x[outer, r, inner] for GPUs; r is cut into s chunks:
//   y[o, c, k] = reduction over j in c·chunk..min(r, (c + 1)·chunk) of x[o, j, k]
//   sum: Σ x;  max: max x;  logsumexp: top + log Σ exp(x - top), top = max x
//
// Index map: a workgroup of 256 reduces WIDE neighbouring lines, each a chunk of one result, or of four
// results beside each other in columns4. HIGH lanes walk each line, with four vec4s in flight, and a
// tree in workgroup memory joins them.
//   rows, rows4        inner = 1: neighbouring lanes read neighbouring elements of a line, or vec4s
//   columns, columns4  neighbouring lanes read neighbouring lines
//
// Bound: bandwidth. One trip of the loop costs what hundreds of other instructions do: see docs/notes/gpu.md.

struct Dims {
  n: u32, // lines
  r: u32,
  chunk: u32, // for rows4 a multiple of 4 if there are several
  s: u32, // chunks per row
  inner: u32, // in vec4s for columns4
}

@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(0) var<storage, read_write> y4: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> dims: Dims;

override KIND: u32 = 0u; // SUM, MAX or 2, logsumexp
override WIDE: u32 = 16u; // a power of 4, at most 256
override HIGH: u32 = 256u / WIDE;

// <reduction, from reduce.wgsl>
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

// What was seen of four lines, or of four parts of one: the largest element, and the sum of the terms.
struct Seen { top: vec4<f32>, total: vec4<f32> }

fn both(a: Seen, b: Seen) -> Seen {
  if (KIND == SUM) { return Seen(a.top, a.total + b.total); }
  let top = larger(a.top, b.top);
  if (KIND == MAX) { return Seen(top, a.total); }
  return Seen(top, a.total * term(a.top, top) + b.total * term(b.top, top));
}

fn take(a: Seen, v: mat4x4<f32>) -> Seen {
  if (KIND == SUM) { return Seen(a.top, a.total + ((v[0] + v[1]) + (v[2] + v[3]))); }
  let top = larger(a.top, larger(larger(v[0], v[1]), larger(v[2], v[3])));
  if (KIND == MAX) { return Seen(top, a.total); }
  let terms = (term(v[0], top) + term(v[1], top)) + (term(v[2], top) + term(v[3], top));
  return Seen(top, a.total * term(a.top, top) + terms);
}

fn nothing() -> Seen { return Seen(vec4<f32>(LOWEST), vec4<f32>()); }

// The neutral element, which changes no result.
fn neutral() -> vec4<f32> { return select(vec4<f32>(LOWEST), vec4<f32>(), KIND == SUM); }

// <line, master>
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

const FOUR = vec4<u32>(0u, 1u, 2u, 3u);

// Elements j, j + HIGH, j + 2·HIGH and j + 3·HIGH of a line; what lies beyond its end is neutral. The loads
// depend neither on each other nor on a condition.
fn four(at: vec2<u32>, j: u32) -> vec4<f32> {
  let p = j + FOUR * HIGH;
  let i = at.x + min(p, vec4<u32>(at.y - 1u)) * dims.inner;
  return select(neutral(), vec4<f32>(x[i.x], x[i.y], x[i.z], x[i.w]), p < vec4<u32>(at.y));
}

fn sixteen(at: vec2<u32>, j: u32) -> mat4x4<f32> {
  let next = 4u * HIGH;
  return mat4x4<f32>(four(at, j), four(at, j + next), four(at, j + 2u * next), four(at, j + 3u * next));
}

// The same of vec4s: one of four lines, ...
fn four_lines(at: vec2<u32>, j: u32) -> mat4x4<f32> {
  let p = j + FOUR * HIGH;
  let i = at.x + min(p, vec4<u32>(at.y - 1u)) * dims.inner;
  let v = mat4x4<f32>(x4[i.x], x4[i.y], x4[i.z], x4[i.w]);
  let z = neutral();
  let inside = p < vec4<u32>(at.y);
  return mat4x4<f32>(
    select(z, v[0], inside.x), select(z, v[1], inside.y),
    select(z, v[2], inside.z), select(z, v[3], inside.w),
  );
}

// ... or four neighbours in one, whose last may be beyond its end, where anything may lie.
fn four_quads(at: vec2<u32>, j: u32) -> mat4x4<f32> {
  let p = j + FOUR * HIGH;
  let i = at.x / 4u + min(p, vec4<u32>((at.y - 1u) / 4u));
  let v = mat4x4<f32>(x4[i.x], x4[i.y], x4[i.z], x4[i.w]);
  let z = neutral();
  let end = vec4<u32>(at.y);
  return mat4x4<f32>(
    select(z, v[0], 4u * p.x + FOUR < end), select(z, v[1], 4u * p.y + FOUR < end),
    select(z, v[2], 4u * p.z + FOUR < end), select(z, v[3], 4u * p.w + FOUR < end),
  );
}

var<workgroup> tops: array<vec4<f32>, 256>;
var<workgroup> totals: array<vec4<f32>, 256>;

fn keep(i: u32, a: Seen) {
  if (KIND != SUM) { tops[i] = a.top; }
  if (KIND != MAX) { totals[i] = a.total; }
}

fn kept(i: u32) -> Seen {
  var a = nothing();
  if (KIND != SUM) { a.top = tops[i]; }
  if (KIND != MAX) { a.total = totals[i]; }
  return a;
}

// <tree, master>
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

// Stores what was seen of four parts of a line.
fn store(i: u32, a: Seen) {
  let pairs = both(a, Seen(a.top.zwxy, a.total.zwxy));
  let all = both(pairs, Seen(pairs.top.yxwz, pairs.total.yxwz));
  if (i < dims.n) { y[i] = finish(all.top, all.total).x; }
}

// Reduces a workgroup's lines by single elements.
fn elements(first: u32, lane: u32, place: vec2<u32>) {
  let at = line(first + place.x);
  var a = nothing();
  for (var j = place.y; j < at.y; j += 16u * HIGH) { a = take(a, sixteen(at, j)); }
  keep(place.y * WIDE + place.x, a);
  tree(lane);
  if (lane < WIDE) { store(first + lane, kept(lane)); }
}

@compute @workgroup_size(256)
fn rows(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  elements(lines(group, groups), lane, along(lane));
}

@compute @workgroup_size(256)
fn columns(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  elements(lines(group, groups), lane, across(lane));
}

@compute @workgroup_size(256)
fn rows4(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = lines(group, groups);
  let place = along(lane);
  let at = line(first + place.x);
  var a = nothing();
  for (var j = place.y; 4u * j < at.y; j += 4u * HIGH) { a = take(a, four_quads(at, j)); }
  keep(place.y * WIDE + place.x, a);
  tree(lane);
  if (lane < WIDE) { store(first + lane, kept(lane)); }
}

@compute @workgroup_size(256)
fn columns4(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = lines(group, groups);
  let place = across(lane);
  let at = line(first + place.x);
  var a = nothing();
  for (var j = place.y; j < at.y; j += 4u * HIGH) { a = take(a, four_lines(at, j)); }
  keep(place.y * WIDE + place.x, a);
  tree(lane);
  if (lane < WIDE && first + lane < dims.n) { y4[first + lane] = finish(kept(lane).top, kept(lane).total); }
}
