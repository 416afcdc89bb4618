//! What a model does with a picture that it is given: it colours a grey one, enlarges a small one, or fills the hole
//! in one.
//!
//! Of a picture, a task makes what is drawn and what is given, the hint, both as bytes. Colours are Rec. 709's: the
//! hint of a colour picture is its [`luma`] Y, and what is drawn is Cb and Cr around 128, in steps of one level, so
//! that a picture comes back within a level or two of what it was.

use super::images::{Images, luma};
use crate::rng::{self, RandomStream};
use std::{fmt, str::FromStr};

/// What a model does with a picture that it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// It draws the colours of a grey picture. The hint is the brightness, one channel.
    Colourise,
    /// It draws a picture that is so many times larger than the given one, 2 or 4. The hint is the mean of each
    /// block of pixels, at each of its pixels.
    Upscale(usize),
    /// It draws what is missing. The hint is the picture with 0 in the hole, and as its last channel where the hole
    /// is.
    Inpaint,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Task::Colourise => f.write_str("colourise"),
            Task::Upscale(factor) => write!(f, "upscale={factor}"),
            Task::Inpaint => f.write_str("inpaint"),
        }
    }
}

impl FromStr for Task {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Task::Colourise, Task::Upscale(2), Task::Upscale(4), Task::Inpaint]
            .into_iter()
            .find(|task| task.to_string() == text)
            .ok_or_else(|| "wants colourise, upscale=2, upscale=4 or inpaint".into())
    }
}

impl Task {
    /// The channels of what is drawn and of the hint, for pictures of so many channels.
    pub fn channels(self, c: usize) -> [usize; 2] {
        match self {
            Task::Colourise => [2, 1],
            Task::Upscale(_) => [c, c],
            Task::Inpaint => [c, c + 1],
        }
    }

    /// Checks that the task can be done on images of this height, width and number of channels.
    ///
    /// # Errors
    /// One line about images that it cannot be done on.
    pub fn check(self, [h, w, c]: [usize; 3]) -> Result<(), String> {
        match self {
            Task::Colourise if c != 3 => Err(format!("{self}: the images have no colours; give others")),
            Task::Upscale(f) if !h.is_multiple_of(f) || !w.is_multiple_of(f) => Err(format!(
                "{self}: images of {h}x{w} pixels do not shrink by {f}; scale them to another image size"
            )),
            _ => Ok(()),
        }
    }

    /// What is drawn, `[H, W, drawn]`, and the hint, `[H, W, hint]`, of a picture `[H, W, C]`, of which pixels are
    /// missing, counted row by row.
    ///
    /// # Panics
    /// Panics if the picture has another size.
    pub fn of(self, picture: &[u8], [h, w, c]: [usize; 3], missing: impl Fn(usize) -> bool) -> [Vec<u8>; 2] {
        assert_eq!(picture.len(), h * w * c, "a picture of {h} x {w} x {c}");
        match self {
            Task::Colourise => {
                let pixels = || picture.chunks_exact(3).map(|p| [p[0], p[1], p[2]]);
                [pixels().flat_map(chroma).collect(), pixels().map(luma).collect()]
            }
            Task::Upscale(f) => {
                let small = shrink(picture, [h, w, c], f);
                [picture.to_vec(), enlarge(&small, [h / f, w / f, c], f)]
            }
            Task::Inpaint => {
                let pixels = picture.chunks_exact(c).enumerate();
                let with_hole = |(i, pixel): (usize, &[u8])| match missing(i) {
                    true => std::iter::repeat_n(0, c).chain([255]).collect::<Vec<_>>(),
                    false => pixel.iter().copied().chain([0]).collect(),
                };
                [picture.to_vec(), pixels.flat_map(with_hole).collect()]
            }
        }
    }

    /// The picture of what was drawn and the hint, whose values are in [0, 1]: `[…, H, W, drawn]` and `[…, H, W,
    /// hint]` to `[…, H, W, C]`.
    pub fn picture(self, drawn: &[f32], hint: &[f32]) -> Vec<f32> {
        match self {
            Task::Colourise => drawn
                .chunks_exact(2)
                .zip(hint)
                .flat_map(|(chroma, &y)| rgb(y, [chroma[0], chroma[1]]))
                .collect(),
            Task::Upscale(_) | Task::Inpaint => drawn.to_vec(),
        }
    }

    /// A hint as a picture of `c` channels, as [`Task::picture`] gives it; a hole is grey.
    pub fn shown(self, hint: &[f32], c: usize) -> Vec<f32> {
        match self {
            Task::Colourise => hint.iter().flat_map(|&y| [y; 3]).collect(),
            Task::Upscale(_) => hint.to_vec(),
            Task::Inpaint => hint
                .chunks_exact(c + 1)
                .flat_map(|pixel| pixel[..c].iter().map(move |v| v + 0.5 * pixel[c]))
                .collect(),
        }
    }

