//! Counter-based randomness (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): a draw is a
//! pure function of seed, stream name, step and element. It therefore depends neither on workgroup sizes nor
//! on fusion, a derivative can compute it again, and a resumed run draws what an uninterrupted one would.
//! `shaders/random.wgsl` computes the same bits.

/// The generator Threefry2x32 with 20 rounds: two random words from a key and a counter.
pub fn threefry2x32(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let keys = [key[0], key[1], key[0] ^ key[1] ^ 0x1BD1_1BDA];
    let mut x = [counter[0].wrapping_add(keys[0]), counter[1].wrapping_add(keys[1])];
    for block in 0..5u32 {
        for r in ROTATIONS[block as usize % 2] {
            x[0] = x[0].wrapping_add(x[1]);
            x[1] = x[1].rotate_left(r) ^ x[0];
        }
        let i = block as usize + 1;
        x[0] = x[0].wrapping_add(keys[i % 3]);
        x[1] = x[1].wrapping_add(keys[(i + 1) % 3]).wrapping_add(block + 1);
    }
    x
}

/// A named random stream; the 64-bit FNV-1a hash of the name tells it from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RandomStream {
    /// The name that the model gives.
    pub name: String,
    /// The hash of the name as two words, the lower one first.
    pub hash: [u32; 2],
    /// The rank that draws, of those that share every draw: of n elements a rank, it has those from rank·n on.
    pub rank: usize,
}

impl RandomStream {
    /// Makes the stream of a name.
    pub fn new(name: &str) -> Self {
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        Self { name: name.into(), hash: [hash as u32, (hash >> 32) as u32], rank: 0 }
    }

    /// The element of the whole draw that is element `e` of this rank's `n`.
    pub fn element(&self, e: usize, n: usize) -> u32 {
        (self.rank * n + e) as u32
    }

    /// The stream's key under a run's seed.
    pub fn key(&self, seed: [u32; 2]) -> [u32; 2] {
        threefry2x32(seed, self.hash)
    }
}

/// The top 24 bits as a number in [0, 1), exact in f32 on every device.
pub fn unit(bits: u32) -> f32 {
    (bits >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// A draw that is uniform in [0, 1), in steps of 2^-24.
pub fn uniform(key: [u32; 2], step: u32, element: u32) -> f32 {
    unit(threefry2x32(key, [step, element])[0])
}

/// A draw that is standard normal, by Box and Muller's transform of the generator's two words.
pub fn normal(key: [u32; 2], step: u32, element: u32) -> f64 {
    let [a, b] = threefry2x32(key, [step, element]);
    let radius = (-2.0 * (f64::from((a >> 8) + 1) / 16_777_216.0).ln()).sqrt();
    radius * (std::f64::consts::TAU * f64::from(unit(b))).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known-answer vectors of the Random123 distribution (kat_vectors, threefry2x32 20).
    #[test]
    fn threefry_matches_the_published_vectors() {
        let ones = [u32::MAX; 2];
        assert_eq!(threefry2x32([0, 0], [0, 0]), [0x6b20_0159, 0x99ba_4efe]);
        assert_eq!(threefry2x32(ones, ones), [0x1cb9_96fc, 0xbb00_2be7]);
        let (counter, key) = ([0x243f_6a88, 0x85a3_08d3], [0x1319_8a2e, 0x0370_7344]);
        assert_eq!(threefry2x32(key, counter), [0xc492_3a9c, 0x483d_f7a0]);
    }

    #[test]
    fn normals_have_unit_variance() {
        let key = RandomStream::new("test").key([1, 2]);
        let draws: Vec<f64> = (0..20_000).map(|i| normal(key, 3, i)).collect();
        let mean = draws.iter().sum::<f64>() / 2e4;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 2e4;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "mean {mean}, variance {variance}");
    }
}
