//! The curves hold what the players measured over the rounds.

use super::alarm::BEGUN;
use crate::{curve::Curve, palette::class, plot::still};
use eframe::egui;
use egui_plot::{Line, Plot, PlotPoints};

/// The share of a new measurement in the moving average.
const FRESH: f64 = 0.08;

/// The players' colours in the palette.
pub(super) const DISCRIMINATOR: usize = 0;
pub(super) const GENERATOR: usize = 1;

/// The curves' names and whose they are.
const SIGNS: [(&str, usize); 4] = [
    ("loss of D", DISCRIMINATOR),
    ("loss of G", GENERATOR),
    ("D(x), real", DISCRIMINATOR),
    ("D(G(z)), drawn", GENERATOR),
];

/// Moving averages at a round; at round 0 nothing is measured yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signs {
    pub(super) round: u64,
    /// The rounds that weights from a file count as.
    pub(super) before: u64,
    pub(super) loss_d: f64,
    /// D(x): the mean judgement of real pictures.
    pub(super) real: f64,
    /// D(G(z)): the mean judgement of drawn ones.
    pub(super) fake: f64,
    /// The samples' variety as a share of real pictures'.
    pub(super) variety: f64,
}

/// The signs of all rounds that were read.
pub(super) struct Curves {
    round: u64,
    /// The rounds that weights from a file count as.
    before: u64,
    variety: f64,
    /// The values of [`SIGNS`].
    signs: [Curve; 4],
}

impl Default for Curves {
    fn default() -> Self {
        Self { round: 0, before: 0, variety: 1.0, signs: [FRESH; 4].map(Curve::new) }
    }
}

impl Curves {
    /// Curves of players whose weights were loaded: nothing is early in their game.
    pub(super) fn experienced() -> Self {
        Self { before: BEGUN, ..Self::default() }
    }

    /// Takes what the samples tell.
    pub(super) fn variety(&mut self, variety: f32) {
        self.variety = f64::from(variety);
    }

    /// Takes the losses of both players, D(x) and D(G(z)) as read at a round.
    pub(super) fn push(&mut self, round: u64, signs: [f32; 4]) {
        self.round = round;
        self.signs.iter_mut().zip(signs).for_each(|(curve, sign)| curve.push(round, sign.into()));
    }

    /// The averages now.
    pub(super) fn now(&self) -> Signs {
        let [loss_d, _, real, fake] = self.signs.each_ref().map(|curve| curve.last().unwrap_or_default());
        Signs { round: self.round, before: self.before, loss_d, real, fake, variety: self.variety }
    }

    fn line(&self, sign: usize) -> Line<'static> {
        let (name, player) = SIGNS[sign];
        // The first scores are so large that nothing else could be seen beside them.
        let first = if self.before > 0 { 0.0 } else { (self.round / 10) as f64 };
        let seen = self.signs[sign].smooth().iter().filter(|[round, _]| *round >= first);
        let points: PlotPoints<'static> = seen.copied().collect();
        Line::new(name, points).color(class(player)).width(1.8)
    }

    /// Shows both losses, and both judgements, side by side, each below its names and values.
    pub(super) fn show(&self, ui: &mut egui::Ui, size: egui::Vec2, probabilities: bool) {
        let gap = ui.spacing().item_spacing;
        let width = (size.x - gap.x) / 2.0;
        let height = size.y - ui.text_style_height(&egui::TextStyle::Body) - gap.y;
        ui.horizontal(|ui| {
            for (name, signs) in [("losses", [0, 1]), ("judgements", [2, 3])] {
                ui.vertical(|ui| {
                    ui.set_width(width);
                    ui.horizontal(|ui| signs.iter().for_each(|&sign| self.name(ui, sign)));
                    let mut plot = still(Plot::new(name), egui::vec2(width, height));
                    if probabilities && name == "judgements" {
                        plot = plot.include_y(0.0).include_y(1.0);
                    }
                    plot.show(ui, |plot| signs.iter().for_each(|&sign| plot.line(self.line(sign))));
                });
            }
        });
    }

    /// Shows a curve's name and its average now.
    fn name(&self, ui: &mut egui::Ui, sign: usize) {
        let (name, player) = SIGNS[sign];
        let value = self.signs[sign].last().map_or(String::new(), |value| format!(" {value:.2}"));
        ui.colored_label(class(player), format!("{name}{value}"));
    }
}
