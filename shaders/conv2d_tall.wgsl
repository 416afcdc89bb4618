// y = fused(conv2d(x, w)) and its input gradient as in conv2d8.wgsl, with the same arguments.
//
// Index map: as there, but a workgroup makes 64 pixels and 32 channels, an invocation 8x4, from panels of 32
// channels: where there are few tiles there are twice as many, and each waits for half as many panels.
//
// Bound: compute.

// <sweep8, from conv2d8.wgsl>
struct Dims {
  c4: u32, // vec4s of channels read
  o4: u32, // and made
  parts: u32,
  total: u32, // vec4s of y
  src: vec2<u32>, // extents of the image read
  src_step: vec2<u32>,
  dst: vec2<u32>, // extents of the image made
  dst_step: vec2<u32>,
  @align(16) sweep: array<Sweep, 16>,
  access: array<Access, 3>,
  constant: array<vec4<f32>, 8>,
  tap: array<vec4<i32>, 64>, // row, column, index into w
}

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

// <tensors8, from conv2d8.wgsl>
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> dims: Dims;

override TB: bool = false; // w is [tap][made][read] instead of [tap][read][made]
// </tensors8>

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

// Four k of a panel. The gaps put the transposed writes of eight neighbouring lanes into different banks.
struct FourA { k: array<array<vec4<f32>, 16>, 4>, gap: array<vec4<f32>, 2> }
struct FourB { k: array<array<vec4<f32>, 8>, 4>, gap: vec4<f32> }
var<workgroup> panel_a: array<array<FourA, 1>, 8>;
var<workgroup> panel_b: array<array<FourB, 1>, 8>;

// The 8x4 sums of one invocation: four rows and the four 32 below.
var<private> m0: vec4<f32>; var<private> m1: vec4<f32>;
var<private> m2: vec4<f32>; var<private> m3: vec4<f32>;
var<private> m4: vec4<f32>; var<private> m5: vec4<f32>;
var<private> m6: vec4<f32>; var<private> m7: vec4<f32>;

// One k. `d` is a constant at every call, so that addresses fold.
fn step(d: u32, r: u32, o: u32) {
  let p = panel_a[d / 4u][0].k[d % 4u][r]; let q = panel_a[d / 4u][0].k[d % 4u][r + 8u];
  let u = panel_b[d / 4u][0].k[d % 4u][o];
  m0 += p.x * u; m1 += p.y * u; m2 += p.z * u; m3 += p.w * u;
  m4 += q.x * u; m5 += q.y * u; m6 += q.z * u; m7 += q.w * u;
}

fn multiply8(d: u32, r: u32, o: u32) {
  step(d, r, o); step(d + 1u, r, o); step(d + 2u, r, o); step(d + 3u, r, o);
  step(d + 4u, r, o); step(d + 5u, r, o); step(d + 6u, r, o); step(d + 7u, r, o);
}

// <cut, from matmul8.wgsl>
// The vec4s to keep, and zeros.
fn cut(v: mat4x4<f32>, keep: vec4<bool>) -> mat4x4<f32> {
  let z = vec4<f32>();
  return mat4x4<f32>(
    select(z, v[0], keep.x), select(z, v[1], keep.y), select(z, v[2], keep.z), select(z, v[3], keep.w),
  );
}
// </cut>

// Stores four channels of one pixel; `first` is where the part begins.
fn store(sweep: Sweep, first: u32, row: u32, col: u32, v: vec4<f32>) {
  if (row >= sweep.rows || col >= dims.o4) { return; }
  let p = pixel(row, sweep.lattice);
  let place = p.yz * dims.dst_step + sweep.dst_first;
  let at = first + ((p.x * dims.dst.x + place.x) * dims.dst.y + place.y) * dims.o4 + col;
  c[at] = fused(at, v);
}

// <places8, from conv2d8.wgsl>
// Where a pixel made sees tap (0, 0), as row and column packed, for each of the 64 pixels. Workgroup memory
// keeps it between taps, for want of registers.
var<workgroup> place: array<array<u32, 4>, 16>;
var<workgroup> origin: array<array<u32, 4>, 16>;

fn find(mine: vec3<u32>, lane: u32) {
  let yx = mine.yz * dims.src_step;
  place[lane / 4u][lane % 4u] = (yx.x << 16u) | yx.y;
  origin[lane / 4u][lane % 4u] = ((mine.x * dims.src.x + yx.x) * dims.src.y + yx.y) * dims.c4;
}

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
// </places8>

