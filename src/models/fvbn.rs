//! Fully visible belief nets: p(x) = ∏ p(x_d | x_1 … x_{d-1}) over the pixels in raster order, where each
//! factor is a Bernoulli whose logit is a function of the pixels before it.
//!
//! Without hidden layers this is the fully visible sigmoid belief net (Frey, Hinton & Dayan 1995, as in Gan
//! et al. 2015): logit_d = b_d + Σ_{j<d} W_dj x_j. With hidden layers it is MADE (Germain et al. 2015), a
//! masked autoencoder: a hidden unit of degree m sees inputs of degree at most m (eq. 8), and output d sees
//! hidden units of degree below d (eq. 9).

use crate::{
    graph::{Graph, Tensor, shape::Shape},
    nn::MaskedLinear,
    rng::{self, RandomStream},
};

/// The network's architecture.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The pixels of a flattened image.
    pub pixels: usize,
    /// The widths of the hidden layers; the sigmoid belief net has none.
    pub hidden: Vec<usize>,
    /// Whether outputs also see the pixels before them directly, beside the hidden layers (direct
    /// connections: Germain et al. 2015, §4.1).
    pub direct: bool,
}

/// The network in a graph.
pub struct Fvbn<'g> {
    layers: Vec<MaskedLinear<'g>>,
    direct: Option<MaskedLinear<'g>>,
}

impl<'g> Fvbn<'g> {
    /// Declares the variables: `layers.0.weight`, `layers.0.bias` …, and `direct.weight`.
    #[track_caller]
    pub fn new(g: &'g Graph, config: &Config) -> Self {
        let mut widths = config.hidden.iter().chain([&config.pixels]);
        let far = |n: usize| Shape::from([n.max(1), config.pixels.max(1)]).fault().is_some();
        // No lists of degrees as long as what is refused.
        if let Some(width) = widths.find(|&&width| far(width)) {
            g.poison(format!("fvbn: {} pixels and a width of {width} make too many weights", config.pixels));
            return Self::new(g, &Config { pixels: 1, hidden: vec![], ..*config });
        }
        let pixels: Vec<usize> = (1..=config.pixels).collect();
        let mut of = pixels.clone();
        let mut layers = vec![];
        for (i, &width) in config.hidden.iter().enumerate() {
            let sees = degrees(i, width, config.pixels, of.iter().copied().min().unwrap_or(1));
            layers.push(MaskedLinear::new(g, &format!("layers.{i}"), &of, &sees));
            of = sees;
        }
        let before: Vec<usize> = pixels.iter().map(|d| d - 1).collect();
        layers.push(MaskedLinear::new(g, &format!("layers.{}", config.hidden.len()), &of, &before));
        // Without hidden layers the one layer is direct already.
        let direct = (config.direct && !config.hidden.is_empty())
            .then(|| g.traced(|| MaskedLinear::of(g, "direct", &pixels, &before, false)));
        Self { layers, direct }
    }

    /// All variables that are trained.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        self.layers.iter().chain(&self.direct).flat_map(MaskedLinear::params).collect()
    }

    /// The logits of p(x_d = 1 | x_<d): `[N, pixels]` to `[N, pixels]`.
    #[track_caller]
    pub fn logits(&self, x: Tensor<'g>) -> Tensor<'g> {
        let (last, hidden) = self.layers.split_last().expect("there is an output layer");
        x.graph().traced(|| {
            let logits = last.forward(hidden.iter().fold(x, |h, layer| layer.forward(h).relu()));
            self.direct.iter().fold(logits, |logits, direct| logits + direct.forward(x))
        })
    }

    /// The loss -log p(x) of a batch `[N, pixels]` of black-and-white images, summed, in nats.
    #[track_caller]
    pub fn loss(&self, x: Tensor<'g>) -> Tensor<'g> {
        self.logits(x).bce_with_logits(x).sum_all()
    }
}

/// The degrees of hidden units, drawn uniformly from the least degree before them to one below the number of
/// pixels (§4.1). They are a function of the layer alone, so that a weights file fits.
fn degrees(layer: usize, width: usize, pixels: usize, least: usize) -> Vec<usize> {
    let key = RandomStream::new(&format!("made/degrees/{layer}")).key([0, 0]);
    let most = pixels.saturating_sub(1).max(least);
    let draw =
        |i: usize| least + (f64::from(rng::uniform(key, 0, i as u32)) * (most + 1 - least) as f64) as usize;
    (0..width).map(draw).collect()
}
