//! The program to read first: a variational autoencoder learns digits. Each row of `hello.png` shows twelve
//! points of its latent space, after 0, 1, 2, 4, 8 and 16 epochs. The last row shows digits it learnt from.

use oneiro::data::{glyphs::glyphs, permutation};
use oneiro::gpu::{Choice, Executor, Gpu, State};
use oneiro::graph::{Graph, Tensor, shape::Type};
use oneiro::optim::{Optimizer, advance};
use oneiro::run::{grid, save};
use oneiro::train::{Feed, batch, normals};
use oneiro::{error::Result, nn::Linear, ops::reparameterize::reparameterize, plan::Plan};

/// Decodes points of the latent space, `[N, 8]`, to logits of pixels, `[N, 784]`. Also returns the weights.
fn decode<'g>(g: &'g Graph, z: Tensor<'g>) -> (Tensor<'g>, Vec<Tensor<'g>>) {
    let (outward, pixels) = (Linear::new(g, "outward", 8, 128), Linear::new(g, "pixels", 128, 784));
    (pixels.forward(outward.forward(z).relu()), [outward.params(), pixels.params()].concat())
}

fn main() -> Result<()> {
    // A graph is one training step. It is recorded without a GPU; an error names the line in this file.
    let (digits, g) = (glyphs(8192, 0), Graph::new());
    let x = batch(&g, &digits, 64, None); // [64, 784]: another minibatch in each step
    let inward = Linear::new(&g, "inward", 784, 128);
    let [to_mu, to_logvar] = ["mu", "logvar"].map(|name| Linear::new(&g, name, 128, 8));
    let hidden = inward.forward(x).relu();
    let (mu, logvar) = (to_mu.forward(hidden), to_logvar.forward(hidden));
    let (logits, outward) = decode(&g, reparameterize("noise", mu, logvar));
    let kl = (mu.square() + logvar.exp() - logvar - 1.0).sum_all() * 0.5;
    let loss = (logits.bce_with_logits(x).sum_all() + kl) * (1.0 / 64.0);
    let weights = [inward.params(), to_mu.params(), to_logvar.params(), outward].concat();
    Optimizer::adam(2e-3).step("adam", loss, &weights);
    advance(&g);
    g.output("loss", loss);

    // Drawing is a second graph. Variables of equal names are the same, since both graphs share a State.
    let d = Graph::new();
    d.output("pictures", decode(&d, d.input("z", Type::f32([12, 8]))).0.sigmoid());

    // A plan says how this adapter computes a graph. A State holds the variables; an executor runs a plan.
    let gpu = Gpu::headless_blocking(&Choice::Best)?;
    let (training, drawing) = (Plan::new(&g, gpu.caps())?, Plan::new(&d, gpu.caps())?);
    let (state, feed) = (State::new(&gpu, &[&training, &drawing], 0)?, Feed::new(&gpu, &digits)?);
    let step = Executor::new(&gpu, &training, &state, &feed.bindings(&training))?;
    let draw = Executor::new(&gpu, &drawing, &state, &[])?;
    draw.write(&gpu, "z", &normals(1, 12 * 8))?;

    let mut rows = vec![];
    for epochs in [0..0, 0..1, 1..2, 2..4, 4..8, 8..16] {
        for epoch in epochs {
            feed.reorder(&gpu, &permutation(0, epoch, digits.count))?;
            gpu.submit(|encoder| (0..digits.count / 64).try_for_each(|_| step.record(encoder)))?;
            println!("epoch {:>2}: {:.1} nats per digit", epoch + 1, step.read(&gpu, "loss")?[0]);
        }
        draw.step(&gpu)?;
        rows.extend(draw.read(&gpu, "pictures")?);
    }
    rows.extend(digits.pixels[..12 * 784].iter().map(|&byte| f32::from(byte) / 255.0));
    println!("hello.png: digits drawn after 0, 1, 2, 4, 8 and 16 epochs, and true ones");
    save("hello.png".as_ref(), &grid(&rows, rows.len() / 784, 28, 28, 1, 12))
}
