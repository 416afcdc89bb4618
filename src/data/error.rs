//! What can be wrong with a data set: each error is one line that names the file and says what to do.

use super::names::{ACCEPTED, GLYPHS, PUBLISHED, TONES};
use std::fmt::{self, Write};
use std::path::PathBuf;
use std::{error, io};

/// Why a data set could not be loaded. It is displayed as one line that names the file.
#[derive(Debug)]
#[non_exhaustive]
pub enum DataError {
    /// `path` is not a folder, or there is nothing there.
    MissingFolder {
        /// The path that was given to [`load`](super::load).
        path: PathBuf,
    },
    /// None of the accepted spellings of a file is in the folder.
    MissingFile {
        /// The folder that was searched.
        folder: PathBuf,
        /// The file names that were looked for.
        looked_for: Vec<String>,
    },
    /// The operating system refused to open or read the file.
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is gzip, but does not decompress.
    Gzip {
        /// The file.
        path: PathBuf,
        /// What the decompressor said.
        source: io::Error,
    },
    /// The first four bytes are not those of the kind of file that was expected.
    Magic {
        /// The file.
        path: PathBuf,
        /// The magic number that was expected.
        expected: u32,
        /// The magic number that was found.
        found: u32,
        /// What the file seems to be, as the end of "it ...".
        seems: &'static str,
    },
    /// The file ends before the place where its header says that it ends.
    Truncated {
        /// The file.
        path: PathBuf,
        /// The size that its header claims, or the header's own size, in bytes, decompressed.
        expected: u64,
        /// The size that it has, in bytes, decompressed.
        found: u64,
    },
    /// The file goes on where its header says that it ends.
    Oversized {
        /// The file.
        path: PathBuf,
        /// The size that its header claims, in bytes, decompressed.
        expected: u64,
    },
    /// The header claims no images, empty images, or more than this reader takes.
    Dimensions {
        /// The file.
        path: PathBuf,
        /// The images, rows and columns that the header claims.
        claimed: [u32; 3],
        /// The bound that these numbers break.
        why: &'static str,
    },
    /// The label file's header claims another number of labels than there are images.
    LabelCount {
        /// The label file.
        path: PathBuf,
        /// The number of labels that it claims.
        labels: u32,
        /// The number of images of the same split.
        images: usize,
    },
    /// Test images have another size than the training images.
    SizeMismatch {
        /// The test image file.
        path: PathBuf,
        /// The height and width of the training images.
        train: [usize; 2],
        /// The height and width of the test images.
        test: [usize; 2],
    },
    /// A label belongs to no class.
    Label {
        /// The file.
        path: PathBuf,
        /// The record's place in the file, from 0.
        record: usize,
        /// The label that was found.
        label: u8,
        /// The number of classes.
        classes: usize,
    },
    /// A picture or a WAV file cannot be decoded.
    Undecodable {
        /// The file.
        path: PathBuf,
        /// The reason.
        what: String,
    },
    /// A picture has another size than the first one, and no size to bring all to was asked for.
    Differs {
        /// The picture.
        path: PathBuf,
        /// The height and width of the picture.
        size: [usize; 2],
        /// The height and width of the first picture.
        first: [usize; 2],
    },
    /// A folder does not hold what it should.
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong and what to do.
        what: String,
    },
    /// A data set whose images have one size was asked for in another.
    OneSize {
        /// The name of the data set.
        name: String,
        /// The height and width of its images.
        size: [usize; 2],
    },
    /// Sounds were asked for, and the data set is none of sounds, or this build cannot read files of sound.
    NoSound {
        /// The name of the data set or its folder.
        name: String,
    },
    /// Pictures were asked for, and the data set is one of sounds.
    NoPictures {
        /// The name of the data set or its folder.
        name: String,
    },
    /// The signals that were asked for are too long to make as many as the data set has.
    Long {
        /// The name of the data set.
        name: String,
        /// The number of signals.
        count: usize,
        /// The samples of each.
        length: u32,
        /// The most samples that each may have.
        most: u64,
    },
    /// A published data set was named, and this build has no HTTP client.
    NoDownload {
        /// The name of the data set.
        name: String,
    },
    /// A published data set was named, and the system names no cache folder for this user.
    NoCache {
        /// The name of the data set.
        name: String,
    },
    /// The cache folder cannot be made or written.
    Unwritable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No mirror gave a file of a published data set, whole and right.
    Download {
        /// The name of the data set.
        name: String,
        /// The files that are missing, the one that failed first.
        missing: Vec<String>,
        /// The cache folder, where the files can be put by hand.
        folder: PathBuf,
        /// The places that were tried, and why each was of no use.
        tried: Vec<String>,
    },
}

/// Writes line breaks and the like, which names in foreign files may hold, as spaces.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| self.0.write_char(if c.is_control() { ' ' } else { c }))
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.say(&mut OneLine(f))
    }
}

