//! Each op family of `src/ops` has a file of its name here: its cases, and what they do not cover.

pub(crate) mod batch_norm;
pub(crate) mod categorical;
pub(crate) mod conv2d;
pub(crate) mod cursor;
pub(crate) mod data;
pub(crate) mod dropout;
pub(crate) mod elementwise;
pub(crate) mod matmul;
pub(crate) mod optimizer;
pub(crate) mod pool;
pub(crate) mod random;
pub(crate) mod reduce;
pub(crate) mod reparameterize;
pub(crate) mod resample;
pub(crate) mod views;
