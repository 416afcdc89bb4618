//! Small folders of pictures with known pixels, and the ways in which a folder can be wrong.

use super::*;
use crate::disk::scratch::Folder;
use image::{
    DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, Rgb, RgbImage, codecs::jpeg::JpegEncoder,
};
use std::fs;
use std::io::Cursor;

/// A picture whose pixels tell where they are.
fn picture(width: u32, height: u32, seed: u8) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 20) as u8, (y * 20) as u8, seed]))
}

fn put(dir: &Path, name: &str, image: impl Into<DynamicImage>) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image.into().save(path).unwrap();
}

fn load(dir: &Path, size: Option<u32>, grey: bool) -> Result<DataSet, DataError> {
    crate::data::open(dir.to_str().unwrap(), &Asked { size, grey, ..Asked::default() }, &mut |_| ())?
        .read(&mut |_| ())
}

fn fails(dir: &Path, size: Option<u32>, what: &[&str]) {
    let text = load(dir, size, false).unwrap_err().to_string();
    assert!(what.iter().all(|w| text.contains(w)) && text.lines().count() == 1, "{text}");
}

#[test]
fn pictures_of_all_formats_become_rows_with_their_labels() {
    let dir = Folder::new("folder-formats");
    for (i, name) in ["b/1.png", "b/2.BMP", "a/1.ppm", "a/2.webp"].into_iter().enumerate() {
        put(&dir, &format!("train/{name}"), picture(4, 3, i as u8));
    }
    put(&dir, "test/b/1.png", picture(4, 3, 9));
    fs::write(dir.join("train/a/notes.txt"), "no picture").unwrap();
    fs::write(dir.join("train/a/.hidden.png"), "no picture").unwrap();
    let mut heard = vec![];
    let mut hear = |p: &Progress| {
        if p.file == "looking at files" {
            heard.push((p.done, p.total));
        }
    };
    let set = crate::data::open(dir.to_str().unwrap(), &Asked::default(), &mut hear).unwrap();
    assert_eq!(heard, [1, 2, 3, 4, 5].map(|done| (done, 5)));
    let set = set.read(&mut |_| ()).unwrap();
    let train = &set.train;
    assert_eq!((train.count, train.height, train.width, train.channels, train.classes), (4, 3, 4, 3, 2));
    assert_eq!(
        (train.labels.as_deref(), set.test.labels.as_deref()),
        (Some([0, 0, 1, 1].as_slice()), Some([1].as_slice()))
    );
    let rows: Vec<u8> = [2, 3, 0, 1].into_iter().flat_map(|seed| picture(4, 3, seed).into_raw()).collect();
    assert_eq!((&train.pixels, set.lossy), (&rows, false));
    assert_eq!(set.class_names, ["a", "b"]);
    assert_eq!(
        set.notes,
        ["left out: no pictures of a kind that is read: train/a/notes.txt", "classes without test images: a"]
    );
}

#[test]
fn some_rows_are_the_same_as_those_of_the_whole() {
    let dir = Folder::new("folder-rows");
    (0..20).for_each(|i| put(&dir, &format!("c{}/{i:02}.png", i % 2), picture(5, 5, i)));
    let open = || crate::data::open(dir.to_str().unwrap(), &Asked::default(), &mut |_| ()).unwrap().train;
    let (some, all) = (open().pixels(&[7, 0, 7]).unwrap(), open().read(&mut |_| ()).unwrap().pixels);
    assert_eq!(some, [7, 0, 7].into_iter().flat_map(|i| all[i * 75..][..75].to_vec()).collect::<Vec<_>>());
}

#[test]
fn without_a_test_folder_every_tenth_of_a_class_is_held_out() {
    let dir = Folder::new("folder-held-out");
    for i in 0..25_u8 {
        put(&dir, &format!("many/{i:02}.png"), picture(2, 2, i));
    }
    put(&dir, "few/1.png", picture(2, 2, 99));
    let set = load(&dir, None, false).unwrap();
    assert!(set.name.contains("every tenth image held out"), "{}", set.name);
    assert_eq!((set.train.count, set.test.count), (24, 2));
    // The blue of the first pixels: the tenth and twentieth picture.
    assert_eq!([set.test.pixels[2], set.test.pixels[14]], [9, 19]);
    assert_eq!(set.test.labels.as_deref(), Some([1, 1].as_slice()));
}

