// y = fused(conv2d(x, w)), f32, channels last, over a list of taps, and its input gradient, for every
// adapter. Pixel p of a lattice is made at p·dst_step + dst_first and reads the pixels p·src_step + tap: the
// convolution is one such sweep, its input gradient one per remainder of a pixel modulo the stride, with the
// taps that meet it and the weights transposed. Outside the image is zero.
//
// Index map: an implicit matrix product. Its rows are pixels made, its columns channels made, its k counts
// (tap, channel read). One invocation makes 4x4 elements.
//   tile       for GPUs: a workgroup of 256 makes 64x64 from panels of 16 k in workgroup memory
//   registers  for CPU drivers where extents are odd
//
// Bound: compute.

struct Dims {
  rows: u32, // pixels made
  c: u32, // channels read
  o: u32, // channels made
  w_in: u32, // element strides of w[tap] along channels read and made
  w_out: u32,
  taps: u32,
  accumulate: u32, // 1: adds to an earlier launch's taps
  epilogue: u32, // 1: the marked function ends the launch, and o is a multiple of 4
  // <sweep, master>
  lattice: vec3<u32>, // rows and columns made by a sweep, and columns that a row shifts right
  src: vec2<u32>, // extents of the image read
  src_step: vec2<u32>,
  dst: vec2<u32>, // extents of the image made
  dst_step: vec2<u32>,
  dst_first: vec2<u32>,
  tap: array<vec4<i32>, 64>, // row, column, index into w
  // </sweep>
  access: array<Access, 3>,
  constant: array<vec4<f32>, 8>,
}

// <quad, from elementwise.wgsl>
// Four numbers as they lie in a buffer; for CPU drivers the planner puts <quad64> of selftest.int64 here.
alias Quad = vec4<f32>;
fn floats(q: Quad) -> vec4<f32> { return q; }
fn quad(v: vec4<f32>) -> Quad { return v; }
// </quad>
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> dims: Dims;
const WORKGROUP = 256u;

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

// <zero, from matmul.wgsl>
// 0, which the compiler cannot know, so that no condition holds uniforms alone: see docs/notes/drivers.md.
fn zero(index: u32) -> u32 { return index >> 31u; }
// </zero>

// <invocation, from views.wgsl>
// What an entry point is told. Only the entry point itself may read the members: elsewhere naga's HLSL
// confuses `groups` with `group`. One with barriers takes them singly, since WGSL counts a struct's as not
// uniform.
struct Invocation {
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
}

// Number of an invocation in the launch, whose workgroups lie in rows.
fn number(group: vec3<u32>, groups: vec3<u32>, lane: u32) -> u32 {
  return (group.y * groups.x + group.x) * WORKGROUP + lane;
}
// </invocation>

// <lattice, master>
// (image, row, column) of a lattice pixel.
fn pixel(row: u32) -> vec3<u32> {
  let line = row / dims.lattice.y; let image = line / dims.lattice.x;
  let y = line - image * dims.lattice.x; // a remainder would be one more division
  return vec3<u32>(image, y, row - line * dims.lattice.y + y * dims.lattice.z);
}

// The pixel of y where a lattice pixel is made.
fn place(p: vec3<u32>) -> u32 {
  let at = p.yz * dims.dst_step + dims.dst_first;
  return (p.x * dims.dst.x + at.x) * dims.dst.y + at.y;
}

// How far behind the first sweep's pixels another one's are made.
fn behind(sweep: u32) -> u32 { return sweep / dims.dst_step.y * dims.dst.y + sweep % dims.dst_step.y; }
// </lattice>

// <seen, master>
// The pixel of x that a pixel made (image, row, column) sees through a tap, or -1 outside the image.
fn seen(p: vec3<u32>, tap: vec4<i32>) -> i32 {
  let row = i32(p.y * dims.src_step.x) + tap.x;
  let col = i32(p.z * dims.src_step.y) + tap.y;
  let inside = row >= 0 && row < i32(dims.src.x) && col >= 0 && col < i32(dims.src.y);
  return select(-1, (i32(p.x * dims.src.x) + row) * i32(dims.src.y) + col, inside);
}
// </seen>

fn load_x(p: vec3<u32>, k: u32) -> f32 {
  let at = seen(p, dims.tap[min(k / dims.c, 63u)]);
  return select(0.0, x[u32(max(at, 0)) * dims.c + k % dims.c], at >= 0 && k < dims.taps * dims.c);
}

