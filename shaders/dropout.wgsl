// Dropout by recomputed noise (Srivastava et al. 2014, inverted: nothing to scale at test time).
//   y[e] = x[e]·scale where uniform(seed, stream, step, e) >= rate, else x[e]·0;  scale = 1/(1 - rate)
// Linear and self-adjoint: the same launch on a cotangent is its derivative, which draws the same numbers
// again. The mask is never stored, and element e has its number whatever the workgroup or the entry point.
//
// Index map: one invocation makes elements 4i..4i+3 of the dense output, read and written as vec4s; the entry
// point dropout_tail stores one by one, for element counts that are not a multiple of 4.
//
// Bound: integer arithmetic (about 100 operations an element) on CPU drivers, bandwidth on GPUs. Seed and
// step are loaded before the first branch: there a CPU driver loads once, under it once per lane.

struct Dims {
  n: u32, // elements
  rate: f32, // share that is dropped, in [0, 1)
  scale: f32,
  stream: vec2<u32>, // hash of the stream's name
  first: u32, // number of the first element in the draw that all ranks share
}

@group(0) @binding(0) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(0) var<storage, read_write> y_scalar: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> seed: vec2<u32>;
@group(0) @binding(3) var<storage, read> time: u32;
@group(0) @binding(4) var<uniform> dims: Dims;

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

// A product, so that a NaN passes where it would be dropped.
fn dropped(run: vec2<u32>, step: u32, i: u32) -> vec4<f32> {
  let u = unit(words(run, step, i).a);
  return x[i] * select(vec4<f32>(0.0), vec4<f32>(dims.scale), u >= vec4<f32>(dims.rate));
}

@compute @workgroup_size(WORKGROUP)
fn dropout(id: Invocation) {
  let run = seed;
  let step = time;
  let i = number(id.group, id.groups, id.lane);
  if (4u * i < dims.n) { y[i] = dropped(run, step, i); }
}

@compute @workgroup_size(WORKGROUP)
fn dropout_tail(id: Invocation) {
  let run = seed;
  let step = time;
  let i = number(id.group, id.groups, id.lane);
  if (4u * i < dims.n) { put(i, dropped(run, step, i)); }
}
