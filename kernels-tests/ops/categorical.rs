//! Entries picked by index and the derivative of picking, bit by bit; and draws by the inverse CDF, which are
//! the reference's wherever the uniform number is not within rounding of a threshold, and at both ends
//! without exception.

use crate::harness::{Case, Fill};
use oneiro::{
    graph::{Graph, Tensor, shape::Type},
    rng::{self, RandomStream},
};

/// Rows and classes: sizes around a workgroup of rows and around multiples of four, primes, and the most
/// classes that the draw takes.
const SIZES: [[usize; 2]; 18] = [
    [1, 1],
    [1, 2],
    [1, 4],
    [3, 5],
    [16, 8],
    [63, 10],
    [64, 3],
    [64, 4],
    [65, 4],
    [65, 7],
    [127, 12],
    [257, 256],
    [31, 255],
    [31, 257],
    [1_009, 2],
    [13, 1_023],
    [13, 1_024],
    [5, 4_096],
];
const MANY: [[usize; 2]; 2] = [[65_601, 3], [65_601, 4]];
/// Rows and classes of draws from a stream.
const STREAMED: [[usize; 2]; 8] =
    [[1, 1], [1, 10], [63, 10], [64, 10], [65, 3], [257, 256], [7, 4_096], [1_009, 2]];
const SEED: [u32; 2] = [0x1234_5678, 0x9abc_def0];
/// The largest uniform number.
const BELOW_ONE: f32 = 1.0 - 1.0 / 16_777_216.0;

fn rows_and<'g>(g: &'g Graph, [rows, classes]: [usize; 2], other: &str) -> (Tensor<'g>, Tensor<'g>) {
    (g.input("x", Type::f32([rows, classes])), g.input(other, Type::f32([rows])))
}

fn label([rows, classes]: [usize; 2]) -> String {
    format!("{rows}x{classes}")
}

/// Cases that pick an entry and that spread it again, with indices beyond both ends.
fn entries(size: [usize; 2]) -> [Case; 2] {
    let [rows, classes] = size;
    let pick = move |g: &Graph| {
        let (x, index) = rows_and(g, size, "index");
        g.output("y", x.pick(index - 1.0));
    };
    let spread = move |g: &Graph| {
        let (ct, index) = (g.input("ct", Type::f32([rows])), g.input("index", Type::f32([rows])));
        g.output("y", ct.spread(index - 1.0, classes));
    };
    let whole =
        |c: Case| c.fill("index", Fill::Whole(0, classes as u32 + 2)).fixed("index").tolerance(0.0, 0.0);
    [whole(Case::new("pick", label(size), pick)), whole(Case::new("spread", label(size), spread))]
}

/// Whether some uniform number within rounding of `u` gives the class.
fn nearly(logits: &[f64], u: f64, class: f64) -> bool {
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let upto = |c: usize| logits[..c].iter().map(|l| (l - top).exp()).sum::<f64>();
    let (class, total) = (class as usize, upto(logits.len()));
    class < logits.len() && upto(class) / total - 1e-5 <= u && u <= upto(class + 1) / total + 1e-5
}

fn draw(size: [usize; 2], far: f64) -> Case {
    let build = move |g: &Graph| {
        let (x, u) = rows_and(g, size, "u");
        g.output("y", x.draw_categorical(u));
    };
    let case = Case::new("draw_categorical", format!("{} to {far}", label(size)), build)
        .fill("x", Fill::Uniform(-far, far));
    let row = move |r: usize| r * size[1]..(r + 1) * size[1];
    case.fill("u", Fill::Uniform(0.0, 1.0))
        .judge(move |inputs, r, class| nearly(&inputs["x"].data[row(r)], inputs["u"].data[r], class))
}

/// A draw whose uniform numbers are those of a stream at a step.
fn streamed(size: [usize; 2], step: u32) -> Case {
    let build = move |g: &Graph| {
        g.output("y", g.input("x", Type::f32(size)).draw_categorical(g.uniform("c", [size[0]])));
    };
    Case::new("draw from a stream", format!("{} at {step}", label(size)), build)
        .state("seed", SEED.map(f64::from))
        .state("step", [f64::from(step)])
        .judge(move |inputs, r, class| {
            let u = rng::uniform(RandomStream::new("c").key(SEED), step, r as u32);
            nearly(&inputs["x"].data[r * size[1]..(r + 1) * size[1]], f64::from(u), class)
        })
}

