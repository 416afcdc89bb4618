// C = fused(A·B), f32, where A's rows are what the pixels of a wavefront see in images, tap by tap, or with
// PLAIN a matrix; C may be placed over the pixels of other images. What a wavefront is stands in cursor.wgsl.
//
// Index map: one invocation makes 4x4 elements of C in registers. With HALVES it makes them twice, of columns
// n apart, and the marked function finds the second ones in `half`.
//
// Bound: latency; a sampler's matrices are small.

// <seeing, master>
struct Dims {
  m: u32,
  n: u32, // columns of C
  b_row: u32, // columns of B: n, or 2n with HALVES
  c: u32, // channels that are read: K is taps·c
  kept: u32, // of the columns of the images that are read
  taps: u32,
  epilogue: u32, // 1: N is a multiple of 4 and the marked function ends the launch
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

// <quad, from elementwise.wgsl>
// Four numbers as they lie in a buffer; for CPU drivers the planner puts <quad64> of selftest.int64 here.
alias Quad = vec4<f32>;
fn floats(q: Quad) -> vec4<f32> { return q; }
fn quad(v: vec4<f32>) -> Quad { return v; }
// </quad>

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
@group(0) @binding(3) var<uniform> dims: Dims;
@group(0) @binding(7) var<storage, read> time: u32;

override PLAIN: bool = false; override PLACED: bool = false; override HALVES: bool = false;
var<private> half: vec4<f32>;

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

// The first element of A's row at a tap; -1 where there is none.
fn start(row: u32, t: u32) -> i32 {
  let within = min(row, dims.m - 1u);
  let at = seen(pixel(within), dims.tap[t].xy, dims.kept);
  return select(select(-1, at * i32(dims.c), at >= 0), i32(within * dims.c), PLAIN);
}

fn row_of_b(k: u32, col: u32) -> vec4<f32> {
  let i = k * dims.b_row + min(col + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(dims.b_row - 1u));
  return vec4<f32>(b[i.x], b[i.y], b[i.z], b[i.w]);
}

// Stores four outputs of one row.
fn store(row: u32, col: u32, sum: vec4<f32>, other: vec4<f32>) {
  if (row >= dims.m || col >= dims.n) { return; }
  var v = sum; half = other;
  if (dims.epilogue == 1u + zero(row)) { v = fused((row * dims.n + col) / 4u, v); }
  let to = select(i32(row), seen(pixel(row), vec2<i32>(), dims.to.x), PLACED);
  if (to < 0) { return; }
  let at = u32(to) * dims.n + col; c[at] = v.x;
  if (col + 1u < dims.n) { c[at + 1u] = v.y; }
  if (col + 2u < dims.n) { c[at + 2u] = v.z; }
  if (col + 3u < dims.n) { c[at + 3u] = v.w; }
}
// </seeing>

fn column_of_a(at: vec4<i32>, k: u32) -> vec4<f32> {
  let i = vec4<u32>(max(at, vec4<i32>())) + k;
  return select(vec4<f32>(), vec4<f32>(a[i.x], a[i.y], a[i.z], a[i.w]), at >= vec4<i32>());
}

@compute @workgroup_size(8, 8)
fn registers(@builtin(global_invocation_id) id: vec3<u32>) {
  begin();
  let row = id.y * 4u;
  let col = id.x * 4u;
  var sum0: vec4<f32>; var sum1: vec4<f32>; var sum2: vec4<f32>; var sum3: vec4<f32>;
  var half0: vec4<f32>; var half1: vec4<f32>; var half2: vec4<f32>; var half3: vec4<f32>;
  for (var t = 0u; t < dims.taps + zero(id.x); t++) {
    let at = vec4<i32>(start(row, t), start(row + 1u, t), start(row + 2u, t), start(row + 3u, t));
    for (var k = 0u; k < dims.c + zero(id.x); k++) {
      let p = column_of_a(at, k);
      let q = row_of_b(t * dims.c + k, col);
      sum0 += p.x * q; sum1 += p.y * q; sum2 += p.z * q; sum3 += p.w * q;
      if (HALVES) {
        let r = row_of_b(t * dims.c + k, col + dims.n);
        half0 += p.x * r; half1 += p.y * r; half2 += p.z * r; half3 += p.w * r;
      }
    }
  }
  store(row, col, sum0, half0); store(row + 1u, col, sum1, half1);
  store(row + 2u, col, sum2, half2); store(row + 3u, col, sum3, half3);
}
