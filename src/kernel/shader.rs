//! A kernel file, embedded into the program.

/// A WGSL module, which is one complete file of `shaders/`.
#[derive(Debug)]
pub struct Shader {
    /// The file's stem; the words after its dots are the powers that it needs (`matmul.subgroup.int64`), see
    /// [`power`](super::power).
    pub stem: &'static str,
    /// The file's text.
    pub text: &'static str,
}

/// Embeds a file of `shaders/` by its stem.
#[macro_export]
macro_rules! shader {
    ($stem:literal) => {
        $crate::kernel::Shader {
            stem: $stem,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $stem, ".wgsl")),
        }
    };
}
