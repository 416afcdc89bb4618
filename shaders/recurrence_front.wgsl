// One scan step of an LSTM over the pixels of images as in recurrence.wgsl, for GPUs: the sums of what a
// front sees of earlier states, and the cells that it makes of them, in one launch.
//   front       the step itself: sums over taps and units
//   front_back  its derivative: sums over taps and gates
//
// Index map: a workgroup makes 128 / SLICES states of the front: in `front` four units of each, whose gates
// are four vec4s of columns, in `front_back` 16 units, also four vec4s. The vec4s of numbers that a sum is
// over, its k, are dealt to SLICES lanes, with two states of a vec4 each; a tree adds up theirs. Then a lane
// makes four units of a state.
//
// Bound: latency.

struct Dims {
  n: u32, // states of the front, images x its pixels
  units: u32, // in fours
  states: u32, // units of all states, images x pixels x units; in fours, too
  taps: u32,
  lattice: vec3<u32>, // rows and columns of the front, and how much further right a row lies than the last
  first: vec2<u32>, // its first pixel
  image: vec2<u32>,
  carried: vec2<i32>, // offset of the pixel whose cell goes on
  tap: array<vec4<i32>, 64>, // row, column of what is seen; backwards, of who saw it
}

// <quad, from elementwise.wgsl>
// Four numbers as they lie in a buffer; for CPU drivers the planner puts <quad64> of selftest.int64 here.
alias Quad = vec4<f32>;
fn floats(q: Quad) -> vec4<f32> { return q; }
fn quad(v: vec4<f32>) -> Quad { return v; }
// </quad>

@group(0) @binding(0) var<storage, read> weights: array<Quad>; // [tap][unit][gates]
@group(0) @binding(1) var<storage, read> gates: array<Quad>;
@group(0) @binding(2) var<storage, read_write> y4: array<Quad>; // what is kept; backwards, of gates
@group(0) @binding(3) var<storage, read> kept4: array<Quad>;
@group(0) @binding(4) var<storage, read> cotangent4: array<Quad>;
@group(0) @binding(6) var<storage, read_write> cells4: array<Quad>;
@group(0) @binding(7) var<uniform> dims: Dims;

override SLICES: u32 = 32u; // 8, 16, 32 or 64
override DEALS: u32 = 4u; // 1 to 4, whose loads are in flight at once

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

// <saturating, from elementwise.wgsl>
fn e_tanh(a: vec4<f32>) -> vec4<f32> {
  let s = a * a;
  let tail = s * (0.13333334 - s * (0.053968254 - s * 0.021869488));
  let series = a - a * s * (0.33333334 - tail);
  let above = select(a, vec4<f32>(-15.0), a < vec4<f32>(-15.0));
  let far = tanh(select(above, vec4<f32>(15.0), a > vec4<f32>(15.0)));
  return with_nan(select(far, series, s < vec4<f32>(0.0625)), a);
}
fn e_sigmoid(a: vec4<f32>) -> vec4<f32> {
  let t = exp(-abs(a));
  return with_nan(select(vec4<f32>(1.0), t, a < vec4<f32>(0.0)) / (1.0 + t), a);
}
// </saturating>

// <step, from recurrence.wgsl>
// The unit of a state that an invocation makes: the state's image, row and column, and the unit.
fn unit_of(i: u32) -> vec4<u32> {
  let state = i / dims.units;
  let line = state / dims.lattice.y;
  let row = line % dims.lattice.x;
  let column = state % dims.lattice.y + row * dims.lattice.z + dims.first.y;
  return vec4<u32>(line / dims.lattice.x, row + dims.first.x, column, i % dims.units);
}

fn place(p: vec4<u32>) -> u32 {
  return ((p.x * dims.image.x + p.y) * dims.image.y + p.z) * dims.units + p.w;
}

// The same unit of the state at an offset, or -1 outside the image.
fn neighbour(p: vec4<u32>, offset: vec2<i32>) -> i32 {
  let at = vec2<i32>(p.yz) + offset;
  let inside = at.x >= 0 && at.y >= 0 && at.x < i32(dims.image.x) && at.y < i32(dims.image.y);
  return select(-1, i32(place(vec4<u32>(p.x, vec2<u32>(at), p.w))), inside);
}

