//! The options of a fit: the model's own, with [`Density`], and how its likelihood is maximised.

use super::super::task::text;
use crate::{
    data::{Sound, TONES, Task},
    error::{Error, Result},
    graph::{Graph, Tensor, shape::Type, var::Init},
    models::{
        autoregressive::{Autoregressive, Given},
        hint,
        likelihood::Likelihood,
    },
    run::{Options, Recipe, TRAINING, decay, positive, whole},
    train::{Asked, Method, asked},
};
use clap::{Arg, Args, ValueEnum};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The name of the variable with the hints of the pictures that are drawn.
pub(super) const HINT: &str = "hint";

/// A model's own options.
pub trait Density: Autoregressive + Args + Serialize + DeserializeOwned + Clone + Send + Sync {
    /// The name of the model and of its runs.
    const MODEL: &'static str;
    /// The method that draws its samples.
    const METHOD: Method;

    /// How sounds become images, for a model of sounds; its data sets and options differ from those of pictures.
    const SOUND: Option<fn(&Self) -> Sound> = None;

    /// Whether the model is conditioned on classes.
    fn conditional(&self) -> bool {
        false
    }

    /// The options that say what a pixel is and what is drawn, for a model that has them.
    fn pixels(&self) -> Option<&Pixels> {
        None
    }

    /// What the model does with a picture that it is given; `None` if it draws freely.
    fn task(&self) -> Option<Task> {
        self.pixels().and_then(|pixels| pixels.task)
    }

    /// The reason why these options exclude each other, if they do.
    fn refuse(&self) -> Option<&'static str> {
        None
    }
}

/// How sounds become images, for a model of sounds.
pub(super) fn sound<M: Density>(model: &M) -> Option<Sound> {
    M::SOUND.map(|sound| sound(model))
}

/// The word for what a model draws and scores.
pub(super) const fn one<M: Density>() -> &'static str {
    if M::SOUND.is_some() { "signal" } else { "image" }
}

/// The channels of what a model draws, of images of so many channels.
pub(super) fn drawn(model: &impl Density, c: usize) -> usize {
    model.task().map_or(c, |task| task.channels(c)[0])
}

/// The variable of the hints of pictures `x` of images of `c` channels, if the model takes some. The host writes it.
pub(super) fn hinted<'g>(g: &'g Graph, model: &impl Density, x: Tensor<'g>, c: usize) -> Option<Tensor<'g>> {
    let shape = x.shape();
    let hint = |task: Task| Type::f32([shape[0], shape[1], shape[2], task.channels(c)[1]]);
    model.task().map(|task| g.var(HINT, hint(task), Init::Zeros))
}

/// The network's inputs for pictures of a data set, as the model's task takes them; the caller adds their classes.
/// The random stream draws holes anew in every step; without one they are held out.
pub(super) fn of_images<'g>(model: &impl Density, x: Tensor<'g>, stream: Option<&str>) -> Given<'g> {
    let Some(task) = model.task() else { return Given::pictures(x) };
    let Asked { drawn, hint, scored } = asked(task, x, stream);
    Given { hint: Some(hint), scored, ..Given::pictures(drawn) }
}

/// The options that determine a run: the model's own, and how its likelihood is maximised.
#[derive(Args, Serialize, Deserialize, Clone)]
#[command(mut_args(of_sounds::<M>))]
#[serde(bound = "")]
pub struct Fit<M: Density> {
    #[command(flatten)]
    #[serde(flatten)]
    recipe: Recipe,
    /// Adam's step size
    #[arg(long, help_heading = TRAINING, default_value_t = 1e-3, value_parser = positive)]
    pub(super) lr: f64,
    /// Factor of the step size from each step to the next, at most 1 (0.9996 leaves a twentieth after 7,500
    /// steps)
    #[arg(long, help_heading = TRAINING, default_value_t = 1.0, value_parser = decay)]
    #[serde(default = "constant")]
    pub(super) decay: f64,
    /// Largest norm of all gradients together; longer ones are scaled down to it [default: none]
    #[arg(long, help_heading = TRAINING, value_name = "NORM", value_parser = positive)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) clip: Option<f64>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) model: M,
}

