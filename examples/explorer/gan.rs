//! The room of the generative adversarial nets: two players learn from each other, and the generator's drawings follow
//! each round.

mod alarm;
mod curves;
mod networks;
mod picks;
mod players;
#[cfg(test)]
mod tests;
mod view;

use crate::{
    host::{Canvas, Host},
    making::{Making, Progress},
    probe::Subject,
    room::{Batches, Lesson, Maker, Room},
};
use curves::Curves;
use eframe::egui;
use networks::Networks;
use oneiro::{
    error::Result,
    gpu::{Executor, Promise, Shown, State, wgpu},
    weights::Weights,
};
use picks::Picks;
use players::{GRID, Settings, TERMS, WALK};
use std::sync::Arc;

/// For tests: files of new players that `gan train` makes, by its defaults and plain or smooth in the room's own size,
/// that are deeper and not each other's mirror, and that convolutions of a bounded critic and of other sizes have.
#[cfg(test)]
pub(crate) fn saved(host: &Host, train: &oneiro::data::Images) -> Vec<Vec<u8>> {
    use oneiro::models::{dcgan, gan, gan::Objective};
    let perceptrons = |latent, hidden: [&[usize]; 2]| {
        Networks::Perceptrons(hidden.map(|hidden| gan::Networks::mirrored(latent, hidden.to_vec())))
    };
    let plain = Settings { loss: Objective::NonSaturating, smooth: false, ..Settings::even() };
    let programs = Settings { networks: perceptrons(100, [&[256, 512]; 2]), ..plain.clone() };
    let deep = Settings { networks: perceptrons(5, [&[16, 24, 32], &[8]]), ..Settings::even() };
    let [_, (own, _)] = Networks::kinds();
    let critic = Settings { networks: own, loss: Objective::Wasserstein, ..Settings::even() };
    let other = dcgan::Networks { latent: 12, generator: 3, discriminator: 4 };
    let other = Settings { networks: Networks::Convolutions(other), ..plain.clone() };
    [plain, programs, Settings::even(), deep, critic, other]
        .map(|settings| {
            let game = settings.game(train).unwrap();
            let plans = players::training(&game, train, host.gpu.caps()).unwrap();
            let state = State::new(&host.gpu, &plans.each_ref(), 7).unwrap();
            oneiro::weights::to_bytes(&host.gpu, &state, &game.weights()).unwrap()
        })
        .to_vec()
}

struct Playing {
    /// What the visitor chooses, and what the executors were made for.
    settings: Settings,
    made: Settings,
    lesson: Arc<Lesson>,
    state: State,
    names: Vec<String>,
    /// The steps of the discriminator and of the generator.
    trainers: [Executor; 2],
    drawing: Executor,
    samples: Canvas,
    walk: Canvas,
    terms: [Canvas; TERMS],
    batches: Batches,
    rounds: u64,
    picks: Picks,
    curves: Curves,
    signs: Option<(u64, Promise<Vec<f32>>)>,
    variety: Option<Promise<Vec<f32>>>,
}

/// Makes the room with its first settings.
pub(crate) fn maker() -> Maker {
    anew(Settings::even())
}

/// Makes the room with new players.
fn anew(settings: Settings) -> Maker {
    Box::new(move |host, lesson| {
        Making::new(move |progress| async move {
            Ok(Box::new(make(host, lesson, settings, progress).await?) as Box<dyn Room>)
        })
    })
}

async fn make(host: Host, lesson: Arc<Lesson>, settings: Settings, progress: Progress) -> Result<Playing> {
    let (gpu, train) = (&host.gpu, &lesson.train);
    let game = settings.game(train)?;
    let [discriminator, generator] = players::training(&game, train, gpu.caps())?;
    let drawing = players::drawing(&game, train, gpu.caps())?;
    let state = State::new(gpu, &[&discriminator, &generator, &drawing], 0)?;
    let batches = Batches::new(&host, train, players::size(train))?;
    progress.pieces(6);
    progress.begin("kernels that teach the discriminator");
    let discriminator =
        host.executor(&progress, &discriminator, &state, &batches.bindings(&discriminator)).await?;
    progress.begin("kernels that teach the generator");
    let generator = host.executor(&progress, &generator, &state, &[]).await?;
    progress.begin("kernels that draw");
    let drawing = host.executor(&progress, &drawing, &state, &[]).await?;
    let mut picks = Picks::new(game.latent());
    drawing.write(gpu, "z", picks.noise())?;
    drawing.write(gpu, "picked", &picks.noises())?;
    picks.changed = false;
    progress.begin("the first round");
    for executor in [&discriminator, &generator, &drawing] {
        host.first_step(&progress, executor).await?;
    }
    let canvas = |output, shown| Canvas::new(&host, &drawing, output, shown);
    let samples = canvas("samples", Shown::Grid { columns: GRID })?;
    let walk = canvas("pictures", Shown::Grid { columns: WALK })?;
    let term = |i| canvas("terms", Shown::Image(i));
    let terms = [term(0)?, term(1)?, term(2)?, term(3)?];
    Ok(Playing {
        made: settings.clone(),
        settings,
        names: game.weights(),
        lesson,
        state,
        trainers: [discriminator, generator],
        drawing,
        samples,
        walk,
        terms,
        batches,
        rounds: 1,
        picks,
        curves: Curves::default(),
        signs: None,
        variety: None,
    })
}

