//! The options of a game: the model's own, with [`Adversarial`], and those of its rules.

use super::{
    super::{FEW_ALONE, task::text},
    tricks::{Normalised, Tricks},
};
use crate::{
    data::Task,
    error::{Error, Result},
    models::{
        game::{Game, Rules, named},
        gan::Objective,
        players::Players,
    },
    run::{
        Options, Recipe, TRAINING,
        parse::{below_one, zero_or_more},
        positive, whole,
    },
    weights::Weights,
};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A model's own options.
pub trait Adversarial: Args + Serialize + DeserializeOwned + Clone + Send + Sync {
    /// The name of the model and of its runs.
    const MODEL: &'static str;
    /// The networks of the two players.
    type Networks: Players;

    /// The networks that these options describe.
    fn networks(&self) -> Self::Networks;

    /// Whether both players are told the classes of the images.
    fn conditional(&self) -> bool;

    /// The options of players that are given pictures, for networks that take them.
    fn given(&self) -> Option<&Given> {
        None
    }

    /// What normalises the discriminator's hidden layers, for networks that have a choice; `None` is what suits the
    /// other options.
    fn norm(&self) -> Option<Normalised> {
        None
    }

    /// The rows and columns of the networks' pictures, for images of these rows and columns.
    ///
    /// # Errors
    /// Fails if the images are too large for the networks.
    fn canvas(&self, image: [usize; 2]) -> Result<[usize; 2]>;
}

/// The options of players that are given pictures (Isola et al. 2017).
#[derive(Args, Serialize, Deserialize, Clone)]
pub struct Given {
    /// What to learn instead of drawing freely: `colourise` grey pictures, enlarge them (`upscale=2`, `upscale=4`),
    /// or fill holes in them (`inpaint`); goes well with --loss least-squares or hinge
    #[arg(long, value_parser = str::parse::<Task>)]
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text")]
    task: Option<Task>,
    /// Weight of the mean absolute difference from the true picture in the generator's loss, with --task
    #[arg(long, help_heading = TRAINING, value_name = "LAMBDA", requires = "task", default_value_t = l1(), value_parser = zero_or_more)]
    #[serde(default = "l1")]
    l1: f64,
}

fn l1() -> f64 {
    100.0
}

/// The objective of the two players.
#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// The original game: the generator minimises log(1 - D(G(z)))
    Minimax,
    /// The generator maximises log D(G(z))
    NonSaturating,
    /// Squared distances of the scores to 1 and 0
    LeastSquares,
    /// Hinge losses at 1 and -1
    Hinge,
    /// Difference of mean scores, with clipped weights of the critic
    Wasserstein,
    /// Difference of mean scores, with a penalty on the critic's gradient
    WassersteinGp,
}

impl Loss {
    fn objective(self) -> Objective {
        match self {
            Loss::Minimax => Objective::Minimax,
            Loss::NonSaturating => Objective::NonSaturating,
            Loss::LeastSquares => Objective::LeastSquares,
            Loss::Hinge => Objective::Hinge,
            Loss::Wasserstein | Loss::WassersteinGp => Objective::Wasserstein,
        }
    }
}

/// The options that determine a run: the model's own, and those of the game.
#[derive(Args, Serialize, Deserialize, Clone)]
#[serde(bound = "")]
pub struct Contest<M: Adversarial> {
    #[command(flatten)]
    #[serde(flatten)]
    recipe: Recipe,
    /// Objective of the two players
    #[arg(long, value_enum, default_value = "non-saturating")]
    loss: Loss,
    /// Discriminator steps before each generator step
    #[arg(long, help_heading = TRAINING, value_name = "K", default_value_t = 1, value_parser = whole::<u16>(1..=100))]
    discriminator_steps: u16,
    /// Adam's step size
    #[arg(long, help_heading = TRAINING, default_value_t = 2e-4, value_parser = positive)]
    lr: f64,
    /// Step size of the discriminator [default: the value of --lr]
    #[arg(long, help_heading = TRAINING, value_name = "LR", value_parser = positive)]
    lr_discriminator: Option<f64>,
    /// Adam's decay rate of the first moment
    #[arg(long, help_heading = TRAINING, default_value_t = 0.5, value_parser = below_one)]
    beta1: f64,
    /// One-sided label smoothing: real pictures get the label 1 minus this
    #[arg(long, help_heading = TRAINING, default_value_t = 0.0, value_parser = below_one)]
    smooth: f64,
    /// Standard deviation of normal noise on all pictures that the discriminator sees; pixels are in [-1, 1]
    #[arg(long, help_heading = TRAINING, value_name = "SIGMA", default_value_t = 0.0, value_parser = zero_or_more)]
    instance_noise: f64,
    /// Divide the discriminator's weights by their spectral norms, instead of normalising its activations
    #[arg(long)]
    spectral: bool,
    /// Draw samples with weights averaged over training, with this decay (such as 0.999)
    #[arg(long, value_name = "DECAY", value_parser = below_one)]
    ema: Option<f64>,
    /// Largest absolute weight of the critic, with --loss wasserstein [default: 0.01]
    #[arg(long, help_heading = TRAINING, value_parser = positive)]
    clip: Option<f64>,
    /// Weight of the gradient penalty, with --loss wasserstein-gp [default: 10]
    #[arg(long, help_heading = TRAINING, value_parser = positive)]
    penalty: Option<f64>,
    /// Learn the classes, too, from few labels (Salimans et al. 2016): the discriminator tells them apart, and the
    /// generator matches its features
    #[arg(long, requires = "labels")]
    #[serde(default)]
    semi_supervised: bool,
    /// Number of training images whose labels are known, equally many of each class, chosen by --seed
    #[arg(long, requires = "semi_supervised", value_parser = whole::<u32>(1..))]
    #[serde(default)]
    labels: Option<u32>,
    #[command(flatten)]
    #[serde(flatten)]
    tricks: Tricks,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) model: M,
}

