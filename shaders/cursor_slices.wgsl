// C = fused(A·B) as in cursor_product.wgsl, for GPUs, where it counts how long a small product takes alone.
//
// Index map: a workgroup makes four vec4s of columns (with HALVES two, and two of the other half) of
// 128 / SLICES rows. The k of a sum are dealt to SLICES lanes, with two rows of a vec4 each; a tree adds up
// theirs. `fours` deals four k at a time (channels and columns are multiples of 4), `ones` one.
//
// Bound: latency.

@group(0) @binding(0) var<storage, read> a4: array<Quad>;
@group(0) @binding(1) var<storage, read> b4: array<Quad>;
override SLICES: u32 = 32u; // 8, 16, 32 or 64
override DEALS: u32 = 4u; // 1 to 4, whose loads are in flight at once

// <seeing, from cursor_product.wgsl>
struct Dims {
  m: u32,
  n: u32, // columns of C
  b_row: u32, // columns of B: n, or 2n with HALVES
  c: u32, // channels that are read: K is taps·c
  kept: u32, // of the columns of the images that are read
  taps: u32,
  epilogue: u32, // 1: N is a multiple of 4 and the marked function ends the launch
  // <wave, from cursor.wgsl>
  image: vec2<u32>, // rows and columns
  lag: u32,
  shift: i32,
  flight: u32,
  counts: u32,
  mirrored: u32, // 1 where rows are gone through from right to left
  to: vec3<u32>, // where rows are placed: columns kept, channels as stored, and 1 for one channel a count
  // </wave>
  access: array<Access, 3>,
  constant: array<vec4<f32>, 8>,
  tap: array<vec4<i32>, 64>, // row, column
}

// <quad, from elementwise.wgsl>
// Four numbers as they lie in a buffer; for CPU drivers the planner puts <quad64> of selftest.int64 here.
alias Quad = vec4<f32>;
fn floats(q: Quad) -> vec4<f32> { return q; }
fn quad(v: vec4<f32>) -> Quad { return v; }
// </quad>

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
@group(0) @binding(3) var<uniform> dims: Dims;
@group(0) @binding(7) var<storage, read> time: u32;

override PLAIN: bool = false; override PLACED: bool = false; override HALVES: bool = false;
var<private> half: vec4<f32>;

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

// <zero, from matmul.wgsl>
// 0, which the compiler cannot know, so that no condition holds uniforms alone: see docs/notes/drivers.md.
fn zero(index: u32) -> u32 { return index >> 31u; }
// </zero>

// <pixels, from cursor.wgsl>
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

// <sight, from cursor.wgsl>
// What element e of a matrix sees in operand k, counted in the unit of its channels; -1 where there is none.
fn sight(e: u32, k: u32) -> i32 {
  let channels = dims.access[k].shape.w;
  let row = e / channels;
  let at = seen(pixel(row), vec2<i32>(dims.access[k].stride.xy), dims.access[k].shape.z);
  return select(-1, at * i32(channels) + i32(e - row * channels), at >= 0);
}
// </sight>

// The first element of A's row at a tap; -1 where there is none.
fn start(row: u32, t: u32) -> i32 {
  let within = min(row, dims.m - 1u);
  let at = seen(pixel(within), dims.tap[t].xy, dims.kept);
  return select(select(-1, at * i32(dims.c), at >= 0), i32(within * dims.c), PLAIN);
}

fn row_of_b(k: u32, col: u32) -> vec4<f32> {
  let i = k * dims.b_row + min(col + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(dims.b_row - 1u));
  return vec4<f32>(b[i.x], b[i.y], b[i.z], b[i.w]);
}

// Stores four outputs of one row.
fn store(row: u32, col: u32, sum: vec4<f32>, other: vec4<f32>) {
  if (row >= dims.m || col >= dims.n) { return; }
  var v = sum; half = other;
  if (dims.epilogue == 1u + zero(row)) { v = fused((row * dims.n + col) / 4u, v); }
  let to = select(i32(row), seen(pixel(row), vec2<i32>(), dims.to.x), PLACED);
  if (to < 0) { return; }
  let at = u32(to) * dims.n + col; c[at] = v.x;
  if (col + 1u < dims.n) { c[at + 1u] = v.y; }
  if (col + 2u < dims.n) { c[at + 2u] = v.z; }
  if (col + 3u < dims.n) { c[at + 3u] = v.w; }
}
// </seeing>

var<workgroup> starts: array<array<i32, 64>, 16>; // [row of the tile][tap]
var<workgroup> sums: array<array<vec4<f32>, 256>, 2>; // [row of a lane][lane]
var<private> sum0: vec4<f32>; var<private> sum1: vec4<f32>;