/// Whoever takes the first test pictures sees all classes.
#[test]
fn test_pictures_come_in_turn() {
    let dir = Folder::new("folder-in-turn");
    for (class, count) in [("a", 3), ("b", 1), ("c", 2)] {
        put(&dir, &format!("train/{class}/0.png"), picture(2, 2, 0));
        (0..count).for_each(|i| put(&dir, &format!("test/{class}/{i}.png"), picture(2, 2, i)));
    }
    let set = load(&dir, None, false).unwrap();
    assert_eq!(set.test.labels.as_deref(), Some([0, 1, 2, 0, 2, 0].as_slice()));
    assert_eq!([2, 14, 26, 38, 50, 62].map(|at| set.test.pixels[at]), [0, 0, 0, 1, 1, 2]);
}

#[test]
fn grey_files_stay_grey_and_colours_become_grey_when_asked() {
    let dir = Folder::new("folder-grey");
    let grey = GrayImage::from_fn(3, 3, |x, y| image::Luma([(x * 50 + y) as u8]));
    (0..10).for_each(|i| put(&dir, &format!("a/{i}.png"), grey.clone()));
    let set = load(&dir, None, false).unwrap();
    assert_eq!((set.train.channels, set.lossy, &set.test.pixels), (1, false, grey.as_raw()));
    put(&dir, "a/5.png", RgbImage::from_pixel(3, 3, Rgb([255, 0, 10])));
    let (colours, asked) = (load(&dir, None, false).unwrap(), load(&dir, None, true).unwrap());
    assert_eq!(
        (colours.train.channels, colours.lossy, asked.train.channels, asked.lossy),
        (3, false, 1, true)
    );
    assert_eq!(asked.train.pixels[5 * 9], ((2_126 * 255 + 722 * 10) as f64 / 1e4).round() as u8);
}

#[test]
fn the_square_in_the_middle_is_scaled() {
    let dir = Folder::new("folder-scale");
    // Black, but for the white square in the middle: what is left over must be white alone.
    for (i, (width, height)) in [(8, 4), (4, 10), (4, 4), (20, 20), (2, 2)].into_iter().enumerate() {
        let side = width.min(height);
        let (left, top) = ((width - side) / 2, (height - side) / 2);
        let inside = |x: u32, y: u32| (left..left + side).contains(&x) && (top..top + side).contains(&y);
        let image =
            RgbImage::from_fn(width, height, |x, y| Rgb(if inside(x, y) { [255; 3] } else { [0; 3] }));
        put(&dir, &format!("train/a/{i}.png"), image.clone());
        put(&dir, "test/a/0.png", image);
    }
    let set = load(&dir, Some(4), false).unwrap();
    assert_eq!((set.train.channels, set.train.pixels, set.lossy), (1, vec![255; 5 * 16], true));
    fails(&dir, None, &["1.png", "10 x 4", "4 x 8", "an image size"]);
}

#[test]
fn jpegs_are_marked_as_lossy_and_a_cut_one_is_refused() {
    let dir = Folder::new("folder-jpeg");
    (0..10).for_each(|i| put(&dir, &format!("a/{i}.png"), picture(16, 16, i)));
    assert!(!load(&dir, None, false).unwrap().lossy);
    let mut bytes = vec![];
    JpegEncoder::new_with_quality(&mut bytes, 100).encode_image(&picture(16, 16, 100)).unwrap();
    // Known by its content.
    fs::write(dir.join("a/3.png"), &bytes).unwrap();
    let set = load(&dir, None, false).unwrap();
    let off = set.train.pixels[3 * 768..][..768]
        .iter()
        .zip(picture(16, 16, 100).as_raw())
        .map(|(a, b)| a.abs_diff(*b))
        .max();
    assert!(set.lossy && off < Some(16), "{off:?}");
    fs::write(dir.join("a/3.png"), &bytes[..bytes.len() - 20]).unwrap();
    fails(&dir, None, &["3.png", "cut short", "leave it out"]);
}

/// A picture of one colour.
fn plain(value: [u8; 3]) -> RgbImage {
    RgbImage::from_pixel(3, 2, Rgb(value))
}

/// A TIFF of numbers with fractions, which its decoder does not know.
fn fractions() -> Vec<u8> {
    let mut bytes = crate::data::picture::tests::tiff(&picture(4, 4, 9), 1, 1);
    let tags = bytes.len() - 4 - 120;
    // One sample of 32 bits, black at 0.
    [(28, 1), (32, 32), (56, 1), (92, 1)].iter().for_each(|&(at, value)| bytes[tags + at] = value);
    bytes
}

