//! Sums of metrics over a whole test set, on the GPU. The images are taken in batches of one size; those that
//! are left over make a smaller last batch.

use super::{Feed, batch, bursts};
use crate::{
    data::Images,
    error::Result,
    gpu::{Executor, Gpu, State},
    graph::{Graph, Tensor, shape::Type, share::Share, var::Init},
    kernel::caps::Caps,
    models::Metrics,
    optim::advance,
    plan::Plan,
};

/// The number of images in a whole batch, unless the caller gives another one.
const BATCH: usize = 500;
const TOTAL: &str = "eval.total";
const STEP: &str = "eval.step";

/// The plans of an evaluation. They are made without a device, so that they can share the training run's
/// State.
pub struct Evaluation {
    plans: Vec<(Plan, usize)>,
    names: Vec<&'static str>,
    images: usize,
    /// The number of images in a whole batch.
    whole: usize,
}

impl Evaluation {
    /// Plans an evaluation of all the images, 500 at a time. `metrics` gets a batch `[N, pixels]` with values
    /// in [0, 1] and returns scalars, each summed over the batch.
    ///
    /// # Errors
    /// Fails if the graph is wrong, or if it needs more than the adapter allows.
    pub fn new(
        caps: &Caps,
        images: &Images,
        metrics: impl for<'g> Fn(&'g Graph, Tensor<'g>) -> Metrics<'g>,
    ) -> Result<Self> {
        Self::in_batches(BATCH, caps, images, metrics)
    }

    /// Does the same as [`Evaluation::new`] with at most `most` images at a time: for models whose
    /// activations are large.
    pub fn in_batches(
        most: usize,
        caps: &Caps,
        images: &Images,
        metrics: impl for<'g> Fn(&'g Graph, Tensor<'g>) -> Metrics<'g>,
    ) -> Result<Self> {
        let n = images.count;
        let whole = most.min(n);
        let mut this = Self { plans: vec![], names: vec![], images: n, whole };
        for (size, times) in
            [(whole, n / whole.max(1)), (n % whole.max(1), 1)].into_iter().filter(|(size, _)| *size > 0)
        {
            let g = Graph::new();
            g.count_by(STEP);
            let (names, terms): (Vec<_>, Vec<_>) =
                metrics(&g, batch(&g, images, size, None)).into_iter().unzip();
            let terms: Vec<_> = terms.into_iter().map(|t| t.reshape([1])).collect();
            this.names = names;
            let total = g.var(TOTAL, Type::f32([terms.len()]), Init::Zeros);
            g.assign(total, total + g.concat(&terms, 0));
            advance(&g);
            this.plans.push((Plan::new(&g, caps)?, times));
        }
        Ok(this)
    }

    /// The plans, for making the State that they share.
    pub fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.plans.iter().map(|(plan, _)| plan)
    }

    /// Makes the evaluation ready on a device, and uploads the images once.
    ///
    /// # Errors
    /// Fails if the device refuses a buffer or a pipeline.
    pub fn ready<'a>(&'a self, gpu: &'a Gpu, state: &'a State, images: &Images) -> Result<Ready<'a>> {
        let feed = Feed::new(gpu, images)?;
        let ready = |(plan, _): &(Plan, usize)| Executor::new(gpu, plan, state, &feed.bindings(plan));
        let executors = self.plans.iter().map(ready).collect::<Result<_>>()?;
        Ok(Ready { plans: self, gpu, state, feed, executors })
    }
}

/// An [`Evaluation`] that is ready on a device.
pub struct Ready<'a> {
    plans: &'a Evaluation,
    gpu: &'a Gpu,
    state: &'a State,
    feed: Feed,
    executors: Vec<Executor>,
}

impl Ready<'_> {
    /// Returns each metric's name with its mean per image, over all the images.
    ///
    /// # Errors
    /// Fails if the device is lost.
    pub fn run(&self) -> Result<Vec<(&'static str, f64)>> {
        let (sums, images) = self.part(Share::default())?;
        Ok(sums.into_iter().map(|(name, sum)| (name, sum / images as f64)).collect())
    }

    /// Returns each metric's name with its sum over a rank's part of the images, and their number. Ranks share the
    /// batches, each of which draws what it draws where one rank has them all.
    ///
    /// # Errors
    /// Fails if the device is lost.
    pub fn part(&self, share: Share) -> Result<(Vec<(&'static str, f64)>, usize)> {
        let Evaluation { plans, names, images: n, whole } = self.plans;
        let mine = share.part(plans.iter().map(|(_, times)| times).sum());
        let (mut batches, mut images) = (0, 0);
        self.state.write(self.gpu, TOTAL, &vec![0.0; names.len()])?;
        for (i, (executor, (_, times))) in self.executors.iter().zip(plans).enumerate() {
            let [from, to] = [mine.start, mine.end].map(|at| at.clamp(batches, batches + times) - batches);
            batches += times;
            if from == to {
                continue;
            }
            images += (to - from) * if i == 0 { *whole } else { n % whole };
            // Each plan counts its steps from 0, so the images that are left over come first in their plan's
            // order.
            let first = if i == 0 { 0 } else { n - n % whole };
            let order: Vec<u32> = (0..*n).map(|i| ((i + first) % n) as u32).collect();
            self.feed.reorder(self.gpu, &order)?;
            self.state.write_words(self.gpu, STEP, &[from as u32])?;
            bursts(self.gpu, executor, to - from, to - from, |_| Ok(()))?;
        }
        let sums = self.state.read(self.gpu, TOTAL)?;
        Ok((names.iter().zip(sums).map(|(name, sum)| (*name, sum.into())).collect(), images))
    }
}
