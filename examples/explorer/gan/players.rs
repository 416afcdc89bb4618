//! The two players: their networks, the rules that a visitor chooses, and the plans that train and draw.

use super::networks::{CANVAS, Networks};
use crate::room::holds;
use oneiro::{
    data::Images,
    error::Result,
    graph::{Graph, shape::Type},
    kernel::caps::Caps,
    measure::watch::spread,
    models::{
        game::{Game, Rules},
        gan::Objective,
    },
    optim::advance,
    plan::Plan,
    train::batch,
    weights::Weights,
};

/// The pictures of a player's step, where there are as many.
const BATCH: usize = 32;
/// The rows and columns of the grid of samples.
pub(super) const GRID: usize = 8;
/// The samples that are shown, always from the same noise.
pub(super) const SAMPLES: usize = GRID * GRID;
/// The pictures of the walk.
pub(super) const WALK: usize = 10;
/// The pictures of the sum: A, B, C and A - B + C.
pub(super) const TERMS: usize = 4;
/// The real pictures whose variety samples are compared with.
const COMPARED: usize = 1024;

/// The pictures of a player's step.
pub(super) fn size(train: &Images) -> usize {
    train.count.min(BATCH)
}

/// The objectives that a visitor may choose, with their names.
pub(super) const LOSSES: [(Objective, &str); 5] = [
    (Objective::Minimax, "minimax (2014)"),
    (Objective::NonSaturating, "non-saturating"),
    (Objective::LeastSquares, "least squares"),
    (Objective::Hinge, "hinge"),
    (Objective::Wasserstein, "Wasserstein"),
];

/// The name of an objective.
pub(super) fn name(loss: Objective) -> &'static str {
    LOSSES.iter().find(|(known, _)| *known == loss).map_or("", |(_, name)| name)
}

/// The settings that a visitor chooses.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settings {
    pub(super) networks: Networks,
    pub(super) loss: Objective,
    /// Whether the discriminator is kept smooth: by spectral normalisation, or by the gradient penalty where the
    /// players play for a Wasserstein distance.
    pub(super) smooth: bool,
    /// The steps of the discriminator before each of the generator.
    pub(super) steps: u16,
    pub(super) lr: f32,
    pub(super) lr_discriminator: f32,
    /// Whether Adam's steps keep half of the way of the last ones (β₁ = 0.5), or none of it.
    pub(super) momentum: bool,
}

impl Settings {
    /// A game that goes well: digits after about 150 rounds.
    pub(super) fn even() -> Self {
        Self {
            networks: Networks::perceptrons(),
            loss: Objective::Hinge,
            smooth: true,
            steps: 1,
            lr: 2e-3,
            lr_discriminator: 2e-3,
            momentum: false,
        }
    }

    /// A game that the discriminator wins: the original objective, and far more lessons for the discriminator.
    pub(super) fn lost() -> Self {
        Self {
            loss: Objective::Minimax,
            smooth: false,
            steps: 5,
            lr: 2e-4,
            lr_discriminator: 5e-4,
            ..Self::even()
        }
    }

    /// A game in which the generator gets by with one picture: both players overshoot.
    pub(super) fn narrow() -> Self {
        Self {
            loss: Objective::NonSaturating,
            lr: 4e-3,
            lr_discriminator: 4e-3,
            momentum: true,
            ..Self::even()
        }
    }

    /// Whether both can be played with the same weights, by other rates and numbers of steps.
    pub(super) fn fits(&self, other: &Self) -> bool {
        (self.loss, self.smooth) == (other.loss, other.smooth) && self.networks == other.networks
    }

    /// These settings with the networks of a file's weights, or others whose players have their names and shapes: a
    /// normalised discriminator has other weights than a plain one, and a critic under a penalty has others in
    /// convolutions. A file does not tell its loss: plain players get that of the programs, with its rates.
    pub(super) fn of(&self, train: &Images, caps: &Caps, weights: &Weights) -> Option<Self> {
        let networks = Networks::of(weights)?;
        let Rules { objective, lr, lr_discriminator, beta1, .. } = Rules::default();
        let programs = Self { loss: objective, smooth: false, lr, lr_discriminator, ..self.clone() };
        let programs = Self { momentum: beta1 > 0.0, ..programs };
        let kind = |loss, smooth| Self { loss, smooth, ..self.clone() };
        let distance = Objective::Wasserstein;
        let others = [kind(Objective::Hinge, true), kind(distance, true), kind(distance, false)];
        let kinds = [self.clone(), programs].into_iter().chain(others);
        let mut kinds = kinds.map(|kind| Self { networks: networks.clone(), ..kind });
        kinds.find(|kind| {
            let game = kind.game(train).ok().filter(|game| {
                let names = game.weights();
                names.len() == weights.len() && names.iter().all(|name| weights.contains_key(name))
            });
            let plans = game.and_then(|game| training(&game, train, caps).ok());
            plans.is_some_and(|plans| holds(weights, &plans))
        })
    }

