//! The ops, one family a file. Each file shares its stem with its kernels in `shaders/`; an exchange
//! between ranks has none.

pub mod all_reduce;
pub mod batch_norm;
pub mod categorical;
pub mod conv2d;
pub mod cursor;
pub mod data;
pub mod dropout;
pub mod elementwise;
pub mod matmul;
pub mod optimizer;
pub mod pool;
pub mod random;
pub mod recurrence;
pub mod reduce;
pub mod reparameterize;
pub mod resample;
pub mod views;
