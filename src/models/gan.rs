//! Generative adversarial nets (Goodfellow et al. 2014): a generator turns noise into pictures, a
//! discriminator tells them from real ones, and each is trained against the other.
//!
//! The discriminator gives each picture one number, its score: a logit of "real" where the objective is a
//! likelihood, any number where it is a distance. Pictures are in [-1, 1].

use super::{
    labels::Labels,
    players::{Players, Setting, Tricks},
};
use crate::{
    graph::{Graph, Tensor, autodiff},
    nn::{Activation, Layer, Linear, Mode, Sequential, Weight},
};

/// What the two players play for. All objectives are written to be minimised, as means over the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    /// The game's own value (Goodfellow et al. 2014, eq. 1): the generator minimises log(1 - D(G(z))).
    Minimax,
    /// The generator maximises log D(G(z)) instead (ibid., §3), whose gradient does not vanish where the
    /// discriminator is sure.
    NonSaturating,
    /// Both minimise squared distances of scores to 1 and 0 (Mao et al. 2016, eq. 9 with a = 0, b = c = 1).
    LeastSquares,
    /// Both minimise hinges at 1 and -1 (Lim & Ye 2017; Miyato et al. 2018, eq. 16 and 17).
    Hinge,
    /// Both minimise a difference of mean scores (Arjovsky et al. 2017, eq. 2 and 3). The critic must be
    /// Lipschitz, by clipped weights or by [`gradient_penalty`].
    Wasserstein,
}

impl Objective {
    /// The discriminator's loss from scores `[N]` of real pictures and of the generator's. Only objectives with
    /// labels know `labels`; where these are random, their streams are `label.real`, `label.fake`, `flip.real` and
    /// `flip.fake`.
    #[track_caller]
    pub fn discriminator<'g>(self, [real, fake]: [Tensor<'g>; 2], labels: &Labels) -> Tensor<'g> {
        if !labels.make_sense() {
            let what = format!("gan: labels are numbers, flipped by a probability in [0, 1], not {labels:?}");
            return real.graph().poison(what);
        }
        match self {
            Objective::Minimax | Objective::NonSaturating => {
                let [of_real, of_fake] = labels.of([real, fake]);
                of_real.cross_entropy(real).mean_all() + of_fake.cross_entropy(fake).mean_all()
            }
            Objective::LeastSquares => {
                let [of_real, of_fake] = labels.of([real, fake]);
                (of_real.squared(real).mean_all() + of_fake.squared(fake).mean_all()) * 0.5
            }
            Objective::Hinge => (1.0 - real).relu().mean_all() + (fake + 1.0).relu().mean_all(),
            Objective::Wasserstein => fake.mean_all() - real.mean_all(),
        }
    }

    /// The generator's loss from scores of its pictures.
    #[track_caller]
    pub fn generator(self, fake: Tensor<'_>) -> Tensor<'_> {
        match self {
            Objective::Minimax => -fake.softplus().mean_all(),
            Objective::NonSaturating => (-fake).softplus().mean_all(),
            Objective::LeastSquares => (fake - 1.0).square().mean_all() * 0.5,
            Objective::Hinge | Objective::Wasserstein => -fake.mean_all(),
        }
    }

    /// Whether there are labels, which can be soft or wrong.
    pub fn has_labels(self) -> bool {
        matches!(self, Objective::Minimax | Objective::NonSaturating | Objective::LeastSquares)
    }

    /// What a score says: the probability of "real" where it is a logit, else the score itself.
    #[track_caller]
    pub fn judgement(self, score: Tensor<'_>) -> Tensor<'_> {
        match self {
            Objective::Minimax | Objective::NonSaturating => score.sigmoid(),
            _ => score,
        }
    }
}

/// The gradient penalty: the mean of (‖∇D(x̂)‖ - 1)² at x̂ = ε·real + (1 - ε)·fake, where ε is uniform, one
/// per picture, drawn by the named stream (Gulrajani et al. 2017, algorithm 1). The critic must treat
/// pictures one by one, without batch normalisation.
#[track_caller]
pub fn gradient_penalty<'g>(
    critic: impl FnOnce(Tensor<'g>) -> Tensor<'g>,
    real: Tensor<'g>,
    fake: Tensor<'g>,
    stream: &str,
) -> Tensor<'g> {
    let (g, shape) = (real.graph(), real.shape());
    let one: Vec<usize> = shape.iter().enumerate().map(|(d, &n)| if d == 0 { n } else { 1 }).collect();
    let x = fake + (real - fake) * g.uniform(stream, one);
    let slope = autodiff::grad(critic(x).sum_all(), &[x])[0];
    let axes: Vec<usize> = (1..shape.len()).collect();
    // Where a critic is flat, its norm has no derivative.
    ((slope.square().sum(&axes) + 1e-12).sqrt() - 1.0).square().mean_all()
}

