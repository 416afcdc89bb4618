// The pixels of a sampler's wavefront (src/ops/cursor.rs). Several image rows are in flight at once: step s,
// which is time / counts + shift, is at column s - i·lag of image row i. A matrix holds one row for each
// pixel at work: row n·flight + f is the pixel of image n in the image row i with i mod flight = f, where
// there is one. A mirrored wave counts columns from the right.
//   look    y[row, t·c + channel] = image[n, pixel + tap_t, channel], zero outside the image
//   rows4   y = fused: a cluster of elementwise functions over a matrix, whose operands may be what the
//           pixels see through one tap each
//   place4  y[n, pixel, channel] = fused, written over the pixels of images
//   place   the same for any number of channels, or for channel time mod counts alone
// Images hold the columns that are kept: column j lies at j mod kept.
//
// Index map: one invocation makes one element of look's matrix, or four in a row (look4, c is a multiple of
// 4), or one vec4 of a cluster's.
//
// Bound: bandwidth.

struct Dims {
  n: u32, // elements of the matrix
  c: u32, // channels of the images that are looked at
  kept: u32, // of their columns
  width: u32, // columns of look's matrix
  // <wave, master>
  image: vec2<u32>, // rows and columns
  lag: u32,
  shift: i32,
  flight: u32,
  counts: u32,
  mirrored: u32, // 1 where rows are gone through from right to left
  to: vec3<u32>, // where rows are placed: columns kept, channels as stored, and 1 for one channel a count
  // </wave>
  access: array<Access, 6>,
  constant: array<vec4<f32>, 8>,
  tap: array<vec4<i32>, 64>, // row, column
}

// <quad, from elementwise.wgsl>
// Four numbers as they lie in a buffer; for CPU drivers the planner puts <quad64> of selftest.int64 here.
alias Quad = vec4<f32>;
fn floats(q: Quad) -> vec4<f32> { return q; }
fn quad(v: vec4<f32>) -> Quad { return v; }
// </quad>

@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(10) var<storage, read_write> y4: array<Quad>; // the marked function may read it
@group(0) @binding(1) var<storage, read> image: array<f32>;
@group(0) @binding(1) var<storage, read> image4: array<Quad>;
@group(0) @binding(2) var<storage, read> x0: array<Quad>;
@group(0) @binding(3) var<storage, read> x1: array<Quad>;
@group(0) @binding(4) var<storage, read> x2: array<Quad>;
@group(0) @binding(5) var<storage, read> x3: array<Quad>;
@group(0) @binding(6) var<storage, read> x4: array<Quad>;
@group(0) @binding(8) var<storage, read> x5: array<Quad>;
@group(0) @binding(2) var<storage, read> s0: array<f32>;
@group(0) @binding(3) var<storage, read> s1: array<f32>;
@group(0) @binding(4) var<storage, read> s2: array<f32>;
@group(0) @binding(5) var<storage, read> s3: array<f32>;
@group(0) @binding(6) var<storage, read> s4: array<f32>;
@group(0) @binding(8) var<storage, read> s5: array<f32>;
@group(0) @binding(7) var<storage, read> time: u32;
@group(0) @binding(9) var<uniform> dims: Dims;

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

// <access, from elementwise.wgsl>
// Extents of the output as an operand sees it (w is also the length of a row), and the operand's strides.
struct Access {
  shape: vec4<u32>,
  stride: vec4<u32>,
  offset: u32,
}

// vec4 index into a row that is repeated for every outer index; its length is a multiple of 4.
fn row(i: u32, k: u32) -> u32 { return i % dims.access[k].shape.w; }

// Element index of a value that is constant along rows of a multiple of 4 elements.
fn column(i: u32, k: u32) -> u32 { return i / dims.access[k].shape.w; }

fn address(e: u32, k: u32) -> u32 {
  let shape = dims.access[k].shape;
  let stride = dims.access[k].stride;
  let w = e % shape.w; let e1 = e / shape.w;
  let z = e1 % shape.z; let e2 = e1 / shape.z;
  let y = e2 % shape.y; let x = e2 / shape.y;
  return dims.access[k].offset + w * stride.w + z * stride.z + y * stride.y + x * stride.x;
}

// Element indices of four consecutive outputs under an affine view.
fn strided(i: u32, k: u32) -> vec4<u32> {
  let e = 4u * i;
  return vec4<u32>(address(e, k), address(e + 1u, k), address(e + 2u, k), address(e + 3u, k));
}
// </access>

// <pixels, master>
// Where the wave is: its step, the image row that it entered last, and that row's number among those in
// flight.
var<private> now: vec3<i32>;

