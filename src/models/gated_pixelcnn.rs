//! The gated PixelCNN (van den Oord et al. 2016b, "Conditional Image Generation with PixelCNN Decoders").
//!
//! There are two stacks: the vertical one sees all rows above, and the horizontal one sees the pixels to the
//! left and, through 1x1 convolutions, the vertical stack. Together they see all that comes before, without
//! the blind spot of stacked masked windows (§2.2). Units are gated, y = tanh(W_f * x) ⊙ σ(W_g * x) (eq. 2),
//! and a class may shift both halves by V_fᵀ h and V_gᵀ h (eq. 4), a hint by what stands at the pixel's place (§2.3).
//!
//! The first layers leave out the pixel's own row (vertical) and the pixel itself (horizontal). Later layers
//! include them, since they see features that already look only at what comes before. Where a pixel's
//! channels are drawn one after another, the horizontal stack's features are in as many groups, and a group
//! sees the earlier ones at its own pixel.

use super::{
    hint::{self, added},
    likelihood::Likelihood,
};
use crate::{
    graph::{
        Graph, Tensor,
        window::{Kernel, Taps},
    },
    nn::{Channels, Conv2d, Linear},
};

/// The network's architecture.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The rows, columns and channels of an image.
    pub image: [usize; 3],
    /// p, the channels of either stack; the gates take 2p.
    pub features: usize,
    /// The number of gated layers, the first included.
    pub layers: usize,
    /// The rows and columns of the windows, an odd number.
    pub kernel: usize,
    /// The channels of the head's hidden layer.
    pub head: usize,
    /// The number of classes that the model is conditioned on, if it is.
    pub classes: Option<usize>,
    /// The share of each layer's gated features that training drops, in [0, 1).
    pub dropout: f32,
    /// The distribution of a pixel.
    pub likelihood: Likelihood,
    /// The network over hints, if the model is given some.
    pub hint: Option<hint::Config>,
}

/// One gated layer (figure 2).
struct Layer<'g> {
    vertical: Conv2d<'g>,
    horizontal: Conv2d<'g>,
    /// The layer from the vertical stack to the horizontal one, before the gates.
    down: Conv2d<'g>,
    out: Conv2d<'g>,
    /// The shifts of both stacks by the class.
    class: Option<[Linear<'g>; 2]>,
    residual: bool,
}

/// The network in a graph.
pub struct GatedPixelCnn<'g> {
    image: [usize; 3],
    likelihood: Likelihood,
    layers: Vec<Layer<'g>>,
    head: [Conv2d<'g>; 2],
    classes: Option<usize>,
    hint: Option<hint::Network<'g>>,
}

impl<'g> Layer<'g> {
    fn new(g: &'g Graph, index: usize, config: &Config) -> Self {
        let (p, k, first) = (config.features, config.kernel, index == 0);
        let twice = p.saturating_mul(2);
        let (c, own) = (if first { config.image[2] } else { p }, usize::from(!first));
        let groups = config.likelihood.steps(config.image[2]);
        let name = |part: &str| format!("layers.{index}.{part}");
        let window = |rows, columns| Kernel::same(k).taps(Taps::Rect(rows, columns));
        let classes = config.classes.map(|n| {
            ["vertical_class", "horizontal_class"].map(|part| Linear::new(g, &name(part), n, twice))
        });
        let sees = if first { Channels::before(groups) } else { Channels::up_to(groups) };
        // The centre takes part where some of its channels do.
        let left = [0, k / 2 + usize::from(!first || groups > 1)];
        Self {
            vertical: Conv2d::new(g, &name("vertical"), window([0, k / 2 + own], [0, k]), [c, twice]),
            horizontal: Conv2d::masked(
                g,
                &name("horizontal"),
                window([k / 2, k / 2 + 1], left),
                [c, twice],
                sees.copies(2),
            ),
            down: Conv2d::new(g, &name("down"), Kernel::square(1), [twice, twice]),
            out: Conv2d::masked(g, &name("out"), Kernel::square(1), [p, p], Channels::up_to(groups)),
            class: classes,
            residual: !first,
        }
    }

    fn params(&self) -> Vec<Tensor<'g>> {
        let convolutions = [&self.vertical, &self.horizontal, &self.down, &self.out];
        let class = self.class.iter().flatten().flat_map(Linear::params);
        convolutions.into_iter().flat_map(Conv2d::params).chain(class).collect()
    }

    /// Applies the layer to (vertical, horizontal) and gives the same; `class` is one-hot, `[N, classes]`, and
    /// `hinted` adds what the hint says to the gates' inputs of stack 0, the vertical one, or 1.
    fn forward(
        &self,
        (v, h): (Tensor<'g>, Tensor<'g>),
        class: Option<Tensor<'g>>,
        hinted: impl Fn(usize, Tensor<'g>) -> Tensor<'g>,
        dropped: impl Fn(Tensor<'g>) -> Tensor<'g>,
    ) -> (Tensor<'g>, Tensor<'g>) {
        let shift = |x: Tensor<'g>, stack: usize| match (class, &self.class) {
            (Some(class), Some(layers)) => {
                let by = layers[stack].forward(class);
                x + by.reshape([by.extent(0), 1, 1, by.extent(1)])
            }
            _ => x,
        };
        let seen = self.vertical.forward(v);
        let across = self.horizontal.forward(h) + self.down.forward(seen);
        let out = self.out.forward(dropped(gate(hinted(1, shift(across, 1)))));
        (gate(hinted(0, shift(seen, 0))), if self.residual { h + out } else { out })
    }
}

