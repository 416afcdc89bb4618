// The reparameterisation trick (Kingma & Welling 2013, section 2.4): draw and transform in one launch.
//   reparameterize  z = mu + exp(logvar/2)·eps,  eps ~ N(0, 1)
//   scaled_noise    y = dz·factor·exp(logvar/2)·eps: with factor ½ the derivative by logvar, with ¼ that
//                   one's, and so on. The derivative by mu is dz itself
// eps[e] is a function of (seed, stream, step, e) alone: it is never stored, the derivative draws it again.
//
// Index map: one invocation makes elements 4i..4i+3 of the dense output, read and written as vec4s; the entry
// points *_tail store one by one, for element counts that are not a multiple of 4.
//
// Bound: integer arithmetic (about 100 operations an element) on CPU drivers, bandwidth on GPUs. Seed and
// step are loaded before the first branch: there a CPU driver loads once, under it once per lane.

struct Dims {
  n: u32, // elements
  factor: f32, // of the scaled noise: 2^-halvings
  stream: vec2<u32>, // hash of the stream's name
  first: u32, // number of the first element in the draw that all ranks share
}

@group(0) @binding(0) var<storage, read_write> y: array<vec4<f32>>; // z, or the noise
@group(0) @binding(0) var<storage, read_write> y_scalar: array<f32>;
@group(0) @binding(1) var<storage, read> mu: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> cotangent: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> logvar: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> seed: vec2<u32>;
@group(0) @binding(4) var<storage, read> time: u32;
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

// <normal, from random.wgsl>
// -log(1 - v) for v in [0, 1): a series near 0, where drivers' log loses its digits.
fn minus_log1m(v: vec4<f32>) -> vec4<f32> {
  let series = v * (1.0 + v * (0.5 + v * (0.33333334 + v * (0.25 + v * (0.2 + v * 0.16666667)))));
  return select(-log(1.0 - v), series, v < vec4<f32>(0.0625));
}

// cos(2πt) for t in [0, 1), as sin(2πs) of |s| <= 1/4 by a polynomial: drivers' cos is off by up to 2e-4.
fn cos_turns(t: vec4<f32>) -> vec4<f32> {
  let s = abs(t - 0.5) - 0.25;
  let q = s * s;
  return s * (6.2831855 + q * (-41.34168 + q * (81.602234 + q * (-76.57499 + q * 39.710907))));
}

// Standard normals by Box and Muller's transform: u = (a's top bits + 1)/2^24 in (0, 1] and the angle b.
fn normals(words: Words) -> vec4<f32> {
  let v = vec4<f32>(vec4<u32>(16777215u) - (words.a >> vec4<u32>(8u))) * (1.0 / 16777216.0);
  return sqrt(2.0 * minus_log1m(v)) * cos_turns(unit(words.b));
}
// </normal>

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

// <nan, from elementwise.wgsl>
// Whether numbers are none, by their bits, since drivers may take a NaN for equal to itself.
fn is_nan(a: vec4<f32>) -> vec4<bool> {
  return (bitcast<vec4<u32>>(a) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
}

// y, a function of a, with a's NaNs: drivers' functions make numbers of some, as exp an infinity and max the
// other argument.
fn with_nan(y: vec4<f32>, a: vec4<f32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(select(bitcast<vec4<u32>>(y), bitcast<vec4<u32>>(a), is_nan(a)));
}
// </nan>

// exp(logvar/2)·eps: the deviation of z from mu.
fn deviation(run: vec2<u32>, step: u32, i: u32) -> vec4<f32> {
  let eps = normals(words(run, step, i));
  return with_nan(exp(0.5 * logvar[i]), logvar[i]) * eps;
}

fn sample(run: vec2<u32>, step: u32, i: u32) -> vec4<f32> {
  return mu[i] + deviation(run, step, i);
}

fn noise(run: vec2<u32>, step: u32, i: u32) -> vec4<f32> {
  return cotangent[i] * (dims.factor * deviation(run, step, i));
}

@compute @workgroup_size(WORKGROUP)
fn reparameterize(id: Invocation) {
  let run = seed;
  let step = time;
  let i = number(id.group, id.groups, id.lane);
  if (4u * i < dims.n) { y[i] = sample(run, step, i); }
}

@compute @workgroup_size(WORKGROUP)
fn reparameterize_tail(id: Invocation) {
  let run = seed;
  let step = time;
  let i = number(id.group, id.groups, id.lane);
  if (4u * i < dims.n) { put(i, sample(run, step, i)); }
}

@compute @workgroup_size(WORKGROUP)
fn scaled_noise(id: Invocation) {
  let run = seed;
  let step = time;
  let i = number(id.group, id.groups, id.lane);
  if (4u * i < dims.n) { y[i] = noise(run, step, i); }
}

@compute @workgroup_size(WORKGROUP)
fn scaled_noise_tail(id: Invocation) {
  let run = seed;
  let step = time;
  let i = number(id.group, id.groups, id.lane);
  if (4u * i < dims.n) { put(i, noise(run, step, i)); }
}
