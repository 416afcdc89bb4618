// C[M,N] = fused(Aᵀ·B), A[K,M], B[K,N]: the twin of matmul.subgroup.wgsl for weight gradients (compute bound, limited by loads).
// A lane loads four k of its own row of C one by one, since they lie M apart; the rest is the same, and explained there.

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

@group(0) @binding(0) var<storage, read> a: array<f32>;
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
fn columns_a(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
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
  let last = dims.m - 1u;
  let last_k = dims.k - 1u;
  let a_at = group.z * dims.m * dims.k;
  let b_at = group.z * dims.k * dims.n4;
  let a0 = a_at + min(row + 0u + lane, last);
  let a1 = a_at + min(row + 8u + lane, last);
  let a2 = a_at + min(row + 16u + lane, last);
  let a3 = a_at + min(row + 24u + lane, last);
  let a4 = a_at + min(row + 32u + lane, last);
  let a5 = a_at + min(row + 40u + lane, last);
  let a6 = a_at + min(row + 48u + lane, last);
  let a7 = a_at + min(row + 56u + lane, last);
  for (var k = 0u; k < dims.k; k += 4u) {
    let e0 = b_at + k * dims.n4; let e1 = b_at + min(k + 1u, last_k) * dims.n4;
    let e2 = b_at + min(k + 2u, last_k) * dims.n4; let e3 = b_at + min(k + 3u, last_k) * dims.n4;
    let b0 = b[e0 + left]; let b1 = b[e1 + left]; let b2 = b[e2 + left]; let b3 = b[e3 + left];
    var d0: vec4<f32>; var d1: vec4<f32>; var d2: vec4<f32>; var d3: vec4<f32>;
    if (WIDE) { d0 = b[e0 + right]; d1 = b[e1 + right]; d2 = b[e2 + right]; d3 = b[e3 + right]; }
    let k0 = k * dims.m; let k1 = min(k + 1u, last_k) * dims.m; let k2 = min(k + 2u, last_k) * dims.m; let k3 = min(k + 3u, last_k) * dims.m;
    let inside = select(vec4<f32>(0.0), vec4<f32>(1.0), vec4<u32>(k, k + 1u, k + 2u, k + 3u) <= vec4<u32>(last_k));
    let u0 = vec4<f32>(a[a0 + k0], a[a0 + k1], a[a0 + k2], a[a0 + k3]) * inside;
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(u0, i);
      l0[i] += p.x * b0 + p.y * b1 + p.z * b2 + p.w * b3;
      if (WIDE) { r0[i] += p.x * d0 + p.y * d1 + p.z * d2 + p.w * d3; }
    }
    let u1 = vec4<f32>(a[a1 + k0], a[a1 + k1], a[a1 + k2], a[a1 + k3]) * inside;
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(u1, i);
      l1[i] += p.x * b0 + p.y * b1 + p.z * b2 + p.w * b3;
      if (WIDE) { r1[i] += p.x * d0 + p.y * d1 + p.z * d2 + p.w * d3; }
    }
    let u2 = vec4<f32>(a[a2 + k0], a[a2 + k1], a[a2 + k2], a[a2 + k3]) * inside;
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(u2, i);
      l2[i] += p.x * b0 + p.y * b1 + p.z * b2 + p.w * b3;
      if (WIDE) { r2[i] += p.x * d0 + p.y * d1 + p.z * d2 + p.w * d3; }
    }
    let u3 = vec4<f32>(a[a3 + k0], a[a3 + k1], a[a3 + k2], a[a3 + k3]) * inside;
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(u3, i);
      l3[i] += p.x * b0 + p.y * b1 + p.z * b2 + p.w * b3;
      if (WIDE) { r3[i] += p.x * d0 + p.y * d1 + p.z * d2 + p.w * d3; }
    }
    let u4 = vec4<f32>(a[a4 + k0], a[a4 + k1], a[a4 + k2], a[a4 + k3]) * inside;
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(u4, i);
      l4[i] += p.x * b0 + p.y * b1 + p.z * b2 + p.w * b3;
      if (WIDE) { r4[i] += p.x * d0 + p.y * d1 + p.z * d2 + p.w * d3; }
    }
    let u5 = vec4<f32>(a[a5 + k0], a[a5 + k1], a[a5 + k2], a[a5 + k3]) * inside;
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(u5, i);
      l5[i] += p.x * b0 + p.y * b1 + p.z * b2 + p.w * b3;
      if (WIDE) { r5[i] += p.x * d0 + p.y * d1 + p.z * d2 + p.w * d3; }
    }
    let u6 = vec4<f32>(a[a6 + k0], a[a6 + k1], a[a6 + k2], a[a6 + k3]) * inside;
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(u6, i);
      l6[i] += p.x * b0 + p.y * b1 + p.z * b2 + p.w * b3;
      if (WIDE) { r6[i] += p.x * d0 + p.y * d1 + p.z * d2 + p.w * d3; }
    }
    let u7 = vec4<f32>(a[a7 + k0], a[a7 + k1], a[a7 + k2], a[a7 + k3]) * inside;
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
