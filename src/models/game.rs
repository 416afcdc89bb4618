//! The game of two players (Goodfellow et al. 2014, algorithm 1): k steps of the discriminator, then one of
//! the generator, each a graph of its own on one State.
//!
//! Each player draws noise of its own. The generator's running statistics follow its own step, and the
//! discriminator's follow every batch that it sees, as in pytorch/examples, whose round is one step of each.

pub use super::rules::Rules;

use super::{
    Metrics,
    gan::gradient_penalty,
    players::{Batch, Generator, Players, Setting},
};
use crate::{
    error::{Error, Result},
    graph::{
        Graph, Tensor,
        shape::Type,
        var::{Init, Role, VarSpec, average},
        window::Kernel,
    },
    nn::{Mode, Sequential, Weight},
    optim::{Optimizer, advance},
    weights::Weights,
};

/// The name of the generator's variables.
pub const GENERATOR: &str = "generator";
/// The name of the discriminator's variables.
pub const DISCRIMINATOR: &str = "discriminator";
/// The name of the variables of the generator whose weights are averages over training.
pub const AVERAGE: &str = "ema/generator";
/// The discriminator's step counter.
pub(super) const COUNTER: &str = "discriminator.step";
/// What the discriminator's last step measured, which the generator's step passes on.
const MEASURED: &str = "discriminator.measured";
/// The classes of the discriminator's last step, which the generator's step takes too.
const CLASSES: &str = "discriminator.classes";

/// A game between two players over images of one size.
pub struct Game<P: Players> {
    pub(super) players: P,
    rules: Rules,
    /// The rows, columns and channels of the images.
    image: [usize; 3],
    pub(super) canvas: [usize; 3],
    classes: usize,
    /// The number of classes that the discriminator tells apart; 0 if it tells none.
    apart: usize,
    /// The channels of hints, which both players are given; 0 without.
    pub(super) hint: usize,
    pub(super) batch: usize,
}

impl<P: Players> Game<P> {
    /// A game over images `[rows, columns, channels]`, of which `batch` are seen in a step. The networks work
    /// on a canvas of so many rows and columns; smaller images are framed in black. `classes` are told to
    /// both players; 0 tells none.
    ///
    /// # Errors
    /// Images that are larger than the canvas.
    pub fn new(
        players: P,
        rules: Rules,
        image: [usize; 3],
        [rows, columns]: [usize; 2],
        classes: usize,
        batch: usize,
    ) -> Result<Self> {
        if image[0] > rows || image[1] > columns {
            let what =
                format!("the images are {}x{}, the networks' pictures {rows}x{columns}", image[0], image[1]);
            let side = rows.min(columns);
            return Err(Error::new(format!("{what}; scale the images to an image size of {side}")));
        }
        let canvas = [rows, columns, image[2]];
        Ok(Self { players, rules, image, canvas, classes, apart: 0, hint: 0, batch })
    }

    /// Makes the discriminator tell so many classes apart, too, which it learns by the steps of
    /// [`super::few_labels_game`]. Its weights are normalised by weight norm, and its activations are not.
    #[must_use]
    pub fn telling_apart(self, classes: usize) -> Self {
        Self { apart: classes, ..self }
    }

    /// The number of classes that the discriminator tells apart; 0 if it tells none.
    pub fn apart(&self) -> usize {
        self.apart
    }

