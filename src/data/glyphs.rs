//! A digit is a few pen strokes, and a person's hand is a few numbers that bend them.
//!
//! "glyphs" is the data set that needs no file: 28 x 28 grey digits, white on black, drawn from a
//! seed. For each picture, one of the ways to write its digit is chosen; its points are jittered,
//! and the whole is slanted, turned and stretched, then fitted to 20 pixels and centred by mass as
//! MNIST's digits are, and inked by a round pen whose width wanders and whose edge is soft.
//!
//! Image i depends only on (seed, i): a longer set begins with the shorter one. Only sums,
//! products, quotients and square roots of `f32` are used, which IEEE 754 rounds in one way, so
//! the bytes are the same on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::images::Images;
use super::order::{below, shuffle, stream};
use super::strokes::{Stroke, WAYS};

/// The height and width of a glyph, in pixels.
pub const SIDE: usize = 28;
/// The number of classes: the ten digits.
pub const CLASSES: usize = 10;
/// The version of the drawing; it goes up when any pixel of any glyph changes.
pub const GLYPHS_VERSION: u32 = 1;

/// The number of straight pieces between two points of a stroke.
const PIECES: usize = 6;
/// Half the width of the pen's edge at its softest, in pixels.
const SOFTEST: f32 = 0.85;
/// The least distance from the ink's edge to the picture's: one black pixel and the soft edge.
const BORDER: f32 = 1.0 + SOFTEST;

/// Draws `count` labelled digits, `[count, 28, 28, 1]`, from `seed`.
///
/// Image i depends only on `seed` and i. Every ten images, from the first on, hold each digit
/// once, in random order.
pub fn glyphs(count: usize, seed: u64) -> Images {
    draw_set(count, seed, 0)
}

/// Draws like [`glyphs`], but by a hand whose digits no call of [`glyphs`] gives, whatever its seed.
pub fn held_out(count: usize, seed: u64) -> Images {
    draw_set(count, seed, 1)
}

fn draw_set(count: usize, seed: u64, split: u64) -> Images {
    let mut pixels = Vec::with_capacity(count * SIDE * SIDE);
    let mut labels = Vec::with_capacity(count);
    let mut digits = [0_u8; CLASSES];
    for index in 0..count {
        let (block, place) = (index / CLASSES, index % CLASSES);
        if place == 0 {
            digits = std::array::from_fn(|digit| digit as u8);
            shuffle(&mut stream(b"glyphlbl", seed, split, block as u64), &mut digits);
        }
        let mut hand = Hand(stream(b"glyphpix", seed, split, index as u64));
        pixels.extend_from_slice(&draw(digits[place], &mut hand));
        labels.push(digits[place]);
    }
    Images { count, height: SIDE, width: SIDE, channels: 1, classes: CLASSES, pixels, labels: Some(labels) }
}

/// The random numbers of one picture.
struct Hand(ChaCha8Rng);

impl Hand {
    /// A uniform number in [0, 1), a multiple of 2^-24.
    fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / 16_777_216.0
    }

    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// A number from a bell-shaped distribution, a sum of four uniforms: its mean is 0, its deviation 1, and
    /// it is never beyond 3.5.
    fn bell(&mut self) -> f32 {
        let sum = self.unit() + self.unit() + self.unit() + self.unit();
        (sum - 2.0) * 1.732_050_8
    }

    /// One of the ways to write a digit, drawn by their weights.
    fn way(&mut self, digit: u8) -> &'static [Stroke] {
        let ways = WAYS[usize::from(digit)];
        let mut left = below(&mut self.0, ways.iter().map(|way| way.weight).sum());
        for way in ways {
            if left < way.weight {
                return way.strokes;
            }
            left -= way.weight;
        }
        unreachable!("the weights were summed")
    }
}

/// A point of the pen's path, with the pen's half width there.
#[derive(Clone, Copy, PartialEq)]
struct Dot {
    x: f32,
    y: f32,
    radius: f32,
}

/// A straight piece of the pen's path.
type Piece = (Dot, Dot);

fn draw(digit: u8, hand: &mut Hand) -> [u8; SIDE * SIDE] {
    let strokes = hand.way(digit);
    let radius = (1.32 + 0.30 * hand.bell()).max(0.8);
    let paths = bend(digit, strokes, radius, hand);
    let mut pieces = Vec::with_capacity(128);
    for path in &paths {
        smooth(path, &mut pieces);
    }
    fit(&mut pieces, hand.between(18.6, 20.0));
    ink(&pieces, hand)
}

