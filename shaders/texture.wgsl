// Pictures [N, H, W, C] of f32, C = 1, 3 or 4, as the rows of a texture: what copy_buffer_to_texture takes.
//   texel (x, y) of the picture is pixel (x mod W, y mod H) of image first + ⌊y/H⌋·columns + ⌊x/W⌋
//   colour of a pixel: C = 1 (v, v, v, 1); C = 3 (r, g, b, 1); C = 4 (r, g, b, a); no image: (0, 0, 0, 1)
// The entry points are named by channels and bits of a texel. Unorm formats clamp to [0, 1] and round to
// nearest, float formats keep what they can hold.
//
// Index map: one invocation packs one unit, the texels that fill its word, pair or quad of words. A row is
// padded to 256 bytes with zeros.
//
// Bound: bandwidth.

struct Dims {
  n: u32, // units in all
  row: u32, // units of a padded row
  width: u32, // of the picture, in texels
  image: vec2<u32>, // width and height of one image
  channels: u32,
  columns: u32, // images side by side
  first: u32, // image at the top left
  end: u32, // images from here on are not shown
}

@group(0) @binding(0) var<storage, read_write> words: array<u32>;
@group(0) @binding(0) var<storage, read_write> pairs: array<vec2<u32>>;
@group(0) @binding(0) var<storage, read_write> quads: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> pictures: array<f32>;
@group(0) @binding(2) var<uniform> dims: Dims;

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

// <zero, from matmul.wgsl>
// 0, which the compiler cannot know, so that no condition holds uniforms alone: see docs/notes/drivers.md.
fn zero(index: u32) -> u32 { return index >> 31u; }
// </zero>

fn pixel(x: u32, y: u32) -> vec4<f32> {
  if (x >= dims.width) { return vec4<f32>(); }
  let n = dims.first + y / dims.image.y * dims.columns + x / dims.image.x;
  if (n >= dims.end) { return vec4<f32>(0.0, 0.0, 0.0, 1.0); }
  let at = ((n * dims.image.y + y % dims.image.y) * dims.image.x + x % dims.image.x) * dims.channels;
  let channels = dims.channels + zero(x);
  if (channels == 1u) { return vec4<f32>(vec3<f32>(pictures[at]), 1.0); }
  var colour = vec4<f32>(pictures[at], pictures[at + 1u], pictures[at + 2u], 1.0);
  if (channels == 4u) { colour.w = pictures[at + 3u]; }
  return colour;
}

// The j-th of `count` texels of unit i.
fn texel(i: u32, j: u32, count: u32) -> vec4<f32> {
  return pixel(i % dims.row * count + j, i / dims.row);
}

@compute @workgroup_size(WORKGROUP)
fn rgba8(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i < dims.n) { words[i] = pack4x8unorm(texel(i, 0u, 1u)); }
}

@compute @workgroup_size(WORKGROUP)
fn bgra8(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i < dims.n) { words[i] = pack4x8unorm(texel(i, 0u, 1u).zyxw); }
}

@compute @workgroup_size(WORKGROUP)
fn r8(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let v = vec4<f32>(texel(i, 0u, 4u).x, texel(i, 1u, 4u).x, texel(i, 2u, 4u).x, texel(i, 3u, 4u).x);
  words[i] = pack4x8unorm(v);
}

@compute @workgroup_size(WORKGROUP)
fn rgb10a2(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let most = vec4<f32>(1023.0, 1023.0, 1023.0, 3.0);
  let v = vec4<u32>(clamp(texel(i, 0u, 1u), vec4<f32>(), vec4<f32>(1.0)) * most + 0.5);
  words[i] = v.x | (v.y << 10u) | (v.z << 20u) | (v.w << 30u);
}

@compute @workgroup_size(WORKGROUP)
fn r16(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i < dims.n) { words[i] = pack2x16float(vec2<f32>(texel(i, 0u, 2u).x, texel(i, 1u, 2u).x)); }
}

@compute @workgroup_size(WORKGROUP)
fn rgba16(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i >= dims.n) { return; }
  let v = texel(i, 0u, 1u);
  pairs[i] = vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw));
}

@compute @workgroup_size(WORKGROUP)
fn r32(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i < dims.n) { words[i] = bitcast<u32>(texel(i, 0u, 1u).x); }
}

@compute @workgroup_size(WORKGROUP)
fn rgba32(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i < dims.n) { quads[i] = bitcast<vec4<u32>>(texel(i, 0u, 1u)); }
}