// Finds where the tile's rows start. Returns a lane's first k and row, and its columns of B and C.
fn deal(group: vec3<u32>, lane: u32) -> vec4<u32> {
  begin();
  for (var i = lane; i < 128u / SLICES * dims.taps; i += 256u) {
    starts[i / dims.taps][i % dims.taps] = start(group.y * (128u / SLICES) + i / dims.taps, i % dims.taps);
  }
  workgroupBarrier();
  let col = 4u * ((4u * group.x + lane % 4u) >> u32(HALVES));
  return vec4<u32>(lane / 4u % SLICES, lane / 4u / SLICES * 2u, col + (lane & u32(HALVES)) * dims.n, col);
}

// The elements of A in column k of two rows; -1 where there are none.
fn elements(k: u32, r: u32) -> vec2<i32> {
  let t = k / dims.c; let first = vec2<i32>(starts[r][t], starts[r + 1u][t]);
  return select(vec2<i32>(-1), first + i32(k - t * dims.c), first >= vec2<i32>());
}

// Four k of A's two rows and of B, and of which there is something.
struct Deal { p: vec4<f32>, r: vec4<f32>, q: mat4x4<f32>, on: vec3<bool> }

fn load(first: u32, j: u32, r: u32, col: u32) -> Deal {
  if (j >= DEALS) { return Deal(); }
  let k = first + 4u * SLICES * j; let on = k < dims.taps * dims.c; let i = select(0u, k, on);
  let e = elements(i, r); let at = vec2<u32>(max(e, vec2<i32>())) / 4u;
  let n4 = dims.b_row / 4u; let b = i * n4 + min(col, dims.b_row - 4u) / 4u;
  let q = mat4x4<f32>(floats(b4[b]), floats(b4[b + n4]), floats(b4[b + 2u * n4]), floats(b4[b + 3u * n4]));
  return Deal(floats(a4[at.x]), floats(a4[at.y]), q, vec3<bool>(on && e.x >= 0, on && e.y >= 0, on));
}

// Adds the products. Past the end both sides are zero, since zero times infinity is a NaN.
fn add(d: Deal, j: u32) {
  if (j >= DEALS) { return; }
  let z = vec4<f32>(); let p = select(z, d.p, d.on.x); let r = select(z, d.r, d.on.y);
  let q0 = select(z, d.q[0], d.on.z); let q1 = select(z, d.q[1], d.on.z);
  let q2 = select(z, d.q[2], d.on.z); let q3 = select(z, d.q[3], d.on.z);
  sum0 += p.x * q0; sum0 += p.y * q1; sum0 += p.z * q2; sum0 += p.w * q3;
  sum1 += r.x * q0; sum1 += r.y * q1; sum1 += r.z * q2; sum1 += r.w * q3;
}

// Adds up the lanes' sums; then a lane stores one vec4.
fn finish(group: vec3<u32>, lane: u32, col: u32) {
  sums[0][lane] = sum0; sums[1][lane] = sum1; workgroupBarrier();
  for (var s = SLICES / 2u; s > 0u; s /= 2u) {
    if (lane / 4u % SLICES < s) {
      sum0 += sums[0][lane + 4u * s]; sums[0][lane] = sum0;
      sum1 += sums[1][lane + 4u * s]; sums[1][lane] = sum1;
    }
    workgroupBarrier();
  }
  if (lane >= 512u / SLICES || (lane & u32(HALVES)) > 0u) { return; }
  let r = lane / 4u; let i = r / 2u * 4u * SLICES + lane % 4u; // the lane with the sum
  store(group.y * (128u / SLICES) + r, col, sums[r % 2u][i], sums[r % 2u][i + u32(HALVES)]);
}

@compute @workgroup_size(256)
fn fours(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let d = deal(group, lane);
  for (var k = 4u * d.x; k < dims.taps * dims.c; k += 4u * SLICES * DEALS) {
    let p = load(k, 0u, d.y, d.z); let q = load(k, 1u, d.y, d.z);
    let r = load(k, 2u, d.y, d.z); let s = load(k, 3u, d.y, d.z);
    add(p, 0u); add(q, 1u); add(r, 2u); add(s, 3u);
  }
  finish(group, lane, d.w);
}

@compute @workgroup_size(256)
fn ones(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let d = deal(group, lane);
  for (var k = d.x; k < dims.taps * dims.c; k += SLICES) {
    let e = elements(k, d.y); let at = vec2<u32>(max(e, vec2<i32>())); let q = row_of_b(k, d.z);
    sum0 += select(0.0, a[at.x], e.x >= 0) * q; sum1 += select(0.0, a[at.y], e.y >= 0) * q;
  }
  finish(group, lane, d.w);
}
