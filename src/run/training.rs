//! The training loop: K steps go into one submission, an epoch's permutation is uploaded once, and the
//! host reads losses only when it shows them.

use super::{MetricsLog, Progress, Result, TrainOptions};
use crate::{
    data::{Images, permutation},
    gpu::{Executor, Gpu, State, wgpu},
    graph::{Graph, Tensor},
    shape::{DType, Type},
    var::Init,
};
use std::time::{Duration, Instant};

/// Steps whose metrics the State remembers: the host must look at least this often.
const HISTORY: usize = 256;
/// Aim of one submission: long enough to hide its cost, short enough to stay interactive.
const SUBMISSION: Duration = Duration::from_millis(100);

/// A data set's images on the GPU, as bytes, with the order in which an epoch visits them.
pub struct Feed {
    /// Input `data`.
    pub data: wgpu::Buffer,
    /// Input `order`.
    pub order: wgpu::Buffer,
    count: usize,
}

impl Feed {
    /// Uploads the images; the order starts as they are stored.
    pub fn new(gpu: &Gpu, images: &Images) -> Result<Self> {
        let order: Vec<u32> = (0..images.count as u32).collect();
        let data = gpu.upload("data", &images.pixels)?;
        Ok(Self { data, order: gpu.upload("order", bytemuck::cast_slice(&order))?, count: images.count })
    }

    /// The inputs that [`batch`] declares.
    pub fn bindings(&self) -> [(&str, &wgpu::Buffer); 2] {
        [("data", &self.data), ("order", &self.order)]
    }

    /// Makes the images' order this one from the next submission on.
    pub fn reorder(&self, gpu: &Gpu, order: &[u32]) {
        gpu.queue.write_buffer(&self.order, 0, bytemuck::cast_slice(order));
    }

    /// Number of images.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// A minibatch `[batch, pixels]` of a [`Feed`] as the graph's input; binarised by a fresh draw where a stream is named.
#[track_caller]
pub fn batch<'g>(g: &'g Graph, images: &Images, size: usize, binarise: Option<&str>) -> Tensor<'g> {
    let pixels = images.height * images.width * images.channels;
    let data = g.input("data", Type { shape: [images.count, pixels].into(), dtype: DType::U8 });
    let order = g.input("order", Type::u32([images.count]));
    match binarise {
        Some(stream) => data.gather_rows_binarised(order, size, stream),
        None => data.gather_rows(order, size),
    }
}

/// Remembers this step's metrics (scalars) in the State, where [`Trainer`] finds them.
#[track_caller]
pub fn remember(g: &Graph, metrics: &[Tensor<'_>]) {
    let history = g.var("history", Type::f32([HISTORY, metrics.len()]), Init::Zeros);
    let row: Vec<_> = metrics.iter().map(|m| g.tensor(m.id()).reshape([1])).collect();
    let row = crate::ops::views::concat(&row, 0);
    g.assign(history, history.record(row));
}

/// What the loop reports at the end of an epoch, or at the very end.
pub struct Report {
    /// Steps done.
    pub step: u64,
    /// Epochs done, counting a begun one.
    pub epoch: u64,
    /// Mean metrics per image over this epoch.
    pub means: Vec<f64>,
    /// Whether training is over.
    pub last: bool,
}

/// A training run in progress.
pub struct Trainer<'a> {
    /// The device.
    pub gpu: &'a Gpu,
    /// Records one training step.
    pub executor: &'a Executor,
    /// Holds `history` and `step`.
    pub state: &'a State,
    /// The training images.
    pub feed: &'a Feed,
    /// Names of the remembered metrics; the first is the loss.
    pub metrics: &'a [&'a str],
}

impl Trainer<'_> {
    /// Trains as the options say; `report` is called after every epoch and at the end.
    pub fn run(
        &self,
        options: &TrainOptions,
        log: &mut MetricsLog,
        mut report: impl FnMut(&Report, &mut MetricsLog, &Progress) -> Result<()>,
    ) -> Result<()> {
        let batch = u64::from(options.batch);
        let per_epoch = self.feed.count() as u64 / batch;
        if per_epoch == 0 {
            return Err(super::Error::new(format!("a batch of {batch} is more than the {} training images", self.feed.count())));
        }
        let total = options.steps.unwrap_or(options.epochs.saturating_mul(per_epoch));
        let epochs = total.div_ceil(per_epoch);
        let mut progress = Progress::new(total.saturating_mul(batch));
        if let Some(seconds) = options.seconds {
            progress = progress.with_seconds(seconds);
        }
        let (start, mut step, mut burst) = (Instant::now(), 0, 1);
        let out_of_time = || options.seconds.is_some_and(|s| start.elapsed().as_secs_f64() >= s);
        while step < total && !out_of_time() {
            let epoch = step / per_epoch;
            self.feed.reorder(self.gpu, &permutation(options.seed, epoch, self.feed.count()));
            let end = ((epoch + 1).saturating_mul(per_epoch)).min(total);
            let mut sums = vec![0.0; self.metrics.len()];
            let (first, mut shown) = (step, Instant::now());
            let mut unread = 0;
            while step < end && !out_of_time() {
                let count = burst.min(end - step).min(HISTORY as u64 - unread);
                let begun = Instant::now();
                self.submit(count)?;
                step += count;
                unread += count;
                burst = next_burst(begun.elapsed(), count);
                if step == end || unread == HISTORY as u64 || shown.elapsed() > Duration::from_millis(500) {
                    let means = self.read(step, unread, batch, &mut sums)?;
                    log.write(step, &self.metrics.iter().copied().zip(means.iter().copied()).collect::<Vec<_>>())?;
                    progress.update(step * batch, epoch + 1, epochs, means[0]);
                    (unread, shown) = (0, Instant::now());
                }
            }
            if unread > 0 {
                self.read(step, unread, batch, &mut sums)?;
            }
            let last = step >= total || out_of_time();
            let means = sums.iter().map(|s| s / (step - first).max(1) as f64).collect();
            report(&Report { step, epoch: epoch + 1, means, last }, log, &progress)?;
        }
        progress.finish();
        Ok(())
    }

    fn submit(&self, steps: u64) -> Result<()> {
        self.gpu.submit(|encoder| (0..steps).for_each(|_| self.executor.record(encoder)));
        Ok(self.gpu.wait()?)
    }

    /// Means per image of the last `count` steps; adds every step's to `sums`.
    fn read(&self, step: u64, count: u64, batch: u64, sums: &mut [f64]) -> Result<Vec<f64>> {
        let (history, k) = (self.state.read(self.gpu, "history")?, self.metrics.len());
        let mut means = vec![0.0; k];
        for s in step - count..step {
            for (m, mean) in means.iter_mut().enumerate() {
                let value = f64::from(history[s as usize % HISTORY * k + m]) / batch as f64;
                if !value.is_finite() {
                    return Err(super::Error::new(format!("{} became {value} at step {s}; try a smaller learning rate", self.metrics[m])));
                }
                *mean += value / count as f64;
                sums[m] += value;
            }
        }
        Ok(means)
    }
}

/// Steps of the next submission, from the last one's time.
fn next_burst(took: Duration, steps: u64) -> u64 {
    let per_step = took.as_secs_f64() / steps as f64;
    ((SUBMISSION.as_secs_f64() / per_step.max(1e-6)) as u64).clamp(1, HISTORY as u64)
}
