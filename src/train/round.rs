//! A training step as a list of plans, and how its metrics wait on the device until the host reads them.

use crate::{
    error::Result,
    graph::{Graph, shape::Type, var::Init},
    kernel::caps::Caps,
    models::Metrics,
    optim::advance,
    plan::Plan,
};

/// The number of steps whose metrics the State remembers. The host must read them at least this often.
pub(crate) const HISTORY: usize = 256;

/// A training step: plans that run one after another on one State, each a given number of times. The last
/// plan remembers what was measured. Players who train against each other have one plan each.
pub struct Round {
    /// The plans in the order in which they run, each with the number of times that it runs in one step.
    pub plans: Vec<(Plan, u64)>,
    /// The names of the metrics, the loss first.
    pub metrics: Vec<&'static str>,
}

impl Round {
    /// Makes a step of one graph, which remembers these metrics and then advances its step counter.
    ///
    /// # Errors
    /// Fails if the graph is wrong, or if it needs more than the adapter allows.
    pub fn new(g: &Graph, metrics: &Metrics<'_>, caps: &Caps) -> Result<Self> {
        remember(g, metrics);
        advance(g);
        let metrics = metrics.iter().map(|(name, _)| *name).collect();
        Ok(Self { plans: vec![(Plan::new(g, caps)?, 1)], metrics })
    }

    /// Makes a step that first runs another plan `times` times. That plan counts its minibatches by a step
    /// counter of its own.
    #[must_use]
    pub fn after(mut self, plan: Plan, times: u64) -> Self {
        self.plans.insert(0, (plan, times));
        self
    }

    /// The plans in the order in which they run.
    pub fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.plans.iter().map(|(plan, _)| plan)
    }

    /// The names of the model's weights; see [`Plan::weights`].
    pub fn weights(&self) -> Vec<String> {
        self.plans().flat_map(Plan::weights).collect()
    }
}

/// Writes the metrics of this step into the State's variable `history`, one row per step.
/// [`super::Steps::read`] reads them there.
#[track_caller]
pub fn remember(g: &Graph, metrics: &Metrics<'_>) {
    let history = g.var("history", Type::f32([HISTORY, metrics.len()]), Init::Zeros);
    let row: Vec<_> = metrics.iter().map(|(_, m)| g.tensor(m.id()).reshape([1])).collect();
    g.assign(history, history.record(&row));
}
