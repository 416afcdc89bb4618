//! The options that every example shares, and what they open: the adapter and the data set.

use super::{Error, Result};
use crate::{
    data::{self, DataSet},
    gpu::{Choice, Gpu},
};
use clap::Args;
use std::path::PathBuf;

/// Which adapter to run on.
#[derive(Args, Clone, Debug)]
pub struct AdapterOption {
    /// Adapter by part of its name or index; a wrong one lists what was found
    #[arg(long, value_name = "NAME|INDEX")]
    pub adapter: Option<String>,
}

impl AdapterOption {
    /// Opens the adapter and says which it is; a software driver is warned about.
    pub fn open(&self) -> Result<Gpu> {
        let choice = self.adapter.clone().map_or(Choice::Best, Choice::Named);
        let gpu = Gpu::headless_blocking(&choice)?;
        let caps = gpu.caps();
        eprintln!("adapter: {} ({}, {})", caps.name, caps.backend, caps.driver.trim());
        if caps.class == crate::caps::Class::Cpu {
            eprintln!("warning: this is a software driver; a GPU is many times faster");
        }
        Ok(gpu)
    }
}

/// Which data, how long, how.
#[derive(Args, Clone, Debug)]
pub struct TrainOptions {
    /// `glyphs` (drawn by the program) or a folder with MNIST's IDX files, raw or gz
    #[arg(long, default_value = "glyphs", value_name = "glyphs|PATH")]
    pub data: String,
    /// Passes over the training images
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub epochs: u64,
    /// Stop after this many steps
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: Option<u64>,
    /// Stop after this many seconds
    #[arg(long, value_parser = positive)]
    pub seconds: Option<f64>,
    /// Images per step
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: u32,
    /// Seed of initialisation, shuffling and noise
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Run directory: configuration, metrics, pictures, weights
    #[arg(long, value_name = "DIR", default_value = "runs/latest")]
    pub out: PathBuf,
}

impl TrainOptions {
    /// Loads the data set and checks it against the batch size.
    pub fn load(&self) -> Result<DataSet> {
        let set = load(&self.data, self.seed)?;
        if set.train.count < self.batch as usize {
            return Err(Error::new(format!(
                "--batch {} is more than the {} training images of {}",
                self.batch, set.train.count, self.data
            )));
        }
        Ok(set)
    }
}

/// A finite number above 0, for clap.
pub fn positive(text: &str) -> std::result::Result<f64, String> {
    text.parse().ok().filter(|x: &f64| x.is_finite() && *x > 0.0).ok_or_else(|| "wants a number above 0".into())
}

/// Loads a data set by name or folder.
pub fn load(name: &str, seed: u64) -> Result<DataSet> {
    data::load(name, seed).map_err(|e| Error::new(e.to_string()))
}
