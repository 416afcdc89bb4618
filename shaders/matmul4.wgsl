// C[M,N] = fused(A·B) as in matmul8.wgsl, for GPUs, where its larger tiles would be too few for the machine.
//
// Index map: a workgroup of 64 makes 32x32 elements from panels of 32 k in workgroup memory, one invocation
// 4x4 of them in registers.
//
// Bound: latency and compute.

const QUADS = 8u; // vec4s along a side of the tile
const DEPTH = 32u; // k of a panel
const GAP = 1u; // vec4s between groups of four k

// <block, from matmul8.wgsl>
struct Dims {
  m: u32,
  n4: u32, // N / 4
  k: u32,
  chunk: u32, // k of a part, a multiple of DEPTH
  parts: u32,
  batches: u32,
  access: array<Access, 3>,
  constant: array<vec4<f32>, 8>,
}

// <quad, from elementwise.wgsl>
// Four numbers as they lie in a buffer; for CPU drivers the planner puts <quad64> of selftest.int64 here.
alias Quad = vec4<f32>;
fn floats(q: Quad) -> vec4<f32> { return q; }
fn quad(v: vec4<f32>) -> Quad { return v; }
// </quad>

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> dims: Dims;

override TA: bool = false; // A is [K,M] instead of [M,K]
override TB: bool = false; // B is [N,K] instead of [K,N]

// Where a lane's first vec4 of a panel lies, the distance to its three others, and to the next panel.
struct Walk { at: u32, other: u32, next: u32 }

const ROWS = 64u / QUADS; // k that the workgroup loads at once along contiguous outputs

// A panel whose rows of contiguous outputs are `wide` vec4s long: consecutive lanes lie along them.
fn along(lane: u32, k: u32, quad: u32, wide: u32, first: u32) -> Walk {
  return Walk(first + (k + lane / QUADS) * wide + quad + lane % QUADS, ROWS * wide, DEPTH * wide);
}

// A panel whose rows are contiguous k: DEPTH / 4 lanes lie along them, each with four rows.
fn across(lane: u32, k: u32, row: u32, first: u32) -> Walk {
  let k4 = dims.k / 4u;
  return Walk(first + (row + lane / (DEPTH / 4u) * 4u) * k4 + k / 4u + lane % (DEPTH / 4u), k4, DEPTH / 4u);
}

// The vec4s of a walk at one panel.
fn load_a(w: Walk) -> mat4x4<f32> {
  return mat4x4<f32>(a[w.at], a[w.at + w.other], a[w.at + 2u * w.other], a[w.at + 3u * w.other]);
}

fn load_b(w: Walk) -> mat4x4<f32> {
  return mat4x4<f32>(b[w.at], b[w.at + w.other], b[w.at + 2u * w.other], b[w.at + 3u * w.other]);
}

// Which of a lane's four vec4s lie before the end of the last panel, which need not be whole.
fn before_end(lane: u32, t: bool, rest: u32) -> vec4<bool> {
  let along = vec4<u32>(0u, ROWS, 2u * ROWS, 3u * ROWS) + lane / QUADS;
  return select(vec4<u32>(lane % (DEPTH / 4u) * 4u), along, t) < vec4<u32>(rest);
}

// Four k of a panel. The gap puts the transposed writes of eight neighbouring lanes into different banks.
struct Fours { k: array<array<vec4<f32>, QUADS>, 4>, gap: array<vec4<f32>, GAP> }
// [load][four k of a load]
var<workgroup> panel_a: array<array<Fours, ROWS / 4u>, 4>;
var<workgroup> panel_b: array<array<Fours, ROWS / 4u>, 4>;
// </block>

// <cut, from matmul8.wgsl>
// The vec4s to keep, and zeros.
fn cut(v: mat4x4<f32>, keep: vec4<bool>) -> mat4x4<f32> {
  let z = vec4<f32>();
  return mat4x4<f32>(
    select(z, v[0], keep.x), select(z, v[1], keep.y), select(z, v[2], keep.z), select(z, v[3], keep.w),
  );
}
// </cut>

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

// The 4x4 sums of one invocation.
var<private> sum0: vec4<f32>; var<private> sum1: vec4<f32>;
var<private> sum2: vec4<f32>; var<private> sum3: vec4<f32>;