/// The networks of multilayer perceptrons.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The pixels of a picture.
    pub pixels: usize,
    /// The dimensions of the noise.
    pub latent: usize,
    /// The widths of the generator's hidden layers.
    pub hidden: Vec<usize>,
    /// The widths of the discriminator's hidden layers.
    pub discriminator: Vec<usize>,
    /// What the discriminator's weights are.
    pub weight: Weight,
    /// The number of classes that both players are told, one-hot, beside their inputs (Mirza & Osindero
    /// 2014); 0 tells none.
    pub classes: usize,
    /// The numbers that the discriminator gives a picture, [`Setting::scores`].
    pub scores: usize,
    /// The use of the networks.
    pub mode: Mode,
    /// Changes of the layers.
    pub tricks: Tricks,
}

/// The networks of a game: a [`Config`] without what the game's rules and data decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks {
    /// The dimensions of the noise.
    pub latent: usize,
    /// The widths of the generator's hidden layers.
    pub hidden: Vec<usize>,
    /// The widths of the discriminator's hidden layers.
    pub discriminator: Vec<usize>,
}

impl Networks {
    /// The networks whose discriminator has the generator's hidden layers in reverse order.
    pub fn mirrored(latent: usize, hidden: Vec<usize>) -> Self {
        let discriminator = hidden.iter().rev().copied().collect();
        Self { latent, hidden, discriminator }
    }

    fn config(&self, at: &Setting) -> Config {
        Config {
            pixels: at.canvas.iter().product(),
            latent: self.latent,
            hidden: self.hidden.clone(),
            discriminator: self.discriminator.clone(),
            weight: at.weight,
            classes: at.classes,
            scores: at.scores,
            mode: at.mode,
            tricks: at.tricks,
        }
    }
}

impl Players for Networks {
    fn latent(&self) -> usize {
        self.latent
    }

    fn generator<'g>(&self, g: &'g Graph, name: &str, at: &Setting) -> Sequential<'g> {
        generator(g, name, &self.config(at))
    }

    fn discriminator<'g>(&self, g: &'g Graph, name: &str, at: &Setting) -> Sequential<'g> {
        discriminator(g, name, &self.config(at))
    }

    fn seen<'g>(&self, pictures: Tensor<'g>) -> Tensor<'g> {
        pictures.reshape([pictures.extent(0), 1, 1, pictures.shape().iter().skip(1).product()])
    }
}

/// A chain of linear layers of these widths, with what the tricks say between them.
#[track_caller]
fn perceptron<'g>(
    g: &'g Graph,
    name: &str,
    widths: &[usize],
    weight: Weight,
    (tricks, mode): (Tricks, Mode),
) -> Sequential<'g> {
    let mut chain = Sequential::new(name);
    for (i, pair) in widths.windows(2).enumerate() {
        let mut inputs = pair[0];
        if i > 0 {
            chain = tricks.dropped(chain.then(tricks.activation), i - 1, mode);
            chain = tricks.disturbed(chain, mode);
        }
        if i + 2 == widths.len() {
            (chain, inputs) = tricks.compared(chain, inputs);
        }
        let layer = |name: &str| Layer::Linear(Linear::of(g, name, [inputs, pair[1]], weight, true));
        chain = g.traced(|| chain.with(layer));
    }
    chain
}

/// The generator `NAME.main`: `[N, latent + classes]` to `[N, pixels]`, with ReLU between its layers and tanh
/// at the end.
#[track_caller]
pub fn generator<'g>(g: &'g Graph, name: &str, config: &Config) -> Sequential<'g> {
    let inputs = [config.latent.saturating_add(config.classes)];
    let widths: Vec<usize> =
        inputs.into_iter().chain(config.hidden.iter().copied()).chain([config.pixels]).collect();
    let tricks = Tricks { activation: Activation::Relu, stddev: false, noise: 0.0, ..config.tricks };
    let name = format!("{name}.main");
    perceptron(g, &name, &widths, Weight::Plain, (tricks, config.mode)).then(Activation::Tanh)
}

