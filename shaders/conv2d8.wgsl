// y = fused(conv2d(x, w)) and its input gradient as in conv2d.wgsl, f32, channels last, for GPUs. Channels
// read and made are multiples of 4, images have at most 65,535 rows and columns.
//
// Index map: an implicit matrix product by the tile of matmul8.wgsl, of 64 pixels and 64 channels made, from
// panels of 16 channels read through one tap. A lane loads four pixels. All sweeps of an input gradient lie
// along z, since each alone has few tiles, and the parts of the panels, which parts.wgsl adds up.
//
// Bound: compute.

struct Dims {
  c4: u32, // vec4s of channels read
  o4: u32, // and made
  parts: u32,
  total: u32, // vec4s of y
  // <sweeps, master>
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

// <sweep8, master>
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
@group(0) @binding(2) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> dims: Dims;

override TB: bool = false; // w is [tap][made][read] instead of [tap][read][made]

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

// <panels8, master>
// Four k of a panel. The gap puts the transposed writes of eight neighbouring lanes into different banks.
struct Fours { k: array<array<vec4<f32>, 16>, 4>, gap: array<vec4<f32>, 2> }
var<workgroup> panel_a: array<array<Fours, 1>, 4>;
var<workgroup> panel_b: array<array<Fours, 1>, 4>;
// </panels8>

// <sums8, from matmul8.wgsl>
// The 8x8 sums of one invocation: four rows and the four 32 below, their left and right vec4.
var<private> s0l: vec4<f32>; var<private> s0r: vec4<f32>;
var<private> s1l: vec4<f32>; var<private> s1r: vec4<f32>;
var<private> s2l: vec4<f32>; var<private> s2r: vec4<f32>;
var<private> s3l: vec4<f32>; var<private> s3r: vec4<f32>;
var<private> s4l: vec4<f32>; var<private> s4r: vec4<f32>;
var<private> s5l: vec4<f32>; var<private> s5r: vec4<f32>;
var<private> s6l: vec4<f32>; var<private> s6r: vec4<f32>;
var<private> s7l: vec4<f32>; var<private> s7r: vec4<f32>;

// One k. `d` is a constant at every call, so that addresses fold.
fn step(d: u32, r: u32, o: u32) {
  let p = panel_a[d / 4u][0].k[d % 4u][r]; let q = panel_a[d / 4u][0].k[d % 4u][r + 8u];
  let u = panel_b[d / 4u][0].k[d % 4u][o]; let v = panel_b[d / 4u][0].k[d % 4u][o + 8u];
  s0l += p.x * u; s0r += p.x * v; s1l += p.y * u; s1r += p.y * v;
  s2l += p.z * u; s2r += p.z * v; s3l += p.w * u; s3r += p.w * v;
  s4l += q.x * u; s4r += q.x * v; s5l += q.y * u; s5r += q.y * v;
  s6l += q.z * u; s6r += q.z * v; s7l += q.w * u; s7r += q.w * v;
}
// </sums8>

// <steps, from matmul8.wgsl>
fn multiply16(r: u32, o: u32) {
  step(0u, r, o); step(1u, r, o); step(2u, r, o); step(3u, r, o);
  step(4u, r, o); step(5u, r, o); step(6u, r, o); step(7u, r, o);
  step(8u, r, o); step(9u, r, o); step(10u, r, o); step(11u, r, o);
  step(12u, r, o); step(13u, r, o); step(14u, r, o); step(15u, r, o);
}
// </steps>

// <cut, from matmul8.wgsl>
// The vec4s to keep, and zeros.
fn cut(v: mat4x4<f32>, keep: vec4<bool>) -> mat4x4<f32> {
  let z = vec4<f32>();
  return mat4x4<f32>(
    select(z, v[0], keep.x), select(z, v[1], keep.y), select(z, v[2], keep.z), select(z, v[3], keep.w),
  );
}
// </cut>

// Stores eight channels of one pixel; `first` is where the part begins.
fn store(sweep: Sweep, first: u32, row: u32, col: u32, l: vec4<f32>, r: vec4<f32>) {
  if (row >= sweep.rows) { return; }
  let p = pixel(row, sweep.lattice);
  let place = p.yz * dims.dst_step + sweep.dst_first;
  let at = first + ((p.x * dims.dst.x + place.x) * dims.dst.y + place.y) * dims.o4 + col;
  if (col < dims.o4) { c[at] = fused(at, l); }
  if (col + 8u < dims.o4) { c[at + 8u] = fused(at + 8u, r); }
}

// Where a pixel made sees tap (0, 0), as row and column packed, for each of the 64 pixels. Workgroup memory
// keeps it between taps, for want of registers.
var<workgroup> place: array<array<u32, 4>, 16>;
var<workgroup> origin: array<array<u32, 4>, 16>;

// For each of a lane's four pixels, whether it sees a pixel of the image through a tap.
fn seen(quad: u32, tap: vec4<i32>) -> vec4<bool> {
  let yx = vec4<u32>(place[quad][0], place[quad][1], place[quad][2], place[quad][3]);
  let row = (yx >> vec4<u32>(16u)) + u32(tap.x); // outside the image they wrap or are too large
  let column = (yx & vec4<u32>(0xffffu)) + u32(tap.y);
  return (row < vec4<u32>(dims.src.x)) & (column < vec4<u32>(dims.src.y));
}

fn load_x(pixels: vec4<u32>, sees: vec4<bool>, there: u32) -> mat4x4<f32> {
  let at = select(vec4<u32>(), pixels + there, sees);
  return mat4x4<f32>(x[at.x], x[at.y], x[at.z], x[at.w]);
}

fn load_w(at: u32, step: u32) -> mat4x4<f32> {
  return mat4x4<f32>(w[at], w[at + step], w[at + 2u * step], w[at + 3u * step]);
}

@compute @workgroup_size(64)
fn tile(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let part = group.z % dims.parts;
  let sweep = dims.sweep[min(group.z / dims.parts, 15u)];
  let row = group.y * 64u; let col = group.x * 16u;
  let c4 = dims.c4; let o4 = dims.o4;
  let mine = pixel(row + lane, sweep.lattice);
  let yx = mine.yz * dims.src_step;
  place[lane / 4u][lane % 4u] = (yx.x << 16u) | yx.y;
  origin[lane / 4u][lane % 4u] = ((mine.x * dims.src.x + yx.x) * dims.src.y + yx.y) * c4;
  workgroupBarrier();
  let quad = lane / 4u; let k4 = lane % 4u;
  let pixels = vec4<u32>(origin[quad][0], origin[quad][1], origin[quad][2], origin[quad][3]) + k4;
  let per_tap = (c4 + 3u) / 4u;
  let start = part * sweep.chunk; let end = min(start + sweep.chunk, per_tap * sweep.taps);
  var t = start / per_tap;
  var k = start % per_tap * 4u; // the vec4 of channels that the panel begins with
  // The weights of this lane: 16 lanes along channels made, or with TB four lanes along channels read.
  let w_lane = select(lane / 16u * o4 + col + lane % 16u, (4u * col + lane / 4u * 4u) * c4 + k4, TB);
  let w_other = select(4u * o4, c4, TB);
  let w_k = select(4u * o4, 1u, TB); // from a vec4 of channels read to the next
  let w_tap = 4u * c4 * o4;
  var tap = dims.tap[min(sweep.first + t, 63u)];
  var sees = seen(quad, tap);
  var there = (u32(tap.x) * dims.src.y + u32(tap.y)) * c4; // from tap (0, 0)
  var p = load_x(pixels, sees, there + k);
  var r = load_w(w_lane + u32(tap.z) * w_tap + k * w_k, w_other);
  for (var i = start; i < end; i++) {
    p = cut(p, sees);
    if (k + 4u > c4) { // zero past a tap's end on both sides, since zero times infinity is a NaN
      let across = vec4<bool>(k + k4 < c4);
      p = cut(p, across);
      r = cut(r, select(4u * k + lane / 16u + vec4<u32>(0u, 4u, 8u, 12u) < vec4<u32>(4u * c4), across, TB));
    }
    workgroupBarrier();
    let s = transpose(p);
    panel_a[k4][0].k[0][lane / 4u] = s[0]; panel_a[k4][0].k[1][lane / 4u] = s[1];
    panel_a[k4][0].k[2][lane / 4u] = s[2]; panel_a[k4][0].k[3][lane / 4u] = s[3];
    if (TB) {
      let u = transpose(r);
      panel_b[k4][0].k[0][lane / 4u] = u[0]; panel_b[k4][0].k[1][lane / 4u] = u[1];
      panel_b[k4][0].k[2][lane / 4u] = u[2]; panel_b[k4][0].k[3][lane / 4u] = u[3];
    } else {
      panel_b[0][0].k[lane / 16u][lane % 16u] = r[0]; panel_b[1][0].k[lane / 16u][lane % 16u] = r[1];
      panel_b[2][0].k[lane / 16u][lane % 16u] = r[2]; panel_b[3][0].k[lane / 16u][lane % 16u] = r[3];
    }
    workgroupBarrier();
    k += 4u;
    if (k >= c4) {
      k = 0u;
      t++; // past the last tap is loaded, too, and not used
      tap = dims.tap[min(sweep.first + t, 63u)];
      sees = seen(quad, tap);
      there = (u32(tap.x) * dims.src.y + u32(tap.y)) * c4;
    }
    p = load_x(pixels, sees, there + k);
    r = load_w(w_lane + u32(tap.z) * w_tap + k * w_k, w_other);
    multiply16(lane / 8u, lane % 8u);
  }
  let first = part * dims.total;
  let top = row + lane / 8u * 4u;
  let left = col + lane % 8u;
  store(sweep, first, top, left, s0l, s0r); store(sweep, first, top + 1u, left, s1l, s1r);
  store(sweep, first, top + 2u, left, s2l, s2r); store(sweep, first, top + 3u, left, s3l, s3r);
  store(sweep, first, top + 32u, left, s4l, s4r); store(sweep, first, top + 33u, left, s5l, s5r);
  store(sweep, first, top + 34u, left, s6l, s6r); store(sweep, first, top + 35u, left, s7l, s7r);
}
