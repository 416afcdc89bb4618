// dw[t, c, o] = Σ_p x[p·src_step + tap_t, c]·dy[p, o], f32, channels last: the weight gradient of
// conv2d.wgsl, for every adapter.
//
// Index map: an implicit matrix product. Its rows are (tap, channel read), its columns channels made, its k
// counts pixels made. One invocation makes 4x4 elements.
//   tile       for GPUs: a workgroup of 256 makes 64x64 from panels of 16 pixels in workgroup memory
//   registers  for CPU drivers where extents are odd
//   add        sum4 = halves[0] + halves[1], one vec4: what the subgroup kernel summed apart
//
// Bound: compute; bandwidth in add.

struct Dims {
  c: u32,
  o: u32,
  // <weight, master>
  rows: u32, // taps x channels of this launch
  first_row: u32, // where they begin in dw
  taps: u32,
  start: u32, // this launch sums the pixels made start..end
  end: u32,
  src: vec2<u32>, // extents of x
  dst: vec2<u32>, // extents of dy
  src_step: vec2<u32>,
  tap: array<vec4<i32>, 64>, // row, column
  // </weight>
}

// <quad, from elementwise.wgsl>
// Four numbers as they lie in a buffer; for CPU drivers the planner puts <quad64> of selftest.int64 here.
alias Quad = vec4<f32>;
fn floats(q: Quad) -> vec4<f32> { return q; }
fn quad(v: vec4<f32>) -> Quad { return v; }
// </quad>

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> dims: Dims;
@group(0) @binding(0) var<storage, read> halves: array<Quad>;
@group(0) @binding(2) var<storage, read_write> sum4: array<Quad>;

const WORKGROUP = 64u;

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

// <seen, from conv2d.wgsl>
// The pixel of x that a pixel made (image, row, column) sees through a tap, or -1 outside the image.
fn seen(p: vec3<u32>, tap: vec4<i32>) -> i32 {
  let row = i32(p.y * dims.src_step.x) + tap.x;
  let col = i32(p.z * dims.src_step.y) + tap.y;
  let inside = row >= 0 && row < i32(dims.src.x) && col >= 0 && col < i32(dims.src.y);
  return select(-1, (i32(p.x * dims.src.x) + row) * i32(dims.src.y) + col, inside);
}
// </seen>

// x at what pixel p sees through the tap of a row; zero outside the image.
fn load_x(row: u32, p: u32) -> f32 {
  let r = min(row, dims.rows - 1u);
  let line = p / dims.dst.y;
  let made = vec3<u32>(line / dims.dst.x, line % dims.dst.x, p % dims.dst.y);
  let at = seen(made, dims.tap[min(r / dims.c, 63u)]);
  return select(0.0, x[u32(max(at, 0)) * dims.c + r % dims.c], at >= 0 && p < dims.end);
}

fn column_of_x(row: u32, p: u32) -> vec4<f32> {
  return vec4<f32>(load_x(row, p), load_x(row + 1u, p), load_x(row + 2u, p), load_x(row + 3u, p));
}

// Zero past the end like x, on both sides, since zero times infinity is a NaN.
fn load_dy(p: u32, col: u32) -> f32 {
  return select(0.0, dy[min(p, dims.end - 1u) * dims.o + min(col, dims.o - 1u)], p < dims.end);
}

fn row_of_dy(p: u32, col: u32) -> vec4<f32> {
  return vec4<f32>(load_dy(p, col), load_dy(p, col + 1u), load_dy(p, col + 2u), load_dy(p, col + 3u));
}

// <four, from conv2d.wgsl>
// Stores those of four channels made that exist.
fn put(at: u32, col: u32, v: vec4<f32>) {
  y[at] = v.x;
  if (col + 1u < dims.o) { y[at + 1u] = v.y; }
  if (col + 2u < dims.o) { y[at + 2u] = v.z; }
  if (col + 3u < dims.o) { y[at + 3u] = v.w; }
}
// </four>

fn store(row: u32, col: u32, sum: vec4<f32>) {
  if (row >= dims.rows || col >= dims.o) { return; }
  let at = (dims.first_row + row) * dims.o + col;
  var v = sum;
  if (dims.start > zero(row)) { v += vec4<f32>(y[at], y[at + 1u], y[at + 2u], y[at + 3u]); }
  put(at, col, v);
}

// <panels, from matmul.wgsl>
const DEPTH = 16u;
var<workgroup> panel_a: array<vec4<f32>, 256>; // [DEPTH][16 vec4s of rows]
var<workgroup> panel_b: array<vec4<f32>, 256>; // [DEPTH][16 vec4s of columns]
// </panels>

@compute @workgroup_size(256)
fn tile(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * 64u;
  let col = group.x * 64u;
  var sum0: vec4<f32>; var sum1: vec4<f32>; var sum2: vec4<f32>; var sum3: vec4<f32>;
  for (var p = dims.start; p < dims.end + zero(group.x); p += DEPTH) {
    // Consecutive invocations load along channels.
    panel_a[lane] = column_of_x(row + lane % 16u * 4u, p + lane / 16u);
    panel_b[lane] = row_of_dy(p + lane / 16u, col + lane % 16u * 4u);
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
fn registers(@builtin(global_invocation_id) id: vec3<u32>) {
  let row = id.y * 4u;
  let col = id.x * 4u;
  var sum0: vec4<f32>; var sum1: vec4<f32>; var sum2: vec4<f32>; var sum3: vec4<f32>;
  for (var p = dims.start; p < dims.end + zero(id.x); p++) {
    let a = column_of_x(row, p);
    let b = row_of_dy(p, col);
    sum0 += a.x * b; sum1 += a.y * b; sum2 += a.z * b; sum3 += a.w * b;
  }
  store(row, col, sum0); store(row + 1u, col, sum1); store(row + 2u, col, sum2); store(row + 3u, col, sum3);
}

@compute @workgroup_size(WORKGROUP)
fn add(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i < dims.rows) { sum4[i] = quad(floats(halves[i]) + floats(halves[i + dims.rows])); }
}
