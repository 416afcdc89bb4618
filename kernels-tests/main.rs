//! Kernels and derivatives against the ops' f64 references.
