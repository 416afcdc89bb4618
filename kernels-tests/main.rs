//! One test binary: ops against their references, the engine, models against their papers and PyTorch, runs
//! of the examples, and the rules of the house.
//!
//! A missing adapter is a failure, unless `ONEIRO_SKIP_GPU=1` opts out of what needs one.
//! `ONEIRO_ADAPTER=NAME|INDEX` chooses among several, `ONEIRO_OPS=conv2d,matmul` the op families to compare.
//! `ONEIRO_SAMPLE=16` compares one of sixteen op cases and random graphs on a slow driver, none with over 65,535
//! workgroups.
//! `ONEIRO_BLESS=1` rewrites the known plans and copies shared blocks of WGSL.

mod commands;
mod docs;
mod engine;
mod golden;
mod harness;
mod models;
mod ops;
mod runs;
mod subjects;
mod tidy;
