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
    /// discriminator's own. Random streams: `discriminator.z`, and as the rules ask `noise.real`,
    /// `noise.fake` and `noise.labelled`.
    #[track_caller]
    pub fn telling_step<'g>(&self, g: &'g Graph, data: impl FnOnce(&'g Graph) -> [Tensor<'g>; 3]) {
        g.count_by(COUNTER);
        let [real, few, class] = data(g);
        let generator = self.players.generator(g, GENERATOR, &self.setting(Mode::Batch));
        let critic = self.players.discriminator(g, DISCRIMINATOR, &self.setting(Mode::Training));
        let z = g.normal("discriminator.z", [real.extent(0), self.latent()]);
        let fake = self.generate(&generator, z, None).detach();
        let scores = [(self.framed(real), "noise.real"), (fake, "noise.fake")]
            .map(|(x, stream)| self.logits(&critic, x, stream).logsumexp(&[1]));
        let classification = self.logits(&critic, self.framed(few), "noise.labelled").cross_entropy(class);
        let unsupervised = self.rules().objective.discriminator(scores[0], scores[1], self.rules().smooth);
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
        let generator = self.players.generator(g, GENERATOR, &self.setting(Mode::Training));
        let critic = self.players.discriminator(g, DISCRIMINATOR, &self.setting(Mode::Batch));
        let z = g.normal("generator.z", [real.extent(0), self.latent()]);
        let fake = self.generate(&generator, z, None);
        let [of_real, of_fake] = [(real, "noise.real"), (fake, "noise")].map(|(x, stream)| {
            let hidden = critic.activations(self.seen(x, stream));
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
        critic.forward(self.seen(x, stream)).reshape([x.extent(0), self.apart()])
    }
}
