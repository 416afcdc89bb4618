//! The ways in which a folder of IDX files can be wrong, and those in which it may differ.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::disk::scratch;

const TRAIN: &str = "train-images-idx3-ubyte";
const TEST: &str = "t10k-images-idx3-ubyte";
const TRAIN_LABELS: &str = "train-labels-idx1-ubyte";
const TEST_LABELS: &str = "t10k-labels-idx1-ubyte";

/// A folder of IDX files.
struct Folder(scratch::Folder);

impl Folder {
    fn empty() -> Self {
        Self(scratch::Folder::new("idx"))
    }

    /// Three training and two test images of 2 x 3, with labels.
    fn whole() -> Self {
        Self::empty()
            .with(TRAIN, &idx(IMAGES_MAGIC, &[3, 2, 3], 18))
            .with(TRAIN_LABELS, &idx(LABELS_MAGIC, &[3], 3))
            .with(TEST, &idx(IMAGES_MAGIC, &[2, 2, 3], 12))
            .with(TEST_LABELS, &idx(LABELS_MAGIC, &[2], 2))
    }

    fn with(self, name: &str, bytes: &[u8]) -> Self {
        self.0.put(name, bytes);
        self
    }

    fn without(self, name: &str) -> Self {
        fs::remove_file(self.0.join(name)).unwrap();
        self
    }

    fn load(&self) -> Result<DataSet, DataError> {
        load_folder(&self.0)
    }

