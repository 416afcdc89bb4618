// C[M,N] = fused(A·B), f32 row-major, batched, for CPU drivers whose subgroups are 8 vector lanes (compute bound).
// Entry points by layout: nn A[M,K] B[K,N], nt A[M,K] B[N,K], tn A[K,M] B[K,N].
// One subgroup makes 16 rows x 64 columns (32 without WIDE). A lane holds two vec4s of columns; each load of A is spread to
// all lanes by subgroupShuffle with an index that unrolling makes constant. The row loops have 8 trips and one
// 8-element array each: the driver unrolls those and keeps the arrays in registers; anything bigger falls off a cliff.
// Rows and columns past the end load the last valid ones and are not stored.

struct Access {
  shape: vec4<u32>,
  stride: vec4<u32>,
  offset: u32,
}

struct Dims {
  m: u32,
  n4: u32, // N / 4
  k: u32,
  k_start: u32, // this launch sums k_start..k_end (a multiple of 4 but for the last in tn)
  k_end: u32,
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

struct Tile {
  top_left: array<vec4<f32>, 8>,
  top_right: array<vec4<f32>, 8>,
  bottom_left: array<vec4<f32>, 8>,
  bottom_right: array<vec4<f32>, 8>,
}

fn put(i: u32, row: u32, col: u32, v: vec4<f32>) {
  if (row < dims.m && col < dims.n4) {
    if (dims.k_start > 0u) { c[i] += v; } else { c[i] = v; }
  }
}

// Stores the tile, then ends it with the epilogue in a plain loop, so that the row loops stay small enough to unroll.
fn store(tile: ptr<function, Tile>, batch: u32, row: u32, col: u32) {
  let base = batch * dims.m * dims.n4;
  for (var i = 0u; i < 8u; i++) {
    let top = base + (row + i) * dims.n4 + col;
    put(top, row + i, col, (*tile).top_left[i]);
    if (WIDE) { put(top + 8u, row + i, col + 8u, (*tile).top_right[i]); }
  }
  for (var i = 0u; i < 8u; i++) {
    let bottom = base + (row + 8u + i) * dims.n4 + col;
    put(bottom, row + 8u + i, col, (*tile).bottom_left[i]);
    if (WIDE) { put(bottom + 8u, row + 8u + i, col + 8u, (*tile).bottom_right[i]); }
  }
  if (dims.k_end == dims.k) {
    let rows = min(16u, dims.m - row);
    for (var i = 0u; i < rows; i++) {
      let at = base + (row + i) * dims.n4 + col;
      if (col < dims.n4) { c[at] = fused(at, c[at]); }
      if (WIDE && col + 8u < dims.n4) { c[at + 8u] = fused(at + 8u, c[at + 8u]); }
    }
  }
}

@compute @workgroup_size(8)
fn nn(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
  let row = group.y * 16u;
  let col = group.x * select(8u, 16u, WIDE) + lane;
  let left = min(col, dims.n4 - 1u);
  let right = min(col + 8u, dims.n4 - 1u);
  var tile: Tile;
  let k4 = dims.k / 4u;
  let a_top = (group.z * dims.m + min(row + lane, dims.m - 1u)) * k4;
  let a_bottom = (group.z * dims.m + min(row + 8u + lane, dims.m - 1u)) * k4;
  let b_at = group.z * dims.k * dims.n4;
  for (var k = dims.k_start / 4u; k < dims.k_end / 4u; k++) {
    let at = b_at + 4u * k * dims.n4;
    let l0 = b[at + left]; let l1 = b[at + dims.n4 + left]; let l2 = b[at + 2u * dims.n4 + left]; let l3 = b[at + 3u * dims.n4 + left];
    var r0: vec4<f32>; var r1: vec4<f32>; var r2: vec4<f32>; var r3: vec4<f32>;
    if (WIDE) { r0 = b[at + right]; r1 = b[at + dims.n4 + right]; r2 = b[at + 2u * dims.n4 + right]; r3 = b[at + 3u * dims.n4 + right]; }
    let top = a[a_top + k];
    let bottom = a[a_bottom + k];
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(top, i);
      tile.top_left[i] += p.x * l0 + p.y * l1 + p.z * l2 + p.w * l3;
      if (WIDE) { tile.top_right[i] += p.x * r0 + p.y * r1 + p.z * r2 + p.w * r3; }
    }
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(bottom, i);
      tile.bottom_left[i] += p.x * l0 + p.y * l1 + p.z * l2 + p.w * l3;
      if (WIDE) { tile.bottom_right[i] += p.x * r0 + p.y * r1 + p.z * r2 + p.w * r3; }
    }
  }
  store(&tile, group.z, row, col);
}

