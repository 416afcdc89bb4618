//! A linear probe: a linear classifier is trained on the fixed features of a network. Its test accuracy shows
//! how much the features tell of the classes (Radford et al. 2015, §5.1, with a discriminator's features).
//!
//! The classifier is a multinomial logistic regression with an L2 penalty, usually on standardised features. Adam
//! trains it in minibatches that the host uploads, because the features of many images exceed a GPU's largest
//! buffer.

use crate::{
    data::permutation,
    error::{Error, Result},
    gpu::{Executor, Gpu, State},
    graph::{Graph, Tensor, shape::Type},
    nn::Linear,
    optim::{Optimizer, Schedule, advance},
    plan::Plan,
    train::{Listener, Work},
};

/// The largest number of rows at a time.
const BATCH: usize = 500;
/// The name of the layer and of its optimizer group.
const LAYER: &str = "probe";

/// The features of N images, and their classes.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a> {
    /// The features, `[N, D]`, row by row.
    pub features: &'a [f32],
    /// The classes, `[N]`.
    pub labels: &'a [u8],
}

/// How the classifier is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe {
    /// The factor λ of the penalty λ/2·|W|², which is added to the mean cross entropy in nats.
    pub l2: f32,
    /// Adam's first step size, which falls linearly to 0.
    pub lr: f32,
    /// The number of steps. Each takes up to 500 rows.
    pub steps: u32,
    /// The seed of the order of the rows.
    pub seed: u64,
    /// Whether each feature is scaled to mean 0 and standard deviation 1. Codes have a scale that says how much each
    /// one matters: the unused ones of a VAE are near 0.
    pub scaled: bool,
}

impl Default for Probe {
    fn default() -> Self {
        Self { l2: 1e-4, lr: 3e-3, steps: 2000, seed: 0, scaled: true }
    }
}

impl Probe {
    /// Trains the classifier on one set, and returns the share of the other set's rows, from 0 to 1, whose
    /// class it finds. `told` hears of each step.
    ///
    /// # Errors
    /// Fails if a set has no rows, if its features are not rows of one width or not finite, if the loss
    /// becomes infinite or NaN, if the device refuses the plans, or with the error that `told` returns.
    pub fn accuracy(
        &self,
        gpu: &Gpu,
        train: Labelled<'_>,
        test: Labelled<'_>,
        told: &mut Listener<'_>,
    ) -> Result<f64> {
        let width = width(train)?;
        if self::width(test)? != width {
            return Err(Error::new(
                "probe: train and test features differ in width; take both from one network",
            ));
        }
        let classes =
            usize::from(*train.labels.iter().chain(test.labels).max().expect("widths are those of rows")) + 1;
        let scale = if self.scaled { Standard::of(train.features, width) } else { Standard::none(width) };
        let batch = train.labels.len().min(BATCH);
        let (step, score) = (self.step(gpu, batch, width, classes)?, score(gpu, width, classes)?);
        let state = State::new(gpu, &[&step, &score], self.seed)?;
        self.train(gpu, &Executor::new(gpu, &step, &state, &[])?, train, &scale, told)?;
        let score = Executor::new(gpu, &score, &state, &[])?;
        let mut right = 0;
        for (features, labels) in test.features.chunks(BATCH * width).zip(test.labels.chunks(BATCH)) {
            let mut rows = features.to_vec();
            scale.apply(&mut rows);
            rows.resize(BATCH * width, 0.0);
            score.write(gpu, "features", &rows)?;
            score.step(gpu)?;
            let logits = score.read(gpu, "logits")?;
            right += logits
                .chunks(classes)
                .zip(labels)
                .filter(|(row, label)| argmax(row) == usize::from(**label))
                .count();
        }
        Ok(right as f64 / test.labels.len() as f64)
    }

    fn step(&self, gpu: &Gpu, batch: usize, width: usize, classes: usize) -> Result<Plan> {
        let g = Graph::new();
        let (layer, logits) = layer(&g, batch, width, classes);
        let labels = g.input("labels", Type::u32([batch])).one_hot(classes);
        let loss =
            logits.cross_entropy(labels).mean_all() + layer.weight().square().sum_all() * (0.5 * self.l2);
        let optimizer = Optimizer::adam(self.lr).schedule(Schedule::Linear { steps: self.steps, floor: 0.0 });
        optimizer.step(LAYER, loss, &layer.params());
        g.output("loss", loss);
        advance(&g);
        Plan::new(&g, gpu.caps())
    }

