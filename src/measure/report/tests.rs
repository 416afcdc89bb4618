//! Tests of the measures: distances against closed forms, NumPy and naive loops, coverage and spread against
//! values found by hand.

use super::*;
use crate::measure::distance::discrepancy;
use nalgebra::DMatrix;

/// Features whose values are a function of row and column.
fn features(count: usize, width: usize, value: impl Fn(usize, usize) -> f64) -> Features {
    let values = (0..count * width).map(|i| value(i / width, i % width)).collect();
    Features { width, values, classes: vec![0; count] }
}

fn fid(a: &Features, b: &Features) -> f64 {
    Gaussian::of(a).unwrap().frechet(&Gaussian::of(b).unwrap())
}

/// 24 bits of a hash of row and column, uniform in [0, 1). Each salt gives other numbers.
fn noise(salt: u64) -> impl Fn(usize, usize) -> f64 {
    move |row, column| {
        let mut x = (salt << 40) ^ ((row as u64) << 16) ^ column as u64;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 40) as f64 / 16_777_216.0
    }
}

fn near(what: &str, got: f64, expected: f64, tolerance: f64) {
    assert!((got - expected).abs() < tolerance, "{what}: {got} instead of {expected}");
}

#[test]
fn frechet_of_known_gaussians() {
    let base = features(200, 5, noise(1));
    near("equal sets", fid(&base, &base), 0.0, 1e-9);
    let shifted = features(200, 5, |i, j| noise(1)(i, j) + [0.5, -1.0, 0.0, 2.0, 0.25][j]);
    near("shifted means", fid(&base, &shifted), 0.25 + 1.0 + 4.0 + 0.0625, 1e-9);
    let dead = features(200, 5, |i, j| if j < 3 { noise(1)(i, j) } else { 0.0 });
    near("features that never change", fid(&dead, &dead), 0.0, 1e-9);
    // Each column changes its sign half as often as its neighbour, so no two columns correlate and the
    // covariances are diagonal.
    let diagonal =
        |scale: [f64; 3]| features(8, 3, move |i, j| if i >> j & 1 == 0 { scale[j] } else { -scale[j] });
    let expected = [(1.0, 3.0), (2.0, 0.5), (0.25, 0.25)]
        .iter()
        .map(|(a, b): &(f64, f64)| 8.0 / 7.0 * (a - b).powi(2))
        .sum();
    near(
        "diagonal covariances",
        fid(&diagonal([1.0, 2.0, 0.25]), &diagonal([3.0, 0.5, 0.25])),
        expected,
        1e-9,
    );
}

const NUMPY: f64 = 3.323_317_051_394_546_7;

/// NumPy 2.4 computed the expected value from the same rows: means, `np.cov(rowvar=False)`, and the trace of
/// the square root as the sum of the square roots of `np.linalg.eigvals(C1 @ C2)`, a matrix that is not
/// symmetric.
#[test]
fn frechet_is_numpys() {
    let x = features(50, 6, |i, j| (0.7 * (i * (j + 1)) as f64 + j as f64).sin());
    let y = features(60, 6, |i, j| {
        1.5 * (0.3 * (i * (j + 1)) as f64 + 0.02 * (i * i) as f64).cos() + 0.2 * j as f64
    });
    near("FID", fid(&x, &y), NUMPY, 1e-9);
    near("FID the other way", fid(&y, &x), NUMPY, 1e-9);
}

#[test]
fn the_kernel_distance_is_its_formula() {
    let [x, y] = [noise(2), noise(3)].map(|f| DMatrix::from_fn(4, 7, |d, n| 2.0 * f(n, d) - 0.5));
    let kernel = |a: usize, of: &DMatrix<f64>, b: usize, and: &DMatrix<f64>| {
        ((0..4).map(|d| of[(d, a)] * and[(d, b)]).sum::<f64>() / 4.0 + 1.0).powi(3)
    };
    let mut expected = 0.0;
    for (a, b) in (0..49).map(|i| (i / 7, i % 7)) {
        let own = if a == b { 0.0 } else { (kernel(a, &x, b, &x) + kernel(a, &y, b, &y)) / 42.0 };
        expected += own - 2.0 * kernel(a, &x, b, &y) / 49.0;
    }
    near("MMD²", discrepancy(&x, &y), expected, 1e-12);
}

#[test]
fn the_kernel_distance_is_unbiased() {
    let of = |salt, shift: f64| features(600, 8, move |i, j| noise(salt)(i, j) + shift);
    let (base, same, other) = (of(4, 0.0), of(5, 0.0), of(6, 0.3));
    let (same, other) = (Kid::of(&base, &same, 50, 0).unwrap(), Kid::of(&base, &other, 50, 0).unwrap());
    assert_eq!((same.subsets, same.size), (50, 300));
    // A biased estimate would differ by about the mean of the kernel's diagonal divided by the size, here
    // about 0.06.
    assert!(same.mean.abs() < 0.015 && same.std > 0.0 && same.std < 0.02, "{same:?}");
    assert!(other.mean > 0.5 && other.mean > 10.0 * other.std, "{other:?}");
    let tenfold =
        |f: &Features| Features { values: f.values.iter().map(|v| 10.0 * v).collect(), ..f.clone() };
    let scaled = Kid::of(&tenfold(&base), &tenfold(&of(6, 0.3)), 50, 0).unwrap();
    near("features of another scale", scaled.mean, other.mean, 1e-9);
    // The estimate is negative for some subsets. A biased estimate never is.
    assert!(same.mean - 2.0 * same.std < 0.0, "{same:?}");
}

