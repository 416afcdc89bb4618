//! Rules, plans, models and devices.
mod gpu;
mod models;
mod plans;
mod subjects;
mod tidy;
mod wgsl;
