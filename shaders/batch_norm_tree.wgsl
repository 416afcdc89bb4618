// Statistics of the columns of x[r, c] by chunks of rows, for batch normalisation and its derivative on GPUs;
// c is a multiple of 4:
//   moments4  mean and Σ (x - mean)² of a chunk
//   merge4    chunks to mean and Σ (x - mean)² / r
//   sums4     Σ a and Σ a·(x - mean) of a chunk, which reduce_tree.wgsl adds up
// The result is y[2, c], of moments4 and sums4 y[2, s, c] for s chunks. Moments are joined by the formula of
// Chan, Golub & LeVeque (1979), so that there are no large sums.
//
// Index map: a workgroup of 256 takes WIDE neighbouring lines, each a chunk of four channels. HIGH lanes walk
// each line, with four vec4s in flight, and a tree in workgroup memory joins them.
//
// Bound: bandwidth.

struct Dims {
  n: u32, // lines
  c: u32, // vec4s of channels
  r: u32,
  chunk: u32, // rows
  s: u32,
  factor: f32, // of Σ (x - mean)²: 1/r in what makes the result
}

@group(0) @binding(0) var<storage, read_write> y4: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> a4: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> means4: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> dims: Dims;

override SUMS: bool = false; // sums4, rather than moments
override WIDE: u32 = 16u; // a power of 4, at most 256
override HIGH: u32 = 256u / WIDE;

// Mean, Σ (x - mean)² and number of some rows; or Σ a and Σ a·(x - mean).
struct Seen { mean: vec4<f32>, squares: vec4<f32>, n: f32 }

fn both(a: Seen, b: Seen) -> Seen {
  if (SUMS) { return Seen(a.mean + b.mean, a.squares + b.squares, 0.0); }
  let n = a.n + b.n;
  let share = b.n / max(n, 1.0);
  let away = b.mean - a.mean;
  return Seen(a.mean + away * share, (a.squares + b.squares) + away * away * (a.n * share), n);
}

// What was seen, and four parts of n rows each with these means.
fn take(a: Seen, v: mat4x4<f32>, n: vec4<f32>) -> Seen {
  let all = a.n + dot(n, vec4<f32>(1.0));
  let m = a.mean;
  let away = ((v[0] - m) * n.x + (v[1] - m) * n.y) + ((v[2] - m) * n.z + (v[3] - m) * n.w);
  let mean = m + away / max(all, 1.0);
  let d = mat4x4<f32>(v[0] - mean, v[1] - mean, v[2] - mean, v[3] - mean);
  let moved = m - mean;
  let squares = (d[0] * d[0] * n.x + d[1] * d[1] * n.y) + (d[2] * d[2] * n.z + d[3] * d[3] * n.w);
  return Seen(mean, a.squares + moved * moved * a.n + squares, all);
}

// Four rows of a line from j on, HIGH apart.
const FOUR = vec4<u32>(0u, 1u, 2u, 3u);
fn next(j: u32) -> vec4<u32> { return j + FOUR * HIGH; }

// Where they lie in an array, for which the last row stands in beyond the end: loads depend on nothing.
fn places(first: u32, p: vec4<u32>, length: u32) -> vec4<u32> {
  return first + min(p, vec4<u32>(length - 1u)) * dims.c;
}

fn load(i: vec4<u32>) -> mat4x4<f32> { return mat4x4<f32>(x4[i.x], x4[i.y], x4[i.z], x4[i.w]); }

fn one_if(inside: vec4<bool>) -> vec4<f32> { return select(vec4<f32>(), vec4<f32>(1.0), inside); }

// The sum of what is inside.
fn add(v: mat4x4<f32>, inside: vec4<bool>) -> vec4<f32> {
  let z = vec4<f32>();
  return (select(z, v[0], inside.x) + select(z, v[1], inside.y))
    + (select(z, v[2], inside.z) + select(z, v[3], inside.w));
}

// The first vec4 of line i, and its rows.
fn line(i: u32) -> vec2<u32> {
  let row = i / dims.c * dims.chunk;
  return select(vec2<u32>(), vec2<u32>(row * dims.c + i % dims.c, min(dims.chunk, dims.r - row)), i < dims.n);
}

var<workgroup> means: array<vec4<f32>, 256>;
var<workgroup> squares: array<vec4<f32>, 256>;
var<workgroup> counts: array<f32, 256>;

fn keep(i: u32, a: Seen) {
  means[i] = a.mean;
  squares[i] = a.squares;
  if (!SUMS) { counts[i] = a.n; }
}

fn kept(i: u32) -> Seen {
  var n = 0.0;
  if (!SUMS) { n = counts[i]; }
  return Seen(means[i], squares[i], n);
}

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

// Joins the lanes of each line and stores the results.
fn end(first: u32, lane: u32, a: Seen) {
  keep(lane, a); // since neighbours lie across lines
  tree(lane);
  let i = first + lane;
  if (lane < WIDE && i < dims.n) {
    y4[i] = kept(lane).mean;
    y4[dims.n + i] = kept(lane).squares * dims.factor;
  }
}

@compute @workgroup_size(256)
fn moments4(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let place = across(lane);
  let first = lines(group, groups);
  let at = line(first + place.x);
  var a: Seen;
  for (var j = place.y; j < at.y; j += 4u * HIGH) {
    let p = next(j);
    a = take(a, load(places(at.x, p, at.y)), one_if(p < vec4<u32>(at.y)));
  }
  end(first, lane, a);
}

@compute @workgroup_size(256)
fn merge4(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let place = across(lane);
  let first = lines(group, groups);
  let k = min(first + place.x, dims.n - 1u);
  var a: Seen;
  for (var j = place.y; j < dims.s; j += 4u * HIGH) {
    let p = next(j);
    let i = places(k, p, dims.s);
    let v = load(i);
    let q = load(i + dims.s * dims.c);
    let rows = min(vec4<u32>(dims.chunk), dims.r - min(p * dims.chunk, vec4<u32>(dims.r)));
    a = take(a, v, vec4<f32>(rows));
    a.squares += add(q, p < vec4<u32>(dims.s));
  }
  end(first, lane, a);
}

@compute @workgroup_size(256)
fn sums4(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let place = across(lane);
  let first = lines(group, groups);
  let at = line(first + place.x);
  let mean = means4[(first + place.x) % dims.c];
  var a: Seen;
  for (var j = place.y; j < at.y; j += 4u * HIGH) {
    let p = next(j);
    let i = places(at.x, p, at.y);
    let v = mat4x4<f32>(a4[i.x], a4[i.y], a4[i.z], a4[i.w]);
    let x = load(i);
    let along = mat4x4<f32>(
      v[0] * (x[0] - mean), v[1] * (x[1] - mean), v[2] * (x[2] - mean), v[3] * (x[3] - mean),
    );
    let inside = p < vec4<u32>(at.y);
    a.mean += add(v, inside);
    a.squares += add(along, inside);
  }
  end(first, lane, a);
}
