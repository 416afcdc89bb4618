//! The training step of a whole model: its time, the start-up, the memory, and the share of time in which no
//! kernel runs. For an autoregressive model, also the time to draw pictures.

use crate::{
    ceiling::Ceilings,
    measure::{Clock, Stat, compare, decode, time},
    report::{Measured, ModelFigures, Report},
    sound,
};
use bench::{DEPTH, Plain, Step, recurrent, sampler};
use oneiro::{
    error::{Error, Result},
    gpu::{Executor, Gpu, State},
    graph::{
        reference::{self, Values},
        shape::{Array, Type},
    },
    models::{autoregressive::Autoregressive, likelihood::Likelihood, pixelrnn::Cell},
    plan::{Launch, Plan},
    train::{Feed, Method},
};
use std::{slice, time::Instant};

const SEED: u64 = 0;
/// The largest distance of a moment from its reference, as a share of its length.
const APART: f64 = 5e-3;
/// Other sizes that are drawn, to show how the cost grows: the number of pictures, their side in pixels, and
/// the number of 3x3 convolutions.
const DRAWN: [(usize, usize, usize); 7] =
    [(1, 28, 5), (4, 28, 5), (64, 28, 5), (16, 14, 5), (16, 56, 5), (16, 28, 1), (16, 28, 10)];
/// The number of pixels that the naive method draws. The time is scaled to whole pictures.
const NAIVE: usize = 4;

/// Measures a model's step. `start` is the start of the process; if `each`, every launch becomes a case too.
pub(crate) fn measure(name: &str, gpu: &Gpu, start: Instant, seconds: f64, each: bool) -> Result<Report> {
    let this = Step::new(name)?;
    let plans = this.plans(gpu.caps())?;
    let state = State::new(gpu, &plans.iter().collect::<Vec<_>>(), SEED)?;
    let feed = Feed::new(gpu, &this.images)?;
    let executors = plans
        .iter()
        .map(|plan| Executor::new(gpu, plan, &state, &feed.bindings(plan)))
        .collect::<Result<Vec<_>>>()?;
    gpu.submit(|encoder| executors.iter().try_for_each(|executor| executor.record(encoder)))?;
    gpu.wait()?;
    let start_up_seconds = start.elapsed().as_secs_f64();
    check(gpu, &this, &executors, &state)?;
    let ceilings = Ceilings::measure(gpu, seconds)?;
    let seconds = seconds / plans.len() as f64;
    // Timestamps separate the launches, so the step as a whole is timed without them.
    let timed =
        |profiled| executors.iter().map(|e| time(gpu, e, seconds, profiled)).collect::<Result<Vec<_>>>();
    let step = Stat::sum(timed(false)?.iter().map(|t| t.wall));
    let profiled = timed(true)?;
    let kernels = profiled
        .iter()
        .map(|t| t.kernels)
        .collect::<Option<Vec<_>>>()
        .map(|all| Stat::sum(all.into_iter()).median);
    let busy = profiled.iter().map(|t| Some(t.busy? * t.wall.median)).sum::<Option<f64>>();
    let walls: f64 = profiled.iter().map(|t| t.wall.median).sum();
    let launches: Vec<Launch> = plans.iter().flat_map(|plan| plan.launches.clone()).collect();
    let mut report = Report::new(gpu.caps(), ceilings);
    report.cases.push(Measured::new(
        &this.title(name),
        &launches,
        (step, Clock::Wall, step.median),
        &report.ceilings,
    ));
    if each {
        for (i, (launch, &stat)) in launches.iter().zip(profiled.iter().flat_map(|t| &t.launches)).enumerate()
        {
            let name = format!("{name} {i:02} {}", launch.label);
            report.cases.push(Measured::new(
                &name,
                slice::from_ref(launch),
                (stat, Clock::Gpu, stat.median),
                &report.ceilings,
            ));
        }
    }
    if name == "pixelcnn" {
        for method in [Method::Cached, Method::Naive] {
            report.cases.push(plain(gpu, (this.batch, 28, DEPTH), method, &report.ceilings)?);
        }
        for what in DRAWN {
            report.cases.push(plain(gpu, what, Method::Cached, &report.ceilings)?);
        }
    }
    if let Some(cell) = match name {
        "pixelrnn" => Some(Cell::Diagonal),
        "pixelrnn-row" => Some(Cell::Row(3)),
        _ => None,
    } {
        for method in [Method::Cached, Method::Naive] {
            let what = format!("{name} draws {} 28x28", this.batch);
            report.cases.push(sampling(
                gpu,
                [this.batch, 28],
                &what,
                &recurrent(cell),
                method,
                &report.ceilings,
            )?);
        }
    }
    if name == "wavenet" {
        report.cases.extend(sound::draws(gpu, &report.ceilings)?);
    }
    report.models.push(ModelFigures {
        name: name.into(),
        batch: this.batch,
        start_up_seconds,
        images_per_second: this.batch as f64 / step.median,
        launches: launches.len(),
        pipelines: plans.iter().map(Plan::pipelines).sum(),
        state_bytes: plans.iter().map(Plan::state_bytes).max().unwrap_or(0),
        slot_bytes: plans.iter().map(Plan::slot_bytes).sum(),
        live_minimum_bytes: plans.iter().map(|plan| plan.live_minimum).sum(),
        kernel_seconds: kernels,
        idle_share: busy.map(|busy| 1.0 - busy / walls),
    });
    Ok(report)
}