#[test]
fn a_folder_that_is_gone_is_named() {
    let dir = Folder::new("folder-gone");
    (0..10).for_each(|i| put(&dir, &format!("set/a/{i}.png"), plain([i; 3])));
    let (path, asked) = (dir.join("set"), Asked::default());
    let set = crate::data::open(path.to_str().unwrap(), &asked, &mut |_| ()).unwrap();
    fs::remove_dir_all(&path).unwrap();
    let text = set.train.pixels_or_next(&mut [0, 1]).unwrap_err().to_string();
    assert_eq!(
        text,
        format!("{}: the folder of the pictures is gone; bring it back, and resume the run", path.display())
    );
}

#[test]
fn what_is_left_out_is_told_and_litter_is_not() {
    let dir = Folder::new("folder-left");
    let nested = ["a/1.png", "a/more/2.tif", "a/more/yet/3.JFIF", "b/images/1.jpe", "b/4.bmp"];
    for split in ["train", "test"] {
        for name in nested {
            let mut bytes = Cursor::new(vec![]);
            let format = if name.ends_with("tif") { ImageFormat::Tiff } else { ImageFormat::Png };
            plain([9, 9, 9]).write_to(&mut bytes, format).unwrap();
            dir.put(&format!("{split}/{name}"), bytes.into_inner());
        }
    }
    // Known by its content, whatever its name; but not text that begins like a PNM.
    fs::rename(dir.join("test/a/1.png"), dir.join("test/a/number one")).unwrap();
    dir.put("train/a/P5.txt", "P5ychology");
    dir.put("train/a/index.csv", "1.png,a");
    dir.put("train/a/float.tif", fractions());
    for litter in
        ["a/.DS_Store", "a/Thumbs.db", "b/._4.bmp", ".cache/x.png", "__MACOSX/a/1.png", "desktop.ini"]
    {
        dir.put(&format!("train/{litter}"), "litter");
    }
    dir.put("train/empty/readme.md", "soon");
    dir.put("extra/1.png", "not looked at");
    put(&dir, "train/loose.png", plain([1, 2, 3]));
    let set = load(&dir, None, false).unwrap();
    assert_eq!((set.train.count, set.test.count, set.class_names.join(" ")), (5, 5, "a b".to_owned()));
    assert_eq!((set.train.channels, set.train.labels), (1, Some(vec![0, 0, 0, 1, 1])));
    let told = "left out: beside the training and test pictures: extra; no pictures of a kind that is read: 4 \
                (train/a/P5.txt first); folders without pictures: train/empty; pictures outside of the classes' \
                folders: train/loose.png";
    assert_eq!(set.notes, [told]);
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_those_that_lead_nowhere_are_told() {
    use std::os::unix::fs::symlink;
    let (dir, elsewhere) = (Folder::new("folder-links"), Folder::new("folder-linked"));
    (0..10).for_each(|i| put(&elsewhere, &format!("{i}.png"), plain([i; 3])));
    (0..10).for_each(|i| put(&dir, &format!("b/{i}.png"), plain([i; 3])));
    symlink(&*elsewhere, dir.join("a")).unwrap();
    symlink(dir.join("gone"), dir.join("c")).unwrap();
    symlink(dir.join("gone.png"), dir.join("b/x.png")).unwrap();
    symlink(&*dir, dir.join("b/up")).unwrap();
    let set = load(&dir, None, false).unwrap();
    assert_eq!(set.class_names, ["a", "b"]);
    // No picture of another class comes in by a link to a folder above.
    assert_eq!(set.train.count + set.test.count, 20);
    assert!(
        set.notes[0].contains("links to nothing: ") && set.notes[0].contains("lie in: "),
        "{:?}",
        set.notes
    );
}

#[test]
fn the_parts_have_several_names() {
    let names = [
        ("Train", "Test"),
        ("training", "testing"),
        ("train", "val"),
        ("TRAIN", "Valid"),
        ("train", "validation"),
    ];
    for (train, test) in names {
        let dir = Folder::new("folder-parts");
        put(&dir, &format!("{train}/a/1.png"), plain([1; 3]));
        put(&dir, &format!("{test}/a/1.png"), plain([2; 3]));
        let set = load(&dir, None, false).unwrap();
        assert_eq!((set.train.pixels[0], set.test.pixels[0], set.notes.len()), (1, 2, 0), "{train} {test}");
    }
    // Beside a test folder, pictures to validate with are left out; in a folder around all, all are found.
    let dir = Folder::new("folder-parts");
    for (i, part) in ["train", "test", "val"].into_iter().enumerate() {
        put(&dir, &format!("archive/{part}/a/1.png"), plain([i as u8; 3]));
    }
    for path in [dir.join("archive"), dir.to_owned()] {
        let set = load(&path, None, false).unwrap();
        assert_eq!((set.train.pixels[0], set.test.pixels[0]), (0, 1));
        assert!(
            set.notes[0].contains("beside the training and test pictures: ") && set.notes[0].ends_with("val")
        );
    }
    // A contest's test pictures have no classes.
    fs::remove_dir_all(dir.join("archive/test")).unwrap();
    put(&dir, "archive/test/1.png", plain([9; 3]));
    let set = load(&dir.join("archive"), None, false).unwrap();
    assert_eq!((set.train.pixels[0], set.test.pixels[0], set.test.count), (0, 2, 1));
    assert!(set.notes[0].contains("beside the training and test pictures: "), "{:?}", set.notes);
    // A folder around all of them, without parts.
    let around = Folder::new("folder-around");
    for i in 0..20 {
        put(&around, &format!("archive/{}/{i}.png", ["a", "b"][i % 2]), plain([i as u8; 3]));
    }
    assert_eq!(load(&around, None, false).unwrap().class_names, ["a", "b"]);
    fs::remove_dir_all(dir.join("archive/train")).unwrap();
    fails(&dir.join("archive"), None, &["test pictures without training pictures", "train beside it"]);
}

#[test]
fn classes_that_are_numbers_are_in_their_order() {
    let dir = Folder::new("folder-numbers");
    let names = ["10", "9", "100", "b", "02", "a10", "a9"];
    for (i, name) in names.into_iter().enumerate() {
        put(&dir, &format!("train/{name}/1.png"), plain([i as u8; 3]));
        put(&dir, &format!("test/{name}/1.png"), plain([i as u8; 3]));
    }
    let set = load(&dir, None, false).unwrap();
    assert_eq!(set.class_names, ["02", "9", "10", "100", "a10", "a9", "b"]);
    let first: Vec<u8> = set.train.pixels.iter().step_by(6).copied().collect();
    assert_eq!((first, set.train.labels), (vec![4, 1, 0, 2, 5, 6, 3], Some((0..7).collect())));
}

#[test]
fn colours_are_judged_by_the_pixels_of_the_whole_set() {
    for ending in ["bmp", "gif", "png", "tiff", "webp"] {
        let dir = Folder::new("folder-colours");
        for i in 0..4_u8 {
            put(&dir, &format!("train/a/{i}.{ending}"), plain([40 * i; 3]));
        }
        put(&dir, &format!("test/a/1.{ending}"), plain([200; 3]));
        let [set, grey] = [false, true].map(|grey| load(&dir, None, grey).unwrap());
        let first: Vec<u8> = set.train.pixels.iter().step_by(6).copied().collect();
        assert_eq!((set.train.channels, first, set.lossy), (1, vec![0, 40, 80, 120], false), "{ending}");
        assert_eq!((grey.train.pixels, grey.lossy), (set.train.pixels, false), "{ending}");
        // One coloured pixel of a test picture makes a set of colours.
        let mut coloured = plain([200; 3]);
        coloured.put_pixel(2, 1, Rgb([200, 200, 0]));
        put(&dir, &format!("test/a/1.{ending}"), coloured);
        let [set, grey] = [false, true].map(|grey| load(&dir, None, grey).unwrap());
        assert_eq!(
            (set.train.channels, set.lossy, grey.train.channels, grey.lossy),
            (3, false, 1, true),
            "{ending}"
        );
    }
}

#[test]
fn sixteen_bits_become_eight_with_a_loss() {
    let dir = Folder::new("folder-sixteen");
    let deep = ImageBuffer::from_fn(3, 2, |x, _| Luma([257 * (x as u16) + 128]));
    for name in ["train/a/1.png", "test/a/1.png"] {
        put(&dir, name, DynamicImage::ImageLuma16(deep.clone()));
    }
    let set = load(&dir, None, false).unwrap();
    assert_eq!((set.train.pixels, set.train.channels, set.lossy), (vec![0, 1, 2, 0, 1, 2], 1, true));
}

#[test]
fn all_broken_pictures_are_named_before_anything_is_streamed() {
    let dir = Folder::new("folder-check");
    (0..12).for_each(|i| put(&dir, &format!("a/{i:02}.png"), picture(20, 20, i)));
    let open = || crate::data::open(dir.to_str().unwrap(), &Asked::default(), &mut |_| ()).unwrap().train;
    open().check(&mut |_| ()).unwrap();
    // The headers are whole, the pixels are not.
    let whole = fs::read(dir.join("a/03.png")).unwrap();
    for i in [3, 5, 8] {
        dir.put(&format!("a/{i:02}.png"), &whole[..whole.len() - 30]);
    }
    let mut heard = 0;
    let text = open().check(&mut |_| heard += 1).unwrap_err().to_string();
    let told = ["03.png: cannot be decoded", "nor can 2 more", "05.png", "08.png"];
    assert!(told.iter().all(|w| text.contains(w)) && heard == 11, "{text}");
    let again = open().read(&mut |_| ()).unwrap_err().to_string();
    assert_eq!(text, again);
    // A header that is broken too hides none of these.
    dir.put("a/06.png", &whole[..10]);
    let text =
        crate::data::open(dir.to_str().unwrap(), &Asked::default(), &mut |_| ()).unwrap_err().to_string();
    let told = ["03.png: cannot be decoded", "nor can 3 more", "05.png", "06.png", "08.png"];
    assert!(told.iter().all(|w| text.contains(w)), "{text}");
}

#[test]
fn what_is_wrong_with_a_folder_is_said() {
    let dir = Folder::new("folder-wrong");
    fails(&dir, None, &["no data set of a known kind", "found nothing", "MNIST's four IDX files", "CLASS"]);
    dir.put("x/table.csv", "1,2");
    dir.put("notes.txt", "none");
    fails(&dir, None, &["no data set of a known kind", "found x/, notes.txt"]);
    put(&dir, "0.png", picture(2, 2, 0));
    fails(&dir, None, &["no folder in it holds pictures"]);
    put(&dir, "a/0.png", picture(2, 2, 0));
    fails(&dir, None, &["no test images", "at least 10"]);
    put(&dir, "train/a/0.png", picture(2, 2, 0));
    put(&dir, "test/b/0.png", picture(2, 2, 0));
    fails(&dir, None, &["test", "no training images are of this class"]);
    fs::rename(dir.join("test/b"), dir.join("test/a")).unwrap();
    let bad = dir.join("train/a/1.png");
    fs::write(&bad, "no picture").unwrap();
    fails(&dir, None, &["1.png", "cannot be decoded"]);
    let whole = fs::read(dir.join("test/a/0.png")).unwrap();
    fs::write(&bad, &whole[..whole.len() - 20]).unwrap();
    fails(&dir, None, &["1.png", "cannot be decoded", "replace"]);
    fs::remove_file(&bad).unwrap();
    put(&dir, "train/a/0.png", GrayImage::new(2_000, 1));
    put(&dir, "test/a/0.png", GrayImage::new(2_000, 1));
    fails(&dir, None, &["0.png", "1024", "an image size"]);
    assert_eq!(load(&dir, Some(3), false).unwrap().train.pixels, [0; 9]);
    let many = Folder::new("folder-many");
    (0..257).for_each(|i| put(&many, &format!("{i}/0.png"), GrayImage::new(1, 1)));
    fails(&many, None, &["257 classes", "256"]);
}

#[test]
fn a_file_that_goes_or_changes_later_is_told() {
    let dir = Folder::new("folder-later");
    (0..10).for_each(|i| put(&dir, &format!("a/{i}.png"), picture(2, 2, i)));
    let train = crate::data::open(dir.to_str().unwrap(), &Asked::default(), &mut |_| ()).unwrap().train;
    put(&dir, "a/3.png", picture(3, 2, 0));
    assert!(train.pixels(&[0, 3]).unwrap_err().to_string().contains("changed"));
    fs::remove_file(dir.join("a/3.png")).unwrap();
    let text = train.pixels(&[0, 3]).unwrap_err().to_string();
    assert!(text.contains("3.png") && train.pixels(&[0]).is_ok(), "{text}");
}
