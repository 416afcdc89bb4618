//! Training: both players in turn, with a look at the game between epochs.

use super::{
    super::{chosen, conditioned},
    contest::{Adversarial, Contest},
    pictures::{Pictures, pictures, tested},
    watch::{self, Watcher, Watching},
};
use crate::{
    data::{Images, Task},
    error::Result,
    models::{
        game::Game,
        players::{Batch, Players},
    },
    plan::Plan,
    run::{EpochEnd, Ranks, Session, Sitting, Train, Trainer},
    train::{Asked, Round, asked, batch, labelled, labels},
};
use clap::Args;

/// The name of the random stream that draws the holes of training images anew in every step.
const HOLES: &str = "holes";

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
    let (mut session, options) = Session::open(train.of(ranks))?;
    conditioned(options.model.conditional(), &session.set)?;
    if let Some(task) = options.task() {
        watching.refuse()?;
        task.hold_out(&mut session.set.test);
    }
    let few = options.labels().map(|n| chosen(&*session.whole()?, n, session.recipe.seed)).transpose()?;
    few.iter().try_for_each(|few| session.beside(few))?;
    let (caps, set) = (session.gpu.caps(), &session.set);
    let game = options.game(session.image(), set.train.classes)?.of_batch(session.batch());
    let round = round(&game, options.task(), &session, few.as_ref())?;
    let draw = pictures(&game, caps, watch::SHOWN)?;
    let test = few.as_ref().map(|_| tested(&game, caps, &set.test)).transpose()?;
    let others: Vec<&Plan> = test.iter().flat_map(|test| test.plans()).chain([&draw]).collect();
    if session.print_plan(&round, &others) {
        return Ok(());
    }
    let state = session.state(&round, &others)?;
    let (unit, curves) = ("loss, judgement", round.metrics.len());
    let trainer = Trainer { session: &session, state: &state, round: &round, unit, curves, scored: false };
    if !session.ranks().share().leads() {
        // The first rank watches for all.
        return trainer.run(&mut |_: &EpochEnd<'_>| Ok(vec![])).map(drop);
    }
    let draw = Pictures::new(&session.gpu, &draw, &state)?;
    let test = test.as_ref().map(|test| test.ready(&session.gpu, &state, &set.test)).transpose()?;
    let mut watcher = Watcher::new(&session, &game, options.task(), &draw, test.as_ref(), watching)?;
    let run = trainer.run(&mut watcher)?;
    run.map_or(Ok(()), |run| watcher.finish(M::MODEL, &run))
}

/// The steps of both players over the session's training images, of which a few are labelled where classes are learnt.
fn round<P: Players>(
    game: &Game<P>,
    task: Option<Task>,
    session: &Session,
    few: Option<&Images>,
) -> Result<Round> {
    let (set, caps, size) = (&session.set.train, session.gpu.caps(), session.batch());
    let [discriminator, generator] = [session.graph(), session.graph()];
    let metrics = match few {
        Some(few) => {
            game.telling_step(&discriminator, |g| {
                let (known, class) = labelled(g, few, size.min(few.count), None);
                [batch(g, set, size, None), known, class]
            });
            game.matching_step(&generator, |g| batch(g, set, size, None))
        }
        None => {
            game.discriminator_step(&discriminator, |g| {
                let (x, class) =
                    (batch(g, set, size, None), (game.classes() > 0).then(|| labels(g, set, size)));
                let Some(task) = task else { return Batch::from((x, class)) };
                let x = x.reshape([size, set.height, set.width, set.channels]);
                let Asked { drawn, hint, .. } = asked(task, x, Some(HOLES));
                Batch { real: drawn, class, hint: Some(hint) }
            });
            game.generator_step(&generator)
        }
    };
    let times = game.rules().discriminator_steps.into();
    Ok(Round::new(&generator, &metrics, caps)?.after(Plan::new(&discriminator, caps)?, times))
}