    /// The same game, of which so many images are seen in a step.
    #[must_use]
    pub fn of_batch(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// The names of all weights of both players; see [`Plan::weights`](crate::plan::Plan::weights).
    pub fn weights(&self) -> Vec<String> {
        let [discriminator, generator] = [Graph::new(), Graph::new()];
        let (n, [h, w, c]) = (self.batch, self.image);
        let images = |g| Graph::input(g, "x", Type::f32([n, h, w, c]));
        let class = |g, classes| Graph::input(g, "class", Type::f32([n, classes]));
        if self.apart > 0 {
            self.telling_step(&discriminator, |g| [images(g), images(g), class(g, self.apart)]);
            self.matching_step(&generator, images);
        } else {
            let told = |g| (self.classes > 0).then(|| class(g, self.classes));
            let hint = |g| (self.hint > 0).then(|| Graph::input(g, "hint", Type::f32([n, h, w, self.hint])));
            let data = |g| Batch { real: images(g), class: told(g), hint: hint(g) };
            self.discriminator_step(&discriminator, data);
            self.generator_step(&generator);
        }
        let mut names = [discriminator.weights(), generator.weights()].concat();
        names.sort();
        names.dedup();
        names
    }

    /// The number of classes that the players are told; 0 tells none.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The rows, columns and channels of the pictures.
    pub fn image(&self) -> [usize; 3] {
        self.image
    }

    /// The dimensions of the noise.
    pub fn latent(&self) -> usize {
        self.players.latent()
    }

    /// The rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Records a step of the discriminator, which sees real pictures and the generator's; the generator stays
    /// as it is.
    ///
    /// `data` records the minibatch: a [`Batch`], or pictures `[N, …]` in [0, 1] and their classes, one-hot
    /// `[N, classes]`; the graph counts steps by a counter of the discriminator's own. Random streams:
    /// `discriminator.z`, and as the rules ask `noise.real`, `noise.fake`, `penalty`, `pool`, those of
    /// [`Objective::discriminator`](super::gan::Objective::discriminator), and those of dropout and of noise on
    /// hidden units.
    #[track_caller]
    pub fn discriminator_step<'g, B: Into<Batch<'g>>>(
        &self,
        g: &'g Graph,
        data: impl FnOnce(&'g Graph) -> B,
    ) {
        g.count_by(COUNTER);
        let (rules, n) = (&self.rules, self.batch);
        let Batch { real, class, hint } = data(g).into();
        let generator = self.generator(g, GENERATOR, &self.setting(Mode::Batch));
        let critic = self.players.discriminator(g, DISCRIMINATOR, &self.setting(Mode::Training));
        let (real, hint) = (self.framed(real), self.framed_hint(hint));
        let z = self.noise(g, "discriminator.z", n);
        let told = [class, hint];
        let fake = self.generate(&generator, z, told).detach();
        let (seen, told_there) = self.remembered(fake, told);
        let scores = [
            self.score(&critic, real, told, "noise.real"),
            self.score_apart(&critic, self.told(self.seen(seen, "noise.fake"), told_there)),
        ];
        let mut loss = rules.objective.discriminator(scores, &rules.labels);
        if let Some(weight) = rules.penalty {
            let judge = |x| critic.drawing("penalty").forward(self.told(self.players.seen(x), told));
            loss = loss + gradient_penalty(judge, real, fake, "penalty") * weight;
        }
        if let Some(class) = class {
            g.assign(self.last_classes(g), class);
        }
        if let Some(hint) = hint {
            let [hints, pictures] = self.last_pictures(g);
            g.assign(hints, hint);
            g.assign(pictures, real);
        }
        self.judge(&critic, loss, scores);
    }

    /// Records the discriminator's update and what it measured, and advances its counter.
    #[track_caller]
    pub(super) fn judge<'g>(&self, critic: &Sequential<'g>, loss: Tensor<'g>, scores: [Tensor<'g>; 2]) {
        let (rules, g) = (&self.rules, loss.graph());
        let mut optimizer = match rules.sgd {
            true => Optimizer::sgd(rules.lr_discriminator, 0.0),
            false => Optimizer::adam(rules.lr_discriminator).betas(rules.beta1, 0.999),
        };
        if let Some(largest) = rules.clip {
            optimizer = optimizer.clip_weights(largest);
        }
        optimizer.step(DISCRIMINATOR, loss, &critic.params());
        let [on_real, on_fake] = scores.map(|score| rules.objective.judgement(score).sum_all().reshape([1]));
        let measured = g.concat(&[(loss * self.batch as f32).reshape([1]), on_real, on_fake], 0);
        g.assign(passed(g, MEASURED, &[3]), measured);
        advance(g);
    }

