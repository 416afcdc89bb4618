//! Products in all four layouts at the edges of every tile, long and batched ones, and epilogues.

use crate::harness::{Case, Fill};
use oneiro::{
    graph::{Graph, Tensor, shape::Type},
    ops::matmul::product,
};

/// M, K and N: sizes around the tiles of 64 and 32 and around multiples of four, primes, vectors.
const SHAPES: [[usize; 3]; 32] = [
    [1, 1, 1],
    [1, 4, 4],
    [3, 5, 7],
    [7, 13, 11],
    [4, 4, 4],
    [5, 8, 12],
    [63, 64, 64],
    [64, 64, 64],
    [65, 64, 68],
    [65, 63, 65],
    [64, 1, 64],
    [64, 4, 60],
    [31, 32, 33],
    [32, 32, 32],
    [33, 36, 32],
    [33, 31, 36],
    [1, 128, 1],
    [1, 64, 132],
    [129, 64, 1],
    [128, 100, 36],
    [17, 19, 23],
    [61, 67, 71],
    [127, 12, 28],
    [2, 1_000, 4],
    [20, 784, 20],
    [130, 20, 100],
    [2, 64, 64],
    [7, 12, 32],
    [8, 36, 68],
    [9, 36, 68],
    [60, 1_028, 64],
    [68, 4_100, 36],
];
/// Sizes whose K is more than one launch sums, or more than a loop may take.
const LONG: [[usize; 3]; 4] = [[5, 8_193, 3], [4, 16_388, 8], [1, 70_000, 4], [2, 65_540, 36]];
/// Values so small that f32's rounding of long sums stays far below the error of one wrong term.
const HALF: Fill = Fill::Uniform(-0.5, 0.5);
const LAYOUTS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

fn operands<'g>(
    g: &'g Graph,
    batch: &[usize],
    [m, k, n]: [usize; 3],
    (ta, tb): (bool, bool),
) -> [Tensor<'g>; 2] {
    let ty = |rows: usize, columns: usize, t: bool| {
        let matrix = if t { [columns, rows] } else { [rows, columns] };
        Type::f32([batch, &matrix].concat())
    };
    [g.input("a", ty(m, k, ta)), g.input("b", ty(k, n, tb))]
}

fn layout((ta, tb): (bool, bool)) -> String {
    let letter = |t| if t { 't' } else { 'n' };
    format!("matmul {}{}", letter(ta), letter(tb))
}

fn plain(batch: &[usize], shape: [usize; 3], flags: (bool, bool)) -> Case {
    let owned = batch.to_vec();
    let build = move |g: &Graph| {
        let [a, b] = operands(g, &owned, shape, flags);
        g.output("y", product(a, b, flags.0, flags.1));
    };
    Case::new(layout(flags), format!("{batch:?} {shape:?}"), build)
        .tolerance(2e-6, 2e-6)
        .terms(shape[1])
        .fill("a", HALF)
        .fill("b", HALF)
}

type Epilogue = for<'g> fn(&'g Graph, Tensor<'g>) -> Tensor<'g>;

fn extra<'g>(g: &'g Graph, name: &str, shape: &[usize]) -> Tensor<'g> {
    g.input(name, Type::f32(shape))
}

const EPILOGUES: [(&str, Epilogue); 4] = [
    ("bias, relu", |g, y| (y + extra(g, "bias", &y.shape()[1..])).relu()),
    ("mask", |g, y| extra(g, "mask", &y.shape()).gt(0.0).select(y, 0.0)),
    ("scale by rows, bias, tanh", |g, y| {
        let rows = extra(g, "rows", &[y.shape()[0], 1]);
        (y * 0.1 * rows + extra(g, "bias", &y.shape()[1..])).tanh()
    }),
    ("two results", |g, y| {
        g.output("raw", y);
        y.sigmoid()
    }),
];

fn with_epilogue(shape: [usize; 3], flags: (bool, bool), (name, epilogue): (&'static str, Epilogue)) -> Case {
    let build = move |g: &Graph| {
        let [a, b] = operands(g, &[], shape, flags);
        g.output("y", epilogue(g, product(a, b, flags.0, flags.1)));
    };
    Case::new(format!("{} + epilogue", layout(flags)), format!("{shape:?} {name}"), build)
        .tolerance(2e-6, 1e-5)
        .terms(shape[1])
        .fill("a", HALF)
        .fill("b", HALF)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut out = vec![];
    for flags in LAYOUTS {
        out.extend(SHAPES.into_iter().chain(LONG).map(|shape| plain(&[], shape, flags)));
        for batch in [&[1][..], &[3], &[2, 2]] {
            out.extend(
                [[5, 7, 3], [5, 8, 36], [33, 12, 64], [65, 8, 68]].map(|shape| plain(batch, shape, flags)),
            );
        }
        // So many products fill a GPU with its largest blocks.
        out.extend(
            [[65, 20, 68], [64, 16, 64], [63, 4, 4], [1, 36, 132]].map(|shape| plain(&[200], shape, flags)),
        );
        // CPU drivers copy these, so that rows are whole vec4s.
        let odd = [[130, 50, 70], [97, 101, 103], [50, 130, 68], [256, 512, 10]];
        out.extend(odd.map(|shape| plain(&[], shape, flags)));
        out.extend([[65, 66, 67], [66, 68, 70]].map(|shape| plain(&[3], shape, flags)));
        out.push(with_epilogue([130, 50, 68], flags, EPILOGUES[0]));
        // Each fused kernel takes long to compile: all epilogues in one layout, the narrow tile with one.
        let wide = [[65, 36, 68], [128, 100, 400], [64, 17, 33]];
        out.extend(wide.map(|shape| with_epilogue(shape, flags, EPILOGUES[0])));
        if flags == (false, false) {
            out.extend(
                EPILOGUES[1..]
                    .iter()
                    .flat_map(|&epilogue| wide.map(|shape| with_epilogue(shape, flags, epilogue))),
            );
            out.extend(
                [[1, 3, 4], [1, 64, 64], [8, 36, 68], [31, 20, 32], [3, 8_200, 8]]
                    .map(|shape| with_epilogue(shape, flags, EPILOGUES[0])),
            );
        }
    }
    out
}

pub(crate) fn smooth() -> Vec<Case> {
    let mut out = vec![];
    for flags in LAYOUTS {
        out.push(plain(&[], [2, 3, 4], flags));
        out.push(plain(&[2], [2, 2, 3], flags));
        out.extend(EPILOGUES[..3].iter().map(|&e| with_epilogue([2, 3, 4], flags, e)));
    }
    // A product of two functions of one tensor.
    out.push(Case::new("matmul", "x tanh(x)ᵀ", |g| {
        let x = g.input("a", Type::f32([2, 3]));
        g.output("y", product(x, x.tanh(), false, true));
    }));
    out
}
