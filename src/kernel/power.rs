//! Powers beyond WebGPU's baseline. An adapter may have them, and a shader asks for them by the words of its
//! stem.
//!
//! A new power costs a row of [`POWERS`], the self-test that the row names, and the shaders that use it.

use super::shader::Shader;
use naga::valid::Capabilities;

/// One power beyond the baseline.
pub struct Power {
    /// The word by which stems ask for it: `matmul.subgroup.int64`.
    pub name: &'static str,
    /// What the validator must allow.
    pub allows: Capabilities,
    /// The device's feature, by the name of its flag.
    pub feature: &'static str,
    /// Lanes that the adapter's subgroups must always have, where the kernels count on a number.
    pub lanes: Option<u32>,
    /// The self-test: its one workgroup may read [`QUESTION`] as binding 0 and writes 16 words as binding 1,
    /// at first 0.
    pub test: Shader,
    /// The self-test's entry point.
    pub entry: &'static str,
    /// Whether the 16 words are the known answer.
    pub passes: fn(&[u32]) -> bool,
}

/// The four numbers that self-tests are asked about, as bits: 1, 2^-24, a NaN and an infinity.
pub const QUESTION: [u32; 4] = [0x3f80_0000, 0x3380_0000, 0x7fc0_0000, 0x7f80_0000];

/// The self-test of 64-bit words, which holds what kernels in words take for four numbers.
pub(super) const INT64: Shader = crate::shader!("selftest.int64");

/// All powers that shaders may ask for.
pub const POWERS: &[Power] = &[
    Power {
        name: "subgroup",
        allows: Capabilities::SUBGROUP,
        feature: "SUBGROUP",
        lanes: Some(8),
        test: crate::shader!("selftest.subgroup"),
        entry: "shuffle",
        passes: |answer| {
            let sum: u32 = (0..8).map(|i| i * (i + 1) + 4).sum();
            (0..8).all(|lane| answer[8 + lane] == sum + 1000 * lane as u32)
        },
    },
    Power {
        name: "int64",
        allows: Capabilities::SHADER_INT64,
        feature: "SHADER_INT64",
        lanes: None,
        test: INT64,
        entry: "split",
        passes: |answer| answer[4..8] == QUESTION,
    },
];

/// The words of a stem that ask for powers.
pub fn words(stem: &str) -> impl Iterator<Item = &str> {
    stem.split('.').skip(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel that did not run leaves zeros.
    #[test]
    fn silence_passes_no_self_test() {
        assert!(POWERS.iter().all(|power| !(power.passes)(&[0; 16])));
    }
}
