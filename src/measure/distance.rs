//! Two distances between sets of features: Fréchet's, of the Gaussians fitted to them, and the kernel distance, which assumes
//! nothing of their shape. All in f64.

use crate::{
    data::permutation,
    error::{Error, Result},
    measure::features::Features,
};
use nalgebra::{DMatrix, DVector, SymmetricEigen};

/// Subsets of a report's [`Kid`]: half the paper's, since a report takes them twice.
pub const SUBSETS: usize = 50;
/// Most pictures of a subset, as in the paper.
const LARGEST: usize = 1000;

/// The Gaussian with the features' mean and covariance.
#[derive(Clone, Debug, PartialEq)]
pub struct Gaussian {
    mean: DVector<f64>,
    covariance: DMatrix<f64>,
}

impl Gaussian {
    /// Fits it; the covariance is the unbiased one, over N - 1.
    ///
    /// # Errors
    /// Fewer than two pictures, or features that are not finite.
    pub fn of(features: &Features) -> Result<Self> {
        let n = features.count();
        if n < 2 || features.values.iter().any(|v| !v.is_finite()) {
            return Err(Error::new(format!(
                "a covariance needs finite features of at least two pictures, got {n}; draw more"
            )));
        }
        // Row-major [N, D] is column-major [D, N].
        let mut centred = DMatrix::from_column_slice(features.width, n, &features.values);
        let mean = centred.column_mean();
        centred.column_iter_mut().for_each(|mut column| column -= &mean);
        let covariance = &centred * centred.transpose() / (n - 1) as f64;
        Ok(Self { mean, covariance })
    }

    /// FID (Heusel et al. 2017, eq. 6): |μ₁ - μ₂|² + tr(C₁ + C₂ - 2·(C₁C₂)^½), where the last trace is that of the symmetric
    /// (C₁^½·C₂·C₁^½)^½, since both products have the same eigenvalues. At least 0.
    ///
    /// # Panics
    /// If the widths differ.
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

/// The symmetric square root of a covariance; eigenvalues that rounding made negative count as 0.
fn root(covariance: &DMatrix<f64>) -> DMatrix<f64> {
    let eigen = SymmetricEigen::new(covariance.clone());
    let roots = DMatrix::from_diagonal(&eigen.eigenvalues.map(|v| v.max(0.0).sqrt()));
    &eigen.eigenvectors * roots * eigen.eigenvectors.transpose()
}

/// Kernel distance: the squared maximum mean discrepancy under (x·y/D + 1)³ (Bińkowski et al. 2018, §3.1 and 4), over subsets. Features
/// are scaled so that the real ones have a mean square of 1: of larger ones the cube would show little but outliers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kid {
    /// Mean over the subsets: unbiased, so around 0 and also below it where both sets are of one distribution.
    pub mean: f64,
    /// Standard deviation over the subsets.
    pub std: f64,
    /// Number of subsets.
    pub subsets: usize,
    /// Pictures of each set in a subset.
    pub size: usize,
}

impl Kid {
    /// Of pictures and real images by `subsets` random pairs of subsets, drawn from `seed` without replacement: of 1,000 pictures,
    /// or of half the smaller set, so that subsets differ.
    ///
    /// # Errors
    /// Sets of fewer than four pictures.
    ///
    /// # Panics
    /// If the widths differ.
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
        // Numbers of their own for each set: sets of one size would be drawn alike.
        let found: Vec<f64> =
            (0..subsets).map(|s| discrepancy(&draw(pictures, 2 * s), &draw(real, 2 * s + 1))).collect();
        let mean = found.iter().sum::<f64>() / subsets as f64;
        let variance = found.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / subsets as f64;
        Ok(Self { mean, std: variance.sqrt(), subsets, size })
    }
}

/// The unbiased squared discrepancy of two sets of as many columns: no picture meets itself within its set.
pub(super) fn discrepancy(x: &DMatrix<f64>, y: &DMatrix<f64>) -> f64 {
    let (d, n) = (x.nrows() as f64, x.ncols() as f64);
    let kernels =
        |a: &DMatrix<f64>, b: &DMatrix<f64>| (a.transpose() * b).map(|product| (product / d + 1.0).powi(3));
    let within = |k: DMatrix<f64>| (k.sum() - k.trace()) / (n * (n - 1.0));
    within(kernels(x, x)) + within(kernels(y, y)) - 2.0 * kernels(x, y).sum() / (n * n)
}
