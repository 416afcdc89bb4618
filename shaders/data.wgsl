// Data sets that stay on the GPU as bytes, four to a word, and what turns them into batches.
//   gather_rows       y[b, j] = byte[order[(step mod batches)·batch + b], j] / 255
//   gather_binarised  y[b, j] = 1 where uniform(stream, step, b·row + j) < byte/255, else 0
//   gather_labels     labels[b] = byte[order[(step mod batches)·batch + b]]
//   one_hot           y[b, c] = 1 where labels[b] = c, else 0
//   to_f32, unit_f32  y[e] = word[e], byte[e] / 255
//
// Index map: one invocation makes elements 4i..4i+3 of the dense output, or one label. The plain entry points
// move whole words and vec4s, so that rows (of gathers) or element counts are multiples of 4; the entry
// points *_tail serve the rest.
//
// Bound: bandwidth; integer arithmetic in gather_binarised. Seed and step are loaded before the first branch:
// there a CPU driver loads once, under it once per lane.

struct Dims {
  n: u32, // elements of the output
  row: u32, // bytes per row of the data; classes of the one-hot
  batch: u32,
  batches: u32, // whole batches per epoch
  stream: vec2<u32>, // hash of the stream's name
  first: u32, // number of the first element in the draw that all ranks share
}

@group(0) @binding(0) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(0) var<storage, read_write> y_scalar: array<f32>;
@group(0) @binding(0) var<storage, read_write> labels: array<u32>;
@group(0) @binding(1) var<storage, read> bytes: array<u32>;
@group(0) @binding(1) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> classes: array<u32>;
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<storage, read> time: u32;
@group(0) @binding(4) var<storage, read> seed: vec2<u32>;
@group(0) @binding(5) var<uniform> dims: Dims;

override WORKGROUP: u32 = 256u;

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

// <threefry, from random.wgsl>
// Two words of each of four draws.
struct Words {
  a: vec4<u32>,
  b: vec4<u32>,
}

fn rotate(x: vec4<u32>, r: u32) -> vec4<u32> {
  return (x << vec4<u32>(r)) | (x >> vec4<u32>(32u - r));
}

fn mix(x: Words, r: u32) -> Words {
  let a = x.a + x.b;
  return Words(a, rotate(x.b, r) ^ a);
}

fn even_rounds(x: Words) -> Words {
  return mix(mix(mix(mix(x, 13u), 15u), 26u), 6u);
}

fn odd_rounds(x: Words) -> Words {
  return mix(mix(mix(mix(x, 17u), 29u), 16u), 24u);
}

fn inject(x: Words, a: vec4<u32>, b: vec4<u32>, block: u32) -> Words {
  return Words(x.a + a, x.b + b + vec4<u32>(block));
}

// Threefry2x32 with 20 rounds (Salmon et al. 2011), bit for bit `rng::threefry2x32` of src/rng.rs.
fn threefry2x32(key: Words, counter: Words) -> Words {
  let c = key.a ^ key.b ^ vec4<u32>(0x1BD11BDAu);
  let x0 = inject(counter, key.a, key.b, 0u);
  let x1 = inject(even_rounds(x0), key.b, c, 1u);
  let x2 = inject(odd_rounds(x1), c, key.a, 2u);
  let x3 = inject(even_rounds(x2), key.a, key.b, 3u);
  let x4 = inject(odd_rounds(x3), key.b, c, 4u);
  return inject(even_rounds(x4), c, key.a, 5u);
}

// The words of elements 4i..4i+3: key = hash(seed, stream), counter = (step, element).
fn words(run: vec2<u32>, step: u32, i: u32) -> Words {
  let stream = dims.stream;
  let key = threefry2x32(Words(run.xxxx, run.yyyy), Words(stream.xxxx, stream.yyyy));
  let e = dims.first + 4u * i;
  return threefry2x32(key, Words(vec4<u32>(step), e + vec4<u32>(0u, 1u, 2u, 3u)));
}

// Top 24 bits as numbers in [0, 1): exact.
fn unit(bits: vec4<u32>) -> vec4<f32> {
  return vec4<f32>(bits >> vec4<u32>(8u)) * (1.0 / 16777216.0);
}
// </threefry>

// <tail, from random.wgsl>
// Stores those of four elements that exist.
fn put(i: u32, v: vec4<f32>) {
  let e = 4u * i;
  if (e < dims.n) { y_scalar[e] = v.x; }
  if (e + 1u < dims.n) { y_scalar[e + 1u] = v.y; }
  if (e + 2u < dims.n) { y_scalar[e + 2u] = v.z; }
  if (e + 3u < dims.n) { y_scalar[e + 3u] = v.w; }
}
// </tail>

