//! PixelCNN (van den Oord et al. 2016a, "Pixel Recurrent Neural Networks", §3.4 and table 1): p(x) = ∏
//! p(x_i | x_<i) over the pixels in raster order, where each factor is the output of a stack of convolutions
//! that see only what comes before.
//!
//! The network is a 7x7 convolution with mask A (without the pixel itself), residual blocks of 1x1, 3x3 with
//! mask B and 1x1 convolutions (figure 5), and a head of 1x1 convolutions. Where a pixel's channels are drawn
//! one after another, features are in as many groups, and a group sees the earlier ones at its own pixel
//! (§3.4).

use super::{
    hint::{self, added},
    likelihood::Likelihood,
};
use crate::{
    graph::{
        Graph, Tensor,
        window::{Kernel, Taps},
    },
    nn::{Channels, Conv2d},
};

/// The network's architecture.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The rows, columns and channels of an image.
    pub image: [usize; 3],
    /// h, the channels within a residual block, which runs on 2h.
    pub features: usize,
    /// The number of residual blocks.
    pub blocks: usize,
    /// The pixels between the taps of the blocks' windows, one number for each block in turn, over and over.
    /// An empty list means 1 throughout, as in the paper. Dilated windows see as far with fewer blocks (Yu &
    /// Koltun 2016).
    pub dilations: Vec<usize>,
    /// The channels of the head's hidden layer.
    pub head: usize,
    /// The share of each block's inner features that training drops (Srivastava et al. 2014), in [0, 1).
    pub dropout: f32,
    /// The distribution of a pixel.
    pub likelihood: Likelihood,
    /// The network over hints, if the model is given some.
    pub hint: Option<hint::Config>,
}

impl Config {
    /// The recipe for MNIST: 7x7 with mask A, 15 blocks, 32 features.
    pub fn mnist() -> Self {
        Self {
            image: [28, 28, 1],
            features: 32,
            blocks: 15,
            dilations: vec![],
            head: 32,
            dropout: 0.0,
            likelihood: Likelihood::Bernoulli,
            hint: None,
        }
    }
}

/// The network in a graph.
pub struct PixelCnn<'g> {
    image: [usize; 3],
    likelihood: Likelihood,
    first: Conv2d<'g>,
    blocks: Vec<[Conv2d<'g>; 3]>,
    head: [Conv2d<'g>; 2],
    hint: Option<hint::Network<'g>>,
}

impl<'g> PixelCnn<'g> {
    /// Declares the variables: `first`, `blocks.I.0` to `.2`, `head.0`, `head.1`, each with `.weight` and
    /// `.bias`, and those of [`hint::Network::new`], which adds to the features before the blocks and after each.
    #[track_caller]
    pub fn new(g: &'g Graph, config: &Config) -> Self {
        let (c, h, twice) = (config.image[2], config.features, config.features.saturating_mul(2));
        let groups = config.likelihood.steps(c);
        let pointwise = |name: &str, channels| {
            Conv2d::masked(g, name, Kernel::square(1), channels, Channels::up_to(groups))
        };
        let block = |i: usize| {
            let name = |part: usize| format!("blocks.{i}.{part}");
            let dilation = config.dilations.iter().cycle().nth(i).copied().unwrap_or(1);
            let window = Kernel::square(3).dilation(dilation).padding(dilation).taps(Taps::MaskB);
            let middle = Conv2d::masked(g, &name(1), window, [h, h], Channels::up_to(groups));
            [pointwise(&name(0), [twice, h]), middle, pointwise(&name(2), [h, twice])]
        };
        // With channels in groups the centre takes part, of which a group sees the earlier ones.
        let before = if groups > 1 { Taps::MaskB } else { Taps::MaskA };
        g.traced(|| Self {
            image: config.image,
            likelihood: config.likelihood,
            first: Conv2d::masked(
                g,
                "first",
                Kernel::same(7).taps(before),
                [c, twice],
                Channels::before(groups),
            ),
            blocks: (0..config.blocks).map(block).collect(),
            head: [
                pointwise("head.0", [twice, config.head]),
                pointwise("head.1", [config.head, config.likelihood.outputs(c)]),
            ],
            hint: config
                .hint
                .map(|hint| hint::Network::new(g, &hint, std::iter::repeat_n(twice, config.blocks + 1))),
        })
    }

    /// All variables that are trained.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        std::iter::once(&self.first)
            .chain(self.blocks.iter().flatten())
            .chain(&self.head)
            .flat_map(Conv2d::params)
            .chain(self.hint.iter().flat_map(hint::Network::params))
            .collect()
    }

    /// The parameters of p(x_i | x_<i): images `[N, H, W, C]` to `[N, H, W, outputs]` of the likelihood.
    #[track_caller]
    pub fn logits(&self, x: Tensor<'g>) -> Tensor<'g> {
        self.logits_dropping(x, None, 0.0)
    }

    /// [`PixelCnn::logits`] of pictures with hints `[N, H, W, C']`, if the model takes some. For training, it drops
    /// this share of each block's inner features (Srivastava et al. 2014). Random streams: `blocks.{i}.dropout`
    /// of each block i.
    #[track_caller]
    pub fn logits_dropping(&self, x: Tensor<'g>, hint: Option<Tensor<'g>>, rate: f32) -> Tensor<'g> {
        let hinted = added(self.hint.as_ref(), hint, x.graph());
        let block = |x: Tensor<'g>, (i, [to, middle, back]): (usize, &[Conv2d<'g>; 3])| {
            let inner = middle.forward(to.forward(x.relu()).relu()).relu();
            hinted(i + 1, x + back.forward(inner.dropout(&format!("blocks.{i}.dropout"), rate)))
        };
        x.graph().traced(|| {
            let features = self.blocks.iter().enumerate().fold(hinted(0, self.first.forward(x)), block);
            self.head.iter().fold(features, |x, layer| layer.forward(x.relu()))
        })
    }

    /// The loss -log p(x) of a batch `[N, H·W·C]` of images, summed, in nats.
    #[track_caller]
    pub fn loss(&self, x: Tensor<'g>) -> Tensor<'g> {
        let [h, w, c] = self.image;
        let x = x.reshape([x.extent(0), h, w, c]);
        self.likelihood.nats(self.logits(x), x).sum_all()
    }
}
