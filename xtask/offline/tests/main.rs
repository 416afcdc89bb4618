//! The program as it is typed: on machines with the null driver, and on those without.

use std::process::{Command, Output};

fn offline(words: &str) -> Output {
    let program = env!("CARGO_BIN_EXE_offline");
    Command::new(program).args(words.split_whitespace()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_mistake_on_the_command_line_is_one_line() {
    for words in ["--speed", "--model resnet", "--chip navi22", "--compare no-such-file.json"] {
        let output = offline(words);
        let said = text(&output.stderr);
        assert!(!output.status.success() && output.stdout.is_empty(), "{words}");
        assert!(said.starts_with("offline: ") && said.lines().count() == 1, "{words}: {said}");
    }
}

#[test]
fn the_check_holds_or_says_that_it_skipped() {
    let output = offline("--check --model vae");
    let (said, wrong) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}{wrong}");
    assert!(said.contains("nothing spills") || said.contains("skipped: "), "{said}");
}

#[test]
fn a_run_is_kept_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    let first = offline(&format!("--model vae --launches --json {}", path.display()));
    if text(&first.stderr).contains("install Mesa's drivers") {
        println!("skipped: this machine has no null driver");
        return;
    }
    let said = text(&first.stdout);
    for expected in ["optimizer/adam", "vae step, batch 128: 0.", "bound of the launches", "passes"] {
        assert!(said.contains(expected), "{expected}:\n{said}");
    }
    let second = text(&offline(&format!("--model vae --compare {}", path.display())).stdout);
    assert!(second.contains("kernels are the same") && second.contains("  1.00  "), "{second}");
}
