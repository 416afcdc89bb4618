//! Classes from few labels by deep generative models (Kingma, Rezende, Mohamed & Welling 2014, "Semi-supervised
//! learning with deep generative models").
//!
//! M2 says that an image comes from its class y and from a style z (eq. 2): p(x|y,z) with uniform p(y) and
//! standard normal p(z). An image without a label has its class as a second latent variable, and q(y|x) is
//! the classifier. A labelled image has the bound -L(x, y) (eq. 6); an unlabelled one has -U(x) (eq. 7), in
//! which all classes take part, each with the weight that q(y|x) gives it.
//!
//! M1 is [`super::vae`], whose latents z₁ serve a classifier as features. M1+M2 is M2 on z₁ ~ q(z₁|x) in place of
//! pixels, with M1 as it was trained before (§2.3).

use super::{Metrics, vae::Vae};
use crate::{
    graph::{Graph, Tensor},
    nn::{Activation, Layer, Linear, Sequential, Weight},
    ops::reparameterize::reparameterize,
    optim::Optimizer,
};
use std::f32::consts::TAU;

/// The distribution of an input, whose parameters are the decoder's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visible {
    /// The input is black or white (or grey as a probability); the outputs are logits.
    Bernoulli,
    /// The input is any number; the outputs are means and logarithms of variances.
    Gaussian,
}

/// The networks of M2 and the weights of its objective.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The width of an input x: the pixels of a flattened image, or M1's latents.
    pub inputs: usize,
    /// The distribution of an input.
    pub visible: Visible,
    /// The number of classes, K.
    pub classes: usize,
    /// The widths of the hidden layers, which classifier, encoder and decoder each have.
    pub hidden: Vec<usize>,
    /// The dimensions of z.
    pub latent: usize,
    /// The non-linearity of the hidden layers.
    pub activation: Activation,
    /// The standard deviation of normal noise on what each of the classifier's layers reads while it trains
    /// (Salimans et al. 2016 have it in their discriminator, which is a classifier, too).
    pub noise: f32,
    /// The weight of the classifier's own loss, α (eq. 9), for each of all images: the paper has α = 0.1·N.
    pub alpha: f32,
    /// The share of the labelled images in all N.
    pub share: f32,
}

impl Default for Config {
    /// The paper's networks for 100 of MNIST's 60,000 labels: 784-500-10, 794-500-50 and 60-500-784 with softplus.
    fn default() -> Self {
        Self {
            inputs: 784,
            visible: Visible::Bernoulli,
            classes: 10,
            hidden: vec![500],
            latent: 50,
            activation: Activation::Softplus,
            noise: 0.0,
            alpha: 0.1,
            share: 100.0 / 60_000.0,
        }
    }
}

/// M2 in a graph: the classifier `qy`, the encoder `qz` and the decoder `px`.
pub struct M2<'g> {
    config: Config,
    classifier: Vec<Linear<'g>>,
    encoder: Joint<'g>,
    posterior: [Linear<'g>; 2],
    decoder: Joint<'g>,
    outputs: Vec<Linear<'g>>,
}

/// The hidden layers of a perceptron of an input and a class. The first layer is a sum of two: what the input
/// adds to its units is computed once for all classes, and what a class adds is a column of weights.
struct Joint<'g> {
    input: Linear<'g>,
    class: Linear<'g>,
    rest: Vec<Linear<'g>>,
    activation: Activation,
}

impl<'g> Joint<'g> {
    /// Declares `NAME.input`, `NAME.class`, `NAME.1`, `NAME.2`, ...
    #[track_caller]
    fn new(g: &'g Graph, name: &str, inputs: usize, config: &Config) -> Self {
        let (first, layer) = (config.hidden[0], |part: &str| format!("{name}.{part}"));
        g.traced(|| Self {
            input: Linear::new(g, &layer("input"), inputs, first),
            class: Linear::of(g, &layer("class"), [config.classes, first], Weight::Plain, false),
            rest: chain(g, name, 1, &config.hidden),
            activation: config.activation,
        })
    }

    fn params(&self) -> Vec<Tensor<'g>> {
        [&self.input, &self.class].into_iter().chain(&self.rest).flat_map(Linear::params).collect()
    }

    /// The last hidden units `[N, H]` of inputs `[N, I]` and their classes, one-hot `[N, K]`.
    #[track_caller]
    fn of(&self, x: Tensor<'g>, class: Tensor<'g>) -> Tensor<'g> {
        through(
            &self.rest,
            self.activation,
            self.activation.apply(self.input.forward(x) + self.class.forward(class)),
        )
    }

    /// The last hidden units `[K·N, H]` for every class, class by class, of inputs that all classes share,
    /// `[N, I]`, or of inputs of their own, `[K·N, I]`.
    #[track_caller]
    fn of_all(&self, x: Tensor<'g>, n: usize) -> Tensor<'g> {
        let [width, classes] = [0, 1].map(|axis| self.class.weight().extent(axis));
        let columns = self.class.weight().t().reshape([classes, 1, width]);
        let units = self.input.forward(x).reshape([x.extent(0) / n, n, width]) + columns;
        through(&self.rest, self.activation, self.activation.apply(units).reshape([classes * n, width]))
    }
}

