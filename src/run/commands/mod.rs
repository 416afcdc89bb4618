//! The commands of the examples, one file per family of models, so that an example is its model, its options
//! and a `main`.

pub mod adversarial;
pub mod autoencoder;
pub mod autoregressive;
mod compare;
mod task;
pub mod vae;

use crate::{
    data::{DataSet, Images},
    error::{Error, Result},
};

/// Why several ranks are refused where classes are learnt from few labels.
const FEW_ALONE: &str =
    "--semi-supervised: few labels are learnt by one rank alone; leave --devices and --mpi out";

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

/// Takes `n` labelled images, an equal number of each class, in an order that the seed determines.
fn few(images: &Images, n: usize, seed: u64) -> Result<Images> {
    let places = images.balanced(n, seed);
    if places.len() < n {
        let most = images.most_balanced();
        let least = most / images.classes.max(1);
        let what = format!(
            "--labels {n} is more than the classes hold evenly, of which one has only {least} images"
        );
        return Err(Error::new(format!("{what}; give at most {most}")));
    }
    Ok(images.at(&places))
}

/// Takes the training images whose labels few-label training knows: `n` in all, equally many of each class.
fn chosen(set: &DataSet, n: usize, seed: u64) -> Result<Images> {
    let classes = set.train.classes;
    if let Some(why) = set.classless() {
        let what = format!("{}: {why}: there are no classes to learn", set.name);
        return Err(Error::new(format!("{what}; give other images, or train without --semi-supervised")));
    }
    if !n.is_multiple_of(classes) {
        let what = format!("--labels {n}: the {classes} classes get equally many");
        let most = set.train.most_balanced();
        return Err(Error::new(format!("{what}; give a multiple of {classes} up to {most}")));
    }
    few(&set.train, n, seed)
}
