//! The architecture's rules, as scans of the sources: a rule that no test holds is a wish.

use std::path::{Path, PathBuf};

/// Longest Rust file, and those that may be longer: (file, lines, why).
const MAX_LINES: usize = 450;
const LONGER: [(&str, usize, &str); 0] = [];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Rust files below a folder, by their paths from the root.
fn rust_files(folder: &str) -> Vec<String> {
    let mut found = vec![];
    let mut folders: Vec<PathBuf> = vec![root().join(folder)];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap_or_else(|e| panic!("{}: {e}", next.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no Rust file in {folder}");
    found
}

fn text(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// The file's lines with their numbers and without comments.
fn code(file: &str) -> Vec<(usize, String)> {
    let line = |(i, l): (usize, &str)| (i + 1, l.split("//").next().unwrap_or_default().to_string());
    // A double slash within a string hides the rest of its line from these scans: acceptable.
    text(file).lines().enumerate().map(line).collect()
}

/// Places in these files where the code holds one of the words.
fn uses(files: &[String], words: &[&str]) -> Vec<String> {
    let mut found = vec![];
    for file in files {
        let lines = code(file).into_iter().filter(|(_, l)| words.iter().any(|w| l.contains(w)));
        found.extend(lines.map(|(n, l)| format!("{file}:{n}: {}", l.trim())));
    }
    found
}

fn forbid(files: &[String], words: &[&str], rule: &str) {
    let found = uses(files, words);
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

fn src_without(folders: &[&str]) -> Vec<String> {
    rust_files("src").into_iter().filter(|f| !folders.iter().any(|folder| f.starts_with(folder))).collect()
}

#[test]
fn only_the_gpu_module_knows_wgpu() {
    let others = src_without(&["src/gpu/", "src/run/", "src/lib.rs"]);
    forbid(&others, &["wgpu"], "only src/gpu and src/run may use wgpu");
    assert!(
        !uses(&rust_files("src/gpu"), &["wgpu::"]).is_empty(),
        "the scan finds nothing where there is something"
    );
    let library = uses(&["src/lib.rs".into()], &["wgpu"]);
    assert!(library.iter().all(|l| l.contains("pub use")), "src/lib.rs may only re-export wgpu: {library:?}");
}

#[test]
fn kernels_are_files() {
    // The planner composes calls; the functions themselves are lines of WGSL files.
    let others = src_without(&["src/plan/expr.rs"]);
    forbid(&others, &["@compute", "fn fused(i", "var<storage", "@group("], "WGSL belongs into shaders/");
    assert_eq!(
        uses(&["src/plan/expr.rs".into()], &["fn fused(i"]).len(),
        1,
        "the planner writes one function"
    );
}

#[test]
fn files_are_short() {
    for folder in ["src", "examples", "kernels-tests", "xtask"] {
        for file in rust_files(folder) {
            let lines = text(&file).lines().count();
            match LONGER.iter().find(|(name, ..)| *name == file) {
                None => assert!(lines <= MAX_LINES, "{file} has {lines} lines, at most {MAX_LINES}"),
                Some((_, most, why)) => {
                    assert!(lines <= *most, "{file} has {lines} lines, at most {most} ({why})");
                    assert!(lines > MAX_LINES, "{file} needs its exception no more");
                }
            }
        }
    }
}

#[test]
fn files_open_with_their_idea() {
    for file in ["src", "kernels-tests", "examples"].iter().flat_map(|folder| rust_files(folder)) {
        assert!(text(&file).starts_with("//! "), "{file} does not open with a module comment");
    }
}

#[test]
fn nothing_is_unsafe_or_unfinished() {
    let src = rust_files("src");
    forbid(&src, &["unsafe ", "unsafe{", "allow(unsafe_code"], "the library has no unsafe code");
    // Written in two parts, so that this file does not find itself.
    let unfinished = ["todo", "unimplemented"].map(|name| format!("{name}!("));
    let ignored = format!("#[{}", "ignore");
    let words: Vec<&str> = unfinished.iter().chain([&ignored]).map(String::as_str).collect();
    let all: Vec<String> =
        ["src", "examples", "kernels-tests", "xtask"].iter().flat_map(|folder| rust_files(folder)).collect();
    forbid(&all, &words, "unfinished code or tests that never run");
}

#[test]
fn the_engine_is_quiet_and_has_no_threads() {
    let engine = src_without(&["src/run/", "src/data/"]);
    let words = [
        "println!",
        "eprintln!",
        "print!(",
        "dbg!(",
        "env::var",
        "thread::spawn",
        "thread_local!",
        "static mut",
    ];
    forbid(&engine, &words, "the engine prints nothing, reads no environment and starts no thread");
}

#[test]
fn every_op_file_has_tests_of_its_name() {
    let stem = |f: &String| Path::new(f).file_stem().unwrap().to_string_lossy().into_owned();
    let ops = rust_files("src/ops").into_iter().filter(|f| f.matches('/').count() == 2);
    for op in ops.map(|f| stem(&f)).filter(|s| s != "mod") {
        assert!(
            root().join(format!("kernels-tests/ops/{op}.rs")).exists(),
            "src/ops/{op}.rs has no kernels-tests/ops/{op}.rs"
        );
    }
}

#[test]
fn recording_neither_allocates_nor_submits() {
    let source = code("src/gpu/executor.rs").into_iter().map(|(_, l)| l + "\n").collect::<String>();
    for function in ["record", "record_profiled"] {
        let start = source.rfind(&format!("fn {function}(")).unwrap_or_else(|| panic!("no `{function}`"));
        let body = &source[start..start + source[start..].find("\n    }\n").unwrap()];
        assert!(body.contains("launch.record(&mut pass)"), "`{function}` was not found whole:\n{body}");
        for word in [
            "create_",
            "submit",
            "poll",
            "write_buffer",
            "vec!",
            "Vec::",
            "collect",
            "clone()",
            "format!",
            "Box::",
        ] {
            assert!(!body.contains(word), "`{function}` holds `{word}`");
        }
    }
}