/// The discriminator `NAME.main`: `[N, pixels + classes]` to `[N, scores]`, with leaky ReLU between its
/// layers, or the non-linearity that its tricks name.
#[track_caller]
pub fn discriminator<'g>(g: &'g Graph, name: &str, config: &Config) -> Sequential<'g> {
    let inputs = [config.pixels.saturating_add(config.classes)];
    let widths: Vec<usize> =
        inputs.into_iter().chain(config.discriminator.iter().copied()).chain([config.scores]).collect();
    let tricks = Tricks { dropout: 0.0, ..config.tricks };
    perceptron(g, &format!("{name}.main"), &widths, config.weight, (tricks, config.mode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{
        reference::{self, Values},
        shape::{Array, Type},
    };

    const ALL: [Objective; 5] = [
        Objective::Minimax,
        Objective::NonSaturating,
        Objective::LeastSquares,
        Objective::Hinge,
        Objective::Wasserstein,
    ];

    fn losses(objective: Objective, real: [f64; 2], fake: [f64; 2], smooth: f32) -> [f64; 2] {
        let g = Graph::new();
        let [r, f] = ["real", "fake"].map(|name| g.input(name, Type::f32([2])));
        g.output("d", objective.discriminator([r, f], &Labels::smoothed(smooth)));
        g.output("g", objective.generator(f));
        let inputs =
            [("real", real), ("fake", fake)].map(|(name, x)| (name.to_string(), Array::new([2], x.to_vec())));
        let out = reference::eval(&g, &inputs.into(), &mut Values::new()).unwrap();
        ["d", "g"].map(|name| out[name].data[0])
    }

    #[test]
    fn losses_are_those_of_the_papers() {
        let (real, fake) = ([0.3, -1.7], [-0.4, 2.2]);
        let mean = |f: &dyn Fn(f64) -> f64, x: [f64; 2]| x.iter().map(|&x| f(x)).sum::<f64>() / 2.0;
        let probability = |x: f64| 1.0 / (1.0 + (-x).exp());
        let truth = mean(&|x| -probability(x).ln(), real) + mean(&|x| -(1.0 - probability(x)).ln(), fake);
        let wanted = [
            [truth, mean(&|x| (1.0 - probability(x)).ln(), fake)],
            [truth, mean(&|x| -probability(x).ln(), fake)],
            [
                mean(&|x| 0.5 * (x - 1.0).powi(2), real) + mean(&|x| 0.5 * x * x, fake),
                mean(&|x| 0.5 * (x - 1.0).powi(2), fake),
            ],
            [mean(&|x| (1.0 - x).max(0.0), real) + mean(&|x| (1.0 + x).max(0.0), fake), mean(&|x| -x, fake)],
            [mean(&|x| -x, real) + mean(&|x| x, fake), mean(&|x| -x, fake)],
        ];
        for (objective, wanted) in ALL.into_iter().zip(wanted) {
            let got = losses(objective, real, fake, 0.0);
            assert!(
                (0..2).all(|i| (got[i] - wanted[i]).abs() < 1e-9),
                "{objective:?}: {got:?}, not {wanted:?}"
            );
        }
    }

    /// Smoothed labels make the best score of a real picture finite: log(0.9/0.1) for a label of 0.9, or 0.9
    /// itself.
    #[test]
    fn smoothing_bounds_the_best_score() {
        for (objective, best) in [(Objective::NonSaturating, 9f64.ln()), (Objective::LeastSquares, 0.9)] {
            let loss = |score: f64| losses(objective, [score; 2], [0.0; 2], 0.1)[0];
            assert!(
                loss(best) < loss(best - 0.1) && loss(best) < loss(best + 0.1) && objective.has_labels(),
                "{objective:?}"
            );
        }
    }

    /// The discriminator's loss by given uniform numbers, and that of labels which the closure makes of both.
    fn labelled(labels: &Labels, objective: Objective, wanted: impl Fn(usize, f64, f64) -> f64) -> [f64; 2] {
        let g = Graph::new();
        let streams = ["label.real", "flip.real", "label.fake", "flip.fake"];
        streams.iter().for_each(|stream| g.bind_stream(stream));
        let scores = ["real", "fake"].map(|name| g.input(name, Type::f32([4])));
        g.output("loss", objective.discriminator(scores, labels));
        let array = |salt: f64| Array::from_fn([4], |i| 0.5 + 0.5 * (salt + 2.3 * i as f64).sin());
        let values: Values = streams
            .into_iter()
            .chain(["real", "fake"])
            .enumerate()
            .map(|(salt, name)| (name.to_string(), array(salt as f64)))
            .collect();
        let got = reference::eval(&g, &values, &mut Values::new()).unwrap()["loss"].data[0];
        let sum = (0..4).map(|i| {
            let at = |name: &str| values[name].data[i];
            let [real, fake] =
                [("real", ["label.real", "flip.real"], 0), ("fake", ["label.fake", "flip.fake"], 1)].map(
                    |(name, [share, flip], kind)| {
                        let score = at(name);
                        let label = wanted(kind, at(share), at(flip));
                        match objective {
                            Objective::LeastSquares => 0.5 * (score - label).powi(2),
                            _ => {
                                let p = 1.0 / (1.0 + (-score).exp());
                                -(label * p.ln() + (1.0 - label) * (1.0 - p).ln())
                            }
                        }
                    },
                );
            real + fake
        });
        [got, sum.sum::<f64>() / 4.0]
    }

    #[test]
    fn soft_and_flipped_labels_are_what_they_say() {
        let soft = Labels { real: [0.7, 1.2], fake: [0.0, 0.3], flipped: 0.0 };
        let noisy = Labels { flipped: 0.6, ..Labels::default() };
        let both = Labels { flipped: 0.6, ..soft };
        let constant = Labels { real: [0.9; 2], fake: [0.1; 2], flipped: 0.0 };
        let between = |kind: usize, share: f64| if kind == 0 { 0.7 + 0.5 * share } else { 0.3 * share };
        let flipped = |kind: usize, flip: f64| if flip < 0.6 { 1 - kind } else { kind };
        for objective in [Objective::NonSaturating, Objective::Minimax, Objective::LeastSquares] {
            for [got, want] in [
                labelled(&soft, objective, |kind, share, _| between(kind, share)),
                labelled(&noisy, objective, |kind, _, flip| 1.0 - flipped(kind, flip) as f64),
                labelled(&both, objective, |kind, share, flip| between(flipped(kind, flip), share)),
                labelled(&constant, objective, |kind, _, _| [0.9, 0.1][kind]),
            ] {
                assert!((got - want).abs() < 1e-6, "{objective:?}: {got}, not {want}");
            }
        }
    }

    /// A linear critic w·x has the slope w everywhere, so that the penalty is (‖w‖ - 1)² and its derivative
    /// is 2·(‖w‖ - 1)·w/‖w‖.
    #[test]
    fn the_penalty_of_a_plane_is_known() {
        let g = Graph::new();
        let [real, fake, w] = [[4, 2], [4, 2], [1, 2]]
            .map(Type::f32)
            .into_iter()
            .zip(["r", "f", "w"])
            .map(|(ty, name)| g.input(name, ty))
            .collect::<Vec<_>>()[..]
        else {
            unreachable!("three inputs")
        };
        let penalty = gradient_penalty(|x| (x * w).sum(&[1]), real, fake, "penalty");
        g.output("penalty", penalty);
        g.output("dw", autodiff::grad(penalty, &[w])[0]);
        let x = |k: f64| Array::from_fn([4, 2], |i| (i as f64 * k).sin());
        let inputs = [("r", x(0.7)), ("f", x(1.9)), ("w", Array::new([1, 2], vec![3.0, -4.0]))]
            .map(|(n, x)| (n.to_string(), x));
        let out = reference::eval(&g, &inputs.into(), &mut reference::initial(&g, 0)).unwrap();
        assert!((out["penalty"].data[0] - 16.0).abs() < 1e-9, "{:?}", out["penalty"]);
        assert!(
            (out["dw"].data[0] - 4.8).abs() < 1e-6 && (out["dw"].data[1] + 6.4).abs() < 1e-6,
            "{:?}",
            out["dw"]
        );
    }
}
