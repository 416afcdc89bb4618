//! Products of matrices whose rows are not whole vec4s, for CPU drivers: copies whose rows are, with zeros behind them,
//! go through the tile of subgroup broadcasts, which is ten times as fast as the kernel for any extents.

use crate::{
    graph::op::{Lowered, Operand},
    ops::views,
};

/// What a copied element costs, in multiply-adds of the kernel for any extents, and what the launches cost.
const COPY: usize = 8;
const LAUNCHES: usize = 1 << 17;

/// Whether the copies cost less than what the tile saves.
pub(super) fn pays([batch, m, n, k]: [usize; 4]) -> bool {
    batch * m * n * k >= COPY * batch * (m * k + k * n + m * n) + LAUNCHES
}

/// Copies of operands into scratch buffers, which are numbered from `first` on.
struct Copies {
    lowered: Lowered,
    first: usize,
}

impl Copies {
    /// A scratch buffer of so many elements.
    fn scratch(&mut self, elements: usize) -> Operand {
        self.lowered.scratch.push(4 * elements as u64);
        Operand::Scratch(self.first + self.lowered.scratch.len() - 1)
    }

    /// Rows of `row` elements as rows of `pitch` ones.
    fn rows(&mut self, from: Operand, rows: usize, [row, pitch]: [usize; 2]) -> Operand {
        if row == pitch {
            return from;
        }
        let to = self.scratch(rows * pitch);
        self.lowered.launches.push(views::rows([from, to], rows, [row, pitch]));
        to
    }

    /// Matrices of as many rows and columns as the first of each says, as larger ones.
    fn grown(
        &mut self,
        from: Operand,
        batch: usize,
        [row, rows]: [usize; 2],
        columns @ [_, pitch]: [usize; 2],
    ) -> Operand {
        let wide = self.rows(from, batch * row, columns);
        self.rows(wide, batch, [row * pitch, rows * pitch])
    }
}

/// A product of grown copies.
pub(super) struct Grown {
    copies: Copies,
    /// The operands A, B and C, and the extents n and k.
    pub(super) operands: [Operand; 3],
    pub(super) n: usize,
    pub(super) k: usize,
    /// C as it should be, its rows, and what they measure before and after.
    cropped: Option<(Operand, usize, [usize; 2])>,
}

impl Grown {
    /// Grows the rows of A, or with `ta` its columns, and those of B. An epilogue wants rows of C that need not grow.
    pub(super) fn new(
        [ta, tb]: [bool; 2],
        [batch, m, n, k]: [usize; 4],
        [a, b, c]: [Operand; 3],
        scratch: usize,
    ) -> Self {
        let up = |extent: usize| extent.next_multiple_of(4);
        let ks = [k, if !ta || tb { up(k) } else { k }];
        let ns = [n, up(n)];
        let mut copies = Copies { lowered: Lowered { launches: vec![], scratch: vec![] }, first: scratch };
        let a = match ta {
            true => copies.grown(a, batch, ks, [m, up(m)]),
            false => copies.grown(a, batch, [m; 2], ks),
        };
        let b = if tb { copies.grown(b, batch, ns, ks) } else { copies.grown(b, batch, ks, ns) };
        let cropped = (ns[0] != ns[1]).then_some((c, batch * m, [ns[1], n]));
        let product = if cropped.is_some() { copies.scratch(batch * m * ns[1]) } else { c };
        Self { copies, operands: [a, b, product], n: ns[1], k: ks[1], cropped }
    }

    /// The product's launches between those that copy.
    pub(super) fn around(self, product: Lowered) -> Lowered {
        let mut lowered = self.copies.lowered;
        lowered.launches.extend(product.launches);
        let crop = |(c, rows, lengths)| views::rows([self.operands[2], c], rows, lengths);
        lowered.launches.extend(self.cropped.map(crop));
        lowered
    }
}
