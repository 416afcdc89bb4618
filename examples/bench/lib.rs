//! The models whose training steps are measured: by the benchmark on the machine at hand, and by
//! `cargo xtask offline` for GPUs that are not.

use oneiro::{
    data::{Images, glyphs::glyphs},
    error::Result,
    graph::{
        Graph, Tensor,
        shape::Type,
        var::Init,
        window::{Kernel, Taps},
    },
    kernel::caps::Caps,
    models::{
        autoregressive::{Autoregressive, Given},
        dcgan::Networks,
        game::{Game, Rules},
        likelihood::Likelihood,
        pixelrnn::{self, Cell},
        vae::{Config, Vae},
        wavenet,
    },
    nn::Conv2d,
    optim::{Optimizer, advance},
    plan::Plan,
    train::{Draws, Method, Sampler, batch, remember},
};

/// The names of the models.
pub const MODELS: [&str; 7] =
    ["vae", "pixelcnn", "pixelrnn", "pixelrnn-row", "wavenet", "dcgan32", "dcgan64"];
/// The number of images per step of the VAE, as in pytorch/examples.
pub const BATCH: usize = 128;
/// The number of 3x3 convolutions in the network that is compared.
pub const DEPTH: usize = 5;
/// Two blocks of dilations 1 to 512: a distribution depends on 2,048 samples.
pub const WAVENET: wavenet::Config =
    wavenet::Config { features: 32, skip: 64, head: 64, layers: 10, blocks: 2, classes: None };
/// The samples of a second.
pub const RATE: usize = 16_000;
/// The samples of a training signal.
const LENGTH: usize = 2048;

/// A model's training step: graphs that run one after another on one State, the images, and the number of
/// images per step.
pub struct Step {
    /// The graphs, in the order in which they run.
    pub graphs: Vec<Graph>,
    /// The images that the step is trained on.
    pub images: Images,
    /// The number of images per step.
    pub batch: usize,
}

impl Step {
    /// Records the step of one of [`MODELS`].
    ///
    /// # Errors
    /// A mistake in the model.
    pub fn new(name: &str) -> Result<Self> {
        let batch = match name {
            "vae" => BATCH,
            "wavenet" => 4,
            _ => 16,
        };
        let images = if name == "wavenet" { signals(10 * batch) } else { glyphs(10 * batch, 0) };
        let graphs = match name {
            "vae" => vec![vae(&images, batch)],
            "pixelcnn" => vec![density(&images, batch, &Plain { depth: DEPTH })],
            "pixelrnn" => vec![density(&images, batch, &recurrent(Cell::Diagonal))],
            "pixelrnn-row" => vec![density(&images, batch, &recurrent(Cell::Row(3)))],
            "wavenet" => vec![waves(&images, batch)],
            _ => dcgan(batch, if name == "dcgan64" { 64 } else { 32 })?.into(),
        };
        Ok(Self { graphs, images, batch })
    }

    /// Plans each graph for an adapter.
    ///
    /// # Errors
    /// The plan of a graph fails for the reasons that [`Plan::new`] gives.
    pub fn plans(&self, caps: &Caps) -> Result<Vec<Plan>> {
        self.graphs.iter().map(|graph| Plan::new(graph, caps)).collect::<Result<_>>()
    }

    /// The words that name the step.
    pub fn title(&self, name: &str) -> String {
        format!("{name} step, batch {}", self.batch)
    }
}

/// Plans the drawing of pictures `[N, H, W, C]` from a model, without classes.
///
/// # Errors
/// The sampler cannot be made, for the reasons that [`Sampler::new`] gives.
pub fn sampler(
    model: &dyn Autoregressive,
    shape: [usize; 4],
    likelihood: Likelihood,
    method: Method,
    caps: &Caps,
) -> Result<Sampler> {
    let draws = Draws { shape, likelihood, temperature: 1.0, method };
    Sampler::new(caps, draws, |g, x| model.network(g, Given::pictures(x)).1)
}

/// Plans the cached drawing of 16 pictures or one second of sound from one of [`MODELS`]; `None` if the model does
/// not draw pixel by pixel.
///
/// # Errors
/// The sampler cannot be made, for the reasons that [`Sampler::new`] gives.
pub fn drawing(name: &str, caps: &Caps) -> Result<Option<Sampler>> {
    let pictures = |model: &dyn Autoregressive| {
        sampler(model, [16, 28, 28, 1], Likelihood::Bernoulli, Method::Cached, caps).map(Some)
    };
    match name {
        "pixelcnn" => pictures(&Plain { depth: DEPTH }),
        "pixelrnn" => pictures(&recurrent(Cell::Diagonal)),
        "pixelrnn-row" => pictures(&recurrent(Cell::Row(3))),
        "wavenet" => sampler(&WAVENET, [1, 1, RATE, 1], wavenet::LIKELIHOOD, Method::Cached, caps).map(Some),
        _ => Ok(None),
    }
}

