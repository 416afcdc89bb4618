// The whole update of one optimizer group in one launch, PyTorch's arithmetic; and two small bookkeepers.
// The state is [rows, T]: the parameters p, the rule's moments, and last their moving average e.
//   g = scale·grad (+ decay·p, unless decoupled)
//   sgd   b = momentum·b + g;  p -= lr·b     (without momentum: p -= lr·g, and no row b)
//   adam  m += (1-β1)(g - m);  v = β2·v + (1-β2)g²;  (decoupled: p *= 1 - lr·decay)
//         p -= lr/(1-β1^t) · m/(√v/√(1-β2^t) + eps),  t = step + 1     (Kingma & Ba 2014, algorithm 1)
//   both  e += (1-d)(p - e), after a first step that copies p
// The bookkeepers:
//   increment  counter += 1
//   record     history[step mod H, column + k] = values[k]
//
// Index map: one invocation updates elements 4i..4i+3 of every row, in place (T is a multiple of 64); in
// record it writes one k.
//
// Bound: bandwidth: grads and every row are read once, every row is written once. Single values are loaded
// before the first branch: there a CPU driver loads once, under it once per lane.

struct Dims {
  momentum: f32,
  slots: u32, // H of the history
  width: u32, // K of the history
  column: u32, // where the values begin in a row of it
  values: u32, // how many there are
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

// <quad, from elementwise.wgsl>
// Four numbers as they lie in a buffer; for CPU drivers the planner puts <quad64> of selftest.int64 here.
alias Quad = vec4<f32>;
fn floats(q: Quad) -> vec4<f32> { return q; }
fn quad(v: vec4<f32>) -> Quad { return v; }
// </quad>

@group(0) @binding(0) var<storage, read_write> state: array<Quad>;
@group(0) @binding(0) var<storage, read_write> counter: u32;
@group(0) @binding(0) var<storage, read_write> history: array<f32>;
@group(0) @binding(1) var<storage, read> grads: array<Quad>;
@group(0) @binding(1) var<storage, read> values: array<f32>;

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

@group(0) @binding(2) var<storage, read> lr: f32;
@group(0) @binding(3) var<storage, read> scale: f32;
@group(0) @binding(4) var<storage, read> time: u32;
@group(0) @binding(5) var<uniform> dims: Dims;

override WORKGROUP: u32 = 256u;

// 1 - β^t from log β, accurate where β^t is close to 1: the series of -expm1(x) for small x = t·log β.
fn one_minus_power(t: f32, log_beta: f32) -> f32 {
  let x = t * log_beta;
  let tail = 1.0 + x * 0.16666667 * (1.0 + x * 0.14285715 * (1.0 + x * 0.125 * (1.0 + x * 0.11111111)));
  let series = x * (1.0 + x * 0.5 * (1.0 + x * 0.33333334 * (1.0 + x * 0.25 * (1.0 + x * 0.2 * tail))));
  return select(1.0 - exp(max(x, -80.0)), -series, x > -0.5);
}

fn gradient(i: u32, factor: f32, p: vec4<f32>) -> vec4<f32> {
  let g = floats(grads[i]) * factor;
  return select(g + dims.decay * p, g, dims.decoupled != 0u);
}

// Writes the new parameters and their moving average.
fn finish(i: u32, step: u32, p: vec4<f32>) {
  state[i] = quad(p);
  if (dims.average != zero(i)) {
    let k = dims.average * dims.n4 + i;
    let e = floats(state[k]);
    state[k] = quad(select(e + dims.rest_average * (p - e), p, step == 0u));
  }
}

@compute @workgroup_size(WORKGROUP)
fn adam(id: Invocation) {
  let rate = lr;
  let factor = scale;
  let step = time;
  let t = f32(step + 1u);
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n4) { return; }
  var p = floats(state[i]);
  let g = gradient(i, factor, p);
  let m0 = floats(state[dims.n4 + i]);
  let v0 = floats(state[2u * dims.n4 + i]);
  let m = m0 + dims.rest1 * (g - m0);
  let v = v0 + dims.rest2 * (g * g - v0);
  state[dims.n4 + i] = quad(m);
  state[2u * dims.n4 + i] = quad(v);
  if (dims.decoupled != zero(i)) { p *= 1.0 - rate * dims.decay; }
  let denom = sqrt(v) / sqrt(one_minus_power(t, dims.log_beta2)) + dims.eps;
  finish(i, step, p - rate / one_minus_power(t, dims.log_beta1) * (m / denom));
}

@compute @workgroup_size(WORKGROUP)
fn sgd(id: Invocation) {
  let rate = lr;
  let factor = scale;
  let step = time;
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n4) { return; }
  let p = floats(state[i]);
  var b = gradient(i, factor, p);
  if (dims.momentum != f32(zero(i))) {
    b += dims.momentum * floats(state[dims.n4 + i]);
    state[dims.n4 + i] = quad(b);
  }
  finish(i, step, p - rate * b);
}

@compute @workgroup_size(1)
fn increment() {
  counter += 1u;
}

@compute @workgroup_size(WORKGROUP)
fn record(id: Invocation) {
  let step = time;
  let k = number(id.group, id.groups, id.lane);
  if (k < dims.values) { history[(step % dims.slots) * dims.width + dims.column + k] = values[k]; }
}
