//! The graphs of the room. Their executors share one State: the trainer learns, and the others look.

use crate::room::{PIXELS, SIDE};
use oneiro::{
    data::Images,
    graph::{Graph, shape::Type},
    models::vae::{Config, Vae},
    optim::{Optimizer, advance},
    train::batch,
};

/// The most pictures of a training step.
pub(super) const BATCH: usize = 32;

/// The trainer: the model's own terms, of which the KL counts `beta` times, an input. For each picture of the batch,
/// `nats` holds reconstruction and KL, `[2]`, and `loss` what is minimised.
pub(super) fn trainer(g: &Graph, config: &Config, train: &Images, size: usize) {
    let x = batch(g, train, size, Some("binarise"));
    let vae = Vae::new(g, config);
    let loss = vae.loss(x);
    let beta = g.input("beta", Type::f32([]));
    let total = loss.reconstruction + loss.kl * beta;
    Optimizer::adam(6e-3).step("vae", total, &vae.params());
    advance(g);
    g.output("loss", total * (1.0 / size as f32));
    let terms = [loss.reconstruction, loss.kl].map(|term| (term * (1.0 / size as f32)).reshape([1]));
    g.output("nats", g.concat(&terms, 0));
}

/// The decoder: latents `z` to `pictures`.
pub(super) fn decoder(g: &Graph, config: &Config, count: usize) {
    let z = g.input("z", Type::f32([count, config.latent]));
    let pictures = Vae::new(g, config).decode(z).sigmoid();
    g.output("pictures", pictures.reshape([count, SIDE, SIDE, 1]));
}

/// The encoder: pictures `x` to the means `mu` of their codes, and the mean `kl` of each axis, in nats.
pub(super) fn encoder(g: &Graph, config: &Config, count: usize) {
    let x = g.input("x", Type::f32([count, PIXELS]));
    let (mu, logvar) = Vae::new(g, config).encode(x);
    g.output("mu", mu);
    g.output("kl", Vae::kl(mu, logvar).mean(&[0]));
}

/// Both: `originals`, and the pictures that the decoder makes of the means of their codes, `again`.
pub(super) fn mirror(g: &Graph, config: &Config, count: usize) {
    let x = g.input("x", Type::f32([count, PIXELS]));
    let vae = Vae::new(g, config);
    let (mu, _) = vae.encode(x);
    g.output("originals", x.reshape([count, SIDE, SIDE, 1]));
    g.output("again", vae.decode(mu).sigmoid().reshape([count, SIDE, SIDE, 1]));
}
