//! A small convolutional classifier of images, by whose last hidden layer a generator's pictures are judged.
//!
//! Convolutions of 3x3 and stride 2 halve the image until linear layers take it, all with ReLU. The
//! activations before the last linear layer are the features, and the last layer gives the classes. The
//! network is a plain chain, so that the tensors of a PyTorch state dict alone tell all of it. Flattening
//! follows PyTorch's order, channels first.

use crate::{
    graph::{Graph, Tensor, window::Kernel},
    nn::{Conv2d, Linear},
    weights::Weights,
};

/// The name and version of the classifier that the engine trains itself ([`Config::standard`]). The version
/// goes up when its architecture or its training changes, since features of two versions do not compare.
pub const NAME: &str = "oneiro-classifier-1";

/// The largest height and width that the standard convolutions leave.
const LEFT: usize = 4;

/// The architecture: the layers by their names and outputs, from which their inputs follow.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The height, width and channels of the images.
    pub image: [usize; 3],
    /// The name and the output channels of each convolution.
    pub convolutions: Vec<(String, usize)>,
    /// The name and the width of each linear layer with ReLU.
    pub hidden: Vec<(String, usize)>,
    /// The name of the last linear layer, and the number of classes.
    pub head: (String, usize),
}

impl Config {
    /// The architecture of [`NAME`]: convolutions `conv1`, `conv2`, … of 16, 32, 64, 64, … channels down to
    /// 4x4 pixels, 128 features `fc1`, and the classes `fc2`.
    pub fn standard(image: [usize; 3], classes: usize) -> Self {
        let side = image[0].max(image[1]);
        let halvings = (0..).take_while(|&i| side.div_ceil(1 << i) > LEFT).count();
        let convolutions = (0..halvings).map(|i| (format!("conv{}", i + 1), (16 << i).min(64))).collect();
        Self { image, convolutions, hidden: vec![("fc1".into(), 128)], head: ("fc2".into(), classes) }
    }

    /// The chain that a weights file holds, for images of this height, width and channels. A `NAME.weight` of
    /// four axes is a convolution of 3x3, stride 2 and padding 1; one of two axes is a linear layer; each has
    /// a `NAME.bias`. The layers follow each other in the order of their names, numbers by value.
    ///
    /// # Errors
    /// One line about the tensor that does not fit.
    pub fn of_weights(image: [usize; 3], weights: &Weights) -> Result<Self, String> {
        let mut names: Vec<&String> = weights.keys().collect();
        names.sort_by_key(|name| natural(name));
        let chain = |axes| {
            names
                .iter()
                .filter_map(move |n| Some((n.strip_suffix(".weight")?, &weights[*n].0)))
                .filter(move |l| l.1.len() == axes)
        };
        let mut this = Self { image, convolutions: vec![], hidden: vec![], head: (String::new(), 0) };
        for (name, shape) in chain(4) {
            let inputs = this.extents()[2];
            if shape[1..] != [inputs, 3, 3] {
                return Err(format!(
                    "`{name}.weight` is {shape:?}, a 3x3 convolution of {inputs} channels is wanted: [O, {inputs}, 3, 3]"
                ));
            }
            this.convolutions.push((name.into(), shape[0]));
        }
        for (name, shape) in chain(2) {
            let inputs = this.hidden.last().map_or(this.extents().iter().product(), |l| l.1);
            if shape[1] != inputs {
                return Err(format!(
                    "`{name}.weight` is {shape:?}, but its place in the chain on images {image:?} has {inputs} inputs"
                ));
            }
            this.hidden.push((name.into(), shape[0]));
        }
        this.head =
            this.hidden.pop().ok_or("no linear layer (`NAME.weight` of two axes) gives the classes")?;
        let known = |name: &str| {
            name.rsplit_once('.')
                .is_some_and(|(layer, kind)| ["weight", "bias"].contains(&kind) && this.has(layer))
        };
        match names.iter().find(|name| !known(name)) {
            Some(name) => Err(format!(
                "`{name}` belongs to no 3x3 convolution and no linear layer; only plain chains of these are read"
            )),
            None => Ok(this),
        }
    }

    fn has(&self, layer: &str) -> bool {
        self.convolutions.iter().chain(&self.hidden).chain([&self.head]).any(|(name, _)| name == layer)
    }

    /// The height, width and channels that the convolutions leave.
    fn extents(&self) -> [usize; 3] {
        let halved = |n: usize| self.convolutions.iter().fold(n, |n, _| n.div_ceil(2));
        [
            halved(self.image[0]),
            halved(self.image[1]),
            self.convolutions.last().map_or(self.image[2], |l| l.1),
        ]
    }

