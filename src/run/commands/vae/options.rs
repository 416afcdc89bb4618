//! What the commands of a VAE ask of its options: the network, how it is trained, and from how few labels it
//! learns classes, too.

use super::super::FEW_ALONE;
use crate::{
    error::{Error, Result},
    graph::Graph,
    models::{
        semi_supervised::{Config, M2, SemiSupervised, Visible},
        vae::Vae,
    },
    nn::{Activation, Mode},
    optim::{Optimizer, Schedule},
    run::{Options, TRAINING, decay, parse::zero_or_more, positive, sizes, whole},
};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// The options of a VAE.
pub trait Variational: Options {
    /// The network for images of this height, width and number of channels.
    fn vae<'g>(&self, g: &'g Graph, image: [usize; 3], mode: Mode) -> Vae<'g>;

    /// How the objective is optimised.
    fn learning(&self) -> &Learning;

    /// How classes are learnt from few labels.
    fn few_labels(&self) -> &FewLabels {
        &self.learning().few_labels
    }

    /// The names of the weights for images of this size and number of classes.
    ///
    /// # Errors
    /// Fails if classes are learnt, and there are none.
    fn names(&self, image: [usize; 3], classes: usize) -> Result<Vec<String>> {
        let g = Graph::new();
        match self.few_labels().by_m2() {
            true if classes == 0 => {
                let advice = "give it by --classes, or the model's own --data";
                return Err(Error::new(format!(
                    "--semi-supervised: no number of classes is known; {advice}"
                )));
            }
            true => drop(self.semi_supervised(&g, image, classes, 1)),
            false => drop(self.vae(&g, image, Mode::Evaluation)),
        }
        Ok(g.weights())
    }

    /// M2, on M1 where it stands on one, for images of this size and number of classes, `count` in all.
    fn semi_supervised<'g>(
        &self,
        g: &'g Graph,
        image: [usize; 3],
        classes: usize,
        count: usize,
    ) -> SemiSupervised<'g> {
        let few = self.few_labels();
        let m1 = few.stacked().then(|| self.vae(g, image, Mode::Evaluation));
        let (inputs, visible) = match &m1 {
            Some(m1) => (m1.latent(), Visible::Gaussian),
            None => (image.iter().product(), Visible::Bernoulli),
        };
        let config = Config { inputs, visible, classes, ..few.config(count) };
        SemiSupervised::new(m1, M2::new(g, &config))
    }
}

/// The options for optimising the objective.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Learning {
    /// Adam's step size
    #[arg(long, help_heading = TRAINING, default_value_t = 1e-3, value_parser = positive)]
    lr: f64,
    /// Factor of the step size from each step to the next, at most 1 (0.9996 leaves a twentieth after 7,500
    /// steps)
    #[arg(long, help_heading = TRAINING, default_value_t = 1.0, value_parser = decay)]
    #[serde(default = "constant")]
    decay: f64,
    /// Make pixels black or white at random in every step, with the grey value as the probability of white
    #[arg(long)]
    pub(super) binarise: bool,
    #[command(flatten)]
    #[serde(flatten)]
    few_labels: FewLabels,
}

fn constant() -> f64 {
    1.0
}

/// The activation of this name.
pub fn activation(name: &str) -> Activation {
    match name {
        "tanh" => Activation::Tanh,
        "softplus" => Activation::Softplus,
        _ => Activation::Relu,
    }
}

