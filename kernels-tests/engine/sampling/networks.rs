//! Networks to sample from: small versions of the shipped models with large logits, and networks with windows
//! that no model has.

use oneiro::{
    graph::{
        Graph, Tensor,
        shape::Type,
        var::Init,
        window::{Kernel, Taps},
    },
    models::{
        autoregressive::{Autoregressive, Given},
        fvbn::{self, Fvbn},
        gated_pixelcnn::{self, GatedPixelCnn},
        hint,
        likelihood::Likelihood::{self, Bernoulli, Mixture, Softmax},
        pixelcnn::{Config, PixelCnn},
        pixelrnn::{self, Cell, PixelRnn},
        wavenet::{self, WaveNet},
    },
    nn::{Channels, Conv2d},
};

/// Parameters of pixels, `[N, H, W, P]`.
pub(super) type Model = for<'g> fn(&'g Graph, Tensor<'g>) -> Tensor<'g>;

pub(super) fn image(x: Tensor<'_>) -> [usize; 3] {
    [x.shape()[1], x.shape()[2], x.shape()[3]]
}

/// A PixelCNN: residual blocks, pointwise layers, a head.
pub(super) fn residual<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    PixelCnn::new(
        g,
        &Config {
            image: image(x),
            features: 6,
            blocks: 2,
            dilations: vec![],
            head: 5,
            dropout: 0.0,
            likelihood: Bernoulli,
            hint: None,
        },
    )
    .logits(x)
        * 6.0
}

fn levels<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    PixelCnn::new(
        g,
        &Config {
            image: image(x),
            features: 13,
            blocks: 2,
            dilations: vec![1, 3],
            head: 16,
            dropout: 0.0,
            likelihood: Softmax,
            hint: None,
        },
    )
    .logits(x)
        * 8.0
}

fn logistics<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    PixelCnn::new(
        g,
        &Config {
            image: image(x),
            features: 6,
            blocks: 1,
            dilations: vec![],
            head: 8,
            dropout: 0.0,
            likelihood: Mixture(3),
            hint: None,
        },
    )
    .logits(x)
        * 4.0
        - 1.0
}

/// A network that draws channels one after another through windows that grow: the pixels above are needed
/// with all channels.
fn colours<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    let c = x.shape()[3];
    let before = if c > 1 { Taps::MaskB } else { Taps::MaskA };
    let first = Conv2d::masked(g, "a", Kernel::same(3).taps(before), [c, 4 * c], Channels::before(c))
        .forward(x)
        .tanh();
    let second = Kernel::same(5).taps(Taps::MaskB);
    let second = Conv2d::masked(g, "b", second, [4 * c, 4 * c], Channels::up_to(c)).forward(first).tanh();
    Conv2d::masked(g, "o", Kernel::square(1), [4 * c, c], Channels::up_to(c)).forward(second) * 9.0
}

/// The same network over a scaled picture, so that no window reads the picture itself.
fn scaled<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    colours(g, x * 2.0 - 1.0)
}

fn gated_levels<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    let likelihood = Softmax;
    let config = gated_pixelcnn::Config {
        image: image(x),
        features: 6,
        layers: 2,
        kernel: 3,
        head: 6,
        classes: None,
        dropout: 0.0,
        likelihood,
        hint: None,
    };
    GatedPixelCnn::new(g, &config).logits(x, None) * 12.0
}

/// A network of windows that reach differently far, two of which see one activation, with a gate of slices, a
/// factor for each image and an offset for each pixel.
fn stacks<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    let [h, w, c] = image(x);
    let n = x.shape()[0];
    let conv = |name: &str, kernel: Kernel, channels| Conv2d::new(g, name, kernel, channels);
    // Whoever sees the pixel itself, as this does, is there only after it was drawn.
    let x = x * 2.0 - 1.0;
    let a = conv("a", Kernel::same(5).taps(Taps::MaskA), [c, 8]).forward(x).tanh();
    let vertical = conv("v", Kernel::same(5).taps(Taps::Rect([0, 2], [0, 5])), [8, 8]).forward(a);
    let horizontal = conv("h", Kernel::same(3).dilation(2).padding(2).taps(Taps::MaskB), [8, 8]).forward(a);
    let both = vertical + horizontal;
    let gate = both.slice(3, 0..4).tanh() * both.slice(3, 4..8).sigmoid();
    let place = g.var("place", Type::f32([1, h, w, 4]), Init::Normal(0.0, 1.0)).broadcast_to([n, h, w, 4]);
    let which = g.var("which", Type::f32([n, 1, 1, 1]), Init::Normal(0.0, 1.0)).broadcast_to([n, h, w, 4]);
    conv("o", Kernel::square(1), [4, c]).forward(gate * which + place) * 4.0
}