/// Logits of -1e30, 0 and 1e30 with uniform numbers of 0 and just below 1, which draw the first and the last
/// of the largest.
fn ends(size: [usize; 2]) -> Case {
    let build = move |g: &Graph| {
        let (x, u) = rows_and(g, size, "u");
        g.output("y", ((x - 1.0) * 1e30).draw_categorical(u * BELOW_ONE));
    };
    let whole = |c: Case, name, high| c.fill(name, Fill::Whole(0, high)).tolerance(0.0, 0.0);
    whole(whole(Case::new("draw at the ends", label(size), build), "x", 3), "u", 2)
}

/// Equal logits of any size with uniform numbers that are exactly a cumulative sum, which draw the class that
/// starts there.
fn thresholds([rows, classes]: [usize; 2]) -> Case {
    let build = move |g: &Graph| {
        let (far, start) = (g.input("far", Type::f32([rows, 1])), g.input("start", Type::f32([rows])));
        g.output(
            "y",
            (far * 1e30).broadcast_to([rows, classes]).draw_categorical(start * (1.0 / classes as f32)),
        );
    };
    let case = Case::new("draw on a threshold", label([rows, classes]), build).tolerance(0.0, 0.0);
    case.fill("far", Fill::Uniform(-1.0, 1.0)).fill("start", Fill::Whole(0, classes as u32))
}

/// Logits with all probability on one class, which is drawn whatever the uniform number.
fn certain(size: [usize; 2], scale: f32) -> Case {
    let build = move |g: &Graph| {
        let (index, u) = (g.input("index", Type::f32([size[0]])), g.input("u", Type::f32([size[0]])));
        let drawn = g.full([size[0]], scale).spread(index, size[1]).draw_categorical(u.clamp(0.0, BELOW_ONE));
        g.output("y", drawn);
        g.output("off", drawn - index);
    };
    let case =
        Case::new("draw of a one-hot", format!("{} times {scale}", label(size)), build).tolerance(0.0, 0.0);
    case.fill("index", Fill::Whole(0, size[1] as u32)).fill("u", Fill::Uniform(-0.5, 1.5))
}

pub(crate) fn cases() -> Vec<Case> {
    let mut out: Vec<Case> = SIZES.into_iter().flat_map(entries).collect();
    out.extend(
        SIZES.into_iter().flat_map(|size| [draw(size, 2.0), draw(size, 30.0), draw(size, 1e30), ends(size)]),
    );
    out.extend(SIZES.into_iter().flat_map(|size| [certain(size, 100.0), certain(size, 1e30)]));
    out.extend([[65, 7], [127, 12]].map(|size| draw(size, 2.0).holes("x")));
    out.extend([[33, 2], [65, 4], [257, 64], [300, 256], [9, 1_024]].map(thresholds));
    out.extend(
        MANY.into_iter()
            .flat_map(|size| entries(size).into_iter().chain([draw(size, 2.0)]))
            .map(|c| c.many_workgroups(1)),
    );
    for step in [5, u32::MAX] {
        out.extend(STREAMED.map(|size| streamed(size, step)));
        out.push(streamed([65_601, 2], step).many_workgroups(1));
    }
    out.extend([[1, 1], [33, 10], [65, 256]].map(composed));
    out
}

/// The loss of a classifier, weighted so that its second derivatives are not the softmax's alone.
fn composed([rows, classes]: [usize; 2]) -> Case {
    let build = move |g: &Graph| {
        let (x, index) = rows_and(g, [rows, classes], "index");
        g.output("y", -x.log_softmax(1).pick(index) * x.square().pick(index));
    };
    let case = Case::new("cross-entropy by pick", format!("{rows}x{classes}"), build).fixed("index");
    case.fill("index", Fill::Whole(0, classes as u32)).tolerance(3e-6, 3e-6)
}

pub(crate) fn smooth() -> Vec<Case> {
    let pairs = [[3, 4], [4, 3], [5, 1]].into_iter().flat_map(entries);
    pairs.chain([composed([3, 4]), composed([4, 5])]).collect()
}