/// Jitters the points, then slants, stretches and turns the whole; radii are in pixels.
fn bend(digit: u8, strokes: &[Stroke], radius: f32, hand: &mut Hand) -> Vec<Vec<Dot>> {
    // A one is little else than its slant, and people slant it more than other digits.
    let (slant_mean, slant_spread) = if digit == 1 { (0.24, 0.24) } else { (0.22, 0.17) };
    let slant = slant_mean + slant_spread * hand.bell();
    let sine = 0.07 * hand.bell();
    let cosine = (1.0 - sine * sine).sqrt();
    let stretch = 1.05 + 0.15 * hand.bell();
    // Bending y makes one half of the digit larger than the other.
    let bias = 0.10 * hand.bell();
    let jitter = hand.between(0.013, 0.037);

    let mut paths = Vec::with_capacity(strokes.len());
    for stroke in strokes {
        let mut path: Vec<Dot> = Vec::with_capacity(stroke.len());
        for (at, &(x, y)) in stroke.iter().enumerate() {
            // A doubled point is one corner and must stay one.
            if at > 0 && stroke[at - 1] == (x, y) {
                path.push(path[at - 1]);
                continue;
            }
            let x = (x - 0.3 + jitter * hand.bell()) * stretch;
            let y = y + 4.0 * bias * y * (1.0 - y) - 0.5 + jitter * hand.bell();
            let x = x - slant * y;
            path.push(Dot {
                x: cosine * x - sine * y,
                y: sine * x + cosine * y,
                radius: radius * (1.0 + 0.09 * hand.bell()),
            });
        }
        paths.push(path);
    }
    paths
}

/// Cuts the Catmull–Rom curve through `path` into straight pieces; ends and corners stay sharp.
fn smooth(path: &[Dot], pieces: &mut Vec<Piece>) {
    for at in 1..path.len() {
        let (from, to) = (path[at - 1], path[at]);
        if from == to {
            continue;
        }
        let before = path[at.saturating_sub(2)];
        let after = path[(at + 1).min(path.len() - 1)];
        let mut last = from;
        for piece in 1..=PIECES {
            let t = piece as f32 / PIECES as f32;
            let next = Dot {
                x: catmull_rom([before.x, from.x, to.x, after.x], t),
                y: catmull_rom([before.y, from.y, to.y, after.y], t),
                radius: from.radius + (to.radius - from.radius) * t,
            };
            pieces.push((last, next));
            last = next;
        }
    }
}

/// The value between the middle two of four points, at `t` in [0, 1].
fn catmull_rom([a, b, c, d]: [f32; 4], t: f32) -> f32 {
    let slope = c - a;
    let bow = 2.0 * a - 5.0 * b + 4.0 * c - d;
    let twist = 3.0 * (b - c) + d - a;
    b + 0.5 * t * (slope + t * (bow + t * twist))
}

/// Scales the drawing so that its longer side, ink included, is `size` pixels, and puts the centre
/// of its ink into the centre of the picture.
fn fit(pieces: &mut [Piece], size: f32) {
    let (mut low, mut high) = ([f32::MAX; 2], [f32::MIN; 2]);
    let mut radius = 0.0_f32;
    for (_, dot) in pieces.iter() {
        low = [low[0].min(dot.x), low[1].min(dot.y)];
        high = [high[0].max(dot.x), high[1].max(dot.y)];
        radius = radius.max(dot.radius);
    }
    let extent = (high[0] - low[0]).max(high[1] - low[1]);
    let scale = (size - 2.0 * radius) / extent;

    let (mut mass, mut sum) = (0.0, [0.0; 2]);
    for (from, to) in pieces.iter() {
        let (dx, dy) = (to.x - from.x, to.y - from.y);
        let ink = (dx * dx + dy * dy).sqrt() * (from.radius + to.radius);
        mass += ink;
        sum[0] += ink * (from.x + to.x) / 2.0;
        sum[1] += ink * (from.y + to.y) / 2.0;
    }
    let centre = [sum[0] / mass, sum[1] / mass];
    let middle: [f32; 2] = std::array::from_fn(|axis| {
        // A lopsided digit is moved back from the border, which stays black.
        let margin = radius + BORDER;
        let first = margin + (centre[axis] - low[axis]) * scale;
        let last = SIDE as f32 - margin - (high[axis] - centre[axis]) * scale;
        (SIDE as f32 / 2.0).max(first).min(last)
    });
    let place = |dot: &mut Dot| {
        dot.x = (dot.x - centre[0]) * scale + middle[0];
        dot.y = (dot.y - centre[1]) * scale + middle[1];
        // A fat pen would close the loops of a digit that its slant has made small.
        dot.radius = dot.radius.min(0.115 * scale);
    };
    for (from, to) in pieces {
        place(from);
        place(to);
    }
}

