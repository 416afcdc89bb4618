//! Normalisation by means and variances over a batch, over a layer's units or over an image's pixels. Images
//! are channels-last.

use super::mode::Mode;
use crate::graph::{
    Graph, Tensor,
    shape::Type,
    var::{FileLayout, Init},
};

/// What is added to variances; it is PyTorch's default.
const EPS: f32 = 1e-5;

/// Declares `NAME.weight`, at first ones, and `NAME.bias`, at first zeros.
#[track_caller]
fn affine<'g>(g: &'g Graph, name: &str, shape: &[usize], layout: FileLayout) -> [Tensor<'g>; 2] {
    g.claim_layer(name);
    let var = |part: &str, value, layout| {
        g.param_in(&format!("{name}.{part}"), Type::f32(shape), Init::Constant(value), layout)
    };
    g.traced(|| [var("weight", 1.0, layout.clone()), var("bias", 0.0, layout)])
}

/// (x - mean)/√(variance + eps) with the moments over these axes.
#[track_caller]
fn normalised<'g>(x: Tensor<'g>, axes: &[usize]) -> Tensor<'g> {
    let mut kept = x.shape().to_vec();
    axes.iter().for_each(|&d| kept[d] = 1);
    let away = x - x.mean(axes).reshape(kept.clone());
    away * (away.square().mean(axes) + EPS).rsqrt().reshape(kept)
}

/// Batch normalisation of `[N, C]` or `[N, H, W, C]` over all axes but the last (`torch.nn.BatchNorm1d` and
/// `2d`), eps 1e-5.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'g> {
    /// The scale `NAME.weight`, `[C]`, at first 1.
    pub weight: Tensor<'g>,
    /// The shift `NAME.bias`, `[C]`, at first 0.
    pub bias: Tensor<'g>,
    /// The running mean `NAME.running_mean`, `[C]`, at first 0.
    pub running_mean: Tensor<'g>,
    /// The running mean of unbiased variances, `NAME.running_var`, `[C]`, at first 1.
    pub running_var: Tensor<'g>,
    /// The number of batches seen, `NAME.num_batches_tracked`, a scalar.
    pub num_batches_tracked: Tensor<'g>,
    /// The weight of a batch in the running statistics.
    pub momentum: f32,
    mode: Mode,
}

impl<'g> BatchNorm<'g> {
    /// Declares the layer's variables; the momentum is PyTorch's, 0.1.
    #[track_caller]
    pub fn new(g: &'g Graph, name: &str, channels: usize, mode: Mode) -> Self {
        let [weight, bias] = affine(g, name, &[channels], FileLayout::Same);
        let var =
            |part: &str, shape: &[usize], init| g.buffer(&format!("{name}.{part}"), Type::f32(shape), init);
        g.traced(|| Self {
            weight,
            bias,
            running_mean: var("running_mean", &[channels], Init::Zeros),
            running_var: var("running_var", &[channels], Init::Constant(1.0)),
            num_batches_tracked: var("num_batches_tracked", &[], Init::Zeros),
            momentum: 0.1,
            mode,
        })
    }

    /// Applies the layer: by the running statistics in evaluation, else by the batch's. In training, the
    /// running statistics follow the batch's from the next step on, once per call.
    #[track_caller]
    pub fn forward(&self, x: Tensor<'g>) -> Tensor<'g> {
        if self.mode == Mode::Evaluation {
            return (x - self.running_mean) * (self.weight * (self.running_var + EPS).rsqrt()) + self.bias;
        }
        let y = x.batch_norm(self.weight, self.bias, EPS);
        if self.mode == Mode::Batch {
            return y;
        }
        let (g, [mean, variance]) = (x.graph(), x.moments());
        let own = x.shape().numel() as f32 / self.weight.shape().numel() as f32;
        let rows = own * g.statistics().size as f32;
        let follow = |old: Tensor<'g>, new: Tensor<'g>, factor: f32| {
            old * (1.0 - self.momentum) + new * (factor * self.momentum)
        };
        g.traced(|| {
            g.update(self.running_mean, |old| follow(old, mean, 1.0));
            g.update(self.running_var, |old| follow(old, variance, rows / (rows - 1.0)));
            g.update(self.num_batches_tracked, |old| old + 1.0);
        });
        y
    }

    /// The variables that an optimizer trains.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        vec![self.weight, self.bias]
    }
}

/// Layer normalisation (Ba et al. 2016) over the last axes (`torch.nn.LayerNorm`), eps 1e-5. It is a
/// composition of ops.
#[derive(Clone, Debug)]
pub struct LayerNorm<'g> {
    /// The scale `NAME.weight`, of the normalised shape, at first 1; `[H, W, C]` is `[C, H, W]` in files.
    pub weight: Tensor<'g>,
    /// The shift `NAME.bias`, of the normalised shape, at first 0; `[H, W, C]` is `[C, H, W]` in files.
    pub bias: Tensor<'g>,
}

impl<'g> LayerNorm<'g> {
    /// Declares the layer's variables for the extents of the axes that are normalised: `[C]`, or an image's
    /// `[H, W, C]`.
    #[track_caller]
    pub fn new(g: &'g Graph, name: &str, shape: &[usize]) -> Self {
        let layout = if shape.len() == 3 { FileLayout::Channels } else { FileLayout::Same };
        let [weight, bias] = affine(g, name, shape, layout);
        Self { weight, bias }
    }

