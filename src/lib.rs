//! Oneiro is a compute-shader engine for deep generative models. Hand-written WGSL kernels, orchestrated
//! by a Rust graph executor on wgpu, train and sample on any Vulkan, Metal or DX12 GPU, and in browsers.
//!
//! Work goes in one direction. Each arrow is one function, and no stage knows a later one:
//!
//! ```text
//! model fn ─record→ Graph ─grad, optimizer→ Graph ─Plan::new→ Plan ─Executor::new→ Executor ─record→ wgpu::CommandEncoder
//! ```
//!
//! A graph is recorded, differentiated and planned without a device:
//!
//! ```
//! use oneiro::graph::{Graph, autodiff::grad, shape::Type, var::Init};
//! use oneiro::{kernel::caps::{AdapterClass, Caps}, plan::Plan};
//!
//! let g = Graph::new();
//! let x = g.input("x", Type::f32([32, 784]));
//! let w = g.param("w", Type::f32([784, 10]), Init::fan_in(784));
//! let loss = x.matmul(w).tanh().square().mean_all();
//! let gradient = grad(loss, &[w])[0];
//! g.assign(w, w - gradient * 0.1);
//! g.output("loss", loss);
//! let plan = Plan::new(&g, &Caps::portable(AdapterClass::Gpu))?;
//! println!("{plan}");
//! # Ok::<(), oneiro::error::Error>(())
//! ```
//!
//! and then runs on an adapter, many steps to a submission:
//!
//! ```no_run
//! # use oneiro::{gpu::{Choice, Executor, Gpu, State}, plan::Plan, graph::Graph};
//! # let g = Graph::new();
//! let gpu = Gpu::headless_blocking(&Choice::Best)?;
//! let plan = Plan::new(&g, gpu.caps())?;
//! let state = State::new(&gpu, &[&plan], 0)?;
//! let step = Executor::new(&gpu, &plan, &state, &[])?;
//! step.write(&gpu, "x", &vec![0.5f32; 32 * 784])?;
//! gpu.submit(|encoder| (0..100).try_for_each(|_| step.record(encoder)))?;
//! println!("loss {:?}", step.read(&gpu, "loss")?);
//! # Ok::<(), oneiro::error::Error>(())
//! ```
#![warn(missing_docs)]

pub mod data;
pub mod disk;
pub mod error;
#[cfg(all(any(test, fuzzing), feature = "run", feature = "download", feature = "sound"))]
pub mod foreign;
pub mod gpu;
pub mod graph;
pub mod kernel;
pub mod measure;
pub mod models;
pub mod nn;
pub mod ops;
pub mod optim;
pub mod plan;
pub mod rng;
#[cfg(feature = "run")]
pub mod run;
pub mod sampling;
pub mod train;
pub mod weights;

/// The code of the documents is compiled with the doctests.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../README.md")]
    struct Readme;

    #[doc = include_str!("../docs/embedding.md")]
    struct Embedding;

    #[doc = include_str!("../docs/adding.md")]
    struct Adding;
}
