//! What a room is, and what it learns from.

use crate::{host::Host, making::Making, probe::Subject};
use eframe::egui;
use oneiro::{
    data::{DataSet, GLYPHS, glyphs},
    error::Result,
    gpu::{
        State,
        wgpu::{self, WasmNotSend},
    },
};
use std::sync::Arc;

/// The pictures that rooms learn from, 28x28 and grey.
pub(crate) type Lesson = DataSet;

/// The embedded digits.
pub(crate) fn digits() -> Lesson {
    let class_names = (0..glyphs::CLASSES).map(|digit| digit.to_string()).collect();
    DataSet { class_names, ..DataSet::new(GLYPHS, glyphs::glyphs(4096, 0), glyphs::held_out(512, 0)) }
}

/// Begins to make a room.
pub(crate) type Maker = Box<dyn FnOnce(Host, Arc<Lesson>) -> Making<Box<dyn Room>>>;

/// One model that learns while it is shown. Its parameters live in a State, and all its executors share it.
pub(crate) trait Room: WasmNotSend {
    /// The pictures of a training step.
    fn batch(&self) -> usize;

    /// The training steps that were recorded so far.
    fn step(&self) -> u64;

    /// The training steps that a frame holds at least, however slow the device is.
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

    /// What tests look at.
    fn subject(&self) -> Subject<'_>;
}