/// A gated PixelCNN that is conditioned on classes.
fn gated<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    let config = gated_pixelcnn::Config {
        image: image(x),
        features: 4,
        layers: 3,
        kernel: 5,
        head: 16,
        classes: Some(3),
        dropout: 0.0,
        likelihood: Bernoulli,
        hint: None,
    };
    let class = g.var("class", Type::f32([x.shape()[0], 3]), Init::Normal(0.0, 1.0));
    GatedPixelCnn::new(g, &config).logits(x, Some(class)) * 6.0
}

fn made<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    let shape = x.shape();
    let pixels = shape[1..].iter().product();
    let model = Fvbn::new(g, &fvbn::Config { pixels, hidden: vec![40, 30], direct: true });
    (model.logits(x.reshape([shape[0], pixels])) * 4.0).reshape(shape)
}

fn belief<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    let shape = x.shape();
    let pixels = shape[1..].iter().product();
    (Fvbn::new(g, &fvbn::Config { pixels, hidden: vec![], direct: false })
        .logits(x.reshape([shape[0], pixels]))
        * 8.0)
        .reshape(shape)
}

fn recurrent<'g>(g: &'g Graph, x: Tensor<'g>, cell: Cell, likelihood: Likelihood) -> Tensor<'g> {
    let (features, layers, head) = (7, 2, 8);
    let config = pixelrnn::Config { image: image(x), cell, features, layers, head, likelihood, hint: None };
    PixelRnn::new(g, &config).logits(x) * 8.0
}

/// A WaveNet over signals, which are pictures of one row; of more, each row would be a signal. It is
/// conditioned on classes.
fn signals<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    let config = wavenet::Config { features: 8, skip: 6, head: 12, layers: 3, blocks: 2, classes: Some(2) };
    let class = g.var("class", Type::f32([x.shape()[0], 2]), Init::Normal(0.0, 1.0));
    WaveNet::new(g, &config).logits(x, Some(class)) * 12.0
}

/// Windows over a signal that reach differently far; one of them sees what is right of it.
fn line<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    let row = |reach: usize, kept: [usize; 2]| {
        let kernel = Kernel { size: [1, 2 * reach + 1], padding: [0, reach], ..Kernel::square(1) };
        kernel.taps(Taps::Rect([0, 1], kept))
    };
    let conv = |name: &str, kernel: Kernel, channels| Conv2d::new(g, name, kernel, channels);
    // It sees the samples four and three before its own, so that the next one may look two to the right.
    let a = conv("a", row(4, [0, 2]), [1, 8]).forward(x * 2.0 - 1.0).tanh();
    let b = conv("b", row(2, [2, 5]), [8, 8]).forward(a).tanh();
    let c = conv("c", row(3, [0, 4]), [8, 8]).forward(b + a).tanh();
    conv("o", Kernel::square(1), [8, 1]).forward(c * b) * 6.0
}

/// The PixelCNN that the benchmark draws from: one 7x7 window with mask A, five of 3x3 with mask B, and two 1x1,
/// of 64 channels.
pub(super) fn plain<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    let conv = |name: &str, kernel: Kernel, channels| Conv2d::new(g, name, kernel, channels);
    let first = conv("first", Kernel::same(7).taps(Taps::MaskA), [1, 64]).forward(x).relu();
    let deep = (0..5).fold(first, |x, i| {
        conv(&format!("{i}"), Kernel::same(3).taps(Taps::MaskB), [64, 64]).forward(x).relu()
    });
    let head = conv("head", Kernel::square(1), [64, 64]).forward(deep).relu();
    conv("last", Kernel::square(1), [64, 1]).forward(head)
}