/// The options that say what a pixel is, and whether pictures are drawn by pictures that are given.
#[derive(Args, Serialize, Deserialize, Clone)]
pub struct Pixels {
    /// Distribution of a pixel; all but `bernoulli` keep the images' 256 levels
    #[arg(long, value_enum, default_value_t = Output::Bernoulli)]
    #[serde(default)]
    output: Output,
    /// Number of logistics of `--output mixture`
    #[arg(long, default_value_t = ten(), value_parser = whole::<u8>(1..))]
    #[serde(default = "ten")]
    components: u8,
    /// What to learn instead of drawing freely: `colourise` grey pictures, enlarge them (`upscale=2`, `upscale=4`),
    /// or fill holes in them (`inpaint`)
    #[arg(long, value_parser = str::parse::<Task>)]
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text")]
    task: Option<Task>,
    /// Channels of the network over the given picture, with --task
    #[arg(long, requires = "task", default_value_t = features(), value_parser = whole::<u16>(1..))]
    #[serde(default = "features")]
    hint_features: u16,
    /// Number of its residual layers, with --task: four see 16 pixels far
    #[arg(long, requires = "task", default_value_t = layers(), value_parser = whole::<u16>(0..=100))]
    #[serde(default = "layers")]
    hint_layers: u16,
}

/// The distribution of a pixel.
#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, PartialEq, Default)]
#[serde(rename_all = "lowercase")]
enum Output {
    /// Black or white
    #[default]
    Bernoulli,
    /// One of 256 levels, channel after channel
    Softmax,
    /// A mixture of discretised logistics, all channels at once
    Mixture,
}

impl Pixels {
    /// The distribution of a pixel.
    pub fn likelihood(&self) -> Likelihood {
        match self.output {
            Output::Bernoulli => Likelihood::Bernoulli,
            Output::Softmax => Likelihood::Softmax,
            Output::Mixture => Likelihood::Mixture(self.components.into()),
        }
    }

    /// The network over hints like this one.
    pub fn network(&self, hint: Option<Tensor<'_>>) -> Option<hint::Config> {
        let (features, layers) = (self.hint_features.into(), self.hint_layers.into());
        hint.map(|hint| hint::Config { channels: hint.shape()[3], features, layers })
    }

    /// Why the task does not go with these pixels, if it does not.
    fn refuse(&self) -> Option<&'static str> {
        let binary = self.likelihood() == Likelihood::Bernoulli;
        (self.task == Some(Task::Colourise) && binary)
            .then_some("--task colourise: colours have 256 levels; add --output mixture or --output softmax")
    }
}

fn ten() -> u8 {
    10
}

fn features() -> u16 {
    32
}

fn layers() -> u16 {
    4
}

impl<M: Density> Options for Fit<M> {
    const MODEL: &'static str = M::MODEL;

    fn recipe(&mut self) -> &mut Recipe {
        self.recipe.sound = sound(&self.model);
        &mut self.recipe
    }

    fn refuse(&self, _: bool) -> Option<&'static str> {
        self.model.refuse().or(self.model.pixels().and_then(Pixels::refuse))
    }

    fn conditional(&self) -> bool {
        self.model.conditional()
    }

    fn weights(&self, [h, w, c]: [usize; 3], classes: usize) -> Result<Vec<String>> {
        self.model.task().map_or(Ok(()), |task| task.check([h, w, c])).map_err(Error::new)?;
        let g = Graph::new();
        let x = g.input("x", Type::f32([1, h, w, drawn(&self.model, c)]));
        let class = self.model.conditional().then(|| g.input("class", Type::f32([1, classes])));
        let hint = hinted(&g, &self.model, x, c);
        self.model.network(&g, Given { class, hint, ..Given::pictures(x) });
        Ok(g.weights())
    }
}

/// The options of the recipe as a model of sounds has them.
fn of_sounds<M: Density>(arg: Arg) -> Arg {
    match arg.get_id().as_str() {
        _ if M::SOUND.is_none() => arg,
        "data" => arg.default_value(TONES).help(
            "Data set: `tones` (played by the program), or a folder of WAV files in train/CLASS and test/CLASS, or in \
             CLASS alone (every tenth is a test file)",
        ),
        "batch" => arg.default_value("8"),
        // Options that are hidden are refused when they are typed.
        "image_size" | "grey" => arg.hide(true),
        _ => arg,
    }
}

fn constant() -> f64 {
    1.0
}
