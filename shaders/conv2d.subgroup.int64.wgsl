// y = fused(conv2d(x, w)), f32, channels last, over a list of taps, and its input gradient, for CPU drivers whose subgroups are 8
// vector lanes (compute bound, limited by loads). Pixel p of a lattice is made at p·dst_step + dst_first and reads the pixels
// p·src_step + tap, as in conv2d.wgsl; w is [tap][read][made], or (TB, the input gradient) [tap][made][read].
// One subgroup makes 64 pixels x 64 channels (32 without WIDE): the tile of matmul.subgroup.int64.wgsl, whose notes hold here, with
// a loop over taps around it. Each lane finds the pixels that its own eight rows see; outside the image they count as zero.

struct Access {
  shape: vec4<u32>,
  stride: vec4<u32>,
  offset: u32,
}

struct Dims {
  rows: u32, // pixels made
  c4: u32, // channels read / 4
  o4: u32, // channels made / 4
  taps: u32,
  accumulate: u32, // 1: adds to an earlier launch's taps
  lattice: vec2<u32>,
  src: vec2<u32>,
  src_step: vec2<u32>,
  dst: vec2<u32>,
  dst_step: vec2<u32>,
  dst_first: vec2<u32>,
  access: array<Access, 3>,
  constant: array<vec4<f32>, 8>,
  tap: array<vec4<i32>, 64>, // row, column, index into w
}

@group(0) @binding(0) var<storage, read> x: array<vec2<u64>>;
@group(0) @binding(1) var<storage, read> w: array<vec2<u64>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> dims: Dims;
@group(0) @binding(4) var<storage, read> x0: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> x1: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> x2: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> s0: array<f32>;
@group(0) @binding(5) var<storage, read> s1: array<f32>;
@group(0) @binding(6) var<storage, read> s2: array<f32>;

override WIDE: bool = true;
override TB: bool = false;
override LATTICE: bool = false; // pixels made are not all in their order

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

fn load_w(at: u32) -> vec4<f32> {
  return floats(w[at]);
}

// Four channels of a pixel, zero outside the image.
fn load_x(pixel: i32, k: u32) -> vec4<f32> {
  return select(vec4<f32>(), floats(x[u32(max(pixel, 0)) * dims.c4 + k]), pixel >= 0);
}

// 0, which the compiler cannot know: see docs/notes/drivers.md.
fn zero(index: u32) -> u32 {
  return index >> 31u;
}

// <lattice>
// (image, row, column) of a lattice pixel.
fn pixel(row: u32) -> vec3<u32> {
  let line = row / dims.lattice.y;
  return vec3<u32>(line / dims.lattice.x, line % dims.lattice.x, row % dims.lattice.y);
}

// The pixel that a lattice pixel sees through a tap, or -1 outside the image.
fn seen(p: vec3<u32>, tap: vec4<i32>) -> i32 {
  let y = i32(p.y * dims.src_step.x) + tap.x;
  let x = i32(p.z * dims.src_step.y) + tap.y;
  let inside = y >= 0 && y < i32(dims.src.x) && x >= 0 && x < i32(dims.src.y);
  return select(-1, (i32(p.x * dims.src.x) + y) * i32(dims.src.y) + x, inside);
}
// </lattice>

fn store(row: u32, col: u32, v: vec4<f32>, u: vec4<f32>) {
  var to = row;
  if (LATTICE) {
    let p = pixel(row);
    let place = p.yz * dims.dst_step + dims.dst_first;
    to = (p.x * dims.dst.x + place.x) * dims.dst.y + place.y;
  }
  let at = to * dims.o4 + col;
  if (row < dims.rows && col < dims.o4) {
    var sum = v;
    if (dims.accumulate > zero(row)) { sum += y[at]; }
    y[at] = fused(at, sum);
  }
  if (WIDE && row < dims.rows && col + 8u < dims.o4) {
    var sum = u;
    if (dims.accumulate > zero(row)) { sum += y[at + 8u]; }
    y[at + 8u] = fused(at + 8u, sum);
  }
}

