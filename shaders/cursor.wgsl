// The pixels of a sampler's wavefront (src/ops/cursor.rs). Several image rows are in flight at once: step s,
// which is time / counts + shift, is at column s - i·lag of image row i. A matrix holds one row for each
// pixel at work: row n·flight + f is the pixel of image n in the image row i with i mod flight = f, where
// there is one. A mirrored wave counts columns from the right.
//   look   y[row, t·c + channel] = image[n, pixel + tap_t, channel], zero outside the image
//   place  y[n, pixel, channel] = image[row, channel]; with one_channel only channel time mod counts
// Images hold the columns that are kept: column j lies at j mod kept.
//
// Index map: one invocation moves one element, in the entry points *4 four channels (c is a multiple of 4).
//
// Bound: bandwidth.

struct Dims {
  n: u32, // elements of the matrix
  c: u32, // channels of the images
  width: u32, // columns of look's matrix
  rows: u32, // of an image
  columns: u32,
  kept: u32, // of the columns
  lag: u32,
  shift: i32,
  flight: u32,
  counts: u32,
  mirrored: u32, // 1 where rows are gone through from right to left
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

// Index of the pixel of a matrix row, shifted by a tap, in the images; -1 where there is none.
fn pixel(row: u32, time: u32, tap: vec2<i32>) -> i32 {
  let step = i32(time / dims.counts) + dims.shift;
  let newest = u32(max(step, 0)) / dims.lag;
  let behind = (newest + dims.flight - row % dims.flight) % dims.flight;
  let i = i32(newest) - i32(behind);
  let size = vec2<i32>(i32(dims.rows), i32(dims.columns));
  let forwards = step - i * i32(dims.lag);
  let j = select(forwards, size.y - 1 - forwards, dims.mirrored != 0u);
  let at = vec2<i32>(i, j) + tap;
  let here = i >= 0 && i < size.x && j >= 0 && j < size.y;
  let inside = at.x >= 0 && at.x < size.x && at.y >= 0 && at.y < size.y;
  let place = u32(max(at.y, 0)) % dims.kept;
  return select(-1, (i32(row / dims.flight) * size.x + at.x) * i32(dims.kept) + i32(place), here && inside);
}

// What element i of look's matrix sees, in units of so many channels: an element of the images, -1 where
// none.
fn looked_at(i: u32, time: u32, unit: u32) -> i32 {
  let c = dims.c / unit;
  let k = i % (dims.width / unit);
  let at = pixel(i / (dims.width / unit), time, dims.tap[min(k / c, 63u)].xy);
  return select(-1, at * i32(c) + i32(k % c), at >= 0);
}

@compute @workgroup_size(WORKGROUP)
fn look(id: Invocation) {
  let now = time;
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let at = looked_at(i, now, 1u);
  y[i] = select(0.0, image[max(at, 0)], at >= 0);
}

@compute @workgroup_size(WORKGROUP)
fn look4(id: Invocation) {
  let now = time;
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n / 4u) { return; }
  let at = looked_at(i, now, 4u);
  y4[i] = select(vec4<f32>(), image4[max(at, 0)], at >= 0);
}

@compute @workgroup_size(WORKGROUP)
fn place(id: Invocation) {
  let now = time;
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let at = pixel(i / dims.c, now, vec2<i32>());
  let channel = i % dims.c;
  let mine = dims.one_channel == 0u || channel == now % dims.counts;
  if (at >= 0 && mine) { y[u32(at) * dims.c + channel] = image[i]; }
}

@compute @workgroup_size(WORKGROUP)
fn place4(id: Invocation) {
  let now = time;
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n / 4u) { return; }
  let c4 = dims.c / 4u;
  let at = pixel(i / c4, now, vec2<i32>());
  if (at >= 0) { y4[u32(at) * c4 + i % c4] = image4[i]; }
}
