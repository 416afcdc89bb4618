//! The extents of a recurrence over images.

use super::front::{Front, Order};
use crate::graph::shape::{DType, Shape, Type};

/// The numbers of a state that are kept for each unit: h, c, and the gates o, f, i, g.
pub(super) const KEPT: usize = 6;

/// The numbers of images, rows, columns and units.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extents {
    pub(super) n: usize,
    pub(super) image: [usize; 2],
    pub(super) units: usize,
}

impl Extents {
    /// The extents from gates `[N, H, W, 4·units]` and weights `[T, units, 4·units]`.
    pub(super) fn new(order: Order, gates: &Type, weight: &Type) -> Result<Self, String> {
        let (&[n, h, w, made], &[taps, units, of]) = (&gates.shape[..], &weight.shape[..]) else {
            return Err(format!(
                "takes gates [N, H, W, 4U] and weights [T, U, 4U], got {gates:?} and {weight:?}"
            ));
        };
        if matches!(order, Order::Rows(width) if width % 2 == 0) {
            return Err(format!("{order:?} sees an odd number of states of the row above"));
        }
        let floats = [gates, weight].iter().all(|t| t.dtype == DType::F32);
        if !floats || n * h * w * units == 0 || [made, of] != [4 * units; 2] || taps != order.taps().len() {
            return Err(format!(
                "takes f32 gates [N, H, W, 4U] and weights [{}, U, 4U], got {gates:?} and {weight:?}",
                order.taps().len()
            ));
        }
        Ok(Self { n, image: [h, w], units })
    }

    /// The extents from what [`Scan`] kept.
    pub(super) fn of_kept(kept: &Shape) -> Self {
        Self { n: kept[1], image: [kept[2], kept[3]], units: kept[4] }
    }

    /// An error unless these are states and what [`Scan`] kept.
    pub(super) fn check(self, [states, kept]: [&Type; 2]) -> Result<(), String> {
        let all = [KEPT, self.n, self.image[0], self.image[1], self.units];
        match *states == Type::f32(self.shape(self.units)) && *kept == Type::f32(all) {
            true => Ok(()),
            false => Err(format!(
                "takes states {:?} and what a scan kept, got {states:?} and {kept:?}",
                self.shape(self.units)
            )),
        }
    }

    /// The units of all states.
    pub(super) fn states(self) -> usize {
        self.n * self.image[0] * self.image[1] * self.units
    }

    /// The number of units that an invocation makes.
    pub(super) fn at_once(self) -> usize {
        if self.units.is_multiple_of(4) { 4 } else { 1 }
    }

    pub(super) fn shape(self, channels: usize) -> Shape {
        [self.n, self.image[0], self.image[1], channels].into()
    }

    /// The pixel at an offset from pixel p of all images, if it lies within the image.
    pub(super) fn neighbour(self, p: usize, [dy, dx]: [i32; 2]) -> Option<usize> {
        let [h, w] = self.image;
        let (y, x) = ((p / w % h) as i32 + dy, (p % w) as i32 + dx);
        let inside = (0..h as i32).contains(&y) && (0..w as i32).contains(&x);
        inside.then(|| (p / (h * w) * h + y as usize) * w + x as usize)
    }

    /// The pixels of a front in all images.
    pub(super) fn pixels(self, front: Front) -> impl Iterator<Item = usize> {
        let [h, w] = self.image;
        (0..self.n).flat_map(move |z| front.pixels().map(move |[y, x]| (z * h + y) * w + x))
    }
}
