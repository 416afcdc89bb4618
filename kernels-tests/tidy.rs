//! The rules of the architecture, held by scans of the sources.

mod imports;
mod rooms;

use std::path::{Path, PathBuf};

/// The most lines of a Rust file.
const MAX_LINES: usize = 450;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Rust files below a folder, by their paths from the root.
pub(crate) fn rust_files(folder: &str) -> Vec<String> {
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

/// Source files of the library but those whose paths begin like one of these.
fn src_without(starts: &[&str]) -> Vec<String> {
    rust_files("src").into_iter().filter(|f| !starts.iter().any(|start| f.starts_with(start))).collect()
}

#[test]
fn only_the_gpu_module_knows_wgpu() {
    let others = src_without(&["src/gpu/", "src/train/", "src/lib.rs"]);
    forbid(&others, &["wgpu"], "only src/gpu may use wgpu");
    // A training step hands buffers and encoders on, by the name that src/gpu gives the crate.
    let handles = ["src/train/feed.rs", "src/train/sampler.rs", "src/train/steps.rs"].map(String::from);
    let beyond = |line: &String| {
        let types = line.matches("wgpu::Buffer").count() + line.matches("wgpu::CommandEncoder").count();
        line.matches("wgpu::").count() > types || line.contains("use wgpu")
    };
    let wrong: Vec<String> = uses(&handles, &["wgpu"]).into_iter().filter(beyond).collect();
    assert!(wrong.is_empty(), "outside of src/gpu, wgpu is no more than handles:\n{}", wrong.join("\n"));
    assert!(!uses(&rust_files("src/gpu"), &["wgpu::"]).is_empty(), "the scan does not find what is there");
}

/// A raw write of bytes that are no multiple of 4 is refused by the device; the engine's one writer pads them.
#[test]
fn buffers_are_written_in_one_place() {
    let raw = uses(&rust_files("src"), &["write_buffer"]);
    let elsewhere: Vec<_> = raw.iter().filter(|line| !line.starts_with("src/gpu/transfer.rs")).collect();
    assert!(elsewhere.is_empty() && !raw.is_empty(), "only Gpu::write may write a buffer: {elsewhere:?}");
}

/// Folders named by hand met once: two tests of one process shared one.
#[test]
fn folders_of_tests_have_names_of_their_own() {
    forbid(
        &src_without(&["src/disk/scratch.rs"]),
        &["temp_dir("],
        "a test's folder is a disk::scratch::Folder",
    );
}

#[test]
fn kernels_are_files() {
    // The planner composes calls and joins kernels; the functions themselves are lines of WGSL files.
    let others = src_without(&["src/plan/expr.rs", "src/kernel/join.rs"]);
    forbid(&others, &["@compute", "fn fused(i", "var<storage", "@group("], "WGSL belongs into shaders/");
    assert_eq!(
        uses(&["src/plan/expr.rs".into()], &["fn fused(i"]).len(),
        1,
        "the planner writes one function"
    );
}

#[test]
fn files_are_short() {
    let files = ["src", "examples", "kernels-tests", "xtask"].into_iter().flat_map(rust_files);
    let lengths = files.map(|file| (text(&file).lines().count(), file));
    let long: Vec<_> = lengths.filter(|(lines, _)| *lines > MAX_LINES).collect();
    assert!(long.is_empty(), "files of more than {MAX_LINES} lines: {long:?}");
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
    let outside = ["examples", "xtask"].into_iter().flat_map(rust_files);
    let calls = ["xtask/offline/src/vulkan.rs", "examples/bench/ceiling.rs"];
    let safe: Vec<_> = outside.filter(|file| !calls.contains(&file.as_str())).chain(src).collect();
    let words = ["unsafe ", "unsafe{", "allow(unsafe_code"];
    forbid(&safe, &words, "the library has no unsafe code; two programs call Vulkan and gemm by it");
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
    let prints = ["println!", "eprintln!", "print!(", "dbg!("];
    forbid(&src_without(&["src/run/"]), &prints, "only the tool prints");
    let raw = [&prints[..], &["stdout()"]].concat();
    forbid(&src_without(&["src/run/say.rs"]), &raw, "the tool prints by say! and note!, which cannot panic");
    let threads = src_without(&["src/run/", "src/data/", "src/gpu/pipelines.rs"]);
    let makes = ["thread::spawn", "thread::scope", "thread::Builder"];
    forbid(&threads, &makes, "only data sets, the tool and the compilation of pipelines have threads");
    let globals = ["env::var", "thread_local!", "static mut"];
    let own = src_without(&["src/run/by_ranks.rs"]);
    forbid(&own, &globals, "the library has no globals that change, and reads no environment but mpirun's");
}

/// A file that no one declares is no part of any crate: it is neither compiled nor tested.
/// A host of the library has no command line.
#[test]
fn only_the_tool_speaks_of_options() {
    let words =
        |line: &str| line.split("--").skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
    let mut wrong = vec![];
    for file in src_without(&["src/run"]) {
        let lines = code(&file).into_iter().filter(|(_, line)| words(line) && !line.contains("cargo "));
        wrong.extend(lines.map(|(number, line)| format!("{file}:{number}: {}", line.trim())));
    }
    assert!(wrong.is_empty(), "messages of the library name options of the tool:\n{}", wrong.join("\n"));
}

/// An example is its model, its options and a `main`; two of them show more.
#[test]
fn examples_are_short() {
    const LONGER: [&str; 2] = ["examples/embed.rs", "examples/custom_op.rs"];
    for file in rust_files("examples").iter().filter(|file| file.matches('/').count() == 1) {
        let (lines, most) =
            (text(file).lines().count(), if LONGER.contains(&file.as_str()) { 310 } else { 120 });
        assert!(lines <= most, "{file} has {lines} lines, at most {most}");
    }
}

#[test]
fn every_file_is_declared() {
    let manifest = text("Cargo.toml");
    let declared = |file: &String| {
        let (path, stem) = file.trim_end_matches("/mod.rs").trim_end_matches(".rs").rsplit_once('/').unwrap();
        let parents = [
            format!("{path}.rs"),
            format!("{path}/mod.rs"),
            format!("{path}/lib.rs"),
            format!("{path}/main.rs"),
        ];
        let declares = |parent: &String| {
            let words = code(parent).into_iter().map(|(_, line)| line + "\n").collect::<String>();
            words.contains(&format!("mod {stem};"))
        };
        ["lib", "main"].contains(&stem)
            || manifest.contains(&format!("[[example]]\nname = \"{stem}\""))
            || parents.iter().filter(|parent| root().join(parent).exists()).any(declares)
    };
    let files = ["src", "kernels-tests", "examples", "xtask"].into_iter().flat_map(rust_files);
    let lost: Vec<String> = files.filter(|file| !declared(file)).collect();
    assert!(lost.is_empty(), "files that no one declares: {lost:?}");
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
    let words = "create_ submit poll write( write_buffer vec! Vec:: collect clone() format! Box::";
    for (file, name) in [("src/gpu/executor.rs", "record_part"), ("src/gpu/profile.rs", "record")] {
        let source = code(file).into_iter().map(|(_, l)| l + "\n").collect::<String>();
        let start = source.rfind(&format!("fn {name}(")).unwrap_or_else(|| panic!("{file} has no `{name}`"));
        let body = &source[start..start + source[start..].find("\n    }\n").unwrap()];
        assert!(body.contains("launch.record(&mut pass)"), "{file}: `{name}` was not found whole:\n{body}");
        let found = words.split(' ').find(|word| body.contains(word));
        assert_eq!(found, None, "`{name}` of {file}");
    }
}
