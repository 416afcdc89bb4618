// y = fused(conv2d(x, w)) and its input gradient as in conv2d.wgsl, f32, channels last; w is
// [tap][read][made], for the input gradient (TB) [tap][made][read]. For CPU drivers whose subgroups are 8
// vector lanes. The numbers of channels are multiples of 4.
//
// Index map: one subgroup makes 64 pixels x 64 channels (x 32 without WIDE), the tile that is drawn in
// matmul.subgroup.int64.wgsl: its rows are pixels made, its columns channels made, its k channels read, tap
// by tap. A lane finds the pixels that its own eight rows see; outside the image is zero.
//
// Bound: compute, limited by loads as that one.

struct Dims {
  rows: u32, // pixels made
  c4: u32, // channels read / 4
  o4: u32, // channels made / 4
  taps: u32,
  accumulate: u32, // 1: adds to an earlier launch's taps
  sweeps: u32, // along z, of the same lattice and as many taps each, for one remainder after another
  // <sweep, from conv2d.wgsl>
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
@group(0) @binding(1) var<storage, read> w: array<Quad>;
@group(0) @binding(2) var<storage, read_write> y: array<Quad>;
@group(0) @binding(3) var<uniform> dims: Dims;
override WIDE: bool = true; override TB: bool = false;
override LATTICE: bool = false; // pixels made are not all in their order

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

// <lattice, from conv2d.wgsl>
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

// <seen, from conv2d.wgsl>
// The pixel of x that a pixel made (image, row, column) sees through a tap, or -1 outside the image.
fn seen(p: vec3<u32>, tap: vec4<i32>) -> i32 {
  let row = i32(p.y * dims.src_step.x) + tap.x;
  let col = i32(p.z * dims.src_step.y) + tap.y;
  let inside = row >= 0 && row < i32(dims.src.x) && col >= 0 && col < i32(dims.src.y);
  return select(-1, (i32(p.x * dims.src.x) + row) * i32(dims.src.y) + col, inside);
}
// </seen>

// <channels, master>
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

fn load_w(at: vec4<u32>) -> mat4x4<f32> {
  return mat4x4<f32>(floats(w[at.x]), floats(w[at.y]), floats(w[at.z]), floats(w[at.w]));
}

// The weights from four channels read to four channels made. With TB the latter are rows in memory.
fn rows_of_w(start: u32, made4: u32, read4: u32) -> mat4x4<f32> {
  let four = vec4<u32>(0u, 1u, 2u, 3u);
  if (TB) { return transpose(load_w(start + (4u * made4 + four) * dims.c4 + read4)); }
  return load_w(start + (4u * read4 + four) * dims.o4 + made4);
}

// Row of the tile that is element i % 8 of array i / 8.
fn row_of(i: u32) -> u32 { return i; }

fn finish(at: u32, row: u32, sum: vec4<f32>) {
  var total = sum; if (dims.accumulate > zero(row)) { total += floats(y[at]); }
  y[at] = quad(fused(at, total));
}

// Stores a row's vec4 of either half; `tile` is the lane's first vec4 of channels, row, and how far behind.
fn store(tile: vec3<u32>, i: u32, left: vec4<f32>, right: vec4<f32>) {
  let row = tile.y + i; let to = select(row, place(pixel(row)) + tile.z, LATTICE);
  let at = to * dims.o4 + tile.x;
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
fn lanes(
  @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let sweep = group.z % dims.sweeps; let first_row = (group.z / dims.sweeps * groups.y + group.y) * 64u;
  let tile = vec3<u32>(group.x * select(8u, 16u, WIDE) + lane, first_row, behind(sweep));
  // <accumulators, from matmul.subgroup.int64.wgsl>
  var left0: Rows; var right0: Rows; var left1: Rows; var right1: Rows;
  var left2: Rows; var right2: Rows; var left3: Rows; var right3: Rows;
  var left4: Rows; var right4: Rows; var left5: Rows; var right5: Rows;
  var left6: Rows; var right6: Rows; var left7: Rows; var right7: Rows;
  // </accumulators>
  let last = dims.rows - 1u; let mine = tile.y + lane;
  let pixel0 = pixel(min(mine, last)); let pixel1 = pixel(min(mine + 8u, last));
  let pixel2 = pixel(min(mine + 16u, last)); let pixel3 = pixel(min(mine + 24u, last));
  let pixel4 = pixel(min(mine + 32u, last)); let pixel5 = pixel(min(mine + 40u, last));
  let pixel6 = pixel(min(mine + 48u, last)); let pixel7 = pixel(min(mine + 56u, last));
  for (var t = 0u; t < dims.taps + zero(group.x); t++) {
    let tap = dims.tap[sweep * dims.taps + t]; let w_start = 4u * u32(tap.z) * dims.c4 * dims.o4;
    let pixels = vec4<i32>(seen(pixel0, tap), seen(pixel1, tap), seen(pixel2, tap), seen(pixel3, tap));
    let more_pixels = vec4<i32>(seen(pixel4, tap), seen(pixel5, tap), seen(pixel6, tap), seen(pixel7, tap));
    for (var k4 = 0u; k4 < dims.c4 + zero(group.x); k4++) {
      let b_left = rows_of_w(w_start, min(tile.x, dims.o4 - 1u), k4);
      var b_right: mat4x4<f32>;
      if (WIDE) { b_right = rows_of_w(w_start, min(tile.x + 8u, dims.o4 - 1u), k4); }
      let upper = load_x(pixels, k4); let lower = load_x(more_pixels, k4);
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
  }
  // <stores, from matmul.subgroup.int64.wgsl>
  store_rows(tile, 0u, &left0, &left1, &right0, &right1);
  store_rows(tile, 16u, &left2, &left3, &right2, &right3);
  store_rows(tile, 32u, &left4, &left5, &right4, &right5);
  store_rows(tile, 48u, &left6, &left7, &right6, &right7);
  // </stores>
}
