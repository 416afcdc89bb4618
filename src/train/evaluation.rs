//! Sums over a whole test set, on the GPU: whole batches, then the rest as a batch of its own.

use super::{Feed, batch, pace::bursts};
use crate::{
    data::Images,
    error::Result,
    gpu::{Executor, Gpu, State},
    graph::{Graph, Tensor, shape::Type, var::Init},
    kernel::caps::Caps,
    ops::views::concat,
    optim::advance,
    plan::Plan,
};

/// Images per launch of a whole batch.
const BATCH: usize = 500;
const TOTAL: &str = "eval.total";
const STEP: &str = "eval.step";

/// The plans of an evaluation: made without a device, so that they can share the training run's State.
pub struct Evaluation {
    plans: Vec<(Plan, usize)>,
    terms: usize,
    images: usize,
    /// Images of a whole batch.
    whole: usize,
}

impl Evaluation {
    /// Plans sums of `terms` (scalars, sums over a batch of images) over the images.
    pub fn new(
        caps: &Caps,
        images: &Images,
        terms: impl for<'g> Fn(&'g Graph, Tensor<'g>) -> Vec<Tensor<'g>>,
    ) -> Result<Self> {
        Self::in_batches(BATCH, caps, images, terms)
    }

    /// [`Evaluation::new`] with so many images at a time: for models whose activations are large.
    pub fn in_batches(
        most: usize,
        caps: &Caps,
        images: &Images,
        terms: impl for<'g> Fn(&'g Graph, Tensor<'g>) -> Vec<Tensor<'g>>,
    ) -> Result<Self> {
        let n = images.count;
        let whole = most.min(n);
        let mut this = Self { plans: vec![], terms: 0, images: n, whole };
        for (size, times) in
            [(whole, n / whole.max(1)), (n % whole.max(1), 1)].into_iter().filter(|(size, _)| *size > 0)
        {
            let g = Graph::new();
            g.count_by(STEP);
            let terms: Vec<_> =
                terms(&g, batch(&g, images, size, None)).into_iter().map(|t| t.reshape([1])).collect();
            this.terms = terms.len();
            let total = g.var(TOTAL, Type::f32([this.terms]), Init::Zeros);
            g.assign(total, total + concat(&terms, 0));
            advance(&g);
            this.plans.push((Plan::new(&g, caps)?, times));
        }
        Ok(this)
    }

    /// The plans, for the State that they share.
    pub fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.plans.iter().map(|(plan, _)| plan)
    }

    /// Makes the evaluation ready on a device.
    pub fn ready<'a>(&self, gpu: &'a Gpu, state: &'a State, images: &Images) -> Result<Ready<'a>> {
        let n = self.images;
        let mut executors = vec![];
        for (plan, times) in &self.plans {
            let feed = Feed::new(gpu, images)?;
            // The rest comes first in its own order, where the step counter starts.
            let first = if executors.is_empty() { 0 } else { n - n % self.whole };
            let order: Vec<u32> = (0..n).map(|i| ((i + first) % n) as u32).collect();
            feed.reorder(gpu, &order);
            executors.push((Executor::new(gpu, plan, state, &feed.bindings(plan))?, *times));
        }
        Ok(Ready { gpu, state, executors, terms: self.terms, images: n })
    }
}

/// An evaluation on a device.
pub struct Ready<'a> {
    gpu: &'a Gpu,
    state: &'a State,
    executors: Vec<(Executor, usize)>,
    terms: usize,
    images: usize,
}

impl Ready<'_> {
    /// The terms' means per image.
    pub fn run(&self) -> Result<Vec<f64>> {
        self.state.write(self.gpu, TOTAL, &vec![0.0; self.terms])?;
        for (executor, times) in &self.executors {
            self.state.write_words(self.gpu, STEP, &[0])?;
            bursts(self.gpu, executor, *times, *times, |_| Ok(()))?;
        }
        Ok(self.state.read(self.gpu, TOTAL)?.iter().map(|&sum| f64::from(sum) / self.images as f64).collect())
    }
}