// Zero past the end like x, on both sides, since zero times infinity is a NaN.
fn load_w(k: u32, col: u32) -> f32 {
  let tap = u32(dims.tap[min(k / dims.c, 63u)].z);
  let in_tap = k % dims.c * dims.w_in + min(col, dims.o - 1u) * dims.w_out;
  return select(0.0, w[tap * dims.c * dims.o + in_tap], k < dims.taps * dims.c);
}

fn row_of_w(k: u32, col: u32) -> vec4<f32> {
  return vec4<f32>(load_w(k, col), load_w(k, col + 1u), load_w(k, col + 2u), load_w(k, col + 3u));
}

// <four, master>
// Stores those of four channels made that exist.
fn put(at: u32, col: u32, v: vec4<f32>) {
  y[at] = v.x;
  if (col + 1u < dims.o) { y[at + 1u] = v.y; }
  if (col + 2u < dims.o) { y[at + 2u] = v.z; }
  if (col + 3u < dims.o) { y[at + 3u] = v.w; }
}
// </four>

// Stores four channels of one pixel.
fn store(row: u32, col: u32, sum: vec4<f32>) {
  if (row >= dims.rows || col >= dims.o) { return; }
  let at = place(pixel(row)) * dims.o + col; var v = sum;
  let own = at + min(vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(dims.o - 1u - col)); // not the next pixel's
  if (dims.accumulate > zero(row)) { v += vec4<f32>(y[own.x], y[own.y], y[own.z], y[own.w]); }
  if (dims.epilogue > zero(row)) { v = fused(at / 4u, v); }
  put(at, col, v);
}

// <panels, from matmul.wgsl>
const DEPTH = 16u;
var<workgroup> panel_a: array<vec4<f32>, 256>; // [DEPTH][16 vec4s of rows]
var<workgroup> panel_b: array<vec4<f32>, 256>; // [DEPTH][16 vec4s of columns]
// </panels>

@compute @workgroup_size(256)
fn tile(
  @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.z * groups.y + group.y) * 64u; let col = group.x * 64u;
  let first = row + lane / 16u * 4u;
  let p0 = pixel(first); let p1 = pixel(first + 1u); let p2 = pixel(first + 2u); let p3 = pixel(first + 3u);
  // Consecutive invocations load along channels, of the weights in whichever layout they have.
  let along_k = dims.w_in == 1u + zero(lane);
  let w_col4 = select(lane % 16u, lane / 16u, along_k); let w_k = select(lane / 16u, lane % 16u, along_k);
  var sum0: vec4<f32>; var sum1: vec4<f32>; var sum2: vec4<f32>; var sum3: vec4<f32>;
  for (var k = 0u; k < dims.taps * dims.c + zero(group.x); k += DEPTH) {
    let i = k + lane % 16u;
    let column_of_x = vec4<f32>(load_x(p0, i), load_x(p1, i), load_x(p2, i), load_x(p3, i));
    panel_a[lane % 16u * 16u + lane / 16u] = column_of_x;
    panel_b[w_k * 16u + w_col4] = row_of_w(k + w_k, col + 4u * w_col4);
    // <panel_products, from matmul.wgsl>
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
  store(r, o, sum0); store(r + 1u, o, sum1); store(r + 2u, o, sum2); store(r + 3u, o, sum3);
}

@compute @workgroup_size(8, 8)
fn registers(id: Invocation) {
  let row = ((id.group.z * id.groups.y + id.group.y) * 8u + id.lane / 8u) * 4u;
  let col = (id.group.x * 8u + id.lane % 8u) * 4u;
  let p0 = pixel(row); let p1 = pixel(row + 1u); let p2 = pixel(row + 2u); let p3 = pixel(row + 3u);
  var sum0: vec4<f32>; var sum1: vec4<f32>; var sum2: vec4<f32>; var sum3: vec4<f32>;
  for (var k = 0u; k < dims.taps * dims.c + zero(id.lane); k++) {
    let q = row_of_w(k, col);
    sum0 += load_x(p0, k) * q; sum1 += load_x(p1, k) * q;
    sum2 += load_x(p2, k) * q; sum3 += load_x(p3, k) * q;
  }
  store(row, col, sum0); store(row + 1u, col, sum1); store(row + 2u, col, sum2); store(row + 3u, col, sum3);
}