    /// Records a step of the generator, which plays against the discriminator as it is now; `loss_D`, D(x)
    /// and D(G(z)) are those of the discriminator's last step. Random streams: `generator.z`, and as the
    /// rules ask `noise`, and those of dropout and of noise on hidden units.
    ///
    /// The caller advances the step counter, which counts rounds.
    #[track_caller]
    pub fn generator_step<'g>(&self, g: &'g Graph) -> Metrics<'g> {
        let (rules, at) = (&self.rules, self.setting(Mode::Training));
        // Both steps count for the discriminator's running statistics, but only its own iterates its spectral norms.
        let opposing = Setting { weight: self.setting(Mode::Batch).weight, ..at };
        let class = (self.classes > 0).then(|| self.last_classes(g));
        let given = (self.hint > 0).then(|| self.last_pictures(g));
        let generator = self.generator(g, GENERATOR, &at);
        let critic = self.players.discriminator(g, DISCRIMINATOR, &opposing);
        let z = self.noise(g, "generator.z", self.batch);
        let told = [class, given.map(|[hint, _]| hint)];
        let fake = self.generate(&generator, z, told);
        let mut loss = rules.objective.generator(self.score(&critic, fake, told, "noise"));
        if let Some([_, real]) = given {
            loss = loss + (fake - real).abs().mean_all() * rules.l1;
        }
        self.draw(&generator, loss)
    }

    /// Records the generator's update, and returns what both players measured.
    #[track_caller]
    pub(super) fn draw<'g>(&self, generator: &Generator<'g>, loss: Tensor<'g>) -> Metrics<'g> {
        let (rules, g) = (&self.rules, loss.graph());
        let mut optimizer = Optimizer::adam(rules.lr).betas(rules.beta1, 0.999);
        if let Some(decay) = rules.ema {
            optimizer = optimizer.ema(decay);
            follow(g);
        }
        optimizer.step(GENERATOR, loss, &generator.params());
        let measured = passed(g, MEASURED, &[3]);
        let of = |i: usize| measured.slice(0, i..i + 1);
        vec![("loss_D", of(0)), ("loss_G", loss * self.batch as f32), ("D(x)", of(1)), ("D(G(z))", of(2))]
    }

    /// Pictures in [0, 1], `[N, rows, columns, channels]` without the frame, made from noise `[N, latent]`
    /// and its classes `[N, classes]` by the generator that samples are drawn from. Where the rules ask for
    /// dropout, it draws anew whenever the graph's counter has moved on.
    #[track_caller]
    pub fn pictures<'g>(&self, z: Tensor<'g>, class: Option<Tensor<'g>>) -> Tensor<'g> {
        self.pictures_of(z, class, None)
    }

    /// [`Game::pictures`] that belong to hints `[N, rows, columns, hint]` in [0, 1].
    #[track_caller]
    pub fn pictures_of<'g>(
        &self,
        z: Tensor<'g>,
        class: Option<Tensor<'g>>,
        hint: Option<Tensor<'g>>,
    ) -> Tensor<'g> {
        let ([h, w, _], [top, left]) = (self.image, self.frame());
        let name = if self.rules.ema.is_some() { AVERAGE } else { GENERATOR };
        let generator = self.generator(z.graph(), name, &self.setting(Mode::Evaluation));
        let x = self.generate(&generator, z, [class, self.framed_hint(hint)]);
        (x.slice(1, top..top + h).slice(2, left..left + w) + 1.0) * 0.5
    }

    /// The discriminator's features of images `[N, …]` in [0, 1]: all hidden activations, pooled to at most
    /// 4x4, side by side (Radford et al. 2015, §5.1). A conditional discriminator is told no class,
    /// and no hint.
    #[track_caller]
    pub fn hidden<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let (g, at) = (x.graph(), self.setting(Mode::Evaluation));
        let class = (self.classes > 0).then(|| g.full([x.extent(0), self.classes], 0.0));
        let critic = self.players.discriminator(g, DISCRIMINATOR, &at);
        let [h, w, _] = self.canvas;
        let hint = (self.hint > 0).then(|| g.full([x.extent(0), h, w, self.hint], 0.0));
        let seen = self.told(self.players.seen(self.framed(x)), [class, hint]);
        let hidden = critic.activations(seen);
        g.concat(&hidden.into_iter().map(pooled).collect::<Vec<_>>(), 1)
    }

    pub(super) fn setting(&self, mode: Mode) -> Setting {
        let weight = match self.apart {
            _ if self.rules.spectral => Weight::Spectral(mode),
            0 => Weight::Plain,
            _ => Weight::Normed,
        };
        let (penalty, scores) = (self.rules.penalty.is_some(), self.apart.max(1));
        let (canvas, classes, hint, tricks) = (self.canvas, self.classes, self.hint, self.rules.tricks);
        Setting { canvas, classes, hint, scores, weight, mode, penalty, tricks }
    }

    /// Noise for `n` pictures, `[n, latent]`, drawn by a stream of this name.
    #[track_caller]
    pub(super) fn noise<'g>(&self, g: &'g Graph, stream: &str, n: usize) -> Tensor<'g> {
        let shape = [n, self.latent()];
        if self.rules.uniform { g.uniform(stream, shape) * 2.0 - 1.0 } else { g.normal(stream, shape) }
    }

    #[track_caller]
    pub(super) fn generate<'g>(
        &self,
        generator: &Generator<'g>,
        z: Tensor<'g>,
        [class, hint]: [Option<Tensor<'g>>; 2],
    ) -> Tensor<'g> {
        let ([n, latent], [h, w, c]) = ([z.extent(0), z.extent(1)], self.canvas);
        let code = match (&generator.encoder, hint) {
            (Some(encoder), Some(hint)) => Some(encoder.forward(hint)),
            _ => None,
        };
        generator.main.forward(self.told(z.reshape([n, 1, 1, latent]), [class, code])).reshape([n, h, w, c])
    }

    /// The scores `[N]` of pictures, with fresh noise on the pictures if the rules ask for it.
    #[track_caller]
    fn score<'g>(
        &self,
        chain: &Sequential<'g>,
        x: Tensor<'g>,
        told: [Option<Tensor<'g>>; 2],
        stream: &str,
    ) -> Tensor<'g> {
        chain.drawing(stream).forward(self.told(self.seen(x, stream), told)).reshape([x.extent(0)])
    }

    /// Pictures as the discriminator takes them, with fresh noise if the rules ask for it.
    #[track_caller]
    pub(super) fn seen<'g>(&self, x: Tensor<'g>, stream: &str) -> Tensor<'g> {
        let sigma = self.rules.instance_noise;
        self.players.seen(if sigma > 0.0 { x + x.graph().normal(stream, x.shape()) * sigma } else { x })
    }

    /// The rows above and the columns left of an image on its canvas.
    fn frame(&self) -> [usize; 2] {
        [(self.canvas[0] - self.image[0]) / 2, (self.canvas[1] - self.image[1]) / 2]
    }

    /// Images in [0, 1] in any shape as pictures in [-1, 1], framed in black.
    #[track_caller]
    pub(super) fn framed<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        self.framed_channels(x, self.image[2])
    }

    #[track_caller]
    pub(super) fn framed_channels<'g>(&self, x: Tensor<'g>, c: usize) -> Tensor<'g> {
        let ([h, w, _], [rows, columns, _], [top, left]) = (self.image, self.canvas, self.frame());
        let x = x.reshape([x.extent(0), h, w, c]);
        let x = if rows > h { x.pad(1, top, rows - h - top) } else { x };
        let x = if columns > w { x.pad(2, left, columns - w - left) } else { x };
        x * 2.0 - 1.0
    }

    fn last_classes<'g>(&self, g: &'g Graph) -> Tensor<'g> {
        passed(g, CLASSES, &[self.batch, self.classes])
    }
}

