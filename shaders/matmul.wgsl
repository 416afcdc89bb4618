// C[M,N] = fused(A·B), f32, batched, any layout by strides, for every adapter.
//
// Index map: one invocation makes 4x4 elements of C in registers; z is the product.
//   tile       for GPUs: a workgroup of 256 makes 64x64 from panels of 16 k in workgroup memory
//   registers  for CPU drivers without fixed subgroups, and for odd extents: no workgroup memory
//
// Bound: compute.

struct Dims {
  m: u32,
  n: u32,
  k: u32,
  k_start: u32, // this launch sums k_start..k_end
  k_end: u32,
  a_row: u32, // element strides of A[m,k] and B[k,n]
  a_col: u32,
  b_row: u32,
  b_col: u32,
  epilogue: u32, // 1: N is a multiple of 4 and the marked function ends the launch
  access: array<Access, 3>,
  constant: array<vec4<f32>, 8>,
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

// <epilogue, master>
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

// <zero, master>
// 0, which the compiler cannot know, so that no condition holds uniforms alone: see docs/notes/drivers.md.
fn zero(index: u32) -> u32 { return index >> 31u; }
// </zero>

// Stores four outputs of one row, summing onto an earlier launch's part of K and ending with the epilogue.
fn store(batch: u32, row: u32, col: u32, sum: vec4<f32>) {
  if (row >= dims.m || col >= dims.n) { return; }
  let at = (batch * dims.m + row) * dims.n + col;
  var v = sum;
  if (dims.k_start > zero(row)) {
    v += vec4<f32>(c[at], c[at + 1u], c[at + 2u], c[at + 3u]); // lanes past the end are not stored
  }
  if (dims.epilogue == 1u + zero(row) && dims.k_end == dims.k) { v = fused(at / 4u, v); }
  c[at] = v.x;
  if (col + 1u < dims.n) { c[at + 1u] = v.y; }
  if (col + 2u < dims.n) { c[at + 2u] = v.z; }
  if (col + 3u < dims.n) { c[at + 3u] = v.w; }
}

fn load_a(batch: u32, row: u32, k: u32) -> f32 {
  let in_a = min(row, dims.m - 1u) * dims.a_row + min(k, dims.k - 1u) * dims.a_col;
  return select(0.0, a[batch * dims.m * dims.k + in_a], k < dims.k_end);
}

// Zero past the end like A's, on both sides, since zero times infinity is a NaN.
fn load_b(batch: u32, k: u32, col: u32) -> f32 {
  let in_b = min(k, dims.k - 1u) * dims.b_row + min(col, dims.n - 1u) * dims.b_col;
  return select(0.0, b[batch * dims.k * dims.n + in_b], k < dims.k_end);
}

// Four rows of A, and four columns of B.
fn column_of_a(batch: u32, row: u32, k: u32) -> vec4<f32> {
  return vec4<f32>(
    load_a(batch, row, k), load_a(batch, row + 1u, k), load_a(batch, row + 2u, k), load_a(batch, row + 3u, k),
  );
}

fn row_of_b(batch: u32, k: u32, col: u32) -> vec4<f32> {
  return vec4<f32>(
    load_b(batch, k, col), load_b(batch, k, col + 1u), load_b(batch, k, col + 2u), load_b(batch, k, col + 3u),
  );
}

// <panels, master>
const DEPTH = 16u;
var<workgroup> panel_a: array<vec4<f32>, 256>; // [DEPTH][16 vec4s of rows]
var<workgroup> panel_b: array<vec4<f32>, 256>; // [DEPTH][16 vec4s of columns]
// </panels>

@compute @workgroup_size(256)
fn tile(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * 64u;
  let col = group.x * 64u;
  // Consecutive invocations load along whichever direction is contiguous.
  let a_row4 = select(lane % 16u, lane / 16u, dims.a_col == 1u);
  let a_k = select(lane / 16u, lane % 16u, dims.a_col == 1u);
  let b_col4 = select(lane % 16u, lane / 16u, dims.b_row == 1u);
  let b_k = select(lane / 16u, lane % 16u, dims.b_row == 1u);
  var sum0: vec4<f32>; var sum1: vec4<f32>; var sum2: vec4<f32>; var sum3: vec4<f32>;
  for (var k = dims.k_start; k < dims.k_end + zero(group.x); k += DEPTH) {
    panel_a[a_k * 16u + a_row4] = column_of_a(group.z, row + 4u * a_row4, k + a_k);
    panel_b[b_k * 16u + b_col4] = row_of_b(group.z, k + b_k, col + 4u * b_col4);
    // <panel_products, master>
    workgroupBarrier();
    for (var j = 0u; j < DEPTH; j++) {
      let p = panel_a[j * 16u + lane / 16u];
      let q = panel_b[j * 16u + lane % 16u];
      sum0 += p.x * q; sum1 += p.y * q; sum2 += p.z * q; sum3 += p.w * q;
    }
    workgroupBarrier();
    // </panel_products>
  }
  let r = row + lane / 16u * 4u; let o = col + lane % 16u * 4u;
  store(group.z, r, o, sum0); store(group.z, r + 1u, o, sum1);
  store(group.z, r + 2u, o, sum2); store(group.z, r + 3u, o, sum3);
}

@compute @workgroup_size(8, 8)
fn registers(@builtin(global_invocation_id) id: vec3<u32>) {
  let row = id.y * 4u;
  let col = id.x * 4u;
  var sum0: vec4<f32>; var sum1: vec4<f32>; var sum2: vec4<f32>; var sum3: vec4<f32>;
  for (var k = dims.k_start; k < dims.k_end + zero(id.x); k++) {
    let p = column_of_a(id.z, row, k);
    let q = row_of_b(id.z, k, col);
    sum0 += p.x * q; sum1 += p.y * q; sum2 += p.z * q; sum3 += p.w * q;
  }
  store(id.z, row, col, sum0); store(id.z, row + 1u, col, sum1);
  store(id.z, row + 2u, col, sum2); store(id.z, row + 3u, col, sum3);
}
