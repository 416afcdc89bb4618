//! Optimizers as graphs: gradients, clipping, schedule and update are nodes of the training step, and the
//! parameters of a group live side by side in one arena, so that the update is one launch.
//!
//! ```
//! use oneiro::{graph::{Graph, shape::Type, var::Init}, optim::{Optimizer, advance}};
//!
//! let graph = Graph::new();
//! let w = graph.param("w", Type::f32([64]), Init::Normal(0.0, 1.0));
//! let step = Optimizer::adam(1e-3).clip_norm(1.0).step("fit", w.square().sum_all(), &[w]);
//! graph.output("grad_norm", step.grad_norm.expect("clipping measures the norm"));
//! advance(&graph);
//! graph.check()?;
//! # Ok::<(), oneiro::error::Error>(())
//! ```

use crate::{
    graph::{Graph, Tensor, autodiff},
    ops::optimizer::{Rule, Update},
};

/// The learning rate's factor as a function of the step counter s = 0, 1, 2, ...
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Schedule {
    /// The factor is always 1.
    #[default]
    Constant,
    /// The factor grows linearly to 1: min(1, (s + 1)/steps).
    Warmup {
        /// The number of steps until the full rate.
        steps: u32,
    },
    /// The factor falls linearly from 1 to `floor` at step `steps` and stays there.
    Linear {
        /// The number of steps until the floor.
        steps: u32,
        /// The last factor.
        floor: f32,
    },
    /// The factor is per_step^s; PixelCNN++ has 0.999995.
    Exponential {
        /// The factor from one step to the next, in (0, 1].
        per_step: f64,
    },
}

impl Schedule {
    /// What is wrong with the numbers, if anything is.
    fn mistake(self) -> Option<String> {
        match self {
            Schedule::Linear { floor, .. } if !(0.0..=1.0).contains(&floor) => {
                Some(format!("the floor of a schedule is in [0, 1], not {floor}"))
            }
            Schedule::Exponential { per_step } if !(per_step > 0.0 && per_step <= 1.0) => {
                Some(format!("a schedule's factor per step is in (0, 1], not {per_step}"))
            }
            _ => None,
        }
    }

    /// The rate lr times the factor at the graph's step, f32 `[1]`.
    #[track_caller]
    pub fn rate(self, graph: &Graph, lr: f32) -> Tensor<'_> {
        if let Some(what) = self.mistake() {
            return graph.poison(what);
        }
        // Divisors are at least 1, so that no schedule divides by zero.
        let per = |steps: u32| 1.0 / steps.max(1) as f32;
        let s = || graph.step().to_f32();
        match self {
            Schedule::Constant => graph.full([1], lr),
            Schedule::Warmup { steps } => ((s() + 1.0) * per(steps)).min(1.0) * lr,
            Schedule::Linear { steps, floor } => (1.0 - (s() * per(steps)).min(1.0) * (1.0 - floor)) * lr,
            Schedule::Exponential { per_step } => (s() * per_step.max(1e-30).ln() as f32).exp() * lr,
        }
    }
}

/// An optimizer of one group of parameters. Its rules are PyTorch's of the same names.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer {
    rule: Rule,
    lr: f32,
    schedule: Schedule,
    clip: Option<f32>,
    largest: Option<f32>,
    ema: Option<f64>,
    summed: bool,
}

/// What a training step tells of itself, each one f32.
#[derive(Clone, Copy, Debug)]
pub struct StepMetrics<'g> {
    /// The learning rate.
    pub lr: Tensor<'g>,
    /// The norm of all gradients together before clipping, if the optimizer clips.
    pub grad_norm: Option<Tensor<'g>>,
}

impl Optimizer {
    /// Makes an optimizer of a rule and a learning rate.
    pub fn new(rule: Rule, lr: f32) -> Self {
        Self { rule, lr, schedule: Schedule::Constant, clip: None, largest: None, ema: None, summed: false }
    }