/// Declares layers `NAME.FIRST`, ... between these widths.
#[track_caller]
fn chain<'g>(g: &'g Graph, name: &str, first: usize, widths: &[usize]) -> Vec<Linear<'g>> {
    let layer = |(i, w): (usize, &[usize])| Linear::new(g, &format!("{name}.{}", first + i), w[0], w[1]);
    g.traced(|| widths.windows(2).enumerate().map(layer).collect())
}

#[track_caller]
fn through<'g>(layers: &[Linear<'g>], activation: Activation, x: Tensor<'g>) -> Tensor<'g> {
    x.graph().traced(|| layers.iter().fold(x, |h, layer| activation.apply(layer.forward(h))))
}

/// The divergence KL(q(z|x, y) || N(0, I)) of each row, `[R, latent]` to `[R]`.
#[track_caller]
fn kl<'g>(mu: Tensor<'g>, logvar: Tensor<'g>) -> Tensor<'g> {
    Vae::kl(mu, logvar).sum(&[1])
}

impl<'g> M2<'g> {
    /// Declares the layers.
    #[track_caller]
    pub fn new(g: &'g Graph, config: &Config) -> Self {
        let Some(&last) = config.hidden.last() else {
            g.poison("semi_supervised: the networks need at least one hidden layer");
            // What is recorded after a mistake is never run.
            return Self::new(g, &Config { hidden: vec![1], ..config.clone() });
        };
        let Config { inputs, classes, latent, alpha, share, noise, .. } = *config;
        if ![alpha, share, noise].iter().all(|&x| x >= 0.0 && x.is_finite()) {
            let given = format!("{alpha}, {share} and {noise}");
            g.poison(format!("semi_supervised: alpha, share and noise are at least 0, not {given}"));
        }
        let outputs: &[&str] = match config.visible {
            Visible::Bernoulli => &["px.logits"],
            Visible::Gaussian => &["px.mu", "px.logvar"],
        };
        let classifier: Vec<usize> =
            [inputs].into_iter().chain(config.hidden.iter().copied()).chain([classes]).collect();
        g.traced(|| Self {
            config: config.clone(),
            classifier: chain(g, "qy", 0, &classifier),
            encoder: Joint::new(g, "qz", inputs, config),
            posterior: ["qz.mu", "qz.logvar"].map(|name| Linear::new(g, name, last, latent)),
            decoder: Joint::new(g, "px", latent, config),
            outputs: outputs.iter().map(|name| Linear::new(g, name, last, inputs)).collect(),
        })
    }

    /// The dimensions of z.
    pub fn latent(&self) -> usize {
        self.config.latent
    }

