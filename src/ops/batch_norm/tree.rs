//! Batch normalisation's reductions on GPUs, laid out like those of [`crate::ops::reduce`]. Channels that are no
//! multiple of 4 keep the kernels of one channel an invocation.

use super::{Reduction, extents};
use crate::{
    graph::{
        op::{LaunchSpec, Lowered, Lowering, Operand, grid_1d},
        shape::Type,
    },
    kernel::{Shader, caps::AdapterClass},
    ops::reduce::tree::{self, Lanes},
};

static SHADER: Shader = crate::shader!("batch_norm_tree");
/// The vec4s that an invocation loads at once, and the lines that lie beside each other, 64 bytes.
const EACH: usize = 4;
const BESIDE: usize = 4;

/// The rows of a matrix by chunks, for the vec4s of its channels.
#[derive(Clone, Copy)]
struct Cut {
    rows: usize,
    /// Vec4s of channels.
    c: usize,
    /// Rows.
    chunk: usize,
}

impl Cut {
    fn chunks(self) -> usize {
        self.rows.div_ceil(self.chunk)
    }

    /// A launch over so many lines of this length.
    fn launch(self, entry: &'static str, lines: usize, length: usize) -> LaunchSpec {
        let wide = Lanes::new(self.c, length, EACH, BESIDE).wide;
        LaunchSpec::new(&SHADER, entry, grid_1d(lines.div_ceil(wide)))
            .constant("WIDE", wide as f64)
            .dim("n", lines)
            .dim("c", self.c)
            .dim("r", self.rows)
            .dim("chunk", self.chunk)
            .dim("s", self.chunks())
    }
}

impl Reduction {
    /// On GPUs, one launch for one chunk; else one over the chunks, and one that joins what they make.
    pub(super) fn trees(&self, at: &Lowering<'_>) -> Result<Option<Lowered>, String> {
        let [rows, channels] = extents(&at.inputs[self.x])?;
        if at.caps.class != AdapterClass::Gpu || !channels.is_multiple_of(4) {
            return Ok(None);
        }
        let c = channels / 4;
        let chunk = Lanes::new(c, rows, EACH, BESIDE).chunk(c, rows);
        let cut = Cut { rows, c, chunk };
        let s = cut.chunks();
        if s == 1 {
            return Ok(Some(self.chunked(cut, Operand::Output).into()));
        }
        let join = if self.adds {
            tree::sum([2, s, channels], Operand::Scratch(0), Operand::Output)
        } else {
            cut.launch("merge4", c, s)
                .constant("SUMS", 0.0)
                .bind("x4", Operand::Scratch(0))
                .bind("y4", Operand::Output)
                .dim_f32("factor", 1.0 / rows as f32)
                .cost(6 * s * channels, 8 * ((s + 1) * channels) as u64)
                .why("chunks joined by lanes")
        };
        let launches = vec![self.chunked(cut, Operand::Scratch(0)), join];
        Ok(Some(Lowered { launches, scratch: vec![Type::f32([2 * s * channels]).bytes()] }))
    }

    /// Every chunk of rows to two numbers a channel.
    fn chunked(&self, cut: Cut, to: Operand) -> LaunchSpec {
        let (s, numel) = (cut.chunks(), cut.rows * cut.c * 4);
        let factor = if s == 1 && !self.adds { 1.0 / cut.rows as f32 } else { 1.0 };
        let launch = cut.launch(self.reduce[1], s * cut.c, cut.chunk).bind("y4", to);
        let bind = |launch: LaunchSpec, (i, names): (usize, &[&'static str; 2])| {
            launch.bind(names[1], Operand::Input(i))
        };
        let read = self.inputs.len().min(2) * numel;
        self.inputs
            .iter()
            .enumerate()
            .fold(launch, bind)
            .constant("SUMS", f64::from(self.adds))
            .dim_f32("factor", factor)
            .cost(6 * numel, 4 * (read + 8 * s * cut.c) as u64)
            .why("channels by lanes, vec4s")
    }
}
