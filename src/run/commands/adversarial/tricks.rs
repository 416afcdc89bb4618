//! The options that are tricks of the trade (Chintala et al. 2016, "How to Train a GAN?",
//! <https://github.com/soumith/ganhacks>), besides those of the rules themselves.

use crate::{
    models::{
        labels::Labels,
        players::{self, Norm},
    },
    nn::Activation,
    run::{
        TRAINING,
        parse::{below_one, number, zero_or_more},
        whole,
    },
};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The non-linearity of the discriminator's hidden layers.
#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Hidden {
    /// x where it is positive, else x/5
    #[default]
    LeakyRelu,
    /// max(x, 0), whose gradient is 0 below 0
    Relu,
}

/// The optimizer of the discriminator.
#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Descent {
    /// Adam, as the generator's
    #[default]
    Adam,
    /// Plain gradient descent, which wants a larger --lr-discriminator, such as 0.05
    Sgd,
}

/// The distribution of the noise.
#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Prior {
    /// Standard normal numbers
    #[default]
    Normal,
    /// Uniform numbers from -1 to 1
    Uniform,
}

/// The normalisation of a discriminator's hidden layers, for networks that have a choice.
#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Normalised {
    /// By means and variances over the batch
    Batch,
    /// By those of each picture
    Layer,
    /// Not at all
    None,
}

impl From<Normalised> for Norm {
    fn from(normalised: Normalised) -> Self {
        match normalised {
            Normalised::Batch => Norm::Batch,
            Normalised::Layer => Norm::Layer,
            Normalised::None => Norm::None,
        }
    }
}

/// A label, or two between which labels are drawn.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(try_from = "String", into = "String")]
struct Between([f32; 2]);

impl Between {
    fn mean(self) -> f32 {
        (self.0[0] + self.0[1]) / 2.0
    }
}

impl FromStr for Between {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const WANTS: &str = "wants a label from 0 to 2, or two as LOW..HIGH";
        let (low, high) = text.split_once("..").unwrap_or((text, text));
        let label = |text: &str| number(text, 0.0..=2.0, WANTS).map(|label| label as f32);
        let ends = [label(low)?, label(high)?];
        if ends[0] <= ends[1] { Ok(Self(ends)) } else { Err(WANTS.into()) }
    }
}

impl TryFrom<String> for Between {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [low, high] if low == high => low.fmt(f),
            [low, high] => write!(f, "{low}..{high}"),
        }
    }
}

impl From<Between> for String {
    fn from(between: Between) -> Self {
        between.to_string()
    }
}

/// The options. Runs from before there were tricks have none of them.
#[derive(Args, Serialize, Deserialize, Clone)]
#[serde(default)]
pub struct Tricks {
    /// Label of real pictures, or two between which each picture's is drawn, such as 0.7..1.2 [default: 1]
    #[arg(long, help_heading = TRAINING, value_name = "LABEL|LOW..HIGH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    real_label: Option<Between>,
    /// Label of the generator's pictures for the discriminator, or two, such as 0..0.3 [default: 0]
    #[arg(long, help_heading = TRAINING, value_name = "LABEL|LOW..HIGH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    fake_label: Option<Between>,
    /// Probability with which a picture gets the label of the other kind in a discriminator step
    #[arg(long, help_heading = TRAINING, value_name = "P", default_value_t = 0.0, value_parser = below_half)]
    #[serde(skip_serializing_if = "is_default")]
    flip: f64,
    /// Earlier pictures in a pool, from which half of the generated pictures come that the discriminator sees
    /// (Shrivastava et al. 2017); a multiple of half of --batch, such as 512
    #[arg(long, help_heading = TRAINING, value_name = "PICTURES", value_parser = whole::<u32>(1..=1_048_576))]
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<u32>,
    /// Optimizer of the discriminator
    #[arg(long, help_heading = TRAINING, value_enum, default_value = "adam")]
    #[serde(skip_serializing_if = "is_default")]
    optimizer_discriminator: Descent,
    /// Distribution of the noise
    #[arg(long, value_enum, default_value = "normal")]
    #[serde(skip_serializing_if = "is_default")]
    prior: Prior,
    /// Non-linearity of the discriminator's hidden layers
    #[arg(long, value_enum, default_value = "leaky-relu")]
    #[serde(skip_serializing_if = "is_default")]
    activation: Hidden,
    /// Show the discriminator how much the pictures of a batch differ, as a channel before its last layer (Karras et
    /// al. 2018)
    #[arg(long)]
    #[serde(skip_serializing_if = "is_default")]
    minibatch_stddev: bool,
    /// Share of units that dropout takes from the generator's first three hidden layers, when it draws pictures too
    /// (Isola et al. 2017), so that the same noise gives several pictures
    #[arg(long, value_name = "RATE", default_value_t = 0.0, value_parser = below_one)]
    #[serde(skip_serializing_if = "is_default")]
    dropout_generator: f64,
    /// Standard deviation of noise on the discriminator's hidden units in training (Salimans et al. 2016), such as 0.5
    /// with --semi-supervised
    #[arg(long, value_name = "SIGMA", default_value_t = 0.0, value_parser = zero_or_more)]
    #[serde(skip_serializing_if = "is_default")]
    noise_discriminator: f64,
}

