//! μ-law coding: an amplitude in [-1, 1] as one of 256 levels, which lie closer to each other near silence, as
//! hearing does.
//!
//! The law is ITU-T G.711's in the continuous form of van den Oord et al. 2016, "WaveNet", §2.2:
//! f(x) = sign(x)·ln(1 + μ|x|) / ln(1 + μ) with μ = 255, and f in [-1, 1] is rounded to 256 levels. Neither
//! logarithms nor powers are computed: levels and the bounds between them are (rⁿ - 1)/μ with r = 256^(1/255),
//! odd n for levels and even n for bounds. Only products and sums take part, so levels are the same on every machine.

/// The number of levels.
pub const LEVELS: usize = 256;
/// The level of silence, the lowest of the upper half.
pub const SILENCE: u8 = 128;

/// 256^(1/255).
const ROOT: f64 = 1.021983956890934;
/// (ROOTⁿ - 1)/255: the amplitudes of levels at odd n, and the bounds between levels at even n.
const LADDER: [f64; LEVELS] = {
    let (mut ladder, mut power, mut n) = ([0.0; LEVELS], 1.0, 0);
    while n < LEVELS {
        ladder[n] = (power - 1.0) / 255.0;
        power *= ROOT;
        n += 1;
    }
    ladder
};

/// The level, 0 to 255, that is nearest by the law to an amplitude. Amplitudes beyond [-1, 1] get the outermost
/// levels, and NaN gets [`SILENCE`].
pub fn level(amplitude: f64) -> u8 {
    let size = amplitude.abs();
    // The number of bounds above the first, which is 0, that the amplitude reaches.
    let (mut low, mut high) = (0, 127);
    while low < high {
        let middle = usize::div_ceil(low + high, 2);
        if size >= LADDER[2 * middle] { low = middle } else { high = middle - 1 }
    }
    if amplitude < 0.0 { 127 - low as u8 } else { SILENCE + low as u8 }
}

/// The amplitude in [-1, 1] of a level.
pub fn amplitude(level: u8) -> f32 {
    let n = 2 * i32::from(level) - 255;
    let size = LADDER[n.unsigned_abs() as usize] as f32;
    if n < 0 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The formula as it stands in the paper, rounded as torchaudio's `mu_law_encoding` rounds.
    fn formula(x: f64) -> u8 {
        let f = x.signum() * (255.0 * x.abs()).ln_1p() / 256_f64.ln();
        ((f + 1.0) / 2.0 * 255.0 + 0.5).floor() as u8
    }

    #[test]
    fn levels_are_those_of_the_formula() {
        for i in -100_000..=100_000 {
            let x = f64::from(i) / 100_000.0;
            assert_eq!(level(x), formula(x), "{x}");
        }
        // torchaudio.functional.mu_law_encoding(torch.tensor([...]), 256)
        let theirs = [
            (-1.0, 0),
            (-0.5, 16),
            (-0.01, 98),
            (0.0, 128),
            (0.001, 133),
            (0.1, 203),
            (0.9, 253),
            (1.0, 255),
        ];
        for (x, wanted) in theirs {
            assert_eq!(level(x), wanted, "{x}");
        }
    }

    #[test]
    fn every_level_is_the_level_of_its_amplitude() {
        for one in 0..=255_u8 {
            assert_eq!(level(amplitude(one).into()), one);
            assert_eq!(amplitude(one), -amplitude(255 - one));
            let (n, wanted) = (f64::from(one) * 2.0 / 255.0 - 1.0, f64::from(amplitude(one)));
            let exact = n.signum() * (256_f64.powf(n.abs()) - 1.0) / 255.0;
            assert!((wanted - exact).abs() < 1e-7, "{one}: {wanted}, {exact}");
        }
        assert_eq!([amplitude(0), amplitude(255)], [-1.0, 1.0]);
        assert!((0..255).all(|one| amplitude(one) < amplitude(one + 1)));
    }

    #[test]
    fn what_is_no_amplitude_has_a_level() {
        assert_eq!([level(7.0), level(f64::INFINITY), level(-1.5)], [255, 255, 0]);
        assert_eq!([level(f64::NAN), level(0.0), level(-0.0), level(1e-300)], [SILENCE; 4]);
        assert_eq!(level(-1e-300), 127);
    }
}
