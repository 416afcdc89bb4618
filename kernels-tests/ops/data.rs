//! Batches gathered from bytes on the device: rows of every length modulo 4, in an epoch's first steps and
//! after its end.

use crate::harness::{Case, Fill};
use oneiro::graph::{
    Graph,
    shape::{DType, Type},
};

/// Rows of a data set, elements of a row, rows of a batch.
const BATCHES: [[usize; 3]; 12] = [
    [1, 1, 1],
    [5, 3, 2],
    [5, 4, 2],
    [7, 13, 7],
    [16, 784, 1],
    [130, 784, 128],
    [10, 257, 3],
    [9, 64, 4],
    [12, 1_023, 5],
    [12, 1_024, 5],
    [300, 5, 256],
    [300, 5, 257],
];

fn bytes(shape: &[usize]) -> Type {
    Type { shape: shape.into(), dtype: DType::U8 }
}

/// Cases that gather rows as they are, rows binarised, and labels.
fn gathers([rows, row, batch]: [usize; 3], step: f64) -> Vec<Case> {
    let order = move |g: &Graph| g.input("order", Type::u32([rows])).id();
    let label = format!("{batch} of {rows}x{row}, step {step}");
    let cases = [
        Case::new("gather_rows", &label, move |g| {
            g.output("y", g.input("x", bytes(&[rows, row])).gather_rows(g.tensor(order(g)), batch))
        }),
        Case::new("gather_rows binarised", &label, move |g| {
            let x = g.input("x", bytes(&[rows, row]));
            g.output("y", x.gather_rows_binarised(g.tensor(order(g)), batch, "pixels"));
        })
        .tolerance(0.0, 0.0),
        Case::new("gather_labels", &label, move |g| {
            let labels = g.input("x", bytes(&[rows])).gather_labels(g.tensor(order(g)), batch);
            g.output("y", labels);
            g.output("hot", labels.one_hot(256));
        })
        .tolerance(0.0, 0.0),
    ];
    cases.map(|c| c.fill("order", Fill::Permutation).state("step", [step])).into()
}

fn conversions(n: usize) -> Vec<Case> {
    vec![
        Case::new("to_f32", format!("{n}"), move |g| g.output("y", g.input("x", Type::u32([n])).to_f32()))
            .fill("x", Fill::Whole(0, 1 << 24))
            .tolerance(0.0, 0.0),
        Case::new("unit_f32", format!("{n}"), move |g| g.output("y", g.input("x", bytes(&[n])).unit_f32()))
            .tolerance(1e-7, 1e-7),
    ]
}

/// Labels beyond the classes give rows of zeros.
fn one_hot(rows: usize, classes: usize) -> Case {
    Case::new("one_hot", format!("{rows}x{classes}"), move |g| {
        g.output("y", g.input("x", Type::u32([rows])).one_hot(classes))
    })
    .fill("x", Fill::Whole(0, 12))
    .tolerance(0.0, 0.0)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut out: Vec<Case> = BATCHES
        .into_iter()
        .flat_map(|b| [0.0, 1.0, 100.0].into_iter().flat_map(move |s| gathers(b, s)))
        .collect();
    out.extend([1, 3, 4, 5, 257, 1_023, 1_024, 1_025, 4_099].into_iter().flat_map(conversions));
    for rows in [1, 2, 3, 64, 257] {
        out.extend([1, 4, 10, 13].map(|classes| one_hot(rows, classes)));
    }
    let many = 65_601;
    for n in [4 * many, 4 * many + 1] {
        out.extend(conversions(n).into_iter().map(|c| c.many_workgroups(1)));
    }
    let one = |[rows, row, batch]: [usize; 3], which: &[usize]| {
        let mut cases: Vec<Option<Case>> = gathers([rows, row, batch], 0.0).into_iter().map(Some).collect();
        which.iter().filter_map(|&i| cases[i].take()).map(|c| c.many_workgroups(1)).collect::<Vec<_>>()
    };
    out.extend(one([many, 4, many], &[0, 1]));
    out.extend(one([many + 1, 5, many], &[0, 1]));
    out.push(one_hot(many, 4).many_workgroups(1));
    out.push(one_hot(many, 5).many_workgroups(1));
    // Labels alone, since 256 classes for each would be a big row of zeros.
    let labels = move |g: &Graph| {
        let order = g.input("order", Type::u32([many]));
        g.output("y", g.input("x", bytes(&[many])).gather_labels(order, many));
    };
    out.push(Case::new("gather_labels", "many", labels).fill("order", Fill::Permutation).many_workgroups(1));
    out
}