impl<M: Adversarial> Contest<M> {
    fn rules(&self) -> Rules {
        Rules {
            objective: self.loss.objective(),
            discriminator_steps: self.discriminator_steps,
            lr: self.lr as f32,
            lr_discriminator: self.lr_discriminator.unwrap_or(self.lr) as f32,
            sgd: self.tricks.sgd(),
            beta1: self.beta1,
            labels: self.tricks.labels(self.smooth as f32),
            history: self.tricks.history(),
            uniform: self.tricks.uniform(),
            instance_noise: self.instance_noise as f32,
            spectral: self.spectral,
            ema: self.ema,
            clip: (self.loss == Loss::Wasserstein).then(|| self.clip.unwrap_or(0.01) as f32),
            penalty: (self.loss == Loss::WassersteinGp).then(|| self.penalty.unwrap_or(10.0) as f32),
            l1: self.model.given().map_or(0.0, |given| given.l1) as f32,
            tricks: self.tricks.layers(self.model.norm()),
        }
    }

    /// The game over images `[height, width, channels]` with this number of classes.
    pub(super) fn game(&self, image: [usize; 3], classes: usize) -> Result<Game<M::Networks>> {
        let (canvas, batch) = (self.model.canvas([image[0], image[1]])?, self.recipe.batch as usize);
        let pool = self.tricks.history();
        if pool > 0 && !(batch.is_multiple_of(2) && pool.is_multiple_of(batch / 2)) {
            let what = "half of each batch trades places with the pool; take an even --batch";
            return Err(Error::new(format!(
                "--history {pool}: {what}, and a multiple of its half for the pool"
            )));
        }
        let [told, apart] =
            [self.model.conditional(), self.semi_supervised].map(|asked| if asked { classes } else { 0 });
        let [h, w, c] = image;
        let [drawn, hint] = match self.task() {
            Some(task) => task.check(image).map(|()| task.channels(c)).map_err(Error::new)?,
            None => [c, 0],
        };
        let game = Game::new(self.model.networks(), self.rules(), [h, w, drawn], canvas, told, batch)?;
        Ok(game.telling_apart(apart).with_hints(hint))
    }

    /// What the players do with a picture that they are given; `None` if they play freely.
    pub(super) fn task(&self) -> Option<Task> {
        self.model.given().and_then(|given| given.task)
    }

    /// The number of labels, if the discriminator learns classes from few.
    pub(super) fn labels(&self) -> Option<usize> {
        self.labels.filter(|_| self.semi_supervised).map(|labels| labels as usize)
    }
}

impl<M: Adversarial> Options for Contest<M> {
    const MODEL: &'static str = M::MODEL;

    fn recipe(&mut self) -> &mut Recipe {
        &mut self.recipe
    }

    fn conditional(&self) -> bool {
        self.model.conditional() || self.semi_supervised
    }

    fn batches(&self) -> u64 {
        self.discriminator_steps.into()
    }

    fn refuse(&self, several: bool) -> Option<&'static str> {
        let has_labels = self.loss.objective().has_labels();
        if let Some(why) = self.tricks.refuse(has_labels, self.smooth, self.semi_supervised) {
            return Some(why);
        }
        match self.loss {
            _ if several && self.tricks.history() > 0 => Some(
                "--history: each rank would have a pool of its own, which checkpoints do not hold; leave --devices and \
                 --mpi out",
            ),
            _ if several && self.semi_supervised => Some(FEW_ALONE),
            _ if self.semi_supervised && self.task().is_some() => {
                Some("--semi-supervised: not with --task; leave out one of them")
            }
            _ if self.smooth > 0.0 && !has_labels => Some(
                "--smooth: this --loss has no labels to smooth; leave it out, or take non-saturating or least-squares",
            ),
            _ if self.clip.is_some() && self.loss != Loss::Wasserstein => {
                Some("--clip: only --loss wasserstein clips; leave it out")
            }
            _ if self.penalty.is_some() && self.loss != Loss::WassersteinGp => {
                Some("--penalty: only --loss wasserstein-gp has a penalty; leave it out")
            }
            _ if self.semi_supervised && self.loss != Loss::NonSaturating => {
                Some("--semi-supervised is a likelihood of K + 1 classes; leave --loss out")
            }
            _ if self.semi_supervised && self.model.conditional() => {
                Some("--semi-supervised and --conditional: classes are found out or told; choose one")
            }
            _ if self.semi_supervised && self.discriminator_steps > 1 => Some(
                "--semi-supervised: both players see the same images in a step; leave --discriminator-steps out",
            ),
            Loss::WassersteinGp if self.spectral => {
                Some("--spectral and a gradient penalty both bound the critic's slope; choose one")
            }
            Loss::WassersteinGp if self.model.norm() == Some(Normalised::Batch) => Some(
                "--norm batch: a gradient penalty is of each picture alone; leave it out, or take layer or none",
            ),
            _ if self.semi_supervised && self.model.norm().is_some() => {
                Some("--norm: with --semi-supervised weights are normalised instead; leave it out")
            }
            _ => None,
        }
    }

    fn weights(&self, image: [usize; 3], classes: usize) -> Result<Vec<String>> {
        Ok(self.game(image, classes)?.weights())
    }

    fn named(&self, weights: Weights) -> Weights {
        named(weights, self.ema.is_some())
    }
}
