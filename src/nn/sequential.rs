//! Layers one after another, which are named by their places as in `torch.nn.Sequential`.

use super::{Activation, BatchNorm, Conv2d, ConvTranspose2d, LayerNorm, Linear, minibatch_stddev};
use crate::graph::Tensor;

/// One layer of a [`Sequential`].
#[derive(Clone, Debug)]
pub enum Layer<'g> {
    /// A [`Linear`] layer, of flattened inputs.
    Linear(Linear<'g>),
    /// A [`Conv2d`].
    Conv2d(Conv2d<'g>),
    /// A [`ConvTranspose2d`].
    ConvTranspose2d(ConvTranspose2d<'g>),
    /// A [`BatchNorm`].
    BatchNorm(BatchNorm<'g>),
    /// A [`LayerNorm`].
    LayerNorm(LayerNorm<'g>),
    /// A non-linearity, without variables.
    Activation(Activation),
    /// [`Tensor::dropout`] by a stream of its own.
    Dropout {
        /// The stream's name.
        stream: String,
        /// The share of the elements that become 0.
        rate: f32,
    },
    /// [`minibatch_stddev`], which adds a channel.
    MinibatchStddev,
    /// Normal noise that is added, by a stream of its own; 0 adds none and draws none.
    Noise {
        /// The stream's name.
        stream: String,
        /// The standard deviation.
        sigma: f32,
    },
}

impl<'g> Layer<'g> {
    #[track_caller]
    fn forward(&self, x: Tensor<'g>) -> Tensor<'g> {
        match self {
            Layer::Linear(layer) => {
                layer.forward(x.reshape([x.extent(0), x.shape().iter().skip(1).product()]))
            }
            Layer::Conv2d(layer) => layer.forward(x),
            Layer::ConvTranspose2d(layer) => layer.forward(x),
            Layer::BatchNorm(layer) => layer.forward(x),
            Layer::LayerNorm(layer) => layer.forward(x),
            Layer::Activation(activation) => activation.apply(x),
            Layer::Dropout { stream, rate } => x.dropout(stream, *rate),
            Layer::MinibatchStddev => minibatch_stddev(x),
            Layer::Noise { stream, sigma } if *sigma > 0.0 => {
                x + x.graph().normal(stream, x.shape()) * *sigma
            }
            Layer::Noise { .. } => x,
        }
    }

    fn params(&self) -> Vec<Tensor<'g>> {
        match self {
            Layer::Linear(layer) => layer.params(),
            Layer::Conv2d(layer) => layer.params(),
            Layer::ConvTranspose2d(layer) => layer.params(),
            Layer::BatchNorm(layer) => layer.params(),
            Layer::LayerNorm(layer) => layer.params(),
            Layer::Activation(_) | Layer::Dropout { .. } | Layer::MinibatchStddev | Layer::Noise { .. } => {
                vec![]
            }
        }
    }
}

/// A chain of layers; layer i of the chain `NAME` has the variables `NAME.i.…`.
#[derive(Clone, Debug)]
pub struct Sequential<'g> {
    name: String,
    layers: Vec<Layer<'g>>,
}

impl<'g> Sequential<'g> {
    /// Makes a chain without layers.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), layers: vec![] }
    }

    /// Appends the layer that `layer` makes of its name.
    #[must_use]
    pub fn with(mut self, layer: impl FnOnce(&str) -> Layer<'g>) -> Self {
        let layer = layer(&format!("{}.{}", self.name, self.layers.len()));
        self.layers.push(layer);
        self
    }

    /// Appends a non-linearity.
    #[must_use]
    pub fn then(self, activation: Activation) -> Self {
        self.with(|_| Layer::Activation(activation))
    }

    /// The same layers for another use in the same graph: those that draw have the streams `STREAM/PURPOSE`.
    #[must_use]
    pub fn drawing(&self, purpose: &str) -> Self {
        let mut this = self.clone();
        for layer in &mut this.layers {
            if let Layer::Dropout { stream, .. } | Layer::Noise { stream, .. } = layer {
                *stream = format!("{stream}/{purpose}");
            }
        }
        this
    }

    /// The layers in their order.
    pub fn layers(&self) -> &[Layer<'g>] {
        &self.layers
    }

    /// Applies the layers.
    #[track_caller]
    pub fn forward(&self, x: Tensor<'g>) -> Tensor<'g> {
        // Loops, since closures would forget the caller's line.
        let mut y = x;
        for layer in &self.layers {
            y = layer.forward(y);
        }
        y
    }

    /// The outputs of the non-linearities, in their order: the features of the hidden layers.
    #[track_caller]
    pub fn activations(&self, x: Tensor<'g>) -> Vec<Tensor<'g>> {
        let (mut y, mut all) = (x, vec![]);
        for layer in &self.layers {
            y = layer.forward(y);
            if let Layer::Activation(_) = layer {
                all.push(y);
            }
        }
        all
    }

    /// The variables that an optimizer trains.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        self.layers.iter().flat_map(Layer::params).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{
        Graph,
        reference::{self, Values},
        shape::{Array, Type},
    };

    /// A chain of noise alone.
    fn noise<'g>(sigma: f32) -> Sequential<'g> {
        Sequential::new("d").with(|name| Layer::Noise { stream: name.into(), sigma })
    }

    #[test]
    fn each_use_of_a_chain_draws_noise_of_its_own() {
        let g = Graph::new();
        g.bind_stream("d.0/real");
        g.bind_stream("d.0/fake");
        let x = g.input("x", Type::f32([3]));
        let of = |purpose: &str| noise(0.5).drawing(purpose).forward(x);
        g.output("out", of("real") * of("fake"));
        let array = |k: f64| Array::from_fn([3], |i| (k + i as f64).sin());
        let given = [("x", 1.0), ("d.0/real", 2.0), ("d.0/fake", 7.0)];
        let values: Values = given.map(|(name, k)| (name.to_string(), array(k))).into();
        let out = reference::eval(&g, &values, &mut Values::new()).unwrap();
        for i in 0..3 {
            let [x, real, fake] = given.map(|(name, _)| values[name].data[i]);
            let want = (x + 0.5 * real) * (x + 0.5 * fake);
            assert!((out["out"].data[i] - want).abs() < 1e-9, "{:?}", out["out"]);
        }
    }

    #[test]
    fn no_noise_is_no_op() {
        let g = Graph::new();
        let x = g.input("x", Type::f32([3]));
        assert_eq!(noise(0.0).forward(x).id(), x.id());
    }
}
