// Adam for CPU drivers (see optimizer.wgsl): the same update on 64-bit words. These drivers load component by component, lane by lane,
// so two parameters per component nearly halve the time. Bandwidth bound elsewhere; load bound here.
// Index map: T is a multiple of 64; one invocation updates elements 4i..4i+3 of every row, in place.

struct Dims {
  n4: u32, // vec4s per row
  average: u32, // index of the row e; 0 without one
  decoupled: u32,
  decay: f32, // weight decay
  eps: f32,
  log_beta1: f32,
  log_beta2: f32,
  rest1: f32, // 1 - β1, which f32 could not recover from β1
  rest2: f32,
  rest_average: f32, // 1 - d
}

@group(0) @binding(0) var<storage, read_write> state: array<vec2<u64>>;
@group(0) @binding(1) var<storage, read> grads: array<vec2<u64>>;
@group(0) @binding(2) var<storage, read> lr: f32;
@group(0) @binding(3) var<storage, read> scale: f32;
@group(0) @binding(4) var<storage, read> time: u32;
@group(0) @binding(5) var<uniform> dims: Dims;

override WORKGROUP: u32 = 256u;

fn floats(v: vec2<u64>) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4<u32>(u32(v.x), u32(v.x >> 32u), u32(v.y), u32(v.y >> 32u)));
}

fn words(v: vec4<f32>) -> vec2<u64> {
  let u = bitcast<vec4<u32>>(v);
  return vec2<u64>(u64(u.x) | (u64(u.y) << 32u), u64(u.z) | (u64(u.w) << 32u));
}

// 0, which the compiler cannot know: see docs/notes/drivers.md.
fn zero(index: u32) -> u32 {
  return index >> 31u;
}

// 1 - β^t from log β, accurate where β^t is close to 1: the series of -expm1(x) for small x = t·log β.
fn one_minus_power(t: f32, log_beta: f32) -> f32 {
  let x = t * log_beta;
  let tail = 1.0 + x * 0.16666667 * (1.0 + x * 0.14285715 * (1.0 + x * 0.125 * (1.0 + x * 0.11111111)));
  let series = x * (1.0 + x * 0.5 * (1.0 + x * 0.33333334 * (1.0 + x * 0.25 * (1.0 + x * 0.2 * tail))));
  return select(1.0 - exp(max(x, -80.0)), -series, x > -0.5);
}

@compute @workgroup_size(WORKGROUP)
fn adam(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let rate = lr;
  let factor = scale;
  let at = time;
  let t = f32(at + 1u);
  let i = (group.y * groups.x + group.x) * WORKGROUP + lane;
  if (i >= dims.n4) { return; }
  var p = floats(state[i]);
  let grad = floats(grads[i]) * factor;
  let g = select(grad + dims.decay * p, grad, dims.decoupled != 0u);
  let m0 = floats(state[dims.n4 + i]);
  let v0 = floats(state[2u * dims.n4 + i]);
  let m = m0 + dims.rest1 * (g - m0);
  let v = v0 + dims.rest2 * (g * g - v0);
  state[dims.n4 + i] = words(m);
  state[2u * dims.n4 + i] = words(v);
  if (dims.decoupled != zero(i)) { p *= 1.0 - rate * dims.decay; }
  let denom = sqrt(v) / sqrt(one_minus_power(t, dims.log_beta2)) + dims.eps;
  p -= rate / one_minus_power(t, dims.log_beta1) * (m / denom);
  state[i] = words(p);
  if (dims.average != zero(i)) {
    let k = dims.average * dims.n4 + i;
    let e = floats(state[k]);
    state[k] = words(select(e + dims.rest_average * (p - e), p, at == 0u));
  }
}
