//! Small shaders whose work is known, and the models' own launches.

use super::*;
use crate::launches::Launches;
use oneiro::kernel;

const HEAD: &str = "
struct Pair { high: vec2<u32>, low: u32 }
struct Dims { pair: array<Pair, 2>, n: u32, step: i32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
var<workgroup> panel: array<f32, 64>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(num_workgroups) grid: vec3<u32>) {
";

/// The work of a kernel with this body.
fn of(body: &str) -> Work {
    let text = format!("{HEAD}{body}}}");
    let (module, info) = kernel::parse(&text, naga::valid::Capabilities::empty()).unwrap();
    // pair = [((2, 3), 1), ((5, 6), 4)], n = 10, step = -2.
    let words = [2, 3, 1, 0, 5, 6, 4, 0, 10, -2_i32 as u32];
    walk::Walk::new(&module, &info, "main", &words, [7, 1, 1]).run().unwrap()
}

fn products(body: &str) -> u64 {
    of(body).products
}

#[test]
fn loops_run_as_often_as_the_uniforms_say() {
    let count = |header: &str| products(&format!("for ({header}) {{ y[0] = y[0] * y[1]; }}"));
    assert_eq!(count("var i = 0u; i < dims.n; i++"), 10);
    assert_eq!(count("var i = dims.pair[1].high.y; i < dims.n + (lane >> 31u); i += dims.pair[0].high.x"), 2);
    assert_eq!(count("var i = 6; i > 0; i += dims.step"), 3);
    assert_eq!(count("var i = 0u; i < grid.x; i++"), 7);
    assert_eq!(count("var i = 64u; i > 1u; i >>= 1u"), 6);
    assert_eq!(count("var i = 0u; i < dims.n && true; i = max(i + 3u, 1u)"), 4);
}

#[test]
fn branches_breaks_and_switches_are_followed() {
    assert_eq!(products("if (dims.n > 9u) { y[0] *= 2.0; } else { y[0] = y[0] * y[1] * y[2]; }"), 1);
    assert_eq!(products("for (var i = 0u; i < 100u; i++) { if (i == 5u) { break; } y[0] *= 2.0; }"), 5);
    assert_eq!(products("for (var i = 0u; i < 8u; i++) { if (i % 2u == 0u) { continue; } y[0] *= 2.0; }"), 4);
    let switch = "switch dims.n { case 1u, 10u: { y[0] *= 2.0; } default: { y[0] = y[0] * y[1] * y[2]; } }";
    assert_eq!(products(switch), 1);
    assert_eq!(
        products("for (var i = 0u; i < 9u; i++) { if (lane == 0u && i == 3u) { return; } y[0] *= 2.0; }"),
        3
    );
}

/// What depends on data is walked once, and ends.
#[test]
fn what_only_values_decide_ends() {
    assert_eq!(products("if (y[0] > 1.0) { y[0] *= 2.0; }"), 1);
    assert_eq!(products("loop { if (y[0] > 1.0) { break; } y[0] *= 2.0; }"), 1);
    assert_eq!(products("for (var i = 0u; f32(i) < y[0]; i++) { y[0] *= 2.0; }"), 1);
}

#[test]
fn vectors_cost_by_their_elements_and_memory_by_its_bytes() {
    let work = of("panel[lane] = x[lane].x; workgroupBarrier();
        y[0] = dot(x[1], x[2]) + fma(panel[0], panel[1], 1.0);
        let v = x[3] * 2.0; y[1] = v.x;");
    assert_eq!(work, Work { products: 4 + 1 + 4, loaded: 4 + 3 * 16, shared: 8, barriers: 1 });
}

/// All invocations of a tile together multiply what the op asks for, and what lies beyond the edges beside.
#[test]
fn tiles_of_the_models_multiply_what_the_plan_says() {
    let launches = Launches::of(&["vae", "pixelcnn"]).unwrap();
    let mut ratios = vec![];
    for planned in launches.steps.iter().flat_map(|step| &step.launches) {
        let (pipeline, launch) = (&launches.pipelines[planned.pipeline], &planned.launch);
        if pipeline.entry != "tile" {
            continue;
        }
        let groups: u64 = launch.grid.iter().map(|&n| u64::from(n)).product();
        let all = 2 * work(pipeline, launch).unwrap().products * groups * u64::from(pipeline.invocations());
        let ratio = all as f64 / launch.flops as f64;
        // What epilogues compute beside is in the plan's operations.
        assert!(ratio > 0.95, "{}: {ratio:.2} of {:?}", launch.label, launch.grid);
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    assert!(ratios.len() >= 14 && ratios[0] < 1.3, "no tile is nearly full: {ratios:.2?}");
}
