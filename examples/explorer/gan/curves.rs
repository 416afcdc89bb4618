//! The curves hold what the players measured over the rounds.

use super::alarm::BEGUN;
use crate::{curve::Curve, palette::class};
use eframe::egui;
use egui_plot::{Legend, Line, Plot, PlotPoints};

/// The share of a new measurement in the moving average.
const FRESH: f64 = 0.08;

/// The players' colours in the palette.
pub(super) const DISCRIMINATOR: usize = 0;
pub(super) const GENERATOR: usize = 1;

/// Moving averages at a round; at round 0 nothing is measured yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signs {
    pub(super) round: u64,
    /// The rounds that weights of a file count as.
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
    /// The rounds that weights of a file count as.
    before: u64,
    variety: f64,
    /// The loss of D, that of G, D(x) and D(G(z)).
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

    fn line(&self, name: &str, player: usize, sign: usize) -> Line<'static> {
        // The first scores are so large that nothing else could be seen beside them.
        let first = if self.before > 0 { 0.0 } else { (self.round / 10) as f64 };
        let seen = self.signs[sign].smooth().iter().filter(|[round, _]| *round >= first);
        let points: PlotPoints<'static> = seen.copied().collect();
        Line::new(name.to_owned(), points).color(class(player)).width(1.8)
    }

    /// Shows both losses, and both judgements, side by side.
    pub(super) fn show(&self, ui: &mut egui::Ui, size: egui::Vec2, probabilities: bool) {
        let width = (size.x - ui.spacing().item_spacing.x) / 2.0;
        let plot = |name: &'static str| {
            Plot::new(name)
                .width(width)
                .height(size.y)
                .legend(Legend::default().background_alpha(0.6))
                .allow_drag(false)
                .allow_zoom(false)
                .allow_scroll(false)
                .allow_boxed_zoom(false)
                .y_axis_min_width(30.0)
        };
        ui.horizontal(|ui| {
            plot("losses").show(ui, |plot| {
                plot.line(self.line("loss of D", DISCRIMINATOR, 0));
                plot.line(self.line("loss of G", GENERATOR, 1));
            });
            let judgements = plot("judgements");
            let judgements =
                if probabilities { judgements.include_y(0.0).include_y(1.0) } else { judgements };
            judgements.show(ui, |plot| {
                plot.line(self.line("D(x), real", DISCRIMINATOR, 2));
                plot.line(self.line("D(G(z)), drawn", GENERATOR, 3));
            });
        });
    }
}
