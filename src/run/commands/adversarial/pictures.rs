//! A generator on a device, which turns noise into pictures, and a discriminator that finds classes.

use super::super::one_hot;
use crate::{
    data::Images,
    error::Result,
    gpu::{Executor, Gpu, State},
    graph::{Graph, shape::Type},
    kernel::caps::Caps,
    models::{autoencoder::correct, game::Game, players::Players},
    optim::advance,
    plan::Plan,
    train::{Evaluation, labels, normals, uniforms},
};

/// The name of the input of hints.
const HINT: &str = "hint";
/// The counter of drawings, which dropout follows.
const COUNTER: &str = "pictures.step";
/// The names of the inputs and the output of a plan that draws pictures.
const NOISE: &str = "z";
pub(super) const CLASS: &str = "class";
pub(super) const PICTURES: &str = "pictures";

/// Plans `count` pictures from noise `z`, if the model is conditional from classes `class`, and if it is given pictures
/// from these, `hint`.
pub(super) fn pictures<P: Players>(game: &Game<P>, caps: &Caps, count: usize) -> Result<Plan> {
    let g = Graph::new();
    let drops = game.rules().tricks.dropout > 0.0;
    if drops {
        g.count_by(COUNTER);
    }
    let z = g.input(NOISE, Type::f32([count, game.latent()]));
    let class = (game.classes() > 0).then(|| g.input(CLASS, Type::f32([count, game.classes()])));
    let [h, w, _] = game.image();
    let hint = (game.hint() > 0).then(|| g.input(HINT, Type::f32([count, h, w, game.hint()])));
    g.output(PICTURES, game.pictures_of(z, class, hint));
    if drops {
        advance(&g);
    }
    Plan::new(&g, caps)
}

/// Plans the accuracy with which the discriminator finds the classes of these images.
pub(super) fn tested<P: Players>(game: &Game<P>, caps: &Caps, test: &Images) -> Result<Evaluation> {
    Evaluation::in_batches(100, caps, test, |g, x| {
        vec![("accuracy", correct(game.class_logits(x), labels(g, test, x.extent(0))))]
    })
}

/// Draws `n` numbers of noise, uniform or normal.
pub(super) fn noise(uniform: bool, seed: u64, n: usize) -> Vec<f32> {
    if uniform { uniforms(seed, n) } else { normals(seed, n) }
}

/// The classes of `count` pictures, one-hot: all classes in turn. Empty if there are no classes.
pub(super) fn in_turn(classes: usize, count: usize) -> Vec<f32> {
    one_hot((0..count).map(|i| i % classes.max(1)), classes)
}

/// A generator on a device, which turns noise into pictures.
pub(super) struct Pictures<'a> {
    gpu: &'a Gpu,
    executor: Executor,
    inputs: Vec<String>,
}

impl<'a> Pictures<'a> {
    pub(super) fn new(gpu: &'a Gpu, plan: &Plan, state: &State) -> Result<Self> {
        let inputs = plan.inputs.iter().map(|(name, _)| name.clone()).collect();
        Ok(Self { gpu, executor: Executor::new(gpu, plan, state, &[])?, inputs })
    }

    /// Draws pictures with values in [0, 1]. Noise vectors, one-hot classes and hints must be as many as the plan
    /// takes.
    pub(super) fn draw(&self, z: &[f32], classes: &[f32], hints: &[f32]) -> Result<Vec<f32>> {
        for (name, values) in [(NOISE, z), (CLASS, classes), (HINT, hints)] {
            if self.inputs.iter().any(|input| input == name) {
                self.executor.write(self.gpu, name, values)?;
            }
        }
        self.executor.step(self.gpu)?;
        self.executor.read(self.gpu, PICTURES)
    }
}
