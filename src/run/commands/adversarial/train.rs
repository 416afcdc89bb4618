//! Training: both players in turn, with a look at the game between epochs.

use super::{
    super::conditioned,
    contest::{Adversarial, Contest},
    pictures::{Pictures, pictures},
    watch::{self, Watcher, Watching},
};
use crate::{
    error::Result,
    models::{game::Game, players::Players},
    plan::Plan,
    run::{EpochEnd, Ranks, Session, Sitting, Train, Trainer},
    train::{Round, batch, labels},
};
use clap::Args;

/// The options of `train`.
#[derive(Args)]
pub struct Watched<M: Adversarial> {
    #[command(flatten)]
    train: Train<Contest<M>>,
    #[command(flatten)]
    watching: Watching,
}

impl<M: Adversarial> Watched<M> {
    pub(super) fn sitting(&self) -> &Sitting {
        &self.train.sitting
    }
}

pub(super) fn train<M: Adversarial>(options: &Watched<M>, ranks: Ranks) -> Result<()> {
    let Watched { train, watching } = options;
    let (session, options) = Session::open(train.of(ranks))?;
    let (caps, set) = (session.gpu.caps(), &session.set.train);
    conditioned(options.model.conditional(), &session.set)?;
    let game = options.game(session.image(), set.classes)?.of_batch(session.batch());
    let round = round(&game, &session)?;
    let draw = pictures(&game, caps, watch::SHOWN)?;
    if session.print_plan(&round, &[&draw]) {
        return Ok(());
    }
    let state = session.state(&round, &[&draw])?;
    let (unit, curves) = ("loss, judgement", round.metrics.len());
    let trainer = Trainer { session: &session, state: &state, round: &round, unit, curves, scored: false };
    if !session.ranks().share().leads() {
        // The first rank watches for all.
        return trainer.run(&mut |_: &EpochEnd<'_>| Ok(vec![])).map(drop);
    }
    let draw = Pictures::new(&session.gpu, &draw, &state)?;
    let mut watcher = Watcher::new(&session, &game, &draw, watching)?;
    let run = trainer.run(&mut watcher)?;
    run.map_or(Ok(()), |run| watcher.finish(M::MODEL, &run))
}

/// The steps of both players over the session's training images.
fn round<P: Players>(game: &Game<P>, session: &Session) -> Result<Round> {
    let (set, caps, size) = (&session.set.train, session.gpu.caps(), session.batch());
    let [discriminator, generator] = [session.graph(), session.graph()];
    game.discriminator_step(&discriminator, |g| {
        (batch(g, set, size, None), (game.classes() > 0).then(|| labels(g, set, size)))
    });
    let metrics = game.generator_step(&generator);
    let times = game.rules().discriminator_steps.into();
    Ok(Round::new(&generator, &metrics, caps)?.after(Plan::new(&discriminator, caps)?, times))
}
