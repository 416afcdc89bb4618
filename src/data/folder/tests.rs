//! Small folders of pictures of known pixels, and each way in which a folder can be wrong.

use super::*;
use crate::data::tests::Folder;
use image::{GrayImage, Rgb, RgbImage, codecs::jpeg::JpegEncoder};

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
    crate::data::open(dir.to_str().unwrap(), &Asked { size, grey, seed: 0 }, &mut |_| ())?.read(&mut |_| ())
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
    let set =
        crate::data::open(dir.to_str().unwrap(), &Asked::default(), &mut |p| heard.push((p.done, p.total)))
            .unwrap();
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
    assert_eq!((set.train.pixels, set.lossy), (vec![255; 5 * 48], true));
    fails(&dir, None, &["1.png", "10 x 4", "4 x 8", "--image-size N"]);
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
    fails(&dir, None, &["3.png", "cut short", "remove it"]);
}

#[test]
fn what_is_wrong_with_a_folder_is_said() {
    let dir = Folder::new("folder-wrong");
    fails(&dir, None, &["looked for"]);
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
    fails(&dir, None, &["0.png", "1024", "--image-size"]);
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