    /// Makes Adam (Kingma & Ba 2014, algorithm 1) with β = 0.9, 0.999 and eps = 1e-8.
    pub fn adam(lr: f32) -> Self {
        Self::new(Rule::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, decoupled: false }, lr)
    }

    /// Makes AdamW (Loshchilov & Hutter 2017, algorithm 2), whose weight decay shrinks the weights directly.
    pub fn adamw(lr: f32, weight_decay: f64) -> Self {
        Self::new(Rule::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay, decoupled: true }, lr)
    }

    /// Makes stochastic gradient descent, plain with a momentum of 0.
    pub fn sgd(lr: f32, momentum: f64) -> Self {
        Self::new(Rule::Sgd { momentum, weight_decay: 0.0 }, lr)
    }

    /// Sets Adam's decay of the first and of the second moment. SGD has none and stays as it is.
    #[must_use]
    pub fn betas(mut self, first: f64, second: f64) -> Self {
        if let Rule::Adam { beta1, beta2, .. } = &mut self.rule {
            (*beta1, *beta2) = (first, second);
        }
        self
    }

    /// Sets how the learning rate changes over the steps.
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Scales the gradients so that their norm over the whole group is at most `max`.
    #[must_use]
    pub fn clip_norm(mut self, max: f32) -> Self {
        self.clip = Some(max);
        self
    }

    /// Keeps every parameter within [-largest, largest] (Arjovsky et al. 2017, algorithm 1).
    #[must_use]
    pub fn clip_weights(mut self, largest: f32) -> Self {
        self.largest = Some(largest);
        self
    }

    /// Keeps an exponential moving average of the parameters in the variables `ema/NAME`; it starts as a copy
    /// after the first step.
    #[must_use]
    pub fn ema(mut self, decay: f64) -> Self {
        self.ema = Some(decay);
        self
    }

    /// Says that losses are sums over a batch rather than means. Ranks that share the batch then follow the sum of
    /// their gradients instead of the mean, so that a step is the one that a single rank makes of the whole batch.
    #[must_use]
    pub fn summed(mut self) -> Self {
        self.summed = true;
        self
    }

    /// What is wrong with the numbers or with the group, if anything is.
    fn mistake(&self, params: &[Tensor<'_>]) -> Option<String> {
        if params.is_empty() {
            return Some("there are no parameters".into());
        }
        let above = |x: f64| x > 0.0 && x.is_finite();
        let share = |x: f64| (0.0..1.0).contains(&x);
        let bounds = [self.clip, self.largest].into_iter().flatten();
        let decay = match self.rule {
            Rule::Adam { weight_decay, .. } | Rule::Sgd { weight_decay, .. } => weight_decay,
        };
        let (kind, rates) = match self.rule {
            Rule::Adam { beta1, beta2, .. } => ("a beta", vec![beta1, beta2]),
            Rule::Sgd { momentum, .. } => ("a momentum", vec![momentum]),
        };
        if !(self.lr >= 0.0 && self.lr.is_finite()) {
            return Some(format!("a learning rate is at least 0, not {}", self.lr));
        }
        if !(decay >= 0.0 && decay.is_finite()) {
            return Some(format!("a weight decay is at least 0, not {decay}"));
        }
        if let Rule::Adam { eps, .. } = self.rule
            && !(eps >= 0.0 && eps.is_finite())
        {
            return Some(format!("Adam's eps is at least 0, not {eps}"));
        }
        if let Some(what) = self.schedule.mistake() {
            return Some(what);
        }
        let far = rates.into_iter().map(|rate| (kind, rate));
        let far = far.chain(self.ema.map(|ema| ("the decay of an average", ema)));
        let wrong = far.into_iter().find(|&(_, x)| !share(x));
        wrong.map(|(what, x)| format!("{what} is in [0, 1), not {x}")).or_else(|| {
            let bound = bounds.map(f64::from).find(|&x| !above(x));
            bound.map(|x| format!("a bound of gradients or weights is above 0, not {x}"))
        })
    }

    /// Records the update of `params` down the gradient of `loss`, a scalar; `name` names the group. The
    /// moments are the variables `adam.m/NAME` and `adam.v/NAME`, or `sgd.momentum/NAME`. Adam's bias
    /// corrections follow the graph's step counter, which [`advance`] moves on.
    #[track_caller]
    pub fn step<'g>(&self, name: &str, loss: Tensor<'g>, params: &[Tensor<'g>]) -> StepMetrics<'g> {
        let scalar = loss.shape().numel() == 1;
        let what = || format!("the loss is {:?}, one number is wanted; take its sum or mean", loss.shape());
        match self.mistake(params).or_else(|| (!scalar).then(what)) {
            Some(what) => refused(loss.graph(), name, &what),
            None => {
                let lr = self.schedule.rate(loss.graph(), self.lr);
                self.update(name, lr, &autodiff::grad(loss, params), params)
            }
        }
    }

    /// Records the update of `params` by gradients that are given, one for each parameter and of its shape, as
    /// [`Optimizer::step`] does. In a graph that ranks share, the gradients are exchanged first.
    #[track_caller]
    pub fn apply<'g>(
        &self,
        graph: &'g Graph,
        name: &str,
        gradients: &[Tensor<'g>],
        params: &[Tensor<'g>],
    ) -> StepMetrics<'g> {
        let alike = gradients.iter().map(|t| t.ty()).eq(params.iter().map(|t| t.ty()));
        let what = || format!("got {gradients:?} as the gradients of {params:?}; give one of each shape");
        match self.mistake(params).or_else(|| (!alike).then(what)) {
            Some(what) => refused(graph, name, &what),
            None => self.update(name, self.schedule.rate(graph, self.lr), gradients, params),
        }
    }

    #[track_caller]
    fn update<'g>(
        &self,
        name: &str,
        lr: Tensor<'g>,
        gradients: &[Tensor<'g>],
        params: &[Tensor<'g>],
    ) -> StepMetrics<'g> {
        let graph = lr.graph();
        let grads = graph.pack(gradients).all_reduce();
        // The exchange gives the mean over the ranks, so that a sum is that many times as large.
        let ranks = if self.summed { graph.share().size as f32 } else { 1.0 };
        let times = |x: Tensor<'g>| if ranks == 1.0 { x } else { x * ranks };
        let grad_norm = self.clip.map(|_| times(grads.square().sum_all().sqrt()));
        // As torch.nn.utils.clip_grad_norm_ has it.
        let scale = times(match (self.clip, grad_norm) {
            (Some(max), Some(norm)) => ((norm + 1e-6).recip() * max).min(1.0),
            _ => graph.constant(1.0),
        });
        let state = graph.arena(name, params, self.rule.moments(), self.ema.is_some());
        let update = Update { rule: self.rule, ema: self.ema };
        let mut next = graph.apply(update, &[state, grads, lr, scale, graph.step()]);
        if let Some(largest) = self.largest {
            let rows = next.extent(0);
            let clipped = next.slice(0, 0..1).clamp(-largest, largest);
            // A rule without moments keeps the parameters alone.
            next = if rows == 1 { clipped } else { graph.concat(&[clipped, next.slice(0, 1..rows)], 0) };
        }
        graph.assign(state, next);
        graph.trains();
        StepMetrics { lr, grad_norm }
    }
}

/// Poisons the graph with an optimizer's mistake.
#[track_caller]
fn refused<'g>(graph: &'g Graph, name: &str, what: &str) -> StepMetrics<'g> {
    StepMetrics { lr: graph.poison(format!("optimizer `{name}`: {what}")), grad_norm: None }
}