/// The gate: tanh of the first half of the channels times σ of the second half (eq. 2).
fn gate(x: Tensor<'_>) -> Tensor<'_> {
    let p = x.extent(3) / 2;
    x.slice(3, 0..p).gate(x.slice(3, p..2 * p))
}

impl<'g> GatedPixelCnn<'g> {
    /// Declares the variables: `layers.I.vertical`, `.horizontal`, `.down`, `.out` (and `.vertical_class`,
    /// `.horizontal_class`), `head.0`, `head.1`, each with `.weight` and `.bias`, and those of
    /// [`hint::Network::new`], which adds to the vertical and to the horizontal gates of each layer in turn.
    #[track_caller]
    pub fn new(g: &'g Graph, config: &Config) -> Self {
        let groups = config.likelihood.steps(config.image[2]);
        let pointwise = |name: &str, channels| {
            Conv2d::masked(g, name, Kernel::square(1), channels, Channels::up_to(groups))
        };
        let outputs = config.likelihood.outputs(config.image[2]);
        if config.layers == 0 || config.kernel.is_multiple_of(2) {
            let (layers, kernel) = (config.layers, config.kernel);
            g.poison(format!(
                "gated_pixelcnn: wants at least one layer and windows of odd size, got {layers} of {kernel}x{kernel}"
            ));
        }
        g.traced(|| Self {
            image: config.image,
            likelihood: config.likelihood,
            layers: (0..config.layers).map(|i| Layer::new(g, i, config)).collect(),
            head: [
                pointwise("head.0", [config.features, config.head]),
                pointwise("head.1", [config.head, outputs]),
            ],
            classes: config.classes,
            hint: config.hint.map(|hint| {
                hint::Network::new(
                    g,
                    &hint,
                    std::iter::repeat_n(config.features.saturating_mul(2), config.layers.saturating_mul(2)),
                )
            }),
        })
    }

    /// All variables that are trained.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        let head = self.head.iter().flat_map(Conv2d::params);
        let hint = self.hint.iter().flat_map(hint::Network::params);
        self.layers.iter().flat_map(Layer::params).chain(head).chain(hint).collect()
    }

    /// The parameters of p(x_i | x_<i): images `[N, H, W, C]`, and one-hot classes `[N, classes]` for a
    /// conditional model, to `[N, H, W, outputs]` of the likelihood.
    #[track_caller]
    pub fn logits(&self, x: Tensor<'g>, class: Option<Tensor<'g>>) -> Tensor<'g> {
        self.logits_dropping(x, class, None, 0.0)
    }

    /// [`GatedPixelCnn::logits`] of pictures with hints `[N, H, W, C']`, if the model takes some. For training, it
    /// drops this share of the horizontal stack's gates (Srivastava et al. 2014). Random streams:
    /// `layers.{i}.dropout` of each layer i.
    #[track_caller]
    pub fn logits_dropping(
        &self,
        x: Tensor<'g>,
        class: Option<Tensor<'g>>,
        hint: Option<Tensor<'g>>,
        rate: f32,
    ) -> Tensor<'g> {
        let hinted = added(self.hint.as_ref(), hint, x.graph());
        let layer = |stacks, (i, layer): (usize, &Layer<'g>)| {
            let hinted = |stack, x| hinted(2 * i + stack, x);
            layer.forward(stacks, class, hinted, |x| x.dropout(&format!("layers.{i}.dropout"), rate))
        };
        match (self.classes, class) {
            (Some(n), None) => {
                return x
                    .graph()
                    .poison(format!("gated_pixelcnn: wants the classes one-hot, [N, {n}], got none"));
            }
            (None, Some(class)) => {
                return x
                    .graph()
                    .poison(format!("gated_pixelcnn: is not conditioned on classes, got {class:?}"));
            }
            _ => {}
        }
        x.graph().traced(|| {
            let (_, horizontal) = self.layers.iter().enumerate().fold((x, x), layer);
            self.head.iter().fold(horizontal, |x, layer| layer.forward(x.relu()))
        })
    }

    /// The loss -log p(x) of a batch `[N, H·W·C]` of images, summed, in nats.
    #[track_caller]
    pub fn loss(&self, x: Tensor<'g>, class: Option<Tensor<'g>>) -> Tensor<'g> {
        let [h, w, c] = self.image;
        let x = x.reshape([x.extent(0), h, w, c]);
        self.likelihood.nats(self.logits(x, class), x).sum_all()
    }
}