    fn rules(&self) -> Rules {
        let distance = self.loss == Objective::Wasserstein;
        Rules {
            objective: self.loss,
            discriminator_steps: self.steps,
            lr: self.lr,
            lr_discriminator: self.lr_discriminator,
            beta1: if self.momentum { 0.5 } else { 0.0 },
            spectral: self.smooth && !distance,
            penalty: (self.smooth && distance).then_some(10.0),
            // Without any bound a critic's scores grow without end; Arjovsky et al. 2017 clip its weights.
            clip: (!self.smooth && distance).then_some(0.01),
            ..Rules::default()
        }
    }

    /// The game over a data set's pictures.
    ///
    /// # Errors
    /// Pictures that are larger than the networks'.
    pub(super) fn game(&self, train: &Images) -> Result<Game<Networks>> {
        let image = [train.height, train.width, train.channels];
        let canvas = match self.networks {
            Networks::Perceptrons(_) => [train.height, train.width],
            Networks::Convolutions(_) => [CANVAS; 2],
        };
        Game::new(self.networks.clone(), self.rules(), image, canvas, 0, size(train))
    }
}

/// The plans of a step of the discriminator, and of one of the generator. The latter's output `signs` is
/// `[loss_D, loss_G, D(x), D(G(z))]`, and its output `loss` is loss_G.
///
/// # Errors
/// Fails if the plan needs what the adapter does not allow.
pub(super) fn training(game: &Game<Networks>, train: &Images, caps: &Caps) -> Result<[Plan; 2]> {
    let [discriminator, generator] = [Graph::new(), Graph::new()];
    game.discriminator_step(&discriminator, |g| (batch(g, train, size(train), None), None));
    let signs: Vec<_> = game.generator_step(&generator).iter().map(|(_, sum)| sum.reshape([1])).collect();
    let signs = generator.concat(&signs, 0) * (1.0 / size(train) as f32);
    generator.output("signs", signs);
    generator.output("loss", signs.slice(0, 1..2));
    advance(&generator);
    Ok([Plan::new(&discriminator, caps)?, Plan::new(&generator, caps)?])
}

/// The plan that draws the `samples` from noise `z`, and the `pictures` of the walk and the `terms` of the sum from
/// noise `picked`.
/// Its output `variety` is the mean squared distance between two samples, as a share of that between two real
/// pictures.
///
/// # Errors
/// Fails if the plan needs what the adapter does not allow.
pub(super) fn drawing(game: &Game<Networks>, train: &Images, caps: &Caps) -> Result<Plan> {
    let g = Graph::new();
    let noise = |name, count| g.input(name, Type::f32([count, game.latent()]));
    let [z, picked] = [noise("z", SAMPLES), noise("picked", WALK + TERMS)];
    let pictures = game.pictures(g.concat(&[z, picked], 0), None);
    let samples = pictures.slice(0, 0..SAMPLES);
    g.output("samples", samples);
    g.output("pictures", pictures.slice(0, SAMPLES..SAMPLES + WALK));
    g.output("terms", pictures.slice(0, SAMPLES + WALK..SAMPLES + WALK + TERMS));

    let pixels = train.height * train.width * train.channels;
    let real = train.pixels.iter().take(COMPARED * pixels).map(|&byte| f32::from(byte) / 255.0);
    let real = spread(real, pixels) as f32;
    let rows = samples.reshape([SAMPLES, pixels]);
    let apart = (rows - rows.mean(&[0])).square().sum_all() * (2.0 / (SAMPLES - 1) as f32);
    let variety = if real > 0.0 { apart * (1.0 / real) } else { g.constant(1.0) };
    g.output("variety", variety.reshape([1]));
    Plan::new(&g, caps)
}