// What a step makes of four units: the state, the cell, and the gates o, f, i, g as columns.
struct Made { h: vec4<f32>, c: vec4<f32>, gates: mat4x4<f32> }

// From the gates before their functions, as columns, and the cell that goes on.
fn cell_of(a: mat4x4<f32>, before: vec4<f32>) -> Made {
  let open = mat4x4<f32>(e_sigmoid(a[0]), e_sigmoid(a[1]), e_sigmoid(a[2]), e_tanh(a[3]));
  let c = open[1] * before + open[2] * open[3];
  return Made(open[0] * e_tanh(c), c, open);
}

// The derivative of a step of four units: the cotangents of the cell that went on and of the gates.
struct Asks { before: vec4<f32>, gates: mat4x4<f32> }

// From what the step made, the cell that went on, the cotangent of h, and what the cell that goes on asks.
fn cell_back(open: mat4x4<f32>, c: vec4<f32>, before: vec4<f32>, dh: vec4<f32>, later: vec4<f32>) -> Asks {
  let t = e_tanh(c);
  let dc = dh * open[0] * (1.0 - t * t) + later;
  return Asks(dc * open[1], mat4x4<f32>(
    dh * t * open[0] * (1.0 - open[0]),
    dc * before * open[1] * (1.0 - open[1]),
    dc * open[3] * open[2] * (1.0 - open[2]),
    dc * open[2] * (1.0 - open[3] * open[3]),
  ));
}

// Makes and stores four units of a state.
fn make4(at: u32, a: mat4x4<f32>, before: vec4<f32>) {
  let made = cell_of(transpose(a), before);
  y4[at] = quad(made.h);
  y4[dims.states + at] = quad(made.c);
  let open = transpose(made.gates);
  let to = 2u * dims.states + 4u * at;
  y4[to] = quad(open[0]); y4[to + 1u] = quad(open[1]);
  y4[to + 2u] = quad(open[2]); y4[to + 3u] = quad(open[3]);
}

// Makes and stores the cotangents of four units.
fn make_back4(p: vec4<u32>, at: u32, dh: vec4<f32>, later: vec4<f32>) {
  let k = 2u * dims.states + 4u * at;
  let open = mat4x4<f32>(
    floats(kept4[k]), floats(kept4[k + 1u]), floats(kept4[k + 2u]), floats(kept4[k + 3u]),
  );
  let c = floats(kept4[dims.states + at]);
  let source = neighbour(p, dims.carried);
  let before = select(vec4<f32>(), floats(kept4[dims.states + u32(max(source, 0))]), source >= 0);
  let asks = cell_back(transpose(open), c, before, dh, later);
  cells4[at] = quad(asks.before);
  let each = transpose(asks.gates);
  let to = 4u * at;
  y4[to] = quad(each[0]); y4[to + 1u] = quad(each[1]);
  y4[to + 2u] = quad(each[2]); y4[to + 3u] = quad(each[3]);
}
// </step>

var<workgroup> seen: array<array<i32, 64>, 16>; // [state][tap]: its first k in y4, below 0 for none
var<workgroup> part: array<array<vec4<f32>, 256>, 2>; // [state of a lane][lane]
var<private> sums: mat2x4<f32>;

// Four numbers each of two states and of four columns or rows of weights, and which of them there are.
struct Deal { p: vec4<f32>, r: vec4<f32>, q: mat4x4<f32>, on: vec3<bool> }

// What `sum` loads for k of the states from `row` on.
fn load(first: u32, j: u32, row: u32, col: u32, back: bool) -> Deal {
  if (j >= DEALS) { return Deal(); }
  let wide = 4u * dims.units; // vec4s of a row of weights
  let deep = select(dims.units, wide, back); // k of a tap
  let k = first + SLICES * j; let on = k < dims.taps * deep;
  let t = select(0u, k / deep, on); let c = k % deep;
  let b = (t * wide + 4u * select(c, col, back)) * wide + select(col, c, back);
  let q0 = floats(weights[b]); let q1 = floats(weights[b + wide]);
  let q2 = floats(weights[b + 2u * wide]); let q3 = floats(weights[b + 3u * wide]);
  let from0 = seen[row][t]; let from1 = seen[row + 1u][t];
  let p = floats(y4[u32(max(from0, 0)) + c]); let r = floats(y4[u32(max(from1, 0)) + c]);
  return Deal(p, r, mat4x4<f32>(q0, q1, q2, q3), vec3<bool>(on && from0 >= 0, on && from1 >= 0, on));
}