/// A file's tensors under the names of a game's variables. The file of a generator alone, as pytorch/examples'
/// DCGAN saves it, names its layers `main.N`; here they are `generator.main.N`, or `ema/generator.main.N`
/// where pictures come from the averaged generator. Other names stay.
pub fn named(weights: Weights, averaged: bool) -> Weights {
    let drawn = if averaged { AVERAGE } else { GENERATOR };
    let whose = |name: String| if name.starts_with("main.") { format!("{drawn}.{name}") } else { name };
    weights.into_iter().map(|(name, tensor)| (whose(name), tensor)).collect()
}

/// A value that the discriminator's step passes to the generator's.
#[track_caller]
pub(super) fn passed<'g>(g: &'g Graph, name: &str, shape: &[usize]) -> Tensor<'g> {
    g.declare(VarSpec::new(name, Type::f32(shape), Init::Zeros, Role::Passed))
}

/// Activations as rows, those of pictures by their maxima over a 4x4 grid.
fn pooled(y: Tensor<'_>) -> Tensor<'_> {
    let shape = y.shape();
    let side = if shape.len() == 4 { shape[1] / 4 } else { 1 };
    let y = if side > 1 { y.max_pool(&Kernel::square(side).stride(side)) } else { y };
    y.reshape([y.extent(0), y.shape().iter().skip(1).product()])
}

/// The averaged generator's running statistics are those of the generator itself.
fn follow(g: &Graph) {
    let kept = |v: &&VarSpec| v.role == Role::Buffer && v.name.starts_with(GENERATOR);
    let kept: Vec<VarSpec> = g.recording().vars.iter().filter(kept).cloned().collect();
    for VarSpec { name, ty, init, .. } in kept {
        let now = g.buffer(&name, ty.clone(), init.clone());
        let given =
            g.recording().assigns.iter().find(|&&(leaf, _)| leaf == now.id()).map(|&(_, value)| value);
        g.assign(g.buffer(&average(&name), ty, init), g.tensor(given.unwrap_or(now.id())));
    }
}
