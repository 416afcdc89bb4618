// dw[t, c, o] = Σ_p x[p·src_step + tap_t, c]·dy[p, o], f32, channels last: the weight gradient of conv2d.wgsl, for every adapter
// (compute bound). Implicit matrix product: rows are (tap, channel read), columns channels made, k counts output pixels.
//   tile       for GPUs: a workgroup of 256 makes 64x64 from panels of 16 pixels in workgroup memory, 4x4 per invocation
//   add        sum4 = halves[0] + halves[1]: the end of the subgroup kernel's two halves, four elements per invocation
//   registers  for CPU drivers with odd extents: one invocation makes 4x4

struct Dims {
  rows: u32, // taps x channels of this launch
  first_row: u32, // where they begin in dw
  c: u32,
  o: u32,
  taps: u32,
  start: u32, // this launch sums the output pixels start..end
  end: u32,
  src: vec2<u32>, // extents of x
  dst: vec2<u32>, // extents of dy
  src_step: vec2<u32>,
  tap: array<vec4<i32>, 64>, // row, column
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> dims: Dims;
@group(0) @binding(0) var<storage, read> halves: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> sum4: array<vec4<f32>>;

// 0, which the compiler cannot know: indices stay below 2^31. Where a condition holds nothing but uniforms, Mesa's software driver may
// put in their values and compile the shader anew at every dispatch, keeping each (docs/notes/drivers.md).
fn zero(index: u32) -> u32 {
  return index >> 31u;
}

// x at what output pixel p sees through the tap of a row; zero outside the image.
fn load_x(row: u32, p: u32) -> f32 {
  let r = min(row, dims.rows - 1u);
  let tap = dims.tap[min(r / dims.c, 63u)];
  let line = p / dims.dst.y;
  let y = i32(line % dims.dst.x * dims.src_step.x) + tap.x;
  let x_ = i32(p % dims.dst.y * dims.src_step.y) + tap.y;
  let inside = y >= 0 && y < i32(dims.src.x) && x_ >= 0 && x_ < i32(dims.src.y) && p < dims.end;
  let at = select(0, (i32(line / dims.dst.x * dims.src.x) + y) * i32(dims.src.y) + x_, inside);
  return select(0.0, x[u32(at) * dims.c + r % dims.c], inside);
}

fn load_dy(p: u32, col: u32) -> f32 {
  let value = dy[min(p, dims.end - 1u) * dims.o + min(col, dims.o - 1u)];
  return select(0.0, value, p < dims.end); // both sides, since zero times infinity is a NaN
}

fn store(row: u32, col: u32, sum: vec4<f32>) {
  if (row >= dims.rows || col >= dims.o) { return; }
  let at = (dims.first_row + row) * dims.o + col;
  var v = sum;
  if (dims.start > zero(row)) { v += vec4<f32>(y[at], y[at + 1u], y[at + 2u], y[at + 3u]); }
  y[at] = v.x;
  if (col + 1u < dims.o) { y[at + 1u] = v.y; }
  if (col + 2u < dims.o) { y[at + 2u] = v.z; }
  if (col + 3u < dims.o) { y[at + 3u] = v.w; }
}

@compute @workgroup_size(64)
fn add(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * count.x + group.x) * 64u + lane;
  if (i < dims.rows) { sum4[i] = halves[i] + halves[i + dims.rows]; }
}

const DEPTH = 16u;
var<workgroup> panel_x: array<vec4<f32>, 256>; // [DEPTH][16 vec4s of rows]
var<workgroup> panel_dy: array<vec4<f32>, 256>; // [DEPTH][16 vec4s of columns]

@compute @workgroup_size(256)
fn tile(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * 64u;
  let col = group.x * 64u;
  let r = row + lane % 16u * 4u; // consecutive invocations load along channels
  let c = col + lane % 16u * 4u;
  let d = lane / 16u;
  let mine_row = lane / 16u;
  let mine_col = lane % 16u;
  var sum0: vec4<f32>; var sum1: vec4<f32>; var sum2: vec4<f32>; var sum3: vec4<f32>;
  for (var p = dims.start; p < dims.end + zero(group.x); p += DEPTH) {
    let i = p + d;
    panel_x[lane] = vec4<f32>(load_x(r, i), load_x(r + 1u, i), load_x(r + 2u, i), load_x(r + 3u, i));
    panel_dy[lane] = vec4<f32>(load_dy(i, c), load_dy(i, c + 1u), load_dy(i, c + 2u), load_dy(i, c + 3u));
    workgroupBarrier();
    for (var j = 0u; j < DEPTH; j++) {
      let a = panel_x[j * 16u + mine_row];
      let b = panel_dy[j * 16u + mine_col];
      sum0 += a.x * b; sum1 += a.y * b; sum2 += a.z * b; sum3 += a.w * b;
    }
    workgroupBarrier();
  }
  let to = row + 4u * mine_row; let o = col + 4u * mine_col;
  store(to, o, sum0); store(to + 1u, o, sum1); store(to + 2u, o, sum2); store(to + 3u, o, sum3);
}

@compute @workgroup_size(8, 8)
fn registers(@builtin(global_invocation_id) id: vec3<u32>) {
  let row = id.y * 4u;
  let col = id.x * 4u;
  var sum0: vec4<f32>; var sum1: vec4<f32>; var sum2: vec4<f32>; var sum3: vec4<f32>;
  for (var p = dims.start; p < dims.end + zero(id.x); p++) {
    let q = vec4<f32>(load_dy(p, col), load_dy(p, col + 1u), load_dy(p, col + 2u), load_dy(p, col + 3u));
    sum0 += load_x(row, p) * q; sum1 += load_x(row + 1u, p) * q;
    sum2 += load_x(row + 2u, p) * q; sum3 += load_x(row + 3u, p) * q;
  }
  store(row, col, sum0); store(row + 1u, col, sum1); store(row + 2u, col, sum2); store(row + 3u, col, sum3);
}
