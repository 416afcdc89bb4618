//! Tests of the JSON round trip, of foreign files, and of comparisons.

use super::*;
use std::path::PathBuf;

fn measured(name: &str, seconds: f64, spread: f64) -> Measured {
    Measured {
        name: name.into(),
        seconds,
        spread,
        samples: 9,
        clock: Clock::Gpu,
        wall_seconds: seconds * 1.1,
        flops: 2_000_000,
        bytes: 4096,
        bound: Bound::Compute,
        share: 0.25,
        kernels: vec!["matmul/tile".into()],
        error: Some(1e-7),
    }
}

fn report(cases: &[(&str, f64, f64)]) -> Report {
    let ceilings = Ceilings {
        flops_per_second: 7e10,
        flops_by: "host".into(),
        bytes_per_second: 2e10,
        bytes_by: "copy".into(),
    };
    let mut report = Report::new(&Caps::software(), ceilings);
    report.cases = cases.iter().map(|&(name, seconds, spread)| measured(name, seconds, spread)).collect();
    report
}

fn model() -> ModelFigures {
    ModelFigures {
        name: "vae".into(),
        batch: 128,
        start_up_seconds: 2.25,
        images_per_second: 2000.0,
        launches: 60,
        pipelines: 28,
        state_bytes: 1 << 20,
        slot_bytes: 3 << 20,
        live_minimum_bytes: 2 << 20,
        kernel_seconds: None,
        idle_share: None,
    }
}

/// Writes a file for one test.
fn file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("oneiro-bench-{name}-{}.json", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn json_travels_both_ways() {
    let path = file("round", "");
    for models in [vec![], vec![model()]] {
        let written = Report { models, ..report(&[("a", 1.0 / 3.0, 0.01), ("b", 1e-7, 0.0)]) };
        written.save(&path).unwrap();
        assert_eq!(Report::load(&path).unwrap(), written);
        let value: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for field in ["version", "date", "adapter", "driver", "backend", "ceilings", "cases"] {
            assert!(!value[field].is_null(), "no {field}");
        }
        assert!(value["date"].as_u64().unwrap() > 1_700_000_000);
        assert_eq!(
            (&value["cases"][0]["clock"], &value["cases"][0]["bound"]),
            (&"gpu".into(), &"compute".into())
        );
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn foreign_files_are_refused_in_one_line() {
    let whole = serde_json::to_string(&report(&[("a", 1.0, 0.0)])).unwrap();
    let cases = [
        ("text", "hello".to_string(), "no JSON"),
        ("cut", whole[..whole.len() / 2].to_string(), "no JSON"),
        ("foreign", "{\"loss\": 1}".into(), "no report"),
        ("list", "[1, 2]".into(), "no report"),
        ("newer", whole.replace(FORMAT, "oneiro-bench 9"), "oneiro-bench 9"),
        ("damaged", whole.replace("\"seconds\"", "\"sceonds\""), "seconds"),
    ];
    let absent = std::env::temp_dir().join("oneiro-bench-absent.json");
    let files =
        cases.iter().map(|(name, text, expected)| (file(name, text), *expected)).chain([(absent, "absent")]);
    for (path, expected) in files {
        let line = Report::load(&path).unwrap_err().to_string();
        assert!(line.contains(expected) && line.contains("--json FILE") && !line.contains('\n'), "{line}");
        let _ = std::fs::remove_file(path);
    }
}

#[test]
fn changes_beyond_the_noise_are_marked() {
    let verdict = |then: f64, now: f64, spread: f64| {
        Change::new(&measured("a", then, 0.0), &measured("a", now, spread)).verdict
    };
    assert_eq!(verdict(1.0, 1.02, 0.0), Verdict::Same);
    assert_eq!(verdict(1.0, 1.05, 0.0), Verdict::Slower);
    assert_eq!(verdict(1.05, 1.0, 0.0), Verdict::Faster);
    // A run with a large spread proves less.
    assert_eq!(verdict(1.0, 1.05, 0.1), Verdict::Same);
    assert_eq!(verdict(1.0, 1.2, 0.1), Verdict::Slower);
}

#[test]
fn a_comparison_says_what_changed_and_what_cannot_be_compared() {
    let then = report(&[("a", 1.0, 0.0), ("b", 1.0, 0.0), ("c", 1.0, 0.0), ("gone", 1.0, 0.0)]);
    let mut now =
        report(&[("a", 0.5, 0.0), ("b", 2.0, 0.0), ("c", 1.01, 0.0), ("new", 1.0, 0.0), ("newer", 1.0, 0.0)]);
    let text = now.compare(&then);
    assert!(!text.contains("warning") && !text.contains("another clock"), "{text}");
    assert!(text.contains("1 faster, 1 slower, 1 within the noise; 2 only now, 1 only then"), "{text}");
    assert!(
        text.lines().any(|l| l.starts_with("b ") && l.contains("2.000") && l.ends_with("SLOWER")),
        "{text}"
    );

    (now.driver, now.cases[0].clock) = ("Mesa 99".into(), Clock::Wall);
    now.ceilings.bytes_per_second *= 0.5;
    let text = now.compare(&then);
    assert!(text.contains("warning: the ceilings moved"), "{text}");
    assert!(text.contains("warning: another driver") && text.contains("Mesa 99"), "{text}");
    assert!(text.lines().any(|l| l.starts_with("a ") && l.ends_with("(another clock)")), "{text}");
}

#[test]
fn a_line_of_the_table_holds_the_rates() {
    let line = measured("matmul", 1e-3, 0.02).to_string();
    for part in ["matmul ", " 1.0000 ", " 2.00 ", " 25.0%", "compute"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}