/// Moves the step counter on. One of the graphs that share a State does so, once per training step.
#[track_caller]
pub fn advance(graph: &Graph) {
    graph.assign(graph.step(), graph.step().increment());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{
        reference::{Values, eval, initial},
        shape::Type,
        var::Init,
    };

    /// Minimises (w - target)² and returns w and the outputs after each step.
    fn train(optimizer: &Optimizer, steps: usize) -> Vec<(f64, Values)> {
        let graph = Graph::new();
        let w = graph.var("w", Type::f32([2]), Init::Constant(1.0));
        let step = optimizer.step("test", (w - 3.0).square().sum_all(), &[w]);
        graph.output("lr", step.lr);
        step.grad_norm.into_iter().for_each(|norm| graph.output("norm", norm));
        advance(&graph);
        let mut state = initial(&graph, 0);
        (0..steps)
            .map(|_| {
                let outputs = eval(&graph, &Values::new(), &mut state).unwrap();
                (state["w"].data[0], outputs)
            })
            .collect()
    }

    #[test]
    fn sgd_follows_the_gradient_and_clips_it() {
        let plain = train(&Optimizer::sgd(0.25, 0.0), 2);
        assert_eq!([plain[0].0, plain[1].0], [2.0, 2.5]);
        let clipped = train(&Optimizer::sgd(1.0, 0.0).clip_norm(2f32.sqrt()), 1);
        assert!((clipped[0].1["norm"].data[0] - 32f64.sqrt()).abs() < 1e-9);
        assert!((clipped[0].0 - 2.0).abs() < 1e-6, "{}", clipped[0].0);
    }

    #[test]
    fn weights_stay_within_bounds() {
        for rule in [Optimizer::adam(0.1), Optimizer::sgd(0.1, 0.9), Optimizer::sgd(0.1, 0.0)] {
            let run = train(&rule.clip_weights(1.05), 2);
            assert!(run.iter().all(|(w, _)| (w - 1.05).abs() < 1e-6), "{}", run[1].0);
        }
    }

    #[test]
    fn adam_starts_with_steps_of_lr() {
        let run = train(&Optimizer::adam(0.1).ema(0.9), 2);
        assert!((run[0].0 - 1.1).abs() < 1e-6 && (run[1].0 - 1.2).abs() < 1e-3);
    }

    #[test]
    fn schedules_count_steps() {
        let rates = |schedule| -> Vec<f64> {
            let lr = |(_, outputs): &(f64, Values)| outputs["lr"].data[0];
            train(&Optimizer::sgd(1.0, 0.0).schedule(schedule), 3).iter().map(lr).collect()
        };
        let close =
            |got: Vec<f64>, expected: [f64; 3]| got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close(rates(Schedule::Warmup { steps: 2 }), [0.5, 1.0, 1.0]));
        assert!(close(rates(Schedule::Linear { steps: 2, floor: 0.25 }), [1.0, 0.625, 0.25]));
        assert!(close(rates(Schedule::Exponential { per_step: 0.5 }), [1.0, 0.5, 0.25]));
    }

    #[test]
    fn mistakes_are_named() {
        let graph = Graph::new();
        Optimizer::adam(1e-3).step("empty", graph.constant(0.0), &[]);
        assert!(graph.check().unwrap_err().to_string().contains("no parameters"));
    }
}
