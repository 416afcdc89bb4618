//! The rules of a game of two players: their objective, their optimizers, and tricks of the trade.

use super::{gan::Objective, labels::Labels, players::Tricks};

/// What the players play for, and how they are trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// The objective.
    pub objective: Objective,
    /// k, the number of discriminator steps before each generator step.
    pub discriminator_steps: u16,
    /// The step size of the generator's Adam.
    pub lr: f32,
    /// The step size of the discriminator's optimizer.
    pub lr_discriminator: f32,
    /// Whether the discriminator's optimizer is plain gradient descent instead of Adam.
    pub sgd: bool,
    /// The decay of Adam's first moments.
    pub beta1: f64,
    /// The labels of real and of generated pictures, for objectives that have some.
    pub labels: Labels,
    /// The number of earlier pictures in the pool from which half of the generated pictures come that the
    /// discriminator sees, a multiple of half a batch (Shrivastava et al. 2017, §2.3); 0 for no pool. Ranks that share
    /// a batch would have a pool each, which checkpoints do not hold.
    pub history: usize,
    /// Whether noise is uniform in [-1, 1) instead of standard normal.
    pub uniform: bool,
    /// The standard deviation of normal noise on all pictures that the discriminator sees.
    pub instance_noise: f32,
    /// Whether the discriminator's weights are divided by their spectral norms (Miyato et al. 2018).
    pub spectral: bool,
    /// The decay of the generator's averaged weights, if they are kept.
    pub ema: Option<f64>,
    /// The largest weight of the critic, if weights are clipped (Arjovsky et al. 2017, algorithm 1).
    pub clip: Option<f32>,
    /// The weight of the gradient penalty, if there is one (Gulrajani et al. 2017, algorithm 1).
    pub penalty: Option<f32>,
    /// λ, the weight of the mean absolute difference between the generator's pictures, in [-1, 1], and those that
    /// belong to their hints (Isola et al. 2017, eq. 4), in a game with hints.
    pub l1: f32,
    /// Changes of the players' layers.
    pub tricks: Tricks,
}

impl Default for Rules {
    /// The rules of pytorch/examples' DCGAN: non-saturating, one step of each player, Adam with 2e-4 and β₁
    /// = 0.5.
    fn default() -> Self {
        Self {
            objective: Objective::NonSaturating,
            discriminator_steps: 1,
            lr: 2e-4,
            lr_discriminator: 2e-4,
            sgd: false,
            beta1: 0.5,
            labels: Labels::default(),
            history: 0,
            uniform: false,
            instance_noise: 0.0,
            spectral: false,
            ema: None,
            clip: None,
            penalty: None,
            l1: 100.0,
            tricks: Tricks::default(),
        }
    }
}