@compute @workgroup_size(8)
fn nt(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
  let row = group.y * 16u;
  let col = group.x * select(8u, 16u, WIDE) + lane;
  let left = min(col, dims.n4 - 1u);
  let right = min(col + 8u, dims.n4 - 1u);
  var tile: Tile;
  let k4 = dims.k / 4u;
  let a_top = (group.z * dims.m + min(row + lane, dims.m - 1u)) * k4;
  let a_bottom = (group.z * dims.m + min(row + 8u + lane, dims.m - 1u)) * k4;
  let b_at = group.z * dims.k * dims.n4;
  for (var k = dims.k_start / 4u; k < dims.k_end / 4u; k++) {
    // Four columns of B are rows in memory: load k0..k3 of each and transpose by naming, which is free.
    let la = b[b_at + 4u * left * k4 + k]; let lb = b[b_at + 4u * left * k4 + k + k4]; let lc = b[b_at + 4u * left * k4 + k + 2u * k4]; let ld = b[b_at + 4u * left * k4 + k + 3u * k4];
    let l0 = vec4<f32>(la.x, lb.x, lc.x, ld.x); let l1 = vec4<f32>(la.y, lb.y, lc.y, ld.y); let l2 = vec4<f32>(la.z, lb.z, lc.z, ld.z); let l3 = vec4<f32>(la.w, lb.w, lc.w, ld.w);
    var r0: vec4<f32>; var r1: vec4<f32>; var r2: vec4<f32>; var r3: vec4<f32>;
    if (WIDE) {
      let ra = b[b_at + 4u * right * k4 + k]; let rb = b[b_at + 4u * right * k4 + k + k4]; let rc = b[b_at + 4u * right * k4 + k + 2u * k4]; let rd = b[b_at + 4u * right * k4 + k + 3u * k4];
      r0 = vec4<f32>(ra.x, rb.x, rc.x, rd.x); r1 = vec4<f32>(ra.y, rb.y, rc.y, rd.y); r2 = vec4<f32>(ra.z, rb.z, rc.z, rd.z); r3 = vec4<f32>(ra.w, rb.w, rc.w, rd.w);
    }
    let top = a[a_top + k];
    let bottom = a[a_bottom + k];
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(top, i);
      tile.top_left[i] += p.x * l0 + p.y * l1 + p.z * l2 + p.w * l3;
      if (WIDE) { tile.top_right[i] += p.x * r0 + p.y * r1 + p.z * r2 + p.w * r3; }
    }
    for (var i = 0u; i < 8u; i++) {
      let p = subgroupShuffle(bottom, i);
      tile.bottom_left[i] += p.x * l0 + p.y * l1 + p.z * l2 + p.w * l3;
      if (WIDE) { tile.bottom_right[i] += p.x * r0 + p.y * r1 + p.z * r2 + p.w * r3; }
    }
  }
  store(&tile, group.z, row, col);
}

