//! Reports made by hand, for this and the tests of what reads reports.

use super::*;

/// A pipeline of a kernel whose hot loop has this share.
pub(crate) fn pipeline(kernel: &str, share: f64) -> PipelineReport {
    let counts = Counts { fma: 256, ..Counts::default() };
    PipelineReport {
        id: format!("{kernel}-00"),
        kernel: kernel.into(),
        label: "matmul".into(),
        invocations: 256,
        lanes: 64,
        vector_registers: 40,
        scalar_registers: 128,
        spilled_registers: 0,
        scratch_bytes: 0,
        workgroup_memory: 8192,
        waves: 12.0,
        code_bytes: 5588,
        hot: Some(HotReport { counts, share, lds_bytes_per_fma: 2.125, cycles: 3155 }),
        launches: 2,
        workgroups: [2, 26],
    }
}

/// A chip's report by a version of the driver, without steps.
pub(crate) fn chip(driver: &str, pipelines: Vec<PipelineReport>) -> ChipReport {
    let (chip, card) = ("navi21".into(), "a card".into());
    ChipReport { chip, card, driver: driver.into(), pipelines, steps: vec![] }
}

/// A step whose launches take these microseconds.
pub(crate) fn step(title: &str, microseconds: &[f64]) -> StepReport {
    let launch = |us: &f64| LaunchReport {
        label: "matmul".into(),
        pipeline: "k-00".into(),
        kernel: if *us > 50.0 { "slow".into() } else { "quick".into() },
        grid: [7, 2, 1],
        passes: 49.0,
        seconds: us * 1e-6,
        bound: if *us > 5.0 { Bound::Latency } else { Bound::Launch },
        flops: 1_000_000,
    };
    let launches: Vec<_> = microseconds.iter().map(launch).collect();
    let seconds = launches.iter().map(|l| l.seconds).sum();
    StepReport { model: "vae".into(), title: title.into(), seconds, flops: 1_000_000, launches }
}

#[test]
fn a_report_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    let steps = vec![step("vae step, batch 128", &[80.0, 4.0])];
    let report = Report::new(vec![ChipReport { steps, ..chip("a", vec![pipeline("k", 0.5)]) }]);
    report.save(&path).unwrap();
    assert_eq!(Report::load(&path).unwrap(), report);
}

#[test]
fn what_is_no_report_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    let told = |text: &str, expected: &str| {
        std::fs::write(&path, text).unwrap();
        let error = Report::load(&path).unwrap_err().to_string();
        assert!(
            error.contains(expected) && error.contains("--json FILE") && !error.contains('\n'),
            "{error}"
        );
    };
    told("kernels", "no JSON");
    told("{}", "no report of this program");
    told(r#"{"format": "oneiro-bench 1"}"#, "of format `oneiro-bench 1`");
    told(r#"{"format": "oneiro-offline 1"}"#, "a damaged report");
    assert!(Report::load(&folder.path().join("none.json")).is_err());
}

#[test]
fn kernels_stand_by_their_time() {
    let step = step("vae", &[4.0, 80.0, 4.0]);
    let groups: Vec<_> = step.by_kernel().into_iter().map(|(kernel, all)| (kernel, all.len())).collect();
    assert_eq!(groups, [("slow", 1), ("quick", 2)]);
    let text = step.to_string();
    assert!(text.contains("0.088 ms, 3 launches") && text.contains("latency 1"), "{text}");
    assert!(text.contains("launch 2"), "{text}");
}
