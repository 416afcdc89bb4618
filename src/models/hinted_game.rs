//! The game whose players are given pictures, such as grey ones to colour (Isola et al. 2017, "Image-to-Image
//! Translation with Conditional Adversarial Networks").
//!
//! An encoder's code of the given picture, the hint, stands beside the generator's noise, and the discriminator sees
//! the hint as further channels of its picture. The generator also minimises λ times the mean absolute difference
//! from the picture that belongs to the hint (eq. 4), see [`super::game::Rules::l1`].

use super::{
    game::{Game, passed},
    players::{Generator, Players, Setting, beside},
};
use crate::graph::{Graph, Tensor};

/// The hints of the discriminator's last step, and the real pictures.
const HINTS: &str = "discriminator.hints";
const REAL: &str = "discriminator.real";

impl<P: Players> Game<P> {
    /// The game in which both players are given pictures of so many channels, the hints; 0 gives none.
    #[must_use]
    pub fn with_hints(mut self, hint: usize) -> Self {
        self.hint = hint;
        self
    }

    /// The channels of hints; 0 without.
    pub fn hint(&self) -> usize {
        self.hint
    }

    #[track_caller]
    pub(super) fn generator<'g>(&self, g: &'g Graph, name: &str, at: &Setting) -> Generator<'g> {
        let encoder = self.players.encoder(g, name, at);
        if self.hint > 0 && encoder.is_none() {
            g.poison("game: these players take no hints");
        }
        Generator { encoder, main: self.players.generator(g, name, at) }
    }

    /// A picture, or noise as a picture, with its classes and its hint, or the hint's code, as further channels.
    #[track_caller]
    pub(super) fn told<'g>(&self, x: Tensor<'g>, [class, hint]: [Option<Tensor<'g>>; 2]) -> Tensor<'g> {
        let x = beside(x, class);
        let Some(hint) = hint else { return x };
        x.graph().concat(&[x, hint], 3)
    }

    /// Hints in [0, 1], if there are some, on the canvas as pictures are.
    #[track_caller]
    pub(super) fn framed_hint<'g>(&self, hint: Option<Tensor<'g>>) -> Option<Tensor<'g>> {
        Some(self.framed_channels(hint?, self.hint))
    }

    /// The hints and the real pictures of the discriminator's last step, on the canvas.
    #[track_caller]
    pub(super) fn last_pictures<'g>(&self, g: &'g Graph) -> [Tensor<'g>; 2] {
        let [h, w, c] = self.canvas;
        [passed(g, HINTS, &[self.batch, h, w, self.hint]), passed(g, REAL, &[self.batch, h, w, c])]
    }
}
