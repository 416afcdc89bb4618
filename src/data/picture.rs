//! One picture: what its bytes are, whether they are whole, and its pixels, upright and in 8 bits.
//!
//! A picture is known by its content, whatever its name. A cut file is an error, never a picture with a grey
//! rest. EXIF's orientation is followed; transparency is dropped. Memory is bounded by the file's size:
//! pixels may take three times its bytes (twice a JPEG's) and 64 MiB, so that no header that lies costs more.
//! Not counted are the code tables of a lossless WebP, of which its decoder takes up to 65,536 groups unasked.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};
use jpeg::{Jpeg, OTHERS};

mod jpeg;

/// The kinds of pictures that are read.
const KINDS: [ImageFormat; 7] = [
    ImageFormat::Png,
    ImageFormat::Jpeg,
    ImageFormat::WebP,
    ImageFormat::Bmp,
    ImageFormat::Gif,
    ImageFormat::Pnm,
    ImageFormat::Tiff,
];
/// The endings of files that count as pictures, in any case. A file of another ending is a picture if its
/// content is one.
pub(super) const ENDINGS: [&str; 14] =
    ["png", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "gif", "pbm", "pgm", "ppm", "pnm", "tif", "tiff"];
/// The number of bytes at a file's beginning by which [`recognise`] knows it.
pub(crate) const MAGIC: u64 = 16;
/// The bytes of memory that any picture may take, whatever the size of its file.
const ROOM: u64 = 64 << 20;

/// What one look at a picture tells, before its pixels are decoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Header {
    /// The height and width of the upright picture.
    pub(super) size: [usize; 2],
    /// Whether the pixels may have colours: every pixel may still be grey.
    pub(super) colours: bool,
    /// Whether the 8 bits of its pixels are not exactly what was coded: after JPEG, lossy WebP, and more
    /// bits.
    pub(super) lossy: bool,
    /// The value of EXIF's orientation, 1 to 8; 1 is upright.
    pub(super) orientation: u8,
}

/// The kind of picture that these bytes begin, if it is one that is read.
pub(crate) fn recognise(bytes: &[u8]) -> Option<ImageFormat> {
    let format = image::guess_format(bytes).ok().filter(|format| KINDS.contains(format))?;
    // Two letters are little: text may begin with them.
    let text = format == ImageFormat::Pnm && !bytes.get(2).is_some_and(u8::is_ascii_whitespace);
    (!text).then_some(format)
}

/// Looks at a picture's header.
///
/// # Errors
/// Bytes that are no picture, a cut one, or one that takes too much memory, in words.
pub(super) fn header(bytes: &[u8]) -> Result<Header, String> {
    guarded(|| Ok(opened(bytes)?.1))
}

/// Whether a TIFF is whole enough to tell that its decoder does not know its kind of pixels.
pub(super) fn unsupported(bytes: &[u8]) -> bool {
    let known = || -> Result<bool, String> {
        tiff_is_lossy(bytes, 3 * bytes.len() as u64 + ROOM)?;
        let decoder = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Tiff).into_decoder();
        Ok(!matches!(decoder, Err(ImageError::Unsupported(_))))
    };
    guarded(known) == Ok(false)
}

/// Does what a decoder does; where that panics on a damaged file, an error.
fn guarded<T>(decode: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err("damaged: its decoder gave up".to_owned()))
}

/// The pixels of a picture, upright; where a side is asked for, the largest square in the middle, scaled to
/// it.
///
/// # Errors
/// As [`header`], and what only decoding finds.
pub(crate) fn decode(bytes: &[u8], side: Option<u32>) -> Result<RgbImage, String> {
    let (image, orientation) = pixels(bytes)?;
    Ok(fitted(image, orientation, side))
}

/// The pixels of a picture as [`decode`] gives them, which are known to be whole: of a JPEG, that takes as long again.
///
/// # Errors
/// As [`decode`], and a JPEG whose last scan lacks blocks.
pub(super) fn decode_whole(bytes: &[u8], side: Option<u32>) -> Result<RgbImage, String> {
    let jpeg = recognise(bytes)
        .filter(|&format| format == ImageFormat::Jpeg)
        .map(|_| Jpeg::new(bytes))
        .transpose()?;
    // Hashes, since two pictures at a time would take twice the memory.
    let prolonged = jpeg.and_then(|jpeg| Some(hash(&pixels(&jpeg.ended(&OTHERS)).ok()?.0)));
    let (image, orientation) = pixels(bytes)?;
    if prolonged.is_some_and(|prolonged| prolonged != hash(&image)) {
        return Err("cut short: the last scan of this JPEG lacks blocks".to_owned());
    }
    Ok(fitted(image, orientation, side))
}

