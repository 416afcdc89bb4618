// Subgroup known answers: lanes are numbered as invocations are, and a shuffle with a constant index
// broadcasts.
//   answer[8 + i] = Σ_j (j·(j + 1) + 4) over the eight lanes j, + 1000·(the lane's number)
//
// Index map: one subgroup of 8; each invocation answers for itself.
//
// Bound: none, it runs once.
@group(0) @binding(1) var<storage, read_write> answer: array<u32>;

@compute @workgroup_size(8)
fn shuffle(@builtin(subgroup_invocation_id) lane: u32, @builtin(local_invocation_index) index: u32) {
  let value = vec4<f32>(f32(index), 2.0, 3.0, 4.0);
  var sum = 0.0;
  for (var i = 0u; i < 8u; i++) {
    let other = subgroupShuffle(value, i);
    sum += other.x * f32(i + 1u) + other.w;
  }
  answer[8u + index] = u32(sum) + 1000u * lane;
}
