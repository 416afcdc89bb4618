// 64-bit known answers: a word read as u64 is split into the two f32 that lie there, and joined again.
//
// Index map: one invocation answers for one pair.
//
// Bound: none, it runs once.
@group(0) @binding(0) var<storage, read> pairs: array<u64>; // the question: (1, 2^-24), (a NaN, an infinity)
@group(0) @binding(1) var<storage, read_write> answer: array<u64>;

@compute @workgroup_size(2)
fn split(@builtin(local_invocation_index) index: u32) {
  let low = u32(pairs[index]);
  let high = u32(pairs[index] >> 32u);
  answer[2u + index] = u64(low) | (u64(high) << 32u);
}