// Adds the products. What there is not is zero on both sides, since zero times infinity is a NaN.
fn add(d: Deal, j: u32, back: bool) {
  if (j >= DEALS) { return; }
  let z = vec4<f32>();
  var q = mat4x4<f32>(select(z, d.q[0], d.on.z), select(z, d.q[1], d.on.z), z, z);
  q[2] = select(z, d.q[2], d.on.z); q[3] = select(z, d.q[3], d.on.z);
  if (back) { q = transpose(q); }
  sums += q * mat2x4<f32>(select(z, d.p, d.on.x), select(z, d.r, d.on.y));
}

// Leaves a workgroup's sums in `part`, at the first lane of those that share them.
fn sum(group: vec3<u32>, lane: u32, columns: u32, back: bool) {
  for (var i = lane; i < 128u / SLICES * dims.taps; i += 256u) {
    let t = i % dims.taps;
    let state = min(group.y * (128u / SLICES) + i / dims.taps, dims.n - 1u);
    seen[i / dims.taps][t] = neighbour(unit_of(state * dims.units), dims.tap[t].xy) * select(1, 4, back);
  }
  workgroupBarrier();
  let row = lane / 4u / SLICES * 2u; let col = min(4u * group.x + lane % 4u, columns - 1u);
  let end = dims.taps * dims.units * select(1u, 4u, back);
  for (var k = lane / 4u % SLICES; k < end; k += SLICES * DEALS) {
    let p = load(k, 0u, row, col, back); let q = load(k, 1u, row, col, back);
    let r = load(k, 2u, row, col, back); let s = load(k, 3u, row, col, back);
    add(p, 0u, back); add(q, 1u, back); add(r, 2u, back); add(s, 3u, back);
  }
  part[0][lane] = sums[0]; part[1][lane] = sums[1];
  workgroupBarrier();
  for (var s = SLICES / 2u; s > 0u; s /= 2u) {
    if (lane / 4u % SLICES < s) {
      sums += mat2x4<f32>(part[0][lane + 4u * s], part[1][lane + 4u * s]);
      part[0][lane] = sums[0]; part[1][lane] = sums[1];
    }
    workgroupBarrier();
  }
}

// A sum of a state of the workgroup's.
fn made(state: u32, column: u32) -> vec4<f32> { return part[state % 2u][state / 2u * 4u * SLICES + column]; }

@compute @workgroup_size(256)
fn front(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  sum(group, lane, 4u * dims.units, false);
  let state = group.y * (128u / SLICES) + lane;
  if (lane >= 128u / SLICES || state >= dims.n) { return; }
  let p = unit_of(state * dims.units + group.x); let at = place(p); let k = 4u * at;
  let source = neighbour(p, dims.carried);
  let before = select(vec4<f32>(), floats(y4[dims.states + u32(max(source, 0))]), source >= 0);
  let a0 = floats(gates[k]) + made(lane, 0u); let a1 = floats(gates[k + 1u]) + made(lane, 1u);
  let a2 = floats(gates[k + 2u]) + made(lane, 2u); let a3 = floats(gates[k + 3u]) + made(lane, 3u);
  make4(at, mat4x4<f32>(a0, a1, a2, a3), before);
}

@compute @workgroup_size(256)
fn front_back(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  sum(group, lane, dims.units, true);
  let state = group.y * (128u / SLICES) + lane / 4u; let unit = 4u * group.x + lane % 4u;
  if (lane >= 512u / SLICES || state >= dims.n || unit >= dims.units) { return; }
  let p = unit_of(state * dims.units + unit); let at = place(p);
  let onward = neighbour(p, -dims.carried);
  let later = select(vec4<f32>(), floats(cells4[u32(max(onward, 0))]), onward >= 0);
  make_back4(p, at, floats(cotangent4[at]) + made(lane / 4u, lane % 4u), later);
}
