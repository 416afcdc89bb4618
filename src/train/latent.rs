//! Points of a latent space whose prior is the standard normal distribution: random draws, and quantiles for
//! regular grids.

use crate::graph::var::Init;

/// Draws `n` standard normal numbers by the engine's own generator. They are a function of the seed
/// alone, by the random stream `init/latents`.
pub fn normals(seed: u64, n: usize) -> Vec<f32> {
    Init::Normal(0.0, 1.0).words(seed, "latents", n).into_iter().map(f32::from_bits).collect()
}

/// Returns the quantile of the standard normal distribution at (i + ½) / n, the middle of cell `i` of `n`. It
/// is found by bisection and lies within [-6, 6].
pub fn quantile(i: usize, n: usize) -> f32 {
    let (p, mut low, mut high) = ((i as f64 + 0.5) / n as f64, -6.0, 6.0);
    for _ in 0..50 {
        let middle = (low + high) / 2.0;
        if normal_cdf(middle) < p { low = middle } else { high = middle }
    }
    low as f32
}

/// The distribution function Φ(x) by Simpson's rule, which is exact enough for the points of a grid.
fn normal_cdf(x: f64) -> f64 {
    let (n, density) = (200, |t: f64| (-0.5 * t * t).exp() / std::f64::consts::TAU.sqrt());
    let h = x / f64::from(n);
    let inner: f64 = (1..n).map(|k| density(h * f64::from(k)) * if k % 2 == 1 { 4.0 } else { 2.0 }).sum();
    0.5 + h / 3.0 * (density(0.0) + inner + density(x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_normals() {
        for (i, n, expected) in [(0, 1, 0.0), (0, 2, -0.674_490), (1, 2, 0.674_490), (39, 40, 2.241_403)] {
            assert!((quantile(i, n) - expected).abs() < 1e-5, "{i} of {n}: {}", quantile(i, n));
        }
    }

    #[test]
    fn draws_follow_the_seed() {
        let draws = normals(3, 10_000);
        let mean = |f: fn(f32) -> f32| draws.iter().map(|&v| f64::from(f(v))).sum::<f64>() / 1e4;
        assert!(mean(|v| v).abs() < 0.04 && (mean(|v| v * v) - 1.0).abs() < 0.06);
        assert!(draws == normals(3, 10_000) && draws != normals(4, 10_000));
    }
}