impl DataError {
    fn say(&self, f: &mut impl Write) -> fmt::Result {
        match self {
            Self::MissingFolder { path } => write!(
                f,
                "{}: not a folder; give \"{GLYPHS}\" for the built-in digits, \"{TONES}\" for the built-in sounds, one \
                 of {} to download, or a folder with {ACCEPTED}",
                path.display(),
                PUBLISHED.join(", ")
            ),
            Self::MissingFile { folder, looked_for } => {
                write!(
                    f,
                    "{}: a file is missing from this data folder; looked for {}",
                    folder.display(),
                    looked_for.join(", ")
                )
            }
            Self::Io { path, source } => write!(f, "{}: cannot be read: {source}", path.display()),
            Self::Gzip { path, source } => {
                write!(f, "{}: corrupt or cut-short gzip ({source}); fetch the file again", path.display())
            }
            Self::Magic { path, expected, found, seems } => {
                write!(
                    f,
                    "{}: wrong magic number {found:#010x}, expected {expected:#010x}; it {seems}",
                    path.display()
                )
            }
            Self::Truncated { path, expected, found } => {
                write!(
                    f,
                    "{}: truncated: expected {expected} bytes, found {found}; fetch the file again",
                    path.display()
                )
            }
            Self::Oversized { path, expected } => write!(
                f,
                "{}: trailing bytes: its header claims {expected} bytes and more follow; the \
                 header is wrong or the file is not what its name says",
                path.display()
            ),
            Self::Dimensions { path, claimed, why } => {
                let [n, h, w] = claimed;
                let path = path.display();
                write!(f, "{path}: header claims {n} images of {h} x {w}: {why}")
            }
            Self::LabelCount { path, labels, images } => {
                write!(
                    f,
                    "{}: {labels} labels for {images} images; the two files are not of one data set",
                    path.display()
                )
            }
            Self::SizeMismatch { path, train, test } => write!(
                f,
                "{}: test images are {} x {}, training images {} x {}; the files are not of one \
                 data set",
                path.display(),
                test[0],
                test[1],
                train[0],
                train[1]
            ),
            Self::Label { path, record, label, classes } => write!(
                f,
                "{}: record {record} has the label {label} of {classes} classes; the file is corrupt or of another data set: fetch it again",
                path.display()
            ),
            Self::Undecodable { path, what } => {
                write!(f, "{}: cannot be decoded ({what}); replace the file or leave it out", path.display())
            }
            Self::Differs { path, size, first } => write!(
                f,
                "{}: {} x {} pixels, but the first image has {} x {}; bring all to one size by giving an image size",
                path.display(),
                size[0],
                size[1],
                first[0],
                first[1]
            ),
            Self::Folder { path, what } => write!(f, "{}: {what}", path.display()),
            Self::OneSize { name, size } => {
                write!(
                    f,
                    "{name}: its images are {} x {}; only image folders are scaled: leave the image size out",
                    size[0], size[1]
                )
            }
            Self::NoSound { name } if cfg!(feature = "sound") => write!(
                f,
                "{name}: no data set of sounds; give \"{TONES}\" for the built-in sounds, or a folder of WAV files \
                 for each class (CLASS/*, or train/CLASS/* and test/CLASS/*)"
            ),
            Self::NoSound { name } => write!(
                f,
                "{name}: this build lacks the feature `sound`; build with it, or give \"{TONES}\" for the \
                 built-in sounds"
            ),
            Self::NoPictures { name } => {
                write!(
                    f,
                    "{name}: these are sounds; give a data set of pictures, or train a model of sounds on them"
                )
            }
            Self::Long { name, count, length, most } => write!(
                f,
                "{name}: {count} signals of {length} samples are more than are kept in memory; take signals of \
                 at most {most} samples"
            ),
            Self::NoDownload { name } => {
                write!(
                    f,
                    "{name}: this build lacks the feature `download`; build with it, or \
                     give a folder with the files as the data"
                )
            }
            Self::NoCache { name } => {
                write!(
                    f,
                    "{name}: the system names no cache folder to download into; set HOME, \
                     or give a folder with the files as the data"
                )
            }
            Self::Unwritable { path, source } => write!(
                f,
                "{}: cannot be written: {source}; make room or set another cache folder (on Linux XDG_CACHE_HOME), or give a \
                 folder with the files as the data",
                path.display()
            ),
            Self::Download { name, missing, folder, tried } => write!(
                f,
                "{name}: cannot get {} ({}); check the network, or put {} into {} by hand, or give another folder with the \
                 files as the data",
                missing[0],
                tried.join("; "),
                missing.join(", "),
                folder.display()
            ),
        }
    }
}

impl error::Error for DataError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io { source, .. } | Self::Gzip { source, .. } | Self::Unwritable { source, .. } => {
                Some(source)
            }
            _ => None,
        }
    }
}
