// One pass of a reduction over the middle of x[outer, r, inner]; r is cut into s chunks:
//   y[o, c, k] = reduce over j in [c * chunk, min(r, (c + 1) * chunk)) of x[o, j, k]
//   sum: sum x;  max: max x;  logsumexp: top + log(sum exp(x - top)), top = max x
// rows, rows4: inner = 1, an invocation makes one result from single loads or vec4 loads.
// columns, columns4: an invocation makes one or four neighbouring results. All bandwidth bound.
// tree: inner = 1, a workgroup makes one result by coalesced loads and a tree in workgroup memory.

struct Dims {
  n: u32, // results, outer * s * inner; vec4s of results for columns4
  r: u32,
  chunk: u32, // at most 4096 loop iterations; for rows4 a multiple of 4
  s: u32, // chunks per row
  inner: u32, // in vec4s for columns4
}

@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(0) var<storage, read_write> y4: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> dims: Dims;

const SUM = 0u;
const MAX = 1u;
const LOWEST = -3.4028235e38;

override KIND: u32 = 0u; // SUM, MAX or 2, logsumexp
override WORKGROUP: u32 = 64u; // a power of two

var<workgroup> partial: array<f32, WORKGROUP>;

// What a value adds to the total. Capping the exponent at -80 keeps x - top finite for all finite x.
fn term(v: vec4<f32>, top: vec4<f32>) -> vec4<f32> {
  if (KIND == SUM) {
    return v;
  }
  return exp(max(v, top - 80.0) - top);
}

fn term1(v: f32, top: f32) -> f32 {
  if (KIND == SUM) {
    return v;
  }
  return exp(max(v, top - 80.0) - top);
}

// The total of logsumexp is at least 1, the largest element's term.
fn finish(top: vec4<f32>, total: vec4<f32>) -> vec4<f32> {
  if (KIND == SUM) {
    return total;
  }
  if (KIND == MAX) {
    return top;
  }
  return top + log(max(total, vec4<f32>(1.0)));
}

fn finish1(top: f32, total: f32) -> f32 {
  return finish(vec4<f32>(top), vec4<f32>(total)).x;
}

// First element and end of chunk i of the rows.
fn span(i: u32) -> vec2<u32> {
  let row = i / dims.s;
  let first = i % dims.s * dims.chunk;
  return vec2<u32>(row * dims.r + first, row * dims.r + min(first + dims.chunk, dims.r));
}

@compute @workgroup_size(WORKGROUP)
fn rows(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WORKGROUP + lane;
  if (i < dims.n) {
    let at = span(i);
    var top = LOWEST;
    var total = 0.0;
    if (KIND != SUM) {
      for (var j = at.x; j < at.y; j++) {
        top = max(top, x[j]);
      }
    }
    if (KIND != MAX) {
      for (var j = at.x; j < at.y; j++) {
        total += term1(x[j], top);
      }
    }
    y[i] = finish1(top, total);
  }
}

// Chunks start at multiples of 4 elements; the last may end between them.
@compute @workgroup_size(WORKGROUP)
fn rows4(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WORKGROUP + lane;
  if (i < dims.n) {
    let at = span(i);
    let start = at.x / 4u;
    let end = at.y / 4u;
    let tail = at.y % 4u;
    let inside = vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(tail);
    var tops = vec4<f32>(LOWEST);
    var total = vec4<f32>(0.0);
    if (KIND != SUM) {
      for (var j = start; j < end; j++) {
        tops = max(tops, x4[j]);
      }
      if (tail > 0u) {
        tops = max(tops, select(vec4<f32>(LOWEST), x4[end], inside));
      }
    }
    let top = max(max(tops.x, tops.y), max(tops.z, tops.w));
    if (KIND != MAX) {
      for (var j = start; j < end; j++) {
        total += term(x4[j], vec4<f32>(top));
      }
      if (tail > 0u) {
        // Padding is masked before exp and after, since its bits may be anything.
        let last = select(vec4<f32>(0.0), x4[end], inside);
        total += select(vec4<f32>(0.0), term(last, vec4<f32>(top)), inside);
      }
    }
    y[i] = finish1(top, total.x + total.y + total.z + total.w);
  }
}

// First element of the chunk that result i reads with stride inner, and the number of its elements.
fn column(i: u32) -> vec2<u32> {
  let c = i / dims.inner;
  let first = c % dims.s * dims.chunk;
  return vec2<u32>((c / dims.s * dims.r + first) * dims.inner + i % dims.inner, min(dims.chunk, dims.r - first));
}

@compute @workgroup_size(WORKGROUP)
fn columns(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WORKGROUP + lane;
  if (i < dims.n) {
    let at = column(i);
    var top = LOWEST;
    var total = 0.0;
    if (KIND != SUM) {
      for (var j = 0u; j < at.y; j++) {
        top = max(top, x[at.x + j * dims.inner]);
      }
    }
    if (KIND != MAX) {
      for (var j = 0u; j < at.y; j++) {
        total += term1(x[at.x + j * dims.inner], top);
      }
    }
    y[i] = finish1(top, total);
  }
}

@compute @workgroup_size(WORKGROUP)
fn columns4(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * WORKGROUP + lane;
  if (i < dims.n) {
    let at = column(i);
    var top = vec4<f32>(LOWEST);
    var total = vec4<f32>(0.0);
    if (KIND != SUM) {
      for (var j = 0u; j < at.y; j++) {
        top = max(top, x4[at.x + j * dims.inner]);
      }
    }
    if (KIND != MAX) {
      for (var j = 0u; j < at.y; j++) {
        total += term(x4[at.x + j * dims.inner], top);
      }
    }
    y4[i] = finish(top, total);
  }
}

// All lanes' values added up, or their maximum; every lane gets the result.
fn across(lane: u32, value: f32, adds: bool) -> f32 {
  partial[lane] = value;
  workgroupBarrier();
  for (var half = WORKGROUP / 2u; half > 0u; half = half / 2u) {
    if (lane < half) {
      let a = partial[lane];
      let b = partial[lane + half];
      partial[lane] = select(max(a, b), a + b, adds);
    }
    workgroupBarrier();
  }
  let result = partial[0];
  workgroupBarrier();
  return result;
}

@compute @workgroup_size(WORKGROUP)
fn tree(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group.y * groups.x + group.x;
  if (i >= dims.n) { // the same for the whole workgroup
    return;
  }
  let at = span(i);
  var top = LOWEST;
  var total = 0.0;
  if (KIND != SUM) {
    for (var j = at.x + lane; j < at.y; j += WORKGROUP) {
      top = max(top, x[j]);
    }
    top = across(lane, top, false);
  }
  if (KIND != MAX) {
    for (var j = at.x + lane; j < at.y; j += WORKGROUP) {
      total += term1(x[j], top);
    }
    total = across(lane, total, true);
  }
  if (lane == 0u) {
    y[i] = finish1(top, total);
  }
}