impl Playing {
    /// Other rates are other plans on the same State, whose kernels are all compiled.
    fn follow_settings(&mut self, host: &Host) -> Result<()> {
        if self.made != self.settings {
            let (gpu, train) = (&host.gpu, &self.lesson.train);
            let game = self.settings.game(train)?;
            let [discriminator, generator] = players::training(&game, train, gpu.caps())?;
            self.trainers = [
                Executor::new(gpu, &discriminator, &self.state, &self.batches.bindings(&discriminator))?,
                Executor::new(gpu, &generator, &self.state, &[])?,
            ];
            self.made = self.settings.clone();
        }
        Ok(())
    }

    /// Records a round: steps of the discriminator, then one of the generator.
    fn record_round(&mut self, host: &Host, encoder: &mut wgpu::CommandEncoder) -> Result<()> {
        for _ in 0..self.settings.steps {
            self.batches.record(host, encoder, &self.trainers[0])?;
        }
        self.trainers[1].record(encoder)?;
        self.rounds += 1;
        Ok(())
    }

    /// Takes the measurements that have come.
    fn take_signs(&mut self) -> Result<()> {
        if let Some(variety) = self.variety.as_mut().and_then(Promise::ready) {
            self.curves.variety(variety?[0]);
            self.variety = None;
        }
        if let Some((round, promise)) = &mut self.signs
            && let Some(signs) = promise.ready()
        {
            let signs = signs?;
            self.curves.push(*round, std::array::from_fn(|i| signs[i]));
            self.signs = None;
        }
        Ok(())
    }
}

impl Room for Playing {
    fn batch(&self) -> usize {
        self.batches.size()
    }

    fn unit(&self) -> &'static str {
        "round"
    }

    fn step(&self) -> u64 {
        self.rounds
    }

    /// Digits come before smooth frames: a player's step takes a fraction of what the window draws.
    fn least(&self) -> u64 {
        match self.settings.networks {
            Networks::Perceptrons(_) if self.rounds < 2 * alarm::BEGUN => {
                (6 / (1 + u64::from(self.settings.steps))).max(1)
            }
            _ => 1,
        }
    }

    fn record(&mut self, host: &Host, encoder: &mut wgpu::CommandEncoder, steps: u64) -> Result<()> {
        self.take_signs()?;
        self.follow_settings(host)?;
        for _ in 0..steps {
            self.record_round(host, encoder)?;
        }
        if steps > 0 && self.signs.is_none() {
            self.signs = Some((self.rounds, self.trainers[1].record_read(&host.gpu, encoder, "signs")?));
        }
        if self.picks.changed {
            self.drawing.record_write(&host.gpu, encoder, "z", self.picks.noise())?;
            self.drawing.record_write(&host.gpu, encoder, "picked", &self.picks.noises())?;
            self.picks.changed = false;
        }
        self.drawing.record(encoder)?;
        if self.variety.is_none() {
            self.variety = Some(self.drawing.record_read(&host.gpu, encoder, "variety")?);
        }
        self.samples.record(encoder)?;
        self.walk.record(encoder)?;
        self.terms.iter().try_for_each(|term| term.record(encoder))
    }

    fn show(&mut self, _: &Host, ui: &mut egui::Ui) -> Option<Maker> {
        self.view(ui).map(anew)
    }

    fn weights(&self) -> (&State, &[String]) {
        (&self.state, &self.names)
    }

    fn loaded(&mut self) -> String {
        (self.curves, self.signs, self.variety) = (Curves::experienced(), None, None);
        let name = players::name(self.settings.loss);
        format!(
            "; they go on by the {name} loss. If they learnt by another one, choose it and drop them again"
        )
    }

    fn sized(&self, host: &Host, weights: &Weights) -> Option<Maker> {
        let wanted = self.settings.of(&self.lesson.train, host.gpu.caps(), weights)?;
        (!wanted.fits(&self.made)).then(|| anew(wanted))
    }

    fn subject(&self) -> Subject<'_> {
        Subject { trainer: &self.trainers[1], drawer: &self.drawing, canvas: &self.walk }
    }
}