// One k. `d` is a constant at every call, so that addresses fold.
fn step(d: u32, r: u32, o: u32) {
  let p = panel_a[d / 8u][d % 8u / 4u].k[d % 4u][r]; let q = panel_b[d / 8u][d % 8u / 4u].k[d % 4u][o];
  sum0 += p.x * q; sum1 += p.y * q; sum2 += p.z * q; sum3 += p.w * q;
}

// <steps, from matmul8.wgsl>
fn multiply16(r: u32, o: u32) {
  step(0u, r, o); step(1u, r, o); step(2u, r, o); step(3u, r, o);
  step(4u, r, o); step(5u, r, o); step(6u, r, o); step(7u, r, o);
  step(8u, r, o); step(9u, r, o); step(10u, r, o); step(11u, r, o);
  step(12u, r, o); step(13u, r, o); step(14u, r, o); step(15u, r, o);
}
// </steps>

fn multiply(r: u32, o: u32) {
  multiply16(r, o);
  step(16u, r, o); step(17u, r, o); step(18u, r, o); step(19u, r, o);
  step(20u, r, o); step(21u, r, o); step(22u, r, o); step(23u, r, o);
  step(24u, r, o); step(25u, r, o); step(26u, r, o); step(27u, r, o);
  step(28u, r, o); step(29u, r, o); step(30u, r, o); step(31u, r, o);
}

// Stores four elements of one row; `base` is the row of C that the matrix begins with.
fn store(base: u32, row: u32, col: u32, v: vec4<f32>) {
  let at = (base + row) * dims.n4 + col;
  if (row < dims.m && col < dims.n4) { c[at] = fused(at, v); }
}

@compute @workgroup_size(64)
fn tile(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * QUADS * 4u;
  let col = group.x * QUADS;
  // <block_loop, from matmul8.wgsl>
  let batch = group.z / dims.parts;
  let start = group.z % dims.parts * dims.chunk;
  let end = min(start + dims.chunk, dims.k);
  let first_a = batch * (dims.m * dims.k / 4u);
  let first_b = batch * (dims.k * dims.n4);
  var wa = across(lane, start, row, first_a);
  if (TA) { wa = along(lane, start, row / 4u, dims.m / 4u, first_a); }
  var wb = along(lane, start, col, dims.n4, first_b);
  if (TB) { wb = across(lane, start, col * 4u, first_b); }
  let q = lane % QUADS; let g = lane / QUADS / 4u; let i = lane / QUADS % 4u; // along
  let quad = lane / (DEPTH / 4u); let k4 = lane % (DEPTH / 4u); // across
  let j = k4 / (ROWS / 4u); let e = k4 % (ROWS / 4u);
  var p = load_a(wa); var r = load_b(wb);
  for (var k = start; k < end; k += DEPTH) {
    if (k + DEPTH > end) { // zero past the end on both sides, since zero times infinity is a NaN
      p = cut(p, before_end(lane, TA, end - k)); r = cut(r, before_end(lane, !TB, end - k));
    }
    workgroupBarrier();
    if (TA) {
      panel_a[0][g].k[i][q] = p[0]; panel_a[1][g].k[i][q] = p[1];
      panel_a[2][g].k[i][q] = p[2]; panel_a[3][g].k[i][q] = p[3];
    } else {
      let t = transpose(p);
      panel_a[j][e].k[0][quad] = t[0]; panel_a[j][e].k[1][quad] = t[1];
      panel_a[j][e].k[2][quad] = t[2]; panel_a[j][e].k[3][quad] = t[3];
    }
    if (TB) {
      let t = transpose(r);
      panel_b[j][e].k[0][quad] = t[0]; panel_b[j][e].k[1][quad] = t[1];
      panel_b[j][e].k[2][quad] = t[2]; panel_b[j][e].k[3][quad] = t[3];
    } else {
      panel_b[0][g].k[i][q] = r[0]; panel_b[1][g].k[i][q] = r[1];
      panel_b[2][g].k[i][q] = r[2]; panel_b[3][g].k[i][q] = r[3];
    }
    workgroupBarrier();
    wa.at += wa.next; wb.at += wb.next; // the last panel loads one more, which is not used
    p = load_a(wa); r = load_b(wb);
    multiply(lane / 8u, lane % 8u);
  }
  let base = (group.z % dims.parts * dims.batches + batch) * dims.m;
  let top = row + lane / 8u * 4u;
  let left = col + lane % 8u;
  // </block_loop>
  store(base, top, left, sum0); store(base, top + 1u, left, sum1);
  store(base, top + 2u, left, sum2); store(base, top + 3u, left, sum3);
}