    /// Applies the layer, example by example.
    #[track_caller]
    pub fn forward(&self, x: Tensor<'g>) -> Tensor<'g> {
        let (shape, over) = (x.shape(), self.weight.shape());
        if over.is_empty() || !shape.ends_with(&over) {
            return x.graph().poison(format!("layer_norm: {shape:?} does not end in {over:?}"));
        }
        let axes: Vec<usize> = (shape.len() - over.len()..shape.len()).collect();
        normalised(x, &axes) * self.weight + self.bias
    }

    /// The variables that an optimizer trains.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        vec![self.weight, self.bias]
    }
}

/// Instance normalisation (Ulyanov et al. 2016) of images `[N, H, W, C]` over their pixels, channel by
/// channel (`torch.nn.InstanceNorm2d` with affine=True), eps 1e-5. It is a composition of ops and has no
/// running statistics.
#[derive(Clone, Debug)]
pub struct InstanceNorm<'g> {
    /// The scale `NAME.weight`, `[C]`, at first 1.
    pub weight: Tensor<'g>,
    /// The shift `NAME.bias`, `[C]`, at first 0.
    pub bias: Tensor<'g>,
}

impl<'g> InstanceNorm<'g> {
    /// Declares the layer's variables.
    #[track_caller]
    pub fn new(g: &'g Graph, name: &str, channels: usize) -> Self {
        let [weight, bias] = affine(g, name, &[channels], FileLayout::Same);
        Self { weight, bias }
    }

    /// Applies the layer.
    #[track_caller]
    pub fn forward(&self, x: Tensor<'g>) -> Tensor<'g> {
        match x.shape().len() {
            4 => normalised(x, &[1, 2]) * self.weight + self.bias,
            _ => x.graph().poison(format!("instance_norm: takes images [N, H, W, C], got {x:?}")),
        }
    }

    /// The variables that an optimizer trains.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        vec![self.weight, self.bias]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{
        reference::{self, Values},
        shape::Array,
    };

    /// Two batches in one step count like two steps of one batch each.
    #[test]
    fn running_statistics_follow_once_per_call() {
        let batch = |k: f64| Array::from_fn([4, 2], |i| (i as f64 * k).sin());
        let names = ["a", "b"];
        let step = |names: &[&str], state: &mut Values| {
            let g = Graph::new();
            let layer = BatchNorm::new(&g, "bn", 2, Mode::Training);
            names.iter().for_each(|name| g.output(name, layer.forward(g.input(name, Type::f32([4, 2])))));
            let inputs = [("a".to_string(), batch(0.7)), ("b".to_string(), batch(1.9))].into();
            reference::eval(&g, &inputs, state).unwrap()
        };
        let g = Graph::new();
        let _ = BatchNorm::new(&g, "bn", 2, Mode::Training);
        let start = reference::initial(&g, 0);
        let (mut once, mut twice) = (start.clone(), start.clone());
        step(&names, &mut once);
        names.iter().for_each(|name| drop(step(&[name], &mut twice)));
        assert_eq!(once, twice);
        assert_eq!(once["bn.num_batches_tracked"].data, [2.0]);
        assert_ne!(once["bn.running_mean"], start["bn.running_mean"]);
    }

    /// A graph that uses a layer in two modes declares it twice, on the same variables.
    #[test]
    fn a_mode_is_told_where_a_layer_is_declared() {
        let g = Graph::new();
        let x = g.input("x", Type::f32([4, 2]));
        for (name, mode) in [("batch", Mode::Batch), ("kept", Mode::Evaluation), ("training", Mode::Training)]
        {
            let layer = g.sharing(|| BatchNorm::new(&g, "bn", 2, mode));
            g.output(name, layer.forward(x));
        }
        let inputs = [("x".to_string(), Array::from_fn([4, 2], |i| (i as f64).sin()))].into();
        let mut state = reference::initial(&g, 0);
        let out = reference::eval(&g, &inputs, &mut state).unwrap();
        assert!(out["batch"] == out["training"] && out["batch"] != out["kept"]);
        assert_eq!(state["bn.num_batches_tracked"].data, [1.0]);
    }

    #[test]
    fn mistakes_are_named() {
        type Mistake = fn(&Graph);
        let mistakes: [(Mistake, &str); 3] = [
            (
                |g| _ = LayerNorm::new(g, "n", &[3, 2]).forward(g.input("x", Type::f32([3, 3]))),
                "[3x3] does not end in [3x2]",
            ),
            (
                |g| _ = InstanceNorm::new(g, "n", 2).forward(g.input("x", Type::f32([3, 2]))),
                "takes images [N, H, W, C]",
            ),
            (
                |g| _ = BatchNorm::new(g, "n", 2, Mode::Training).forward(g.input("x", Type::f32([1, 2]))),
                "at least 2 f32 rows",
            ),
        ];
        for (mistake, expected) in mistakes {
            let g = Graph::new();
            mistake(&g);
            let error = g.check().unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("norm.rs"), "{error}");
        }
    }
}