fn begin() {
  let step = i32(time / dims.counts) + dims.shift;
  let newest = u32(max(step, 0)) / dims.lag;
  now = vec3<i32>(step, i32(newest), i32(newest % dims.flight));
}

// (image, row, column) of the pixel of a matrix row; the row is -1 where there is none.
fn pixel(row: u32) -> vec3<i32> {
  let n = row / dims.flight;
  let behind = now.z - i32(row - n * dims.flight);
  let i = now.y - select(behind, behind + i32(dims.flight), behind < 0);
  let j = now.x - i * i32(dims.lag);
  let columns = i32(dims.image.y);
  let here = i >= 0 && i < i32(dims.image.x) && j >= 0 && j < columns;
  return vec3<i32>(i32(n), select(-1, i, here), select(j, columns - 1 - j, dims.mirrored != 0u));
}

// Number of the pixel that another one sees through a tap, in images of so many columns; -1 where there is
// none.
fn seen(p: vec3<i32>, tap: vec2<i32>, kept: u32) -> i32 {
  let at = p.yz + tap;
  let size = vec2<i32>(dims.image);
  let inside = p.y >= 0 && at.x >= 0 && at.x < size.x && at.y >= 0 && at.y < size.y;
  let column = i32(u32(max(at.y, 0)) % kept);
  return select(-1, (p.x * size.x + at.x) * i32(kept) + column, inside);
}
// </pixels>

// <sight, master>
// What element e of a matrix sees in operand k, counted in the unit of its channels; -1 where there is none.
fn sight(e: u32, k: u32) -> i32 {
  let channels = dims.access[k].shape.w;
  let row = e / channels;
  let at = seen(pixel(row), vec2<i32>(dims.access[k].stride.xy), dims.access[k].shape.z);
  return select(-1, at * i32(channels) + i32(e - row * channels), at >= 0);
}
// </sight>

fn sights(i: u32, k: u32) -> vec4<i32> {
  let e = 4u * i;
  return vec4<i32>(sight(e, k), sight(e + 1u, k), sight(e + 2u, k), sight(e + 3u, k));
}

// Where element e of a matrix is placed, in the unit of the images' channels; -1 for nowhere.
fn placed(e: u32) -> i32 {
  let row = e / dims.to.y;
  let at = seen(pixel(row), vec2<i32>(), dims.to.x);
  return select(-1, at * i32(dims.to.y) + i32(e - row * dims.to.y), at >= 0);
}

// <fused>
fn fused(i: u32, v: vec4<f32>) -> vec4<f32> {
  return floats(x0[i]);
}
// </fused>

// What element i of look's matrix sees, in units of so many channels: an element of the images, -1 where
// none.
fn looked_at(i: u32, unit: u32) -> i32 {
  let c = dims.c / unit;
  let row = i / (dims.width / unit);
  let k = i % (dims.width / unit);
  let at = seen(pixel(row), dims.tap[min(k / c, 63u)].xy, dims.kept);
  return select(-1, at * i32(c) + i32(k % c), at >= 0);
}

@compute @workgroup_size(WORKGROUP)
fn look(id: Invocation) {
  begin();
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let at = looked_at(i, 1u);
  y[i] = select(0.0, image[max(at, 0)], at >= 0);
}

@compute @workgroup_size(WORKGROUP)
fn look4(id: Invocation) {
  begin();
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n / 4u) { return; }
  let at = looked_at(i, 4u);
  y4[i] = quad(select(vec4<f32>(), floats(image4[max(at, 0)]), at >= 0));
}

@compute @workgroup_size(WORKGROUP)
fn rows4(id: Invocation) {
  begin();
  let i = number(id.group, id.groups, id.lane);
  if (4u * i < dims.n) { y4[i] = quad(fused(i, vec4<f32>())); }
}

@compute @workgroup_size(WORKGROUP)
fn place4(id: Invocation) {
  begin();
  let i = number(id.group, id.groups, id.lane);
  if (4u * i >= dims.n) { return; }
  let at = placed(i);
  if (at >= 0) { y4[at] = quad(fused(i, vec4<f32>())); }
}

@compute @workgroup_size(WORKGROUP)
fn place(id: Invocation) {
  begin();
  let i = number(id.group, id.groups, id.lane);
  if (4u * i >= dims.n) { return; }
  let v = fused(i, vec4<f32>());
  let part = time % dims.counts;
  for (var j = 0u; j < 4u; j++) {
    let e = 4u * i + j;
    let at = placed(e);
    let mine = e < dims.n && ((dims.to.z == 0u) | (e % dims.to.y == part));
    if (at >= 0 && mine) { y[at] = v[j]; }
  }
}
