//! A model's whole training step: time, start-up, memory, and the share in which no kernel runs.

use crate::{
    cases::BATCH,
    ceiling::Ceilings,
    measure::{Clock, compare, decode, time},
    report::{Measured, ModelFigures, Report},
};
use oneiro::{
    data::{Images, glyphs::glyphs},
    gpu::{Executor, Gpu, State},
    graph::Graph,
    models::vae::{Config, Vae},
    optim::{Optimizer, advance},
    plan::Plan,
    reference::{self, Values},
    run::{Feed, Result, batch, remember},
    shape::Array,
};
use std::{slice, time::Instant};

/// Names that `--model` takes.
pub(crate) const MODELS: [&str; 1] = ["vae"];
const IMAGES: usize = 10 * BATCH;
const SEED: u64 = 0;

/// The training step of pytorch/examples' VAE, batch 128.
fn vae_step(images: &Images) -> Graph {
    let g = Graph::new();
    let vae = Vae::new(&g, &Config::default());
    let loss = vae.loss(batch(&g, images, BATCH, None));
    Optimizer::adam(1e-3).step("vae", loss.total, &vae.params());
    remember(&g, &[loss.total, loss.reconstruction, loss.kl]);
    advance(&g);
    g
}

/// The graph of a model's training step.
pub(crate) fn step_graph() -> Graph {
    vae_step(&glyphs(IMAGES, 0))
}

/// Measures a model's step; `start` is the start of the process. With `launches` every launch is a case too.
pub(crate) fn measure(name: &str, gpu: &Gpu, start: Instant, seconds: f64, launches: bool) -> Result<Report> {
    let images = glyphs(IMAGES, 0);
    let graph = vae_step(&images);
    let plan = Plan::new(&graph, gpu.caps())?;
    let state = State::new(gpu, &[&plan], SEED)?;
    let feed = Feed::new(gpu, &images)?;
    let executor = Executor::new(gpu, &plan, &state, &feed.bindings(&plan))?;
    gpu.submit(|encoder| executor.record(encoder));
    gpu.wait()?;
    let start_up_seconds = start.elapsed().as_secs_f64();
    check(gpu, &graph, &state, &images)?;
    let ceilings = Ceilings::measure(gpu, seconds)?;
    // Timestamps keep launches apart, so the step itself is timed without them.
    let step = time(gpu, &executor, seconds, false)?.wall;
    let profiled = time(gpu, &executor, seconds, true)?;
    let mut report = Report::new(gpu.caps(), ceilings);
    let title = format!("{name} step, batch {BATCH}");
    report.cases.push(Measured::new(&title, &plan.launches, (step, Clock::Wall, step.median), &report.ceilings));
    if launches {
        for (i, (launch, &stat)) in plan.launches.iter().zip(&profiled.launches).enumerate() {
            let name = format!("{name} {i:02} {}", launch.label);
            report.cases.push(Measured::new(&name, slice::from_ref(launch), (stat, Clock::Gpu, stat.median), &report.ceilings));
        }
    }
    report.model = Some(ModelFigures {
        name: name.into(),
        batch: BATCH,
        start_up_seconds,
        images_per_second: BATCH as f64 / step.median,
        launches: plan.launches.len(),
        pipelines: plan.pipelines(),
        state_bytes: plan.state_bytes(),
        slot_bytes: plan.slot_bytes(),
        live_minimum_bytes: plan.live_minimum,
        kernel_seconds: profiled.kernels.map(|stat| stat.median),
        idle_share: profiled.busy.map(|busy| 1.0 - busy),
    });
    Ok(report)
}

/// The first step's losses and first moments (a tenth of every gradient) against the reference. The new weights
/// say less: Adam's first step is the sign of a gradient, however small.
fn check(gpu: &Gpu, graph: &Graph, state: &State, images: &Images) -> Result<()> {
    let bytes = images.pixels.iter().map(|&x| f64::from(x)).collect();
    let data = Array::new([images.count, images.pixels.len() / images.count], bytes);
    let order = Array::from_fn([images.count], |i| i as f64);
    let mut after = reference::initial(graph, SEED);
    reference::eval(graph, &Values::from([("data".into(), data), ("order".into(), order)]), &mut after)?;
    for (name, ty) in state.names().filter(|(name, _)| *name == "history" || name.starts_with("adam.m/")) {
        compare("the model's step", name, &decode(&state.read_words(gpu, name)?, ty.dtype), &after[name].data)?;
    }
    Ok(())
}
