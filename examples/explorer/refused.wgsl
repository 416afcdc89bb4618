// The largest number. Its decimal digits round to a number that f32 has, which naga takes; a browser reads them exactly
// and refuses a number beyond f32.
//   y = 3.4028235e38
// Index map: one invocation writes the one element.

@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;

@compute @workgroup_size(1)
fn largest() {
  y[0] = min(x[0], 3.4028235e38) - 3.4028235e38;
}
