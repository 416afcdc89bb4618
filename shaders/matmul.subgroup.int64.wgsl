// C[M,N] = fused(A·B), f32 row-major, batched, for CPU drivers whose subgroups are 8 vector lanes (compute bound, limited by loads).
// A[M,K] or (TA) A[K,M]; B[K,N] or (TB) B[N,K].
// One subgroup makes 64 rows x 64 columns (32 without WIDE). A lane holds one or two vec4s of columns; each load of A is spread
// to all lanes by subgroupShuffle with an index that unrolling makes constant. Loads cost far more than arithmetic here (the driver
// loops over lanes and components), so the tile is as large as the first-level cache holds, and operands are read as 64-bit words.
// The row loops have 8 trips and one 8-element array a side: the driver unrolls those; bigger arrays or nested loops fall off a
// cliff of 20x. Rows and columns past the end load the last valid ones.

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

@group(0) @binding(0) var<storage, read> a: array<vec2<u64>>;
@group(0) @binding(1) var<storage, read> b: array<vec2<u64>>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> dims: Dims;
@group(0) @binding(4) var<storage, read> x0: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> x1: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> x2: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> s0: array<f32>;
@group(0) @binding(5) var<storage, read> s1: array<f32>;
@group(0) @binding(6) var<storage, read> s2: array<f32>;

override WIDE: bool = true;
override TA: bool = false;
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

fn floats(v: vec2<u64>) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4<u32>(u32(v.x), u32(v.x >> 32u), u32(v.y), u32(v.y >> 32u)));
}

fn load_a(at: u32) -> vec4<f32> {
  return floats(a[at]);
}

fn load_b(at: u32) -> vec4<f32> {
  return floats(b[at]);
}

// Row of the tile that is element i of row array j: 8 neighbours, or with TA every fourth of 32, as its loads bring them.
fn row_of(j: u32, i: u32) -> u32 {
  return select(8u * j + i, 32u * (j / 4u) + 4u * i + j % 4u, TA);
}

// 0, which the compiler cannot know: see docs/notes/drivers.md.
fn zero(index: u32) -> u32 {
  return index >> 31u;
}

fn store(batch: u32, row: u32, col: u32, v: vec4<f32>, w: vec4<f32>) {
  let at = (batch * dims.m + row) * dims.n4 + col;
  if (row < dims.m && col < dims.n4) { c[at] = fused(at, v); }
  if (WIDE && row < dims.m && col + 8u < dims.n4) { c[at + 8u] = fused(at + 8u, w); }
}

