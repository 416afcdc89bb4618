// C = fused(A·B) as in cursor_product.wgsl, for CPU drivers of 8 lanes; channels and columns in fours.
//
// Index map: one subgroup makes 8·HEIGHT rows x 64 columns of C (x 32 without WIDE), the first arrays of the
// tile in matmul.subgroup.int64.wgsl. With HALVES its right half is the columns n apart from the left's.
//
// Bound: compute, limited by loads as that one.

struct Dims {
  m: u32,
  n4: u32, // columns of C / 4
  b4: u32, // columns of B / 4: n4, or 2·n4 with HALVES
  c4: u32, // channels that are read / 4
  kept: u32, // of the columns of the images that are read
  taps: u32,
  // <wave, from cursor.wgsl>
  image: vec2<u32>, // rows and columns
  lag: u32,
  shift: i32,
  flight: u32,
  counts: u32,
  mirrored: u32, // 1 where rows are gone through from right to left
  to: vec3<u32>, // where rows are placed: columns kept, channels as stored, and 1 for one channel a count
  // </wave>
  access: array<Access, 3>,
  constant: array<vec4<f32>, 8>,
  tap: array<vec4<i32>, 64>, // row, column
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

@group(0) @binding(0) var<storage, read> a: array<Quad>;
@group(0) @binding(1) var<storage, read> b: array<Quad>;
@group(0) @binding(2) var<storage, read_write> c: array<Quad>;
@group(0) @binding(3) var<uniform> dims: Dims;
@group(0) @binding(7) var<storage, read> time: u32;
override WIDE: bool = true;
override HEIGHT: u32 = 8u;
override PLAIN: bool = false; override PLACED: bool = false; override HALVES: bool = false;
var<private> half: vec4<f32>; // of the right half, for the marked function
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

// <pixels, from cursor.wgsl>
// Where the wave is: its step, the image row that it entered last, and that row's number among those in
// flight.
var<private> now: vec3<i32>;

fn begin() {
  let step = i32(time / dims.counts) + dims.shift;
  let newest = u32(max(step, 0)) / dims.lag;
  now = vec3<i32>(step, i32(newest), i32(newest % dims.flight));
}

// (image, row, column) of the pixel of a matrix row; the row is -1 where there is none.
fn pixel(row: u32) -> vec3<i32> {
  let n = row / dims.flight;
  let behind = now.z - i32(row - n * dims.flight);
  let i = now.y - select(behind, behind + i32(dims.flight), behind < 0);
  let j = now.x - i * i32(dims.lag);
  let columns = i32(dims.image.y);
  let here = i >= 0 && i < i32(dims.image.x) && j >= 0 && j < columns;
  return vec3<i32>(i32(n), select(-1, i, here), select(j, columns - 1 - j, dims.mirrored != 0u));
}

// Number of the pixel that another one sees through a tap, in images of so many columns; -1 where there is
// none.
fn seen(p: vec3<i32>, tap: vec2<i32>, kept: u32) -> i32 {
  let at = p.yz + tap;
  let size = vec2<i32>(dims.image);
  let inside = p.y >= 0 && at.x >= 0 && at.x < size.x && at.y >= 0 && at.y < size.y;
  let column = i32(u32(max(at.y, 0)) % kept);
  return select(-1, (p.x * size.x + at.x) * i32(kept) + column, inside);
}
// </pixels>

// <sight, from cursor.wgsl>
// What element e of a matrix sees in operand k, counted in the unit of its channels; -1 where there is none.
fn sight(e: u32, k: u32) -> i32 {
  let channels = dims.access[k].shape.w;
  let row = e / channels;
  let at = seen(pixel(row), vec2<i32>(dims.access[k].stride.xy), dims.access[k].shape.z);
  return select(-1, at * i32(channels) + i32(e - row * channels), at >= 0);
}
// </sight>

// The first vec4 of A's row at a tap, or -1.
fn start(row: u32, t: u32) -> i32 {
  let within = min(row, dims.m - 1u);
  let at = seen(pixel(within), dims.tap[t].xy, dims.kept);
  return select(select(-1, at * i32(dims.c4), at >= 0), i32(within * dims.c4), PLAIN);
}
fn starts(row: u32, t: u32) -> vec4<i32> {
  return vec4<i32>(start(row, t), start(row + 8u, t), start(row + 16u, t), start(row + 24u, t));
}
fn load_a(at: i32, k4: u32) -> vec4<f32> {
  return select(vec4<f32>(), floats(a[u32(max(at, 0)) + k4]), at >= 0);
}

// Four rows of B from row 4·k4 on, in four columns.
fn rows_of_b(k4: u32, column4: u32) -> mat4x4<f32> {
  let at = (4u * k4 + vec4<u32>(0u, 1u, 2u, 3u)) * dims.b4 + column4;
  return mat4x4<f32>(floats(b[at.x]), floats(b[at.y]), floats(b[at.z]), floats(b[at.w]));
}

// The vec4s of columns of B that a lane holds: of the left half and of the right one.
fn columns_of_b(column4: u32) -> vec2<u32> {
  let left = min(column4, dims.n4 - 1u);
  return vec2<u32>(left, select(min(column4 + 8u, dims.n4 - 1u), left + dims.n4, HALVES));
}

// Stores a row's vec4 of either half; `tile` is the lane's first vec4 of columns, and the first row.
fn store(tile: vec3<u32>, i: u32, left: vec4<f32>, right: vec4<f32>) {
  let row = tile.y + i;
  let to = select(i32(row), seen(pixel(row), vec2<i32>(), dims.to.x), PLACED);
  if (row >= dims.m || i >= 8u * HEIGHT || to < 0) { return; }
  half = right;
  let e = row * dims.n4 + tile.x; let at = u32(to) * dims.n4 + tile.x;
  if (tile.x < dims.n4) { c[at] = quad(fused(e, left)); }
  if (WIDE && !HALVES && tile.x + 8u < dims.n4) { c[at + 8u] = quad(fused(e + 8u, right)); }
}

fn row_of(i: u32) -> u32 { return i; }
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
  begin();
  let tile = vec3<u32>(group.x * select(8u, 16u, WIDE && !HALVES) + lane, group.y * 8u * HEIGHT, 0u);
  // <accumulators, from matmul.subgroup.int64.wgsl>
  var left0: Rows; var right0: Rows; var left1: Rows; var right1: Rows;
  var left2: Rows; var right2: Rows; var left3: Rows; var right3: Rows;
  var left4: Rows; var right4: Rows; var left5: Rows; var right5: Rows;
  var left6: Rows; var right6: Rows; var left7: Rows; var right7: Rows;
  // </accumulators>
  let columns = columns_of_b(tile.x);
  for (var t = 0u; t < dims.taps + zero(group.x); t++) {
    let upper = starts(tile.y + lane, t);
    let lower = starts(tile.y + lane + 32u, t);
    for (var k4 = t * dims.c4; k4 < (t + 1u) * dims.c4 + zero(group.x); k4++) {
      let q = rows_of_b(k4, columns.x);
      var r: mat4x4<f32>;
      if (WIDE) { r = rows_of_b(k4, columns.y); }
      let k = k4 - t * dims.c4;
      multiply(load_a(upper.x, k), q, r, &left0, &right0);
      if (HEIGHT > 1u) { multiply(load_a(upper.y, k), q, r, &left1, &right1); }
      if (HEIGHT > 2u) { multiply(load_a(upper.z, k), q, r, &left2, &right2); }
      if (HEIGHT > 3u) { multiply(load_a(upper.w, k), q, r, &left3, &right3); }
      if (HEIGHT > 4u) { multiply(load_a(lower.x, k), q, r, &left4, &right4); }
      if (HEIGHT > 5u) { multiply(load_a(lower.y, k), q, r, &left5, &right5); }
      if (HEIGHT > 6u) { multiply(load_a(lower.z, k), q, r, &left6, &right6); }
      if (HEIGHT > 7u) { multiply(load_a(lower.w, k), q, r, &left7, &right7); }
    }
  }
  store_rows(tile, 0u, &left0, &left1, &right0, &right1);
  if (HEIGHT > 2u) { store_rows(tile, 16u, &left2, &left3, &right2, &right3); }
  if (HEIGHT > 4u) { store_rows(tile, 32u, &left4, &left5, &right4, &right5); }
  if (HEIGHT > 6u) { store_rows(tile, 48u, &left6, &left7, &right6, &right7); }
}