    /// All variables that are trained.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        let ends = self.posterior.iter().chain(&self.outputs).flat_map(Linear::params);
        self.classifier_params()
            .into_iter()
            .chain(self.encoder.params())
            .chain(self.decoder.params())
            .chain(ends)
            .collect()
    }

    /// The variables of the classifier.
    pub fn classifier_params(&self) -> Vec<Tensor<'g>> {
        self.classifier.iter().flat_map(Linear::params).collect()
    }

    /// The classifier q(y|x): inputs `[N, I]` to the logits of their classes, `[N, K]`.
    #[track_caller]
    pub fn logits(&self, x: Tensor<'g>) -> Tensor<'g> {
        self.classify(x, "", 0.0)
    }

    /// The classifier's logits with normal noise on what its layers read, of the random streams `STREAM.0`,
    /// `STREAM.3`, `STREAM.6`, ...
    #[track_caller]
    fn classify(&self, x: Tensor<'g>, stream: &str, sigma: f32) -> Tensor<'g> {
        let mut chain = Sequential::new(stream);
        for (i, layer) in self.classifier.iter().enumerate() {
            if i > 0 {
                chain = chain.then(self.config.activation);
            }
            let noise = |name: &str| Layer::Noise { stream: name.into(), sigma };
            chain = chain.with(noise).with(|_| Layer::Linear(*layer));
        }
        chain.forward(x)
    }

    /// The encoder q(z|x, y): inputs `[N, I]` and classes, one-hot `[N, K]`, to mu and logvar, each `[N, latent]`.
    #[track_caller]
    pub fn encode(&self, x: Tensor<'g>, class: Tensor<'g>) -> [Tensor<'g>; 2] {
        let hidden = self.encoder.of(x, class);
        self.posterior.map(|layer| layer.forward(hidden))
    }

    /// The decoder p(x|y, z): the logits or the means of x, `[N, I]`, given z `[N, latent]` and classes, one-hot
    /// `[N, K]`.
    #[track_caller]
    pub fn decode(&self, z: Tensor<'g>, class: Tensor<'g>) -> Tensor<'g> {
        self.outputs[0].forward(self.decoder.of(z, class))
    }

    /// -log p(x|y, z) in nats: the decoder's last hidden units `[C·N, H]` and inputs `[N, I]` to `[C, N]`.
    #[track_caller]
    fn nats(&self, hidden: Tensor<'g>, x: Tensor<'g>) -> Tensor<'g> {
        let (n, width) = (x.extent(0), x.extent(1));
        let part = |i: usize| self.outputs[i].forward(hidden).reshape([hidden.extent(0) / n, n, width]);
        x.graph().traced(|| match self.config.visible {
            Visible::Bernoulli => part(0).bce_with_logits(x).sum(&[2]),
            Visible::Gaussian => {
                let logvar = part(1);
                ((x - part(0)).square() * (-logvar).exp() + logvar + TAU.ln()).sum(&[2]) * 0.5
            }
        })
    }

    /// -log p(y) of any class.
    fn prior(&self) -> f32 {
        (self.config.classes as f32).ln()
    }

    /// L(x, y), the negative bound of labelled inputs (eq. 6): `[N, I]` and classes, one-hot `[N, K]`, to
    /// `[N]`. The noise of z is of the random stream `m2/labelled`, `[N, latent]`.
    #[track_caller]
    pub fn labelled(&self, x: Tensor<'g>, class: Tensor<'g>) -> Tensor<'g> {
        let [mu, logvar] = self.encode(x, class);
        let z = reparameterize("m2/labelled", mu, logvar);
        self.nats(self.decoder.of(z, class), x).reshape([x.extent(0)]) + kl(mu, logvar) + self.prior()
    }

    /// U(x), the negative bound of unlabelled inputs (eq. 7): Σ_y q(y|x)·(L(x, y) + log q(y|x)), `[N, I]` to
    /// `[N]`. The noise of z is of the random stream `m2/unlabelled`, `[K·N, latent]`, class by class.
    #[track_caller]
    pub fn unlabelled(&self, x: Tensor<'g>) -> Tensor<'g> {
        self.weighed(x, self.logits(x))
    }

    /// U(x), where these logits `[N, K]` weigh the classes.
    #[track_caller]
    fn weighed(&self, x: Tensor<'g>, logits: Tensor<'g>) -> Tensor<'g> {
        let (n, k) = (x.extent(0), self.config.classes);
        let hidden = self.encoder.of_all(x, n);
        let [mu, logvar] = self.posterior.map(|layer| layer.forward(hidden));
        let z = reparameterize("m2/unlabelled", mu, logvar);
        let bounds = self.nats(self.decoder.of_all(z, n), x) + kl(mu, logvar).reshape([k, n]) + self.prior();
        let log_q = logits.log_softmax(1).t();
        (log_q.exp() * (bounds + log_q)).sum(&[0])
    }

    /// The objective J^α (eq. 9) as an estimate from a batch `[N, I]` of all images and a batch of labelled
    /// ones, `[M, I]` with one-hot classes `[M, K]`, summed over the first batch. The classifier's noise is of the
    /// random streams `m2/classifier/unlabelled.I` and `m2/classifier/labelled.I`, I = 0, 3, 6, ...
    #[track_caller]
    pub fn loss(&self, x: Tensor<'g>, few: Tensor<'g>, class: Tensor<'g>) -> Loss<'g> {
        let n = x.extent(0) as f32;
        let classify = |x: Tensor<'g>, stream: &str| self.classify(x, stream, self.config.noise);
        let (all, known) = x
            .graph()
            .traced(|| (classify(x, "m2/classifier/unlabelled"), classify(few, "m2/classifier/labelled")));
        let unlabelled = self.weighed(x, all).sum_all();
        let labelled = self.labelled(few, class).mean_all() * n;
        let classification = known.cross_entropy(class).mean_all() * n;
        let total = unlabelled + labelled * self.config.share + classification * self.config.alpha;
        Loss { total, unlabelled, labelled, classification }
    }
}