@compute @workgroup_size(8)
fn lanes(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
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
  let m4 = dims.m / 4u;
  let last = dims.m - 1u;
  let last_k = dims.k - 1u;
  let a_at = group.z * select(dims.m * k4, m4 * dims.k, TA);
  let b_at = group.z * select(dims.k * dims.n4, 4u * dims.n4 * k4, TB);
  let a0 = a_at + min(row + 0u + lane, last) * k4;
  let a1 = a_at + min(row + 8u + lane, last) * k4;
  let a2 = a_at + min(row + 16u + lane, last) * k4;
  let a3 = a_at + min(row + 24u + lane, last) * k4;
  let a4 = a_at + min(row + 32u + lane, last) * k4;
  let a5 = a_at + min(row + 40u + lane, last) * k4;
  let a6 = a_at + min(row + 48u + lane, last) * k4;
  let a7 = a_at + min(row + 56u + lane, last) * k4;
  let q0 = a_at + min(row / 4u + lane, m4 - 1u);
  let q1 = a_at + min(row / 4u + 8u + lane, m4 - 1u);
  for (var k = 0u; k < dims.k + zero(group.x); k += 4u) {
    // Past the end of K both sides count as zero, since zero times infinity is a NaN; only with TA is there such a tail.
    let in1 = k + 1u < dims.k; let in2 = k + 2u < dims.k; let in3 = k + 3u < dims.k;
    let k0 = k; let k1 = min(k + 1u, last_k); let k2 = min(k + 2u, last_k); let k3 = min(k + 3u, last_k);
    var b0: vec4<f32>; var b1: vec4<f32>; var b2: vec4<f32>; var b3: vec4<f32>;
    var d0: vec4<f32>; var d1: vec4<f32>; var d2: vec4<f32>; var d3: vec4<f32>;
    if (TB) {
      // Four columns of B are rows in memory: load k0..k3 of each and transpose by naming, which is free.
      let at = b_at + 4u * left * k4 + k / 4u;
      let p = load_b(at); let q = load_b(at + k4); let s = load_b(at + 2u * k4); let t = load_b(at + 3u * k4);
      b0 = vec4<f32>(p.x, q.x, s.x, t.x); b1 = vec4<f32>(p.y, q.y, s.y, t.y);
      b2 = vec4<f32>(p.z, q.z, s.z, t.z); b3 = vec4<f32>(p.w, q.w, s.w, t.w);
    } else {
      let at = b_at + left; let n4 = dims.n4;
      b0 = load_b(at + k0 * n4); b1 = load_b(at + k1 * n4); b2 = load_b(at + k2 * n4); b3 = load_b(at + k3 * n4);
      if (TA) { b1 = select(vec4<f32>(), b1, in1); b2 = select(vec4<f32>(), b2, in2); b3 = select(vec4<f32>(), b3, in3); }
    }
    if (WIDE && TB) {
      let at = b_at + 4u * right * k4 + k / 4u;
      let p = load_b(at); let q = load_b(at + k4); let s = load_b(at + 2u * k4); let t = load_b(at + 3u * k4);
      d0 = vec4<f32>(p.x, q.x, s.x, t.x); d1 = vec4<f32>(p.y, q.y, s.y, t.y);
      d2 = vec4<f32>(p.z, q.z, s.z, t.z); d3 = vec4<f32>(p.w, q.w, s.w, t.w);
    } else if (WIDE) {
      let at = b_at + right; let n4 = dims.n4;
      d0 = load_b(at + k0 * n4); d1 = load_b(at + k1 * n4); d2 = load_b(at + k2 * n4); d3 = load_b(at + k3 * n4);
      if (TA) { d1 = select(vec4<f32>(), d1, in1); d2 = select(vec4<f32>(), d2, in2); d3 = select(vec4<f32>(), d3, in3); }
    }
    var u0: vec4<f32>; var u1: vec4<f32>; var u2: vec4<f32>; var u3: vec4<f32>;
    var u4: vec4<f32>; var u5: vec4<f32>; var u6: vec4<f32>; var u7: vec4<f32>;
    if (TA) {
      // Four rows of C lie side by side in A: the same transposition.
      let m = vec4<u32>(k0, k1, k2, k3) * m4;
      let p0 = load_a(q0 + m.x); let s0 = select(vec4<f32>(), load_a(q0 + m.y), in1);
      let t0 = select(vec4<f32>(), load_a(q0 + m.z), in2); let w0 = select(vec4<f32>(), load_a(q0 + m.w), in3);
      u0 = vec4<f32>(p0.x, s0.x, t0.x, w0.x); u1 = vec4<f32>(p0.y, s0.y, t0.y, w0.y);
      u2 = vec4<f32>(p0.z, s0.z, t0.z, w0.z); u3 = vec4<f32>(p0.w, s0.w, t0.w, w0.w);
      let p1 = load_a(q1 + m.x); let s1 = select(vec4<f32>(), load_a(q1 + m.y), in1);
      let t1 = select(vec4<f32>(), load_a(q1 + m.z), in2); let w1 = select(vec4<f32>(), load_a(q1 + m.w), in3);
      u4 = vec4<f32>(p1.x, s1.x, t1.x, w1.x); u5 = vec4<f32>(p1.y, s1.y, t1.y, w1.y);
      u6 = vec4<f32>(p1.z, s1.z, t1.z, w1.z); u7 = vec4<f32>(p1.w, s1.w, t1.w, w1.w);
    } else {
      let at = k / 4u;
      u0 = load_a(a0 + at); u1 = load_a(a1 + at); u2 = load_a(a2 + at); u3 = load_a(a3 + at);
      u4 = load_a(a4 + at); u5 = load_a(a5 + at); u6 = load_a(a6 + at); u7 = load_a(a7 + at);
    }
    // <products>
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(u0, i);
      l0[i] += p.x * b0 + p.y * b1 + p.z * b2 + p.w * b3;
      if (WIDE) { r0[i] += p.x * d0 + p.y * d1 + p.z * d2 + p.w * d3; }
    }
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(u1, i);
      l1[i] += p.x * b0 + p.y * b1 + p.z * b2 + p.w * b3;
      if (WIDE) { r1[i] += p.x * d0 + p.y * d1 + p.z * d2 + p.w * d3; }
    }
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(u2, i);
      l2[i] += p.x * b0 + p.y * b1 + p.z * b2 + p.w * b3;
      if (WIDE) { r2[i] += p.x * d0 + p.y * d1 + p.z * d2 + p.w * d3; }
    }
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(u3, i);
      l3[i] += p.x * b0 + p.y * b1 + p.z * b2 + p.w * b3;
      if (WIDE) { r3[i] += p.x * d0 + p.y * d1 + p.z * d2 + p.w * d3; }
    }
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(u4, i);
      l4[i] += p.x * b0 + p.y * b1 + p.z * b2 + p.w * b3;
      if (WIDE) { r4[i] += p.x * d0 + p.y * d1 + p.z * d2 + p.w * d3; }
    }
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(u5, i);
      l5[i] += p.x * b0 + p.y * b1 + p.z * b2 + p.w * b3;
      if (WIDE) { r5[i] += p.x * d0 + p.y * d1 + p.z * d2 + p.w * d3; }
    }
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(u6, i);
      l6[i] += p.x * b0 + p.y * b1 + p.z * b2 + p.w * b3;
      if (WIDE) { r6[i] += p.x * d0 + p.y * d1 + p.z * d2 + p.w * d3; }
    }
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(u7, i);
      l7[i] += p.x * b0 + p.y * b1 + p.z * b2 + p.w * b3;
      if (WIDE) { r7[i] += p.x * d0 + p.y * d1 + p.z * d2 + p.w * d3; }
    }
    // </products>
  }
  // A plain loop picks each row by comparing, since an index that is not constant would move the arrays to memory,
  // and 128 separate stores take the driver longer to compile. A bound that it does not know keeps it from unrolling.
  let count = 16u + zero(group.x);
  for (var i = 0u; i < count; i++) {
    var v: vec4<f32>; var w: vec4<f32>;
    for (var j = 0u; j < 8u; j++) { v = select(v, l0[j], i == j); if (WIDE) { w = select(w, r0[j], i == j); } }
    for (var j = 0u; j < 8u; j++) { v = select(v, l1[j], i == j + 8u); if (WIDE) { w = select(w, r1[j], i == j + 8u); } }
    store(group.z, row + row_of(0u + i / 8u, i % 8u), col, v, w);
  }
  for (var i = 0u; i < count; i++) {
    var v: vec4<f32>; var w: vec4<f32>;
    for (var j = 0u; j < 8u; j++) { v = select(v, l2[j], i == j); if (WIDE) { w = select(w, r2[j], i == j); } }
    for (var j = 0u; j < 8u; j++) { v = select(v, l3[j], i == j + 8u); if (WIDE) { w = select(w, r3[j], i == j + 8u); } }
    store(group.z, row + row_of(2u + i / 8u, i % 8u), col, v, w);
  }
  for (var i = 0u; i < count; i++) {
    var v: vec4<f32>; var w: vec4<f32>;
    for (var j = 0u; j < 8u; j++) { v = select(v, l4[j], i == j); if (WIDE) { w = select(w, r4[j], i == j); } }
    for (var j = 0u; j < 8u; j++) { v = select(v, l5[j], i == j + 8u); if (WIDE) { w = select(w, r5[j], i == j + 8u); } }
    store(group.z, row + row_of(4u + i / 8u, i % 8u), col, v, w);
  }
  for (var i = 0u; i < count; i++) {
    var v: vec4<f32>; var w: vec4<f32>;
    for (var j = 0u; j < 8u; j++) { v = select(v, l6[j], i == j); if (WIDE) { w = select(w, r6[j], i == j); } }
    for (var j = 0u; j < 8u; j++) { v = select(v, l7[j], i == j + 8u); if (WIDE) { w = select(w, r7[j], i == j + 8u); } }
    store(group.z, row + row_of(6u + i / 8u, i % 8u), col, v, w);
  }
}
