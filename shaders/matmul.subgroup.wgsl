// C[M,N] = fused(A·B), f32 row-major, batched, for CPU drivers whose subgroups are 8 vector lanes (compute bound, limited by loads).
// A[M,K], with B[K,N] or (TB) B[N,K]. matmul_tn.subgroup.wgsl is its twin for A[K,M].
// One subgroup makes 64 rows x 64 columns (32 without WIDE). A lane holds one or two vec4s of columns; each load of A is spread
// to all lanes by subgroupShuffle with an index that unrolling makes constant. Loads cost far more than arithmetic here (the driver
// loops over lanes), so the tile is as large as the first-level cache holds. The row loops have 8 trips and one 8-element array
// a side: the driver unrolls those; bigger arrays or nested loops fall off a cliff of 20x.
// Rows and columns past the end load the last valid ones.

struct Access {
  shape: vec4<u32>,
  stride: vec4<u32>,
  offset: u32,
}

struct Dims {
  m: u32,
  n4: u32, // N / 4
  k: u32,
  access: array<Access, 3>,
  constant: array<vec4<f32>, 8>,
}

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> dims: Dims;
@group(0) @binding(4) var<storage, read> x0: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> x1: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> x2: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> s0: array<f32>;
@group(0) @binding(5) var<storage, read> s1: array<f32>;
@group(0) @binding(6) var<storage, read> s2: array<f32>;

override WIDE: bool = true;
override TB: bool = false;

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