/// Measures how long it takes to draw a batch of pictures from a plain PixelCNN.
fn plain(
    gpu: &Gpu,
    (count, side, depth): (usize, usize, usize),
    method: Method,
    ceilings: &Ceilings,
) -> Result<Measured> {
    let layers = if depth == DEPTH { String::new() } else { format!(", {depth} 3x3 layers") };
    let what = format!("pixelcnn draws {count} {side}x{side}{layers}");
    sampling(gpu, [count, side], &what, &Plain { depth }, method, ceilings)
}

/// Measures how long it takes to draw so many pictures of such a side.
fn sampling(
    gpu: &Gpu,
    [count, side]: [usize; 2],
    what: &str,
    model: &dyn Autoregressive,
    method: Method,
    ceilings: &Ceilings,
) -> Result<Measured> {
    let shape = [count, side, side, 1];
    let sampler = sampler(model, shape, Likelihood::Bernoulli, method, gpu.caps())?;
    let state = State::new(gpu, &sampler.plans(), SEED)?;
    let [begin, step] = sampler.plans();
    let steps = if method == Method::Naive { NAIVE } else { sampler.steps() };
    let draw = || -> Result<f64> {
        let executors = [Executor::new(gpu, begin, &state, &[])?, Executor::new(gpu, step, &state, &[])?];
        executors[0].step(gpu)?;
        let started = Instant::now();
        for burst in (0..steps).collect::<Vec<_>>().chunks(16) {
            gpu.submit(|encoder| burst.iter().try_for_each(|_| executors[1].record(encoder)))?;
            gpu.wait()?;
        }
        Ok(started.elapsed().as_secs_f64() * sampler.steps() as f64 / steps as f64)
    };
    draw()?;
    let times = (0..3).map(|_| draw()).collect::<Result<Vec<_>>>()?;
    let how = if method == Method::Naive {
        format!("naive, by {NAIVE} pixels")
    } else {
        format!("cached, {steps} steps")
    };
    let stat = Stat::of(times);
    Ok(Measured::new(&format!("{what}, {how}"), &[], (stat, Clock::Wall, stat.median), ceilings))
}

/// Runs another step, plan by plan, and compares losses and first moments with the reference, which starts
/// each plan from the values on the device. A first moment is a share of every gradient; the new weights
/// would show less, since Adam's first steps are signs of gradients, however small these are. DCGAN's moments
/// are compared as vectors, see [`near`].
fn check(gpu: &Gpu, this: &Step, executors: &[Executor], state: &State) -> Result<()> {
    let images = &this.images;
    let bytes = images.pixels.iter().map(|&x| f64::from(x)).collect();
    let data = Array::new([images.count, images.pixels.len() / images.count], bytes);
    let order = Array::from_fn([images.count], |i| i as f64);
    let inputs = Values::from([("data".into(), data), ("order".into(), order)]);
    for (graph, executor) in this.graphs.iter().zip(executors) {
        let value = |name: &str, ty: &Type| -> Result<Array> {
            Ok(Array::new(ty.shape.clone(), decode(&state.read_words(gpu, name)?, ty.dtype)))
        };
        let mut after = state
            .names()
            .map(|(name, ty)| Ok((name.into(), value(name, ty)?)))
            .collect::<Result<Values>>()?;
        reference::eval(graph, &inputs, &mut after)?;
        executor.step(gpu)?;
        let kinked = this.graphs.len() > 1;
        for (name, ty) in state.names().filter(|(name, _)| *name == "history" || name.starts_with("adam.m/"))
        {
            let (got, want) = (decode(&state.read_words(gpu, name)?, ty.dtype), &after[name].data);
            if kinked {
                near(name, &got, want)?;
            } else {
                compare("the model's step", name, &got, want)?;
            }
        }
    }
    Ok(())
}

/// Compares two vectors by their distance, with a wide bound. If the input of a leaky ReLU is almost 0,
/// rounding may choose its other slope. Even in f64, DCGAN's gradient changes by a thousandth in half of the
/// seeds when the generator's pictures change by a millionth.
fn near(name: &str, got: &[f64], want: &[f64]) -> Result<()> {
    let length = |of: &mut dyn Iterator<Item = f64>| of.map(|v| v * v).sum::<f64>().sqrt();
    let (apart, size) =
        (length(&mut got.iter().zip(want).map(|(a, b)| a - b)), length(&mut want.iter().copied()));
    // A NaN is never within the bound.
    if apart <= APART * size {
        return Ok(());
    }
    let what = format!("the model's step: `{name}` is {apart:.2e} from its reference of length {size:.2e}");
    Err(Error::new(format!("{what}; a wrong kernel is not timed: run `cargo xtask test` on this adapter")))
}