impl Learning {
    /// The reason why these options exclude each other, want weights where there are none, ask for what several
    /// ranks cannot do, or come with a VAE that is not the usual one where there is none, if they do.
    pub fn refuse(&self, weights: bool, several: bool, usual: bool) -> Option<&'static str> {
        let few = &self.few_labels;
        let upper = !few.m2_hidden.is_empty()
            || few.m2_latent.is_some()
            || few.m2_activation.is_some()
            || few.m2_noise.is_some();
        match upper {
            true if !few.by_m2() => Some(
                "--m2-hidden, --m2-latent, --m2-activation and --m2-noise: add --semi-supervised m2 or m1m2",
            ),
            _ if few.alpha != tenth() && !few.by_m2() => {
                Some("--alpha weighs the classifier of M2: add --semi-supervised m2 or m1m2")
            }
            _ if few.semi_supervised == Some(Scheme::M2) && !usual => Some(
                "--semi-supervised m2 has networks of its own: give --m2-hidden, --m2-latent and \
                 --m2-activation, and no --model, --latent, --hidden, --activation or --beta",
            ),
            _ if several && few.by_m2() => Some(FEW_ALONE),
            _ if few.stacked() && !weights => {
                Some("--semi-supervised m1m2 stands on an M1: train one, and give its file by --weights")
            }
            _ => None,
        }
    }

    /// Adam with these step sizes.
    pub(super) fn optimizer(&self) -> Optimizer {
        Optimizer::adam(self.lr as f32).schedule(Schedule::Exponential { per_step: self.decay })
    }
}

/// How classes are learnt from few labels (Kingma et al. 2014).
#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// A VAE without labels, whose codes `evaluate` gives to a linear classifier
    M1,
    /// A model of images from class and style; classes without a label are summed over
    M2,
    /// M2 on the codes of an M1 that is there already: --weights names its file
    #[value(name = "m1m2")]
    M1m2,
}

/// The options for learning from few labels.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct FewLabels {
    /// Learn the classes, too, from few labels (Kingma et al. 2014)
    #[arg(long, value_enum, requires = "labels")]
    #[serde(default)]
    semi_supervised: Option<Scheme>,
    /// Number of training images whose labels are known, equally many of each class, chosen by --seed
    #[arg(long, requires = "semi_supervised", value_parser = whole::<u32>(1..))]
    #[serde(default)]
    labels: Option<u32>,
    /// Weight of the classifier's own loss for each training image: α/N in the paper
    #[arg(long, help_heading = TRAINING, default_value_t = 0.1, value_parser = positive)]
    #[serde(default = "tenth")]
    alpha: f64,
    /// Widths of the hidden layers of M2's classifier, encoder and decoder [default: 500]
    #[arg(long, value_delimiter = ',', value_parser = whole::<u16>(1..))]
    #[serde(default)]
    m2_hidden: Vec<u16>,
    /// Dimensions of M2's style [default: 50]
    #[arg(long, value_parser = whole::<u16>(1..))]
    #[serde(default)]
    m2_latent: Option<u16>,
    /// Non-linearity of M2's hidden layers; relu learns sooner [default: softplus]
    #[arg(long, value_parser = ["relu", "tanh", "softplus"])]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    m2_activation: Option<String>,
    /// Standard deviation of noise on the inputs and hidden units of M2's classifier while it trains, such
    /// as 0.5 [default: 0]
    #[arg(long, value_name = "SIGMA", value_parser = zero_or_more)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    m2_noise: Option<f64>,
}

fn tenth() -> f64 {
    0.1
}

impl FewLabels {
    /// The number of labels, if classes are learnt.
    pub(super) fn labels(&self) -> Option<usize> {
        self.labels.map(|labels| labels as usize)
    }

    /// Whether classes are learnt by M2, alone or on M1.
    pub fn by_m2(&self) -> bool {
        matches!(self.semi_supervised, Some(Scheme::M2 | Scheme::M1m2))
    }

    /// Whether M2 stands on M1.
    pub fn stacked(&self) -> bool {
        self.semi_supervised == Some(Scheme::M1m2)
    }

    /// M2 for `count` images in all, but for what depends on the images.
    fn config(&self, count: usize) -> Config {
        Config {
            hidden: sizes(&self.m2_hidden, &[500]),
            latent: self.m2_latent.unwrap_or(50).into(),
            activation: activation(self.m2_activation.as_deref().unwrap_or("softplus")),
            noise: self.m2_noise.unwrap_or_default() as f32,
            alpha: self.alpha as f32,
            share: self.labels.unwrap_or_default() as f32 / count as f32,
            ..Config::default()
        }
    }
}
