//! The variational autoencoder (Kingma & Welling 2013, "Auto-Encoding Variational Bayes").
//!
//! An encoder gives q(z|x) = N(mu, diag exp(logvar)), and a decoder gives p(x|z). Training maximises the
//! evidence lower bound (eq. 3) E_q[log p(x|z)] - KL(q(z|x) || p(z)), with z drawn by reparameterisation (eq.
//! 4) so that the gradient passes through the draw. The objective is written once, over either network: the
//! multilayer perceptron of this file, whose layer names are those of pytorch/examples' VAE, or the
//! convolutions of [`super::conv_vae`].

use super::{
    Metrics,
    conv_vae::{self, Conv},
};
use crate::{
    graph::{Graph, Tensor},
    nn::{Activation, Linear, Mode},
    ops::reparameterize::reparameterize,
    optim::Optimizer,
};

/// The multilayer perceptron and the objective.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The pixels of a flattened image.
    pub pixels: usize,
    /// The widths of the encoder's hidden layers; the decoder mirrors them.
    pub hidden: Vec<usize>,
    /// The number of latent dimensions.
    pub latent: usize,
    /// The weight of the KL term (Higgins et al. 2017); 1 is the evidence lower bound.
    pub beta: f32,
    /// The non-linearity of the hidden layers.
    pub activation: Activation,
}

impl Default for Config {
    /// The layers 784-400-20-400-784 with ReLU, as in pytorch/examples.
    fn default() -> Self {
        Self { pixels: 784, hidden: vec![400], latent: 20, beta: 1.0, activation: Activation::Relu }
    }
}

/// An encoder and a decoder in a graph, and the objective over them.
pub struct Vae<'g> {
    network: Network<'g>,
    latent: usize,
    beta: f32,
}

enum Network<'g> {
    Mlp(Mlp<'g>),
    Conv(Conv<'g>),
}

struct Mlp<'g> {
    activation: Activation,
    encoder: Vec<Linear<'g>>,
    mu: Linear<'g>,
    logvar: Linear<'g>,
    decoder: Vec<Linear<'g>>,
    logits: Linear<'g>,
}

/// The terms of the objective, summed over batch and pixels, in nats, and what they were made of.
pub struct Loss<'g> {
    /// The objective that is minimised: reconstruction + beta·KL.
    pub total: Tensor<'g>,
    /// The reconstruction term, -log p(x|z) under Bernoulli pixels.
    pub reconstruction: Tensor<'g>,
    /// The divergence KL(q(z|x) || N(0, I)).
    pub kl: Tensor<'g>,
    /// The means of q(z|x), `[N, latent]`.
    pub mu: Tensor<'g>,
    /// The logarithms of the variances of q(z|x), `[N, latent]`.
    pub logvar: Tensor<'g>,
    /// The drawn latents, `[N, latent]`.
    pub z: Tensor<'g>,
    /// The logits of the pixels of p(x|z), `[N, pixels]`.
    pub logits: Tensor<'g>,
}

impl<'g> Loss<'g> {
    /// The terms by their names.
    pub fn metrics(&self) -> Metrics<'g> {
        vec![("loss", self.total), ("reconstruction", self.reconstruction), ("kl", self.kl)]
    }
}

/// The names `fc1`, `fc1.1`, `fc1.2` …, which are PyTorch's where there is one hidden layer.
fn name(base: &str, layer: usize) -> String {
    if layer == 0 { base.into() } else { format!("{base}.{layer}") }
}

impl<'g> Mlp<'g> {
    #[track_caller]
    fn new(g: &'g Graph, config: &Config) -> Self {
        let [Some(&first), Some(&last)] = [config.hidden.first(), config.hidden.last()] else {
            g.poison("vae: the network needs at least one hidden layer");
            // What is recorded after a mistake is never run.
            return Self::new(g, &Config { hidden: vec![1], ..config.clone() });
        };
        let chain = |base: &str, widths: &[usize]| -> Vec<Linear<'g>> {
            widths.windows(2).enumerate().map(|(i, w)| Linear::new(g, &name(base, i), w[0], w[1])).collect()
        };
        let inward: Vec<usize> =
            std::iter::once(config.pixels).chain(config.hidden.iter().copied()).collect();
        let outward: Vec<usize> =
            std::iter::once(config.latent).chain(config.hidden.iter().rev().copied()).collect();
        g.traced(|| Self {
            activation: config.activation,
            encoder: chain("fc1", &inward),
            mu: Linear::new(g, "fc21", last, config.latent),
            logvar: Linear::new(g, "fc22", last, config.latent),
            decoder: chain("fc3", &outward),
            logits: Linear::new(g, "fc4", first, config.pixels),
        })
    }

    fn params(&self) -> Vec<Tensor<'g>> {
        let ends = [&self.mu, &self.logvar];
        self.encoder
            .iter()
            .chain(ends)
            .chain(&self.decoder)
            .chain([&self.logits])
            .flat_map(Linear::params)
            .collect()
    }

    #[track_caller]
    fn through(&self, layers: &[Linear<'g>], x: Tensor<'g>) -> Tensor<'g> {
        let through = |h, layer: &Linear<'g>| self.activation.apply(layer.forward(h));
        x.graph().traced(|| layers.iter().fold(x, through))
    }

    #[track_caller]
    fn encode(&self, x: Tensor<'g>) -> (Tensor<'g>, Tensor<'g>) {
        let h = self.through(&self.encoder, x);
        (self.mu.forward(h), self.logvar.forward(h))
    }

    #[track_caller]
    fn decode(&self, z: Tensor<'g>) -> Tensor<'g> {
        self.logits.forward(self.through(&self.decoder, z))
    }
}

