// dw[t, c, o] = Σ_p x[p·src_step + tap_t, c]·dy[p, o], f32, channels last: the weight gradient of
// conv2d.subgroup.int64.wgsl. For CPU drivers whose subgroups are 8 vector lanes. The numbers of channels are
// multiples of 4.
//
// Index map: one subgroup makes 64 rows (tap, channel read) x 64 channels made (x 32 without WIDE). This is
// the tile that is drawn in matmul.subgroup.int64.wgsl; its k counts pixels made. As there with TA, four rows
// lie side by side in x: a lane loads four channels for `upper` and four for `lower`, each through a tap of
// its own. Workgroup z sums chunk z of the pixels start..end into copy z of dw.
//
// Bound: compute, limited by loads as that one.

struct Dims {
  c4: u32, // channels read / 4
  o4: u32, // channels made / 4
  chunk: u32, // pixels that one workgroup sums
  total: u32, // vec4s of dw
  // <weight, from conv2d_weight.wgsl>
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

// <quad64, from selftest.int64.wgsl>
// Four numbers as they lie in a buffer, as two words: CPU drivers load component by component, lane by lane.
alias Quad = vec2<u64>;
fn floats(q: Quad) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4<u32>(u32(q.x), u32(q.x >> 32u), u32(q.y), u32(q.y >> 32u)));
}
fn quad(v: vec4<f32>) -> Quad {
  let u = bitcast<vec4<u32>>(v);
  return vec2<u64>(u64(u.x) | (u64(u.y) << 32u), u64(u.z) | (u64(u.w) << 32u));
}
// </quad64>

@group(0) @binding(0) var<storage, read> x: array<Quad>;
@group(0) @binding(1) var<storage, read> dy: array<Quad>;
@group(0) @binding(2) var<storage, read_write> y: array<Quad>;
@group(0) @binding(3) var<uniform> dims: Dims;

override WIDE: bool = true;

// <zero, from matmul.wgsl>
// 0, which the compiler cannot know, so that no condition holds uniforms alone: see docs/notes/drivers.md.
fn zero(index: u32) -> u32 { return index >> 31u; }
// </zero>

// <seen, from conv2d.wgsl>
// The pixel of x that a pixel made (image, row, column) sees through a tap, or -1 outside the image.
fn seen(p: vec3<u32>, tap: vec4<i32>) -> i32 {
  let row = i32(p.y * dims.src_step.x) + tap.x;
  let col = i32(p.z * dims.src_step.y) + tap.y;
  let inside = row >= 0 && row < i32(dims.src.x) && col >= 0 && col < i32(dims.src.y);
  return select(-1, (i32(p.x * dims.src.x) + row) * i32(dims.src.y) + col, inside);
}
// </seen>

// <channels, from conv2d.subgroup.int64.wgsl>
// Four channels of four pixels as the columns of a matrix, zero for a pixel of -1.
fn load_x(pixels: vec4<i32>, channel4: u32) -> mat4x4<f32> {
  let at = vec4<u32>(max(pixels, vec4<i32>())) * dims.c4 + channel4;
  let none = vec4<f32>();
  return mat4x4<f32>(
    select(none, floats(x[at.x]), pixels.x >= 0),
    select(none, floats(x[at.y]), pixels.y >= 0),
    select(none, floats(x[at.z]), pixels.z >= 0),
    select(none, floats(x[at.w]), pixels.w >= 0),
  );
}
// </channels>

// Four channels of a pixel of dy, zero past the last pixel, on both sides since zero times infinity is a NaN.
fn load_dy(p: u32, made4: u32, inside: bool) -> vec4<f32> {
  return select(vec4<f32>(), floats(dy[min(p, dims.end - 1u) * dims.o4 + made4]), inside);
}

fn rows_of_dy(p: u32, made4: u32, inside: vec4<bool>) -> mat4x4<f32> {
  return mat4x4<f32>(
    load_dy(p, made4, true),
    load_dy(p + 1u, made4, inside.y),
    load_dy(p + 2u, made4, inside.z),
    load_dy(p + 3u, made4, inside.w),
  );
}

// The next pixel made (image, row, column), without a division.
fn next(p: vec3<u32>) -> vec3<u32> {
  let wrap = p.z + 1u == dims.dst.y;
  let y = select(p.y, p.y + 1u, wrap);
  let turn = y == dims.dst.x;
  return vec3<u32>(select(p.x, p.x + 1u, turn), select(y, 0u, turn), select(p.z + 1u, 0u, wrap));
}

// Row of the tile that is element i % 8 of array i / 8: every fourth of 32, as the loads of x bring them.
fn row_of(i: u32) -> u32 {
  return i / 32u * 32u + i % 8u * 4u + i / 8u % 4u;
}

fn finish(at: u32, row: u32, sum: vec4<f32>) {
  var total = sum;
  if (dims.start > zero(row)) { total += floats(y[at]); }
  y[at] = quad(total);
}

// Stores a row's vec4 of either half; `tile` is the lane's first vec4 of channels, the first row, and the
// copy.
fn store(tile: vec3<u32>, i: u32, left: vec4<f32>, right: vec4<f32>) {
  let row = tile.y + i;
  let at = tile.z * dims.total + (dims.first_row + row) * dims.o4 + tile.x;
  if (row < dims.rows && tile.x < dims.o4) { finish(at, row, left); }
  if (WIDE && row < dims.rows && tile.x + 8u < dims.o4) { finish(at + 8u, row, right); }
}

