// dw[t, c, o] = Σ_p x[p·src_step + tap_t, c]·dy[p, o], f32, channels last: the weight gradient of
// conv2d8.wgsl, for GPUs. Channels made are a multiple of 4, images have at most 65,535 rows and columns.
//
// Index map: an implicit matrix product by the tile of matmul8.wgsl, of 64 rows (tap, channel read) and 64
// channels made, from panels of 16 pixels. One lane for each of 16 pixels keeps its place and moves it on by
// carries instead of divisions; the others read it in workgroup memory. The pixels' parts lie along z, since
// there are few tiles; parts.wgsl adds them up.
//   tile     for a multiple of 4 channels read: a lane loads one vec4 of channels of four pixels, four apart
//   scalars  for any number: a lane loads four rows of four pixels, each through a tap of its own
//
// Bound: compute.

struct Dims {
  c: u32, // channels read
  o4: u32, // vec4s of channels made
  rows: u32, // taps x channels read
  pixels: u32,
  chunk: u32, // pixels of a part, a multiple of 16
  total: u32, // vec4s of dw
  src: vec2<u32>, // extents of x
  dst: vec2<u32>, // extents of dy
  src_step: vec2<u32>,
  tap: array<vec4<i32>, 64>, // row, column
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(0) var<storage, read> xs: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> dims: Dims;

// <panels8, from conv2d8.wgsl>
// Four k of a panel. The gap puts the transposed writes of eight neighbouring lanes into different banks.
struct Fours { k: array<array<vec4<f32>, 16>, 4>, gap: array<vec4<f32>, 2> }
var<workgroup> panel_a: array<array<Fours, 1>, 4>;
var<workgroup> panel_b: array<array<Fours, 1>, 4>;
// </panels8>

// <sums8, from matmul8.wgsl>
// The 8x8 sums of one invocation: four rows and the four 32 below, their left and right vec4.
var<private> s0l: vec4<f32>; var<private> s0r: vec4<f32>;
var<private> s1l: vec4<f32>; var<private> s1r: vec4<f32>;
var<private> s2l: vec4<f32>; var<private> s2r: vec4<f32>;
var<private> s3l: vec4<f32>; var<private> s3r: vec4<f32>;
var<private> s4l: vec4<f32>; var<private> s4r: vec4<f32>;
var<private> s5l: vec4<f32>; var<private> s5r: vec4<f32>;
var<private> s6l: vec4<f32>; var<private> s6r: vec4<f32>;
var<private> s7l: vec4<f32>; var<private> s7r: vec4<f32>;

// One k. `d` is a constant at every call, so that addresses fold.
fn step(d: u32, r: u32, o: u32) {
  let p = panel_a[d / 4u][0].k[d % 4u][r]; let q = panel_a[d / 4u][0].k[d % 4u][r + 8u];
  let u = panel_b[d / 4u][0].k[d % 4u][o]; let v = panel_b[d / 4u][0].k[d % 4u][o + 8u];
  s0l += p.x * u; s0r += p.x * v; s1l += p.y * u; s1r += p.y * v;
  s2l += p.z * u; s2r += p.z * v; s3l += p.w * u; s3r += p.w * v;
  s4l += q.x * u; s4r += q.x * v; s5l += q.y * u; s5r += q.y * v;
  s6l += q.z * u; s6r += q.z * v; s7l += q.w * u; s7r += q.w * v;
}
// </sums8>

// <steps, from matmul8.wgsl>
fn multiply16(r: u32, o: u32) {
  step(0u, r, o); step(1u, r, o); step(2u, r, o); step(3u, r, o);
  step(4u, r, o); step(5u, r, o); step(6u, r, o); step(7u, r, o);
  step(8u, r, o); step(9u, r, o); step(10u, r, o); step(11u, r, o);
  step(12u, r, o); step(13u, r, o); step(14u, r, o); step(15u, r, o);
}
// </steps>

// <cut, from matmul8.wgsl>
// The vec4s to keep, and zeros.
fn cut(v: mat4x4<f32>, keep: vec4<bool>) -> mat4x4<f32> {
  let z = vec4<f32>();
  return mat4x4<f32>(
    select(z, v[0], keep.x), select(z, v[1], keep.y), select(z, v[2], keep.z), select(z, v[3], keep.w),
  );
}
// </cut>

fn store(first: u32, row: u32, col: u32, l: vec4<f32>, r: vec4<f32>) {
  if (row >= dims.rows) { return; }
  let at = first + row * dims.o4 + col;
  if (col < dims.o4) { y[at] = l; }
  if (col + 8u < dims.o4) { y[at + 8u] = r; }
}

// Where a pixel sees tap (0, 0): the row, the column, and the index into x.
struct Place {
  y: u32,
  x: u32,
  at: u32,
}

// The place of a pixel in an image whose pixels are so many elements; of the 16th, how 16 pixels move it.
fn placed(pixel: u32, size: u32) -> Place {
  let line = pixel / dims.dst.y;
  let y = line % dims.dst.x * dims.src_step.x;
  let x = pixel % dims.dst.y * dims.src_step.y;
  return Place(y, x, ((line / dims.dst.x * dims.src.x + y) * dims.src.y + x) * size);
}

fn moved(p: Place, by: Place, size: u32) -> Place {
  let src = dims.src; let down = dims.src_step.x; let end = dims.dst * dims.src_step;
  var q = Place(p.y + by.y, p.x + by.x, p.at + by.at);
  if (q.x >= end.y) { q.x -= end.y; q.y += down; q.at += (down * src.y - end.y) * size; }
  if (q.y >= end.x) { q.y -= end.x; q.at += (src.x - end.x) * src.y * size; }
  return q;
}

// The places of the next panel's pixels, row and column packed. A lane's four lie side by side.
var<workgroup> place: array<array<u32, 4>, 4>;
var<workgroup> origin: array<array<u32, 4>, 4>;

fn tell(lane: u32, p: Place) {
  if (lane < 16u) { place[lane % 4u][lane / 4u] = (p.y << 16u) | p.x; origin[lane % 4u][lane / 4u] = p.at; }
}

// For each of a lane's four pixels, whether it sees a pixel of the image through a tap.
fn seen(i: u32, tap: vec4<i32>) -> vec4<bool> {
  let yx = vec4<u32>(place[i][0], place[i][1], place[i][2], place[i][3]);
  let row = (yx >> vec4<u32>(16u)) + u32(tap.x); // outside the image they wrap or are too large
  let column = (yx & vec4<u32>(0xffffu)) + u32(tap.y);
  return (row < vec4<u32>(dims.src.x)) & (column < vec4<u32>(dims.src.y));
}

fn load_x(i: u32, there: u32, sees: vec4<bool>) -> mat4x4<f32> {
  let at = vec4<u32>(origin[i][0], origin[i][1], origin[i][2], origin[i][3]) + there;
  let here = select(vec4<u32>(), at, sees);
  return mat4x4<f32>(x[here.x], x[here.y], x[here.z], x[here.w]);
}

fn load_dy(at: u32) -> mat4x4<f32> {
  let step = 4u * dims.o4;
  return mat4x4<f32>(dy[at], dy[at + step], dy[at + 2u * step], dy[at + 3u * step]);
}

fn keep(i: u32, q: u32, p: mat4x4<f32>, r: mat4x4<f32>) {
  panel_a[0][0].k[i][q] = p[0]; panel_a[1][0].k[i][q] = p[1];
  panel_a[2][0].k[i][q] = p[2]; panel_a[3][0].k[i][q] = p[3];
  panel_b[0][0].k[i][q] = r[0]; panel_b[1][0].k[i][q] = r[1];
  panel_b[2][0].k[i][q] = r[2]; panel_b[3][0].k[i][q] = r[3];
}

fn store_all(part: u32, top: u32, left: u32) {
  store(part, top, left, s0l, s0r); store(part, top + 1u, left, s1l, s1r);
  store(part, top + 2u, left, s2l, s2r); store(part, top + 3u, left, s3l, s3r);
  store(part, top + 32u, left, s4l, s4r); store(part, top + 33u, left, s5l, s5r);
  store(part, top + 34u, left, s6l, s6r); store(part, top + 35u, left, s7l, s7r);
}

@compute @workgroup_size(64)
fn tile(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * 64u; let col = group.x * 16u;
  let c4 = dims.c / 4u;
  let start = group.z * dims.chunk; let end = min(start + dims.chunk, dims.pixels);
  let mine = min(row / 4u + lane % 16u, dims.rows / 4u - 1u);
  let tap = dims.tap[min(mine / c4, 63u)];
  let there = (u32(tap.x) * dims.src.y + u32(tap.y)) * c4 + mine % c4;
  var pixel = placed(start + lane % 16u, c4); let by = placed(16u, c4);
  let i = lane / 16u; let q = lane % 16u;
  tell(lane, pixel);
  workgroupBarrier();
  var dy_at = (start + i) * dims.o4 + col + q;
  var sees = seen(i, tap);
  var p = load_x(i, there, sees);
  var r = load_dy(dy_at);
  for (var k = start; k < end; k += 16u) {
    p = cut(p, sees);
    if (k + 16u > end) { // zero past the end on both sides, since zero times infinity is a NaN
      let inside = vec4<u32>(0u, 4u, 8u, 12u) + i < vec4<u32>(end - k);
      p = cut(p, inside); r = cut(r, inside);
    }
    workgroupBarrier();
    keep(i, q, p, r);
    pixel = moved(pixel, by, c4);
    tell(lane, pixel);
    workgroupBarrier();
    dy_at += 16u * dims.o4;
    sees = seen(i, tap);
    p = load_x(i, there, sees);
    r = load_dy(dy_at);
    multiply16(lane / 8u, lane % 8u);
  }
  store_all(group.z * dims.total, row + lane / 8u * 4u, col + lane % 8u);
}

// The row, column and element that each of four rows sees of a pixel at 0. Registers are too few for them.
var<workgroup> sight: array<array<vec4<u32>, 3>, 16>;

fn look(q: u32, row: u32) {
  let rows = min(vec4<u32>(row) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(dims.rows - 1u));
  let t = min(rows / dims.c, vec4<u32>(63u));
  let a = dims.tap[t.x]; let b = dims.tap[t.y]; let c = dims.tap[t.z]; let d = dims.tap[t.w];
  sight[q][0] = bitcast<vec4<u32>>(vec4<i32>(a.x, b.x, c.x, d.x));
  sight[q][1] = bitcast<vec4<u32>>(vec4<i32>(a.y, b.y, c.y, d.y));
  sight[q][2] = (sight[q][0] * dims.src.y + sight[q][1]) * dims.c + rows % dims.c;
}

// Whether a lane's four rows see a pixel of the image.
fn four_see(yx: u32, q: u32) -> vec4<bool> {
  let row = sight[q][0] + (yx >> 16u);
  let column = sight[q][1] + (yx & 0xffffu);
  return (row < vec4<u32>(dims.src.x)) & (column < vec4<u32>(dims.src.y));
}

fn load_four(at: u32, q: u32, sees: vec4<bool>) -> vec4<f32> {
  let here = select(vec4<u32>(), sight[q][2] + at, sees);
  return vec4<f32>(xs[here.x], xs[here.y], xs[here.z], xs[here.w]);
}

struct Rows { p: mat4x4<f32>, a: vec4<bool>, b: vec4<bool>, c: vec4<bool>, d: vec4<bool> }

// What four rows see of a lane's four pixels, and whether they do.
fn load_rows(i: u32, q: u32) -> Rows {
  let a = four_see(place[i][0], q); let b = four_see(place[i][1], q);
  let c = four_see(place[i][2], q); let d = four_see(place[i][3], q);
  return Rows(mat4x4<f32>(load_four(origin[i][0], q, a), load_four(origin[i][1], q, b),
    load_four(origin[i][2], q, c), load_four(origin[i][3], q, d)), a, b, c, d);
}

@compute @workgroup_size(64)
fn scalars(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * 64u; let col = group.x * 16u;
  let start = group.z * dims.chunk; let end = min(start + dims.chunk, dims.pixels);
  var pixel = placed(start + lane % 16u, dims.c); let by = placed(16u, dims.c);
  let i = lane / 16u; let q = lane % 16u;
  if (lane < 16u) { look(q, row + 4u * q); }
  tell(lane, pixel);
  workgroupBarrier();
  var dy_at = (start + i) * dims.o4 + col + q;
  var v = load_rows(i, q); var r = load_dy(dy_at);
  for (var k = start; k < end; k += 16u) {
    let z = vec4<f32>();
    var p = mat4x4<f32>(select(z, v.p[0], v.a), select(z, v.p[1], v.b), select(z, v.p[2], v.c),
      select(z, v.p[3], v.d));
    if (k + 16u > end) {
      let inside = vec4<u32>(0u, 4u, 8u, 12u) + i < vec4<u32>(end - k);
      p = cut(p, inside); r = cut(r, inside);
    }
    workgroupBarrier();
    keep(i, q, p, r);
    pixel = moved(pixel, by, dims.c);
    tell(lane, pixel);
    workgroupBarrier();
    dy_at += 16u * dims.o4;
    v = load_rows(i, q); r = load_dy(dy_at);
    multiply16(lane / 8u, lane % 8u);
  }
  store_all(group.z * dims.total, row + lane / 8u * 4u, col + lane % 8u);
}