/// One round of the DCGAN of pytorch/examples, as a step of the discriminator and one of the generator. The
/// discriminator has no sigmoid, and the real pictures, of three channels, lie on the GPU.
fn dcgan(n: usize, side: usize) -> Result<[Graph; 2]> {
    let networks = Networks { latent: 100, generator: 64, discriminator: 64 };
    let game = Game::new(networks, Rules::default(), [side, side, 3], [side, side], 0, n)?;
    let [first, second] = [Graph::new(), Graph::new()];
    let real = Type::f32([n, side, side, 3]);
    game.discriminator_step(&first, |g| (g.var("real", real, Init::Normal(0.5, 0.5)), None));
    remember(&second, &game.generator_step(&second));
    advance(&second);
    Ok([first, second])
}

/// The training step of the VAE of pytorch/examples.
fn vae(images: &Images, size: usize) -> Graph {
    let g = Graph::new();
    let vae = Vae::new(&g, &Config::default());
    remember(&g, &vae.training_step(batch(&g, images, size, None), &Optimizer::adam(1e-3)));
    advance(&g);
    g
}

/// A PixelCNN without residual connections, for comparison with other programs: one 7x7 convolution with mask
/// A, `depth` 3x3 convolutions with mask B, and two 1x1 convolutions, all of 64 channels.
pub struct Plain {
    /// The number of 3x3 convolutions.
    pub depth: usize,
}

impl Autoregressive for Plain {
    fn network<'g>(&self, g: &'g Graph, Given { x, .. }: Given<'g>) -> (Vec<Tensor<'g>>, Tensor<'g>) {
        let (depth, mask) = (self.depth, |size: usize, taps| Kernel::same(size).taps(taps));
        let conv = |i: usize, kernel: Kernel, c, o| Conv2d::new(g, &format!("{i}"), kernel, [c, o]);
        let masked = (1..=depth).map(|i| conv(i, mask(3, Taps::MaskB), 64, 64));
        let layers: Vec<_> = std::iter::once(conv(0, mask(7, Taps::MaskA), 1, 64))
            .chain(masked)
            .chain([conv(depth + 1, Kernel::square(1), 64, 64), conv(depth + 2, Kernel::square(1), 64, 1)])
            .collect();
        let (last, hidden) = layers.split_last().expect("there are layers");
        let logits = last.forward(hidden.iter().fold(x, |x, layer| layer.forward(x).relu()));
        (layers.iter().flat_map(Conv2d::params).collect(), logits)
    }
}

/// A PixelRNN of one layer of 32 units.
pub fn recurrent(cell: Cell) -> pixelrnn::Config {
    let image = [28, 28, 1];
    pixelrnn::Config {
        image,
        cell,
        features: 32,
        layers: 1,
        head: 64,
        likelihood: Likelihood::Bernoulli,
        hint: None,
    }
}

/// The training step of an explicit density model on binarised pictures.
fn density(images: &Images, size: usize, model: &dyn Autoregressive) -> Graph {
    let g = Graph::new();
    let x = batch(&g, images, size, Some("binarise")).reshape([size, images.height, images.width, 1]);
    let given = Given { training: true, ..Given::pictures(x) };
    remember(&g, &model.training_step(&g, "density", given, &Optimizer::adam(1e-3)));
    advance(&g);
    g
}

/// Signals of two tones each, in levels.
fn signals(count: usize) -> Images {
    let level = |i: usize| {
        let (pitch, t) = (1.0 + (i / LENGTH) as f32, (i % LENGTH) as f32);
        (128.0 + 70.0 * (0.05 * pitch * t).sin() + 50.0 * (0.013 * pitch * t).sin()) as u8
    };
    let pixels = (0..count * LENGTH).map(level).collect();
    Images { count, height: 1, width: LENGTH, channels: 1, classes: 0, pixels, labels: None }
}

/// The training step of WaveNet.
fn waves(signals: &Images, size: usize) -> Graph {
    let g = Graph::new();
    let x = batch(&g, signals, size, None).reshape([size, 1, LENGTH, 1]);
    let given = Given { training: true, ..Given::pictures(x) };
    remember(&g, &WAVENET.training_step(&g, "wavenet", given, &Optimizer::adam(1e-3)));
    advance(&g);
    g
}
