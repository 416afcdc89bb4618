// y = fused(conv2d(x, w)) and its input gradient as in conv2d8.wgsl, f32, channels last, for GPUs, where at
// most four channels are made, which would leave most of a tile idle. Channels read are a multiple of 4.
//
// Index map: a workgroup makes 16 pixels. Sixteen lanes lie along channels read, a vec4 each, so that their
// loads are one; each sums four pixels over all taps, two at a time, so that many loads are in flight.
// The sixteen sums of a pixel meet in workgroup memory. All sweeps of an input gradient lie along z.
//   narrow  for one to three channels made
//   four    for four, a vec4
//
// Bound: bandwidth.

struct Dims {
  c4: u32, // vec4s of channels read
  // <sweeps, from conv2d8.wgsl>
  src: vec2<u32>, // extents of the image read
  src_step: vec2<u32>,
  dst: vec2<u32>, // extents of the image made
  dst_step: vec2<u32>,
  @align(16) sweep: array<Sweep, 16>,
  access: array<Access, 3>,
  constant: array<vec4<f32>, 8>,
  tap: array<vec4<i32>, 64>, // row, column, index into w
  // </sweeps>
}

// <sweep8, from conv2d8.wgsl>
struct Sweep {
  lattice: vec2<u32>, // rows and columns made
  dst_first: vec2<u32>,
  rows: u32, // pixels made
  first: u32, // its taps
  taps: u32,
  chunk: u32, // panels of a part
}

// (image, row, column) of a lattice pixel.
fn pixel(row: u32, lattice: vec2<u32>) -> vec3<u32> {
  let line = row / lattice.y;
  return vec3<u32>(line / lattice.x, line % lattice.x, row % lattice.y);
}
// </sweep8>

// <quad, from elementwise.wgsl>
// Four numbers as they lie in a buffer; for CPU drivers the planner puts <quad64> of selftest.int64 here.
alias Quad = vec4<f32>;
fn floats(q: Quad) -> vec4<f32> { return q; }
fn quad(v: vec4<f32>) -> Quad { return v; }
// </quad>

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> y4: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> dims: Dims;

override TB: bool = false; // w is [tap][made][read] instead of [tap][read][made]
override MADE: u32 = 3u; // channels made

// <epilogue, from matmul.wgsl>
// What the planner's function may read beside the product, as vec4s where elements line up with the output's.
@group(0) @binding(4) var<storage, read> x0: array<Quad>;
@group(0) @binding(5) var<storage, read> x1: array<Quad>;
@group(0) @binding(6) var<storage, read> x2: array<Quad>;
@group(0) @binding(4) var<storage, read> s0: array<f32>;
@group(0) @binding(5) var<storage, read> s1: array<f32>;
@group(0) @binding(6) var<storage, read> s2: array<f32>;

// <fused>
fn fused(i: u32, v: vec4<f32>) -> vec4<f32> {
  return v;
}
// </fused>
// </epilogue>

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

// The weights of a tap from a vec4 of channels read to each channel made.
fn weights(tap: u32, k: u32) -> mat4x4<f32> {
  if (TB) {
    let at = tap * MADE * dims.c4 + k;
    var v = mat4x4<f32>(w[at], vec4<f32>(), vec4<f32>(), vec4<f32>());
    if (MADE > 1u) { v[1] = w[at + dims.c4]; }
    if (MADE > 2u) { v[2] = w[at + 2u * dims.c4]; }
    if (MADE > 3u) { v[3] = w[at + 3u * dims.c4]; }
    return v;
  }
  let at = (tap * dims.c4 + k) * MADE; // so many vec4s hold the four rows
  let a = w[at];
  let z = vec4<f32>();
  if (MADE == 1u) { return mat4x4<f32>(a, z, z, z); }
  let b = w[at + 1u];
  if (MADE == 2u) { return mat4x4<f32>(vec4<f32>(a.xz, b.xz), vec4<f32>(a.yw, b.yw), z, z); }
  let c = w[at + 2u];
  if (MADE == 3u) {
    return mat4x4<f32>(vec4<f32>(a.xw, b.z, c.y), vec4<f32>(a.y, b.xw, c.z), vec4<f32>(a.z, b.y, c.xw), z);
  }
  return transpose(mat4x4<f32>(a, b, c, w[at + 3u]));
}

fn load_x(at: vec4<u32>, sees: vec4<bool>) -> mat4x4<f32> {
  let here = select(vec4<u32>(), at, sees);
  return mat4x4<f32>(x[here.x], x[here.y], x[here.z], x[here.w]);
}

// What a vec4 of channels of a pixel adds to the channels made.
fn product(x: vec4<f32>, w: mat4x4<f32>, sees: bool) -> vec4<f32> {
  return select(vec4<f32>(), vec4<f32>(dot(x, w[0]), dot(x, w[1]), dot(x, w[2]), dot(x, w[3])), sees);
}

