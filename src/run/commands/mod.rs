//! The commands of the examples, one file per family of models, so that an example is its model, its options
//! and a `main`.

pub mod adversarial;
pub mod autoencoder;
pub mod autoregressive;
mod task;
pub mod vae;

use crate::{
    data::DataSet,
    error::{Error, Result},
};

/// Makes sure that a conditional model has classes to condition on.
fn conditioned(conditional: bool, set: &DataSet) -> Result<()> {
    match set.classless().filter(|_| conditional) {
        Some(why) => {
            let what = format!("{}: {why}: there is nothing to condition on", set.name);
            Err(Error::new(format!("{what}; give other images, or train without --conditional")))
        }
        None => Ok(()),
    }
}

/// Rows of `of` elements, each with a 1 at its class and 0 elsewhere.
fn one_hot(classes: impl Iterator<Item = usize>, of: usize) -> Vec<f32> {
    classes.flat_map(|class| (0..of).map(move |i| f32::from(u8::from(i == class)))).collect()
}
