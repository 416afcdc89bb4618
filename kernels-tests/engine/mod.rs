//! Graphs, plans, shaders and executors, whatever the model.

pub(crate) mod custom_op;
pub(crate) mod dag;
pub(crate) mod gpu;
pub(crate) mod hazards;
pub(crate) mod mistakes;
pub(crate) mod plans;
#[cfg(feature = "run")]
pub(crate) mod sampling;
pub(crate) mod wgsl;
