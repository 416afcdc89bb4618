//! The curves hold what the players measured over the rounds.

use crate::palette::class;
use eframe::egui;
use egui_plot::{Legend, Line, Plot, PlotPoints};

/// The share of a new measurement in the moving average.
const FRESH: f64 = 0.08;
/// The most points of a curve; then every second one goes.
const POINTS: usize = 600;

/// The players' colours in the palette.
pub(super) const DISCRIMINATOR: usize = 0;
pub(super) const GENERATOR: usize = 1;

/// Moving averages at a round.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signs {
    pub(super) round: u64,
    pub(super) loss_d: f64,
    pub(super) loss_g: f64,
    /// D(x): the mean judgement of real pictures.
    pub(super) real: f64,
    /// D(G(z)): the mean judgement of drawn ones.
    pub(super) fake: f64,
    /// The samples' variety as a share of real pictures'.
    pub(super) variety: f64,
}

/// The signs of all rounds that were read.
pub(super) struct Curves {
    now: Signs,
    points: Vec<Signs>,
    /// The readings between two points.
    stride: u64,
    readings: u64,
}

impl Default for Curves {
    fn default() -> Self {
        Self { now: Signs { variety: 1.0, ..Signs::default() }, points: vec![], stride: 1, readings: 0 }
    }
}

impl Curves {
    /// Takes what the samples tell.
    pub(super) fn variety(&mut self, variety: f32) {
        self.now.variety = f64::from(variety);
    }

    /// Takes the losses of both players, D(x) and D(G(z)) as read at a round.
    pub(super) fn push(&mut self, round: u64, signs: [f32; 4]) {
        // The first readings are averaged evenly.
        let fresh = FRESH.max(1.0 / (self.readings + 1) as f64);
        let now = &mut self.now;
        for (mean, sign) in
            [&mut now.loss_d, &mut now.loss_g, &mut now.real, &mut now.fake].into_iter().zip(signs)
        {
            *mean += (f64::from(sign) - *mean) * fresh;
        }
        now.round = round;
        if self.readings.is_multiple_of(self.stride) {
            self.points.push(*now);
        }
        self.readings += 1;
        if self.points.len() > POINTS {
            let mut odd = true;
            self.points.retain(|_| {
                odd = !odd;
                !odd
            });
            self.stride *= 2;
        }
    }

    /// The averages now.
    pub(super) fn now(&self) -> Signs {
        self.now
    }

    fn line(&self, name: &str, player: usize, of: fn(&Signs) -> f64) -> Line<'static> {
        // The first scores are so large that nothing else could be seen beside them.
        let first = self.now.round / 10;
        let seen = self.points.iter().filter(|p| p.round >= first);
        let points: PlotPoints<'static> = seen.map(|p| [p.round as f64, of(p)]).collect();
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
                plot.line(self.line("loss of D", DISCRIMINATOR, |p| p.loss_d));
                plot.line(self.line("loss of G", GENERATOR, |p| p.loss_g));
            });
            let judgements = plot("judgements");
            let judgements =
                if probabilities { judgements.include_y(0.0).include_y(1.0) } else { judgements };
            judgements.show(ui, |plot| {
                plot.line(self.line("D(x), real", DISCRIMINATOR, |p| p.real));
                plot.line(self.line("D(G(z)), drawn", GENERATOR, |p| p.fake));
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_stay_short_and_reach_from_first_to_last() {
        let mut curves = Curves::default();
        (1..=10_000).for_each(|round| curves.push(round, [1.0, 2.0, 0.75, 0.25]));
        let (first, last) = (curves.points[0].round, curves.points.last().unwrap().round);
        assert!(curves.points.len() <= POINTS && first == 1 && last > 9_900, "{first} to {last}");
        assert!((curves.now().loss_g - 2.0).abs() < 1e-9 && (curves.now().fake - 0.25).abs() < 1e-9);
    }
}