    /// The number of features, which are the inputs of the last layer.
    pub fn features(&self) -> usize {
        self.hidden.last().map_or(self.extents().iter().product(), |l| l.1)
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.head.1
    }
}

/// A name with its numbers padded by zeros, so that `conv10` sorts behind `conv9`.
fn natural(name: &str) -> String {
    let (mut padded, mut digits) = (String::new(), String::new());
    // The dot ends the last number.
    for c in name.chars().chain(['.']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        if !digits.is_empty() {
            padded += &format!("{digits:0>9}");
            digits.clear();
        }
        padded.push(c);
    }
    padded
}

/// The network in a graph.
pub struct Classifier<'g> {
    convolutions: Vec<Conv2d<'g>>,
    hidden: Vec<Linear<'g>>,
    head: Linear<'g>,
}

impl<'g> Classifier<'g> {
    /// Declares the layers.
    #[track_caller]
    pub fn new(g: &'g Graph, config: &Config) -> Self {
        let (mut channels, mut width) = (config.image[2], config.extents().iter().product());
        let mut convolution = |(name, o): &(String, usize)| {
            Conv2d::new(g, name, kernel(), [std::mem::replace(&mut channels, *o), *o])
        };
        let convolutions = g.traced(|| config.convolutions.iter().map(&mut convolution).collect());
        let mut linear =
            |(name, o): &(String, usize)| Linear::new(g, name, std::mem::replace(&mut width, *o), *o);
        g.traced(|| Self {
            convolutions,
            hidden: config.hidden.iter().map(&mut linear).collect(),
            head: linear(&config.head),
        })
    }

