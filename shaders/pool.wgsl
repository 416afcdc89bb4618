// Pooling over windows of x[n, h, w, c], f32: a tap is a position in the window, numbered in raster order;
// outside the image is nothing.
//   gather   y[p] = factor·Σ_t x[p·stride + t], or with ARGMAX the first tap t of the largest, as a whole
//            number
//   take     y[p] = x[p·stride + taps[p]]
//   scatter  y[q] = factor·Σ x[p] over the windows p that see pixel q, with PICKED only those whose taps[p]
//            is q: the derivatives of gather and take, summed where they land, so without atomics
//
// Index map: one invocation makes one element, in the entry points *4 four channels (c is a multiple of 4).
//
// Bound: bandwidth.

struct Dims {
  n: u32, // elements made, or vec4s
  c: u32, // channels; in the entry points *4 vec4s
  factor: f32,
  image: vec2<u32>,
  made: vec2<u32>,
  size: vec2<u32>,
  stride: vec2<u32>,
  padding: vec2<u32>,
  dilation: vec2<u32>,
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
@group(0) @binding(2) var<storage, read> taps: array<f32>;
@group(0) @binding(2) var<storage, read> taps4: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> dims: Dims;

override WORKGROUP: u32 = 64u;
override ARGMAX: bool = false;
override PICKED: bool = false;

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

// Image, row, column and channel of an element.
fn place(i: u32, extents: vec2<u32>) -> vec4<u32> {
  let pixel = i / dims.c;
  let row = pixel / extents.y;
  return vec4<u32>(row / extents.x, row % extents.x, pixel % extents.y, i % dims.c);
}

fn index(image: u32, at: vec2<u32>, channel: u32, extents: vec2<u32>) -> u32 {
  return ((image * extents.x + at.x) * extents.y + at.y) * dims.c + channel;
}

// Pixel that window `made` sees by a tap; outside it is beyond the image (before it, by wrapping).
fn seen(made: vec2<u32>, tap: vec2<u32>) -> vec2<u32> {
  return made * dims.stride + tap * dims.dilation - dims.padding;
}

// Window that sees a pixel by a tap, beyond `made` if none.
fn seer(pixel: vec2<u32>, tap: vec2<u32>) -> vec2<u32> {
  let first = pixel + dims.padding - tap * dims.dilation;
  let whole = (first < vec2<u32>(0x80000000u)) & (first % dims.stride == vec2<u32>());
  return select(dims.made, first / dims.stride, whole);
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

// What has been gathered: the sum, or the largest value and its tap, -1 before the first.
struct Gathered {
  value: vec4<f32>,
  tap: vec4<f32>,
}

// With one more value. A NaN counts as larger than all, so that it is seen.
fn joined(old: Gathered, v: vec4<f32>, tap: f32) -> Gathered {
  if (!ARGMAX) { return Gathered(old.value + v, old.tap); }
  let better = (old.tap < vec4<f32>()) | (v > old.value) | is_nan(v);
  return Gathered(select(old.value, v, better), select(old.tap, vec4<f32>(tap), better));
}

fn result(so_far: Gathered) -> vec4<f32> {
  return select(so_far.value * dims.factor, so_far.tap, ARGMAX);
}

@compute @workgroup_size(WORKGROUP)
fn gather(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let p = place(i, dims.made);
  let end = dims.size + zero(i);
  var so_far = Gathered(vec4<f32>(), vec4<f32>(-1.0));
  for (var r = 0u; r < end.x; r++) {
    for (var k = 0u; k < end.y; k++) {
      let q = seen(p.yz, vec2<u32>(r, k));
      if (any(q >= dims.image)) { continue; }
      so_far = joined(so_far, vec4<f32>(x[index(p.x, q, p.w, dims.image)]), f32(r * dims.size.y + k));
    }
  }
  y[i] = result(so_far).x;
}

@compute @workgroup_size(WORKGROUP)
fn gather4(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let p = place(i, dims.made);
  let end = dims.size + zero(i);
  var so_far = Gathered(vec4<f32>(), vec4<f32>(-1.0));
  for (var r = 0u; r < end.x; r++) {
    for (var k = 0u; k < end.y; k++) {
      let q = seen(p.yz, vec2<u32>(r, k));
      if (any(q >= dims.image)) { continue; }
      so_far = joined(so_far, floats(x4[index(p.x, q, p.w, dims.image)]), f32(r * dims.size.y + k));
    }
  }
  y4[i] = quad(result(so_far));
}

// Element of channel c of image p.x that a window's tap picks.
fn picked(p: vec4<u32>, tap: f32, channel: u32, channels: u32) -> f32 {
  let t = u32(max(tap, 0.0));
  let q = min(seen(p.yz, vec2<u32>(t / dims.size.y, t % dims.size.y)), dims.image - 1u);
  return x[((p.x * dims.image.x + q.x) * dims.image.y + q.y) * channels + channel];
}

@compute @workgroup_size(WORKGROUP)
fn take(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let p = place(i, dims.made);
  y[i] = picked(p, taps[i], p.w, dims.c);
}

@compute @workgroup_size(WORKGROUP)
fn take4(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let p = place(i, dims.made);
  let t = taps4[i];
  let c = 4u * p.w;
  let all = 4u * dims.c;
  y4[i] = quad(vec4<f32>(
    picked(p, t.x, c, all),
    picked(p, t.y, c + 1u, all),
    picked(p, t.z, c + 2u, all),
    picked(p, t.w, c + 3u, all),
  ));
}

@compute @workgroup_size(WORKGROUP)
fn scatter(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let q = place(i, dims.image);
  let end = dims.size + zero(i);
  var sum = 0.0;
  for (var r = 0u; r < end.x; r++) {
    for (var k = 0u; k < end.y; k++) {
      let p = seer(q.yz, vec2<u32>(r, k));
      if (any(p >= dims.made)) { continue; }
      let at = index(q.x, p, q.w, dims.made);
      if (PICKED) {
        sum += select(0.0, x[at], taps[at] == f32(r * dims.size.y + k));
      } else {
        sum += x[at];
      }
    }
  }
  y[i] = sum * dims.factor;
}

@compute @workgroup_size(WORKGROUP)
fn scatter4(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let q = place(i, dims.image);
  let end = dims.size + zero(i);
  var sum = vec4<f32>();
  for (var r = 0u; r < end.x; r++) {
    for (var k = 0u; k < end.y; k++) {
      let p = seer(q.yz, vec2<u32>(r, k));
      if (any(p >= dims.made)) { continue; }
      let at = index(q.x, p, q.w, dims.made);
      if (PICKED) {
        sum += select(vec4<f32>(), floats(x4[at]), taps4[at] == vec4<f32>(f32(r * dims.size.y + k)));
      } else {
        sum += floats(x4[at]);
      }
    }
  }
  y4[i] = quad(sum * dims.factor);
}