    /// Prepares images to measure on: whoever measures, measures on the same holes, which become their last channel.
    /// The hole is a function of an image's number alone. Random stream: `inpaint/once`.
    pub fn hold_out(self, images: &mut Images) {
        if self != Task::Inpaint {
            return;
        }
        let key = RandomStream::new("inpaint/once").key([0, 0]);
        let (size, c) = ([images.height, images.width], images.channels);
        let mut pixels = Vec::with_capacity(images.count * size[0] * size[1] * (c + 1));
        for (i, image) in images.pixels.chunks_exact(size[0] * size[1] * c).enumerate() {
            let hole = Hole::drawn([0, 1, 2, 3].map(|j| rng::uniform(key, i as u32, j)), size);
            for (p, pixel) in image.chunks_exact(c).enumerate() {
                pixels.extend_from_slice(pixel);
                pixels.push(if hole.holds([p / size[1], p % size[1]]) { 255 } else { 0 });
            }
        }
        (images.pixels, images.channels) = (pixels, c + 1);
    }
}

/// A rectangle that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The first row and column.
    pub at: [usize; 2],
    /// The numbers of rows and columns.
    pub size: [usize; 2],
}

impl Hole {
    /// The least and the most rows, or columns, of a hole in so many: from a quarter to a half.
    pub fn sides(n: usize) -> [usize; 2] {
        let least = (n / 4).max(1);
        [least, (n / 2).max(least)]
    }

    /// The hole that four uniform numbers in [0, 1) make in an image of so many rows and columns: rows, columns, the
    /// first row, the first column.
    pub fn drawn(u: [f32; 4], [h, w]: [usize; 2]) -> Self {
        let below = |u: f32, n: usize| (u * n as f32).floor() as usize;
        let side = |u, n| {
            let [least, most] = Self::sides(n);
            least + below(u, most - least + 1)
        };
        let size = [side(u[0], h), side(u[1], w)];
        Self { at: [below(u[2], h - size[0] + 1), below(u[3], w - size[1] + 1)], size }
    }

    /// Whether a pixel (row, column) is missing.
    pub fn holds(&self, pixel: [usize; 2]) -> bool {
        (0..2).all(|d| (self.at[d]..self.at[d] + self.size[d]).contains(&pixel[d]))
    }
}

/// Cb and Cr of a colour, Rec. 709's, rounded; 128 is no colour.
pub fn chroma([r, g, b]: [u8; 3]) -> [u8; 2] {
    let [r, g, b] = [r, g, b].map(i64::from);
    let level = |sum: i64, of: i64| (128 + (2 * sum + of).div_euclid(2 * of)).clamp(0, 255) as u8;
    [level(9_278 * b - 2_126 * r - 7_152 * g, 18_556), level(7_874 * r - 7_152 * g - 722 * b, 15_748)]
}

/// The colour in [0, 1] of a brightness and of Cb and Cr, all in [0, 1].
pub fn rgb(y: f32, chroma: [f32; 2]) -> [f32; 3] {
    let [cb, cr] = chroma.map(|v| v - 128.0 / 255.0);
    let [r, b] = [y + 1.5748 * cr, y + 1.8556 * cb];
    [r, (y - 0.2126 * r - 0.0722 * b) / 0.7152, b].map(|v| v.clamp(0.0, 1.0))
}

/// The rounded mean of each block of `f` x `f` pixels of a picture `[H, W, C]`.
pub fn shrink(picture: &[u8], [h, w, c]: [usize; 3], f: usize) -> Vec<u8> {
    let mean = |i: usize| {
        let [y, x, channel] = [i / c / (w / f) * f, i / c % (w / f) * f, i % c];
        let at = |t: usize| usize::from(picture[((y + t / f) * w + x + t % f) * c + channel]);
        ((0..f * f).map(at).sum::<usize>() + f * f / 2) / (f * f)
    };
    (0..h / f * (w / f) * c).map(|i| mean(i) as u8).collect()
}

