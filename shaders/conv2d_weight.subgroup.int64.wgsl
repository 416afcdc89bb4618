// dw[t, c, o] = Σ_p x[p·src_step + tap_t, c]·dy[p, o], f32, channels last: the weight gradient of conv2d.subgroup.int64.wgsl, for CPU
// drivers whose subgroups are 8 vector lanes (compute bound, limited by loads).
// One subgroup makes 64 rows (tap, channel) x 64 channels (32 without WIDE): the tile of matmul.subgroup.int64.wgsl, whose notes hold
// here, as it multiplies a transposed A. A lane holds two groups of four channels, each seen through a tap of its own.

struct Dims {
  rows: u32, // taps x channels of this launch
  first_row: u32, // where they begin in dw
  c4: u32, // channels read / 4
  o4: u32, // channels made / 4
  taps: u32,
  start: u32, // this launch sums the output pixels start..end
  end: u32,
  chunk: u32, // of which workgroup z sums the z-th chunk
  total: u32, // vec4s of dw: z writes the z-th copy of it
  src: vec2<u32>, // extents of x
  dst: vec2<u32>, // extents of dy
  src_step: vec2<u32>,
  tap: array<vec4<i32>, 64>, // row, column
}

@group(0) @binding(0) var<storage, read> x: array<vec2<u64>>;
@group(0) @binding(1) var<storage, read> dy: array<vec2<u64>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> dims: Dims;

override WIDE: bool = true;

// 0, which the compiler cannot know: see docs/notes/drivers.md.
fn zero(index: u32) -> u32 {
  return index >> 31u;
}

fn floats(v: vec2<u64>) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4<u32>(u32(v.x), u32(v.x >> 32u), u32(v.y), u32(v.y >> 32u)));
}

// Four channels of dy, zero past the last pixel on both sides, since zero times infinity is a NaN.
fn load_dy(p: u32, col: u32, inside: bool) -> vec4<f32> {
  return select(vec4<f32>(), floats(dy[min(p, dims.end - 1u) * dims.o4 + col]), inside);
}

// The next output pixel (image, row, column), without a division.
fn next(p: vec3<u32>) -> vec3<u32> {
  let wrap = p.z + 1u == dims.dst.y;
  let y = select(p.y, p.y + 1u, wrap);
  let turn = y == dims.dst.x;
  return vec3<u32>(select(p.x, p.x + 1u, turn), select(y, 0u, turn), select(p.z + 1u, 0u, wrap));
}

// Four channels of what an output pixel sees through a tap, zero outside the image.
fn load_x(p: vec3<u32>, tap: vec4<i32>, channel: u32, inside: bool) -> vec4<f32> {
  let y = i32(p.y * dims.src_step.x) + tap.x;
  let x_ = i32(p.z * dims.src_step.y) + tap.y;
  let ok = inside && y >= 0 && y < i32(dims.src.x) && x_ >= 0 && x_ < i32(dims.src.y);
  let at = select(0, (i32(p.x * dims.src.x) + y) * i32(dims.src.y) + x_, ok);
  return select(vec4<f32>(), floats(x[u32(at) * dims.c4 + channel]), ok);
}

// Row of the tile that is element i of row array j: every fourth of 32, as the loads of x bring them.
fn row_of(j: u32, i: u32) -> u32 {
  return 32u * (j / 4u) + 4u * i + j % 4u;
}

fn store(copy: u32, row: u32, col: u32, v: vec4<f32>, u: vec4<f32>) {
  let at = copy * dims.total + (dims.first_row + row) * dims.o4 + col;
  if (row < dims.rows && col < dims.o4) {
    var sum = v;
    if (dims.start > zero(row)) { sum += y[at]; }
    y[at] = sum;
  }
  if (WIDE && row < dims.rows && col + 8u < dims.o4) {
    var sum = u;
    if (dims.start > zero(row)) { sum += y[at + 8u]; }
    y[at + 8u] = sum;
  }
}

@compute @workgroup_size(8)
fn lanes(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
  let row = group.y * 64u;
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
  let quads = dims.rows / 4u - 1u;
  let q0 = min(row / 4u + lane, quads);
  let q1 = min(row / 4u + 8u + lane, quads);
  let tap0 = dims.tap[q0 / dims.c4];
  let tap1 = dims.tap[q1 / dims.c4];
  let c0 = q0 % dims.c4;
  let c1 = q1 % dims.c4;
  let start = dims.start + group.z * dims.chunk;
  let end = min(start + dims.chunk, dims.end);
  let line = start / dims.dst.y;
  var pixel = vec3<u32>(line / dims.dst.x, line % dims.dst.x, start % dims.dst.y);
  for (var k = start; k < end + zero(group.x); k += 4u) {
    let in1 = k + 1u < end; let in2 = k + 2u < end; let in3 = k + 3u < end;
    let b0 = load_dy(k, left, true); let b1 = load_dy(k + 1u, left, in1);
    let b2 = load_dy(k + 2u, left, in2); let b3 = load_dy(k + 3u, left, in3);
    var d0: vec4<f32>; var d1: vec4<f32>; var d2: vec4<f32>; var d3: vec4<f32>;
    if (WIDE) {
      d0 = load_dy(k, right, true); d1 = load_dy(k + 1u, right, in1);
      d2 = load_dy(k + 2u, right, in2); d3 = load_dy(k + 3u, right, in3);
    }
    let p0 = pixel; let p1 = next(p0); let p2 = next(p1); let p3 = next(p2);
    pixel = next(p3);
    // Four rows of dw lie side by side in x: transposed by naming.
    let e0 = load_x(p0, tap0, c0, true); let e1 = load_x(p1, tap0, c0, in1);
    let e2 = load_x(p2, tap0, c0, in2); let e3 = load_x(p3, tap0, c0, in3);
    let u0 = vec4<f32>(e0.x, e1.x, e2.x, e3.x); let u1 = vec4<f32>(e0.y, e1.y, e2.y, e3.y);
    let u2 = vec4<f32>(e0.z, e1.z, e2.z, e3.z); let u3 = vec4<f32>(e0.w, e1.w, e2.w, e3.w);
    let f0 = load_x(p0, tap1, c1, true); let f1 = load_x(p1, tap1, c1, in1);
    let f2 = load_x(p2, tap1, c1, in2); let f3 = load_x(p3, tap1, c1, in3);
    let u4 = vec4<f32>(f0.x, f1.x, f2.x, f3.x); let u5 = vec4<f32>(f0.y, f1.y, f2.y, f3.y);
    let u6 = vec4<f32>(f0.z, f1.z, f2.z, f3.z); let u7 = vec4<f32>(f0.w, f1.w, f2.w, f3.w);
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
