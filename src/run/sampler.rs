//! Drawing pictures from an autoregressive model on the GPU: a plan that draws all random numbers, and one that is recorded
//! once per step of a wavefront, or once per pixel the naive way. Nothing is read back until the pictures are done.

use super::{Result, training::next_burst};
use crate::{
    caps::Caps,
    error::Error,
    gpu::{Executor, Gpu, State},
    graph::{Graph, Tensor},
    optim::advance,
    plan::Plan,
    sampling::{INPUT, OUTPUT, cached},
    shape::Type,
    var::Init,
};
use std::time::Instant;

const PICTURE: &str = "sampling/picture";
const GIVEN: &str = "sampling/given";
const UNIFORM: &str = "sampling/uniform";
const STEP: &str = "sampling/step";
const ROUND: &str = "sampling/round";

/// How pixels are computed; both draw the same pictures from the same seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Each pixel once, from cached activations ([`crate::sampling`]).
    Cached,
    /// The whole network for every pixel: for models without windows, and to compare with.
    Naive,
}

/// The plans that draw pictures.
pub struct Sampler {
    begin: Plan,
    step: Plan,
    steps: usize,
    elements: usize,
}

impl Sampler {
    /// Plans for `[N, H, W, C]` pictures. `model` gives the logits of black-and-white pixels, of the picture's shape;
    /// they are divided by the temperature.
    pub fn new(
        caps: &Caps,
        shape: [usize; 4],
        temperature: f32,
        method: Method,
        model: impl for<'g> Fn(&'g Graph, Tensor<'g>) -> Tensor<'g>,
    ) -> Result<Self> {
        let begin = Graph::new();
        begin.count_by(ROUND);
        begin.assign(begin.var(UNIFORM, Type::f32(shape), Init::Zeros), begin.uniform("sampling/draw", shape));
        advance(&begin);
        let g = Graph::new();
        g.count_by(STEP);
        let [picture, given, uniform] = [PICTURE, GIVEN, UNIFORM].map(|name| g.var(name, Type::f32(shape), Init::Zeros));
        let (steps, next) = match method {
            Method::Cached => {
                let whole = Graph::new();
                whole.output(OUTPUT, model(&whole, whole.input(INPUT, Type::f32(shape))));
                let (wave, logits) = cached(&g, &whole, picture, g.step())?;
                let [old, given, uniform] = [picture, given, uniform].map(|t| t.look(wave, &[[0, 0]], g.step()));
                let drawn = given.select(old, draw(logits, temperature, uniform));
                (wave.steps(), picture.place(wave, drawn, g.step()))
            }
            Method::Naive => {
                let pixels = shape[1] * shape[2];
                let index = g.var("sampling/index", Type::f32([pixels]), Init::Values((0..pixels).map(|i| i as f32).collect()));
                let now = index.eq(g.step().to_f32()).reshape([1, shape[1], shape[2], 1]).broadcast_to(shape);
                let drawn = draw(model(&g, picture), temperature, uniform);
                (pixels, (now * (1.0 - given)).select(drawn, picture))
            }
        };
        g.assign(picture, next);
        advance(&g);
        let plan = |g| -> std::result::Result<Plan, Error> { Plan::new(g, caps) };
        Ok(Self { begin: plan(&begin)?, step: plan(&g)?, steps, elements: shape.iter().product() })
    }

    /// The plans, for the State that holds the weights.
    pub fn plans(&self) -> [&Plan; 2] {
        [&self.begin, &self.step]
    }

    /// Steps that draw the pictures.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Draws pictures, a new round at each call. `given` are pictures and where they are kept (1 where a pixel is given);
    /// `shown` is told after every submission how many steps are done, and may read the pictures so far.
    pub fn run(
        &self,
        gpu: &Gpu,
        state: &State,
        given: Option<(&[f32], &[f32])>,
        mut shown: impl FnMut(usize, &dyn Fn() -> Result<Vec<f32>>) -> Result<()>,
    ) -> Result<Vec<f32>> {
        let (begin, step) = (Executor::new(gpu, &self.begin, state, &[])?, Executor::new(gpu, &self.step, state, &[])?);
        let zeros = vec![0.0; self.elements];
        let (pictures, mask) = given.unwrap_or((&zeros, &zeros));
        state.write(gpu, PICTURE, pictures)?;
        state.write(gpu, GIVEN, mask)?;
        state.write_words(gpu, STEP, &[0])?;
        gpu.submit(|encoder| begin.record(encoder));
        let read = || Ok(state.read(gpu, PICTURE)?);
        let (mut done, mut burst) = (0, 1);
        while done < self.steps {
            let (count, begun) = (burst.min((self.steps - done) as u64), Instant::now());
            gpu.submit(|encoder| (0..count).for_each(|_| step.record(encoder)));
            gpu.wait()?;
            burst = next_burst(begun.elapsed(), count);
            done += count as usize;
            shown(done, &read)?;
        }
        read()
    }
}

/// Black-and-white pixels by their uniform numbers.
fn draw<'g>(logits: Tensor<'g>, temperature: f32, uniform: Tensor<'g>) -> Tensor<'g> {
    uniform.lt((logits * (1.0 / temperature)).sigmoid())
}
