//! A trained run that is looked at: its configuration, its weights on a device, and where its pictures go.

use super::{
    RunDir,
    dir::Saved,
    grid,
    options::{Look, Options},
    save,
};
use crate::{
    error::{Error, Result},
    gpu::{Gpu, State},
    plan::Plan,
    weights::{self, Weights},
};
use std::path::PathBuf;

/// A trained run, opened to be looked at.
pub struct Trained<T> {
    /// The run's folder.
    pub run: RunDir,
    /// The options that made it, and its images' size.
    pub saved: Saved<T>,
    /// The device.
    pub gpu: Gpu,
    /// The seed of draws.
    pub seed: u64,
    /// The weights file.
    pub path: PathBuf,
    /// The weights.
    pub weights: Weights,
}

impl<T: Options> Trained<T> {
    /// Opens the run that was named, or the newest of the model, with its weights or those of `--weights`.
    ///
    /// # Errors
    /// No such run, or one of another model; weights that cannot be read; no adapter.
    pub fn open(look: &Look) -> Result<Self> {
        let run = look.run.as_ref().map_or_else(|| RunDir::latest(T::MODEL), RunDir::open)?;
        let saved = run.read_config(T::MODEL)?;
        let path = look.weights.clone().unwrap_or_else(|| run.weights());
        let weights = weights::load(&path)?;
        Ok(Self { run, saved, gpu: look.adapter.open()?, seed: look.seed, path, weights })
    }

    /// The options that made the run.
    pub fn options(&self) -> &T {
        &self.saved.options
    }

    /// Pixels of an image, channels counted.
    pub fn pixels(&self) -> usize {
        self.saved.image.iter().product()
    }

    /// A State for these plans with the trained weights.
    ///
    /// # Errors
    /// Weights that do not fit the model.
    pub fn state(&self, plans: &[&Plan]) -> Result<State> {
        let state = State::new(&self.gpu, plans, self.seed)?;
        let names: Vec<String> = plans.iter().flat_map(|plan| plan.weights()).collect();
        weights::apply(&self.gpu, &state, &names, &self.weights, &self.path)?;
        Ok(state)
    }

    /// The first `count` test images `[count, H·W·C]` in [0, 1].
    ///
    /// # Errors
    /// Data that has changed or has fewer test images.
    pub fn test_images(&self, count: usize) -> Result<Vec<f32>> {
        let set = self.saved.load()?;
        if set.test.count < count {
            let what = format!("{} has only {} test images", set.name, set.test.count);
            return Err(Error::new(format!("{what}; give a smaller --count")));
        }
        Ok(set.test.pixels[..count * self.pixels()].iter().map(|&b| f32::from(b) / 255.0).collect())
    }

    /// Writes pictures in [0, 1] of so many channels as one grid into the run's folder, and prints its path.
    pub fn write(&self, name: &str, pictures: &[f32], channels: usize, columns: usize) -> Result<()> {
        let ([h, w, _], path) = (self.saved.image, self.run.path(name));
        save(&path, &grid(pictures, pictures.len() / (h * w * channels), h, w, channels, columns))?;
        println!("{}", path.display());
        Ok(())
    }
}