// <tile, from matmul.subgroup.int64.wgsl>
// Eight rows of a vec4 of columns.
alias Rows = array<vec4<f32>, 8>;

// Adds to eight rows of the tile. In `row` each lane has four k of one row; b_left and b_right have these k.
fn multiply(
  row: vec4<f32>, b_left: mat4x4<f32>, b_right: mat4x4<f32>,
  left: ptr<function, Rows>, right: ptr<function, Rows>,
) {
  for (var i = 0u; i < 8u; i++) {
    let a = subgroupShuffle(row, i);
    (*left)[i] += a.x * b_left[0] + a.y * b_left[1] + a.z * b_left[2] + a.w * b_left[3];
    if (WIDE) { (*right)[i] += a.x * b_right[0] + a.y * b_right[1] + a.z * b_right[2] + a.w * b_right[3]; }
  }
}

// Row i of sixteen. By comparing, since an index that is not constant would move the arrays to memory.
fn pick(i: u32, first: ptr<function, Rows>, second: ptr<function, Rows>) -> vec4<f32> {
  var picked: vec4<f32>;
  for (var j = 0u; j < 8u; j++) { picked = select(picked, (*first)[j], i == j); }
  for (var j = 0u; j < 8u; j++) { picked = select(picked, (*second)[j], i == j + 8u); }
  return picked;
}

// Stores sixteen rows from `at` on. The driver must not know the bound: unrolled, it compiles for longer.
fn store_rows(
  tile: vec3<u32>, at: u32,
  left0: ptr<function, Rows>, left1: ptr<function, Rows>,
  right0: ptr<function, Rows>, right1: ptr<function, Rows>,
) {
  for (var i = 0u; i < 16u + zero(tile.y); i++) {
    store(tile, row_of(at + i), pick(i, left0, left1), pick(i, right0, right1));
  }
}
// </tile>

@compute @workgroup_size(8)
fn lanes(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
  let tile = vec3<u32>(group.x * select(8u, 16u, WIDE) + lane, group.y * 64u, group.z);
  // <accumulators, from matmul.subgroup.int64.wgsl>
  var left0: Rows; var right0: Rows; var left1: Rows; var right1: Rows;
  var left2: Rows; var right2: Rows; var left3: Rows; var right3: Rows;
  var left4: Rows; var right4: Rows; var left5: Rows; var right5: Rows;
  var left6: Rows; var right6: Rows; var left7: Rows; var right7: Rows;
  // </accumulators>
  let quads = min(tile.y / 4u + lane + vec2<u32>(0u, 8u), vec2<u32>(dims.rows / 4u - 1u));
  let tap0 = dims.tap[quads.x / dims.c4];
  let tap1 = dims.tap[quads.y / dims.c4];
  let start = dims.start + group.z * dims.chunk;
  let end = min(start + dims.chunk, dims.end);
  let line = start / dims.dst.y;
  var pixel = vec3<u32>(line / dims.dst.x, line % dims.dst.x, start % dims.dst.y);
  for (var k = start; k < end + zero(group.x); k += 4u) {
    let inside = k + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(end);
    let b_left = rows_of_dy(k, min(tile.x, dims.o4 - 1u), inside);
    var b_right: mat4x4<f32>;
    if (WIDE) { b_right = rows_of_dy(k, min(tile.x + 8u, dims.o4 - 1u), inside); }
    let p0 = pixel; let p1 = next(p0); let p2 = next(p1); let p3 = next(p2);
    pixel = next(p3);
    let see0 = vec4<i32>(seen(p0, tap0), seen(p1, tap0), seen(p2, tap0), seen(p3, tap0));
    let see1 = vec4<i32>(seen(p0, tap1), seen(p1, tap1), seen(p2, tap1), seen(p3, tap1));
    let upper = transpose(load_x(select(vec4<i32>(-1), see0, inside), quads.x % dims.c4));
    let lower = transpose(load_x(select(vec4<i32>(-1), see1, inside), quads.y % dims.c4));
    // <products, from matmul.subgroup.int64.wgsl>
    multiply(upper[0], b_left, b_right, &left0, &right0);
    multiply(upper[1], b_left, b_right, &left1, &right1);
    multiply(upper[2], b_left, b_right, &left2, &right2);
    multiply(upper[3], b_left, b_right, &left3, &right3);
    multiply(lower[0], b_left, b_right, &left4, &right4);
    multiply(lower[1], b_left, b_right, &left5, &right5);
    multiply(lower[2], b_left, b_right, &left6, &right6);
    multiply(lower[3], b_left, b_right, &left7, &right7);
    // </products>
  }
  // <stores, from matmul.subgroup.int64.wgsl>
  store_rows(tile, 0u, &left0, &left1, &right0, &right1);
  store_rows(tile, 16u, &left2, &left3, &right2, &right3);
  store_rows(tile, 32u, &left4, &left5, &right4, &right5);
  store_rows(tile, 48u, &left6, &left7, &right6, &right7);
  // </stores>
}
