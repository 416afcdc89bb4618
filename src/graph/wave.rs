//! The wavefront of a sampler: which pixels of images are computed in one step.

/// A wavefront: which pixels of an image are in flight at a count.
///
/// At step s, a wavefront with lag g is at column s - i·g of each image row i that has such a column: row i +
/// 1 runs g columns behind row i. A wave may be shifted by some steps, ahead of the counter or behind it.
/// Where channels are drawn one after another, the wave stays at its pixels for several counts. The rows in
/// flight are numbered by i modulo their number F, so that row n·F + f of a matrix is the pixel of image n in
/// the image row ≡ f that is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wave {
    /// Rows and columns of the images.
    pub image: [usize; 2],
    /// How many columns each image row runs behind the one above.
    pub lag: usize,
    /// How many steps the wave is ahead of the counter, or behind it where negative.
    pub shift: i32,
    /// How many counts a step takes: one for each channel that is drawn after another.
    pub counts: usize,
    /// Whether the wave goes through each row from right to left.
    pub mirrored: bool,
}

impl Wave {
    /// F, the most image rows in flight.
    pub fn flight(&self) -> usize {
        self.image[1].div_ceil(self.lag)
    }

    /// How many counts it takes until every channel of every pixel was visited.
    pub fn steps(&self) -> usize {
        let own = self.image[0].saturating_sub(1).saturating_mul(self.lag).saturating_add(self.image[1]);
        own.saturating_add_signed(-self.shift as isize).saturating_mul(self.counts)
    }

    /// The pixel of the row in flight that has number `f` at a count: image row and column, if there is one.
    pub fn pixel(&self, count: usize, f: usize) -> Option<[usize; 2]> {
        let step = (count / self.counts).checked_add_signed(self.shift as isize)?;
        let (newest, flight) = (step / self.lag, self.flight());
        let row = newest.checked_sub((newest + flight - f) % flight)?;
        let (column, columns) = (step - row * self.lag, self.image[1]);
        let inside = row < self.image[0] && column < columns;
        inside.then(|| [row, if self.mirrored { columns - 1 - column } else { column }])
    }

    /// Whether a pixel in flight sees through a tap (row, column) either itself or a pixel that is not in
    /// flight, so that pixels may be looked at and overwritten in one launch. Columns are apart by the rows'
    /// lag.
    pub fn apart(&self, [dy, dx]: [i32; 2]) -> bool {
        let columns = if self.mirrored { -dx } else { dx };
        [dy, dx] == [0, 0] || i64::from(columns) + i64::from(dy) * self.lag as i64 != 0
    }
}
