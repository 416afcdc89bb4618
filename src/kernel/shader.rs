//! A kernel file, embedded into the program.

/// A WGSL module: its file stem in `shaders/` and its text. Files are complete modules.
#[derive(Debug)]
pub struct Shader {
    /// File stem; what follows dots are the adapter powers that it needs (`matmul.subgroup.int64`).
    pub stem: &'static str,
    /// WGSL.
    pub text: &'static str,
}

/// Embeds a file of `shaders/`.
#[macro_export]
macro_rules! shader {
    ($stem:literal) => {
        $crate::kernel::Shader {
            stem: $stem,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $stem, ".wgsl")),
        }
    };
}
