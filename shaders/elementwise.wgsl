// y[i] = fused(i): a cluster of elementwise functions. The planner writes the marked function, which calls
// the functions e_* and the loads below; what it reads is seen as vec4s (x0) where elements line up with the
// output's, else as single elements (s0).
//
// Index map: one invocation makes one vec4 of the dense output.
//
// Bound: bandwidth.

struct Dims {
  n4: u32, // vec4s of the output
  access: array<Access, 7>,
  constant: array<vec4<f32>, 8>,
}

// <quad, master>
// Four numbers as they lie in a buffer; for CPU drivers the planner puts <quad64> of selftest.int64 here.
alias Quad = vec4<f32>;
fn floats(q: Quad) -> vec4<f32> { return q; }
fn quad(v: vec4<f32>) -> Quad { return v; }
// </quad>

@group(0) @binding(0) var<storage, read_write> y: array<Quad>;
// <cluster, master>
@group(0) @binding(1) var<storage, read> x0: array<Quad>;
@group(0) @binding(2) var<storage, read> x1: array<Quad>;
@group(0) @binding(3) var<storage, read> x2: array<Quad>;
@group(0) @binding(4) var<storage, read> x3: array<Quad>;
@group(0) @binding(5) var<storage, read> x4: array<Quad>;
@group(0) @binding(6) var<storage, read> x5: array<Quad>;
@group(0) @binding(7) var<storage, read> x6: array<Quad>;
@group(0) @binding(1) var<storage, read> s0: array<f32>;
@group(0) @binding(2) var<storage, read> s1: array<f32>;
@group(0) @binding(3) var<storage, read> s2: array<f32>;
@group(0) @binding(4) var<storage, read> s3: array<f32>;
@group(0) @binding(5) var<storage, read> s4: array<f32>;
@group(0) @binding(6) var<storage, read> s5: array<f32>;
@group(0) @binding(7) var<storage, read> s6: array<f32>;
// </cluster>
@group(0) @binding(8) var<uniform> dims: Dims;

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

// <access, master>
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

// <functions>
// <nan, master>
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

// log(1 + t) for t in [-1/2, 1], as 2·artanh(t/(2 + t)) by its series: drivers' log loses the digits of a
// small t.
fn log1p(t: vec4<f32>) -> vec4<f32> {
  let s = t / (2.0 + t);
  let q = s * s;
  let tail = 0.14285715 + q * (0.11111111 + q * (0.09090909 + q * (0.07692308 + q * 0.06666667)));
  return 2.0 * s * (1.0 + q * (0.33333334 + q * (0.2 + q * tail)));
}

// A NaN must be seen: max and min turn it into the bound on some drivers, and some compile a choice by a
// comparison into them.
fn e_identity(a: vec4<f32>) -> vec4<f32> { return a; }
fn e_neg(a: vec4<f32>) -> vec4<f32> { return -a; }
fn e_exp(a: vec4<f32>) -> vec4<f32> { return with_nan(exp(a), a); }
// Near 0 by their series, whose next terms are below an f32's precision.
fn e_expm1(a: vec4<f32>) -> vec4<f32> {
  let tail = 1.0 + a / 4.0 * (1.0 + a / 5.0 * (1.0 + a / 6.0 * (1.0 + a / 7.0)));
  let series = a * (1.0 + a / 2.0 * (1.0 + a / 3.0 * tail));
  return select(e_exp(a) - 1.0, series, abs(a) < vec4<f32>(0.5));
}
fn e_log1mexp(a: vec4<f32>) -> vec4<f32> {
  let s = a * a;
  let series = log(a) - a * 0.5 + s * (1.0 / 24.0 - s * (1.0 / 2880.0 - s / 181440.0));
  return with_nan(select(log1p(-exp(-a)), series, a < vec4<f32>(0.6931472)), a);
}
fn e_floor(a: vec4<f32>) -> vec4<f32> { return floor(a); }
fn e_log(a: vec4<f32>) -> vec4<f32> { return with_nan(log(a), a); }
fn e_sqrt(a: vec4<f32>) -> vec4<f32> { return sqrt(a); }
fn e_rsqrt(a: vec4<f32>) -> vec4<f32> { return 1.0 / sqrt(a); }
fn e_recip(a: vec4<f32>) -> vec4<f32> { return 1.0 / a; }
fn e_square(a: vec4<f32>) -> vec4<f32> { return a * a; }
// <saturating, master>
fn e_tanh(a: vec4<f32>) -> vec4<f32> {
  let s = a * a;
  let tail = s * (0.13333334 - s * (0.053968254 - s * 0.021869488));
  let series = a - a * s * (0.33333334 - tail);
  let above = select(a, vec4<f32>(-15.0), a < vec4<f32>(-15.0));
  let far = tanh(select(above, vec4<f32>(15.0), a > vec4<f32>(15.0)));
  return with_nan(select(far, series, s < vec4<f32>(0.0625)), a);
}
fn e_sigmoid(a: vec4<f32>) -> vec4<f32> {
  let t = exp(-abs(a));
  return with_nan(select(vec4<f32>(1.0), t, a < vec4<f32>(0.0)) / (1.0 + t), a);
}
// </saturating>
fn e_softplus(a: vec4<f32>) -> vec4<f32> {
  return with_nan(max(a, vec4<f32>(0.0)) + log1p(exp(-abs(a))), a);
}
fn e_relu(a: vec4<f32>) -> vec4<f32> { return with_nan(max(a, vec4<f32>(0.0)), a); }
fn e_abs(a: vec4<f32>) -> vec4<f32> { return abs(a); }
fn e_sign(a: vec4<f32>) -> vec4<f32> { return with_nan(sign(a), a); }
fn e_add(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> { return a + b; }
fn e_sub(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> { return a - b; }
fn e_mul(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> { return a * b; }
fn e_div(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> { return a / b; }
fn e_min(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> { return with_nan(with_nan(min(a, b), a), b); }
fn e_max(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> { return with_nan(with_nan(max(a, b), a), b); }
fn truth(yes: vec4<bool>) -> vec4<f32> { return select(vec4<f32>(0.0), vec4<f32>(1.0), yes); }
fn e_lt(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> { return truth(a < b); }
fn e_le(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> { return truth(a <= b); }
fn e_gt(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> { return truth(a > b); }
fn e_ge(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> { return truth(a >= b); }
fn e_eq(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> { return truth(a == b); }
fn e_ne(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> { return truth(a != b); }
fn e_leaky_relu(a: vec4<f32>, slope: vec4<f32>) -> vec4<f32> {
  return select(a * slope, a, a > vec4<f32>(0.0));
}
fn e_gate(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> { return e_tanh(a) * e_sigmoid(b); }
fn e_bce_with_logits(l: vec4<f32>, x: vec4<f32>) -> vec4<f32> {
  return with_nan(max(l, vec4<f32>(0.0)) - l * x + log1p(exp(-abs(l))), l);
}
fn e_select(c: vec4<f32>, a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
  return select(b, a, c != vec4<f32>(0.0));
}
fn e_clamp(a: vec4<f32>, low: vec4<f32>, high: vec4<f32>) -> vec4<f32> {
  return with_nan(min(max(a, low), high), a);
}
// </functions>

// <fused>
fn fused(i: u32, v: vec4<f32>) -> vec4<f32> {
  return e_add(floats(x0[i]), floats(x1[row(i, 1u)]));
}
// </fused>

@compute @workgroup_size(WORKGROUP)
fn elementwise(id: Invocation) {
  let i = number(id.group, id.groups, id.lane);
  if (i < dims.n4) { y[i] = quad(fused(i, vec4<f32>(0.0))); }
}
