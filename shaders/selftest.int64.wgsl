// 64-bit known answers: a word read as u64 splits into the two f32 that lie there, and joins again.
@group(0) @binding(0) var<storage, read> pairs: array<u64>; // the question: (1, 2^-24), (a NaN, an infinity)
@group(0) @binding(1) var<storage, read_write> answer: array<u32>;

@compute @workgroup_size(4)
fn split(@builtin(local_invocation_index) index: u32) {
  let pair = pairs[index / 2u];
  answer[4u + index] = select(u32(pair >> 32u), u32(pair), index % 2u == 0u);
}
