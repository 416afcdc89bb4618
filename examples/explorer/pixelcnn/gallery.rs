//! Pictures side by side that appear pixel by pixel. They are drawn by a copy of the network as it was when they
//! began, so that each is a picture of one network although the network learns meanwhile.

use super::tones::{self, rgb, toned};
use crate::{
    host::{Canvas, Host},
    making::Progress,
    room::{PIXELS, SIDE},
};
use oneiro::{
    error::Result,
    gpu::{Executor, Gpu, Shown, State, wgpu},
    graph::{Graph, shape::Type, var::Init},
    kernel::caps::Caps,
    models::{
        autoregressive::{Autoregressive, Given},
        pixelcnn::Config,
    },
    plan::Plan,
    train::{Drawing, Draws, Method, PICTURE, Sampler},
};

/// The pictures in each row and column.
pub(super) const COLUMNS: usize = 3;
pub(super) const COUNT: usize = COLUMNS * COLUMNS;

/// One picture, and a mask that is 1 where its pixels are kept.
pub(super) type Kept = (Vec<f32>, Vec<f32>);

/// A variable's bytes in the network that learns and in the one that draws.
struct Copied {
    from: (wgpu::Buffer, u64),
    to: (wgpu::Buffer, u64),
    bytes: u64,
}

/// The pictures that are being drawn.
pub(super) struct Gallery {
    pub(super) state: State,
    pub(super) canvas: Canvas,
    /// The steps that a drawing takes.
    pub(super) steps: usize,
    /// The steps that are done.
    pub(super) done: usize,
    pub(super) view: Executor,
    drawing: Drawing,
    weights: Vec<Copied>,
    /// What the next drawing is given, all zeros where nothing is.
    given: Kept,
    /// Whether a drawing begins with the next frame.
    begins: bool,
    /// The span of steps that the canvas shows.
    shown: Option<[usize; 2]>,
}

/// The step of the wavefront at which each pixel is drawn, where a drawing takes so many steps: each row follows the
/// one above by the same number of steps.
pub(super) fn when(steps: usize) -> Vec<f32> {
    let lag = (steps - SIDE) / (SIDE - 1);
    (0..PIXELS).map(|i| (i % SIDE + lag * (i / SIDE)) as f32).collect()
}

/// Shows the picture so far, with the pixels of the last steps marked and those given or not drawn yet in other tones.
fn view(caps: &Caps) -> Result<Plan> {
    let g = Graph::new();
    let picture = g.var(PICTURE, Type::f32([COUNT, SIDE, SIDE, 1]), Init::Zeros);
    let one = Type::f32([1, SIDE, SIDE, 1]);
    let [given, when] = ["given", "when"].map(|name| g.input(name, one.clone()));
    let span = g.input("span", Type::f32([2])).reshape([1, 1, 1, 2]);
    let (drawn, flying) = (when.lt(span.slice(3, 1..2)), when.ge(span.slice(3, 0..1)));
    let channel = |c: usize| {
        let drawn_now = flying.select(toned(picture, tones::FLYING, c), toned(picture, tones::DRAWN, c));
        given.select(toned(picture, tones::GIVEN, c), drawn.select(drawn_now, tones::WAITING[c]))
    };
    g.output("colours", rgb(&g, channel));
    Plan::new(&g, caps)
}

impl Gallery {
    /// Makes the gallery of the network whose weights of these names are in `live`.
    pub(super) async fn new(
        host: &Host,
        progress: &Progress,
        config: &Config,
        live: &State,
        names: &[String],
    ) -> Result<Self> {
        let (gpu, caps) = (&host.gpu, host.gpu.caps());
        let draws = Draws {
            shape: [COUNT, SIDE, SIDE, 1],
            likelihood: config.likelihood,
            temperature: 1.0,
            method: Method::Cached,
        };
        let sampler = Sampler::new(caps, draws, |g, x| config.network(g, Given::pictures(x)).1)?;
        let view = view(caps)?;
        let [begin, step] = sampler.plans();
        let state = State::new(gpu, &[begin, step, &view], 0)?;
        for plan in [begin, step] {
            // The sampler's own executors find these pipelines, compiled by their first steps.
            let executor = host.executor(progress, plan, &state, &[]).await?;
            host.first_step(progress, &executor).await?;
        }
        let drawing = sampler.ready(gpu, &state)?;
        let view = host.executor(progress, &view, &state, &[]).await?;
        let steps = sampler.steps();
        let given = (vec![0.0; PIXELS], vec![0.0; PIXELS]);
        view.write(gpu, "when", &when(steps))?;
        view.write(gpu, "given", &given.1)?;
        view.write(gpu, "span", &[0.0, 0.0])?;
        host.first_step(progress, &view).await?;
        let canvas = Canvas::new(host, &view, "colours", Shown::Grid { columns: COLUMNS })?;
        let weights = names.iter().map(|name| copied(live, &state, name)).collect::<Result<_>>()?;
        Ok(Self { state, canvas, steps, done: 0, view, drawing, weights, given, begins: true, shown: None })
    }

    /// Begins other pictures with the next frame, which keep what they are given.
    pub(super) fn restart(&mut self, given: Option<Kept>) {
        self.given = given.unwrap_or((vec![0.0; PIXELS], vec![0.0; PIXELS]));
        self.begins = true;
    }

    /// Begins other pictures with the next frame, given the same.
    pub(super) fn again(&mut self) {
        self.begins = true;
    }

    /// Whether pictures begin with the next frame.
    pub(super) fn begins(&self) -> bool {
        self.begins
    }

    /// Whether the pictures are drawn.
    pub(super) fn finished(&self) -> bool {
        !self.begins && self.done == self.steps
    }

    /// Records at most so many steps of the wavefront and what the canvas shows after them.
    pub(super) fn record(
        &mut self,
        gpu: &Gpu,
        encoder: &mut wgpu::CommandEncoder,
        most: usize,
    ) -> Result<()> {
        if std::mem::take(&mut self.begins) {
            let all = |one: &[f32]| one.repeat(COUNT);
            self.drawing.restart(gpu, &self.state, Some((&all(&self.given.0), &all(&self.given.1))))?;
            self.view.write(gpu, "given", &self.given.1)?;
            for Copied { from, to, bytes } in &self.weights {
                encoder.copy_buffer_to_buffer(&from.0, from.1, &to.0, to.1, *bytes);
            }
            (self.done, self.shown) = (0, None);
        }
        let before = self.done;
        self.done = self.steps - self.drawing.record(encoder, most)?;
        if self.shown != Some([before, self.done]) {
            self.view.record_write(gpu, encoder, "span", &[before as f32, self.done as f32])?;
            self.view.record(encoder)?;
            self.canvas.record(encoder)?;
            self.shown = Some([before, self.done]);
        }
        Ok(())
    }

    /// The bytes of one of the pictures so far.
    pub(super) fn picture(&self, index: usize) -> Result<(wgpu::Buffer, u64)> {
        let all = self.state.variable(PICTURE)?;
        Ok((all.buffer().clone(), all.offset() + (4 * PIXELS * index) as u64))
    }
}

fn copied(live: &State, drawing: &State, name: &str) -> Result<Copied> {
    let [from, to] = [live.variable(name)?, drawing.variable(name)?];
    let place = |slice: &wgpu::BufferSlice<'_>| (slice.buffer().clone(), slice.offset());
    Ok(Copied { from: place(&from), to: place(&to), bytes: from.size() })
}
