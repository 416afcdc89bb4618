//! Drawing pictures from an autoregressive model on the GPU. One plan draws all random numbers, and computes
//! what is the same for all pixels; another is recorded once per step of a wavefront or, with the naive
//! method, once per pixel. Nothing is read back until the pictures are done.

use crate::{
    error::{Error, Result},
    gpu::{Executor, Gpu, State, wgpu},
    graph::{Graph, Tensor, shape::Type, var::Init},
    kernel::caps::Caps,
    models::likelihood::Likelihood,
    optim::advance,
    plan::Plan,
    sampling::{INPUT, OUTPUT, cached},
};

/// The name of the variable that holds the pictures of a [`Drawing`], f32 `[N, H, W, C]` with values in [0, 1].
pub const PICTURE: &str = "sampling/picture";
const GIVEN: &str = "sampling/given";
const UNIFORM: &str = "sampling/uniform";
const STEP: &str = "sampling/step";
const ROUND: &str = "sampling/round";

/// How pixels are computed. Both methods draw the same pictures from the same seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Each pixel is computed once, from cached activations ([`crate::sampling`]).
    Cached,
    /// The whole network runs for every pixel: for models without windows, and for comparison.
    Naive,
}

/// What is drawn, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draws {
    /// The shape of the pictures, `[N, H, W, C]`.
    pub shape: [usize; 4],
    /// The meaning of the model's outputs.
    pub likelihood: Likelihood,
    /// The temperature: 1 draws from the model's distribution, a smaller one prefers likely pixels.
    pub temperature: f32,
    /// How pixels are computed.
    pub method: Method,
}

/// The plans that draw pictures.
pub struct Sampler {
    begin: Plan,
    step: Plan,
    steps: usize,
    elements: usize,
}

impl Sampler {
    /// Plans the drawing of pictures. `model` gets pictures `[N, H, W, C]` with values in [0, 1] and returns
    /// the parameters of each pixel's distribution, `[N, H, W, P]`. All uniform numbers of a drawing come first, by
    /// the random stream `sampling/draw`.
    ///
    /// # Errors
    /// Fails if the graph is wrong, if the cached method does not know how to sample one of its ops, or if it
    /// needs more than the adapter allows.
    pub fn new(
        caps: &Caps,
        draws: Draws,
        model: impl for<'g> Fn(&'g Graph, Tensor<'g>) -> Tensor<'g>,
    ) -> Result<Self> {
        let Draws { shape, likelihood, temperature, method } = draws;
        let [n, h, w, c] = shape;
        let (numbers, counts) = ([n, h, w, likelihood.uniforms(c)], likelihood.steps(c));
        let begin = Graph::new();
        begin.count_by(ROUND);
        begin.assign(
            begin.var(UNIFORM, Type::f32(numbers), Init::Zeros),
            begin.uniform("sampling/draw", numbers),
        );
        let g = Graph::new();
        g.count_by(STEP);
        let [picture, given] = [PICTURE, GIVEN].map(|name| g.var(name, Type::f32(shape), Init::Zeros));
        let uniform = g.var(UNIFORM, Type::f32(numbers), Init::Zeros);
        let (steps, next) = match method {
            Method::Cached => {
                let whole = Graph::new();
                whole.output(OUTPUT, model(&whole, whole.input(INPUT, Type::f32(shape))));
                let (wave, outputs) = cached(&begin, &g, &whole, picture, g.step(), counts)?;
                let [old, given, uniform] =
                    [picture, given, uniform].map(|t| t.look(wave, &[[0, 0]], g.step()));
                let drawn = given.select(old, likelihood.draw(outputs, temperature, uniform));
                let placed = match counts {
                    1 => picture.place(wave, drawn, g.step()),
                    _ => picture.place_channel(wave, drawn, g.step()),
                };
                (wave.steps(), placed)
            }
            Method::Naive => {
                let (elements, pixels) = (h * w * c, n * h * w);
                let when = (0..elements).map(|i| (i * counts / c) as f32).collect();
                let now =
                    g.var("sampling/when", Type::f32([1, h, w, c]), Init::Values(when)).eq(g.step().to_f32());
                let [outputs, uniform] =
                    [model(&g, picture), uniform].map(|t| t.reshape([pixels, t.extent(3)]));
                let drawn = likelihood.draw(outputs, temperature, uniform).reshape(shape);
                (h * w * counts, (now * (1.0 - given)).select(drawn, picture))
            }
        };
        g.assign(picture, next);
        [&begin, &g].into_iter().for_each(advance);
        let plan = |g| -> std::result::Result<Plan, Error> { Plan::new(g, caps) };
        Ok(Self { begin: plan(&begin)?, step: plan(&g)?, steps, elements: shape.iter().product() })
    }

