// y = fused(conv2d(x, w)), f32, channels last, over a list of taps, for every adapter (compute bound); and its input gradient.
// Pixel p of a lattice is made at p·dst_step + dst_first and reads the pixels p·src_step + tap: the convolution is one such sweep,
// its input gradient one per remainder of a pixel modulo the stride, with the taps that meet it and the weights transposed.
// Implicit matrix product: rows are made pixels, columns made channels, k counts (tap, channel read). Outside the image is zero.
//   tile       for GPUs: a workgroup of 256 makes 64x64 from panels of 16 k in workgroup memory, 4x4 per invocation
//   registers  for CPU drivers with odd extents: one invocation makes 4x4
//   patches    y4[pixel, (tap, channel)]: the rows themselves, four elements per invocation, for images of few channels
//   fold       their transpose: the sum of x[pixel, (tap, channel)] over the pixels that meet, one element per invocation

struct Access {
  shape: vec4<u32>,
  stride: vec4<u32>,
  offset: u32,
}

struct Dims {
  rows: u32, // pixels made
  c: u32, // channels read
  o: u32, // channels made
  w_in: u32, // element strides of w[tap] along channels read and made
  w_out: u32,
  taps: u32,
  accumulate: u32, // 1: adds to an earlier launch's taps
  epilogue: u32, // 1: the marked function ends the launch, and o is a multiple of 4
  lattice: vec2<u32>, // rows and columns of pixels made by this launch
  src: vec2<u32>, // extents of the image read
  src_step: vec2<u32>,
  dst: vec2<u32>, // extents of the image made
  dst_step: vec2<u32>,
  dst_first: vec2<u32>,
  access: array<Access, 3>,
  constant: array<vec4<f32>, 8>,
  tap: array<vec4<i32>, 64>, // row, column, index into w
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> y4: array<vec4<f32>>;
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

fn load_x(p: vec3<u32>, k: u32) -> f32 {
  let channel = k % dims.c;
  let at = seen(p, dims.tap[min(k / dims.c, 63u)]);
  return select(0.0, x[u32(max(at, 0)) * dims.c + channel], at >= 0 && k < dims.taps * dims.c);
}

fn load_w(k: u32, col: u32) -> f32 {
  let tap = u32(dims.tap[min(k / dims.c, 63u)].z);
  let value = w[tap * dims.c * dims.o + k % dims.c * dims.w_in + min(col, dims.o - 1u) * dims.w_out];
  return select(0.0, value, k < dims.taps * dims.c); // both sides, since zero times infinity is a NaN
}

// Stores four channels of one pixel.
fn store(row: u32, col: u32, sum: vec4<f32>) {
  if (row >= dims.rows || col >= dims.o) { return; }
  let p = pixel(row);
  let place = p.yz * dims.dst_step + dims.dst_first;
  let at = ((p.x * dims.dst.x + place.x) * dims.dst.y + place.y) * dims.o + col;
  var v = sum;
  if (dims.accumulate > zero(row)) { v += vec4<f32>(y[at], y[at + 1u], y[at + 2u], y[at + 3u]); }
  if (dims.epilogue > zero(row)) { v = fused(at / 4u, v); }
  y[at] = v.x;
  if (col + 1u < dims.o) { y[at + 1u] = v.y; }
  if (col + 2u < dims.o) { y[at + 2u] = v.z; }
  if (col + 3u < dims.o) { y[at + 3u] = v.w; }
}

const DEPTH = 16u;
var<workgroup> panel_x: array<vec4<f32>, 256>; // [DEPTH][16 vec4s of pixels]
var<workgroup> panel_w: array<vec4<f32>, 256>; // [DEPTH][16 vec4s of channels]

@compute @workgroup_size(256)
fn tile(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = (group.z * count.y + group.y) * 64u;
  let col = group.x * 64u;
  // Consecutive invocations load along channels: of the pixels always, of the weights in whichever layout they have.
  let x_row = lane / 16u * 4u;
  let x_k = lane % 16u;
  let p0 = pixel(row + x_row); let p1 = pixel(row + x_row + 1u); let p2 = pixel(row + x_row + 2u); let p3 = pixel(row + x_row + 3u);
  let along_k = dims.w_in == 1u + zero(lane);
  let w_col = select(lane % 16u, lane / 16u, along_k) * 4u;
  let w_k = select(lane / 16u, lane % 16u, along_k);
  let mine_row = lane / 16u;
  let mine_col = lane % 16u;
  var sum0: vec4<f32>; var sum1: vec4<f32>; var sum2: vec4<f32>; var sum3: vec4<f32>;
  for (var k = 0u; k < dims.taps * dims.c + zero(group.x); k += DEPTH) {
    let i = k + x_k; let j = k + w_k; let o = col + w_col;
    panel_x[x_k * 16u + x_row / 4u] = vec4<f32>(load_x(p0, i), load_x(p1, i), load_x(p2, i), load_x(p3, i));
    panel_w[w_k * 16u + w_col / 4u] = vec4<f32>(load_w(j, o), load_w(j, o + 1u), load_w(j, o + 2u), load_w(j, o + 3u));
    workgroupBarrier();
    for (var d = 0u; d < DEPTH; d++) {
      let p = panel_x[d * 16u + mine_row];
      let q = panel_w[d * 16u + mine_col];
      sum0 += p.x * q; sum1 += p.y * q; sum2 += p.z * q; sum3 += p.w * q;
    }
    workgroupBarrier();
  }
  let r = row + 4u * mine_row; let o = col + 4u * mine_col;
  store(r, o, sum0); store(r + 1u, o, sum1); store(r + 2u, o, sum2); store(r + 3u, o, sum3);
}

@compute @workgroup_size(8, 8)
fn registers(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>, @builtin(local_invocation_id) id: vec3<u32>) {
  let row = ((group.z * count.y + group.y) * 8u + id.y) * 4u;
  let col = (group.x * 8u + id.x) * 4u;
  let p0 = pixel(row); let p1 = pixel(row + 1u); let p2 = pixel(row + 2u); let p3 = pixel(row + 3u);
  var sum0: vec4<f32>; var sum1: vec4<f32>; var sum2: vec4<f32>; var sum3: vec4<f32>;
  for (var k = 0u; k < dims.taps * dims.c + zero(id.x); k++) {
    let q = vec4<f32>(load_w(k, col), load_w(k, col + 1u), load_w(k, col + 2u), load_w(k, col + 3u));
    sum0 += load_x(p0, k) * q; sum1 += load_x(p1, k) * q; sum2 += load_x(p2, k) * q; sum3 += load_x(p3, k) * q;
  }
  store(row, col, sum0); store(row + 1u, col, sum1); store(row + 2u, col, sum2); store(row + 3u, col, sum3);
}

@compute @workgroup_size(256)
fn patches(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * count.x + group.x) * 256u + lane;
  let row4 = dims.taps * dims.c / 4u;
  if (i >= dims.rows * row4) { return; }
  let p = pixel(i / row4);
  let k = i % row4 * 4u;
  y4[i] = vec4<f32>(load_x(p, k), load_x(p, k + 1u), load_x(p, k + 2u), load_x(p, k + 3u));
}

@compute @workgroup_size(256)
fn fold(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * count.x + group.x) * 256u + lane;
  if (i >= dims.rows * dims.o) { return; }
  let p = pixel(i / dims.o);
  let channel = i % dims.o;
  var sum = 0.0;
  for (var t = 0u; t < dims.taps + zero(lane); t++) {
    let tap = dims.tap[t];
    let at = seen(p, tap);
    sum += select(0.0, x[u32(max(at, 0)) * dims.c + u32(tap.z) * dims.o + channel], at >= 0);
  }
  let place = p.yz * dims.dst_step + dims.dst_first;
  y[((p.x * dims.dst.x + place.x) * dims.dst.y + place.y) * dims.o + channel] = sum;
}
