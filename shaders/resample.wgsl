// Bilinear interpolation of x[n, h, w, c] to factor times the rows and columns, f32, pixel centres aligned (PyTorch's
// align_corners=False), and its transpose. In units of 1/(2·factor) pixels, made pixel o lies at 2o + 1 - factor, kept within the
// image; it sees pixel q with weight 1 - |distance| per axis. In whole numbers, so that weights are exact.
//   interpolate  y[o] = Σ_q weight(o, q)·x[q], over at most 2x2 pixels
//   transpose    y[q] = Σ_o weight(o, q)·x[o]: the derivative, gathered over the pixels that see q
// Index map: one invocation an element, of the entry points *4 four channels, which want c to be a multiple of 4. Bandwidth bound.

struct Dims {
  n: u32, // elements made, or vec4s
  c: u32, // channels; in the entry points *4 vec4s
  factor: i32,
  image: vec2<i32>, // the smaller one
}

@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(0) var<storage, read_write> y4: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> dims: Dims;

override WORKGROUP: u32 = 64u;

fn invocation(group: vec3<u32>, groups: vec3<u32>, lane: u32) -> u32 {
  return (group.y * groups.x + group.x) * WORKGROUP + lane;
}

// First element of image and channel, and the pixel, of element i of images with these extents.
struct Place {
  image: u32,
  pixel: vec2<i32>,
}

fn place(i: u32, extents: vec2<i32>) -> Place {
  let pixel = i / dims.c;
  let row = pixel / u32(extents.y);
  return Place(row / u32(extents.x), vec2<i32>(i32(row % u32(extents.x)), i32(pixel % u32(extents.y))));
}

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

// First pixel that made pixel o sees, and the last.
fn around(o: vec2<i32>) -> vec4<i32> {
  let first = position(o) / (2 * dims.factor);
  return vec4<i32>(first, min(first + 1, dims.image - 1));
}

// First made pixel that may see pixel q, and the end.
fn seers(q: vec2<i32>) -> vec4<i32> {
  let first = max(dims.factor * (q - 1) + dims.factor / 2, vec2<i32>());
  return vec4<i32>(first, min(dims.factor * (q + 1) + (dims.factor + 1) / 2, dims.factor * dims.image));
}

@compute @workgroup_size(WORKGROUP)
fn interpolate(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = invocation(group, groups, lane);
  if (i >= dims.n) { return; }
  let to = place(i, dims.factor * dims.image);
  let q = around(to.pixel);
  let far = 1.0 - weight(to.pixel, q.xy);
  let above = mix(x[index(to.image, q.xy, dims.image, i)], x[index(to.image, q.xw, dims.image, i)], far.y);
  let below = mix(x[index(to.image, q.zy, dims.image, i)], x[index(to.image, q.zw, dims.image, i)], far.y);
  y[i] = mix(above, below, far.x);
}

@compute @workgroup_size(WORKGROUP)
fn interpolate4(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = invocation(group, groups, lane);
  if (i >= dims.n) { return; }
  let to = place(i, dims.factor * dims.image);
  let q = around(to.pixel);
  let far = 1.0 - weight(to.pixel, q.xy);
  let above = mix(x4[index(to.image, q.xy, dims.image, i)], x4[index(to.image, q.xw, dims.image, i)], far.y);
  let below = mix(x4[index(to.image, q.zy, dims.image, i)], x4[index(to.image, q.zw, dims.image, i)], far.y);
  y4[i] = mix(above, below, far.x);
}

@compute @workgroup_size(WORKGROUP)
fn transpose(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = invocation(group, groups, lane);
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
fn transpose4(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = invocation(group, groups, lane);
  if (i >= dims.n) { return; }
  let to = place(i, dims.image);
  let span = seers(to.pixel);
  var sum = vec4<f32>();
  for (var r = span.x; r < span.z; r++) {
    for (var k = span.y; k < span.w; k++) {
      let share = weight(vec2<i32>(r, k), to.pixel);
      sum += share.x * share.y * x4[index(to.image, vec2<i32>(r, k), dims.factor * dims.image, i)];
    }
  }
  y4[i] = sum;
}
