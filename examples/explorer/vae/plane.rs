//! The plane of latents that is shown, and the scale of the manifold's sides: equal parts of a side hold equal parts of
//! the Gaussian.

use oneiro::train::{normals, quantile};

/// The quantiles of the standard normal distribution, between which the scale is linear.
pub(super) struct Scale(Vec<f32>);

const CELLS: usize = 256;

impl Scale {
    pub(super) fn new() -> Self {
        Self((0..CELLS).map(|i| quantile(i, CELLS)).collect())
    }

    /// The latent at a share of a side, from 0 to 1.
    pub(super) fn latent(&self, share: f32) -> f32 {
        let at = (share * CELLS as f32 - 0.5).clamp(0.0, (CELLS - 1) as f32);
        let low = (at as usize).min(CELLS - 2);
        self.0[low] + (at - low as f32) * (self.0[low + 1] - self.0[low])
    }

    /// The share of a side at which a latent lies; what lies beyond an end is at that end.
    pub(super) fn share(&self, latent: f32) -> f32 {
        let low = self.0.partition_point(|&q| q < latent).clamp(1, CELLS - 1) - 1;
        let at = low as f32 + (latent - self.0[low]) / (self.0[low + 1] - self.0[low]);
        ((at + 0.5) / CELLS as f32).clamp(0.0, 1.0)
    }
}

/// What the plane is spanned by.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Span {
    /// The two axes with the greatest KL, which carry most about the pictures.
    Liveliest,
    /// Two axes of the visitor's choice.
    Axes([usize; 2]),
    /// Two random directions that are orthogonal to each other, by their number.
    Random(u64),
}

/// A plane through the middle of the latents: two orthonormal directions.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Plane {
    directions: [Vec<f32>; 2],
    /// The two axes, if the directions are such.
    pub(super) axes: Option<[usize; 2]>,
}

impl Plane {
    /// The plane of two different axes.
    pub(super) fn axes(latent: usize, axes: [usize; 2]) -> Self {
        let direction = |axis: usize| (0..latent).map(|i| f32::from(u8::from(i == axis))).collect();
        Self { directions: axes.map(direction), axes: Some(axes) }
    }

    /// A plane of random directions, a function of the seed alone.
    pub(super) fn random(latent: usize, seed: u64) -> Self {
        let (a, b) = (normals(2 * seed, latent), normals(2 * seed + 1, latent));
        let a = scaled(&a, 1.0 / dot(&a, &a).sqrt());
        let along = dot(&a, &b);
        let b: Vec<f32> = b.iter().zip(&a).map(|(b, a)| b - along * a).collect();
        let b = scaled(&b, 1.0 / dot(&b, &b).sqrt());
        Self { directions: [a, b], axes: None }
    }

    /// The latents of a point, `[latent]`.
    pub(super) fn latents(&self, [u, v]: [f32; 2]) -> Vec<f32> {
        let [a, b] = &self.directions;
        a.iter().zip(b).map(|(a, b)| u * a + v * b).collect()
    }

    /// Where latents are seen: their projection onto the plane.
    pub(super) fn point(&self, latents: &[f32]) -> [f32; 2] {
        self.directions.each_ref().map(|direction| dot(direction, latents))
    }

    /// The latents of the middles of a square's cells, `[columns·columns, latent]`, row by row from the top left.
    pub(super) fn cells(&self, scale: &Scale, columns: usize) -> Vec<f32> {
        let middle = |i: usize| scale.latent((i as f32 + 0.5) / columns as f32);
        (0..columns * columns)
            .flat_map(|i| self.latents([middle(i % columns), -middle(i / columns)]))
            .collect()
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn scaled(a: &[f32], by: f32) -> Vec<f32> {
    a.iter().map(|a| a * by).collect()
}

/// The two liveliest axes, in order. Those of before are kept as long as no other is twice as lively, so that the plane
/// seldom jumps.
pub(super) fn liveliest(kl: &[f32], before: [usize; 2]) -> [usize; 2] {
    let mut chosen = before;
    for _ in 0..2 {
        let weaker = if kl[chosen[0]] < kl[chosen[1]] { 0 } else { 1 };
        let others = (0..kl.len()).filter(|axis| !chosen.contains(axis));
        match others.max_by(|&a, &b| kl[a].total_cmp(&kl[b])) {
            Some(best) if kl[best] > 2.0 * kl[chosen[weaker]] => chosen[weaker] = best,
            _ => break,
        }
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_the_gaussians() {
        let scale = Scale::new();
        for (i, n) in [(0, 16), (3, 16), (7, 15), (14, 15)] {
            let (share, latent) = ((i as f32 + 0.5) / n as f32, quantile(i, n));
            assert!((scale.latent(share) - latent).abs() < 2e-3, "{i} of {n}");
            assert!((scale.share(latent) - share).abs() < 1e-4, "{i} of {n}");
        }
        assert_eq!([scale.share(-40.0), scale.share(40.0)], [0.0, 1.0]);
    }

    #[test]
    fn random_directions_are_orthonormal_and_points_return() {
        for seed in 0..5 {
            let plane = Plane::random(10, seed);
            let [a, b] = &plane.directions;
            assert!(
                dot(a, b).abs() < 1e-5 && (dot(a, a) - 1.0).abs() < 1e-5 && (dot(b, b) - 1.0).abs() < 1e-5
            );
            let [u, v] = plane.point(&plane.latents([0.7, -1.3]));
            assert!((u - 0.7).abs() < 1e-5 && (v + 1.3).abs() < 1e-5);
        }
    }

    #[test]
    fn the_plane_follows_what_is_lively_and_does_not_flicker() {
        assert_eq!(liveliest(&[0.1, 0.0, 2.0, 3.0], [0, 1]), [2, 3]);
        assert_eq!(liveliest(&[1.0, 1.2, 1.9, 1.5], [0, 1]), [0, 1]);
        assert_eq!(liveliest(&[1.0, 0.1, 1.9, 1.5], [0, 1]), [0, 2]);
        assert_eq!(liveliest(&[0.0, 0.0], [0, 1]), [0, 1]);
    }
}