    /// The plans, for making the State that also holds the weights.
    pub fn plans(&self) -> [&Plan; 2] {
        [&self.begin, &self.step]
    }

    /// The number of steps that draw the pictures.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Makes the sampler ready on a device, on a State that was made for its plans and the weights.
    ///
    /// # Errors
    /// Fails if the device refuses a buffer or a pipeline.
    pub fn ready(&self, gpu: &Gpu, state: &State) -> Result<Drawing> {
        let [begin, step] = [&self.begin, &self.step].map(|plan| Executor::new(gpu, plan, state, &[]));
        Ok(Drawing { begin: begin?, step: step?, steps: self.steps, elements: self.elements, done: None })
    }

    /// Draws the pictures and returns them, `[N, H, W, C]` with values in [0, 1]. Each call draws other
    /// random numbers.
    ///
    /// `given` is as in [`Drawing::restart`]. `shown` is called after every submission with the number of steps
    /// that are done and a function that reads the pictures so far. A submission holds at most `steps / looks`
    /// steps, rounded up.
    ///
    /// # Errors
    /// Fails if the device refuses a buffer, a pipeline or the sizes of `given`, if it is lost, or with the
    /// error that `shown` returns.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(
        &self,
        gpu: &Gpu,
        state: &State,
        given: Option<(&[f32], &[f32])>,
        looks: usize,
        mut shown: impl FnMut(usize, &dyn Fn() -> Result<Vec<f32>>) -> Result<()>,
    ) -> Result<Vec<f32>> {
        let mut drawing = self.ready(gpu, state)?;
        drawing.restart(gpu, state, given)?;
        gpu.submit(|encoder| drawing.record(encoder, 0).map(drop))?;
        let read = || state.read(gpu, PICTURE);
        let most = self.steps.div_ceil(looks.max(1));
        super::bursts(gpu, &drawing.step, self.steps, most, |done| shown(done, &read))?;
        read()
    }
}

/// A [`Sampler`] that is ready on a device and draws step by step, so that one can watch: the pictures so far are
/// the State's variable [`PICTURE`].
pub struct Drawing {
    begin: Executor,
    step: Executor,
    steps: usize,
    elements: usize,
    /// The number of steps that are recorded; before the first, the random numbers are not drawn yet.
    done: Option<usize>,
}

impl Drawing {
    /// Begins other pictures, by other random numbers, from the next submission on. `given` holds pictures and
    /// a mask of the same shape, which is 1 where a value is kept and 0 where it is drawn.
    ///
    /// # Errors
    /// Fails if `given` has other sizes than the pictures, or if the device is lost.
    pub fn restart(&mut self, gpu: &Gpu, state: &State, given: Option<(&[f32], &[f32])>) -> Result<()> {
        let zeros = vec![0.0; self.elements];
        let (pictures, mask) = given.unwrap_or((&zeros, &zeros));
        state.write(gpu, PICTURE, pictures)?;
        state.write(gpu, GIVEN, mask)?;
        state.write_words(gpu, STEP, &[0])?;
        self.done = None;
        Ok(())
    }

    /// Records as many of the steps that are left, at most `most`, and returns how many are left then. The first call
    /// after [`Drawing::restart`] also records the random numbers.
    ///
    /// # Errors
    /// Fails if the device is known to be lost.
    pub fn record(&mut self, encoder: &mut wgpu::CommandEncoder, most: usize) -> Result<usize> {
        let done = match self.done {
            Some(done) => done,
            None => self.begin.record(encoder).map(|()| 0)?,
        };
        let next = self.steps.min(done.saturating_add(most));
        (done..next).try_for_each(|_| self.step.record(encoder))?;
        self.done = Some(next);
        Ok(self.steps - next)
    }
}
