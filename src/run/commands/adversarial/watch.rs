//! What a person sees during training: pictures from the same noise again and again, their diversity, their
//! FID, and a warning if one player has won.

use super::{
    super::task::{Cases, DRAWS},
    pictures::{Pictures, in_turn, noise},
};
use crate::{
    data::Task,
    error::Result,
    measure::watch::Watch,
    models::{classifier, game::Game, players::Players},
    run::{EpochEnd, Measured, Observer, RunDir, SITTING, Session, animate, grid, plot, read, save, whole},
    train::Ready,
};
#[cfg(feature = "fid")]
use crate::{
    error::Error,
    measure::{
        features::{self, Extractor},
        report::{self, Reference},
    },
    run::listener,
};
use clap::Args;

/// The number of pictures in the grid that training shows.
pub(super) const SHOWN: usize = 64;
/// The number of pictures that a model with a task is given for a sheet.
const CASES: usize = 8;
/// The largest number of pictures in the film of training.
const FRAMES: usize = 60;

/// The options for watching the game, which one sitting may change.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = SITTING)]
pub struct Watching {
    /// Draw the sample grid every so many steps too, which gives the film of training more pictures [default:
    /// only at the end of epochs]
    #[arg(long, value_name = "STEPS", value_parser = whole::<u64>(1..))]
    picture_every: Option<u64>,
    /// Measure FID with this many pictures whenever the sample grid is drawn, as a curve; first trains the
    /// extractor, once per data set
    #[arg(long, value_name = "PICTURES", num_args = 0..=1, default_missing_value = "1000", value_parser = whole::<u32>(100..))]
    #[cfg(feature = "fid")]
    fid: Option<u32>,
}

impl Watching {
    /// Refuses what a model with a task does not have.
    pub(super) fn refuse(&self) -> Result<()> {
        #[cfg(feature = "fid")]
        if self.fid.is_some() {
            return Err(Error::new("--fid: a model with --task is measured by `evaluate`; leave it out"));
        }
        Ok(())
    }
}

/// Draws, measures and warns during training.
pub(super) struct Watcher<'a> {
    session: &'a Session,
    draw: &'a Pictures<'a>,
    /// The accuracy on test images, if the discriminator tells classes apart.
    test: Option<&'a Ready<'a>>,
    latent: usize,
    /// Whether the noise is uniform.
    uniform: bool,
    classes: usize,
    /// The pictures that the model is given, if it has a task.
    cases: Option<Cases>,
    watch: Watch,
    /// The number of pictures for FID, and the real images with which they are compared.
    #[cfg(feature = "fid")]
    fid: Option<(usize, Reference<'a>)>,
    /// The number of steps between looks.
    every: Option<u64>,
    /// Whether the last look between epochs reported a collapse.
    told: bool,
}

impl<'a> Watcher<'a> {
    pub(super) fn new<P: Players>(
        session: &'a Session,
        game: &Game<P>,
        task: Option<Task>,
        draw: &'a Pictures<'a>,
        test: Option<&'a Ready<'a>>,
        watching: &Watching,
    ) -> Result<Self> {
        // Test images are in memory even if the training images are streamed.
        let streamed = session.stream.is_some() && task.is_none();
        let real = if streamed { &session.set.test } else { &session.set.train };
        let rules = game.rules();
        let watch = Watch::new(rules.objective, rules.labels.means(), real);
        Ok(Self {
            session,
            draw,
            test,
            latent: game.latent(),
            uniform: rules.uniform,
            classes: game.classes(),
            cases: task.map(|task| Cases::first(task, &session.set.test, CASES)),
            watch,
            #[cfg(feature = "fid")]
            fid: watching.fid.map(|count| reference(session, count)).transpose()?,
            every: watching.picture_every,
            told: false,
        })
    }

    /// Writes the FID curve, and the film of the pictures.
    pub(super) fn finish(&self, model: &str, run: &RunDir) -> Result<()> {
        if let Some(curve) = read(run.metrics())?.into_iter().find(|c| c.label == "fid") {
            let title =
                format!("FID of {model} on {}, features of {}", self.session.set.name, classifier::NAME);
            plot(&run.path("fid.png"), &title, "step", "FID", &[curve])?;
            say!("FID: {}", run.path("fid.png").display());
        }
        let frames = run.frames(FRAMES)?;
        if frames.len() > 1 {
            let path = run.path("training.gif");
            animate(&path, &frames, 120)?;
            say!("film of training: {}", path.display());
        }
        Ok(())
    }