@compute @workgroup_size(8)
fn tn(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
  let row = group.y * 16u;
  let col = group.x * select(8u, 16u, WIDE) + lane;
  let left = min(col, dims.n4 - 1u);
  let right = min(col + 8u, dims.n4 - 1u);
  var tile: Tile;
  // A lane loads four rows of one k: lanes 0-3 the 16 rows at k and k + 2, lanes 4-7 those at k + 1 and k + 3.
  let m4 = dims.m / 4u;
  let quad = min(row / 4u + lane % 4u, m4 - 1u);
  let a_at = group.z * dims.k * m4 + quad;
  let b_at = group.z * dims.k * dims.n4;
  let last = dims.k - 1u;
  for (var k = dims.k_start; k < dims.k_end; k += 4u) {
    let ka = k + lane / 4u; let kb = ka + 2u;
    let u0 = a[a_at + min(ka, last) * m4] * select(0.0, 1.0, ka <= last);
    let u1 = a[a_at + min(kb, last) * m4] * select(0.0, 1.0, kb <= last);
    let b0 = b_at + k * dims.n4; let b1 = b_at + min(k + 1u, last) * dims.n4;
    let b2 = b_at + min(k + 2u, last) * dims.n4; let b3 = b_at + min(k + 3u, last) * dims.n4;
    let l0 = b[b0 + left]; let l1 = b[b1 + left]; let l2 = b[b2 + left]; let l3 = b[b3 + left];
    var r0: vec4<f32>; var r1: vec4<f32>; var r2: vec4<f32>; var r3: vec4<f32>;
    if (WIDE) { r0 = b[b0 + right]; r1 = b[b1 + right]; r2 = b[b2 + right]; r3 = b[b3 + right]; }
    for (var q = 0u; q < 2u; q++) {
      let p0 = subgroupShuffle(u0, q); let p1 = subgroupShuffle(u0, q + 4u);
      let p2 = subgroupShuffle(u1, q); let p3 = subgroupShuffle(u1, q + 4u);
      tile.top_left[4u * q] += p0.x * l0 + p1.x * l1 + p2.x * l2 + p3.x * l3;
      tile.top_left[4u * q + 1u] += p0.y * l0 + p1.y * l1 + p2.y * l2 + p3.y * l3;
      tile.top_left[4u * q + 2u] += p0.z * l0 + p1.z * l1 + p2.z * l2 + p3.z * l3;
      tile.top_left[4u * q + 3u] += p0.w * l0 + p1.w * l1 + p2.w * l2 + p3.w * l3;
      if (WIDE) {
        tile.top_right[4u * q] += p0.x * r0 + p1.x * r1 + p2.x * r2 + p3.x * r3;
        tile.top_right[4u * q + 1u] += p0.y * r0 + p1.y * r1 + p2.y * r2 + p3.y * r3;
        tile.top_right[4u * q + 2u] += p0.z * r0 + p1.z * r1 + p2.z * r2 + p3.z * r3;
        tile.top_right[4u * q + 3u] += p0.w * r0 + p1.w * r1 + p2.w * r2 + p3.w * r3;
      }
    }
    for (var q = 0u; q < 2u; q++) {
      let p0 = subgroupShuffle(u0, q + 2u); let p1 = subgroupShuffle(u0, q + 6u);
      let p2 = subgroupShuffle(u1, q + 2u); let p3 = subgroupShuffle(u1, q + 6u);
      tile.bottom_left[4u * q] += p0.x * l0 + p1.x * l1 + p2.x * l2 + p3.x * l3;
      tile.bottom_left[4u * q + 1u] += p0.y * l0 + p1.y * l1 + p2.y * l2 + p3.y * l3;
      tile.bottom_left[4u * q + 2u] += p0.z * l0 + p1.z * l1 + p2.z * l2 + p3.z * l3;
      tile.bottom_left[4u * q + 3u] += p0.w * l0 + p1.w * l1 + p2.w * l2 + p3.w * l3;
      if (WIDE) {
        tile.bottom_right[4u * q] += p0.x * r0 + p1.x * r1 + p2.x * r2 + p3.x * r3;
        tile.bottom_right[4u * q + 1u] += p0.y * r0 + p1.y * r1 + p2.y * r2 + p3.y * r3;
        tile.bottom_right[4u * q + 2u] += p0.z * r0 + p1.z * r1 + p2.z * r2 + p3.z * r3;
        tile.bottom_right[4u * q + 3u] += p0.w * r0 + p1.w * r1 + p2.w * r2 + p3.w * r3;
      }
    }
  }
  store(&tile, group.z, row, col);
}