    fn train(
        &self,
        gpu: &Gpu,
        step: &Executor,
        train: Labelled<'_>,
        scale: &Standard,
        told: &mut Listener<'_>,
    ) -> Result<()> {
        let batch = train.labels.len().min(BATCH);
        let (width, per_epoch) = (scale.mean.len(), train.labels.len() / batch);
        let mut order = vec![];
        for s in 0..self.steps as usize {
            if s.is_multiple_of(per_epoch) {
                order = permutation(self.seed, (s / per_epoch) as u64, train.labels.len());
            }
            let rows = order[s % per_epoch * batch..][..batch].iter().map(|&row| row as usize);
            let mut features: Vec<f32> =
                rows.clone().flat_map(|row| &train.features[row * width..][..width]).copied().collect();
            scale.apply(&mut features);
            step.write(gpu, "features", &features)?;
            step.write(gpu, "labels", &rows.map(|row| u32::from(train.labels[row])).collect::<Vec<_>>())?;
            step.step(gpu)?;
            // The upload of the next batch must not run far ahead of the steps.
            gpu.wait()?;
            told(Work { what: "steps of the linear probe", done: s as u64 + 1, total: self.steps.into() })?;
        }
        let loss = step.read(gpu, "loss")?[0];
        if !loss.is_finite() {
            return Err(Error::new(format!("probe: the loss became {loss}; train with a smaller step size")));
        }
        Ok(())
    }
}

/// Declares the layer and the logits `[batch, classes]` of the input `features`.
fn layer(g: &Graph, batch: usize, width: usize, classes: usize) -> (Linear<'_>, Tensor<'_>) {
    let layer = Linear::new(g, LAYER, width, classes);
    (layer, layer.forward(g.input("features", Type::f32([batch, width]))))
}

fn score(gpu: &Gpu, width: usize, classes: usize) -> Result<Plan> {
    let g = Graph::new();
    g.output("logits", layer(&g, BATCH, width, classes).1);
    Plan::new(&g, gpu.caps())
}

/// The place of the largest element of a row.
pub(super) fn argmax(row: &[f32]) -> usize {
    row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(i, _)| i)
}

/// The number of features in a row.
fn width(set: Labelled<'_>) -> Result<usize> {
    let (values, rows) = (set.features.len(), set.labels.len());
    if rows == 0 || values == 0 || !values.is_multiple_of(rows) || set.features.iter().any(|v| !v.is_finite())
    {
        return Err(Error::new(format!(
            "probe: {values} features and {rows} labels are no rows of finite features with a label each"
        )));
    }
    Ok(values / rows)
}

/// Scales each feature to mean 0 and standard deviation 1.
struct Standard {
    mean: Vec<f32>,
    inverse: Vec<f32>,
}

impl Standard {
    /// Leaves features as they are.
    fn none(width: usize) -> Self {
        Self { mean: vec![0.0; width], inverse: vec![1.0; width] }
    }

    fn of(features: &[f32], width: usize) -> Self {
        let n = (features.len() / width) as f64;
        let over = |f: &dyn Fn(usize, f32) -> f64| {
            let mut sums = vec![0.0; width];
            features.chunks(width).for_each(|row| {
                row.iter().zip(&mut sums).enumerate().for_each(|(d, (&v, sum))| *sum += f(d, v))
            });
            sums.into_iter().map(|sum| sum / n).collect::<Vec<f64>>()
        };
        let mean = over(&|_, v| v.into());
        let variance = over(&|d, v| (f64::from(v) - mean[d]).powi(2));
        // A feature that is constant tells nothing. It becomes 0.
        let inverse =
            variance.iter().map(|&v| if v > 1e-12 { (1.0 / v.sqrt()) as f32 } else { 0.0 }).collect();
        Self { mean: mean.into_iter().map(|m| m as f32).collect(), inverse }
    }

    fn apply(&self, rows: &mut [f32]) {
        for row in rows.chunks_mut(self.mean.len()) {
            row.iter_mut()
                .zip(&self.mean)
                .zip(&self.inverse)
                .for_each(|((v, mean), inverse)| *v = (*v - mean) * inverse);
        }
    }
}
