//! A task in the graph: of a minibatch of pictures, what is drawn of them and what is given. The levels are those of
//! [`Task::of`], whatever the adapter: sums of whole numbers below 2^24 are exact, and quotients stay away from
//! whole numbers by more than rounding does.

use crate::{
    data::{Hole, Task},
    graph::window::Kernel,
    graph::{Graph, Tensor, shape::Type, var::Init},
    models::likelihood::{LEVEL, level},
};

/// The tensors that a task makes of a minibatch of pictures.
pub struct Asked<'g> {
    /// What is drawn, `[N, H, W, drawn]` in [0, 1].
    pub drawn: Tensor<'g>,
    /// The hints, `[N, H, W, hint]` in [0, 1].
    pub hint: Tensor<'g>,
    /// 1 at the pixels that are missing, `[N, H, W, 1]`, if the others are known.
    pub scored: Option<Tensor<'g>>,
}

/// What a task makes of pictures `[N, H, W, C]` in [0, 1]. Where a random stream is named, holes are drawn anew in
/// every step; without, they are the pictures' last channel, see [`Task::hold_out`].
#[track_caller]
pub fn asked<'g>(task: Task, x: Tensor<'g>, stream: Option<&str>) -> Asked<'g> {
    let c = x.extent(3);
    x.graph().traced(|| match task {
        Task::Colourise => Asked { drawn: chroma(x), hint: luma(x), scored: None },
        Task::Upscale(factor) => {
            let mean = level(x).avg_pool(&Kernel::square(factor).stride(factor));
            Asked { drawn: x, hint: ((mean + 0.5).floor() * LEVEL).upsample_nearest(factor), scored: None }
        }
        Task::Inpaint => {
            let (drawn, hole) = match stream {
                Some(stream) => (x, holes(x, stream)),
                None => (x.slice(3, 0..c - 1), x.slice(3, c - 1..c)),
            };
            let hint = x.graph().concat(&[drawn * (1.0 - hole), hole], 3);
            Asked { drawn, hint, scored: Some(hole) }
        }
    })
}

/// Σ weights · (red, green, blue), in levels.
fn weighted(x: Tensor<'_>, weights: [f32; 3]) -> Tensor<'_> {
    let channel = |i: usize| level(x.slice(3, i..i + 1)) * weights[i];
    channel(0) + channel(1) + channel(2)
}

/// The brightness of colours, `[N, H, W, 1]`.
fn luma(x: Tensor<'_>) -> Tensor<'_> {
    ((weighted(x, [2_126.0, 7_152.0, 722.0]) + 5_000.5) * 1e-4).floor() * LEVEL
}

/// Cb and Cr of colours, `[N, H, W, 2]`.
fn chroma(x: Tensor<'_>) -> Tensor<'_> {
    let one = |weights: [f32; 3], half: f32| {
        let levels = ((weighted(x, weights) + (half + 0.5)) * (0.5 / half)).floor() + 128.0;
        levels.clamp(0.0, 255.0) * LEVEL
    };
    let cb = one([-2_126.0, -7_152.0, 9_278.0], 9_278.0);
    x.graph().concat(&[cb, one([7_874.0, -7_152.0, -722.0], 7_874.0)], 3)
}

/// 1 in a hole of each picture, else 0, `[N, H, W, 1]`.
fn holes<'g>(x: Tensor<'g>, stream: &str) -> Tensor<'g> {
    let (g, n): (&'g Graph, usize) = (x.graph(), x.extent(0));
    let u = g.uniform(stream, [n, 4]);
    let one = |axis: usize| {
        let (extent, name) = (x.extent(axis), ["rows", "columns"][axis - 1]);
        let [least, most] = Hole::sides(extent);
        let drawn = |i: usize| u.slice(1, i..i + 1).reshape([n, 1, 1, 1]);
        let size = (drawn(axis - 1) * (most - least + 1) as f32).floor() + least as f32;
        let first = (drawn(axis + 1) * (extent as f32 + 1.0 - size)).floor();
        let mut shape = [1; 4];
        shape[axis] = extent;
        let places = (0..extent).map(|i| i as f32).collect();
        let place = g.var(&format!("task/{name}"), Type::f32(shape), Init::Values(places));
        place.gt(first - 0.5) * place.lt(first + size - 0.5)
    };
    one(1) * one(2)
}