/// Poisons the graph where the weight of the KL divergence makes no objective.
#[track_caller]
fn check_beta(g: &Graph, beta: f32) {
    if !(beta >= 0.0 && beta.is_finite()) {
        g.poison(format!("vae: beta is at least 0, not {beta}"));
    }
}

impl<'g> Vae<'g> {
    /// Declares the variables of a multilayer perceptron.
    #[track_caller]
    pub fn new(g: &'g Graph, config: &Config) -> Self {
        check_beta(g, config.beta);
        Self { network: Network::Mlp(Mlp::new(g, config)), latent: config.latent, beta: config.beta }
    }

    /// Declares the variables of the convolutional network; `mode` says which statistics its batch norms use.
    #[track_caller]
    pub fn convolutional(g: &'g Graph, config: &conv_vae::Config, mode: Mode) -> Self {
        check_beta(g, config.beta);
        Self { network: Network::Conv(Conv::new(g, config, mode)), latent: config.latent, beta: config.beta }
    }

    /// The number of latent dimensions.
    pub fn latent(&self) -> usize {
        self.latent
    }

    /// All variables that are trained, in the order of PyTorch's state dict.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        match &self.network {
            Network::Mlp(network) => network.params(),
            Network::Conv(network) => network.params(),
        }
    }

    /// The encoder q(z|x): `[N, pixels]` (for images, rows of pixels of channels) to mu and logvar, each
    /// `[N, latent]`.
    #[track_caller]
    pub fn encode(&self, x: Tensor<'g>) -> (Tensor<'g>, Tensor<'g>) {
        match &self.network {
            Network::Mlp(network) => network.encode(x),
            Network::Conv(network) => network.encode(x),
        }
    }

    /// The decoder p(x|z): `[N, latent]` to the logits of Bernoulli pixels, `[N, pixels]`.
    #[track_caller]
    pub fn decode(&self, z: Tensor<'g>) -> Tensor<'g> {
        match &self.network {
            Network::Mlp(network) => network.decode(z),
            Network::Conv(network) => network.decode(z),
        }
    }

    /// The negative evidence lower bound of a batch `[N, pixels]` in [0, 1] with one draw of z (eq. 10). Its
    /// noise is of the random stream `vae/eps`, `[N, latent]`.
    #[track_caller]
    pub fn loss(&self, x: Tensor<'g>) -> Loss<'g> {
        let (mu, logvar) = self.encode(x);
        let z = reparameterize("vae/eps", mu, logvar);
        let logits = self.decode(z);
        let reconstruction = logits.bce_with_logits(x).sum_all();
        // Appendix B: -KL = ½ Σ (1 + log σ² - μ² - σ²).
        let kl = (mu.square() + logvar.exp() - logvar - 1.0).sum_all() * 0.5;
        Loss { total: reconstruction + kl * self.beta, reconstruction, kl, mu, logvar, z, logits }
    }

    /// Records a step that minimises [`Vae::loss`] of a batch `[N, pixels]` by an optimizer. Random
    /// stream: `vae/eps`.
    #[track_caller]
    pub fn training_step(&self, x: Tensor<'g>, optimizer: &Optimizer) -> Metrics<'g> {
        let loss = self.loss(x);
        optimizer.clone().summed().step("vae", loss.total, &self.params());
        loss.metrics()
    }

    /// The analytic divergence KL(q(z|x) || p(z)) of each image and latent dimension, `[N, latent]` (Appendix
    /// B).
    #[track_caller]
    pub fn kl(mu: Tensor<'g>, logvar: Tensor<'g>) -> Tensor<'g> {
        (mu.square() + logvar.exp() - logvar - 1.0) * 0.5
    }

    /// The log importance weights log p(x|z) + log p(z) - log q(z|x) of `samples` draws of z for each image
    /// (Burda, Grosse & Salakhutdinov 2015, eq. 8), and log p(x|z) alone: x `[N, pixels]`, mu and logvar
    /// `[N, latent]` to twice `[samples, N]`. Random stream: `vae/importance`, `[samples, N, latent]`.
    #[track_caller]
    pub fn log_weights(
        &self,
        x: Tensor<'g>,
        mu: Tensor<'g>,
        logvar: Tensor<'g>,
        samples: usize,
    ) -> [Tensor<'g>; 2] {
        let ([n, pixels], latent) = ([x.extent(0), x.extent(1)], self.latent);
        let eps = x.graph().normal("vae/importance", [samples, n, latent]);
        let z = mu + (logvar * 0.5).exp() * eps;
        let logits = self.decode(z.reshape([samples * n, latent])).reshape([samples, n, pixels]);
        let log_px = -logits.bce_with_logits(x).sum(&[2]);
        // The normalisers of prior and posterior cancel but for the posterior's log-variance.
        let ratio = ((eps.square() - z.square() + logvar) * 0.5).sum(&[2]);
        [log_px + ratio, log_px]
    }
}
