// Bilinear interpolation of x[n, h, w, c] to factor times the rows and columns, f32, pixel centres aligned
// (PyTorch's align_corners=False), and its transpose. In units of 1/(2·factor) pixels, made pixel o lies at
// 2o + 1 - factor, kept within the image. It sees pixel q with weight 1 - |distance| per axis. All these are
// whole numbers, so that weights are exact.
//   interpolate  y[o] = Σ_q weight(o, q)·x[q], over at most 2x2 pixels
//   transpose    y[q] = Σ_o weight(o, q)·x[o]: the derivative, gathered over the pixels that see q
//
// Index map: one invocation makes one element, in the entry points *4 four channels (c is a multiple of 4).
//
// Bound: bandwidth.

struct Dims {
  n: u32, // elements made, or vec4s
  c: u32, // channels; in the entry points *4 vec4s
  factor: i32,
  image: vec2<i32>, // the smaller one
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
@group(0) @binding(2) var<uniform> dims: Dims;

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

// Image and pixel of element i of images with these extents.
struct Place {
  image: u32,
  pixel: vec2<i32>,
}

fn place(i: u32, extents: vec2<i32>) -> Place {
  let pixel = i / dims.c;
  let row = pixel / u32(extents.y);
  return Place(row / u32(extents.x), vec2<i32>(i32(row % u32(extents.x)), i32(pixel % u32(extents.y))));
}

// Element of a pixel that has the channel of element i.
fn index(image: u32, at: vec2<i32>, extents: vec2<i32>, i: u32) -> u32 {
  return ((image * u32(extents.x) + u32(at.x)) * u32(extents.y) + u32(at.y)) * dims.c + i % dims.c;
}

// Where made pixels lie.
fn position(o: vec2<i32>) -> vec2<i32> {
  return clamp(2 * o + 1 - dims.factor, vec2<i32>(), 2 * dims.factor * (dims.image - 1));
}

// Weight between made pixel o and pixel q, per axis.
fn weight(o: vec2<i32>, q: vec2<i32>) -> vec2<f32> {
  let away = abs(position(o) - 2 * dims.factor * q);
  return vec2<f32>(max(2 * dims.factor - away, vec2<i32>())) / f32(2 * dims.factor);
}

// The elements of x that made element i sees, (above, below) x (left, right), and how near it is to the later
// ones.
struct Corners {
  at: vec4<u32>,
  far: vec2<f32>,
}

fn corners(i: u32) -> Corners {
  let to = place(i, dims.factor * dims.image);
  let q = position(to.pixel) / (2 * dims.factor);
  let p = min(q + 1, dims.image - 1);
  let at = vec4<u32>(
    index(to.image, q, dims.image, i),
    index(to.image, vec2<i32>(q.x, p.y), dims.image, i),
    index(to.image, vec2<i32>(p.x, q.y), dims.image, i),
    index(to.image, p, dims.image, i),
  );
  return Corners(at, 1.0 - weight(to.pixel, q));
}

@compute @workgroup_size(WORKGROUP)
fn interpolate(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let c = corners(i);
  y[i] = mix(mix(x[c.at.x], x[c.at.y], c.far.y), mix(x[c.at.z], x[c.at.w], c.far.y), c.far.x);
}

@compute @workgroup_size(WORKGROUP)
fn interpolate4(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let c = corners(i);
  let upper = mix(floats(x4[c.at.x]), floats(x4[c.at.y]), c.far.y);
  let lower = mix(floats(x4[c.at.z]), floats(x4[c.at.w]), c.far.y);
  y4[i] = quad(mix(upper, lower, c.far.x));
}

// First made pixel that may see pixel q, and the end.
fn seers(q: vec2<i32>) -> vec4<i32> {
  let first = max(dims.factor * (q - 1) + dims.factor / 2, vec2<i32>());
  return vec4<i32>(first, min(dims.factor * (q + 1) + (dims.factor + 1) / 2, dims.factor * dims.image));
}

@compute @workgroup_size(WORKGROUP)
fn transpose(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let to = place(i, dims.image);
  let span = seers(to.pixel);
  var sum = 0.0;
  for (var r = span.x; r < span.z; r++) {
    for (var k = span.y; k < span.w; k++) {
      let share = weight(vec2<i32>(r, k), to.pixel);
      sum += share.x * share.y * x[index(to.image, vec2<i32>(r, k), dims.factor * dims.image, i)];
    }
  }
  y[i] = sum;
}

@compute @workgroup_size(WORKGROUP)
fn transpose4(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let to = place(i, dims.image);
  let span = seers(to.pixel);
  var sum = vec4<f32>();
  for (var r = span.x; r < span.z; r++) {
    for (var k = span.y; k < span.w; k++) {
      let share = weight(vec2<i32>(r, k), to.pixel);
      sum += share.x * share.y * floats(x4[index(to.image, vec2<i32>(r, k), dims.factor * dims.image, i)]);
    }
  }
  y4[i] = quad(sum);
}
