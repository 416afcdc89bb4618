// Pooling over windows of x[n, h, w, c], f32: a tap is a position in the window, numbered in raster order; outside is nothing.
//   gather   y[p] = factor·Σ x[p·stride + tap], or with ARGMAX the first tap of the largest, as a whole number
//   take     y[p] = x[p·stride + tap at[p]]
//   scatter  dx[q] = factor·Σ y[p] over the windows p that hold q, with PICKED those whose tap at[p] is q: the derivative of
//            gather and of take, summed where it lands, so without atomics
// Index map: one invocation an element, of the entry points *4 four channels, which want c to be a multiple of 4. Bandwidth bound.

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

@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(0) var<storage, read_write> y4: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> taps: array<f32>;
@group(0) @binding(2) var<storage, read> taps4: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> dims: Dims;

override WORKGROUP: u32 = 64u;
override ARGMAX: bool = false;
override PICKED: bool = false;

fn invocation(group: vec3<u32>, groups: vec3<u32>, lane: u32) -> u32 {
  return (group.y * groups.x + group.x) * WORKGROUP + lane;
}

// Image, row, column and channel of an element.
fn place(i: u32, extents: vec2<u32>) -> vec4<u32> {
  let pixel = i / dims.c;
  let row = pixel / extents.y;
  return vec4<u32>(row / extents.x, row % extents.x, pixel % extents.y, i % dims.c);
}

fn index(image: u32, at: vec2<u32>, channel: u32, extents: vec2<u32>) -> u32 {
  return ((image * extents.x + at.x) * extents.y + at.y) * dims.c + channel;
}

// The window's rows and columns. What is added is 0 and keeps a loop's condition from holding uniforms alone.
fn positions(i: u32) -> vec2<u32> {
  return dims.size + (i >> 31u);
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

// A NaN counts as larger than all, so that it is seen.
fn larger(v: f32, best: f32) -> bool {
  return v > best || (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

fn larger4(v: vec4<f32>, best: vec4<f32>) -> vec4<bool> {
  return (v > best) | ((bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u));
}

@compute @workgroup_size(WORKGROUP)
fn gather(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = invocation(group, groups, lane);
  if (i >= dims.n) { return; }
  let p = place(i, dims.made);
  let end = positions(i);
  var best = 0.0;
  var at = -1.0;
  for (var r = 0u; r < end.x; r++) {
    for (var k = 0u; k < end.y; k++) {
      let q = seen(p.yz, vec2<u32>(r, k));
      if (any(q >= dims.image)) { continue; }
      let v = x[index(p.x, q, p.w, dims.image)];
      if (ARGMAX) {
        if (at < 0.0 || larger(v, best)) {
          best = v;
          at = f32(r * dims.size.y + k);
        }
      } else {
        best += v;
      }
    }
  }
  y[i] = select(best * dims.factor, at, ARGMAX);
}

@compute @workgroup_size(WORKGROUP)
fn gather4(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = invocation(group, groups, lane);
  if (i >= dims.n) { return; }
  let p = place(i, dims.made);
  let end = positions(i);
  var best = vec4<f32>();
  var at = vec4<f32>(-1.0);
  for (var r = 0u; r < end.x; r++) {
    for (var k = 0u; k < end.y; k++) {
      let q = seen(p.yz, vec2<u32>(r, k));
      if (any(q >= dims.image)) { continue; }
      let v = x4[index(p.x, q, p.w, dims.image)];
      if (ARGMAX) {
        let better = (at < vec4<f32>()) | larger4(v, best);
        best = select(best, v, better);
        at = select(at, vec4<f32>(f32(r * dims.size.y + k)), better);
      } else {
        best += v;
      }
    }
  }
  y4[i] = select(best * dims.factor, at, ARGMAX);
}

// Element of channel c of image p.x that a window's tap picks.
fn picked(p: vec4<u32>, tap: f32, channel: u32, channels: u32) -> f32 {
  let t = u32(max(tap, 0.0));
  let q = min(seen(p.yz, vec2<u32>(t / dims.size.y, t % dims.size.y)), dims.image - 1u);
  return x[((p.x * dims.image.x + q.x) * dims.image.y + q.y) * channels + channel];
}

@compute @workgroup_size(WORKGROUP)
fn take(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = invocation(group, groups, lane);
  if (i >= dims.n) { return; }
  let p = place(i, dims.made);
  y[i] = picked(p, taps[i], p.w, dims.c);
}

@compute @workgroup_size(WORKGROUP)
fn take4(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = invocation(group, groups, lane);
  if (i >= dims.n) { return; }
  let p = place(i, dims.made);
  let t = taps4[i];
  let c = 4u * p.w;
  let all = 4u * dims.c;
  y4[i] = vec4<f32>(picked(p, t.x, c, all), picked(p, t.y, c + 1u, all), picked(p, t.z, c + 2u, all), picked(p, t.w, c + 3u, all));
}

@compute @workgroup_size(WORKGROUP)
fn scatter(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = invocation(group, groups, lane);
  if (i >= dims.n) { return; }
  let q = place(i, dims.image);
  let end = positions(i);
  var sum = 0.0;
  for (var r = 0u; r < end.x; r++) {
    for (var k = 0u; k < end.y; k++) {
      let p = seer(q.yz, vec2<u32>(r, k));
      if (any(p >= dims.made)) { continue; }
      let read = index(q.x, p, q.w, dims.made);
      if (PICKED) {
        sum += select(0.0, x[read], taps[read] == f32(r * dims.size.y + k));
      } else {
        sum += x[read];
      }
    }
  }
  y[i] = sum * dims.factor;
}

@compute @workgroup_size(WORKGROUP)
fn scatter4(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = invocation(group, groups, lane);
  if (i >= dims.n) { return; }
  let q = place(i, dims.image);
  let end = positions(i);
  var sum = vec4<f32>();
  for (var r = 0u; r < end.x; r++) {
    for (var k = 0u; k < end.y; k++) {
      let p = seer(q.yz, vec2<u32>(r, k));
      if (any(p >= dims.made)) { continue; }
      let read = index(q.x, p, q.w, dims.made);
      if (PICKED) {
        sum += select(vec4<f32>(), x4[read], taps4[read] == vec4<f32>(f32(r * dims.size.y + k)));
      } else {
        sum += x4[read];
      }
    }
  }
  y4[i] = sum * dims.factor;
}
