//! Exchanges between ranks, which alone are copies; what ranks compute together is compared in `models/ranks.rs`.

use crate::harness::Case;
use oneiro::{
    error::Result,
    gpu::Profile,
    graph::{
        Graph, Tensor,
        shape::Type,
        share::{Merge, Share},
    },
    ops::all_reduce::AllReduce,
};

const SHAPES: [&[usize]; 7] = [&[1], &[3], &[4], &[2, 5], &[33, 4], &[2, 3, 5, 7], &[4_099]];

fn merged(g: &Graph, merge: Merge) -> Tensor<'_> {
    let x = g.input("x", Type::f32([2, 6]));
    g.apply(AllReduce { merge }, &[x * x])
}

pub(crate) fn cases() -> Vec<Case> {
    let of = |shape: &'static [usize]| {
        let build = move |g: &Graph| {
            g.output("y", g.apply(AllReduce { merge: Merge::Mean }, &[g.input("x", Type::f32(shape))]));
        };
        Case::new("all_reduce", format!("{shape:?}"), build).tolerance(0.0, 0.0)
    };
    let mut out: Vec<Case> = SHAPES.map(of).into();
    out.extend([Merge::Mean, Merge::Moments].map(|merge| {
        // Neighbours are computed before and after the exchange, not in its launch.
        let build = move |g: &Graph| g.output("y", merged(g, merge).sqrt() + 1.0);
        Case::new("all_reduce", format!("{merge:?} between clusters"), build)
    }));
    out
}

pub(crate) fn smooth() -> Vec<Case> {
    [Merge::Mean, Merge::Moments]
        .map(|merge| {
            let build = move |g: &Graph| g.output("y", merged(g, merge) * g.input("z", Type::f32([2, 6])));
            Case::new("all_reduce", format!("{merge:?}"), build)
        })
        .into()
}

/// A step in which ranks exchange values is not recorded whole, and its exchanges are no launch's neighbours.
#[test]
fn a_step_of_ranks_is_refused_where_nobody_exchanges() {
    let Some(gpu) = crate::subjects::adapter("exchanges") else { return };
    let g = Graph::shared(Share { rank: 0, size: 2 });
    g.output("y", g.input("x", Type::f32([5])).all_reduce() + 1.0);
    let ready = crate::subjects::Ready::new(gpu, &g, 0);
    ready.write("x", &[1.0, 2.0, 3.0, 4.0, 5.0f32]);
    let profiled = || {
        let profile = Profile::new(gpu, &ready.executor)?;
        gpu.submit(|encoder| profile.record(encoder, &ready.executor))
    };
    let bad = || ready.executor.first_bad(gpu, &ready.state).map(drop);
    let step = || ready.executor.step(gpu);
    let asks: [&dyn Fn() -> Result<()>; 3] = [&step, &bad, &profiled];
    for ask in &asks[..if gpu.caps().timestamps { 3 } else { 2 }] {
        let refused = ask().unwrap_err().to_string();
        assert!(refused.contains("1 times") && refused.contains("step_with"), "{refused}");
    }
    let mut met = vec![];
    let exchange = &mut |merge, values: &mut [f32]| {
        met.push((merge, values.to_vec()));
        values.iter_mut().for_each(|value| *value *= 10.0);
        Ok(())
    };
    ready.executor.step_with(gpu, 1, exchange).unwrap();
    assert_eq!(met, [(Merge::Mean, vec![1.0, 2.0, 3.0, 4.0, 5.0])]);
    assert_eq!(ready.read("y"), [11.0, 21.0, 31.0, 41.0, 51.0]);
}