#[test]
fn too_few_or_broken_features_are_one_line_errors() {
    let few = |n| features(n, 2, noise(7));
    let broken = features(9, 2, |i, _| if i == 4 { f64::NAN } else { 1.0 });
    for error in [Gaussian::of(&few(1)), Gaussian::of(&broken)]
        .map(Result::unwrap_err)
        .into_iter()
        .chain([Kid::of(&few(9), &few(3), 5, 0).unwrap_err()])
    {
        let line = error.to_string();
        assert!(
            line.contains("at least") && line.contains("draw more") && line.lines().count() == 1,
            "{line}"
        );
    }
}

/// A report of `count` pictures by an extractor of ten classes and 16 features.
fn report(accuracy: Option<f64>, count: usize, real: usize) -> Report {
    let kid = Kid { mean: 0.25, std: 0.125, subsets: 50, size: 2 };
    let coverage = Coverage::of(&vec![0; count], 10);
    let scores = Scores { count, fid: 7.5, kid, coverage, diversity: Some(1.0) };
    let extractor = Identity { name: "n".into(), data: None, sha256: "s".into() };
    let (pictures, floor) = (scores.clone(), scores);
    let (data, classes) = ("d".to_string(), vec![]);
    Report { extractor, data, classes, real, features: 16, accuracy, pictures, floor }
}

#[test]
fn classes_have_their_names_and_no_diversity_is_no_number() {
    let plain = report(None, 16, 16);
    assert!(plain.table(false).contains("  class 9 ") && plain.table(false).contains("1.000"));
    let mut named = plain.clone();
    named.classes = (0..10).map(|i| format!("cat{i}")).collect();
    named.pictures.diversity = None;
    let (table, json) = (named.table(false), named.json(false));
    assert!(table.contains("  class cat9 ") && !table.contains("class 9"), "{table}");
    let row = table.lines().find(|line| line.starts_with("diversity")).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["diversity", "-", "1.000"]);
    assert!(json["pictures"]["diversity"].is_null() && json["classes"][9] == "cat9", "{json}");
}

#[test]
fn figures_that_mean_nothing_are_refused_unless_named() {
    let learnt = Some(0.55);
    for (report, fid, kid, why) in [
        (report(learnt, 16, 16), true, true, ""),
        (report(None, 16, 16), true, true, ""),
        (report(Some(0.25), 400, 400), false, false, "right for 25.00 % of the test images"),
        (report(Some(0.25), 400, 400), false, false, "count from 55.00 % on"),
        (report(learnt, 4, 400), false, true, "4 pictures are fewer than the 16 features"),
        (report(learnt, 400, 15), false, true, "15 training images are fewer"),
    ] {
        let (table, json) = (report.table(false), report.json(false));
        assert_eq!([table.contains("7.500"), table.contains("0.25000 ±")], [fid, kid], "{table}");
        assert_eq!(table.contains("refused"), !fid, "{table}");
        assert!(table.contains(why) && (fid || table.contains("by name")), "{table}");
        let pictures = &json["pictures"];
        assert_eq!([pictures["fid"].is_null(), pictures["kid"].is_null()], [!fid, !kid], "{json}");
        assert!(pictures["doubt"].as_str().unwrap_or_default().contains(why), "{json}");
        // Asked for by name, it is there, and so is the doubt.
        let (table, json) = (report.table(true), report.json(true));
        assert!(table.contains("7.500") && table.contains(why) && !table.contains("refused"), "{table}");
        assert_eq!(json["pictures"]["fid"], 7.5);
        assert_eq!(json["pictures"]["doubt"], pictures["doubt"]);
    }
}

#[test]
fn coverage_by_hand() {
    let even = Coverage::of(&[3, 1, 0, 2, 2, 0, 1, 3], 4);
    assert_eq!((even.histogram.as_slice(), even.covered()), ([2; 4].as_slice(), 4));
    near("even classes", even.kl_to_uniform(), 0.0, 1e-12);
    let one = Coverage::of(&[2; 9], 4);
    assert_eq!((one.covered(), one.histogram[2]), (1, 9));
    near("one class", one.kl_to_uniform(), 4f64.ln(), 1e-12);
    let halves = Coverage::of(&[0, 0, 0, 1], 2);
    near("3 to 1", halves.kl_to_uniform(), 0.75 * 1.5f64.ln() + 0.25 * 0.5f64.ln(), 1e-12);
    // There are two classes and 100 pictures, so a tenth of an even share is 5.
    let rare = |n| Coverage::of(&[vec![0; 100 - n], vec![1; n]].concat(), 2).covered();
    assert_eq!([rare(0), rare(4), rare(5)], [1, 1, 2]);
}

#[test]
fn spread_is_the_mean_over_pairs() {
    let values: Vec<f32> = (0..5 * 3).map(|i| noise(8)(i, 0) as f32).collect();
    let rows: Vec<&[f32]> = values.chunks(3).collect();
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
    let all: f64 =
        (0..5).flat_map(|a| (0..a).map(move |b| (a, b))).map(|(a, b)| distance(rows[a], rows[b])).sum();
    near("spread", spread(values.iter().copied(), 3), all / 10.0, 1e-6);
    assert_eq!(spread([0.5; 12].into_iter(), 4), 0.0);
    assert_eq!(spread([1.0; 4].into_iter(), 4), 0.0, "one picture");
    let pixels = values.iter().map(|v| (v * 255.0) as u8).collect::<Vec<_>>();
    let images = Images { count: 5, height: 1, width: 1, channels: 3, classes: 0, pixels, labels: None };
    near("spread of bytes", spread_of(&images), all / 10.0, 0.01);
}
