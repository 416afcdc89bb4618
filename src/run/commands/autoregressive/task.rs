//! The options of a model that draws by hints, and the hints of its network.

use super::{
    super::task::text,
    fit::{Density, Pixels},
};
use crate::{
    data::Task,
    graph::Tensor,
    models::{autoregressive::Given, hint, likelihood::Likelihood},
    run::whole,
    train::{Asked, asked},
};
use clap::Args;
use serde::{Deserialize, Serialize};

/// The options of a model that may be given hints.
#[derive(Args, Serialize, Deserialize, Clone)]
pub struct Hinted {
    /// What to learn instead of drawing freely: `colourise` grey pictures, enlarge them (`upscale=2`, `upscale=4`),
    /// or fill holes in them (`inpaint`)
    #[arg(long, value_parser = str::parse::<Task>)]
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text")]
    task: Option<Task>,
    /// Channels of the network over the given picture, with --task
    #[arg(long, requires = "task", default_value_t = features(), value_parser = whole::<u16>(1..))]
    #[serde(default = "features")]
    hint_features: u16,
    /// Number of its residual layers: four see 16 pixels far, with --task
    #[arg(long, requires = "task", default_value_t = layers(), value_parser = whole::<u16>(0..=100))]
    #[serde(default = "layers")]
    hint_layers: u16,
}

fn features() -> u16 {
    32
}

fn layers() -> u16 {
    4
}

impl Hinted {
    /// What the model does with a picture that it is given; `None` for a model that draws freely.
    pub fn task(&self) -> Option<Task> {
        self.task
    }

    /// The network over hints like this one.
    pub fn network(&self, hint: Option<Tensor<'_>>) -> Option<hint::Config> {
        let (features, layers) = (self.hint_features.into(), self.hint_layers.into());
        hint.map(|hint| hint::Config { channels: hint.shape()[3], features, layers })
    }

    /// Why the task does not go with these pixels, if it does not.
    pub fn refuse(&self, pixels: &Pixels) -> Option<&'static str> {
        let binary = pixels.likelihood() == Likelihood::Bernoulli;
        (self.task == Some(Task::Colourise) && binary)
            .then_some("--task colourise: colours have 256 levels; add --output mixture or --output softmax")
    }
}

/// The network's inputs for pictures of a data set, as the model's task takes them; the caller adds their classes.
/// The random stream draws holes anew in every step; without one they are held out.
pub(super) fn of_images<'g>(model: &impl Density, x: Tensor<'g>, stream: Option<&str>) -> Given<'g> {
    let Some(task) = model.task() else { return Given::pictures(x) };
    let Asked { drawn, hint, scored } = asked(task, x, stream);
    Given { hint: Some(hint), scored, ..Given::pictures(drawn) }
}