@compute @workgroup_size(64)
fn tall(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let part = group.z % dims.parts;
  let sweep = dims.sweep[min(group.z / dims.parts, 15u)];
  let row = group.y * 64u; let col = group.x * 8u;
  let c4 = dims.c4; let o4 = dims.o4;
  find(pixel(row + lane, sweep.lattice), lane);
  workgroupBarrier();
  let quad = lane / 4u; let k4 = lane % 4u; let i8 = lane / 8u; let q8 = lane % 8u;
  let pixels = vec4<u32>(origin[quad][0], origin[quad][1], origin[quad][2], origin[quad][3]) + k4;
  let per_tap = (c4 + 7u) / 8u;
  let start = part * sweep.chunk; let end = min(start + sweep.chunk, per_tap * sweep.taps);
  var t = start / per_tap;
  var k = start % per_tap * 8u; // the vec4 of channels that the panel begins with
  // The weights of this lane: eight lanes along channels made, or with TB along channels read.
  let w_lane = select(i8 * o4 + col + q8, (4u * col + 4u * i8) * c4 + q8, TB);
  let w_other = select(8u * o4, c4, TB); let w_tap = 4u * c4 * o4;
  let w_k = select(4u * o4, 1u, TB); // from a vec4 of channels read to the next
  var tap = dims.tap[min(sweep.first + t, 63u)]; var sees = seen(quad, tap);
  var there = (u32(tap.x) * dims.src.y + u32(tap.y)) * c4; // from tap (0, 0)
  var p = load_x(pixels, sees, there + k); var q = load_x(pixels, sees, there + k + 4u);
  var r = load_w(w_lane + u32(tap.z) * w_tap + k * w_k, w_other);
  for (var i = start; i < end; i++) {
    p = cut(p, sees); q = cut(q, sees);
    if (k + 8u > c4) { // zero past a tap's end on both sides, since zero times infinity is a NaN
      p = cut(p, vec4<bool>(k + k4 < c4)); q = cut(q, vec4<bool>(k + k4 + 4u < c4));
      let rows = 4u * k + i8 + vec4<u32>(0u, 8u, 16u, 24u);
      r = cut(r, select(rows < vec4<u32>(4u * c4), vec4<bool>(k + q8 < c4), TB));
    }
    workgroupBarrier();
    let s = transpose(p); let v = transpose(q);
    panel_a[k4][0].k[0][quad] = s[0]; panel_a[k4][0].k[1][quad] = s[1];
    panel_a[k4][0].k[2][quad] = s[2]; panel_a[k4][0].k[3][quad] = s[3];
    panel_a[k4 + 4u][0].k[0][quad] = v[0]; panel_a[k4 + 4u][0].k[1][quad] = v[1];
    panel_a[k4 + 4u][0].k[2][quad] = v[2]; panel_a[k4 + 4u][0].k[3][quad] = v[3];
    if (TB) {
      let u = transpose(r);
      panel_b[q8][0].k[0][i8] = u[0]; panel_b[q8][0].k[1][i8] = u[1];
      panel_b[q8][0].k[2][i8] = u[2]; panel_b[q8][0].k[3][i8] = u[3];
    } else {
      let h = lane / 32u; let b = i8 % 4u;
      panel_b[h][0].k[b][q8] = r[0]; panel_b[h + 2u][0].k[b][q8] = r[1];
      panel_b[h + 4u][0].k[b][q8] = r[2]; panel_b[h + 6u][0].k[b][q8] = r[3];
    }
    workgroupBarrier();
    k += 8u;
    if (k >= c4) {
      k = 0u; t++; // past the last tap is loaded, too, and not used
      tap = dims.tap[min(sweep.first + t, 63u)]; sees = seen(quad, tap);
      there = (u32(tap.x) * dims.src.y + u32(tap.y)) * c4;
    }
    p = load_x(pixels, sees, there + k); q = load_x(pixels, sees, there + k + 4u);
    r = load_w(w_lane + u32(tap.z) * w_tap + k * w_k, w_other);
    multiply8(0u, i8, q8); multiply8(8u, i8, q8); multiply8(16u, i8, q8); multiply8(24u, i8, q8);
  }
  let first = part * dims.total;
  let top = row + 4u * i8; let left = col + q8;
  store(sweep, first, top, left, m0); store(sweep, first, top + 1u, left, m1);
  store(sweep, first, top + 2u, left, m2); store(sweep, first, top + 3u, left, m3);
  store(sweep, first, top + 32u, left, m4); store(sweep, first, top + 33u, left, m5);
  store(sweep, first, top + 34u, left, m6); store(sweep, first, top + 35u, left, m7);
}
