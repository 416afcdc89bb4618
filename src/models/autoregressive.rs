//! Explicit density models: p(x) = ∏ p(x_i | x_<i) over the pixels in raster order (van den Oord et al.
//! 2016a, eq. 1).
//!
//! A network gives the parameters of every pixel's distribution from the pixels before it, and a
//! [`Likelihood`] says what they mean. Training maximises the likelihood, whatever the network is.

use super::{
    Metrics, fvbn, gated_pixelcnn, hint,
    likelihood::Likelihood,
    pixelcnn::{self, PixelCnn},
    pixelrnn, wavenet,
};
use crate::{
    graph::{Graph, Tensor},
    optim::Optimizer,
};

/// What a network is given.
#[derive(Clone, Copy, Debug)]
pub struct Given<'g> {
    /// The pictures in [0, 1], `[N, H, W, C]`.
    pub x: Tensor<'g>,
    /// The pictures' classes, one-hot `[N, classes]`, for a conditional model.
    pub class: Option<Tensor<'g>>,
    /// The pictures that are given beside, `[N, H, W, C']`, for a model with hints.
    pub hint: Option<Tensor<'g>>,
    /// 1 at the pixels that are scored and 0 at those that are known, `[N, H, W, 1]`; without it, all are scored.
    pub scored: Option<Tensor<'g>>,
    /// Whether the network is trained, so that dropout takes part.
    pub training: bool,
}

impl<'g> Given<'g> {
    /// Pictures alone, of which a network is not trained.
    #[track_caller]
    pub fn pictures(x: Tensor<'g>) -> Self {
        Self { x, class: None, hint: None, scored: None, training: false }
    }
}

/// A network, with the distribution whose parameters its outputs are.
pub trait Autoregressive {
    /// The distribution of a pixel.
    fn likelihood(&self) -> Likelihood {
        Likelihood::Bernoulli
    }

    /// The parameters that are trained, and the parameters of every pixel's distribution,
    /// `[N, H, W, outputs]` of the likelihood.
    #[track_caller]
    fn network<'g>(&self, g: &'g Graph, given: Given<'g>) -> (Vec<Tensor<'g>>, Tensor<'g>);

    /// The parameters that are trained, and -log p(x) in nats: `[N, H, W, C]`, or `[N, H, W, 1]` of a
    /// mixture; 0 at pixels that are not scored.
    #[track_caller]
    fn nats<'g>(&self, g: &'g Graph, given: Given<'g>) -> (Vec<Tensor<'g>>, Tensor<'g>) {
        let (params, outputs) = self.network(g, given);
        let nats = self.likelihood().nats(outputs, given.x);
        (params, given.scored.map_or(nats, |scored| nats * scored))
    }

    /// Records a step in which an optimizer minimises -log p(x), summed over the batch; `group` names the
    /// group of the parameters.
    #[track_caller]
    fn training_step<'g>(
        &self,
        g: &'g Graph,
        group: &str,
        given: Given<'g>,
        optimizer: &Optimizer,
    ) -> Metrics<'g> {
        let (params, nats) = self.nats(g, given);
        let loss = nats.sum_all();
        optimizer.clone().summed().step(group, loss, &params);
        vec![("nll", loss)]
    }
}

/// Poisons the graph where classes are given to a network that cannot take them.
#[track_caller]
fn unconditional<'g>(g: &'g Graph, given: &Given<'g>) {
    if let Some(class) = given.class {
        g.poison(format!("the network is not conditioned on classes, got {class:?}"));
    }
}

/// Poisons the graph where a hint is given to a network that cannot take one.
#[track_caller]
fn unhinted<'g>(g: &'g Graph, given: &Given<'g>) {
    let _ = hint::added(None, given.hint, g);
}

impl Autoregressive for fvbn::Config {
    #[track_caller]
    fn network<'g>(&self, g: &'g Graph, given: Given<'g>) -> (Vec<Tensor<'g>>, Tensor<'g>) {
        unconditional(g, &given);
        unhinted(g, &given);
        let x = given.x;
        let (shape, model) = (x.shape(), fvbn::Fvbn::new(g, self));
        let logits = model.logits(x.reshape([x.extent(0), self.pixels]));
        (model.params(), logits.reshape(shape))
    }
}

impl Autoregressive for pixelcnn::Config {
    fn likelihood(&self) -> Likelihood {
        self.likelihood
    }

    #[track_caller]
    fn network<'g>(&self, g: &'g Graph, given: Given<'g>) -> (Vec<Tensor<'g>>, Tensor<'g>) {
        unconditional(g, &given);
        let model = PixelCnn::new(g, self);
        let dropout = if given.training { self.dropout } else { 0.0 };
        (model.params(), model.logits_dropping(given.x, given.hint, dropout))
    }
}

impl Autoregressive for gated_pixelcnn::Config {
    fn likelihood(&self) -> Likelihood {
        self.likelihood
    }

    #[track_caller]
    fn network<'g>(&self, g: &'g Graph, given: Given<'g>) -> (Vec<Tensor<'g>>, Tensor<'g>) {
        let model = gated_pixelcnn::GatedPixelCnn::new(g, self);
        let dropout = if given.training { self.dropout } else { 0.0 };
        (model.params(), model.logits_dropping(given.x, given.class, given.hint, dropout))
    }
}

impl Autoregressive for pixelrnn::Config {
    fn likelihood(&self) -> Likelihood {
        self.likelihood
    }

    #[track_caller]
    fn network<'g>(&self, g: &'g Graph, given: Given<'g>) -> (Vec<Tensor<'g>>, Tensor<'g>) {
        let model = pixelrnn::PixelRnn::new(g, self);
        (model.params(), model.logits_hinted(given.x, given.hint))
    }
}

impl Autoregressive for wavenet::Config {
    fn likelihood(&self) -> Likelihood {
        wavenet::LIKELIHOOD
    }

    #[track_caller]
    fn network<'g>(&self, g: &'g Graph, given: Given<'g>) -> (Vec<Tensor<'g>>, Tensor<'g>) {
        unhinted(g, &given);
        let model = wavenet::WaveNet::new(g, self);
        (model.params(), model.logits(given.x, given.class))
    }
}
