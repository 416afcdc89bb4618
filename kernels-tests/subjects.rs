//! What several test files look at: the VAE's graphs, the machine's adapter, a graph made ready on it, a
//! device without a driver.

use crate::{golden, harness};
use oneiro::{
    gpu::{Element, Executor, Gpu, State, wgpu},
    graph::{Graph, shape::Type, var::Init},
    kernel::caps::{AdapterClass, Caps},
    models::vae::{Config, Vae},
    nn::Activation,
    optim::{Optimizer, advance},
    plan::Plan,
};

/// The adapters that plans are checked for: what every GPU and CPU driver can do, and lavapipe.
pub(crate) fn all_caps() -> [(&'static str, Caps); 3] {
    [
        ("cpu", Caps::portable(AdapterClass::Cpu)),
        ("gpu", Caps::portable(AdapterClass::Gpu)),
        ("software", Caps::software()),
    ]
}

/// The adapter as one whose plans take the kernels for GPUs, which run on whatever adapter there is.
pub(crate) fn for_gpus(caps: &Caps) -> Caps {
    Caps { class: AdapterClass::Gpu, powers: vec![], ..caps.clone() }
}

/// A VAE with one hidden layer.
pub(crate) fn config(pixels: usize, hidden: usize, latent: usize) -> Config {
    Config { pixels, hidden: vec![hidden], latent, beta: 1.0, activation: Activation::Relu }
}

/// A minibatch of bytes that stay on the GPU, in the order that the host gives.
fn minibatch<'g>(g: &'g Graph, config: &Config, images: usize, batch: usize) -> oneiro::graph::Tensor<'g> {
    let data = g.input("data", Type::u8([images, config.pixels]));
    data.gather_rows(g.input("order", Type::u32([images])), batch)
}

/// One training step, as runs make it.
pub(crate) fn training(config: &Config, images: usize, batch: usize) -> Graph {
    let g = Graph::new();
    let x = minibatch(&g, config, images, batch);
    golden::ends(&g, &Vae::new(&g, config).training_step(x, &Optimizer::adam(1e-3)));
    g
}

/// The objective over a batch, added up in the State.
pub(crate) fn evaluation(config: &Config, images: usize, batch: usize) -> Graph {
    let g = Graph::new();
    g.count_by("eval.step");
    let loss = Vae::new(&g, config).loss(minibatch(&g, config, images, batch));
    let total = g.var("eval.total", Type::f32([3]), Init::Zeros);
    let row = [loss.total, loss.reconstruction, loss.kl].map(|t| t.reshape([1]));
    g.assign(total, total + g.concat(&row, 0));
    advance(&g);
    g
}

/// Pictures from latents.
pub(crate) fn decoder(config: &Config, count: usize) -> Graph {
    let g = Graph::new();
    let z = g.input("z", Type::f32([count, config.latent]));
    g.output("pictures", Vae::new(&g, config).decode(z).sigmoid());
    g
}

/// A graph made ready on the adapter, with a State of its own.
pub(crate) struct Ready<'a> {
    pub(crate) gpu: &'a Gpu,
    pub(crate) plan: Plan,
    pub(crate) state: State,
    pub(crate) executor: Executor,
}

impl<'a> Ready<'a> {
    /// The graph by the adapter's own kernels; the seed decides the variables' first values.
    pub(crate) fn new(gpu: &'a Gpu, graph: &Graph, seed: u64) -> Self {
        Self::by(gpu, gpu.caps(), graph, seed)
    }

    /// The graph by kernels for these capabilities.
    pub(crate) fn by(gpu: &'a Gpu, caps: &Caps, graph: &Graph, seed: u64) -> Self {
        let plan = Plan::new(graph, caps).unwrap();
        let state = State::new(gpu, &[&plan], seed).unwrap();
        let executor = Executor::new(gpu, &plan, &state, &[]).unwrap();
        Self { gpu, plan, state, executor }
    }

    /// Fills an input.
    pub(crate) fn write<T: Element>(&self, input: &str, values: &[T]) -> &Self {
        self.executor.write(self.gpu, input, values).unwrap();
        self
    }

    /// Runs one step.
    pub(crate) fn step(&self) -> &Self {
        self.executor.step(self.gpu).unwrap();
        self
    }

    /// The values of an output after the last step.
    pub(crate) fn read(&self, output: &str) -> Vec<f32> {
        self.executor.read(self.gpu, output).unwrap()
    }
}

/// The adapter that all tests share, or word that the user opted out of this test.
pub(crate) fn adapter(test: &str) -> Option<&'static Gpu> {
    let gpu = harness::gpu();
    if gpu.is_none() {
        harness::say(&format!("SKIPPED by ONEIRO_SKIP_GPU=1: {test}"));
    }
    gpu
}

/// A device that validates everything and computes nothing.
pub(crate) fn noop(limits: wgpu::Limits) -> (wgpu::Device, wgpu::Queue) {
    let required_features = wgpu::Features::SUBGROUP | wgpu::Features::SHADER_INT64;
    wgpu::Device::noop(&wgpu::DeviceDescriptor {
        required_features,
        required_limits: limits,
        ..Default::default()
    })
}
