//! The documents stay true: the files, tests and examples that they name exist, and their counts of files are
//! right.

use std::{collections::BTreeSet, path::Path};

/// The most lines of the README.
const README_LINES: usize = 110;
/// A path in a document begins with one of these; other paths are those of a user's data and runs.
const FOLDERS: [&str; 8] = ["src", "shaders", "kernels-tests", "examples", "xtask", "docs", ".ci", ".github"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// The documents at the root and in `docs`, by their paths; notes tell history and may name what is gone.
fn documents() -> Vec<String> {
    let mut found = vec![];
    for folder in ["", "docs/"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                found.push(format!("{folder}{name}"));
            }
        }
    }
    found.sort();
    assert!(found.len() >= 8, "only {found:?}");
    found
}

/// Names of all files below the folders of the project.
fn file_names() -> BTreeSet<String> {
    let mut folders: Vec<_> = FOLDERS.iter().map(|folder| root().join(folder)).collect();
    let mut names = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            names.insert(path.file_name().unwrap().to_string_lossy().into_owned());
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    names
}

/// What stands between backticks, outside of blocks of code.
fn quoted(document: &str) -> Vec<String> {
    let mut prose = String::new();
    for (i, part) in document.split("```").enumerate() {
        prose += if i % 2 == 0 { part } else { "\n" };
    }
    prose.split('`').skip(1).step_by(2).map(String::from).collect()
}

/// Targets of links within the project, from the document's own folder.
fn links(document: &str) -> Vec<String> {
    let targets = document.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    targets.filter(|t| !t.is_empty() && !t.starts_with("http")).map(String::from).collect()
}

/// Whether the path leads somewhere; what follows a placeholder (`NAME`) is not looked at.
fn exists(path: &str) -> bool {
    let holds_placeholder = |part: &str| {
        let word = |w: &str| w.len() > 1 && w.chars().all(|c| c.is_ascii_uppercase());
        !part.ends_with(".md") && part.split('.').any(word)
    };
    let known = path.split('/').take_while(|part| !holds_placeholder(part));
    root().join(known.collect::<Vec<_>>().join("/")).exists()
}

/// Who wants other numbers in a stream's place (`Graph::bind_stream`) needs its name.
#[test]
fn random_streams_are_named_in_the_docs() {
    let calls = ["normal(\"", "uniform(\"", "bernoulli(\"", "reparameterize(\"", "dropout(&format!(\""];
    let mut found = vec![];
    for folder in ["src/models", "src/train", "src/measure"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let code = std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
            let (code, docs) = code.split_once("#[cfg(test)]").unwrap_or((&code, "")).0.lines().fold(
                (String::new(), String::new()),
                |(code, docs), line| match line.trim_start().starts_with("///") {
                    true => (code, docs + line + "\n"),
                    false => (code + line + "\n", docs),
                },
            );
            for name in calls.iter().flat_map(|call| code.split(call).skip(1)) {
                let name = name.split('"').next().unwrap().to_string();
                assert!(
                    docs.contains(&format!("`{name}`")),
                    "{folder}: no doc comment names the stream `{name}`"
                );
                found.push(name);
            }
        }
    }
    assert!(found.iter().any(|name| name == "vae/eps") && found.len() >= 6, "{found:?}");
}

#[test]
fn documents_name_what_exists() {
    let (names, manifest) = (file_names(), text("Cargo.toml"));
    let (mut wrong, mut paths) = (vec![], 0);
    for file in documents() {
        let document = text(&file);
        let folder = file.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        for target in links(&document) {
            if !root().join(&folder).join(&target).exists() {
                wrong.push(format!("{file}: the link to {target}"));
            }
        }
        for quote in quoted(&document) {
            let in_project = quote.split('/').next().is_some_and(|first| FOLDERS.contains(&first));
            let source = (quote.ends_with(".rs") || quote.ends_with(".wgsl")) && !quote.starts_with('.');
            let found = if quote.contains('/') {
                !in_project || exists(&quote)
            } else {
                !source || names.contains(&quote)
            };
            paths += usize::from(in_project);
            if !found {
                wrong.push(format!("{file}: `{quote}`"));
            }
        }
        for example in document.split("--example ").skip(1).filter_map(|rest| rest.split_whitespace().next())
        {
            let name = example.trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
            if !manifest.contains(&format!("[[example]]\nname = \"{name}\"")) {
                wrong.push(format!("{file}: --example {name}"));
            }
        }
    }
    assert!(paths > 40, "only {paths} paths were found");
    assert!(wrong.is_empty(), "these do not exist:\n{}", wrong.join("\n"));
}

#[test]
fn the_code_map_is_whole() {
    let map = text("ARCHITECTURE.md");
    for entry in std::fs::read_dir(root().join("src")).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let slash = if entry.path().is_dir() { "/" } else { "" };
        // A folder beside a file of its name belongs to that file.
        if entry.path().with_extension("rs").is_file() && entry.path().is_dir() {
            continue;
        }
        let named = map.contains(&format!("`src/{name}{slash}`"));
        assert!(named || name == "lib.rs", "ARCHITECTURE.md's code map does not name src/{name}{slash}");
    }
}

#[test]
fn every_invariant_has_its_test() {
    let mut sources = String::new();
    let mut folders = vec![root().join("kernels-tests")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                sources += &std::fs::read_to_string(path).unwrap();
            }
        }
    }
    let map = text("ARCHITECTURE.md");
    let section = map.split("\n## ").find(|s| s.starts_with("Invariants")).expect("a section of invariants");
    let rows: Vec<&str> = section.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| |")).collect();
    assert!(rows.len() >= 9, "only {} invariants", rows.len());
    for row in rows {
        let tests = quoted(row.rsplit('|').nth(1).unwrap());
        assert!(!tests.is_empty(), "no test holds:\n{row}");
        for test in tests {
            assert!(
                sources.contains(&format!("#[test]\nfn {test}()")),
                "there is no test `{test}`, named in:\n{row}"
            );
        }
    }
}

/// A section of docs/adding.md is headed "WHAT: N files" and lists them, one a line.
#[test]
fn counts_of_files_are_true() {
    let document = text("docs/adding.md");
    let sections = document.split("\n## ").skip(1).filter_map(|section| {
        let (heading, body) = section.split_once('\n')?;
        Some((heading, heading.rsplit_once(": ")?.1.strip_suffix(" files")?.parse::<usize>().ok()?, body))
    });
    let mut counted = 0;
    for (heading, promised, body) in sections {
        let files: BTreeSet<_> =
            body.lines().filter_map(|l| l.strip_prefix("* `")?.split('`').next()).collect();
        assert_eq!(files.len(), promised, "{heading}: {files:?}");
        counted += 1;
    }
    assert!(counted >= 4, "only {counted} sections count their files");
}

#[test]
fn the_readme_is_short() {
    let lines = text("README.md").lines().count();
    assert!(lines <= README_LINES, "README.md has {lines} lines, at most {README_LINES}");
}