    /// The error of loading, after checking that its line is one and names `file`.
    fn error(&self, file: &str) -> DataError {
        let error = self.load().unwrap_err();
        let line = error.to_string();
        assert!(line.contains(file), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
        error
    }
}

/// A header and `body` bytes that count up from 0.
fn idx(magic: u32, dimensions: &[u32], body: usize) -> Vec<u8> {
    let mut bytes = magic.to_be_bytes().to_vec();
    for side in dimensions {
        bytes.extend(side.to_be_bytes());
    }
    bytes.extend((0..body).map(|at| at as u8));
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

#[test]
fn a_whole_folder_loads() {
    let set = Folder::whole().load().unwrap();
    let (train, test) = (&set.train, &set.test);
    assert_eq!((train.count, train.height, train.width), (3, 2, 3));
    assert_eq!((test.count, test.channels), (2, 1));
    assert!(train.pixels.iter().copied().eq(0..18));
    assert_eq!(train.labels.as_deref(), Some(&[0, 1, 2][..]));
    // The training labels' classes hold for the test split, where only two occur.
    assert_eq!((train.classes, test.classes), (3, 3));
}

#[test]
fn gzip_and_dotted_names_load_alike() {
    let folder = Folder::whole()
        .without(TRAIN)
        .without(TEST)
        .with("train-images.idx3-ubyte.gz", &gzip(&idx(IMAGES_MAGIC, &[3, 2, 3], 18)));
    // Unpacked by a browser that kept the name.
    let folder = folder.with("t10k-images-idx3-ubyte.gz", &idx(IMAGES_MAGIC, &[2, 2, 3], 12));
    let set = folder.load().unwrap();
    assert!(set.train.pixels.iter().copied().eq(0..18));
    assert!(set.test.pixels.iter().copied().eq(0..12));
}

#[test]
fn labels_are_optional_and_may_reach_255() {
    let bare = Folder::whole().without(TRAIN_LABELS).without(TEST_LABELS);
    let set = bare.load().unwrap();
    assert!(set.train.labels.is_none() && set.test.labels.is_none());
    assert_eq!((set.train.classes, set.class_names.len()), (0, 0));

    let mut labels = idx(LABELS_MAGIC, &[3], 2);
    labels.push(255);
    let set = Folder::whole().with(TRAIN_LABELS, &labels).load().unwrap();
    assert_eq!((set.train.classes, set.class_names), (3, ["0", "1", "255"].map(String::from).to_vec()));
}

#[test]
fn labels_that_do_not_occur_are_no_classes() {
    let labels = |of: &[u8]| [idx(LABELS_MAGIC, &[of.len() as u32], 0), of.to_vec()].concat();
    let set = Folder::whole().with(TRAIN_LABELS, &labels(&[7, 3, 7])).with(TEST_LABELS, &labels(&[3, 7]));
    let set = set.load().unwrap();
    assert_eq!((set.train.classes, set.test.classes), (2, 2));
    assert_eq!((set.train.labels, set.test.labels), (Some(vec![1, 0, 1]), Some(vec![0, 1])));
    assert_eq!((set.class_names, set.notes), (["3", "7"].map(String::from).to_vec(), vec![]));
}

/// As a folder of pictures refuses them.
#[test]
fn a_class_of_test_images_alone_is_refused() {
    let labels = |of: &[u8]| [idx(LABELS_MAGIC, &[of.len() as u32], 0), of.to_vec()].concat();
    let folder = Folder::whole().with(TRAIN_LABELS, &labels(&[7, 3, 7])).with(TEST_LABELS, &labels(&[3, 9]));
    let text = folder.error(TEST_LABELS).to_string();
    assert!(text.contains("no training images are of these classes: 9; add some, or leave"), "{text}");
    let (images, labels) = (idx(IMAGES_MAGIC, &[3, 2, 3], 18), labels(&[3, 7, 9]));
    let text = parse(("digits", &images), Some(("labels", &labels))).unwrap_err().to_string();
    assert!(text.contains("classes: 9; the last tenth of the images is held out: shuffle them"), "{text}");
}

#[test]
fn emnist_is_known_by_its_names_and_turned() {
    let put = |folder: Folder, name: &str, first: u8| {
        let images = |n: u32| idx(IMAGES_MAGIC, &[n, 2, 3], n as usize * 6);
        let labels = |n: u32| [idx(LABELS_MAGIC, &[n], 0), vec![first; n as usize]].concat();
        folder
            .with(&format!("emnist-{name}-train-images-idx3-ubyte"), &images(3))
            .with(&format!("emnist-{name}-train-labels-idx1-ubyte"), &labels(3))
            .with(&format!("emnist-{name}-test-images-idx3-ubyte.gz"), &gzip(&images(1)))
            .with(&format!("emnist-{name}-test-labels-idx1-ubyte"), &labels(1))
    };
    let open = |path: &Path| crate::data::load(path.to_str().unwrap(), 0);
    let folder = put(Folder::empty(), "letters", 1);
    let set = open(&folder.0).unwrap();
    assert_eq!((set.train.height, set.train.width, set.train.count, set.test.count), (3, 2, 3, 1));
    // The rows of a file's image are the columns.
    assert_eq!(set.train.pixels[6..12], [6, 9, 7, 10, 8, 11]);
    assert_eq!((set.name.as_str(), set.train.classes), ("emnist-letters", 1));
    // Of several, one is named by what its files begin with.
    let folder = put(folder, "digits", 5);
    let text = open(&folder.0).unwrap_err().to_string();
    assert!(
        text.contains("several") && text.contains("/emnist-letters") && text.contains("/emnist-digits"),
        "{text}"
    );
    assert_eq!(open(&folder.0.join("emnist-digits")).unwrap().class_names, ["5"]);
    let text = open(&folder.0.join("emnist-other")).unwrap_err().to_string();
    let told = ["emnist-other: not there; there is", "/emnist-digits, ", "/emnist-letters"];
    assert!(told.iter().all(|w| text.contains(w)), "{text}");
    assert!(matches!(open(&Folder::empty().0.join("other")), Err(DataError::MissingFolder { .. })));
}

#[test]
fn torchvisions_folders_are_found_from_their_root() {
    let root = Folder::empty();
    let whole = Folder::whole();
    fs::create_dir_all(root.0.join("MNIST")).unwrap();
    fs::rename(&*whole.0, root.0.join("MNIST/raw")).unwrap();
    for path in [root.0.to_owned(), root.0.join("MNIST"), root.0.join("MNIST/raw")] {
        let set = crate::data::load(path.to_str().unwrap(), 0).unwrap();
        assert_eq!((set.name.as_str(), set.train.count), ("MNIST", 3));
    }
    let other = Folder::whole();
    fs::create_dir_all(root.0.join("KMNIST")).unwrap();
    fs::rename(&*other.0, root.0.join("KMNIST/raw")).unwrap();
    let text = crate::data::load(root.0.to_str().unwrap(), 0).unwrap_err().to_string();
    assert!(text.contains("several") && text.contains("MNIST/raw") && text.contains("KMNIST/raw"), "{text}");
}

#[test]
fn missing_folder_or_file_is_told_with_what_was_looked_for() {
    let folder = Folder::empty();
    let nowhere = folder.0.join("nowhere");
    let error = load_folder(&nowhere).unwrap_err();
    assert!(matches!(error, DataError::MissingFolder { .. }));
    assert!(error.to_string().contains("nowhere"));

    let error = folder.error("train-images.idx3-ubyte.gz");
    assert!(matches!(error, DataError::MissingFile { .. }));
    let error = Folder::whole().without(TEST).error(TEST);
    assert!(matches!(error, DataError::MissingFile { .. }));
}

#[test]
fn truncated_files_tell_expected_and_found_bytes() {
    let sizes = |folder: Folder, file| match folder.error(file) {
        DataError::Truncated { expected, found, .. } => (expected, found),
        other => panic!("{other}"),
    };
    let short = idx(IMAGES_MAGIC, &[3, 2, 3], 17);
    assert_eq!(sizes(Folder::whole().with(TRAIN, &short), TRAIN), (34, 33));
    assert_eq!(sizes(Folder::whole().with(TRAIN, &[]), TRAIN), (16, 0));
    let header = &idx(IMAGES_MAGIC, &[3], 0);
    assert_eq!(sizes(Folder::whole().with(TEST, header), TEST), (16, 8));
    let labels = idx(LABELS_MAGIC, &[2], 1);
    let folder = Folder::whole().with(TEST_LABELS, &labels);
    assert_eq!(sizes(folder, TEST_LABELS), (10, 9));
}

#[test]
fn trailing_bytes_are_refused() {
    let long = idx(IMAGES_MAGIC, &[3, 2, 3], 19);
    for bytes in [gzip(&long), long] {
        let error = Folder::whole().with(TRAIN, &bytes).error(TRAIN);
        assert!(matches!(error, DataError::Oversized { expected: 34, .. }));
    }
}

#[test]
fn wrong_magic_says_what_the_file_looks_like() {
    let magic = |bytes: &[u8]| {
        let error = Folder::whole().with(TRAIN, bytes).error(TRAIN);
        assert!(matches!(error, DataError::Magic { .. }));
        error.to_string()
    };
    let line = magic(&idx(LABELS_MAGIC, &[3], 3));
    assert!(line.contains("0x00000801, expected 0x00000803"), "{line}");
    assert!(line.contains("labels file"), "{line}");
    assert!(magic(&idx(0x0804, &[1, 1, 1, 3], 3)).contains("another type"));
    assert!(magic(b"<!DOCTYPE html>").contains("not look like an IDX file"));

    let images = idx(IMAGES_MAGIC, &[3, 2, 3], 18);
    let folder = Folder::whole().with(TRAIN_LABELS, &images);
    assert!(matches!(folder.error(TRAIN_LABELS), DataError::Magic { .. }));
}

#[test]
fn labels_and_sizes_of_other_data_sets_are_refused() {
    let folder = Folder::whole().with(TRAIN_LABELS, &idx(LABELS_MAGIC, &[4], 4));
    let error = folder.error(TRAIN_LABELS);
    assert!(error.to_string().contains("4 labels for 3 images"));

    let folder = Folder::whole().with(TEST, &idx(IMAGES_MAGIC, &[2, 3, 3], 18));
    let error = folder.error(TEST);
    assert!(matches!(error, DataError::SizeMismatch { .. }));
}

#[test]
fn headers_out_of_bounds_are_refused_before_reading() {
    let most = u32::MAX;
    // The last two products overflow, or would, in 64 bits without the bound on a side.
    for claim in
        [[0, 2, 3], [3, 0, 3], [3, 2, 0], [3, 2, 1025], [most, 28, 28], [2, most, most], [most, most, most]]
    {
        let bytes = idx(IMAGES_MAGIC, &claim, 18);
        let error = Folder::whole().with(TRAIN, &bytes).error(TRAIN);
        assert!(matches!(error, DataError::Dimensions { claimed, .. } if claimed == claim));
    }
}

#[test]
fn a_lying_header_costs_only_what_the_file_holds() {
    // Just within the bounds: a gigabyte claimed, 18 bytes there.
    let path = Folder::whole().with(TRAIN, &idx(IMAGES_MAGIC, &[1024, 1024, 1024], 18));
    assert!(matches!(path.error(TRAIN), DataError::Truncated { found: 34, .. }));

    let file = path.0.join(TRAIN);
    let mut source = Source::open(&file).unwrap();
    let bytes = source.read(MAX_BYTES).unwrap();
    assert!(bytes.capacity() < 1 << 16, "{}", bytes.capacity());
}

#[test]
fn a_gzip_file_may_claim_four_times_its_size_and_64_mib() {
    let claim = idx(IMAGES_MAGIC, &[80, 1024, 1024], 18);
    let error = Folder::whole().with(TRAIN, &gzip(&claim)).error(TRAIN);
    assert!(error.to_string().contains("unpack it first"), "{error}");
}

#[test]
fn corrupt_and_cut_gzip_are_told_as_such() {
    let good = gzip(&idx(IMAGES_MAGIC, &[3, 2, 3], 18));
    let mut wrong_sum = good.clone();
    let sum = good.len() - 8;
    wrong_sum[sum] ^= 1;
    for bytes in [&good[..good.len() - 12], &good[..5], &wrong_sum] {
        let error = Folder::whole().with(TRAIN, bytes).error(TRAIN);
        assert!(matches!(error, DataError::Gzip { .. }), "{error}");
    }
}

#[test]
fn a_gzip_bomb_is_read_one_byte_past_its_claim() {
    let mut bomb = idx(IMAGES_MAGIC, &[1, 2, 3], 6);
    bomb.resize(64 << 20, 0);
    let folder = Folder::whole().with(TRAIN, &gzip(&bomb));
    assert!(matches!(folder.error(TRAIN), DataError::Oversized { expected: 22, .. }));

    let file = folder.0.join(TRAIN);
    let mut source = Source::open(&file).unwrap();
    source.header::<3>(IMAGES_MAGIC).unwrap();
    source.body(6).unwrap_err();
    assert_eq!(source.taken, 23);
}

#[test]
fn bytes_become_a_data_set_whose_last_tenth_is_held_out() {
    let images = idx(IMAGES_MAGIC, &[21, 2, 3], 126);
    let labels = [idx(LABELS_MAGIC, &[21], 0), (0..21).map(|i| i % 18).collect()].concat();
    let set = parse(("digits", &images), Some(("labels", &labels))).unwrap();
    assert_eq!((set.name.as_str(), set.train.count, set.test.count), ("digits", 18, 3));
    assert_eq!(set.test.pixels, (108..126).collect::<Vec<u8>>());
    assert_eq!((set.test.labels.as_deref(), set.class_names.len()), (Some([0, 1, 2].as_slice()), 18));
    assert_eq!(parse(("digits", &images), None).unwrap().train.labels, None);
    let line = |images: &[u8], labels| parse(("a", images), labels).unwrap_err().to_string();
    let twenty = idx(LABELS_MAGIC, &[20], 20);
    assert!(line(&images, Some(("b", &twenty))).contains('b'));
    assert!(line(&images[..50], None).contains('a'));
    assert!(line(&idx(IMAGES_MAGIC, &[1, 2, 3], 6), None).contains("none to measure on"));
}