// [share of channels][pixel], a vec4 longer than a row for the banks.
var<workgroup> sums: array<array<vec4<f32>, 17>, 16>;

fn four_sums(i: u32, p: u32) -> vec4<f32> {
  return (sums[i][p] + sums[i + 1u][p]) + (sums[i + 2u][p] + sums[i + 3u][p]);
}

struct Seen {
  at: vec4<u32>,
  sees: vec4<bool>,
  tap: u32,
}

// Where four pixels see a tap of a sweep, past its last one nowhere.
fn seen(sweep: Sweep, t: u32, ys: vec4<u32>, xs: vec4<u32>, origin: vec4<u32>) -> Seen {
  let tap = dims.tap[min(sweep.first + t, 63u)];
  let row = ys + u32(tap.x); // outside the image they wrap or are too large
  let column = xs + u32(tap.y);
  let sees = (row < vec4<u32>(dims.src.x)) & (column < vec4<u32>(dims.src.y)) & vec4<bool>(t < sweep.taps);
  return Seen(origin + (u32(tap.x) * dims.src.y + u32(tap.y)) * dims.c4, sees, u32(tap.z));
}

// Sums 16 pixels from `first` on; the first 16 lanes are told one each.
fn summed(sweep: Sweep, first: u32, lane: u32) -> vec4<f32> {
  let share = lane % 16u;
  let quad = lane / 16u * 4u;
  let last = sweep.rows - 1u;
  let p0 = pixel(min(first + quad, last), sweep.lattice);
  let p1 = pixel(min(first + quad + 1u, last), sweep.lattice);
  let p2 = pixel(min(first + quad + 2u, last), sweep.lattice);
  let p3 = pixel(min(first + quad + 3u, last), sweep.lattice);
  let ys = vec4<u32>(p0.y, p1.y, p2.y, p3.y) * dims.src_step.x;
  let xs = vec4<u32>(p0.z, p1.z, p2.z, p3.z) * dims.src_step.y;
  let origin = ((vec4<u32>(p0.x, p1.x, p2.x, p3.x) * dims.src.x + ys) * dims.src.y + xs) * dims.c4;
  var s0: vec4<f32>; var s1: vec4<f32>; var s2: vec4<f32>; var s3: vec4<f32>;
  for (var k = share; k < dims.c4; k += 16u) {
    for (var t = 0u; t < sweep.taps; t += 2u) {
      let a = seen(sweep, t, ys, xs, origin + k); let b = seen(sweep, t + 1u, ys, xs, origin + k);
      let p = load_x(a.at, a.sees); let q = load_x(b.at, b.sees);
      let u = weights(a.tap, k); let v = weights(b.tap, k);
      s0 += product(p[0], u, a.sees.x) + product(q[0], v, b.sees.x);
      s1 += product(p[1], u, a.sees.y) + product(q[1], v, b.sees.y);
      s2 += product(p[2], u, a.sees.z) + product(q[2], v, b.sees.z);
      s3 += product(p[3], u, a.sees.w) + product(q[3], v, b.sees.w);
    }
  }
  sums[share][quad] = s0; sums[share][quad + 1u] = s1;
  sums[share][quad + 2u] = s2; sums[share][quad + 3u] = s3;
  workgroupBarrier();
  let mine = lane % 16u;
  return (four_sums(0u, mine) + four_sums(4u, mine)) + (four_sums(8u, mine) + four_sums(12u, mine));
}

// The pixel of the image made.
fn made(sweep: Sweep, row: u32) -> u32 {
  let p = pixel(row, sweep.lattice);
  let place = p.yz * dims.dst_step + sweep.dst_first;
  return (p.x * dims.dst.x + place.x) * dims.dst.y + place.y;
}

@compute @workgroup_size(64)
fn narrow(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let sweep = dims.sweep[min(group.z, 15u)];
  let first = (group.y * groups.x + group.x) * 16u;
  let sum = summed(sweep, first, lane);
  if (lane >= 16u || first + lane >= sweep.rows) { return; }
  let at = made(sweep, first + lane) * MADE;
  y[at] = sum.x;
  if (MADE > 1u) { y[at + 1u] = sum.y; }
  if (MADE > 2u) { y[at + 2u] = sum.z; }
}

@compute @workgroup_size(64)
fn four(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let sweep = dims.sweep[min(group.z, 15u)];
  let first = (group.y * groups.x + group.x) * 16u;
  let sum = summed(sweep, first, lane);
  if (lane >= 16u || first + lane >= sweep.rows) { return; }
  let at = made(sweep, first + lane);
  y4[at] = fused(at, sum);
}
