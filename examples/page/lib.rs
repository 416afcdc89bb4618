//! A VAE that learns digits, in a browser as on the desktop: the code knows no difference.

#[cfg(target_arch = "wasm32")]
mod refused;

use oneiro::{
    data::{Order, glyphs::glyphs},
    error::Result,
    gpu::{Choice, Executor, Gpu, State},
    graph::Graph,
    models::vae::{Config, Vae},
    optim::{Optimizer, advance},
    plan::Plan,
    train::{Feed, batch},
};

const IMAGES: usize = 1024;
const BATCH: usize = 64;
/// The number of steps in a frame. An epoch has 16, so that epochs begin inside frames.
const STEPS: u64 = 5;
const FRAMES: u64 = 8;

/// Trains for a few frames and returns the loss after each, in nats per image, and the adapter's name.
///
/// # Errors
/// Whatever the device refuses.
pub async fn train() -> Result<(String, Vec<f32>)> {
    let gpu = Gpu::headless(&Choice::Best).await?;
    let digits = glyphs(IMAGES, 0);
    let g = Graph::new();
    let x = batch(&g, &digits, BATCH, Some("binarise"));
    let config = Config { hidden: vec![256], latent: 16, ..Config::default() };
    let (_, loss) = Vae::new(&g, &config).training_step(x, &Optimizer::adam(2e-3))[0];
    advance(&g);
    g.output("loss", loss * (1.0 / BATCH as f32));

    let plan = Plan::new(&g, gpu.caps())?;
    let state = State::new(&gpu, &[&plan], 0)?;
    let feed = Feed::new(&gpu, &digits)?;
    let executor = Executor::new(&gpu, &plan, &state, &feed.bindings(&plan))?;
    gpu.settled().await?;

    let order = Order { seed: 0, batch: BATCH, batches: 1, count: IMAGES };
    let mut losses = vec![];
    for frame in 0..FRAMES {
        let mut loss = None;
        gpu.submit(|encoder| {
            for step in frame * STEPS..(frame + 1) * STEPS {
                if step.is_multiple_of(order.per_epoch()) {
                    feed.record_reorder(&gpu, encoder, &order.of(step / order.per_epoch()))?;
                }
                executor.record(encoder)?;
            }
            loss = Some(executor.record_read(&gpu, encoder, "loss")?);
            Ok(())
        })?;
        if let Some(loss) = loss {
            losses.extend(loss.await?);
        }
    }
    gpu.check()?;
    Ok((gpu.caps().name.clone(), losses))
}

/// The functions that the page's script calls.
#[cfg(target_arch = "wasm32")]
#[expect(unreachable_pub, reason = "the macro exports what is public to the script")]
mod page {
    use wasm_bindgen::prelude::*;

    #[wasm_bindgen]
    extern "C" {
        #[wasm_bindgen(js_namespace = console)]
        fn error(what: &str);
    }

    /// Trains, and returns the adapter's name and each frame's loss in lines of their own, or throws the error's line.
    #[wasm_bindgen]
    pub async fn train() -> Result<String, String> {
        std::panic::set_hook(Box::new(|panic| error(&panic.to_string())));
        let (adapter, losses) = super::train().await.map_err(|e| e.to_string())?;
        Ok([adapter].into_iter().chain(losses.iter().map(f32::to_string)).collect::<Vec<_>>().join("\n"))
    }

    /// The error of a shader that this browser refuses, or throws why there is none.
    #[wasm_bindgen]
    pub async fn refused() -> Result<String, String> {
        super::refused::line().await.map_err(|e| e.to_string())
    }
}
