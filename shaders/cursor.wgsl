// The pixels of a sampler's wavefront (src/ops/cursor.rs): step s = time / counts + shift is at column s - i·lag of image row i; the
// rows in flight are numbered by i modulo `flight`, and row n·flight + f of a matrix is the pixel of image n with number f.
//   look   y[row, t·c + channel] = image[n, pixel + tap_t, channel], zero outside the image or where f has no pixel
//   place  y[n, pixel, channel] = image[row, channel], nothing where f has no pixel; with one_channel only channel time mod counts
// One invocation moves one element, in the entry points *4 four channels. Bandwidth bound.

struct Dims {
  n: u32, // elements of the matrix
  c: u32, // channels of the images
  width: u32, // columns of look's matrix
  rows: u32, // of an image
  columns: u32,
  lag: u32,
  shift: i32,
  flight: u32,
  counts: u32,
  one_channel: u32,
  tap: array<vec4<i32>, 64>, // row, column
}

@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(0) var<storage, read_write> y4: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> image: array<f32>;
@group(0) @binding(1) var<storage, read> image4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> time: u32;
@group(0) @binding(3) var<uniform> dims: Dims;

override WORKGROUP: u32 = 64u;

// Index of the pixel of a matrix row, shifted by a tap, in the images; -1 where there is none.
fn pixel(row: u32, time: u32, tap: vec2<i32>) -> i32 {
  let step = i32(time / dims.counts) + dims.shift;
  let newest = u32(max(step, 0)) / dims.lag;
  let behind = (newest + dims.flight - row % dims.flight) % dims.flight;
  let i = i32(newest) - i32(behind);
  let j = step - i * i32(dims.lag);
  let size = vec2<i32>(i32(dims.rows), i32(dims.columns));
  let at = vec2<i32>(i, j) + tap;
  let here = i >= 0 && i < size.x && j >= 0 && j < size.y;
  let inside = at.x >= 0 && at.x < size.x && at.y >= 0 && at.y < size.y;
  return select(-1, (i32(row / dims.flight) * size.x + at.x) * size.y + at.y, here && inside);
}

@compute @workgroup_size(WORKGROUP)
fn look(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let step = time;
  let i = (group.y * count.x + group.x) * WORKGROUP + lane;
  if (i >= dims.n) { return; }
  let k = i % dims.width;
  let at = pixel(i / dims.width, step, dims.tap[min(k / dims.c, 63u)].xy);
  y[i] = select(0.0, image[u32(max(at, 0)) * dims.c + k % dims.c], at >= 0);
}

@compute @workgroup_size(WORKGROUP)
fn look4(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let step = time;
  let i = (group.y * count.x + group.x) * WORKGROUP + lane;
  if (i >= dims.n / 4u) { return; }
  let c4 = dims.c / 4u;
  let k = i % (dims.width / 4u);
  let at = pixel(i / (dims.width / 4u), step, dims.tap[min(k / c4, 63u)].xy);
  y4[i] = select(vec4<f32>(), image4[u32(max(at, 0)) * c4 + k % c4], at >= 0);
}

@compute @workgroup_size(WORKGROUP)
fn place(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let step = time;
  let i = (group.y * count.x + group.x) * WORKGROUP + lane;
  if (i >= dims.n) { return; }
  let at = pixel(i / dims.c, step, vec2<i32>());
  let channel = i % dims.c;
  if (at >= 0 && (dims.one_channel == 0u || channel == step % dims.counts)) { y[u32(at) * dims.c + channel] = image[i]; }
}

@compute @workgroup_size(WORKGROUP)
fn place4(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let step = time;
  let i = (group.y * count.x + group.x) * WORKGROUP + lane;
  if (i >= dims.n / 4u) { return; }
  let c4 = dims.c / 4u;
  let at = pixel(i / c4, step, vec2<i32>());
  if (at >= 0) { y4[u32(at) * c4 + i % c4] = image4[i]; }
}
