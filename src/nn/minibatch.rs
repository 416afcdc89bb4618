//! A layer by which a discriminator sees how much the pictures of a batch differ.

use crate::graph::Tensor;

/// This is added to variances.
const EPS: f32 = 1e-8;

/// Pictures `[N, H, W, C]`, or rows `[N, C]`, with one channel more, which holds one number: the standard deviation
/// of each unit over the batch, √(Σ(x - mean)²/N + 1e-8), averaged over all units (Karras et al. 2018, "Progressive
/// Growing of GANs", §3). Ranks that share a batch take the whole batch's.
#[track_caller]
pub fn minibatch_stddev(x: Tensor<'_>) -> Tensor<'_> {
    let shape = x.shape();
    let units: usize = shape.iter().skip(1).product();
    let [_, variance] = x.reshape([x.extent(0), units]).moments();
    let mut one = shape.to_vec();
    if let Some(channels) = one.last_mut() {
        *channels = 1;
    }
    let spread = (variance + EPS).sqrt().mean_all().broadcast_to(one);
    x.graph().concat(&[x, spread], shape.len().saturating_sub(1))
}
