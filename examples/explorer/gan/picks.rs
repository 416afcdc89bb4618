//! The samples that a visitor picks: three letters of one to three samples each, and what is made of their noise.

use super::players::{SAMPLES, WALK};
use oneiro::train::{normals, slerp};

pub(super) const LETTERS: [&str; 3] = ["A", "B", "C"];
/// The samples of a letter where their noise is averaged (Radford et al. 2015, §6.3.2).
pub(super) const AVERAGED: usize = 3;

/// The samples' noise, and which of them are picked.
pub(super) struct Picks {
    /// The dimensions of the noise.
    latent: usize,
    seed: u64,
    noise: Vec<f32>,
    /// The samples of A, B and C.
    places: [Vec<usize>; 3],
    /// The letter that the next sample goes to.
    pub(super) next: usize,
    /// Whether a letter takes three samples.
    pub(super) averaging: bool,
    /// Whether the device has not been told yet.
    pub(super) changed: bool,
}

impl Picks {
    pub(super) fn new(latent: usize) -> Self {
        let places = [vec![0], vec![9], vec![18]];
        let mut picks =
            Self { latent, seed: 0, noise: vec![], places, next: 0, averaging: false, changed: true };
        picks.draw(0);
        picks
    }

    fn draw(&mut self, seed: u64) {
        (self.seed, self.noise, self.changed) = (seed, normals(seed, SAMPLES * self.latent), true);
    }

    /// Draws other noise for all samples.
    pub(super) fn redraw(&mut self) {
        self.draw(self.seed + 1);
    }

    /// The noise of all samples, `[SAMPLES, latent]`.
    pub(super) fn noise(&self) -> &[f32] {
        &self.noise
    }

    /// The samples of a letter.
    pub(super) fn places(&self, letter: usize) -> &[usize] {
        &self.places[letter]
    }

    /// Gives a sample to the letter whose turn it is. A letter that was full begins anew, and one that is full now
    /// passes the turn on.
    pub(super) fn pick(&mut self, sample: usize) {
        let room = if self.averaging { AVERAGED } else { 1 };
        let places = &mut self.places[self.next];
        if places.len() >= room {
            places.clear();
        }
        places.push(sample);
        if places.len() >= room {
            self.next = (self.next + 1) % LETTERS.len();
        }
        self.changed = true;
    }

    /// The mean noise of a letter's samples.
    fn mean(&self, letter: usize) -> Vec<f32> {
        let places = &self.places[letter];
        let at = |d: usize| places.iter().map(|&sample| self.noise[sample * self.latent + d]).sum::<f32>();
        (0..self.latent).map(|d| at(d) / places.len().max(1) as f32).collect()
    }

    /// The noise of the walk from A to B, then of A, B, C and A - B + C: `[WALK + 4, latent]`.
    pub(super) fn noises(&self) -> Vec<f32> {
        let [a, b, c] = [0, 1, 2].map(|letter| self.mean(letter));
        let walk = (0..WALK).flat_map(|i| slerp(&a, &b, i as f32 / (WALK - 1) as f32));
        let sum: Vec<f32> = (0..self.latent).map(|d| a[d] - b[d] + c[d]).collect();
        walk.chain([&a, &b, &c, &sum].into_iter().flatten().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATENT: usize = 12;

    fn vector(noises: &[f32], i: usize) -> &[f32] {
        &noises[i * LATENT..][..LATENT]
    }

    #[test]
    fn clicks_fill_one_letter_after_the_other() {
        let mut picks = Picks::new(LATENT);
        [5, 6, 7, 8].into_iter().for_each(|sample| picks.pick(sample));
        assert_eq!(picks.places, [vec![8], vec![6], vec![7]]);
        picks.averaging = true;
        [1, 2, 3, 4].into_iter().for_each(|sample| picks.pick(sample));
        assert_eq!((picks.places(1), picks.places(2), picks.next), (&[6, 1, 2][..], &[7, 3, 4][..], 0));
    }

    #[test]
    fn a_walk_and_a_sum_are_of_the_picked_noise() {
        let mut picks = Picks::new(LATENT);
        [3, 12, 12].into_iter().for_each(|sample| picks.pick(sample));
        let (noises, noise) = (picks.noises(), picks.noise().to_vec());
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(
            near(vector(&noises, 0), vector(&noise, 3))
                && near(vector(&noises, WALK - 1), vector(&noise, 12))
        );
        // A - B + B is A.
        assert!(near(vector(&noises, WALK + 3), vector(&noise, 3)));
        picks.redraw();
        assert!(picks.changed && !near(picks.noise(), &noise));
    }
}