/// Inks every pixel by its distance to the nearest piece; the background stays exactly 0.
fn ink(pieces: &[Piece], hand: &mut Hand) -> [u8; SIDE * SIDE] {
    let softness = hand.between(0.5, SOFTEST);
    let full = 255.0 * (1.0 - 0.06 * hand.unit() * hand.unit());
    let grain = 0.05 * hand.unit();

    // Signed distance of each pixel's centre to the ink's edge, negative inside.
    let mut edge = [f32::MAX; SIDE * SIDE];
    for &(from, to) in pieces {
        let reach = from.radius.max(to.radius) + softness;
        let (dx, dy) = (to.x - from.x, to.y - from.y);
        let inverse = 1.0 / (dx * dx + dy * dy).max(1e-12);
        for row in span(from.y, to.y, reach) {
            for column in span(from.x, to.x, reach) {
                let (px, py) = (column as f32 + 0.5 - from.x, row as f32 + 0.5 - from.y);
                let along = ((px * dx + py * dy) * inverse).clamp(0.0, 1.0);
                let (ox, oy) = (px - along * dx, py - along * dy);
                let radius = from.radius + (to.radius - from.radius) * along;
                let distance = (ox * ox + oy * oy).sqrt() - radius;
                let nearest = &mut edge[row * SIDE + column];
                *nearest = nearest.min(distance);
            }
        }
    }
    edge.map(|distance| {
        let t = ((softness - distance) / (2.0 * softness)).clamp(0.0, 1.0);
        if t == 0.0 {
            return 0;
        }
        let cover = t * t * (3.0 - 2.0 * t);
        (full * cover * (1.0 - grain * hand.unit())) as u8
    })
}

/// The rows or columns whose centres a piece from `a` to `b` can reach.
fn span(a: f32, b: f32, reach: f32) -> std::ops::Range<usize> {
    // Casts to usize stop at 0, so what lies left of or above the picture is left out.
    let first = (a.min(b) - reach) as usize;
    let last = (a.max(b) + reach) as usize + 1;
    first.min(SIDE)..last.min(SIDE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_does_not_change_with_the_count() {
        let (short, long) = (glyphs(13, 7), glyphs(40, 7));
        assert_eq!(short.pixels[..], long.pixels[..short.pixels.len()]);
        assert_eq!(short.labels.as_deref(), long.labels.as_deref().map(|l| &l[..13]));
    }

    #[test]
    fn seeds_and_splits_differ() {
        assert_eq!(glyphs(10, 1).pixels, glyphs(10, 1).pixels);
        assert_ne!(glyphs(10, 1).pixels, glyphs(10, 2).pixels);
        assert_ne!(glyphs(10, 1).pixels, held_out(10, 1).pixels);
    }

    #[test]
    fn every_ten_hold_each_digit_once() {
        let images = glyphs(200, 3);
        let labels = images.labels.unwrap();
        for ten in labels.chunks(10) {
            let mut ten = ten.to_vec();
            ten.sort_unstable();
            assert_eq!(ten, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        }
        assert_ne!(labels[..10], labels[10..20]);
    }

    #[test]
    fn the_first_glyphs_are_the_recorded_ones() {
        // FNV-1a over the bytes: any change of any pixel must raise GLYPHS_VERSION.
        let hash = glyphs(100, 0).pixels.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        assert_eq!((GLYPHS_VERSION, hash), (1, 4_778_757_287_880_921_753));
    }

    #[test]
    fn digits_fill_the_middle_and_leave_the_border() {
        let images = glyphs(1000, 5);
        for image in images.pixels.chunks(SIDE * SIDE) {
            let (mut mass, mut sum) = (0.0, [0.0; 2]);
            for (at, &value) in image.iter().enumerate() {
                let (row, column) = (at / SIDE, at % SIDE);
                let outermost = row == 0 || column == 0 || row == SIDE - 1 || column == SIDE - 1;
                assert!(!outermost || value == 0);
                mass += f32::from(value);
                sum[0] += f32::from(value) * (row as f32 + 0.5);
                sum[1] += f32::from(value) * (column as f32 + 0.5);
            }
            // MNIST's mean ink is 33 of 255 per pixel, a thin one 8, a fat zero 100.
            let mean = mass / (SIDE * SIDE) as f32;
            assert!((6.0..110.0).contains(&mean), "mean ink {mean}");
            for axis in sum {
                assert!((axis / mass - 14.0).abs() < 1.5, "centre {}", axis / mass);
            }
        }
    }
}
