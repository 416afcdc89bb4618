//! Graphs, plans, shaders and executors, whatever the model.

mod chained;
pub(crate) mod collective;
mod custom_op;
mod dag;
mod gpu;
mod hazards;
mod launches;
mod lost;
pub(crate) mod mistakes;
mod misuse;
mod plans;
mod sampling;
mod weights;
pub(crate) mod wgsl;