/// The WaveNet that the benchmark draws from: 20 layers.
pub(super) fn deep<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    let config = wavenet::Config { features: 32, skip: 64, head: 64, layers: 10, blocks: 2, classes: None };
    WaveNet::new(g, &config).logits(x, None)
}

/// Recurrent networks.
pub(super) const RECURRENT: [(&str, Likelihood, Model); 4] = [
    ("row LSTM", Bernoulli, |g, x| recurrent(g, x, Cell::Row(3), Bernoulli)),
    ("diagonal BiLSTM", Bernoulli, |g, x| recurrent(g, x, Cell::Diagonal, Bernoulli)),
    ("row LSTM of levels", Softmax, |g, x| recurrent(g, x, Cell::Row(5), Softmax)),
    ("diagonal BiLSTM of levels", Softmax, |g, x| recurrent(g, x, Cell::Diagonal, Softmax)),
];

pub(super) const MODELS: [(&str, Likelihood, Model); 10] = [
    ("PixelCNN", Bernoulli, residual),
    ("stacks", Bernoulli, stacks),
    ("gated PixelCNN", Bernoulli, gated),
    ("colours", Bernoulli, colours),
    ("scaled colours", Bernoulli, scaled),
    ("PixelCNN of 256 levels", Softmax, levels),
    ("PixelCNN of logistics", Mixture(3), logistics),
    ("gated PixelCNN of 256 levels", Softmax, gated_levels),
    ("MADE", Bernoulli, made),
    ("FVSBN", Bernoulli, belief),
];

/// A model with hints, which are variables of two channels.
fn hinted<'g>(g: &'g Graph, x: Tensor<'g>, model: &impl Autoregressive) -> Tensor<'g> {
    let [h, w, _] = image(x);
    let hint = g.var("hint", Type::f32([x.shape()[0], h, w, 2]), Init::Normal(0.0, 1.0));
    model.network(g, Given { hint: Some(hint), ..Given::pictures(x) }).1 * 8.0
}

const HINT: Option<hint::Config> = Some(hint::Config { channels: 2, features: 6, layers: 2 });

fn hinted_residual<'g>(g: &'g Graph, x: Tensor<'g>) -> Tensor<'g> {
    let (features, blocks, dilations, head, dropout) = (6, 2, vec![1, 2], 8, 0.0);
    let (image, likelihood, hint) = (image(x), Bernoulli, HINT);
    hinted(g, x, &Config { image, features, blocks, dilations, head, dropout, likelihood, hint })
}

fn hinted_gated<'g>(g: &'g Graph, x: Tensor<'g>, likelihood: Likelihood) -> Tensor<'g> {
    let (image, features, layers, kernel, head, classes) = (image(x), 6, 2, 3, 8, None);
    let (dropout, hint) = (0.0, HINT);
    let config =
        gated_pixelcnn::Config { image, features, layers, kernel, head, classes, dropout, likelihood, hint };
    hinted(g, x, &config)
}

fn hinted_recurrent<'g>(g: &'g Graph, x: Tensor<'g>, cell: Cell) -> Tensor<'g> {
    let (features, layers, head, likelihood, hint) = (7, 2, 8, Bernoulli, HINT);
    hinted(g, x, &pixelrnn::Config { image: image(x), cell, features, layers, head, likelihood, hint })
}

/// Models with hints; the last one draws levels.
pub(super) const HINTED: [(&str, Likelihood, Model); 5] = [
    ("PixelCNN with hints", Bernoulli, hinted_residual),
    ("gated PixelCNN with hints", Bernoulli, |g, x| hinted_gated(g, x, Bernoulli)),
    ("row LSTM with hints", Bernoulli, |g, x| hinted_recurrent(g, x, Cell::Row(3))),
    ("diagonal BiLSTM with hints", Bernoulli, |g, x| hinted_recurrent(g, x, Cell::Diagonal)),
    ("gated PixelCNN of 256 levels with hints", Softmax, |g, x| hinted_gated(g, x, Softmax)),
];

/// Networks over pictures of one row.
pub(super) const SIGNALS: [(&str, Likelihood, Model); 2] =
    [("WaveNet", Softmax, signals), ("line", Bernoulli, line)];
