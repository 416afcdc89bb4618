//! A trained run that a command looks at: its configuration, its weights on a device, and the place of its
//! pictures.

use super::{
    Bare, Numbers, RunDir,
    dir::Saved,
    grid,
    options::{Look, Options},
    save,
    say::counted,
    session::PARTIAL,
};
use crate::{
    data::Images,
    error::{Error, Result},
    gpu::{Gpu, State},
    plan::Plan,
    weights::{self, Fit, Weights},
};
use std::path::PathBuf;

/// A trained run, its weights, and the device on which they are used.
pub struct Trained<T> {
    /// The run's folder.
    pub run: RunDir,
    /// The options that made the run, and the size of its images.
    pub saved: Saved<T>,
    /// The device.
    pub gpu: Gpu,
    /// The seed of the draws.
    pub seed: u64,
    /// The path of the weights file.
    pub path: PathBuf,
    /// The weights.
    pub weights: Weights,
    /// Whether the file may lack weights of the model, or hold others.
    partial: bool,
    /// The names of all weights of the model.
    known: Vec<String>,
}

impl<T: Options> Trained<T> {
    /// Opens the run that `--run` names, or the newest run of the model. The weights are the run's, or those
    /// of `--weights`. With `--weights` and without `--run` there is no run, and `bare` says what the model is.
    ///
    /// # Errors
    /// Fails if there is no such run, if it is of another model, if the weights cannot be read, or if there
    /// is no such adapter.
    pub fn open(look: &Look, bare: Option<&Bare<T>>) -> Result<Self> {
        let moved = bare.and_then(|bare| bare.data.clone());
        let bare = bare.filter(|_| look.run.is_none() && look.weights.is_some());
        let (run, mut saved) = match bare {
            Some(bare) => (RunDir::here(), bare.saved()?),
            None => {
                let run = look.run.as_ref().map_or_else(|| RunDir::latest(T::MODEL), RunDir::open)?;
                let saved = run.read_config(T::MODEL)?;
                (run, saved)
            }
        };
        if let Some(data) = moved {
            saved.options.recipe().data = data;
        }
        let path = look.weights.clone().unwrap_or_else(|| run.weights());
        let known = saved.options.weights(saved.image, saved.classes)?;
        let (mut weights, partial) = (saved.options.named(weights::load(&path)?), look.weights_partial);
        if partial {
            let fit = Fit::of(&known, &weights);
            fit.some(&path)?;
            note!("{}: {fit}", path.display());
            if bare.is_none() {
                let own = saved.options.named(weights::load(&run.weights())?);
                weights = own.into_iter().chain(weights).collect();
            }
        }
        Ok(Self { run, saved, gpu: look.adapter.open()?, seed: look.seed, path, weights, partial, known })
    }

    /// The options that made the run.
    pub fn options(&self) -> &T {
        &self.saved.options
    }

    /// The number of values in an image, H·W·C.
    pub fn pixels(&self) -> usize {
        self.saved.image.iter().product()
    }

    /// Writes the trained weights of these names into a State.
    ///
    /// # Errors
    /// Fails if the file lacks one of them, or holds a weight that the model does not know, unless
    /// `--weights-partial` was given; or if a weight has another shape.
    pub fn load(&self, state: &State, names: &[String]) -> Result<()> {
        let mut fit = Fit::of(names, &self.weights);
        fit.unexpected.retain(|name| !self.known.contains(name));
        if !self.partial {
            fit.strict(&self.path).map_err(|e| Error::new(format!("{e}: {PARTIAL}")))?;
        }
        weights::apply_partial(&self.gpu, state, names, &self.weights, &self.path).map(drop)
    }

    /// Makes a State for these plans, with the trained weights.
    ///
    /// # Errors
    /// Fails if memory does not suffice, or if the weights do not fit the model.
    pub fn state(&self, plans: &[&Plan]) -> Result<State> {
        let state = State::new(&self.gpu, plans, self.seed)?;
        let names: Vec<String> = plans.iter().flat_map(|plan| plan.weights()).collect();
        self.load(&state, &names)?;
        Ok(state)
    }

    /// The first test images, `[count, H·W·C]` with values in [0, 1]: as many as were asked for, or `usual`
    /// many, or fewer if the data set has fewer.
    ///
    /// # Errors
    /// Fails if more images were asked for than there are.
    pub fn first(&self, test: &Images, asked: Option<usize>, usual: usize) -> Result<Vec<f32>> {
        let count = asked.unwrap_or(usual.min(test.count));
        if test.count < count {
            let one = self.saved.options.clone().recipe().one();
            let held = counted(test.count, &format!("test {one}"));
            let what = format!("the data hold only {held}, and {count} are needed");
            return Err(Error::new(format!("{what}; give a smaller --count")));
        }
        Ok(test.pixels[..count * self.pixels()].iter().map(|&b| f32::from(b) / 255.0).collect())
    }

    /// Pictures `[N, H, W, C]` as numbers.
    pub fn numbers<'a>(&self, pictures: &'a [f32]) -> Numbers<'a> {
        let [h, w, c] = self.saved.image;
        ("pictures", vec![pictures.len() / (h * w * c), h, w, c], pictures)
    }

    /// Writes pictures `[N, H, W, channels]` with values in [0, 1] as one grid into the run's folder, and
    /// prints the path.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn write(&self, name: &str, pictures: &[f32], channels: usize, columns: usize) -> Result<()> {
        let ([h, w, _], path) = (self.saved.image, self.run.path(name));
        save(&path, &grid(pictures, pictures.len() / (h * w * channels), h, w, channels, columns))?;
        say!("{}", path.display());
        Ok(())
    }
}
