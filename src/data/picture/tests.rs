//! Orientations, cut files, lossy codings and limits, on pictures that are made here.

use super::*;
use image::codecs::{png::PngEncoder, webp::WebPEncoder};
use image::{ExtendedColorType, ImageEncoder, Rgb};

/// A progressive JPEG and a lossy WebP of 12 x 8 pixels, which no encoder at hand writes.
pub(in crate::data) const PROGRESSIVE: &[u8] = include_bytes!("progressive.jpg");
pub(in crate::data) const LOSSY_WEBP: &[u8] = include_bytes!("lossy.webp");

/// A picture whose pixels differ from each other.
fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 23) as u8, (y * 29) as u8, ((x ^ y) * 17) as u8]))
}

pub(in crate::data) fn encoded(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(vec![]);
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// EXIF with an orientation, and a thumbnail behind it.
fn exif(orientation: u8, thumbnail: &[u8]) -> Vec<u8> {
    [
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(),
        &[orientation, 0, 0, 0, 0, 0, 0, 0],
        thumbnail,
    ]
    .concat()
}

/// A JPEG with a segment of EXIF behind its first marker.
fn with_exif(jpeg: &[u8], exif: &[u8]) -> Vec<u8> {
    let length = (exif.len() as u16 + 8).to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, b"Exif\0\0", exif, &jpeg[2..]].concat()
}

/// A TIFF of uncompressed RGB, or what claims to be compressed in this way.
pub(in crate::data) fn tiff(image: &RgbImage, orientation: u8, compression: u16) -> Vec<u8> {
    let (pixels, [w, h]) = (image.as_raw(), [image.width(), image.height()]);
    let short =
        |tag: u16, value: u32| [&tag.to_le_bytes()[..], b"\x03\0\x01\0\0\0", &value.to_le_bytes()].concat();
    let long =
        |tag: u16, value: u32| [&tag.to_le_bytes()[..], b"\x04\0\x01\0\0\0", &value.to_le_bytes()].concat();
    let bits = [&258_u16.to_le_bytes()[..], b"\x03\0\x03\0\0\0", &8_u32.to_le_bytes()].concat();
    let (size, folder) = (pixels.len() as u32, 14 + pixels.len() as u32);
    let tags = [
        [short(256, w), short(257, h), bits, short(259, compression.into()), short(262, 2)].concat(),
        [long(273, 14), short(274, orientation.into()), short(277, 3), short(278, h), long(279, size)]
            .concat(),
    ];
    [b"II*\0", &folder.to_le_bytes()[..], b"\x08\0\x08\0\x08\0", pixels, b"\x0a\0", &tags.concat(), &[0; 4]]
        .concat()
}

/// Where the pixel at (x, y) of a picture of w x h belongs, by EXIF's eight values.
fn upright(orientation: u8, [w, h]: [u32; 2], [x, y]: [u32; 2]) -> [u32; 2] {
    match orientation {
        2 => [w - 1 - x, y],
        3 => [w - 1 - x, h - 1 - y],
        4 => [x, h - 1 - y],
        5 => [y, x],
        6 => [h - 1 - y, x],
        7 => [h - 1 - y, w - 1 - x],
        8 => [y, w - 1 - x],
        _ => [x, y],
    }
}

fn turned(image: &RgbImage, orientation: u8) -> RgbImage {
    let (w, h) = image.dimensions();
    let mut out = if orientation >= 5 { RgbImage::new(h, w) } else { RgbImage::new(w, h) };
    for (x, y, pixel) in image.enumerate_pixels() {
        let [x, y] = upright(orientation, [w, h], [x, y]);
        out.put_pixel(x, y, *pixel);
    }
    out
}

