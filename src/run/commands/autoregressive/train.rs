//! Training by maximum likelihood, with samples and a test score at the end of each epoch.

use super::{
    super::{
        conditioned, one_hot,
        task::{Cases, DRAWS},
    },
    fit::{Density, Fit, HINT, drawn, hinted, of_images, one, sound},
    show::{count, show},
    trained::{CLASS, chosen, fitting},
};
use crate::{
    data::Images,
    error::{Error, Result},
    graph::Tensor,
    models::autoregressive::Given,
    optim::{Optimizer, Schedule},
    plan::Plan,
    run::{EpochEnd, Session, Train, Trainer, by_ranks, interrupt, listener, of_test, save},
    train::{Draws, Evaluation, Round, Sampler, Work, batch, labels},
};

/// The name of the random stream that binarises training images anew in every step.
const BINARISE: &str = "binarise";
/// The name of the random stream that draws the holes of training images anew in every step.
const HOLES: &str = "holes";

/// The network's inputs for a batch `[N, pixels]` of a data set, with the classes if the model is
/// conditional, and as its task takes them, if it has one.
fn given<'g>(model: &impl Density, images: &Images, x: Tensor<'g>, training: bool) -> Given<'g> {
    let size = x.shape()[0];
    let class = model.conditional().then(|| labels(x.graph(), images, size));
    let x = x.reshape([size, images.height, images.width, images.channels]);
    Given { class, training, ..of_images(model, x, training.then_some(HOLES)) }
}

/// Trains by all ranks, on pictures or on sounds.
pub(super) fn train<M: Density>(options: &Train<Fit<M>>) -> Result<()> {
    by_ranks(&options.sitting, |ranks| as_rank(options.of(ranks)))
}

fn as_rank<M: Density>(options: Train<Fit<M>>) -> Result<()> {
    let (mut session, options) = Session::open(options)?;
    let model = &options.model;
    if !model.likelihood().has_levels() {
        session.set.test.binarise();
    }
    if let Some(task) = model.task() {
        task.check(session.image()).map_err(Error::new)?;
        task.hold_out(&mut session.set.test);
    }
    let (caps, [h, w, c]) = (session.gpu.caps(), session.image());
    let (train, test) = (&session.set.train, &session.set.test);
    conditioned(model.conditional(), &session.set)?;
    let g = session.graph();
    let stream = (!model.likelihood().has_levels()).then_some(BINARISE);
    let x = batch(&g, train, session.batch(), stream);
    let schedule = Schedule::Exponential { per_step: options.decay };
    let optimizer = Optimizer::adam(options.lr as f32).schedule(schedule);
    let optimizer = options.clip.map_or(optimizer.clone(), |norm| optimizer.clip_norm(norm as f32));
    let metrics = model.training_step(&g, M::MODEL, given(model, train, x, true), &optimizer);
    let round = Round::new(&g, &metrics, caps)?;
    let score = fitting::<M, _>(|size| {
        Evaluation::in_batches(size, caps, test, |g, x| {
            vec![("nll", model.nats(g, given(model, test, x, false)).1.sum_all())]
        })
    })?;
    let (classes, shown) = (train.classes, count(model));
    let image = [h, w, drawn(model, c)];
    let draws = Draws {
        shape: [shown, h, w, image[2]],
        likelihood: model.likelihood(),
        temperature: 1.0,
        method: M::METHOD,
    };
    let draw = Sampler::new(caps, draws, |g, x| {
        let (class, hint) = (chosen(g, model, shown, classes), hinted(g, model, x, c));
        model.network(g, Given { class, hint, ..Given::pictures(x) }).1
    })?;
    let others: Vec<&Plan> = score.plans().chain(draw.plans()).collect();
    if session.print_plan(&round, &others) {
        return Ok(());
    }
    let state = session.state(&round, &others)?;
    let score = score.ready(&session.gpu, &state, test)?;
    if model.conditional() {
        state.write(&session.gpu, CLASS, &one_hot((0..shown).map(|i| i % classes), classes))?;
    }
    let cases = model.task().map(|task| Cases::first(task, &session.set.test, shown / DRAWS));
    let often = cases.as_ref().map(Cases::often);
    if let Some(often) = &often {
        state.write(&session.gpu, HINT, &often.hints)?;
    }
    let known = often.as_ref().and_then(Cases::given);
    let unit = &format!("nats per {}", one::<M>());
    let names = || session.set.class_names.iter().cloned().cycle().take(shown);
    let trainer = Trainer { session: &session, state: &state, round: &round, unit, curves: 1, scored: true };
    trainer.run(&mut |at: &EpochEnd<'_>| {
        if let Some(run) = at.run {
            let (mut told, total) = (listener(), draw.steps() as u64);
            let given = known.as_ref().map(|(pictures, known)| (&pictures[..], *known));
            let drawn = draw.run(&session.gpu, &state, given, 1, |done, _| {
                told(Work { what: "steps of drawing samples", done: done as u64, total })
            });
            match drawn {
                // Drawing may take minutes if the whole network runs for every pixel. After Ctrl-C the pictures
                // are left out, and the run ends as usual.
                Err(_) if interrupt::asked() => {}
                drawn => match &cases {
                    Some(cases) => save(&run.samples(at.step), &cases.sheet(&drawn?))?,
                    None => show(&run.samples(at.step), model, image, &drawn?, names())?,
                },
            }
        }
        let mut measured = of_test(session.ranks().score(&score)?);
        if let Some(sound) = sound(model) {
            let [train, test] = [at.means[0], measured[0].1].map(|nats| sound.bits_per_sample(nats));
            measured.extend([("train_bits_per_sample".into(), train), ("test_bits_per_sample".into(), test)]);
        }
        Ok(measured)
    })?;
    Ok(())
}
