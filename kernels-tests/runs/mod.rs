//! Examples run as processes, as a user starts them.

#[cfg(feature = "run")]
pub(crate) mod embed;
#[cfg(all(feature = "run", feature = "folders"))]
pub(crate) mod folders;
pub(crate) mod resume;
