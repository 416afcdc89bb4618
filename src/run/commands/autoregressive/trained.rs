//! A trained model, and what training, drawing and scoring share: the classes of pictures, and how many are
//! scored at a time.

use super::fit::{Density, Fit, drawn, hinted};
use crate::{
    data::Images,
    error::Result,
    graph::{Graph, Tensor, shape::Type, var::Init},
    models::autoregressive::Given,
    run::{Bare, Look, Trained},
};

/// Numbers of test images at a time, of which the largest that fits the adapter is taken.
const BATCHES: [usize; 6] = [100, 50, 20, 10, 5, 1];
/// The same for signals, which have many more values than a picture.
const SIGNALS: [usize; 5] = [16, 8, 4, 2, 1];
/// The name of the variable with the one-hot classes of the pictures that are drawn or scored.
pub(super) const CLASS: &str = "class";

/// The variable of the classes of pictures that are drawn or scored, if the model is conditional. The host
/// writes it.
pub(super) fn chosen<'g>(
    g: &'g Graph,
    model: &impl Density,
    count: usize,
    classes: usize,
) -> Option<Tensor<'g>> {
    model.conditional().then(|| g.var(CLASS, Type::f32([count, classes]), Init::Zeros))
}

/// The result of `make` for the largest number of images at a time for which it succeeds.
pub(super) fn fitting<M: Density, T>(make: impl Fn(usize) -> Result<T>) -> Result<T> {
    let batches: &[usize] = if M::SOUND.is_some() { &SIGNALS } else { &BATCHES };
    let (least, more) = batches.split_last().expect("there are batches");
    more.iter().find_map(|&size| make(size).ok()).map_or_else(|| make(*least), Ok)
}

/// A trained model.
pub(super) struct TrainedDensity<M: Density> {
    pub(super) trained: Trained<Fit<M>>,
}

impl<M: Density> TrainedDensity<M> {
    pub(super) fn open(look: &Look, bare: &Bare<Fit<M>>) -> Result<Self> {
        Ok(Self { trained: Trained::open(look, Some(bare))? })
    }

    /// The test images, binarised if the model's pixels are black or white, with holes as their last channel if it
    /// fills them, and [`crate::data::DataSet::lossy`].
    pub(super) fn test(&self) -> Result<(Images, bool)> {
        let (mut test, lossy) = self.trained.saved.test()?;
        if !self.model().likelihood().has_levels() {
            test.binarise();
        }
        self.model().task().iter().for_each(|task| task.hold_out(&mut test));
        Ok((test, lossy))
    }

    pub(super) fn model(&self) -> &M {
        &self.trained.options().model
    }

    pub(super) fn classes(&self) -> usize {
        self.trained.saved.classes
    }

    /// A class for each of so many pictures: all in turn.
    pub(super) fn in_turn(&self, count: usize) -> Vec<usize> {
        (0..count).map(|i| i % self.classes().max(1)).collect()
    }

    /// The height, width and number of channels of what the model draws.
    pub(super) fn drawn(&self) -> [usize; 3] {
        let [h, w, c] = self.trained.saved.image;
        [h, w, drawn(self.model(), c)]
    }

    /// The network's inputs for pictures `[N, H, W, C]` to draw. The host writes their classes, if the model is
    /// conditional, and their hints, if it has a task.
    pub(super) fn given<'g>(&self, x: Tensor<'g>) -> Given<'g> {
        let class = chosen(x.graph(), self.model(), x.shape()[0], self.classes());
        let hint = hinted(x.graph(), self.model(), x, self.trained.saved.image[2]);
        Given { class, hint, ..Given::pictures(x) }
    }
}
