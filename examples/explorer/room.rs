//! What a room is, and what it learns from.

use crate::{host::Host, making::Making, probe::Subject};
use eframe::egui;
use oneiro::{
    data::{DataSet, GLYPHS, Images, Order, glyphs},
    error::Result,
    gpu::{
        Executor, State,
        wgpu::{self, WasmNotSend},
    },
    graph::share::Share,
    plan::Plan,
    train::Feed,
    weights::Weights,
};
use std::{collections::HashMap, sync::Arc};

/// The rows and columns of pictures.
pub(crate) const SIDE: usize = 28;
/// The pixels of pictures.
pub(crate) const PIXELS: usize = SIDE * SIDE;

/// The widest and the most hidden layers of a file that rooms are made for.
pub(crate) const WIDEST: usize = 2048;
pub(crate) const DEEPEST: usize = 6;

/// The pictures that rooms learn from, of [`SIDE`] rows and columns and grey.
pub(crate) type Lesson = DataSet;

/// The embedded digits.
pub(crate) fn digits() -> Lesson {
    let class_names = (0..glyphs::CLASSES).map(|digit| digit.to_string()).collect();
    DataSet { class_names, ..DataSet::new(GLYPHS, glyphs::glyphs(4096, 0), glyphs::held_out(512, 0)) }
}

/// The minibatches of a lesson, in another order in each epoch.
pub(crate) struct Batches {
    feed: Feed,
    order: Order,
    /// The number of minibatches that were recorded.
    pub(crate) seen: u64,
}

impl Batches {
    /// Puts the pictures on the device, in the order of the first epoch. The first step of the trainer, which
    /// [`Host::first_step`] records, counts as seen.
    ///
    /// # Errors
    /// Fails if the device refuses the memory.
    pub(crate) fn new(host: &Host, train: &Images, batch: usize) -> Result<Self> {
        let feed = Feed::new(&host.gpu, train)?;
        let order = Order { seed: 0, batch, batches: 1, count: train.count, share: Share::default() };
        feed.reorder(&host.gpu, &order.of(0))?;
        Ok(Self { feed, order, seen: 1 })
    }

    /// The number of pictures in a minibatch.
    pub(crate) fn size(&self) -> usize {
        self.order.batch
    }

    /// The inputs of a plan that takes minibatches.
    pub(crate) fn bindings(&self, plan: &Plan) -> Vec<(&str, wgpu::BufferSlice<'_>)> {
        self.feed.bindings(plan)
    }

    /// Records a training step, and before it the order of an epoch that begins with it.
    ///
    /// # Errors
    /// Fails if the device is known to be lost.
    pub(crate) fn record(
        &mut self,
        host: &Host,
        encoder: &mut wgpu::CommandEncoder,
        trainer: &Executor,
    ) -> Result<()> {
        let per_epoch = self.order.per_epoch();
        if self.seen.is_multiple_of(per_epoch) {
            self.feed.record_reorder(&host.gpu, encoder, &self.order.of(self.seen / per_epoch))?;
        }
        trainer.record(encoder)?;
        self.seen += 1;
        Ok(())
    }
}

/// Whether a file holds all weights of these plans, of their shapes, and nothing else.
pub(crate) fn holds(weights: &Weights, plans: &[Plan]) -> bool {
    let known = plans.iter().flat_map(|plan| &plan.vars).filter(|var| var.role.is_weight());
    let known: HashMap<_, _> = known.map(|var| (&var.name, var.layout.shape(&var.ty.shape))).collect();
    known.len() == weights.len()
        && known.iter().all(|(name, shape)| weights.get(*name).is_some_and(|(found, _)| found == shape))
}

/// Begins to make a room.
pub(crate) type Maker = Box<dyn FnOnce(Host, Arc<Lesson>) -> Making<Box<dyn Room>>>;

/// One model that learns while it is shown. Its parameters live in a State, and all its executors share it.
pub(crate) trait Room: WasmNotSend {
    /// The pictures of a training step.
    fn batch(&self) -> usize;

    /// The training steps that were recorded so far.
    fn step(&self) -> u64;

    /// The word for a training step.
    fn unit(&self) -> &'static str {
        "step"
    }

    /// The training steps that a frame holds at least where they fit two periods.
    fn least(&self) -> u64 {
        1
    }

    /// Records so many training steps and what the window shows after them.
    ///
    /// # Errors
    /// What the engine returns, such as a lost device.
    fn record(&mut self, host: &Host, encoder: &mut wgpu::CommandEncoder, steps: u64) -> Result<()>;

    /// Shows the room. A maker asks for the room to be made anew, as where a layer's width is changed.
    fn show(&mut self, host: &Host, ui: &mut egui::Ui) -> Option<Maker>;

    /// The State, and the names of the weights in it. Weights may be written there between two frames.
    fn weights(&self) -> (&State, &[String]);

    /// A maker of the room with the network of a file's weights, where it is another one and the room can have it.
    fn sized(&self, host: &Host, weights: &Weights) -> Option<Maker>;

    /// Takes note that weights of a file were loaded, by which the room is no beginner any more. Returns what the
    /// visitor should know of it, as the end of a sentence.
    fn loaded(&mut self) -> String {
        String::new()
    }

    /// What tests look at.
    fn subject(&self) -> Subject<'_>;
}