fn hash(image: &DynamicImage) -> u64 {
    let mut hasher = DefaultHasher::new();
    image.as_bytes().hash(&mut hasher);
    hasher.finish()
}

/// The pixels as they are in the file, and how they are to be turned.
fn pixels(bytes: &[u8]) -> Result<(DynamicImage, Orientation), String> {
    guarded(|| {
        let (decoder, header) = opened(bytes)?;
        let orientation = Orientation::from_exif(header.orientation).unwrap_or(Orientation::NoTransforms);
        Ok((DynamicImage::from_decoder(decoder).map_err(|e| e.to_string())?, orientation))
    })
}

/// The picture upright, or the square in its middle, scaled.
fn fitted(image: DynamicImage, orientation: Orientation, side: Option<u32>) -> RgbImage {
    let mut image = image.into_rgb8();
    if let Some(n) = side.filter(|&n| image.dimensions() != (n, n)) {
        image = middle(&image, n, orientation);
    }
    let mut upright = DynamicImage::ImageRgb8(image);
    upright.apply_orientation(orientation);
    upright.into_rgb8()
}

/// A picture as it is in its file, upright, with its transparency.
///
/// # Errors
/// As [`decode`].
#[cfg(feature = "run")]
pub(crate) fn upright(bytes: &[u8]) -> Result<DynamicImage, String> {
    let (mut image, orientation) = pixels(bytes)?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// A decoder that has read the header, and what that says.
fn opened(file: &[u8]) -> Result<(impl ImageDecoder + '_, Header), String> {
    let format = recognise(file).ok_or("no picture of a kind that is read")?;
    let mut bytes = Cow::Borrowed(if format == ImageFormat::WebP { riff(file) } else { file });
    // A JPEG is held once more, with another end.
    let times = if format == ImageFormat::Jpeg { 2 } else { 3 };
    let room = times * bytes.len() as u64 + ROOM;
    let mut in_parts = false;
    let lossy = match format {
        ImageFormat::Jpeg => {
            let jpeg = Jpeg::new(file)?;
            if !jpeg.ends {
                let prolonged = hash(&pixels(&jpeg.ended(&OTHERS))?.0);
                bytes = Cow::Owned(jpeg.ended(&[]));
                if hash(&pixels(&bytes)?.0) != prolonged {
                    return Err("cut short: a JPEG without its end".to_owned());
                }
            }
            in_parts = jpeg.in_parts;
            true
        }
        ImageFormat::WebP => webp_is_lossy(&bytes)?,
        ImageFormat::Tiff => tiff_is_lossy(&bytes, room)?,
        _ => false,
    };
    let mut limits = Limits::default();
    limits.max_alloc = Some(room);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(|e| e.to_string())?;
    let ((width, height), colour) = (decoder.dimensions(), decoder.color_type());
    let (own, others) = memory(format, in_parts, [width, height].map(u64::from), colour);
    let Some(left) = room.checked_sub(own.saturating_add(others)) else {
        return Err(format!(
            "{width} x {height} pixels take more memory than a file of its size is given, {} MiB: scale it down",
            room >> 20
        ));
    };
    // What a decoder takes beyond its pixels, it may hold in two forms.
    limits.max_alloc = Some(own + left / 2);
    decoder.set_limits(limits).map_err(|e| e.to_string())?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms).to_exif();
    let size = if orientation >= 5 { [width, height] } else { [height, width] };
    let lossy = lossy || colour.bytes_per_pixel() > colour.channel_count();
    let header =
        Header { size: size.map(|side| side as usize), colours: colour.has_color(), lossy, orientation };
    Ok((decoder, header))
}

/// The bytes that decoding takes: for the pixels themselves, and for the decoder's own copies and the
/// conversion to RGB.
fn memory(format: ImageFormat, in_parts: bool, [width, height]: [u64; 2], colour: ColorType) -> (u64, u64) {
    // Decoders work on some rows at a time.
    const ROWS: u64 = 16;
    let (pixel, pixels) = (u64::from(colour.bytes_per_pixel()), width * height);
    let copies = match format {
        // Coefficients of up to four channels, 16 bits each.
        ImageFormat::Jpeg if in_parts => 2 * 4,
        ImageFormat::Gif | ImageFormat::WebP | ImageFormat::Tiff => pixel + 4,
        _ => 0,
    };
    let converted = if colour == ColorType::Rgb8 { 0 } else { 3 };
    let others = pixels.saturating_mul(copies + converted).saturating_add(width * ROWS * (pixel + 4));
    (pixels.saturating_mul(pixel), others)
}

