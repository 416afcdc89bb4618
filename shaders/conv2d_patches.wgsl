// Convolutions of images of few channels, f32, channels last, for CPU drivers: the rows of the implicit
// matrix product (conv2d.wgsl) are made in memory, and what its transpose makes there is added up.
//
// Index map: one invocation makes four elements in patches, one in fold.
//   patches  y4[pixel, (tap, channel)] = x[pixel·src_step + tap, channel]
//   fold     the transpose: y[pixel, channel] = Σ over the taps of x[pixel·src_step + tap, (tap, channel)]
//
// Bound: bandwidth, limited by loads.

struct Dims {
  rows: u32, // pixels made
  c: u32, // channels read
  o: u32, // channels made
  taps: u32,
  // <sweep, from conv2d.wgsl>
  lattice: vec3<u32>, // rows and columns made by a sweep, and columns that a row shifts right
  src: vec2<u32>, // extents of the image read
  src_step: vec2<u32>,
  dst: vec2<u32>, // extents of the image made
  dst_step: vec2<u32>,
  dst_first: vec2<u32>,
  tap: array<vec4<i32>, 64>, // row, column, index into w
  // </sweep>
}

// <quad, from elementwise.wgsl>
// Four numbers as they lie in a buffer; for CPU drivers the planner puts <quad64> of selftest.int64 here.
alias Quad = vec4<f32>;
fn floats(q: Quad) -> vec4<f32> { return q; }
fn quad(v: vec4<f32>) -> Quad { return v; }
// </quad>

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read_write> y4: array<Quad>;
@group(0) @binding(2) var<uniform> dims: Dims;
const WORKGROUP = 256u;

// <zero, from matmul.wgsl>
// 0, which the compiler cannot know, so that no condition holds uniforms alone: see docs/notes/drivers.md.
fn zero(index: u32) -> u32 { return index >> 31u; }
// </zero>

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

// <lattice, from conv2d.wgsl>
// (image, row, column) of a lattice pixel.
fn pixel(row: u32) -> vec3<u32> {
  let line = row / dims.lattice.y; let image = line / dims.lattice.x;
  let y = line - image * dims.lattice.x; // a remainder would be one more division
  return vec3<u32>(image, y, row - line * dims.lattice.y + y * dims.lattice.z);
}

// The pixel of y where a lattice pixel is made.
fn place(p: vec3<u32>) -> u32 {
  let at = p.yz * dims.dst_step + dims.dst_first;
  return (p.x * dims.dst.x + at.x) * dims.dst.y + at.y;
}

// How far behind the first sweep's pixels another one's are made.
fn behind(sweep: u32) -> u32 { return sweep / dims.dst_step.y * dims.dst.y + sweep % dims.dst_step.y; }
// </lattice>

// <seen, from conv2d.wgsl>
// The pixel of x that a pixel made (image, row, column) sees through a tap, or -1 outside the image.
fn seen(p: vec3<u32>, tap: vec4<i32>) -> i32 {
  let row = i32(p.y * dims.src_step.x) + tap.x;
  let col = i32(p.z * dims.src_step.y) + tap.y;
  let inside = row >= 0 && row < i32(dims.src.x) && col >= 0 && col < i32(dims.src.y);
  return select(-1, (i32(p.x * dims.src.x) + row) * i32(dims.src.y) + col, inside);
}
// </seen>

// Returns what a pixel sees of a channel through a tap.
fn element(p: vec3<u32>, tap_channel: vec2<u32>) -> f32 {
  let at = seen(p, dims.tap[min(tap_channel.x, 63u)]);
  return select(0.0, x[u32(max(at, 0)) * dims.c + tap_channel.y], at >= 0);
}

// The next channel, of the next tap after the last one.
fn next(e: vec2<u32>) -> vec2<u32> {
  return select(e + vec2<u32>(0u, 1u), vec2<u32>(e.x + 1u, 0u), e.y + 1u == dims.c);
}

@compute @workgroup_size(WORKGROUP)
fn patches(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  let row4 = dims.taps * dims.c / 4u;
  if (i >= dims.rows * row4) { return; }
  let made = i / row4; let k = (i - made * row4) * 4u; let p = pixel(made);
  let e0 = vec2<u32>(k / dims.c, k % dims.c); let e1 = next(e0); let e2 = next(e1);
  y4[i] = quad(vec4<f32>(element(p, e0), element(p, e1), element(p, e2), element(p, next(e2))));
}

@compute @workgroup_size(WORKGROUP)
fn fold(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.rows * dims.o) { return; }
  let p = pixel(i / dims.o); let channel = i % dims.o; let sweep = id.group.z;
  var sum = 0.0;
  for (var t = 0u; t < dims.taps + zero(i); t++) {
    let tap = dims.tap[sweep * dims.taps + t];
    let at = seen(p, tap);
    sum += select(0.0, x[u32(max(at, 0)) * dims.c + u32(tap.z) * dims.o + channel], at >= 0);
  }
  y[(place(p) + behind(sweep)) * dims.o + channel] = sum;
}
