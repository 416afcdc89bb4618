// 64-bit known answers: four numbers read as two words, split into floats, and joined again.
//
// Index map: one invocation answers.
//
// Bound: none, it runs once.
@group(0) @binding(0) var<storage, read> question: array<Quad>; // 1, 2^-24, a NaN, an infinity
@group(0) @binding(1) var<storage, read_write> answer: array<Quad>;

// <quad64, master>
// Four numbers as they lie in a buffer, as two words: CPU drivers load component by component, lane by lane.
alias Quad = vec2<u64>;
fn floats(q: Quad) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4<u32>(u32(q.x), u32(q.x >> 32u), u32(q.y), u32(q.y >> 32u)));
}
fn quad(v: vec4<f32>) -> Quad {
  let u = bitcast<vec4<u32>>(v);
  return vec2<u64>(u64(u.x) | (u64(u.y) << 32u), u64(u.z) | (u64(u.w) << 32u));
}
// </quad64>

@compute @workgroup_size(1)
fn split() {
  answer[1] = quad(floats(question[0]));
}