/// Each pixel of a picture `[H, W, C]` repeated to `f` x `f` pixels.
pub fn enlarge(picture: &[u8], [h, w, c]: [usize; 3], f: usize) -> Vec<u8> {
    let at = |i: usize| (i / c / (w * f) / f * w + i / c % (w * f) / f) * c + i % c;
    (0..h * f * w * f * c).map(|i| picture[at(i)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_its_name() {
        for name in ["colourise", "upscale=2", "upscale=4", "inpaint"] {
            assert_eq!(name.parse::<Task>().unwrap().to_string(), name);
        }
        assert!("upscale=3".parse::<Task>().unwrap_err().contains("upscale=4"));
        assert!(Task::Colourise.check([8, 8, 1]).unwrap_err().contains("no colours"));
        assert!(Task::Upscale(4).check([28, 30, 1]).unwrap_err().contains("image size"));
        assert!(Task::Upscale(4).check([28, 32, 1]).is_ok() && Task::Inpaint.check([5, 7, 1]).is_ok());
    }

    /// Known values of Rec. 709: white, black and grey have no colour, and blue has the largest Cb.
    #[test]
    fn colours_come_back_within_two_levels() {
        for grey in [0, 77, 255] {
            assert_eq!(chroma([grey; 3]), [128, 128]);
        }
        assert_eq!([chroma([0, 0, 255]), chroma([255, 0, 0])], [[255, 116], [99, 255]]);
        assert_eq!(chroma([255, 255, 0]), [1, 140]);
        let mut worst = 0.0_f32;
        for i in 0..4096_u32 {
            let colour = [i, i / 16, i / 256].map(|v| (v % 16 * 17) as u8);
            let [cb, cr] = chroma(colour).map(|v| f32::from(v) / 255.0);
            let back = rgb(f32::from(luma(colour)) / 255.0, [cb, cr]);
            for (back, was) in back.iter().zip(colour) {
                worst = worst.max((back * 255.0 - f32::from(was)).abs());
            }
        }
        assert!(worst < 2.0, "{worst} levels off");
    }

    #[test]
    fn blocks_are_their_means() {
        // Two rows of four pixels of two channels.
        let picture = [0, 9, 1, 9, 10, 0, 10, 0, 2, 9, 4, 9, 20, 0, 20, 1];
        assert_eq!(shrink(&picture, [2, 4, 2], 2), [2, 9, 15, 0]);
        let large = enlarge(&[2, 9, 15, 0], [1, 2, 2], 2);
        assert_eq!(large, [[2, 9, 2, 9, 15, 0, 15, 0]; 2].concat());
        let [drawn, hint] = Task::Upscale(2).of(&picture, [2, 4, 2], |_| false);
        assert_eq!((drawn, hint), (picture.to_vec(), large));
    }

    #[test]
    fn holes_are_within_the_picture_and_of_all_sizes() {
        let key = RandomStream::new("test").key([1, 2]);
        let (mut rows, mut columns, mut ends) = ([0; 9], [0; 9], [0; 2]);
        for i in 0..2000 {
            let hole = Hole::drawn([0, 1, 2, 3].map(|j| rng::uniform(key, i, j)), [8, 12]);
            assert!(hole.at[0] + hole.size[0] <= 8 && hole.at[1] + hole.size[1] <= 12, "{hole:?}");
            rows[hole.size[0]] += 1;
            columns[hole.size[1]] += 1;
            ends[0] += usize::from(hole.at == [0, 0]);
            ends[1] += usize::from(hole.at[0] + hole.size[0] == 8 && hole.at[1] + hole.size[1] == 12);
        }
        let even = |counts: &[i32], of: f64| counts.iter().all(|&n| (f64::from(n) - of).abs() < 0.2 * of);
        assert!(even(&rows[2..=4], 2000.0 / 3.0) && even(&columns[3..=6], 500.0), "{rows:?} {columns:?}");
        assert!(ends.iter().all(|&n| n > 10), "{ends:?}");
    }

    #[test]
    fn a_hole_is_told_apart_from_black() {
        let hole = Hole { at: [0, 1], size: [1, 2] };
        let missing = |i| hole.holds([i / 3, i % 3]);
        let [drawn, hint] = Task::Inpaint.of(&[7, 8, 9, 10, 11, 12], [2, 3, 1], missing);
        assert_eq!(drawn, [7, 8, 9, 10, 11, 12]);
        assert_eq!(hint, [7, 0, 0, 255, 0, 255, 10, 0, 11, 0, 12, 0]);
        let unit: Vec<f32> = hint.iter().map(|&b| f32::from(b) / 255.0).collect();
        assert_eq!(Task::Inpaint.shown(&unit, 1)[..2], [7.0 / 255.0, 0.5]);
    }

    #[test]
    fn held_out_holes_are_those_of_the_image_alone() {
        let images = |count: usize| Images {
            count,
            height: 8,
            width: 8,
            channels: 1,
            classes: 0,
            pixels: vec![3; count * 64],
            labels: None,
        };
        let [mut few, mut many] = [images(2), images(9)];
        [&mut few, &mut many].into_iter().for_each(|images| Task::Inpaint.hold_out(images));
        assert_eq!((few.channels, &few.pixels[..]), (2, &many.pixels[..256]));
        assert_ne!(many.pixels[..128], many.pixels[128..256]);
        let mut same = images(2);
        Task::Upscale(2).hold_out(&mut same);
        assert_eq!((same.channels, same.pixels), (1, images(2).pixels));
    }
}
