// C[M,N] = fused(A·B), f32, batched, any layout by strides, for every adapter (compute bound).
// tile: for GPUs. A workgroup of 256 makes 64x64 outputs from 64x16 and 16x64 panels in workgroup memory, 4x4 per invocation.
// register: for CPU drivers without fixed subgroups and for odd extents. One invocation makes 4x4 outputs, no workgroup memory.

struct Access {
  shape: vec4<u32>,
  stride: vec4<u32>,
  offset: u32,
}

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

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
@group(0) @binding(3) var<uniform> dims: Dims;
@group(0) @binding(4) var<storage, read> x0: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> x1: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> x2: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> s0: array<f32>;
@group(0) @binding(5) var<storage, read> s1: array<f32>;
@group(0) @binding(6) var<storage, read> s2: array<f32>;

// <access>
// vec4 index into a row that is repeated for every outer index; its length is a multiple of 4.
fn row(i: u32, k: u32) -> u32 {
  return i % dims.access[k].shape.w;
}

// Element index of a value that is constant along rows of a multiple of 4 elements.
fn column(i: u32, k: u32) -> u32 {
  return i / dims.access[k].shape.w;
}

fn address(e: u32, k: u32) -> u32 {
  let shape = dims.access[k].shape;
  let stride = dims.access[k].stride;
  let w = e % shape.w; let e1 = e / shape.w;
  let z = e1 % shape.z; let e2 = e1 / shape.z;
  return dims.access[k].offset + w * stride.w + z * stride.z + e2 % shape.y * stride.y + e2 / shape.y * stride.x;
}

// Element indices of four consecutive outputs under an affine view.
fn strided(i: u32, k: u32) -> vec4<u32> {
  return vec4<u32>(address(4u * i, k), address(4u * i + 1u, k), address(4u * i + 2u, k), address(4u * i + 3u, k));
}
// </access>

// <fused>
fn fused(i: u32, v: vec4<f32>) -> vec4<f32> {
  return v;
}
// </fused>

// 0, which the compiler cannot know: indices stay below 2^31. Where a condition holds nothing but uniforms, Mesa's software driver may
// put in their values and compile the shader anew at every dispatch, keeping each (docs/notes/drivers.md).
fn zero(index: u32) -> u32 {
  return index >> 31u;
}

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

const DEPTH = 16u;
var<workgroup> panel_a: array<vec4<f32>, 256>; // [DEPTH][16 vec4s of rows]
var<workgroup> panel_b: array<vec4<f32>, 256>; // [DEPTH][16 vec4s of columns]

fn load_a(batch: u32, row: u32, k: u32) -> f32 {
  let value = a[batch * dims.m * dims.k + min(row, dims.m - 1u) * dims.a_row + min(k, dims.k - 1u) * dims.a_col];
  return select(0.0, value, k < dims.k_end);
}

fn load_b(batch: u32, k: u32, col: u32) -> f32 {
  let value = b[batch * dims.k * dims.n + min(k, dims.k - 1u) * dims.b_row + min(col, dims.n - 1u) * dims.b_col];
  return select(0.0, value, k < dims.k_end); // both sides, since zero times infinity is a NaN
}

@compute @workgroup_size(256)
fn tile(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * 64u;
  let col = group.x * 64u;
  // Consecutive invocations load along whichever direction is contiguous.
  let a_along_k = dims.a_col == 1u;
  let a_row4 = select(lane % 16u, lane / 16u, a_along_k) * 4u;
  let a_k = select(lane / 16u, lane % 16u, a_along_k);
  let b_along_k = dims.b_row == 1u;
  let b_col4 = select(lane % 16u, lane / 16u, b_along_k) * 4u;
  let b_k = select(lane / 16u, lane % 16u, b_along_k);
  let mine_row = lane / 16u;
  let mine_col = lane % 16u;
  var sum0: vec4<f32>; var sum1: vec4<f32>; var sum2: vec4<f32>; var sum3: vec4<f32>;
  for (var k = dims.k_start; k < dims.k_end + zero(group.x); k += DEPTH) {
    let ka = k + a_k; let ra = row + a_row4;
    panel_a[a_k * 16u + a_row4 / 4u] =
      vec4<f32>(load_a(group.z, ra, ka), load_a(group.z, ra + 1u, ka), load_a(group.z, ra + 2u, ka), load_a(group.z, ra + 3u, ka));
    let kb = k + b_k; let cb = col + b_col4;
    panel_b[b_k * 16u + b_col4 / 4u] =
      vec4<f32>(load_b(group.z, kb, cb), load_b(group.z, kb, cb + 1u), load_b(group.z, kb, cb + 2u), load_b(group.z, kb, cb + 3u));
    workgroupBarrier();
    for (var j = 0u; j < DEPTH; j++) {
      let p = panel_a[j * 16u + mine_row];
      let q = panel_b[j * 16u + mine_col];
      sum0 += p.x * q; sum1 += p.y * q; sum2 += p.z * q; sum3 += p.w * q;
    }
    workgroupBarrier();
  }
  let r = row + 4u * mine_row; let o = col + 4u * mine_col;
  store(group.z, r, o, sum0); store(group.z, r + 1u, o, sum1);
  store(group.z, r + 2u, o, sum2); store(group.z, r + 3u, o, sum3);
}

@compute @workgroup_size(8, 8)
fn registers(@builtin(global_invocation_id) id: vec3<u32>) {
  let row = id.y * 4u;
  let col = id.x * 4u;
  var sum0: vec4<f32>; var sum1: vec4<f32>; var sum2: vec4<f32>; var sum3: vec4<f32>;
  for (var k = dims.k_start; k < dims.k_end + zero(id.x); k++) {
    let q = vec4<f32>(load_b(id.z, k, col), load_b(id.z, k, col + 1u), load_b(id.z, k, col + 2u), load_b(id.z, k, col + 3u));
    sum0 += load_a(id.z, row, k) * q; sum1 += load_a(id.z, row + 1u, k) * q;
    sum2 += load_a(id.z, row + 2u, k) * q; sum3 += load_a(id.z, row + 3u, k) * q;
  }
  store(id.z, row, col, sum0); store(id.z, row + 1u, col, sum1);
  store(id.z, row + 2u, col, sum2); store(id.z, row + 3u, col, sum3);
}
