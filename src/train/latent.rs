//! Points of a latent space whose prior is the standard normal distribution, or a uniform one: random draws,
//! quantiles for regular grids, and walks between points.

use crate::graph::var::Init;

/// Draws `n` standard normal numbers by the engine's own generator. They are a function of the seed
/// alone, by the random stream `init/latents`.
pub fn normals(seed: u64, n: usize) -> Vec<f32> {
    Init::Normal(0.0, 1.0).words(seed, "latents", n).into_iter().map(f32::from_bits).collect()
}

/// Draws `n` uniform numbers in [-1, 1) as [`normals`] draws normal ones.
pub fn uniforms(seed: u64, n: usize) -> Vec<f32> {
    Init::Uniform(1.0).words(seed, "latents", n).into_iter().map(f32::from_bits).collect()
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

/// Spherical interpolation (Shoemake 1985): the point at the share t of the way along the great circle between two
/// vectors of one length. Where they differ in length, the point's length changes along the way.
pub fn slerp(a: &[f32], b: &[f32], t: f32) -> Vec<f32> {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
    let cosine = (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1e-12)).clamp(-1.0, 1.0);
    let angle = cosine.acos();
    // For vectors on one line the circle is not determined, so the walk is straight.
    let shares = match angle.sin() {
        s if s < 1e-4 => [1.0 - t, t],
        s => [((1.0 - t) * angle).sin() / s, (t * angle).sin() / s],
    };
    a.iter().zip(b).map(|(a, b)| a * shares[0] + b * shares[1]).collect()
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
    fn a_walk_stays_on_the_sphere() {
        let [a, b] = [[3.0, 0.0, 0.0], [0.0, 3.0, 0.0]];
        for t in [0.0, 0.25, 0.5, 1.0] {
            let point = slerp(&a, &b, t);
            let angle = f32::atan2(point[1], point[0]);
            assert!((angle - t * std::f32::consts::FRAC_PI_2).abs() < 1e-5, "{point:?}");
            assert!((point.iter().map(|x| x * x).sum::<f32>() - 9.0).abs() < 1e-4);
        }
        assert_eq!(slerp(&[1.0, 2.0], &[1.0, 2.0], 0.5), [1.0, 2.0]);
    }

    #[test]
    fn draws_follow_the_seed() {
        let draws = normals(3, 10_000);
        let mean = |f: fn(f32) -> f32| draws.iter().map(|&v| f64::from(f(v))).sum::<f64>() / 1e4;
        assert!(mean(|v| v).abs() < 0.04 && (mean(|v| v * v) - 1.0).abs() < 0.06);
        assert!(draws == normals(3, 10_000) && draws != normals(4, 10_000));
        let even = uniforms(3, 10_000);
        let [mean, square] =
            [1, 2].map(|power| even.iter().map(|v| f64::from(v.powi(power))).sum::<f64>() / 1e4);
        assert!(mean.abs() < 0.03 && (square - 1.0 / 3.0).abs() < 0.015, "{mean} {square}");
        assert!(even.iter().all(|v| (-1.0..1.0).contains(v)) && even != uniforms(4, 10_000));
    }
}