/// The terms of M2's objective in nats, each summed over the batch of all images.
pub struct Loss<'g> {
    /// The objective that is minimised.
    pub total: Tensor<'g>,
    /// The negative bound U(x).
    pub unlabelled: Tensor<'g>,
    /// The mean negative bound L(x, y) of labelled images, as often as there are images in the batch.
    pub labelled: Tensor<'g>,
    /// The mean of -log q(y|x) of labelled images, as often as there are images in the batch.
    pub classification: Tensor<'g>,
}

impl<'g> Loss<'g> {
    /// The terms by their names.
    pub fn metrics(&self) -> Metrics<'g> {
        let terms = [self.total, self.unlabelled, self.labelled, self.classification];
        ["loss", "unlabelled", "labelled", "classification"].into_iter().zip(terms).collect()
    }
}

/// M2 over images, or over the latents of an M1 that stays as it is.
pub struct SemiSupervised<'g> {
    m1: Option<Vae<'g>>,
    m2: M2<'g>,
}

impl<'g> SemiSupervised<'g> {
    /// Stacks M2 on M1, if there is one.
    pub fn new(m1: Option<Vae<'g>>, m2: M2<'g>) -> Self {
        Self { m1, m2 }
    }

    /// M2 itself.
    pub fn m2(&self) -> &M2<'g> {
        &self.m2
    }

    /// What M2 sees of images `[N, pixels]` when it trains: the pixels, or a draw of z₁ by this random stream.
    #[track_caller]
    fn drawn(&self, x: Tensor<'g>, stream: &str) -> Tensor<'g> {
        let Some(m1) = &self.m1 else { return x };
        let (mu, logvar) = m1.encode(x);
        reparameterize(stream, mu, logvar)
    }

    /// What M2 sees of images `[N, pixels]` when it is asked: the pixels, or the means of z₁.
    #[track_caller]
    pub fn features(&self, x: Tensor<'g>) -> Tensor<'g> {
        self.m1.as_ref().map_or(x, |m1| m1.encode(x).0)
    }

    /// Records a step that minimises [`M2::loss`] of images `[N, pixels]`, and of labelled ones `[M, pixels]`
    /// with one-hot classes `[M, K]`, by an optimizer. Random streams: `m2/unlabelled`, `m2/labelled`, and
    /// over an M1 `m1/unlabelled` and `m1/labelled`.
    #[track_caller]
    pub fn training_step(
        &self,
        x: Tensor<'g>,
        few: Tensor<'g>,
        class: Tensor<'g>,
        optimizer: &Optimizer,
    ) -> Metrics<'g> {
        let [x, few] = [(x, "m1/unlabelled"), (few, "m1/labelled")].map(|(x, stream)| self.drawn(x, stream));
        let loss = self.m2.loss(x, few, class);
        optimizer.step("m2", loss.total, &self.m2.params());
        loss.metrics()
    }

    /// The logits of the classes of images: `[N, pixels]` to `[N, K]`.
    #[track_caller]
    pub fn logits(&self, x: Tensor<'g>) -> Tensor<'g> {
        self.m2.logits(self.features(x))
    }

    /// The negative evidence lower bound of images `[N, pixels]` without their labels, `[N]`, with one draw
    /// of each latent variable: U(x), or over an M1 the expectation of -log p(x|z₁) + log q(z₁|x) + U(z₁).
    /// Random streams: `m2/unlabelled`, and over an M1 `m1/unlabelled`.
    #[track_caller]
    pub fn bound(&self, x: Tensor<'g>) -> Tensor<'g> {
        let Some(m1) = &self.m1 else { return self.m2.unlabelled(x) };
        let (mu, logvar) = m1.encode(x);
        let z = reparameterize("m1/unlabelled", mu, logvar);
        // The entropy of a normal distribution: ½ Σ (1 + log 2π + log σ²).
        let entropy = (logvar + (1.0 + TAU.ln())).sum(&[1]) * 0.5;
        m1.decode(z).bce_with_logits(x).sum(&[1]) - entropy + self.m2.unlabelled(z)
    }

    /// The styles of images, the means of q(z|x, y) under their most likely classes: `[N, pixels]` to `[N,
    /// latent]`.
    #[track_caller]
    pub fn styles(&self, x: Tensor<'g>) -> Tensor<'g> {
        let seen = self.features(x);
        let logits = self.m2.logits(seen);
        let class = logits.eq(logits.max_over(&[1]).reshape([x.extent(0), 1]));
        self.m2.encode(seen, class)[0]
    }

    /// Pictures of styles `[N, latent]` in classes, one-hot `[N, K]`: the probabilities of white, `[N, pixels]`.
    #[track_caller]
    pub fn pictures(&self, z: Tensor<'g>, class: Tensor<'g>) -> Tensor<'g> {
        let x = self.m2.decode(z, class);
        self.m1.as_ref().map_or(x, |m1| m1.decode(x)).sigmoid()
    }
}
