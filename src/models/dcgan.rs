//! Deep convolutional generative adversarial networks (Radford et al. 2015). Strided convolutions stand
//! instead of pooling. Batch normalisation is everywhere but at the generator's output and the
//! discriminator's input. There are no hidden fully connected layers. The generator has ReLU, and tanh at its
//! end; the discriminator has leaky ReLU. Weights begin as N(0, 0.02) (ibid., §3 and §4).
//!
//! Layers, names and layouts are those of pytorch/examples, whose generator loads unchanged.

pub use super::players::Norm;
use super::players::{Players, Setting, Tricks};
use crate::{
    graph::{Graph, var::Init, window::Kernel},
    nn::{Activation, BatchNorm, Conv2d, ConvTranspose2d, Layer, LayerNorm, Mode, Sequential, Weight},
};

/// The networks.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The rows and columns of a picture, a power of two from 8 on; the paper's is 64.
    pub side: usize,
    /// The channels of a picture.
    pub channels: usize,
    /// The dimensions of the noise.
    pub latent: usize,
    /// The channels of the generator's last hidden layer at 64 rows, an eighth of those of its first (`ngf`).
    pub generator: usize,
    /// The channels of the discriminator's first hidden layer (`ndf`).
    pub discriminator: usize,
    /// What the discriminator's weights are.
    pub weight: Weight,
    /// What the discriminator normalises its hidden layers by.
    pub norm: Norm,
    /// What the networks' batch normalisation is used for.
    pub mode: Mode,
    /// The number of classes that both players are told (Mirza & Osindero 2014): the generator beside its
    /// noise, the discriminator as channels of its picture. 0 tells none.
    pub classes: usize,
    /// The channels of pictures that both players are given (Isola et al. 2017): an encoder's code of them stands
    /// beside the generator's noise, and the discriminator sees them as channels of its picture. 0 gives none.
    pub hint: usize,
    /// The numbers that the discriminator gives a picture, [`Setting::scores`].
    pub scores: usize,
    /// Changes of the layers; [`Config::norm`] is what normalises.
    pub tricks: Tricks,
}

impl Config {
    /// The channels of the encoder's code, as many as the generator's first hidden layer has; 0 without hints.
    fn code(&self) -> usize {
        if self.hint > 0 { self.generator.saturating_mul(8) } else { 0 }
    }
}

/// The networks of a game: a [`Config`] without what the game's rules and data decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Networks {
    /// The dimensions of the noise.
    pub latent: usize,
    /// The channels of the generator's last hidden layer at 64 rows (`ngf`).
    pub generator: usize,
    /// The channels of the discriminator's first hidden layer (`ndf`).
    pub discriminator: usize,
}

impl Networks {
    fn config(&self, at: &Setting) -> Config {
        Config {
            side: at.canvas[0],
            channels: at.canvas[2],
            latent: self.latent,
            generator: self.generator,
            discriminator: self.discriminator,
            weight: at.weight,
            norm: at.tricks.norm.unwrap_or(Norm::suiting(at.penalty, at.weight != Weight::Plain)),
            mode: at.mode,
            classes: at.classes,
            hint: at.hint,
            scores: at.scores,
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

    fn encoder<'g>(&self, g: &'g Graph, name: &str, at: &Setting) -> Option<Sequential<'g>> {
        (at.hint > 0).then(|| encoder(g, name, &self.config(at)))
    }

    fn discriminator<'g>(&self, g: &'g Graph, name: &str, at: &Setting) -> Sequential<'g> {
        discriminator(g, name, &self.config(at))
    }
}

/// The kernel 4x4 of stride 2, which doubles the rows where transposed, or halves them.
fn doubling() -> Kernel {
    Kernel::square(4).stride(2).padding(1)
}

/// Draws a layer's first weights as the paper has them.
#[track_caller]
fn normal<'g>(g: &'g Graph, layer: Layer<'g>) -> Layer<'g> {
    match &layer {
        Layer::Conv2d(conv) => g.initialise(conv.params()[0], Init::Normal(0.0, 0.02)),
        Layer::ConvTranspose2d(conv) => g.initialise(conv.params()[0], Init::Normal(0.0, 0.02)),
        Layer::BatchNorm(norm) => g.initialise(norm.weight, Init::Normal(1.0, 0.02)),
        _ => {}
    }
    layer
}

/// The networks double and halve pictures between 4x4 and their side.
#[track_caller]
fn check(g: &Graph, config: &Config) {
    if config.side < 8 || !config.side.is_power_of_two() {
        g.poison(format!("dcgan: the side is a power of two from 8 on, not {}", config.side));
    }
}