// The row of the data that is row b of this step's batch.
fn source(step: u32, b: u32) -> u32 {
  return order[(step % dims.batches) * dims.batch + b];
}

fn byte(k: u32) -> u32 {
  return (bytes[k / 4u] >> (8u * (k % 4u))) & 255u;
}

fn unpack(word: u32) -> vec4<u32> {
  return vec4<u32>(word, word >> 8u, word >> 16u, word >> 24u) & vec4<u32>(255u);
}

// Four bytes of one row: a word.
fn aligned(step: u32, i: u32) -> vec4<u32> {
  let words = dims.row / 4u;
  return unpack(bytes[source(step, i / words) * words + i % words]);
}

// A byte of the batch, by its position there; 0 behind the end.
fn single(step: u32, e: u32) -> u32 {
  if (e >= dims.n) { return 0u; }
  return byte(source(step, e / dims.row) * dims.row + e % dims.row);
}

fn scattered(step: u32, i: u32) -> vec4<u32> {
  let e = 4u * i;
  return vec4<u32>(single(step, e), single(step, e + 1u), single(step, e + 2u), single(step, e + 3u));
}

fn scale(x: vec4<u32>) -> vec4<f32> {
  return vec4<f32>(x) / 255.0;
}

// u < x/255 for u = (bits >> 8)/2^24, in integers: exact.
fn binarise(run: vec2<u32>, step: u32, i: u32, x: vec4<u32>) -> vec4<f32> {
  let bits = words(run, step, i).a;
  return select(vec4<f32>(0.0), vec4<f32>(1.0), (bits >> vec4<u32>(8u)) * 255u < (x << vec4<u32>(24u)));
}

fn hot(e: u32) -> f32 {
  if (e >= dims.n) { return 0.0; }
  return select(0.0, 1.0, classes[e / dims.row] == e % dims.row);
}

fn one_hots(i: u32) -> vec4<f32> {
  return vec4<f32>(hot(4u * i), hot(4u * i + 1u), hot(4u * i + 2u), hot(4u * i + 3u));
}

@compute @workgroup_size(WORKGROUP)
fn gather_rows(id: Invocation) {
  let step = time;
  let i = number(id.group, id.groups, id.lane);
  if (4u * i < dims.n) { y[i] = scale(aligned(step, i)); }
}

@compute @workgroup_size(WORKGROUP)
fn gather_rows_tail(id: Invocation) {
  let step = time;
  let i = number(id.group, id.groups, id.lane);
  if (4u * i < dims.n) { put(i, scale(scattered(step, i))); }
}

@compute @workgroup_size(WORKGROUP)
fn gather_binarised(id: Invocation) {
  let run = seed;
  let step = time;
  let i = number(id.group, id.groups, id.lane);
  if (4u * i < dims.n) { y[i] = binarise(run, step, i, aligned(step, i)); }
}

@compute @workgroup_size(WORKGROUP)
fn gather_binarised_tail(id: Invocation) {
  let run = seed;
  let step = time;
  let i = number(id.group, id.groups, id.lane);
  if (4u * i < dims.n) { put(i, binarise(run, step, i, scattered(step, i))); }
}

@compute @workgroup_size(WORKGROUP)
fn one_hot(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (4u * i < dims.n) { y[i] = one_hots(i); }
}

@compute @workgroup_size(WORKGROUP)
fn one_hot_tail(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (4u * i < dims.n) { put(i, one_hots(i)); }
}

@compute @workgroup_size(WORKGROUP)
fn to_f32(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (4u * i < dims.n) { y[i] = vec4<f32>(values[i]); }
}

@compute @workgroup_size(WORKGROUP)
fn to_f32_tail(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (4u * i < dims.n) { put(i, vec4<f32>(values[i])); }
}

@compute @workgroup_size(WORKGROUP)
fn unit_f32(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (4u * i < dims.n) { y[i] = scale(unpack(bytes[i])); }
}

@compute @workgroup_size(WORKGROUP)
fn unit_f32_tail(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (4u * i < dims.n) { put(i, scale(unpack(bytes[i]))); }
}

@compute @workgroup_size(WORKGROUP)
fn gather_labels(id: Invocation) {
  let step = time;
  let b = number(id.group, id.groups, id.lane);
  if (b < dims.n) { labels[b] = byte(source(step, b)); }
}
