//! Oneiro: a compute-shader engine for deep generative models.
#![warn(missing_docs)]

pub mod autodiff;
pub mod caps;
pub mod data;
pub mod error;
pub mod gpu;
pub mod graph;
pub mod kernel;
pub mod models;
pub mod nn;
pub mod op;
pub mod ops;
pub mod optim;
pub mod plan;
pub mod reference;
pub mod rng;
#[cfg(feature = "run")]
pub mod run;
pub mod shape;
pub mod var;
pub mod weights;
