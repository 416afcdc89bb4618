// One scan step of an LSTM over the pixels of images, for every adapter: the states of a front, a row or a
// diagonal, after a convolution has summed what they see of earlier states.
//   o, f, i = σ(a), g = tanh(a), where a = gates + seen   (van den Oord et al. 2016, eq. 3)
//   c = f·c' + i·g, h = o·tanh(c)                         c' is the cell of the pixel from which c goes on
// Outside the image, states and cells are zero. `kept` is [h][c][o f i g of each unit], with [N][H][W][unit].
//
// Index map: one invocation makes one unit of one state.
//   cell_first, cell  the step itself; the first front sees no state
//   back_first, back  its derivative, front by front backwards: from the cotangent of h and what later states
//                     ask (`asked`), the cotangents of the four gates, and of c' (`cells`)
//
// Bound: bandwidth, and the launch itself where a front is small.

struct Dims {
  n: u32, // units of states made: images x pixels of the front x units
  units: u32,
  states: u32, // units of all states: images x pixels x units
  lattice: vec3<u32>, // rows and columns of the front, and how much further right a row lies than the last
  first: vec2<u32>, // its first pixel
  image: vec2<u32>,
  carried: vec2<i32>, // offset of the pixel whose cell goes on
}

@group(0) @binding(0) var<storage, read> gates: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> seen: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> kept: array<f32>;
@group(0) @binding(4) var<storage, read> cotangent: array<f32>;
@group(0) @binding(5) var<storage, read> asked: array<f32>;
@group(0) @binding(6) var<storage, read_write> cells: array<f32>;
@group(0) @binding(2) var<storage, read_write> y4: array<vec4<f32>>;
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

fn tanh_of(a: f32) -> f32 { return e_tanh(vec4<f32>(a)).x; }

// Stores a unit of a state from its gates before their functions, and the cell that goes on.
fn make(at: u32, a: vec4<f32>, before: f32) {
  let open = e_sigmoid(a);
  let g = tanh_of(a.w);
  let c = open.y * before + open.z * g;
  y[at] = open.x * tanh_of(c);
  y[dims.states + at] = c;
  let to = 2u * dims.states + 4u * at;
  y[to] = open.x; y[to + 1u] = open.y; y[to + 2u] = open.z; y[to + 3u] = g;
}

@compute @workgroup_size(WORKGROUP)
fn cell_first(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let at = place(unit_of(i));
  make(at, gates[at], 0.0);
}

@compute @workgroup_size(WORKGROUP)
fn cell(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let p = unit_of(i);
  let at = place(p);
  let source = neighbour(p, dims.carried);
  make(at, gates[at] + seen[at], select(0.0, y[dims.states + u32(max(source, 0))], source >= 0));
}

// Cotangents of a unit from that of h, and from what the cell that goes on from it asks.
fn make_back(p: vec4<u32>, at: u32, dh: f32, later: f32) {
  let gate = 2u * dims.states + 4u * at;
  let open = vec3<f32>(kept[gate], kept[gate + 1u], kept[gate + 2u]); // o, f, i
  let g = kept[gate + 3u];
  let t = tanh_of(kept[dims.states + at]);
  let source = neighbour(p, dims.carried);
  let before = select(0.0, kept[dims.states + u32(max(source, 0))], source >= 0);
  let dc = dh * open.x * (1.0 - t * t) + later;
  cells[at] = dc * open.y;
  let slope = open * (1.0 - open);
  y4[at] = vec4<f32>(vec3<f32>(dh * t, dc * before, dc * g) * slope, dc * open.z * (1.0 - g * g));
}

@compute @workgroup_size(WORKGROUP)
fn back_first(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let p = unit_of(i);
  let at = place(p);
  make_back(p, at, cotangent[at], 0.0);
}

@compute @workgroup_size(WORKGROUP)
fn back(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let p = unit_of(i);
  let at = place(p);
  let onward = neighbour(p, -dims.carried);
  let later = select(0.0, cells[u32(max(onward, 0))], onward >= 0);
  make_back(p, at, cotangent[at] + asked[at], later);
}