@compute @workgroup_size(8)
fn lanes(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
  let row = (group.z * groups.y + group.y) * 64u;
  let col = group.x * select(8u, 16u, WIDE) + lane;
  let left = min(col, dims.o4 - 1u);
  let right = min(col + 8u, dims.o4 - 1u);
  var l0: array<vec4<f32>, 8>; var r0: array<vec4<f32>, 8>;
  var l1: array<vec4<f32>, 8>; var r1: array<vec4<f32>, 8>;
  var l2: array<vec4<f32>, 8>; var r2: array<vec4<f32>, 8>;
  var l3: array<vec4<f32>, 8>; var r3: array<vec4<f32>, 8>;
  var l4: array<vec4<f32>, 8>; var r4: array<vec4<f32>, 8>;
  var l5: array<vec4<f32>, 8>; var r5: array<vec4<f32>, 8>;
  var l6: array<vec4<f32>, 8>; var r6: array<vec4<f32>, 8>;
  var l7: array<vec4<f32>, 8>; var r7: array<vec4<f32>, 8>;
  let last = dims.rows - 1u;
  let p0 = pixel(min(row + 0u + lane, last)); let p1 = pixel(min(row + 8u + lane, last));
  let p2 = pixel(min(row + 16u + lane, last)); let p3 = pixel(min(row + 24u + lane, last));
  let p4 = pixel(min(row + 32u + lane, last)); let p5 = pixel(min(row + 40u + lane, last));
  let p6 = pixel(min(row + 48u + lane, last)); let p7 = pixel(min(row + 56u + lane, last));
  for (var t = 0u; t < dims.taps + zero(group.x); t++) {
    let tap = dims.tap[t];
    let a0 = seen(p0, tap); let a1 = seen(p1, tap); let a2 = seen(p2, tap); let a3 = seen(p3, tap);
    let a4 = seen(p4, tap); let a5 = seen(p5, tap); let a6 = seen(p6, tap); let a7 = seen(p7, tap);
    let w_at = u32(tap.z) * 4u * dims.c4 * dims.o4;
    for (var k = 0u; k < dims.c4 + zero(group.x); k++) {
      var b0: vec4<f32>; var b1: vec4<f32>; var b2: vec4<f32>; var b3: vec4<f32>;
      var d0: vec4<f32>; var d1: vec4<f32>; var d2: vec4<f32>; var d3: vec4<f32>;
      if (TB) {
        // Four channels made are rows in memory: load four channels read of each and transpose by naming, which is free.
        let at = w_at + 4u * left * dims.c4 + k;
        let p = load_w(at); let q = load_w(at + dims.c4); let s = load_w(at + 2u * dims.c4); let u = load_w(at + 3u * dims.c4);
        b0 = vec4<f32>(p.x, q.x, s.x, u.x); b1 = vec4<f32>(p.y, q.y, s.y, u.y);
        b2 = vec4<f32>(p.z, q.z, s.z, u.z); b3 = vec4<f32>(p.w, q.w, s.w, u.w);
      } else {
        let at = w_at + 4u * k * dims.o4 + left;
        b0 = load_w(at); b1 = load_w(at + dims.o4); b2 = load_w(at + 2u * dims.o4); b3 = load_w(at + 3u * dims.o4);
      }
      if (WIDE && TB) {
        let at = w_at + 4u * right * dims.c4 + k;
        let p = load_w(at); let q = load_w(at + dims.c4); let s = load_w(at + 2u * dims.c4); let u = load_w(at + 3u * dims.c4);
        d0 = vec4<f32>(p.x, q.x, s.x, u.x); d1 = vec4<f32>(p.y, q.y, s.y, u.y);
        d2 = vec4<f32>(p.z, q.z, s.z, u.z); d3 = vec4<f32>(p.w, q.w, s.w, u.w);
      } else if (WIDE) {
        let at = w_at + 4u * k * dims.o4 + right;
        d0 = load_w(at); d1 = load_w(at + dims.o4); d2 = load_w(at + 2u * dims.o4); d3 = load_w(at + 3u * dims.o4);
      }
      let u0 = load_x(a0, k); let u1 = load_x(a1, k); let u2 = load_x(a2, k); let u3 = load_x(a3, k);
      let u4 = load_x(a4, k); let u5 = load_x(a5, k); let u6 = load_x(a6, k); let u7 = load_x(a7, k);
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
  }
  // A plain loop picks each row by comparing, since an index that is not constant would move the arrays to memory,
  // and 128 separate stores take the driver longer to compile. A bound that it does not know keeps it from unrolling.
  let count = 16u + zero(group.x);
  for (var i = 0u; i < count; i++) {
    var v: vec4<f32>; var w: vec4<f32>;
    for (var j = 0u; j < 8u; j++) { v = select(v, l0[j], i == j); if (WIDE) { w = select(w, r0[j], i == j); } }
    for (var j = 0u; j < 8u; j++) { v = select(v, l1[j], i == j + 8u); if (WIDE) { w = select(w, r1[j], i == j + 8u); } }
    store(row + i, col, v, w);
  }
  for (var i = 0u; i < count; i++) {
    var v: vec4<f32>; var w: vec4<f32>;
    for (var j = 0u; j < 8u; j++) { v = select(v, l2[j], i == j); if (WIDE) { w = select(w, r2[j], i == j); } }
    for (var j = 0u; j < 8u; j++) { v = select(v, l3[j], i == j + 8u); if (WIDE) { w = select(w, r3[j], i == j + 8u); } }
    store(row + 16u + i, col, v, w);
  }
  for (var i = 0u; i < count; i++) {
    var v: vec4<f32>; var w: vec4<f32>;
    for (var j = 0u; j < 8u; j++) { v = select(v, l4[j], i == j); if (WIDE) { w = select(w, r4[j], i == j); } }
    for (var j = 0u; j < 8u; j++) { v = select(v, l5[j], i == j + 8u); if (WIDE) { w = select(w, r5[j], i == j + 8u); } }
    store(row + 32u + i, col, v, w);
  }
  for (var i = 0u; i < count; i++) {
    var v: vec4<f32>; var w: vec4<f32>;
    for (var j = 0u; j < 8u; j++) { v = select(v, l6[j], i == j); if (WIDE) { w = select(w, r6[j], i == j); } }
    for (var j = 0u; j < 8u; j++) { v = select(v, l7[j], i == j + 8u); if (WIDE) { w = select(w, r7[j], i == j + 8u); } }
    store(row + 48u + i, col, v, w);
  }
}