/// The square in the middle of the picture once it is upright, scaled to a side and not turned yet.
fn middle(image: &RgbImage, side: u32, orientation: Orientation) -> RgbImage {
    use Orientation::{FlipHorizontal, FlipVertical, Rotate90, Rotate180, Rotate270, Rotate270FlipH};
    let (width, height) = image.dimensions();
    let square = width.min(height);
    // An odd rest is one pixel less on the left and above, as the upright picture is seen.
    let mirrored = match orientation {
        FlipHorizontal | Rotate270 => (true, false),
        FlipVertical | Rotate90 => (false, true),
        Rotate180 | Rotate270FlipH => (true, true),
        _ => (false, false),
    };
    let before = |rest: u32, mirrored: bool| if mirrored { rest - rest / 2 } else { rest / 2 };
    let (left, top) = (before(width - square, mirrored.0), before(height - square, mirrored.1));
    let view = imageops::crop_imm(image, left, top, square, square);
    imageops::resize(&*view, side, side, FilterType::Triangle)
}

/// The bytes of a WebP's file as its header counts them; what follows is none of it.
fn riff(bytes: &[u8]) -> &[u8] {
    let length = bytes.get(4..8).map_or(0, |l| u32::from_le_bytes([l[0], l[1], l[2], l[3]]) as usize);
    &bytes[..bytes.len().min(length.saturating_add(8))]
}

/// Whether a WebP's picture, or its first, is coded with loss; an error where a chunk claims more than the file
/// holds, since the decoder believes it.
fn webp_is_lossy(bytes: &[u8]) -> Result<bool, String> {
    let (mut rest, mut lossy) = (bytes.get(12..).unwrap_or_default(), None);
    while let Some(&[a, b, c, d, ..]) = rest.get(4..8) {
        let size = u32::from_le_bytes([a, b, c, d]) as usize;
        if size > rest.len() - 8 {
            return Err("cut short, or its chunks claim more than the file holds".to_owned());
        }
        // A frame of an animation begins with 16 bytes of its own, and its picture's chunk follows.
        let kind = if rest.starts_with(b"ANMF") { rest.get(24..28).unwrap_or_default() } else { &rest[..4] };
        lossy = lossy.or(match kind {
            b"VP8 " => Some(true),
            b"VP8L" => Some(false),
            _ => None,
        });
        rest = rest.get(8 + size + size % 2..).unwrap_or_default();
    }
    Ok(lossy.unwrap_or(true))
}

/// Whether a TIFF's first picture is coded with loss; an error where its tags claim more than the file holds,
/// since the decoder believes them.
fn tiff_is_lossy(bytes: &[u8], room: u64) -> Result<bool, String> {
    const COMPRESSION: u64 = 259;
    // None, CCITT's, LZW, deflate and packbits.
    const LOSSLESS: [u64; 9] = [1, 2, 3, 4, 5, 8, 32_773, 32_946, 50_000];
    /// The bytes of a value by its type's number, and in the decoder's memory.
    const SIZES: [u64; 14] = [1, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4];
    const HELD: u64 = 40;
    // Later tags, such as profiles and descriptions, are not decoded.
    const LAST: u64 = 532;
    let little = bytes.first() == Some(&b'I');
    let number = |bytes: &[u8]| {
        let digits = bytes.iter().map(|&b| u64::from(b));
        let join = |n: u64, digit| n << 8 | digit;
        if little { digits.rev().fold(0, join) } else { digits.fold(0, join) }
    };
    let first = bytes.get(4..8).map_or(usize::MAX, |offset| number(offset) as usize);
    let list = bytes.get(first..).unwrap_or_default();
    let count = list.get(..2).map_or(0, |count| number(count) as usize);
    let (mut lossy, mut held) = (false, 0);
    for entry in list.get(2..).unwrap_or_default().chunks_exact(12).take(count) {
        let [tag, kind, values] = [&entry[..2], &entry[2..4], &entry[4..8]].map(number);
        let size = SIZES.get(kind as usize).unwrap_or(&8);
        if tag <= LAST {
            held += values * HELD;
            if values * size > bytes.len() as u64 || held > room {
                return Err("its tags claim more than the file holds".to_owned());
            }
        }
        lossy |= tag == COMPRESSION && !LOSSLESS.contains(&number(&entry[8..10]));
    }
    Ok(lossy)
}

/// A PNG whose chunks have their right sums, so that what is wrong within them is read.
#[cfg(any(test, fuzzing))]
pub(crate) fn summed(bytes: &[u8]) -> Vec<u8> {
    let (mut png, mut start) = (bytes.to_vec(), 8);
    while let Some(length) = png.get(start..start + 4) {
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        let Some(body) = png.get(start + 4..start.saturating_add(8).saturating_add(length)) else { break };
        let mut crc = flate2::Crc::new();
        crc.update(body);
        let end = start + 8 + length;
        png.iter_mut().skip(end).zip(crc.sum().to_be_bytes()).for_each(|(b, sum)| *b = sum);
        start = end + 4;
    }
    png
}

#[cfg(test)]
pub(super) mod tests;
