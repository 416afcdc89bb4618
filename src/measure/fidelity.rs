//! How near a picture comes to the true one: PSNR, and SSIM (Wang et al. 2004). Pictures are `[H, W, C]` with values
//! in [0, 1].

/// The weights of SSIM's window, a normal of 1.5 pixels over 11 x 11, along one axis.
const REACH: usize = 5;
const SIGMA: f64 = 1.5;
/// SSIM's constants (K₁L)² and (K₂L)², for values up to L = 1.
const C1: f64 = 0.01 * 0.01;
const C2: f64 = 0.03 * 0.03;

/// The peak signal-to-noise ratio in dB, 10·log₁₀(1 / mean squared error); infinite where the pictures are equal.
///
/// # Panics
/// Panics if the pictures have different sizes.
pub fn psnr(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len(), "pictures of one size");
    let error =
        a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>() / a.len() as f64;
    -10.0 * error.log10()
}

/// The structural similarity, at most 1: its mean over channels and over the places at which the window lies within
/// the picture (ibid., eq. 13, with variances as the window weights them). `None` for pictures smaller than that.
///
/// # Panics
/// Panics if the pictures have another size than `[height, width, channels]`.
pub fn ssim(a: &[f32], b: &[f32], [h, w, c]: [usize; 3]) -> Option<f64> {
    assert!([a, b].iter().all(|picture| picture.len() == h * w * c), "pictures of {h} x {w} x {c}");
    if h.min(w) <= 2 * REACH {
        return None;
    }
    let mean = |channel: usize| {
        let plane = |of: &dyn Fn(f64, f64) -> f64| {
            let values = a.iter().zip(b).skip(channel).step_by(c);
            smooth(&values.map(|(a, b)| of(f64::from(*a), f64::from(*b))).collect::<Vec<_>>(), [h, w])
        };
        let [ua, ub] = [plane(&|a, _| a), plane(&|_, b| b)];
        let [aa, bb, ab] = [plane(&|a, _| a * a), plane(&|_, b| b * b), plane(&|a, b| a * b)];
        let at = |i: usize| {
            let (va, vb, cov) = (aa[i] - ua[i] * ua[i], bb[i] - ub[i] * ub[i], ab[i] - ua[i] * ub[i]);
            (2.0 * ua[i] * ub[i] + C1) * (2.0 * cov + C2)
                / ((ua[i] * ua[i] + ub[i] * ub[i] + C1) * (va + vb + C2))
        };
        (0..ua.len()).map(at).sum::<f64>() / ua.len() as f64
    };
    Some((0..c).map(mean).sum::<f64>() / c as f64)
}

/// The weighted means of a plane `[H, W]` wherever the window lies within it, `[H - 10, W - 10]`.
fn smooth(plane: &[f64], [h, w]: [usize; 2]) -> Vec<f64> {
    let weights = window();
    let (inner, below) = (w - 2 * REACH, h - 2 * REACH);
    let along = |start: usize, step: usize, of: &[f64]| {
        weights.iter().enumerate().map(|(k, weight)| weight * of[start + k * step]).sum::<f64>()
    };
    let rows: Vec<f64> = (0..h * inner).map(|i| along(i / inner * w + i % inner, 1, plane)).collect();
    (0..below * inner).map(|i| along(i, inner, &rows)).collect()
}

fn window() -> [f64; 2 * REACH + 1] {
    let density = |k: usize| (-0.5 * ((k as f64 - REACH as f64) / SIGMA).powi(2)).exp();
    let total: f64 = (0..=2 * REACH).map(density).sum();
    std::array::from_fn(|k| density(k) / total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_pictures_are_alike_and_inverse_ones_are_not() {
        let a: Vec<f32> = (0..144).map(|i| (i % 12) as f32 / 11.0).collect();
        let inverse: Vec<f32> = a.iter().map(|v| 1.0 - v).collect();
        assert_eq!((psnr(&a, &a), ssim(&a, &a, [12, 12, 1])), (f64::INFINITY, Some(1.0)));
        assert!(ssim(&a, &inverse, [12, 12, 1]).unwrap() < 0.0);
        // An error of a tenth everywhere is 20 dB.
        let off: Vec<f32> = a.iter().map(|v| v + 0.1).collect();
        assert!((psnr(&a, &off) - 20.0).abs() < 1e-5);
        assert_eq!(ssim(&a[..120], &a[..120], [10, 12, 1]), None);
    }
}