    fn noise(&self, count: usize) -> (Vec<f32>, Vec<f32>) {
        (noise(self.uniform, self.session.recipe.seed, count * self.latent), in_turn(self.classes, count))
    }

    /// Draws the grid into the run's folder, and returns the diversity of its pictures.
    fn picture(&self, run: &RunDir, step: u64) -> Result<f64> {
        let ((z, classes), [h, w, c]) = (self.noise(SHOWN), self.session.image());
        if let Some(cases) = &self.cases {
            let rows: Vec<usize> = (0..SHOWN).map(|i| i / DRAWS % cases.count()).collect();
            let many = cases.pick(&rows);
            let mut drawn = self.draw.draw(&z, &classes, &many.hints)?;
            many.keep(&mut drawn);
            save(&run.samples(step), &cases.sheet(&drawn[..cases.count() * DRAWS * cases.of_drawn()]))?;
            return Ok(self.watch.diversity(&many.pictures(&drawn)));
        }
        let pictures = self.draw.draw(&z, &classes, &[])?;
        save(&run.samples(step), &grid(&pictures, SHOWN, h, w, c, SHOWN.isqrt()))?;
        Ok(self.watch.diversity(&pictures))
    }

    fn measured(&self, diversity: f64) -> Measured {
        let fid = self.fid()?.map(|fid| ("fid".to_string(), fid));
        Ok([("diversity".to_string(), diversity)].into_iter().chain(fid).collect())
    }

    /// The FID of the generator's pictures, if it was asked for.
    #[cfg(feature = "fid")]
    fn fid(&self) -> Result<Option<f64>> {
        let Some((count, reference)) = &self.fid else { return Ok(None) };
        let ((z, classes), mut drawn) = (self.noise(count.next_multiple_of(SHOWN)), vec![]);
        let (latents, labels) = (SHOWN * self.latent, SHOWN * self.classes);
        for (i, z) in z.chunks(latents).enumerate() {
            drawn.extend(self.draw.draw(z, &classes[i * labels..(i + 1) * labels], &[])?);
        }
        let pixels = self.session.image().iter().product::<usize>();
        reference.fid(&drawn[..count * pixels]).map(Some)
    }

    /// A build without linear algebra cannot measure FID.
    #[cfg(not(feature = "fid"))]
    fn fid(&self) -> Result<Option<f64>> {
        Ok(None)
    }
}

impl Observer for Watcher<'_> {
    fn every(&self) -> Option<u64> {
        self.every
    }

    /// Draws and measures between epochs. A collapse is reported once, and again only after it was over.
    fn look(&mut self, run: &RunDir, step: u64) -> Measured {
        let diversity = self.picture(run, step)?;
        let collapse = self.watch.collapse(step, diversity);
        collapse.iter().filter(|_| !self.told).for_each(|line| note!("warning: {line}"));
        self.told = collapse.is_some();
        self.measured(diversity)
    }

    /// Draws and measures at the end of an epoch, and warns if a player has won.
    fn report(&mut self, at: &EpochEnd<'_>) -> Measured {
        let Some(run) = at.run else { return Ok(vec![]) };
        let diversity = self.picture(run, at.step)?;
        let warning = self.watch.warning(at.step, at.means, diversity);
        warning.into_iter().for_each(|line| note!("warning: {line}"));
        let accuracy = self.test.map(Ready::run).transpose()?.map(|scores| 100.0 * scores[0].1);
        let mut measured = self.measured(diversity)?;
        measured.extend(accuracy.map(|accuracy| ("test_accuracy".to_string(), accuracy)));
        Ok(measured)
    }
}

/// The number of pictures for FID, and the real images with which they are compared.
#[cfg(feature = "fid")]
fn reference(session: &Session, count: u32) -> Result<(usize, Reference<'_>)> {
    let (set, folder) = (session.whole()?, std::path::Path::new(features::FOLDER));
    let extractor = Extractor::of_data(&session.gpu, &set, folder, &mut listener())?;
    let reference = Reference::new(extractor, &set, report::IMAGES)?;
    if let Some(doubt) = reference.doubt(count as usize) {
        note!("warning: the FID will mean little: {doubt}");
    }
    Ok((count as usize, reference))
}