/// The picture in each coding that can say how it lies.
fn oriented(image: &RgbImage, orientation: u8) -> [(&'static str, Vec<u8>, RgbImage); 4] {
    let (w, h) = image.dimensions();
    let exif = exif(orientation, &[]);
    let (mut png, mut webp) = (vec![], vec![]);
    let mut encoder = PngEncoder::new(&mut png);
    encoder.set_exif_metadata(exif.clone()).unwrap();
    encoder.write_image(image.as_raw(), w, h, ExtendedColorType::Rgb8).unwrap();
    let mut encoder = WebPEncoder::new_lossless(&mut webp);
    encoder.set_exif_metadata(exif.clone()).unwrap();
    encoder.write_image(image.as_raw(), w, h, ExtendedColorType::Rgb8).unwrap();
    let jpeg = encoded(image, ImageFormat::Jpeg);
    let plain = decode(&jpeg, None).unwrap();
    [
        ("png", png, image.clone()),
        ("webp", webp, image.clone()),
        ("tiff", tiff(image, orientation, 1), image.clone()),
        ("jpeg", with_exif(&jpeg, &exif), plain),
    ]
}

#[test]
fn every_orientation_is_turned_upright() {
    for image in [picture(6, 4), picture(5, 9), picture(7, 7)] {
        for orientation in 1..=8 {
            for (kind, bytes, stored) in oriented(&image, orientation) {
                let (expected, what) =
                    (turned(&stored, orientation), format!("{kind}, orientation {orientation}"));
                let header = header(&bytes).unwrap();
                let size = [expected.height() as usize, expected.width() as usize];
                assert_eq!((header.size, header.orientation), (size, orientation), "{what}");
                assert!(decode(&bytes, None).unwrap() == expected, "{what}");
                // The same square of the upright picture, but for the order of the sums.
                let [scaled, from_upright] = [&bytes, &encoded(&expected, ImageFormat::Png)]
                    .map(|bytes| decode(bytes, Some(3)).unwrap());
                let off = scaled.iter().zip(from_upright.iter()).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(off <= Some(1), "{what}, scaled: {off:?}");
            }
        }
    }
    // A value that does not exist is none.
    let bytes = tiff(&picture(6, 4), 9, 1);
    assert!(decode(&bytes, None).unwrap() == picture(6, 4));
}

#[test]
fn a_cut_jpeg_is_refused_whatever_its_thumbnail_ends_with() {
    let thumbnail = encoded(&picture(4, 4), ImageFormat::Jpeg);
    assert!(thumbnail.ends_with(&[0xff, 0xd9]));
    for jpeg in [encoded(&picture(40, 40), ImageFormat::Jpeg), PROGRESSIVE.to_vec()] {
        let whole = with_exif(&jpeg, &exif(1, &thumbnail));
        assert!(header(&whole).is_ok() && decode(&whole, None).is_ok());
        // Bytes behind the end do no harm; no cut before it goes unseen, nor one that was filled with zeros.
        assert!(decode(&[whole.as_slice(), &[0; 99]].concat(), None).is_ok());
        for cut in (3..whole.len() - 2).step_by(7).chain([whole.len() - 4, whole.len() - 3]) {
            let zeros = [&whole[..cut], &[0; 50]].concat();
            for bytes in [&whole[..cut], &zeros] {
                let error = header(bytes).unwrap_err();
                assert!(error.contains("cut short"), "{cut} of {}: {error}", whole.len());
            }
        }
    }
}

/// All blocks are there: only the end marker, or a part of it, is missing.
#[test]
fn a_jpeg_that_lacks_only_its_end_is_whole() {
    let flat = RgbImage::from_pixel(24, 40, Rgb([90; 3]));
    for jpeg in [&picture(40, 40), &picture(9, 17), &flat].map(|image| encoded(image, ImageFormat::Jpeg)) {
        let pixels = decode(&jpeg, None).unwrap();
        for lacks in [1, 2] {
            let cut = &jpeg[..jpeg.len() - lacks];
            assert!(decode(cut, None).unwrap() == pixels && decode_whole(cut, None).unwrap() == pixels);
            assert_eq!(header(cut), header(&jpeg));
        }
        assert!(decode_whole(&jpeg, None).unwrap() == pixels);
        // A segment that claims more than there is would hide the end that is added.
        let claims = [&jpeg[..jpeg.len() - 2], &[0xff, 0xc4, 0xff, 0xff]].concat();
        assert!(decode(&claims, None).unwrap_err().contains("cut short"));
    }
    let pixels = decode_whole(PROGRESSIVE, None).unwrap();
    assert!(decode(&PROGRESSIVE[..PROGRESSIVE.len() - 2], None).unwrap() == pixels);
}

/// A file whose scan has a hole, although it has its end.
#[test]
fn zeros_within_a_scan_are_found_where_blocks_are_missing() {
    // As smooth as photographs are: a block takes fewer bytes than zeros that make one.
    let image = RgbImage::from_fn(300, 300, |x, y| {
        let noise = (x * 7919 + y * 104_729) % 13;
        Rgb([x / 2 + noise, y / 3 + noise, (x + y) / 4].map(|value| value as u8))
    });
    let jpeg = encoded(&image, ImageFormat::Jpeg);
    let (mut found, mut holes) = (0, 0);
    for start in (jpeg.len() / 3..jpeg.len() - 600).step_by(200) {
        let mut broken = jpeg.clone();
        broken[start..start + 512].fill(0);
        let lacks = decode_whole(&broken, None).is_err_and(|error| error.contains("lacks blocks"));
        (found, holes) = (found + usize::from(lacks), holes + 1);
        // A scan that ends within the hole.
        let shorter = [&jpeg[..start], &jpeg[jpeg.len() - 2..]].concat();
        assert!(decode_whole(&shorter, None).unwrap_err().contains("lacks blocks"), "{start}");
    }
    assert!(holes > 5 && found > holes / 2, "{found} of {holes} holes found");
}

#[test]
fn other_cut_pictures_are_refused_too() {
    use ImageFormat::{Bmp, Gif, Png, Pnm, Tiff, WebP};
    let image = picture(40, 30);
    for format in [Bmp, Gif, Png, Pnm, Tiff, WebP] {
        let whole = encoded(&image, format);
        assert!(decode(&whole, None).is_ok(), "{format:?}");
        for cut in [whole.len() / 4, whole.len() / 2, whole.len() - 20] {
            assert!(decode(&whole[..cut], None).is_err(), "{format:?} cut at {cut} of {}", whole.len());
        }
    }
}

#[test]
fn what_was_coded_with_loss_is_known() {
    let (image, lossy) = (picture(6, 4), |bytes: &[u8]| header(bytes).unwrap().lossy);
    let exact = [
        ImageFormat::Png,
        ImageFormat::Bmp,
        ImageFormat::Gif,
        ImageFormat::Pnm,
        ImageFormat::WebP,
        ImageFormat::Tiff,
    ];
    for format in exact {
        assert!(!lossy(&encoded(&image, format)), "{format:?}");
    }
    // An extended WebP holds its picture in a later chunk.
    assert!(!lossy(&oriented(&image, 1)[1].1));
    assert!(lossy(PROGRESSIVE) && lossy(LOSSY_WEBP) && lossy(&encoded(&image, ImageFormat::Jpeg)));
    let room = 1 << 20;
    assert_eq!(tiff_is_lossy(&tiff(&image, 1, 1), room), Ok(false));
    assert_eq!(tiff_is_lossy(&tiff(&image, 1, 7), room), Ok(true));
    let deep = DynamicImage::ImageRgb8(image).into_rgb16();
    let mut bytes = Cursor::new(vec![]);
    deep.write_to(&mut bytes, ImageFormat::Png).unwrap();
    assert!(lossy(bytes.get_ref()));
}

#[test]
fn a_header_that_claims_too_much_is_refused() {
    // 30,000 x 30,000 in each kind of header, or the most that it can say.
    let mut bmp = encoded(&picture(4, 4), ImageFormat::Bmp);
    bmp[18..26].copy_from_slice(&[0x30, 0x75, 0, 0, 0x30, 0x75, 0, 0]);
    let mut gif = encoded(&picture(4, 4), ImageFormat::Gif);
    gif[6..10].copy_from_slice(&[0x30, 0x75, 0x30, 0x75]);
    let mut png = encoded(&picture(4, 4), ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]);
    let png = summed(&png);
    let mut large = tiff(&picture(4, 4), 1, 1);
    let tags = large.len() - 4 - 120;
    [8, 20, 104].iter().for_each(|at| large[tags + at..][..2].copy_from_slice(&[0x30, 0x75]));
    let size = |jpeg: &[u8], marker: u8, side: u16| {
        let at = jpeg.windows(2).position(|pair| pair == [0xff, marker]).unwrap();
        let mut jpeg = jpeg.to_vec();
        jpeg[at + 5..at + 9].copy_from_slice(&[side.to_be_bytes(), side.to_be_bytes()].concat());
        jpeg
    };
    let plain = encoded(&picture(4, 4), ImageFormat::Jpeg);
    let claims = [
        ("pnm", b"P6\n30000 30000\n255\n ".to_vec()),
        ("bmp", bmp),
        ("gif", gif),
        ("tiff", large),
        ("png", png),
        ("jpeg", size(&plain, 0xc0, 30_000)),
        // 2,800 x 2,800 fit, but not together with their coefficients.
        ("progressive", size(PROGRESSIVE, 0xc2, 2_800)),
    ];
    for (kind, bytes) in claims {
        for result in [header(&bytes).map(drop), decode(&bytes, Some(4)).map(drop)] {
            let error = result.unwrap_err();
            assert!(
                error.contains("scale it down") || error.to_lowercase().contains("limit"),
                "{kind}: {error}"
            );
        }
    }
    assert!(header(&size(&plain, 0xc0, 2_800)).is_ok());
    let mut many = PROGRESSIVE.to_vec();
    let end = many.split_off(many.len() - 2);
    (0..jpeg::SCANS).for_each(|_| many.extend([0xff, 0xda, 0, 2]));
    let error = header(&[many, end].concat()).unwrap_err();
    assert!(error.contains("scans"), "{error}");
}

#[test]
fn a_decoder_that_panics_is_an_error() {
    let error = guarded::<()>(|| panic!("as decoders do")).unwrap_err();
    assert_eq!(error, "damaged: its decoder gave up");
    // Decoders panic on colours of more samples than the brightness has.
    let mut finer = encoded(&picture(4, 4), ImageFormat::Jpeg);
    let frame = finer.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    let [first, second] = [frame + 11, frame + 14];
    (finer[first], finer[second]) = (0x11, 0x41);
    assert!(header(&finer).unwrap_err().contains("finer than its brightness"));
}

#[test]
fn pictures_are_known_by_their_content() {
    for (bytes, format) in [
        (&b"P5\n1 1\n255\n\0"[..], Some(ImageFormat::Pnm)),
        (b"P5ychology", None),
        (b"II*\0\x08\0\0\0", Some(ImageFormat::Tiff)),
        (b"MM\0*\0\0\0\x08", Some(ImageFormat::Tiff)),
        (b"\0\0\0\x18ftypheic", None),
        (b"<html>", None),
        (b"", None),
    ] {
        assert_eq!(recognise(bytes), format, "{bytes:?}");
    }
}