@compute @workgroup_size(8)
fn rows_a(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
  let row = group.y * 64u;
  let col = group.x * select(8u, 16u, WIDE) + lane;
  let left = min(col, dims.n4 - 1u);
  let right = min(col + 8u, dims.n4 - 1u);
  var l0: array<vec4<f32>, 8>; var r0: array<vec4<f32>, 8>;
  var l1: array<vec4<f32>, 8>; var r1: array<vec4<f32>, 8>;
  var l2: array<vec4<f32>, 8>; var r2: array<vec4<f32>, 8>;
  var l3: array<vec4<f32>, 8>; var r3: array<vec4<f32>, 8>;
  var l4: array<vec4<f32>, 8>; var r4: array<vec4<f32>, 8>;
  var l5: array<vec4<f32>, 8>; var r5: array<vec4<f32>, 8>;
  var l6: array<vec4<f32>, 8>; var r6: array<vec4<f32>, 8>;
  var l7: array<vec4<f32>, 8>; var r7: array<vec4<f32>, 8>;
  let k4 = dims.k / 4u;
  let last = dims.m - 1u;
  let a_at = group.z * dims.m * k4;
  let b_at = group.z * dims.k * dims.n4;
  let a0 = a_at + min(row + 0u + lane, last) * k4;
  let a1 = a_at + min(row + 8u + lane, last) * k4;
  let a2 = a_at + min(row + 16u + lane, last) * k4;
  let a3 = a_at + min(row + 24u + lane, last) * k4;
  let a4 = a_at + min(row + 32u + lane, last) * k4;
  let a5 = a_at + min(row + 40u + lane, last) * k4;
  let a6 = a_at + min(row + 48u + lane, last) * k4;
  let a7 = a_at + min(row + 56u + lane, last) * k4;
  for (var k = 0u; k < k4; k++) {
    var b0: vec4<f32>; var b1: vec4<f32>; var b2: vec4<f32>; var b3: vec4<f32>;
    var d0: vec4<f32>; var d1: vec4<f32>; var d2: vec4<f32>; var d3: vec4<f32>;
    if (TB) {
      // Four columns of B are rows in memory: load k0..k3 of each and transpose by naming, which is free.
      let at = b_at + 4u * left * k4 + k;
      let p = b[at]; let q = b[at + k4]; let s = b[at + 2u * k4]; let t = b[at + 3u * k4];
      b0 = vec4<f32>(p.x, q.x, s.x, t.x); b1 = vec4<f32>(p.y, q.y, s.y, t.y);
      b2 = vec4<f32>(p.z, q.z, s.z, t.z); b3 = vec4<f32>(p.w, q.w, s.w, t.w);
    } else {
      let at = b_at + 4u * k * dims.n4 + left;
      b0 = b[at]; b1 = b[at + dims.n4]; b2 = b[at + 2u * dims.n4]; b3 = b[at + 3u * dims.n4];
    }
    if (WIDE && TB) {
      let at = b_at + 4u * right * k4 + k;
      let p = b[at]; let q = b[at + k4]; let s = b[at + 2u * k4]; let t = b[at + 3u * k4];
      d0 = vec4<f32>(p.x, q.x, s.x, t.x); d1 = vec4<f32>(p.y, q.y, s.y, t.y);
      d2 = vec4<f32>(p.z, q.z, s.z, t.z); d3 = vec4<f32>(p.w, q.w, s.w, t.w);
    } else if (WIDE) {
      let at = b_at + 4u * k * dims.n4 + right;
      d0 = b[at]; d1 = b[at + dims.n4]; d2 = b[at + 2u * dims.n4]; d3 = b[at + 3u * dims.n4];
    }
    let u0 = a[a0 + k];
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(u0, i);
      l0[i] += p.x * b0 + p.y * b1 + p.z * b2 + p.w * b3;
      if (WIDE) { r0[i] += p.x * d0 + p.y * d1 + p.z * d2 + p.w * d3; }
    }
    let u1 = a[a1 + k];
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(u1, i);
      l1[i] += p.x * b0 + p.y * b1 + p.z * b2 + p.w * b3;
      if (WIDE) { r1[i] += p.x * d0 + p.y * d1 + p.z * d2 + p.w * d3; }
    }
    let u2 = a[a2 + k];
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(u2, i);
      l2[i] += p.x * b0 + p.y * b1 + p.z * b2 + p.w * b3;
      if (WIDE) { r2[i] += p.x * d0 + p.y * d1 + p.z * d2 + p.w * d3; }
    }
    let u3 = a[a3 + k];
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(u3, i);
      l3[i] += p.x * b0 + p.y * b1 + p.z * b2 + p.w * b3;
      if (WIDE) { r3[i] += p.x * d0 + p.y * d1 + p.z * d2 + p.w * d3; }
    }
    let u4 = a[a4 + k];
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(u4, i);
      l4[i] += p.x * b0 + p.y * b1 + p.z * b2 + p.w * b3;
      if (WIDE) { r4[i] += p.x * d0 + p.y * d1 + p.z * d2 + p.w * d3; }
    }
    let u5 = a[a5 + k];
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(u5, i);
      l5[i] += p.x * b0 + p.y * b1 + p.z * b2 + p.w * b3;
      if (WIDE) { r5[i] += p.x * d0 + p.y * d1 + p.z * d2 + p.w * d3; }
    }
    let u6 = a[a6 + k];
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(u6, i);
      l6[i] += p.x * b0 + p.y * b1 + p.z * b2 + p.w * b3;
      if (WIDE) { r6[i] += p.x * d0 + p.y * d1 + p.z * d2 + p.w * d3; }
    }
    let u7 = a[a7 + k];
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(u7, i);
      l7[i] += p.x * b0 + p.y * b1 + p.z * b2 + p.w * b3;
      if (WIDE) { r7[i] += p.x * d0 + p.y * d1 + p.z * d2 + p.w * d3; }
    }
  }
  // A plain loop picks each row by comparing, since an index that is not constant would move the arrays to memory,
  // and 128 separate stores take the driver longer to compile.
  let rows = min(64u, dims.m - row);
  for (var i = 0u; i < rows; i++) {
    var v: vec4<f32>;
    var w: vec4<f32>;
    for (var j = 0u; j < 8u; j++) { v = select(v, l0[j], i == j); if (WIDE) { w = select(w, r0[j], i == j); } }
    for (var j = 0u; j < 8u; j++) { v = select(v, l1[j], i == j + 8u); if (WIDE) { w = select(w, r1[j], i == j + 8u); } }
    for (var j = 0u; j < 8u; j++) { v = select(v, l2[j], i == j + 16u); if (WIDE) { w = select(w, r2[j], i == j + 16u); } }
    for (var j = 0u; j < 8u; j++) { v = select(v, l3[j], i == j + 24u); if (WIDE) { w = select(w, r3[j], i == j + 24u); } }
    for (var j = 0u; j < 8u; j++) { v = select(v, l4[j], i == j + 32u); if (WIDE) { w = select(w, r4[j], i == j + 32u); } }
    for (var j = 0u; j < 8u; j++) { v = select(v, l5[j], i == j + 40u); if (WIDE) { w = select(w, r5[j], i == j + 40u); } }
    for (var j = 0u; j < 8u; j++) { v = select(v, l6[j], i == j + 48u); if (WIDE) { w = select(w, r6[j], i == j + 48u); } }
    for (var j = 0u; j < 8u; j++) { v = select(v, l7[j], i == j + 56u); if (WIDE) { w = select(w, r7[j], i == j + 56u); } }
    let at = (group.z * dims.m + row + i) * dims.n4 + col;
    if (col < dims.n4) { c[at] = fused(at, v); }
    if (WIDE && col + 8u < dims.n4) { c[at + 8u] = fused(at + 8u, w); }
  }
}
