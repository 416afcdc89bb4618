// One scan step of an LSTM over the pixels of images, for every adapter: the states of a front, a row or a
// diagonal, after a convolution has summed what they see of earlier states.
//   o, f, i = σ(a), g = tanh(a), where a = gates + seen   (van den Oord et al. 2016, eq. 3)
//   c = f·c' + i·g, h = o·tanh(c)                         c' is the cell of the pixel from which c goes on
// Outside the image, states and cells are zero. `kept` is [h][c][o f i g of each unit], with [N][H][W][unit].
//
// Index map: one invocation makes one unit of one state, or four neighbouring ones (cell4, back4).
//   cell  the step itself
//   back  its derivative, front by front backwards: from the cotangent of h and what later states ask
//         (`asked`), the cotangents of the four gates, and of c' (`cells`)
//
// Bound: bandwidth, and the launch itself where a front is small.

struct Dims {
  n: u32, // units of states made, images x pixels of the front x units; in fours where four are made at once
  units: u32, // in fours, too
  states: u32, // units of all states, images x pixels x units; in fours, too
  sees: u32, // 1: the front sees earlier states; backwards: later states ask
  lattice: vec3<u32>, // rows and columns of the front, and how much further right a row lies than the last
  first: vec2<u32>, // its first pixel
  image: vec2<u32>,
  carried: vec2<i32>, // offset of the pixel whose cell goes on
}

// <quad, from elementwise.wgsl>
// Four numbers as they lie in a buffer; for CPU drivers the planner puts <quad64> of selftest.int64 here.
alias Quad = vec4<f32>;
fn floats(q: Quad) -> vec4<f32> { return q; }
fn quad(v: vec4<f32>) -> Quad { return v; }
// </quad>

@group(0) @binding(0) var<storage, read> gates: array<Quad>;
@group(0) @binding(1) var<storage, read> seen: array<Quad>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> kept: array<f32>;
@group(0) @binding(4) var<storage, read> cotangent: array<f32>;
@group(0) @binding(5) var<storage, read> asked: array<f32>;
@group(0) @binding(6) var<storage, read_write> cells: array<f32>;
@group(0) @binding(2) var<storage, read_write> y4: array<Quad>;
@group(0) @binding(3) var<storage, read> kept4: array<Quad>;
@group(0) @binding(4) var<storage, read> cotangent4: array<Quad>;
@group(0) @binding(5) var<storage, read> asked4: array<Quad>;
@group(0) @binding(6) var<storage, read_write> cells4: array<Quad>;
@group(0) @binding(7) var<uniform> dims: Dims;

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

// <step, master>
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

// One unit's four numbers as columns.
fn spread(v: vec4<f32>) -> mat4x4<f32> {
  return mat4x4<f32>(vec4<f32>(v.x), vec4<f32>(v.y), vec4<f32>(v.z), vec4<f32>(v.w));
}

fn first_of(m: mat4x4<f32>) -> vec4<f32> { return transpose(m)[0]; }

// A unit's gates before their functions. The first front sees nothing: there `seen` holds anything.
fn sum(at: u32) -> vec4<f32> {
  return floats(gates[at]) + select(vec4<f32>(), floats(seen[at]), dims.sees == 1u);
}

// Makes and stores a unit of a state.
fn make(at: u32, a: vec4<f32>, before: f32) {
  let made = cell_of(spread(a), vec4<f32>(before));
  y[at] = made.h.x;
  y[dims.states + at] = made.c.x;
  let open = first_of(made.gates);
  let to = 2u * dims.states + 4u * at;
  y[to] = open.x; y[to + 1u] = open.y; y[to + 2u] = open.z; y[to + 3u] = open.w;
}

@compute @workgroup_size(WORKGROUP)
fn cell(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let p = unit_of(i);
  let at = place(p);
  let source = neighbour(p, dims.carried);
  let before = select(0.0, y[dims.states + u32(max(source, 0))], source >= 0);
  make(at, sum(at), before);
}

@compute @workgroup_size(WORKGROUP)
fn cell4(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let p = unit_of(i);
  let at = place(p);
  let source = neighbour(p, dims.carried);
  let before = select(vec4<f32>(), floats(y4[dims.states + u32(max(source, 0))]), source >= 0);
  let k = 4u * at;
  make4(at, mat4x4<f32>(sum(k), sum(k + 1u), sum(k + 2u), sum(k + 3u)), before);
}

// Makes and stores the cotangents of a unit.
fn make_back(p: vec4<u32>, at: u32, dh: f32, later: f32) {
  let gate = 2u * dims.states + 4u * at;
  let open = vec4<f32>(kept[gate], kept[gate + 1u], kept[gate + 2u], kept[gate + 3u]);
  let c = kept[dims.states + at];
  let source = neighbour(p, dims.carried);
  let before = select(0.0, kept[dims.states + u32(max(source, 0))], source >= 0);
  let asks = cell_back(spread(open), vec4<f32>(c), vec4<f32>(before), vec4<f32>(dh), vec4<f32>(later));
  cells[at] = asks.before.x;
  y4[at] = quad(first_of(asks.gates));
}

@compute @workgroup_size(WORKGROUP)
fn back(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let p = unit_of(i);
  let at = place(p);
  let onward = neighbour(p, -dims.carried);
  let later = select(0.0, cells[u32(max(onward, 0))], onward >= 0);
  make_back(p, at, cotangent[at] + select(0.0, asked[at], dims.sees == 1u), later);
}

@compute @workgroup_size(WORKGROUP)
fn back4(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let p = unit_of(i);
  let at = place(p);
  let onward = neighbour(p, -dims.carried);
  let later = select(vec4<f32>(), floats(cells4[u32(max(onward, 0))]), onward >= 0);
  let sum = floats(cotangent4[at]) + select(vec4<f32>(), floats(asked4[at]), dims.sees == 1u);
  make_back4(p, at, sum, later);
}
