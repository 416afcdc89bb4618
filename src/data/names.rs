//! The names under which data sets are known, and what a folder of the user's own may hold.

/// The name of the embedded, drawn data set.
pub const GLYPHS: &str = "glyphs";
/// The number of training images that [`load`](super::load) draws for [`GLYPHS`].
pub const GLYPHS_TRAIN: usize = 20_000;
/// The number of test images that [`load`](super::load) draws for [`GLYPHS`].
pub const GLYPHS_TEST: usize = 2_000;

/// The name of the embedded set of sounds.
pub const TONES: &str = "tones";
/// The number of training signals that [`load`](super::load) plays for [`TONES`].
pub const TONES_TRAIN: usize = 4096;
/// The number of test signals that [`load`](super::load) plays for [`TONES`].
pub const TONES_TEST: usize = 512;

/// The names of the published data sets, which the feature `download` fetches once.
pub const PUBLISHED: [&str; 4] = ["mnist", "fashion-mnist", "kmnist", CIFAR10];
pub(super) const CIFAR10: &str = "cifar10";

/// The kinds of files that a folder may hold, as messages list them.
pub(super) const ACCEPTED: &str = "MNIST's four IDX files or those of its relatives, CIFAR-10's or CIFAR-100's \
                                   binary files, or a folder of pictures or of WAV files for each class (CLASS/*, or \
                                   train/CLASS/* and test/CLASS/*)";

/// Whether a data set is named, so that the text is not the path of a folder.
pub fn is_name(data: &str) -> bool {
    [GLYPHS, TONES].contains(&data) || PUBLISHED.contains(&data)
}
