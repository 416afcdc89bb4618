// Known answers that a driver must give before its kernels are trusted, one word per question:
//   answer[0]  the trips of a loop of 60,000
//   answer[1]  Σ (63 - i)² over 64 lanes, through workgroup memory
//   answer[2]  a NaN and an infinity are told by their bits, 1 is neither
//   answer[3]  the bits of 1 + 2^-24, which is 1: ties round to even
//
// Index map: one workgroup; its first invocation answers.
//
// Bound: none, it runs once.
@group(0) @binding(0) var<storage, read> question: array<f32>; // 1, 2^-24, a NaN, an infinity
@group(0) @binding(1) var<storage, read_write> answer: array<u32>;

var<workgroup> mirror: array<u32, 64>;

fn is_bad(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u;
}

@compute @workgroup_size(64)
fn selftest(@builtin(local_invocation_index) lane: u32) {
  mirror[lane] = lane;
  workgroupBarrier();
  let mirrored = mirror[63u - lane];
  workgroupBarrier();
  mirror[lane] = mirrored * mirrored;
  workgroupBarrier();
  if (lane == 0u) {
    var count = 0u;
    for (var i = 0u; i < 60000u; i++) {
      count += u32(question[0]) + (i & 1u);
    }
    answer[0] = count;
    var sum = 0u;
    for (var i = 0u; i < 64u; i++) {
      sum += mirror[i];
    }
    answer[1] = sum;
    answer[2] = u32(is_bad(question[2])) + 2u * u32(is_bad(question[3])) + 4u * u32(is_bad(question[0]));
    answer[3] = bitcast<u32>(question[0] + question[1]);
  }
}