    /// The variables that are trained.
    pub fn params(&self) -> Vec<Tensor<'g>> {
        let linear = self.hidden.iter().chain([&self.head]).flat_map(Linear::params);
        self.convolutions.iter().flat_map(Conv2d::params).chain(linear).collect()
    }

    /// The features of images: `[N, H, W, C]` in [0, 1] to `[N, F]`.
    #[track_caller]
    pub fn features(&self, x: Tensor<'g>) -> Tensor<'g> {
        x.graph().traced(|| {
            let h = self.convolutions.iter().fold(x, |h, layer| convolve(layer, h).relu());
            let flat = h.permute(&[0, 3, 1, 2]).reshape([h.extent(0), h.shape().iter().skip(1).product()]);
            self.hidden.iter().fold(flat, |h, layer| layer.forward(h).relu())
        })
    }

    /// The logits of features: `[N, F]` to `[N, classes]`.
    #[track_caller]
    pub fn logits(&self, features: Tensor<'g>) -> Tensor<'g> {
        self.head.forward(features)
    }
}

fn kernel() -> Kernel {
    Kernel::same(3).stride(2)
}

/// An image with more channels. Kernels read channels by fours; zeros fill up the one or three of an image,
/// which makes the first layer several times faster.
#[track_caller]
fn convolve<'g>(layer: &Conv2d<'g>, x: Tensor<'g>) -> Tensor<'g> {
    match (x.extent(3).next_multiple_of(4) - x.extent(3), layer.bias()) {
        (more @ 1.., Some(bias)) => {
            x.pad(3, 0, more).conv2d(layer.weight().pad(1, 0, more), &kernel()) + bias
        }
        _ => layer.forward(x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{
        reference,
        shape::{Array, Type},
    };

    /// A file that holds a configuration's layers.
    fn file(config: &Config) -> Weights {
        let g = Graph::new();
        let params = Classifier::new(&g, config).params();
        assert_eq!(params.len(), 2 * (config.convolutions.len() + config.hidden.len() + 1));
        let vars = g.recording().vars.clone();
        vars.into_iter().map(|v| (v.name, (v.layout.shape(&v.ty.shape), vec![]))).collect()
    }

    #[test]
    fn a_file_tells_its_network() {
        for (image, convolutions) in [([28, 28, 1], 3), ([32, 32, 3], 3), ([64, 64, 3], 4), ([4, 3, 2], 0)] {
            let config = Config::standard(image, 10);
            assert_eq!(
                (config.convolutions.len(), config.features(), config.classes()),
                (convolutions, 128, 10)
            );
            assert_eq!(Config::of_weights(image, &file(&config)).unwrap(), config);
        }
        // Twelve layers, which text alone would sort wrongly, and the features of no hidden layer.
        let convolutions = (0..12).map(|i| (format!("net.{i}"), i + 2)).collect();
        let deep = Config { image: [9, 7, 1], convolutions, hidden: vec![], head: ("net.20".into(), 3) };
        assert_eq!(Config::of_weights([9, 7, 1], &file(&deep)).unwrap(), deep);
        assert_eq!(deep.features(), 13);
    }

    /// Images and weights in PyTorch's layouts, one multiplication after another.
    #[test]
    fn it_computes_pytorchs_chain() {
        let (image, layer) = ([5, 4, 3], |name: &str, o| (name.to_string(), o));
        let config = Config {
            image,
            convolutions: vec![layer("a", 8), layer("b", 6)],
            hidden: vec![layer("c", 7)],
            head: layer("d", 2),
        };
        let g = Graph::new();
        let network = Classifier::new(&g, &config);
        g.output("logits", network.logits(network.features(g.input("x", Type::f32([2, 5, 4, 3])))));
        let mut state = reference::initial(&g, 3);
        let x = Array::from_fn([2, 5, 4, 3], |i| (i * 37 % 101) as f64 / 101.0);
        let vars = g.recording().vars.clone();
        let found = reference::eval(&g, &[("x".into(), x.clone())].into(), &mut state).unwrap()["logits"]
            .data
            .clone();
        let filed = |name: &str| -> Vec<f64> {
            let var = vars.iter().find(|v| v.name == name).unwrap();
            let mut values = vec![0.0; var.layout.shape(&var.ty.shape).iter().product()];
            var.layout
                .places(&var.ty.shape)
                .iter()
                .zip(&state[name].data)
                .for_each(|(&place, &value)| values[place] = value);
            values
        };
        for n in 0..2 {
            let [mut h, mut w, mut c] = image;
            let mut planes: Vec<f64> =
                (0..60).map(|i| x.data[((n * 5 + i / 4 % 5) * 4 + i % 4) * 3 + i / 20]).collect();
            for (name, o) in &config.convolutions {
                let (weight, bias) = (filed(&format!("{name}.weight")), filed(&format!("{name}.bias")));
                let (rows, columns) = (h.div_ceil(2), w.div_ceil(2));
                let at = |i: usize, y: usize, x: usize| {
                    if (1..=h).contains(&y) && (1..=w).contains(&x) {
                        planes[(i * h + y - 1) * w + x - 1]
                    } else {
                        0.0
                    }
                };
                let sum = |k: usize, y: usize, x: usize| -> f64 {
                    (0..c * 9)
                        .map(|t| weight[k * c * 9 + t] * at(t / 9, 2 * y + t / 3 % 3, 2 * x + t % 3))
                        .sum::<f64>()
                        + bias[k]
                };
                planes = (0..o * rows * columns)
                    .map(|e| sum(e / (rows * columns), e / columns % rows, e % columns).max(0.0))
                    .collect();
                (h, w, c) = (rows, columns, *o);
            }
            let linear = |x: &[f64], name: &str| -> Vec<f64> {
                let rows = filed(&format!("{name}.weight"));
                rows.chunks(x.len())
                    .zip(filed(&format!("{name}.bias")))
                    .map(|(row, b)| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + b)
                    .collect()
            };
            let hidden: Vec<f64> = linear(&planes, "c").into_iter().map(|v| v.max(0.0)).collect();
            for (got, expected) in found[2 * n..].iter().zip(linear(&hidden, "d")) {
                assert!((got - expected).abs() < 1e-12, "{got} instead of {expected}");
            }
        }
    }

    #[test]
    fn other_files_are_refused_by_name() {
        let good = file(&Config::standard([28, 28, 1], 10));
        let refused = |change: &dyn Fn(&mut Weights), image, parts: &[&str]| {
            let mut weights = good.clone();
            change(&mut weights);
            let line = Config::of_weights(image, &weights).unwrap_err();
            assert!(parts.iter().all(|p| line.contains(p)) && line.lines().count() == 1, "{line}");
        };
        let put = |name: &'static str, shape: Vec<usize>| {
            move |w: &mut Weights| drop(w.insert(name.into(), (shape.clone(), vec![])))
        };
        let grey = [28, 28, 1];
        refused(
            &put("conv2.weight", vec![64, 16, 5, 5]),
            grey,
            &["`conv2.weight` is [64, 16, 5, 5]", "[O, 16, 3, 3]"],
        );
        refused(&put("conv2.weight", vec![64, 8, 3, 3]), grey, &["`conv2.weight`"]);
        refused(&put("bn1.running_mean", vec![64]), grey, &["`bn1.running_mean`", "plain chains"]);
        refused(&|w| w.retain(|name, _| !name.starts_with("fc")), grey, &["no linear layer"]);
        refused(&|_| (), [36, 36, 1], &["`fc1.weight`", "1600 inputs"]);
        refused(&|_| (), [56, 56, 1], &["`fc1.weight`", "3136 inputs"]);
        refused(&|_| (), [28, 28, 3], &["`conv1.weight`", "3 channels"]);
    }
}