impl Default for Tricks {
    fn default() -> Self {
        Self {
            real_label: None,
            fake_label: None,
            flip: 0.0,
            history: None,
            optimizer_discriminator: Descent::Adam,
            prior: Prior::Normal,
            activation: Hidden::LeakyRelu,
            minibatch_stddev: false,
            dropout_generator: 0.0,
            noise_discriminator: 0.0,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Parses a number from 0 to below 0.5, for clap.
fn below_half(text: &str) -> Result<f64, String> {
    number(text, 0.0..0.5, "wants a number from 0 to below 0.5")
}

impl Tricks {
    /// The labels, if one-sided smoothing takes this from the label of real pictures.
    pub(super) fn labels(&self, smooth: f32) -> Labels {
        let usual = Labels::smoothed(smooth);
        let or = |label: Option<Between>, usual| label.map_or(usual, |label| label.0);
        Labels {
            real: or(self.real_label, usual.real),
            fake: or(self.fake_label, usual.fake),
            flipped: self.flip as f32,
        }
    }

    /// The changes of the players' layers.
    pub(super) fn layers(&self, norm: Option<Normalised>) -> players::Tricks {
        let activation = match self.activation {
            Hidden::LeakyRelu => Activation::LeakyRelu,
            Hidden::Relu => Activation::Relu,
        };
        players::Tricks {
            activation,
            norm: norm.map(Norm::from),
            stddev: self.minibatch_stddev,
            dropout: self.dropout_generator as f32,
            noise: self.noise_discriminator as f32,
        }
    }

    /// The number of pictures in the pool; 0 without one.
    pub(super) fn history(&self) -> usize {
        self.history.map_or(0, |pictures| pictures as usize)
    }

    /// Whether the discriminator is trained by plain gradient descent.
    pub(super) fn sgd(&self) -> bool {
        self.optimizer_discriminator == Descent::Sgd
    }

    /// Whether the noise is uniform.
    pub(super) fn uniform(&self) -> bool {
        self.prior == Prior::Uniform
    }

    /// The reason why these options exclude each other or other ones, if they do: an objective that has no labels,
    /// one-sided smoothing, or the learning of classes from few labels.
    pub(super) fn refuse(
        &self,
        has_labels: bool,
        smooth: f64,
        classes_from_few: bool,
    ) -> Option<&'static str> {
        let [real, fake] =
            [self.real_label.map_or(1.0, Between::mean), self.fake_label.map_or(0.0, Between::mean)];
        match self {
            _ if !has_labels && self.real_label.or(self.fake_label).is_some() => Some(
                "--real-label, --fake-label: this --loss has no labels; leave them out, or take non-saturating or \
                 least-squares",
            ),
            _ if !has_labels && self.flip > 0.0 => Some(
                "--flip: this --loss has no labels; leave it out, or take non-saturating or least-squares",
            ),
            _ if smooth > 0.0 && self.real_label.is_some() => {
                Some("--smooth and --real-label both say the label of real pictures; choose one")
            }
            _ if real > 1.0 => {
                Some("--real-label: a mean label above 1 has no best score; take a smaller one")
            }
            _ if fake >= real - smooth as f32 => {
                Some("--fake-label: the mean label must be below that of real pictures; take a smaller one")
            }
            _ if self.minibatch_stddev && classes_from_few => Some(
                "--minibatch-stddev: with --semi-supervised a picture's class would depend on the others; choose one",
            ),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_one_number_or_two() {
        for (text, ends) in [("0.9", [0.9, 0.9]), ("0.7..1.2", [0.7, 1.2]), ("0..0.3", [0.0, 0.3])] {
            let between: Between = text.parse().unwrap();
            assert_eq!((between.0, between.to_string().as_str()), (ends, text));
        }
        for text in ["", "..", "1..", "..1", "0.3..0", "-1..1", "0..3", "nan", "0..1..2", "x"] {
            assert!(text.parse::<Between>().unwrap_err().contains("LOW..HIGH"), "{text}");
        }
    }
}
