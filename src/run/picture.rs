//! Pictures as files: a batch of images as one grid, and a sequence of pictures as a GIF. Small images are
//! enlarged so that they can be seen.
//!
//! Enlarging repeats pixels and does not smooth them, so that the picture shows what the model made and not
//! what a filter made of it.

use std::io::Cursor;
use std::path::Path;

use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, DynamicImage, Frame, ImageFormat, Rgb, RgbImage};

use crate::{
    disk::write_atomic,
    error::{Error, Result},
};

/// The colour between images: dark enough for bright images, bright enough for black ones.
const GAP: Rgb<u8> = Rgb([58, 60, 66]);
/// The colour of a value that is not a number. No data set has this colour, so a broken model is easy to see.
const BROKEN: Rgb<u8> = Rgb([255, 0, 255]);
/// The picture is enlarged as far as it stays within this width and height.
const LARGEST: (u32, u32) = (900, 1600);
/// The largest factor of enlarging: even a few small images need no larger pixels.
const LARGEST_FACTOR: u32 = 8;

/// Lays out `count` images, `[N, H, W, C]` with values in [0, 1], row by row in a grid of `columns` columns.
///
/// One channel is shown as grey, three as red, green and blue. Values outside [0, 1] are clamped, and a NaN
/// is shown in magenta.
///
/// # Panics
/// Panics if `images` does not hold `count` images of that size, or if `channels` is not 1 or 3.
pub fn grid(
    images: &[f32],
    count: usize,
    height: usize,
    width: usize,
    channels: usize,
    columns: usize,
) -> RgbImage {
    assert!(channels == 1 || channels == 3, "images have 1 or 3 channels, not {channels}");
    let expected = count * height * width * channels;
    assert_eq!(images.len(), expected, "{count} images of {height} x {width} x {channels}");
    let columns = columns.clamp(1, count.max(1));
    let rows = count.div_ceil(columns).max(1);

    let mut small =
        RgbImage::from_pixel((columns * (width + 1) + 1) as u32, (rows * (height + 1) + 1) as u32, GAP);
    let pixels = images.chunks_exact(channels);
    for (index, pixel) in pixels.enumerate() {
        let (n, y, x) = (index / (height * width), index / width % height, index % width);
        let left = n % columns * (width + 1) + 1;
        let top = n / columns * (height + 1) + 1;
        small.put_pixel((left + x) as u32, (top + y) as u32, colour(pixel));
    }

    let factor = factor(small.width(), small.height());
    RgbImage::from_fn(small.width() * factor, small.height() * factor, |x, y| {
        *small.get_pixel(x / factor, y / factor)
    })
}

/// Writes the picture as a PNG. The file is whole, or it is not written at all.
///
/// # Errors
/// Fails if the file cannot be written.
pub fn save(path: &Path, picture: &RgbImage) -> Result<()> {
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|e| Error::at("encode", path, e, "please report this"))?;
    write_atomic(path, bytes.get_ref())
}

/// Writes pictures as a GIF that repeats for ever. Each is shown for this many milliseconds, the last one for
/// two seconds. The file is whole, or it is not written at all.
///
/// # Errors
/// Fails if the file cannot be written.
pub fn animate(path: &Path, frames: &[RgbImage], milliseconds: u32) -> Result<()> {
    let mut bytes = vec![];
    let frame = |(i, picture): (usize, &RgbImage)| {
        let shown = if i + 1 == frames.len() { 2000 } else { milliseconds };
        Frame::from_parts(
            DynamicImage::from(picture.clone()).into_rgba8(),
            0,
            0,
            Delay::from_numer_denom_ms(shown, 1),
        )
    };
    let mut encoder = GifEncoder::new_with_speed(&mut bytes, 10);
    let written = encoder
        .set_repeat(Repeat::Infinite)
        .and_then(|()| encoder.encode_frames(frames.iter().enumerate().map(frame)));
    drop(encoder);
    written.map_err(|e| Error::at("encode", path, e, "please report this"))?;
    write_atomic(path, &bytes)
}

fn colour(pixel: &[f32]) -> Rgb<u8> {
    if pixel.iter().any(|v| v.is_nan()) {
        return BROKEN;
    }
    let byte = |v: f32| (v.clamp(0.0, 1.0) * 255.0).round() as u8;
    match *pixel {
        [r, g, b] => Rgb([byte(r), byte(g), byte(b)]),
        _ => Rgb([byte(pixel[0]); 3]),
    }
}

fn factor(width: u32, height: u32) -> u32 {
    (LARGEST.0 / width).min(LARGEST.1 / height).clamp(1, LARGEST_FACTOR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::scratch::Folder;

    #[test]
    fn the_usual_grid_has_a_comfortable_size() {
        let picture = grid(&[0.5; 100 * 28 * 28], 100, 28, 28, 1, 10);
        assert!((600..=900).contains(&picture.width()), "{}", picture.width());
        assert_eq!(picture.width(), picture.height());
    }

    #[test]
    fn pixels_land_in_their_place_and_colour() {
        // Three images of 1 x 2 pixels are laid out in two columns. The red of each pixel is its index.
        let images: Vec<f32> = (0..6).flat_map(|i| [i as f32 / 255.0, 1.0, 2.0]).collect();
        let picture = grid(&images, 3, 1, 2, 3, 2);
        let factor = picture.width() / 7;
        assert_eq!(picture.dimensions(), (7 * factor, 5 * factor));
        let at = |x: u32, y: u32| picture.get_pixel(x * factor, y * factor).0;
        assert_eq!([at(1, 1), at(2, 1)], [[0, 255, 255], [1, 255, 255]]);
        assert_eq!([at(4, 1), at(5, 1)], [[2, 255, 255], [3, 255, 255]]);
        assert_eq!([at(1, 3), at(2, 3)], [[4, 255, 255], [5, 255, 255]]);
        // These are the gap, and the place of the fourth image, which is missing.
        assert_eq!([at(3, 1), at(4, 3)], [GAP.0, GAP.0]);
    }

    #[test]
    fn values_are_clamped_and_what_is_not_a_number_shows() {
        assert_eq!(colour(&[-3.0]), Rgb([0, 0, 0]));
        assert_eq!(colour(&[f32::INFINITY]), Rgb([255, 255, 255]));
        assert_eq!(colour(&[f32::NAN]), BROKEN);
    }

    #[test]
    fn no_image_at_all_is_still_a_picture() {
        assert!(grid(&[], 0, 28, 28, 1, 10).width() > 0);
    }

    #[test]
    fn an_animation_holds_its_frames() {
        use image::AnimationDecoder as _;
        let dir = Folder::new("animation");
        let path = dir.join("grid.gif");
        let frames = [0.0, 0.5, 1.0].map(|v| grid(&[v], 1, 1, 1, 1, 1));
        animate(&path, &frames, 40).unwrap();
        let file = std::io::BufReader::new(std::fs::File::open(&path).unwrap());
        let read = image::codecs::gif::GifDecoder::new(file).unwrap().into_frames().collect_frames().unwrap();
        let centre = |f: &image::Frame| f.buffer().get_pixel(12, 12).0[0];
        assert_eq!(read.iter().map(centre).collect::<Vec<_>>(), [0, 128, 255]);
    }

    #[test]
    fn a_saved_picture_is_a_png_of_that_size() {
        let dir = Folder::new("picture");
        let path = dir.join("grid.png");
        save(&path, &grid(&[0.0, 1.0], 2, 1, 1, 1, 2)).unwrap();
        let read = image::open(&path).unwrap();
        assert_eq!((read.width(), read.height()), (5 * 8, 3 * 8));
    }
}
