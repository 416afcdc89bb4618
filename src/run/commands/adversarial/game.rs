//! The players as plans on one State: a step of the discriminator, a step of the generator (Goodfellow et al. 2014, algorithm 1),
//! and the generator alone.
//!
//! The generator's noise is its own in each plan. Its running statistics follow its own step, the discriminator's every batch that
//! it sees: as in pytorch/examples, whose round is one of each.

use super::{Adversarial, DISCRIMINATOR, Error, GENERATOR, Loss, Result, Train};
use crate::{
    data::Images,
    graph::{
        Graph, Tensor,
        shape::Type,
        var::{Init, VarSpec},
        window::Kernel,
    },
    kernel::caps::Caps,
    models::{
        dcgan::beside,
        gan::{Objective, gradient_penalty},
    },
    nn::{Mode, Sequential, Weight},
    ops::views::concat,
    optim::{Optimizer, advance},
    plan::Plan,
    train::{batch, labels, remember},
};

/// Inputs and output of [`Game::pictures`].
pub(super) const NOISE: &str = "z";
pub(super) const CLASS: &str = "class";
pub(super) const PICTURES: &str = "pictures";
/// Input and output of [`Game::hidden`].
pub(super) const IMAGES: &str = "images";
pub(super) const HIDDEN: &str = "hidden";
/// The discriminator's step counter; what its last step measured, and its classes.
const COUNTER: &str = "discriminator.step";
const MEASURED: &str = "discriminator.measured";
const CLASSES: &str = "discriminator.classes";

/// What a player's layers depend on besides the model's options.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Rows, columns and channels that the networks work with.
    pub canvas: [usize; 3],
    /// Classes that the players are told; 0 tells none.
    pub classes: usize,
    /// What the discriminator's weights are.
    pub weight: Weight,
    /// What the players play for.
    pub objective: Objective,
    /// Whether the discriminator's gradient is penalised: it must treat pictures one by one.
    pub penalty: bool,
}

/// The game between the players of a model.
pub(super) struct Game<'a, M: Adversarial> {
    options: &'a Train<M>,
    image: [usize; 3],
    canvas: [usize; 3],
    classes: usize,
}

impl<'a, M: Adversarial> Game<'a, M> {
    pub(super) fn new(options: &'a Train<M>, image: [usize; 3], classes: usize) -> Result<Self> {
        let [h, w] = options.model.canvas([image[0], image[1]])?;
        if image[0] > h || image[1] > w {
            let what = format!("the images are {}x{}, the networks' pictures {h}x{w}", image[0], image[1]);
            return Err(Error::new(format!("{what}; scale the images by --image-size {}", h.min(w))));
        }
        let classes = if options.model.conditional() { classes } else { 0 };
        Ok(Self { options, image, canvas: [h, w, image[2]], classes })
    }

    fn setting(&self, mode: Mode) -> Setting {
        let weight = if self.options.spectral { Weight::Spectral(mode) } else { Weight::Plain };
        let (objective, penalty) = (self.options.loss.objective(), self.options.loss == Loss::WassersteinGp);
        Setting { canvas: self.canvas, classes: self.classes, weight, objective, penalty }
    }

    fn size(&self) -> usize {
        self.options.common.batch as usize
    }

    /// Standard normals from the engine's own generator, a vector per picture.
    pub(super) fn noise(&self, seed: u64, count: usize) -> Vec<f32> {
        let words = Init::Normal(0.0, 1.0).words(seed, "latents", count * self.options.model.latent());
        words.into_iter().map(f32::from_bits).collect()
    }

    /// All classes in turn, one-hot; nothing where there are none.
    pub(super) fn in_turn(&self, count: usize) -> Vec<f32> {
        self.one_hot((0..count).map(|i| i % self.classes.max(1)))
    }

    pub(super) fn one_hot(&self, classes: impl Iterator<Item = usize>) -> Vec<f32> {
        classes.flat_map(|class| (0..self.classes).map(move |k| f32::from(u8::from(k == class)))).collect()
    }

    pub(super) fn classes(&self) -> usize {
        self.classes
    }

