// Copies of 32-bit elements, bit by bit.
//   gather     y[i] = x[offset + Σ_d c_d(i)·stride_d], c the coordinates of i in an array of up to 8 axes
//   transpose  the same where x is contiguous along another axis than the last, for GPUs
//   pad        y[r·pitch + offset + c] = x[r·row + c] for c < row; the rest of each row of y is zero
//   scatter    the same map, but the rest of y is left alone; elements of x from `valid` on count as zeros
//
// Index map: one invocation makes one element of y, in scatter it moves one of x. In the entry points *4 it
// is a vec4, and everything but `valid` counts vec4s. In transpose a workgroup moves a tile of 32x32
// elements, whose rows are contiguous in x and whose columns in y, through workgroup memory.
//
// Bound: bandwidth.

struct Dims {
  n: u32, // elements to write, in units of the entry; for transpose tiles
  offset: u32,
  row: u32, // length of a row of x; for transpose of the axis along which x is contiguous
  pitch: u32, // length of a row of y; for transpose y's stride along that axis
  valid: u32, // elements of x, always in single elements
  shape: array<vec4<u32>, 2>, // innermost axis last, missing axes 1
  stride: array<vec4<u32>, 2>,
  middle: u32, // for transpose: elements of the axes between that axis and the last, ...
  last: u32, // ... the length of the last, ...
  step: u32, // ... and x's stride along it
}

@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@group(0) @binding(0) var<storage, read_write> y4: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> x4: array<vec4<u32>>;
@group(0) @binding(2) var<uniform> dims: Dims;

override WORKGROUP: u32 = 256u;

// <invocation, master>
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

fn address(i: u32) -> u32 {
  let low = dims.shape[1];
  let i6 = i / low.w;
  let i5 = i6 / low.z;
  let i4 = i5 / low.y;
  let a = vec4<u32>(i4 % low.x, i5 % low.y, i6 % low.z, i % low.w) * dims.stride[1];
  let high = dims.shape[0];
  let i3 = i4 / low.x;
  let i2 = i3 / high.w;
  let i1 = i2 / high.z;
  let i0 = i1 / high.y;
  let b = vec4<u32>(i0, i1 % high.y, i2 % high.z, i3 % high.w) * dims.stride[0];
  return dims.offset + a.x + a.y + a.z + a.w + b.x + b.y + b.z + b.w;
}

@compute @workgroup_size(WORKGROUP)
fn gather(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i < dims.n) { y[i] = x[address(i)]; }
}

@compute @workgroup_size(WORKGROUP)
fn gather4(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i < dims.n) { y4[i] = x4[address(i)]; }
}

// Column of x that lies under element i of y; outside a row of x it is row or more, since it wraps before the
// first.
fn column(i: u32) -> u32 {
  return i % dims.pitch - dims.offset;
}

@compute @workgroup_size(WORKGROUP)
fn pad(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let c = column(i);
  var value = 0u;
  if (c < dims.row) { value = x[i / dims.pitch * dims.row + c]; }
  y[i] = value;
}

@compute @workgroup_size(WORKGROUP)
fn pad4(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let c = column(i);
  var value = vec4<u32>();
  if (c < dims.row) { value = x4[i / dims.pitch * dims.row + c]; }
  y4[i] = value;
}

// Where element i of x lands in y.
fn landing(i: u32) -> u32 {
  return dims.offset + i / dims.row * dims.pitch + i % dims.row;
}

@compute @workgroup_size(WORKGROUP)
fn scatter(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  var value = 0u;
  if (i < dims.valid) { value = x[i]; }
  y[landing(i)] = value;
}

@compute @workgroup_size(WORKGROUP)
fn scatter4(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  var value = vec4<u32>();
  if (4u * i < dims.valid) {
    let inside = 4u * i + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(dims.valid);
    value = select(vec4<u32>(), x4[i], inside);
  }
  y4[landing(i)] = value;
}

// A column longer than a row, since the elements of a column would meet in a bank.
var<workgroup> tile: array<array<u32, 33>, 32>;

@compute @workgroup_size(256)
fn transpose(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let number = group.y * groups.x + group.x;
  let t = min(number, dims.n - 1u);
  let wide = (dims.last + 31u) / 32u;
  let high = (dims.row + 31u) / 32u;
  let z = t / wide / high;
  let a = t / wide % high * 32u;
  let b = t % wide * 32u;
  let first = ((z / dims.middle * dims.row + a) * dims.middle + z % dims.middle) * dims.last + b;
  let p = lane % 32u;
  let q = lane / 32u + vec4<u32>(0u, 8u, 16u, 24u);
  let i = address(first) + min(p, dims.row - 1u - a) + min(q, vec4<u32>(dims.last - 1u - b)) * dims.step;
  let v = vec4<u32>(x[i.x], x[i.y], x[i.z], x[i.w]);
  tile[q.x][p] = v.x;
  tile[q.y][p] = v.y;
  tile[q.z][p] = v.z;
  tile[q.w][p] = v.w;
  workgroupBarrier();
  if (number >= dims.n || b + p >= dims.last) { return; }
  let end = dims.row - a;
  let to = first + p;
  if (q.x < end) { y[to + q.x * dims.pitch] = tile[p][q.x]; }
  if (q.y < end) { y[to + q.y * dims.pitch] = tile[p][q.y]; }
  if (q.z < end) { y[to + q.z * dims.pitch] = tile[p][q.z]; }
  if (q.w < end) { y[to + q.w * dims.pitch] = tile[p][q.w]; }
}
