// dw[t, c, o] = Σ_p x[p·src_step + tap_t, c]·dy[p, o], f32, channels last: the weight gradient of
// conv2d8.wgsl, for GPUs. Channels read and made are multiples of 4, images have at most 65,535 rows and
// columns.
//
// Index map: an implicit matrix product by the tile of matmul8.wgsl, of 64 rows (tap, channel read) and 64
// channels made, from panels of 16 pixels. A lane loads one vec4 of channels of four pixels, four apart. One
// lane for each of 16 pixels keeps its place and moves it on by carries instead of divisions; the others read
// it in workgroup memory. The pixels' parts lie along z, since there are few tiles; parts.wgsl adds them up.
//
// Bound: compute.

struct Dims {
  c4: u32, // vec4s of channels read
  o4: u32, // and made
  rows: u32, // taps x channels read of this launch
  first_row: u32, // where they begin in dw
  pixels: u32,
  chunk: u32, // pixels of a part, a multiple of 16
  total: u32, // vec4s of dw
  src: vec2<u32>, // extents of x
  dst: vec2<u32>, // extents of dy
  src_step: vec2<u32>,
  tap: array<vec4<i32>, 64>, // row, column
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
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

// Where the pixels of the next panel see tap (0, 0): row and column packed, and the vec4 of x. A lane's four
// lie side by side.
var<workgroup> place: array<array<u32, 4>, 4>;
var<workgroup> origin: array<array<u32, 4>, 4>;

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

@compute @workgroup_size(64)
fn tile(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y * 64u;
  let col = group.x * 16u;
  let c4 = dims.c4; let o4 = dims.o4; let src = dims.src;
  let start = group.z * dims.chunk;
  let end = min(start + dims.chunk, dims.pixels);
  let mine = min(row / 4u + lane % 16u, dims.rows / 4u - 1u);
  let tap = dims.tap[min(mine / c4, 63u)];
  let there = (u32(tap.x) * src.y + u32(tap.y)) * c4 + mine % c4;
  // The place of this lane's pixel, and how 16 pixels move it.
  let pixel = start + lane % 16u;
  let line = pixel / dims.dst.y;
  let width = dims.dst.y * dims.src_step.y;
  let height = dims.dst.x * dims.src_step.x;
  var y_at = line % dims.dst.x * dims.src_step.x;
  var x_at = pixel % dims.dst.y * dims.src_step.y;
  var at = ((line / dims.dst.x * src.x + y_at) * src.y + x_at) * c4;
  let right = 16u % dims.dst.y * dims.src_step.y;
  let lines = 16u / dims.dst.y;
  let down = lines % dims.dst.x * dims.src_step.x;
  let go = ((lines / dims.dst.x * src.x + down) * src.y + right) * c4;
  let go_line = (dims.src_step.x * src.y - width) * c4;
  let go_image = (src.x - height) * src.y * c4;
  let i = lane / 16u; let q = lane % 16u;
  if (lane < 16u) { place[lane % 4u][lane / 4u] = (y_at << 16u) | x_at; origin[lane % 4u][lane / 4u] = at; }
  workgroupBarrier();
  var dy_at = (start + i) * o4 + col + q;
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
    panel_a[0][0].k[i][q] = p[0]; panel_a[1][0].k[i][q] = p[1];
    panel_a[2][0].k[i][q] = p[2]; panel_a[3][0].k[i][q] = p[3];
    panel_b[0][0].k[i][q] = r[0]; panel_b[1][0].k[i][q] = r[1];
    panel_b[2][0].k[i][q] = r[2]; panel_b[3][0].k[i][q] = r[3];
    x_at += right; y_at += down; at += go;
    if (x_at >= width) { x_at -= width; y_at += dims.src_step.x; at += go_line; }
    if (y_at >= height) { y_at -= height; at += go_image; }
    if (lane < 16u) { place[lane % 4u][lane / 4u] = (y_at << 16u) | x_at; origin[lane % 4u][lane / 4u] = at; }
    workgroupBarrier();
    dy_at += 16u * o4;
    sees = seen(i, tap);
    p = load_x(i, there, sees);
    r = load_dy(dy_at);
    multiply16(lane / 8u, lane % 8u);
  }
  let part = group.z * dims.total;
  let top = row + lane / 8u * 4u;
  let left = col + lane % 8u;
  store(part, top, left, s0l, s0r); store(part, top + 1u, left, s1l, s1r);
  store(part, top + 2u, left, s2l, s2r); store(part, top + 3u, left, s3l, s3r);
  store(part, top + 32u, left, s4l, s4r); store(part, top + 33u, left, s5l, s5r);
  store(part, top + 34u, left, s6l, s6r); store(part, top + 35u, left, s7l, s7r);
}