    fn generate<'g>(
        &self,
        chain: &Sequential<'g>,
        z: Tensor<'g>,
        class: Option<Tensor<'g>>,
        mode: Mode,
    ) -> Tensor<'g> {
        let ([n, latent], [h, w, c]) = ([z.shape()[0], z.shape()[1]], self.canvas);
        chain.forward(beside(z.reshape([n, 1, 1, latent]), class), mode).reshape([n, h, w, c])
    }

    /// Scores `[N]` of pictures, with fresh noise on them if the options ask for it.
    fn score<'g>(
        &self,
        chain: &Sequential<'g>,
        x: Tensor<'g>,
        class: Option<Tensor<'g>>,
        stream: &str,
    ) -> Tensor<'g> {
        let sigma = self.options.instance_noise as f32;
        let x = if sigma > 0.0 { x + x.graph().normal(stream, x.shape()) * sigma } else { x };
        chain.forward(beside(self.options.model.seen(x), class), Mode::Training).reshape([x.shape()[0]])
    }

    /// Images in [0, 1] in any shape as pictures in [-1, 1], framed in black.
    fn framed<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let ([h, w, c], [rows, columns, _]) = (self.image, self.canvas);
        let (top, left) = ((rows - h) / 2, (columns - w) / 2);
        let x = x.reshape([x.shape()[0], h, w, c]);
        let x = if rows > h { x.pad(1, top, rows - h - top) } else { x };
        let x = if columns > w { x.pad(2, left, columns - w - left) } else { x };
        x * 2.0 - 1.0
    }

    /// The discriminator sees real pictures and the generator's, which stays as it is.
    pub(super) fn discriminator_step(&self, set: &Images, caps: &Caps) -> Result<Plan> {
        let g = Graph::new();
        g.count_by(COUNTER);
        let (options, at, n) = (self.options, self.setting(Mode::Training), self.size());
        let class = (self.classes > 0).then(|| labels(&g, set, n));
        let generator = options.model.generator(&g, GENERATOR, &at);
        let critic = options.model.discriminator(&g, DISCRIMINATOR, &at);
        let real = self.framed(batch(&g, set, n, None));
        let z = g.normal("discriminator.z", [n, options.model.latent()]);
        let fake = self.generate(&generator, z, class, Mode::Batch).detach();
        let scores =
            [self.score(&critic, real, class, "noise.real"), self.score(&critic, fake, class, "noise.fake")];
        let mut loss = at.objective.discriminator(scores[0], scores[1], options.smooth as f32);
        if at.penalty {
            let judge = |x| critic.forward(beside(options.model.seen(x), class), Mode::Batch);
            loss = loss
                + gradient_penalty(judge, real, fake, "penalty") * options.penalty.unwrap_or(10.0) as f32;
        }
        let lr = options.lr_discriminator.unwrap_or(options.lr) as f32;
        let mut optimizer = Optimizer::adam(lr).betas(options.beta1, 0.999);
        if options.loss == Loss::Wasserstein {
            optimizer = optimizer.clip_weights(options.clip.unwrap_or(0.01) as f32);
        }
        optimizer.step(DISCRIMINATOR, loss, &critic.params());
        let [on_real, on_fake] = scores.map(|score| at.objective.judgement(score).sum_all().reshape([1]));
        let measured = concat(&[(loss * n as f32).reshape([1]), on_real, on_fake], 0);
        g.assign(g.var(MEASURED, Type::f32([3]), Init::Zeros), measured);
        if let Some(class) = class {
            g.assign(self.last_classes(&g), class);
        }
        advance(&g);
        Ok(Plan::new(&g, caps)?)
    }

    /// The classes of the discriminator's last step, which the generator's takes too.
    fn last_classes<'g>(&self, g: &'g Graph) -> Tensor<'g> {
        g.var(CLASSES, Type::f32([self.size(), self.classes]), Init::Zeros)
    }

    /// The generator plays against the discriminator as it is now.
    pub(super) fn generator_step(&self, caps: &Caps) -> Result<Plan> {
        let g = Graph::new();
        let (options, at, n) = (self.options, self.setting(Mode::Batch), self.size());
        let class = (self.classes > 0).then(|| self.last_classes(&g));
        let generator = options.model.generator(&g, GENERATOR, &at);
        let critic = options.model.discriminator(&g, DISCRIMINATOR, &at);
        let fake = self.generate(
            &generator,
            g.normal("generator.z", [n, options.model.latent()]),
            class,
            Mode::Training,
        );
        let loss = at.objective.generator(self.score(&critic, fake, class, "noise"));
        let mut optimizer = Optimizer::adam(options.lr as f32).betas(options.beta1, 0.999);
        if let Some(decay) = options.ema {
            optimizer = optimizer.ema(decay);
            follow(&g);
        }
        optimizer.step(GENERATOR, loss, &generator.params());
        let measured = g.var(MEASURED, Type::f32([3]), Init::Zeros);
        let of = |i: usize| measured.slice(0, i..i + 1);
        remember(&g, &[of(0), loss * n as f32, of(1), of(2)]);
        advance(&g);
        Ok(Plan::new(&g, caps)?)
    }

    /// The discriminator's features of images `[count, H, W, C]` in [0, 1]: all hidden activations, pooled to at most 4x4, side by side
    /// (Radford et al. 2015, §5.1). A conditional one is told no class.
    pub(super) fn hidden(&self, caps: &Caps, count: usize) -> Result<Plan> {
        let g = Graph::new();
        let (options, at) = (self.options, self.setting(Mode::Evaluation));
        let x = self.framed(g.input(IMAGES, Type::f32([&[count], &self.image[..]].concat())));
        let class = (self.classes > 0).then(|| g.full([count, self.classes], 0.0));
        let critic = options.model.discriminator(&g, DISCRIMINATOR, &at);
        let hidden = critic.activations(beside(options.model.seen(x), class), Mode::Evaluation);
        let all: Vec<_> = hidden.into_iter().map(pooled).collect();
        g.output(HIDDEN, concat(&all, 1));
        Ok(Plan::new(&g, caps)?)
    }

    /// The generator that samples are drawn from: its pictures in [0, 1], without the frame.
    pub(super) fn pictures(&self, caps: &Caps, count: usize) -> Result<Plan> {
        let g = Graph::new();
        let ([h, w, _], [rows, columns, _]) = (self.image, self.canvas);
        let (top, left) = ((rows - h) / 2, (columns - w) / 2);
        let z = g.input(NOISE, Type::f32([count, self.options.model.latent()]));
        let class = (self.classes > 0).then(|| g.input(CLASS, Type::f32([count, self.classes])));
        let generator =
            self.options.model.generator(&g, self.options.drawn(), &self.setting(Mode::Evaluation));
        let x = self.generate(&generator, z, class, Mode::Evaluation);
        g.output(PICTURES, (x.slice(1, top..top + h).slice(2, left..left + w) + 1.0) * 0.5);
        Ok(Plan::new(&g, caps)?)
    }
}

/// Activations as rows, those of pictures by their maxima over a 4x4 grid.
fn pooled(y: Tensor<'_>) -> Tensor<'_> {
    let shape = y.shape();
    let side = if shape.len() == 4 { shape[1] / 4 } else { 1 };
    let y = if side > 1 { y.max_pool(&Kernel::square(side).stride(side)) } else { y };
    y.reshape([shape[0], y.shape().numel() / shape[0]])
}

/// The averaged generator's running statistics are those of the generator itself.
fn follow(g: &Graph) {
    let kept = |v: &&VarSpec| v.kept && v.name.starts_with(GENERATOR);
    let kept: Vec<VarSpec> = g.recording().vars.iter().filter(kept).cloned().collect();
    for VarSpec { name, ty, init, .. } in kept {
        let now = g.buffer(&name, ty.clone(), init.clone());
        let next = g
            .recording()
            .assigns
            .iter()
            .find(|&&(leaf, _)| leaf == now.id())
            .map_or(now.id(), |&(_, value)| value);
        g.assign(g.buffer(&format!("ema/{name}"), ty, init), g.tensor(next));
    }
}
