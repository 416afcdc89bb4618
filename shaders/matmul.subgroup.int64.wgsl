// C[M,N] = fused(A·B), f32, row-major, batched; A[M,K] or (TA) A[K,M], B[K,N] or (TB) B[N,K]. For CPU drivers
// whose subgroups are 8 vector lanes. Rows of A (padded), of B and of C are multiples of 4.
//
// Index map: one subgroup makes a tile of C of 64 rows x 64 columns (x 32 without WIDE). A lane holds four
// columns of either half in registers, eight rows to an array:
//
//             columns  0..3  4..7  ...  28..31 | 32..35  ...  60..63
//             of lane    0     1   ...     7   |    0    ...     7
//   rows  0..7               left0             |        right0
//   rows  8..15              left1             |        right1
//    ...                      ...              |         ...
//   rows 56..63              left7             |        right7
//
// One step of the loop takes four k, k..k+3:
//   A  Lane l loads A[row l of each eight, k..k+3]. These eight vec4s are the columns of `upper` (rows 0..31)
//      and `lower` (rows 32..63). With TA four rows lie side by side in A: an array holds every fourth of 32.
//   B  A lane loads B[k..k+3, its own columns]: row k+i is column i of `b_left` and `b_right`.
// Then each row of A goes from the lane that loaded it to all lanes by a shuffle, and each multiplies it with
// the columns of B that it holds. Past the end of the matrices the last valid rows and columns are loaded.
// The entry point `few` makes left0 alone: 8 rows x 32 columns, for a C of at most 8 rows.
//
// Bound: compute, limited by loads, which cost far more than arithmetic (the driver loops over lanes and
// components). So the tile is as large as the first-level cache holds, and operands are read as 64-bit words.
// The loops over rows have 8 trips over arrays of 8, which the driver unrolls: larger or nested ones are 20x
// slower.

