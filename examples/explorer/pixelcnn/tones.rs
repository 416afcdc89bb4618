//! The colours of pixels, alike in graphs, legends and on the paper.

use eframe::egui::Color32;
use oneiro::graph::{Graph, Tensor};

/// The colours of a pixel without ink and with it.
#[derive(Clone, Copy)]
pub(super) struct Tone {
    pub(super) paper: [f32; 3],
    pub(super) ink: [f32; 3],
}

pub(super) const DRAWN: Tone = Tone { paper: [0.02, 0.02, 0.03], ink: [0.96, 0.96, 0.94] };
/// Pixels of the wavefront, which were drawn in the last frame.
pub(super) const FLYING: Tone = Tone { paper: [0.62, 0.36, 0.02], ink: [1.0, 0.78, 0.25] };
/// Pixels that the visitor gave.
pub(super) const GIVEN: Tone = Tone { paper: [0.03, 0.09, 0.17], ink: [0.45, 0.78, 1.0] };
/// Pixels that are not drawn yet.
pub(super) const WAITING: [f32; 3] = [0.23, 0.25, 0.31];
/// The pixels that a prediction sees, over a picture.
pub(super) const SIGHT: Color32 = Color32::from_rgba_premultiplied(20, 70, 105, 110);

/// The nats at which the heat map ends.
pub(super) const MOST_NATS: f32 = 4.0;
/// The colours of the heat map from no surprise to [`MOST_NATS`], at equal distances.
const HEAT: [[f32; 3]; 5] =
    [[0.01, 0.01, 0.04], [0.36, 0.07, 0.43], [0.82, 0.27, 0.29], [0.98, 0.62, 0.12], [1.0, 1.0, 0.72]];

/// The colour of a window.
pub(super) fn colour(c: [f32; 3]) -> Color32 {
    let [r, g, b] = c.map(|c| (255.0 * c).round() as u8);
    Color32::from_rgb(r, g, b)
}

/// The heat of a share in [0, 1].
pub(super) fn heat(share: f32) -> Color32 {
    let at = share * (HEAT.len() - 1) as f32;
    let part = |c: usize| {
        HEAT.windows(2).enumerate().fold(HEAT[0][c], |sum, (i, pair)| {
            sum + (pair[1][c] - pair[0][c]) * (at - i as f32).clamp(0.0, 1.0)
        })
    };
    colour([part(0), part(1), part(2)])
}

/// [`heat`] of nats `[N, H, W, 1]`, as one channel of the picture.
pub(super) fn heated(nats: Tensor<'_>, c: usize) -> Tensor<'_> {
    let at = nats * ((HEAT.len() - 1) as f32 / MOST_NATS);
    let pieces = HEAT.windows(2).enumerate();
    let rise = |(i, pair): (usize, &[[f32; 3]])| (at - i as f32).clamp(0.0, 1.0) * (pair[1][c] - pair[0][c]);
    pieces.map(rise).fold(nats * 0.0 + HEAT[0][c], |sum, piece| sum + piece)
}

/// A picture's tone, as one channel of it.
pub(super) fn toned(ink: Tensor<'_>, tone: Tone, c: usize) -> Tensor<'_> {
    ink * (tone.ink[c] - tone.paper[c]) + tone.paper[c]
}

/// A colour picture `[N, H, W, 3]` of its channels `[N, H, W, 1]`.
pub(super) fn rgb<'g>(g: &'g Graph, channel: impl Fn(usize) -> Tensor<'g>) -> Tensor<'g> {
    g.concat(&[channel(0), channel(1), channel(2)], 3)
}
