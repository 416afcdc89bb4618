//! The order in which a recurrence goes over the pixels of an image. A front is the pixels of one scan step:
//! a row or a diagonal. Its states see only states of earlier fronts.
//!
//! The numbers are the scan steps of an image of 3 x 4 pixels:
//!
//! ```text
//! Rows          Diagonals     Mirrored
//! 0 0 0 0       0 1 2 3       3 2 1 0
//! 1 1 1 1       1 2 3 4       4 3 2 1
//! 2 2 2 2       2 3 4 5       5 4 3 2
//! ```

use crate::graph::window::Window;

/// An order of scanning, with the pixels whose states a pixel's state sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Row after row. A state sees this odd number of states of the row above, and goes on from the middle one
    /// (Row LSTM, van den Oord et al. 2016, §3.1).
    Rows(usize),
    /// Diagonal after diagonal, from the upper left. A state sees the one above and the one to the left, from
    /// which it goes on (Diagonal BiLSTM, §3.2).
    Diagonals,
    /// The mirror image: from the upper right, a state goes on from the one to the right.
    Mirrored,
}

/// The pixels of one scan step: pixel (i, j) of the lattice is the image's pixel (first row + i, first column
/// + j + shear·i).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Front {
    pub(super) lattice: [usize; 2],
    pub(super) first: [usize; 2],
    pub(super) shear: i32,
}

impl Front {
    /// The pixels, as rows and columns.
    pub(super) fn pixels(self) -> impl Iterator<Item = [usize; 2]> {
        let Self { lattice: [rows, columns], first, shear } = self;
        let column = move |i: usize, j: usize| (first[1] + j) as i32 + shear * i as i32;
        (0..rows).flat_map(move |i| (0..columns).map(move |j| [first[0] + i, column(i, j) as usize]))
    }
}

impl Order {
    /// The offsets of the pixels whose states a pixel's state sees. The state-to-state weights follow this
    /// list.
    pub fn taps(self) -> Vec<[i32; 2]> {
        match self {
            Order::Rows(width) => (0..width as i32).map(|j| [-1, j - width as i32 / 2]).collect(),
            Order::Diagonals => vec![[-1, 0], [0, -1]],
            Order::Mirrored => vec![[-1, 0], [0, 1]],
        }
    }

    /// The offset of the pixel whose cell goes on.
    pub fn carried(self) -> [i32; 2] {
        match self {
            Order::Rows(_) => [-1, 0],
            Order::Diagonals => [0, -1],
            Order::Mirrored => [0, 1],
        }
    }

    /// What the states of an image see of each other.
    pub(super) fn window(self, image: [usize; 2]) -> Window {
        Window { image, made: image, stride: [1; 2], taps: self.taps() }
    }

    /// The scan steps over an image.
    pub(super) fn fronts(self, [h, w]: [usize; 2]) -> Vec<Front> {
        let diagonal = |s: usize| {
            let top = (s + 1).saturating_sub(w);
            let (rows, left) = (h.min(s + 1) - top, s - top);
            match self {
                Order::Mirrored => Front { lattice: [rows, 1], first: [top, w - 1 - left], shear: 1 },
                _ => Front { lattice: [rows, 1], first: [top, left], shear: -1 },
            }
        };
        match self {
            Order::Rows(_) => (0..h).map(|s| Front { lattice: [1, w], first: [s, 0], shear: 0 }).collect(),
            _ => (0..h + w - 1).map(diagonal).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fronts_cover_the_image_once_and_see_earlier_fronts_only() {
        for order in [Order::Rows(3), Order::Rows(1), Order::Diagonals, Order::Mirrored] {
            for [h, w] in [[1, 1], [1, 5], [5, 1], [3, 4], [4, 3], [7, 7]] {
                let mut step = vec![None; h * w];
                for (s, front) in order.fronts([h, w]).into_iter().enumerate() {
                    for [y, x] in front.pixels() {
                        assert_eq!(step[y * w + x].replace(s), None, "{order:?} {h}x{w}: ({y}, {x}) twice");
                    }
                }
                for (p, s) in step.iter().enumerate() {
                    for [dy, dx] in order.taps() {
                        let (y, x) = ((p / w) as i32 + dy, (p % w) as i32 + dx);
                        if (0..h as i32).contains(&y) && (0..w as i32).contains(&x) {
                            assert!(s.is_some() && step[y as usize * w + x as usize] < *s);
                        }
                    }
                }
            }
        }
    }
}
