//! Two distances between sets of features. The Fréchet distance compares the Gaussians that are fitted to
//! them; the kernel distance assumes nothing about the shape of the distributions. Both are computed in f64.

use crate::{
    data::permutation,
    error::{Error, Result},
    measure::features::Features,
};
use nalgebra::{DMatrix, DVector, SymmetricEigen};

/// The number of subsets for the [`Kid`] of a report. The paper takes twice as many, but a report computes
/// the distance twice.
pub const SUBSETS: usize = 50;
/// The largest number of pictures in a subset, as in the paper.
const LARGEST: usize = 1000;

/// The Gaussian that has the mean and the covariance of a set of features.
#[derive(Clone, Debug, PartialEq)]
pub struct Gaussian {
    mean: DVector<f64>,
    covariance: DMatrix<f64>,
}

impl Gaussian {
    /// Fits the Gaussian. The covariance is the unbiased one, which divides by N - 1.
    ///
    /// # Errors
    /// Fails for fewer than two pictures, and for features that are not finite.
    pub fn of(features: &Features) -> Result<Self> {
        let n = features.count();
        if n < 2 || features.values.iter().any(|v| !v.is_finite()) {
            return Err(Error::new(format!(
                "a covariance needs finite features of at least two pictures, got {n}; draw more"
            )));
        }
        // Row-major [N, D] is the same memory as column-major [D, N].
        let mut centred = DMatrix::from_column_slice(features.width, n, &features.values);
        let mean = centred.column_mean();
        centred.column_iter_mut().for_each(|mut column| column -= &mean);
        let covariance = &centred * centred.transpose() / (n - 1) as f64;
        Ok(Self { mean, covariance })
    }

    /// The Fréchet distance, known as FID (Heusel et al. 2017, eq. 6): |μ₁ - μ₂|² + tr(C₁ + C₂ - 2·(C₁C₂)^½).
    /// The trace of (C₁C₂)^½ is computed from the symmetric (C₁^½·C₂·C₁^½)^½, since both products have the
    /// same eigenvalues. The result is at least 0.
    ///
    /// # Panics
    /// Panics if the two sets have features of different widths.
    pub fn frechet(&self, other: &Self) -> f64 {
        let root = root(&self.covariance);
        let shared: f64 = (&root * &other.covariance * &root)
            .symmetric_eigenvalues()
            .iter()
            .map(|v| v.max(0.0).sqrt())
            .sum();
        let means = (&self.mean - &other.mean).norm_squared();
        (means + self.covariance.trace() + other.covariance.trace() - 2.0 * shared).max(0.0)
    }
}

/// The symmetric square root of a covariance. Eigenvalues that rounding made negative count as 0.
fn root(covariance: &DMatrix<f64>) -> DMatrix<f64> {
    let eigen = SymmetricEigen::new(covariance.clone());
    let roots = DMatrix::from_diagonal(&eigen.eigenvalues.map(|v| v.max(0.0).sqrt()));
    &eigen.eigenvectors * roots * eigen.eigenvectors.transpose()
}

/// The kernel distance, known as KID: the squared maximum mean discrepancy under the kernel (x·y/D + 1)³
/// (Bińkowski et al. 2018, §3.1 and 4), averaged over random subsets. All features are scaled by one factor
/// that gives the real ones a mean square of 1: with larger features, the cube would show little but
/// outliers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kid {
    /// The mean over the subsets. It is unbiased, so for two sets of one distribution it is near 0 and may be
    /// negative.
    pub mean: f64,
    /// The standard deviation over the subsets.
    pub std: f64,
    /// The number of subsets.
    pub subsets: usize,
    /// The number of pictures that a subset takes from each set.
    pub size: usize,
}

impl Kid {
    /// Compares pictures with real images by `subsets` pairs of random subsets, which are drawn without
    /// replacement as a function of `seed`. A subset has 1,000 pictures, or half of the smaller set if that
    /// is less, so that subsets differ.
    ///
    /// # Errors
    /// Fails if a set has fewer than four pictures, or if `subsets` is 0.
    ///
    /// # Panics
    /// Panics if the two sets have features of different widths.
    pub fn of(pictures: &Features, real: &Features, subsets: usize, seed: u64) -> Result<Self> {
        let smaller = pictures.count().min(real.count());
        if smaller < 4 || subsets == 0 {
            return Err(Error::new(format!(
                "a kernel distance needs subsets and at least four pictures of each set, got {smaller}; draw more"
            )));
        }
        let size = LARGEST.min(smaller / 2);
        let square = real.values.iter().map(|v| v * v).sum::<f64>() / real.values.len() as f64;
        let scale = if square > 0.0 { square.sqrt().recip() } else { 1.0 };
        let draw = |features: &Features, subset: usize| {
            let rows = permutation(seed, subset as u64, features.count());
            let values = rows[..size]
                .iter()
                .flat_map(|&row| &features.values[row as usize * features.width..][..features.width]);
            DMatrix::from_iterator(features.width, size, values.map(|v| v * scale))
        };
        // Each set has random numbers of its own; otherwise, sets of equal size would be drawn in the same
        // order.
        let found: Vec<f64> =
            (0..subsets).map(|s| discrepancy(&draw(pictures, 2 * s), &draw(real, 2 * s + 1))).collect();
        let mean = found.iter().sum::<f64>() / subsets as f64;
        let variance = found.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / subsets as f64;
        Ok(Self { mean, std: variance.sqrt(), subsets, size })
    }
}

/// The unbiased squared discrepancy between two sets `[D, N]` of equal size. Within a set, no picture is
/// compared with itself.
pub(super) fn discrepancy(x: &DMatrix<f64>, y: &DMatrix<f64>) -> f64 {
    let (d, n) = (x.nrows() as f64, x.ncols() as f64);
    let kernels =
        |a: &DMatrix<f64>, b: &DMatrix<f64>| (a.transpose() * b).map(|product| (product / d + 1.0).powi(3));
    let within = |k: DMatrix<f64>| (k.sum() - k.trace()) / (n * (n - 1.0));
    within(kernels(x, x)) + within(kernels(y, y)) - 2.0 * kernels(x, y).sum() / (n * n)
}