struct Dims {
  m: u32,
  n4: u32, // N / 4
  k: u32,
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

@group(0) @binding(0) var<storage, read> a: array<Quad>;
@group(0) @binding(1) var<storage, read> b: array<Quad>;
@group(0) @binding(2) var<storage, read_write> c: array<Quad>;
@group(0) @binding(3) var<uniform> dims: Dims;

override WIDE: bool = true;
override TA: bool = false;
override TB: bool = false;

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

// Four vec4s of A, or of B, as the columns of a matrix.
fn load_a(at: vec4<u32>) -> mat4x4<f32> {
  return mat4x4<f32>(floats(a[at.x]), floats(a[at.y]), floats(a[at.z]), floats(a[at.w]));
}

fn load_b(at: vec4<u32>) -> mat4x4<f32> {
  return mat4x4<f32>(floats(b[at.x]), floats(b[at.y]), floats(b[at.z]), floats(b[at.w]));
}

// With zeros for k past the end, on both sides since zero times infinity is a NaN. Only with TA does K have a
// tail.
fn without_tail(m: mat4x4<f32>, inside: vec4<bool>) -> mat4x4<f32> {
  let zeros = vec4<f32>();
  return mat4x4<f32>(
    m[0], select(zeros, m[1], inside.y), select(zeros, m[2], inside.z), select(zeros, m[3], inside.w),
  );
}

// Four rows k of B in four columns. With TB the columns are rows in memory: transposing moves no data, it
// only renames.
fn rows_of_b(start: u32, column4: u32, k: vec4<u32>, inside: vec4<bool>) -> mat4x4<f32> {
  if (TB) {
    let row4 = dims.k / 4u;
    return transpose(load_b(start + (4u * column4 + vec4<u32>(0u, 1u, 2u, 3u)) * row4 + k.x / 4u));
  }
  let rows = load_b(start + k * dims.n4 + column4);
  if (TA) { return without_tail(rows, inside); }
  return rows;
}

// Row of the tile that is element i % 8 of array i / 8.
fn row_of(i: u32) -> u32 {
  return select(i, i / 32u * 32u + i % 8u * 4u + i / 8u % 4u, TA);
}

// Stores a row's vec4 of either half; `tile` is the lane's first vec4 of columns, the first row, and the
// product.
fn store(tile: vec3<u32>, i: u32, left: vec4<f32>, right: vec4<f32>) {
  let row = tile.y + i;
  let at = (tile.z * dims.m + row) * dims.n4 + tile.x;
  if (row < dims.m && tile.x < dims.n4) { c[at] = quad(fused(at, left)); }
  if (WIDE && row < dims.m && tile.x + 8u < dims.n4) { c[at + 8u] = quad(fused(at + 8u, right)); }
}

// <tile, master>
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
  // <accumulators, master>
  var left0: Rows; var right0: Rows; var left1: Rows; var right1: Rows;
  var left2: Rows; var right2: Rows; var left3: Rows; var right3: Rows;
  var left4: Rows; var right4: Rows; var left5: Rows; var right5: Rows;
  var left6: Rows; var right6: Rows; var left7: Rows; var right7: Rows;
  // </accumulators>
  let k4 = dims.k / 4u;
  let m4 = (dims.m + 3u) / 4u;
  let rows = min(tile.y + lane + vec4<u32>(0u, 8u, 16u, 24u), vec4<u32>(dims.m - 1u));
  let more_rows = min(tile.y + lane + vec4<u32>(32u, 40u, 48u, 56u), vec4<u32>(dims.m - 1u));
  let quads = min(tile.y / 4u + lane + vec2<u32>(0u, 8u), vec2<u32>(m4 - 1u));
  let a_start = group.z * select(dims.m * k4, m4 * dims.k, TA);
  let b_start = group.z * select(dims.k * dims.n4, 4u * dims.n4 * k4, TB);
  for (var k = 0u; k < dims.k + zero(group.x); k += 4u) {
    let inside = k + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(dims.k);
    let ks = min(k + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(dims.k - 1u));
    let b_left = rows_of_b(b_start, min(tile.x, dims.n4 - 1u), ks, inside);
    var b_right: mat4x4<f32>;
    if (WIDE) { b_right = rows_of_b(b_start, min(tile.x + 8u, dims.n4 - 1u), ks, inside); }
    var upper: mat4x4<f32>;
    var lower: mat4x4<f32>;
    if (TA) {
      upper = transpose(without_tail(load_a(a_start + ks * m4 + quads.x), inside));
      lower = transpose(without_tail(load_a(a_start + ks * m4 + quads.y), inside));
    } else {
      upper = load_a(a_start + rows * k4 + k / 4u);
      lower = load_a(a_start + more_rows * k4 + k / 4u);
    }
    // <products, master>
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
  // <stores, master>
  store_rows(tile, 0u, &left0, &left1, &right0, &right1);
  store_rows(tile, 16u, &left2, &left3, &right2, &right3);
  store_rows(tile, 32u, &left4, &left5, &right4, &right5);
  store_rows(tile, 48u, &left6, &left7, &right6, &right7);
  // </stores>
}

@compute @workgroup_size(8)
fn few(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
  let tile = vec3<u32>(group.x * 8u + lane, 0u, group.z);
  var left: Rows; var right: Rows;
  let k4 = dims.k / 4u;
  let row4 = (group.z * dims.m + min(lane, dims.m - 1u)) * k4;
  for (var k = 0u; k < dims.k + zero(group.x); k += 4u) {
    let ks = k + vec4<u32>(0u, 1u, 2u, 3u);
    let columns = rows_of_b(group.z * dims.k * dims.n4, min(tile.x, dims.n4 - 1u), ks, vec4<bool>(true));
    multiply(floats(a[row4 + k / 4u]), columns, columns, &left, &right);
  }
  store_rows(tile, 0u, &left, &left, &right, &right);
}