/// The generator `NAME.main`: noise `[N, 1, 1, latent + classes]`, with the encoder's code if there are hints, to
/// pictures `[N, side, side, channels]` in [-1, 1].
#[track_caller]
pub fn generator<'g>(g: &'g Graph, name: &str, config: &Config) -> Sequential<'g> {
    let up = |kernel: Kernel, c: [usize; 2]| {
        move |name: &str| {
            normal(g, Layer::ConvTranspose2d(ConvTranspose2d::of(g, name, kernel, c, Weight::Plain, false)))
        }
    };
    let norm =
        |c: usize| move |name: &str| normal(g, Layer::BatchNorm(BatchNorm::new(g, name, c, config.mode)));
    check(g, config);
    let (mut c, mut side) = (config.generator.saturating_mul(8), 4);
    let first = up(Kernel::square(4), [together([config.latent, config.classes, config.code()]), c]);
    g.traced(|| {
        let mut chain =
            Sequential::new(&format!("{name}.main")).with(first).with(norm(c)).then(Activation::Relu);
        for hidden in 0.. {
            chain = config.tricks.dropped(chain, hidden, config.mode);
            if 2 * side >= config.side {
                break;
            }
            chain = chain.with(up(doubling(), [c, c / 2])).with(norm(c / 2)).then(Activation::Relu);
            (c, side) = (c / 2, 2 * side);
        }
        chain.with(up(doubling(), [c, config.channels])).then(Activation::Tanh)
    })
}

/// The sum of channels that are seen together, or the largest number where that is too large.
fn together(channels: [usize; 3]) -> usize {
    channels.into_iter().fold(0, usize::saturating_add)
}

/// The encoder `NAME.encoder`: hints `[N, side, side, hint]` to codes `[N, 1, 1, 8·generator]`. It is built as the
/// discriminator is, with batch normalisation.
#[track_caller]
pub fn encoder<'g>(g: &'g Graph, name: &str, config: &Config) -> Sequential<'g> {
    let (weight, norm, tricks) = (Weight::Plain, Norm::Batch, Tricks::default());
    let shrinking = Config { discriminator: config.generator, weight, norm, tricks, ..config.clone() };
    shrink(g, &format!("{name}.encoder"), &shrinking, [config.hint, config.code()])
}

/// The discriminator `NAME.main`: pictures `[N, side, side, channels + classes + hint]` to `[N, 1, 1, scores]`.
#[track_caller]
pub fn discriminator<'g>(g: &'g Graph, name: &str, config: &Config) -> Sequential<'g> {
    let inputs = together([config.channels, config.classes, config.hint]);
    shrink(g, &format!("{name}.main"), config, [inputs, config.scores])
}

/// A chain from pictures `[N, side, side, inputs]` to `[N, 1, 1, outputs]`.
#[track_caller]
fn shrink<'g>(g: &'g Graph, name: &str, config: &Config, [inputs, outputs]: [usize; 2]) -> Sequential<'g> {
    // Where weights alone are normalised, N(0, 0.02) would begin with activations near 0, and nothing else shifts them.
    let normed = config.weight == Weight::Normed;
    let down = |kernel: Kernel, c: [usize; 2]| {
        move |name: &str| {
            let layer = Layer::Conv2d(Conv2d::of(g, name, kernel, c, config.weight, normed));
            if normed { layer } else { normal(g, layer) }
        }
    };
    check(g, config);
    let (mut c, mut side) = (config.discriminator, config.side / 2);
    let first = down(doubling(), [inputs, c]);
    g.traced(|| {
        let active = |chain: Sequential<'g>| {
            config.tricks.disturbed(chain.then(config.tricks.activation), config.mode)
        };
        let mut chain = active(Sequential::new(name).with(first));
        while side > 4 {
            (c, side) = (c.saturating_mul(2), side / 2);
            chain = chain.with(down(doubling(), [c / 2, c]));
            chain = match config.norm {
                Norm::Batch => {
                    chain.with(|name| normal(g, Layer::BatchNorm(BatchNorm::new(g, name, c, config.mode))))
                }
                Norm::Layer => chain.with(|name| Layer::LayerNorm(LayerNorm::new(g, name, &[side, side, c]))),
                Norm::None => chain,
            };
            chain = active(chain);
        }
        let (chain, c) = config.tricks.compared(chain, c);
        chain.with(down(Kernel::square(4), [c, outputs]))
    })
}
