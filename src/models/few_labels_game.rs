//! The game that learns classes from few labels (Salimans et al. 2016, "Improved techniques for training
//! GANs", §3.1 and §5).
//!
//! The discriminator tells K + 1 classes apart, of which the last is "generated". That one's logit is 0,
//! since only differences of logits count, so that the discriminator gives K logits l, and the logit of
//! "real" is log Σ exp(l). It learns from labelled images which class they have, and from all images and the
//! generator's pictures which are real. The generator matches features: its pictures are to have the mean of
//! real images in the discriminator's last hidden layer.

use super::{
    Metrics,
    game::{COUNTER, DISCRIMINATOR, GENERATOR, Game},
    players::Players,
};
use crate::{
    graph::{Graph, Tensor},
    nn::{Mode, Sequential},
};

impl<P: Players> Game<P> {
    /// Records a step of a discriminator that tells classes apart ([`Game::telling_apart`]); the generator
    /// stays as it is.
    ///
    /// `data` records a minibatch of all images and one of labelled images, `[N, …]` and `[M, …]` in [0, 1],
    /// and the classes of the latter, one-hot `[M, K]`; the graph counts steps by a counter of the
    /// discriminator's own. Random streams: `discriminator.z`, and as the rules ask `noise.labelled` and those of
    /// [`Game::discriminator_step`] but `penalty`.
    #[track_caller]
    pub fn telling_step<'g>(&self, g: &'g Graph, data: impl FnOnce(&'g Graph) -> [Tensor<'g>; 3]) {
        g.count_by(COUNTER);
        let [real, few, class] = data(g);
        let generator = self.generator(g, GENERATOR, &self.setting(Mode::Batch));
        let critic = self.players.discriminator(g, DISCRIMINATOR, &self.setting(Mode::Training));
        let z = self.noise(g, "discriminator.z", real.extent(0));
        let fake = self.generate(&generator, z, [None, None]).detach();
        let (fake, _) = self.remembered(fake, [None, None]);
        let scores = [(self.framed(real), "noise.real"), (fake, "noise.fake")]
            .map(|(x, stream)| self.logits(&critic, x, stream).logsumexp(&[1]));
        let classification = self.logits(&critic, self.framed(few), "noise.labelled").cross_entropy(class);
        let unsupervised = self.rules().objective.discriminator(scores, &self.rules().labels);
        self.judge(&critic, unsupervised + classification.mean_all(), scores);
    }

    /// Records a step of the generator, which minimises the squared distance of the mean features of its
    /// pictures to those of a minibatch of images that `data` records, `[N, …]` in [0, 1]. It measures what
    /// [`Game::generator_step`] does. Random streams: `generator.z`, and as the rules ask `noise` and
    /// `noise.real`.
    ///
    /// The caller advances the step counter, which counts rounds.
    #[track_caller]
    pub fn matching_step<'g>(&self, g: &'g Graph, data: impl FnOnce(&'g Graph) -> Tensor<'g>) -> Metrics<'g> {
        let real = self.framed(data(g));
        let generator = self.generator(g, GENERATOR, &self.setting(Mode::Training));
        let critic = self.players.discriminator(g, DISCRIMINATOR, &self.setting(Mode::Batch));
        let z = self.noise(g, "generator.z", real.extent(0));
        let fake = self.generate(&generator, z, [None, None]);
        let [of_real, of_fake] = [(real, "noise.real"), (fake, "noise")].map(|(x, stream)| {
            let hidden = critic.drawing(stream).activations(self.seen(x, stream));
            hidden.last().map_or(x, |last| last.mean(&[0]))
        });
        self.draw(&generator, (of_real - of_fake).square().sum_all())
    }

    /// The logits of the classes of images `[N, …]` in [0, 1], `[N, K]`, of a discriminator that tells them apart.
    #[track_caller]
    pub fn class_logits<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let critic = self.players.discriminator(x.graph(), DISCRIMINATOR, &self.setting(Mode::Evaluation));
        critic.forward(self.players.seen(self.framed(x))).reshape([x.extent(0), self.apart()])
    }

    /// The logits `[N, K]` of pictures, with fresh noise on the pictures if the rules ask for it.
    #[track_caller]
    fn logits<'g>(&self, critic: &Sequential<'g>, x: Tensor<'g>, stream: &str) -> Tensor<'g> {
        critic.drawing(stream).forward(self.seen(x, stream)).reshape([x.extent(0), self.apart()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::{
            reference::{self, Values},
            shape::{Array, Type},
        },
        models::{game::Rules, gan::Networks},
    };

    const N: usize = 4;
    const CLASSES: usize = 3;
    const LATENT: usize = 2;
    const HIDDEN: usize = 6;

    fn game() -> Game<Networks> {
        let networks = Networks::mirrored(LATENT, vec![5, HIDDEN]);
        Game::new(networks, Rules::default(), [2, 2, 1], [2, 2], 0, N).unwrap().telling_apart(CLASSES)
    }

    fn array(shape: [usize; 2], seed: f64) -> Array {
        Array::from_fn(shape, |i| 0.5 + 0.5 * ((i as f64 + seed) * 1.7).sin())
    }

    /// What a graph's output is with these inputs, by weights that names and a seed decide.
    fn found(record: impl for<'g> Fn(&'g Graph) -> Tensor<'g>, inputs: &[(&str, Array)]) -> Vec<f64> {
        let g = Graph::new();
        g.output("out", record(&g));
        let inputs: Values = inputs.iter().map(|(name, x)| (name.to_string(), x.clone())).collect();
        reference::eval(&g, &inputs, &mut reference::initial(&g, 5)).unwrap()["out"].data.clone()
    }

    fn images(g: &Graph) -> Tensor<'_> {
        g.input("x", Type::f32([N, 4]))
    }

    /// The generator's pictures of this noise, in [0, 1].
    fn drawn(z: &Array) -> Array {
        let pictures = |g: &Graph| game().pictures(g.input("z", Type::f32([N, LATENT])), None).id();
        Array::new([N, 4], found(|g| g.tensor(pictures(g)), &[("z", z.clone())]))
    }

    /// -log p(real), -log p(generated) and -log p(y|real) of K + 1 classes, whose last logit is 0.
    #[test]
    fn the_discriminator_tells_k_and_one_classes_apart() {
        let g = Graph::new();
        g.bind_stream("discriminator.z");
        game().telling_step(&g, |g| {
            [images(g), g.input("few", Type::f32([N, 4])), g.input("class", Type::f32([N, CLASSES]))]
        });
        let (x, few, z) = (array([N, 4], 0.0), array([N, 4], 9.0), array([N, LATENT], 3.0));
        let class =
            Array::from_fn([N, CLASSES], |i| f64::from(u8::from(i / CLASSES % CLASSES == i % CLASSES)));
        let inputs = [
            ("x", x.clone()),
            ("few", few.clone()),
            ("class", class.clone()),
            ("discriminator.z", z.clone()),
        ];
        let inputs: Values = inputs.into_iter().map(|(name, x)| (name.to_string(), x)).collect();
        let mut state = reference::initial(&g, 5);
        reference::eval(&g, &inputs, &mut state).unwrap();
        let logits = |x: &Array| found(|g| game().class_logits(images(g)), &[("x", x.clone())]);
        let all = |row: &[f64]| row.iter().map(|l| l.exp()).sum::<f64>();
        let mean = |logits: &[f64], f: &dyn Fn(usize, &[f64]) -> f64| {
            logits.chunks(CLASSES).enumerate().map(|(i, row)| f(i, row)).sum::<f64>() / N as f64
        };
        let real = mean(&logits(&x), &|_, row| -(all(row) / (1.0 + all(row))).ln());
        let fake = mean(&logits(&drawn(&z)), &|_, row| -(1.0 / (1.0 + all(row))).ln());
        let known = mean(&logits(&few), &|i, row| -(row[i % CLASSES].exp() / all(row)).ln());
        let loss = state["discriminator.measured"].data[0] / N as f64;
        assert!((loss - (real + fake + known)).abs() < 1e-6, "{loss}, not {real} + {fake} + {known}");
    }

    /// The squared distance of the means of the last hidden layer.
    #[test]
    fn the_generator_matches_the_mean_features() {
        let (x, z) = (array([N, 4], 0.0), array([N, LATENT], 3.0));
        let step = |g: &Graph| {
            g.bind_stream("generator.z");
            game().matching_step(g, images)[1].1.id()
        };
        let loss =
            found(|g| g.tensor(step(g)), &[("x", x.clone()), ("generator.z", z.clone())])[0] / N as f64;
        let means = |x: &Array| -> Vec<f64> {
            let all = found(|g| game().hidden(images(g)), &[("x", x.clone())]);
            let width = all.len() / N;
            (width - 5..width).map(|d| (0..N).map(|n| all[n * width + d]).sum::<f64>() / N as f64).collect()
        };
        let distance: f64 = means(&x).iter().zip(means(&drawn(&z))).map(|(a, b)| (a - b).powi(2)).sum();
        assert!((loss - distance).abs() < 1e-9 && distance > 0.0, "{loss}, not {distance}");
    }
}
